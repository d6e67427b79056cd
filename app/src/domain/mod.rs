//! The subject itself: patients, users, and what a valid value of each is. Pure; no IO.

mod password;
mod patient;
mod phi;
mod session;
mod user;
mod violation;

pub use password::{LONGEST_PASSWORD, SHORTEST_PASSWORD, blocklist_entry, check_new_password};
pub use patient::{DateOfBirth, Notes, Patient, PatientId, PatientRecord, PersonName, RecordNumber};
pub use phi::Phi;
pub use session::{Bearer, SessionId};
pub use user::{Email, Role, UserId};
pub use violation::Violation;
