//! Events (events.k8s.io/v1): one for each change of the Ready condition, never one for each pass.

use kube::{
    Client, Resource,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use medical_crds::{MedicalDeployment, MedicalDeploymentStatus, conditions, status::Phase};

/// Publishes Events about deployments.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

impl Events {
    /// A publisher that reports as `instance`, the name of this pod.
    pub fn new(client: Client, instance: Option<String>) -> Self {
        let reporter = Reporter {
            controller: "medops.dev/medical-operator".to_owned(),
            instance,
        };
        Self {
            recorder: Recorder::new(client, reporter),
        }
    }

    /// Publishes one Event. A failure is logged: an Event is news, not state.
    pub async fn publish(&self, deployment: &MedicalDeployment, type_: EventType, reason: &str, note: &str) {
        let event = Event {
            type_,
            reason: reason.chars().take(128).collect(),
            note: (!note.is_empty()).then(|| truncated(note)),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &deployment.object_ref(&())).await {
            tracing::warn!(%error, reason, "an Event could not be published");
        }
    }

    /// Publishes what changed about Ready, if anything did.
    pub async fn publish_change(&self, deployment: &MedicalDeployment, now: &MedicalDeploymentStatus) {
        if let Some((type_, reason, note)) = change(deployment.status.as_ref(), now) {
            self.publish(deployment, type_, &reason, &note).await;
        }
    }
}

/// A note may have 1024 bytes (events.k8s.io/v1).
fn truncated(note: &str) -> String {
    let mut end = note.len().min(1020);
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    note[..end].to_owned()
}

/// The news between two statuses, if there is any.
fn change(
    before: Option<&MedicalDeploymentStatus>,
    now: &MedicalDeploymentStatus,
) -> Option<(EventType, String, String)> {
    let ready = |status: &MedicalDeploymentStatus| {
        status
            .conditions
            .iter()
            .find(|condition| condition.type_ == conditions::READY)
            .cloned()
    };
    let new = ready(now)?;
    let old = before.and_then(ready);
    if old.is_some_and(|old| old.status == new.status && old.reason == new.reason) {
        return None;
    }
    let type_ = match now.phase {
        Some(Phase::Degraded | Phase::Invalid) => EventType::Warning,
        _ => EventType::Normal,
    };
    Some((type_, new.reason, new.message))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

    use super::*;

    fn status(reason: &str, message: &str) -> MedicalDeploymentStatus {
        MedicalDeploymentStatus {
            phase: Some(Phase::Degraded),
            conditions: vec![Condition {
                type_: conditions::READY.to_owned(),
                status: "False".to_owned(),
                reason: reason.to_owned(),
                message: message.to_owned(),
                observed_generation: None,
                last_transition_time: Time("2026-01-01T00:00:00Z".parse().unwrap()),
            }],
            ..MedicalDeploymentStatus::default()
        }
    }

    #[test]
    fn only_a_new_reason_is_news() {
        let before = status("RollingOut", "0 of 2");
        assert!(change(Some(&before), &status("RollingOut", "1 of 2")).is_none());
        assert!(change(Some(&before), &status("ImagePullBackOff", "0 of 2")).is_some());
        assert!(change(None, &before).is_some());
    }

    #[test]
    fn a_long_note_is_cut_between_characters() {
        assert!(truncated(&"ä".repeat(2000)).len() <= 1024);
    }
}
