//! Whoever gets around the triggers and grants of the audit log is found by `audit verify`.

use std::sync::Arc;

use medical_app::audit::{AuditEvent, Outcome, RequestOrigin};
use medical_app::crypto::AuditKey;
use medical_app::db::write_audit;
use medical_app::policy::{Action, ResourceKind};
use reqwest::StatusCode;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::deployment::{Clinic, Deployment, run, write_random_key};
use crate::waiting::until;

/// Exit status and report of `audit verify`, as the serving role.
fn verify(deployment: &Deployment, arguments: &[&str]) -> (i32, Value) {
    let output = run(
        deployment.command(&[&["audit", "verify"], arguments].concat()),
        "",
    );
    let report = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code().unwrap(), report)
}

async fn count(connection: &mut PgConnection, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(connection).await.unwrap()
}

/// A deployment whose server has ended after six rows or more, all of them sealed.
async fn sealed_log() -> (Deployment, PgConnection) {
    let mut clinic = Clinic::open().await;
    for number in 0..4 {
        clinic.admit(&format!("MRN-{number}")).await;
    }
    clinic.server.terminate();
    assert_eq!(clinic.server.ended().await, 0);
    let mut superuser = clinic.deployment.connect("postgres").await;
    assert_eq!(
        count(&mut superuser, "SELECT count(*) FROM audit_unsealed").await,
        0,
        "what the last requests wrote is sealed when the program ends"
    );
    let (status, report) = verify(&clinic.deployment, &[]);
    assert_eq!((status, &report["intact"]), (0, &true.into()), "{report}");
    assert!(report["position"].as_i64().unwrap() >= 6, "{report}");
    // As an intruder with every right.
    sqlx::query("SET session_replication_role = replica")
        .execute(&mut superuser)
        .await
        .unwrap();
    (clinic.deployment, superuser)
}

/// Does it, and gives the positions and problems that are found then.
async fn found_after(statements: &[&'static str]) -> Vec<(Option<i64>, String)> {
    let (deployment, mut superuser) = sealed_log().await;
    for statement in statements {
        let changed = sqlx::query(*statement).execute(&mut superuser).await.unwrap();
        assert!(changed.rows_affected() > 0, "{statement}");
    }
    findings(&deployment, &[])
}

fn findings(deployment: &Deployment, arguments: &[&str]) -> Vec<(Option<i64>, String)> {
    let (status, report) = verify(deployment, arguments);
    assert_eq!((status, &report["intact"]), (1, &false.into()), "{report}");
    report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| {
            (
                finding["position"].as_i64(),
                finding["problem"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

fn at(position: i64, problem: &str) -> (Option<i64>, String) {
    (Some(position), problem.to_owned())
}

#[tokio::test]
async fn a_deleted_row_is_found_at_its_position() {
    let found = found_after(&[
        "DELETE FROM audit_event WHERE sequence = (SELECT sequence FROM audit_link WHERE position = 3)",
    ])
    .await;
    assert_eq!(found, [at(3, "the row is missing")]);
}

#[tokio::test]
async fn a_row_deleted_with_its_link_is_found_at_its_position() {
    let found = found_after(&[
        "DELETE FROM audit_event WHERE sequence = (SELECT sequence FROM audit_link WHERE position = 3)",
        "DELETE FROM audit_link WHERE position = 3",
    ])
    .await;
    assert_eq!(found[0], at(3, "the link is missing"));
}

#[tokio::test]
async fn a_changed_row_is_found_at_its_position() {
    let found = found_after(&["UPDATE audit_event SET outcome = 'denied'
         WHERE sequence = (SELECT sequence FROM audit_link WHERE position = 2)"])
    .await;
    assert_eq!(found, [at(2, "the row is not the one that was sealed")]);
}

#[tokio::test]
async fn reordered_links_are_found_at_the_first_of_them() {
    let found = found_after(&[
        "UPDATE audit_link SET position = position + 1000 WHERE position IN (2, 4)",
        "UPDATE audit_link SET position = 1006 - position WHERE position > 1000",
    ])
    .await;
    assert_eq!(found[0], at(2, "the link does not hold"));
}

#[tokio::test]
async fn swapped_contents_of_two_rows_are_found_at_both() {
    let found = found_after(&[
        "WITH pair AS (SELECT min(sequence) AS a, max(sequence) AS b FROM audit_link
                      WHERE position IN (3, 5))
         UPDATE audit_event AS event
         SET action = other.action, resource = other.resource, resource_ids = other.resource_ids,
             request_id = other.request_id, outcome = other.outcome, mac = other.mac
         FROM audit_event AS other, pair
         WHERE (event.sequence, other.sequence) IN ((pair.a, pair.b), (pair.b, pair.a))",
    ])
    .await;
    let problem = "the row is not the one that was sealed";
    assert_eq!(found, [at(3, problem), at(5, problem)]);
}

#[tokio::test]
async fn a_forged_row_is_found_whether_it_is_hidden_from_the_sealer_or_sealed() {
    let forged = "INSERT INTO audit_event (action, resource, outcome, request_id)
         VALUES ('read', 'patient', 'success', gen_random_uuid())";
    let copied = "INSERT INTO audit_event (actor_id, actor_role, session_id, action, resource, resource_ids, outcome,
             request_id, client_address, mac)
         SELECT actor_id, actor_role, session_id, action, resource, resource_ids, outcome, request_id, client_address,
             mac
         FROM audit_event WHERE action = 'create' AND resource = 'patient' ORDER BY sequence LIMIT 1";
    for (statement, waiting, sealed) in [
        (
            forged,
            "a row that waits to be sealed has no code",
            "the row has no code",
        ),
        (
            copied,
            "a row that waits to be sealed is forged",
            "the row was forged when it was sealed",
        ),
    ] {
        let (deployment, mut superuser) = sealed_log().await;
        let end = count(&mut superuser, "SELECT max(position) FROM audit_link").await;
        sqlx::query(statement).execute(&mut superuser).await.unwrap();
        assert_eq!(
            findings(&deployment, &[]),
            [(None, "the row was never handed to the sealer".to_owned())]
        );
        sqlx::query("SET session_replication_role = origin")
            .execute(&mut superuser)
            .await
            .unwrap();
        sqlx::query(statement).execute(&mut superuser).await.unwrap();
        assert!(findings(&deployment, &[]).contains(&(None, waiting.to_owned())));

        let server = deployment.serve().await;
        until("the sealer", async || {
            let waiting = count(&mut superuser, "SELECT count(*) FROM audit_unsealed").await;
            (waiting == 0).then_some(())
        })
        .await;
        assert!(
            server
                .metrics()
                .await
                .contains("audit_rows_not_authentic_total 1")
        );
        assert_eq!(findings(&deployment, &[])[0], at(end + 1, sealed));
    }
}

#[tokio::test]
async fn a_tail_that_was_cut_off_is_found_by_the_checkpoints_or_by_a_head_that_was_kept_outside() {
    let (deployment, mut superuser) = sealed_log().await;
    let (_, report) = verify(&deployment, &[]);
    let end = report["position"].as_i64().unwrap();
    let expected = format!("{end}:{}", report["head"].as_str().unwrap());
    let (status, _) = verify(&deployment, &["--expect-head", &expected]);
    assert_eq!(status, 0);
    // At a checkpoint, so that what is left is a whole chain.
    let cut: i64 = sqlx::query_scalar("SELECT max(position) FROM audit_checkpoint WHERE position < $1")
        .bind(end)
        .fetch_one(&mut superuser)
        .await
        .unwrap();
    for statement in [
        format!(
            "DELETE FROM audit_event WHERE sequence IN (SELECT sequence FROM audit_link WHERE position > {cut})"
        ),
        format!("DELETE FROM audit_link WHERE position > {cut}"),
    ] {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut superuser)
            .await
            .unwrap();
    }
    assert_eq!(
        findings(&deployment, &[]),
        [at(cut + 1, "the chain ends before its last checkpoint")]
    );

    // A sealer does not go on from an end that was not signed, and says so.
    let server = deployment.serve().await;
    until("the warning", async || {
        let body: Value = server.get("/readyz").send().await.unwrap().json().await.unwrap();
        (body["degraded"] == "audit").then_some(())
    })
    .await;
    assert!(server.metrics().await.contains("audit_chain_intact 0"));
    drop(server);

    sqlx::query("DELETE FROM audit_checkpoint WHERE position > $1")
        .bind(cut)
        .execute(&mut superuser)
        .await
        .unwrap();
    let (status, _) = verify(&deployment, &[]);
    assert_eq!(status, 0, "nothing inside the database tells");
    assert_eq!(
        findings(&deployment, &["--expect-head", &expected]),
        [at(cut + 1, "the chain ends before the expected head")]
    );
}

#[tokio::test]
async fn another_key_verifies_nothing() {
    let (deployment, _) = sealed_log().await;
    write_random_key(&deployment.directory.path().join("keys/audit"));
    assert_eq!(findings(&deployment, &[])[0], at(1, "the link does not hold"));
}

/// Writes rows as requests do: some are rolled back, some commit after rows that were written later.
async fn write_rows(deployment: Arc<Deployment>, writer: u128) -> i64 {
    let key = AuditKey::load(&deployment.directory.path().join("keys")).unwrap();
    let (mut slow, mut quick) = (
        deployment.connect("medical_app").await,
        deployment.connect("medical_app").await,
    );
    let event = || {
        AuditEvent::new(
            Action::Read,
            ResourceKind::Patient,
            Outcome::Success,
            RequestOrigin::internal(),
        )
    };
    let mut committed = 0;
    for round in 0..100 {
        let mut late = slow.begin().await.unwrap();
        write_audit(&mut *late, &key, &event()).await.unwrap();
        write_audit(&mut quick, &key, &event()).await.unwrap();
        committed += 1;
        if (round + writer).is_multiple_of(7) {
            late.rollback().await.unwrap();
        } else {
            late.commit().await.unwrap();
            committed += 1;
        }
    }
    committed
}

#[tokio::test]
async fn a_log_with_many_simultaneous_writers_late_commits_and_two_sealers_verifies() {
    let deployment = Arc::new(Deployment::new().await);
    let servers = [deployment.serve().await, deployment.serve().await];
    let writers: Vec<_> = (0..4)
        .map(|writer| tokio::spawn(write_rows(deployment.clone(), writer)))
        .collect();
    let mut committed = 0;
    for writer in writers {
        committed += writer.await.unwrap();
    }
    let mut superuser = deployment.connect("postgres").await;
    until("the sealers", async || {
        let sealed = count(&mut superuser, "SELECT count(*) FROM audit_link").await;
        (sealed == committed).then_some(())
    })
    .await;
    let (status, report) = verify(&deployment, &[]);
    assert_eq!((status, &report["intact"]), (0, &true.into()), "{report}");
    assert_eq!(report["rows"], committed);
    assert_eq!(report["position"], committed);
    let gaps = count(&mut superuser, "SELECT max(sequence) - count(*) FROM audit_event").await;
    assert!(gaps > 0, "no transaction was rolled back");
    let head = report["head"].as_str().unwrap();
    assert!(
        servers.iter().any(|server| server.output().contains(head)),
        "the head is in no log"
    );
    // Nothing of this was made by a request.
    let answer = servers[0].get("/readyz").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_sealer_that_is_late_is_told_by_metrics_and_readiness_and_recovers_by_itself() {
    let deployment = Deployment::new().await;
    let mut holder = deployment.connect("postgres").await;
    let mut lock = holder.begin().await.unwrap();
    // The lock of the sealer: "sealer" in ASCII.
    sqlx::query("SELECT pg_advisory_xact_lock(126879263384946)")
        .execute(&mut *lock)
        .await
        .unwrap();
    let mut superuser = deployment.connect("postgres").await;
    // It may be the first minute of a month.
    sqlx::query("SELECT create_audit_partition(now() - interval '61 seconds')")
        .execute(&mut superuser)
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO audit_event (occurred_at, action, resource, outcome, request_id)
         VALUES (now() - interval '61 seconds', 'read', 'patient', 'success', gen_random_uuid())",
    )
    .execute(&mut superuser)
    .await
    .unwrap();
    let server = deployment.serve().await;
    let degraded = async || {
        let answer = server.get("/readyz").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "requests are answered");
        answer.json::<Value>().await.unwrap()["degraded"] == "audit"
    };
    until("the warning", async || degraded().await.then_some(())).await;
    assert!(server.metrics().await.contains("audit_unsealed_rows 1"));
    lock.rollback().await.unwrap();
    until("the recovery", async || (!degraded().await).then_some(())).await;
    assert!(server.metrics().await.contains("audit_unsealed_rows 0"));
}
