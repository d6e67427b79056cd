//! Where things are: the repository, the cache that outlives a cluster, and the folder of one cluster.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The two roots everything else is relative to.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The work tree.
    pub(crate) repository: PathBuf,
    /// `$MEDOPS_CACHE`, else `${XDG_CACHE_HOME:-~/.cache}/medical-operator`; `cluster` below it is ours.
    cache: PathBuf,
}

impl Places {
    /// Reads the environment; fails when there is no home to put a cache into.
    pub(crate) fn find() -> Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let repository = manifest
            .parent()
            .context("xtask lies in no workspace")?
            .to_path_buf();
        let base = match (
            std::env::var_os("MEDOPS_CACHE"),
            std::env::var_os("XDG_CACHE_HOME"),
        ) {
            (Some(own), _) => PathBuf::from(own),
            (None, Some(xdg)) => Path::new(&xdg).join("medical-operator"),
            (None, None) => {
                let home = std::env::var_os("HOME").context("set HOME or MEDOPS_CACHE: a cache is needed")?;
                Path::new(&home).join(".cache/medical-operator")
            }
        };
        Ok(Self {
            repository,
            cache: std::path::absolute(base)?.join("cluster"),
        })
    }

    /// Paths below two given folders, for tests.
    #[cfg(test)]
    pub(crate) fn at(repository: impl Into<PathBuf>, cache: impl Into<PathBuf>) -> Self {
        Self {
            repository: repository.into(),
            cache: cache.into(),
        }
    }

    /// The cache itself.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// Binaries built from Go modules.
    pub(crate) fn binaries(&self) -> PathBuf {
        self.cache.join("bin")
    }

    /// What each component was built from, to know when its pin changed.
    pub(crate) fn stamps(&self) -> PathBuf {
        self.cache.join("stamps")
    }

    /// Manifests that a Go module carries, kept beside its binary so that a warm start needs no Go.
    pub(crate) fn upstream_manifests(&self, component: &str) -> PathBuf {
        self.cache.join("manifests").join(component)
    }

    /// Manifests of add-ons as kustomize built them.
    pub(crate) fn built_manifests(&self) -> PathBuf {
        self.cache.join("built-manifests")
    }

    /// Locks against a second command at the same time.
    pub(crate) fn locks(&self) -> PathBuf {
        self.cache.join("locks")
    }

    /// Debian root filesystems, one tar archive each.
    pub(crate) fn root_filesystems(&self) -> PathBuf {
        self.cache.join("rootfs")
    }

    /// OCI archives.
    pub(crate) fn images(&self) -> PathBuf {
        self.cache.join("images")
    }

    /// The modules, manifests and patches of the local cluster.
    pub(crate) fn kube(&self) -> PathBuf {
        self.repository.join("tests/kube")
    }

    /// The folder of the one node-running cluster.
    pub(crate) fn cluster_state(&self) -> PathBuf {
        self.cache.join("state")
    }

    /// The folder in which each control plane without a node has its own.
    pub(crate) fn control_planes(&self) -> PathBuf {
        self.cache.join("control-planes")
    }
}
