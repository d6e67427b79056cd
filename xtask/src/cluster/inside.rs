//! Running commands inside a cluster: in its network, with its kubeconfig, with its programs first in the path.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Error, Result};

use super::instance::{Instance, Tier};
use super::network;
use crate::command::Run;
use crate::places::Places;

/// The variables that point a Kubernetes client at the instance. Caches of kubectl and Helm go with it too.
pub(crate) fn environment(instance: &Instance, places: &Places) -> Result<Vec<(&'static str, OsString)>> {
    let present = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths(std::iter::once(places.binaries()).chain(std::env::split_paths(&present)))
            .context("PATH cannot be extended")?;
    let helm = instance.folder().join("helm");
    Ok(vec![
        ("KUBECONFIG", instance.kubeconfig().into()),
        ("KUBECACHEDIR", instance.folder().join("kubectl-cache").into()),
        ("HELM_CACHE_HOME", helm.join("cache").into()),
        ("HELM_CONFIG_HOME", helm.join("config").into()),
        ("HELM_DATA_HOME", helm.join("data").into()),
        ("PATH", path),
        ("MEDOPS_TEST_KUBECONFIG", instance.kubeconfig().into()),
        (
            "MEDOPS_TEST_OPERATOR_KUBECONFIG",
            instance.pki().join("operator.kubeconfig").into(),
        ),
        ("MEDOPS_TEST_AUDIT_LOG", instance.audit_log().into()),
        ("MEDOPS_TEST_TIER", tier_name(instance.tier).into()),
    ])
}

/// The tier as the command line says it.
pub(crate) fn tier_name(tier: Tier) -> &'static str {
    match tier {
        Tier::Cluster => "cluster",
        Tier::ControlPlane => "control-plane",
    }
}

/// A program that will run inside, described for [`Run`].
pub(crate) fn run(instance: &Instance, places: &Places, program: impl AsRef<OsStr>) -> Result<Run> {
    let mut run = match instance.network_namespace() {
        // Never `ip netns exec`: it mounts /sys anew and hides the control groups.
        Some(namespace) => Run::new("nsenter")
            .arg(format!("--net={}", namespace.display()))
            .arg("--")
            .arg(program),
        None => Run::new(program),
    };
    for (name, value) in environment(instance, places)? {
        run = run.env(name, value);
    }
    Ok(run)
}

/// kubectl as the cluster's administrator.
pub(crate) fn kubectl(instance: &Instance, places: &Places) -> Result<Run> {
    run(instance, places, program(places, "kubectl"))
}

/// The program built here, else the one of that name in PATH (with kind, people have their own).
pub(crate) fn program(places: &Places, name: &str) -> OsString {
    let built = places.binaries().join(name);
    if built.is_file() {
        built.into()
    } else {
        name.into()
    }
}

/// Becomes the command: on success this never returns.
pub(crate) fn become_command(instance: &Instance, places: &Places, command: &[OsString]) -> Result<Error> {
    let (program, arguments) = command.split_first().context("which command?")?;
    let environment = environment(instance, places)?;
    if let Some(namespace) = instance.network_namespace() {
        network::enter(&namespace)?;
        network::resolve_names(instance)?;
    }
    let mut command = Command::new(resolved(program, &environment));
    command.args(arguments).envs(environment);
    let error = command.exec();
    Ok(Error::new(error).context(format!("cannot start {}", program.to_string_lossy())))
}

/// The cluster's own programs first, whatever the caller's path says.
fn resolved(program: &OsStr, environment: &[(&'static str, OsString)]) -> OsString {
    if program.to_string_lossy().contains('/') {
        return program.to_owned();
    }
    let path = environment
        .iter()
        .find(|(name, _)| *name == "PATH")
        .map(|(_, value)| value.clone())
        .unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .map_or_else(|| program.to_owned(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::instance::Provider;

    #[test]
    fn commands_get_the_kubeconfig_and_the_programs_of_the_instance() {
        let places = Places::at("/repository", "/cache");
        let instance = Instance::new(&places, "one", Tier::ControlPlane, Provider::Local).unwrap();
        let environment = environment(&instance, &places).unwrap();
        let get = |name| {
            environment
                .iter()
                .find(|(key, _)| *key == name)
                .unwrap()
                .1
                .to_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(
            get("KUBECONFIG"),
            "/cache/control-planes/one/pki/admin.kubeconfig"
        );
        assert!(get("PATH").starts_with("/cache/bin:"));
    }

    #[test]
    fn a_cluster_with_a_network_of_its_own_is_entered_and_a_control_plane_is_not() {
        let places = Places::at("/repository", "/cache");
        let cluster = Instance::new(&places, "cluster", Tier::Cluster, Provider::Local).unwrap();
        let line = run(&cluster, &places, "true").unwrap().line();
        assert_eq!(line, "nsenter --net=/run/netns/medops -- true");
        let control_plane = Instance::new(&places, "one", Tier::ControlPlane, Provider::Local).unwrap();
        assert_eq!(run(&control_plane, &places, "true").unwrap().line(), "true");
    }
}
