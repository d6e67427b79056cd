//! Who reaches whom, as the policies say it.

use medical_operator::kinds::Kind;
use serde_json::{Value, json};

use crate::{pods, sample::Sample, specs};

fn policies(spec: Value) -> Vec<(String, Value)> {
    let plan = Sample::new(spec).plan();
    let policies = plan.into_iter().filter(|child| child.kind == Kind::NetworkPolicy);
    policies
        .map(|child| (child.name, child.object["spec"].clone()))
        .collect()
}

fn selects(policy: &Value, labels: &Value) -> bool {
    let wanted = policy["podSelector"]["matchLabels"].as_object().unwrap();
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn database_pod() -> Value {
    json!({"cnpg.io/cluster": "clinic-db", "cnpg.io/podRole": "instance", "app.kubernetes.io/name": "postgresql"})
}

/// A Job of CloudNativePG that makes or joins an instance.
fn database_job() -> Value {
    json!({"cnpg.io/cluster": "clinic-db", "cnpg.io/jobRole": "initdb"})
}

#[test]
fn every_policy_denies_both_ways_what_it_does_not_allow() {
    for (name, spec) in specs::all() {
        for (policy, object) in policies(spec) {
            assert_eq!(
                object["policyTypes"],
                json!(["Ingress", "Egress"]),
                "{name}: {policy}"
            );
            assert!(
                !object["podSelector"]["matchLabels"]
                    .as_object()
                    .unwrap()
                    .is_empty(),
                "{name}: {policy}"
            );
        }
    }
}

#[test]
fn no_rule_means_everyone_or_every_port() {
    for (name, spec) in specs::all() {
        for (policy, object) in policies(spec) {
            for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
                for rule in object[rules].as_array().into_iter().flatten() {
                    let peers = rule[peers].as_array().expect("peers are named");
                    assert!(!peers.is_empty(), "{name}: {policy}: {rule}");
                    assert!(
                        peers.iter().all(|peer| !peer.as_object().unwrap().is_empty()),
                        "{name}: {policy}: {rule}"
                    );
                    let ports = rule["ports"].as_array().expect("ports are named");
                    assert!(!ports.is_empty(), "{name}: {policy}: {rule}");
                    assert!(
                        ports
                            .iter()
                            .all(|port| port["protocol"].is_string() && port["port"].is_number())
                    );
                }
            }
        }
    }
}

#[test]
fn every_pod_of_the_deployment_is_denied_by_default() {
    let mut labels: Vec<Value> = pods::all()
        .into_iter()
        .map(|(_, template)| template["metadata"]["labels"].clone())
        .collect();
    labels.extend([database_pod(), database_job()]);
    let denying: Vec<Value> = policies(json!({}))
        .into_iter()
        .filter(|(name, _)| name.ends_with("default-deny"))
        .map(|(_, object)| object)
        .collect();
    assert!(
        denying
            .iter()
            .all(|policy| policy.get("ingress").is_none() && policy.get("egress").is_none())
    );
    for labels in labels {
        assert!(denying.iter().any(|policy| selects(policy, &labels)), "{labels}");
    }
}

#[test]
fn nobody_reaches_the_application_until_someone_is_named() {
    let (_, app) = policies(json!({}))
        .into_iter()
        .find(|(name, _)| name == "clinic-app")
        .unwrap();
    assert_eq!(app.get("ingress"), None);
    let (_, app) = policies(specs::production())
        .into_iter()
        .find(|(name, _)| name == "clinic-app")
        .unwrap();
    assert_eq!(
        app["ingress"],
        json!([
            {
                "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}],
                "ports": [{"protocol": "TCP", "port": 8443}],
            },
            {
                "from": [{
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
                    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
                }],
                "ports": [{"protocol": "TCP", "port": 9090}],
            },
        ])
    );
}

#[test]
fn the_application_reaches_dns_its_database_and_what_is_declared() {
    let (_, app) = policies(specs::production())
        .into_iter()
        .find(|(name, _)| name == "clinic-app")
        .unwrap();
    let egress = app["egress"].as_array().unwrap();
    assert_eq!(egress.len(), 3);
    assert_eq!(
        egress[0]["ports"],
        json!([{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}])
    );
    assert_eq!(
        egress[1]["to"],
        json!([{"podSelector": {"matchLabels": {"cnpg.io/cluster": "clinic-db"}}}])
    );
    assert_eq!(egress[2]["to"], json!([{"ipBlock": {"cidr": "203.0.113.0/24"}}]));
    assert_eq!(
        egress[2]["ports"],
        json!([{"protocol": "TCP", "port": 587}, {"protocol": "UDP", "port": 53}])
    );
}

#[test]
fn the_purpose_of_every_exception_is_kept_for_the_auditor() {
    let plan = Sample::new(specs::production()).plan();
    let app = plan.iter().find(|child| child.name == "clinic-app").unwrap();
    assert_eq!(
        app.object["metadata"]["annotations"]["medops.dev/egress-purposes"],
        "203.0.113.0/24: mail relay of the hospital"
    );
}

#[test]
fn the_database_is_reached_by_its_clients_its_peers_and_its_operator() {
    let (_, database) = policies(json!({}))
        .into_iter()
        .find(|(name, _)| name == "clinic-database")
        .unwrap();
    let component = |component: &str| {
        json!({"podSelector": {"matchLabels": {
            "app.kubernetes.io/name": "medical-deployment",
            "app.kubernetes.io/instance": "clinic",
            "app.kubernetes.io/component": component,
        }}})
    };
    let peers = json!([{"podSelector": {"matchLabels": {"cnpg.io/cluster": "clinic-db"}}}]);
    let both = json!([{"protocol": "TCP", "port": 5432}, {"protocol": "TCP", "port": 8000}]);
    assert_eq!(
        database["ingress"],
        json!([
            {
                "from": [component("app"), component("init"), component("backup")],
                "ports": [{"protocol": "TCP", "port": 5432}],
            },
            {"from": peers, "ports": both},
            {
                "from": [{
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "cnpg-system"}},
                    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "cloudnative-pg"}},
                }],
                "ports": both,
            },
        ])
    );
    let egress = database["egress"].as_array().unwrap();
    assert_eq!(egress[1], json!({"to": peers, "ports": both}));
    assert_eq!(
        egress[2..],
        [
            json!({"to": [{"ipBlock": {"cidr": "10.96.0.1/32"}}], "ports": [{"protocol": "TCP", "port": 443}]}),
            json!({"to": [{"ipBlock": {"cidr": "172.31.255.1/32"}}], "ports": [{"protocol": "TCP", "port": 6443}]}),
        ]
    );
}

#[test]
fn an_api_server_of_the_next_generation_of_addresses_is_one_address_too() {
    let mut sample = Sample::new(json!({}));
    sample.api_server[0].ip = "fd00::1".to_owned();
    let plan = sample.plan();
    let database = plan.iter().find(|child| child.name == "clinic-database").unwrap();
    assert_eq!(
        database.object["spec"]["egress"][2]["to"],
        json!([{"ipBlock": {"cidr": "fd00::1/128"}}])
    );
}

#[test]
fn the_pod_that_verifies_dumps_has_no_network() {
    let verify = pods::all()
        .into_iter()
        .find(|(name, _)| name.ends_with("clinic-backup-verify"))
        .unwrap()
        .1;
    let selecting: Vec<String> = policies(specs::production())
        .into_iter()
        .filter(|(_, policy)| selects(policy, &verify["metadata"]["labels"]))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(selecting, ["clinic-default-deny"]);
}
