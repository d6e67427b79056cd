//! File names of dumps: `<database>-<tier>-<UTC yyyymmddThhmmssZ>.dump.zst.age`.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// What the name of every dump ends in: custom format of `pg_dump`, compressed by zstd, encrypted by age.
pub const DUMP_SUFFIX: &str = ".dump.zst.age";
/// What the name of a dump's manifest ends in, behind the dump's own name.
pub const MANIFEST_SUFFIX: &str = ".manifest.json";
/// What the name of a file ends in while it is being written. Nothing with this ending is ever whole.
pub const PART_SUFFIX: &str = ".part";

const TIME_FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// How often a dump is taken, and with it how long it is kept: each tier has a keep count of its own.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Taken every hour.
    Hourly,
    /// Taken every day.
    Daily,
    /// Taken every week.
    Weekly,
    /// Taken every month.
    Monthly,
}

impl Tier {
    /// Every tier, from the most to the least frequent.
    pub const ALL: [Self; 4] = [Self::Hourly, Self::Daily, Self::Weekly, Self::Monthly];

    /// The tier as it stands in file names, manifests and arguments.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// A text that is not the file name of a dump.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the file name of a dump (<database>-<tier>-<yyyymmddThhmmssZ>{DUMP_SUFFIX})")]
pub struct NameError(String);

/// The parts of a dump's file name. Written by [`Display`](fmt::Display), read by [`FromStr`].
///
/// Ordered by time first, so that the last of a sorted list is the newest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DumpName {
    taken_at: Timestamp,
    tier: Tier,
    database: String,
}

impl DumpName {
    /// The name of a dump of `database` begun at `taken_at`; the fraction of a second is dropped.
    pub fn new(database: impl Into<String>, tier: Tier, taken_at: Timestamp) -> Self {
        let whole = Timestamp::from_second(taken_at.as_second()).unwrap_or(taken_at);
        Self {
            taken_at: whole,
            tier,
            database: database.into(),
        }
    }

    /// When the dump was begun, in whole seconds of UTC.
    pub const fn taken_at(&self) -> Timestamp {
        self.taken_at
    }

    /// The tier the dump belongs to.
    pub const fn tier(&self) -> Tier {
        self.tier
    }

    /// The database the dump was taken of.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The file name of the manifest beside the dump.
    pub fn manifest_file_name(&self) -> String {
        format!("{self}{MANIFEST_SUFFIX}")
    }
}

impl fmt::Display for DumpName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.taken_at.strftime(TIME_FORMAT);
        write!(
            formatter,
            "{}-{}-{time}{DUMP_SUFFIX}",
            encode(&self.database),
            self.tier
        )
    }
}

impl FromStr for DumpName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        parse(text)
            .filter(|name| name.to_string() == text)
            .ok_or_else(|| NameError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<DumpName> {
    let stem = text.strip_suffix(DUMP_SUFFIX)?;
    let mut parts = stem.rsplitn(3, '-');
    let taken_at = DateTime::strptime(TIME_FORMAT, parts.next()?).ok()?;
    let taken_at = taken_at.to_zoned(TimeZone::UTC).ok()?.timestamp();
    let tier = parts.next()?;
    let tier = Tier::ALL.into_iter().find(|known| known.as_str() == tier)?;
    let database = decode(parts.next()?)?;
    Some(DumpName {
        taken_at,
        tier,
        database,
    })
}

/// Keeps what is harmless in a file name and writes every other byte as `%xx`, because PostgreSQL allows any
/// character in a database's name, `/` included. A leading dot is escaped as well: no dump is a hidden file.
fn encode(database: &str) -> String {
    let mut out = String::with_capacity(database.len());
    for (index, byte) in database.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => out.push(char::from(byte)),
            b'.' if index > 0 => out.push('.'),
            _ => {
                let _ = write!(out, "%{byte:02x}");
            }
        }
    }
    out
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            bytes.extend(hex::decode(tail.get(..2)?).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_reads_as_database_tier_and_utc_time() {
        let name = DumpName::new("app", Tier::Daily, "2026-11-21T02:00:07.9Z".parse().unwrap());
        assert_eq!(name.to_string(), "app-daily-20261121T020007Z.dump.zst.age");
        assert_eq!(
            name.manifest_file_name(),
            "app-daily-20261121T020007Z.dump.zst.age.manifest.json"
        );
    }

    #[test]
    fn other_files_are_not_taken_for_dumps() {
        for text in [
            "",
            "app.dump.zst.age",
            "app-daily-20261121T020007Z.dump",
            "app-daily-20261121T020007Z.dump.zst.age.part",
            "app-daily-20261121T020007Z.dump.zst.age.manifest.json",
            "app-yearly-20261121T020007Z.dump.zst.age",
            "app-daily-20261321T020007Z.dump.zst.age",
            "app-daily-2026112T020007Z.dump.zst.age",
            "-daily-20261121T020007Z.dump.zst.age",
            "a%2-daily-20261121T020007Z.dump.zst.age",
            "a/b-daily-20261121T020007Z.dump.zst.age",
        ] {
            assert!(text.parse::<DumpName>().is_err(), "{text:?} was taken for a dump");
        }
    }

    proptest! {
        #[test]
        fn a_name_survives_being_written_and_read(
            database in "[^\0]{1,20}", tier in 0_usize..4, second in 0_i64..4_102_444_800,
        ) {
            let name = DumpName::new(database, Tier::ALL[tier], Timestamp::from_second(second).unwrap());
            let text = name.to_string();
            prop_assert!(!text.contains('/') && !text.starts_with('.'));
            prop_assert_eq!(text.parse::<DumpName>(), Ok(name));
        }
    }
}
