//! Accounts: administrators see and change them, never their own, and one administrator always stays.

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::deployment::{Clinic, Person, problem};

async fn change_role(clinic: &Clinic, by: &Person, user: Uuid, role: &str) -> Response {
    let request = clinic.server.put(&format!("/api/users/{user}/role"));
    let request = request.bearer_auth(&by.token).json(&json!({"role": role}));
    request.send().await.unwrap()
}

async fn deactivate(clinic: &Clinic, by: &Person, user: Uuid) -> Response {
    let request = clinic.server.post(&format!("/api/users/{user}/deactivation"));
    request.bearer_auth(&by.token).send().await.unwrap()
}

#[tokio::test]
async fn an_administrator_lists_accounts_without_their_passwords_changes_roles_and_ends_accounts() {
    let clinic = Clinic::open().await;
    let administrator = clinic.employ("administrator").await;
    let nurse = clinic.employ("nurse").await;
    let request = clinic.server.get("/api/users").bearer_auth(&administrator.token);
    let page: Value = request.send().await.unwrap().json().await.unwrap();
    let roles: Vec<_> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|user| user["role"].clone())
        .collect();
    assert_eq!(roles, [json!("doctor"), json!("administrator"), json!("nurse")]);
    assert!(!page.to_string().contains("argon2id"), "{page}");

    let answer = change_role(&clinic, &administrator, nurse.id, "receptionist").await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    clinic.admit("MRN-1").await;
    let list = async || {
        let request = clinic.server.get("/api/patients").bearer_auth(&nurse.token);
        request.send().await.unwrap()
    };
    let seen: Value = list().await.json().await.unwrap();
    assert_eq!(
        seen["items"].as_array().unwrap().len(),
        1,
        "the new role does not hold yet"
    );

    assert_eq!(
        deactivate(&clinic, &administrator, nurse.id).await.status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(list().await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        deactivate(&clinic, &administrator, Uuid::new_v4()).await.status(),
        StatusCode::NOT_FOUND
    );

    let mut superuser = clinic.deployment.connect("postgres").await;
    let recorded: Vec<String> = sqlx::query_scalar(
        "SELECT action FROM audit_event
         WHERE resource = 'user' AND actor_id = $1 AND outcome = 'success' AND action NOT LIKE '%second_factor'
         ORDER BY sequence",
    )
    .bind(administrator.id)
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    assert_eq!(recorded, ["list", "update", "deactivate"]);
}

#[tokio::test]
async fn the_role_of_a_patients_account_stays_and_staff_does_not_become_a_patient() {
    let clinic = Clinic::open().await;
    let administrator = clinic.employ("administrator").await;
    let patient = clinic.admit("MRN-1").await["id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let account = clinic.open_account(patient).await;
    for (user, role, code) in [
        (account.id, "doctor", "account_of_patient"),
        (clinic.doctor, "patient", "not_known"),
        (clinic.doctor, "planted", "not_known"),
    ] {
        let answer = change_role(&clinic, &administrator, user, role).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let refusal = problem(answer).await;
        assert_eq!(refusal["errors"][0]["pointer"], "/role");
        assert_eq!(refusal["errors"][0]["code"], code);
    }
    let answer = deactivate(&clinic, &administrator, account.id).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn the_last_active_administrator_stays_whoever_removes_whom_at_the_same_time() {
    let clinic = Clinic::open().await;
    let first = clinic.employ("administrator").await;
    for answer in [
        deactivate(&clinic, &first, first.id).await,
        change_role(&clinic, &first, first.id, "doctor").await,
    ] {
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        assert_eq!(problem(answer).await["code"], "another_person_needed");
    }
    let mut superuser = clinic.deployment.connect("postgres").await;
    for round in 0..5 {
        let second = clinic.employ("administrator").await;
        let (one, other) = tokio::join!(
            deactivate(&clinic, &first, second.id),
            change_role(&clinic, &second, first.id, "doctor"),
        );
        let done = [one.status(), other.status()]
            .into_iter()
            .filter(|status| *status == StatusCode::NO_CONTENT)
            .count();
        let left: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM app_user WHERE active AND access_role = 'administrator'",
        )
        .fetch_one(&mut superuser)
        .await
        .unwrap();
        assert_eq!((done, left), (1, 1), "round {round}");
        sqlx::query(
            "UPDATE app_user SET active = (id = $1), access_role = 'administrator' WHERE id = ANY(ARRAY[$1, $2])",
        )
        .bind(first.id)
        .bind(second.id)
        .execute(&mut superuser)
        .await
        .unwrap();
    }
}
