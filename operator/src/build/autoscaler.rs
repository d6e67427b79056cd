//! The `HorizontalPodAutoscaler` of the application.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HPAScalingRules, HorizontalPodAutoscaler, HorizontalPodAutoscalerBehavior,
    HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget, ResourceMetricSource,
};
use medical_crds::names::Component;

use super::{Inputs, Lifetime};

/// The autoscaler; none without `spec.autoscaling`.
pub fn build(inputs: &Inputs) -> Option<HorizontalPodAutoscaler> {
    let autoscaling = inputs.deployment.spec.autoscaling.as_ref()?;
    let mut metrics = vec![utilization("cpu", autoscaling.target_cpu_percent)];
    metrics.extend(
        autoscaling
            .target_memory_percent
            .map(|percent| utilization("memory", percent)),
    );
    Some(HorizontalPodAutoscaler {
        metadata: inputs.metadata(inputs.names.app(), Component::App, Lifetime::Workload),
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name: inputs.names.app(),
            },
            min_replicas: Some(autoscaling.min_replicas),
            max_replicas: autoscaling.max_replicas,
            metrics: Some(metrics),
            behavior: Some(HorizontalPodAutoscalerBehavior {
                scale_down: Some(HPAScalingRules {
                    stabilization_window_seconds: Some(autoscaling.scale_down_after_seconds),
                    ..HPAScalingRules::default()
                }),
                scale_up: None,
            }),
        }),
        status: None,
    })
}

fn utilization(resource: &str, percent: i32) -> MetricSpec {
    MetricSpec {
        type_: "Resource".to_owned(),
        resource: Some(ResourceMetricSource {
            name: resource.to_owned(),
            target: MetricTarget {
                type_: "Utilization".to_owned(),
                average_utilization: Some(percent),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    }
}
