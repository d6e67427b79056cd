//! More work than places: a quick refusal for the class that is full, and everything else as before.

use reqwest::StatusCode;
use sqlx::Connection;

use crate::deployment::{Clinic, patient, problem};
use crate::waiting::until;

#[tokio::test]
async fn a_class_that_is_full_is_refused_at_once_while_other_classes_and_probes_are_answered() {
    let clinic = Clinic::open_with(&[("REQUESTS_IN_FLIGHT", "2")]).await;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    let update = || {
        clinic
            .server
            .put(&format!("/api/patients/{id}"))
            .bearer_auth(&clinic.token)
            .header("if-match", "*")
            .json(&patient("MRN-1"))
    };
    // Another session holds the row, so that both places stay taken.
    let mut superuser = clinic.deployment.connect("postgres").await;
    let mut transaction = superuser.begin().await.unwrap();
    sqlx::query("SELECT FROM patient FOR UPDATE")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let waiting: Vec<_> = (0..2).map(|_| tokio::spawn(update().send())).collect();
    until("both updates to be in flight", async || {
        // The request for metrics is answered on another port and not counted.
        let metrics = clinic.server.metrics().await;
        metrics.contains("http_requests_in_flight 2").then_some(())
    })
    .await;

    let refused = update().send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(problem(refused).await["code"], "unavailable");
    let read = clinic.server.get("/api/patients").bearer_auth(&clinic.token);
    assert_eq!(read.send().await.unwrap().status(), StatusCode::OK);
    for probe in ["/livez", "/readyz", "/startupz"] {
        let answer = clinic.server.get(probe).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{probe}");
    }
    let metrics = clinic.server.metrics().await;
    assert!(
        metrics.contains(r#"requests_shed_total{class="write"} 1"#),
        "{metrics}"
    );

    transaction.rollback().await.unwrap();
    for request in waiting {
        assert_eq!(request.await.unwrap().unwrap().status(), StatusCode::OK);
    }
    assert_eq!(update().send().await.unwrap().status(), StatusCode::OK);
}
