//! `migrate`: repeatable, safe beside another one, clear when it cannot.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;

use crate::cluster::{Cluster, PASSWORD};
use crate::deployment::{ClusterRef, Deployment, run};

async fn empty() -> Deployment {
    Deployment::unmigrated(ClusterRef::Shared(Cluster::shared().await)).await
}

/// Migrations of this version.
fn migrations() -> usize {
    std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"))
        .unwrap()
        .count()
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
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
