//! Patients: admit, read, list, find, change; and everything a body can get wrong.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::deployment::{Clinic, patient, problem};

#[tokio::test]
async fn an_admitted_patient_is_read_back_as_sent() {
    let clinic = Clinic::open().await;
    let answer = clinic
        .server
        .post("/api/patients")
        .bearer_auth(&clinic.token)
        .json(&patient("MRN-1"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(answer.headers()["etag"], "\"1\"");
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let created: Value = answer.json().await.unwrap();
    assert_eq!(
        location,
        format!("/api/patients/{}", created["id"].as_str().unwrap())
    );

    let answer = clinic
        .server
        .get(&location)
        .bearer_auth(&clinic.token)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["etag"], "\"1\"");
    let read: Value = answer.json().await.unwrap();
    assert_eq!(read, created);
    for (member, value) in patient("MRN-1").as_object().unwrap() {
        assert_eq!(&read[member], value);
    }
}

#[tokio::test]
async fn what_looks_like_an_attack_is_data_and_comes_back_unchanged() {
    let clinic = Clinic::open().await;
    for (number, notes) in [
        "'; DROP TABLE patient; --",
        "\" OR 1=1 UNION SELECT password_hash FROM app_user",
        "<script>alert(1)</script>",
        "${jndi:ldap://example.org} {{7*7}} %s%n ../../etc/passwd",
        "O’Neil \\ José \u{1F600} 王",
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = patient(&format!("MRN-{number}"));
        body["notes"] = json!(notes);
        let request = clinic
            .server
            .post("/api/patients")
            .bearer_auth(&clinic.token)
            .json(&body);
        let path = request.send().await.unwrap().headers()["location"]
            .to_str()
            .unwrap()
            .to_owned();
        let answer = clinic
            .server
            .get(&path)
            .bearer_auth(&clinic.token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.json::<Value>().await.unwrap()["notes"], notes);
    }
}

#[tokio::test]
async fn a_change_needs_the_current_version_and_a_stale_one_is_412() {
    let clinic = Clinic::open().await;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    let change = async |if_match: Option<&str>, notes: &str| {
        let mut body = patient("MRN-1");
        body["notes"] = json!(notes);
        let request = clinic
            .server
            .put(&format!("/api/patients/{id}"))
            .bearer_auth(&clinic.token)
            .json(&body);
        let request = match if_match {
            Some(tag) => request.header("if-match", tag),
            None => request,
        };
        request.send().await.unwrap()
    };
    let missing = change(None, "a").await;
    assert_eq!(missing.status(), StatusCode::PRECONDITION_REQUIRED);
    assert_eq!(problem(missing).await["code"], "precondition_required");

    let changed = change(Some("\"1\""), "b").await;
    assert_eq!(changed.status(), StatusCode::OK);
    assert_eq!(changed.headers()["etag"], "\"2\"");
    let body: Value = changed.json().await.unwrap();
    assert_eq!((&body["version"], &body["notes"]), (&json!(2), &json!("b")));

    let stale = change(Some("\"1\""), "c").await;
    assert_eq!(stale.status(), StatusCode::PRECONDITION_FAILED);
    assert_eq!(problem(stale).await["code"], "precondition_failed");
    assert_eq!(
        change(Some("W/\"2\""), "c").await.status(),
        StatusCode::PRECONDITION_FAILED
    );
    assert_eq!(change(Some("*"), "d").await.status(), StatusCode::OK);

    let read: Value = clinic
        .server
        .get(&format!("/api/patients/{id}"))
        .bearer_auth(&clinic.token)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!((&read["version"], &read["notes"]), (&json!(3), &json!("d")));
}

#[tokio::test]
async fn of_many_simultaneous_changes_on_one_version_exactly_one_is_made() {
    let clinic = Clinic::open().await;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    let requests = (0..8).map(|_| {
        let request = clinic
            .server
            .put(&format!("/api/patients/{id}"))
            .bearer_auth(&clinic.token)
            .header("if-match", "\"1\"")
            .json(&patient("MRN-1"));
        tokio::spawn(async move { request.send().await.unwrap().status() })
    });
    let mut done = 0;
    for request in requests.collect::<Vec<_>>() {
        match request.await.unwrap() {
            StatusCode::OK => done += 1,
            status => assert_eq!(status, StatusCode::PRECONDITION_FAILED),
        }
    }
    assert_eq!(done, 1);
}

#[tokio::test]
async fn a_record_number_is_unique_whatever_its_case_for_new_and_changed_patients() {
    let clinic = Clinic::open().await;
    clinic.admit("MRN-1").await;
    let second = clinic.admit("MRN-2").await["id"].as_str().unwrap().to_owned();
    let create = clinic.server.post("/api/patients").json(&patient("mrn-1"));
    let update = clinic
        .server
        .put(&format!("/api/patients/{second}"))
        .header("if-match", "\"1\"")
        .json(&patient("mrn-1"));
    for request in [create, update] {
        let answer = request.bearer_auth(&clinic.token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CONFLICT);
        assert_eq!(problem(answer).await["code"], "record_number_taken");
    }
}

#[tokio::test]
async fn a_patient_is_found_by_record_number_in_any_case() {
    let clinic = Clinic::open().await;
    let admitted = clinic.admit("MRN-1/b").await;
    let search = async |number: &str| {
        let answer = clinic
            .server
            .post("/api/patients/search")
            .bearer_auth(&clinic.token)
            .json(&json!({"recordNumber": number}))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json::<Value>().await.unwrap()["items"].clone()
    };
    assert_eq!(search("mrn-1/B").await, json!([admitted]));
    assert_eq!(search("MRN-2").await, json!([]));
}

#[tokio::test]
async fn pages_show_every_patient_once_in_the_order_of_admission() {
    let clinic = Clinic::open().await;
    let mut admitted = Vec::new();
    for number in 0..7 {
        admitted.push(clinic.admit(&format!("MRN-{number}")).await["id"].clone());
    }
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let answer = clinic
            .server
            .get(&format!("/api/patients?limit=3{after}"))
            .bearer_auth(&clinic.token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let page: Value = answer.json().await.unwrap();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 3);
        seen.extend(items.iter().map(|item| item["id"].clone()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, admitted);
}

#[tokio::test]
async fn a_query_parameter_that_is_wrong_or_unknown_is_named_and_its_value_is_not_repeated() {
    let clinic = Clinic::open().await;
    for (query, pointer) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=planted", "limit"),
        ("after=planted", "after"),
        ("recordNumber=planted", ""),
        ("limit=1&limit=2", ""),
    ] {
        let answer = clinic
            .server
            .get(&format!("/api/patients?{query}"))
            .bearer_auth(&clinic.token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        let problem = problem(answer).await;
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{query}");
        assert!(!problem.to_string().contains("planted"));
    }
}

/// Pairs of member and value, each wrong for another reason, with the rule that it breaks.
fn wrong_members() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("recordNumber", json!(null), "required"),
        ("recordNumber", json!(""), "required"),
        ("recordNumber", json!(7), "wrong_type"),
        ("recordNumber", json!("MRN 1"), "invalid_characters"),
        (
            "recordNumber",
            json!("'; DROP TABLE patient"),
            "invalid_characters",
        ),
        ("recordNumber", json!("1".repeat(65)), "too_long"),
        ("familyName", json!(" "), "required"),
        ("familyName", json!("a".repeat(101)), "too_long"),
        ("familyName", json!("<script>"), "invalid_characters"),
        ("familyName", json!("Ada\u{202e}"), "invalid_characters"),
        ("givenName", json!(["Ada"]), "wrong_type"),
        ("givenName", json!("Ada\u{0}"), "invalid_characters"),
        ("dateOfBirth", json!("29.02.1980"), "malformed"),
        ("dateOfBirth", json!("2023-02-29"), "malformed"),
        ("dateOfBirth", json!("2999-01-01"), "in_future"),
        ("dateOfBirth", json!("1800-01-01"), "too_early"),
        ("notes", json!({"text": "x"}), "wrong_type"),
        ("notes", json!("a\u{1b}[31m"), "invalid_characters"),
        ("notes", json!("a".repeat(10_001)), "too_long"),
    ]
}

#[tokio::test]
async fn a_wrong_member_is_named_by_pointer_and_rule_and_nothing_is_stored() {
    let clinic = Clinic::open().await;
    for (member, value, code) in wrong_members() {
        let mut body = patient("MRN-1");
        body[member] = value;
        let answer = clinic
            .server
            .post("/api/patients")
            .bearer_auth(&clinic.token)
            .json(&body)
            .send()
            .await
            .unwrap();
        assert_eq!(
            answer.status(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "{member} {code}"
        );
        let problem = problem(answer).await;
        assert_eq!(problem["errors"][0]["pointer"], format!("/{member}"), "{problem}");
        assert_eq!(problem["errors"][0]["code"], code, "{problem}");
    }
    let answer = clinic
        .server
        .post("/api/patients")
        .bearer_auth(&clinic.token)
        .json(&json!({}))
        .send();
    let errors = problem(answer.await.unwrap()).await["errors"].clone();
    let named: BTreeSet<_> = errors
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        named,
        ["/recordNumber", "/familyName", "/givenName", "/dateOfBirth"]
            .map(str::to_owned)
            .into()
    );

    let mut superuser = clinic.deployment.connect("postgres").await;
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM patient")
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    assert_eq!(stored, 0);
}

#[tokio::test]
async fn a_body_that_cannot_be_read_gets_the_right_status() {
    let clinic = Clinic::open().await;
    let good = patient("MRN-1").to_string();
    let large = format!(r#"{{"notes":"{}"}}"#, "a".repeat(200_000));
    let cases: [(&str, String, StatusCode, &str); 8] = [
        (
            "application/json",
            String::new(),
            StatusCode::BAD_REQUEST,
            "malformed_request",
        ),
        (
            "application/json",
            "{".to_owned(),
            StatusCode::BAD_REQUEST,
            "malformed_request",
        ),
        (
            "application/json",
            format!("{good}{good}"),
            StatusCode::BAD_REQUEST,
            "malformed_request",
        ),
        (
            "application/json",
            "[]".to_owned(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "validation_failed",
        ),
        (
            "application/json",
            r#"{"admin":true}"#.to_owned(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "validation_failed",
        ),
        (
            "application/json",
            large,
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
        ),
        (
            "text/plain",
            good.clone(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
        ),
        (
            "application/x-www-form-urlencoded",
            "a=b".to_owned(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
        ),
    ];
    for (content_type, body, status, code) in cases {
        let answer = clinic
            .server
            .post("/api/patients")
            .bearer_auth(&clinic.token)
            .header("content-type", content_type)
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{code}");
        assert_eq!(problem(answer).await["code"], code);
    }
}

#[tokio::test]
async fn what_is_not_there_is_404_and_an_unknown_method_is_405_with_the_known_ones() {
    let clinic = Clinic::open().await;
    for path in [
        format!("/api/patients/{}", Uuid::new_v4()),
        "/api/patients/not-a-uuid".to_owned(),
        "/api/patients/%00".to_owned(),
        "/api/elsewhere".to_owned(),
        "/".to_owned(),
    ] {
        let answer = clinic
            .server
            .get(&path)
            .bearer_auth(&clinic.token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(problem(answer).await["code"], "not_found");
    }
    for method in [Method::DELETE, Method::TRACE] {
        let answer = clinic
            .server
            .request(method, "/api/patients")
            .bearer_auth(&clinic.token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        let allowed = answer.headers()["allow"].to_str().unwrap().to_owned();
        assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
        assert_eq!(problem(answer).await["code"], "method_not_allowed");
    }
}
