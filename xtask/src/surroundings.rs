//! What this machine must have before a cluster can start, and what to do when it has not. All faults are found and
//! listed at once: nobody likes to mend one thing an hour.

mod kernel_features;
mod packages;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::cluster::addresses::NETWORK_NAMESPACE;
use crate::cluster::down::control_groups;
use crate::cluster::instance::{CLUSTER, Instance, available_memory};
use crate::command::Run;
use crate::components::{self, Component};
use crate::places::Places;
use crate::progress::Progress;

/// For sources, Go's caches, images and what runs.
const DISK_COLD: u64 = 12 << 30;
/// When all is built.
const DISK_WARM: u64 = 3 << 30;
/// What the cluster with its add-ons takes, and a little to work with.
const MEMORY: u64 = 3 << 30;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    what: String,
    remedy: String,
}

impl Fault {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

/// Several of them, as an error.
#[derive(Debug)]
struct Faults(Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this machine cannot run the cluster yet")?;
        for fault in &self.0 {
            write!(f, "\n\n- {}\n  remedy: {}", fault.what, fault.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// What the cluster tier needs. Installs Debian packages where it may.
pub(crate) fn check_cluster(needed: &[Component], places: &Places, progress: &Progress) -> Result<()> {
    if Instance::recorded(places, CLUSTER)?.is_some_and(|instance| instance.supervisor().is_some()) {
        return check_builds(needed, places); // it runs: the rest was checked when it started
    }
    let mut faults = platform();
    if !nix::unistd::geteuid().is_root() {
        faults.push(Fault::new(
            "the cluster tier makes namespaces, mounts and network devices, which only root may",
            "run `sudo -E cargo xtask up`, use `--tier control-plane`, which needs no root, or install kind and Docker",
        ));
    }
    raise(&faults)?; // without these the rest cannot even be looked at
    packages::install_missing(progress)?;
    faults.extend(builds(needed, places)?);
    faults.extend(kernel_features::missing());
    if Instance::recorded(places, CLUSTER)?.is_none() {
        // What is left over from ours is cleaned up when it starts; what is not ours must not be touched.
        faults.extend(others_namespace());
        faults.extend(other_kubelet());
    }
    if available_memory() < MEMORY {
        faults.push(Fault::new(
            format!(
                "{:.1} GiB of memory are available; the cluster takes 2.5 GiB",
                gibibytes(available_memory())
            ),
            "end something else, or use `--tier control-plane`, which takes 0.6 GiB",
        ));
    }
    raise(&faults)
}

/// What the control-plane tier needs: what it is built with.
pub(crate) fn check_control_plane(needed: &[Component], places: &Places) -> Result<()> {
    let mut faults = platform();
    faults.extend(builds(needed, places)?);
    raise(&faults)
}

/// What checkov needs: a Python that is not too old for it and can make virtual environments. Debian brings the two in
/// packages of their own.
pub(crate) fn check_python(progress: &Progress) -> Result<()> {
    let able = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))";
    let usable = || Run::new("python3").args(["-c", able]).succeeds();
    if !usable() {
        packages::install(&["python3", "python3-venv"], progress)?;
    }
    let fault = Fault::new(
        "python3 is older than 3.10, or lacks its modules venv and ensurepip",
        "install a newer one and put it first into PATH",
    );
    raise(if usable() {
        &[]
    } else {
        std::slice::from_ref(&fault)
    })
}

/// What kind needs: itself and an engine.
pub(crate) fn check_kind(needed: &[Component], places: &Places) -> Result<()> {
    let mut faults = builds(needed, places)?;
    if !Run::new("kind").arg("version").succeeds() {
        faults.push(Fault::new(
            "kind is not installed",
            "https://kind.sigs.k8s.io/docs/user/quick-start/#installation",
        ));
    }
    if !Run::new("docker")
        .args(["version", "--format", "{{.Server.Version}}"])
        .succeeds()
    {
        faults.push(Fault::new(
            "no Docker engine answers",
            "start it, or leave out --provider kind",
        ));
    }
    raise(&faults)
}

fn check_builds(needed: &[Component], places: &Places) -> Result<()> {
    raise(&builds(needed, places)?)
}

fn raise(faults: &[Fault]) -> Result<()> {
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Faults(faults.to_vec()).into())
    }
}

fn platform() -> Vec<Fault> {
    let mut faults = Vec::new();
    if std::env::consts::OS != "linux" {
        faults.push(Fault::new(
            "this is not Linux",
            "use `cargo xtask up --provider kind` with a Docker engine",
        ));
    }
    if !["x86_64", "aarch64"].contains(&std::env::consts::ARCH) {
        faults.push(Fault::new(
            format!("the processor is {}", std::env::consts::ARCH),
            "use a machine with x86_64 or aarch64",
        ));
    }
    faults
}

/// Disk for what is to be built, and a Go that can build it.
fn builds(needed: &[Component], places: &Places) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    let mut missing = Vec::new();
    for component in needed {
        if !components::is_current(component, places)? {
            missing.push(component.name);
        }
    }
    let wanted = if missing.is_empty() { DISK_WARM } else { DISK_COLD };
    let folder = existing_parent(places.cache());
    if let Ok(room) = nix::sys::statvfs::statvfs(&folder) {
        let free = room.blocks_available() * room.fragment_size();
        if free < wanted {
            faults.push(Fault::new(
                format!(
                    "{} has {:.1} GiB left; {} needs {} GiB",
                    folder.display(),
                    gibibytes(free),
                    if missing.is_empty() {
                        "the cluster"
                    } else {
                        "building the cluster's programs"
                    },
                    wanted >> 30
                ),
                "make room, or point MEDOPS_CACHE (and GOCACHE, GOMODCACHE) to a larger disk",
            ));
        }
    }
    if !missing.is_empty() && !Run::new("go").arg("version").succeeds() {
        faults.push(Fault::new(
            format!(
                "Go is not installed, and {} must be built with it",
                missing.join(", ")
            ),
            "install Go 1.26 or newer from https://go.dev/dl and put it into PATH",
        ));
    }
    Ok(faults)
}

fn others_namespace() -> Option<Fault> {
    let path = Path::new("/run/netns").join(NETWORK_NAMESPACE);
    path.exists().then(|| {
        Fault::new(
            format!(
                "the network namespace {NETWORK_NAMESPACE} is taken by something that this cache knows nothing of: a \
                 cluster started with another MEDOPS_CACHE, or by another user"
            ),
            format!(
                "take that one down (`MEDOPS_CACHE=… cargo xtask down`); when nothing uses it any more \
                 (`ip netns pids {NETWORK_NAMESPACE}`): ip netns delete {NETWORK_NAMESPACE}"
            ),
        )
    })
}

/// Pods of another kubelet are in the same control groups, and `down` would take them for ours.
fn other_kubelet() -> Option<Fault> {
    let groups = control_groups();
    let group = groups.last()?;
    Some(Fault::new(
        format!("another kubelet's pods are on this machine ({})", group.display()),
        "stop that Kubernetes first; when none runs any more, remove the empty groups: \
         find /sys/fs/cgroup -depth -path '*kubepods*' -type d -exec rmdir {} +",
    ))
}

fn existing_parent(path: &Path) -> PathBuf {
    path.ancestors()
        .find(|folder| folder.exists())
        .unwrap_or(Path::new("/"))
        .to_owned()
}

#[expect(clippy::cast_precision_loss, reason = "a size for people")]
fn gibibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_listed_with_their_remedies() {
        let error = raise(&[
            Fault::new("a is missing", "get a"),
            Fault::new("b is old", "renew b"),
        ])
        .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("- a is missing\n  remedy: get a")
                && text.contains("- b is old\n  remedy: renew b")
        );
        assert!(raise(&[]).is_ok());
    }

    #[test]
    fn room_is_measured_where_the_cache_will_be() {
        assert_eq!(existing_parent(Path::new("/tmp/is/not/there")), Path::new("/tmp"));
    }
}
