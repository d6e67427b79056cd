//! The programs of the local cluster, each pinned by a Go module of its own below `tests/kube/`.
//!
//! `go install package@version` looks at version lists and refuses modules with `replace` lines; a build from a
//! `go.mod` of our own takes exactly the pinned versions, checked against `go.sum`, and nothing else. One module
//! for each component keeps a changed pin from rebuilding, or re-resolving, any other.

mod build;

pub(crate) use build::{build, copy, is_current, stamp};

/// A pinned module and the programs built from it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Component {
    /// The folder below `tests/kube/` and the name in messages.
    pub(crate) name: &'static str,
    /// The module that is pinned.
    pub(crate) module: &'static str,
    /// Its version, as in `go.mod` (a test compares).
    pub(crate) version: &'static str,
    /// The programs: file name and package. With several, the file name is the package's last element.
    pub(crate) programs: &'static [(&'static str, &'static str)],
    /// Build tags.
    pub(crate) tags: &'static [&'static str],
    /// String variables set by the linker: programs that do not know their version misbehave (the API server
    /// would report v0.0.0, CloudNativePG would look for an image without a tag).
    pub(crate) variables: &'static [(&'static str, &'static str)],
    /// Files and folders of the module that the cluster uses: manifests, and the source of the pause program.
    pub(crate) keeps: &'static [&'static str],
}

/// The Kubernetes version all of the control plane and the node share.
pub(crate) const KUBERNETES_VERSION: &str = "v1.36.4";

const PLAIN: Component = Component {
    name: "",
    module: "",
    version: "",
    programs: &[],
    tags: &[],
    variables: &[],
    keeps: &[],
};

/// Kubernetes itself. The tags are those of the upstream release.
pub(crate) const KUBERNETES: Component = Component {
    name: "kubernetes",
    module: "k8s.io/kubernetes",
    version: KUBERNETES_VERSION,
    programs: &[
        ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        (
            "kube-controller-manager",
            "k8s.io/kubernetes/cmd/kube-controller-manager",
        ),
        ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
        ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
        ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
        ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    ],
    tags: &["selinux", "notest", "grpcnotrace"],
    variables: &[
        ("k8s.io/component-base/version.gitVersion", KUBERNETES_VERSION),
        ("k8s.io/component-base/version.gitMajor", "1"),
        ("k8s.io/component-base/version.gitMinor", "36"),
        ("k8s.io/component-base/version.gitTreeState", "clean"),
        ("k8s.io/component-base/version.gitCommit", "unknown"),
        ("k8s.io/component-base/version.buildDate", "1970-01-01T00:00:00Z"),
        ("k8s.io/client-go/pkg/version.gitVersion", KUBERNETES_VERSION),
        ("k8s.io/client-go/pkg/version.gitMajor", "1"),
        ("k8s.io/client-go/pkg/version.gitMinor", "36"),
        ("k8s.io/client-go/pkg/version.gitTreeState", "clean"),
        ("k8s.io/client-go/pkg/version.gitCommit", "unknown"),
        ("k8s.io/client-go/pkg/version.buildDate", "1970-01-01T00:00:00Z"),
    ],
    keeps: &["build/pause/linux/pause.c"],
};

/// The store behind the API server.
pub(crate) const ETCD: Component = Component {
    name: "etcd",
    module: "go.etcd.io/etcd/server/v3",
    version: "v3.6.14",
    programs: &[("etcd", "go.etcd.io/etcd/server/v3")],
    ..PLAIN
};

/// Names of Services, for pods.
pub(crate) const COREDNS: Component = Component {
    name: "coredns",
    module: "github.com/coredns/coredns",
    version: "v1.14.7",
    programs: &[("coredns", "github.com/coredns/coredns")],
    ..PLAIN
};

/// The operator of PostgreSQL clusters.
pub(crate) const CLOUDNATIVE_PG: Component = Component {
    name: "cnpg-manager",
    module: "github.com/cloudnative-pg/cloudnative-pg",
    version: "v1.30.0",
    programs: &[(
        "cnpg-manager",
        "github.com/cloudnative-pg/cloudnative-pg/cmd/manager",
    )],
    variables: &[(
        "github.com/cloudnative-pg/cloudnative-pg/pkg/versions.buildVersion",
        "1.30.0",
    )],
    keeps: &["releases/cnpg-1.30.0.yaml", "config/crd/bases"],
    ..PLAIN
};

/// Enforces `NetworkPolicy` with iptables and ipset, which every kernel has; its routing and proxy stay off.
pub(crate) const KUBE_ROUTER: Component = Component {
    name: "kube-router",
    module: "github.com/cloudnativelabs/kube-router/v2",
    version: "v2.10.0",
    programs: &[(
        "kube-router",
        "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
    )],
    ..PLAIN
};

/// Volumes out of folders of the node.
pub(crate) const LOCAL_PATH: Component = Component {
    name: "local-path-provisioner",
    module: "github.com/rancher/local-path-provisioner",
    version: "v0.0.30",
    programs: &[(
        "local-path-provisioner",
        "github.com/rancher/local-path-provisioner",
    )],
    keeps: &["deploy/local-path-storage.yaml"],
    ..PLAIN
};

/// CPU and memory of pods, for the autoscaler.
pub(crate) const METRICS_SERVER: Component = Component {
    name: "metrics-server",
    module: "sigs.k8s.io/metrics-server",
    version: "v0.9.0",
    programs: &[("metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server")],
    keeps: &["manifests/base"],
    ..PLAIN
};

/// Installs the operator's chart.
pub(crate) const HELM: Component = Component {
    name: "helm",
    module: "helm.sh/helm/v4",
    version: "v4.2.4",
    programs: &[("helm", "helm.sh/helm/v4/cmd/helm")],
    ..PLAIN
};

/// Plays nodes and pods in the control-plane tier.
pub(crate) const KWOK: Component = Component {
    name: "kwok",
    module: "sigs.k8s.io/kwok",
    version: "v0.8.0",
    programs: &[("kwok", "sigs.k8s.io/kwok/cmd/kwok")],
    keeps: &[
        "kustomize/stage/node/fast/node-initialize.yaml",
        "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
        "kustomize/stage/pod/fast/pod-ready.yaml",
        "kustomize/stage/pod/fast/pod-complete.yaml",
        "kustomize/stage/pod/fast/pod-delete.yaml",
        "kustomize/stage/volume/fast/pvc-provision.yaml",
        "kustomize/stage/volume/fast/pvc-delete.yaml",
        "kustomize/stage/volume/fast/pv-bind.yaml",
        "kustomize/stage/volume/fast/pv-delete.yaml",
        "kustomize/stage/volume/fast/storage-class.yaml",
    ],
    ..PLAIN
};

/// Checks manifests against schemas.
pub(crate) const KUBECONFORM: Component = Component {
    name: "kubeconform",
    module: "github.com/yannh/kubeconform",
    version: "v0.7.0",
    programs: &[("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform")],
    ..PLAIN
};

/// Judges manifests against good practice.
pub(crate) const KUBE_SCORE: Component = Component {
    name: "kube-score",
    module: "github.com/zegl/kube-score",
    version: "v1.20.0",
    programs: &[("kube-score", "github.com/zegl/kube-score/cmd/kube-score")],
    ..PLAIN
};

/// All components, in the order in which they are built: what the cluster waits for longest comes first.
pub(crate) const COMPONENTS: &[Component] = &[
    KUBERNETES,
    ETCD,
    KUBE_ROUTER,
    COREDNS,
    CLOUDNATIVE_PG,
    LOCAL_PATH,
    METRICS_SERVER,
    HELM,
    KWOK,
    KUBECONFORM,
    KUBE_SCORE,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::places::Places;

    fn module_file(component: &Component, file: &str) -> String {
        let path = Places::find().unwrap().kube().join(component.name).join(file);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    #[test]
    fn every_component_is_pinned_at_its_version_by_a_module_of_its_own() {
        for component in COMPONENTS {
            let text = module_file(component, "go.mod");
            assert!(
                text.starts_with(&format!("module medops.dev/tests/kube/{}\n", component.name)),
                "{text}"
            );
            let pin = format!("{} {}", component.module, component.version);
            assert!(
                text.lines()
                    .any(|line| line.trim().trim_start_matches("require ").split(" //").next() == Some(&pin)),
                "tests/kube/{}/go.mod does not require {pin}",
                component.name
            );
        }
    }

    #[test]
    fn every_program_is_a_tool_of_its_module_so_that_tidying_keeps_what_it_needs() {
        for component in COMPONENTS {
            let text = module_file(component, "go.mod");
            for (_, package) in component.programs {
                assert!(
                    text.lines()
                        .any(|line| line.trim().trim_start_matches("tool ") == *package),
                    "tests/kube/{}/go.mod has no tool line for {package}",
                    component.name
                );
            }
        }
    }

    #[test]
    fn every_module_has_checksums_for_what_it_requires() {
        for component in COMPONENTS {
            let sums = module_file(component, "go.sum");
            assert!(
                sums.contains(&format!("{} {} h1:", component.module, component.version)),
                "{}",
                component.name
            );
        }
    }

    #[test]
    fn no_two_programs_share_a_file_name() {
        let names: Vec<_> = COMPONENTS
            .iter()
            .flat_map(|c| c.programs.iter().map(|(name, _)| *name))
            .collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }

    #[test]
    fn the_staging_modules_of_kubernetes_follow_its_version() {
        let staging = KUBERNETES_VERSION.replacen("v1.", "v0.", 1);
        let text = module_file(&KUBERNETES, "go.mod");
        let replaced: Vec<_> = text.lines().filter(|line| line.contains(" => k8s.io/")).collect();
        assert_eq!(
            replaced.len(),
            33,
            "the number of staging modules of this minor version"
        );
        assert!(
            replaced.iter().all(|line| line.ends_with(&staging)),
            "{replaced:?}"
        );
    }
}
