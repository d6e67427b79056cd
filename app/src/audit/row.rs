//! A row of the log as it is stored, and the bytes that its code covers.

use jiff::Timestamp;
use uuid::Uuid;

use super::AuditEvent;
use crate::crypto::{AuditKey, Digest, SealError};

/// Names the form of the bytes, so that another form can never be taken for this one.
const FORM: &str = "medical-app audit row v1";

/// A row of `audit_event`.
#[derive(Clone)]
pub struct Row {
    /// Number in the database; not covered by the code, because it is given after it.
    pub sequence: i64,
    /// Identity.
    pub id: Uuid,
    /// When, in microseconds: what PostgreSQL keeps.
    pub occurred_at: Timestamp,
    /// Who.
    pub actor_id: Option<Uuid>,
    /// Their role at that time.
    pub actor_role: Option<String>,
    /// The session in which.
    pub session_id: Option<Uuid>,
    /// What was done.
    pub action: String,
    /// To what kind of object.
    pub resource: String,
    /// To which objects.
    pub resource_ids: Vec<Uuid>,
    /// About which patients, where the objects are not patients.
    pub patient_ids: Vec<Uuid>,
    /// How it ended.
    pub outcome: String,
    /// Request.
    pub request_id: Uuid,
    /// Address of the peer.
    pub client_address: Option<String>,
    /// Why, sealed.
    pub purpose: Option<Vec<u8>>,
    /// What changed, sealed.
    pub diff: Option<Vec<u8>>,
    /// The code.
    pub mac: Option<Vec<u8>>,
}

impl Row {
    /// The row for an event that happens now, with its code.
    ///
    /// # Errors
    /// [`SealError`] when the purpose cannot be sealed.
    pub fn of(event: &AuditEvent, key: &AuditKey) -> Result<Self, SealError> {
        let now = Timestamp::now();
        let purpose = event.purpose.as_deref();
        let mut row = Self {
            sequence: 0,
            id: event.id,
            occurred_at: Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now),
            actor_id: event.actor.map(|(user, _)| user.0),
            actor_role: event.actor.map(|(_, role)| role.as_str().to_owned()),
            session_id: event.origin.session,
            action: event.action.as_str().to_owned(),
            resource: event.resource.as_str().to_owned(),
            resource_ids: event.resource_ids.clone(),
            patient_ids: event.patient_ids.clone(),
            outcome: event.outcome.as_str().to_owned(),
            request_id: event.origin.request_id,
            client_address: event.origin.client_address.map(|address| address.to_string()),
            purpose: purpose.map(|text| key.seal_purpose(event.id, text)).transpose()?,
            diff: event.diff.clone(),
            mac: None,
        };
        row.mac = Some(row.code(key).to_vec());
        Ok(row)
    }

    /// The code that the row ought to carry.
    pub fn code(&self, key: &AuditKey) -> Digest {
        key.row(&self.canonical())
    }

    /// Whether the row is as its writer left it; nothing when its writer left no code.
    pub fn is_authentic(&self, key: &AuditKey) -> Option<bool> {
        let mac = self.mac.as_deref()?;
        Some(key.row_is_authentic(&self.canonical(), mac))
    }

    /// The patients whom the row is about.
    pub fn patients(&self) -> &[Uuid] {
        if self.resource == "patient" {
            &self.resource_ids
        } else {
            &self.patient_ids
        }
    }

    /// Unambiguous bytes: every part carries its length, an absent one is not an empty one.
    fn canonical(&self) -> Vec<u8> {
        let mut bytes = Canonical::new(FORM);
        bytes.part(self.id.as_bytes());
        bytes.part(&self.occurred_at.as_microsecond().to_be_bytes());
        bytes.optional(self.actor_id.as_ref().map(|id| &id.as_bytes()[..]));
        bytes.optional(self.actor_role.as_deref().map(str::as_bytes));
        bytes.optional(self.session_id.as_ref().map(|id| &id.as_bytes()[..]));
        bytes.part(self.action.as_bytes());
        bytes.part(self.resource.as_bytes());
        for ids in [&self.resource_ids, &self.patient_ids] {
            bytes.part(&ids.iter().flat_map(|id| *id.as_bytes()).collect::<Vec<_>>());
        }
        bytes.part(self.outcome.as_bytes());
        bytes.part(self.request_id.as_bytes());
        bytes.optional(self.client_address.as_deref().map(str::as_bytes));
        bytes.optional(self.purpose.as_deref());
        bytes.optional(self.diff.as_deref());
        bytes.finish()
    }
}

/// Bytes of parts that cannot run into each other.
pub(super) struct Canonical(Vec<u8>);

impl Canonical {
    pub(super) fn new(form: &str) -> Self {
        let mut bytes = Self(Vec::with_capacity(256));
        bytes.part(form.as_bytes());
        bytes
    }

    pub(super) fn part(&mut self, part: &[u8]) {
        self.0.extend_from_slice(&(part.len() as u64).to_be_bytes());
        self.0.extend_from_slice(part);
    }

    fn optional(&mut self, part: Option<&[u8]>) {
        self.0.push(u8::from(part.is_some()));
        self.part(part.unwrap_or_default());
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Outcome, RequestOrigin};
    use crate::crypto::SecretKey;
    use crate::domain::{Role, UserId};
    use crate::policy::{Action, ResourceKind};

    #[test]
    fn a_change_of_any_part_is_found() {
        let key = AuditKey::new(&SecretKey::from_bytes([1; 32])).unwrap();
        let origin = RequestOrigin {
            request_id: Uuid::from_u128(1),
            client_address: None,
            session: None,
        };
        let mut event = AuditEvent::new(Action::Read, ResourceKind::Patient, Outcome::Success, origin);
        event.actor = Some((UserId(Uuid::from_u128(2)), Role::Doctor));
        let row = Row::of(&event, &key).unwrap();
        assert_eq!(row.is_authentic(&key), Some(true));
        let edits: [fn(&mut Row); 14] = [
            |row| row.id = Uuid::from_u128(9),
            |row| row.occurred_at += jiff::SignedDuration::from_micros(1),
            |row| row.actor_id = None,
            |row| row.actor_role = Some("administrator".to_owned()),
            |row| row.session_id = Some(Uuid::nil()),
            |row| row.action.push('s'),
            |row| row.resource.push('s'),
            |row| row.resource_ids.push(Uuid::nil()),
            |row| row.patient_ids.push(Uuid::nil()),
            |row| row.outcome = "denied".to_owned(),
            |row| row.request_id = Uuid::nil(),
            |row| row.client_address = Some(String::new()),
            |row| row.purpose = Some(Vec::new()),
            |row| row.diff = Some(Vec::new()),
        ];
        for (index, edit) in edits.into_iter().enumerate() {
            let mut changed = row.clone();
            edit(&mut changed);
            assert_eq!(changed.is_authentic(&key), Some(false), "edit {index}");
        }
        let moved = Row {
            resource_ids: row.patient_ids.clone(),
            patient_ids: vec![Uuid::from_u128(5)],
            ..row.clone()
        };
        let other = Row {
            resource_ids: vec![Uuid::from_u128(5)],
            ..row
        };
        assert_ne!(moved.canonical(), other.canonical());
    }
}
