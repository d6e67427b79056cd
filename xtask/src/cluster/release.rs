//! Our operator, installed by its chart, and a sample resource for it.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::json;

use super::addons::rolled_out;
use super::inside;
use super::instance::Instance;
use crate::places::Places;
use crate::progress::Step;
use crate::schedule::Outcome;

/// The release, its Deployment and its service account.
pub(crate) const RELEASE: &str = "medical-operator";
/// The operator's namespace.
pub(crate) const NAMESPACE: &str = "medical-operator-system";
/// The sample's namespace.
pub(crate) const SAMPLE_NAMESPACE: &str = "medical-sample";
/// The sample's name.
pub(crate) const SAMPLE: &str = "clinic";

/// A database, a migration and two rollouts on a busy machine.
const SAMPLE_PATIENCE: Duration = Duration::from_mins(7);

/// Installs or upgrades the chart; `restart` when the image behind the same tag is another one now.
pub(crate) fn install(instance: &Instance, places: &Places, restart: bool, step: &Step) -> Result<Outcome> {
    let chart = places.repository.join("charts").join(RELEASE);
    if !chart.join("Chart.yaml").is_file() {
        bail!(
            "{} is missing; to do without the operator: --without-operator",
            chart.display()
        );
    }
    step.at("helm upgrade --install");
    let helm = || inside::run(instance, places, inside::program(places, "helm"));
    let install = || {
        helm()?
            .args(["upgrade", "--install", RELEASE])
            .arg(&chart)
            .args([
                "--namespace",
                NAMESPACE,
                "--create-namespace",
                "--wait",
                "--timeout",
                "3m",
            ])
            .done()
    };
    let mut installed = install();
    if installed
        .as_ref()
        .is_err_and(|error| format!("{error:#}").contains("another operation"))
    {
        // An interrupted run left a release that Helm believes to be under way. The definitions stay (keep policy).
        helm()?
            .args(["uninstall", RELEASE, "--namespace", NAMESPACE, "--wait"])
            .done()?;
        installed = install();
    }
    if installed.is_err() && exists(instance, places)? {
        // Helm says only that it waited; the pods say why.
        rolled_out(instance, places, NAMESPACE, RELEASE)?;
    }
    installed?;
    if restart {
        step.at("restarting it with its new image");
        let deployment = format!("deployment/{RELEASE}");
        inside::kubectl(instance, places)?
            .args(["-n", NAMESPACE, "rollout", "restart", &deployment])
            .done()?;
    }
    rolled_out(instance, places, NAMESPACE, RELEASE)?;
    Ok(Outcome::Done(format!("{NAMESPACE}/{RELEASE} is ready")))
}

/// Our custom resource alone, for a control plane in which the operator runs as a process, or not at all.
pub(crate) fn apply_types(instance: &Instance, places: &Places) -> Result<Outcome> {
    let types = places.repository.join("crds/generated/medicaldeployments.yaml");
    if !types.is_file() {
        return Ok(Outcome::Done(format!(
            "left out: {} is missing (cargo xtask generate)",
            types.display()
        )));
    }
    let kubectl = || inside::kubectl(instance, places);
    kubectl()?
        .args([
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=medops-xtask",
            "-f",
        ])
        .arg(&types)
        .done()?;
    kubectl()?
        .args(["wait", "--for=condition=Established", "--timeout=30s", "-f"])
        .arg(&types)
        .done()?;
    Ok(Outcome::Current)
}

/// Whether the operator's Deployment was made.
fn exists(instance: &Instance, places: &Places) -> Result<bool> {
    let deployment = format!("deployment/{RELEASE}");
    let get = inside::kubectl(instance, places)?;
    Ok(get
        .args([
            "-n",
            NAMESPACE,
            "get",
            &deployment,
            "--ignore-not-found",
            "-o",
            "name",
        ])
        .output()?
        .contains(RELEASE))
}

/// Lets the applications of all resources start again, from an image that changed behind its tag, and waits for them.
pub(crate) fn restart_applications(instance: &Instance, places: &Places, step: &Step) -> Result<()> {
    let kubectl = || inside::kubectl(instance, places);
    let ours = "app.kubernetes.io/managed-by=medical-operator,app.kubernetes.io/component=app";
    let names = "-o=jsonpath={range .items[*]}{.metadata.namespace} {.metadata.name}{\"\\n\"}{end}";
    let deployments = kubectl()?
        .args(["get", "deployments", "-A", "-l", ours, names])
        .output()?;
    for (namespace, name) in deployments.lines().filter_map(|line| line.split_once(' ')) {
        step.at(&format!("restarting {namespace}/{name} with its new image"));
        let deployment = format!("deployment/{name}");
        kubectl()?
            .args(["-n", namespace, "rollout", "restart", &deployment])
            .done()?;
        rolled_out(instance, places, namespace, name)?;
    }
    Ok(())
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Resource {
    metadata: Metadata,
    status: Status,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Metadata {
    generation: i64,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    reason: String,
    message: String,
    observed_generation: i64,
}

impl Resource {
    /// Whether it is ready as it is specified now; otherwise what it says.
    fn is_ready(&self) -> Result<(), String> {
        match self
            .status
            .conditions
            .iter()
            .find(|condition| condition.kind == "Ready")
        {
            None => Err("no operator has looked at it yet".to_owned()),
            Some(ready) if ready.observed_generation != self.metadata.generation => {
                Err("the operator has not seen its last change yet".to_owned())
            }
            Some(ready) if ready.status == "True" => Ok(()),
            Some(ready) => Err(format!("{}: {}", ready.reason, ready.message)),
        }
    }
}

/// Applies the minimal sample and waits until it is ready.
pub(crate) fn sample(instance: &Instance, places: &Places, step: &Step) -> Result<Outcome> {
    let file = places.repository.join("manifests/samples/minimal.yaml");
    let manifest = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": SAMPLE_NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    });
    let apply = |content: String| {
        inside::kubectl(instance, places)?
            .args([
                "-n",
                SAMPLE_NAMESPACE,
                "apply",
                "--server-side",
                "--field-manager=medops-xtask",
                "-f",
                "-",
            ])
            .input(content)
            .done()
    };
    apply(namespace.to_string())?;
    let begun = Instant::now();
    apply(manifest)?;
    let mut waited = false;
    loop {
        let text = inside::kubectl(instance, places)?
            .args([
                "-n",
                SAMPLE_NAMESPACE,
                "get",
                "medicaldeployments",
                SAMPLE,
                "-o",
                "json",
            ])
            .output()?;
        let resource: Resource = serde_json::from_str(&text).context("kubectl's answer")?;
        match resource.is_ready() {
            Ok(()) if waited => return Ok(Outcome::Done(format!("{SAMPLE_NAMESPACE}/{SAMPLE} is Ready"))),
            Ok(()) => return Ok(Outcome::Current),
            Err(why) => {
                step.at(&why);
                if begun.elapsed() > SAMPLE_PATIENCE {
                    let pods = inside::kubectl(instance, places)?
                        .args(["-n", SAMPLE_NAMESPACE, "get", "pods"])
                        .output()
                        .unwrap_or_default();
                    bail!(
                        "{SAMPLE_NAMESPACE}/{SAMPLE} is not Ready after {} s: {why}\n{pods}\n\
                         remedy: cargo xtask kubectl -n {SAMPLE_NAMESPACE} describe md {SAMPLE}",
                        SAMPLE_PATIENCE.as_secs()
                    );
                }
            }
        }
        waited = true;
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(condition: &str) -> Resource {
        serde_json::from_str(&format!(
            r#"{{"metadata": {{"generation": 2}}, "status": {{"conditions": [{condition}]}}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn ready_counts_only_when_it_was_told_of_the_present_generation() {
        let told = |generation| {
            resource(&format!(
                r#"{{"type": "Ready", "status": "True", "observedGeneration": {generation}}}"#
            ))
            .is_ready()
        };
        assert!(told(2).is_ok());
        assert!(told(1).unwrap_err().contains("last change"));
    }

    #[test]
    fn what_the_operator_says_is_passed_on() {
        let condition = r#"{"type": "Ready", "status": "False", "reason": "DatabaseNotReady", "message": "0 of 1",
            "observedGeneration": 2}"#;
        assert_eq!(
            resource(condition).is_ready().unwrap_err(),
            "DatabaseNotReady: 0 of 1"
        );
        assert!(resource("").is_ready().unwrap_err().contains("no operator"));
    }
}
