//! Planted values: what was sent in must come out in answers to those who may see it, and nowhere else.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::cluster::PASSWORD;
use crate::deployment::{Clinic, USER_PASSWORD, run};

const FAMILY_NAME: &str = "Plantedfamily";
const GIVEN_NAME: &str = "Plantedgiven";
const RECORD_NUMBER: &str = "PLANTED-4711";
const DATE_OF_BIRTH: &str = "1947-08-13";
const NOTES: &str = "planted-diagnosis zygomycosis";

/// Every form in which a text may turn up.
fn forms(text: &str) -> Vec<String> {
    let hex: Vec<_> = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    // Base64 of a text inside a longer one: what does not depend on the neighbours.
    vec![
        text.to_owned(),
        text.to_lowercase(),
        hex.concat(),
        STANDARD.encode(text),
        URL_SAFE_NO_PAD.encode(text),
    ]
}

fn assert_absent(place: &str, haystack: &str, secrets: &[&str]) {
    let lowered = haystack.to_lowercase();
    for secret in secrets {
        for form in forms(secret) {
            assert!(
                !lowered.contains(&form.to_lowercase()),
                "{form:?} of {secret:?} is in {place}"
            );
        }
    }
}

fn record() -> Value {
    json!({
        "recordNumber": RECORD_NUMBER, "familyName": FAMILY_NAME, "givenName": GIVEN_NAME,
        "dateOfBirth": DATE_OF_BIRTH, "notes": NOTES,
    })
}

/// Head and body of an answer.
async fn text(answer: Response) -> String {
    format!("{:?} {}", answer.headers().clone(), answer.text().await.unwrap())
}

/// Sends the planted values in every wrong way and gives what came back.
async fn provoke_errors(clinic: &Clinic, path: &str) -> String {
    let server = &clinic.server;
    let record = record();
    let mut broken = record.clone();
    broken["dateOfBirth"] = json!(format!("{FAMILY_NAME} {DATE_OF_BIRTH}"));
    broken["familyName"] = json!(format!("{FAMILY_NAME}<>"));
    let mut misplaced = record.clone();
    misplaced["notes"] = json!({ NOTES: NOTES });
    let create = || server.post("/api/patients");
    let query = format!("recordNumber={RECORD_NUMBER}&familyName={FAMILY_NAME}");
    let mut errors = String::new();
    for (request, expected) in [
        (create().json(&record), 409),
        (
            server
                .put(path)
                .header("if-match", format!("\"{RECORD_NUMBER}\""))
                .json(&record),
            412,
        ),
        (create().json(&broken), 422),
        (create().json(&misplaced), 422),
        (
            create()
                .header("content-type", "application/json")
                .body(format!("{record}{FAMILY_NAME}")),
            400,
        ),
        (create().json(&json!({ FAMILY_NAME: NOTES })), 422),
        (
            server
                .post("/api/patients/search")
                .json(&json!({"recordNumber": NOTES})),
            422,
        ),
        (server.get(&format!("/api/patients?{query}")), 422),
        (server.get(&format!("/api/patients/{FAMILY_NAME}")), 404),
        (server.get(&format!("/{FAMILY_NAME}")), 404),
        (
            server
                .get(path)
                .header("x-request-id", FAMILY_NAME)
                .header("authorization", NOTES),
            401,
        ),
        (
            server
                .post("/api/auth/login")
                .json(&json!({"email": FAMILY_NAME, "password": NOTES})),
            422,
        ),
    ] {
        let answer = request.bearer_auth(&clinic.token).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expected);
        errors.push_str(&text(answer).await);
    }
    // An error in the middle of the work: a column is gone.
    let mut superuser = clinic.deployment.connect("postgres").await;
    sqlx::query("ALTER TABLE patient RENAME COLUMN notes TO gone")
        .execute(&mut superuser)
        .await
        .unwrap();
    let request = server.put(path).header("if-match", "*").json(&record);
    let answer = request.bearer_auth(&clinic.token).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    errors.push_str(&text(answer).await);
    sqlx::query("ALTER TABLE patient RENAME COLUMN gone TO notes")
        .execute(&mut superuser)
        .await
        .unwrap();
    errors
}

#[tokio::test]
async fn planted_values_are_in_no_log_error_metric_database_log_or_dump() {
    let clinic = Clinic::open().await;
    let server = &clinic.server;
    let request = server.post("/api/patients").json(&record());
    let answer = request.bearer_auth(&clinic.token).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let path = answer.headers()["location"].to_str().unwrap().to_owned();
    for request in [
        server.get(&path),
        server.get("/api/patients"),
        server
            .post("/api/patients/search")
            .json(&json!({"recordNumber": RECORD_NUMBER})),
    ] {
        let answer = request
            .bearer_auth(&clinic.token)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        assert!(answer.contains(FAMILY_NAME) && answer.contains(NOTES), "{answer}");
    }
    let errors = provoke_errors(&clinic, &path).await;

    let phi = [
        FAMILY_NAME,
        GIVEN_NAME,
        RECORD_NUMBER,
        DATE_OF_BIRTH,
        NOTES,
        "zygomycosis",
    ];
    let keys = clinic.deployment.directory.path().join("keys");
    let keys = ["phi-kek", "blind-index", "token-signing", "audit"]
        .map(|name| std::fs::read_to_string(keys.join(name)).unwrap());
    let mut secrets: Vec<&str> = keys.iter().map(String::as_str).collect();
    secrets.extend([clinic.token.as_str(), USER_PASSWORD]);

    let log = server.output();
    assert!(
        log.contains(r#""route":"/api/patients/{id}""#),
        "the log is empty: {log}"
    );
    let dump = run(
        clinic
            .deployment
            .cluster
            .program("pg_dump", &clinic.deployment.database),
        "",
    );
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let dump = String::from_utf8(dump.stdout).unwrap();
    assert!(dump.contains("COPY public.patient "), "the dump has no patients");
    // PostgreSQL logged every statement with its parameters.
    let database_log = std::fs::read(clinic.deployment.cluster.directory.join("postgres.log")).unwrap();
    let database_log = String::from_utf8_lossy(&database_log);
    assert!(
        database_log.contains("INSERT INTO patient"),
        "PostgreSQL logged no statements"
    );
    for (place, text) in [
        ("the log", log.as_str()),
        ("the errors", &errors),
        ("the metrics", &server.metrics().await),
        ("the dump", &dump),
        ("PostgreSQL's log", &database_log),
    ] {
        assert_absent(place, text, &phi);
        assert_absent(place, text, &secrets);
    }
    // The superuser's own statements set it.
    for (place, text) in [
        ("the log", log.as_str()),
        ("the errors", &errors),
        ("the dump", &dump),
    ] {
        assert_absent(place, text, &[PASSWORD]);
    }
}

#[tokio::test]
async fn columns_of_two_patients_with_equal_values_differ() {
    let clinic = Clinic::open().await;
    clinic.admit("MRN-1").await;
    clinic.admit("MRN-2").await;
    let mut superuser = clinic.deployment.connect("postgres").await;
    let distinct: (i64, i64, i64) = sqlx::query_as(
        "SELECT count(DISTINCT family_name), count(DISTINCT date_of_birth), count(DISTINCT data_key) FROM patient",
    )
    .fetch_one(&mut superuser)
    .await
    .unwrap();
    assert_eq!(distinct, (2, 2, 2));
}
