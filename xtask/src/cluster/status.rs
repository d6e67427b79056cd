//! `cargo xtask status`: one row for each process, and where to look further.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use serde_json::json;

use super::inside::{self, tier_name};
use super::instance::{Instance, Provider, up_command};
use super::processes::log;
use super::report::{Health, ProcessReport, Report};
use super::{addons, forward};
use crate::places::Places;
use crate::progress::seconds;

/// Prints the state of an instance; an error when anything in it is not well.
pub(crate) fn print(instance: &Instance, places: &Places, as_json: bool) -> Result<()> {
    if instance.provider == Provider::Kind {
        print!(
            "{}",
            inside::kubectl(instance, places)?
                .args(["get", "nodes", "-o", "wide"])
                .output()?
        );
        return inside::kubectl(instance, places)?
            .args(["get", "--raw", "/readyz"])
            .done();
    }
    let report = Report::of(instance).unwrap_or(Report {
        processes: Vec::new(),
    });
    let supervisor = instance.supervisor();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    if as_json {
        let value = json!({
            "name": instance.name,
            "tier": instance.tier,
            "supervisor": supervisor.map(|id| id.pid),
            "kubeconfig": instance.kubeconfig(),
            "auditLog": instance.audit_log(),
            "processes": report.processes,
        });
        show(&format!("{}\n", serde_json::to_string_pretty(&value)?));
    } else {
        let others: Vec<String> = Instance::names(places)
            .into_iter()
            .filter(|name| *name != instance.name)
            .collect();
        let others = match others.as_slice() {
            [] => String::new(),
            names => format!("also up      {} (status --name NAME)\n", names.join(", ")),
        };
        let table = table(&rows(instance, &report, now));
        show(&format!("{table}\n{}\n{others}", places_of_interest(instance)));
    }
    if supervisor.is_none() {
        bail!(
            "the supervisor of {} does not run: nothing is started again.\nremedy: {}",
            instance.name,
            up_command(&instance.name)
        );
    }
    let unwell: Vec<&str> = report
        .processes
        .iter()
        .filter(|p| p.health != Health::Well)
        .map(|p| p.name.as_str())
        .collect();
    if !unwell.is_empty() || report.processes.is_empty() {
        let name = unwell.first().copied().unwrap_or("supervisor");
        bail!(
            "not well: {}.\nremedy: cargo xtask logs {name}",
            unwell.join(", ")
        );
    }
    Ok(())
}

/// A reader who has seen enough (`| head`) is no error.
fn show(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn places_of_interest(instance: &Instance) -> String {
    let supervisor = instance
        .supervisor()
        .map_or_else(|| "gone".to_owned(), |id| id.pid.to_string());
    let mut lines = vec![
        format!(
            "{} ({} tier), supervisor {supervisor}",
            instance.name,
            tier_name(instance.tier)
        ),
        format!("kubeconfig   {}", instance.kubeconfig().display()),
        format!("audit log    {}", instance.audit_log().display()),
    ];
    let applied = addons::applied(instance);
    if !applied.is_empty() {
        let names: Vec<&str> = applied.keys().map(String::as_str).collect();
        lines.push(format!("add-ons      {}", names.join(", ")));
    }
    for forward in forward::open(instance) {
        let state = if forward.is_alive() { "" } else { " (ended)" };
        lines.push(format!(
            "forward      127.0.0.1:{} → {}{state}",
            forward.local, forward.target
        ));
    }
    lines.join("\n")
}

fn rows(instance: &Instance, report: &Report, now: u64) -> Vec<[String; 6]> {
    report
        .processes
        .iter()
        .map(|process| row(process, &log(instance, &process.name).display().to_string(), now))
        .collect()
}

fn row(process: &ProcessReport, log: &str, now: u64) -> [String; 6] {
    let (pid, uptime) = match process.process {
        Some(id) => (
            id.pid.to_string(),
            seconds(Duration::from_secs(now.saturating_sub(process.since))),
        ),
        None => ("-".to_owned(), "-".to_owned()),
    };
    let health = match &process.health {
        Health::Well => "well".to_owned(),
        Health::Waiting(why) => why.clone(),
        Health::Starting(why) => format!("starting: {why}"),
        Health::Unwell(why) => format!("not well: {why}"),
        Health::Ended(why) => format!("ended: {why}"),
    };
    let restarts = match &process.last_end {
        Some(end) => format!("{} ({end})", process.restarts),
        None => process.restarts.to_string(),
    };
    [
        process.name.clone(),
        pid,
        uptime,
        restarts,
        health,
        log.to_owned(),
    ]
}

/// Columns as wide as their widest cell.
fn table(rows: &[[String; 6]]) -> String {
    let head = ["PROCESS", "PID", "UPTIME", "RESTARTS", "HEALTH", "LOG"].map(str::to_owned);
    let all: Vec<&[String; 6]> = std::iter::once(&head).chain(rows).collect();
    let widths: Vec<usize> = (0..6)
        .map(|column| {
            all.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in all {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}", width = *width))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(health: Health, restarts: u32, last_end: Option<&str>) -> ProcessReport {
        ProcessReport {
            name: "kubelet".into(),
            process: None,
            since: 0,
            restarts,
            last_end: last_end.map(str::to_owned),
            health,
        }
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_space() {
        let rows = [
            row(&process(Health::Well, 0, None), "/log/kubelet.log", 5),
            row(
                &process(Health::Ended("exit status: 1".into()), 12, Some("exit status: 1")),
                "/log/kubelet.log",
                5,
            ),
        ];
        let text = table(&rows);
        let columns: Vec<usize> = text
            .lines()
            .map(|line| {
                line.find(if line.starts_with('P') { "LOG" } else { "/log" })
                    .unwrap()
            })
            .collect();
        assert_eq!(
            columns.iter().collect::<std::collections::BTreeSet<_>>().len(),
            1,
            "{text}"
        );
        assert!(text.lines().all(|line| line == line.trim_end()));
    }

    #[test]
    fn a_restart_is_shown_with_how_it_came_to_it() {
        let row = row(&process(Health::Well, 3, Some("signal: 9 (SIGKILL)")), "", 0);
        assert_eq!(row[3], "3 (signal: 9 (SIGKILL))");
    }
}
