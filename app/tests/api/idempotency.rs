//! Creations that are asked for twice and done once.

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use sqlx::Connection;

use crate::deployment::{Clinic, patient, problem};
use crate::waiting::until;

const KEY: &str = "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"";

async fn admit(clinic: &Clinic, token: &str, key: &str, body: &Value) -> Response {
    clinic
        .server
        .post("/api/patients")
        .bearer_auth(token)
        .header("idempotency-key", key)
        .json(body)
        .send()
        .await
        .unwrap()
}

async fn patients(clinic: &Clinic) -> i64 {
    let mut superuser = clinic.deployment.connect("postgres").await;
    sqlx::query_scalar("SELECT count(*) FROM patient")
        .fetch_one(&mut superuser)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_same_request_with_the_same_key_is_done_once_and_answered_alike() {
    let clinic = Clinic::open().await;
    let first = admit(&clinic, &clinic.token, KEY, &patient("MRN-1")).await;
    assert_eq!(first.status(), StatusCode::CREATED);
    let location = first.headers()["location"].clone();
    let created: Value = first.json().await.unwrap();
    for _ in 0..3 {
        let again = admit(&clinic, &clinic.token, KEY, &patient("MRN-1")).await;
        assert_eq!(again.status(), StatusCode::CREATED);
        assert_eq!(again.headers()["location"], location);
        assert_eq!(again.headers()["etag"], "\"1\"");
        assert_eq!(again.json::<Value>().await.unwrap(), created);
    }
    assert_eq!(patients(&clinic).await, 1);
    let mut superuser = clinic.deployment.connect("postgres").await;
    let actions: Vec<String> = sqlx::query_scalar(
        "SELECT action FROM audit_event WHERE resource = 'patient' AND outcome = 'success' ORDER BY sequence",
    )
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    assert_eq!(actions, ["create", "read", "read", "read"]);
}

#[tokio::test]
async fn a_key_with_another_body_is_422_and_with_another_user_a_key_of_their_own() {
    let clinic = Clinic::open().await;
    clinic
        .deployment
        .create_user("grace@clinic.example.org", "clinician");
    let grace = clinic.server.login("grace@clinic.example.org").await;
    let first = admit(&clinic, &clinic.token, KEY, &patient("MRN-1")).await;
    assert_eq!(first.status(), StatusCode::CREATED);
    let other = admit(&clinic, &clinic.token, KEY, &patient("MRN-2")).await;
    assert_eq!(other.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem(other).await["code"], "idempotency_key_reused");
    let hers = admit(&clinic, &grace, KEY, &patient("MRN-3")).await;
    assert_eq!(hers.status(), StatusCode::CREATED);
    assert_eq!(patients(&clinic).await, 2);
}

#[tokio::test]
async fn a_creation_that_failed_does_not_use_up_its_key() {
    let clinic = Clinic::open().await;
    clinic.admit("MRN-1").await;
    let taken = admit(&clinic, &clinic.token, KEY, &patient("MRN-1")).await;
    assert_eq!(taken.status(), StatusCode::CONFLICT);
    assert_eq!(problem(taken).await["code"], "record_number_taken");
    let corrected = admit(&clinic, &clinic.token, KEY, &patient("MRN-2")).await;
    assert_eq!(corrected.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn while_the_first_request_is_being_answered_the_second_is_409() {
    let clinic = Clinic::open().await;
    // The first waits for the table.
    let mut superuser = clinic.deployment.connect("postgres").await;
    let mut observer = clinic.deployment.connect("postgres").await;
    let mut transaction = superuser.begin().await.unwrap();
    sqlx::query("LOCK TABLE patient IN SHARE MODE")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let body = patient("MRN-1");
    let (first, second) = tokio::join!(admit(&clinic, &clinic.token, KEY, &body), async {
        until("the first to wait", async || {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND usename = 'medical_app' AND wait_event_type = 'Lock'",
            )
            .fetch_one(&mut observer)
            .await
            .unwrap();
            (waiting > 0).then_some(())
        })
        .await;
        let second = admit(&clinic, &clinic.token, KEY, &body).await;
        transaction.rollback().await.unwrap();
        second
    });
    assert_eq!(second.status(), StatusCode::CONFLICT);
    assert_eq!(problem(second).await["code"], "request_in_progress");
    assert_eq!(first.status(), StatusCode::CREATED);
    assert_eq!(patients(&clinic).await, 1);
}

#[tokio::test]
async fn after_24_hours_a_key_is_free_again_and_it_is_stored_as_a_keyed_hash() {
    let clinic = Clinic::open().await;
    admit(&clinic, &clinic.token, KEY, &patient("MRN-1")).await;
    let mut superuser = clinic.deployment.connect("postgres").await;
    let stored: String = sqlx::query_scalar("SELECT row_to_json(k)::text FROM idempotency_key AS k")
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    for planted in ["8e03978e", "MRN-1"] {
        assert!(!stored.contains(planted), "{stored}");
    }
    let age = async |superuser: &mut sqlx::PgConnection, text: &str| {
        sqlx::query("UPDATE idempotency_key SET created_at = now() - $1::text::interval")
            .bind(text)
            .execute(superuser)
            .await
            .unwrap();
    };
    age(&mut superuser, "23 hours 59 minutes").await;
    let used = admit(&clinic, &clinic.token, KEY, &patient("MRN-2")).await;
    assert_eq!(used.status(), StatusCode::UNPROCESSABLE_ENTITY);
    age(&mut superuser, "24 hours 1 minute").await;
    let free = admit(&clinic, &clinic.token, KEY, &patient("MRN-2")).await;
    assert_eq!(free.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn a_key_of_another_form_is_refused_with_its_name_and_stores_nothing() {
    let clinic = Clinic::open().await;
    for key in ["", "\"planted", "two words", &"a".repeat(256)] {
        let answer = admit(&clinic, &clinic.token, key, &patient("MRN-1")).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{key}");
        let body = problem(answer).await;
        assert_eq!(body["errors"][0]["pointer"], json!("Idempotency-Key"));
        assert!(!body.to_string().contains("planted"));
    }
    assert_eq!(patients(&clinic).await, 0);
}
