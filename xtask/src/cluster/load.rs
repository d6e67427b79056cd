//! Brings images into containerd's store.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::instance::{Instance, Provider, Tier, write_whole};
use crate::command::Run;
use crate::images::oci;
use crate::kind;

/// The namespace of containerd in which the kubelet looks.
const NAMESPACE: &str = "k8s.io";

/// Which digest was imported under which name since the cluster came up.
pub(crate) fn imported(instance: &Instance) -> BTreeMap<String, String> {
    fs::read(instance.run().join("images.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

/// Imports an archive. What it holds becomes visible to the kubelet at once; running containers keep what they have.
pub(crate) fn import(instance: &Instance, archive: &Path) -> Result<()> {
    if instance.provider == Provider::Kind {
        return kind::run(&kind::load(archive)).done();
    }
    if instance.tier != Tier::Cluster {
        bail!("{} has no node that could hold images", instance.name);
    }
    Run::new("ctr")
        .arg("--address")
        .arg(instance.containerd())
        .args(["--namespace", NAMESPACE, "images", "import"])
        .arg(archive)
        .done()
        .with_context(|| format!("containerd did not take {}", archive.display()))
}

/// Remembers what was imported. One step at a time imports, so that no record is lost.
pub(crate) fn remember(instance: &Instance, reference: &str, digest: &str) -> Result<()> {
    let mut all = imported(instance);
    all.insert(reference.to_owned(), digest.to_owned());
    write_whole(
        &instance.run().join("images.json"),
        &serde_json::to_vec_pretty(&all)?,
    )
}

/// `cargo xtask load`: checks the archive before containerd sees it, and says what came in.
pub(crate) fn load(instance: &Instance, archive: &Path) -> Result<()> {
    let found = oci::read(archive)?;
    import(instance, archive)?;
    for image in found {
        let reference = image.reference.as_deref().unwrap_or("(no name in the archive)");
        println!("{reference}  {}", image.digest);
        remember(instance, reference, &image.digest)?;
    }
    Ok(())
}
