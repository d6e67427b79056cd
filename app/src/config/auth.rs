//! Access tokens.

use std::time::Duration;

use super::{Faults, Source, variables};

/// Settings of authentication.
#[derive(Debug, Clone, Copy)]
pub struct AuthSettings {
    /// How long an access token is good; default 15 minutes.
    pub access_token_lifetime: Duration,
}

impl AuthSettings {
    pub(super) fn read(source: &Source, faults: &mut Faults) -> Option<Self> {
        let minutes = source.number(variables::ACCESS_TOKEN_MINUTES, 1..=60, faults)?;
        Some(Self {
            access_token_lifetime: Duration::from_secs(u64::from(minutes) * 60),
        })
    }
}
