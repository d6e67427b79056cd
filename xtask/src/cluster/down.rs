//! Takes an instance down so that nothing of it is left: no process, mount, control group, network namespace,
//! changed setting or file. Every part is removed whether or not the parts before it were there, so that a
//! half-started or half-removed cluster goes away too.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::instance::{Instance, Provider, Tier};
use super::process_id::ProcessId;
use super::supervisor::MARK;
use super::{forward, kernel, network};
use crate::kind;
use crate::places::Places;
use crate::progress::Progress;
use crate::up;

/// The supervisor ends its processes within two seconds, then itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes the instance down.
pub(crate) fn take_down(instance: &Instance, at: &dyn Fn(&str)) -> Result<()> {
    at("ending forwards");
    forward::end_all(instance);
    if instance.provider == Provider::Kind {
        at("deleting the kind cluster");
        kind::run(&kind::delete()).done()?;
        return remove(instance.folder());
    }
    if let Some(supervisor) = instance.supervisor() {
        at("ending the supervisor and its processes");
        supervisor.end(PATIENCE);
    }
    let mut troubles = Vec::new();
    let mut attempt = |what: &str, result: Result<()>| {
        if let Err(error) = result {
            troubles.push(format!("{what}: {error:#}"));
        }
    };
    if instance.of_this_boot() {
        at("ending what is left of its processes");
        attempt("processes", end_marked(instance));
        if instance.tier == Tier::Cluster {
            at("ending pods");
            attempt("pods", end_pods());
            at("removing control groups");
            attempt("control groups", remove_control_groups());
        }
        if let Some(namespace) = instance.network_namespace() {
            network::delete(&namespace, instance.made_run_netns);
        }
        attempt("kernel settings", kernel::restore(&instance.settings_before));
    }
    for folder in made_folders(instance).iter().rev() {
        drop(fs::remove_dir(folder)); // only when empty: nothing of others goes
    }
    at("removing its files");
    attempt("etcd's data", remove(&instance.etcd_data()));
    attempt("images", remove(&instance.image_store));
    if !troubles.is_empty() {
        // The record stays, so that the next attempt knows what there was.
        bail!(
            "not everything of {} could be removed; try again\n{}",
            instance.name,
            troubles.join("\n")
        );
    }
    remove(instance.folder())
}

fn made_folders(instance: &Instance) -> Vec<PathBuf> {
    fs::read(instance.run().join("made-folders.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

/// A folder whose last user just ended may stay busy for a moment.
fn remove(path: &Path) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
            Ok(()) => return Ok(()),
        }
    }
}

/// Processes that carry this instance's mark: those of a supervisor that was killed, and containerd's shims, which
/// outlive it by design. A command run by `in` carries no mark and is left alone.
fn end_marked(instance: &Instance) -> Result<()> {
    let mark = format!("{MARK}={}", instance.folder().display());
    end_all(|| {
        processes(|pid| {
            fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
                environment
                    .split(|byte| *byte == 0)
                    .any(|word| word == mark.as_bytes())
            })
        })
    })
}

/// Processes of pods: they are in the control groups of this machine's only kubelet.
fn end_pods() -> Result<()> {
    end_all(|| {
        control_groups()
            .iter()
            .flat_map(|group| {
                fs::read_to_string(group.join("cgroup.procs"))
                    .unwrap_or_default()
                    .lines()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .filter_map(|pid| ProcessId::of(pid.parse().ok()?))
            .filter(|id| id.is_alive())
            .collect()
    })
}

/// Kills what `find` finds until it finds nothing: a process may have started another meanwhile.
fn end_all(find: impl Fn() -> Vec<ProcessId>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = find();
        if found.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!(
                "processes do not end: {:?}",
                found.iter().map(|id| id.pid).collect::<Vec<_>>()
            );
        }
        for process in &found {
            process.signal(Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn processes(is_wanted: impl Fn(u32) -> bool) -> Vec<ProcessId> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != std::process::id() && is_wanted(*pid))
        .filter_map(ProcessId::of)
        .filter(|id| id.is_alive())
        .collect()
}

/// The kubelet's groups, below each hierarchy (cgroup v1) or the only one (v2), deepest first.
pub(crate) fn control_groups() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut all = Vec::new();
    for top in std::iter::once(root.to_owned())
        .chain(hierarchies)
        .map(|hierarchy| hierarchy.join("kubepods"))
    {
        collect(&top, &mut all);
    }
    all
}

fn collect(folder: &Path, all: &mut Vec<PathBuf>) {
    if !folder.is_dir() {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), all);
        }
    }
    all.push(folder.to_owned());
}

fn remove_control_groups() -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left: Vec<PathBuf> = control_groups()
            .into_iter()
            .filter(|group| fs::remove_dir(group).is_err())
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("control groups cannot be removed: {left:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// `cargo xtask down`: takes these instances down; one that is not up is no error.
pub(crate) fn down(places: &Places, names: &[String], progress: &Progress) -> Result<()> {
    for name in names {
        let _lock = up::instance_lock(name, places, progress)?;
        match Instance::recorded(places, name)? {
            None => progress.say(&format!("{name} is not up")),
            Some(instance) => {
                let step = progress.step(&format!("{name} down"));
                take_down(&instance, &|what| step.at(what))?;
                step.done("");
            }
        }
    }
    let left = Instance::names(places);
    if !left.is_empty() {
        progress.say(&format!(
            "still up: {} (all of them: cargo xtask down --all)",
            left.join(", ")
        ));
    }
    Ok(())
}
