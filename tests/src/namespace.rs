//! A namespace for one test.

use std::{fs, panic::AssertUnwindSafe, path::PathBuf};

use anyhow::{Context, bail};
use futures::FutureExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use medical_crds::MedicalDeployment;
use serde_json::{Value, json};

use crate::{
    commands::kubectl,
    waiting::{eventually, seconds},
};

/// A cluster and a namespace of one's own in it.
#[derive(Clone)]
pub struct Lab {
    /// The cluster.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
}

/// A client for the cluster under test.
///
/// # Panics
/// When there is none: the tests of a tier are run by `cargo xtask test --tier TIER`.
pub async fn client() -> Client {
    assert!(
        std::env::var_os("KUBECONFIG").is_some() && std::env::var_os("MEDOPS_TEST_KUBECONFIG").is_some(),
        "there is no cluster to test: run `cargo xtask test --tier cluster` (or control-plane)"
    );
    Client::try_default()
        .await
        .expect("the kubeconfig of the tests names a cluster")
}

/// Runs a test in a namespace of its own. A test that fails leaves a folder with what happened there; one that
/// succeeds leaves nothing.
///
/// # Panics
/// When the test does.
pub async fn in_namespace<F, Fut>(name: &str, test: F)
where
    F: FnOnce(Lab) -> Fut,
    Fut: Future<Output = ()>,
{
    in_namespace_to_make(name, async |lab| {
        let object = serde_json::from_value(json!({"metadata": {"name": lab.namespace, "labels": {
            // The strictest standard, enforced by the API server: a pod of ours that needs more does not start.
            "pod-security.kubernetes.io/enforce": "restricted",
        }}}))
        .expect("a namespace");
        Api::<Namespace>::all(lab.client.clone())
            .create(&PostParams::default(), &object)
            .await
            .expect("the namespace is created");
        test(lab).await;
    })
    .await;
}

/// Runs a test as [`in_namespace`] does, but leaves it to the test to create the namespace.
///
/// # Panics
/// When the test does.
pub async fn in_namespace_to_make<F, Fut>(name: &str, test: F)
where
    F: FnOnce(Lab) -> Fut,
    Fut: Future<Output = ()>,
{
    let client = client().await;
    let namespace = format!("t-{name}-{}", std::process::id());
    let lab = Lab {
        client: client.clone(),
        namespace: namespace.clone(),
    };
    let result = AssertUnwindSafe(test(lab)).catch_unwind().await;
    if let Err(panic) = result {
        let folder = dump(&namespace);
        eprintln!("what happened in {namespace} is in {}", folder.display());
        std::panic::resume_unwind(panic);
    }
    Api::<Namespace>::all(client)
        .delete(&namespace, &DeleteParams::background())
        .await
        .expect("the namespace is deleted");
}

/// Writes resources, Events and logs of a namespace into a folder.
fn dump(namespace: &str) -> PathBuf {
    let root = std::env::var_os("MEDOPS_TEST_FAILURES").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = root.join(namespace);
    let _ = fs::create_dir_all(&folder);
    let kinds = "md,clusters.postgresql.cnpg.io,deployments,pods,jobs,cronjobs,services,networkpolicies,hpa,pdb,pvc,serviceaccounts";
    let keep = |file: &str, arguments: &[&str]| {
        let text = kubectl(arguments).unwrap_or_else(|error| format!("{error:#}"));
        let _ = fs::write(folder.join(file), text);
    };
    keep("resources.txt", &["-n", namespace, "get", kinds, "-o", "wide"]);
    keep("resources.yaml", &["-n", namespace, "get", kinds, "-o", "yaml"]);
    keep(
        "events.txt",
        &[
            "-n",
            namespace,
            "get",
            "events",
            "--sort-by=.metadata.creationTimestamp",
        ],
    );
    keep(
        "operator.log",
        &[
            "-n",
            "medical-operator-system",
            "logs",
            "-l",
            "app.kubernetes.io/name=medical-operator",
            "--tail=2000",
        ],
    );
    for pod in kubectl(&["-n", namespace, "get", "pods", "-o", "name"])
        .unwrap_or_default()
        .lines()
    {
        let file = format!("{}.log", pod.trim_start_matches("pod/"));
        keep(
            &file,
            &[
                "-n",
                namespace,
                "logs",
                pod,
                "--all-containers",
                "--prefix",
                "--tail=500",
            ],
        );
    }
    folder
}

impl Lab {
    /// The deployments of the namespace.
    pub fn deployments(&self) -> Api<MedicalDeployment> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Objects of a built-in kind in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies a deployment as a user would, and returns what the API server answered.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn apply(&self, name: &str, spec: Value) -> kube::Result<MedicalDeployment> {
        let object = json!({
            "apiVersion": "medops.dev/v1alpha1",
            "kind": "MedicalDeployment",
            "metadata": {"name": name},
            "spec": spec,
        });
        self.deployments()
            .patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object))
            .await
    }

    /// Applies a deployment and waits until it is ready.
    ///
    /// # Panics
    /// When it is refused or not ready within five minutes.
    pub async fn deploy(&self, name: &str, spec: Value) {
        self.apply(name, spec).await.expect("accepted");
        self.ready(name).await;
    }

    /// The deployment now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn get(&self, name: &str) -> anyhow::Result<MedicalDeployment> {
        self.deployments()
            .get(name)
            .await
            .with_context(|| format!("MedicalDeployment {name}"))
    }

    /// Waits until a condition has the status, at the present generation, and returns its reason and message.
    ///
    /// # Panics
    /// When that takes longer than `deadline`.
    pub async fn condition(&self, name: &str, type_: &str, status: &str, deadline: u64) -> (String, String) {
        eventually(
            &format!("{type_}={status} of {name}"),
            seconds(deadline),
            || async {
                let deployment = self.get(name).await?;
                let found = condition_of(&deployment, type_)?;
                if found.0 != status {
                    bail!("{type_} is {}: {}: {}", found.0, found.1, found.2);
                }
                Ok((found.1, found.2))
            },
        )
        .await
    }

    /// Waits until the deployment is ready at its present generation.
    ///
    /// # Panics
    /// When that takes longer than five minutes.
    pub async fn ready(&self, name: &str) {
        self.condition(name, "Ready", "True", 300).await;
    }
}

/// Status, reason and message of a condition at the present generation.
///
/// # Errors
/// When there is none, or it describes an earlier generation.
pub fn condition_of(deployment: &MedicalDeployment, type_: &str) -> anyhow::Result<(String, String, String)> {
    let status = deployment.status.as_ref().context("no status yet")?;
    let condition = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)
        .with_context(|| format!("no condition {type_} yet"))?;
    if condition.observed_generation != deployment.metadata.generation {
        bail!("{type_} describes an earlier generation");
    }
    Ok((
        condition.status.clone(),
        condition.reason.clone(),
        condition.message.clone(),
    ))
}

/// A spec for development that needs as little of a small machine as it can.
pub fn small() -> Value {
    json!({
        "app": {"replicas": 1, "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}}},
        "database": {"managed": {
            "storage": {"size": "1Gi"},
            "resources": {"requests": {"cpu": "10m", "memory": "128Mi"}},
        }},
        "backup": {"logical": {"storage": {"size": "1Gi"}}},
    })
}

/// Merges `changes` into a spec, objects by key, everything else by replacement.
pub fn merged(mut base: Value, changes: Value) -> Value {
    match (&mut base, changes) {
        (Value::Object(fields), Value::Object(changes)) => {
            for (key, change) in changes {
                let before = fields.remove(&key).unwrap_or(Value::Null);
                fields.insert(key, merged(before, change));
            }
            base
        }
        (_, change) => change,
    }
}
