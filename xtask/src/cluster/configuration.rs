//! The configuration files of the processes, as pure functions of the instance.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::addresses::{DNS_IP, DOMAIN, NODE, NODE_PODS, PODS};
use super::certificates::OPERATOR_GROUP;
use super::instance::{Instance, Tier};
use crate::components::KWOK;
use crate::images::table::PAUSE;
use crate::places::Places;

/// Writes every file that the processes of this tier read.
pub(crate) fn write(instance: &Instance) -> Result<()> {
    for (path, content) in files(instance) {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Writes how KWOK plays nodes, pods and volumes: the stages that its own module carries, in one file.
pub(crate) fn write_played_stages(instance: &Instance, places: &Places) -> Result<()> {
    let folder = places.upstream_manifests(KWOK.name);
    let mut stages = String::new();
    for file in KWOK
        .keeps
        .iter()
        .filter_map(|path| path.rsplit('/').next())
        .filter(|file| *file != "storage-class.yaml")
    {
        let path = folder.join(file);
        stages.push_str("---\n");
        stages
            .push_str(&fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    fs::write(Files::of(instance).played_stages, stages)?;
    Ok(())
}

/// Paths of the files, for the arguments that name them.
pub(crate) struct Files {
    pub(crate) audit_policy: PathBuf,
    pub(crate) containerd: PathBuf,
    pub(crate) cni: PathBuf,
    pub(crate) kubelet: PathBuf,
    pub(crate) kubelet_root: PathBuf,
    pub(crate) proxy: PathBuf,
    pub(crate) played_stages: PathBuf,
    /// For commands run by `in`: names of the cluster.
    pub(crate) resolver: PathBuf,
    /// For the kubelet: pods get the cluster's DNS, and that has nowhere to forward to.
    pub(crate) upstream_resolver: PathBuf,
}

impl Files {
    /// The paths in this instance's folder.
    pub(crate) fn of(instance: &Instance) -> Self {
        let folder = instance.folder().join("configuration");
        Self {
            audit_policy: folder.join("audit-policy.json"),
            containerd: folder.join("containerd.toml"),
            cni: folder.join("cni"),
            kubelet: folder.join("kubelet.json"),
            kubelet_root: instance.folder().join("kubelet"),
            proxy: folder.join("kube-proxy.json"),
            played_stages: folder.join("kwok.yaml"),
            resolver: folder.join("resolv.conf"),
            upstream_resolver: folder.join("kubelet-resolv.conf"),
        }
    }
}

fn files(instance: &Instance) -> Vec<(PathBuf, String)> {
    let files = Files::of(instance);
    let mut all = vec![(files.audit_policy.clone(), audit_policy().to_string())];
    if instance.tier == Tier::Cluster {
        all.extend([
            (files.containerd.clone(), containerd(instance, &files)),
            (
                files.cni.join("10-bridge.conflist"),
                pod_network(instance).to_string(),
            ),
            (files.kubelet.clone(), kubelet(instance, &files).to_string()),
            (files.proxy.clone(), proxy(instance).to_string()),
            (
                files.resolver.clone(),
                format!("nameserver {DNS_IP}\nsearch svc.{DOMAIN} {DOMAIN}\noptions ndots:4 timeout:2\n"),
            ),
            // 192.0.2.0/24 is reserved for documentation (RFC 5737): nobody answers.
            (
                files.upstream_resolver.clone(),
                "nameserver 192.0.2.1\n".to_owned(),
            ),
        ]);
    }
    all
}

/// Who did what to which object, without bodies, for the operator's service account alone: tests count its requests.
fn audit_policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "userGroups": [OPERATOR_GROUP]}, {"level": "None"}],
    })
}

/// `restrict_oom_score_adj`: without `CAP_SYS_RESOURCE` no process may lower its score, and runc fails to start
/// any container that asks for it. `netns_mounts_under_state_dir`: pods' namespaces go away with the folder.
fn containerd(instance: &Instance, files: &Files) -> String {
    let folder = instance.folder().display();
    format!(
        r#"version = 2
root = "{store}"
state = "{folder}/run/containerd"
oom_score = 0
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  tolerate_missing_hugetlb_controller = true
  disable_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        BinaryName = "{runc}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{cni}"
"#,
        store = instance.image_store.display(),
        socket = instance.containerd().display(),
        runc = first_existing(&["/usr/sbin/runc", "/usr/bin/runc", "/usr/local/sbin/runc"]),
        plugins = first_existing(&["/usr/lib/cni", "/opt/cni/bin"]),
        cni = files.cni.display(),
    )
}

fn first_existing<'a>(paths: &[&'a str]) -> &'a str {
    paths
        .iter()
        .find(|path| Path::new(path).exists())
        .unwrap_or(&paths[0])
}

fn pod_network(instance: &Instance) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "medops",
        "plugins": [
            {
                "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": NODE_PODS}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": instance.folder().join("ipam"),
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
}

/// `failCgroupV1` has no flag. No eviction for disk: the machine's disk is not the cluster's to judge.
fn kubelet(instance: &Instance, files: &Files) -> Value {
    let pki = instance.pki();
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": false,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": "/",
        "failSwapOn": false,
        "containerRuntimeEndpoint": format!("unix://{}", instance.containerd().display()),
        "resolvConf": files.upstream_resolver,
        "clusterDomain": DOMAIN,
        "clusterDNS": [DNS_IP],
        "authentication": {
            "anonymous": {"enabled": false}, "webhook": {"enabled": true}, "x509": {"clientCAFile": pki.join("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": pki.join("kubelet-server.crt"),
        "tlsPrivateKeyFile": pki.join("kubelet-server.key"),
        "rotateCertificates": false,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "100Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%",
        },
        "maxPods": 200,
        "serializeImagePulls": false,
        "syncFrequency": "10s",
    })
}

/// nftables mode needs no kernel module beyond `nf_tables`. Connection tracking limits belong to the machine: untouched.
fn proxy(instance: &Instance) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": PODS,
        "clientConnection": {"kubeconfig": instance.pki().join("proxy.kubeconfig")},
        "hostnameOverride": NODE,
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::instance::Provider;

    fn instance(tier: Tier) -> Instance {
        let name = if tier == Tier::Cluster { "cluster" } else { "one" };
        Instance::new(&Places::at("/repository", "/cache"), name, tier, Provider::Local).unwrap()
    }

    #[test]
    fn only_the_operators_requests_are_audited_and_never_their_bodies() {
        let policy = audit_policy();
        assert_eq!(
            policy["rules"][0]["userGroups"][0],
            "system:serviceaccounts:medical-operator-system"
        );
        assert_eq!(policy["rules"][0]["level"], "Metadata");
        assert_eq!(policy["rules"][1], json!({"level": "None"}));
    }

    #[test]
    fn containerd_can_start_containers_without_the_right_to_lower_oom_scores() {
        let instance = instance(Tier::Cluster);
        let text = containerd(&instance, &Files::of(&instance));
        assert!(text.contains("restrict_oom_score_adj = true"));
        assert!(text.contains("netns_mounts_under_state_dir = true"));
    }

    #[test]
    fn a_control_plane_has_no_files_of_a_node() {
        assert_eq!(files(&instance(Tier::ControlPlane)).len(), 1);
        assert_eq!(files(&instance(Tier::Cluster)).len(), 7);
    }
}
