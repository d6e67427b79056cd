//! `keys`: rotation of the key-encryption key.

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use medical_app::config::MaintenanceSettings;
use medical_app::crypto::{AuditKey, PhiVault};
use medical_app::db::{self, key_rotation};
use serde_json::json;

use crate::{Failure, failed, print, runtime};

#[derive(Subcommand)]
pub enum Keys {
    /// Wrap every patient's key with the key `phi-kek`, while `phi-kek-previous` opens the old wrappings.
    Rotate(Rotate),
}

#[derive(Args)]
pub struct Rotate {
    /// Only tell how far it is, as JSON.
    #[arg(long, required_unless_present = "run", conflicts_with = "run")]
    status: bool,
    /// Do it, as the owner of the database; started again after an interruption, it goes on.
    #[arg(long)]
    run: bool,
    /// Patients in one transaction.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(i64).range(1..=1000))]
    batch_size: i64,
}

/// Runs one of the commands.
pub fn run(command: &Keys, settings: &MaintenanceSettings) -> Result<(), Failure> {
    medical_app::telemetry::start(settings.telemetry);
    let Keys::Rotate(arguments) = command;
    runtime()?.block_on(rotate(arguments, settings))
}

async fn rotate(arguments: &Rotate, settings: &MaintenanceSettings) -> Result<(), Failure> {
    let vault = PhiVault::new(&settings.keys.ring);
    let audit_key = AuditKey::new(&settings.keys.ring.audit).map_err(failed)?;
    let mut connection = db::owner_connection(&settings.database).await.map_err(failed)?;
    let before = key_rotation::usage(&mut connection, &vault)
        .await
        .map_err(failed)?;
    let mut done = key_rotation::Rotated::default();
    if arguments.run {
        // Draws on standard error, and only where that is a terminal.
        let bar = ProgressBar::new(u64::try_from(before.other).unwrap_or_default())
            .with_style(ProgressStyle::with_template("{bar} {pos}/{len} keys, {eta}").map_err(failed)?);
        done = key_rotation::rotate(
            &mut connection,
            &vault,
            &audit_key,
            arguments.batch_size,
            |rewrapped| bar.set_position(rewrapped),
        )
        .await
        .map_err(failed)?;
        bar.finish_and_clear();
    }
    let usage = key_rotation::usage(&mut connection, &vault)
        .await
        .map_err(failed)?;
    let status = json!({
        "active": hex::encode(vault.active_kek()),
        "wrappedByActive": usage.active,
        "wrappedByOther": usage.other,
        "wrappedByUnknown": usage.unknown,
        "rewrapped": done.rewrapped,
        "complete": usage.other == 0 && usage.unknown == 0,
    });
    print(&format!("{status}\n"))?;
    if done.failed > 0 {
        return Err(failed(format!(
            "{} keys do not open with any mounted key; mount the one that wrapped them as phi-kek-previous",
            done.failed
        )));
    }
    Ok(())
}
