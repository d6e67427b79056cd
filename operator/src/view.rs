//! What the operator remembers of a child object: enough to judge it and to know whether it was changed, and no more.
//!
//! Whole objects are not kept: a thousand deployments fit into little memory, and no Secret value stays in it.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use jiff::Timestamp;
use kube::{ResourceExt, core::DynamicObject};
use medical_crds::names::{LABEL_INSTANCE, LABEL_MANAGED_BY, MANAGED_BY};
use serde_json::Value;

use crate::kinds::Kind;

mod pod;
mod secret;

pub use pod::{PodView, Termination};
pub use secret::{SecretView, checksum};

/// A child object as it was last seen.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Name of the object.
    pub name: String,
    /// UID of the object.
    pub uid: String,
    /// Version at which it was seen.
    pub resource_version: String,
    /// Generation of its spec; 0 for kinds without one.
    pub generation: i64,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// UID of its controller.
    pub owner_uid: Option<String>,
    /// Whether it carries our labels. An object that does not is never touched.
    pub ours: bool,
    /// Hash of everything but status and bookkeeping: it changes when anybody changes the object.
    pub fingerprint: u64,
    /// What its kind has to say.
    pub detail: Detail,
}

/// What a kind has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum Detail {
    /// Nothing beyond its existence.
    Plain,
    /// apps/v1 Deployment.
    Deployment(DeploymentView),
    /// CloudNativePG Cluster.
    Cluster(Box<ClusterView>),
    /// batch/v1 Job.
    Job(JobView),
    /// core/v1 Secret.
    Secret(SecretView),
    /// autoscaling/v2 HorizontalPodAutoscaler.
    Autoscaler(AutoscalerView),
    /// core/v1 PersistentVolumeClaim.
    Claim(ClaimView),
}

/// A condition of a child object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildCondition {
    /// Type.
    pub type_: String,
    /// True, False or Unknown.
    pub status: String,
    /// Reason.
    pub reason: String,
    /// Message.
    pub message: String,
}

/// A Deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeploymentView {
    /// Generation that the Deployment controller has seen.
    pub observed_generation: i64,
    /// Wanted pods.
    pub wanted: i32,
    /// All pods.
    pub replicas: i32,
    /// Pods of the present template.
    pub updated: i32,
    /// Ready pods.
    pub ready: i32,
    /// Available pods.
    pub available: i32,
    /// Conditions.
    pub conditions: Vec<ChildCondition>,
    /// Whether our field manager owns `spec.replicas`.
    pub owns_replicas: bool,
}

/// A Cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterView {
    /// Wanted instances.
    pub wanted: i32,
    /// Ready instances.
    pub ready: i32,
    /// CloudNativePG's word for the state.
    pub phase: String,
    /// The primary's pod.
    pub primary: Option<String>,
    /// Image that runs.
    pub image: Option<String>,
    /// Image that is wanted.
    pub wanted_image: Option<String>,
    /// Conditions.
    pub conditions: Vec<ChildCondition>,
    /// Roles whose password or attributes could not be applied.
    pub roles_failing: Vec<String>,
    /// Roles that are as declared.
    pub roles_reconciled: BTreeSet<String>,
    /// The Secrets that were seen to exist together with this database.
    pub known_secrets: BTreeSet<String>,
}

/// A Job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobView {
    /// Succeeded.
    pub complete: bool,
    /// Reason and message of the failure.
    pub failed: Option<String>,
    /// When it failed.
    pub failed_at: Option<Timestamp>,
    /// Running pods.
    pub active: i32,
}

impl JobView {
    /// Whether it will not run any more.
    pub fn finished(&self) -> bool {
        self.complete || self.failed.is_some()
    }
}

/// A `HorizontalPodAutoscaler`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AutoscalerView {
    /// Conditions.
    pub conditions: Vec<ChildCondition>,
    /// Pods that it wants.
    pub desired: i32,
}

/// A `PersistentVolumeClaim`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimView {
    /// Whether a volume was bound to it.
    pub bound: bool,
    /// Requested size.
    pub requested: String,
}

/// Name of the annotation on the Cluster that lists the Secrets which belong to its data.
pub const KNOWN_SECRETS: &str = "medops.dev/secrets";

impl View {
    /// The view of an object of `kind`.
    pub fn of(kind: Kind, object: &DynamicObject) -> Self {
        let metadata = &object.metadata;
        let detail = match kind {
            Kind::Deployment => Detail::Deployment(deployment(object)),
            Kind::Cluster => Detail::Cluster(Box::new(cluster(object))),
            Kind::Job => Detail::Job(job(object)),
            Kind::Secret => Detail::Secret(SecretView::of(object)),
            Kind::HorizontalPodAutoscaler => Detail::Autoscaler(AutoscalerView {
                conditions: conditions(&object.data),
                desired: number(&object.data, "/status/desiredReplicas"),
            }),
            Kind::PersistentVolumeClaim => Detail::Claim(ClaimView {
                bound: text(&object.data, "/status/phase").as_deref() == Some("Bound"),
                requested: text(&object.data, "/spec/resources/requests/storage").unwrap_or_default(),
            }),
            _ => Detail::Plain,
        };
        Self {
            name: object.name_any(),
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
            deleting: metadata.deletion_timestamp.is_some(),
            owner_uid: metadata
                .owner_references
                .iter()
                .flatten()
                .find(|owner| owner.controller == Some(true))
                .map(|owner| owner.uid.clone()),
            ours: object
                .labels()
                .get(LABEL_MANAGED_BY)
                .is_some_and(|value| value == MANAGED_BY),
            fingerprint: fingerprint(object),
            detail,
        }
    }
}

/// The `MedicalDeployment` that an object belongs to.
pub fn instance(object: &DynamicObject) -> Option<&str> {
    object.labels().get(LABEL_INSTANCE).map(String::as_str)
}

/// Hash of everything but status and bookkeeping.
fn fingerprint(object: &DynamicObject) -> u64 {
    let mut hasher = DefaultHasher::new();
    let metadata = &object.metadata;
    metadata.labels.hash(&mut hasher);
    metadata.annotations.hash(&mut hasher);
    metadata.finalizers.hash(&mut hasher);
    metadata.deletion_timestamp.is_some().hash(&mut hasher);
    for owner in metadata.owner_references.iter().flatten() {
        owner.uid.hash(&mut hasher);
        owner.controller.hash(&mut hasher);
    }
    if let Value::Object(fields) = &object.data {
        for (name, value) in fields.iter().filter(|(name, _)| *name != "status") {
            name.hash(&mut hasher);
            value.to_string().hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Hash of a planned object.
pub fn hash_of(object: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    object.to_string().hash(&mut hasher);
    hasher.finish()
}

fn number(data: &Value, pointer: &str) -> i32 {
    data.pointer(pointer)
        .and_then(Value::as_i64)
        .and_then(|value| i32::try_from(value).ok())
        .unwrap_or(0)
}

fn text(data: &Value, pointer: &str) -> Option<String> {
    data.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

fn conditions(data: &Value) -> Vec<ChildCondition> {
    let field = |condition: &Value, name: &str| {
        condition
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    data.pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|condition| ChildCondition {
            type_: field(condition, "type"),
            status: field(condition, "status"),
            reason: field(condition, "reason"),
            message: field(condition, "message"),
        })
        .collect()
}

fn deployment(object: &DynamicObject) -> DeploymentView {
    let data = &object.data;
    let owns_replicas = object.managed_fields().iter().any(|entry| {
        entry.manager.as_deref() == Some(crate::reconcile::apply::FIELD_MANAGER)
            && entry
                .fields_v1
                .as_ref()
                .is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
    });
    DeploymentView {
        observed_generation: data
            .pointer("/status/observedGeneration")
            .and_then(Value::as_i64)
            .unwrap_or(0),
        wanted: number(data, "/spec/replicas"),
        replicas: number(data, "/status/replicas"),
        updated: number(data, "/status/updatedReplicas"),
        ready: number(data, "/status/readyReplicas"),
        available: number(data, "/status/availableReplicas"),
        conditions: conditions(data),
        owns_replicas,
    }
}

fn cluster(object: &DynamicObject) -> ClusterView {
    let data = &object.data;
    let names = |value: Option<&Value>| -> BTreeSet<String> {
        value
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    ClusterView {
        wanted: number(data, "/spec/instances"),
        ready: number(data, "/status/readyInstances"),
        phase: text(data, "/status/phase").unwrap_or_default(),
        primary: text(data, "/status/currentPrimary"),
        image: text(data, "/status/image"),
        wanted_image: text(data, "/spec/imageName"),
        conditions: conditions(data),
        roles_failing: data
            .pointer("/status/managedRolesStatus/cannotReconcile")
            .and_then(Value::as_object)
            .map(|roles| roles.keys().cloned().collect())
            .unwrap_or_default(),
        roles_reconciled: names(data.pointer("/status/managedRolesStatus/byStatus/reconciled")),
        known_secrets: object
            .annotations()
            .get(KNOWN_SECRETS)
            .map(|list| {
                list.split(',')
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned)
                    .collect()
            })
            .unwrap_or_default(),
    }
}

fn job(object: &DynamicObject) -> JobView {
    let conditions = conditions(&object.data);
    let holds = |type_: &str| {
        conditions
            .iter()
            .find(|condition| condition.type_ == type_ && condition.status == "True")
    };
    JobView {
        complete: holds("Complete").is_some(),
        failed: holds("Failed").map(|condition| format!("{}: {}", condition.reason, condition.message)),
        failed_at: object
            .data
            .pointer("/status/conditions")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == "Failed" && condition["status"] == "True")
            .and_then(|condition| condition["lastTransitionTime"].as_str()?.parse().ok()),
        active: number(&object.data, "/status/active"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    fn config_map(data: &str, extra: &Value) -> DynamicObject {
        let mut value = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "c", "resourceVersion": "1", "labels": {"a": "b"}}, "data": {"k": data}});
        value["metadata"]
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        object(value)
    }

    #[test]
    fn the_fingerprint_ignores_bookkeeping_and_sees_every_change() {
        let base = View::of(Kind::ConfigMap, &config_map("v", &json!({}))).fingerprint;
        let bumped = config_map(
            "v",
            &json!({"resourceVersion": "2", "managedFields": [{"manager": "m"}]}),
        );
        assert_eq!(View::of(Kind::ConfigMap, &bumped).fingerprint, base);
        assert_ne!(
            View::of(Kind::ConfigMap, &config_map("w", &json!({}))).fingerprint,
            base
        );
        assert_ne!(
            View::of(Kind::ConfigMap, &config_map("v", &json!({"labels": {"a": "c"}}))).fingerprint,
            base
        );
        assert_ne!(
            View::of(
                Kind::ConfigMap,
                &config_map("v", &json!({"annotations": {"x": "y"}}))
            )
            .fingerprint,
            base
        );
    }

    #[test]
    fn the_fingerprint_of_a_deployment_ignores_its_status() {
        let deployment = |ready: i32| {
            object(
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
                "spec": {"replicas": 2}, "status": {"readyReplicas": ready}}),
            )
        };
        let (before, after) = (
            View::of(Kind::Deployment, &deployment(0)),
            View::of(Kind::Deployment, &deployment(2)),
        );
        assert_eq!(before.fingerprint, after.fingerprint);
        assert!(matches!(
            after.detail,
            Detail::Deployment(DeploymentView {
                ready: 2,
                wanted: 2,
                ..
            })
        ));
    }
}
