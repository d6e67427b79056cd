//! The network and mount namespace of the cluster tier.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use super::addresses::NODE_IP;
use super::configuration::Files;
use super::instance::Instance;
use crate::command::Run;

/// Makes a network namespace with a name that `ip netns` and `nsenter` know. Unlike `ip netns add` it leaves no
/// mount of `/run/netns` itself behind. Returns whether it had to make that folder.
pub(crate) fn create(path: &Path) -> Result<bool> {
    let folder = path.parent().context("a namespace has a folder")?;
    let made = !folder.exists();
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    File::create_new(path)
        .with_context(|| format!("the network namespace {} exists already", path.display()))?;
    let target = path.to_owned();
    // A thread can leave the machine's network alone; the namespace lives on in the mount.
    std::thread::spawn(move || -> Result<()> {
        unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace (CONFIG_NET_NS)")?;
        mount(
            Some("/proc/thread-self/ns/net"),
            &target,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )
        .with_context(|| format!("cannot mount {}", target.display()))
    })
    .join()
    .map_err(|_| anyhow!("the thread that makes the namespace ended early"))??;
    Ok(made)
}

/// Removes the name; the namespace itself goes with the last process in it.
pub(crate) fn delete(path: &Path, made_folder: bool) {
    // Whatever is missing already needs no removing.
    let _ = umount2(path, MntFlags::MNT_DETACH);
    drop(fs::remove_file(path));
    if made_folder && let Some(folder) = path.parent() {
        drop(fs::remove_dir(folder));
    }
}

/// Moves the calling thread into a network namespace.
pub(crate) fn enter(path: &Path) -> Result<()> {
    let namespace = File::open(path).with_context(|| {
        format!(
            "the cluster's network {} is gone; run: cargo xtask down",
            path.display()
        )
    })?;
    setns(namespace, CloneFlags::CLONE_NEWNET).with_context(|| {
        format!(
            "cannot enter {}: the cluster's network needs root",
            path.display()
        )
    })
}

/// What the kubelet, containerd, the network plugins and the volume provisioner write outside of the cluster's folder.
/// Folders of the instance are mounted over these, or `down` would leave gigabytes.
const FIXED_FOLDERS: [&str; 6] = [
    "/opt/local-path-provisioner",
    "/var/log/pods",
    "/var/log/containers",
    "/var/lib/kubelet",
    "/var/lib/cni",
    "/run/containerd",
];

/// Gives this process a mount namespace for a node: nothing mounted here is seen outside, and all of it is shared
/// with pods that ask for that. Only a process with a single thread may do this.
pub(crate) fn isolate_mounts(instance: &Instance) -> Result<Vec<String>> {
    unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
    propagate(MsFlags::MS_PRIVATE)?;
    propagate(MsFlags::MS_SHARED)?;
    let mut made = Vec::new();
    for folder in FIXED_FOLDERS {
        let own = instance
            .folder()
            .join("host")
            .join(folder.trim_start_matches('/'));
        fs::create_dir_all(&own)?;
        if !Path::new(folder).exists() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {folder}"))?;
            made.push(folder.to_owned());
        }
        bind(&own, Path::new(folder))?;
    }
    Ok(made)
}

/// Gives this process the names of the cluster, in a mount namespace of its own that still sees what the machine
/// mounts later.
pub(crate) fn resolve_names(instance: &Instance) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
    propagate(MsFlags::MS_SLAVE)?;
    let target = Path::new("/etc/resolv.conf");
    if target.exists() {
        bind(&Files::of(instance).resolver, target)?;
    }
    Ok(())
}

fn propagate(how: MsFlags) -> Result<()> {
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        how | MsFlags::MS_REC,
        None::<&str>,
    )
    .context("cannot change mount propagation")
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .with_context(|| format!("cannot mount {} over {}", from.display(), to.display()))
}

/// The node's network, from inside: a bridge without ports holds its address, and the default route points at it.
/// Without any route a connection to a Service fails before kube-proxy's rules see it; nothing can leave.
pub(crate) fn prepare_node() -> Result<()> {
    let address = format!("{NODE_IP}/24");
    for words in [
        ["link", "set", "lo", "up", "", "", ""],
        ["link", "add", "br-node", "type", "bridge", "", ""],
        ["addr", "add", &address, "dev", "br-node", "", ""],
        ["link", "set", "br-node", "up", "", "", ""],
        ["route", "add", "default", "dev", "br-node", "", ""],
    ] {
        Run::new("ip")
            .args(words.iter().filter(|word| !word.is_empty()))
            .done()?;
    }
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("cannot switch on forwarding in the namespace")
}
