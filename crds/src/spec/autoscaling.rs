//! `spec.autoscaling`: the HorizontalPodAutoscaler.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Scales the application by load.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.minReplicas <= self.maxReplicas")
    .message("spec.autoscaling.minReplicas must not be above spec.autoscaling.maxReplicas: lower the one or raise the other"))]
pub struct Autoscaling {
    /// Pods that always run. Default: 2.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 100))]
    pub min_replicas: i32,
    /// Pods that run at most. Default: 10. (C-26)
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100))]
    pub max_replicas: i32,
    /// Average CPU use, in percent of the request, that the autoscaler aims at. Default: 70.
    #[serde(default = "seventy")]
    #[schemars(range(min = 1, max = 100))]
    pub target_cpu_percent: i32,
    /// Average memory use, in percent of the request, that the autoscaler aims at. Default: memory is not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub target_memory_percent: Option<i32>,
    /// Seconds of lower load before pods are removed. Default: 300.
    #[serde(default = "five_minutes")]
    #[schemars(range(min = 0, max = 3600))]
    pub scale_down_after_seconds: i32,
}

fn two() -> i32 {
    2
}

fn ten() -> i32 {
    10
}

fn seventy() -> i32 {
    70
}

fn five_minutes() -> i32 {
    300
}
