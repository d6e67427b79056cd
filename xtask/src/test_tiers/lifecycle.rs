//! The cluster itself under test: up and down twice, a killed process in between, and the machine as it was before.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use crate::cluster::down;
use crate::cluster::instance::{CLUSTER, Instance, Provider};
use crate::cluster::report::{Health, Report};
use crate::places::Places;
use crate::progress::{Progress, seconds};
use crate::up::{self, Extent};

/// Brings the bare cluster up and down twice and compares what the machine looks like.
pub(super) fn run(places: &Places) -> Result<()> {
    if Instance::recorded(places, CLUSTER)?.is_some() {
        bail!(
            "the lifecycle tier starts and removes the cluster itself, and one is up.\nremedy: cargo xtask down"
        );
    }
    let progress = Progress::new();
    let before = machine();
    for round in 1..=2 {
        let bare = Extent {
            operator: false,
            sample: false,
        };
        let begun = Instant::now();
        let (instance, _) = up::cluster(CLUSTER, Provider::Local, bare, places, &progress)?;
        let up = begun.elapsed();
        ensure!(
            machine() != before,
            "a running cluster must be seen, or the comparison proves nothing"
        );

        let again = Instant::now();
        up::cluster(CLUSTER, Provider::Local, bare, places, &progress)?;
        let again = again.elapsed();
        restarts_what_is_killed(&instance, "kube-scheduler")?;

        let begun = Instant::now();
        down::down(places, &[CLUSTER.to_owned()], &progress)?;
        let down = begun.elapsed();
        down::down(places, &[CLUSTER.to_owned()], &progress)
            .context("down of what is down must be no error")?;
        let differences = differences(&before, &machine());
        ensure!(
            differences.is_empty(),
            "round {round} left the machine changed:\n{}",
            differences.join("\n")
        );
        println!(
            "round {round}: up {}, up again {}, down {}; the machine is as before",
            seconds(up),
            seconds(again),
            seconds(down)
        );
    }
    Ok(())
}

/// Kills a process and waits until the supervisor has started it again and it is well.
fn restarts_what_is_killed(instance: &Instance, name: &str) -> Result<()> {
    let find = || {
        let report = Report::of(instance)?;
        report.processes.into_iter().find(|process| process.name == name)
    };
    let before = find().and_then(|process| Some((process.process?, process.restarts)));
    let (process, restarts) = before.with_context(|| format!("{name} does not run"))?;
    process.signal(Signal::SIGKILL);
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if let Some(now) = find()
            && now.restarts == restarts + 1
            && now.health == Health::Well
            && now.process.is_some_and(|other| other != process)
        {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("{name} was killed and is not well again after 30 s: {:?}", find())
}

/// What a cluster could leave behind, one line for each.
fn machine() -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for line in fs::read_to_string("/proc/self/mountinfo")
        .unwrap_or_default()
        .lines()
    {
        // The numbers at the beginning say nothing about what is mounted where.
        lines.insert(format!(
            "mount {}",
            line.split(' ').skip(3).collect::<Vec<_>>().join(" ")
        ));
    }
    for folder in [
        "/run/netns",
        "/sys/class/net",
        "/opt",
        "/run",
        "/var/lib",
        "/var/log",
        "/etc/cni",
        "/dev/shm",
    ] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            lines.insert(format!("entry {}", entry.path().display()));
        }
    }
    for group in down::control_groups() {
        lines.insert(format!("control group {}", group.display()));
    }
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let program = fs::read_link(entry.path().join("exe")).unwrap_or_default();
        let name = program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if ["etcd", "kube", "containerd", "runc", "kwok", "pause"]
            .iter()
            .any(|part| name.starts_with(part))
        {
            lines.insert(format!(
                "process {} {}",
                entry.file_name().display(),
                program.display()
            ));
        }
    }
    for folder in ["kernel", "vm", "net", "fs", "user"] {
        settings(&Path::new("/proc/sys").join(folder), &mut lines);
    }
    lines
}

/// Counters and things that change by themselves.
const VOLATILE: [&str; 12] = [
    "random",
    "ns_last_pid",
    "nf_conntrack_count",
    "file-nr",
    "inode-nr",
    "inode-state",
    "dentry-state",
    "quota",
    "pty",
    "sched_domain",
    "aio-nr",
    "dup_cookie",
];

fn settings(folder: &Path, lines: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if VOLATILE.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if path.is_dir() {
            settings(&path, lines);
        } else if let Ok(value) = fs::read_to_string(&path) {
            lines.insert(format!(
                "setting {} = {}",
                path.display(),
                value.trim().replace('\n', " | ")
            ));
        }
    }
}

/// What is there now and was not, and the other way round.
fn differences(before: &BTreeSet<String>, after: &BTreeSet<String>) -> Vec<String> {
    let gone = before.difference(after).map(|line| format!("- {line}"));
    let new = after.difference(before).map(|line| format!("+ {line}"));
    gone.chain(new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_compares_equal_to_itself_and_shows_its_mounts_and_settings() {
        let now = machine();
        assert!(now.iter().any(|line| line.starts_with("mount ")));
        assert!(
            now.iter()
                .any(|line| line.starts_with("setting /proc/sys/kernel/panic = "))
        );
        assert!(differences(&now, &now).is_empty());
    }

    #[test]
    fn what_came_and_what_went_are_both_told() {
        let set = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect();
        assert_eq!(differences(&set(&["a", "b"]), &set(&["b", "c"])), ["- a", "+ c"]);
    }
}
