//! The subject itself: patients, users, and what a valid value of each is. Pure; no IO.

mod emergency;
mod password;
mod patient;
mod phi;
mod relation;
mod session;
mod user;
mod violation;

pub use emergency::{EmergencyAccessId, EmergencyMinutes, EmergencyReason, Verdict};
pub use password::{LONGEST_PASSWORD, SHORTEST_PASSWORD, blocklist_entry, check_new_password};
pub use patient::{DateOfBirth, Field, Notes, Patient, PatientId, PatientRecord, PersonName, RecordNumber};
pub use phi::Phi;
pub use relation::Relation;
pub use session::{Bearer, SessionId};
pub use user::{Email, Role, UserId};
pub use violation::Violation;
