//! What a delete removes and what it keeps.

use anyhow::ensure;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::PersistentVolumeClaim};
use kube::api::{DeleteParams, ListParams};
use medical_tests::{
    api::{ApiClient, planted, planted_patient},
    commands::kubectl,
    eventually, in_namespace,
    namespace::{merged, small},
    waiting::seconds,
};
use serde_json::json;

#[tokio::test]
async fn a_deployment_deleted_with_retain_and_made_again_has_its_patients() {
    in_namespace("retain", async |lab| {
        lab.deploy("clinic", small()).await;
        let api = ApiClient::of_clinician(&lab, "clinic").await;
        let id = api.create_patient(&planted_patient()).await.expect("created");

        lab.deployments()
            .delete("clinic", &DeleteParams::default())
            .await
            .expect("deleted");
        eventually("the workload is gone", seconds(60), || async {
            ensure!(
                lab.api::<Deployment>().get_opt("clinic").await?.is_none(),
                "still there"
            );
            Ok(())
        })
        .await;
        let kept = kubectl(&[
            "-n",
            &lab.namespace,
            "get",
            "cluster,pvc,secret,networkpolicy",
            "-o",
            "name",
        ])
        .expect("listed");
        for name in [
            "clinic-db",
            "clinic-keys",
            "clinic-db-app",
            "clinic-db-owner",
            "clinic-backup-key",
            "clinic-default-deny",
            "clinic-database",
        ] {
            assert!(kept.contains(&format!("/{name}\n")), "{name} is gone:\n{kept}");
        }

        lab.deploy("clinic", small()).await;
        let api = ApiClient::of_clinician(&lab, "clinic").await;
        assert_eq!(
            api.patient(&id).await.expect("read")["familyName"],
            planted::FAMILY_NAME
        );
    })
    .await;
}

#[tokio::test]
async fn a_deployment_deleted_with_delete_leaves_nothing_but_the_event_that_says_so() {
    in_namespace("delete", async |lab| {
        lab.deploy("clinic", merged(small(), json!({"deletionPolicy": "Delete"}))).await;
        lab.deployments().delete("clinic", &DeleteParams::default()).await.expect("deleted");
        let kinds = "md,cluster,deployment,job,cronjob,service,networkpolicy,pdb,hpa,pod,pvc,secret,configmap,serviceaccount";
        eventually("everything is gone", seconds(120), || async {
            let left = kubectl(&["-n", &lab.namespace, "get", kinds, "-o", "name"])?;
            let left: Vec<&str> =
                left.lines().filter(|name| !name.ends_with("/kube-root-ca.crt") && *name != "serviceaccount/default").collect();
            ensure!(left.is_empty(), "{left:?}");
            Ok(())
        })
        .await;
        let volumes = lab.api::<PersistentVolumeClaim>().list(&ListParams::default()).await.expect("listed");
        assert!(volumes.items.is_empty());
        let events = kubectl(&["-n", &lab.namespace, "get", "events", "-o", "jsonpath={.items[*].reason}"]).expect("events");
        assert!(events.contains("DataNotRetained") && events.contains("DeletingData"), "{events}");
    })
    .await;
}
