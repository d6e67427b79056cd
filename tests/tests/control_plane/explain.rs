//! What `kubectl explain` tells.

use std::collections::BTreeMap;

use medical_tests::{commands::kubectl, eventually, waiting::seconds};
use serde_json::Value;

/// Paths of all leaves of a schema, with their descriptions.
fn leaves(schema: &Value, path: &str, found: &mut BTreeMap<String, String>) {
    let properties = schema["properties"]
        .as_object()
        .or_else(|| schema["items"]["properties"].as_object());
    match properties {
        Some(properties) => {
            for (name, property) in properties {
                leaves(property, &format!("{path}.{name}"), found);
            }
        }
        None => {
            found.insert(
                path.to_owned(),
                schema["description"].as_str().unwrap_or_default().to_owned(),
            );
        }
    }
}

#[tokio::test]
async fn every_leaf_of_the_spec_is_explained() {
    let crd =
        kubectl(&["get", "crd", "medicaldeployments.medops.dev", "-o", "json"]).expect("the definition");
    let crd: Value = serde_json::from_str(&crd).expect("JSON");
    let mut found = BTreeMap::new();
    leaves(
        &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"],
        "md.spec",
        &mut found,
    );
    assert!(found.len() > 50, "only {} leaves were found", found.len());
    let silent: Vec<_> = found
        .iter()
        .filter(|(_, text)| text.len() < 10)
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "no description: {silent:?}");
    // kubectl looks kinds up in a cache that may be older than the definition.
    let explained = eventually("kubectl explain", seconds(30), || async {
        kubectl(&["explain", "medicaldeployments.spec.database.managed.instances"])
    })
    .await;
    assert!(explained.contains("production needs at least 2"), "{explained}");
}
