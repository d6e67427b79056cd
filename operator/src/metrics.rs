//! The operator's own metrics. Labels are few and bounded: no name of a resource is one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use medical_crds::status::Phase;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::store::Owner;

/// The metrics.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Passes by result: done, waiting, invalid, failed, deleted, timeout, panic.
    pub passes: IntCounterVec,
    /// Seconds of a pass.
    pub seconds: HistogramVec,
    /// Obstacles by kind of child and reason.
    pub obstacles: IntCounterVec,
    deployments: IntGaugeVec,
    phases: Arc<Mutex<HashMap<Owner, Phase>>>,
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
            phases: Arc::default(),
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
            phases: _,
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

    /// Counts a deployment under its phase, and no longer under its former one; with `None` it is gone.
    pub fn count(&self, owner: &Owner, phase: Option<Phase>) {
        let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        let former = match phase {
            Some(phase) => phases.insert(owner.clone(), phase),
            None => phases.remove(owner),
        };
        for (phase, change) in [(former, -1), (phase, 1)] {
            if let Some(phase) = phase {
                self.deployments.with_label_values(&[phase.as_str()]).add(change);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_is_counted_under_one_phase_until_it_is_gone() {
        let metrics = Metrics::new().unwrap();
        let owner = Owner {
            namespace: "ns".to_owned(),
            name: "clinic".to_owned(),
        };
        let counted = |phase: &str| metrics.deployments.with_label_values(&[phase]).get();
        metrics.count(&owner, Some(Phase::Progressing));
        metrics.count(&owner, Some(Phase::Ready));
        metrics.count(&owner, Some(Phase::Ready));
        assert_eq!((counted("Progressing"), counted("Ready")), (0, 1));
        metrics.count(&owner, None);
        assert_eq!(counted("Ready"), 0);
    }
}
