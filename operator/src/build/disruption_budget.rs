//! The `PodDisruptionBudget` of the application.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use medical_crds::names::Component;

use super::{Inputs, Lifetime};

/// The budget: one pod at a time. A maximum, unlike a minimum, never blocks a node's drain when there is one pod
/// only, and a pod that is not ready anyway may always go.
pub fn build(inputs: &Inputs) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: inputs.metadata(inputs.names.app(), Component::App, Lifetime::Workload),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(inputs.names.component_selector(Component::App)),
                match_expressions: None,
            }),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}
