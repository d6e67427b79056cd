//! What the operator observed.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator observed. Holds no value that changes by itself, so that an unchanged deployment is never written.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MedicalDeploymentStatus {
    /// The generation of the resource that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One word for people: Pending, Progressing, Ready, Degraded, Invalid, Suspended or Deleting. Programs read `conditions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The conditions, in kstatus terms; Ready is their summary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Version of the operator that wrote this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where the application answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,
    /// Pods of the application, as the scale subresource reports them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Ready pods of the application, of those wanted, such as 2/2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas_ready: Option<String>,
    /// Label selector of the application's pods, as the scale subresource reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseStatus>,
    /// The backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupStatus>,
    /// The Secrets: names and keys, never values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub secrets: Vec<SecretStatus>,
    /// The child objects and how they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<ChildStatus>,
}

/// One word for people.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was observed yet.
    Pending,
    /// On the way to what was declared.
    Progressing,
    /// Everything declared was observed to work.
    Ready,
    /// Something failed that will not mend without a change.
    Degraded,
    /// The resource contradicts itself or the cluster; nothing is changed until it is corrected.
    Invalid,
    /// `suspend` is set.
    Suspended,
    /// The resource is being deleted.
    Deleting,
}

impl Phase {
    /// As it is written in status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Progressing => "Progressing",
            Self::Ready => "Ready",
            Self::Degraded => "Degraded",
            Self::Invalid => "Invalid",
            Self::Suspended => "Suspended",
            Self::Deleting => "Deleting",
        }
    }
}

/// Where the application answers.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// Address for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Address of the Service inside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Secret whose `ca.crt` verifies the application's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret: Option<String>,
}

/// The database.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStatus {
    /// The CloudNativePG Cluster.
    pub cluster: String,
    /// Instances that are wanted.
    pub instances: i32,
    /// Instances that are ready.
    pub ready_instances: i32,
    /// Ready instances, of those wanted, such as 2/2.
    pub instances_ready: String,
    /// The pod that is the primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// Operand image that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// CloudNativePG's own word for the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
}

/// The backups. Read from the dumps themselves, as the pods that made them reported, never from a schedule.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BackupStatus {
    /// When the last good dump was finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_time: Option<Time>,
    /// File name of the last good dump.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_file: Option<String>,
    /// Size of the last good dump in bytes, compressed and encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_bytes: Option<i64>,
    /// Tier of the last good dump.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_tier: Option<String>,
    /// When the last dump failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure_time: Option<Time>,
    /// Why the last dump failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// When a dump was last restored into a scratch database with all its rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_verified_time: Option<Time>,
    /// File name of the dump that was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_verified_file: Option<String>,
    /// When a verification last failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_verify_failure_time: Option<Time>,
    /// Why the verification failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_verify_failure: Option<String>,
}

/// A Secret: its name and keys, never values.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretStatus {
    /// Name of the Secret.
    pub name: String,
    /// What the Secret is for.
    pub purpose: String,
    /// When the Secret was created; its age is the age of its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Time>,
}

/// A child object.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ChildStatus {
    /// Kind of the object.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// Ready, Progressing, Failed or Missing.
    pub state: ChildState,
    /// Why, when it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How a child object is.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChildState {
    /// Observed to be as declared.
    Ready,
    /// On the way.
    #[default]
    Progressing,
    /// Will not get there without a change.
    Failed,
    /// Not there.
    Missing,
}

/// A time as Kubernetes writes it, without fractions of a second.
pub fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}
