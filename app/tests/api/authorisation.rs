//! Who gets in: every route, without a token, with a wrong one, and with the wrong role.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use medical_app::crypto::{KeyRing, SigningKeys, TokenAuthority};
use medical_app::domain::{Bearer, SessionId, UserId};
use reqwest::header::AUTHORIZATION;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::deployment::{Clinic, Server, patient, problem};
use crate::fhir::outcome;
use crate::sessions::session_of;

/// What anybody may call.
const PUBLIC: [&str; 11] = [
    "/.well-known/jwks.json",
    "/fhir/metadata",
    "/api/auth/login",
    "/api/auth/password-reset",
    "/api/auth/refresh",
    "/livez",
    "/readyz",
    "/startupz",
    "/health",
    "/api/health",
    "/api/health/db",
];

/// Every operation that the OpenAPI document knows and that is not public.
fn protected(server: &Server) -> Vec<(String, RequestBuilder)> {
    let document: Value = serde_json::from_str(&medical_app::http::openapi_document().unwrap()).unwrap();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        if PUBLIC.contains(&path.as_str()) {
            continue;
        }
        for method in methods.as_object().unwrap().keys() {
            let id = Uuid::from_u128(1).to_string();
            let filled = path.replace("{id}", &id).replace("{member}", &id);
            let request = server.request(
                Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(),
                &filled,
            );
            operations.push((format!("{method} {path}"), request));
        }
    }
    assert!(operations.len() >= 5, "the document lost its operations");
    operations
}

#[tokio::test]
async fn every_operation_but_the_public_ones_is_401_without_a_good_token_and_always_with_the_same_body() {
    let clinic = Clinic::open().await;
    let directory = clinic.deployment.directory.path().join("keys");
    let signing = SigningKeys::load(&directory).unwrap();
    let another = SigningKeys {
        current: KeyRing::load(&directory).unwrap().audit,
        other: None,
    };
    let issuer = "https://clinic.example.org";
    let now = jiff::Timestamp::now().as_second();
    let minute = Duration::from_mins(1);
    let ours = TokenAuthority::new(&signing, issuer, minute).unwrap();
    let other_key = TokenAuthority::new(&another, issuer, minute).unwrap();
    let other_issuer = TokenAuthority::new(&signing, "https://evil.example.org", minute).unwrap();
    let bearer = Bearer {
        user: UserId(clinic.doctor),
        session: SessionId(session_of(&clinic.token)),
    };
    let stranger = Bearer {
        user: UserId(Uuid::new_v4()),
        session: SessionId(Uuid::new_v4()),
    };
    let borrowed = Bearer {
        user: stranger.user,
        ..bearer
    };
    let unsigned = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt"}"#),
        URL_SAFE_NO_PAD.encode(json!({"sub": clinic.doctor, "exp": now + 60}).to_string())
    );
    let tokens = [
        ("no header", None),
        (
            "expired",
            Some(format!("Bearer {}", ours.issue(bearer, now - 120).unwrap())),
        ),
        (
            "not yet",
            Some(format!("Bearer {}", ours.issue(bearer, now + 60).unwrap())),
        ),
        (
            "another key",
            Some(format!("Bearer {}", other_key.issue(bearer, now).unwrap())),
        ),
        (
            "another issuer",
            Some(format!("Bearer {}", other_issuer.issue(bearer, now).unwrap())),
        ),
        (
            "an unknown user",
            Some(format!("Bearer {}", ours.issue(stranger, now).unwrap())),
        ),
        (
            "another user's session",
            Some(format!("Bearer {}", ours.issue(borrowed, now).unwrap())),
        ),
        ("unsigned", Some(format!("Bearer {unsigned}"))),
        ("another scheme", Some(format!("Basic {}", clinic.token))),
        ("no token", Some("Bearer".to_owned())),
        ("garbage", Some("Bearer ...".to_owned())),
    ];
    let mut bodies = Vec::new();
    for (name, value) in tokens {
        for (operation, request) in protected(&clinic.server) {
            let request = match &value {
                Some(value) => request.header(AUTHORIZATION, value),
                None => request,
            };
            let answer = request.send().await.unwrap();
            assert_eq!(
                answer.status(),
                StatusCode::UNAUTHORIZED,
                "{operation} with {name}"
            );
            assert_eq!(answer.headers()["www-authenticate"], "Bearer");
            if operation.contains(" /fhir/") {
                assert_eq!(outcome(answer).await.0, "unauthenticated");
                continue;
            }
            let mut body = problem(answer).await;
            body["request_id"].take();
            bodies.push(body);
        }
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test]
async fn an_administrator_reaches_no_patient_and_each_denial_is_recorded_and_counted() {
    let clinic = Clinic::open().await;
    let administrator = clinic
        .deployment
        .create_user("root@clinic.example.org", "administrator");
    let token = clinic.server.login("root@clinic.example.org").await;
    let mut operations = protected(&clinic.server);
    operations.retain(|(operation, _)| operation.contains(" /api/patients"));
    let count = operations.len();
    for (operation, request) in operations {
        let answer = request.bearer_auth(&token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{operation}");
        assert_eq!(problem(answer).await["code"], "forbidden");
    }
    let mut superuser = clinic.deployment.connect("postgres").await;
    let recorded: i64 =
        sqlx::query_scalar("SELECT count(*) FROM audit_event WHERE actor_id = $1 AND outcome = 'denied'")
            .bind(administrator)
            .fetch_one(&mut superuser)
            .await
            .unwrap();
    assert_eq!(usize::try_from(recorded).unwrap(), count);
    let metrics = clinic.server.metrics().await;
    assert!(
        metrics.contains(r#"authz_denied_total{action="create",resource="patient"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_role_that_changes_holds_from_the_next_request_whatever_the_token_says() {
    let clinic = Clinic::open().await;
    let mut owner = clinic.deployment.connect("medical_owner").await;
    sqlx::query("UPDATE app_user SET role = 'administrator'")
        .execute(&mut owner)
        .await
        .unwrap();
    let answer = clinic
        .server
        .post("/api/patients")
        .bearer_auth(&clinic.token)
        .json(&patient("MRN-1"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn two_authorization_headers_are_refused() {
    let clinic = Clinic::open().await;
    let answer = clinic
        .server
        .get("/api/patients")
        .header(AUTHORIZATION, format!("Bearer {}", clinic.token))
        .header(AUTHORIZATION, "Bearer other")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}
