//! What must never be seen: patient data, passwords, private keys.

use std::fs;
use std::process::Stdio;

use secrecy::{ExposeSecret, SecretString};

use crate::program::{Backups, finish, run, start};
use crate::server::Server;

#[test]
fn no_patient_data_and_no_secret_is_in_logs_files_or_arguments() {
    let server = Server::start();
    let backups = Backups::new(&server);
    fs::write(server.path("password"), "planted-password").unwrap();
    let identity = fs::read_to_string(server.path("identity")).unwrap();
    let identity = SecretString::from(identity.lines().last().unwrap().to_owned());
    let is_clean = |what: &str, bytes: &[u8]| {
        for secret in ["Planted", "planted-password", identity.expose_secret()] {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is in {what}");
        }
    };

    let hold = server.hold("clinic.empty");
    let mut command = backups.dump_command("app", "daily");
    command
        .arg("--password-file")
        .arg(server.path("password"))
        .env("LOG_LEVEL", "trace");
    let dump = start(&mut command);
    server.wait_until_blocked("medical-backup");
    for arguments in arguments_of_all_processes() {
        is_clean("the arguments of a process", &arguments);
    }
    drop(hold);
    let mut runs = vec![finish(dump)];
    runs.push(run(backups.verify_command().env("LOG_LEVEL", "trace")));
    server.create_database("copy");
    server.sql("copy", "CREATE EXTENSION pg_stat_statements;");
    runs.push(backups.restore("copy"));
    assert!(runs.iter().all(|run| run.success), "{runs:#?}");

    // A row that only a restore finds out to be wrong, and that PostgreSQL quotes when it does.
    server.sql(
        "app",
        "SET session_replication_role = replica; INSERT INTO clinic.visits VALUES ('Planted nobody', now(), 'Planted note')",
    );
    runs.push(backups.dump());
    let verify = backups.verify();
    let message = verify.failure();
    assert!(message.contains("violates foreign key constraint"), "{message}");
    is_clean(
        "the termination message",
        backups.termination_message().as_bytes(),
    );
    runs.push(verify);

    for run in &runs {
        is_clean("a log", run.stderr.as_bytes());
        is_clean("a result", run.stdout.as_bytes());
    }
    for name in backups.files() {
        is_clean(&name, &fs::read(backups.folder.join(&name)).unwrap());
    }
}

fn arguments_of_all_processes() -> Vec<Vec<u8>> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let arguments: Vec<_> = entries
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .collect();
    let name = b"medical-backup";
    assert!(
        arguments
            .iter()
            .any(|line| line.windows(name.len()).any(|window| window == name))
    );
    arguments
}

#[test]
fn memory_stays_small_however_large_a_table_is() {
    let server = Server::start_empty();
    server.sql_as(
        "medical_owner",
        "app",
        "CREATE TABLE big AS SELECT repeat(md5(n::text), 100) AS text FROM generate_series(1, 20000) AS n",
    );
    let backups = Backups::new(&server);
    let mut dump = backups
        .dump_command("app", "daily")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak_kib = 0;
    while dump.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", dump.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak_kib = kib.unwrap_or(0).max(peak_kib);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let (_, manifest) = backups.newest();
    assert!(manifest.uncompressed_bytes > 60_000_000);
    assert!((1..64 * 1024).contains(&peak_kib), "{peak_kib} KiB");
}
