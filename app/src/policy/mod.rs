//! Who may do what: one table, deny by default (ASVS 8.1.1 to 8.2.3, R-131 to R-136).
//!
//! The table ([`TABLE`]) is the first of two walls. Row-level security in PostgreSQL is the second; it knows the same
//! answers by its own means, and a test compares the two cell by cell.
//!
//! A [`Privilege`] is a type: what a handler asks for and a database function requires. Code that skipped the check, or
//! asked for another privilege, does not compile:
//!
//! ```
//! # use medical_app::{crypto::PhiVault, db::{self, CallerTransaction}, domain::PatientId};
//! use medical_app::policy::{Patients, Read};
//!
//! async fn read(caller: &mut CallerTransaction<Read<Patients>>, vault: &PhiVault, id: PatientId) {
//!     let _ = db::patient::find(caller, vault, id).await;
//! }
//! ```
//! ```compile_fail,E0308
//! # use medical_app::{crypto::PhiVault, db::{self, CallerTransaction}, domain::PatientId};
//! use medical_app::policy::{List, Patients};
//!
//! async fn read(caller: &mut CallerTransaction<List<Patients>>, vault: &PhiVault, id: PatientId) {
//!     let _ = db::patient::find(caller, vault, id).await;
//! }
//! ```
//! ```compile_fail,E0277
//! # use medical_app::{audit::RequestOrigin, crypto::AuditKey, db::CallerTransaction, domain::Bearer};
//! # use sqlx::PgPool;
//! # use std::sync::Arc;
//! struct Everything;
//!
//! async fn begin(pool: &PgPool, key: &Arc<AuditKey>, bearer: Bearer, origin: RequestOrigin) {
//!     let _ = CallerTransaction::<Everything>::begin(pool, key, bearer, origin).await;
//! }
//! ```

mod document;
mod privilege;
mod table;

pub use document::document;
pub use privilege::{
    AuditEvents, BreakGlass, CareTeams, Create, Deactivate, Delete, EmergencyAccesses, List, Patients,
    Privilege, Read, Resource, Review, Search, Update, Users,
};
pub use table::{Rule, TABLE};

pub use crate::domain::{Field, Relation};

use crate::domain::Role;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A new object.
    Create,
    /// One object by its id.
    Read,
    /// A change of one object.
    Update,
    /// A page of objects.
    List,
    /// Objects by a property.
    Search,
    /// The removal of one object.
    Delete,
    /// Emergency access.
    BreakGlass,
    /// A verdict on what somebody else did.
    Review,
    /// The end of an account.
    Deactivate,
    /// Proof of identity for a token.
    Login,
    /// A refresh token for the next one.
    Refresh,
    /// A refresh token that was used before: it was copied, and its session ends.
    TokenReuse,
    /// The end of a session.
    End,
    /// A user's new password, given the old one.
    ChangePassword,
    /// A one-time token for a new password.
    IssueReset,
    /// A user's new password, given such a token.
    ResetPassword,
    /// A secret for an authenticator app.
    EnrolSecondFactor,
    /// The app's first code.
    ConfirmSecondFactor,
    /// The end of a second factor.
    RemoveSecondFactor,
    /// The audit log, or a part of it, given out.
    Export,
    /// Rows of the audit log that are older than their retention, removed.
    Prune,
    /// The key of a patient's record, destroyed.
    Shred,
    /// A key, replaced.
    Rotate,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 23] = [
        Self::Create,
        Self::Read,
        Self::Update,
        Self::List,
        Self::Search,
        Self::Delete,
        Self::BreakGlass,
        Self::Review,
        Self::Deactivate,
        Self::Login,
        Self::Refresh,
        Self::TokenReuse,
        Self::End,
        Self::ChangePassword,
        Self::IssueReset,
        Self::ResetPassword,
        Self::EnrolSecondFactor,
        Self::ConfirmSecondFactor,
        Self::RemoveSecondFactor,
        Self::Export,
        Self::Prune,
        Self::Shred,
        Self::Rotate,
    ];

    /// As it is written to the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::List => "list",
            Self::Search => "search",
            Self::Delete => "delete",
            Self::BreakGlass => "break_glass",
            Self::Review => "review",
            Self::Deactivate => "deactivate",
            Self::Login => "login",
            Self::Refresh => "refresh",
            Self::TokenReuse => "token_reuse",
            Self::End => "end",
            Self::ChangePassword => "change_password",
            Self::IssueReset => "issue_reset",
            Self::ResetPassword => "reset_password",
            Self::EnrolSecondFactor => "enrol_second_factor",
            Self::ConfirmSecondFactor => "confirm_second_factor",
            Self::RemoveSecondFactor => "remove_second_factor",
            Self::Export => "export",
            Self::Prune => "prune",
            Self::Shred => "shred",
            Self::Rotate => "rotate",
        }
    }
}

/// What it is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceKind {
    /// Patients' records.
    Patient,
    /// Sessions of users.
    Session,
    /// Users.
    User,
    /// Who cares for a patient.
    CareTeam,
    /// Accesses to patients who are not in one's care.
    EmergencyAccess,
    /// The audit log.
    Audit,
    /// Keys of patients' records.
    Key,
    /// Rows of the audit log.
    AuditEvent,
}

impl ResourceKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Patient,
        Self::Session,
        Self::User,
        Self::CareTeam,
        Self::EmergencyAccess,
        Self::Audit,
        Self::Key,
        Self::AuditEvent,
    ];

    /// As it is written to the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::Session => "session",
            Self::User => "user",
            Self::CareTeam => "care_team",
            Self::EmergencyAccess => "emergency_access",
            Self::Audit => "audit",
            Self::Key => "key",
            Self::AuditEvent => "audit_event",
        }
    }
}

fn rules(role: Role, resource: ResourceKind, action: Action) -> impl Iterator<Item = &'static Rule> {
    TABLE
        .iter()
        .filter(move |rule| rule.role == role && rule.resource == resource && rule.actions.contains(&action))
}

/// Whether a role may do something to some object of a kind at all.
pub fn permits(role: Role, resource: ResourceKind, action: Action) -> bool {
    rules(role, resource, action).next().is_some()
}

/// Whether a role may do something to an object to which it stands in a relation.
pub fn permits_for(role: Role, resource: ResourceKind, action: Action, relation: Relation) -> bool {
    rules(role, resource, action).any(|rule| rule.relations.contains(&relation))
}

/// The fields that a permitted operation may show or change; without a permission there are none.
pub fn fields(role: Role, resource: ResourceKind, action: Action, relation: Relation) -> &'static [Field] {
    rules(role, resource, action)
        .find(|rule| rule.relations.contains(&relation))
        .map_or(&[], |rule| rule.fields)
}
