//! Deleting the dumps that have outlived their tier.

use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use crate::catalog::{self, CatalogError, Dump};
use crate::lock::FolderLock;
use crate::name::{DumpName, Tier};
use crate::retention::{self, Candidate};

/// Pruning stopped half-way; what was deleted before stays deleted, and the next run goes on.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The folder could not be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A file could not be deleted.
    #[error("{} cannot be deleted: {source}; check the permissions of the volume", .path.display())]
    Delete {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Deletes what [`retention::expired`] names and gives back the names, oldest last. Needs the folder's lock, so
/// that no dump is being written meanwhile.
pub fn prune(
    _lock: &FolderLock,
    folder: &Path,
    tier: Tier,
    keep: NonZeroU32,
    just_written: Option<&DumpName>,
) -> Result<Vec<String>, PruneError> {
    let dumps = catalog::read(folder)?;
    let candidates: Vec<_> = dumps
        .iter()
        .map(|dump| Candidate {
            name: dump.name.clone(),
            whole: dump.is_whole(),
        })
        .collect();
    let mut deleted = Vec::new();
    for index in retention::expired(&candidates, tier, keep, just_written) {
        delete(folder, &dumps[index])?;
        deleted.push(dumps[index].name.to_string());
        tracing::info!(file = %dumps[index].name, "pruned");
    }
    Ok(deleted)
}

/// The dump first: a manifest alone looks like nothing, and the next dump clears it away.
fn delete(folder: &Path, dump: &Dump) -> Result<(), PruneError> {
    for path in [dump.path.clone(), folder.join(dump.name.manifest_file_name())] {
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(PruneError::Delete { path, source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Deletes what killed runs have left. Needs the folder's lock.
pub fn remove_leftovers(_lock: &FolderLock, folder: &Path) -> Result<(), PruneError> {
    for path in catalog::leftovers(folder)? {
        fs::remove_file(&path).map_err(|source| PruneError::Delete {
            path: path.clone(),
            source,
        })?;
        tracing::info!(file = %path.display(), "removed what an interrupted run had left");
    }
    Ok(())
}
