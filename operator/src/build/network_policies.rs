//! The `NetworkPolicies`: everything is denied both ways for every pod of the deployment, then what is needed is
//! allowed by name. A policy can only allow, so the order does not matter
//! (<https://kubernetes.io/docs/concepts/services-networking/network-policies/>).
//!
//! An empty list of peers means everyone and is normalised away by the API server; no rule here ever has one.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::networking::v1::{
        IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
        NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use medical_crds::{
    names::{Component, LABEL_NAME},
    spec::Peer,
};

use super::{Inputs, Lifetime};
use crate::cnpg::{self, LABEL_CLUSTER};

/// Annotation that says, for the auditor, why the application may reach each network of `spec.network.egress`.
pub const EGRESS_PURPOSES: &str = "medops.dev/egress-purposes";

const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// Where a node's own DNS cache listens (<https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns/>).
const NODE_LOCAL_DNS: &str = "169.254.20.10/32";

/// All policies, with their lifetimes. The verification of dumps gets none: it needs no network.
pub fn build(inputs: &Inputs) -> Vec<(Lifetime, NetworkPolicy)> {
    let spec = &inputs.deployment.spec;
    let names = &inputs.names;
    let mut guards = vec![
        Guard {
            name: names.default_deny_policy(),
            component: Component::App,
            pods: names.selector(),
            // The database may outlive the resource, and must not become reachable then.
            lifetime: Lifetime::Data,
            ingress: Vec::new(),
            egress: Vec::new(),
        },
        Guard {
            // CloudNativePG labels its pods, those of its Jobs included, in its own way.
            name: format!("{}-default-deny", names.cluster()),
            component: Component::Database,
            pods: cluster_labels(inputs),
            lifetime: Lifetime::Data,
            ingress: Vec::new(),
            egress: Vec::new(),
        },
        database(inputs),
        app(inputs),
    ];
    if spec.effective_init().is_some() {
        guards.push(client_of_the_database(inputs, Component::Init));
    }
    if spec.backup.logical.enabled {
        guards.push(client_of_the_database(inputs, Component::Backup));
    }
    guards
        .into_iter()
        .map(|guard| (guard.lifetime, guard.policy(inputs)))
        .collect()
}

/// Who may connect to some pods and where they may connect to.
struct Guard {
    name: String,
    component: Component,
    pods: BTreeMap<String, String>,
    lifetime: Lifetime,
    ingress: Vec<NetworkPolicyIngressRule>,
    egress: Vec<NetworkPolicyEgressRule>,
}

impl Guard {
    fn policy(self, inputs: &Inputs) -> NetworkPolicy {
        let mut metadata = inputs.metadata(self.name, self.component, self.lifetime);
        if self.component == Component::App {
            metadata.annotations = purposes(inputs, &self.egress);
        }
        NetworkPolicy {
            metadata,
            spec: Some(NetworkPolicySpec {
                pod_selector: Some(selector(&self.pods)),
                // Named even when there is no rule, so that the policy denies what it does not allow.
                policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
                ingress: (!self.ingress.is_empty()).then_some(self.ingress),
                egress: (!self.egress.is_empty()).then_some(self.egress),
            }),
        }
    }
}

fn app(inputs: &Inputs) -> Guard {
    let spec = &inputs.deployment.spec;
    let mut ingress = Vec::new();
    let mut egress = vec![dns(), to_the_database(inputs)];
    if let Some(network) = &spec.network {
        ingress.extend(ingress_from(
            peers(&network.ingress_from),
            &[spec.effective_port()],
        ));
        if let Some(port) = spec.effective_metrics_port() {
            ingress.extend(ingress_from(peers(&network.metrics_from), &[port]));
        }
        egress.extend(network.egress.iter().map(|rule| {
            NetworkPolicyEgressRule {
                to: Some(vec![block(rule.cidr.clone())]),
                ports: Some(
                    rule.ports
                        .iter()
                        .map(|at| port(at.protocol.as_str(), at.port))
                        .collect(),
                ),
            }
        }));
    }
    Guard {
        name: inputs.names.network_policy(Component::App),
        component: Component::App,
        pods: inputs.names.component_selector(Component::App),
        lifetime: Lifetime::Workload,
        ingress,
        egress,
    }
}

/// A rule of a policy has no name and no comment, so the reasons stand beside them.
fn purposes(inputs: &Inputs, egress: &[NetworkPolicyEgressRule]) -> Option<BTreeMap<String, String>> {
    let rules = &inputs.deployment.spec.network.as_ref()?.egress;
    if egress.is_empty() || rules.is_empty() {
        return None;
    }
    let lines: Vec<String> = rules
        .iter()
        .map(|rule| format!("{}: {}", rule.cidr, rule.purpose))
        .collect();
    Some(BTreeMap::from([(EGRESS_PURPOSES.to_owned(), lines.join("\n"))]))
}

fn client_of_the_database(inputs: &Inputs, component: Component) -> Guard {
    Guard {
        name: inputs.names.network_policy(component),
        component,
        pods: inputs.names.component_selector(component),
        lifetime: Lifetime::Workload,
        ingress: Vec::new(),
        egress: vec![dns(), to_the_database(inputs)],
    }
}

/// What CloudNativePG needs (<https://cloudnative-pg.io/documentation/1.30/networking/>), its clients, and the scraper.
///
fn database(inputs: &Inputs) -> Guard {
    let spec = &inputs.deployment.spec;
    let clients = [Component::App, Component::Init, Component::Backup]
        .map(|component| pods(&inputs.names.component_selector(component)))
        .to_vec();
    let instances = vec![pods(&cluster_labels(inputs))];
    let operator = vec![NetworkPolicyPeer {
        namespace_selector: Some(labels([(
            NAMESPACE_NAME,
            inputs.settings.cloudnative_pg_namespace.as_str(),
        )])),
        pod_selector: Some(labels([(LABEL_NAME, cnpg::OPERATOR_NAME)])),
        ip_block: None,
    }];
    let scrapers = spec
        .network
        .as_ref()
        .map(|network| peers(&network.metrics_from))
        .unwrap_or_default();
    let both = [cnpg::POSTGRESQL_PORT, cnpg::STATUS_PORT];

    let mut ingress = Vec::new();
    ingress.extend(ingress_from(clients, &[cnpg::POSTGRESQL_PORT]));
    ingress.extend(ingress_from(instances.clone(), &both));
    ingress.extend(ingress_from(operator, &both));
    ingress.extend(ingress_from(scrapers, &[cnpg::METRICS_PORT]));
    let mut egress = vec![
        dns(),
        NetworkPolicyEgressRule {
            to: Some(instances),
            ports: Some(both.map(tcp).to_vec()),
        },
    ];
    egress.extend(to_the_api_server(inputs));
    Guard {
        name: inputs.names.network_policy(Component::Database),
        component: Component::Database,
        pods: cluster_labels(inputs),
        lifetime: Lifetime::Data,
        ingress,
        egress,
    }
}

/// The instance manager reads its Cluster and writes its status. Policies hold after the translation of a Service's
/// address on most networks and before it on some, so both kinds of address are named.
fn to_the_api_server(inputs: &Inputs) -> Vec<NetworkPolicyEgressRule> {
    let mut by_port: BTreeMap<i32, BTreeSet<&str>> = BTreeMap::new();
    for address in inputs.api_server {
        by_port
            .entry(address.port)
            .or_default()
            .insert(address.ip.as_str());
    }
    by_port
        .into_iter()
        .map(|(port, addresses)| NetworkPolicyEgressRule {
            to: Some(
                addresses
                    .into_iter()
                    .map(|address| block(single(address)))
                    .collect(),
            ),
            ports: Some(vec![tcp(port)]),
        })
        .collect()
}

fn single(address: &str) -> String {
    let prefix = if address.contains(':') { 128 } else { 32 };
    format!("{address}/{prefix}")
}

fn dns() -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: Some(vec![
            NetworkPolicyPeer {
                namespace_selector: Some(labels([(NAMESPACE_NAME, "kube-system")])),
                pod_selector: Some(labels([("k8s-app", "kube-dns")])),
                ip_block: None,
            },
            block(NODE_LOCAL_DNS.to_owned()),
        ]),
        ports: Some(vec![port("UDP", 53), tcp(53)]),
    }
}

fn to_the_database(inputs: &Inputs) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: Some(vec![pods(&cluster_labels(inputs))]),
        ports: Some(vec![tcp(cnpg::POSTGRESQL_PORT)]),
    }
}

/// A rule for these peers; none without peers, because an empty list would mean everyone.
fn ingress_from(from: Vec<NetworkPolicyPeer>, ports: &[i32]) -> Option<NetworkPolicyIngressRule> {
    (!from.is_empty()).then(|| NetworkPolicyIngressRule {
        from: Some(from),
        ports: Some(ports.iter().map(|port| tcp(*port)).collect()),
    })
}

/// The peers; one that names nothing, which admission refuses, would select every pod and is left out.
fn peers(declared: &[Peer]) -> Vec<NetworkPolicyPeer> {
    let some = |labels: &BTreeMap<String, String>| (!labels.is_empty()).then(|| selector(labels));
    declared
        .iter()
        .filter(|peer| !(peer.namespace_labels.is_empty() && peer.pod_labels.is_empty()))
        .map(|peer| NetworkPolicyPeer {
            namespace_selector: some(&peer.namespace_labels),
            pod_selector: some(&peer.pod_labels),
            ip_block: None,
        })
        .collect()
}

fn cluster_labels(inputs: &Inputs) -> BTreeMap<String, String> {
    BTreeMap::from([(LABEL_CLUSTER.to_owned(), inputs.names.cluster())])
}

fn labels<const N: usize>(labels: [(&str, &str); N]) -> LabelSelector {
    selector(
        &labels
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    )
}

fn selector(labels: &BTreeMap<String, String>) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels.clone()),
        match_expressions: None,
    }
}

fn pods(labels: &BTreeMap<String, String>) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(selector(labels)),
        ..NetworkPolicyPeer::default()
    }
}

fn block(cidr: String) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr, except: None }),
        ..NetworkPolicyPeer::default()
    }
}

fn tcp(number: i32) -> NetworkPolicyPort {
    port("TCP", number)
}

fn port(protocol: &str, number: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(number)),
        end_port: None,
    }
}
