//! Dumps and verifications that end half-way.

use std::fs;
use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::program::{Backups, files, finish, run, start};
use crate::server::{Server, signal, unprivileged_user, wait_until};

/// A server with a table that takes a while to dump, and one good dump of before.
fn with_a_big_table() -> Server {
    let server = Server::start_empty();
    server.sql_as(
        "medical_owner",
        "app",
        "CREATE TABLE big AS SELECT n, md5(n::text) || md5((n + 1)::text) AS text FROM generate_series(1, 500000) AS n",
    );
    server
}

#[test]
fn a_database_that_goes_away_half_way_leaves_the_earlier_dumps_alone() {
    let server = with_a_big_table();
    let backups = Backups::new(&server);
    run(&mut backups.dump_command("app", "weekly")).result();
    let before = backups.files();

    let dump = backups.begin_dump();
    server.sql(
        "app",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg_dump'",
    );
    let run = finish(dump);
    let message = run.failure();
    assert!(message.contains("pg_dump failed"), "{message}");
    assert_eq!(backups.termination_message(), message);
    assert_eq!(backups.files(), before);
}

#[test]
fn a_lost_snapshot_ends_the_dump() {
    let server = Server::start();
    let backups = Backups::new(&server);
    let hold = server.hold("clinic.empty");
    let dump = start(&mut backups.dump_command("app", "daily"));
    server.wait_until_blocked("medical-backup");
    let end =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'medical-backup'";
    server.sql("app", end);
    let message = finish(dump).failure();
    assert!(
        message.contains("terminating connection due to administrator command"),
        "{message}"
    );
    assert!(backups.files().is_empty(), "{:?}", backups.files());
    drop(hold);
}

#[test]
fn sigterm_ends_a_dump_and_removes_what_it_had_begun() {
    let server = with_a_big_table();
    let backups = Backups::new(&server);
    let dump = backups.begin_dump();
    signal(dump.id(), Signal::SIGTERM);
    let message = finish(dump).failure();
    assert!(message.contains("interrupted by signal 15"), "{message}");
    assert!(backups.files().is_empty());
    wait_until("no connection is left", || {
        server.sql(
            "app",
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'medical_backup'",
        ) == "0"
    });
}

#[test]
fn sigterm_ends_a_dump_that_waits_for_a_table() {
    let server = Server::start();
    let backups = Backups::new(&server);
    let _hold = server.hold("clinic.empty");
    let dump = start(&mut backups.dump_command("app", "daily"));
    server.wait_until_blocked("medical-backup");
    signal(dump.id(), Signal::SIGTERM);
    let message = finish(dump).failure();
    assert!(message.contains("interrupted by signal 15"), "{message}");
    assert!(backups.files().is_empty());
}

#[test]
fn sigterm_ends_a_dump_that_waits_for_the_database() {
    let mut server = Server::start_empty();
    server.stop();
    let backups = Backups::new(&server);
    let dump = start(&mut backups.dump_command("app", "daily"));
    wait_until("the dump has taken the lock", || {
        backups.folder.join(".medical-backup.lock").exists()
    });
    signal(dump.id(), Signal::SIGTERM);
    let message = finish(dump).failure();
    assert!(message.contains("interrupted by signal 15"), "{message}");
}

#[test]
fn what_a_killed_dump_leaves_is_no_dump_and_is_gone_after_the_next_one() {
    let server = with_a_big_table();
    let backups = Backups::new(&server);
    let mut dump = backups.begin_dump();
    signal(dump.id(), Signal::SIGKILL);
    dump.wait().unwrap();
    let left = backups.files();
    assert!(left.len() == 1 && left[0].ends_with("age.part"), "{left:?}");
    assert!(backups.dumps().is_empty());
    // As left by a kill between the two renames at the very end.
    fs::write(
        backups
            .folder
            .join("app-daily-20200101T000000Z.dump.zst.age.manifest.json"),
        "{}",
    )
    .unwrap();
    wait_until("the children of the killed dump have ended", || {
        server.sql(
            "app",
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'medical_backup'",
        ) == "0"
    });

    let summary = backups.dump().result();
    let file = summary["file"].as_str().unwrap();
    assert_eq!(
        backups.files(),
        [file.to_owned(), format!("{file}.manifest.json")]
    );
}

#[test]
fn a_full_disk_is_said_to_be_full_and_leaves_nothing() {
    let server = with_a_big_table();
    let backups = Backups::new(&server);
    // A file system of its own, which is gone with the mount namespace.
    let script = r#"
        mount -t tmpfs -o size=1m,mode=0777 tmpfs "$1" && shift || exit 99
        "$@"
        status=$?
        ls -A dumps >&2
        exit $status"#;
    let dump = backups.dump_command("app", "daily");
    let mut command = std::process::Command::new("unshare");
    if unprivileged_user().is_none() {
        command.arg("--map-root-user");
    }
    command
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(&backups.folder);
    command
        .arg(dump.get_program())
        .args(dump.get_args())
        .current_dir(server.path(""));
    let run = run(&mut command);
    assert!(!run.success, "{run:?}");
    assert!(
        run.stderr.contains("No space left on device") && run.stderr.contains("enlarge the backup volume"),
        "{run:?}"
    );
    assert!(run.stderr.ends_with("}\n.medical-backup.lock\n"), "{run:?}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let server = Server::start_empty();
    let backups = Backups::new(&server);
    let missing = server.path("missing");
    let message = run(&mut backups.dump_with(&[("--directory", missing.to_str().unwrap())])).failure();
    assert!(
        message.contains(missing.to_str().unwrap()) && message.contains("check that the volume"),
        "{message}"
    );
}

#[test]
fn sigterm_ends_a_verification_with_its_server_and_scratch_folder() {
    let server = with_a_big_table();
    let backups = Backups::new(&server);
    backups.dump().result();
    let scratch = server.path("scratch");
    let verify = start(&mut backups.verify_command());
    let pid = wait_for_scratch_server(&scratch);
    signal(verify.id(), Signal::SIGTERM);
    let message = finish(verify).failure();
    assert!(message.contains("interrupted by signal 15"), "{message}");
    assert_eq!(files(&scratch), [""; 0]);
    wait_until("the scratch server has ended", || {
        !fs::exists(format!("/proc/{pid}")).unwrap()
    });
}

#[test]
fn the_scratch_folder_of_a_killed_verification_is_removed_by_the_next() {
    let server = with_a_big_table();
    let backups = Backups::new(&server);
    backups.dump().result();
    let scratch = server.path("scratch");
    let mut verify = backups
        .verify_command()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = wait_for_scratch_server(&scratch);
    signal(verify.id(), Signal::SIGKILL);
    verify.wait().unwrap();
    assert_eq!(files(&scratch).len(), 1);
    backups.verify().result();
    assert_eq!(files(&scratch), [""; 0]);
    // The orphaned server ends by itself once it looks for its lock file, within a minute; the test does not wait for that.
    signal(pid, Signal::SIGQUIT);
}

/// The pid of the scratch server, once it runs.
fn wait_for_scratch_server(scratch: &std::path::Path) -> u32 {
    let mut pid = None;
    wait_until("the scratch server runs", || {
        for folder in files(scratch) {
            let file =
                fs::read_to_string(scratch.join(folder).join("data/postmaster.pid")).unwrap_or_default();
            if file.lines().nth(7).is_some_and(|state| state.trim() == "ready") {
                pid = file.lines().next().and_then(|line| line.parse().ok());
            }
        }
        pid.is_some()
    });
    pid.unwrap()
}

#[test]
fn root_is_told_to_verify_as_somebody_else() {
    if unprivileged_user().is_none() {
        return; // Only root can be refused for being root.
    }
    let server = Server::start_empty();
    let backups = Backups::new(&server);
    backups.dump().result();
    let verify = backups.verify_command();
    let mut as_root = std::process::Command::new(server.path("medical-backup"));
    let arguments = verify.get_args().skip_while(|argument| *argument != "verify");
    let message = run(as_root.args(arguments)).failure();
    assert!(
        message.contains("PostgreSQL does not run as root") && message.contains("setpriv"),
        "{message}"
    );
}
