//! Reaching the database: waiting, giving up, and being refused.

use std::fs;
use std::time::Instant;

use rcgen_ring::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::program::{Backups, finish, run, start};
use crate::server::{Server, give_away};

#[test]
fn a_dump_waits_for_a_database_that_is_not_there_yet() {
    let mut server = Server::start_empty();
    server.stop();
    let child = {
        let backups = Backups::new(&server);
        let mut dump = start(&mut backups.dump_command("app", "daily"));
        let mut line = String::new();
        let mut stderr = std::io::BufReader::new(dump.stderr.take().unwrap());
        std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
        assert!(line.contains("waiting for the database"), "{line}");
        // Keeps the pipe open, so that the dump can go on logging.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        dump
    };
    server.start_up();
    finish(child).result();
}

#[test]
fn a_database_that_never_comes_is_an_error_after_the_time_allowed() {
    let mut server = Server::start_empty();
    server.stop();
    let backups = Backups::new(&server);
    let message = run(backups
        .dump_command("app", "daily")
        .args(["--connect-wait-seconds", "1"]))
    .failure();
    assert!(
        message.contains("no connection to app at") && message.contains("after 1 s"),
        "{message}"
    );
    assert!(message.contains("NetworkPolicy"), "{message}");
    assert!(backups.files().is_empty());
}

#[test]
fn a_refusal_that_will_not_change_is_not_waited_for() {
    let server = Server::start_empty();
    let backups = Backups::new(&server);
    let started = Instant::now();
    let message = run(&mut backups.dump_command("nowhere", "daily")).failure();
    assert!(
        message.contains("database \"nowhere\" does not exist"),
        "{message}"
    );
    let message = run(&mut backups.dump_with(&[("--username", "nobody_here")])).failure();
    assert!(
        message.contains("role \"nobody_here\" does not exist"),
        "{message}"
    );
    assert!(started.elapsed().as_secs() < 30);
}

#[test]
fn a_role_that_policies_bind_is_refused_instead_of_dumping_the_rows_it_may_see() {
    let server = Server::start();
    let backups = Backups::new(&server);
    server.sql("app", "ALTER ROLE medical_backup NOBYPASSRLS");
    let message = backups.dump().failure();
    assert!(
        message.contains("row-level security") && message.contains("give it BYPASSRLS"),
        "{message}"
    );
    assert!(backups.files().is_empty());

    server.sql(
        "app",
        "ALTER ROLE medical_backup BYPASSRLS; REVOKE pg_read_all_data FROM medical_backup",
    );
    let message = backups.dump().failure();
    assert!(
        message.contains("permission denied") && message.contains("Grant pg_read_all_data"),
        "{message}"
    );
    assert!(backups.files().is_empty());
}

/// Makes a certificate authority and a certificate for `localhost`, and has the server use it on TCP.
fn serve_tls(server: &mut Server) -> u16 {
    let authority = |name: &str| {
        let mut parameters = CertificateParams::new([name.to_owned()]).unwrap();
        // Issuer and subject of the server's certificate must differ, or it passes for a self-signed one.
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
    };
    let (ca, other) = (authority("ca"), authority("other"));
    let key = KeyPair::generate().unwrap();
    let parameters = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = parameters.signed_by(&key, &ca).unwrap();
    for (name, text) in [
        ("ca.crt", ca.pem()),
        ("other.crt", other.pem()),
        ("server.crt", certificate.pem()),
        ("server.key", key.serialize_pem()),
    ] {
        let path = server.path(name);
        fs::write(&path, text).unwrap();
        give_away(&path);
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let certificate = format!("ssl_cert_file={}", server.path("server.crt").display());
    let key = format!("ssl_key_file={}", server.path("server.key").display());
    server.stop();
    server.start_on(
        port,
        &["listen_addresses=localhost", "ssl=on", &certificate, &key],
    );
    port
}

#[test]
fn the_server_is_checked_against_the_certificate_authority_and_its_name() {
    let mut server = Server::start_empty();
    let port = serve_tls(&mut server).to_string();
    let backups = Backups::new(&server);
    fs::write(server.path("password"), "planted-password\n").unwrap();
    fs::write(server.path("wrong"), "planted-but-wrong\n").unwrap();
    let dump = |host: &str, authority: &str, password: &str| {
        let (authority, password) = (server.path(authority), server.path(password));
        let run = run(&mut backups.dump_with(&[
            ("--host", host),
            ("--port", &port),
            ("--ssl-root-cert", authority.to_str().unwrap()),
            ("--password-file", password.to_str().unwrap()),
        ]));
        assert!(!run.stderr.contains("planted"), "{run:?}");
        run
    };
    for (host, authority, why) in [
        ("localhost", "other.crt", "certificate verify failed"),
        ("127.0.0.1", "ca.crt", "does not match host name"),
        ("localhost", "missing.crt", "does not exist"),
    ] {
        let message = dump(host, authority, "password").failure();
        assert!(
            message.contains(why) && message.contains("certificate authority"),
            "{message}"
        );
    }
    let message = dump("localhost", "ca.crt", "wrong").failure();
    assert!(
        message.contains("password authentication failed") && message.contains("Check user"),
        "{message}"
    );
    assert!(backups.files().is_empty());
    dump("localhost", "ca.crt", "password").result();
}
