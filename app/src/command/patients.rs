//! `patients`: destroying the key of one record.

use clap::{Args, Subcommand};
use medical_app::config::MaintenanceSettings;
use medical_app::crypto::AuditKey;
use medical_app::db;
use medical_app::domain::PatientId;
use uuid::Uuid;

use crate::{Failure, failed, print, runtime};

/// Most characters of a reason.
const LONGEST_REASON: usize = 500;

#[derive(Subcommand)]
pub enum Patients {
    /// Destroy the key of a patient's record, as the owner of the database. What it sealed cannot be read ever again; the
    /// audit log keeps who saw the record, and the reason.
    Shred(Shred),
}

#[derive(Args)]
pub struct Shred {
    /// Identity of the patient.
    #[arg(long)]
    id: Uuid,
    /// Why, 1 to 500 characters; it is kept in the audit log.
    #[arg(long)]
    reason: String,
    /// Say that it is meant: there is no way back.
    #[arg(long)]
    confirm: bool,
}

/// Runs one of the commands.
pub fn run(command: Patients, settings: &MaintenanceSettings) -> Result<(), Failure> {
    medical_app::telemetry::start(settings.telemetry);
    let Patients::Shred(arguments) = command;
    let reason = arguments.reason.trim().to_owned();
    if reason.is_empty() || reason.chars().count() > LONGEST_REASON {
        return Err(failed("--reason must have 1 to 500 characters"));
    }
    if !arguments.confirm {
        return Err(failed(
            "nothing was changed: the record would be unreadable for ever; give --confirm to destroy its key",
        ));
    }
    let audit_key = AuditKey::new(&settings.keys.ring.audit).map_err(failed)?;
    let shredded = runtime()?.block_on(async {
        let mut connection = db::owner_connection(&settings.database).await.map_err(failed)?;
        db::patient::shred(&mut connection, &audit_key, PatientId(arguments.id), reason)
            .await
            .map_err(failed)
    })?;
    if shredded {
        print("The key of the record is destroyed.\n")
    } else {
        Err(failed(
            "there is no such patient, or the key was destroyed before",
        ))
    }
}
