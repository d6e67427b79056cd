//! The subject itself: patients, users, and what a valid value of each is. Pure; no IO.

mod patient;
mod phi;
mod session;
mod user;
mod violation;

pub use patient::{DateOfBirth, Notes, Patient, PatientId, PatientRecord, PersonName, RecordNumber};
pub use phi::Phi;
pub use session::{Bearer, SessionId};
pub use user::{Email, Role, UserId, check_new_password};
pub use violation::Violation;
