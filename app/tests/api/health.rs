//! Probes and metrics, and what they say when the database is gone.

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::cluster::{Cluster, PASSWORD};
use crate::deployment::{Clinic, ClusterRef, Deployment, Server, patient, problem, write_random_key};
use crate::waiting::until;

async fn ready(server: &Server) -> (StatusCode, Value) {
    let answer = server.get("/readyz").send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn until_not_ready_for(server: &Server, reason: &str) {
    until("the reason in /readyz", async || {
        let (status, body) = ready(server).await;
        (status == StatusCode::SERVICE_UNAVAILABLE && body["missing"] == reason).then_some(())
    })
    .await;
}

async fn until_ready(server: &Server) {
    until("readiness", async || {
        (ready(server).await.0 == StatusCode::OK).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_the_database_requests_are_503_and_readiness_fails_and_both_recover_by_themselves() {
    let clinic = Clinic::open().await;
    let read = async || {
        clinic
            .server
            .get("/api/patients")
            .bearer_auth(&clinic.token)
            .send()
            .await
            .unwrap()
    };
    assert_eq!(read().await.status(), StatusCode::OK);

    let mut superuser = clinic.deployment.cluster.superuser("postgres").await;
    let database = &clinic.deployment.database;
    let allow = |allow: bool| AssertSqlSafe(format!("ALTER DATABASE {database} ALLOW_CONNECTIONS {allow}"));
    sqlx::query(allow(false)).execute(&mut superuser).await.unwrap();
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
        .bind(database)
        .execute(&mut superuser)
        .await
        .unwrap();

    until_not_ready_for(&clinic.server, "database").await;
    let answer = read().await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    for path in ["/health", "/api/health", "/api/health/db"] {
        let answer = clinic.server.get(path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["status"], "unhealthy");
        assert_eq!(body["database"], "disconnected");
    }
    let body = problem(answer).await;
    assert_eq!(body["code"], "unavailable");
    assert!(!body.to_string().contains(database));
    for probe in ["/livez", "/startupz"] {
        assert_eq!(
            clinic.server.get(probe).send().await.unwrap().status(),
            StatusCode::OK,
            "{probe}"
        );
    }

    sqlx::query(allow(true)).execute(&mut superuser).await.unwrap();
    until_ready(&clinic.server).await;
    assert_eq!(read().await.status(), StatusCode::OK);
    let health: Value = clinic
        .server
        .get("/health")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["database"], "connected");
    assert!(health["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn without_the_right_to_write_the_audit_log_the_server_is_not_ready() {
    let clinic = Clinic::open().await;
    until_ready(&clinic.server).await;
    let mut owner = clinic.deployment.connect("medical_owner").await;
    sqlx::query("REVOKE INSERT ON audit_event FROM medical_app")
        .execute(&mut owner)
        .await
        .unwrap();
    until_not_ready_for(&clinic.server, "audit").await;
    sqlx::query("GRANT INSERT ON audit_event TO medical_app")
        .execute(&mut owner)
        .await
        .unwrap();
    until_ready(&clinic.server).await;
}

#[tokio::test]
async fn a_server_that_is_started_before_the_migration_becomes_ready_after_it() {
    let deployment = Deployment::unmigrated(ClusterRef::Shared(Cluster::shared().await)).await;
    let server = deployment.serve().await;
    until_not_ready_for(&server, "schema").await;
    assert!(deployment.run_as_owner(&["migrate"], "").status.success());
    until_ready(&server).await;
}

#[tokio::test]
async fn a_server_with_other_keys_than_the_data_was_sealed_with_never_becomes_ready() {
    let clinic = Clinic::open().await;
    clinic.admit("MRN-1").await;
    for name in ["phi-kek", "blind-index"] {
        let file = clinic.deployment.directory.path().join("keys").join(name);
        let right = std::fs::read(&file).unwrap();
        write_random_key(&file);
        let server = clinic.deployment.serve().await;
        until_not_ready_for(&server, "keys").await;
        std::fs::write(&file, right).unwrap();
    }
    let server = clinic.deployment.serve().await;
    until_ready(&server).await;
}

#[tokio::test]
async fn a_changed_database_password_is_used_for_new_connections_without_a_restart() {
    let deployment = Deployment::unmigrated(ClusterRef::Own(Cluster::own().await)).await;
    assert!(deployment.run_as_owner(&["migrate"], "").status.success());
    let server = deployment.serve().await;
    until_ready(&server).await;

    let mut superuser = deployment.cluster.superuser(&deployment.database).await;
    let changed = format!("{PASSWORD}-changed");
    let statement = format!("ALTER ROLE medical_app PASSWORD '{changed}'");
    sqlx::query(AssertSqlSafe(statement))
        .execute(&mut superuser)
        .await
        .unwrap();
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'medical_app'")
        .execute(&mut superuser)
        .await
        .unwrap();
    until_not_ready_for(&server, "database").await;

    std::fs::write(deployment.directory.path().join("password"), changed).unwrap();
    until_ready(&server).await;
}

#[tokio::test]
async fn metrics_are_on_their_own_port_only_and_labelled_by_route_and_never_by_path() {
    let clinic = Clinic::open().await;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    let path = format!("/api/patients/{id}");
    clinic
        .server
        .get(&path)
        .bearer_auth(&clinic.token)
        .send()
        .await
        .unwrap();
    clinic.server.get("/planted/path").send().await.unwrap();
    assert_eq!(
        clinic.server.get("/metrics").send().await.unwrap().status(),
        StatusCode::NOT_FOUND
    );

    let metrics = clinic.server.metrics().await;
    for expected in [
        r#"http_requests_total{method="GET",route="/api/patients/{id}",status="200"} 1"#,
        r#"http_requests_total{method="POST",route="/api/patients",status="201"} 1"#,
        r#"route="unmatched",status="404""#,
        r#"http_request_duration_seconds_bucket{method="GET",route="/api/patients/{id}",le="0.005"}"#,
        r#"db_pool_connections{state="idle"}"#,
        "db_pool_connections_max 4",
        "phi_open_failures_total 0",
        r#"phi_access_total{action="read",resource="patient"} 1"#,
        "cross_site_rejections_total 0",
        "db_read_retries_total 0",
        "rate_limit_keys ",
    ] {
        assert!(metrics.contains(expected), "{expected} is missing in {metrics}");
    }
    assert!(
        !metrics.contains(&id) && !metrics.contains("planted"),
        "{metrics}"
    );
}

#[tokio::test]
async fn stored_data_that_was_tampered_with_is_not_shown_but_counted_and_recorded() {
    let clinic = Clinic::open().await;
    let first = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    let second = clinic.admit("MRN-2").await["id"].as_str().unwrap().to_owned();
    // A thief with write access moves one patient's notes to another.
    let mut superuser = clinic.deployment.connect("postgres").await;
    sqlx::query(
        "UPDATE patient SET notes = (SELECT notes FROM patient WHERE id = $1::uuid) WHERE id = $2::uuid",
    )
    .bind(&first)
    .bind(&second)
    .execute(&mut superuser)
    .await
    .unwrap();
    let path = format!("/api/patients/{second}");
    let answer = clinic
        .server
        .get(&path)
        .bearer_auth(&clinic.token)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let request_id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(problem(answer).await["code"], "internal");
    assert!(
        clinic
            .server
            .metrics()
            .await
            .contains("phi_open_failures_total 1")
    );
    let outcome: String = sqlx::query_scalar("SELECT outcome FROM audit_event WHERE request_id = $1::uuid")
        .bind(request_id)
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    assert_eq!(outcome, "failed");
    // What was not touched is still good.
    let untouched = clinic
        .server
        .put(&path)
        .header("if-match", "*")
        .json(&patient("MRN-2"));
    assert_eq!(
        untouched
            .bearer_auth(&clinic.token)
            .send()
            .await
            .unwrap()
            .status(),
        StatusCode::OK
    );
    let healed: Value = clinic
        .server
        .get(&path)
        .bearer_auth(&clinic.token)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(healed["notes"], json!("first line\nsecond line"));
}
