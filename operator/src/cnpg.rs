//! The part of CloudNativePG's types that is written here: the fields of a Cluster that the operator sets and the
//! status fields that it reads. Checked against the `CustomResourceDefinition` of CloudNativePG 1.30
//! (<https://cloudnative-pg.io/documentation/1.30/cloudnative-pg.v1/>).

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{ResourceRequirements, SeccompProfile, TopologySpreadConstraint},
    apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta},
};
use serde::{Deserialize, Serialize};

/// `apiVersion` of a Cluster.
pub const API_VERSION: &str = "postgresql.cnpg.io/v1";
/// Label with the Cluster's name on every pod of a Cluster, its Jobs included.
pub const LABEL_CLUSTER: &str = "cnpg.io/cluster";
/// Label that tells an instance from a Job or a pooler.
pub const LABEL_POD_ROLE: &str = "cnpg.io/podRole";
/// Value of [`LABEL_POD_ROLE`] on a PostgreSQL instance.
pub const POD_ROLE_INSTANCE: &str = "instance";
/// Value of `app.kubernetes.io/name` on the pods of the CloudNativePG operator.
pub const OPERATOR_NAME: &str = "cloudnative-pg";
/// Port of PostgreSQL.
pub const POSTGRESQL_PORT: i32 = 5432;
/// Port of the instance manager, asked by the CloudNativePG operator and by the other instances.
pub const STATUS_PORT: i32 = 8000;
/// Port of the metrics of an instance.
pub const METRICS_PORT: i32 = 9187;
/// [`ClusterStatus::phase`] of a Cluster in which all is well.
pub const PHASE_HEALTHY: &str = "Cluster in healthy state";
/// [`ClusterStatus::phase`] of a Cluster that does not mend without a person.
pub const PHASE_UNRECOVERABLE: &str = "Cluster is unrecoverable and needs manual intervention";
/// Key of [`ManagedRolesStatus::by_status`] under which the roles that are as declared are listed.
pub const ROLE_RECONCILED: &str = "reconciled";

/// A PostgreSQL cluster, as it is written.
#[derive(Serialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// [`API_VERSION`].
    pub api_version: String,
    /// `Cluster`.
    pub kind: String,
    /// Name, labels, owner.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: ClusterSpec,
}

impl Cluster {
    /// A Cluster to write.
    pub fn new(metadata: ObjectMeta, spec: ClusterSpec) -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: "Cluster".to_owned(),
            metadata,
            spec,
        }
    }
}

/// What is wanted of a Cluster.
#[derive(Serialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSpec {
    /// Number of instances.
    pub instances: i32,
    /// Operand image; its tag begins with the PostgreSQL major version.
    pub image_name: String,
    /// Volume of each instance.
    pub storage: StorageConfiguration,
    /// CPU and memory of each instance; absent when neither is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// How the first instance is made.
    pub bootstrap: Bootstrap,
    /// Roles beside the owner.
    pub managed: ManagedConfiguration,
    /// Whether `postgres` may log in with a password.
    pub enable_superuser_access: bool,
    /// Whether CloudNativePG makes `PodDisruptionBudgets`.
    #[serde(rename = "enablePDB")]
    pub enable_pdb: bool,
    /// Server configuration.
    pub postgresql: PostgresConfiguration,
    /// Where the instances run.
    pub affinity: AffinityConfiguration,
    /// How the instances spread over zones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// System calls that the instances may make.
    pub seccomp_profile: SeccompProfile,
    /// `unsupervised`: the primary is updated without asking.
    pub primary_update_strategy: String,
    /// Seconds for which PostgreSQL waits for clients to leave before it cuts them.
    pub smart_shutdown_timeout: i32,
}

/// Volume of an instance.
#[derive(Serialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StorageConfiguration {
    /// Size, a quantity.
    pub size: String,
    /// `StorageClass`; absent for the cluster's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// Whether a larger size is applied to volumes in use.
    pub resize_in_use_volumes: bool,
}

/// How the first instance is made.
#[derive(Serialize, Clone, Debug, PartialEq)]
pub struct Bootstrap {
    /// By `initdb`.
    pub initdb: InitDb,
}

/// An empty database.
#[derive(Serialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct InitDb {
    /// Name of the database.
    pub database: String,
    /// Role that owns it.
    pub owner: String,
    /// Secret with the owner's password.
    pub secret: LocalObjectReference,
    /// Whether pages carry checksums.
    pub data_checksums: bool,
    /// Encoding of the database.
    pub encoding: String,
    /// Statements that the superuser runs once in the new server.
    #[serde(rename = "postInitSQL", skip_serializing_if = "Vec::is_empty")]
    pub post_init_sql: Vec<String>,
    /// Statements that the superuser runs once in the new database.
    #[serde(rename = "postInitApplicationSQL", skip_serializing_if = "Vec::is_empty")]
    pub post_init_application_sql: Vec<String>,
}

/// An object of the same namespace.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct LocalObjectReference {
    /// Name of the object.
    pub name: String,
}

/// What CloudNativePG manages inside PostgreSQL.
#[derive(Serialize, Clone, Debug, PartialEq)]
pub struct ManagedConfiguration {
    /// Roles beside the owner.
    pub roles: Vec<Role>,
}

/// A role of PostgreSQL. A false attribute is left out, because CloudNativePG's webhook leaves it out too.
#[derive(Serialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// Name of the role.
    pub name: String,
    /// `present`.
    pub ensure: String,
    /// Whether the role may log in.
    #[serde(skip_serializing_if = "is_false")]
    pub login: bool,
    /// Whether row-level security does not hold for the role.
    #[serde(skip_serializing_if = "is_false")]
    pub bypassrls: bool,
    /// Whether the role has the rights of the roles that it is a member of.
    pub inherit: bool,
    /// Roles that it is a member of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub in_roles: Vec<String>,
    /// Connections at most; -1 is no limit.
    pub connection_limit: i64,
    /// Secret with the password.
    pub password_secret: LocalObjectReference,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Server configuration.
#[derive(Serialize, Clone, Debug, PartialEq)]
pub struct PostgresConfiguration {
    /// Parameters of postgresql.conf.
    pub parameters: BTreeMap<String, String>,
    /// Rules of `pg_hba.conf`, before CloudNativePG's last rule.
    pub pg_hba: Vec<String>,
}

/// Where the instances run.
#[derive(Serialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AffinityConfiguration {
    /// Whether the instances keep apart.
    pub enable_pod_anti_affinity: bool,
    /// `preferred` or `required`.
    pub pod_anti_affinity_type: String,
    /// Label of the nodes that tells what apart means.
    pub topology_key: String,
}

/// What CloudNativePG reports. Every field may be absent. There is no observed generation: whether a change has
/// arrived is seen from `image`, `instances` and the phase.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterStatus {
    /// CloudNativePG's word for the state.
    pub phase: Option<String>,
    /// Why it is in that phase.
    pub phase_reason: Option<String>,
    /// Instances that exist.
    pub instances: i32,
    /// Instances that are ready.
    pub ready_instances: i32,
    /// Pod that is the primary.
    pub current_primary: Option<String>,
    /// Pod that shall be the primary.
    pub target_primary: Option<String>,
    /// Operand image that the instances are to run.
    pub image: Option<String>,
    /// Service of the primary.
    pub write_service: Option<String>,
    /// Conditions; `Ready` follows the phase.
    pub conditions: Vec<Condition>,
    /// The roles.
    pub managed_roles_status: ManagedRolesStatus,
}

/// How the managed roles are.
#[derive(Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct ManagedRolesStatus {
    /// Names of roles by state, such as [`ROLE_RECONCILED`].
    pub by_status: BTreeMap<String, Vec<String>>,
    /// Role to the reasons why it cannot be made as declared.
    pub cannot_reconcile: BTreeMap<String, Vec<String>>,
    /// Role to the password that it has.
    pub password_status: BTreeMap<String, PasswordStatus>,
}

/// The password that a role has.
#[derive(Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub struct PasswordStatus {
    /// Resource version of the Secret that the password was taken from.
    pub resource_version: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_whatever_else_it_holds() {
        let status: ClusterStatus = serde_json::from_value(serde_json::json!({
            "phase": PHASE_HEALTHY,
            "instances": 2,
            "readyInstances": 2,
            "currentPrimary": "clinic-db-1",
            "certificates": {"expirations": {}},
            "conditions": [{"type": "Ready", "status": "True", "reason": "ClusterIsReady", "message": "Cluster is Ready",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            "managedRolesStatus": {
                "byStatus": {"reconciled": ["medical_app"], "reserved": ["postgres"]},
                "passwordStatus": {"medical_app": {"resourceVersion": "42", "transactionID": 740}},
            },
        }))
        .unwrap();
        assert_eq!(status.ready_instances, 2);
        assert_eq!(status.conditions[0].type_, "Ready");
        assert_eq!(
            status.managed_roles_status.by_status[ROLE_RECONCILED],
            ["medical_app"]
        );
        assert_eq!(
            status.managed_roles_status.password_status["medical_app"]
                .resource_version
                .as_deref(),
            Some("42")
        );
    }

    #[test]
    fn an_empty_status_says_nothing() {
        let status: ClusterStatus = serde_json::from_value(serde_json::json!({})).unwrap();
        assert_eq!(status, ClusterStatus::default());
    }
}
