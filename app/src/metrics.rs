//! Metrics in Prometheus' format. Labels come from fixed sets: route templates, not paths.

use prometheus::{
    Encoder, Gauge, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
    register_gauge_with_registry, register_histogram_vec_with_registry,
    register_int_counter_vec_with_registry, register_int_counter_with_registry,
    register_int_gauge_vec_with_registry, register_int_gauge_with_registry,
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
    /// `emergency_accesses_total`: each one has to be looked at.
    pub emergency_accesses: IntCounter,
    /// `phi_open_failures_total`: stored values that did not open; anything but 0 is an incident.
    pub phi_open_failures: IntCounter,
    /// `tls_reloads_total{outcome}`: success, failure.
    pub tls_reloads: IntCounterVec,
    /// `rate_limit_rejections_total{class,scope}`.
    pub rate_limited: IntCounterVec,
    /// `requests_shed_total{class}`: refused because too many were being answered.
    pub shed: IntCounterVec,
    /// `db_read_retries_total`: reads that were tried again after their connection was lost.
    pub read_retries: IntCounter,
    /// `audit_unsealed_rows`: rows of the audit log that are in no chain yet.
    pub audit_unsealed: IntGauge,
    /// `audit_sealing_lag_seconds`: age of the oldest of them.
    pub audit_lag: Gauge,
    /// `audit_chain_position`: links of the chain.
    pub audit_position: IntGauge,
    /// `audit_chain_intact`: 0 when the end of the chain is not the one that was signed.
    pub audit_intact: IntGauge,
    /// `audit_rows_not_authentic_total`: rows that were sealed although their own code did not hold or was missing.
    pub audit_not_authentic: IntCounter,
    /// `phi_data_keys{state}`: data keys wrapped by the active key, by another one at hand, by an unknown one.
    pub data_keys: IntGaugeVec,
    /// `phi_access_total{resource,action}`: answers that showed or changed records.
    pub phi_access: IntCounterVec,
    /// `cross_site_rejections_total`: requests that another site made a browser send.
    pub cross_site: IntCounter,
    /// `rate_limit_keys`: clients that this process remembers.
    pub rate_limit_keys: IntGauge,
    pool_connections: IntGaugeVec,
    pool_limit: IntGauge,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// When a name is not valid or occurs twice, which a test rules out.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let into = &registry;
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register_int_counter_vec_with_registry!(name, help, labels, into)
        };
        let counter = |name: &str, help: &str| register_int_counter_with_registry!(name, help, into);
        let gauge = |name: &str, help: &str| register_int_gauge_with_registry!(name, help, into);
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            register_int_gauge_vec_with_registry!(name, help, labels, into)
        };
        Ok(Self {
            requests: counters(
                "http_requests_total",
                "Answered requests.",
                &["method", "route", "status"],
            )?,
            duration: register_histogram_vec_with_registry!(
                "http_request_duration_seconds",
                "Time until the answer's head.",
                &["method", "route"],
                BUCKETS.to_vec(),
                into
            )?,
            in_flight: gauge("http_requests_in_flight", "Requests being answered.")?,
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
            emergency_accesses: counter(
                "emergency_accesses_total",
                "Emergency accesses to patients who are not in the user's care.",
            )?,
            phi_open_failures: counter(
                "phi_open_failures_total",
                "Stored values that did not open: damage, tampering or a wrong key.",
            )?,
            tls_reloads: counters(
                "tls_reloads_total",
                "Changes of the certificate files.",
                &["outcome"],
            )?,
            rate_limited: counters(
                "rate_limit_rejections_total",
                "Requests beyond a rate limit.",
                &["class", "scope"],
            )?,
            shed: counters(
                "requests_shed_total",
                "Requests refused because too many were being answered.",
                &["class"],
            )?,
            read_retries: counter(
                "db_read_retries_total",
                "Reads tried again after their database connection was lost.",
            )?,
            audit_unsealed: gauge("audit_unsealed_rows", "Audit rows that are in no chain yet.")?,
            audit_lag: register_gauge_with_registry!(
                "audit_sealing_lag_seconds",
                "Age of the oldest audit row that is in no chain yet.",
                into
            )?,
            audit_position: gauge("audit_chain_position", "Links of the audit chain.")?,
            audit_intact: gauge(
                "audit_chain_intact",
                "1 while the end of the audit chain is the one that was signed.",
            )?,
            audit_not_authentic: counter(
                "audit_rows_not_authentic_total",
                "Audit rows without a code of the program's key, or with a wrong one.",
            )?,
            data_keys: gauges(
                "phi_data_keys",
                "Data keys of patients, by the key that wraps them.",
                &["state"],
            )?,
            phi_access: counters(
                "phi_access_total",
                "Answers that showed or changed records.",
                &["resource", "action"],
            )?,
            cross_site: counter(
                "cross_site_rejections_total",
                "Requests that another site made a browser send.",
            )?,
            rate_limit_keys: gauge("rate_limit_keys", "Clients that rate limits remember here.")?,
            pool_connections: gauges("db_pool_connections", "Connections to the database.", &["state"])?,
            pool_limit: gauge("db_pool_connections_max", "Largest number of connections.")?,
            registry,
        })
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
