//! The Service of the application, and the address that follows from it.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use medical_crds::{
    MedicalDeployment,
    names::{Component, Names},
    spec::{MedicalDeploymentSpec, Scheme},
};

use super::{Inputs, Lifetime};

/// Name of the application's port, in the container and in the Service.
pub(crate) fn port_name(spec: &MedicalDeploymentSpec) -> &'static str {
    match spec.effective_scheme() {
        Scheme::Https => "https",
        Scheme::Http => "http",
    }
}

/// Port of the Service.
pub fn port(spec: &MedicalDeploymentSpec) -> i32 {
    match spec.effective_scheme() {
        Scheme::Https => 443,
        Scheme::Http => 80,
    }
}

/// Name of the Service inside the cluster, without the cluster's own domain.
pub fn host(deployment: &MedicalDeployment, names: &Names) -> String {
    let namespace = deployment.metadata.namespace.as_deref().unwrap_or_default();
    format!("{}.{namespace}.svc", names.app())
}

/// Address under which people reach the application: `domain.primary`, else the Service's name. In front of a domain
/// stands TLS, whether the application speaks it or what routes to it.
pub fn public_url(deployment: &MedicalDeployment, names: &Names) -> String {
    let spec = &deployment.spec;
    match spec.domain.as_ref().and_then(|domain| domain.primary.as_ref()) {
        Some(primary) => format!("https://{primary}"),
        None => format!("{}://{}", port_name(spec), host(deployment, names)),
    }
}

/// The Service.
pub fn build(inputs: &Inputs) -> Service {
    let spec = &inputs.deployment.spec;
    let name = port_name(spec);
    Service {
        metadata: inputs.metadata(inputs.names.app(), Component::App, Lifetime::Workload),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(inputs.names.component_selector(Component::App)),
            ports: Some(vec![ServicePort {
                name: Some(name.to_owned()),
                app_protocol: Some(name.to_owned()),
                port: port(spec),
                protocol: Some("TCP".to_owned()),
                target_port: Some(IntOrString::String(name.to_owned())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}
