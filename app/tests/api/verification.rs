//! `verify`: all data, such as after a restore.

use std::process::Stdio;

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::deployment::{Clinic, Deployment, patient};

fn verify(deployment: &Deployment) -> (i32, Value) {
    let output = deployment.run_as_owner(&["verify"], "");
    (
        output.status.code().unwrap(),
        serde_json::from_slice(&output.stdout).unwrap(),
    )
}

/// Two patients, one of them changed, one more destroyed; no server runs any more.
async fn used() -> Deployment {
    let mut clinic = Clinic::open().await;
    let mut ids = Vec::new();
    for number in ["MRN-1", "MRN-2", "MRN-3"] {
        ids.push(clinic.admit(number).await["id"].as_str().unwrap().to_owned());
    }
    for id in &ids[1..] {
        let mut record = patient(&format!("changed-{id}"));
        record["notes"] = json!("changed");
        let answer = clinic
            .server
            .put(&format!("/api/patients/{id}"))
            .header("if-match", "*")
            .json(&record)
            .bearer_auth(&clinic.token)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success());
    }
    let arguments = [
        "patients",
        "shred",
        "--confirm",
        "--reason",
        "test",
        "--id",
        &ids[2],
    ];
    assert!(clinic.deployment.run_as_owner(&arguments, "").status.success());
    clinic.server.terminate();
    assert_eq!(clinic.server.ended().await, 0);
    clinic.deployment
}

#[tokio::test]
async fn a_restored_copy_verifies_completely_and_a_damaged_one_does_not() {
    let mut deployment = used().await;
    let (status, report) = verify(&deployment);
    assert_eq!((status, &report["intact"]), (0, &json!(true)), "{report}");
    assert_eq!(report["sealed"]["records"], 2);
    assert_eq!(report["sealed"]["shredded"], 1);

    // Dump and restore with PostgreSQL's own programs.
    let copy = format!("{}_copy", deployment.database);
    let mut superuser = deployment.cluster.superuser("postgres").await;
    sqlx::query(AssertSqlSafe(format!(
        "CREATE DATABASE {copy} OWNER medical_owner"
    )))
    .execute(&mut superuser)
    .await
    .unwrap();
    let mut dump = deployment
        .cluster
        .program("pg_dump", &deployment.database)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let restored = deployment
        .cluster
        .program("psql", &copy)
        .args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"])
        .stdin(dump.stdout.take().unwrap())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(dump.wait().unwrap().success() && restored.success());
    deployment.set("DATABASE_NAME", &copy);
    deployment.database = copy;
    let (status, report) = verify(&deployment);
    assert_eq!((status, &report["intact"]), (0, &json!(true)), "{report}");

    let mut superuser = deployment.connect("postgres").await;
    sqlx::query("SET session_replication_role = replica")
        .execute(&mut superuser)
        .await
        .unwrap();
    // Each damage is undone before the next, but the last.
    for (damage, repair, broken) in [
        (
            "UPDATE patient SET notes = set_byte(notes, 70, 255 - get_byte(notes, 70)) WHERE notes IS NOT NULL",
            "UPDATE patient SET notes = set_byte(notes, 70, 255 - get_byte(notes, 70)) WHERE notes IS NOT NULL",
            "/sealed/failed",
        ),
        (
            "UPDATE patient SET record_number_index = set_byte(record_number_index, 0,
                 255 - get_byte(record_number_index, 0)) WHERE shredded_at IS NULL",
            "UPDATE patient SET record_number_index = set_byte(record_number_index, 0,
                 255 - get_byte(record_number_index, 0)) WHERE shredded_at IS NULL",
            "/sealed/failed",
        ),
        (
            "UPDATE audit_link SET sealed_at = sealed_at + interval '1 second' WHERE position = 2",
            "UPDATE audit_link SET sealed_at = sealed_at - interval '1 second' WHERE position = 2",
            "/audit/broken",
        ),
        (
            "DELETE FROM patient WHERE shredded_at IS NOT NULL",
            "SELECT",
            "/counts",
        ),
    ] {
        sqlx::query(damage).execute(&mut superuser).await.unwrap();
        let (status, report) = verify(&deployment);
        assert_eq!(status, 1, "{damage}: {report}");
        let found = report.pointer(broken).unwrap();
        let counts = found.as_array().into_iter().flatten();
        assert!(
            found.as_i64().is_some_and(|number| number > 0)
                || counts.into_iter().any(|count| count["matches"] == false),
            "{damage}: {report}"
        );
        sqlx::query(repair).execute(&mut superuser).await.unwrap();
    }
}
