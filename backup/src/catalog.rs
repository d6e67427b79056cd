//! The dumps in a folder, and which of them are whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::manifest::Manifest;
use crate::name::{DumpName, MANIFEST_SUFFIX, PART_SUFFIX, Tier};

/// One dump in a folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Dump {
    /// Its file name.
    pub name: DumpName,
    /// Its path.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// What its manifest says of it.
    pub state: State,
}

/// How a dump looks without reading all of it.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Manifest and size agree. Whether the content does, only `verify` can tell.
    Whole(Box<Manifest>),
    /// Something is wrong, in words.
    Damaged(String),
}

impl Dump {
    /// The manifest of a dump that looks whole.
    pub fn manifest(&self) -> Result<&Manifest, CatalogError> {
        match &self.state {
            State::Whole(manifest) => Ok(manifest),
            State::Damaged(reason) => Err(CatalogError::Damaged {
                name: self.name.to_string(),
                reason: reason.clone(),
            }),
        }
    }

    /// Whether manifest and size agree.
    pub const fn is_whole(&self) -> bool {
        matches!(self.state, State::Whole(_))
    }
}

/// The folder or the dump that was asked for cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The folder could not be read.
    #[error("the folder {} cannot be read: {source}; check --directory and the volume's permissions", .folder.display())]
    Read {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No dump of that name.
    #[error("{name} is not in {0}; `medical-backup list --directory {0}` shows what is", .folder.display())]
    NotFound {
        /// The name that was asked for.
        name: String,
        /// The folder.
        folder: PathBuf,
    },
    /// No dump at all.
    #[error("{} holds no dump{}; take one with `medical-backup dump`", .folder.display(), of_tier(*tier))]
    Empty {
        /// The folder.
        folder: PathBuf,
        /// The tier that was asked for.
        tier: Option<Tier>,
    },
    /// The newest could be of either database.
    #[error("{} holds dumps of several databases ({databases}); name one with --file", .folder.display())]
    Ambiguous {
        /// The folder.
        folder: PathBuf,
        /// The databases.
        databases: String,
    },
    /// The dump is not whole.
    #[error(
        "{name} is damaged: {reason}. Do not restore it; choose an older one with --file and take a new dump"
    )]
    Damaged {
        /// The dump.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

fn of_tier(tier: Option<Tier>) -> String {
    tier.map(|tier| format!(" of tier {tier}")).unwrap_or_default()
}

/// Which dump of a folder is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// The one with this file name.
    File(String),
    /// The newest, of one tier or of all.
    Latest(Option<Tier>),
}

/// All dumps in `folder`, the newest first. Files that are not named like dumps are passed over.
pub fn read(folder: &Path) -> Result<Vec<Dump>, CatalogError> {
    let mut dumps = Vec::new();
    for file_name in file_names(folder)? {
        if let Ok(name) = file_name.parse::<DumpName>() {
            let path = folder.join(&file_name);
            let bytes = match fs::metadata(&path) {
                Ok(metadata) => metadata.len(),
                // Pruned in this moment.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => {
                    return Err(CatalogError::Read {
                        folder: folder.to_owned(),
                        source,
                    });
                }
            };
            let state = state(folder, &name, bytes);
            dumps.push(Dump {
                name,
                path,
                bytes,
                state,
            });
        }
    }
    dumps.sort_by(|a, b| b.name.cmp(&a.name));
    Ok(dumps)
}

/// The dump that `selection` means. The newest is the newest even when it is damaged: falling back to an older one in
/// silence would hide that the last backup is no good.
pub fn select(folder: &Path, selection: &Selection) -> Result<Dump, CatalogError> {
    let dumps = read(folder)?;
    match selection {
        Selection::File(name) => {
            let found = dumps.into_iter().find(|dump| dump.name.to_string() == *name);
            found.ok_or_else(|| CatalogError::NotFound {
                name: name.clone(),
                folder: folder.to_owned(),
            })
        }
        Selection::Latest(tier) => {
            let fitting: Vec<_> = dumps
                .into_iter()
                .filter(|dump| tier.is_none_or(|tier| dump.name.tier() == tier))
                .collect();
            let mut databases: Vec<_> = fitting.iter().map(|dump| dump.name.database()).collect();
            databases.sort_unstable();
            databases.dedup();
            if databases.len() > 1 {
                let databases = databases.join(", ");
                return Err(CatalogError::Ambiguous {
                    folder: folder.to_owned(),
                    databases,
                });
            }
            let empty = CatalogError::Empty {
                folder: folder.to_owned(),
                tier: *tier,
            };
            fitting.into_iter().next().ok_or(empty)
        }
    }
}

/// What killed runs have left: unfinished files, and manifests whose dump never got its name.
///
/// Only for the holder of the folder's lock: an unfinished file may belong to a dump that runs.
pub fn leftovers(folder: &Path) -> Result<Vec<PathBuf>, CatalogError> {
    let is_ours = |name: &str| {
        name.strip_suffix(MANIFEST_SUFFIX)
            .unwrap_or(name)
            .parse::<DumpName>()
            .is_ok()
    };
    let names = file_names(folder)?;
    let left = names
        .into_iter()
        .filter(|name| match name.strip_suffix(PART_SUFFIX) {
            Some(whole) => is_ours(whole),
            None => name
                .strip_suffix(MANIFEST_SUFFIX)
                .is_some_and(|dump| dump.parse::<DumpName>().is_ok() && !folder.join(dump).exists()),
        });
    Ok(left.map(|name| folder.join(name)).collect())
}

fn state(folder: &Path, name: &DumpName, bytes: u64) -> State {
    let text = match fs::read_to_string(folder.join(name.manifest_file_name())) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return State::Damaged("its manifest is missing".to_owned());
        }
        Err(error) => return State::Damaged(format!("its manifest cannot be read: {error}")),
    };
    match Manifest::parse(&text) {
        Err(error) => State::Damaged(format!("its manifest {error}")),
        Ok(manifest) if manifest.bytes != bytes => State::Damaged(format!(
            "it has {bytes} bytes and its manifest says {}",
            manifest.bytes
        )),
        Ok(manifest) if manifest.database != name.database() || manifest.tier != name.tier() => {
            State::Damaged("its manifest belongs to another dump".to_owned())
        }
        Ok(manifest) => State::Whole(Box::new(manifest)),
    }
}

/// The names of the ordinary files in `folder`.
fn file_names(folder: &Path) -> Result<Vec<String>, CatalogError> {
    let unreadable = |source| CatalogError::Read {
        folder: folder.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.file_type().map_err(unreadable)?.is_file()
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    Ok(names)
}
