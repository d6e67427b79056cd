//! `manifests/install.yaml`, applied as the README says.

use std::collections::BTreeMap;

use anyhow::Context;
use medical_tests::{
    commands::{kubectl, run, run_with_input},
    eventually,
    waiting::seconds,
};
use serde_json::Value;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/install.yaml");
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/medical-operator");
const NAMESPACE: &str = "medical-operator-system";

type Objects = BTreeMap<String, Value>;

/// Objects by kind, namespace and name.
fn by_name(objects: impl IntoIterator<Item = Value>) -> Objects {
    objects
        .into_iter()
        .filter(|object| !object.is_null())
        .map(|object| {
            let metadata = &object["metadata"];
            let parts = [&object["kind"], &metadata["namespace"], &metadata["name"]];
            (
                parts.map(|part| part.as_str().unwrap_or_default()).join("/"),
                object,
            )
        })
        .collect()
}

fn parsed(manifests: &str) -> Objects {
    by_name(serde_saphyr::from_multiple::<Value>(manifests).expect("YAML"))
}

/// The objects of the manifest as the API server has them, but for what controllers write into them.
fn live() -> anyhow::Result<Objects> {
    let list: Value = serde_json::from_str(&kubectl(&["get", "-f", FILE, "-o", "json"])?)?;
    let mut objects = list["items"].as_array().context("no list")?.clone();
    for object in &mut objects {
        let written_by_controllers = object.as_object_mut().and_then(|object| object.remove("status"));
        let metadata = object["metadata"].as_object_mut().context("no metadata")?;
        metadata.remove("managedFields");
        if written_by_controllers.is_some() {
            metadata.remove("resourceVersion");
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("deployment.kubernetes.io/revision");
        }
    }
    Ok(by_name(objects))
}

fn apply() {
    kubectl(&["apply", "--server-side", "-f", FILE]).expect("applied");
}

/// Removes all but the definition, which the other tests need.
async fn clean_up(manifest: &Objects) {
    let removed: Vec<&Value> = manifest
        .values()
        .filter(|object| object["kind"] != "CustomResourceDefinition")
        .collect();
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": removed});
    let arguments = ["delete", "--ignore-not-found", "--wait=false", "-f", "-"];
    run_with_input("kubectl", &arguments, &list.to_string()).expect("deleted");
    eventually("the namespace is gone", seconds(60), || async {
        let left = kubectl(&["get", "namespace", NAMESPACE, "--ignore-not-found", "-o", "name"])?;
        anyhow::ensure!(left.is_empty(), "{left}");
        Ok(())
    })
    .await;
}

#[test]
fn the_manifest_holds_the_objects_of_the_chart_and_its_namespace() {
    let mut manifest = parsed(&std::fs::read_to_string(FILE).expect("the manifest"));
    let chart = run(
        "helm",
        &["template", "medical-operator", CHART, "--namespace", NAMESPACE],
    );
    let namespace = manifest.remove(&format!("Namespace//{NAMESPACE}"));
    assert!(namespace.is_some(), "the manifest makes no namespace");
    assert_eq!(manifest, parsed(&chart.expect("the chart renders")));
}

#[tokio::test]
async fn the_manifest_is_applied_as_a_whole_and_again_without_a_change() {
    let manifest = parsed(&std::fs::read_to_string(FILE).expect("the manifest"));
    clean_up(&manifest).await;
    apply();
    let first = live().expect("every object is there");
    let names = |objects: &Objects| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&first), names(&manifest));

    apply();
    assert_eq!(live().expect("every object is still there"), first);
    // The comparison sees a change of the least kind.
    kubectl(&[
        "-n",
        NAMESPACE,
        "label",
        "serviceaccount",
        "medical-operator",
        "seen=yes",
    ])
    .expect("labelled");
    assert_ne!(live().expect("every object is there"), first);
    clean_up(&manifest).await;
}
