//! The subject itself: patients, users, and what a valid value of each is. Pure; no IO.

mod emergency;
mod patient;
mod phi;
mod relation;
mod user;
mod violation;

pub use emergency::{EmergencyAccessId, EmergencyMinutes, EmergencyReason, Verdict};
pub use patient::{DateOfBirth, Field, Notes, Patient, PatientId, PatientRecord, PersonName, RecordNumber};
pub use phi::Phi;
pub use relation::Relation;
pub use user::{Email, Role, UserId, check_new_password};
pub use violation::Violation;
