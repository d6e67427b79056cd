//! The audit log: who did what to which record, when, and how it ended.
//!
//! A row is written in the transaction of what it records, so that neither exists without the other. It names records
//! by their ids and holds nothing about the person (R-103, R-211; content after IHE BALP).

use std::net::IpAddr;

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
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Who; absent when nobody was identified.
    pub actor: Option<(UserId, Role)>,
    /// What was done.
    pub action: Action,
    /// To what kind of object.
    pub resource: ResourceKind,
    /// To which objects; a list names all that it showed.
    pub resource_ids: Vec<Uuid>,
    /// How it ended.
    pub outcome: Outcome,
    /// Where it came from.
    pub origin: RequestOrigin,
}
