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

#[tokio::test]
async fn every_answer_errors_included_carries_the_protective_headers_and_a_request_id() {
    let clinic = Clinic::open().await;
    for path in ["/livez", "/api/patients", "/nowhere"] {
        let answer = clinic.server.get(path).send().await.unwrap();
        let headers = answer.headers();
        for (name, value) in [
            ("strict-transport-security", "max-age=31536000; includeSubDomains"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            (
                "content-security-policy",
                "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
            ),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(headers[name], value, "{path}");
        }
        assert!(
            headers.contains_key("x-request-id") && !headers.contains_key("server"),
            "{path}"
        );
    }
    let given = "018f3a52-4b1c-7c3e-9f00-1234567890ab";
    let answer = clinic
        .server
        .get("/livez")
        .header("x-request-id", given)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["x-request-id"], given);
}

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
