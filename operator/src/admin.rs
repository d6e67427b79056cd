//! The operator's own port: `/livez`, `/readyz`, `/metrics`.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, extract::State, http::StatusCode, routing::get};

use crate::{metrics::Metrics, store::Store};

/// What the port tells about.
#[derive(Clone)]
pub struct Admin {
    /// Tells which watches are complete.
    pub store: Arc<Store>,
    /// The metrics.
    pub metrics: Metrics,
}

/// Serves the port until the process ends.
///
/// # Errors
/// When the address cannot be bound.
pub async fn serve(address: SocketAddr, admin: Admin) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(admin);
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, router).await
}

/// Ready when every watch has its first list. A replica that waits for the lease is ready too: it can take over.
async fn ready(State(admin): State<Admin>) -> (StatusCode, String) {
    let pending = admin.store.pending();
    if pending.is_empty() {
        (StatusCode::OK, "ok".to_owned())
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("waiting for the first list of {pending:?}"),
        )
    }
}

async fn metrics(State(admin): State<Admin>) -> Result<String, StatusCode> {
    admin
        .metrics
        .text()
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
