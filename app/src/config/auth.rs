//! Access tokens and sessions.

use std::time::Duration;

use super::{Faults, Source, variables};

/// Settings of authentication.
#[derive(Debug, Clone, Copy)]
pub struct AuthSettings {
    /// How long an access token is good; default 15 minutes.
    pub access_token_lifetime: Duration,
    /// How long a session is good.
    pub session: SessionLimits,
}

/// When a session ends by itself. A session keeps the limits that it was started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// After this time without a request; default 30 minutes.
    pub idle: Duration,
    /// After this time in any case; default 8 hours.
    pub absolute: Duration,
}

impl AuthSettings {
    pub(super) fn read(source: &Source, faults: &mut Faults) -> Option<Self> {
        let token = source.number(variables::ACCESS_TOKEN_MINUTES, 1..=60, faults);
        let idle = source.number(variables::SESSION_IDLE_MINUTES, 1..=1440, faults);
        let absolute = source.number(variables::SESSION_MAX_HOURS, 1..=168, faults);
        let minutes = |number: u32| Duration::from_mins(u64::from(number));
        Some(Self {
            access_token_lifetime: minutes(token?),
            session: SessionLimits {
                idle: minutes(idle?),
                absolute: minutes(absolute? * 60),
            },
        })
    }
}
