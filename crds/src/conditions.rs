//! The condition types of a `MedicalDeployment` and the reasons they carry.
//!
//! All follow kstatus: `Ready`, `Progressing` (kstatus: Reconciling) and `Degraded` (kstatus: Stalled) are written
//! together with the types that those tools read.

/// Summary: everything declared was observed to work at the current generation.
pub const READY: &str = "Ready";
/// The resource is valid and the cluster has what it needs.
pub const ACCEPTED: &str = "Accepted";
/// A change is on its way.
pub const PROGRESSING: &str = "Progressing";
/// Something failed that will not mend without a change.
pub const DEGRADED: &str = "Degraded";
/// Every Secret is there.
pub const SECRETS_READY: &str = "SecretsReady";
/// PostgreSQL runs with all instances.
pub const DATABASE_READY: &str = "DatabaseReady";
/// The init Job of the present image and configuration succeeded.
pub const MIGRATED: &str = "Migrated";
/// The wanted pods of the present configuration are available.
pub const APP_AVAILABLE: &str = "AppAvailable";
/// The network policies are applied. Whether the cluster enforces them is a property of the cluster.
pub const NETWORK_ISOLATED: &str = "NetworkIsolated";
/// The application's certificate is valid.
pub const TLS_READY: &str = "TLSReady";
/// The last backup and the last verification succeeded and are not overdue.
pub const BACKUP_HEALTHY: &str = "BackupHealthy";
/// The autoscaler works.
pub const AUTOSCALING_READY: &str = "AutoscalingReady";
/// `spec.suspend` is set.
pub const SUSPENDED: &str = "Suspended";
/// kstatus: a controller is working on the resource.
pub const RECONCILING: &str = "Reconciling";
/// kstatus: a controller made no progress and will not without a change.
pub const STALLED: &str = "Stalled";

/// All condition types, in the order in which they are reported.
pub const ALL: [&str; 15] = [
    READY,
    ACCEPTED,
    PROGRESSING,
    DEGRADED,
    SECRETS_READY,
    DATABASE_READY,
    MIGRATED,
    APP_AVAILABLE,
    NETWORK_ISOLATED,
    TLS_READY,
    BACKUP_HEALTHY,
    AUTOSCALING_READY,
    SUSPENDED,
    RECONCILING,
    STALLED,
];
