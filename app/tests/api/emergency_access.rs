//! Emergency access: for a reason, for a short time, loudly, and looked at by somebody else.

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::deployment::{Clinic, Person, patient, problem};
use crate::second_factor;

const REASON: &str = "planted reason: unconscious in the emergency room";

async fn break_glass(clinic: &Clinic, patient: &str, person: &Person, body: &Value) -> Response {
    let path = format!("/api/patients/{patient}/emergency-access");
    let request = clinic.server.post(&path).bearer_auth(&person.token).json(body);
    request.send().await.unwrap()
}

async fn read(clinic: &Clinic, patient: &str, person: &Person) -> Response {
    let request = clinic.server.get(&format!("/api/patients/{patient}"));
    request.bearer_auth(&person.token).send().await.unwrap()
}

async fn outcomes(superuser: &mut PgConnection, person: &Person) -> Vec<(String, String)> {
    sqlx::query_as(
        "SELECT action, outcome FROM audit_event WHERE actor_id = $1 AND resource <> 'session' ORDER BY sequence",
    )
    .bind(person.id)
    .fetch_all(superuser)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_patient_out_of_care_is_reached_for_a_reason_until_the_databases_clock_says_no() {
    let clinic = Clinic::open().await;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    let mut superuser = clinic.deployment.connect("postgres").await;
    let radiologist = clinic.employ("radiologist").await;
    assert_eq!(
        read(&clinic, &id, &radiologist).await.status(),
        StatusCode::NOT_FOUND
    );

    let before = jiff::Timestamp::now();
    let answer = break_glass(&clinic, &id, &radiologist, &json!({"reason": REASON})).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let granted: Value = answer.json().await.unwrap();
    let expires: jiff::Timestamp = granted["expiresAt"].as_str().unwrap().parse().unwrap();
    let minutes = (expires - before).total(jiff::Unit::Minute).unwrap();
    assert!((14.0..16.0).contains(&minutes), "{minutes}");

    let answer = read(&clinic, &id, &radiologist).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let seen: Value = answer.json().await.unwrap();
    assert_eq!(seen["notes"], patient("MRN-1")["notes"]);

    sqlx::query(
        "UPDATE emergency_access SET granted_at = granted_at - interval '20 minutes',
                                     expires_at = expires_at - interval '20 minutes'",
    )
    .execute(&mut superuser)
    .await
    .unwrap();
    assert_eq!(
        read(&clinic, &id, &radiologist).await.status(),
        StatusCode::NOT_FOUND
    );
    let expected = [
        ("read", "not_found"),
        ("break_glass", "success"),
        ("read", "emergency"),
        ("read", "not_found"),
    ];
    assert_eq!(
        outcomes(&mut superuser, &radiologist).await,
        expected.map(|(action, outcome)| (action.to_owned(), outcome.to_owned()))
    );
    let metrics = clinic.server.metrics().await;
    assert!(metrics.contains("emergency_accesses_total 1"), "{metrics}");
    assert!(clinic.server.output().contains("emergency access to a patient"));
    let stored: String = sqlx::query_scalar("SELECT encode(reason, 'escape') FROM emergency_access")
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    assert!(!stored.contains("planted") && !clinic.server.output().contains("planted"));
}

#[tokio::test]
async fn an_emergency_shows_a_patient_and_lets_nobody_change_one() {
    let clinic = Clinic::open().await;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    let doctor = clinic.employ("doctor").await;
    let body = json!({"reason": REASON, "minutes": 60});
    assert_eq!(
        break_glass(&clinic, &id, &doctor, &body).await.status(),
        StatusCode::CREATED
    );
    let path = format!("/api/patients/{id}");
    let change = clinic
        .server
        .put(&path)
        .header("if-match", "*")
        .json(&patient("MRN-1"));
    let team = clinic.server.put(&format!("{path}/care-team/{}", doctor.id));
    for request in [change, team] {
        let answer = request.bearer_auth(&doctor.token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn an_emergency_without_a_reason_or_with_too_much_time_is_refused_by_field() {
    let clinic = Clinic::open().await;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    let nurse = clinic.employ("nurse").await;
    for (body, pointer, code) in [
        (json!({}), "/reason", "required"),
        (json!({"reason": ""}), "/reason", "required"),
        (json!({"reason": "planted"}), "/reason", "too_short"),
        (
            json!({"reason": REASON, "minutes": 61}),
            "/minutes",
            "out_of_range",
        ),
        (
            json!({"reason": REASON, "minutes": 0}),
            "/minutes",
            "out_of_range",
        ),
        (
            json!({"reason": REASON, "minutes": "planted"}),
            "/minutes",
            "wrong_type",
        ),
    ] {
        let answer = break_glass(&clinic, &id, &nurse, &body).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        let refusal = problem(answer).await;
        assert_eq!(refusal["errors"][0]["pointer"], pointer, "{refusal}");
        assert_eq!(refusal["errors"][0]["code"], code, "{refusal}");
        assert!(!refusal.to_string().contains("planted"), "{refusal}");
    }
    let nobody = Uuid::new_v4().to_string();
    let answer = break_glass(&clinic, &nobody, &nurse, &json!({"reason": REASON})).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(read(&clinic, &id, &nurse).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn somebody_else_reviews_the_reason_once_and_nobody_their_own() {
    let clinic = Clinic::open().await;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    let doctor = clinic.employ("doctor").await;
    let auditor = clinic.employ("auditor").await;
    let granted: Value = break_glass(&clinic, &id, &doctor, &json!({"reason": REASON}))
        .await
        .json()
        .await
        .unwrap();
    let access = granted["id"].as_str().unwrap();
    let review = async |person: &Person, verdict: Value| {
        let path = format!("/api/emergency-access/{access}/review");
        let request = clinic.server.post(&path).bearer_auth(&person.token);
        request.json(&json!({"verdict": verdict})).send().await.unwrap()
    };
    let open = async |person: &Person| -> Value {
        let request = clinic
            .server
            .get("/api/emergency-access")
            .bearer_auth(&person.token);
        request.send().await.unwrap().json().await.unwrap()
    };

    let listed = open(&auditor).await["items"][0].clone();
    assert_eq!(
        [
            &listed["id"],
            &listed["userId"],
            &listed["patientId"],
            &listed["reason"]
        ],
        [&json!(access), &json!(doctor.id), &json!(id), &json!(REASON)]
    );

    // The doctor becomes an administrator, who may review; but not this.
    let mut superuser = clinic.deployment.connect("postgres").await;
    sqlx::query("UPDATE app_user SET access_role = 'administrator' WHERE id = $1")
        .bind(doctor.id)
        .execute(&mut superuser)
        .await
        .unwrap();
    second_factor::enrol(&clinic.server, &doctor.token).await;
    let own = review(&doctor, json!("justified")).await;
    assert_eq!(own.status(), StatusCode::FORBIDDEN);
    assert_eq!(problem(own).await["code"], "another_person_needed");

    let wrong = review(&auditor, json!("planted")).await;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem(wrong).await["errors"][0]["pointer"], "/verdict");
    assert_eq!(
        review(&auditor, json!("unjustified")).await.status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(open(&auditor).await, json!({"items": []}));
    let again = review(&auditor, json!("justified")).await;
    assert_eq!(again.status(), StatusCode::CONFLICT);
    assert_eq!(problem(again).await["code"], "reviewed_already");

    let verdict: String = sqlx::query_scalar("SELECT verdict FROM emergency_access WHERE reviewed_by = $1")
        .bind(auditor.id)
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    assert_eq!(verdict, "unjustified");
    let recorded = outcomes(&mut superuser, &auditor).await;
    assert!(
        recorded.contains(&("review".to_owned(), "success".to_owned())),
        "{recorded:?}"
    );
}
