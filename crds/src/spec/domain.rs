//! `spec.domain`: the names under which people and browsers reach the application.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The names under which people and browsers reach the application.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Domain {
    /// Host name under which people reach the application; it is in the certificate and in `status.endpoints.url`.
    /// Default: the Service's name inside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub primary: Option<String>,
    /// Origins (scheme and host, no path) whose pages may call the application from a browser. Default: none. (C-09)
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(max = 256), regex(pattern = r"^https?://[a-z0-9.-]+(:[0-9]{1,5})?$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub allowed_origins: Vec<String>,
}
