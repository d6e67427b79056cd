//! `spec.network`: connections beyond those that every deployment needs.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Connections beyond those that every deployment needs.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// Pods that may connect to the application's port, such as the ingress controller's. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub ingress_from: Vec<Peer>,
    /// Pods that may read the application's metrics. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub metrics_from: Vec<Peer>,
    /// Networks that the application may connect to beside its database and DNS. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub egress: Vec<EgressRule>,
}

/// Pods, by the labels of their namespace and their own.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.namespaceLabels) || has(self.podLabels)")
    .message("an entry of spec.network.ingressFrom or metricsFrom needs namespaceLabels or podLabels: an entry without both would allow every pod of the namespace; write podLabels"))]
pub struct Peer {
    /// Labels of the namespaces, for example `kubernetes.io/metadata.name: ingress-nginx`. Default: the namespace
    /// of this resource only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    #[x_kube(validation = Rule::new("size(self) > 0").message("namespaceLabels must name at least one label: an empty map would allow every namespace"))]
    pub namespace_labels: BTreeMap<String, String>,
    /// Labels of the pods. Default: every pod of the namespaces.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    #[x_kube(validation = Rule::new("size(self) > 0").message("podLabels must name at least one label: an empty map would allow every pod"))]
    pub pod_labels: BTreeMap<String, String>,
}

/// A network that the application may connect to.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EgressRule {
    /// What is there and why the application needs it, kept for the auditor as an annotation of the policy.
    #[schemars(length(min = 3, max = 200))]
    pub purpose: String,
    /// The network in CIDR notation, for example `203.0.113.0/24` or `2001:db8::/32`.
    #[schemars(length(min = 4, max = 43), regex(pattern = "^[0-9a-fA-F:.]+/[0-9]{1,3}$"))]
    pub cidr: String,
    /// Ports of the network.
    #[schemars(length(min = 1, max = 16))]
    pub ports: Vec<NetworkPort>,
}

/// A port.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPort {
    /// Port number.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Protocol. Default: TCP.
    #[serde(default)]
    pub protocol: Protocol,
}

/// A transport protocol.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    #[default]
    #[serde(rename = "TCP")]
    Tcp,
    /// UDP.
    #[serde(rename = "UDP")]
    Udp,
}

impl Protocol {
    /// The name as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}
