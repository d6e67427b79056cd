//! The operator's own metrics. Labels are few and bounded: no name of a resource is one.

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// The metrics.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Passes by result: ready, waiting, invalid, failed, timeout, panic.
    pub passes: IntCounterVec,
    /// Seconds of a pass.
    pub seconds: HistogramVec,
    /// Obstacles by kind of child and reason.
    pub obstacles: IntCounterVec,
    /// Deployments by phase.
    pub deployments: IntGaugeVec,
    /// 1 while this process is the leader.
    pub leader: IntGauge,
    /// Watches by kind: 1 synced, 0 pending, -1 the API is absent.
    pub watches: IntGaugeVec,
}

impl Metrics {
    /// New metrics in a registry of their own.
    ///
    /// # Errors
    /// When two metrics have the same name.
    pub fn new() -> prometheus::Result<Self> {
        let metrics = Self {
            registry: Registry::new(),
            passes: IntCounterVec::new(
                Opts::new(
                    "medical_operator_reconciles_total",
                    "Passes over a MedicalDeployment by result",
                ),
                &["result"],
            )?,
            seconds: HistogramVec::new(
                HistogramOpts::new(
                    "medical_operator_reconcile_seconds",
                    "Seconds of a pass over a MedicalDeployment",
                )
                .buckets(vec![0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0]),
                &["result"],
            )?,
            obstacles: IntCounterVec::new(
                Opts::new(
                    "medical_operator_obstacles_total",
                    "Child objects that could not be brought to what is declared",
                ),
                &["kind", "reason"],
            )?,
            deployments: IntGaugeVec::new(
                Opts::new("medical_operator_deployments", "MedicalDeployments by phase"),
                &["phase"],
            )?,
            leader: IntGauge::new("medical_operator_leader", "1 while this process is the leader")?,
            watches: IntGaugeVec::new(
                Opts::new(
                    "medical_operator_watch_state",
                    "Watches by kind: 1 synced, 0 pending, -1 API absent",
                ),
                &["kind"],
            )?,
        };
        let Self {
            registry,
            passes,
            seconds,
            obstacles,
            deployments,
            leader,
            watches,
        } = &metrics;
        registry.register(Box::new(passes.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(obstacles.clone()))?;
        registry.register(Box::new(deployments.clone()))?;
        registry.register(Box::new(leader.clone()))?;
        registry.register(Box::new(watches.clone()))?;
        Ok(metrics)
    }

    /// The metrics in the text format of Prometheus.
    ///
    /// # Errors
    /// When a metric cannot be written.
    pub fn text(&self) -> prometheus::Result<String> {
        let mut buffer = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer).into_owned())
    }
}
