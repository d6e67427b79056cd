//! The backups, from what the pods that made them reported about the dumps.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use medical_crds::{
    names::Component,
    schedule::Schedule,
    status::{BackupStatus, time},
};
use serde::Deserialize;

use super::{Judgement, Observed};
use crate::{
    kinds::Kind,
    view::{PodView, Termination},
};

/// Time after which a dump that was due and did not come is overdue: within the first hour the CronJob controller may
/// still start it, and most dumps end within the second.
const OVERDUE_AFTER: SignedDuration = SignedDuration::from_hours(2);

/// Reason while no dump was due yet; the only unknown that does not keep a deployment from being ready.
pub(super) const NO_BACKUP_YET: &str = "NoBackupYet";

/// What `medical-backup dump` says in its termination message.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dumped {
    file: String,
    bytes: i64,
    tier: String,
}

/// What `medical-backup verify` says in its termination message.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verified {
    file: String,
    verified: bool,
}

fn ends<'a>(
    observed: &'a Observed,
    component: Component,
) -> impl Iterator<Item = (&'a Termination, Timestamp)> {
    let ended = |pod: &PodView| pod.phase == "Succeeded" || pod.phase == "Failed";
    observed
        .children
        .pods
        .values()
        .filter(move |pod| pod.component == component.as_str() && ended(pod))
        .filter_map(|pod| pod.terminated.as_ref())
        .filter_map(|end| Some((end, end.finished?)))
}

/// The former status, brought up to date with what is newer.
pub(super) fn status(observed: &Observed, former: Option<BackupStatus>) -> Option<BackupStatus> {
    let mut status = former.unwrap_or_default();
    let newer = |known: &Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>, at: Timestamp| {
        known.as_ref().is_none_or(|known| known.0 < time(at).0)
    };
    for (end, at) in ends(observed, Component::Backup) {
        match serde_json::from_str::<Dumped>(end.message.trim()) {
            Ok(dumped) if end.exit_code == 0 => {
                if newer(&status.last_success_time, at) {
                    status.last_success_time = Some(time(at));
                    status.last_file = Some(dumped.file);
                    status.last_bytes = Some(dumped.bytes);
                    status.last_tier = Some(dumped.tier);
                }
            }
            // A pod that a person made from the CronJob for something else, such as a restore.
            _ if end.exit_code == 0 => {}
            _ => {
                if newer(&status.last_failure_time, at) {
                    status.last_failure_time = Some(time(at));
                    status.last_failure = Some(said(end));
                }
            }
        }
    }
    for (end, at) in ends(observed, Component::BackupVerify) {
        match serde_json::from_str::<Verified>(end.message.trim()) {
            Ok(verified) if end.exit_code == 0 && verified.verified => {
                if newer(&status.last_verified_time, at) {
                    status.last_verified_time = Some(time(at));
                    status.last_verified_file = Some(verified.file);
                }
            }
            _ => {
                if newer(&status.last_verify_failure_time, at) {
                    status.last_verify_failure_time = Some(time(at));
                    status.last_verify_failure = Some(said(end));
                }
            }
        }
    }
    (status != BackupStatus::default()).then_some(status)
}

fn said(end: &Termination) -> String {
    let message: String = end.message.trim().chars().take(300).collect();
    if message.is_empty() {
        format!("ended with code {} and no message", end.exit_code)
    } else {
        message
    }
}

/// When a dump was due that should be there by now and is not. It may be a suspended CronJob, a volume that cannot be
/// mounted, a pod without a node: nothing of it fails, so that only the clock tells.
fn overdue(observed: &Observed, last: Option<Timestamp>) -> Option<Timestamp> {
    let logical = &observed.deployment.spec.backup.logical;
    let zone = TimeZone::get(&logical.time_zone).ok()?;
    logical
        .tiers
        .named()
        .filter_map(|(name, tier)| {
            let job = observed
                .children
                .get(Kind::CronJob, &observed.names.backup_cron_job(name))?;
            // Before it existed it could not make a dump.
            let since = last.max(job.created)?;
            Schedule::parse(&tier.schedule, &zone)?.next_after(since)
        })
        .min()
        .filter(|due| observed.now.duration_since(*due) > OVERDUE_AFTER)
}

/// Whether the last dump and the last verification succeeded and none is overdue; `None` when there are no backups.
pub(super) fn judge(observed: &Observed, status: Option<&BackupStatus>) -> Option<Judgement> {
    if !observed.deployment.spec.backup.logical.enabled {
        return None;
    }
    let none = BackupStatus::default();
    let status = status.unwrap_or(&none);
    let after = |failure: &Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>,
                 success: &Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| {
        failure
            .as_ref()
            .is_some_and(|failure| success.as_ref().is_none_or(|success| success.0 < failure.0))
    };
    let message = |text: &Option<String>| text.clone().unwrap_or_default();
    Some(if after(&status.last_failure_time, &status.last_success_time) {
        Judgement::failed(
            "BackupFailed",
            format!("the last dump failed: {}", message(&status.last_failure)),
        )
    } else if let Some(due) = overdue(observed, status.last_success_time.as_ref().map(|last| last.0)) {
        Judgement::failed(
            "BackupOverdue",
            format!(
                "no dump has come since the one that was due at {}: see the CronJobs {}-backup-* and their pods",
                time(due).0,
                observed.names.app()
            ),
        )
    } else if let Some(last) = &status.last_success_time {
        if after(&status.last_verify_failure_time, &status.last_verified_time) {
            let why = message(&status.last_verify_failure);
            Judgement::failed(
                "VerificationFailed",
                format!("the last verification failed: {why}"),
            )
        } else {
            Judgement::holds(
                "BackupSucceeded",
                format!("the last good dump was finished at {}", last.0),
            )
        }
    } else {
        // A verification that is due before the first dump finds nothing to verify.
        Judgement::unknown(
            NO_BACKUP_YET,
            "no dump was made yet; the first is made on schedule",
        )
    })
}
