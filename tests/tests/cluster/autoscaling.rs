//! The autoscaler and the operator do not fight.

use anyhow::ensure;
use k8s_openapi::api::apps::v1::Deployment;
use medical_tests::{
    commands::kubectl, eventually, in_namespace, namespace::merged, namespace::small, waiting::seconds,
};
use serde_json::json;

#[tokio::test]
async fn the_autoscaler_scales_up_under_load_and_down_again_and_the_operator_claims_no_replicas() {
    in_namespace("hpa", async |lab| {
        // An application that burns CPU while a file exists.
        let burn = "mkdir -p /tmp/www; httpd -p 8080 -h /tmp/www; while :; do if [ -e /tmp/burn ]; then n=0; while [ $n -lt 20000 ]; do n=$((n+1)); done; else sleep 1; fi; done";
        let fixed = merged(small(), json!({"app": {
            "image": "docker.io/library/busybox:latest", "command": ["sh", "-c", burn], "replicas": 2,
            "resources": {"requests": {"cpu": "50m"}, "limits": {"cpu": "200m"}}}}));
        lab.deploy("clinic", fixed.clone()).await;
        let replicas = || async {
            let deployment = lab.api::<Deployment>().get("clinic").await?;
            Ok::<_, anyhow::Error>(deployment.spec.and_then(|spec| spec.replicas).unwrap_or_default())
        };
        let scaled = merged(fixed, json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 4, "targetCpuPercent": 50, "scaleDownAfterSeconds": 0}}));
        lab.apply("clinic", scaled).await.expect("accepted");
        lab.condition("clinic", "AutoscalingReady", "True", 120).await;
        assert_eq!(replicas().await.expect("read"), 2, "the hand-over kept the number of pods");

        let owns = || async {
            let deployment = lab.api::<Deployment>().get("clinic").await?;
            let fields = serde_json::to_value(&deployment.metadata.managed_fields)?;
            Ok::<_, anyhow::Error>(fields.as_array().into_iter().flatten().any(|entry| {
                entry["manager"] == "medical-operator/children" && entry.pointer("/fieldsV1/f:spec/f:replicas").is_some()
            }))
        };
        let pod = kubectl(&["-n", &lab.namespace, "get", "pod", "-l", "app.kubernetes.io/component=app", "-o", "jsonpath={.items[0].metadata.name}"]).expect("a pod");
        let other = kubectl(&["-n", &lab.namespace, "get", "pod", "-l", "app.kubernetes.io/component=app", "-o", "jsonpath={.items[1].metadata.name}"]).expect("a pod");
        for pod in [&pod, &other] {
            kubectl(&["-n", &lab.namespace, "exec", pod, "--", "touch", "/tmp/burn"]).expect("load");
        }
        eventually("more pods under load", seconds(180), || async {
            let now = replicas().await?;
            ensure!(now > 2, "{now} pods");
            Ok(())
        })
        .await;
        assert!(!owns().await.expect("read"), "the operator claims spec.replicas");
        for pod in [&pod, &other] {
            let _ = kubectl(&["-n", &lab.namespace, "exec", pod, "--", "rm", "-f", "/tmp/burn"]);
        }
        eventually("fewer pods without load", seconds(240), || async {
            let now = replicas().await?;
            ensure!(now == 2, "{now} pods");
            Ok(())
        })
        .await;
        assert!(!owns().await.expect("read"), "the operator claims spec.replicas");
    })
    .await;
}
