//! Verification: reads the whole log and its chain in one snapshot and finds whatever is not as it was sealed.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use sqlx::PgConnection;

use super::{Authenticity, Checkpoint, Head, Link, Row};
use crate::crypto::AuditKey;
use crate::db::{DatabaseError, audit_chain};

/// Links that are read at a time.
const BATCH: i64 = 1000;
/// Findings that are listed; all are counted.
const LISTED: usize = 100;
/// How long rows without a code are taken after the first sealing found such rows: so long a previous version of the
/// program, which makes none, may go on during a rollout.
const ROLLOUT: SignedDuration = SignedDuration::from_hours(24);

/// Something that is not as it was sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Place in the chain, where it has one.
    pub position: Option<i64>,
    /// Number of the row, where it is known.
    pub sequence: Option<i64>,
    /// What is wrong.
    pub problem: &'static str,
}

/// What a verification found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether there is no finding.
    pub intact: bool,
    /// Rows that the chain holds and that are there.
    pub rows: i64,
    /// Rows that were pruned after their retention.
    pub pruned: i64,
    /// Rows that wait to be sealed.
    pub unsealed: i64,
    /// Rows from before the program made codes.
    pub unkeyed: i64,
    /// Links of the chain.
    pub position: i64,
    /// The last link, hexadecimal; to be kept outside for `--expect-head`.
    pub head: String,
    /// Checkpoints whose signature holds.
    pub checkpoints: i64,
    /// Ed25519 key of the signatures, hexadecimal.
    pub public_key: String,
    /// How many findings there are.
    pub broken: u64,
    /// The first of them, in the order of the chain.
    pub findings: Vec<Finding>,
}

/// Verifies the log.
///
/// The connection has to be in a transaction whose statements see one snapshot. `expected` is a head from outside;
/// `progress` is told how many links were read.
///
/// # Errors
/// [`DatabaseError`]; what is wrong with the log itself is in the report.
pub async fn verify(
    connection: &mut PgConnection,
    key: &AuditKey,
    expected: Option<Head>,
    progress: impl FnMut(i64),
) -> Result<Report, DatabaseError> {
    let mut verification = Verification {
        key,
        expected,
        head: Head::GENESIS,
        pruned_before: None,
        announced: 0,
        rollout_ends: None,
        report: Report {
            intact: false,
            rows: 0,
            pruned: 0,
            unsealed: 0,
            unkeyed: 0,
            position: 0,
            head: String::new(),
            checkpoints: 0,
            public_key: hex::encode(key.public_key()),
            broken: 0,
            findings: Vec::new(),
        },
    };
    verification.tombstones(connection).await?;
    verification.chain(connection, progress).await?;
    verification.outside_of_the_chain(connection).await?;
    Ok(verification.conclude())
}

struct Verification<'a> {
    key: &'a AuditKey,
    expected: Option<Head>,
    head: Head,
    pruned_before: Option<Timestamp>,
    announced: i64,
    rollout_ends: Option<Timestamp>,
    report: Report,
}

impl Verification<'_> {
    fn find(
        &mut self,
        position: impl Into<Option<i64>>,
        sequence: impl Into<Option<i64>>,
        problem: &'static str,
    ) {
        self.report.broken += 1;
        if self.report.findings.len() < LISTED {
            self.report.findings.push(Finding {
                position: position.into(),
                sequence: sequence.into(),
                problem,
            });
        }
    }

    async fn tombstones(&mut self, connection: &mut PgConnection) -> Result<(), DatabaseError> {
        for tombstone in audit_chain::tombstones(connection).await? {
            if tombstone.holds(self.key) {
                self.announced += tombstone.pruned;
                self.pruned_before = self.pruned_before.max(Some(tombstone.before));
            } else {
                self.find(None, None, "the signature of a tombstone does not hold");
            }
        }
        Ok(())
    }

    async fn chain(
        &mut self,
        connection: &mut PgConnection,
        mut progress: impl FnMut(i64),
    ) -> Result<(), DatabaseError> {
        loop {
            let links = audit_chain::links(connection, self.head.position, BATCH).await?;
            let Some(last) = links.last().map(|link| link.position) else {
                break;
            };
            let places: Vec<_> = links
                .iter()
                .map(|link| (link.sequence, link.occurred_at))
                .collect();
            let rows = audit_chain::rows(connection, &places).await?;
            let rows: HashMap<_, _> = rows.into_iter().map(|row| (row.sequence, row)).collect();
            let checkpoints = audit_chain::checkpoints(connection, self.head.position, last).await?;
            let mut checkpoints = checkpoints.into_iter().peekable();
            for link in &links {
                self.link(link, rows.get(&link.sequence));
                while let Some(checkpoint) = checkpoints.next_if(|next| next.head.position <= link.position) {
                    self.checkpoint(&checkpoint);
                }
                if self
                    .expected
                    .is_some_and(|expected| expected.position == link.position && expected.link != link.link)
                {
                    self.find(link.position, link.sequence, "the expected head is another one");
                }
            }
            progress(self.head.position);
        }
        self.end(connection).await
    }

    fn link(&mut self, link: &Link, row: Option<&Row>) {
        if link.position != self.head.position + 1 {
            self.find(self.head.position + 1, None, "the link is missing");
        } else if link.expected(&self.head.link, self.key) != link.link {
            self.find(link.position, link.sequence, "the link does not hold");
        }
        // Later links are compared with the stored one, so that each break is found where it is.
        self.head = link.head();
        match link.authenticity {
            Authenticity::Keyed => {}
            Authenticity::Unkeyed => self.unkeyed(link),
            Authenticity::Forged => self.find(
                link.position,
                link.sequence,
                "the row was forged when it was sealed",
            ),
            Authenticity::Missing => {
                self.find(
                    link.position,
                    link.sequence,
                    "the row was gone when it was sealed",
                );
                return;
            }
        }
        match row {
            Some(row) if row.code(self.key) != link.content => {
                self.find(
                    link.position,
                    link.sequence,
                    "the row is not the one that was sealed",
                );
            }
            Some(_) => self.report.rows += 1,
            None if self.pruned_before.is_some_and(|before| link.occurred_at < before) => {
                self.report.pruned += 1;
            }
            None => self.find(link.position, link.sequence, "the row is missing"),
        }
    }

    /// A row without a code is from a version that made none, if the log began with such rows and it was sealed before
    /// the rollout of this one can have ended.
    fn unkeyed(&mut self, link: &Link) {
        if link.position == 1 {
            self.rollout_ends = link.sealed_at.checked_add(ROLLOUT).ok();
        }
        if self.rollout_ends.is_some_and(|end| link.sealed_at <= end) {
            self.report.unkeyed += 1;
        } else {
            self.find(link.position, link.sequence, "the row has no code");
        }
    }

    /// Whether a row that is written now has to have a code. Nothing tells before the first sealing.
    fn codes_are_due(&self) -> bool {
        self.head != Head::GENESIS && self.rollout_ends.is_none_or(|end| Timestamp::now() > end)
    }

    fn checkpoint(&mut self, checkpoint: &Checkpoint) {
        if !checkpoint.holds(self.key) {
            self.find(
                checkpoint.head.position,
                None,
                "the signature of the checkpoint does not hold",
            );
        } else if checkpoint.head != self.head {
            self.find(
                checkpoint.head.position,
                None,
                "the checkpoint is of another chain",
            );
        } else {
            self.report.checkpoints += 1;
        }
    }

    async fn end(&mut self, connection: &mut PgConnection) -> Result<(), DatabaseError> {
        let signed = audit_chain::newest_checkpoint(connection)
            .await?
            .map_or(0, |checkpoint| checkpoint.head.position);
        let reached = self.head.position;
        if signed > reached {
            self.find(reached + 1, None, "the chain ends before its last checkpoint");
        } else if signed < reached {
            self.find(signed + 1, None, "no checkpoint covers the end of the chain");
        }
        if self.expected.is_some_and(|expected| expected.position > reached) {
            self.find(reached + 1, None, "the chain ends before the expected head");
        }
        if self.report.pruned != self.announced {
            self.find(
                None,
                None,
                "another number of rows is gone than the tombstones say",
            );
        }
        Ok(())
    }

    async fn outside_of_the_chain(&mut self, connection: &mut PgConnection) -> Result<(), DatabaseError> {
        for sequence in audit_chain::strays(connection, BATCH).await? {
            self.find(None, sequence, "the row was never handed to the sealer");
        }
        let waiting = audit_chain::unsealed(connection, i64::MAX).await?;
        self.report.unsealed = i64::try_from(waiting.len()).unwrap_or(i64::MAX);
        let rows = audit_chain::rows(connection, &waiting).await?;
        let rows: HashMap<_, _> = rows.into_iter().map(|row| (row.sequence, row)).collect();
        for (sequence, _) in waiting {
            match rows.get(&sequence).map(|row| Authenticity::of(row, self.key)) {
                None => self.find(None, sequence, "a row that waits to be sealed is missing"),
                Some(Authenticity::Forged) => {
                    self.find(None, sequence, "a row that waits to be sealed is forged");
                }
                Some(Authenticity::Unkeyed) if self.codes_are_due() => {
                    self.find(None, sequence, "a row that waits to be sealed has no code");
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn conclude(mut self) -> Report {
        self.report.intact = self.report.broken == 0;
        self.report.position = self.head.position;
        self.report.head = hex::encode(self.head.link);
        self.report
    }
}
