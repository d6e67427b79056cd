//! `audit`: verify the log, and give it to those who may have it.

use std::collections::HashMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use medical_app::audit::{self, AuditEvent, Head, Outcome, RequestOrigin};
use medical_app::config::AuditSettings;
use medical_app::db::{self, audit_read};
use medical_app::policy::{Action, ResourceKind};
use serde_json::{Value, json};
use sqlx::Connection;
use uuid::Uuid;

use crate::{Failure, failed, print, runtime};

#[derive(Subcommand)]
pub enum Audit {
    /// Verify that no row was changed, added or taken away; the report goes to standard output as JSON.
    Verify(Verify),
    /// Print the log as FHIR R4 `AuditEvent` resources, one a line (NDJSON).
    Export(Period),
    /// Print who was shown or changed a patient's record, one JSON object a line (45 CFR 164.528).
    Disclosures(Disclosures),
    /// Remove whole months that are older than seven years, as the owner of the database.
    Prune(Prune),
}

#[derive(Args)]
pub struct Period {
    /// From this time, such as 2026-01-01T00:00:00Z; the beginning when absent.
    #[arg(long, default_value_t = Timestamp::UNIX_EPOCH, hide_default_value = true)]
    from: Timestamp,
    /// Until before this time; now when absent.
    #[arg(long)]
    to: Option<Timestamp>,
}

#[derive(Args)]
pub struct Disclosures {
    /// Identity of the patient.
    #[arg(long)]
    patient: Uuid,
    #[command(flatten)]
    period: Period,
}

#[derive(Args)]
pub struct Prune {
    /// First day of the first month that stays, such as 2019-11-01; at least 2557 days ago.
    #[arg(long)]
    before: Date,
}

#[derive(Args)]
pub struct Verify {
    /// A head that was kept outside, POSITION:HEX as in the report and in the checkpoints of the program's log: finds a
    /// log that was cut off together with its checkpoints.
    #[arg(long, value_parser = head, conflicts_with = "expect_head_file")]
    expect_head: Option<Head>,
    /// File with such a head.
    #[arg(long)]
    expect_head_file: Option<PathBuf>,
}

fn head(text: &str) -> Result<Head, String> {
    let remedy = "give POSITION:HEX, with 64 hexadecimal digits";
    let (position, link) = text.trim().split_once(':').ok_or(remedy)?;
    let mut head = Head::GENESIS;
    head.position = position
        .parse()
        .ok()
        .filter(|position| *position > 0)
        .ok_or(remedy)?;
    hex::decode_to_slice(link, &mut head.link).map_err(|_| remedy)?;
    Ok(head)
}

/// Runs one of the commands.
pub fn run(command: &Audit, settings: &AuditSettings) -> Result<(), Failure> {
    medical_app::telemetry::start(settings.telemetry);
    match command {
        Audit::Verify(arguments) => runtime()?.block_on(verify(arguments, settings)),
        Audit::Export(period) => runtime()?.block_on(export(period, None, settings)),
        Audit::Disclosures(arguments) => {
            runtime()?.block_on(export(&arguments.period, Some(arguments.patient), settings))
        }
        Audit::Prune(arguments) => runtime()?.block_on(prune(arguments.before, settings)),
    }
}

/// Rows that are read at a time.
const PAGE: i64 = 1000;

/// Prints the log as resources, or what concerns one patient as disclosures. That itself is recorded first.
async fn export(period: &Period, patient: Option<Uuid>, settings: &AuditSettings) -> Result<(), Failure> {
    let key = &settings.audit_key;
    let selection = audit_read::Selection {
        from: period.from,
        to: period.to.unwrap_or_else(Timestamp::now),
        patient,
    };
    let mut connection = db::owner_connection(&settings.database).await.map_err(failed)?;
    let event = AuditEvent {
        patient_ids: patient.into_iter().collect(),
        ..AuditEvent::new(
            Action::Export,
            ResourceKind::Audit,
            Outcome::Success,
            RequestOrigin::internal(),
        )
    };
    db::write_audit(&mut connection, key, &event)
        .await
        .map_err(failed)?;
    let mut after = 0;
    loop {
        let rows = audit_read::select(&mut connection, &selection, after, PAGE)
            .await
            .map_err(failed)?;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        after = last.sequence;
        let names = match patient {
            Some(_) => {
                let users: Vec<_> = rows.iter().filter_map(|row| row.actor_id).collect();
                db::user::names(&mut connection, &users).await.map_err(failed)?
            }
            None => HashMap::new(),
        };
        let mut lines = String::new();
        for row in &rows {
            let purpose = row
                .purpose
                .as_deref()
                .map(|sealed| key.open_purpose(row.id, sealed))
                .transpose()
                .map_err(|error| failed(format!("the purpose of row {}: {error}", row.sequence)))?;
            let line = match patient {
                None => audit::fhir::audit_event(row, purpose.as_deref()),
                Some(_) if row.outcome != "success" || row.resource == "audit" => continue,
                Some(_) => disclosure(row, &names, purpose.as_deref()),
            };
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        print(&lines)?;
    }
}

fn disclosure(row: &audit::Row, names: &HashMap<Uuid, String>, purpose: Option<&str>) -> Value {
    json!({
        "date": row.occurred_at.to_string(),
        "recipient": {
            "id": row.actor_id,
            "name": row.actor_id.and_then(|id| names.get(&id)),
            "role": row.actor_role,
        },
        "action": row.action,
        "resource": row.resource,
        "purpose": purpose,
        "requestId": row.request_id,
    })
}

async fn prune(before: Date, settings: &AuditSettings) -> Result<(), Failure> {
    let before = before
        .first_of_month()
        .to_zoned(TimeZone::UTC)
        .map_err(failed)?
        .timestamp();
    let mut connection = db::owner_connection(&settings.database).await.map_err(failed)?;
    let pruned = audit::prune::prune(&mut connection, &settings.audit_key, before)
        .await
        .map_err(failed)?;
    print(&format!(
        "{}\n",
        json!({"before": before.to_string(), "pruned": pruned})
    ))
}

async fn verify(arguments: &Verify, settings: &AuditSettings) -> Result<(), Failure> {
    let expected = match (&arguments.expect_head, &arguments.expect_head_file) {
        (Some(head), _) => Some(*head),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| failed(format!("--expect-head-file: {error}")))?;
            Some(head(&text).map_err(|remedy| failed(format!("--expect-head-file: {remedy}")))?)
        }
        (None, None) => None,
    };
    let mut connection = db::owner_connection(&settings.database).await.map_err(failed)?;
    let mut snapshot = connection
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await
        .map_err(failed)?;
    // Draws on standard error, and only where that is a terminal.
    let bar = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} {pos} links verified, {per_sec}").map_err(failed)?,
    );
    let report = audit::verify::verify(&mut snapshot, &settings.audit_key, expected, |position| {
        bar.set_position(u64::try_from(position).unwrap_or_default());
    })
    .await
    .map_err(failed)?;
    bar.finish_and_clear();
    print(&(serde_json::to_string_pretty(&report).map_err(failed)? + "\n"))?;
    let Some(first) = report.findings.first() else {
        return Ok(());
    };
    let place = match (first.position, first.sequence) {
        (Some(position), _) => format!("at position {position}"),
        (None, Some(sequence)) => format!("in row {sequence}"),
        (None, None) => "in its statements".to_owned(),
    };
    Err(failed(format!(
        "the audit log is broken {place}: {} ({} findings)",
        first.problem, report.broken
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_a_position_and_64_digits_and_nothing_else() {
        let digits = "ab".repeat(32);
        assert_eq!(head(&format!("7:{digits}\n")).unwrap().position, 7);
        for text in [
            "",
            "7",
            &digits,
            "7:ab",
            &format!("0:{digits}"),
            &format!("-1:{digits}"),
        ] {
            assert!(head(text).is_err(), "{text}");
        }
    }
}
