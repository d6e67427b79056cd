//! A thousand deployments under one operator: what it needs for them. Takes minutes, so that it is run by name:
//! `cargo xtask test --tier control-plane -- --ignored --nocapture thousand`.

use anyhow::ensure;
use futures::{StreamExt, stream};
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use medical_tests::{eventually, in_namespace, waiting::seconds};
use serde_json::{Value, json};

use crate::operator_process::{self, Operator};

const COUNT: usize = 1_000;
const LIMIT_KIB: u64 = 64 * 1024;

#[tokio::test]
#[ignore = "takes minutes: run by name"]
async fn a_thousand_deployments_fit_into_64_mebibytes() {
    let _alone = operator_process::alone().await;
    in_namespace("thousand", async |lab| {
        let operator = Operator::start("thousand").await;
        println!("idle: {} KiB", resident_kib(&operator, "VmRSS"));
        let begun = std::time::Instant::now();
        stream::iter(0..COUNT)
            .for_each_concurrent(16, |number| {
                let lab = lab.clone();
                async move {
                    lab.apply(&format!("d{number}"), json!({})).await.expect("accepted");
                }
            })
            .await;
        println!("{COUNT} applied after {} s", begun.elapsed().as_secs());

        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("postgresql.cnpg.io", "v1", "Cluster"));
        let clusters: Api<DynamicObject> =
            Api::namespaced_with(lab.client.clone(), &lab.namespace, &resource);
        let images = eventually("every Cluster is planned", seconds(1_200), || async {
            let list = clusters.list(&ListParams::default()).await?;
            let images: Vec<(String, Value)> = list
                .into_iter()
                .filter_map(|cluster| Some((cluster.metadata.name?, cluster.data["spec"]["imageName"].clone())))
                .collect();
            ensure!(images.len() == COUNT, "{} Clusters", images.len());
            Ok(images)
        })
        .await;
        println!("{COUNT} Clusters after {} s", begun.elapsed().as_secs());
        // No CloudNativePG runs here: what it would report is written in its place.
        stream::iter(images)
            .for_each_concurrent(16, |(name, image)| {
                let clusters = clusters.clone();
                async move {
                    let healthy = json!({"status": {
                        "phase": "Cluster in healthy state", "readyInstances": 1, "image": image, "currentPrimary": format!("{name}-1"),
                        "conditions": [{"type": "Ready", "status": "True", "reason": "ClusterIsReady",
                            "message": "ready", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
                        "managedRolesStatus": {"byStatus": {"reconciled": ["medical_app", "medical_backup"]}},
                    }});
                    clusters
                        .patch_status(&name, &PatchParams::default(), &Patch::Merge(&healthy))
                        .await
                        .expect("written");
                }
            })
            .await;
        let jobs: Api<Job> = lab.api();
        eventually("every init Job is there", seconds(1_800), || async {
            let count = jobs.list_metadata(&ListParams::default()).await?.items.len();
            ensure!(count == COUNT, "{count} Jobs");
            Ok(())
        })
        .await;
        let (now, most) = (resident_kib(&operator, "VmRSS"), resident_kib(&operator, "VmHWM"));
        println!("{COUNT} Jobs after {} s: {now} KiB, at most {most} KiB", begun.elapsed().as_secs());
        assert!(most <= LIMIT_KIB, "{most} KiB are more than {LIMIT_KIB} KiB");
    })
    .await;
}

/// A line of `/proc/PID/status`, in KiB.
fn resident_kib(operator: &Operator, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", operator.id())).expect("it runs");
    status
        .lines()
        .find_map(|text| {
            text.strip_prefix(line)?
                .strip_prefix(':')?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .expect("a number")
}
