//! What happens to children that somebody deletes or edits, and what does not happen when nobody does.

use anyhow::{Context, ensure};
use futures::future::join_all;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service, networking::v1::NetworkPolicy};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use medical_tests::{
    audit_log,
    commands::kubectl,
    eventually, in_namespace,
    namespace::{merged, small},
    waiting::seconds,
};
use serde_json::json;

/// Kinds whose objects may be deleted without losing data. A Cluster and a volume claim may not.
const DELETABLE: [&str; 9] = [
    "serviceaccount",
    "networkpolicy",
    "job",
    "service",
    "deployment",
    "poddisruptionbudget",
    "cronjob",
    "secret/clinic-tls",
    "secret/clinic-ca",
];

const OURS: &str = "app.kubernetes.io/managed-by=medical-operator,app.kubernetes.io/instance=clinic";

#[tokio::test]
async fn a_child_that_is_deleted_or_edited_is_as_it_was_within_ten_seconds() {
    in_namespace("drift", async |lab| {
        lab.deploy("clinic", small()).await;
        let namespace = lab.namespace.as_str();

        for what in DELETABLE {
            let names: Vec<String> = match what.split_once('/') {
                Some(_) => vec![what.to_owned()],
                None => kubectl(&["-n", namespace, "get", what, "-l", OURS, "-o", "name"])
                    .expect("listed")
                    .lines()
                    .map(str::to_owned)
                    .collect(),
            };
            assert!(!names.is_empty(), "no {what}");
            for name in names {
                let uid = |output: &str| output.to_owned();
                let read = || kubectl(&["-n", namespace, "get", &name, "-o", "jsonpath={.metadata.uid}"]);
                let before = uid(&read().expect("there"));
                kubectl(&["-n", namespace, "delete", &name, "--wait=false"]).expect("deleted");
                eventually(&format!("{name} is back"), seconds(10), || async {
                    let now = read()?;
                    ensure!(!now.is_empty() && now != before, "still the former one");
                    Ok(())
                })
                .await;
            }
        }
        lab.ready("clinic").await;

        let merge = PatchParams::default();
        let services: Api<Service> = lab.api();
        services
            .patch("clinic", &merge, &Patch::Merge(json!({"spec": {"selector": {"app.kubernetes.io/component": "evil"}}})))
            .await
            .expect("edited");
        eventually("the Service's selector", seconds(10), || async {
            let selector = services.get("clinic").await?.spec.and_then(|spec| spec.selector).context("no selector")?;
            ensure!(selector["app.kubernetes.io/component"] == "app", "still edited");
            Ok(())
        })
        .await;
        let policies: Api<NetworkPolicy> = lab.api();
        policies
            .patch("clinic-default-deny", &merge, &Patch::Merge(json!({"spec": {"ingress": [{}]}})))
            .await
            .expect("edited");
        eventually("the default-deny policy", seconds(10), || async {
            let policy = policies.get("clinic-default-deny").await?;
            ensure!(policy.spec.and_then(|spec| spec.ingress).is_none_or(|rules| rules.is_empty()), "still open");
            Ok(())
        })
        .await;

        let deployments: Api<Deployment> = lab.api();
        let foreign = json!({"metadata": {"annotations": {"example.org/owner": "somebody"}}, "spec": {"paused": false}});
        deployments.patch("clinic", &merge, &Patch::Merge(foreign)).await.expect("annotated");
        let edited = json!({"spec": {"template": {"spec": {"automountServiceAccountToken": true}}}});
        deployments.patch("clinic", &merge, &Patch::Merge(edited)).await.expect("edited");
        eventually("the Deployment's pod template", seconds(10), || async {
            let deployment = deployments.get("clinic").await?;
            let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()).context("no pod")?;
            ensure!(pod.automount_service_account_token == Some(false), "still edited");
            ensure!(deployment.annotations().contains_key("example.org/owner"), "the annotation of somebody else is gone");
            Ok(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn an_object_of_somebody_else_is_never_taken_over() {
    in_namespace("foreign", async |lab| {
        let namespace = lab.namespace.as_str();
        kubectl(&[
            "-n",
            namespace,
            "create",
            "configmap",
            "clinic-config",
            "--from-literal=theirs=yes",
        ])
        .expect("created");
        let mut spec = small();
        spec["app"]["config"] = json!({"files": {"app.conf": "ours=yes\n"}});
        lab.apply("clinic", spec).await.expect("accepted");
        let (reason, message) = lab.condition("clinic", "Accepted", "False", 60).await;
        assert_eq!(reason, "ForeignObject");
        assert!(
            message.contains("ConfigMap clinic-config") && message.contains("rename"),
            "{message}"
        );
        let theirs = kubectl(&[
            "-n",
            namespace,
            "get",
            "configmap",
            "clinic-config",
            "-o",
            "jsonpath={.data}",
        ])
        .expect("there");
        assert_eq!(theirs, r#"{"theirs":"yes"}"#);
        kubectl(&["-n", namespace, "delete", "configmap", "clinic-config"]).expect("removed");
        lab.condition("clinic", "Accepted", "True", 90).await;
    })
    .await;
}

#[tokio::test]
async fn twenty_idle_resources_cost_no_write_and_no_list() {
    in_namespace("idle", async |lab| {
        // A class that nobody provides: all objects are made, and no pod of theirs takes the machine's room.
        let absent = json!({"database": {"managed": {"storage": {"size": "1Gi", "storageClass": "nobody-provides-it"}}}});
        let spec = merged(small(), absent);
        let names: Vec<String> = (0..20).map(|index| format!("idle-{index}")).collect();
        for applied in join_all(names.iter().map(|name| lab.apply(name, spec.clone()))).await {
            applied.expect("accepted");
        }
        for name in &names {
            lab.condition(name, "SecretsReady", "True", 120).await;
        }
        let of_ours = |requests: Vec<audit_log::Request>| {
            requests.into_iter().filter(|request| request.namespace == lab.namespace).collect::<Vec<_>>()
        };
        eventually("the last objects are made", seconds(180), || async {
            let mark = audit_log::mark()?;
            tokio::time::sleep(seconds(5)).await;
            let busy = of_ours(audit_log::since(&mark, audit_log::OPERATOR)?);
            ensure!(busy.is_empty(), "{} requests in 5 s", busy.len());
            Ok(())
        })
        .await;

        let mark = audit_log::mark().expect("an audit log");
        tokio::time::sleep(seconds(60)).await; // the minute itself is what is measured
        let requests = audit_log::since(&mark, audit_log::OPERATOR).expect("an audit log");
        assert!(
            requests.iter().any(|request| request.resource == "leases"),
            "the operator was not seen at all"
        );
        let lists: Vec<_> = requests.iter().filter(|request| request.verb == "list").cloned().collect();
        assert!(lists.is_empty(), "{lists:?}");
        let about = of_ours(requests);
        assert!(about.is_empty(), "{about:?}");
    })
    .await;
}
