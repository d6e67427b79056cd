//! What `up` says at the end: what there is, how to log in, what to try next.

use std::time::Duration;

use super::Extent;
use crate::cluster::instance::{Instance, Provider};
use crate::cluster::release::{NAMESPACE, SAMPLE, SAMPLE_NAMESPACE};
use crate::cluster::sample_user::Login;
use crate::progress::seconds;

/// For the cluster tier.
pub(super) fn cluster(
    instance: &Instance,
    extent: Extent,
    login: Option<&Login>,
    port: u16,
    took: Duration,
) -> String {
    let mut lines = vec![
        String::new(),
        format!("The cluster is ready ({}).", seconds(took)),
    ];
    let mut made =
        vec!["Kubernetes with DNS, volumes, metrics and enforced NetworkPolicies; CloudNativePG".to_owned()];
    if extent.operator {
        made.push(format!("the operator in namespace {NAMESPACE}"));
    }
    if extent.sample {
        made.push(format!(
            "MedicalDeployment {SAMPLE} in namespace {SAMPLE_NAMESPACE}, Ready"
        ));
    }
    lines.extend(made.into_iter().map(|line| format!("  · {line}")));
    if let Some(login) = login {
        lines.extend([
            String::new(),
            format!("The sample application, open in the background:  https://localhost:{port}"),
            format!("Log in as {} (the password is in that file):", login.email),
            format!("  curl --cacert {} \\", login.authority.display()),
            format!(
                "    --json @{} https://localhost:{port}/api/auth/login",
                login.request.display()
            ),
        ]);
    }
    lines.extend([String::new(), "Try next:".to_owned()]);
    if extent.sample {
        lines.push("  cargo xtask kubectl get md -A                what the operator says".to_owned());
        lines.push(format!(
            "  cargo xtask kubectl -n {SAMPLE_NAMESPACE} get all      what it made"
        ));
    }
    lines.extend([
        "  cargo xtask kubectl get pods -A              everything that runs".to_owned(),
        "  cargo xtask in bash                          a shell in the cluster's network".to_owned(),
    ]);
    if instance.provider == Provider::Local {
        lines.push("  cargo xtask status                           the processes behind it".to_owned());
    }
    lines.push("  cargo xtask down                             all of it gone".to_owned());
    lines.join("\n")
}

/// For a control plane.
pub(super) fn control_plane(instance: &Instance, took: Duration) -> String {
    let name = &instance.name;
    format!(
        "\nThe control plane “{name}” is ready ({}): https://127.0.0.1:{}\n  export KUBECONFIG={}\n\
         Try next:\n  cargo xtask kubectl --name {name} get nodes\n  cargo xtask down --name {name}",
        seconds(took),
        instance.ports.api_server,
        instance.kubeconfig().display(),
    )
}
