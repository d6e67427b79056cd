//! The dumps of a folder as a table for people or JSON for programs.

use std::fmt::Write as _;

use indicatif::HumanBytes;
use jiff::{Timestamp, Unit};
use serde::Serialize;

use crate::catalog::{Dump, State};
use crate::name::Tier;

/// One dump, as `list --output json` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedDump {
    /// File name.
    pub file: String,
    /// Database.
    pub database: String,
    /// Tier.
    pub tier: Tier,
    /// When it was begun.
    pub taken_at: Timestamp,
    /// Size in bytes.
    pub bytes: u64,
    /// Number of tables, when the dump looks whole.
    pub tables: Option<usize>,
    /// Rows of all tables together, when the dump looks whole.
    pub rows: Option<u64>,
    /// What is wrong with it, when it does not look whole.
    pub damage: Option<String>,
}

impl From<&Dump> for ListedDump {
    fn from(dump: &Dump) -> Self {
        let (manifest, damage) = match &dump.state {
            State::Whole(manifest) => (Some(manifest), None),
            State::Damaged(reason) => (None, Some(reason.clone())),
        };
        Self {
            file: dump.name.to_string(),
            database: dump.name.database().to_owned(),
            tier: dump.name.tier(),
            taken_at: dump.name.taken_at(),
            bytes: dump.bytes,
            tables: manifest.map(|manifest| manifest.tables.len()),
            rows: manifest.map(|manifest| manifest.total_rows()),
            damage,
        }
    }
}

/// An aligned table, newest first, with ages as of `now`.
pub fn table(dumps: &[Dump], now: Timestamp) -> String {
    let mut rows = vec![["FILE", "TIER", "AGE", "SIZE", "TABLES", "ROWS", "STATE"].map(String::from)];
    for dump in dumps.iter().map(ListedDump::from) {
        let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        rows.push([
            dump.file,
            dump.tier.to_string(),
            age(dump.taken_at, now),
            HumanBytes(dump.bytes).to_string(),
            number(dump.tables.map(|tables| tables as u64)),
            number(dump.rows),
            dump.damage
                .map_or_else(|| "whole".to_owned(), |damage| format!("DAMAGED: {damage}")),
        ]);
    }
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            // Numbers are read from the right.
            let _ = if (3..=5).contains(&column) {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:<width$}  ")
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// The largest unit alone, as `kubectl` shows ages.
fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now
        .since((Unit::Second, then))
        .map_or(0, |span| span.get_seconds());
    match seconds {
        ..0 => "in the future".to_owned(),
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::DumpName;

    #[test]
    fn the_table_is_aligned_and_says_what_is_damaged() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let dump = |database: &str, time: &str| {
            let name = DumpName::new(database, Tier::Daily, time.parse().unwrap());
            let state = State::Damaged("its manifest is missing".into());
            Dump {
                path: name.to_string().into(),
                name,
                bytes: 2048,
                state,
            }
        };
        let dumps = [
            dump("app", "2026-11-21T02:00:00Z"),
            dump("another", "2026-11-01T02:00:00Z"),
        ];
        let text = table(&dumps, now);
        let lines: Vec<_> = text.lines().collect();
        let column = lines[0].find("STATE").unwrap();
        for line in &lines[1..] {
            assert_eq!(&line[column..], "DAMAGED: its manifest is missing");
        }
        assert!(lines[1].contains(" 10h ") && lines[2].contains(" 20d "), "{text}");
    }
}
