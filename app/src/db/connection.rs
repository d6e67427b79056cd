//! Connections: one pool for serving, one plain connection for the owner's work.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};

use crate::config::{DatabaseSettings, DatabaseTls, password_in};

/// How long a request waits for a connection before it is told to try again.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a connection that comes back may take to answer: longer than any statement that may still run on it.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(6);
/// How long a connection that is given up may take to say farewell.
const FAREWELL: Duration = Duration::from_secs(2);
/// Time between two attempts to exchange a connection.
const RECONNECT: Duration = Duration::from_millis(500);
/// Connections are renewed, so that load spreads again after a failover and changed settings take effect.
const LONGEST_LIFE: Duration = Duration::from_mins(30);
/// Idle connections are given back.
const LONGEST_IDLE: Duration = Duration::from_mins(10);
/// How long the owner's work waits for a database that cannot be reached yet.
const OWNER_PATIENCE: Duration = Duration::from_mins(1);
/// Time between two attempts of the owner's work to connect.
const OWNER_RETRY: Duration = Duration::from_millis(500);
/// How often the password file is looked at.
const PASSWORD_CHECK: Duration = Duration::from_secs(2);

fn options(settings: &DatabaseSettings, password: &SecretString) -> PgConnectOptions {
    let options = PgConnectOptions::new_without_pgpass()
        .host(&settings.host)
        .port(settings.port)
        .database(&settings.name)
        .username(&settings.user)
        .password(password.expose_secret())
        .application_name("medical-app");
    // Statements are never logged: their text is harmless, but slow-statement logging would make it a habit.
    let options = options.disable_statement_logging();
    match &settings.tls {
        DatabaseTls::VerifyFull(authority) => {
            options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(authority)
        }
        DatabaseTls::Disable => options.ssl_mode(PgSslMode::Disable),
    }
}

fn serving_options(settings: &DatabaseSettings, password: &SecretString) -> PgConnectOptions {
    options(settings, password).options([
        ("statement_timeout", "5s"),
        ("lock_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "10s"),
    ])
}

/// The pool for serving. It connects when it is first used, so that a database that starts later is no fault.
///
/// sqlx asks a connection that comes back whether it still works, and says farewell to one that does not, both without a
/// time limit. When the peer is gone without a word, as after a failover, the connection's place in the pool would be
/// lost for good (sqlx #4349). So it is asked here first, with a time limit, and exchanged when it is silent. What is left
/// of the fault is a connection that passes its longest life while it is silent.
pub fn pool(settings: &DatabaseSettings) -> PgPool {
    let this = Arc::new(OnceLock::<PgPool>::new());
    let exchanging = this.clone();
    let pool = PgPoolOptions::new()
        .max_connections(settings.max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .max_lifetime(LONGEST_LIFE)
        .idle_timeout(LONGEST_IDLE)
        .after_release(move |connection, _| {
            let pool = exchanging.clone();
            Box::pin(async move {
                match tokio::time::timeout(RELEASE_TIMEOUT, connection.ping()).await {
                    Ok(answer) => answer?,
                    Err(_) => exchange(connection, pool.get().ok_or(sqlx::Error::PoolClosed)?).await?,
                }
                Ok(true)
            })
        })
        .connect_lazy_with(serving_options(settings, &settings.password));
    // The pool lives as long as the process.
    this.get_or_init(|| pool.clone());
    pool
}

/// Puts a new connection into the place of one, as soon as there is a database to connect to.
async fn exchange(connection: &mut PgConnection, pool: &PgPool) -> Result<(), sqlx::Error> {
    loop {
        if pool.is_closed() {
            return Err(sqlx::Error::PoolClosed);
        }
        let options = pool.connect_options();
        if let Ok(Ok(new)) = tokio::time::timeout(ACQUIRE_TIMEOUT, options.connect()).await {
            let old = std::mem::replace(connection, new);
            tokio::spawn(tokio::time::timeout(FAREWELL, old.close()));
            return Ok(());
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

/// Keeps the pool's password equal to its file, for new connections; open ones stay good. Runs until it is dropped.
pub async fn follow_password_file(pool: PgPool, settings: DatabaseSettings) {
    let mut current = settings.password.clone();
    loop {
        tokio::time::sleep(PASSWORD_CHECK).await;
        let Ok(text) = tokio::fs::read_to_string(&settings.password_file).await else {
            continue;
        };
        let password = password_in(&text);
        let known = password.expose_secret() == current.expose_secret();
        if known || password.expose_secret().is_empty() {
            continue;
        }
        pool.set_connect_options(serving_options(&settings, &password));
        current = password;
        tracing::info!("the database password was read again");
    }
}

/// One connection for the owner's work, without the time limits of serving. Waits for a database that cannot be reached
/// yet: a pod that has just started is let through by network policies only after a moment, and a primary may be changing.
///
/// # Errors
/// What the last connection attempt says.
pub async fn owner_connection(settings: &DatabaseSettings) -> Result<PgConnection, sqlx::Error> {
    let deadline = tokio::time::Instant::now() + OWNER_PATIENCE;
    loop {
        match options(settings, &settings.password).connect().await {
            Err(error) if may_pass(&error) && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(OWNER_RETRY).await;
            }
            result => return result,
        }
    }
}

/// Whether waiting may help: nobody listens, or the server is starting or stopping (class 57P0x of PostgreSQL's codes).
/// A certificate that does not hold arrives as invalid data; no waiting makes it good.
fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() != std::io::ErrorKind::InvalidData,
        // How sqlx calls a peer that hangs up instead of answering.
        sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(database) => database.code().is_some_and(|code| code.starts_with("57P0")),
        _ => false,
    }
}
