//! Searches by FHIR R4: pages, parameters, and those that are not known.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::deployment::Clinic;
use crate::fhir::{outcome, resource};

/// Where the server says that it is.
const BASE: &str = "https://clinic.example.org/fhir";

/// The URL of a link, as it is and as a path.
fn link(bundle: &Value, relation: &str) -> Option<String> {
    let links = bundle["link"].as_array().unwrap();
    let link = links.iter().find(|link| link["relation"] == relation)?;
    let url = link["url"].as_str().unwrap();
    Some(format!("/fhir{}", url.strip_prefix(BASE).unwrap()))
}

async fn bundle(clinic: &Clinic, path: &str, token: &str) -> Value {
    let request = clinic.server.get(path).bearer_auth(token);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    let bundle = resource(answer).await;
    assert_eq!(
        (&bundle["resourceType"], &bundle["type"]),
        (&json!("Bundle"), &json!("searchset"))
    );
    bundle
}

fn ids(bundle: &Value) -> Vec<String> {
    let entries = bundle["entry"].as_array().into_iter().flatten();
    entries
        .map(|entry| {
            let id = entry["resource"]["id"].as_str().unwrap();
            let kind = entry["resource"]["resourceType"].as_str().unwrap();
            assert_eq!(entry["fullUrl"], format!("{BASE}/{kind}/{id}"));
            assert_eq!(entry["search"]["mode"], "match");
            id.to_owned()
        })
        .collect()
}

#[tokio::test]
async fn next_links_lead_through_120_patients_and_their_audit_log_once_each() {
    let clinic = Clinic::open().await;
    let mut admitted = Vec::new();
    for number in 0..120 {
        let patient = clinic.admit(&format!("MRN-{number}")).await;
        admitted.push(patient["id"].as_str().unwrap().to_owned());
    }
    let mut seen = Vec::new();
    let mut pages = Vec::new();
    let mut next = Some("/fhir/Patient?_count=50".to_owned());
    while let Some(path) = next {
        let page = bundle(&clinic, &path, &clinic.token).await;
        pages.push(ids(&page).len());
        seen.extend(ids(&page));
        next = link(&page, "next");
    }
    assert_eq!(pages, [50, 50, 20]);
    assert_eq!(seen, admitted);

    let auditor = clinic.employ("auditor").await;
    let mut subjects = Vec::new();
    let mut next = Some("/fhir/AuditEvent?_count=50".to_owned());
    while let Some(path) = next {
        let page = bundle(&clinic, &path, &auditor.token).await;
        for entry in page["entry"].as_array().into_iter().flatten() {
            let event = &entry["resource"];
            if event["subtype"][0]["code"] == "create" {
                let subject = event["entity"][1]["what"]["reference"].as_str();
                subjects.extend(subject.map(str::to_owned));
            }
        }
        next = link(&page, "next");
    }
    let newest_first: Vec<_> = admitted.iter().rev().map(|id| format!("Patient/{id}")).collect();
    assert_eq!(subjects, newest_first);
}

#[tokio::test]
async fn a_patient_is_found_by_id_and_by_record_number_with_its_system_or_without_any() {
    let clinic = Clinic::open().await;
    let first = clinic.admit("MRN-1").await["id"].as_str().unwrap().to_owned();
    let second = clinic.admit("MRN-2").await["id"].as_str().unwrap().to_owned();
    let system = "https%3A%2F%2Fclinic.example.org%2Ffhir%2Fsid%2Frecord-number";
    let found = [
        (format!("_id={first}"), vec![first.clone()]),
        ("identifier=mrn-2".to_owned(), vec![second.clone()]),
        (format!("identifier={system}%7CMRN-1"), vec![first.clone()]),
        (format!("identifier=MRN-1&_id={first}"), vec![first]),
        (format!("identifier=MRN-1&_id={second}"), vec![]),
        (
            "identifier=https://elsewhere.example.org%7CMRN-1".to_owned(),
            vec![],
        ),
        ("identifier=%7CMRN-1".to_owned(), vec![]),
        ("identifier=MRN-3".to_owned(), vec![]),
        ("_id=not-a-uuid".to_owned(), vec![]),
    ];
    for (query, expected) in found {
        let bundle = bundle(&clinic, &format!("/fhir/Patient?{query}"), &clinic.token).await;
        assert_eq!(ids(&bundle), expected, "{query}");
        assert_eq!(bundle["total"], expected.len(), "{query}");
        assert!(link(&bundle, "next").is_none());
    }
    let stranger = clinic.employ("doctor").await;
    for query in [format!("_id={second}"), "identifier=MRN-2".to_owned()] {
        let bundle = bundle(&clinic, &format!("/fhir/Patient?{query}"), &stranger.token).await;
        assert_eq!(bundle["total"], 0, "{query}");
    }
}

#[tokio::test]
async fn a_parameter_that_is_wrong_is_400_and_named_and_its_value_is_not_repeated() {
    let clinic = Clinic::open().await;
    let auditor = clinic.employ("auditor").await;
    for (path, place) in [
        ("Patient?_count=0", "http._count"),
        ("Patient?_count=planted", "http._count"),
        ("Patient?_count=-1", "http._count"),
        ("Patient?_count=1&_count=2", "http._count"),
        ("Patient?_cursor=planted", "http._cursor"),
        ("Patient?_id=", "http._id"),
        ("Patient?_id=planted,planted", "http._id"),
        ("Patient?_id:not=planted", "http._id"),
        ("Patient?identifier=planted%20value", "http.identifier"),
        ("Patient?identifier:of-type=planted", "http.identifier"),
        ("AuditEvent?_count=planted", "http._count"),
        ("AuditEvent?_cursor=_____________________w", "http._cursor"),
    ] {
        let token = if path.starts_with("Patient") {
            &clinic.token
        } else {
            &auditor.token
        };
        let request = clinic.server.get(&format!("/fhir/{path}")).bearer_auth(token);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}");
        let (code, places) = outcome(answer).await;
        assert_eq!(
            (code.as_str(), places),
            ("malformed_request", vec![place.to_owned()]),
            "{path}"
        );
        assert!(!clinic.server.output().contains("planted"));
    }
    let request = clinic
        .server
        .get("/fhir/Patient?_id=planted,&identifier=planted%20value");
    let answer = request.bearer_auth(&clinic.token).send().await.unwrap();
    let text = answer.text().await.unwrap();
    assert!(!text.contains("planted"), "{text}");
}

#[tokio::test]
async fn an_unknown_parameter_is_left_out_of_the_self_link_or_refused_when_the_client_is_strict() {
    let clinic = Clinic::open().await;
    clinic.admit("MRN-1").await;
    let path = "/fhir/Patient?name=Nobody&_count=1000&_pretty=true&birthdate:missing=true";
    let found = bundle(&clinic, path, &clinic.token).await;
    assert_eq!(ids(&found).len(), 1);
    assert_eq!(link(&found, "self").unwrap(), "/fhir/Patient?_count=100");
    let path = "/fhir/Patient?identifier=MRN-1&name=Nobody";
    let found = bundle(&clinic, path, &clinic.token).await;
    assert_eq!(
        link(&found, "self").unwrap(),
        "/fhir/Patient?identifier=MRN-1&_count=25"
    );

    for (prefer, status) in [
        ("handling=strict", StatusCode::BAD_REQUEST),
        ("return=minimal, Handling=\"strict\"", StatusCode::BAD_REQUEST),
        ("handling=lenient", StatusCode::OK),
    ] {
        let request = clinic
            .server
            .get("/fhir/Patient?name=Nobody&_count=1")
            .header("prefer", prefer);
        let answer = request.bearer_auth(&clinic.token).send().await.unwrap();
        assert_eq!(answer.status(), status, "{prefer}");
        if status == StatusCode::BAD_REQUEST {
            assert_eq!(outcome(answer).await.1, ["http.name"]);
        }
    }
}
