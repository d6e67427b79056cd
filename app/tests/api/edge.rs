//! The edge: TLS, its reload, headers, origins, slow and idle clients.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode, Version};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::deployment::{Clinic, Deployment, Server, install_provider, problem};
use crate::waiting::until;

type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// A connection of exactly one TLS version.
fn handshake(
    deployment: &Deployment,
    server: &Server,
    version: &'static SupportedProtocolVersion,
) -> std::io::Result<TlsStream> {
    install_provider();
    let mut roots = RootCertStore::empty();
    let authority = deployment.authority.certificate();
    roots
        .add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_protocol_versions(&[version])
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect(server.address)?;
    stream.set_read_timeout(Some(Duration::from_mins(2)))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

fn leaf(stream: &TlsStream) -> Vec<u8> {
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn tls_1_3_is_spoken_and_tls_1_2_and_plain_http_are_not() {
    let clinic = Clinic::open().await;
    let modern = handshake(&clinic.deployment, &clinic.server, &rustls::version::TLS13).unwrap();
    assert_eq!(
        modern.conn.protocol_version(),
        Some(rustls::ProtocolVersion::TLSv1_3)
    );
    let error = handshake(&clinic.deployment, &clinic.server, &rustls::version::TLS12).unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
    let plain = format!("http://localhost:{}/livez", clinic.server.address.port());
    assert!(clinic.server.client.get(plain).send().await.is_err());
}

#[tokio::test]
async fn tls_1_2_is_spoken_by_explicit_choice_with_authenticated_encryption_only() {
    let clinic = Clinic::open_with(&[("TLS_MIN_VERSION", "1.2")]).await;
    let old = handshake(&clinic.deployment, &clinic.server, &rustls::version::TLS12).unwrap();
    let suite = format!("{:?}", old.conn.negotiated_cipher_suite().unwrap().suite());
    assert!(
        suite.starts_with("TLS_ECDHE_") && (suite.contains("GCM") || suite.contains("POLY1305")),
        "{suite}"
    );
    handshake(&clinic.deployment, &clinic.server, &rustls::version::TLS13).unwrap();
}

#[tokio::test]
async fn http_2_and_http_1_are_negotiated() {
    let clinic = Clinic::open().await;
    assert_eq!(
        clinic.server.get("/livez").send().await.unwrap().version(),
        Version::HTTP_2
    );
    // This client offers no ALPN.
    let mut stream = handshake(&clinic.deployment, &clinic.server, &rustls::version::TLS13).unwrap();
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_new_certificate_is_used_without_a_restart_a_broken_one_is_not_and_open_connections_go_on() {
    let clinic = Clinic::open().await;
    let path = |name: &str| clinic.deployment.directory.path().join(name);
    let connect = || handshake(&clinic.deployment, &clinic.server, &rustls::version::TLS13).unwrap();
    let mut old = connect();
    let first = leaf(&old);

    std::fs::write(path("tls.crt"), "not a certificate").unwrap();
    until("the failure in the metrics", async || {
        clinic
            .server
            .metrics()
            .await
            .contains(r#"tls_reloads_total{outcome="failure"} 1"#)
            .then_some(())
    })
    .await;
    assert_eq!(leaf(&connect()), first);

    // As Kubernetes does it: one rename of a symbolic link changes both files at once.
    let identity = clinic.deployment.authority.identity();
    identity.write(&path("new.crt"), &path("new.key"));
    std::fs::rename(path("new.key"), path("tls.key")).unwrap();
    std::fs::rename(path("new.crt"), path("tls.crt")).unwrap();
    let second = until("the new certificate", async || {
        Some(leaf(&connect())).filter(|leaf| *leaf != first)
    })
    .await;
    assert_eq!(
        second,
        CertificateDer::from_pem_slice(identity.certificate.as_bytes())
            .unwrap()
            .to_vec()
    );

    old.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    old.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// The whole table (requirements section 6).
const HEADERS: [(&str, &str); 10] = [
    ("strict-transport-security", "max-age=31536000; includeSubDomains"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    (
        "permissions-policy",
        "camera=(), microphone=(), payment=(), geolocation=(), usb=()",
    ),
    (
        "content-security-policy",
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    ("x-xss-protection", "0"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];

#[tokio::test]
async fn every_answer_of_every_status_carries_the_protective_headers_and_a_request_id() {
    let clinic = Clinic::open_with(&[("RATE_LIMITS", "write.account=3/86400")]).await;
    let server = &clinic.server;
    let admit = || server.post("/api/patients").bearer_auth(&clinic.token);
    let json = |body: &'static str| admit().header("content-type", "application/json").body(body);
    for (request, status) in [
        (server.get("/livez"), 200),
        (server.get("/api/patients").bearer_auth(&clinic.token), 200),
        (server.get("/api/patients"), 401),
        (server.get("/nowhere"), 404),
        (server.request(Method::DELETE, "/api/patients"), 405),
        (server.request(Method::TRACE, "/api/patients"), 405),
        (admit().body("{}"), 415),
        (json("{"), 400),
        (json("{}"), 422),
        (json("{}"), 429),
        (
            server
                .post("/api/auth/login")
                .header("sec-fetch-site", "cross-site"),
            403,
        ),
    ] {
        let answer = request.send().await.unwrap();
        let headers = answer.headers().clone();
        assert_eq!(answer.status().as_u16(), status);
        for (name, value) in HEADERS {
            assert_eq!(headers[name], value, "{status}");
        }
        assert!(
            headers.contains_key("x-request-id") && !headers.contains_key("server"),
            "{status}"
        );
        if status == 405 {
            assert_eq!(headers["allow"], "GET,HEAD,POST", "{status}");
        }
        if status >= 400 {
            problem(answer).await;
        }
    }
    let given = "018f3a52-4b1c-7c3e-9f00-1234567890ab";
    let answer = server
        .get("/livez")
        .header("x-request-id", given)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["x-request-id"], given);
}

#[tokio::test]
async fn the_trace_of_the_caller_is_in_the_log_and_a_forged_one_is_not() {
    let clinic = Clinic::open().await;
    for parent in [
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-planted-planted-01",
    ] {
        let list = clinic.server.get("/api/patients").header("traceparent", parent);
        list.send().await.unwrap();
    }
    until("the trace in the log", async || {
        let line = r#""trace_id":"4bf92f3577b34da6a3ce929d0e0e4736""#;
        clinic.server.output().contains(line).then_some(())
    })
    .await;
    assert!(!clinic.server.output().contains("planted"));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let clinic = Clinic::open().await;
    let mut stream = handshake(&clinic.deployment, &clinic.server, &rustls::version::TLS13).unwrap();
    let head = format!(
        "GET /livez HTTP/1.1\r\nhost: localhost\r\nx-large: {}\r\n\r\n",
        "a".repeat(64 * 1024)
    );
    // The server may hang up before it has read everything.
    drop(stream.write_all(head.as_bytes()));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
}

/// Reads until the server hangs up.
async fn hangs_up(mut stream: TlsStream) -> String {
    tokio::task::spawn_blocking(move || {
        let mut answer = Vec::new();
        // A cut without a farewell is fine, too.
        drop(stream.read_to_end(&mut answer));
        String::from_utf8_lossy(&answer).into_owned()
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn connections_that_send_nothing_or_a_head_or_a_body_without_end_are_cut_while_others_are_served() {
    let clinic = Clinic::open().await;
    let connect = || handshake(&clinic.deployment, &clinic.server, &rustls::version::TLS13).unwrap();
    let started = Instant::now();
    let silent = connect();
    let mut head = connect();
    head.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx-a: ")
        .unwrap();
    let mut body = connect();
    body.write_all(
        format!(
            "POST /api/patients HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: 1000\r\n\r\n{{",
            clinic.token
        )
        .as_bytes(),
    )
    .unwrap();
    let (silent, head, body) = tokio::join!(hangs_up(silent), hangs_up(head), hangs_up(body));
    assert!(
        started.elapsed() < Duration::from_secs(100),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(silent, "");
    assert!(head.is_empty() || head.starts_with("HTTP/1.1 408"), "{head}");
    assert!(body.starts_with("HTTP/1.1 408"), "{body}");
    let metrics = clinic.server.metrics().await;
    assert!(
        metrics.contains(r#"db_pool_connections{state="used"} 0"#),
        "{metrics}"
    );
    let answer = clinic.server.get("/api/patients").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    problem(answer).await;
}
