//! The rate limits that all processes share. Times are told as durations, so that clocks need not agree.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::PgPool;

use super::DatabaseError;
use crate::rate_limit::Key;

/// What the database says to a request.
pub struct Answer {
    /// Time until everything is paid for.
    pub debt: Duration,
    /// Whether the request was counted; it was one too many otherwise.
    pub charged: bool,
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default()
}

/// Counts one request of this cost, if the debt stays at `most`.
///
/// # Errors
/// [`DatabaseError`].
pub async fn charge(
    pool: &PgPool,
    key: &Key,
    cost: Duration,
    most: Duration,
) -> Result<Answer, DatabaseError> {
    // Rounding must not refuse the last request of a quota.
    let most = most.as_secs_f64() + 0.001;
    let charged = sqlx::query_scalar!(
        r#"INSERT INTO rate_limit AS stored (bucket, paid_until)
           VALUES ($1, now() + make_interval(secs => $2))
           ON CONFLICT (bucket) DO UPDATE
           SET paid_until = greatest(stored.paid_until, now()) + make_interval(secs => $2)
           WHERE greatest(stored.paid_until, now()) + make_interval(secs => $2) <= now() + make_interval(secs => $3)
           RETURNING extract(epoch FROM paid_until - now())::float8 AS "debt!""#,
        &key[..],
        cost.as_secs_f64(),
        most
    )
    .fetch_optional(pool)
    .await?;
    if let Some(debt) = charged {
        return Ok(Answer {
            debt: duration(debt),
            charged: true,
        });
    }
    let debt = sqlx::query_scalar!(
        r#"SELECT extract(epoch FROM paid_until - now())::float8 AS "debt!" FROM rate_limit WHERE bucket = $1"#,
        &key[..]
    )
    .fetch_optional(pool)
    .await?;
    Ok(Answer {
        debt: duration(debt.unwrap_or_default()),
        charged: false,
    })
}

/// Counts requests that were let through already, and gives the debts with them.
///
/// # Errors
/// [`DatabaseError`]; nothing is counted then.
pub async fn settle(
    pool: &PgPool,
    charges: &[(Key, Duration)],
) -> Result<HashMap<Key, Duration>, DatabaseError> {
    let (keys, costs): (Vec<_>, Vec<_>) = charges
        .iter()
        .map(|(key, cost)| (key.to_vec(), cost.as_secs_f64()))
        .unzip();
    // In order, so that two processes do not wait for each other.
    let debts = sqlx::query!(
        r#"INSERT INTO rate_limit AS stored (bucket, paid_until)
           SELECT bucket, now() + make_interval(secs => cost)
           FROM unnest($1::bytea[], $2::float8[]) AS due (bucket, cost) ORDER BY bucket
           ON CONFLICT (bucket) DO UPDATE
           SET paid_until = greatest(stored.paid_until, now()) + (excluded.paid_until - now())
           RETURNING bucket, extract(epoch FROM paid_until - now())::float8 AS "debt!""#,
        &keys,
        &costs
    )
    .fetch_all(pool)
    .await?;
    Ok(debts
        .into_iter()
        .filter_map(|row| Some((row.bucket.try_into().ok()?, duration(row.debt))))
        .collect())
}

/// Removes the rows that time has paid for (R-181).
///
/// # Errors
/// [`DatabaseError`].
pub async fn sweep(pool: &PgPool) -> Result<(), DatabaseError> {
    sqlx::query!("DELETE FROM rate_limit WHERE paid_until < now()")
        .execute(pool)
        .await?;
    Ok(())
}
