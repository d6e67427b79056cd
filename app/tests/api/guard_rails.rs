//! Guard rails around the database: silent peers, a changed primary, locks of others.

use std::time::Instant;

use reqwest::{RequestBuilder, Response, StatusCode};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinHandle;

use crate::deployment::{Clinic, Deployment, patient};
use crate::proxy::Proxy;
use crate::waiting::until;

fn send(request: RequestBuilder) -> JoinHandle<Result<Response, reqwest::Error>> {
    tokio::spawn(request.send())
}

/// Waits until so many sessions of the application wait for a lock.
async fn waiting_for_locks(observer: &mut PgConnection, sessions: i64) {
    until("sessions that wait for a lock", async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND usename = 'medical_app' AND wait_event_type = 'Lock'",
        )
        .fetch_one(&mut *observer)
        .await
        .unwrap();
        (waiting >= sessions).then_some(())
    })
    .await;
}

#[tokio::test]
async fn connections_whose_peer_is_gone_without_a_farewell_are_replaced() {
    let mut deployment = Deployment::new().await;
    let proxy = Proxy::to(deployment.cluster.port).await;
    // A command blocks this thread, on which the proxy runs: the user is made without it.
    deployment.create_user("ada@clinic.example.org", "clinician");
    deployment.set("DATABASE_PORT", &proxy.port.to_string());
    deployment.set("DATABASE_MAX_CONNECTIONS", "2");
    let server = deployment.serve().await;
    let token = server.login("ada@clinic.example.org").await;
    let list = || server.get("/api/patients").bearer_auth(&token);
    assert_eq!(list().send().await.unwrap().status(), StatusCode::OK);

    // More often than there are connections: a place that is lost each time would be missed soon.
    for _ in 0..2 {
        let mut superuser = deployment.connect("postgres").await;
        let mut observer = deployment.connect("postgres").await;
        let mut transaction = superuser.begin().await.unwrap();
        sqlx::query("LOCK TABLE patient IN ACCESS EXCLUSIVE MODE")
            .execute(&mut *transaction)
            .await
            .unwrap();
        let requests = [send(list()), send(list())];
        waiting_for_locks(&mut observer, 2).await;
        proxy.fall_silent();
        // The clients give up, too, while their connections are out of the pool.
        for request in requests {
            request.abort();
        }
        transaction.rollback().await.unwrap();
        until("a request to be answered again", async || {
            let answer = list().send().await.unwrap();
            (answer.status() == StatusCode::OK).then_some(())
        })
        .await;
    }
    let metrics = server.metrics().await;
    assert!(metrics.contains("db_pool_connections_max 2"), "{metrics}");
}

#[tokio::test]
async fn a_read_whose_connection_is_lost_is_tried_again_and_a_write_is_not() {
    let clinic = Clinic::open().await;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    let path = format!("/api/patients/{id}");
    let read = clinic.server.get(&path).bearer_auth(&clinic.token);
    let write = clinic
        .server
        .put(&path)
        .bearer_auth(&clinic.token)
        .header("if-match", "*")
        .json(&patient("MRN-1"));
    for (request, expected, retries) in [
        (read, StatusCode::OK, 1),
        (write, StatusCode::SERVICE_UNAVAILABLE, 1),
    ] {
        let mut superuser = clinic.deployment.connect("postgres").await;
        let mut observer = clinic.deployment.connect("postgres").await;
        let mut transaction = superuser.begin().await.unwrap();
        sqlx::query("LOCK TABLE patient IN ACCESS EXCLUSIVE MODE")
            .execute(&mut *transaction)
            .await
            .unwrap();
        let request = send(request);
        waiting_for_locks(&mut observer, 1).await;
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND usename = 'medical_app'",
        )
        .execute(&mut observer)
        .await
        .unwrap();
        transaction.rollback().await.unwrap();
        let answer = request.await.unwrap().unwrap();
        assert_eq!(answer.status(), expected);
        let metrics = clinic.server.metrics().await;
        assert!(
            metrics.contains(&format!("db_read_retries_total {retries}")),
            "{metrics}"
        );
    }
}

#[tokio::test]
async fn a_lock_that_does_not_come_ends_a_read_sooner_than_a_write_and_both_with_503() {
    let clinic = Clinic::open().await;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    let path = format!("/api/patients/{id}");
    let mut superuser = clinic.deployment.connect("postgres").await;
    let mut transaction = superuser.begin().await.unwrap();
    sqlx::query("LOCK TABLE patient IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let timed = async |request: RequestBuilder| {
        let started = Instant::now();
        let answer = request.bearer_auth(&clinic.token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key("retry-after"));
        started.elapsed()
    };
    let update = clinic.server.put(&path).header("if-match", "*");
    let (read, write) = tokio::join!(
        timed(clinic.server.get(&path)),
        timed(update.json(&patient("MRN-1"))),
    );
    assert!(read < write, "{read:?} and {write:?}");
    transaction.rollback().await.unwrap();
}
