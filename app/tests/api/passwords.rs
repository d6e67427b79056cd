//! Passwords: changed by their owner, refused when others would guess them, hashed again when the hash is weak.

use reqwest::{Response, StatusCode};
use serde_json::json;
use sqlx::Connection;
use uuid::Uuid;

use crate::deployment::{Clinic, Server, USER_PASSWORD, problem};
use crate::waiting::until;

const NEW_PASSWORD: &str = "a quite different staple of horses";

async fn change(clinic: &Clinic, current: &str, new: &str) -> Response {
    let body = json!({"current_password": current, "new_password": new});
    let request = clinic
        .server
        .post("/api/auth/password")
        .bearer_auth(&clinic.token);
    request.json(&body).send().await.unwrap()
}

async fn login(server: &Server, password: &str) -> StatusCode {
    let body = json!({"email": "ada@clinic.example.org", "password": password});
    let request = server.post("/api/auth/login").json(&body);
    request.send().await.unwrap().status()
}

async fn outcomes(clinic: &Clinic) -> Vec<String> {
    let mut superuser = clinic.deployment.connect("postgres").await;
    sqlx::query_scalar(
        "SELECT outcome FROM audit_event WHERE action = 'change_password' AND actor_id = $1 ORDER BY sequence",
    )
    .bind(clinic.doctor)
    .fetch_all(&mut superuser)
    .await
    .unwrap()
}

#[tokio::test]
async fn changing_ones_password_needs_the_old_one_and_ends_the_other_sessions() {
    let clinic = Clinic::open().await;
    let other = clinic.server.login("ada@clinic.example.org").await;
    let answer = change(&clinic, "wrong horse battery staple", NEW_PASSWORD).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(problem(answer).await["code"], "invalid_credentials");

    let answer = change(&clinic, USER_PASSWORD, NEW_PASSWORD).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    for (token, expected) in [
        (&clinic.token, StatusCode::OK),
        (&other, StatusCode::UNAUTHORIZED),
    ] {
        let request = clinic.server.get("/api/patients").bearer_auth(token);
        assert_eq!(request.send().await.unwrap().status(), expected);
    }
    assert_eq!(
        login(&clinic.server, USER_PASSWORD).await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(login(&clinic.server, NEW_PASSWORD).await, StatusCode::OK);
    assert_eq!(outcomes(&clinic).await, ["denied", "success"]);
    assert!(!clinic.server.output().contains(NEW_PASSWORD));
}

#[tokio::test]
async fn a_login_with_the_old_password_does_not_slip_past_a_change_that_is_under_way() {
    let clinic = Clinic::open().await;
    let mut owner = clinic.deployment.connect("medical_owner").await;
    let mut change = owner.begin().await.unwrap();
    sqlx::query("UPDATE app_user SET password_hash = $1")
        .bind(WEAK_HASH)
        .execute(&mut *change)
        .await
        .unwrap();
    let body = json!({"email": "ada@clinic.example.org", "password": USER_PASSWORD});
    let login = tokio::spawn(clinic.server.post("/api/auth/login").json(&body).send());
    let mut superuser = clinic.deployment.connect("postgres").await;
    until("the login to wait for the change", async || {
        sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&mut superuser)
        .await
        .ok()
        .filter(|waiting| *waiting == 1)
    })
    .await;
    change.commit().await.unwrap();
    assert_eq!(login.await.unwrap().unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_new_password_that_is_short_known_guessable_or_the_old_one_is_refused_by_name_and_never_repeated() {
    let clinic = Clinic::open().await;
    let long = "x".repeat(257);
    for (password, code) in [
        ("Sh0rt!&Complex", "too_short"),
        ("CorrectHorseBatteryStaple", "common"),
        ("clinic.example-2026", "guessable"),
        (USER_PASSWORD, "unchanged"),
        (long.as_str(), "too_long"),
    ] {
        let answer = change(&clinic, USER_PASSWORD, password).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{code}");
        let body = problem(answer).await;
        assert_eq!(body["errors"][0]["pointer"], "/new_password");
        assert_eq!(body["errors"][0]["code"], code);
        assert!(!body.to_string().contains(password));
    }
    assert_eq!(login(&clinic.server, USER_PASSWORD).await, StatusCode::OK);
}

#[tokio::test]
async fn a_user_cannot_be_made_with_a_password_from_the_blocklist() {
    let clinic = Clinic::open().await;
    let arguments = [
        "admin",
        "create-user",
        "--email",
        "eve@clinic.example.org",
        "--role",
        "clinician",
    ];
    let output = clinic.deployment.run_as_owner(&arguments, "passwordpassword");
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("break-ins") && !message.contains("passwordpassword"),
        "{message}"
    );
}

#[tokio::test]
async fn a_login_renews_a_hash_that_was_made_with_less_work() {
    let clinic = Clinic::open().await;
    // argon2id of USER_PASSWORD with 8 MiB and one pass.
    let weak = WEAK_HASH;
    let mut owner = clinic.deployment.connect("medical_owner").await;
    sqlx::query("UPDATE app_user SET password_hash = $1")
        .bind(weak)
        .execute(&mut owner)
        .await
        .unwrap();
    assert_eq!(
        login(&clinic.server, "wrong horse battery staple").await,
        StatusCode::UNAUTHORIZED
    );
    let stored = async |owner: &mut sqlx::PgConnection, user: Uuid| -> String {
        sqlx::query_scalar("SELECT password_hash FROM app_user WHERE id = $1")
            .bind(user)
            .fetch_one(owner)
            .await
            .unwrap()
    };
    assert_eq!(stored(&mut owner, clinic.doctor).await, weak);
    for _ in 0..2 {
        assert_eq!(login(&clinic.server, USER_PASSWORD).await, StatusCode::OK);
        let renewed = stored(&mut owner, clinic.doctor).await;
        assert!(
            renewed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{renewed}"
        );
    }
}

/// See its use.
const WEAK_HASH: &str =
    "$argon2id$v=19$m=8192,t=1,p=1$+UOHUdGPCrnmlUQK4nafiQ$Maq01OLuGQvQ9jf9kVj07KZEtKssTf8b9a1WhqJ9i7Y";
