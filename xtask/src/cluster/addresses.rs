//! The addresses of the cluster tier. All of them exist only inside its network namespace.

/// The node's address, on a bridge without ports.
pub(crate) const NODE_IP: &str = "172.31.255.1";
/// The name the node registers with.
pub(crate) const NODE: &str = "node0";
/// Where Services get their addresses from.
pub(crate) const SERVICES: &str = "10.96.0.0/16";
/// The first address of [`SERVICES`]: the API server, for pods.
pub(crate) const API_SERVICE_IP: &str = "10.96.0.1";
/// The cluster's DNS (also in tests/kube/manifests/coredns).
pub(crate) const DNS_IP: &str = "10.96.0.10";
/// Where pods get their addresses from.
pub(crate) const PODS: &str = "10.244.0.0/16";
/// The part of [`PODS`] that the only node has.
pub(crate) const NODE_PODS: &str = "10.244.0.0/24";
/// The domain of Services.
pub(crate) const DOMAIN: &str = "cluster.local";
/// The network namespace.
pub(crate) const NETWORK_NAMESPACE: &str = "medops";
