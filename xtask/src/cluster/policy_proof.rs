//! Proof by traffic that network policies are enforced. A policy that nobody enforces looks exactly like one that
//! somebody does, so a cluster is not called ready before a connection was seen to be refused by one.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::inside;
use super::instance::{Instance, write_whole};
use super::report::Report;
use crate::images::table::TOOLBOX_REFERENCE;
use crate::places::Places;
use crate::progress::Step;
use crate::schedule::Outcome;

const NAMESPACE: &str = "medops-policy-proof";
/// A controller that takes longer after a change is as good as none.
const PATIENCE: Duration = Duration::from_secs(40);
const PORT: &str = "8080";

/// Connects before there is a policy, then with one that admits one of two clients.
pub(crate) fn prove(instance: &Instance, places: &Places, step: &Step) -> Result<Outcome> {
    let record = instance.run().join("policies-proven");
    let enforcer = enforcer(instance);
    if enforcer.is_some() && fs::read_to_string(&record).ok() == enforcer {
        return Ok(Outcome::Current);
    }
    let cluster = Cluster { instance, places };
    let begun = Instant::now();
    step.at("starting a server and two clients");
    cluster.apply(&pods())?;
    cluster.wait_for_pods()?;
    let server = cluster.kubectl(&["get", "pod", "server", "-o", "jsonpath={.status.podIP}"])?;

    step.at("connecting without a policy");
    for client in ["admitted", "stranger"] {
        cluster
            .until(true, client, &server)
            .context("pods do not reach each other even without a policy")?;
    }
    step.at("connecting with a policy");
    cluster.apply(&policy())?;
    cluster.until(false, "stranger", &server).context(
        "this cluster does not enforce NetworkPolicies: a connection that a policy forbids still succeeds.\n\
         remedy: look at `cargo xtask logs kube-router` (on kind: use version 0.24 or newer, whose network enforces them)",
    )?;
    cluster
        .until(true, "admitted", &server)
        .context("a connection that the policy admits is refused")?;
    let took = begun.elapsed();
    cluster.kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"])?;
    if let Some(enforcer) = enforcer {
        write_whole(&record, enforcer.as_bytes())?;
    }
    Ok(Outcome::Done(format!(
        "one connection admitted, one refused ({:.1} s)",
        took.as_secs_f64()
    )))
}

/// Identifies the enforcing process of the cluster tier: the proof holds for as long as that one runs.
fn enforcer(instance: &Instance) -> Option<String> {
    let report = Report::of(instance)?;
    let process = report
        .processes
        .iter()
        .find(|process| process.name == "kube-router")?
        .process?;
    serde_json::to_string(&process).ok()
}

struct Cluster<'a> {
    instance: &'a Instance,
    places: &'a Places,
}

impl Cluster<'_> {
    fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        inside::kubectl(self.instance, self.places)?
            .args(["-n", NAMESPACE])
            .args(arguments)
            .output()
    }

    fn apply(&self, list: &Value) -> Result<()> {
        inside::kubectl(self.instance, self.places)?
            .args([
                "apply",
                "--server-side",
                "--force-conflicts",
                "--field-manager=medops-xtask",
                "-f",
                "-",
            ])
            .input(list.to_string())
            .done()
    }

    fn wait_for_pods(&self) -> Result<()> {
        self.kubectl(&["wait", "--for=condition=Ready", "pod", "--all", "--timeout=90s"])
            .map(drop)
            .map_err(|error| {
                let pods = self.kubectl(&["describe", "pods"]).unwrap_or_default();
                let events: Vec<&str> = pods.lines().filter(|line| line.contains("Warning")).collect();
                error.context(format!(
                    "the pods of the proof do not start\n{}",
                    events.join("\n")
                ))
            })
    }

    /// Polls until a connection succeeds, or fails, as wanted.
    fn until(&self, wanted: bool, client: &str, server: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // nc ends with 0 when the connection was made, with 1 when it was refused or timed out.
            let connected = inside::kubectl(self.instance, self.places)?
                .args([
                    "-n", NAMESPACE, "exec", client, "--", "nc", "-z", "-w", "1", server, PORT,
                ])
                .succeeds();
            if connected == wanted {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "the connection from {client} {} after {} s",
                    if wanted { "still fails" } else { "still succeeds" },
                    PATIENCE.as_secs()
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn pods() -> Value {
    let pod = |name: &str, command: &[&str]| {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"proof": name}},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": false,
                "containers": [{
                    "name": "toolbox",
                    "image": TOOLBOX_REFERENCE,
                    "imagePullPolicy": "IfNotPresent",
                    "command": command,
                    "securityContext": {
                        "runAsNonRoot": true, "runAsUser": 65534, "allowPrivilegeEscalation": false,
                        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
                    },
                }],
            },
        })
    };
    json!({
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
            },
            pod("server", &["nc", "-l", "-k", "-p", PORT]),
            pod("admitted", &["sleep", "3600"]),
            pod("stranger", &["sleep", "3600"]),
        ],
    })
}

fn policy() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "admit-one", "namespace": NAMESPACE},
        "spec": {
            "podSelector": {"matchLabels": {"proof": "server"}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"proof": "admitted"}}}]}],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_admits_one_of_the_two_clients() {
        let labels: Vec<Value> = pods()["items"].as_array().unwrap()[1..]
            .iter()
            .map(|pod| pod["metadata"]["labels"]["proof"].clone())
            .collect();
        assert_eq!(labels, ["server", "admitted", "stranger"]);
        let policy = policy();
        assert_eq!(policy["spec"]["podSelector"]["matchLabels"]["proof"], "server");
        assert_eq!(policy["spec"]["ingress"].as_array().unwrap().len(), 1);
    }
}
