//! What is logged.

use super::{Environment, Faults, Source, variables};

/// Settings of the log.
#[derive(Debug, Clone, Copy)]
pub struct TelemetrySettings {
    /// Lowest level of this program's own events.
    pub level: tracing::Level,
    /// JSON lines, or text for a person's eyes in development.
    pub json: bool,
}

impl TelemetrySettings {
    pub(super) fn read(source: &Source, environment: Environment, faults: &mut Faults) -> Option<Self> {
        let level = match source.get(variables::LOG_LEVEL)? {
            "error" => tracing::Level::ERROR,
            "warn" => tracing::Level::WARN,
            "info" => tracing::Level::INFO,
            "debug" => tracing::Level::DEBUG,
            "trace" => tracing::Level::TRACE,
            _ => {
                faults.add(
                    variables::LOG_LEVEL,
                    "is not a level",
                    "use error, warn, info, debug or trace",
                );
                return None;
            }
        };
        Some(Self {
            level,
            json: !environment.is_development(),
        })
    }
}
