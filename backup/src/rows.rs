//! Comparing the rows of a restored database with the rows its manifest promises.

use std::collections::BTreeMap;
use std::fmt;

use crate::manifest::Manifest;

/// What a database holds, as counted in one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowCounts {
    /// Rows by `schema.table`, named as in [`Manifest::tables`].
    pub tables: BTreeMap<String, u64>,
    /// Number of large objects.
    pub large_objects: u64,
}

/// How many differences a message names before it only counts them.
const NAMED: usize = 5;

/// Every way in which a restored database differs from its manifest, one text each, such as `public.patients: 3 rows expected, 2 found`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differences(Vec<String>);

impl Differences {
    /// Compares table by table. `Ok` when both hold the same tables with the same number of rows.
    pub fn check(manifest: &Manifest, found: &RowCounts) -> Result<(), Self> {
        let mut differences = Vec::new();
        for (table, expected) in &manifest.tables {
            match found.tables.get(table) {
                None => differences.push(format!("{table}: {expected} rows expected, the table is missing")),
                Some(rows) if rows != expected => {
                    differences.push(format!("{table}: {expected} rows expected, {rows} found"));
                }
                Some(_) => {}
            }
        }
        for table in found
            .tables
            .keys()
            .filter(|table| !manifest.tables.contains_key(*table))
        {
            differences.push(format!("{table}: not in the manifest"));
        }
        if manifest.large_objects != found.large_objects {
            let (expected, found) = (manifest.large_objects, found.large_objects);
            differences.push(format!("{expected} large objects expected, {found} found"));
        }
        if differences.is_empty() {
            Ok(())
        } else {
            Err(Self(differences))
        }
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0[..self.0.len().min(NAMED)].join("; "))?;
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(formatter, "; and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(tables: &[(&str, u64)]) -> Manifest {
        let text = serde_json::json!({
            "version": 1, "database": "app", "tier": "daily", "startedAt": "2026-11-21T02:00:00Z",
            "durationSeconds": 1.0, "bytes": 1, "sha256": "00".repeat(32), "uncompressedBytes": 1,
            "serverVersion": "17", "pgDumpVersion": "17", "largeObjects": 1, "roles": [], "extensions": [],
            "recipient": "age1", "tables": tables.iter().copied().collect::<BTreeMap<_, _>>(),
        });
        Manifest::parse(&text.to_string()).unwrap()
    }

    fn counts(tables: &[(&str, u64)], large_objects: u64) -> RowCounts {
        let tables = tables
            .iter()
            .map(|(name, rows)| ((*name).to_owned(), *rows))
            .collect();
        RowCounts {
            tables,
            large_objects,
        }
    }

    #[test]
    fn equal_counts_are_no_difference() {
        let tables = [("public.a", 1), ("public.b", 0)];
        assert_eq!(
            Differences::check(&manifest(&tables), &counts(&tables, 1)),
            Ok(())
        );
    }

    #[test]
    fn every_difference_is_named() {
        let expected = manifest(&[("public.a", 1), ("public.b", 2)]);
        let found = counts(&[("public.a", 2), ("public.c", 0)], 0);
        let text = Differences::check(&expected, &found).unwrap_err().to_string();
        assert_eq!(
            text,
            "public.a: 1 rows expected, 2 found; public.b: 2 rows expected, the table is missing; \
             public.c: not in the manifest; 1 large objects expected, 0 found"
        );
    }

    #[test]
    fn a_message_stays_short_with_hundreds_of_differences() {
        let names: Vec<String> = (0..300).map(|index| format!("public.t{index:03}")).collect();
        let tables: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let text = Differences::check(&manifest(&tables), &counts(&[], 1))
            .unwrap_err()
            .to_string();
        assert!(text.ends_with("; and 295 more") && text.len() < 500, "{text}");
    }
}
