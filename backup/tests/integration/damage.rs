//! Dumps that are not what they should be, and databases that must not be restored into.

use std::fs;

use medical_backup::digest::DigestingWriter;

use crate::program::{Backups, files, run};
use crate::server::Server;

#[test]
fn one_flipped_byte_anywhere_makes_verify_fail_with_the_file_and_what_to_do() {
    let server = Server::start();
    let backups = Backups::new(&server);
    backups.dump().result();
    let (path, _) = backups.newest();
    let good = fs::read(&path).unwrap();
    for position in [0, 40, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[position] ^= 1;
        fs::write(&path, &bad).unwrap();
        let message = backups.verify().failure();
        assert!(
            message.contains(path.file_name().unwrap().to_str().unwrap()),
            "{message}"
        );
        assert!(
            message.contains("SHA-256") && message.contains("choose an older one"),
            "{message}"
        );
        assert_eq!(backups.termination_message(), message);
    }
    assert!(
        backups.restore("postgres").failure().contains("SHA-256"),
        "before the database is looked at"
    );
    fs::write(&path, &good).unwrap();
    backups.verify().result();
}

#[test]
fn a_damaged_dump_with_a_matching_manifest_is_refused_by_its_encryption_and_nothing_is_restored() {
    let server = Server::start();
    let backups = Backups::new(&server);
    server.sql(
        "app",
        "CREATE TABLE clinic.noise AS SELECT md5(n::text) FROM generate_series(1, 30000) AS n",
    );
    backups.dump().result();
    let (path, _) = backups.newest();
    let good = fs::read(&path).unwrap();
    server.create_database("copy");
    server.sql("copy", "CREATE EXTENSION pg_stat_statements;");
    assert!(
        good.len() > 400_000,
        "the damage lies behind what pg_restore has begun with"
    );
    for (bad, why) in [
        (good[..good.len() - 1].to_vec(), "cut by a byte"),
        (good[..good.len() / 2].to_vec(), "cut in half"),
        (good[..65_536 * 3 + 216].to_vec(), "cut at the end of a chunk"),
        ([&good[..good.len() - 9], &[0; 9]].concat(), "ends in zeros"),
    ] {
        fs::write(&path, &bad).unwrap();
        let mut digest = DigestingWriter::new(std::io::sink());
        std::io::Write::write_all(&mut digest, &bad).unwrap();
        let (_, sha256, bytes) = digest.finish();
        backups.edit_manifest(|manifest| (manifest.sha256, manifest.bytes) = (sha256, bytes));

        let message = backups.restore("copy").failure();
        assert!(message.contains("as empty as before"), "{why}: {message}");
        let left = server.sql(
            "copy",
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'clinic'",
        );
        assert_eq!(left, "0", "{why}");
        assert!(!backups.verify().success, "{why}");
    }
}

#[test]
fn a_truncated_dump_and_a_missing_or_foreign_manifest_are_told_apart() {
    let server = Server::start();
    let backups = Backups::new(&server);
    backups.dump().result();
    let (path, manifest) = backups.newest();
    let manifest_path = backups.folder.join(backups.dumps()[0].name.manifest_file_name());

    backups.edit_manifest(|manifest| manifest.database = "other".into());
    assert!(backups.verify().failure().contains("belongs to another dump"));
    fs::write(&manifest_path, "{").unwrap();
    assert!(backups.verify().failure().contains("is not a manifest"));
    fs::remove_file(&manifest_path).unwrap();
    assert!(backups.verify().failure().contains("its manifest is missing"));

    fs::write(&manifest_path, serde_json::to_string(&manifest).unwrap()).unwrap();
    fs::write(&path, &fs::read(&path).unwrap()[..2000]).unwrap();
    let message = backups.verify().failure();
    assert!(
        message.contains(&format!("2000 bytes and its manifest says {}", manifest.bytes)),
        "{message}"
    );
    let listed = run(backups.command("list").arg("--directory").arg(&backups.folder));
    assert!(
        listed.stdout.contains("DAMAGED: it has 2000 bytes"),
        "{}",
        listed.stdout
    );
}

#[test]
fn rows_that_differ_from_the_manifest_are_named_by_table() {
    let server = Server::start();
    let backups = Backups::new(&server);
    backups.dump().result();
    backups.edit_manifest(|manifest| {
        manifest.tables.insert("clinic.audit".into(), 51);
        manifest.tables.insert("clinic.gone".into(), 1);
    });
    let message = backups.verify().failure();
    assert!(
        message.contains("clinic.audit: 51 rows expected, 50 found"),
        "{message}"
    );
    assert!(
        message.contains("clinic.gone: 1 rows expected, the table is missing"),
        "{message}"
    );
    assert_eq!(files(&server.path("scratch")), [""; 0]);
}

#[test]
fn a_dump_of_a_newer_version_is_refused_with_both_versions() {
    let server = Server::start_empty();
    let backups = Backups::new(&server);
    backups.dump().result();
    backups.edit_manifest(|manifest| manifest.pg_dump_version = "99.1".into());
    let message = backups.verify().failure();
    assert!(
        message.contains("made by pg_dump 99.1") && message.contains("of that version"),
        "{message}"
    );
}

#[test]
fn a_database_that_holds_anything_is_refused_and_stays_as_it_is() {
    let server = Server::start();
    let backups = Backups::new(&server);
    backups.dump().result();
    for (database, made) in [
        ("one", "CREATE TABLE mine (x int)"),
        ("two", "CREATE SCHEMA mine"),
        (
            "three",
            "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        ),
        ("four", "CREATE TYPE mine AS ENUM ()"),
        ("five", "SELECT lo_create(0)"),
    ] {
        server.create_database(database);
        server.sql(database, made);
        let message = backups.restore(database).failure();
        assert!(
            message.contains("is not empty") && message.contains("Create a new database"),
            "{message}"
        );
        assert_eq!(
            server.sql(
                database,
                "SELECT count(*) FROM pg_namespace WHERE nspname = 'clinic'"
            ),
            "0"
        );
    }
}

#[test]
fn a_restore_without_the_roles_of_the_dump_names_them() {
    let server = Server::start();
    let backups = Backups::new(&server);
    server.sql(
        "app",
        "CREATE ROLE auditor; GRANT SELECT ON clinic.audit TO auditor;",
    );
    backups.dump().result();
    server.sql("app", "DROP OWNED BY auditor; DROP ROLE auditor;");
    backups.verify().result();
    server.create_database("copy");
    let message = backups.restore("copy").failure();
    assert!(
        message.contains("lacks the roles auditor") && message.contains("CREATE ROLE"),
        "{message}"
    );
}

#[test]
fn an_extension_that_the_owner_may_not_create_fails_the_restore_and_leaves_the_database_empty() {
    let server = Server::start();
    let backups = Backups::new(&server);
    backups.dump().result();
    server.create_database("copy");
    let message = backups.restore("copy").failure();
    assert!(
        message.contains("permission denied to create extension \"pg_stat_statements\""),
        "{message}"
    );
    assert_eq!(
        server.sql(
            "copy",
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'clinic'"
        ),
        "0"
    );
}

#[test]
fn a_view_over_forced_policies_needs_a_role_that_bypasses_them_and_the_message_says_so() {
    let server = Server::start_empty();
    let backups = Backups::new(&server);
    server.sql_as(
        "medical_owner",
        "app",
        "CREATE TABLE rows AS SELECT 1 AS x; CREATE MATERIALIZED VIEW seen AS SELECT * FROM rows;
         ALTER TABLE rows ENABLE ROW LEVEL SECURITY; ALTER TABLE rows FORCE ROW LEVEL SECURITY;",
    );
    backups.dump().result();
    backups.verify().result();
    server.create_database("copy");
    let message = backups.restore("copy").failure();
    assert!(message.contains("restore as a role with BYPASSRLS"), "{message}");
    server.sql("copy", "ALTER ROLE medical_owner BYPASSRLS");
    assert_eq!(backups.restore("copy").result()["rows"], 1);
    assert_eq!(server.sql("copy", "SELECT x FROM seen"), "1");
}
