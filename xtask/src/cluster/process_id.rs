//! Processes by number and start time: a number alone may have been given to another process meanwhile.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// One process, for as long as it lives and never after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    /// Its number.
    pub(crate) pid: i32,
    /// When it began, in clock ticks since the machine started (field 22 of `/proc/PID/stat`).
    started: u64,
}

impl ProcessId {
    /// The process that has this number now.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let pid = i32::try_from(pid).ok()?;
        Some(Self {
            pid,
            started: start_time(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?,
        })
    }

    /// This process.
    pub(crate) fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Whether it still runs. A zombie does not.
    pub(crate) fn is_alive(self) -> bool {
        std::fs::read_to_string(format!("/proc/{}/stat", self.pid))
            .is_ok_and(|stat| start_time(&stat) == Some(self.started) && !is_zombie(&stat))
    }

    /// Sends a signal, if it still runs.
    pub(crate) fn signal(self, signal: Signal) {
        if self.is_alive() {
            // It may end between the two lines; then there is nothing left to signal.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// Asks it to end and waits; kills it when the time is over.
    pub(crate) fn end(self, patience: Duration) {
        self.signal(Signal::SIGTERM);
        if !self.wait(patience) {
            self.signal(Signal::SIGKILL);
            self.wait(Duration::from_secs(5));
        }
    }

    /// Waits until it ended; false when the time is over first.
    pub(crate) fn wait(self, patience: Duration) -> bool {
        let begun = Instant::now();
        while self.is_alive() {
            if begun.elapsed() > patience {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }
}

/// The name in the second field may hold spaces and parentheses; what follows the last one is regular.
fn after_name(stat: &str) -> Option<&str> {
    stat.rsplit_once(") ").map(|(_, rest)| rest)
}

fn start_time(stat: &str) -> Option<u64> {
    after_name(stat)?.split_ascii_whitespace().nth(19)?.parse().ok()
}

fn is_zombie(stat: &str) -> bool {
    after_name(stat).is_some_and(|rest| rest.starts_with(['Z', 'X']))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_alive_until_it_ended_and_was_waited_for() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let id = ProcessId::of(child.id()).unwrap();
        assert!(id.is_alive());
        id.signal(Signal::SIGKILL);
        assert!(id.wait(Duration::from_secs(10)), "a zombie counts as ended");
        child.wait().unwrap();
        assert!(!id.is_alive());
    }

    #[test]
    fn another_process_with_the_same_number_is_not_this_one() {
        let mut other = ProcessId::own().unwrap();
        other.started += 1;
        assert!(!other.is_alive());
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        assert_eq!(start_time(stat), Some(4242));
    }
}
