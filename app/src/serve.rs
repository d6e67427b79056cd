//! The `serve` command: puts the parts together, and takes them apart again on SIGTERM.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{Environment, Settings};
use crate::crypto::{
    PasswordError, PasswordVerifier, PhiVault, TokenAuthority, TokenError, follow_signing_keys,
};
use crate::db;
use crate::http::server::{Protection, serve as accept};
use crate::http::tls::{self, TlsError};
use crate::http::{AppState, Parts, api, metrics_only};
use crate::metrics::Metrics;
use crate::readiness::Readiness;

/// Longest time between failing readiness and refusing connections: routers need it to learn that they should stop.
const LONGEST_NOTICE: Duration = Duration::from_secs(5);

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
        database,
        keys,
        auth,
        telemetry: _,
    } = settings;
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;

    let pool = db::pool(&database);
    let vault = Arc::new(PhiVault::new(&keys.ring));
    let metrics = Arc::new(Metrics::new()?);
    let readiness = Arc::new(Readiness::new(pool.clone(), vault.clone()));
    let tokens = Arc::new(TokenAuthority::new(
        &keys.signing,
        server.public_url.as_str(),
        auth.access_token_lifetime,
    )?);
    let state = AppState::new(Parts {
        pool: pool.clone(),
        vault,
        tokens: tokens.clone(),
        session_limits: auth.session,
        passwords: PasswordVerifier::new()?,
        throttle: crate::http::LoginThrottle::default(),
        metrics: metrics.clone(),
        readiness: readiness.clone(),
    });

    let identity = server.tls.load()?;
    let content = identity.content();
    let (new_identity, identities) = watch::channel(identity.config);
    let listener = listen(server.listen, "api").await?;
    let metrics_listener = listen(server.metrics_listen, "metrics").await?;

    let mut background = JoinSet::new();
    background.spawn(tls::follow(server.tls, content, new_identity, metrics));
    background.spawn(db::follow_password_file(pool.clone(), database));
    background.spawn(follow_signing_keys(keys.directory, tokens));

    let notice = notice(environment, server.shutdown_grace);
    let (stop, stopped) = watch::channel(false);
    let (stop_metrics, metrics_stopped) = watch::channel(false);
    let serving = tokio::spawn(accept(
        listener,
        Protection::Tls(identities),
        api(state.clone(), &server.allowed_origins),
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
    stop_metrics.send_replace(true);
    drop(metering.await);
    background.shutdown().await;
    pool.close().await;
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
