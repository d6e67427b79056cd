//! Browsers: which origins may call, and what another site can make a browser send.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::deployment::{Clinic, USER_PASSWORD, patient, problem};

#[tokio::test]
async fn only_the_configured_origin_may_call_from_a_browser() {
    let clinic = Clinic::open().await;
    let preflight = async |origin: &str| {
        clinic
            .server
            .request(Method::OPTIONS, "/api/patients")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type")
            .send()
            .await
            .unwrap()
    };
    let allowed = preflight("https://app.example.org").await;
    assert_eq!(
        allowed.headers()["access-control-allow-origin"],
        "https://app.example.org"
    );
    assert_eq!(allowed.headers()["access-control-max-age"], "3600");
    assert!(!allowed.headers().contains_key("access-control-allow-credentials"));
    for origin in [
        "https://evil.example.org",
        "http://app.example.org",
        "https://app.example.org.evil.org",
        "null",
    ] {
        let answer = preflight(origin).await;
        assert!(
            !answer.headers().contains_key("access-control-allow-origin"),
            "{origin}"
        );
    }
}

#[tokio::test]
async fn another_site_cannot_make_a_browser_change_anything() {
    let clinic = Clinic::open().await;
    let admit = async |headers: &[(&str, &str)]| {
        let mut request = clinic
            .server
            .post("/api/patients")
            .bearer_auth(&clinic.token)
            .json(&patient("MRN-1"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    };
    for headers in [
        &[("sec-fetch-site", "cross-site"), ("cookie", "session=1")][..],
        &[("sec-fetch-site", "same-site"), ("cookie", "session=1")],
        &[
            ("sec-fetch-site", "cross-site"),
            ("origin", "https://evil.example.org"),
        ],
        &[("origin", "https://evil.example.org")],
        &[("origin", "null")],
        &[("sec-fetch-site", "planted")],
    ] {
        let answer = admit(headers).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{headers:?}");
        assert_eq!(problem(answer).await["code"], "cross_site_request");
    }
    let mut superuser = clinic.deployment.connect("postgres").await;
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM patient")
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    assert_eq!(stored, 0);

    // Our own pages, the configured origin, and programs that are no browsers.
    let login = async |headers: &[(&str, &str)]| {
        let body = json!({"email": "ada@clinic.example.org", "password": USER_PASSWORD});
        let mut request = clinic.server.post("/api/auth/login").json(&body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap().status()
    };
    for headers in [
        &[("sec-fetch-site", "same-origin")][..],
        &[
            ("sec-fetch-site", "cross-site"),
            ("origin", "https://app.example.org"),
        ],
        &[("origin", "https://clinic.example.org")],
        &[],
    ] {
        assert_eq!(login(headers).await, StatusCode::OK, "{headers:?}");
    }
    // Reading is for CORS to guard: the browser shows the answer to nobody else.
    let read = clinic
        .server
        .get("/api/patients")
        .header("sec-fetch-site", "cross-site")
        .bearer_auth(&clinic.token);
    assert_eq!(read.send().await.unwrap().status(), StatusCode::OK);
}
