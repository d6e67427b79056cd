//! Logs: one JSON object a line on stdout, with an allow-list of fields.

mod json;

use std::io;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::TelemetrySettings;

/// Starts logging for the whole process and takes care that a panic tells its place but not its message, which may
/// hold anything.
pub fn start(settings: TelemetrySettings) {
    // Libraries are heard from warn upwards whatever the level: their debug output holds headers and query text.
    let levels = Targets::new()
        .with_default(tracing::Level::WARN.min(settings.level))
        .with_target("medical_app", settings.level);
    let registry = tracing_subscriber::registry();
    // A second start, as in tests, keeps the first.
    let started = if settings.json {
        registry
            .with(json::JsonLines::new(io::stdout).with_filter(levels))
            .try_init()
    } else {
        registry.with(fmt::layer().with_filter(levels)).try_init()
    };
    drop(started);
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a task panicked");
    }));
}
