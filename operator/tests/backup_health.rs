//! What `BackupHealthy` says of dumps that came, failed, were damaged or stayed away.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test ends at the first thing that is not as expected"
)]

mod sample;

use medical_crds::{names::Names, status::BackupStatus};
use medical_operator::{
    kinds::Kind,
    reconcile::{
        outcome::Outcome,
        status::{self, Observed},
    },
    store::Children,
    view::{PodView, View},
};
use sample::Sample;
use serde_json::{Value, json};

/// A dump at two o'clock every night; the `CronJob` is there since the evening of the first of January.
fn nightly() -> Value {
    json!({"backup": {"logical": {"tiers": {"daily": {"schedule": "0 2 * * *", "keep": 7}}}}})
}

fn ended(component: &str, code: i32, at: &str, message: &Value) -> PodView {
    PodView::of(
        &serde_json::from_value(json!({
            "metadata": {"name": format!("{component}-{at}"), "labels": {"app.kubernetes.io/component": component}},
            "status": {
                "phase": if code == 0 { "Succeeded" } else { "Failed" },
                "containerStatuses": [{"restartCount": 0, "state": {"terminated":
                    {"exitCode": code, "finishedAt": at, "message": message.to_string()}}}],
            },
        }))
        .unwrap(),
    )
}

fn dumped(at: &str) -> PodView {
    let message = json!({"file": "daily.dump", "bytes": 7, "tier": "daily"});
    ended("backup", 0, at, &message)
}

/// Status and reason of `BackupHealthy` at `now`.
fn healthy(spec: Value, pods: Vec<PodView>, former: BackupStatus, now: &str) -> (String, String) {
    let mut sample = Sample::new(spec);
    sample.deployment.status.get_or_insert_default().backup = Some(former);
    let mut children = Children::default();
    for pod in pods {
        children.pods.insert(pod.name.clone(), pod);
    }
    let job = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata":
        {"name": "clinic-backup-daily", "creationTimestamp": "2026-01-01T18:00:00Z"}});
    children.insert(
        Kind::CronJob,
        View::of(Kind::CronJob, &serde_json::from_value(job).unwrap()),
    );
    let plan = sample.plan();
    let status = status::compute(&Observed {
        deployment: &sample.deployment,
        names: Names::of("clinic"),
        children: &children,
        plan: &plan,
        outcome: &Outcome::default(),
        database_api_absent: false,
        now: now.parse().unwrap(),
    });
    let condition = status
        .conditions
        .into_iter()
        .find(|condition| condition.type_ == "BackupHealthy")
        .unwrap();
    (condition.status, condition.reason)
}

fn says(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[test]
fn before_the_first_dump_is_due_nothing_is_known_and_afterwards_it_is_overdue() {
    let at = |now: &str| healthy(nightly(), vec![], BackupStatus::default(), now);
    assert_eq!(at("2026-01-02T01:59:00Z"), says("Unknown", "NoBackupYet"));
    assert_eq!(at("2026-01-02T04:00:00Z"), says("Unknown", "NoBackupYet"));
    assert_eq!(at("2026-01-02T04:00:01Z"), says("False", "BackupOverdue"));
}

#[test]
fn a_dump_holds_until_the_next_one_stays_away() {
    let at = |now: &str| {
        healthy(
            nightly(),
            vec![dumped("2026-01-02T02:01:00Z")],
            BackupStatus::default(),
            now,
        )
    };
    assert_eq!(at("2026-01-03T03:59:00Z"), says("True", "BackupSucceeded"));
    assert_eq!(at("2026-01-03T04:01:00Z"), says("False", "BackupOverdue"));
}

#[test]
fn the_schedule_is_read_in_its_time_zone() {
    let mut spec = nightly();
    spec["backup"]["logical"]["timeZone"] = json!("America/New_York");
    let at = |now: &str| healthy(spec.clone(), vec![], BackupStatus::default(), now);
    // Two o'clock in New York is seven o'clock UTC in winter.
    assert_eq!(at("2026-01-02T08:59:00Z"), says("Unknown", "NoBackupYet"));
    assert_eq!(at("2026-01-02T09:01:00Z"), says("False", "BackupOverdue"));
}

#[test]
fn a_dump_that_failed_after_the_last_good_one_is_told() {
    let pods = vec![
        dumped("2026-01-02T02:01:00Z"),
        ended("backup", 4, "2026-01-03T02:01:00Z", &json!("no space left")),
    ];
    let found = healthy(nightly(), pods, BackupStatus::default(), "2026-01-03T02:30:00Z");
    assert_eq!(found, says("False", "BackupFailed"));
}

#[test]
fn a_dump_that_does_not_restore_is_told_until_one_does() {
    let bad = ended(
        "backup-verify",
        5,
        "2026-01-02T05:00:00Z",
        &json!("a block is damaged"),
    );
    let good = ended(
        "backup-verify",
        0,
        "2026-01-02T06:00:00Z",
        &json!({"file": "daily.dump", "verified": true}),
    );
    let at = |pods: Vec<PodView>| healthy(nightly(), pods, BackupStatus::default(), "2026-01-02T07:00:00Z");
    let dump = dumped("2026-01-02T02:01:00Z");
    assert_eq!(
        at(vec![dump.clone(), bad.clone()]),
        says("False", "VerificationFailed")
    );
    assert_eq!(at(vec![dump, bad, good]), says("True", "BackupSucceeded"));
}
