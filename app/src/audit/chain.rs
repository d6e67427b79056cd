//! The chain over the log: each row gets a link that covers the row and the link before it.
//!
//! Rows are linked in the order of sealing, not of their numbers: numbers have gaps where a transaction was rolled back,
//! and a row may become visible after rows with higher numbers.

use jiff::Timestamp;

use super::row::{Canonical, Row};
use crate::crypto::{AuditKey, DIGEST_BYTES, Digest};

/// What sealing found of a row's own code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authenticity {
    /// The code holds.
    Keyed,
    /// There is none: a version of the program wrote the row that made no codes, or somebody else did.
    Unkeyed,
    /// The code does not hold.
    Forged,
    /// The row was gone before it was sealed.
    Missing,
}

impl Authenticity {
    /// Every case.
    pub const ALL: [Self; 4] = [Self::Keyed, Self::Unkeyed, Self::Forged, Self::Missing];

    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keyed => "keyed",
            Self::Unkeyed => "unkeyed",
            Self::Forged => "forged",
            Self::Missing => "missing",
        }
    }

    /// The case of that stored name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|case| case.as_str() == name)
    }

    /// What a row's code says.
    pub fn of(row: &Row, key: &AuditKey) -> Self {
        match row.is_authentic(key) {
            Some(true) => Self::Keyed,
            Some(false) => Self::Forged,
            None => Self::Unkeyed,
        }
    }
}

/// The end of a chain, or of a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Links up to here; 0 before the first.
    pub position: i64,
    /// The last link.
    pub link: Digest,
}

impl Head {
    /// Before the first link.
    pub const GENESIS: Self = Self {
        position: 0,
        link: [0; DIGEST_BYTES],
    };
}

/// A row of `audit_link`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Place in the chain, from 1, without gaps.
    pub position: i64,
    /// Number of the row.
    pub sequence: i64,
    /// Time of the row.
    pub occurred_at: Timestamp,
    /// When the row was sealed.
    pub sealed_at: Timestamp,
    /// What its own code said then.
    pub authenticity: Authenticity,
    /// Code over the row, kept so that the chain verifies after the row was pruned.
    pub content: Digest,
    /// Code over all of this and the link before.
    pub link: Digest,
}

impl Link {
    /// The link that follows `head`, for a row or for the place of one that is gone.
    pub fn after(
        head: Head,
        (sequence, occurred_at): (i64, Timestamp),
        row: Option<&Row>,
        sealed_at: Timestamp,
        key: &AuditKey,
    ) -> Self {
        let mut link = Self {
            position: head.position + 1,
            sequence,
            occurred_at,
            sealed_at,
            authenticity: row.map_or(Authenticity::Missing, |row| Authenticity::of(row, key)),
            content: row.map_or([0; DIGEST_BYTES], |row| row.code(key)),
            link: [0; DIGEST_BYTES],
        };
        link.link = link.expected(&head.link, key);
        link
    }

    /// What [`Self::link`] has to be after the link `before`.
    pub fn expected(&self, before: &Digest, key: &AuditKey) -> Digest {
        let mut bytes = Canonical::new("medical-app audit link v1");
        bytes.part(before);
        for number in [
            self.position,
            self.sequence,
            self.occurred_at.as_microsecond(),
            self.sealed_at.as_microsecond(),
        ] {
            bytes.part(&number.to_be_bytes());
        }
        bytes.part(self.authenticity.as_str().as_bytes());
        bytes.part(&self.content);
        key.link(&bytes.finish())
    }

    /// The end of the chain up to here.
    pub fn head(&self) -> Head {
        Head {
            position: self.position,
            link: self.link,
        }
    }
}

/// A signed head: a row of `audit_checkpoint`, and a line of the program's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// What is signed.
    pub head: Head,
    /// When.
    pub signed_at: Timestamp,
    /// Ed25519, over [`Self::statement`].
    pub signature: Vec<u8>,
}

impl Checkpoint {
    /// Signs a head.
    pub fn sign(head: Head, signed_at: Timestamp, key: &AuditKey) -> Self {
        let signature = key.sign(Self::statement(head, signed_at).as_bytes());
        Self {
            head,
            signed_at,
            signature,
        }
    }

    /// Whether this key signed it.
    pub fn holds(&self, key: &AuditKey) -> bool {
        key.signed(
            Self::statement(self.head, self.signed_at).as_bytes(),
            &self.signature,
        )
    }

    /// The signed text: four words that anybody can put together from the log line.
    fn statement(head: Head, signed_at: Timestamp) -> String {
        format!(
            "medical-app-audit-checkpoint-v1 {} {} {}",
            head.position,
            hex::encode(head.link),
            signed_at.as_microsecond()
        )
    }
}

/// A signed statement that the rows before a time were pruned: a row of `audit_tombstone`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// Rows that occurred before this are gone.
    pub before: Timestamp,
    /// How many this pruning took away.
    pub pruned: i64,
    /// When.
    pub signed_at: Timestamp,
    /// Ed25519.
    pub signature: Vec<u8>,
}

impl Tombstone {
    /// Signs the statement.
    pub fn sign(before: Timestamp, pruned: i64, signed_at: Timestamp, key: &AuditKey) -> Self {
        let signature = key.sign(Self::statement(before, pruned, signed_at).as_bytes());
        Self {
            before,
            pruned,
            signed_at,
            signature,
        }
    }

    /// Whether this key signed it.
    pub fn holds(&self, key: &AuditKey) -> bool {
        key.signed(
            Self::statement(self.before, self.pruned, self.signed_at).as_bytes(),
            &self.signature,
        )
    }

    fn statement(before: Timestamp, pruned: i64, signed_at: Timestamp) -> String {
        format!(
            "medical-app-audit-tombstone-v1 {} {pruned} {}",
            before.as_microsecond(),
            signed_at.as_microsecond()
        )
    }
}
