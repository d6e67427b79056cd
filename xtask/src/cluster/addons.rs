//! What runs in the cluster beside our operator: names, volumes, metrics, databases.
//!
//! Each add-on is a kustomization of this repository (`tests/kube/manifests/<name>`) over the manifests that its
//! own Go module carries, so that a changed field upstream is seen as a failed patch, not missed by a text search.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::inside;
use super::instance::{Instance, write_whole};
use crate::components::copy;
use crate::places::Places;
use crate::progress::Step;
use crate::schedule::Outcome;

/// One add-on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addon {
    /// The folder below `tests/kube/manifests/`.
    pub(crate) name: &'static str,
    /// The component whose kept manifests appear there as `upstream/`.
    pub(crate) upstream: Option<&'static str>,
    /// Add-ons that must be applied before.
    pub(crate) after: &'static [&'static str],
    /// Images that must be in the store before its pods start, by name.
    pub(crate) images: &'static [&'static str],
    /// The Deployment to wait for: namespace and name.
    pub(crate) deployment: Option<(&'static str, &'static str)>,
}

/// The right of the API server to reach into the kubelet (logs, exec).
const ACCESS: Addon = Addon {
    name: "access",
    upstream: None,
    after: &[],
    images: &[],
    deployment: None,
};

const COREDNS: Addon = Addon {
    name: "coredns",
    upstream: None,
    after: &[],
    images: &["pause", "coredns"],
    deployment: Some(("kube-system", "coredns")),
};

const LOCAL_PATH: Addon = Addon {
    name: "local-path",
    upstream: Some("local-path-provisioner"),
    after: &[],
    images: &["pause", "local-path-provisioner", "toolbox"],
    deployment: Some(("local-path-storage", "local-path-provisioner")),
};

const METRICS_SERVER: Addon = Addon {
    name: "metrics-server",
    upstream: Some("metrics-server"),
    after: &[],
    images: &["pause", "metrics-server"],
    deployment: Some(("kube-system", "metrics-server")),
};

/// The same where the kubelet signs its own certificate and no authority is there to check it by.
const METRICS_SERVER_ON_KIND: Addon = Addon {
    name: "metrics-server-kind",
    ..METRICS_SERVER
};

/// Without its types, which come first: a megabyte of definitions that need no image.
const CLOUDNATIVE_PG: Addon = Addon {
    name: "cloudnative-pg",
    upstream: Some("cnpg-manager"),
    after: &["cloudnative-pg-types"],
    images: &["pause", "cloudnative-pg"],
    deployment: Some(("cnpg-system", "cnpg-controller-manager")),
};

/// Its types: all of it that a control plane without running pods gets.
const CLOUDNATIVE_PG_TYPES: Addon = Addon {
    name: "cloudnative-pg-types",
    upstream: Some("cnpg-manager"),
    after: &[],
    images: &[],
    deployment: None,
};

/// The nodes that KWOK plays, and the class of its volumes.
const PLAYED_NODES: Addon = Addon {
    name: "kwok",
    upstream: Some("kwok"),
    after: &[],
    images: &[],
    deployment: None,
};

/// The add-ons of the cluster tier.
pub(crate) const ON_CLUSTER: &[Addon] = &[
    ACCESS,
    CLOUDNATIVE_PG_TYPES,
    COREDNS,
    CLOUDNATIVE_PG,
    METRICS_SERVER,
    LOCAL_PATH,
];
/// The add-ons of the control-plane tier.
pub(crate) const ON_CONTROL_PLANE: &[Addon] = &[PLAYED_NODES, CLOUDNATIVE_PG_TYPES];
/// The add-ons of a kind cluster, which has DNS and volumes of its own.
pub(crate) const ON_KIND: &[Addon] = &[CLOUDNATIVE_PG_TYPES, METRICS_SERVER_ON_KIND, CLOUDNATIVE_PG];

/// Applies the add-on unless the very same manifests were applied since the cluster came up.
pub(crate) fn apply(addon: &Addon, instance: &Instance, places: &Places, step: &Step) -> Result<Outcome> {
    step.at("building its manifests");
    let manifests = build(addon, instance, places)?;
    let digest = hex::encode(Sha256::digest(&manifests));
    let record = instance.run().join(format!("addon-{}.digest", addon.name));
    if fs::read_to_string(&record).is_ok_and(|recorded| recorded == digest) {
        return Ok(Outcome::Current);
    }
    step.at("applying");
    inside::kubectl(instance, places)?
        // Server-side: the CRDs of CloudNativePG are larger than an annotation may be.
        .args([
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=medops-xtask",
            "-f",
            "-",
        ])
        .input(manifests)
        .done()?;
    write_whole(&record, digest.as_bytes())?;
    Ok(Outcome::Done(String::new()))
}

/// Lays repository and upstream files side by side, which is all kustomize may read, and builds; the result is kept
/// for as long as neither changes.
fn build(addon: &Addon, instance: &Instance, places: &Places) -> Result<String> {
    let own = places.kube().join("manifests").join(addon.name);
    let upstream = addon
        .upstream
        .map(|component| places.upstream_manifests(component));
    let mut hash = Sha256::new();
    for folder in std::iter::once(&own).chain(&upstream) {
        digest_folder(folder, &mut hash)?;
    }
    let kept = places
        .built_manifests()
        .join(format!("{}-{}.yaml", addon.name, hex::encode(hash.finalize())));
    if let Ok(manifests) = fs::read_to_string(&kept) {
        return Ok(manifests);
    }
    let folder = instance.folder().join("addons").join(addon.name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(folder.parent().context("a parent")?)?;
    copy(&own, &folder)?;
    if let Some(upstream) = upstream {
        copy(&upstream, &folder.join("upstream"))?;
    }
    let manifests = inside::kubectl(instance, places)?
        .arg("kustomize")
        .arg(&folder)
        .output()?;
    fs::create_dir_all(places.built_manifests())?;
    write_whole(&kept, manifests.as_bytes())?;
    Ok(manifests)
}

/// Names and contents of all files, in the order of their names.
fn digest_folder(folder: &Path, hash: &mut Sha256) -> Result<()> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            digest_folder(&path, hash)?;
        } else {
            hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
            hash.update([0]);
            hash.update(Sha256::digest(fs::read(&path)?));
        }
    }
    Ok(())
}

/// Waits until the add-on's Deployment is rolled out.
pub(crate) fn wait(addon: &Addon, instance: &Instance, places: &Places, step: &Step) -> Result<Outcome> {
    let Some((namespace, name)) = addon.deployment else {
        return Ok(Outcome::Current);
    };
    step.at("waits for its pod");
    let deployment = format!("deployment/{name}");
    let now = inside::kubectl(instance, places)?
        .args(["-n", namespace, "rollout", "status", &deployment, "--watch=false"])
        .output()?;
    if now.contains("successfully rolled out") {
        return Ok(Outcome::Current);
    }
    rolled_out(instance, places, namespace, name)?;
    Ok(Outcome::Done(format!("{namespace}/{name} is ready")))
}

/// Waits for a Deployment; says what its pods say when it does not come.
pub(crate) fn rolled_out(instance: &Instance, places: &Places, namespace: &str, name: &str) -> Result<()> {
    let deployment = format!("deployment/{name}");
    let kubectl = || inside::kubectl(instance, places);
    let waited = kubectl()?
        .args([
            "-n",
            namespace,
            "rollout",
            "status",
            &deployment,
            "--timeout=180s",
        ])
        .done();
    waited.map_err(|error| {
        let look = |arguments: &[&str]| {
            kubectl()
                .and_then(|run| run.args(["-n", namespace]).args(arguments).output())
                .unwrap_or_default()
        };
        let pods = look(&["get", "pods", "-o", "wide"]);
        let events = look(&[
            "get",
            "events",
            "--field-selector=type!=Normal",
            "--sort-by=.lastTimestamp",
        ]);
        let events: Vec<&str> = events.lines().rev().take(8).collect();
        let logs = look(&["logs", &deployment, "--tail=10", "--all-containers"]);
        error.context(format!(
            "{namespace}/{name} is not ready\n{pods}\n{}\n{logs}",
            events.join("\n")
        ))
    })
}

/// Digests of what was applied, for `status`.
pub(crate) fn applied(instance: &Instance) -> BTreeMap<String, String> {
    let entries = fs::read_dir(instance.run()).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let file = entry.file_name().to_string_lossy().into_owned();
            let name = file.strip_prefix("addon-")?.strip_suffix(".digest")?.to_owned();
            Some((name, fs::read_to_string(entry.path()).ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::components::COMPONENTS;
    use crate::images::table::image;

    fn all() -> impl Iterator<Item = &'static Addon> {
        ON_CLUSTER.iter().chain(ON_CONTROL_PLANE).chain(ON_KIND)
    }

    #[test]
    fn every_add_on_has_a_kustomization_and_known_images_and_manifests() {
        let kube = Places::find().unwrap().kube();
        for addon in all() {
            assert!(
                kube.join("manifests")
                    .join(addon.name)
                    .join("kustomization.yaml")
                    .is_file(),
                "{}",
                addon.name
            );
            assert!(
                addon.images.iter().all(|name| image(name).is_some()),
                "{}",
                addon.name
            );
            if let Some(upstream) = addon.upstream {
                assert!(
                    COMPONENTS
                        .iter()
                        .any(|c| c.name == upstream && !c.keeps.is_empty()),
                    "{upstream}"
                );
            }
        }
    }

    #[test]
    fn what_an_add_on_comes_after_is_applied_before_it() {
        for tier in [ON_CLUSTER, ON_CONTROL_PLANE, ON_KIND] {
            for (index, addon) in tier.iter().enumerate() {
                for need in addon.after {
                    assert!(
                        tier[..index].iter().any(|other| other.name == *need),
                        "{} needs {need}",
                        addon.name
                    );
                }
            }
        }
    }

    #[test]
    fn what_starts_pods_brings_the_pause_image() {
        for addon in all().filter(|addon| addon.deployment.is_some()) {
            assert!(addon.images.contains(&"pause"), "{}", addon.name);
        }
    }
}
