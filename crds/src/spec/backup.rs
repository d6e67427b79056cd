//! `spec.backup`: backups of the database.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{Storage, yes};

/// Backups of the database.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// Encrypted dumps on a schedule, restorable into any PostgreSQL of the same or a newer version.
    #[serde(default)]
    pub logical: LogicalBackup,
}

/// Encrypted dumps on a schedule.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LogicalBackup {
    /// Whether dumps are made. Production needs them. Default: true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// When dumps are made and how many of each kind are kept. Default: daily at 02:00, 30 kept. (C-31)
    #[serde(default = "daily_only")]
    pub tiers: Tiers,
    /// Time zone of all schedules, an IANA name such as Europe/Vienna. Default: Etc/UTC.
    #[serde(default = "utc")]
    #[schemars(
        length(min = 1, max = 64),
        regex(pattern = "^[A-Za-z]+([A-Za-z0-9_+-]*)(/[A-Za-z0-9_+-]+)*$")
    )]
    pub time_zone: String,
    /// Volume that keeps the dumps. It outlives this resource unless deletionPolicy is Delete. Default: 10Gi of
    /// the cluster's default StorageClass.
    #[serde(default = "ten_gibibytes")]
    pub storage: Storage,
    /// Restores the newest dump into a scratch database and compares the rows. Default: Sundays at 05:00.
    #[serde(default)]
    pub verify: VerifySchedule,
}

impl Default for LogicalBackup {
    fn default() -> Self {
        Self {
            enabled: true,
            tiers: daily_only(),
            time_zone: utc(),
            storage: ten_gibibytes(),
            verify: VerifySchedule::default(),
        }
    }
}

/// When dumps are made and how many of each kind are kept. A tier that is not named makes no dumps.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Tiers {
    /// Dumps for the last day, for example `{schedule: "0 * * * *", keep: 24}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hourly: Option<Tier>,
    /// Dumps for the last month, for example `{schedule: "0 2 * * *", keep: 30}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily: Option<Tier>,
    /// Dumps for the last quarter, for example `{schedule: "0 3 * * 0", keep: 13}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekly: Option<Tier>,
    /// Dumps for the last years, for example `{schedule: "0 4 1 * *", keep: 84}`. (C-33)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly: Option<Tier>,
}

impl Tiers {
    /// The tiers that make dumps, by name.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &Tier)> {
        [
            ("hourly", &self.hourly),
            ("daily", &self.daily),
            ("weekly", &self.weekly),
            ("monthly", &self.monthly),
        ]
        .into_iter()
        .filter_map(|(name, tier)| tier.as_ref().map(|tier| (name, tier)))
    }
}

/// One kind of dump.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Tier {
    /// When a dump is made: a cron expression of five fields (minute, hour, day of month, month, day of week).
    #[schemars(length(min = 9, max = 100), regex(pattern = r"^(\S+\s+){4}\S+$"))]
    pub schedule: String,
    /// Number of dumps of this tier that are kept, 1 to 400.
    #[schemars(range(min = 1, max = 400))]
    pub keep: i32,
}

/// When the newest dump is verified.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct VerifySchedule {
    /// When the newest dump is verified: a cron expression of five fields. Default: `0 5 * * 0`.
    #[serde(default = "sunday_morning")]
    #[schemars(length(min = 9, max = 100), regex(pattern = r"^(\S+\s+){4}\S+$"))]
    pub schedule: String,
}

impl Default for VerifySchedule {
    fn default() -> Self {
        Self {
            schedule: sunday_morning(),
        }
    }
}

fn daily_only() -> Tiers {
    Tiers {
        daily: Some(Tier {
            schedule: "0 2 * * *".to_owned(),
            keep: 30,
        }),
        ..Tiers::default()
    }
}

fn sunday_morning() -> String {
    "0 5 * * 0".to_owned()
}

fn utc() -> String {
    "Etc/UTC".to_owned()
}

fn ten_gibibytes() -> Storage {
    Storage {
        size: "10Gi".into(),
        storage_class: None,
    }
}
