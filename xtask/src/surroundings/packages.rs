//! Debian packages that the cluster tier runs or builds with.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::command::Run;
use crate::progress::Progress;

/// A package and a file by which one sees that it is installed: a program in the path, or a path.
const PACKAGES: [(&str, &str); 13] = [
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("containernetworking-plugins", "/usr/lib/cni/bridge"),
    ("nftables", "nft"),
    ("iptables", "iptables-save"),
    ("ipset", "ipset"),
    ("conntrack", "conntrack"),
    ("iproute2", "ip"),
    ("util-linux", "nsenter"),
    ("mmdebstrap", "mmdebstrap"),
    (
        "debian-archive-keyring",
        "/usr/share/keyrings/debian-archive-keyring.gpg",
    ),
    ("gcc", "cc"),
    ("libc6-dev", "/usr/include/stdlib.h"),
];

/// Folders of programs that an unprivileged PATH may lack.
const SYSTEM: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

fn is_there(sign: &str) -> bool {
    if sign.starts_with('/') {
        // Other distributions keep the network plugins elsewhere.
        return Path::new(sign).exists()
            || (sign.starts_with("/usr/lib/cni/") && Path::new("/opt/cni/bin/bridge").exists());
    }
    SYSTEM.iter().any(|folder| Path::new(folder).join(sign).exists())
}

fn missing() -> Vec<&'static str> {
    PACKAGES
        .iter()
        .filter(|(_, sign)| !is_there(sign))
        .map(|(package, _)| *package)
        .collect()
}

/// Installs what the cluster tier lacks.
pub(super) fn install_missing(progress: &Progress) -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    install(&missing, progress)
}

/// Installs packages on Debian, as root; elsewhere says what to install.
pub(super) fn install(missing: &[&str], progress: &Progress) -> Result<()> {
    let command = format!("apt-get install --no-install-recommends {}", missing.join(" "));
    if !Path::new("/etc/debian_version").exists() || !nix::unistd::geteuid().is_root() {
        bail!(
            "programs are missing: {}\nremedy: install them with your distribution's packages; on Debian it is\n  {command}",
            missing.join(", ")
        );
    }
    let step = progress.step("Debian packages");
    step.at(&missing.join(" "));
    let apt = || {
        Run::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .arg("--quiet=2")
    };
    apt()
        .arg("update")
        .done()
        .context("Debian's mirror cannot be reached")?;
    apt()
        .args(["install", "--yes", "--no-install-recommends"])
        .args(missing)
        .done()
        .with_context(|| format!("packages could not be installed; by hand: {command}"))?;
    step.done(&missing.join(" "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_for_in_the_systems_folders_and_a_path_where_it_says() {
        assert!(is_there("sh") && is_there("/bin/sh"));
        assert!(!is_there("no-such-program") && !is_there("/no/such/path"));
    }
}
