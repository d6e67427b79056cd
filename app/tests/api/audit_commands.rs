//! `audit export`, `audit disclosures` and `audit prune`.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::deployment::{Clinic, Deployment, patient, run};
use crate::waiting::until;

/// The objects that a command prints, one a line.
fn lines(deployment: &Deployment, arguments: &[&str]) -> Vec<Value> {
    let output = run(deployment.command(arguments), "");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn changed_patient(clinic: &Clinic) -> Uuid {
    let id: Uuid = clinic.admit("MRN-1").await["id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let path = format!("/api/patients/{id}");
    let mut record = patient("MRN-1");
    record["notes"] = json!("planted-zygomycosis");
    let answer = clinic
        .server
        .put(&path)
        .header("if-match", "*")
        .json(&record)
        .bearer_auth(&clinic.token)
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success());
    id
}

#[tokio::test]
async fn the_export_is_one_audit_event_a_line_with_who_what_which_patient_session_and_outcome() {
    let clinic = Clinic::open().await;
    let id = changed_patient(&clinic).await;
    let events = lines(&clinic.deployment, &["audit", "export"]);
    assert!(events.iter().all(|event| event["resourceType"] == "AuditEvent"));
    assert!(
        events.iter().all(|event| {
            let requestors = event["agent"].as_array().unwrap().iter();
            requestors.filter(|agent| agent["requestor"] == true).count() == 1
        }),
        "FHIR asks for one requestor"
    );
    let update = events
        .iter()
        .find(|event| event["action"] == "U")
        .expect("the update is exported");
    assert_eq!(
        update["meta"]["profile"][0],
        "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientUpdate"
    );
    assert_eq!(update["outcome"], "0");
    let user = update["agent"]
        .as_array()
        .unwrap()
        .iter()
        .find(|agent| agent["requestor"] == true)
        .unwrap();
    assert_eq!(
        user["who"]["identifier"]["value"],
        format!("urn:uuid:{}", clinic.doctor)
    );
    assert!(user["policy"][0].as_str().unwrap().starts_with("urn:uuid:"));
    assert!(update["entity"].as_array().unwrap().iter().any(
        |entity| entity["role"]["code"] == "1" && entity["what"]["reference"] == format!("Patient/{id}")
    ));
    assert!(!Value::Array(events).to_string().contains("planted"));
    let again = lines(&clinic.deployment, &["audit", "export"]);
    assert!(
        again.iter().any(|event| event["subtype"][0]["code"] == "export"),
        "an export is recorded itself"
    );
}

#[tokio::test]
async fn the_disclosures_of_a_patient_name_everybody_who_saw_the_record_and_nobody_else() {
    let clinic = Clinic::open().await;
    let id = changed_patient(&clinic).await;
    clinic.admit("MRN-2").await;
    let list = clinic.server.get("/api/patients").bearer_auth(&clinic.token);
    assert!(list.send().await.unwrap().status().is_success());
    clinic
        .deployment
        .create_user("grace@clinic.example.org", "clinician");
    let grace = clinic.server.login("grace@clinic.example.org").await;
    let denied = clinic
        .server
        .get(&format!("/api/patients/{id}"))
        .bearer_auth(&grace);
    assert_eq!(denied.send().await.unwrap().status(), 404);

    let id = id.to_string();
    let disclosures = lines(&clinic.deployment, &["audit", "disclosures", "--patient", &id]);
    let actions: Vec<_> = disclosures.iter().map(|line| &line["action"]).collect();
    assert_eq!(actions, ["create", "update", "list"]);
    for line in &disclosures {
        assert_eq!(line["recipient"]["id"], clinic.doctor.to_string());
        assert_eq!(line["recipient"]["name"], "Synthetic User");
    }
}

#[tokio::test]
async fn what_a_change_changed_is_sealed_in_the_log() {
    let clinic = Clinic::open().await;
    changed_patient(&clinic).await;
    let mut superuser = clinic.deployment.connect("postgres").await;
    let diffs: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT diff FROM audit_event WHERE action = 'update' AND diff IS NOT NULL")
            .fetch_all(&mut superuser)
            .await
            .unwrap();
    assert_eq!(diffs.len(), 1);
    let text = String::from_utf8_lossy(&diffs[0]);
    assert!(!text.contains("planted") && !text.contains("notes"), "{text}");
}

#[tokio::test]
async fn pruning_takes_whole_months_after_seven_years_and_leaves_a_log_that_verifies() {
    let deployment = Deployment::new().await;
    let mut owner = deployment.connect("medical_owner").await;
    sqlx::query("SELECT create_audit_partition('2018-03-15'), create_audit_partition('2018-04-15')")
        .execute(&mut owner)
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO audit_event (occurred_at, action, resource, outcome, request_id)
         SELECT at, 'read', 'patient', 'success', gen_random_uuid()
         FROM unnest('{2018-03-15,2018-03-31T23:59:59Z,2018-04-01T00:00:00Z}'::timestamptz[]) AS at",
    )
    .execute(&mut owner)
    .await
    .unwrap();
    let prune = |before: &str| deployment.run_as_owner(&["audit", "prune", "--before", before], "");
    let unsealed = prune("2018-04-01");
    assert_eq!(unsealed.status.code(), Some(1), "{unsealed:?}");

    let mut server = deployment.serve().await;
    until("the sealer", async || {
        server
            .metrics()
            .await
            .contains("audit_chain_position 3")
            .then_some(())
    })
    .await;
    // Its first of the month is younger than 2557 days, whatever the month.
    let young = jiff::Timestamp::now() - jiff::SignedDuration::from_hours((2557 - 32) * 24);
    let refused = prune(&young.to_string()[..10]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(message.contains("2557 days"), "{message}");

    let verify = || {
        let output = run(deployment.command(&["audit", "verify"]), "");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), report)
    };
    server.terminate();
    assert_eq!(server.ended().await, 0);
    let (status, report) = verify();
    assert_eq!((status, &report["pruned"]), (0, &json!(0)), "{report}");
    let output = prune("2018-04-20");
    assert!(output.status.success(), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told, json!({"before": "2018-04-01T00:00:00Z", "pruned": 2}));
    let (status, report) = verify();
    assert_eq!(
        (status, &report["pruned"], &report["rows"]),
        (0, &json!(2), &json!(1)),
        "{report}"
    );

    let mut superuser = deployment.connect("postgres").await;
    sqlx::query("SET session_replication_role = replica")
        .execute(&mut superuser)
        .await
        .unwrap();
    sqlx::query("UPDATE audit_tombstone SET before = before + interval '1 month'")
        .execute(&mut superuser)
        .await
        .unwrap();
    assert_eq!(verify().0, 1, "a tombstone that was changed is found");
}
