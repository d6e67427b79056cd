//! Rotation of the key-encryption key while the application serves, and destruction of one patient's key.

use std::path::PathBuf;
use std::process::Stdio;

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::deployment::{Clinic, Deployment, Server, patient, run, write_random_key};
use crate::second_factor;
use crate::waiting::until;

fn key(deployment: &Deployment, name: &str) -> PathBuf {
    deployment.directory.path().join("keys").join(name)
}

fn rotate(deployment: &Deployment, arguments: &[&str]) -> (i32, Value) {
    let output = deployment.run_as_owner(&[&["keys", "rotate"], arguments].concat(), "");
    let status = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().unwrap(), status)
}

/// A new active key, the old one beside it: the second roll-out of a rotation.
fn exchange_keys(deployment: &Deployment) {
    std::fs::rename(key(deployment, "phi-kek"), key(deployment, "phi-kek-previous")).unwrap();
    write_random_key(&key(deployment, "phi-kek"));
}

async fn names(server: &Server, token: &str) -> Vec<String> {
    let answer = server
        .get("/api/patients")
        .bearer_auth(token)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let page: Value = answer.json().await.unwrap();
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| item["recordNumber"].as_str().unwrap().to_owned())
        .collect()
}

async fn wrapped_by_others(superuser: &mut PgConnection, previous: &[u8]) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM patient WHERE kek_id = $1")
        .bind(previous)
        .fetch_one(superuser)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_rotation_that_is_killed_at_every_step_loses_nothing_and_ends_when_it_is_started_again() {
    const PATIENTS: usize = 5;
    let clinic = Clinic::open().await;
    let deployment = &clinic.deployment;
    let mut ids = Vec::new();
    let mut expected = Vec::new();
    for number in 0..PATIENTS {
        let record_number = format!("MRN-{number}");
        let id: Uuid = clinic.admit(&record_number).await["id"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        ids.push(id);
        expected.push(record_number);
    }
    let mut superuser = deployment.connect("postgres").await;
    let previous: Vec<u8> = sqlx::query_scalar("SELECT DISTINCT kek_id FROM patient")
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    exchange_keys(deployment);
    let server = deployment.serve().await;
    assert_eq!(names(&server, &clinic.token).await, expected);

    for (step, id) in ids.iter().enumerate() {
        // The rotation stops in front of this patient, and is killed there.
        let mut holder = deployment.connect("postgres").await;
        let mut lock = holder.begin().await.unwrap();
        sqlx::query("SELECT FROM patient WHERE id = $1 FOR UPDATE")
            .bind(id)
            .execute(&mut *lock)
            .await
            .unwrap();
        let mut command = deployment.command(&["keys", "rotate", "--run", "--batch-size", "1"]);
        let mut rotation = command
            .env("DATABASE_USER", "medical_owner")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        until("the rotation to arrive at the lock", async || {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND usename = 'medical_owner' AND wait_event_type = 'Lock'",
            )
            .fetch_one(&mut superuser)
            .await
            .unwrap();
            (waiting > 0).then_some(())
        })
        .await;
        rotation.kill().unwrap();
        rotation.wait().unwrap();
        lock.rollback().await.unwrap();
        let left = wrapped_by_others(&mut superuser, &previous).await;
        assert_eq!(left, i64::try_from(PATIENTS - step).unwrap());
        assert_eq!(names(&server, &clinic.token).await, expected, "after step {step}");
        let (_, status) = rotate(deployment, &["--status"]);
        assert_eq!(
            (&status["wrappedByOther"], &status["complete"]),
            (&json!(left), &json!(false))
        );
    }

    let (status, report) = rotate(deployment, &["--run"]);
    assert_eq!((status, &report["complete"]), (0, &json!(true)), "{report}");
    assert_eq!(names(&server, &clinic.token).await, expected);
    drop(server);
    std::fs::remove_file(key(deployment, "phi-kek-previous")).unwrap();
    let server = deployment.serve().await;
    assert_eq!(names(&server, &clinic.token).await, expected);
    assert!(
        server
            .metrics()
            .await
            .contains(r#"phi_data_keys{state="active"} 5"#)
    );
}

#[tokio::test]
async fn after_a_rotation_the_new_key_alone_opens_authenticator_apps_and_reasons_of_emergencies() {
    let mut clinic = Clinic::open().await;
    let id = clinic.admit("MRN-1").await["id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let nurse = clinic.employ("nurse").await;
    let auditor = clinic.employ("auditor").await;
    clinic.give_emergency_access(nurse.id, id, "30 minutes").await;
    let (secret, _) = second_factor::enrol(&clinic.server, &clinic.token).await;
    clinic.server.terminate();
    clinic.server.ended().await;
    let deployment = &clinic.deployment;
    exchange_keys(deployment);
    let (status, report) = rotate(deployment, &["--run"]);
    assert_eq!((status, &report["complete"]), (0, &json!(true)), "{report}");
    let counts = [&report["rewrapped"], &report["wrappedByActive"]];
    assert_eq!(counts, [&json!(3), &json!(3)], "{report}");
    std::fs::remove_file(key(deployment, "phi-kek-previous")).unwrap();

    let server = deployment.serve().await;
    let code = second_factor::code(&secret, 30);
    let answer = second_factor::login(&server, Some(&code)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let open = server.get("/api/emergency-access").bearer_auth(&auditor.token);
    let open: Value = open.send().await.unwrap().json().await.unwrap();
    assert_eq!(open["items"][0]["reason"], "unconscious in the emergency room");
}

#[tokio::test]
async fn a_rotation_passes_over_no_table_with_data_keys() {
    let deployment = Deployment::new().await;
    let mut superuser = deployment.connect("postgres").await;
    let mut holders: Vec<String> = sqlx::query_scalar(
        "SELECT table_name::text FROM information_schema.columns
         WHERE table_schema = 'public' AND column_name = 'kek_id' ORDER BY 1",
    )
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    holders.sort();
    let mut rotated = medical_app::db::key_rotation::tables();
    rotated.sort_unstable();
    assert_eq!(holders, rotated);
}

#[tokio::test]
async fn both_roll_outs_of_a_rotation_serve_beside_each_other_and_the_old_key_alone_does_not_any_more() {
    let clinic = Clinic::open().await;
    let deployment = &clinic.deployment;
    clinic.admit("MRN-1").await;
    // First: the new key only opens. Second: it wraps, and the old one opens.
    write_random_key(&key(deployment, "phi-kek-next"));
    let first = deployment.serve().await;
    let old = std::fs::read(key(deployment, "phi-kek")).unwrap();
    std::fs::rename(key(deployment, "phi-kek"), key(deployment, "phi-kek-previous")).unwrap();
    std::fs::rename(key(deployment, "phi-kek-next"), key(deployment, "phi-kek")).unwrap();
    let second = deployment.serve().await;
    for (server, number) in [(&first, "MRN-2"), (&second, "MRN-3")] {
        let answer = server
            .post("/api/patients")
            .bearer_auth(&clinic.token)
            .json(&patient(number))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
    }
    for server in [&first, &second] {
        assert_eq!(names(server, &clinic.token).await, ["MRN-1", "MRN-2", "MRN-3"]);
    }
    drop((first, second));
    assert_eq!(rotate(deployment, &["--run"]).0, 0);
    std::fs::write(key(deployment, "phi-kek"), old).unwrap();
    std::fs::remove_file(key(deployment, "phi-kek-previous")).unwrap();
    let server = deployment.serve().await;
    until("the refusal", async || {
        let answer = server.get("/readyz").send().await.unwrap();
        let body: Value = answer.json().await.unwrap();
        (body["missing"] == "keys").then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_the_previous_key_a_rotation_fails_and_changes_nothing() {
    let clinic = Clinic::open().await;
    let deployment = &clinic.deployment;
    clinic.admit("MRN-1").await;
    let old = std::fs::read(key(deployment, "phi-kek")).unwrap();
    write_random_key(&key(deployment, "phi-kek"));
    let (status, report) = rotate(deployment, &["--run"]);
    assert_eq!((status, &report["wrappedByUnknown"]), (1, &json!(1)), "{report}");
    std::fs::write(key(deployment, "phi-kek"), old).unwrap();
    let server = deployment.serve().await;
    assert_eq!(names(&server, &clinic.token).await, ["MRN-1"]);
}

#[tokio::test]
async fn a_shredded_record_is_gone_for_good_and_the_log_still_tells_who_saw_it_and_why_it_went() {
    let clinic = Clinic::open().await;
    let deployment = &clinic.deployment;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    clinic.admit("MRN-2").await;
    let shred = |arguments: &[&str]| {
        let command = ["patients", "shred", "--id", &id, "--reason", "erasure request 17"];
        run_as_owner(deployment, &[&command, arguments].concat())
    };
    let patient = id.parse().unwrap();
    let emergency = clinic
        .give_emergency_access(clinic.doctor, patient, "10 minutes")
        .await;
    let (status, message) = shred(&[]);
    assert_eq!(status, 1);
    assert!(message.contains("--confirm"), "{message}");
    assert_eq!(names(&clinic.server, &clinic.token).await, ["MRN-1", "MRN-2"]);

    assert_eq!(shred(&["--confirm"]).0, 0);
    assert_eq!(names(&clinic.server, &clinic.token).await, ["MRN-2"]);
    let read = clinic
        .server
        .get(&format!("/api/patients/{id}"))
        .bearer_auth(&clinic.token);
    assert_eq!(read.send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let mut superuser = deployment.connect("postgres").await;
    let sealed: i32 = sqlx::query_scalar(
        "SELECT octet_length(data_key) + octet_length(record_number) + octet_length(family_name)
             + octet_length(given_name) + octet_length(date_of_birth) + coalesce(octet_length(notes), 0)
         FROM patient WHERE id = $1::uuid",
    )
    .bind(&id)
    .fetch_one(&mut superuser)
    .await
    .unwrap();
    assert_eq!(sealed, 0);
    let reason: i32 = sqlx::query_scalar(
        "SELECT octet_length(data_key) + octet_length(reason) FROM emergency_access WHERE id = $1",
    )
    .bind(emergency)
    .fetch_one(&mut superuser)
    .await
    .unwrap();
    assert_eq!(reason, 0);
    // The number is free again.
    clinic.admit("MRN-1").await;
    assert_eq!(shred(&["--confirm"]).0, 1, "it can be destroyed once");

    let output = run(
        deployment.command(&["audit", "disclosures", "--patient", &id]),
        "",
    );
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.contains(r#""action":"create""#) && lines.contains("erasure request 17"));
    let stored: String = sqlx::query_scalar("SELECT string_agg(audit_event::text, ' ') FROM audit_event")
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    assert!(!stored.contains("erasure"), "the reason is sealed");
}

fn run_as_owner(deployment: &Deployment, arguments: &[&str]) -> (i32, String) {
    let output = deployment.run_as_owner(arguments, "");
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}
