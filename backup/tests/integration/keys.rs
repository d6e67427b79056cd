//! Keys: who can open a dump, and what `keygen` does not do.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::program::{Backups, run};
use crate::server::Server;

#[test]
fn a_wrong_identity_is_refused_and_the_right_recipient_is_named() {
    let server = Server::start_empty();
    let backups = Backups::new(&server);
    backups.dump().result();
    backups.keygen("-other");
    let mut verify = backups.command("verify");
    verify
        .arg("--directory")
        .arg(&backups.folder)
        .arg("--identity-file")
        .arg(server.path("identity-other"));
    let message = run(&mut verify).failure();
    let recipient = fs::read_to_string(server.path("recipient")).unwrap();
    assert!(
        message.contains("none of the identities opens this dump"),
        "{message}"
    );
    assert!(message.contains(recipient.trim()), "{message}");
}

#[test]
fn an_identity_in_place_of_the_recipient_is_refused_without_being_shown() {
    let server = Server::start_empty();
    let backups = Backups::new(&server);
    fs::copy(server.path("identity"), server.path("recipient")).unwrap();
    let dump = backups.dump();
    assert!(dump.failure().contains("must hold exactly one age recipient"));
    assert!(!dump.stderr.contains("AGE-SECRET-KEY-1") || dump.stderr.contains("AGE-SECRET-KEY-1…"));
    assert!(backups.files().is_empty());
}

#[test]
fn keygen_overwrites_no_key_and_keeps_the_identity_private() {
    let server = Server::start_empty();
    let backups = Backups::new(&server);
    let identity = fs::read_to_string(server.path("identity")).unwrap();
    assert_eq!(
        fs::metadata(server.path("identity"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
    let mut keygen = backups.command("keygen");
    let message = run(keygen.arg("--identity-file").arg(server.path("identity"))).failure();
    assert!(message.contains("never overwritten"), "{message}");
    assert_eq!(fs::read_to_string(server.path("identity")).unwrap(), identity);

    let printed = run(&mut backups.command("keygen")).stdout;
    assert!(printed.starts_with("# recipient: age1") && printed.contains("\nAGE-SECRET-KEY-1"));
}
