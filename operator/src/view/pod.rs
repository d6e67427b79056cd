//! The pods of a deployment: why they wait and how they ended.

use jiff::Timestamp;
use kube::{ResourceExt, core::DynamicObject};
use medical_crds::names::LABEL_COMPONENT;
use serde_json::Value;

use super::{conditions, number, text};

/// A pod of the deployment: of the application, of the init Job or of a backup.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodView {
    /// Name of the pod.
    pub name: String,
    /// The part, as in the component label.
    pub component: String,
    /// Name of the Job that made it.
    pub job: Option<String>,
    /// Pending, Running, Succeeded, Failed or Unknown.
    pub phase: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Why its container waits, such as `ImagePullBackOff`, with the kubelet's message.
    pub waiting: Option<(String, String)>,
    /// Why it cannot be scheduled.
    pub unschedulable: Option<String>,
    /// Restarts of its containers.
    pub restarts: i32,
    /// Exit code, end and message of the last container that ended.
    pub terminated: Option<Termination>,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Termination {
    /// Exit code.
    pub exit_code: i32,
    /// When.
    pub finished: Option<Timestamp>,
    /// What it said.
    pub message: String,
}

impl PodView {
    /// The view of a pod.
    pub fn of(object: &DynamicObject) -> Self {
        let data = &object.data;
        let statuses: Vec<&Value> = ["/status/initContainerStatuses", "/status/containerStatuses"]
            .iter()
            .filter_map(|pointer| data.pointer(pointer).and_then(Value::as_array))
            .flatten()
            .collect();
        let holds = |type_: &str, status: &str| {
            conditions(data)
                .into_iter()
                .find(|condition| condition.type_ == type_ && condition.status == status)
        };
        Self {
            name: object.name_any(),
            component: object.labels().get(LABEL_COMPONENT).cloned().unwrap_or_default(),
            job: object.labels().get("batch.kubernetes.io/job-name").cloned(),
            phase: text(data, "/status/phase").unwrap_or_default(),
            ready: holds("Ready", "True").is_some(),
            deleting: object.metadata.deletion_timestamp.is_some(),
            created: object.metadata.creation_timestamp.as_ref().map(|time| time.0),
            waiting: statuses.iter().find_map(|status| {
                let reason = text(status, "/state/waiting/reason")?;
                (!["PodInitializing", "ContainerCreating"].contains(&reason.as_str()))
                    .then(|| (reason, text(status, "/state/waiting/message").unwrap_or_default()))
            }),
            unschedulable: holds("PodScheduled", "False").map(|condition| condition.message),
            restarts: statuses
                .iter()
                .map(|status| number(status, "/restartCount"))
                .sum(),
            terminated: statuses.iter().rev().find_map(|status| {
                let ended = status
                    .pointer("/state/terminated")
                    .or_else(|| status.pointer("/lastState/terminated"))?;
                Some(Termination {
                    exit_code: number(ended, "/exitCode"),
                    finished: text(ended, "/finishedAt").and_then(|time| time.parse().ok()),
                    message: text(ended, "/message").unwrap_or_default(),
                })
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_tells_why_it_waits() {
        let pod = PodView::of(&serde_json::from_value(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "p", "labels": {"app.kubernetes.io/component": "app"}},
            "status": {"phase": "Pending", "containerStatuses": [
                {"restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]}}))
        .unwrap());
        assert_eq!(
            pod.waiting,
            Some(("ImagePullBackOff".to_owned(), "no such image".to_owned()))
        );
        assert_eq!(pod.component, "app");
    }
}
