//! `audit`: verify the log, and give it to those who may have it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use medical_app::audit::{self, Head};
use medical_app::config::AuditSettings;
use medical_app::db;
use sqlx::Connection;

use crate::{Failure, failed, print, runtime};

#[derive(Subcommand)]
pub enum Audit {
    /// Verify that no row was changed, added or taken away; the report goes to standard output as JSON.
    Verify(Verify),
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
    }
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
