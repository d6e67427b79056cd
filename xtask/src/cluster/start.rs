//! Brings the processes of an instance up, or finds them up.

use std::fs::{self, OpenOptions};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::instance::{Instance, Provider, Tier};
use super::processes::log;
use super::report::{Health, Report};
use super::{certificates, configuration, down, kernel, network};
use crate::places::Places;
use crate::progress::Step;
use crate::schedule::Outcome;
use crate::{command, kind};

/// Longest time until every process is well; it takes about 15 s on two idle cores.
const PATIENCE: Duration = Duration::from_mins(3);
/// A process that ended this often while starting will not get well by itself.
const ENOUGH_RESTARTS: u32 = 5;

/// The instance of this name with a living supervisor: found, or prepared and started.
pub(crate) fn start(places: &Places, name: &str, tier: Tier) -> Result<(Instance, bool)> {
    if let Some(recorded) = Instance::recorded(places, name)? {
        if recorded.provider == Provider::Kind {
            bail!("{name} runs on kind already.\nremedy: cargo xtask down, or --provider kind");
        }
        if recorded.tier == tier && recorded.supervisor().is_some() {
            return Ok((recorded, false));
        }
        // A supervisor that was killed, or a machine that was restarted: nothing of it can be kept running.
        down::take_down(&recorded, &|_| ())?;
    }
    let mut instance = Instance::new(places, name, tier, Provider::Local)?;
    if tier == Tier::Cluster {
        instance.settings_before = kernel::settings();
    }
    instance.record()?; // before the first thing that down would have to undo
    certificates::ensure(&instance)?;
    configuration::write(&instance)?;
    if tier == Tier::ControlPlane {
        configuration::write_played_stages(&instance, places)?;
    }
    if let Some(namespace) = instance.network_namespace() {
        instance.made_run_netns = namespace.parent().is_some_and(|folder| !folder.exists());
        instance.record()?;
        network::create(&namespace)?;
        kernel::raise()?;
    }
    spawn_supervisor(&instance, places)?;
    Ok((instance, true))
}

/// A cluster of kind: found by its name, or created.
pub(crate) fn start_kind(places: &Places, name: &str) -> Result<(Instance, bool)> {
    let instance = Instance::new(places, name, Tier::Cluster, Provider::Kind)?;
    let there = kind::is_listed(&kind::run(&kind::list()).output()?);
    let recorded = Instance::recorded(places, name)?;
    if recorded
        .as_ref()
        .is_some_and(|recorded| recorded.provider == Provider::Local)
    {
        bail!("{name} runs without kind already.\nremedy: cargo xtask down, or --provider local");
    }
    if there && recorded.is_some() {
        return Ok((instance, false));
    }
    instance.record()?;
    let command = if there {
        kind::adopt(&instance)
    } else {
        kind::create(&instance, &places.repository.join("kind-config.yaml"))
    };
    kind::run(&command).done()?;
    Ok((instance, !there))
}

/// Starts this very program again, detached; waits until it has recorded itself.
fn spawn_supervisor(instance: &Instance, places: &Places) -> Result<()> {
    let path = instance.logs().join("supervisor.log");
    let output = OpenOptions::new().create(true).append(true).open(&path)?;
    let mut child = Command::new("/proc/self/exe")
        .args(["supervise", "--name", &instance.name])
        .env(
            "MEDOPS_CACHE",
            places.cache().parent().context("the cache has a parent")?,
        )
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .current_dir("/")
        .spawn()
        .context("cannot start the supervisor")?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while instance.supervisor().is_none() {
        if let Some(status) = child.try_wait()? {
            bail!("the supervisor ended with {status}\n{}", tail(&path, 15));
        }
        if Instant::now() > deadline {
            bail!("the supervisor does not begin\n{}", tail(&path, 15));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Waits until every process is well.
pub(crate) fn wait_until_well(instance: &Instance, fresh: bool, step: &Step) -> Result<Outcome> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let report = Report::of(instance);
        if report.as_ref().is_some_and(Report::is_well) {
            let count = report.map_or(0, |report| report.processes.len());
            return Ok(if fresh {
                Outcome::Done(format!("{count} processes are well"))
            } else {
                Outcome::Current
            });
        }
        if command::is_interrupted() {
            bail!("given up, because another step failed");
        }
        if instance.supervisor().is_none() {
            bail!(
                "the supervisor ended\n{}",
                tail(&instance.logs().join("supervisor.log"), 15)
            );
        }
        if let Some(report) = report {
            for process in &report.processes {
                if process.restarts >= ENOUGH_RESTARTS && process.health != Health::Well {
                    bail!(
                        "{} ended {} times ({})\n{}",
                        process.name,
                        process.restarts,
                        process.last_end.as_deref().unwrap_or("no reason known"),
                        tail(&log(instance, &process.name), 15)
                    );
                }
            }
            let pending = pending(&report);
            step.at(&format!("waits for {}", pending.join(", ")));
            if Instant::now() > deadline {
                let logs: Vec<String> = pending
                    .iter()
                    .map(|name| tail(&log(instance, name), 10))
                    .collect();
                bail!(
                    "not well after {} s: {}\n{}",
                    PATIENCE.as_secs(),
                    pending.join(", "),
                    logs.join("\n")
                );
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until one process is well: what only needs that one need not wait for the rest.
pub(crate) fn wait_for(instance: &Instance, name: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let well = Report::of(instance).is_some_and(|report| {
            report
                .processes
                .iter()
                .any(|p| p.name == name && p.health == Health::Well)
        });
        if well {
            return Ok(());
        }
        if Instant::now() > deadline || instance.supervisor().is_none() || command::is_interrupted() {
            bail!("{name} did not get well\n{}", tail(&log(instance, name), 15));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn pending(report: &Report) -> Vec<String> {
    report
        .processes
        .iter()
        .filter(|p| p.health != Health::Well)
        .map(|p| p.name.clone())
        .collect()
}

/// The last lines of a log, under its path.
pub(crate) fn tail(path: &std::path::Path, count: usize) -> String {
    let text = fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(count)..]
        .iter()
        .map(|line| format!("  {line}"));
    std::iter::once(format!("end of {}:", path.display()))
        .chain(last)
        .collect::<Vec<_>>()
        .join("\n")
}
