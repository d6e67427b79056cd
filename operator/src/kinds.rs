//! THE registry of child kinds. Watches, the order of apply, prune, the ClusterRole of the chart and the tests
//! read it, so that they cannot drift apart.

use kube::core::{ApiResource, GroupVersionKind};

/// A kind of child object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// First: pods name it.
    ServiceAccount,
    /// Before anything that it guards, so that no pod ever runs unguarded.
    NetworkPolicy,
    /// Before the database and the pods that mount them.
    Secret,
    /// Configuration files, before the pods that mount them.
    ConfigMap,
    /// The volume of the dumps.
    PersistentVolumeClaim,
    /// CloudNativePG's Cluster, before the Job that migrates it.
    Cluster,
    /// The init Job, before the pods that need its schema.
    Job,
    /// Before the Deployment, so that its name resolves when pods start.
    Service,
    /// After everything that its pods need.
    Deployment,
    /// After the pods that it protects.
    PodDisruptionBudget,
    /// After the Deployment that it scales.
    HorizontalPodAutoscaler,
    /// Last: a backup of a deployment that does not exist yet is of no use.
    CronJob,
}

/// What is to be known about a kind.
#[derive(Clone, Copy, Debug)]
pub struct KindInfo {
    /// The kind.
    pub kind: Kind,
    /// API group, empty for the core group.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// Kind as written in an object.
    pub name: &'static str,
    /// Resource name in the API path.
    pub plural: &'static str,
    /// Whether the API may be absent (an add-on's), so that its absence is a condition and not an error.
    pub optional: bool,
    /// Whether objects of this kind are only ever created, never patched (Secrets hold values that exist nowhere else).
    pub create_only: bool,
    /// Whether objects of this kind hold patient data or the keys to it: they are never pruned.
    pub holds_data: bool,
    /// Verbs that the operator uses on this kind; the ClusterRole grants no other.
    pub verbs: &'static [&'static str],
}

/// Written and, when left over, removed.
const WRITTEN: &[&str] = &["create", "delete", "get", "list", "patch", "watch"];
/// Written and never removed: the garbage collector does, when the owner reference of `deletionPolicy: Delete` says so.
const KEPT: &[&str] = &["create", "get", "list", "patch", "watch"];

/// All child kinds, in the order of apply.
pub const ALL: [KindInfo; 12] = [
    info(
        Kind::ServiceAccount,
        "",
        "v1",
        "ServiceAccount",
        "serviceaccounts",
    ),
    info(
        Kind::NetworkPolicy,
        "networking.k8s.io",
        "v1",
        "NetworkPolicy",
        "networkpolicies",
    ),
    KindInfo {
        create_only: true,
        holds_data: true,
        verbs: KEPT,
        ..info(Kind::Secret, "", "v1", "Secret", "secrets")
    },
    info(Kind::ConfigMap, "", "v1", "ConfigMap", "configmaps"),
    KindInfo {
        holds_data: true,
        verbs: KEPT,
        ..info(
            Kind::PersistentVolumeClaim,
            "",
            "v1",
            "PersistentVolumeClaim",
            "persistentvolumeclaims",
        )
    },
    KindInfo {
        optional: true,
        holds_data: true,
        verbs: KEPT,
        ..info(Kind::Cluster, "postgresql.cnpg.io", "v1", "Cluster", "clusters")
    },
    info(Kind::Job, "batch", "v1", "Job", "jobs"),
    info(Kind::Service, "", "v1", "Service", "services"),
    info(Kind::Deployment, "apps", "v1", "Deployment", "deployments"),
    info(
        Kind::PodDisruptionBudget,
        "policy",
        "v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
    ),
    info(
        Kind::HorizontalPodAutoscaler,
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    ),
    info(Kind::CronJob, "batch", "v1", "CronJob", "cronjobs"),
];

const fn info(
    kind: Kind,
    group: &'static str,
    version: &'static str,
    name: &'static str,
    plural: &'static str,
) -> KindInfo {
    KindInfo {
        kind,
        group,
        version,
        name,
        plural,
        optional: false,
        create_only: false,
        holds_data: false,
        verbs: WRITTEN,
    }
}

impl Kind {
    /// What is to be known about this kind.
    pub fn info(self) -> &'static KindInfo {
        // `ALL` lists every kind in the order of the enumeration; a test holds this.
        &ALL[self as usize]
    }

    /// The API resource, for dynamic access.
    pub fn api_resource(self) -> ApiResource {
        let info = self.info();
        ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk(info.group, info.version, info.name),
            info.plural,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_lists_every_kind_in_the_order_of_apply() {
        for (index, info) in ALL.iter().enumerate() {
            assert_eq!(info.kind as usize, index, "{} is out of order", info.name);
        }
    }
}
