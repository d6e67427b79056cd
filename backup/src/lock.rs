//! One writer at a time in a folder of dumps.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::interruption::{Interrupted, Interruption};

/// The file that is locked. It stays in the folder: removing it would let two writers hold locks on two files of one name.
pub const LOCK_FILE: &str = ".medical-backup.lock";

/// The lock (flock(2)) on a folder. The kernel frees it when its holder ends in whatever way.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

/// The folder could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another dump or prune holds the lock.
    #[error(
        "another dump or prune is still at work in {} after {seconds} s; wait for it, or allow more with --lock-wait-seconds",
        .folder.display()
    )]
    Held {
        /// The folder.
        folder: PathBuf,
        /// How long it was waited.
        seconds: u64,
    },
    /// The lock file could not be opened or locked.
    #[error(
        "the folder {} cannot be written: {source}; check that the volume is mounted there and that this user may write \
         (fsGroup of the pod)", .folder.display()
    )]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A signal came.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl FolderLock {
    /// Takes the lock of `folder`, and waits up to `wait` for another holder.
    pub fn acquire(folder: &Path, wait: Duration, interruption: &Interruption) -> Result<Self, LockError> {
        let unusable = |source| LockError::Unusable {
            folder: folder.to_owned(),
            source,
        };
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(folder.join(LOCK_FILE))
            .map_err(unusable)?;
        let mut told = false;
        let locked = interruption.poll(wait, Duration::from_millis(250), || match file.try_lock() {
            Ok(()) => Ok(Some(())),
            Err(TryLockError::WouldBlock) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::info!(folder = %folder.display(), "waiting for another dump or prune to end");
                }
                Ok(None)
            }
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        })?;
        match locked {
            Some(()) => Ok(Self { _file: file }),
            None => Err(LockError::Held {
                folder: folder.to_owned(),
                seconds: wait.as_secs(),
            }),
        }
    }
}
