//! The second factor: one-time passwords that are good once, recovery codes, and roles that can do nothing without.

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use totp_rs::{Builder, Secret};

use crate::deployment::{Clinic, Server, USER_PASSWORD, problem, run};

const ADA: &str = "ada@clinic.example.org";

async fn post(server: &Server, path: &str, token: &str, body: Value) -> Response {
    let request = server.post(path).bearer_auth(token);
    request.json(&body).send().await.unwrap()
}

/// The code of an authenticator app so many seconds from now.
pub(crate) fn code(secret: &str, seconds: u64) -> String {
    let secret = Secret::try_from_base32(secret).unwrap();
    let totp = Builder::new().with_secret(secret).build().unwrap();
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap();
    totp.generate(now + seconds).to_string()
}

/// Enrols an authenticator app; gives its secret and the recovery codes.
pub(crate) async fn enrol(server: &Server, token: &str) -> (String, Vec<String>) {
    let proof = json!({"password": USER_PASSWORD});
    let answer = post(server, "/api/auth/totp", token, proof).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let enrolment: Value = answer.json().await.unwrap();
    let secret = enrolment["secret"].as_str().unwrap().to_owned();
    assert!(enrolment["uri"].as_str().unwrap().contains(&secret));
    let body = json!({"code": code(&secret, 0)});
    let answer = post(server, "/api/auth/totp/confirm", token, body).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let body: Value = answer.json().await.unwrap();
    let codes = serde_json::from_value(body["recovery_codes"].clone()).unwrap();
    (secret, codes)
}

pub(crate) async fn login(server: &Server, code: Option<&str>) -> Response {
    let mut body = json!({"email": ADA, "password": USER_PASSWORD});
    if let Some(code) = code {
        body["code"] = json!(code);
    }
    server.post("/api/auth/login").json(&body).send().await.unwrap()
}

async fn assert_code(answer: Response, status: StatusCode, code: &str) {
    assert_eq!(answer.status(), status);
    assert_eq!(problem(answer).await["code"], code);
}

#[tokio::test]
async fn with_a_second_factor_the_password_alone_is_not_enough_and_no_code_is_good_twice() {
    let clinic = Clinic::open().await;
    let server = &clinic.server;
    let (secret, recovery) = enrol(server, &clinic.token).await;
    assert_eq!(recovery.len(), 10);
    let unauthorized = StatusCode::UNAUTHORIZED;
    assert_code(login(server, None).await, unauthorized, "second_factor_required").await;
    // The code that confirmed the enrolment was used with it.
    let used = login(server, Some(&code(&secret, 0))).await;
    assert_code(used, unauthorized, "invalid_credentials").await;

    let next = code(&secret, 30);
    let answer = login(server, Some(&next)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["second_factor"], "verified");
    let again = login(server, Some(&next)).await;
    assert_code(again, unauthorized, "invalid_credentials").await;

    let typed = recovery[3].to_lowercase();
    assert_eq!(login(server, Some(&typed)).await.status(), StatusCode::OK);
    let again = login(server, Some(&typed)).await;
    assert_code(again, unauthorized, "invalid_credentials").await;

    let mut superuser = clinic.deployment.connect("postgres").await;
    let actions: Vec<String> = sqlx::query_scalar(
        "SELECT action FROM audit_event WHERE actor_id = $1 AND resource = 'user' AND outcome = 'success'
         ORDER BY sequence",
    )
    .bind(clinic.doctor)
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    assert_eq!(actions, ["enrol_second_factor", "confirm_second_factor"]);
}

#[tokio::test]
async fn a_wrong_password_enrols_nothing_and_a_wrong_code_confirms_nothing() {
    let clinic = Clinic::open().await;
    let server = &clinic.server;
    let unauthorized = StatusCode::UNAUTHORIZED;
    let proof = json!({"password": "wrong horse battery staple"});
    let answer = post(server, "/api/auth/totp", &clinic.token, proof).await;
    assert_code(answer, unauthorized, "invalid_credentials").await;
    let body = json!({"code": "000000"});
    let answer = post(server, "/api/auth/totp/confirm", &clinic.token, body).await;
    assert_code(answer, unauthorized, "invalid_credentials").await;

    let proof = json!({"password": USER_PASSWORD});
    let answer = post(server, "/api/auth/totp", &clinic.token, proof).await;
    let secret: Value = answer.json().await.unwrap();
    let late = code(secret["secret"].as_str().unwrap(), 300);
    let body = json!({"code": late});
    let answer = post(server, "/api/auth/totp/confirm", &clinic.token, body).await;
    assert_code(answer, unauthorized, "invalid_credentials").await;
    assert_eq!(login(server, None).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_confirmed_second_factor_is_not_replaced_ends_other_sessions_and_goes_with_the_password() {
    let clinic = Clinic::open().await;
    let server = &clinic.server;
    let other = server.login(ADA).await;
    enrol(server, &clinic.token).await;
    let request = server.get("/api/patients").bearer_auth(&other);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);

    let proof = json!({"password": USER_PASSWORD});
    let answer = post(server, "/api/auth/totp", &clinic.token, proof.clone()).await;
    assert_code(answer, StatusCode::CONFLICT, "second_factor_exists").await;
    let wrong = json!({"password": "wrong horse battery staple"});
    let answer = post(server, "/api/auth/totp/remove", &clinic.token, wrong).await;
    assert_code(answer, StatusCode::UNAUTHORIZED, "invalid_credentials").await;
    let answer = post(server, "/api/auth/totp/remove", &clinic.token, proof).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    let answer = login(server, None).await;
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["second_factor"], "absent");
}

#[tokio::test]
async fn an_administrator_can_do_nothing_but_enrol_until_a_second_factor_is_confirmed() {
    let clinic = Clinic::open().await;
    let server = &clinic.server;
    clinic
        .deployment
        .create_user("root@clinic.example.org", "administrator");
    let body = json!({"email": "root@clinic.example.org", "password": USER_PASSWORD});
    let answer = server.post("/api/auth/login").json(&body).send().await.unwrap();
    let granted: Value = answer.json().await.unwrap();
    assert_eq!(granted["second_factor"], "enrolment_required");
    let token = granted["access_token"].as_str().unwrap();
    let list = async || {
        let request = server.get("/api/patients").bearer_auth(token);
        request.send().await.unwrap()
    };
    let forbidden = StatusCode::FORBIDDEN;
    assert_code(list().await, forbidden, "second_factor_enrolment_required").await;
    let request = server.post("/api/patients").bearer_auth(token);
    let answer = request.send().await.unwrap();
    assert_code(answer, forbidden, "second_factor_enrolment_required").await;
    enrol(server, token).await;
    // Now it is the role that decides: an administrator sees no patient.
    assert_code(list().await, forbidden, "forbidden").await;

    let body = json!({"refresh_token": granted["refresh_token"]});
    let answer = server.post("/api/auth/refresh").json(&body).send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["second_factor"], "verified");
}

#[tokio::test]
async fn secrets_and_recovery_codes_are_in_no_dump_and_no_log() {
    let clinic = Clinic::open().await;
    let (secret, recovery) = enrol(&clinic.server, &clinic.token).await;
    let dump = run(
        clinic
            .deployment
            .cluster
            .program("pg_dump", &clinic.deployment.database),
        "",
    );
    let dump = String::from_utf8(dump.stdout).unwrap();
    assert!(dump.contains("COPY public.user_totp "), "the dump has no secrets");
    let database_log = std::fs::read(clinic.deployment.cluster.directory.join("postgres.log")).unwrap();
    let database_log = String::from_utf8_lossy(&database_log).into_owned();
    for text in [dump, database_log, clinic.server.output()] {
        for planted in [&secret, &recovery[0], &recovery[0].replace('-', "")] {
            assert!(!text.contains(planted.as_str()));
        }
    }
}
