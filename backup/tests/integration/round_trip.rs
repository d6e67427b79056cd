//! What goes in comes out.

use crate::program::{Backups, files, finish, run, start};
use crate::server::{ROWS, Server};

#[test]
fn a_dump_is_verified_and_restores_the_same_rows_schema_grants_policies_and_sequences() {
    let server = Server::start();
    let backups = Backups::new(&server);

    let summary = backups.dump().result();
    assert_eq!(
        (&summary["rows"], &summary["tier"]),
        (&ROWS.into(), &"daily".into())
    );
    let told: serde_json::Value = serde_json::from_str(&backups.termination_message()).unwrap();
    assert_eq!(told, summary);
    let (_, manifest) = backups.newest();
    assert_eq!(manifest.total_rows(), ROWS);
    assert_eq!(manifest.large_objects, 1);
    assert_eq!(manifest.tables[r#"clinic."Odd ""name""; DROP TABLE x""#], 3);
    assert_eq!(manifest.tables["clinic.empty"], 0);
    assert!(
        !manifest.tables.contains_key("clinic.visits"),
        "only partitions hold rows"
    );
    assert_eq!(manifest.roles, ["medical_app", "medical_backup", "medical_owner"]);
    assert_eq!(manifest.extensions, ["pg_stat_statements", "pgcrypto"]);

    let verified = backups.verify().result();
    assert_eq!(
        (&verified["verified"], &verified["rows"]),
        (&true.into(), &ROWS.into())
    );
    assert_eq!(verified["file"], summary["file"]);
    assert_eq!(files(&server.path("scratch")), [""; 0], "verify leaves nothing");

    server.create_database("copy");
    // As the platform does: what a database's owner may not create is there beforehand.
    server.sql("copy", "CREATE EXTENSION pg_stat_statements;");
    let restored = backups.restore("copy").result();
    assert_eq!(restored["rows"], ROWS);
    assert_eq!(server.fingerprint("copy"), server.fingerprint("app"));
    let seen = "SET app.name = 'Planted 7'; SELECT name FROM clinic.patients";
    assert_eq!(
        server.sql_as("medical_app", "copy", seen),
        "Planted 7",
        "grants and policies work"
    );
}

#[test]
fn rows_written_while_the_dump_runs_are_in_neither_the_dump_nor_its_counts() {
    let server = Server::start();
    let backups = Backups::new(&server);
    let hold = server.hold("clinic.empty");
    let dump = start(&mut backups.dump_command("app", "daily"));
    server.wait_until_blocked("medical-backup");
    server.sql(
        "app",
        "INSERT INTO clinic.audit (entry) SELECT 'late' FROM generate_series(1, 1000)",
    );
    server.sql("app", "INSERT INTO clinic.patients (name) VALUES ('late')");
    drop(hold);
    assert_eq!(finish(dump).result()["rows"], ROWS);
    assert_eq!(backups.verify().result()["rows"], ROWS);
}

#[test]
fn a_table_that_is_truncated_while_the_dump_runs_waits_for_its_end() {
    let server = Server::start();
    let backups = Backups::new(&server);
    server.sql(
        "app",
        "CREATE TABLE clinic.big AS SELECT repeat(md5(n::text), 20) FROM generate_series(1, 60000) AS n",
    );
    let dump = backups.begin_dump();
    let refused = server.try_sql(
        "postgres",
        "app",
        "SET lock_timeout = '50ms'; TRUNCATE clinic.audit",
    );
    assert!(refused.unwrap_err().contains("lock timeout"));
    assert_eq!(finish(dump).result()["rows"], ROWS + 60_000);
}

#[test]
fn a_database_with_an_awkward_name_is_dumped_verified_and_restored() {
    let server = Server::start_empty();
    let backups = Backups::new(&server);
    for name in ["a/b", "host=nowhere user='x", "ünïcode-daily-x"] {
        server.create_database(name);
        server.sql_as("medical_owner", name, "CREATE TABLE t AS SELECT 1 AS x");
        let summary = run(&mut backups.dump_command(name, "hourly")).result();
        let file = summary["file"].as_str().unwrap();
        let verified = run(backups.verify_command().args(["--file", file]));
        assert_eq!(verified.result()["rows"], 1);
    }
    assert_eq!(backups.dumps().len(), 3);
}

#[test]
fn an_empty_database_is_a_dump_like_any_other() {
    let server = Server::start_empty();
    let backups = Backups::new(&server);
    assert_eq!(backups.dump().result()["tables"], 0);
    assert_eq!(backups.verify().result()["tables"], 0);
    assert_eq!(backups.restore("app").result()["rows"], 0);
}
