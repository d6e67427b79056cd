//! What disturbs the operator itself. Run after the others, one at a time: see the tier's definition.

use std::collections::BTreeMap;

use medical_tests::{
    commands::{kubectl, run},
    eventually, in_namespace,
    namespace::{merged, small},
    waiting::seconds,
};
use serde_json::json;

const SYSTEM: &str = "medical-operator-system";

#[tokio::test]
#[ignore = "disturbs every other test: run by the tier after them"]
async fn an_operator_killed_ten_times_leaves_every_deployment_ready_and_no_child_twice() {
    in_namespace("killed", async |lab| {
        let namespace = lab.namespace.as_str();
        let app = merged(
            small(),
            json!({"app": {"image": "docker.io/library/busybox:latest",
            "command": ["sh", "-c", "mkdir -p /tmp/www; exec httpd -f -p 8080 -h /tmp/www"]}}),
        );
        let names: Vec<String> = (0..5).map(|index| format!("ward-{index}")).collect();
        for (index, name) in names.iter().enumerate() {
            lab.apply(name, app.clone()).await.expect("accepted");
            for _ in 0..2 {
                kubectl(&[
                    "-n",
                    SYSTEM,
                    "delete",
                    "pod",
                    "-l",
                    "app.kubernetes.io/name=medical-operator",
                    "--grace-period=0",
                    "--force",
                ])
                .expect("killed");
                // Each kill meets the operator at another point: as soon as it runs, or a little into its work.
                eventually("the operator runs again", seconds(60), || async {
                    let running = kubectl(&[
                        "-n",
                        SYSTEM,
                        "get",
                        "pod",
                        "-l",
                        "app.kubernetes.io/name=medical-operator",
                        "-o",
                        "jsonpath={.items[*].status.containerStatuses[*].state.running.startedAt}",
                    ])?;
                    anyhow::ensure!(!running.trim().is_empty(), "not yet");
                    Ok(())
                })
                .await;
                tokio::time::sleep(std::time::Duration::from_millis(300 * index as u64)).await;
            }
        }
        for name in &names {
            lab.condition(name, "Ready", "True", 600).await;
        }
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        for kind in [
            "deployment",
            "cluster",
            "service",
            "job",
            "cronjob",
            "pvc",
            "secret",
        ] {
            for name in &names {
                let selector = format!(
                    "app.kubernetes.io/managed-by=medical-operator,app.kubernetes.io/instance={name}"
                );
                let count = kubectl(&["-n", namespace, "get", kind, "-l", &selector, "-o", "name"])
                    .expect("listed")
                    .lines()
                    .count();
                *seen.entry(format!("{kind}: {count}")).or_default() += 1;
            }
        }
        assert_eq!(seen.len(), 7, "deployments differ in their children: {seen:?}");
    })
    .await;
}

#[tokio::test]
#[ignore = "disturbs every other test: run by the tier after them"]
async fn the_chart_is_upgraded_uninstalled_and_installed_again_without_touching_a_pod() {
    in_namespace("helm", async |lab| {
        let namespace = lab.namespace.as_str();
        let app = merged(
            small(),
            json!({"app": {"image": "docker.io/library/busybox:latest",
            "command": ["sh", "-c", "mkdir -p /tmp/www; exec httpd -f -p 8080 -h /tmp/www"]}}),
        );
        lab.deploy("clinic", app).await;
        let pods = || {
            kubectl(&[
                "-n",
                namespace,
                "get",
                "pods",
                "-o",
                "jsonpath={range .items[*]}{.metadata.uid}{\"\\n\"}{end}",
            ])
            .map(|text| {
                text.lines()
                    .map(str::to_owned)
                    .collect::<std::collections::BTreeSet<_>>()
            })
            .expect("pods")
        };
        let before = pods();
        let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/medical-operator");
        let install = [
            "upgrade",
            "--install",
            "medical-operator",
            chart,
            "-n",
            SYSTEM,
            "--create-namespace",
            "--wait",
            "--timeout",
            "180s",
        ];
        run("helm", &install).expect("upgraded");
        run("helm", &["uninstall", "medical-operator", "-n", SYSTEM, "--wait"]).expect("uninstalled");
        kubectl(&["get", "crd", "medicaldeployments.medops.dev"]).expect("the definition stays");
        assert_eq!(
            kubectl(&["-n", namespace, "get", "md", "-o", "name"])
                .expect("listed")
                .trim(),
            "medicaldeployment.medops.dev/clinic"
        );
        run("helm", &install).expect("installed again");
        lab.ready("clinic").await;
        kubectl(&[
            "-n",
            namespace,
            "annotate",
            "md",
            "clinic",
            "example.org/look=again",
            "--overwrite",
        ])
        .expect("annotated");
        lab.ready("clinic").await;
        assert_eq!(before, pods(), "a pod was touched");
    })
    .await;
}
