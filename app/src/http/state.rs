//! What every handler can reach.

use std::ops::Deref;
use std::sync::Arc;

use sqlx::PgPool;

use super::load::Places;
use crate::config::{Origin, SessionLimits, TrustedProxies};
use crate::crypto::{AuditKey, PasswordVerifier, PhiVault, TokenAuthority};
use crate::metrics::Metrics;
use crate::rate_limit::RateLimiter;
use crate::readiness::Readiness;

/// The parts of the running application.
pub struct Parts {
    /// Connections of the restricted role.
    pub pool: PgPool,
    /// Keys of patients.
    pub vault: Arc<PhiVault>,
    /// Codes over the rows of the audit log.
    pub audit_key: Arc<AuditKey>,
    /// Access tokens.
    pub tokens: Arc<TokenAuthority>,
    /// When sessions end.
    pub session_limits: SessionLimits,
    /// Passwords.
    pub passwords: PasswordVerifier,
    /// Rate limits.
    pub limits: Arc<RateLimiter>,
    /// Places for requests.
    pub places: Places,
    /// Origin of the API as its clients see it.
    pub public_url: Origin,
    /// Proxies in front.
    pub proxies: TrustedProxies,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Readiness.
    pub readiness: Arc<Readiness>,
}

/// [`Parts`], shared.
#[derive(Clone)]
pub struct AppState(Arc<Parts>);

impl AppState {
    /// Shares the parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for AppState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
