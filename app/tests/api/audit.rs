//! The audit log: a row for each access, in the access's own transaction, and no way to change one.

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, FromRow, PgConnection};
use uuid::Uuid;

use crate::deployment::{Clinic, patient, problem};
use crate::waiting::until;

#[derive(Debug, FromRow, PartialEq)]
struct Row {
    actor_id: Option<Uuid>,
    action: String,
    resource_ids: Vec<Uuid>,
    outcome: String,
}

async fn rows(superuser: &mut PgConnection, request_id: &str) -> Vec<Row> {
    sqlx::query_as(
        "SELECT actor_id, action, resource_ids, outcome FROM audit_event
         WHERE request_id = $1::uuid AND occurred_at <= clock_timestamp() ORDER BY sequence",
    )
    .bind(request_id)
    .fetch_all(superuser)
    .await
    .unwrap()
}

#[tokio::test]
async fn every_access_and_every_refusal_leaves_exactly_one_row_with_who_what_which_and_how() {
    let clinic = Clinic::open().await;
    let mut superuser = clinic.deployment.connect("postgres").await;
    let first = clinic.admit("MRN-1").await["id"]
        .as_str()
        .unwrap()
        .parse::<Uuid>()
        .unwrap();
    let second = clinic.admit("MRN-2").await["id"]
        .as_str()
        .unwrap()
        .parse::<Uuid>()
        .unwrap();
    let nobody = Uuid::new_v4();
    let server = &clinic.server;
    let put = |id: Uuid| server.put(&format!("/api/patients/{id}"));
    let search = |number: &str| {
        server
            .post("/api/patients/search")
            .json(&json!({"recordNumber": number}))
    };
    let cases = [
        (
            server.get(&format!("/api/patients/{first}")),
            "read",
            vec![first],
            "success",
        ),
        (
            server.get(&format!("/api/patients/{nobody}")),
            "read",
            vec![nobody],
            "not_found",
        ),
        (
            server.get("/api/patients?limit=1"),
            "list",
            vec![first],
            "success",
        ),
        (
            server.get("/api/patients"),
            "list",
            vec![first, second],
            "success",
        ),
        (search("MRN-2"), "search", vec![second], "success"),
        (search("MRN-3"), "search", vec![], "success"),
        (
            put(first).header("if-match", "\"1\"").json(&patient("MRN-1")),
            "update",
            vec![first],
            "success",
        ),
        (
            put(first).header("if-match", "\"1\"").json(&patient("MRN-1")),
            "update",
            vec![first],
            "stale",
        ),
        (put(first).json(&patient("MRN-1")), "update", vec![first], "stale"),
        (
            put(first).header("if-match", "\"2\"").json(&patient("MRN-2")),
            "update",
            vec![first],
            "conflict",
        ),
        (
            put(nobody).header("if-match", "*").json(&patient("MRN-1")),
            "update",
            vec![nobody],
            "not_found",
        ),
    ];
    for (request, action, resource_ids, outcome) in cases {
        let answer = request.bearer_auth(&clinic.token).send().await.unwrap();
        let request_id = answer.headers()["x-request-id"].to_str().unwrap();
        let expected = Row {
            actor_id: Some(clinic.doctor),
            action: action.to_owned(),
            resource_ids,
            outcome: outcome.to_owned(),
        };
        assert_eq!(rows(&mut superuser, request_id).await, [expected]);
    }

    let answer = server
        .post("/api/patients")
        .bearer_auth(&clinic.token)
        .json(&patient("MRN-2"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    let row = rows(&mut superuser, answer.headers()["x-request-id"].to_str().unwrap())
        .await
        .pop()
        .unwrap();
    assert_eq!(
        (row.action.as_str(), row.outcome.as_str()),
        ("create", "conflict")
    );
}

#[tokio::test]
async fn logins_are_recorded_with_their_outcome_and_without_the_address_that_was_tried() {
    let clinic = Clinic::open().await;
    let mut superuser = clinic.deployment.connect("postgres").await;
    for (email, actor) in [
        ("ada@clinic.example.org", Some(clinic.doctor)),
        ("nobody@clinic.example.org", None),
    ] {
        let body = json!({"email": email, "password": "wrong horse battery staple"});
        let answer = clinic
            .server
            .post("/api/auth/login")
            .json(&body)
            .send()
            .await
            .unwrap();
        let request_id = answer.headers()["x-request-id"].to_str().unwrap();
        let expected = Row {
            actor_id: actor,
            action: "login".to_owned(),
            resource_ids: vec![],
            outcome: "denied".to_owned(),
        };
        assert_eq!(rows(&mut superuser, request_id).await, [expected]);
    }
    let text: Option<String> =
        sqlx::query_scalar("SELECT string_agg(audit_event::text, ' ') FROM audit_event")
            .fetch_one(&mut superuser)
            .await
            .unwrap();
    assert!(!text.unwrap().contains("example.org"));
}

#[tokio::test]
async fn no_row_of_the_log_can_be_changed_or_removed_by_the_serving_role_or_the_owner() {
    let clinic = Clinic::open().await;
    let mut superuser = clinic.deployment.connect("postgres").await;
    let partition: String = sqlx::query_scalar("SELECT tableoid::regclass::text FROM audit_event LIMIT 1")
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    until("a sealed row", async || {
        let sealed: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_link")
            .fetch_one(&mut superuser)
            .await
            .unwrap();
        (sealed > 0).then_some(())
    })
    .await;
    for role in ["medical_app", "medical_owner"] {
        let mut connection = clinic.deployment.connect(role).await;
        let mut statements = vec![
            "UPDATE audit_event SET outcome = 'success'".to_owned(),
            "UPDATE audit_link SET position = position + 1".to_owned(),
            "UPDATE audit_checkpoint SET position = position + 1".to_owned(),
        ];
        for table in [
            "audit_event",
            &partition,
            "audit_link",
            "audit_checkpoint",
            "audit_tombstone",
        ] {
            statements.push(format!("TRUNCATE {table}"));
            if table != "audit_tombstone" {
                statements.push(format!("DELETE FROM {table}"));
            }
        }
        for statement in statements {
            let error = sqlx::query(AssertSqlSafe(statement.clone()))
                .execute(&mut connection)
                .await
                .unwrap_err();
            let code = error.as_database_error().unwrap().code().unwrap().into_owned();
            assert_eq!(code, "42501", "{role}: {statement}: {error}");
        }
    }
}

#[tokio::test]
async fn when_the_row_cannot_be_written_nothing_is_answered_and_nothing_is_changed() {
    let clinic = Clinic::open().await;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    let mut owner = clinic.deployment.connect("medical_owner").await;
    sqlx::query("REVOKE INSERT ON audit_event FROM medical_app")
        .execute(&mut owner)
        .await
        .unwrap();

    let path = format!("/api/patients/{id}");
    let mut changed = patient("MRN-1");
    changed["notes"] = json!("changed without a trace");
    for request in [
        clinic.server.get(&path),
        clinic.server.get("/api/patients"),
        clinic.server.put(&path).header("if-match", "*").json(&changed),
        clinic.server.post("/api/patients").json(&patient("MRN-2")),
        clinic.server.post("/api/auth/login").json(&json!({
            "email": "ada@clinic.example.org", "password": crate::deployment::USER_PASSWORD,
        })),
    ] {
        let answer = request.bearer_auth(&clinic.token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = problem(answer).await.to_string();
        assert!(
            !body.contains("Nguyễn") && !body.contains("access_token") && !body.contains("audit"),
            "{body}"
        );
    }

    sqlx::query("GRANT INSERT ON audit_event TO medical_app")
        .execute(&mut owner)
        .await
        .unwrap();
    let list: Value = clinic
        .server
        .get("/api/patients")
        .bearer_auth(&clinic.token)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["version"], 1);
}

#[tokio::test]
async fn an_auditor_reads_the_log_page_by_page_latest_first_and_finds_no_patient_in_it() {
    let clinic = Clinic::open().await;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    let auditor = clinic.employ("auditor").await;
    let page = async |query: &str| {
        let path = format!("/api/audit-events{query}");
        let request = clinic.server.get(&path).bearer_auth(&auditor.token);
        request.send().await.unwrap()
    };
    let latest: Value = page("").await.json().await.unwrap();
    let rows = latest["items"].as_array().unwrap().clone();
    let sequences: Vec<_> = rows.iter().map(|row| row["sequence"].as_i64().unwrap()).collect();
    assert!(
        sequences.is_sorted_by(|later, earlier| later > earlier),
        "{sequences:?}"
    );
    let admission = rows
        .iter()
        .find(|row| row["resource"] == "patient" && row["action"] == "create")
        .unwrap();
    assert_eq!(admission["actorId"], json!(clinic.doctor));
    assert_eq!(admission["actorRole"], "doctor");
    assert_eq!(admission["resourceIds"], json!([id]));
    assert!(!latest.to_string().contains("Nguyễn"));

    let earlier: Value = page(&format!("?before={}", admission["sequence"]))
        .await
        .json()
        .await
        .unwrap();
    let earlier = earlier["items"].as_array().unwrap();
    assert!(!earlier.is_empty());
    assert!(
        earlier
            .iter()
            .all(|row| row["sequence"].as_i64() < admission["sequence"].as_i64())
    );

    for (query, pointer) in [
        ("?before=0", "before"),
        ("?before=planted", "before"),
        ("?planted=1", ""),
    ] {
        let answer = page(query).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let refusal = problem(answer).await;
        assert_eq!(refusal["errors"][0]["pointer"], pointer);
        assert!(!refusal.to_string().contains("planted"));
    }
}
