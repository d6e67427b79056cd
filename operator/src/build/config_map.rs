//! The `ConfigMap` with `spec.app.config.files`.

use k8s_openapi::api::core::v1::ConfigMap;
use medical_crds::names::Component;

use super::{Inputs, Lifetime};

/// The `ConfigMap`; none without files.
pub fn build(inputs: &Inputs) -> Option<ConfigMap> {
    let config = inputs
        .deployment
        .spec
        .app
        .config
        .as_ref()
        .filter(|config| !config.files.is_empty())?;
    Some(ConfigMap {
        metadata: inputs.metadata(inputs.names.config(), Component::App, Lifetime::Workload),
        data: Some(config.files.clone()),
        ..ConfigMap::default()
    })
}
