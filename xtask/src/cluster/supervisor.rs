//! The process that holds a cluster together: it starts the others in order, starts again what ends, and tells
//! everybody through one file how each is.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::health::Prober;
use super::instance::{Instance, write_whole};
use super::network;
use super::process_id::ProcessId;
use super::processes::{Process, log, processes};
use super::report::{Health, ProcessReport, Report};
use crate::places::Places;

/// Marks the processes of an instance: `down` finds by it what a killed supervisor left behind.
pub(crate) const MARK: &str = "MEDOPS_INSTANCE";
/// A process that ran this long had started well; its next end counts as the first.
const SETTLED: Duration = Duration::from_mins(1);
/// After this, what was asked to end is killed. kube-apiserver would linger for a minute while watches are open.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a process that is well is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// How often a process that is not well yet is asked.
const ASK_SOON: Duration = Duration::from_millis(100);

enum Event {
    Ended {
        index: usize,
        status: String,
    },
    Asked {
        index: usize,
        run: u32,
        answer: Result<(), String>,
    },
    May {
        index: usize,
    },
    Stop,
}

struct Running {
    id: ProcessId,
    begun: Instant,
    stop_asking: Arc<AtomicBool>,
}

struct Member {
    process: Process,
    running: Option<Running>,
    /// Counts starts, so that a late answer about an earlier run is not taken for the present one.
    run: u32,
    /// Since its present start.
    is_settled: bool,
    /// Ever: what waits for it may start, and need not wait again when it is restarted.
    was_well: bool,
    gate: Gate,
    start_at: Option<Instant>,
    failures: u32,
    report: ProcessReport,
}

#[derive(PartialEq, Eq)]
enum Gate {
    None,
    Closed,
    Asking,
    Open,
}

/// Runs until it is told to stop. Only to be called in a process of its own, before any thread is started.
pub(crate) fn supervise(instance: &Instance, places: &Places) -> Result<()> {
    nix::unistd::setsid().context("this process leads a group already")?;
    if let Some(namespace) = instance.network_namespace() {
        network::enter(&namespace)?;
        let made = network::isolate_mounts(instance)?;
        write_whole(
            &instance.run().join("made-folders.json"),
            &serde_json::to_vec(&made)?,
        )?;
        network::prepare_node()?;
    }
    let own = ProcessId::own().context("/proc is not mounted")?;
    write_whole(
        &instance.run().join("supervisor.pid.json"),
        &serde_json::to_vec(&own)?,
    )?;

    let (sender, events) = channel();
    let stop = sender.clone();
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            drop(stop.send(Event::Stop));
        }
    });
    let supervisor = Supervisor {
        prober: Prober::new(&instance.pki())?,
        environment: child_environment(instance, places)?,
        members: processes(instance).into_iter().map(Member::new).collect(),
        instance,
        sender,
        begun: Instant::now(),
    };
    supervisor.run(&events);
    Ok(())
}

/// A clean environment: a proxy variable meant for a browser would send the API server's calls astray.
fn child_environment(instance: &Instance, places: &Places) -> Result<BTreeMap<String, std::ffi::OsString>> {
    let system = [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
    ];
    let path = std::env::join_paths(std::iter::once(places.binaries()).chain(system.iter().map(Into::into)))?;
    Ok(BTreeMap::from([
        ("PATH".to_owned(), path),
        ("HOME".to_owned(), instance.folder().into()),
        (MARK.to_owned(), instance.folder().into()),
    ]))
}

struct Supervisor<'a> {
    instance: &'a Instance,
    prober: Prober,
    environment: BTreeMap<String, std::ffi::OsString>,
    members: Vec<Member>,
    sender: Sender<Event>,
    begun: Instant,
}

impl Supervisor<'_> {
    fn run(mut self, events: &Receiver<Event>) {
        self.say("supervising");
        loop {
            self.start_what_may_start();
            if let Err(error) = self.publish() {
                // A full disk is no reason to leave the processes alone.
                self.say(&format!("the report cannot be written: {error:#}"));
            }
            let wait = self
                .members
                .iter()
                .filter_map(|member| member.start_at)
                .min()
                .map_or(Duration::from_mins(1), |at| {
                    at.saturating_duration_since(Instant::now())
                });
            match events.recv_timeout(wait) {
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        self.stop();
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Stop => {}
            Event::May { index } => self.members[index].gate = Gate::Open,
            Event::Asked { index, run, answer } => {
                let member = &mut self.members[index];
                if member.running.is_none() || member.run != run {
                    return;
                }
                let health = match answer {
                    Ok(()) => Health::Well,
                    Err(why) if member.is_settled => Health::Unwell(why),
                    Err(why) => Health::Starting(why),
                };
                let said = match (&member.report.health, &health) {
                    (Health::Well, Health::Well) | (Health::Starting(_), Health::Starting(_)) => None,
                    (_, Health::Well) => Some(format!("{} is well", member.process.name)),
                    (_, Health::Unwell(why)) => Some(format!("{} is not well: {why}", member.process.name)),
                    _ => None,
                };
                member.is_settled |= health == Health::Well;
                member.was_well |= health == Health::Well;
                member.report.health = health;
                if let Some(said) = said {
                    self.say(&said);
                }
            }
            Event::Ended { index, status } => {
                let member = &mut self.members[index];
                let ran = member.running.take().map_or(Duration::ZERO, |running| {
                    running.stop_asking.store(true, Ordering::Relaxed);
                    running.begun.elapsed()
                });
                member.failures = if ran >= SETTLED { 0 } else { member.failures + 1 };
                let delay = back_off(member.failures);
                member.start_at = Some(Instant::now() + delay);
                member.report.process = None;
                member.report.restarts += 1;
                member.report.last_end = Some(status.clone());
                member.report.health = Health::Ended(status.clone());
                let line = format!(
                    "{} ended after {:.1} s ({status}); starting it again in {:.1} s",
                    member.process.name,
                    ran.as_secs_f64(),
                    delay.as_secs_f64()
                );
                self.say(&line);
            }
        }
    }

    fn start_what_may_start(&mut self) {
        for index in 0..self.members.len() {
            let member = &self.members[index];
            if member.running.is_some() || member.start_at.is_some_and(|at| at > Instant::now()) {
                continue;
            }
            let missing: Vec<&str> = member
                .process
                .after
                .iter()
                .copied()
                .filter(|need| {
                    !self
                        .members
                        .iter()
                        .any(|other| other.process.name == *need && other.was_well)
                })
                .collect();
            if !missing.is_empty() {
                self.members[index].report.health =
                    Health::Waiting(format!("waits for {}", missing.join(", ")));
                continue;
            }
            match member.gate {
                Gate::None | Gate::Open => self.start(index),
                Gate::Closed => self.ask_gate(index),
                Gate::Asking => {}
            }
        }
    }

    /// Asks the question that must be answered once before the process starts.
    fn ask_gate(&mut self, index: usize) {
        let Some(probe) = self.members[index].process.once.clone() else {
            return;
        };
        self.members[index].gate = Gate::Asking;
        self.members[index].report.health = Health::Waiting(format!("waits for {}", probe.what()));
        let (prober, sender) = (self.prober.clone(), self.sender.clone());
        std::thread::spawn(move || {
            while prober.ask(&probe).is_err() {
                std::thread::sleep(ASK_SOON);
            }
            drop(sender.send(Event::May { index }));
        });
    }

    fn start(&mut self, index: usize) {
        let member = &mut self.members[index];
        member.start_at = None;
        member.run += 1;
        let (run, probe) = (member.run, member.process.health.clone());
        match spawn(
            &member.process,
            &self.environment,
            &log(self.instance, member.process.name),
        ) {
            Ok((mut child, id)) => {
                let stop_asking = Arc::new(AtomicBool::new(false));
                member.running = Some(Running {
                    id,
                    begun: Instant::now(),
                    stop_asking: stop_asking.clone(),
                });
                member.is_settled = false;
                member.report.process = Some(id);
                member.report.since = now();
                member.report.health = Health::Starting("just started".into());
                let sender = self.sender.clone();
                std::thread::spawn(move || {
                    let status = child
                        .wait()
                        .map_or_else(|error| error.to_string(), |status| status.to_string());
                    drop(sender.send(Event::Ended { index, status }));
                });
                let (prober, sender) = (self.prober.clone(), self.sender.clone());
                std::thread::spawn(move || keep_asking(index, run, &prober, &probe, &sender, &stop_asking));
            }
            Err(error) => {
                let sender = self.sender.clone();
                drop(sender.send(Event::Ended {
                    index,
                    status: format!("{error:#}"),
                }));
            }
        }
    }

    fn publish(&self) -> Result<()> {
        let report = Report {
            processes: self.members.iter().map(|member| member.report.clone()).collect(),
        };
        write_whole(
            &self.instance.run().join("report.json"),
            &serde_json::to_vec_pretty(&report)?,
        )
    }

    /// Ends everything in reverse order. Nothing a process would still write is kept, so patience is short.
    fn stop(mut self) {
        self.say("stopping");
        let running: Vec<Running> = self
            .members
            .iter_mut()
            .rev()
            .filter_map(|member| member.running.take())
            .collect();
        for process in &running {
            process.stop_asking.store(true, Ordering::Relaxed);
            process.id.signal(Signal::SIGTERM);
        }
        let deadline = Instant::now() + PATIENCE;
        for process in &running {
            if !process
                .id
                .wait(deadline.saturating_duration_since(Instant::now()))
            {
                process.id.signal(Signal::SIGKILL);
            }
        }
        for process in &running {
            process.id.wait(PATIENCE);
        }
        self.say("stopped");
    }

    fn say(&self, line: &str) {
        // The log may be on a full disk; what it would have said is lost, and nothing else.
        let _ = writeln!(
            std::io::stdout(),
            "{:10.1} s  {line}",
            self.begun.elapsed().as_secs_f64()
        );
    }
}

impl Member {
    fn new(process: Process) -> Self {
        Self {
            report: ProcessReport {
                name: process.name.to_owned(),
                process: None,
                since: 0,
                restarts: 0,
                last_end: None,
                health: Health::Waiting("waits for its turn".into()),
            },
            gate: if process.once.is_some() {
                Gate::Closed
            } else {
                Gate::None
            },
            process,
            running: None,
            run: 0,
            is_settled: false,
            was_well: false,
            start_at: None,
            failures: 0,
        }
    }
}

fn spawn(
    process: &Process,
    environment: &BTreeMap<String, std::ffi::OsString>,
    log: &Path,
) -> Result<(Child, ProcessId)> {
    let output: File = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| log.display().to_string())?;
    let child = Command::new(process.program)
        .args(&process.arguments)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("cannot start {}", process.program))?;
    let id = ProcessId::of(child.id()).with_context(|| format!("{} ended at once", process.name))?;
    Ok((child, id))
}

fn keep_asking(
    index: usize,
    run: u32,
    prober: &Prober,
    probe: &super::health::Probe,
    sender: &Sender<Event>,
    stop: &AtomicBool,
) {
    let mut last = None;
    while !stop.load(Ordering::Relaxed) {
        let answer = prober.ask(probe).map_err(|error| format!("{error:#}"));
        let well = answer.is_ok();
        if last.as_ref() != Some(&answer) {
            if sender
                .send(Event::Asked {
                    index,
                    run,
                    answer: answer.clone(),
                })
                .is_err()
            {
                return;
            }
            last = Some(answer);
        }
        std::thread::sleep(if well { ASK_AGAIN } else { ASK_SOON });
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

/// Half a second after the first end, twice as long after each further one, at most half a minute.
fn back_off(failures: u32) -> Duration {
    Duration::from_millis(500 << failures.saturating_sub(1).min(10)).min(Duration::from_secs(30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_keeps_ending_is_started_ever_later_but_at_least_twice_a_minute() {
        let delays: Vec<_> = (1..=9).map(|n| back_off(n).as_millis()).collect();
        assert_eq!(delays, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
        assert_eq!(back_off(0), Duration::from_millis(500));
    }
}
