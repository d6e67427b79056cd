//! One clinician's patients are invisible to another: through the API, and by PostgreSQL alone.

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::deployment::{Clinic, patient, problem};
use crate::second_factor;

#[tokio::test]
async fn a_foreign_patient_is_not_found_by_any_operation_and_looks_like_one_that_is_not_there() {
    let clinic = Clinic::open().await;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    clinic
        .deployment
        .create_user("grace@clinic.example.org", "clinician");
    let token = clinic.server.login("grace@clinic.example.org").await;

    let mut bodies = Vec::new();
    for path in [
        format!("/api/patients/{id}"),
        format!("/api/patients/{}", Uuid::new_v4()),
    ] {
        for request in [
            clinic.server.get(&path),
            clinic
                .server
                .put(&path)
                .header("if-match", "*")
                .json(&patient("MRN-9")),
        ] {
            let answer = request.bearer_auth(&token).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::NOT_FOUND);
            let mut body = problem(answer).await;
            body["request_id"].take();
            bodies.push(body);
        }
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");

    let list: Value = clinic
        .server
        .get("/api/patients")
        .bearer_auth(&token)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(list, json!({"items": [], "next": null}));
    let search = clinic
        .server
        .post("/api/patients/search")
        .json(&json!({"recordNumber": "MRN-1"}));
    let found: Value = search
        .bearer_auth(&token)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(found, json!({"items": []}));
}

async fn as_caller(connection: &mut PgConnection, user: Uuid, role: &str) {
    sqlx::query("SELECT set_config('app.user_id', $1, false), set_config('app.role', $2, false)")
        .bind(user.to_string())
        .bind(role)
        .execute(connection)
        .await
        .unwrap();
}

async fn count(connection: &mut PgConnection, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(connection).await.unwrap()
}

const PATIENTS: &str = "SELECT count(*) FROM patient";

#[tokio::test]
async fn row_level_security_alone_shows_a_patient_to_their_clinician_only() {
    let clinic = Clinic::open().await;
    clinic.admit("MRN-1").await;
    let other = clinic
        .deployment
        .create_user("grace@clinic.example.org", "clinician");

    let mut app = clinic.deployment.connect("medical_app").await;
    assert_eq!(count(&mut app, PATIENTS).await, 0, "without a caller");
    assert_eq!(
        count(&mut app, "SELECT count(*) FROM care_relation").await,
        0,
        "without a caller"
    );
    as_caller(&mut app, clinic.doctor, "clinician").await;
    assert_eq!(count(&mut app, PATIENTS).await, 1, "as the clinician");
    as_caller(&mut app, clinic.doctor, "administrator").await;
    assert_eq!(count(&mut app, PATIENTS).await, 0, "with another role");
    as_caller(&mut app, other, "clinician").await;
    assert_eq!(count(&mut app, PATIENTS).await, 0, "as another clinician");
    let changed = sqlx::query("UPDATE patient SET version = version + 1")
        .execute(&mut app)
        .await
        .unwrap()
        .rows_affected();
    assert_eq!(changed, 0, "as another clinician");

    // FORCE: the owner of the tables is under the same rules.
    let mut owner = clinic.deployment.connect("medical_owner").await;
    assert_eq!(count(&mut owner, PATIENTS).await, 0, "as the owner");
}

#[tokio::test]
async fn in_a_callers_transaction_there_are_no_credentials_and_no_sessions_but_the_callers_own() {
    let clinic = Clinic::open().await;
    let other = clinic
        .deployment
        .create_user("grace@clinic.example.org", "clinician");
    second_factor::enrol(&clinic.server, &clinic.token).await;
    let reset = ["admin", "reset-password", "--email", "ada@clinic.example.org"];
    assert!(clinic.deployment.run_as_owner(&reset, "").status.success());

    let mut app = clinic.deployment.connect("medical_app").await;
    let credentials = [
        "SELECT count(*) FROM refresh_token",
        "SELECT count(*) FROM user_totp",
        "SELECT count(*) FROM recovery_code",
        "SELECT count(*) FROM password_reset",
    ];
    let sessions = [
        "SELECT count(*) FROM user_session",
        "SELECT count(*) FROM live_session",
    ];
    for query in credentials.iter().chain(&sessions) {
        assert!(count(&mut app, query).await > 0, "without a caller: {query}");
    }
    for (user, own) in [(clinic.doctor, 1), (other, 0)] {
        as_caller(&mut app, user, "doctor").await;
        for query in credentials {
            assert_eq!(count(&mut app, query).await, 0, "{query}");
        }
        for query in sessions {
            assert_eq!(count(&mut app, query).await, own, "{query}");
        }
    }
}

#[tokio::test]
async fn every_table_forces_row_level_security_but_the_ones_without_patients() {
    let clinic = Clinic::open().await;
    let mut superuser = clinic.deployment.connect("postgres").await;
    let open: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
           AND NOT (relrowsecurity AND relforcerowsecurity) AND NOT relispartition
         ORDER BY relname",
    )
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    assert_eq!(
        open,
        [
            "_sqlx_migrations",
            "audit_checkpoint",
            "audit_link",
            "audit_tombstone",
            "audit_unsealed",
            "key_fingerprint",
            // What its caller may see of user_session, and no table.
            "live_session",
            // Keyed hashes of addresses that were tried, known and unknown ones alike.
            "login_attempt",
            "rate_limit"
        ]
    );
}

#[tokio::test]
async fn every_foreign_key_has_an_index() {
    let clinic = Clinic::open().await;
    let mut superuser = clinic.deployment.connect("postgres").await;
    let without: Vec<String> = sqlx::query_scalar(
        "SELECT conrelid::regclass || ' ' || conname FROM pg_constraint
         WHERE contype = 'f' AND NOT EXISTS (
             SELECT FROM pg_index WHERE indrelid = conrelid AND indkey[0] = conkey[1])",
    )
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    assert_eq!(without, Vec::<String>::new());
}

#[tokio::test]
async fn the_serving_role_can_do_nothing_that_the_program_does_not_do() {
    let clinic = Clinic::open().await;
    let patient = clinic.admit("MRN-1").await["id"]
        .as_str()
        .unwrap()
        .parse::<Uuid>()
        .unwrap();
    let other = clinic
        .deployment
        .create_user("grace@clinic.example.org", "clinician");
    let mut app = clinic.deployment.connect("medical_app").await;
    as_caller(&mut app, other, "clinician").await;
    let refused = async |app: &mut PgConnection, statement: &'static str| {
        let error = sqlx::query(statement)
            .bind(other)
            .bind(patient)
            .execute(app)
            .await
            .unwrap_err();
        let code = error.as_database_error().unwrap().code().unwrap().into_owned();
        assert_eq!(code, "42501", "{statement}: {error}");
    };
    for statement in [
        "INSERT INTO care_relation (user_id, patient_id) VALUES ($1, $2)",
        "DELETE FROM patient WHERE id = $2 AND $1::uuid IS NOT NULL",
        "UPDATE patient SET created_by = $1 WHERE id = $2",
        "UPDATE app_user SET role = 'administrator' WHERE id = $1 AND $2::uuid IS NOT NULL",
        "UPDATE app_user SET access_role = 'administrator' WHERE id = $1 AND $2::uuid IS NOT NULL",
        "DELETE FROM app_user WHERE id = $1 AND $2::uuid IS NOT NULL",
        "INSERT INTO audit_event (sequence, action, resource, outcome, request_id) VALUES (1, 'read', 'patient', $1::text, $2)",
        "INSERT INTO audit_unsealed (sequence, occurred_at) SELECT 1, now() WHERE $1::uuid <> $2::uuid",
        "INSERT INTO audit_tombstone SELECT now(), 0, now(), '' WHERE $1::uuid <> $2::uuid",
        "SELECT create_audit_partition(now()) WHERE $1::uuid <> $2::uuid",
        "UPDATE key_fingerprint SET fingerprint = '' WHERE $1::uuid <> $2::uuid",
        "UPDATE _sqlx_migrations SET success = false WHERE $1::uuid <> $2::uuid",
    ] {
        refused(&mut app, statement).await;
    }
    // Nor before there is a caller.
    sqlx::query("SELECT set_config('app.user_id', '', false), set_config('app.role', '', false)")
        .execute(&mut app)
        .await
        .unwrap();
    refused(
        &mut app,
        "UPDATE app_user SET active = true WHERE id = $1 AND $2::uuid IS NOT NULL",
    )
    .await;
    as_caller(&mut app, other, "clinician").await;
    for statement in [
        "CREATE TABLE mine (id int)",
        "ALTER TABLE patient DISABLE ROW LEVEL SECURITY",
        "TRUNCATE patient CASCADE",
    ] {
        let error = sqlx::query(statement).execute(&mut app).await.unwrap_err();
        assert_eq!(
            error.as_database_error().unwrap().code().unwrap(),
            "42501",
            "{statement}"
        );
    }
    // A patient cannot be admitted in another clinician's name.
    let columns = "INSERT INTO patient (id, kek_id, data_key, record_number_index, record_number, family_name, given_name, date_of_birth, created_by)
        SELECT gen_random_uuid(), decode(repeat('00', 16), 'hex'), '', decode(repeat('00', 32), 'hex'), '', '', '', '', $1";
    let error = sqlx::query(columns)
        .bind(clinic.doctor)
        .execute(&mut app)
        .await
        .unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "42501");
    app.close().await.unwrap();
}

#[tokio::test]
async fn a_pooled_connection_keeps_no_caller_for_the_next_request() {
    let clinic = Clinic::open().await;
    clinic.admit("MRN-1").await;
    clinic
        .deployment
        .create_user("grace@clinic.example.org", "clinician");
    let grace = clinic.server.login("grace@clinic.example.org").await;
    let requests = (0..40).map(|number| {
        let (token, expected) = if number % 2 == 0 {
            (&clinic.token, 1)
        } else {
            (&grace, 0)
        };
        let request = clinic.server.get("/api/patients").bearer_auth(token);
        tokio::spawn(async move {
            let page: Value = request.send().await.unwrap().json().await.unwrap();
            assert_eq!(page["items"].as_array().unwrap().len(), expected);
        })
    });
    for request in requests.collect::<Vec<_>>() {
        request.await.unwrap();
    }
}
