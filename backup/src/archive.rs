//! Reading a dump back: checked against its manifest first, then decrypted and decompressed as a stream.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::PathBuf;

use crate::catalog::{CatalogError, Dump};
use crate::digest::DigestingWriter;
use crate::encryption::{EncryptionError, Identities};
use crate::interruption::{Interrupted, Interruption};
use crate::manifest::Manifest;
use crate::progress::Progress;

/// A dump that looks whole, open for reading. It stays readable when it is pruned meanwhile.
#[derive(Debug)]
pub struct Archive {
    name: String,
    path: PathBuf,
    manifest: Manifest,
    file: File,
}

/// A dump that cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The dump or its manifest is missing or damaged.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Reading the file failed.
    #[error("{} cannot be read: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The keys do not open the dump, or it is no file of age.
    #[error("{name}: {source}")]
    Encryption {
        /// The dump.
        name: String,
        /// What is wrong.
        source: EncryptionError,
    },
    /// A signal came.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Archive {
    /// Opens a dump; refuses one without a manifest or of another size than its manifest says.
    pub fn open(dump: &Dump) -> Result<Self, ArchiveError> {
        let manifest = dump.manifest()?.clone();
        let path = dump.path.clone();
        let file = File::open(&path).map_err(|source| ArchiveError::Read {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            name: dump.name.to_string(),
            path,
            manifest,
            file,
        })
    }

    /// The dump's file name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the dump must contain.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Compares the SHA-256 of the whole file with the manifest: a damaged dump is found before anything is written.
    pub fn check_digest(&self, interruption: &Interruption) -> Result<(), ArchiveError> {
        let progress = Progress::begin("Checking SHA-256", self.manifest.bytes);
        let mut digest = DigestingWriter::new(io::sink());
        let copied = self.rewound().and_then(|file| {
            let mut reader = BufReader::with_capacity(256 * 1024, progress.reading(file, interruption));
            io::copy(&mut reader, &mut digest)
        });
        interruption.check()?;
        copied.map_err(|source| ArchiveError::Read {
            path: self.path.clone(),
            source,
        })?;
        let (_, sha256, _) = digest.finish();
        if sha256 != self.manifest.sha256 {
            let reason = format!(
                "its SHA-256 is {sha256} and its manifest says {}",
                self.manifest.sha256
            );
            return Err(CatalogError::Damaged {
                name: self.name.clone(),
                reason,
            }
            .into());
        }
        progress.end();
        Ok(())
    }

    /// What `pg_dump` wrote, from its beginning.
    pub fn plain<'a>(
        &'a self,
        identities: &Identities,
        progress: &'a Progress,
        interruption: &Interruption,
    ) -> Result<impl Read + use<'a>, ArchiveError> {
        let unreadable = |source| ArchiveError::Read {
            path: self.path.clone(),
            source,
        };
        let file = self.rewound().map_err(unreadable)?;
        let encrypted = BufReader::with_capacity(256 * 1024, progress.reading(file, interruption));
        let compressed = identities
            .decrypt(encrypted, &self.manifest.recipient)
            .map_err(|source| ArchiveError::Encryption {
                name: self.name.clone(),
                source,
            })?;
        zstd::Decoder::new(compressed).map_err(unreadable)
    }

    fn rewound(&self) -> io::Result<&File> {
        (&self.file).rewind()?;
        Ok(&self.file)
    }
}
