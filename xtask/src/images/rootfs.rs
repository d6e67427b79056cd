//! Debian root filesystems, made by mmdebstrap into tar archives with sorted names and fixed owners and times.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::oci::digest_of;
use crate::command::Run;
use crate::lock;
use crate::places::Places;
use crate::progress::Step;
use crate::schedule::Outcome;

/// One root filesystem.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RootFilesystem {
    /// The name of its archive.
    pub(crate) name: &'static str,
    /// How it is made.
    pub(crate) recipe: Recipe,
}

/// How a root filesystem is made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Recipe {
    /// By a script of the repository, which gets an empty folder and apt configured for the suite.
    Script(&'static str),
    /// Debian's required packages and these, then shell commands with `$1` as the root.
    Packages {
        packages: &'static [&'static str],
        /// Before the packages are installed.
        prepare: &'static [&'static str],
        /// After that.
        finish: &'static [&'static str],
    },
}

/// The Debian release of every image: the first with PostgreSQL 17, pgvector and pgaudit.
const SUITE: &str = "trixie";

/// Below our own images and those of the Go programs.
pub(crate) const BASE: RootFilesystem = RootFilesystem {
    name: "base",
    recipe: Recipe::Script("tests/kube/rootfs/base.sh"),
};

/// Tools for the pods that tests and the volume provisioner start. busybox comes last in PATH: Debian's is linked
/// statically, and a static glibc program ends when it looks up a host name.
pub(crate) const TOOLBOX: RootFilesystem = RootFilesystem {
    name: "toolbox",
    recipe: Recipe::Packages {
        packages: &[
            "busybox",
            "ca-certificates",
            "curl",
            "dnsutils",
            "netcat-openbsd",
            "openssl",
        ],
        prepare: &[],
        finish: &[
            "mkdir -p \"$1/opt/busybox\"",
            "chroot \"$1\" busybox --install -s /opt/busybox",
        ],
    },
};

/// The operand image of CloudNativePG: `postgres` is uid 26, no cluster is created at installation, and what only
/// just-in-time compilation and Debian's Perl wrappers need is left out.
pub(crate) const POSTGRESQL: RootFilesystem = RootFilesystem {
    name: "postgresql",
    recipe: Recipe::Packages {
        packages: &[
            "ca-certificates",
            "locales",
            "postgresql-17",
            "postgresql-17-pgaudit",
            "postgresql-17-pgvector",
        ],
        prepare: &[
            "mkdir -p \"$1/etc/postgresql-common\"",
            "echo 'create_main_cluster = false' > \"$1/etc/postgresql-common/createcluster.conf\"",
        ],
        finish: &[
            "chroot \"$1\" usermod -u 26 postgres",
            "rm -rf \"$1\"/usr/lib/llvm* \"$1\"/usr/lib/*/libLLVM* \"$1\"/usr/lib/postgresql/17/lib/bitcode \
             \"$1\"/usr/lib/postgresql/17/lib/llvmjit* \"$1\"/usr/share/perl \"$1\"/usr/share/perl5",
        ],
    },
};

impl RootFilesystem {
    /// Its tar archive.
    pub(crate) fn archive(&self, places: &Places) -> PathBuf {
        places.root_filesystems().join(format!("{}.tar", self.name))
    }

    /// What it is made from. Debian's packages of the day are not part of it: a rebuild is asked for by removing the
    /// archive, not forced by every point release.
    pub(crate) fn stamp(&self, places: &Places) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(format!("{SUITE} {:?}", self.recipe));
        if let Recipe::Script(script) = self.recipe {
            hash.update(
                std::fs::read(places.repository.join(script))
                    .with_context(|| format!("cannot read {script}"))?,
            );
        }
        Ok(hex::encode(hash.finalize()))
    }

    fn stamp_file(&self, places: &Places) -> PathBuf {
        places.root_filesystems().join(format!("{}.stamp", self.name))
    }

    /// Whether the cache holds it already.
    pub(crate) fn is_current(&self, places: &Places) -> Result<bool> {
        let recorded = std::fs::read_to_string(self.stamp_file(places)).unwrap_or_default();
        Ok(recorded.lines().next() == Some(&self.stamp(places)?) && self.archive(places).is_file())
    }

    /// Digest of the archive, as recorded when it was made.
    pub(crate) fn digest(&self, places: &Places) -> Result<String> {
        let file = self.stamp_file(places);
        let recorded =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        recorded
            .lines()
            .nth(1)
            .map(str::to_owned)
            .with_context(|| format!("{} is incomplete", file.display()))
    }

    /// Makes it unless the cache holds it.
    pub(crate) fn make(&self, places: &Places, step: &Step) -> Result<Outcome> {
        if self.is_current(places)? {
            return Ok(Outcome::Current);
        }
        let _lock = lock::take(&places.locks(), &format!("rootfs-{}", self.name), || {
            step.at("waits for another build");
        })?;
        if self.is_current(places)? {
            return Ok(Outcome::Current);
        }
        std::fs::create_dir_all(places.root_filesystems())?;
        let archive = self.archive(places);
        let part = archive.with_extension("part");
        step.at("asking Debian's mirror");
        mmdebstrap(&self.recipe, places, &part).watched(|line| step.at(line)).context(
            "mmdebstrap could not make a root filesystem. Remedy: check that Debian's mirror can be reached \
             (`apt-get update`), and that debian-archive-keyring is new enough to know trixie",
        )?;
        std::fs::rename(&part, &archive)?;
        let (digest, bytes) = digest_of(&mut File::open(&archive)?)?;
        std::fs::write(
            self.stamp_file(places),
            format!("{}\n{digest}\n", self.stamp(places)?),
        )?;
        Ok(Outcome::Done(format!("Debian {SUITE}, {} MB", bytes / 1_000_000)))
    }
}

/// Packs `$d` reproducibly into the file of the variable, and removes it.
const PACK: &str =
    "tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C \"$d\" -cf \"$ROOTFS_PART\" .";

fn mmdebstrap(recipe: &Recipe, places: &Places, part: &std::path::Path) -> Run {
    let run = Run::new("mmdebstrap")
        .env("SOURCE_DATE_EPOCH", "0")
        .env("ROOTFS_PART", part)
        .arg("--format=null");
    match recipe {
        Recipe::Script(script) => run
            .env("ROOTFS_SCRIPT", places.repository.join(script))
            .arg("--variant=custom")
            .arg(format!(
                "--customize-hook=set -e; d=$(mktemp -d); APT_CONFIG=\"$MMDEBSTRAP_APT_CONFIG\" sh \"$ROOTFS_SCRIPT\" \"$d\"; \
                 {PACK}; rm -rf \"$d\""
            ))
            .arg(SUITE),
        Recipe::Packages { packages, prepare, finish } => {
            let mut run = run
                .arg("--variant=minbase")
                .arg(format!("--include={}", packages.join(",")))
                .arg("--aptopt=Apt::Install-Recommends \"false\"");
            for excluded in ["man", "doc", "locale"] {
                run = run.arg(format!("--dpkgopt=path-exclude=/usr/share/{excluded}/*"));
            }
            run.args(prepare.iter().map(|command| format!("--essential-hook={command}")))
                .args(finish.iter().map(|command| format!("--customize-hook={command}")))
                // What names this machine or this day would make each build differ.
                .arg(
                    "--customize-hook=rm -rf \"$1\"/var/lib/apt/lists/* \"$1\"/var/cache/apt/* \"$1\"/var/cache/ldconfig/* \
                     \"$1\"/var/log/* \"$1/etc/hostname\" \"$1/etc/resolv.conf\" \"$1/etc/machine-id\"",
                )
                // mmdebstrap keeps the owners; only names and times are made the same.
                .arg(
                    "--customize-hook=tar --sort=name --mtime=@0 --numeric-owner --one-file-system --exclude=./dev/* \
                     --exclude=./proc/* --exclude=./sys/* -C \"$1\" -cf \"$ROOTFS_PART\" .",
                )
                .arg(SUITE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipes_name_their_packages_once() {
        let places = Places::at("/repository", "/cache");
        let line = mmdebstrap(&POSTGRESQL.recipe, &places, std::path::Path::new("/cache/x.part")).line();
        assert!(
            line.contains("--include=ca-certificates,locales,postgresql-17,"),
            "{line}"
        );
        assert!(line.contains("usermod -u 26 postgres"), "{line}");
    }
}
