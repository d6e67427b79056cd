//! Rate limits: shared by processes, told in header fields, counted by the right address.

use std::collections::BTreeMap;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::deployment::{Clinic, Server, USER_PASSWORD, problem};

/// Statuses of the answers, and how often each.
async fn statuses(server: &Server, token: &str, requests: usize) -> BTreeMap<u16, usize> {
    let mut seen = BTreeMap::new();
    for _ in 0..requests {
        let answer = server
            .get("/api/patients")
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        *seen.entry(answer.status().as_u16()).or_default() += 1;
    }
    seen
}

#[tokio::test]
async fn three_processes_on_one_database_hold_one_limit_within_the_stated_bound() {
    // The window is so long that time pays for nothing during the test.
    let first = Clinic::open_with(&[("RATE_LIMITS", "read.account=100/86400,read.address=100000/60")]).await;
    let (second, third) = tokio::join!(first.deployment.serve(), first.deployment.serve());
    let (a, b, c) = tokio::join!(
        statuses(&first.server, &first.token, 100),
        statuses(&second, &first.token, 100),
        statuses(&third, &first.token, 100),
    );
    let count = |status| {
        [&a, &b, &c]
            .iter()
            .filter_map(|seen| seen.get(&status))
            .sum::<usize>()
    };
    let (admitted, refused) = (count(200), count(429));
    assert_eq!(admitted + refused, 300, "{a:?} {b:?} {c:?}");
    // A tenth of the quota for each process, at most.
    assert!((100..=130).contains(&admitted), "{admitted} were admitted");
    for server in [&first.server, &second, &third] {
        assert!(
            server
                .metrics()
                .await
                .contains(r#"rate_limit_rejections_total{class="read",scope="account"}"#)
        );
    }
}

#[tokio::test]
async fn attempts_to_log_in_are_counted_exactly_whichever_process_they_reach() {
    let clinic = Clinic::open().await;
    let (second, third) = tokio::join!(clinic.deployment.serve(), clinic.deployment.serve());
    let servers = [&clinic.server, &second, &third];
    let attempt = async |server: &Server| {
        let body = json!({"email": "ada@clinic.example.org", "password": "wrong horse battery staple"});
        let answer = server.post("/api/auth/login").json(&body).send().await.unwrap();
        answer.status()
    };
    for number in 0..5 {
        assert_eq!(attempt(servers[number % 3]).await, StatusCode::UNAUTHORIZED);
    }
    for server in servers {
        assert_eq!(attempt(server).await, StatusCode::TOO_MANY_REQUESTS);
    }
}

#[tokio::test]
async fn every_way_to_prove_an_identity_without_a_token_counts_as_an_attempt_of_the_address() {
    // The clinic's own login was the first.
    let clinic = Clinic::open_with(&[("RATE_LIMITS", "login.address=4/86400")]).await;
    let attempts = [
        ("/api/auth/refresh", json!({"refresh_token": "unknown"})),
        (
            "/api/auth/password-reset",
            json!({"token": "unknown", "new_password": USER_PASSWORD}),
        ),
        (
            "/api/auth/login",
            json!({"email": "nobody@clinic.example.org", "password": USER_PASSWORD}),
        ),
    ];
    let status = async |(path, body): &(&str, Value)| {
        let answer = clinic.server.post(path).json(body).send().await.unwrap();
        answer.status()
    };
    for attempt in &attempts {
        assert_eq!(status(attempt).await, StatusCode::UNAUTHORIZED, "{attempt:?}");
    }
    for attempt in &attempts {
        assert_eq!(
            status(attempt).await,
            StatusCode::TOO_MANY_REQUESTS,
            "{attempt:?}"
        );
    }
}

#[tokio::test]
async fn answers_tell_what_is_left_and_a_refusal_when_to_come_back_and_probes_are_never_counted() {
    let clinic = Clinic::open_with(&[("RATE_LIMITS", "read.account=2/600,read.address=100/60")]).await;
    let list = async || {
        clinic
            .server
            .get("/api/patients")
            .bearer_auth(&clinic.token)
            .send()
            .await
            .unwrap()
    };
    let answer = list().await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(
        answer.headers()["ratelimit-policy"],
        "\"read-address\";q=100;w=60, \"read-account\";q=2;w=600"
    );
    let left = answer.headers()["ratelimit"].to_str().unwrap().to_owned();
    assert!(left.contains("\"read-account\";r=1;t="), "{left}");
    assert_eq!(list().await.status(), StatusCode::OK);

    let refused = list().await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let left = refused.headers()["ratelimit"].to_str().unwrap().to_owned();
    assert!(left.contains("\"read-account\";r=0;t="), "{left}");
    let wait: u64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((200..=300).contains(&wait), "{wait}");
    assert_eq!(problem(refused).await["code"], "too_many_requests");

    // Writes have a limit of their own, and probes have none.
    clinic.admit("MRN-1").await;
    for _ in 0..150 {
        let probe = clinic.server.get("/livez").send().await.unwrap();
        assert_eq!(probe.status(), StatusCode::OK);
        assert!(!probe.headers().contains_key("ratelimit"));
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_client_is_counted_and_audited_and_cannot_invent_another_address() {
    let limits = ("RATE_LIMITS", "read.address=3/86400");
    let clinic = Clinic::open_with(&[limits, ("TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let list = async |forwarded: &str| {
        clinic
            .server
            .get("/api/patients")
            .header("x-forwarded-for", forwarded)
            .bearer_auth(&clinic.token)
            .send()
            .await
            .unwrap()
            .status()
    };
    for _ in 0..3 {
        assert_eq!(list("192.0.2.1").await, StatusCode::OK);
    }
    assert_eq!(list("192.0.2.1").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        list("203.0.113.7, 192.0.2.1").await,
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(list("192.0.2.2").await, StatusCode::OK);
    // One IPv6 subscriber has a whole /64.
    for host in 1..=3 {
        assert_eq!(list(&format!("2001:db8::{host}")).await, StatusCode::OK);
    }
    assert_eq!(list("2001:db8::4").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(list("2001:db8:0:1::1").await, StatusCode::OK);

    let mut superuser = clinic.deployment.connect("postgres").await;
    let recorded: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT client_address FROM audit_event WHERE action = 'list' AND client_address LIKE '192%'
         ORDER BY 1",
    )
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    assert_eq!(recorded, ["192.0.2.1", "192.0.2.2"]);
}

#[tokio::test]
async fn without_trusted_proxies_a_forwarded_address_changes_nothing() {
    let clinic = Clinic::open_with(&[("RATE_LIMITS", "read.address=3/86400")]).await;
    let mut seen = Vec::new();
    for host in 1..=4 {
        let answer = clinic
            .server
            .get("/api/patients")
            .header("x-forwarded-for", format!("192.0.2.{host}"))
            .header("forwarded", format!("for=192.0.2.{host}"))
            .bearer_auth(&clinic.token)
            .send()
            .await
            .unwrap();
        seen.push(answer.status().as_u16());
    }
    assert_eq!(seen, [200, 200, 200, 429]);
}
