//! The `serve` command: puts the parts together, and takes them apart again on SIGTERM.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::audit::seal::Sealer;
use crate::config::{Environment, Settings};
use crate::crypto::{
    AuditKey, KeyError, PasswordError, PasswordVerifier, PhiVault, TokenAuthority, TokenError,
    follow_signing_keys,
};
use crate::db;
use crate::http::server::{Protection, serve as accept};
use crate::http::tls::{self, TlsError};
use crate::http::{AppState, Parts, Places, api, metrics_only};
use crate::metrics::Metrics;
use crate::rate_limit::RateLimiter;
use crate::readiness::Readiness;

/// Longest time between failing readiness and refusing connections: routers need it to learn that they should stop.
const LONGEST_NOTICE: Duration = Duration::from_secs(5);

/// Longest time for connections to the database to say farewell.
const LONGEST_FAREWELL: Duration = Duration::from_secs(2);

/// Why the program did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address is taken or not ours.
    #[error("cannot listen on {0}: {1}")]
    Listen(std::net::SocketAddr, #[source] std::io::Error),
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(#[source] std::io::Error),
    /// The metrics cannot be registered.
    #[error("cannot register the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The key that signs tokens is not usable.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// The key of the audit log is not usable.
    #[error(transparent)]
    AuditKey(#[from] KeyError),
    /// Passwords cannot be hashed.
    #[error(transparent)]
    Passwords(#[from] PasswordError),
    /// The certificate changed after the configuration was read.
    #[error("the certificate or its key: {0}")]
    Tls(#[from] TlsError),
}

/// Serves until SIGTERM or SIGINT, then drains.
///
/// # Errors
/// [`ServeError`], before the port is open.
pub async fn serve(settings: Settings) -> Result<(), ServeError> {
    let Settings {
        environment,
        server,
        limits,
        database,
        keys,
        auth,
        telemetry: _,
    } = settings;
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;

    let pool = db::pool(&database);
    let vault = Arc::new(PhiVault::new(&keys.ring));
    let audit_key = Arc::new(AuditKey::new(&keys.ring.audit)?);
    let metrics = Arc::new(Metrics::new()?);
    let readiness = Arc::new(Readiness::new(pool.clone(), vault.clone()));
    let limiter = Arc::new(RateLimiter::new(
        pool.clone(),
        vault.clone(),
        limits.quotas,
        metrics.clone(),
    ));
    let tokens = Arc::new(TokenAuthority::new(
        &keys.signing,
        server.public_url.as_str(),
        auth.access_token_lifetime,
    )?);
    let state = AppState::new(Parts {
        pool: pool.clone(),
        vault: vault.clone(),
        audit_key: audit_key.clone(),
        tokens: tokens.clone(),
        session_limits: auth.session,
        passwords: PasswordVerifier::new()?,
        limits: limiter.clone(),
        places: Places::new(limits.in_flight),
        public_url: server.public_url.clone(),
        proxies: limits.proxies,
        metrics: metrics.clone(),
        readiness: readiness.clone(),
    });

    let identity = server.tls.load()?;
    let content = identity.content();
    let (new_identity, identities) = watch::channel(identity.config);
    let listener = listen(server.listen, "api").await?;
    let metrics_listener = listen(server.metrics_listen, "metrics").await?;

    let mut background = JoinSet::new();
    background.spawn(tls::follow(server.tls, content, new_identity, metrics.clone()));
    background.spawn(limiter.report());
    background.spawn(db::follow_password_file(pool.clone(), database));
    background.spawn(db::key_rotation::measure(pool.clone(), vault, metrics.clone()));
    background.spawn(follow_signing_keys(keys.directory, tokens));

    let (stop_sealing, sealing_stopped) = watch::channel(false);
    let sealer = Sealer::new(pool.clone(), audit_key, metrics, readiness.clone());
    let sealing = tokio::spawn(sealer.run(sealing_stopped));

    let notice = notice(environment, server.shutdown_grace);
    let (stop, stopped) = watch::channel(false);
    let (stop_metrics, metrics_stopped) = watch::channel(false);
    let serving = tokio::spawn(accept(
        listener,
        Protection::Tls(identities),
        api(state.clone(), &server.public_url, &server.allowed_origins),
        stopped,
        server.shutdown_grace.saturating_sub(notice),
    ));
    let metering = tokio::spawn(accept(
        metrics_listener,
        Protection::Plain,
        metrics_only(state),
        metrics_stopped,
        Duration::ZERO,
    ));

    let signal = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal, "ending");
    readiness.start_draining();
    tokio::time::sleep(notice).await;
    stop.send_replace(true);
    // A task that panicked has ended, too.
    drop(serving.await);
    // After the last request has written its row.
    stop_sealing.send_replace(true);
    drop(sealing.await);
    stop_metrics.send_replace(true);
    drop(metering.await);
    background.shutdown().await;
    // A connection whose peer is gone must not keep the process.
    drop(tokio::time::timeout(LONGEST_FAREWELL, pool.close()).await);
    tracing::info!("ended");
    Ok(())
}

/// Nobody routes to a developer's machine, so Ctrl-C ends at once there.
fn notice(environment: Environment, grace: Duration) -> Duration {
    if environment.is_development() {
        Duration::ZERO
    } else {
        (grace / 4).min(LONGEST_NOTICE)
    }
}

async fn listen(address: std::net::SocketAddr, name: &'static str) -> Result<TcpListener, ServeError> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| ServeError::Listen(address, error))?;
    let address = listener.local_addr().unwrap_or(address);
    tracing::info!(listener = name, %address, "listening");
    Ok(listener)
}
