//! Bad input, row by row: the right status, the member and the rule by name, nothing stored, nothing repeated.

use std::fmt::Write;

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::deployment::{Clinic, patient};

/// In most of the wrong values; it must come out nowhere.
const PLANTED: &str = "Zygplanted";

/// A valid body in which one member has this JSON text as its value.
fn with(member: &str, value: &str) -> Vec<u8> {
    let mut body = patient("MRN-1");
    body[member] = json!("@@");
    body.to_string().replace("\"@@\"", value).into_bytes()
}

/// Members with wrong values.
struct Rows(Vec<Row>);

/// Member, JSON text of its value, status, and what the problem names.
type Row = (&'static str, String, u16, &'static str);

impl Rows {
    fn add(&mut self, member: &'static str, status: u16, named: &'static str, values: &[String]) {
        let rows = values.iter().map(|value| (member, value.clone(), status, named));
        self.0.extend(rows);
    }
}

fn text(text: &str) -> String {
    format!("\"{text}\"")
}

fn long(length: usize) -> String {
    text(&"a".repeat(length))
}

fn names(rows: &mut Rows) {
    // What is no JSON text: surrogates without their other half, raw controls, numbers that are none.
    rows.add(
        "familyName",
        400,
        "malformed_request",
        &[
            text("\\ud800"),
            text("\\udc00Zygplanted"),
            text("Zygplanted\\ud83d"),
            text("\\ud83d\\ud83d"),
            text("Zygplanted\u{1}"),
            text("\\x41"),
            "NaN".to_owned(),
            "'Zygplanted'".to_owned(),
            "01".to_owned(),
            "\"Zygplanted".to_owned(),
        ],
    );
    rows.add(
        "familyName",
        422,
        "wrong_type",
        &[
            "42".to_owned(),
            "-0.0".to_owned(),
            "123456789012345678901234567890".to_owned(),
            "true".to_owned(),
            "[]".to_owned(),
            "{}".to_owned(),
            "[\"Zygplanted\"]".to_owned(),
            "{\"$gt\":\"\"}".to_owned(),
        ],
    );
    rows.add(
        "familyName",
        422,
        "required",
        &["null".to_owned(), text(""), text("   "), text("\\u00a0\\u2003")],
    );
    rows.add("familyName", 422, "too_long", &[long(101), long(50_000)]);
    rows.add(
        "familyName",
        422,
        "invalid_characters",
        &[
            text("Zygplanted\\u0000"),
            text("\\u0000"),
            text("Zygplanted\\u202e"),
            text("Zygplanted\\nB"),
            text("<script>Zygplanted</script>"),
            text("Robert'); DROP TABLE patient; --"),
            text("Zygplanted1"),
            text("\\ufeffZygplanted"),
            text("Zygplanted\\u200b"),
            text("🙂"),
            text("--"),
            text("'"),
            text("${jndi:ldap://Zygplanted}"),
        ],
    );
}

fn other_members(rows: &mut Rows) {
    rows.add(
        "recordNumber",
        422,
        "invalid_characters",
        &[
            text("-1"),
            text("MRN Zygplanted"),
            text("MRN;Zygplanted"),
            text("ＭＲＮ"),
            text("../../etc/Zygplanted"),
            text("MRN\\u0000Zygplanted"),
            text("MRN%00"),
            text("MRN-é"),
        ],
    );
    rows.add("recordNumber", 422, "too_long", &[long(65)]);
    rows.add(
        "recordNumber",
        422,
        "wrong_type",
        &["99999999999999999999".to_owned(), "1e5".to_owned()],
    );
    rows.add(
        "dateOfBirth",
        422,
        "malformed",
        &[
            text("2023-02-29"),
            text("1900-02-29"),
            text("2024-02-30"),
            text("2024-04-31"),
            text("2024-06-31"),
            text("2024-13-01"),
            text("2024-00-10"),
            text("2024-01-00"),
            text("2024-01-32"),
            text("-2024-01-01"),
            text("2024-1-1"),
            text("01.02.2000"),
            text("20240101"),
            text("2024-01-01T00:00:00Z"),
            text("２０００-01-01"),
            text("Zygplanted"),
        ],
    );
    rows.add("dateOfBirth", 422, "in_future", &[text("9999-12-31")]);
    rows.add(
        "dateOfBirth",
        422,
        "too_early",
        &[text("0000-01-01"), text("1700-08-31")],
    );
    rows.add(
        "dateOfBirth",
        422,
        "wrong_type",
        &["20000101".to_owned(), "{}".to_owned()],
    );
    rows.add("notes", 422, "too_long", &[long(10_001)]);
    rows.add("notes", 422, "wrong_type", &["42".to_owned(), "[]".to_owned()]);
    rows.add(
        "notes",
        422,
        "invalid_characters",
        &[
            text("Zygplanted\\u0000"),
            text("Zygplanted\\u001b[31m"),
            text("Zygplanted\\u0085x"),
            text("Zygplanted\\u2066"),
        ],
    );
}

/// Whole bodies that are wrong, with the status and what the problem names.
fn bodies() -> Vec<(Vec<u8>, u16, &'static str)> {
    let good = patient("MRN-1").to_string();
    let extended = |more: &str| format!("{}{more}}}", &good[..good.len() - 1]).into_bytes();
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let mut not_utf8 = good.clone().into_bytes();
    not_utf8[20] = 0xff;
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        (Vec::new(), 400, "malformed_request"),
        (b"{".to_vec(), 400, "malformed_request"),
        (b"\0".to_vec(), 400, "malformed_request"),
        (b"Zygplanted".to_vec(), 400, "malformed_request"),
        (b"null".to_vec(), 422, "wrong_type"),
        (b"[]".to_vec(), 422, "wrong_type"),
        (b"\"Zygplanted\"".to_vec(), 422, "wrong_type"),
        (b"{}".to_vec(), 422, "required"),
        (format!("{good}{good}").into_bytes(), 400, "malformed_request"),
        (format!("{good}Zygplanted").into_bytes(), 400, "malformed_request"),
        (format!("\u{feff}{good}").into_bytes(), 400, "malformed_request"),
        (
            format!("/* Zygplanted */{good}").into_bytes(),
            400,
            "malformed_request",
        ),
        (extended(","), 400, "malformed_request"),
        (not_utf8, 400, "malformed_request"),
        (utf16, 400, "malformed_request"),
        (nested(50_000).into_bytes(), 422, "wrong_type"),
        (
            extended(&format!(",\"Zygplanted\":{}", nested(5_000))),
            422,
            "unknown_member",
        ),
        (
            extended(",\"familyName\":\"Zygplanted\""),
            422,
            "duplicate_member",
        ),
        (extended(",\"admin\":true"), 422, "unknown_member"),
        (
            extended(",\"__proto__\":{\"Zygplanted\":1}"),
            422,
            "unknown_member",
        ),
        (
            extended(",\"id\":\"Zygplanted\",\"version\":7"),
            422,
            "unknown_member",
        ),
        (
            extended(&format!(",\"notes2\":\"{}\"", "a".repeat(200_000))),
            413,
            "body_too_large",
        ),
    ]
}

struct Failures(String);

impl Failures {
    async fn check(&mut self, label: &str, request: RequestBuilder, status: u16, named: &str) {
        let answer = request.send().await.unwrap();
        let (seen, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        let problem: Value = serde_json::from_str(&text).unwrap_or_default();
        let whole = format!("{headers:?} {text}");
        let leaks = [PLANTED, "panicked", "serde", "sqlx", "SELECT", " line ", "column"]
            .iter()
            .any(|word| whole.contains(word));
        let right = seen == status && text.contains(named) && problem["status"] == seen && !leaks;
        if !right {
            writeln!(self.0, "{label:.120}: {seen} {text} instead of {status} {named}").unwrap();
        }
    }
}

#[tokio::test]
async fn every_row_of_bad_input_gets_its_status_and_is_neither_stored_nor_repeated() {
    let clinic = Clinic::open().await;
    let server = &clinic.server;
    let mut failures = Failures(String::new());
    let mut rows = 0;
    let post = |body: Vec<u8>| server.post("/api/patients").bearer_auth(&clinic.token).body(body);
    let json = |body: Vec<u8>| post(body).header("content-type", "application/json");
    let mut wrong = Rows(Vec::new());
    names(&mut wrong);
    other_members(&mut wrong);
    for (member, value, status, named) in wrong.0 {
        let label = format!("{member} {value}");
        failures
            .check(&label, json(with(member, &value)), status, named)
            .await;
        if status == 422 {
            let pointer = format!("\"pointer\":\"/{member}\"");
            failures
                .check(&label, json(with(member, &value)), status, &pointer)
                .await;
        }
        rows += 1;
    }
    for (body, status, named) in bodies() {
        let label = String::from_utf8_lossy(&body).into_owned();
        failures.check(&label, json(body), status, named).await;
        rows += 1;
    }
    let good = || patient("MRN-1").to_string().into_bytes();
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application/xml",
        "application/problem+json",
        "*/*",
        "",
    ] {
        let request = post(good()).header("content-type", content_type);
        failures
            .check(content_type, request, 415, "unsupported_media_type")
            .await;
        rows += 1;
    }
    for encoding in ["gzip", "br", "deflate, gzip", "Zygplanted"] {
        let request = json(good()).header("content-encoding", encoding);
        failures
            .check(encoding, request, 415, "unsupported_media_type")
            .await;
        rows += 1;
    }
    for query in [
        "limit=0",
        "limit=101",
        "limit=-1",
        "limit=1e2",
        "limit=0x10",
        "limit=99999999999999999999",
        "limit=Zygplanted",
        "limit=",
        "limit=10%00",
        "limit=1&limit=2",
        "after=Zygplanted",
        "after=AAAA",
        "after=%ff%fe",
        "Zygplanted=1",
        "limit[]=1",
    ] {
        let request = server
            .get(&format!("/api/patients?{query}"))
            .bearer_auth(&clinic.token);
        failures.check(query, request, 422, "validation_failed").await;
        rows += 1;
    }
    for path in [
        "not-a-uuid",
        "%00",
        "..%2f..%2fetc",
        "00000000-0000-0000-0000-000000000000",
        "%f0%28%8c%28",
    ] {
        let request = server
            .get(&format!("/api/patients/{path}"))
            .bearer_auth(&clinic.token);
        failures.check(path, request, 404, "not_found").await;
        rows += 1;
    }
    for token in [
        "",
        "Zygplanted",
        "..",
        "eyJhbGciOiJub25lIn0.e30.",
        &"a".repeat(8_000),
    ] {
        let request = server.get("/api/patients").bearer_auth(token);
        failures.check(token, request, 401, "unauthenticated").await;
        rows += 1;
    }
    assert!(failures.0.is_empty(), "{}", failures.0);
    assert!(rows >= 60, "{rows}");

    let mut superuser = clinic.deployment.connect("postgres").await;
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM patient")
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    assert_eq!(stored, 0);
    assert!(!server.output().contains(PLANTED) && !server.metrics().await.contains(PLANTED));
}

#[tokio::test]
async fn ten_megabytes_of_headers_end_at_the_door_and_the_next_client_is_served() {
    let clinic = Clinic::open().await;
    let large = "a".repeat(10 * 1024 * 1024);
    for client in [
        clinic.deployment.client_builder().http1_only(),
        clinic.deployment.client_builder(),
    ] {
        let request = client.build().unwrap().get(clinic.server.url("/livez"));
        // The server may hang up before it has heard everything.
        if let Ok(answer) = request.header("x-large", &large).send().await {
            assert_eq!(answer.status().as_u16(), 431);
        }
    }
    assert_eq!(clinic.server.get("/livez").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn names_of_people_all_over_the_world_and_leap_days_are_accepted_and_come_back_composed() {
    let clinic = Clinic::open().await;
    for (number, name) in [
        "José",
        "Jose\u{301}",
        "O’Neil",
        "O'Neil",
        "Nguyễn",
        "王",
        "Jean-Luc",
        "St. John",
        "Αθηνά",
        "عائشة",
        "Владимир",
        "Müller-Lüdenscheidt",
        "Þórunn",
        "Łukasz",
        "Çağla",
        "ʻOkina".trim_start_matches('ʻ'),
        "देवनागरी",
        "ไทย",
        "한국",
        "Ñuñez",
        "D’Arc",
        "Al·lot",
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = patient(&format!("MRN-{number}"));
        body["familyName"] = json!(name);
        let date = ["2024-02-29", "2000-02-29", "1999-12-31", "2023-01-31"][number % 4];
        body["dateOfBirth"] = json!(date);
        let request = clinic
            .server
            .post("/api/patients")
            .bearer_auth(&clinic.token)
            .json(&body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 201, "{name}");
        let created: Value = answer.json().await.unwrap();
        assert_eq!(created["familyName"], name.replace("e\u{301}", "é"));
        assert_eq!(created["dateOfBirth"], date);
    }
}
