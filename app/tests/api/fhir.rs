//! Resources by FHIR R4: what they hold, for whom, and what is said when there is none.

use medical_app::domain::Role;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::deployment::{Clinic, patient};
use crate::fhir_schema::faults;

/// The resource of an answer, which is FHIR R4 whatever else it is.
pub(crate) async fn resource(answer: Response) -> Value {
    assert_eq!(answer.headers()["content-type"], "application/fhir+json");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    let resource: Value = answer.json().await.unwrap();
    assert_eq!(faults(&resource), [""; 0], "{resource}");
    resource
}

/// The problem that an `OperationOutcome` tells of: its code, and the parameters that it names.
pub(crate) async fn outcome(answer: Response) -> (String, Vec<String>) {
    let request_id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let outcome = resource(answer).await;
    assert_eq!(outcome["resourceType"], "OperationOutcome");
    let issues = outcome["issue"].as_array().unwrap();
    assert_eq!(issues[0]["diagnostics"], format!("request {request_id}"));
    let coding = &issues[0]["details"]["coding"][0];
    assert_eq!(coding["system"], "https://medops.dev/problems");
    let places = issues.iter().filter_map(|issue| issue["location"].as_array());
    let named = places.flatten().map(|place| place.as_str().unwrap().to_owned());
    (coding["code"].as_str().unwrap().to_owned(), named.collect())
}

async fn send(request: RequestBuilder, token: &str) -> Response {
    request.bearer_auth(token).send().await.unwrap()
}

#[tokio::test]
async fn a_patient_is_the_record_in_the_terms_of_fhir_with_version_and_time_of_change() {
    let clinic = Clinic::open().await;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    let native = format!("/api/patients/{id}");
    let mut body = patient("MRN-1");
    body["familyName"] = json!("Example");
    let change = clinic.server.put(&native).header("if-match", "*").json(&body);
    let changed: Value = send(change, &clinic.token).await.json().await.unwrap();

    let path = format!("/fhir/Patient/{id}");
    let answer = send(clinic.server.get(&path), &clinic.token).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["etag"], "W/\"2\"");
    let modified = answer.headers()["last-modified"].to_str().unwrap().to_owned();
    let updated: jiff::Timestamp = changed["updatedAt"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        modified,
        updated.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    );
    let system = "https://clinic.example.org/fhir/sid/record-number";
    assert_eq!(
        resource(answer).await,
        json!({
            "resourceType": "Patient",
            "id": id,
            "meta": {"versionId": "2", "lastUpdated": changed["updatedAt"]},
            "identifier": [{
                "use": "official",
                "type": {"coding": [{
                    "system": "http://terminology.hl7.org/CodeSystem/v2-0203",
                    "code": "MR",
                    "display": "Medical record number",
                }]},
                "system": system,
                "value": "MRN-1",
            }],
            "name": [{"use": "official", "family": "Example", "given": ["José"]}],
            "birthDate": "1980-02-29",
        })
    );
}

#[tokio::test]
async fn every_role_sees_the_same_patients_as_in_the_rest_of_the_api() {
    let clinic = Clinic::open().await;
    let mut patients = Vec::new();
    for number in ["MRN-1", "MRN-2", "MRN-3"] {
        patients.push(clinic.admit(number).await["id"].as_str().unwrap().to_owned());
    }
    for role in Role::ALL {
        let caller = if role == Role::Patient {
            clinic.open_account(patients[0].parse().unwrap()).await
        } else {
            let caller = clinic.employ(role.as_str()).await;
            clinic.put_in_care(caller.id, patients[0].parse().unwrap()).await;
            clinic
                .give_emergency_access(caller.id, patients[1].parse().unwrap(), "15 minutes")
                .await;
            caller
        };
        for id in &patients {
            let native = send(clinic.server.get(&format!("/api/patients/{id}")), &caller.token).await;
            let ours = send(clinic.server.get(&format!("/fhir/Patient/{id}")), &caller.token).await;
            assert_eq!(ours.status(), native.status(), "{role:?}");
            let resource = resource(ours).await;
            assert!(
                !resource.to_string().contains("second line"),
                "no notes: {role:?}"
            );
        }
        let native = send(clinic.server.get("/api/patients"), &caller.token).await;
        let ours = send(clinic.server.get("/fhir/Patient"), &caller.token).await;
        assert_eq!(ours.status(), native.status(), "{role:?}");
        let page: Value = native.json().await.unwrap();
        let items = page["items"].as_array().into_iter().flatten();
        let expected: Vec<_> = items.map(|item| item["id"].clone()).collect();
        let bundle = resource(ours).await;
        let entries = bundle["entry"].as_array().into_iter().flatten();
        let seen: Vec<_> = entries.map(|entry| entry["resource"]["id"].clone()).collect();
        assert_eq!(seen, expected, "{role:?}");
    }
}

#[tokio::test]
async fn a_patient_outside_ones_care_is_not_found_like_one_who_is_not_there() {
    let clinic = Clinic::open().await;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    let stranger = clinic.employ("doctor").await;
    let mut outcomes = Vec::new();
    for id in [id, Uuid::new_v4().to_string(), "not-a-uuid".to_owned()] {
        let request = clinic.server.get(&format!("/fhir/Patient/{id}"));
        let answer = send(request, &stranger.token).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        let mut outcome = resource(answer).await;
        assert_eq!(outcome["issue"][0]["code"], "not-found");
        outcome["issue"][0]["diagnostics"].take();
        outcomes.push(outcome);
    }
    assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test]
async fn a_problem_of_any_layer_is_an_operation_outcome_with_the_code_it_always_has() {
    let limits = ("RATE_LIMITS", "read.account=4/86400,read.address=100000/60");
    let clinic = Clinic::open_with(&[limits]).await;
    let server = &clinic.server;
    let doctor = &clinic.token;
    let cases = [
        (
            server.get("/fhir/Patient"),
            "",
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
        ),
        (
            server.get("/fhir/AuditEvent"),
            doctor,
            StatusCode::FORBIDDEN,
            "forbidden",
        ),
        (
            server.get("/fhir/Observation"),
            doctor,
            StatusCode::NOT_FOUND,
            "not_found",
        ),
        (server.get("/fhir"), doctor, StatusCode::NOT_FOUND, "not_found"),
        (
            server.post("/fhir/Patient"),
            doctor,
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
        ),
        (
            server.request(Method::DELETE, "/fhir/Patient/1"),
            doctor,
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
        ),
    ];
    for (request, token, status, code) in cases {
        let answer = send(request, token).await;
        assert_eq!(answer.status(), status, "{code}");
        assert_eq!(outcome(answer).await.0, code);
    }
    loop {
        let answer = send(server.get("/fhir/Patient"), doctor).await;
        assert!(answer.headers().contains_key("ratelimit"));
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert!(answer.headers().contains_key("retry-after"));
            assert_eq!(outcome(answer).await.0, "too_many_requests");
            break;
        }
        assert_eq!(answer.status(), StatusCode::OK);
    }
    let elsewhere = server.get("/elsewhere").send().await.unwrap();
    assert_eq!(elsewhere.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn json_is_given_under_each_of_its_names_and_another_format_is_406() {
    let clinic = Clinic::open().await;
    let get = async |query: &str, accept: Option<&str>| {
        let request = clinic.server.get(&format!("/fhir/Patient{query}"));
        let request = match accept {
            Some(range) => request.header("accept", range),
            None => request,
        };
        send(request, &clinic.token).await
    };
    for (query, accept) in [
        ("", None),
        ("?_format=json", None),
        ("?_format=json", Some("application/fhir+xml")),
        ("?_format=application/fhir%2Bjson", None),
        ("", Some("application/fhir+json; fhirVersion=4.0")),
        ("", Some("application/fhir+xml;q=0.5, application/json")),
    ] {
        let answer = get(query, accept).await;
        assert_eq!(answer.status(), StatusCode::OK, "{query} {accept:?}");
        resource(answer).await;
    }
    for (query, accept) in [
        ("?_format=xml", None),
        ("?_format=xml", Some("application/fhir+json")),
        ("", Some("application/fhir+xml")),
        ("", Some("application/fhir+json; fhirVersion=5.0")),
    ] {
        let answer = get(query, accept).await;
        assert_eq!(answer.status(), StatusCode::NOT_ACCEPTABLE, "{query} {accept:?}");
        assert_eq!(outcome(answer).await.0, "not_acceptable");
    }
}

#[tokio::test]
async fn the_capability_statement_needs_no_token_and_names_what_is_offered_and_nothing_else() {
    let clinic = Clinic::open().await;
    let answer = clinic.server.get("/fhir/metadata").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let statement = resource(answer).await;
    assert_eq!(statement["fhirVersion"], "4.0.1");
    assert_eq!(
        statement["implementation"]["url"],
        "https://clinic.example.org/fhir"
    );
    let rest = &statement["rest"][0];
    let security = rest["security"]["description"].as_str().unwrap();
    assert!(security.contains("access token"), "{security}");

    let mut said = vec!["/fhir/metadata".to_owned()];
    for offered in rest["resource"].as_array().unwrap() {
        let kind = offered["type"].as_str().unwrap();
        for interaction in offered["interaction"].as_array().unwrap() {
            said.push(match interaction["code"].as_str().unwrap() {
                "read" => format!("/fhir/{kind}/{{id}}"),
                "search-type" => format!("/fhir/{kind}"),
                other => panic!("{other} is not known here"),
            });
        }
    }
    let document: Value = serde_json::from_str(&medical_app::http::openapi_document().unwrap()).unwrap();
    let paths = document["paths"].as_object().unwrap().keys();
    let mut offered: Vec<_> = paths.filter(|path| path.starts_with("/fhir")).cloned().collect();
    said.sort();
    offered.sort();
    assert_eq!(said, offered);
}

#[tokio::test]
async fn an_access_leaves_the_same_row_in_the_audit_log_as_in_the_rest_of_the_api() {
    let clinic = Clinic::open().await;
    let mine = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    let auditor = clinic.employ("auditor").await;
    let stranger = clinic.employ("doctor").await;
    let emergency = clinic.employ("nurse").await;
    clinic
        .give_emergency_access(emergency.id, mine.parse().unwrap(), "15 minutes")
        .await;
    let server = &clinic.server;
    let search = server
        .post("/api/patients/search")
        .json(&json!({"recordNumber": "MRN-1"}));
    let doctor = &clinic.token;
    let native = format!("/api/patients/{mine}");
    let ours = format!("/fhir/Patient/{mine}");
    let pairs = [
        (server.get(&native), server.get(&ours), doctor),
        (server.get(&native), server.get(&ours), &stranger.token),
        (server.get(&native), server.get(&ours), &emergency.token),
        (server.get(&native), server.get(&ours), &auditor.token),
        (server.get("/api/patients"), server.get("/fhir/Patient"), doctor),
        (search, server.get("/fhir/Patient?identifier=MRN-1"), doctor),
        (
            server.get("/api/audit-events"),
            server.get("/fhir/AuditEvent"),
            &auditor.token,
        ),
        (
            server.get("/api/audit-events"),
            server.get("/fhir/AuditEvent"),
            doctor,
        ),
    ];
    let mut superuser = clinic.deployment.connect("postgres").await;
    for (native, ours, token) in pairs {
        let mut rows = Vec::new();
        for request in [native, ours] {
            let answer = send(request, token).await;
            let request_id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
            let found: Vec<(Value,)> = sqlx::query_as(
                "SELECT to_jsonb(audit_event) - ARRAY['sequence', 'id', 'occurred_at', 'request_id', 'mac']
                 FROM audit_event WHERE request_id = $1::uuid",
            )
            .bind(request_id)
            .fetch_all(&mut superuser)
            .await
            .unwrap();
            assert_eq!(found.len(), 1);
            rows.push(found);
        }
        assert_eq!(rows[0], rows[1]);
    }
}

#[tokio::test]
async fn an_auditor_reads_the_rows_that_the_export_prints() {
    let clinic = Clinic::open().await;
    let id = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    let shred = [
        "patients",
        "shred",
        "--id",
        &id,
        "--reason",
        "erasure request 17",
        "--confirm",
    ];
    assert!(clinic.deployment.run_as_owner(&shred, "").status.success());
    let auditor = clinic.employ("auditor").await;

    let exported = clinic.deployment.run_as_owner(&["audit", "export"], "");
    let lines = String::from_utf8(exported.stdout).unwrap();
    let mut exported: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for event in &mut exported {
        event["meta"]["versionId"] = json!("1");
        event["meta"]["lastUpdated"] = event["recorded"].clone();
    }
    exported.reverse();
    let answer = send(clinic.server.get("/fhir/AuditEvent?_count=100"), &auditor.token).await;
    let bundle = resource(answer).await;
    let entries = bundle["entry"].as_array().unwrap();
    let served: Vec<_> = entries.iter().map(|entry| entry["resource"].clone()).collect();
    // The export is recorded itself, after the rows that it prints.
    assert_eq!(served[0]["subtype"][0]["code"], "export");
    assert_eq!(served[1..], exported);
    let opened = |event: &&Value| event["purposeOfEvent"][0]["text"] == "erasure request 17";
    assert_eq!(served.iter().filter(opened).count(), 1);

    for event in exported {
        let path = format!("/fhir/AuditEvent/{}", event["id"].as_str().unwrap());
        let answer = send(clinic.server.get(&path), &auditor.token).await;
        assert_eq!(answer.headers()["etag"], "W/\"1\"");
        assert_eq!(resource(answer).await, event);
    }
    let nowhere = clinic.server.get(&format!("/fhir/AuditEvent/{}", Uuid::new_v4()));
    let answer = send(nowhere, &auditor.token).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_eq!(outcome(answer).await.0, "not_found");
}
