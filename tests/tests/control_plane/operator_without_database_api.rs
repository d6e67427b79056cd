//! The operator while CloudNativePG is not there, and when it appears.

use anyhow::Context;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use medical_tests::{commands::kubectl, eventually, in_namespace, waiting::seconds};
use serde_json::json;

use crate::operator_process::{self, Operator};

const CLUSTERS: &str = "clusters.postgresql.cnpg.io";

#[tokio::test]
async fn a_missing_cloudnative_pg_is_told_with_a_remedy_and_overcome_when_it_appears() {
    let _alone = operator_process::alone().await;
    in_namespace("no-cnpg", async |lab| {
        let crd = kubectl(&["get", "crd", CLUSTERS, "-o", "json"]).expect("the Cluster definition");
        kubectl(&["delete", "crd", CLUSTERS, "--wait"]).expect("the definition is removed");
        let _operator = Operator::start("without-database-api").await;
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
