//! Machine-wide kernel settings that a node changes, and how they are put back.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};

/// What the kubelet sets by itself and insists on (`setupKernelTunables` in its container manager), and the one that
/// is raised here. Settings below `net.` belong to the network namespace and go with it.
const CHANGED: [&str; 6] = [
    "vm.overcommit_memory",
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.keys.root_maxkeys",
    "kernel.keys.root_maxbytes",
    INOTIFY,
];

/// Every kubelet, containerd and `kubectl logs -f` holds some; the default of 128 ends with "too many open files".
const INOTIFY: &str = "fs.inotify.max_user_instances";
const INOTIFY_NEEDED: u64 = 1024;

fn path(setting: &str) -> String {
    format!("/proc/sys/{}", setting.replace('.', "/"))
}

/// The present values of all settings that a cluster changes.
pub(crate) fn settings() -> BTreeMap<String, String> {
    CHANGED
        .iter()
        .filter_map(|name| {
            Some((
                (*name).to_owned(),
                fs::read_to_string(path(name)).ok()?.trim().to_owned(),
            ))
        })
        .collect()
}

/// Raises what has to be higher for a node.
pub(crate) fn raise() -> Result<()> {
    let present: u64 = fs::read_to_string(path(INOTIFY))?
        .trim()
        .parse()
        .context(INOTIFY)?;
    if present < INOTIFY_NEEDED {
        fs::write(path(INOTIFY), INOTIFY_NEEDED.to_string())
            .with_context(|| format!("cannot raise {INOTIFY}"))?;
    }
    Ok(())
}

/// Writes back what differs.
pub(crate) fn restore(before: &BTreeMap<String, String>) -> Result<()> {
    let present = settings();
    let refused: Vec<String> = before
        .iter()
        .filter(|(name, value)| present.get(*name) != Some(value))
        .filter_map(|(name, value)| {
            fs::write(path(name), value)
                .err()
                .map(|error| format!("{name}={value}: {error}"))
        })
        .collect();
    ensure!(
        refused.is_empty(),
        "could not be put back: {}",
        refused.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_that_a_kubelet_changes_are_all_readable_here() {
        assert_eq!(settings().len(), CHANGED.len());
    }

    #[test]
    fn putting_back_what_did_not_change_writes_nothing() {
        assert!(restore(&settings()).is_ok());
    }
}
