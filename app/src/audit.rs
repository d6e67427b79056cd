//! The audit log: who did what to which record, when, and how it ended.
//!
//! A row is written in the transaction of what it records, so that neither exists without the other. It names records
//! by their ids and holds nothing readable about the person (R-103, R-211; content after IHE BALP). Each row carries a
//! keyed code, and [`seal`] links the rows into a chain, so that [`verify`] finds what was changed, added or taken away
//! behind the program's back.

mod chain;
pub mod fhir;
pub mod prune;
mod row;
pub mod seal;
pub mod verify;

use std::net::IpAddr;

pub use chain::{Authenticity, Checkpoint, Head, Link, Tombstone};
pub use row::Row;
use uuid::Uuid;

use crate::domain::{Role, UserId};
use crate::policy::{Action, ResourceKind};

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was done by an emergency access.
    Emergency,
    /// The policy does not permit it.
    Denied,
    /// There is no such record, or none that the caller may know of.
    NotFound,
    /// Another record stands against it.
    Conflict,
    /// The record was changed in the meantime.
    Stale,
    /// The program failed.
    Failed,
}

impl Outcome {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Emergency => "emergency",
            Self::Denied => "denied",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Stale => "stale",
            Self::Failed => "failed",
        }
    }
}

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestOrigin {
    /// Id of the request, also in its answer and in the log.
    pub request_id: Uuid,
    /// Address of the peer; absent for work that no request started.
    pub client_address: Option<IpAddr>,
    /// The session in which it was sent; absent before a caller is identified.
    pub session: Option<Uuid>,
}

impl RequestOrigin {
    /// For work that no request started.
    pub fn internal() -> Self {
        Self {
            request_id: Uuid::now_v7(),
            client_address: None,
            session: None,
        }
    }
}

/// What a row is made of. There is no Debug: the purpose may say something about a patient.
#[derive(Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Identity of the row.
    pub id: Uuid,
    /// Who; absent when nobody was identified.
    pub actor: Option<(UserId, Role)>,
    /// What was done.
    pub action: Action,
    /// To what kind of object.
    pub resource: ResourceKind,
    /// To which objects; a list names all that it showed.
    pub resource_ids: Vec<Uuid>,
    /// About which patients, where the objects are not patients themselves.
    pub patient_ids: Vec<Uuid>,
    /// Why, where a reason was given; it is sealed before it is stored.
    pub purpose: Option<String>,
    /// What changed, sealed with the key of the patient whom it is about, for this row.
    pub diff: Option<Vec<u8>>,
    /// How it ended.
    pub outcome: Outcome,
    /// Where it came from.
    pub origin: RequestOrigin,
}

impl AuditEvent {
    /// An event of nobody, about nothing in particular yet.
    pub fn new(action: Action, resource: ResourceKind, outcome: Outcome, origin: RequestOrigin) -> Self {
        Self {
            id: Uuid::now_v7(),
            actor: None,
            action,
            resource,
            resource_ids: Vec::new(),
            patient_ids: Vec::new(),
            purpose: None,
            diff: None,
            outcome,
            origin,
        }
    }
}
