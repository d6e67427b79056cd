//! The owner's work on every patient.

use sqlx::PgConnection;

use super::DatabaseError;

/// Lets the owner see every patient until the end of the transaction. For any other role it changes nothing: the policy
/// is the owner's.
///
/// # Errors
/// [`DatabaseError`].
pub async fn begin(transaction: &mut PgConnection) -> Result<(), DatabaseError> {
    sqlx::query!("SELECT set_config('app.role', 'maintenance', true)")
        .fetch_one(transaction)
        .await?;
    Ok(())
}
