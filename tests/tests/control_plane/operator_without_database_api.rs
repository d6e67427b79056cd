//! The operator while CloudNativePG is not there, and when it appears.

use std::process::{Child, Command, Stdio};

use anyhow::Context;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use medical_tests::{commands::kubectl, eventually, in_namespace, waiting::seconds};
use serde_json::json;

/// Ends the operator with the test.
struct Operator(Child);

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn operator() -> Operator {
    let program =
        std::env::var("MEDOPS_TEST_OPERATOR").expect("MEDOPS_TEST_OPERATOR: run by `cargo xtask test`");
    Operator(
        Command::new(program)
            .args([
                "run",
                "--admin-listen",
                "127.0.0.1:0",
                "--namespace",
                "default",
                "--lease",
                "test-operator",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the operator starts"),
    )
}

const CLUSTERS: &str = "clusters.postgresql.cnpg.io";

#[tokio::test]
async fn a_missing_cloudnative_pg_is_told_with_a_remedy_and_overcome_when_it_appears() {
    in_namespace("no-cnpg", async |lab| {
        let crd = kubectl(&["get", "crd", CLUSTERS, "-o", "json"]).expect("the Cluster definition");
        kubectl(&["delete", "crd", CLUSTERS, "--wait"]).expect("the definition is removed");
        let _operator = operator();
        lab.apply("clinic", json!({})).await.expect("accepted");
        let (reason, message) = lab.condition("clinic", "Ready", "False", 60).await;
        assert_eq!(reason, "CloudNativePGMissing");
        assert!(message.contains("install CloudNativePG"), "{message}");

        let mut definition: serde_json::Value = serde_json::from_str(&crd).expect("JSON");
        definition["metadata"] =
            json!({"name": CLUSTERS, "annotations": definition["metadata"]["annotations"]});
        definition.as_object_mut().expect("an object").remove("status");
        medical_tests::commands::run_with_input(
            "kubectl",
            &["apply", "--server-side", "-f", "-"],
            &definition.to_string(),
        )
        .expect("the definition is back");
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("postgresql.cnpg.io", "v1", "Cluster"));
        let clusters =
            kube::Api::<DynamicObject>::namespaced_with(lab.client.clone(), &lab.namespace, &resource);
        eventually("the Cluster", seconds(90), || async {
            clusters.get_opt("clinic-db").await?.context("not there yet")
        })
        .await;
    })
    .await;
}
