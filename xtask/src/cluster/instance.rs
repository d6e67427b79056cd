//! A running (or half-running) cluster on this machine, by name: its folder and what was recorded about it.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::addresses::{NETWORK_NAMESPACE, NODE_IP};
use super::process_id::ProcessId;
use crate::places::Places;

/// How much of a cluster there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tier {
    /// Everything, with real containers (needs root)
    Cluster,
    /// API server, controllers, scheduler and played nodes; ready in seconds, needs no root
    ControlPlane,
}

/// What runs a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Provider {
    /// This program, on this Linux, without a container engine
    #[default]
    Local,
    /// kind, in a Docker engine
    Kind,
}

/// The kernel's limit for the path of a socket, with its terminating zero (`sun_path` in unix(7)).
const LONGEST_SOCKET: usize = 108;

/// The name of the only instance with a node.
pub(crate) const CLUSTER: &str = "cluster";
/// The name of a control plane when none is given.
pub(crate) const CONTROL_PLANE: &str = "control-plane";

/// The ports of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ports {
    pub(crate) etcd: u16,
    pub(crate) api_server: u16,
    pub(crate) controller_manager: u16,
    pub(crate) scheduler: u16,
    pub(crate) kwok: u16,
}

/// What down needs to put things back, and what every other command needs to find its way; written before
/// anything else is made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Instance {
    /// Its name.
    pub(crate) name: String,
    /// Its tier.
    pub(crate) tier: Tier,
    /// What runs it.
    #[serde(default)]
    pub(crate) provider: Provider,
    /// Its ports; well-known inside a network namespace, free ones of loopback otherwise.
    pub(crate) ports: Ports,
    /// The boot it belongs to: after a restart of the machine nothing of it is left but its files.
    boot: String,
    /// Machine-wide kernel settings as they were before.
    pub(crate) settings_before: BTreeMap<String, String>,
    /// Whether `/run/netns` was made for it.
    pub(crate) made_run_netns: bool,
    /// Where containerd keeps images and the writable layers of containers.
    pub(crate) image_store: PathBuf,
    #[serde(skip)]
    folder: PathBuf,
}

impl Instance {
    /// The folder an instance of this name has.
    pub(crate) fn folder_of(places: &Places, name: &str) -> PathBuf {
        if name == CLUSTER {
            places.cluster_state()
        } else {
            places.control_planes().join(name)
        }
    }

    /// The recorded instance of this name, if any.
    pub(crate) fn recorded(places: &Places, name: &str) -> Result<Option<Self>> {
        let folder = Self::folder_of(places, name);
        let Ok(text) = fs::read(folder.join("instance.json")) else {
            return Ok(None);
        };
        let mut instance: Self = serde_json::from_slice(&text).with_context(|| {
            format!(
                "{} is damaged; remove the folder",
                folder.join("instance.json").display()
            )
        })?;
        instance.folder = folder;
        Ok(Some(instance))
    }

    /// The recorded instance of this name, or an error that says how to make one.
    pub(crate) fn of(places: &Places, name: &str) -> Result<Self> {
        Self::recorded(places, name)?
            .with_context(|| format!("no {name} is up on this machine; start one: {}", up_command(name)))
    }

    /// The names of all recorded instances.
    pub(crate) fn names(places: &Places) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(places.control_planes())
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.path().join("instance.json").is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        if places.cluster_state().join("instance.json").is_file() {
            names.insert(0, CLUSTER.to_owned());
        }
        names
    }

    /// Describes a new instance; nothing is written yet.
    pub(crate) fn new(places: &Places, name: &str, tier: Tier, provider: Provider) -> Result<Self> {
        ensure!(
            !name.is_empty()
                && name.len() <= 40
                && name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
            "“{name}” cannot name a cluster: use lower-case letters, digits and hyphens, at most 40"
        );
        let ports = match tier {
            Tier::Cluster if name != CLUSTER => bail!(
                "there is one cluster with a node on a machine, named {CLUSTER}; --name is for --tier control-plane"
            ),
            Tier::ControlPlane if name == CLUSTER => {
                bail!("{CLUSTER} is the name of the cluster with a node")
            }
            Tier::Cluster => Ports {
                etcd: 2379,
                api_server: 6443,
                controller_manager: 10257,
                scheduler: 10259,
                kwok: 10247,
            },
            Tier::ControlPlane => free_ports()?,
        };
        let folder = Self::folder_of(places, name);
        let socket = folder.join("run/containerd.sock");
        ensure!(
            socket.as_os_str().len() < LONGEST_SOCKET,
            "{} is too long for a socket.\nremedy: point MEDOPS_CACHE to a shorter path",
            socket.display()
        );
        Ok(Self {
            name: name.to_owned(),
            tier,
            provider,
            ports,
            boot: boot_id(),
            settings_before: BTreeMap::new(),
            made_run_netns: false,
            image_store: image_store(tier, &folder),
            folder,
        })
    }

    /// Records it, by renaming, so that a reader never sees half of it.
    pub(crate) fn record(&self) -> Result<()> {
        for folder in ["log", "run", "pki"] {
            fs::create_dir_all(self.folder.join(folder))?;
        }
        write_whole(
            &self.folder.join("instance.json"),
            &serde_json::to_vec_pretty(self)?,
        )
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where its keys and kubeconfigs are.
    pub(crate) fn pki(&self) -> PathBuf {
        self.folder.join("pki")
    }

    /// Where its logs are.
    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Sockets, process numbers and records that go with it.
    pub(crate) fn run(&self) -> PathBuf {
        self.folder.join("run")
    }

    /// The kubeconfig of its administrator.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.pki().join("admin.kubeconfig")
    }

    /// containerd's socket.
    pub(crate) fn containerd(&self) -> PathBuf {
        self.run().join("containerd.sock")
    }

    /// The API server's audit log.
    pub(crate) fn audit_log(&self) -> PathBuf {
        self.logs().join("audit.log")
    }

    /// The store's files, in memory: a cluster for tests need not survive the machine.
    pub(crate) fn etcd_data(&self) -> PathBuf {
        let shared_memory = Path::new("/dev/shm");
        if shared_memory.is_dir() {
            shared_memory.join(format!("medops-etcd-{}-{}", nix::unistd::geteuid(), self.name))
        } else {
            self.folder.join("etcd")
        }
    }

    /// The host that the API server answers at.
    pub(crate) fn api_host(&self) -> &'static str {
        match self.tier {
            Tier::Cluster => NODE_IP,
            Tier::ControlPlane => "127.0.0.1",
        }
    }

    /// The network namespace it lives in, if it has one.
    pub(crate) fn network_namespace(&self) -> Option<PathBuf> {
        (self.tier == Tier::Cluster && self.provider == Provider::Local)
            .then(|| Path::new("/run/netns").join(NETWORK_NAMESPACE))
    }

    /// Its supervisor, when that runs.
    pub(crate) fn supervisor(&self) -> Option<ProcessId> {
        let text = fs::read(self.run().join("supervisor.pid.json")).ok()?;
        serde_json::from_slice::<ProcessId>(&text)
            .ok()
            .filter(|id| self.of_this_boot() && id.is_alive())
    }

    /// Whether it was made since the machine started.
    pub(crate) fn of_this_boot(&self) -> bool {
        self.boot == boot_id()
    }
}

/// The command that starts an instance of this name.
pub(crate) fn up_command(name: &str) -> String {
    if name == CLUSTER {
        "cargo xtask up".to_owned()
    } else {
        format!("cargo xtask up --tier control-plane --name {name}")
    }
}

/// In memory where there is plenty: importing and unpacking a gigabyte of images, and removing it again, is most of
/// what `up` and `down` do, and a disk takes ten times as long for it.
fn image_store(tier: Tier, folder: &Path) -> PathBuf {
    const PLENTY: u64 = 12 << 30;
    let shared_memory = Path::new("/dev/shm");
    let roomy = nix::sys::statvfs::statvfs(shared_memory)
        .is_ok_and(|room| room.blocks_available() * room.fragment_size() >= PLENTY);
    if tier == Tier::Cluster && roomy && available_memory() >= PLENTY {
        shared_memory.join("medops-containerd")
    } else {
        folder.join("containerd")
    }
}

/// Memory that programs could still get, in bytes (`MemAvailable`).
pub(crate) fn available_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .unwrap_or_default();
    line.trim()
        .trim_end_matches("kB")
        .trim()
        .parse::<u64>()
        .map_or(0, |kibibytes| kibibytes << 10)
}

/// Writes a file in one step: a reader sees the old content or the new, never a part.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let part = path.with_extension("part");
    fs::write(&part, content).with_context(|| format!("cannot write {}", part.display()))?;
    fs::rename(&part, path).with_context(|| format!("cannot write {}", path.display()))
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Ports of loopback that are free now. All are held until all are known, so that they differ.
fn free_ports() -> Result<Ports> {
    let listeners = (0..5)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<std::io::Result<Vec<_>>>()?;
    let ports = listeners
        .iter()
        .map(|l| l.local_addr().map(|a| a.port()))
        .collect::<std::io::Result<Vec<_>>>()?;
    Ok(Ports {
        etcd: ports[0],
        api_server: ports[1],
        controller_manager: ports[2],
        scheduler: ports[3],
        kwok: ports[4],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_planes_get_ports_of_their_own() {
        let places = Places::at("/repository", "/cache");
        let instance = Instance::new(&places, "one", Tier::ControlPlane, Provider::Local).unwrap();
        let ports = instance.ports;
        let all = [
            ports.etcd,
            ports.api_server,
            ports.controller_manager,
            ports.scheduler,
            ports.kwok,
        ];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), 5);
        assert!(instance.network_namespace().is_none());
    }

    #[test]
    fn a_name_that_is_a_path_is_refused() {
        let places = Places::at("/repository", "/cache");
        for name in ["../other", "", "A", "a/b"] {
            assert!(
                Instance::new(&places, name, Tier::ControlPlane, Provider::Local).is_err(),
                "{name}"
            );
        }
    }

    #[test]
    fn a_second_cluster_with_a_node_is_refused_with_the_way_to_go() {
        let places = Places::at("/repository", "/cache");
        let error = Instance::new(&places, "two", Tier::Cluster, Provider::Local)
            .unwrap_err()
            .to_string();
        assert!(error.contains("--tier control-plane"), "{error}");
    }

    #[test]
    fn an_instance_is_found_again_by_its_name() {
        let cache = tempfile::tempdir().unwrap();
        let places = Places::at("/repository", cache.path());
        assert!(
            Instance::of(&places, "one")
                .unwrap_err()
                .to_string()
                .contains("--name one")
        );
        let made = Instance::new(&places, "one", Tier::ControlPlane, Provider::Local).unwrap();
        made.record().unwrap();
        assert_eq!(Instance::of(&places, "one").unwrap().ports, made.ports);
        assert_eq!(Instance::names(&places), ["one"]);
        assert!(made.supervisor().is_none());
    }
}
