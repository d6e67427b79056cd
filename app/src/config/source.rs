//! Where values come from: a snapshot of the environment, limited to the documented variables.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::Faults;
use super::variables::{self, Variable};

/// The values of the documented variables.
///
/// There is no Debug: a deployment may put a secret into the wrong variable.
pub struct Source(BTreeMap<&'static str, String>);

impl Source {
    /// Takes the documented variables from the process.
    pub fn from_process() -> Self {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Takes the documented variables from `lookup`.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let values = variables::ALL
            .iter()
            .filter_map(|variable| lookup(variable.name).map(|value| (variable.name, value)))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        Self(values)
    }

    /// The given value or the default; empty counts as absent.
    pub fn get(&self, variable: Variable) -> Option<&str> {
        self.0.get(variable.name).map(String::as_str).or(variable.default)
    }

    /// Like [`Self::get`], with a fault when there is neither.
    pub fn require(&self, variable: Variable, faults: &mut Faults) -> Option<&str> {
        let value = self.get(variable);
        if value.is_none() {
            faults.add(variable, "is not set", format!("set it: {}", variable.meaning));
        }
        value
    }

    /// A required path; whether it is readable is for the caller to find out.
    pub fn require_path(&self, variable: Variable, faults: &mut Faults) -> Option<PathBuf> {
        self.require(variable, faults).map(PathBuf::from)
    }

    /// A whole number inside `range`.
    pub fn number(&self, variable: Variable, range: RangeInclusive<u32>, faults: &mut Faults) -> Option<u32> {
        let value = self
            .require(variable, faults)?
            .parse()
            .ok()
            .filter(|number| range.contains(number));
        if value.is_none() {
            faults.add(
                variable,
                "is not a whole number in its range",
                format!("use {} to {}", range.start(), range.end()),
            );
        }
        value
    }
}

/// Reads a text file that a variable names; the fault says what the operating system said, not what the file holds.
pub(super) fn read_text(variable: Variable, path: &Path, faults: &mut Faults) -> Option<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) => {
            faults.add(
                variable,
                format!("its file cannot be read ({})", error.kind()),
                "mount the file and let the process's user read it",
            );
            None
        }
    }
}
