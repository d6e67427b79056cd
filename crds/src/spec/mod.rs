//! What the user declares, one file per group.

mod app;
mod autoscaling;
mod backup;
mod database;
mod domain;
mod network;
mod secrets;

pub use app::{
    AppSpec, ConfigFiles, DeploymentValue, EnvVar, Init, Probe, Probes, ResourceRequirements, Resources,
    Scheme, SecretKeyRef,
};
pub use autoscaling::Autoscaling;
pub use backup::{Backup, LogicalBackup, Tier, Tiers, VerifySchedule};
pub use database::{Database, ManagedDatabase};
pub use domain::Domain;
use kube::{CustomResource, KubeSchema};
pub use network::{EgressRule, Network, NetworkPort, Peer, Protocol};
use schemars::JsonSchema;
pub use secrets::{GeneratedSecret, SecretFormat, Secrets};
use serde::{Deserialize, Serialize};

use crate::quantity::Quantity;

/// A medical web application as a hardened, backed-up, observable deployment.
///
/// Every field has a default: an empty `spec` deploys the reference application with a PostgreSQL database of
/// one instance for development. `environment: production` switches the strict rules on.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "medops.dev",
    version = "v1alpha1",
    kind = "MedicalDeployment",
    plural = "medicaldeployments",
    shortname = "md",
    category = "all",
    namespaced,
    status = "crate::status::MedicalDeploymentStatus",
    derive = "PartialEq",
    derive = "Default",
    cel,
    doc = "A medical web application as a hardened, backed-up, observable deployment.",
    scale(
        spec_replicas_path = ".spec.app.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status", description = "Whether everything declared was observed to work"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason", description = "Why it is, or is not, ready"),
    printcolumn(name = "Replicas", type_ = "string", json_path = ".status.replicasReady", description = "Ready pods of the application, of those wanted"),
    printcolumn(name = "Database", type_ = "string", json_path = ".status.database.instancesReady", description = "Ready instances of PostgreSQL, of those wanted"),
    printcolumn(name = "Backup", type_ = "date", json_path = ".status.backup.lastSuccessTime", description = "Age of the last good logical backup"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.endpoints.url", description = "Where the application answers"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 36")
        .message("metadata.name must be a DNS label that begins with a letter, of at most 36 characters, because the Service, the Cluster and the CronJobs are named after it: choose a shorter name such as 'clinic'")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.environment != 'production' || (has(self.autoscaling) ? self.autoscaling.minReplicas : self.app.replicas) >= 2")
        .message("spec.app.replicas (or spec.autoscaling.minReplicas) must be at least 2 when spec.environment is production, so that one pod may fail: set it to 2 or more"),
    validation = Rule::new("self.environment != 'production' || self.database.managed.instances >= 2")
        .message("spec.database.managed.instances must be at least 2 when spec.environment is production, so that a standby can take over: set it to 2 or, better, 3"),
    validation = Rule::new("self.environment != 'production' || !has(self.app.image) || self.app.image.contains('@sha256:') || (self.app.image.matches(':[A-Za-z0-9_][A-Za-z0-9._-]*$') && !self.app.image.endsWith(':latest'))")
        .message("spec.app.image must name a fixed tag or a digest when spec.environment is production, never ':latest': write the version that was tested, for example 'registry/app:1.4.2'"),
    validation = Rule::new("self.environment != 'production' || !has(self.app.env) || self.app.env.all(e, !(e.name.endsWith('DEBUG') && has(e.value) && e.value.lowerAscii() in ['1', 'true', 'yes', 'on']))")
        .message("spec.app.env must not switch a debug mode on when spec.environment is production, because debug pages show PHI and secrets: remove the variable or set it to 'false'"),
    validation = Rule::new("self.environment != 'production' || ((!has(self.app.command) || self.app.command.all(a, !(a in ['--reload', '--debug']))) && (!has(self.app.args) || self.app.args.all(a, !(a in ['--reload', '--debug']))))")
        .message("spec.app.command and spec.app.args must not start a development server ('--reload', '--debug') when spec.environment is production: remove the flag"),
    validation = Rule::new("self.environment == 'development' || !has(self.domain) || !has(self.domain.allowedOrigins) || self.domain.allowedOrigins.all(o, o.startsWith('https://'))")
        .message("spec.domain.allowedOrigins must all begin with https:// unless spec.environment is development: remove the http:// origins"),
    validation = Rule::new("self.environment != 'production' || (self.backup.logical.enabled && has(self.backup.logical.tiers.daily))")
        .message("spec.backup.logical must be enabled with a daily tier when spec.environment is production: set spec.backup.logical.enabled to true and spec.backup.logical.tiers.daily"),
    validation = Rule::new("!has(self.autoscaling) || has(self.app.resources.requests.cpu)")
        .message("spec.app.resources.requests.cpu must be set when spec.autoscaling is, because the autoscaler measures in percent of it: set it to what one pod normally uses, such as 250m"),
    validation = Rule::new("!has(self.app.config) || !has(self.app.writablePaths) || !(self.app.config.mountPath in self.app.writablePaths)")
        .message("spec.app.config.mountPath must not be one of spec.app.writablePaths, because two volumes cannot be mounted at one place: choose another directory for one of them"),
    validation = Rule::new("self.environment != 'production' || !has(self.network) || !has(self.network.egress) || self.network.egress.all(r, !r.cidr.endsWith('/0'))")
        .message("spec.network.egress must not allow every address (a prefix of /0) when spec.environment is production: name the networks that the application needs"),
)]
pub struct MedicalDeploymentSpec {
    /// How strict the rules are. `production` requires at least two replicas and two database instances, a fixed
    /// image version, daily backups, and refuses debug modes and open egress. Passed to the reference
    /// application as ENVIRONMENT. Default: development.
    #[serde(default)]
    pub environment: Environment,

    /// What the application needs by name (port, scheme, probes, migration command, environment) where the spec
    /// is silent. Default: `reference` when `app.image` is not set, otherwise `custom`. Set `reference` to
    /// deploy the reference application from a registry of your own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,

    /// The application's pods.
    #[serde(default)]
    pub app: AppSpec,

    /// The names under which people and browsers reach the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Domain>,

    /// The PostgreSQL database.
    #[serde(default)]
    pub database: Database,

    /// Secrets to generate for the application, beside those that every deployment gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Secrets>,

    /// Scales the application by load. Without it `app.replicas` pods run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,

    /// Backups of the database.
    #[serde(default)]
    pub backup: Backup,

    /// Who may connect to the application and where it may connect to, beyond its own database and DNS.
    /// Everything else is denied, both ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,

    /// What happens to the database, its volumes, the keys and the backups when this resource is deleted.
    /// `Retain` keeps all of them, and a new resource of the same name takes them over. `Delete` removes them
    /// for ever. Default: Retain.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// Stops the operator from changing anything of this deployment, for maintenance by hand. The children keep
    /// running as they are and status says Suspended. Default: false.
    #[serde(default)]
    pub suspend: bool,
}

/// How strict the rules are.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Environment {
    /// The strict rules apply.
    Production,
    /// Like production, with fewer instances.
    Staging,
    /// For work on the application.
    #[default]
    Development,
}

impl Environment {
    /// The name as written in the resource.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Staging => "staging",
            Self::Development => "development",
        }
    }
}

/// What an application needs by name.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Preset {
    /// The reference application of this project.
    Reference,
    /// Any other image: HTTP on port 8080 with TCP probes and no migration, unless the spec says otherwise.
    Custom,
}

/// What happens to data when the resource is deleted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// Database, volumes, keys and backups stay.
    #[default]
    Retain,
    /// Everything is removed for ever.
    Delete,
}

/// A volume that the operator requests.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0")
        .message("storage size may grow but not shrink, because a volume cannot: write the present size or a larger one"),
    validation = Rule::new("has(self.storageClass) == has(oldSelf.storageClass) && (!has(self.storageClass) || self.storageClass == oldSelf.storageClass)")
        .message("storageClass cannot change for an existing volume: restore a backup into a new MedicalDeployment that names the other class"),
)]
pub struct Storage {
    /// Size of the volume, a quantity such as 10Gi. May grow, never shrink.
    pub size: Quantity,
    /// StorageClass of the volume. Default: the cluster's default class. Cannot be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class: Option<String>,
}

/// serde's `default` wants a path to a function.
fn yes() -> bool {
    true
}
