//! Proof of identity.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::deployment::{Clinic, Server, USER_PASSWORD, problem};

#[tokio::test]
async fn the_right_password_gives_a_bearer_token_and_the_user_without_any_hash() {
    let clinic = Clinic::open().await;
    let answer = clinic
        .server
        .post("/api/auth/login")
        .json(&json!({"email": " ADA@clinic.example.org ", "password": USER_PASSWORD}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 900);
    assert_eq!(
        body["user"],
        json!({"id": clinic.doctor, "display_name": "Synthetic User", "role": "doctor"})
    );
    assert!(!body.to_string().contains("argon2"));
}

#[tokio::test]
async fn a_wrong_password_an_unknown_user_and_an_inactive_user_get_the_same_answer() {
    let clinic = Clinic::open().await;
    clinic
        .deployment
        .create_user("gone@clinic.example.org", "clinician");
    let mut owner = clinic.deployment.connect("medical_owner").await;
    sqlx::query("UPDATE app_user SET active = false WHERE email = 'gone@clinic.example.org'")
        .execute(&mut owner)
        .await
        .unwrap();
    let mut bodies = Vec::new();
    for (email, password) in [
        ("ada@clinic.example.org", "wrong horse battery staple"),
        ("nobody@clinic.example.org", USER_PASSWORD),
        ("gone@clinic.example.org", USER_PASSWORD),
    ] {
        let answer = clinic
            .server
            .post("/api/auth/login")
            .json(&json!({"email": email, "password": password}))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        let mut body = problem(answer).await;
        assert_eq!(body["code"], "invalid_credentials");
        body["request_id"].take();
        bodies.push(body);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
}

#[tokio::test]
async fn guessing_is_slowed_down_with_429_and_retry_after_and_other_accounts_are_not_affected() {
    let clinic = Clinic::open().await;
    clinic
        .deployment
        .create_user("grace@clinic.example.org", "clinician");
    let attempt = async |email: &str| {
        let body = json!({"email": email, "password": "wrong horse battery staple"});
        clinic
            .server
            .post("/api/auth/login")
            .json(&body)
            .send()
            .await
            .unwrap()
    };
    for _ in 0..5 {
        assert_eq!(
            attempt("ada@clinic.example.org").await.status(),
            StatusCode::UNAUTHORIZED
        );
    }
    let refused = attempt("ada@clinic.example.org").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let seconds: u64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=12).contains(&seconds), "{seconds}");
    assert_eq!(problem(refused).await["code"], "too_many_requests");
    clinic.server.login("grace@clinic.example.org").await;
    let metrics = clinic.server.metrics().await;
    assert!(
        metrics.contains(r#"auth_logins_total{outcome="failure"} 5"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(r#"auth_logins_total{outcome="throttled"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn after_many_failures_an_account_waits_on_every_replica_known_or_not_and_never_for_good() {
    let clinic = Clinic::open().await;
    let other = clinic.deployment.serve().await;
    let attempt = async |server: &Server, email: &str, password: &str| {
        let body = json!({"email": email, "password": password});
        let request = server.post("/api/auth/login").json(&body);
        request.send().await.unwrap()
    };
    let wrong = "wrong horse battery staple";
    let mut owner = clinic.deployment.connect("medical_owner").await;
    let (known, unknown) = ("ada@clinic.example.org", "nobody@clinic.example.org");
    let mut answers = Vec::new();
    for email in [known, unknown] {
        assert_eq!(
            attempt(&clinic.server, email, wrong).await.status(),
            StatusCode::UNAUTHORIZED
        );
        sqlx::query("UPDATE login_attempt SET failures = 9")
            .execute(&mut owner)
            .await
            .unwrap();
        assert_eq!(
            attempt(&clinic.server, email, wrong).await.status(),
            StatusCode::UNAUTHORIZED
        );
        let refused = attempt(&other, email, USER_PASSWORD).await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        let seconds: u64 = refused.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((300..=384).contains(&seconds), "{seconds}");
        let mut body = problem(refused).await;
        body["request_id"].take();
        answers.push(body);
    }
    assert_eq!(answers[0], answers[1]);
    // Whoever is in stays in.
    let request = clinic.server.get("/api/patients").bearer_auth(&clinic.token);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);

    let longest: bool = sqlx::query_scalar("SELECT attempt_delay(1000000) = interval '15 minutes'")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert!(longest);
    sqlx::query("UPDATE login_attempt SET blocked_until = now()")
        .execute(&mut owner)
        .await
        .unwrap();
    assert_eq!(
        attempt(&other, known, USER_PASSWORD).await.status(),
        StatusCode::OK
    );
    let remembered: i64 = sqlx::query_scalar("SELECT count(*) FROM login_attempt")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(remembered, 1);
}

#[tokio::test]
async fn a_user_who_is_deactivated_loses_access_with_the_next_request() {
    let clinic = Clinic::open().await;
    let list = async || {
        clinic
            .server
            .get("/api/patients")
            .bearer_auth(&clinic.token)
            .send()
            .await
            .unwrap()
            .status()
    };
    assert_eq!(list().await, StatusCode::OK);
    let mut owner = clinic.deployment.connect("medical_owner").await;
    sqlx::query("UPDATE app_user SET active = false")
        .execute(&mut owner)
        .await
        .unwrap();
    assert_eq!(list().await, StatusCode::UNAUTHORIZED);
}
