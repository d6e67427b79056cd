//! `migrate`: repeatable, safe beside another one, clear when it cannot.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;
use sqlx::migrate::Migrator;

use crate::cluster::{Cluster, PASSWORD};
use crate::deployment::{ClusterRef, Deployment, run};
use crate::waiting::until;

async fn empty() -> Deployment {
    Deployment::unmigrated(ClusterRef::Shared(Cluster::shared().await)).await
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const MIGRATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");

/// How many there are.
fn migrations() -> usize {
    std::fs::read_dir(MIGRATIONS).unwrap().count()
}

#[tokio::test]
async fn migrating_twice_changes_nothing_the_second_time() {
    let deployment = empty().await;
    for applied in [migrations(), 0] {
        let output = deployment.run_as_owner(&["migrate"], "");
        assert!(output.status.success(), "{output:?}");
        let log = String::from_utf8(output.stdout).unwrap();
        assert!(log.contains(&format!(r#""applied":{applied}"#)), "{log}");
    }
}

#[tokio::test]
async fn of_several_simultaneous_migrations_all_succeed_and_each_step_is_applied_once() {
    let deployment = empty().await;
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let mut command = deployment.command(&["migrate"]);
            command.env("DATABASE_USER", "medical_owner");
            std::thread::spawn(move || run(command, ""))
        })
        .collect();
    let all = format!(r#""applied":{}"#, migrations());
    let mut applied = 0;
    for output in runs.into_iter().map(|run| run.join().unwrap()) {
        assert!(output.status.success(), "{output:?}");
        let log = String::from_utf8(output.stdout).unwrap();
        applied += usize::from(log.contains(&all));
        assert!(log.contains(&all) || log.contains(r#""applied":0"#), "{log}");
    }
    assert_eq!(applied, 1);
}

#[tokio::test]
async fn a_database_that_is_ahead_is_left_alone_so_that_the_previous_version_can_come_back() {
    let deployment = empty().await;
    assert!(deployment.run_as_owner(&["migrate"], "").status.success());
    let mut owner = deployment.connect("medical_owner").await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'of the next version', true, '', 0)",
    )
    .execute(&mut owner)
    .await
    .unwrap();
    assert!(deployment.run_as_owner(&["migrate"], "").status.success());
    let server = deployment.serve().await;
    assert!(server.get("/readyz").send().await.unwrap().status().is_success());
}

#[tokio::test]
async fn a_missing_or_too_powerful_serving_role_is_one_clear_line() {
    let deployment = Deployment::unmigrated(ClusterRef::Own(Cluster::own().await)).await;
    let mut superuser = deployment.cluster.superuser(&deployment.database).await;
    for (statement, expected) in [
        (
            "ALTER ROLE medical_app BYPASSRLS",
            "may bypass row-level security",
        ),
        ("DROP ROLE medical_app", "the role medical_app does not exist"),
    ] {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut superuser)
            .await
            .unwrap();
        let output = deployment.run_as_owner(&["migrate"], "");
        assert_eq!(output.status.code(), Some(1));
        let message = stderr(&output);
        assert!(message.contains(expected), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_verified_is_an_error_at_once_and_without_the_password() {
    let mut deployment = empty().await;
    let started = Instant::now();
    let foreign = crate::authority::Authority::new();
    let file = deployment.directory.path().join("foreign.crt");
    std::fs::write(&file, foreign.certificate()).unwrap();
    for (name, value) in [
        ("DATABASE_CA_FILE", file.to_str().unwrap().to_owned()),
        // The certificate is for localhost.
        ("DATABASE_HOST", "127.0.0.1".to_owned()),
    ] {
        deployment.set(name, &value);
        let output = deployment.run_as_owner(&["migrate"], "");
        assert_eq!(output.status.code(), Some(1), "{name}");
        let message = stderr(&output);
        assert!(
            message.contains("cannot connect to the database"),
            "{name}: {message}"
        );
        assert!(!message.contains(PASSWORD), "{message}");
    }
    assert!(
        started.elapsed() < Duration::from_mins(1),
        "it waited for a certificate to become good"
    );
}

/// Passes bytes on in both directions.
fn join(client: TcpStream, port: u16) {
    let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
    for (mut from, mut to) in [
        (client.try_clone().unwrap(), server.try_clone().unwrap()),
        (server, client),
    ] {
        std::thread::spawn(move || {
            // Either side may hang up at any time.
            drop(std::io::copy(&mut from, &mut to));
            drop(to.shutdown(std::net::Shutdown::Write));
        });
    }
}

#[tokio::test]
async fn a_migration_waits_for_a_database_that_lets_it_in_only_after_a_moment() {
    let mut deployment = empty().await;
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    deployment.set("DATABASE_PORT", &door.local_addr().unwrap().port().to_string());
    let port = deployment.cluster.port;
    std::thread::spawn(move || {
        for (attempt, client) in door.incoming().enumerate() {
            // The first two find the door shut.
            if attempt >= 2 {
                join(client.unwrap(), port);
            }
        }
    });
    let output = deployment.run_as_owner(&["migrate"], "");
    assert!(output.status.success(), "{output:?}");
}

/// What the version before the chain wrote.
const PREVIOUS_INSERT: &str = "INSERT INTO audit_event
        (actor_id, actor_role, action, resource, resource_ids, outcome, request_id, client_address)
     VALUES (NULL, NULL, 'login', 'session', '{}', $1, gen_random_uuid(), '192.0.2.1')";

#[tokio::test]
async fn rows_of_the_audit_log_move_into_partitions_without_loss_and_the_previous_version_goes_on_writing() {
    let deployment = empty().await;
    let earlier = tempfile::tempdir().unwrap();
    for name in ["0001_users.sql", "0002_patients.sql", "0003_audit.sql"] {
        std::fs::copy(format!("{MIGRATIONS}/{name}"), earlier.path().join(name)).unwrap();
    }
    let mut owner = deployment.connect("medical_owner").await;
    Migrator::new(earlier.path())
        .await
        .unwrap()
        .run(&mut owner)
        .await
        .unwrap();
    let mut app = deployment.connect("medical_app").await;
    for outcome in ["success", "denied", "failed"] {
        sqlx::query(PREVIOUS_INSERT)
            .bind(outcome)
            .execute(&mut app)
            .await
            .unwrap();
    }
    // An older row has a month of its own.
    sqlx::query(
        "INSERT INTO audit_event (occurred_at, action, resource, outcome, request_id)
         VALUES ('2024-02-29T23:59:59Z', 'read', 'patient', 'success', gen_random_uuid())",
    )
    .execute(&mut owner)
    .await
    .unwrap();
    let rows = "SELECT sequence, occurred_at::text, action, outcome, request_id::text FROM audit_event ORDER BY sequence";
    let before: Vec<(i64, String, String, String, String)> =
        sqlx::query_as(rows).fetch_all(&mut owner).await.unwrap();
    assert_eq!(before.len(), 4);

    assert!(deployment.run_as_owner(&["migrate"], "").status.success());

    let after: Vec<(i64, String, String, String, String)> =
        sqlx::query_as(rows).fetch_all(&mut owner).await.unwrap();
    assert_eq!(after, before);
    // The previous version's own connection, with the statement that it had prepared.
    sqlx::query(PREVIOUS_INSERT)
        .bind("success")
        .execute(&mut app)
        .await
        .unwrap();
    let (newest, partition): (i64, String) = sqlx::query_as(
        "SELECT sequence, tableoid::regclass::text FROM audit_event ORDER BY sequence DESC LIMIT 1",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert_eq!(newest, 5);
    let month: String = sqlx::query_scalar("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(partition, format!("audit_event_{month}"));

    let server = deployment.serve().await;
    until("the sealer", async || {
        server
            .metrics()
            .await
            .contains("audit_chain_position 5")
            .then_some(())
    })
    .await;
    let output = run(deployment.command(&["audit", "verify"]), "");
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["rows"], &report["unkeyed"]), (&5.into(), &5.into()));
}
