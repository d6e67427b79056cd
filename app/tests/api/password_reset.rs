//! One-time tokens for a new password, made on the command line by whoever runs the database.

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::deployment::{Clinic, USER_PASSWORD, problem, run};
use crate::second_factor::enrol;

const NEW_PASSWORD: &str = "a quite different staple of horses";
const ARGUMENTS: [&str; 4] = ["admin", "reset-password", "--email", "ada@clinic.example.org"];

/// Makes a token as the owner does.
fn token(clinic: &Clinic, more: &[&str]) -> String {
    let output = clinic
        .deployment
        .run_as_owner(&[&ARGUMENTS[..], more].concat(), "");
    assert!(output.status.success(), "{output:?}");
    let token = String::from_utf8(output.stdout).unwrap();
    let token = token.lines().last().unwrap().to_owned();
    assert_eq!(token.len(), 43);
    token
}

async fn redeem(clinic: &Clinic, token: &str, password: &str) -> Response {
    let body = json!({"token": token, "new_password": password});
    let request = clinic.server.post("/api/auth/password-reset").json(&body);
    request.send().await.unwrap()
}

async fn login(clinic: &Clinic, password: &str) -> Response {
    let body = json!({"email": "ada@clinic.example.org", "password": password});
    let request = clinic.server.post("/api/auth/login").json(&body);
    request.send().await.unwrap()
}

async fn assert_refused(answer: Response) {
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(problem(answer).await["code"], "invalid_reset_token");
}

#[tokio::test]
async fn a_token_sets_a_new_password_once_and_ends_every_session() {
    let clinic = Clinic::open().await;
    let token = token(&clinic, &[]);
    // A password that is refused does not use it up.
    let answer = redeem(&clinic, &token, "passwordpassword").await;
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem(answer).await["errors"][0]["code"], "common");

    let (first, second) = tokio::join!(
        redeem(&clinic, &token, NEW_PASSWORD),
        redeem(&clinic, &token, NEW_PASSWORD)
    );
    let mut statuses = [first.status(), second.status()];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::NO_CONTENT, StatusCode::UNAUTHORIZED]);
    assert_refused(redeem(&clinic, &token, NEW_PASSWORD).await).await;

    let request = clinic.server.get("/api/patients").bearer_auth(&clinic.token);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        login(&clinic, USER_PASSWORD).await.status(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(login(&clinic, NEW_PASSWORD).await.status(), StatusCode::OK);

    let mut superuser = clinic.deployment.connect("postgres").await;
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT action, outcome FROM audit_event WHERE action IN ('issue_reset', 'reset_password')
           AND resource_ids = ARRAY[$1] AND outcome = 'success' ORDER BY sequence",
    )
    .bind(clinic.doctor)
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    let actions: Vec<_> = rows.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions, ["issue_reset", "reset_password"]);
    let stored: String =
        sqlx::query_scalar("SELECT string_agg(password_reset::text, ' ') FROM password_reset")
            .fetch_one(&mut superuser)
            .await
            .unwrap();
    assert!(!stored.contains(&token));
}

#[tokio::test]
async fn an_expired_a_replaced_and_an_unknown_token_set_nothing() {
    let clinic = Clinic::open().await;
    let replaced = token(&clinic, &[]);
    let expired = token(&clinic, &[]);
    let mut owner = clinic.deployment.connect("medical_owner").await;
    sqlx::query("UPDATE password_reset SET expires_at = now()")
        .execute(&mut owner)
        .await
        .unwrap();
    for token in [replaced.as_str(), &expired, "unknown"] {
        assert_refused(redeem(&clinic, token, NEW_PASSWORD).await).await;
    }
    assert_eq!(login(&clinic, USER_PASSWORD).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_second_factor_stays_in_force_unless_it_is_given_up_with_the_token() {
    let clinic = Clinic::open().await;
    enrol(&clinic.server, &clinic.token).await;
    let plain = token(&clinic, &[]);
    assert_eq!(
        redeem(&clinic, &plain, NEW_PASSWORD).await.status(),
        StatusCode::NO_CONTENT
    );
    let answer = login(&clinic, NEW_PASSWORD).await;
    assert_eq!(problem(answer).await["code"], "second_factor_required");
    token(&clinic, &["--remove-second-factor"]);
    let answer = login(&clinic, NEW_PASSWORD).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["second_factor"], "absent");
}

#[tokio::test]
async fn nobody_but_the_owner_of_the_database_makes_tokens_and_only_for_users_that_are_there() {
    let clinic = Clinic::open().await;
    let output = run(clinic.deployment.command(&ARGUMENTS), "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let unknown = ["admin", "reset-password", "--email", "nobody@clinic.example.org"];
    let output = clinic.deployment.run_as_owner(&unknown, "");
    assert_eq!(output.status.code(), Some(1));
}
