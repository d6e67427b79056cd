//! The transaction in which a caller works: it knows who they are, what they may do, and records what they did.

use std::marker::PhantomData;

use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::{DatabaseError, write_audit};
use crate::audit::{AuditEvent, Outcome, RequestOrigin};
use crate::domain::{Bearer, Role, UserId};
use crate::policy::{Privilege, permits};

/// A transaction under the caller's row-level-security context, for one [`Privilege`].
///
/// It ends in [`Self::record`] or [`Self::record_failure`]; dropped without either, it rolls back.
pub struct CallerTransaction<P> {
    transaction: Transaction<'static, Postgres>,
    pool: PgPool,
    user: UserId,
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
    pub async fn begin(pool: &PgPool, bearer: Bearer, origin: RequestOrigin) -> Result<Self, BeginError> {
        let mut transaction = pool.begin().await.map_err(DatabaseError::from)?;
        // `true`: the settings end with the transaction, so that the pool hands no context to the next caller.
        let context = sqlx::query!(
            r#"WITH noted AS (
                   UPDATE user_session SET last_used_at = now() WHERE id = (
                       SELECT id FROM user_session WHERE id = $2 AND last_used_at < now() - interval '1 minute'
                       FOR UPDATE SKIP LOCKED)
               )
               SELECT role, set_config('app.user_id', app_user.id::text, true) AS caller,
                      set_config('app.role', role, true) AS caller_role,
                      session.second_factor AS "second_factor!"
               FROM app_user JOIN live_session AS session ON session.user_id = app_user.id
               WHERE app_user.id = $1 AND active AND session.id = $2"#,
            bearer.user.0,
            bearer.session.0
        )
        .fetch_optional(&mut *transaction)
        .await
        .map_err(DatabaseError::from)?
        .ok_or(BeginError::Unauthenticated)?;
        let user = bearer.user;
        let role = Role::parse(&context.role).ok_or(BeginError::Unauthenticated)?;
        let caller = Self {
            transaction,
            pool: pool.clone(),
            user,
            event: AuditEvent {
                actor: Some((user, role)),
                action: P::ACTION,
                resource: P::RESOURCE,
                resource_ids: Vec::new(),
                outcome: Outcome::Success,
                origin,
            },
            privilege: PhantomData,
        };
        let denial = if role.needs_second_factor() && !context.second_factor {
            BeginError::SecondFactorMissing
        } else if !permits(role, P::RESOURCE, P::ACTION) {
            BeginError::Forbidden
        } else {
            return Ok(caller);
        };
        caller.record_failure(Outcome::Denied).await?;
        Err(denial)
    }

    /// The caller.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Names a record that this is about, for the audit log.
    pub fn concerns(&mut self, record: Uuid) {
        self.event.resource_ids.push(record);
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
        write_audit(&mut *self.transaction, &self.event).await?;
        self.transaction.commit().await?;
        Ok(())
    }

    /// Undoes everything and records how it ended.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn record_failure(mut self, outcome: Outcome) -> Result<(), DatabaseError> {
        self.event.outcome = outcome;
        // The failed statement may have spoiled the transaction, so the row gets its own.
        self.transaction.rollback().await?;
        write_audit(&self.pool, &self.event).await
    }
}
