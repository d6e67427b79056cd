//! What each role sees and changes, field by field, and how accounts get their roles.

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::Connection;
use uuid::Uuid;

use crate::deployment::{Clinic, USER_PASSWORD, patient, problem};

async fn read(clinic: &Clinic, path: &str, token: &str) -> Value {
    let answer = clinic.server.get(path).bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.json().await.unwrap()
}

async fn replace(clinic: &Clinic, path: &str, token: &str, body: &Value) -> reqwest::Response {
    let request = clinic.server.put(path).bearer_auth(token).header("if-match", "*");
    request.json(body).send().await.unwrap()
}

#[tokio::test]
async fn reception_keeps_every_patients_demographics_and_never_meets_the_notes() {
    let clinic = Clinic::open().await;
    let path = format!(
        "/api/patients/{}",
        clinic.admit("MRN-1").await["id"].as_str().unwrap()
    );
    let reception = clinic.employ("receptionist").await;

    let seen = read(&clinic, &path, &reception.token).await;
    assert_eq!(seen["familyName"], "Nguyễn");
    assert!(seen.get("notes").is_none(), "{seen}");
    let page = read(&clinic, "/api/patients", &reception.token).await;
    assert!(page["items"][0].get("notes").is_none(), "{page}");

    let mut changed = patient("MRN-1");
    changed["familyName"] = json!("Lovelace");
    let answer = replace(&clinic, &path, &reception.token, &changed).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let refusal = problem(answer).await;
    assert_eq!(refusal["errors"][0]["pointer"], "/notes", "{refusal}");
    assert_eq!(read(&clinic, &path, &clinic.token).await["familyName"], "Nguyễn");

    changed.as_object_mut().unwrap().remove("notes");
    let answer = replace(&clinic, &path, &reception.token, &changed).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let whole = read(&clinic, &path, &clinic.token).await;
    assert_eq!(whole["familyName"], "Lovelace");
    assert_eq!(whole["notes"], patient("MRN-1")["notes"], "the notes were lost");
}

#[tokio::test]
async fn a_nurse_in_care_changes_the_notes_but_not_the_date_of_birth() {
    let clinic = Clinic::open().await;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    let path = format!("/api/patients/{id}");
    let nurse = clinic.employ("nurse").await;
    clinic.put_in_care(nurse.id, id.parse().unwrap()).await;

    let mut changed = patient("MRN-1");
    changed["notes"] = json!("changed by a nurse");
    let answer = replace(&clinic, &path, &nurse.token, &changed).await;
    assert_eq!(answer.status(), StatusCode::OK);

    changed["dateOfBirth"] = json!("1981-01-01");
    let answer = replace(&clinic, &path, &nurse.token, &changed).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let refusal = problem(answer).await;
    assert_eq!(refusal["errors"][0]["pointer"], "/dateOfBirth", "{refusal}");
    assert_eq!(refusal["errors"][0]["code"], "not_permitted");
    let metrics = clinic.server.metrics().await;
    assert!(
        metrics.contains(r#"authz_denied_total{action="update",resource="patient"} 1"#),
        "{metrics}"
    );
    let now = read(&clinic, &path, &clinic.token).await;
    assert_eq!(
        (&now["notes"], &now["dateOfBirth"]),
        (&json!("changed by a nurse"), &json!("1980-02-29"))
    );
}

#[tokio::test]
async fn the_database_alone_refuses_a_field_that_the_role_may_not_change() {
    let clinic = Clinic::open().await;
    let id: Uuid = clinic.admit("MRN-1").await["id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let nurse = clinic.employ("nurse").await;
    let reception = clinic.employ("receptionist").await;
    clinic.put_in_care(nurse.id, id).await;
    let mut app = clinic.deployment.connect("medical_app").await;
    for (user, role, statement, permitted) in [
        (nurse.id, "nurse", "UPDATE patient SET notes = ''", true),
        (nurse.id, "nurse", "UPDATE patient SET date_of_birth = ''", false),
        (
            reception.id,
            "receptionist",
            "UPDATE patient SET date_of_birth = ''",
            true,
        ),
        (
            reception.id,
            "receptionist",
            "UPDATE patient SET notes = NULL",
            false,
        ),
    ] {
        sqlx::query("SELECT set_config('app.user_id', $1, false), set_config('app.role', $2, false)")
            .bind(user.to_string())
            .bind(role)
            .execute(&mut app)
            .await
            .unwrap();
        match sqlx::query(statement).execute(&mut app).await {
            Ok(done) => assert!(permitted && done.rows_affected() == 1, "{role}: {statement}"),
            Err(error) => {
                assert!(!permitted, "{role}: {statement}: {error}");
                assert_eq!(error.as_database_error().unwrap().code().unwrap(), "42501");
            }
        }
    }
}

#[tokio::test]
async fn patients_find_their_own_record_and_nobody_elses() {
    let clinic = Clinic::open().await;
    let own = clinic.admit("MRN-1").await;
    let other = clinic.admit("MRN-2").await["id"].as_str().unwrap().to_owned();
    let own_id = own["id"].as_str().unwrap();
    let account = clinic.open_account(own_id.parse().unwrap()).await;

    assert_eq!(
        read(&clinic, &format!("/api/patients/{own_id}"), &account.token).await,
        own
    );
    assert_eq!(
        read(&clinic, "/api/patients", &account.token).await["items"],
        json!([own])
    );
    let request = clinic.server.get(&format!("/api/patients/{other}"));
    let answer = request.bearer_auth(&account.token).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_account_of_a_patient_needs_one_known_patient_and_no_other_account_takes_one() {
    let clinic = Clinic::open().await;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    clinic.open_account(id.parse().unwrap()).await;
    let nobody = Uuid::new_v4().to_string();
    for (arguments, expected) in [
        (&["--role", "patient"][..], "--patient"),
        (
            &["--role", "patient", "--patient", &nobody],
            "no patient with this id",
        ),
        (&["--role", "patient", "--patient", &id], "has an account already"),
        (&["--role", "nurse", "--patient", &id], "--role patient only"),
    ] {
        let arguments = [
            &["admin", "create-user", "--email", "new@clinic.example.org"],
            arguments,
        ]
        .concat();
        let output = clinic.deployment.run_as_owner(&arguments, USER_PASSWORD);
        assert!(!output.status.success(), "{arguments:?}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn a_clinician_is_a_doctor_by_the_former_name() {
    let clinic = Clinic::open().await;
    let clinician = clinic.employ("clinician").await;
    let mut superuser = clinic.deployment.connect("postgres").await;
    let role: String = sqlx::query_scalar("SELECT access_role FROM app_user WHERE id = $1")
        .bind(clinician.id)
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    assert_eq!(role, "doctor");
    let request = clinic.server.post("/api/patients").bearer_auth(&clinician.token);
    let answer = request.json(&patient("MRN-1")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
}

/// The statements of the previous version, which serves on while a rollout goes on.
#[tokio::test]
async fn the_previous_version_finds_its_users_and_patients_on_the_new_schema() {
    let clinic = Clinic::open().await;
    clinic.admit("MRN-1").await;
    let nurse = clinic.employ("nurse").await;
    let mut owner = clinic.deployment.connect("medical_owner").await;
    let added: String = sqlx::query_scalar(
        "INSERT INTO app_user (id, email, display_name, role, password_hash)
         VALUES (gen_random_uuid(), 'old@clinic.example.org', 'Old', 'clinician', '$argon2id$') RETURNING access_role",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert_eq!(added, "doctor");

    let mut app = clinic.deployment.connect("medical_app").await;
    let begin = "SELECT role, set_config('app.user_id', id::text, true) AS caller,
                        set_config('app.role', role, true) AS caller_role
                 FROM app_user WHERE id = $1 AND active";
    for (user, role, patients) in [(clinic.doctor, "clinician", 1), (nurse.id, "nurse", 0)] {
        let mut transaction = app.begin().await.unwrap();
        let (found, _, _): (String, String, String) = sqlx::query_as(begin)
            .bind(user)
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
        // It knows clinicians and administrators, and refuses every other role.
        assert_eq!(found, role);
        let changed = sqlx::query(
            "UPDATE patient SET version = version + 1, record_number = '', family_name = '', given_name = '',
                    date_of_birth = '', notes = '', updated_at = clock_timestamp()",
        )
        .execute(&mut *transaction)
        .await
        .unwrap();
        assert_eq!(changed.rows_affected(), patients, "{role}");
    }
}
