//! The manifest beside every dump: what the dump must contain, and how to recognise it undamaged (R-263).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::Tier;

/// The version of the manifest that this program writes, and the newest it reads.
pub const MANIFEST_VERSION: u32 = 1;

/// What stands in `<dump>.manifest.json`. Row counts and names of objects only: no value of any row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always [`MANIFEST_VERSION`] when written.
    pub version: u32,
    /// The database that was dumped.
    pub database: String,
    /// The tier the dump belongs to.
    pub tier: Tier,
    /// When the snapshot of the dump was taken.
    pub started_at: Timestamp,
    /// How long the dump took, in seconds.
    pub duration_seconds: f64,
    /// Size of the encrypted file in bytes.
    pub bytes: u64,
    /// SHA-256 of the encrypted file, in lower-case hexadecimal.
    pub sha256: String,
    /// Size in bytes of what `pg_dump` wrote, before compression and encryption.
    pub uncompressed_bytes: u64,
    /// The server's `server_version`.
    pub server_version: String,
    /// The version that `pg_dump` names itself by.
    pub pg_dump_version: String,
    /// Rows of every table in the dump's own snapshot. The key is `schema.table`, each part quoted the way
    /// PostgreSQL's `quote_ident` does, where it needs it.
    pub tables: BTreeMap<String, u64>,
    /// Number of large objects in the dump's own snapshot.
    pub large_objects: u64,
    /// Roles that own, are granted or are named by policies on objects of the database. They must exist
    /// before a restore; predefined roles (`pg_…`) are left out.
    pub roles: Vec<String>,
    /// Extensions of the database, without `plpgsql`.
    pub extensions: Vec<String>,
    /// The age recipient (`age1…`) the file is encrypted to; a public key.
    pub recipient: String,
}

impl Manifest {
    /// Reads a manifest and checks what it says of itself.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_str(text).map_err(ManifestError::Malformed)?;
        if version > MANIFEST_VERSION {
            return Err(ManifestError::Newer(version));
        }
        let manifest: Self = serde_json::from_str(text).map_err(ManifestError::Malformed)?;
        if !hex::decode(&manifest.sha256).is_ok_and(|digest| digest.len() == 32) {
            return Err(ManifestError::Digest);
        }
        Ok(manifest)
    }

    /// Rows of all tables together.
    pub fn total_rows(&self) -> u64 {
        self.tables.values().sum()
    }
}

/// A manifest that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not the JSON of a manifest: cut off, edited, or another file.
    #[error("is not a manifest: {0}")]
    Malformed(serde_json::Error),
    /// Written by a later version of this program.
    #[error("has version {0}, and this program reads up to {MANIFEST_VERSION}: use a newer medical-backup")]
    Newer(u32),
    /// The digest is no SHA-256.
    #[error("holds no SHA-256 of 64 hexadecimal digits")]
    Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            version: MANIFEST_VERSION,
            database: "app".into(),
            tier: Tier::Weekly,
            started_at: "2026-11-21T02:00:00.25Z".parse().unwrap(),
            duration_seconds: 3.125,
            bytes: 4096,
            sha256: "ab".repeat(32),
            uncompressed_bytes: 9000,
            server_version: "17.12".into(),
            pg_dump_version: "17.12".into(),
            tables: BTreeMap::from([("public.patients".into(), 3), ("audit.\"Odd name\"".into(), 4)]),
            large_objects: 0,
            roles: vec!["medical_owner".into()],
            extensions: vec![],
            recipient: "age1example".into(),
        }
    }

    #[test]
    fn a_manifest_survives_being_written_and_read() {
        let text = serde_json::to_string_pretty(&manifest()).unwrap();
        assert_eq!(Manifest::parse(&text).unwrap(), manifest());
        assert_eq!(manifest().total_rows(), 7);
    }

    #[test]
    fn the_field_names_are_the_ones_that_are_documented() {
        let value = serde_json::to_value(manifest()).unwrap();
        let mut names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "bytes",
                "database",
                "durationSeconds",
                "extensions",
                "largeObjects",
                "pgDumpVersion",
                "recipient",
                "roles",
                "serverVersion",
                "sha256",
                "startedAt",
                "tables",
                "tier",
                "uncompressedBytes",
                "version"
            ]
        );
    }

    #[test]
    fn a_cut_off_manifest_a_newer_one_and_a_bad_digest_are_told_apart() {
        let text = serde_json::to_string(&manifest()).unwrap();
        assert!(matches!(
            Manifest::parse(&text[..text.len() / 2]),
            Err(ManifestError::Malformed(_))
        ));
        assert!(matches!(
            Manifest::parse(r#"{"version": 2}"#),
            Err(ManifestError::Newer(2))
        ));
        let bad = text.replace(&"ab".repeat(32), "ab");
        assert!(matches!(Manifest::parse(&bad), Err(ManifestError::Digest)));
    }
}
