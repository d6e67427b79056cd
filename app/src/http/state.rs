//! What every handler can reach.

use std::ops::Deref;
use std::sync::Arc;

use sqlx::PgPool;

use super::throttle::LoginThrottle;
use crate::config::SessionLimits;
use crate::crypto::{PasswordVerifier, PhiVault, TokenAuthority};
use crate::metrics::Metrics;
use crate::readiness::Readiness;

/// The parts of the running application.
pub struct Parts {
    /// Connections of the restricted role.
    pub pool: PgPool,
    /// Keys of patients.
    pub vault: Arc<PhiVault>,
    /// Access tokens.
    pub tokens: Arc<TokenAuthority>,
    /// When sessions end.
    pub session_limits: SessionLimits,
    /// Passwords.
    pub passwords: PasswordVerifier,
    /// Attempts to log in.
    pub throttle: LoginThrottle,
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
