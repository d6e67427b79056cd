//! The transaction in which a caller works: it knows who they are, what they may do, and records what they did.

use std::marker::PhantomData;
use std::sync::Arc;

use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::budget::{Budget, setting};
use super::{DatabaseError, write_audit};
use crate::audit::{AuditEvent, Outcome, RequestOrigin};
use crate::crypto::AuditKey;
use crate::domain::{Bearer, Patient, Role, UserId};
use crate::policy::{Field, Privilege, Relation, fields, permits};

/// A transaction under the caller's row-level-security context, for one [`Privilege`].
///
/// It ends in [`Self::record`] or [`Self::record_failure`]; dropped without either, it rolls back.
pub struct CallerTransaction<P> {
    transaction: Transaction<'static, Postgres>,
    pool: PgPool,
    audit_key: Arc<AuditKey>,
    bearer: Bearer,
    role: Role,
    event: AuditEvent,
    privilege: PhantomData<P>,
}

/// Why no transaction was opened.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// There is no such user or session, or not any more.
    #[error("the user is unknown or inactive, or the session has ended")]
    Unauthenticated,
    /// The user's role does not have the privilege; it is recorded.
    #[error("the role does not have the privilege")]
    Forbidden,
    /// The user's role needs a second factor, which this session has not; it is recorded.
    #[error("the session has no second factor")]
    SecondFactorMissing,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// What keeps a role from a privilege, in a session with or without a second factor.
pub fn denial<P: Privilege>(role: Role, second_factor: bool) -> Option<BeginError> {
    if role.needs_second_factor() && !second_factor {
        return Some(BeginError::SecondFactorMissing);
    }
    (!permits(role, P::RESOURCE, P::ACTION)).then_some(BeginError::Forbidden)
}

impl<P: Privilege> CallerTransaction<P> {
    /// Opens one for a user whose identity is proven.
    ///
    /// The role is read here, in the same round trip that sets the context, and not taken from the token: a change of
    /// rights holds from the next request (ASVS 8.3.2). The session is looked up with it, by its primary key: that costs
    /// less than a cache of this process would save, needs no bound, and lets an ended session end everywhere at once
    /// (ASVS 7.4.1). Once a minute the session's last use is noted; whoever else is noting it is not waited for.
    ///
    /// # Errors
    /// [`BeginError`].
    pub async fn begin(
        pool: &PgPool,
        audit_key: &Arc<AuditKey>,
        bearer: Bearer,
        origin: RequestOrigin,
    ) -> Result<Self, BeginError> {
        let budget = Budget::of(P::ACTION);
        let mut transaction = pool.begin().await.map_err(DatabaseError::from)?;
        // `true`: the settings end with the transaction, so that the pool hands no context to the next caller.
        let context = sqlx::query!(
            r#"WITH noted AS (
                   UPDATE user_session SET last_used_at = now() WHERE id = (
                       SELECT id FROM user_session WHERE id = $2 AND last_used_at < now() - interval '1 minute'
                       FOR UPDATE SKIP LOCKED)
               )
               SELECT access_role, set_config('app.user_id', app_user.id::text, true) AS caller,
                      set_config('app.role', access_role, true) AS caller_role,
                      set_config('statement_timeout', $3, true) AS statement_timeout,
                      set_config('lock_timeout', $4, true) AS lock_timeout,
                      session.second_factor AS "second_factor!"
               FROM app_user JOIN live_session AS session ON session.user_id = app_user.id
               WHERE app_user.id = $1 AND active AND session.id = $2"#,
            bearer.user.0,
            bearer.session.0,
            setting(budget.statement),
            setting(budget.lock)
        )
        .fetch_optional(&mut *transaction)
        .await
        .map_err(DatabaseError::from)?
        .ok_or(BeginError::Unauthenticated)?;
        let role = Role::parse(&context.access_role).ok_or(BeginError::Unauthenticated)?;
        let caller = Self {
            transaction,
            pool: pool.clone(),
            audit_key: audit_key.clone(),
            bearer,
            role,
            event: AuditEvent {
                actor: Some((bearer.user, role)),
                ..AuditEvent::new(P::ACTION, P::RESOURCE, Outcome::Success, origin)
            },
            privilege: PhantomData,
        };
        let Some(denial) = denial::<P>(role, context.second_factor) else {
            return Ok(caller);
        };
        caller.record_failure(Outcome::Denied).await?;
        Err(denial)
    }

    /// The caller.
    pub fn user(&self) -> UserId {
        self.bearer.user
    }

    /// The fields that the caller may see or change of an object to which they stand in this relation.
    pub fn fields(&self, relation: Relation) -> &'static [Field] {
        fields(self.role, P::RESOURCE, P::ACTION, relation)
    }

    /// Names a record that this is about, for the audit log.
    pub fn concerns(&mut self, record: Uuid) {
        self.event.resource_ids.push(record);
    }

    /// Names a patient who is shown, and remembers when nothing but an emergency access shows them.
    pub fn shows(&mut self, patient: &Patient) {
        self.concerns(patient.id.0);
        if patient.relation == Relation::Emergency {
            self.event.outcome = Outcome::Emergency;
        }
    }

    /// Id of the row that this will leave in the audit log; what changed is sealed for it.
    pub(super) fn event_id(&self) -> Uuid {
        self.event.id
    }

    /// Adds to the row what changed, sealed.
    pub(super) fn changed(&mut self, diff: Vec<u8>) {
        self.event.diff = Some(diff);
    }

    /// For the queries of this module's siblings only: whoever has it can do what row-level security permits.
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// Records success and commits, both or neither.
    ///
    /// # Errors
    /// [`DatabaseError`]; nothing happened then.
    pub async fn record(mut self) -> Result<(), DatabaseError> {
        write_audit(&mut *self.transaction, &self.audit_key, &self.event).await?;
        self.transaction.commit().await?;
        Ok(())
    }

    /// Undoes everything without a record, for an operation that turned out to be another one. Gives whose it was, and
    /// where it came from.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn abandon(self) -> Result<(Bearer, RequestOrigin), DatabaseError> {
        self.transaction.rollback().await?;
        Ok((self.bearer, self.event.origin))
    }

    /// Undoes everything and records how it ended.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn record_failure(mut self, outcome: Outcome) -> Result<(), DatabaseError> {
        self.event.outcome = outcome;
        self.event.diff = None;
        // The failed statement may have spoiled the transaction, so the row gets its own.
        self.transaction.rollback().await?;
        write_audit(&self.pool, &self.audit_key, &self.event).await
    }
}
