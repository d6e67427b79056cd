//! Care teams: a doctor of the team decides who is in it, and it holds at once.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::deployment::{Clinic, problem};

async fn change(clinic: &Clinic, method: Method, team: &str, member: Uuid, token: &str) -> reqwest::Response {
    let request = clinic.server.request(method, &format!("{team}/{member}"));
    request.bearer_auth(token).send().await.unwrap()
}

#[tokio::test]
async fn whoever_is_brought_into_a_team_sees_the_patient_and_nobody_else_does_until_they_are_taken_out() {
    let clinic = Clinic::open().await;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    let (path, team) = (
        format!("/api/patients/{id}"),
        format!("/api/patients/{id}/care-team"),
    );
    let nurse = clinic.employ("nurse").await;
    let sees = async |token: &str| {
        let request = clinic.server.get(&path).bearer_auth(token);
        request.send().await.unwrap().status()
    };
    assert_eq!(sees(&nurse.token).await, StatusCode::NOT_FOUND);
    for _ in 0..2 {
        let answer = change(&clinic, Method::PUT, &team, nurse.id, &clinic.token).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(sees(&nurse.token).await, StatusCode::OK);

    let request = clinic.server.get(&team).bearer_auth(&nurse.token);
    let listed: Value = request.send().await.unwrap().json().await.unwrap();
    let members: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| (member["userId"].clone(), member["role"].clone()))
        .collect();
    assert_eq!(
        members,
        [
            (json!(clinic.doctor), json!("doctor")),
            (json!(nurse.id), json!("nurse"))
        ]
    );
    assert_eq!(listed["items"][1]["displayName"], "Synthetic User");

    let answer = change(&clinic, Method::DELETE, &team, nurse.id, &clinic.token).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert_eq!(sees(&nurse.token).await, StatusCode::NOT_FOUND);
    let answer = change(&clinic, Method::DELETE, &team, nurse.id, &clinic.token).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);

    let mut superuser = clinic.deployment.connect("postgres").await;
    let recorded: Vec<(String, String)> = sqlx::query_as(
        "SELECT action, outcome FROM audit_event
         WHERE resource = 'care_team' AND resource_ids @> ARRAY[$1, $2] ORDER BY sequence",
    )
    .bind(id.parse::<Uuid>().unwrap())
    .bind(nurse.id)
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    let expected = [
        ("create", "success"),
        ("create", "success"),
        ("delete", "success"),
        ("delete", "not_found"),
    ];
    assert_eq!(
        recorded,
        expected.map(|(action, outcome)| (action.to_owned(), outcome.to_owned()))
    );
}

#[tokio::test]
async fn a_team_takes_no_stranger_to_care_and_nobody_takes_themselves_out() {
    let clinic = Clinic::open().await;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    let team = format!("/api/patients/{id}/care-team");
    let auditor = clinic.employ("auditor").await;
    let retired = clinic.employ("nurse").await;
    let mut superuser = clinic.deployment.connect("postgres").await;
    sqlx::query("UPDATE app_user SET active = false WHERE id = $1")
        .bind(retired.id)
        .execute(&mut superuser)
        .await
        .unwrap();
    for member in [auditor.id, retired.id, Uuid::new_v4()] {
        let answer = change(&clinic, Method::PUT, &team, member, &clinic.token).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }
    let answer = change(&clinic, Method::DELETE, &team, clinic.doctor, &clinic.token).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert_eq!(problem(answer).await["code"], "another_person_needed");
    let outsider = clinic.employ("doctor").await;
    for member in [outsider.id, clinic.doctor] {
        for method in [Method::PUT, Method::DELETE] {
            let answer = change(&clinic, method, &team, member, &outsider.token).await;
            assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        }
    }
}
