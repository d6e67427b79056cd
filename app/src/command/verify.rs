//! `verify`: all data, such as after a restore.

use indicatif::{ProgressBar, ProgressStyle};
use medical_app::config::MaintenanceSettings;
use medical_app::crypto::{AuditKey, PhiVault};
use medical_app::db::{self, verification};

use crate::{Failure, failed, print, runtime};

/// Runs the command.
pub fn run(settings: &MaintenanceSettings) -> Result<(), Failure> {
    medical_app::telemetry::start(settings.telemetry);
    let vault = PhiVault::new(&settings.keys.ring);
    let audit_key = AuditKey::new(&settings.keys.ring.audit).map_err(failed)?;
    // Draws on standard error, and only where that is a terminal.
    let bar = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} {pos} links and values verified, {per_sec}")
            .map_err(failed)?,
    );
    let found = runtime()?.block_on(async {
        let mut connection = db::owner_connection(&settings.database).await.map_err(failed)?;
        verification::verify(&mut connection, &vault, &audit_key, |done| {
            bar.set_position(u64::try_from(done).unwrap_or_default());
        })
        .await
        .map_err(failed)
    })?;
    bar.finish_and_clear();
    print(&(serde_json::to_string_pretty(&found).map_err(failed)? + "\n"))?;
    if found.intact {
        Ok(())
    } else {
        Err(failed("the data is not intact; the report says what is wrong"))
    }
}
