//! The end: readiness first, then no new connections, then open requests, then the process.

use reqwest::{ClientBuilder, StatusCode};
use sqlx::Connection;

use crate::deployment::{Clinic, patient};
use crate::waiting::until;

#[tokio::test]
async fn on_sigterm_readiness_fails_first_and_a_request_in_flight_is_answered() {
    let mut clinic = Clinic::open().await;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();

    // Another session holds the row, so that the update waits inside its request.
    let mut superuser = clinic.deployment.connect("postgres").await;
    let mut transaction = superuser.begin().await.unwrap();
    sqlx::query("SELECT FROM patient FOR UPDATE")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let update = clinic
        .server
        .put(&format!("/api/patients/{id}"))
        .bearer_auth(&clinic.token)
        .header("if-match", "\"1\"")
        .json(&patient("MRN-1"));
    let in_flight = tokio::spawn(update.send());
    let mut observer = clinic.deployment.connect("postgres").await;
    until("the update to wait for the row", async || {
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

    clinic.server.terminate();
    // Still answering, but asking for no more.
    until("readiness to fail", async || {
        let answer = clinic.server.get("/readyz").send().await.unwrap();
        (answer.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    transaction.rollback().await.unwrap();
    assert_eq!(in_flight.await.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!(clinic.server.ended().await, 0);
    assert!(clinic.server.get("/livez").send().await.is_err());
}

#[tokio::test]
async fn under_load_a_stop_loses_no_request_of_an_http_2_client() {
    no_request_is_lost(ClientBuilder::http2_prior_knowledge).await;
}

#[tokio::test]
async fn under_load_a_stop_loses_no_request_of_an_http_1_client_that_keeps_its_connections() {
    no_request_is_lost(ClientBuilder::http1_only).await;
}

async fn no_request_is_lost(protocol: impl FnOnce(ClientBuilder) -> ClientBuilder) {
    // Time enough to answer on a machine that is busy with other things.
    let mut clinic = Clinic::open_with(&[("SHUTDOWN_GRACE_SECONDS", "60")]).await;
    clinic.admit("MRN-1").await;
    let client = protocol(clinic.deployment.client_builder()).build().unwrap();
    let list = || {
        client
            .get(clinic.server.url("/api/patients"))
            .bearer_auth(&clinic.token)
    };
    // As many clients as connections to the database, and those open: no 503 for want of one hides what is tested.
    until("open connections to the database", async || {
        let requests: Vec<_> = (0..4).map(|_| tokio::spawn(list().send())).collect();
        let mut answered = 0;
        for request in requests {
            answered += u32::from(request.await.unwrap().unwrap().status().is_success());
        }
        (answered == 4).then_some(())
    })
    .await;
    let clients = (0..4).map(|_| {
        let request = list();
        tokio::spawn(async move {
            let mut answered = 0_u32;
            loop {
                match request.try_clone().unwrap().send().await {
                    Ok(answer) => {
                        assert_eq!(answer.status(), StatusCode::OK);
                        // The body, too.
                        answer.bytes().await.unwrap();
                        answered += 1;
                    }
                    // No connection any more: the only failure that a client may see.
                    Err(error) => {
                        assert!(error.is_connect(), "{error:?}");
                        return answered;
                    }
                }
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    until("some load", async || {
        let metrics = clinic.server.metrics().await;
        let line = metrics
            .lines()
            .find(|line| line.contains(r#"route="/api/patients",status="200""#))?;
        (line.rsplit(' ').next()?.parse::<f64>().ok()? > 50.0).then_some(())
    })
    .await;
    clinic.server.terminate();
    assert_eq!(clinic.server.ended().await, 0);
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
}
