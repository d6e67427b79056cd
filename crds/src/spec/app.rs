//! `spec.app`: the application's pods.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::Quantity;

/// The application's pods.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AppSpec {
    /// Image of the application. Default: the reference application in the operator's own version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^[a-z0-9]+([._/:@-]?[A-Za-z0-9_]+)*$")
    )]
    pub image: Option<String>,

    /// Pods that run when `autoscaling` is not set. Default: 2. (R-001)
    #[serde(default = "two")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: i32,

    /// Replaces the image's entry point. A shell is not added: write `["sh", "-c", "…"]` to get one. (R-004)
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 1024)))]
    pub command: Vec<String>,

    /// Arguments of the entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub args: Vec<String>,

    /// Port on which the application listens. Default by preset: 8443 (reference), 8080 (custom). (R-003)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 65535))]
    pub port: Option<i32>,

    /// Whether the application itself speaks TLS on its port. Default by preset: HTTPS (reference), HTTP (custom).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,

    /// CPU and memory of one pod. Default: requests 100m and 128Mi, limits 512Mi of memory. (R-007)
    #[serde(default)]
    pub resources: Resources,

    /// How Kubernetes finds out that a pod has started, works and may get requests. Default by preset: the
    /// reference application's endpoints, or a TCP connection to the port. (R-002)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<Probes>,

    /// Environment variables of the application. They come after those of the preset and win over them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env: Vec<EnvVar>,

    /// Configuration files, mounted read-only. A change rolls the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigFiles>,

    /// Directories that the application may write to. The root file system is read-only; each path becomes a
    /// temporary volume of the pod, `/tmp` always is one. (R-016)
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(max = 256), regex(pattern = r"^/[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    #[x_kube(validation = Rule::new("self.all(p, p != '/tmp' && p != '/run/secrets' && !p.startsWith('/run/secrets/') && !p.contains('/..') && !(p in ['/etc', '/proc', '/sys', '/dev', '/usr', '/bin', '/lib']))")
        .message("spec.app.writablePaths must not name /tmp (it is always writable), /run/secrets or a directory of the system: name the application's own directories, such as /app/uploads"))]
    pub writable_paths: Vec<String>,

    /// A command that must succeed before pods of a new image or configuration start: schema migration, first
    /// administrator. Runs as a Job with the rights of the database's owner. Default by preset: the reference
    /// application's `migrate`; nothing for `custom`. (R-006, R-021)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<Init>,

    /// Numeric user and group of the pods, never root. Default: 10001. (R-015)
    #[serde(default = "unprivileged")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub run_as_user: i64,
}

impl Default for AppSpec {
    fn default() -> Self {
        Self {
            image: None,
            replicas: two(),
            command: Vec::new(),
            args: Vec::new(),
            port: None,
            scheme: None,
            resources: Resources::default(),
            probes: None,
            env: Vec::new(),
            config: None,
            writable_paths: Vec::new(),
            init: None,
            run_as_user: unprivileged(),
        }
    }
}

fn two() -> i32 {
    2
}

fn unprivileged() -> i64 {
    10001
}

/// What the application speaks on its port.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// TLS ends in the application, with the certificate that the operator mounts.
    #[serde(rename = "HTTPS")]
    Https,
    /// Plain HTTP, reachable only for what `network.ingressFrom` names.
    #[serde(rename = "HTTP")]
    Http,
}

impl Scheme {
    /// The name as Kubernetes writes it in a probe.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Https => "HTTPS",
            Self::Http => "HTTP",
        }
    }
}

/// CPU and memory of a container.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.requests.memory) || !has(self.limits.memory) || quantity(string(self.requests.memory)).compareTo(quantity(string(self.limits.memory))) <= 0")
        .message("resources.requests.memory must not be above resources.limits.memory: lower the request or raise the limit"),
    validation = Rule::new("!has(self.requests.cpu) || !has(self.limits.cpu) || quantity(string(self.requests.cpu)).compareTo(quantity(string(self.limits.cpu))) <= 0")
        .message("resources.requests.cpu must not be above resources.limits.cpu: lower the request or raise the limit"),
)]
pub struct Resources {
    /// What the scheduler reserves.
    #[serde(default = "default_requests")]
    pub requests: ResourceRequirements,
    /// What the container may use at most. No CPU limit by default, because throttling makes requests slow.
    #[serde(default = "default_limits")]
    pub limits: ResourceRequirements,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            requests: default_requests(),
            limits: default_limits(),
        }
    }
}

fn default_requests() -> ResourceRequirements {
    ResourceRequirements {
        cpu: Some("100m".into()),
        memory: Some("128Mi".into()),
    }
}

fn default_limits() -> ResourceRequirements {
    ResourceRequirements {
        cpu: None,
        memory: Some("512Mi".into()),
    }
}

/// An amount of CPU and of memory.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ResourceRequirements {
    /// CPU in cores, a quantity such as 500m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Memory in bytes, a quantity such as 512Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
}

/// How Kubernetes finds out about a pod.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Probes {
    /// Holds the other two back until the application has started. Default: 60 tries, 2 seconds apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<Probe>,
    /// Restarts a pod that hangs. Must not depend on the database. Default: 3 tries, 10 seconds apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<Probe>,
    /// Takes a pod out of the Service while it cannot answer. Default: 3 tries, 5 seconds apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Probe>,
}

/// One probe.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// HTTP path that answers 2xx or 3xx. Without it the preset's path is used, or a TCP connection is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), regex(pattern = r"^/[^\s]*$"))]
    pub path: Option<String>,
    /// Seconds between tries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 300))]
    pub period_seconds: Option<i32>,
    /// Seconds after which a try has failed. Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60))]
    pub timeout_seconds: Option<i32>,
    /// Failed tries in a row that count as failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 600))]
    pub failure_threshold: Option<i32>,
}

/// One environment variable.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.value), has(self.secretKeyRef), has(self.generatedSecret), has(self.deploymentValue)].filter(x, x).size() == 1")
        .message("an entry of spec.app.env needs exactly one of value, secretKeyRef, generatedSecret and deploymentValue: keep one of them"),
    validation = Rule::new("!has(self.value) || !self.name.matches('(PASSWORD|SECRET|_TOKEN|API_KEY|PRIVATE_KEY)$') || self.value == ''")
        .message("spec.app.env must not hold a secret in plain text: put it into a Secret and name it by secretKeyRef, or let generatedSecret make one"),
)]
pub struct EnvVar {
    /// Name of the variable.
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// A plain value. Never a secret: everyone who may read this resource reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
    /// A value from a Secret of yours in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<SecretKeyRef>,
    /// A value from `spec.secrets.generate`, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub generated_secret: Option<String>,
    /// A value that the operator knows, under the name that the image expects. (R-025)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_value: Option<DeploymentValue>,
}

/// One key of a Secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A value that the operator knows.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum DeploymentValue {
    /// `postgresql://…` with the rights of the restricted role.
    DatabaseUrl,
    /// `postgresql://…` with the rights of the database's owner, for an image that creates its own tables.
    DatabaseOwnerUrl,
    /// Host name of the primary.
    DatabaseHost,
    /// Port of the primary.
    DatabasePort,
    /// Name of the database.
    DatabaseName,
    /// The restricted role.
    DatabaseUser,
    /// Password of the restricted role.
    DatabasePassword,
    /// Path of the file with the database's certificate authority.
    DatabaseCaFile,
    /// `spec.environment`.
    Environment,
    /// The address under which people reach the application.
    PublicUrl,
    /// The port on which the application shall listen.
    Port,
    /// `domain.allowedOrigins`, separated by commas.
    AllowedOrigins,
}

/// Configuration files, mounted read-only.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigFiles {
    /// Directory in which the files appear. Default: /etc/medical.
    #[serde(default = "config_directory")]
    #[schemars(length(max = 256), regex(pattern = r"^/[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$"))]
    pub mount_path: String,
    /// File name to content. Never a secret.
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(k, k.matches('^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$') && size(self[k]) <= 65536)")
        .message("spec.app.config.files: a file name holds letters, digits, '.', '_' and '-' only, and a file at most 65536 characters"))]
    pub files: BTreeMap<String, String>,
}

fn config_directory() -> String {
    "/etc/medical".to_owned()
}

/// A command that must succeed before new pods start.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Init {
    /// Image of the Job. Default: the application's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Command of the Job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 1024)))]
    pub command: Vec<String>,
    /// Arguments of the command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub args: Vec<String>,
    /// Seconds after which the Job has failed. Default: 600.
    #[serde(default = "ten_minutes")]
    #[schemars(range(min = 10, max = 86400))]
    pub timeout_seconds: i64,
}

fn ten_minutes() -> i64 {
    600
}
