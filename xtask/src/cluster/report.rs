//! What the supervisor tells about each process: one file, replaced as a whole at every change.

use std::fs;

use serde::{Deserialize, Serialize};

use super::instance::Instance;
use super::process_id::ProcessId;

/// How a process is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Health {
    /// Not started: something it needs is not there yet.
    Waiting(String),
    /// Started, not well yet; what it said last.
    Starting(String),
    /// Well.
    Well,
    /// Was well, is not now; what it said.
    Unwell(String),
    /// Ended; will be started again.
    Ended(String),
}

/// One process in the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProcessReport {
    /// Its name.
    pub(crate) name: String,
    /// The running process.
    pub(crate) process: Option<ProcessId>,
    /// When it was started last, seconds since the epoch.
    pub(crate) since: u64,
    /// How often it was started again.
    pub(crate) restarts: u32,
    /// How it ended the last time.
    pub(crate) last_end: Option<String>,
    /// How it is.
    pub(crate) health: Health,
}

/// What the supervisor tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// All processes, in starting order.
    pub(crate) processes: Vec<ProcessReport>,
}

impl Report {
    /// The last report of the instance's supervisor.
    pub(crate) fn of(instance: &Instance) -> Option<Self> {
        serde_json::from_slice(&fs::read(instance.run().join("report.json")).ok()?).ok()
    }

    /// Whether every process is well.
    pub(crate) fn is_well(&self) -> bool {
        !self.processes.is_empty()
            && self
                .processes
                .iter()
                .all(|process| process.health == Health::Well)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_well_only_when_all_are() {
        let process = |health| ProcessReport {
            name: "etcd".into(),
            process: None,
            since: 0,
            restarts: 0,
            last_end: None,
            health,
        };
        assert!(
            Report {
                processes: vec![process(Health::Well)]
            }
            .is_well()
        );
        assert!(
            !Report {
                processes: vec![process(Health::Well), process(Health::Ended("1".into()))]
            }
            .is_well()
        );
        assert!(
            !Report { processes: vec![] }.is_well(),
            "nothing reported is not well"
        );
    }
}
