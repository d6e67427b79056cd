//! Sessions and their refresh tokens. Every limit is checked by the database's clock, in `live_session`.

use std::net::IpAddr;

use jiff::Timestamp;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::DatabaseError;
use crate::config::SessionLimits;
use crate::crypto::TokenHash;
use crate::domain::{Bearer, Role, SessionId, UserId};

/// Seconds in which a token may be shown again without being taken for stolen: two tabs that refresh at once, or an
/// answer that was lost. It is refused all the same.
const REUSE_GRACE_SECONDS: f64 = 10.0;

/// How a session is started.
pub struct Start<'a> {
    /// When it ends by itself.
    pub limits: SessionLimits,
    /// Whether a second factor was shown.
    pub second_factor: bool,
    /// Address of the peer.
    pub client_address: Option<IpAddr>,
    /// What the client calls itself, at most 200 characters.
    pub user_agent: Option<&'a str>,
}

/// Starts a session with its first refresh token, and gives the seconds that it can last.
///
/// The user's sessions that ended more than a day ago are removed with it, so that the table stays small by itself.
///
/// # Errors
/// [`DatabaseError`].
pub async fn start(
    connection: &mut PgConnection,
    bearer: Bearer,
    token: &TokenHash,
    start: &Start<'_>,
) -> Result<i64, DatabaseError> {
    sqlx::query!(
        "DELETE FROM user_session WHERE user_id = $1 AND expires_at < now() - interval '1 day'",
        bearer.user.0
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "INSERT INTO user_session (id, user_id, idle_limit, expires_at, client_address, user_agent, second_factor)
         VALUES ($1, $2, make_interval(secs => $3), now() + make_interval(secs => $4), $5, $6, $7)",
        bearer.session.0,
        bearer.user.0,
        start.limits.idle.as_secs_f64(),
        start.limits.absolute.as_secs_f64(),
        start.client_address.map(|address| address.to_string()),
        start.user_agent,
        start.second_factor
    )
    .execute(&mut *connection)
    .await?;
    add_token(connection, bearer.session, token).await?;
    Ok(start.limits.absolute.as_secs().cast_signed())
}

async fn add_token(
    connection: &mut PgConnection,
    session: SessionId,
    token: &TokenHash,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "INSERT INTO refresh_token (hash, session_id) VALUES ($1, $2)",
        token.as_bytes(),
        session.0
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A session that goes on.
pub struct Continued {
    /// Who, and in which session.
    pub bearer: Bearer,
    /// Role.
    pub role: Role,
    /// Name for display.
    pub display_name: String,
    /// Seconds until the session's absolute end.
    pub remaining_seconds: i64,
    /// Whether a second factor was shown in it.
    pub second_factor: bool,
}

/// What came of a refresh.
pub enum Refreshed {
    /// The token was exchanged for the next one.
    Continued(Continued),
    /// The token was used before: the session has been ended.
    Reused {
        /// Whose it was.
        bearer: Bearer,
        /// Their role.
        role: Role,
    },
    /// The token is unknown, just used by somebody else, or of a session that ended.
    Refused,
}

/// Exchanges a refresh token for the next one of its session.
///
/// The first statement decides who may: of several callers with one token a single one finds it unused, the others wait
/// for that one's transaction and then find it used.
///
/// # Errors
/// [`DatabaseError`].
pub async fn refresh(
    connection: &mut PgConnection,
    shown: &TokenHash,
    next: &TokenHash,
) -> Result<Refreshed, DatabaseError> {
    let continued = sqlx::query!(
        r#"WITH used AS (
               UPDATE refresh_token SET used_at = clock_timestamp() WHERE hash = $1 AND used_at IS NULL
               RETURNING session_id
           )
           UPDATE user_session AS session SET last_used_at = now()
           FROM used, live_session AS live, app_user
           WHERE session.id = used.session_id AND live.id = session.id AND session.ended_at IS NULL
               AND app_user.id = session.user_id AND app_user.active
           RETURNING session.id, session.user_id, app_user.access_role, app_user.display_name,
               session.second_factor,
               floor(extract(epoch FROM session.expires_at - now()))::bigint AS "remaining_seconds!""#,
        shown.as_bytes()
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = continued else {
        return end_when_reused(connection, shown).await;
    };
    let Some(role) = Role::parse(&row.access_role) else {
        return Ok(Refreshed::Refused);
    };
    let session = SessionId(row.id);
    add_token(connection, session, next).await?;
    Ok(Refreshed::Continued(Continued {
        bearer: Bearer {
            user: UserId(row.user_id),
            session,
        },
        role,
        display_name: row.display_name,
        remaining_seconds: row.remaining_seconds,
        second_factor: row.second_factor,
    }))
}

async fn end_when_reused(
    connection: &mut PgConnection,
    shown: &TokenHash,
) -> Result<Refreshed, DatabaseError> {
    let ended = sqlx::query!(
        "UPDATE user_session AS session SET ended_at = now()
         FROM refresh_token AS token, app_user
         WHERE token.hash = $1 AND session.id = token.session_id AND session.ended_at IS NULL
             AND token.used_at < clock_timestamp() - make_interval(secs => $2) AND app_user.id = session.user_id
         RETURNING session.id, session.user_id, app_user.access_role",
        shown.as_bytes(),
        REUSE_GRACE_SECONDS
    )
    .fetch_optional(connection)
    .await?;
    Ok(ended
        .and_then(|row| {
            Some(Refreshed::Reused {
                bearer: Bearer {
                    user: UserId(row.user_id),
                    session: SessionId(row.id),
                },
                role: Role::parse(&row.access_role)?,
            })
        })
        .unwrap_or(Refreshed::Refused))
}

/// Whose session a refresh token belongs to, whether or not either is still good.
///
/// # Errors
/// [`DatabaseError`].
pub async fn of_token(
    connection: &mut PgConnection,
    shown: &TokenHash,
) -> Result<Option<Bearer>, DatabaseError> {
    let row = sqlx::query!(
        "SELECT session.id, session.user_id FROM refresh_token AS token
         JOIN user_session AS session ON session.id = token.session_id WHERE token.hash = $1",
        shown.as_bytes()
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Bearer {
        user: UserId(row.user_id),
        session: SessionId(row.id),
    }))
}

/// Role of a user in a session that lives, and whether a second factor was shown in it; nothing for anybody else.
///
/// # Errors
/// [`DatabaseError`].
pub async fn active_role(pool: &PgPool, bearer: Bearer) -> Result<Option<(Role, bool)>, DatabaseError> {
    let row = sqlx::query!(
        r#"SELECT access_role, session.second_factor AS "second_factor!"
           FROM app_user JOIN live_session AS session ON session.user_id = app_user.id
           WHERE app_user.id = $1 AND active AND session.id = $2"#,
        bearer.user.0,
        bearer.session.0
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.and_then(|row| Some((Role::parse(&row.access_role)?, row.second_factor))))
}

/// What came of ending a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It lived until now.
    Now,
    /// It had ended before.
    Before,
    /// The user has no such session.
    Unknown,
}

/// Ends one session of a user.
///
/// # Errors
/// [`DatabaseError`].
pub async fn end(connection: &mut PgConnection, bearer: Bearer) -> Result<Ended, DatabaseError> {
    let was_live = sqlx::query_scalar!(
        r#"WITH was AS (SELECT id FROM live_session WHERE id = $2)
           UPDATE user_session SET ended_at = coalesce(ended_at, now()) WHERE user_id = $1 AND id = $2
           RETURNING EXISTS (SELECT FROM was) AS "was_live!""#,
        bearer.user.0,
        bearer.session.0
    )
    .fetch_optional(connection)
    .await?;
    Ok(match was_live {
        Some(true) => Ended::Now,
        Some(false) => Ended::Before,
        None => Ended::Unknown,
    })
}

/// Ends all sessions of a user but one, or all of them.
///
/// # Errors
/// [`DatabaseError`].
pub async fn end_others(
    connection: &mut PgConnection,
    user: UserId,
    but: Option<SessionId>,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "UPDATE user_session SET ended_at = now()
         WHERE user_id = $1 AND id IS DISTINCT FROM $2 AND ended_at IS NULL",
        user.0,
        but.map(|session| session.0)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A session as its owner sees it.
pub struct Session {
    /// Identity.
    pub id: SessionId,
    /// When it was started.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// Address that it was started from.
    pub client_address: Option<String>,
    /// What the client called itself.
    pub user_agent: Option<String>,
}

/// Sessions in a list at most; older ones are not shown.
const LISTED: i64 = 100;

/// The living sessions of a user, the newest first.
///
/// # Errors
/// [`DatabaseError`].
pub async fn list(connection: &mut PgConnection, user: UserId) -> Result<Vec<Session>, DatabaseError> {
    struct Row {
        id: Uuid,
        created_at: jiff_sqlx::Timestamp,
        last_used_at: jiff_sqlx::Timestamp,
        expires_at: jiff_sqlx::Timestamp,
        client_address: Option<String>,
        user_agent: Option<String>,
    }
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT id AS "id!", created_at AS "created_at!: jiff_sqlx::Timestamp",
               last_used_at AS "last_used_at!: jiff_sqlx::Timestamp",
               expires_at AS "expires_at!: jiff_sqlx::Timestamp", client_address, user_agent
           FROM live_session WHERE user_id = $1 ORDER BY created_at DESC LIMIT $2"#,
        user.0,
        LISTED
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Session {
            id: SessionId(row.id),
            created_at: row.created_at.to_jiff(),
            last_used_at: row.last_used_at.to_jiff(),
            expires_at: row.expires_at.to_jiff(),
            client_address: row.client_address,
            user_agent: row.user_agent,
        })
        .collect())
}
