//! What the operator may do, made from the registry of kinds: nothing is granted that is not used.

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::kinds::{self, Kind};

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(list(resources)),
        verbs: list(verbs),
        ..PolicyRule::default()
    }
}

/// The rules of the ClusterRole, one for each kind, in the order of the registry.
pub fn cluster_rules() -> Vec<PolicyRule> {
    let mut rules = vec![
        // patch: the finalizer that announces the deletion of data.
        rule(
            "medops.dev",
            &["medicaldeployments"],
            &["get", "list", "patch", "watch"],
        ),
        rule("medops.dev", &["medicaldeployments/status"], &["patch"]),
        // An owner reference that blocks deletion needs this where OwnerReferencesPermissionEnforcement is on.
        rule("medops.dev", &["medicaldeployments/finalizers"], &["update"]),
    ];
    rules.extend(
        kinds::ALL
            .iter()
            .map(|info| rule(info.group, &[info.plural], verbs(info.kind))),
    );
    rules.extend([
        rule("", &["pods"], &["list", "watch"]),
        rule("events.k8s.io", &["events"], &["create", "patch"]),
    ]);
    rules
}

fn verbs(kind: Kind) -> &'static [&'static str] {
    kind.info().verbs
}

/// The rules of the Role in the namespace `default`: where the API server's own addresses are written.
pub fn api_server_rules() -> Vec<PolicyRule> {
    vec![rule("discovery.k8s.io", &["endpointslices"], &["list", "watch"])]
}

/// The rules of the Role in the operator's own namespace: its Lease and no other.
pub fn lease_rules(lease: &str) -> Vec<PolicyRule> {
    let mut named = rule("coordination.k8s.io", &["leases"], &["get", "update"]);
    named.resource_names = Some(vec![lease.to_owned()]);
    vec![named, rule("coordination.k8s.io", &["leases"], &["create"])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rule_has_a_wildcard_and_none_is_granted_twice() {
        let rules = cluster_rules();
        let mut seen = std::collections::BTreeSet::new();
        for rule in &rules {
            let all = rule
                .verbs
                .iter()
                .chain(rule.resources.iter().flatten())
                .chain(rule.api_groups.iter().flatten());
            assert!(all.clone().all(|word| !word.contains('*')), "{rule:?}");
            for resource in rule.resources.iter().flatten() {
                assert!(
                    seen.insert((rule.api_groups.clone(), resource.clone())),
                    "{resource} is granted twice"
                );
            }
        }
    }

    #[test]
    fn data_is_never_deleted_by_the_operator_itself() {
        for info in kinds::ALL.iter().filter(|info| info.holds_data) {
            assert!(!info.verbs.contains(&"delete"), "{} may be deleted", info.name);
        }
    }
}
