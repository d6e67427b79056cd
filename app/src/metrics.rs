//! Metrics in Prometheus' format. Labels come from fixed sets: route templates, not paths.

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use sqlx::PgPool;

/// Upper bounds of the latency histogram, in seconds; around the goals of 25 ms and 2 s.
const BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0,
];

/// Every metric of the program.
pub struct Metrics {
    registry: Registry,
    /// `http_requests_total{method,route,status}`.
    pub requests: IntCounterVec,
    /// `http_request_duration_seconds{method,route}`.
    pub duration: HistogramVec,
    /// `http_requests_in_flight`.
    pub in_flight: IntGauge,
    /// `auth_logins_total{outcome}`: success, failure, throttled.
    pub logins: IntCounterVec,
    /// `auth_refreshes_total{outcome}`: success, failure, reuse; a reuse means a stolen or copied refresh token.
    pub refreshes: IntCounterVec,
    /// `authz_denied_total{resource,action}`.
    pub denials: IntCounterVec,
    /// `phi_open_failures_total`: stored values that did not open; anything but 0 is an incident.
    pub phi_open_failures: IntCounter,
    /// `tls_reloads_total{outcome}`: success, failure.
    pub tls_reloads: IntCounterVec,
    pool_connections: IntGaugeVec,
    pool_limit: IntGauge,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// When a name is not valid or occurs twice, which a test rules out.
    pub fn new() -> prometheus::Result<Self> {
        let counters =
            |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let metrics = Self {
            registry: Registry::new(),
            requests: counters(
                "http_requests_total",
                "Answered requests.",
                &["method", "route", "status"],
            )?,
            duration: HistogramVec::new(
                HistogramOpts::new("http_request_duration_seconds", "Time until the answer's head.")
                    .buckets(BUCKETS.to_vec()),
                &["method", "route"],
            )?,
            in_flight: IntGauge::new("http_requests_in_flight", "Requests being answered.")?,
            logins: counters("auth_logins_total", "Attempts to log in.", &["outcome"])?,
            refreshes: counters(
                "auth_refreshes_total",
                "Refresh tokens that were shown.",
                &["outcome"],
            )?,
            denials: counters(
                "authz_denied_total",
                "Requests that the policy denied.",
                &["resource", "action"],
            )?,
            phi_open_failures: IntCounter::new(
                "phi_open_failures_total",
                "Stored values that did not open: damage, tampering or a wrong key.",
            )?,
            tls_reloads: counters(
                "tls_reloads_total",
                "Changes of the certificate files.",
                &["outcome"],
            )?,
            pool_connections: IntGaugeVec::new(
                Opts::new("db_pool_connections", "Connections to the database."),
                &["state"],
            )?,
            pool_limit: IntGauge::new("db_pool_connections_max", "Largest number of connections.")?,
        };
        metrics.registry.register(Box::new(metrics.requests.clone()))?;
        metrics.registry.register(Box::new(metrics.duration.clone()))?;
        metrics.registry.register(Box::new(metrics.in_flight.clone()))?;
        metrics.registry.register(Box::new(metrics.logins.clone()))?;
        metrics.registry.register(Box::new(metrics.refreshes.clone()))?;
        metrics.registry.register(Box::new(metrics.denials.clone()))?;
        metrics
            .registry
            .register(Box::new(metrics.phi_open_failures.clone()))?;
        metrics.registry.register(Box::new(metrics.tls_reloads.clone()))?;
        metrics
            .registry
            .register(Box::new(metrics.pool_connections.clone()))?;
        metrics.registry.register(Box::new(metrics.pool_limit.clone()))?;
        Ok(metrics)
    }

    /// The current values as text.
    ///
    /// # Errors
    /// When encoding fails.
    pub fn render(&self, pool: &PgPool) -> prometheus::Result<String> {
        let size = i64::from(pool.size());
        let idle = i64::try_from(pool.num_idle()).unwrap_or(i64::MAX).min(size);
        self.pool_connections.with_label_values(&["idle"]).set(idle);
        self.pool_connections
            .with_label_values(&["used"])
            .set(size - idle);
        self.pool_limit
            .set(i64::from(pool.options().get_max_connections()));
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_metric_registers() {
        assert!(super::Metrics::new().is_ok());
    }
}
