//! Who reaches whom, by real connections.

use medical_tests::{Lab, commands::kubectl, eventually, in_namespace, namespace::small, waiting::seconds};
use serde_json::json;

/// A pod that can try connections. It complies with the restricted standard like every other.
fn visitor(lab: &Lab, name: &str, labels: &serde_json::Value) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "visitor", "image": "docker.io/library/busybox:latest", "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "3600"],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    });
    medical_tests::commands::run_with_input(
        "kubectl",
        &["-n", &lab.namespace, "apply", "-f", "-"],
        &pod.to_string(),
    )
    .expect("the visitor is created");
    kubectl(&[
        "-n",
        &lab.namespace,
        "wait",
        "--for=condition=Ready",
        &format!("pod/{name}"),
        "--timeout=60s",
    ])
    .expect("the visitor runs");
}

fn reaches(lab: &Lab, from: &str, host: &str, port: u16) -> bool {
    let port = port.to_string();
    kubectl(&[
        "-n",
        &lab.namespace,
        "exec",
        from,
        "--",
        "nc",
        "-z",
        "-w",
        "2",
        host,
        &port,
    ])
    .is_ok()
}

fn pod_ip(lab: &Lab, selector: &str) -> String {
    let ip = kubectl(&[
        "-n",
        &lab.namespace,
        "get",
        "pod",
        "-l",
        selector,
        "-o",
        "jsonpath={.items[0].status.podIP}",
    ]);
    ip.expect("a pod")
}

#[tokio::test]
async fn only_declared_peers_reach_the_application_and_nobody_reaches_the_database() {
    in_namespace("isolation", async |lab| {
        let mut spec = small();
        spec["network"] = json!({"ingressFrom": [{"podLabels": {"role": "ingress"}}], "metricsFrom": [{"podLabels": {"role": "metrics"}}]});
        lab.deploy("clinic", spec).await;
        visitor(&lab, "stranger", &json!({"role": "stranger"}));
        visitor(&lab, "ingress", &json!({"role": "ingress"}));
        visitor(&lab, "metrics", &json!({"role": "metrics"}));

        let app = pod_ip(&lab, "app.kubernetes.io/component=app");
        let database = pod_ip(&lab, "cnpg.io/cluster=clinic-db");
        // What is allowed proves that the cluster and the visitors work; what is denied means something only then.
        eventually("the declared peer is let in", seconds(30), || async {
            anyhow::ensure!(reaches(&lab, "ingress", &app, 8443), "refused");
            Ok(())
        })
        .await;
        assert!(reaches(&lab, "metrics", &app, 9090), "the metrics peer reads the metrics");
        let service = format!("clinic.{}.svc.cluster.local", lab.namespace);
        assert!(reaches(&lab, "ingress", &service, 443), "the declared peer reaches the Service");
        for (from, host, port, what) in [
            ("stranger", &app, 8443, "a stranger and the application"),
            ("stranger", &app, 9090, "a stranger and the metrics"),
            ("ingress", &app, 9090, "the ingress and the metrics"),
            ("stranger", &database, 5432, "a stranger and the database"),
            ("ingress", &database, 5432, "the ingress and the database"),
            ("stranger", &database, 9187, "a stranger and the database's metrics"),
            ("stranger", &database, 8000, "a stranger and the database's status port"),
        ] {
            assert!(!reaches(&lab, from, host, port), "{what} are connected");
        }
    })
    .await;
}

#[tokio::test]
async fn the_pods_of_a_deployment_reach_their_database_and_dns_and_nothing_else() {
    in_namespace("egress", async |lab| {
        let mut spec = small();
        // An image with tools in the place of the application: the policies are the same.
        spec["app"]["image"] = json!("docker.io/library/busybox:latest");
        spec["app"]["command"] = json!(["sh", "-c", "mkdir -p /tmp/www; exec httpd -f -p 8080 -h /tmp/www"]);
        lab.deploy("clinic", spec).await;
        visitor(&lab, "neighbour", &json!({"role": "neighbour"}));
        let listener = [
            "-n",
            &lab.namespace,
            "exec",
            "neighbour",
            "--",
            "sh",
            "-c",
            "nohup httpd -p 8080 -h /tmp >/dev/null 2>&1 &",
        ];
        kubectl(&listener).expect("the neighbour listens");
        let neighbour = kubectl(&[
            "-n",
            &lab.namespace,
            "get",
            "pod",
            "neighbour",
            "-o",
            "jsonpath={.status.podIP}",
        ])
        .expect("an address");
        visitor(&lab, "control", &json!({"role": "control"}));
        assert!(
            reaches(&lab, "control", &neighbour, 8080),
            "the neighbour does listen"
        );

        let app = "deployment/clinic";
        assert!(
            reaches(&lab, app, "clinic-db-rw", 5432),
            "the application reaches its database by name"
        );
        assert!(
            !reaches(&lab, app, &neighbour, 8080),
            "the application reaches a neighbour"
        );
        let api_server = kubectl(&[
            "get",
            "service",
            "kubernetes",
            "-n",
            "default",
            "-o",
            "jsonpath={.spec.clusterIP}",
        ])
        .expect("an address");
        assert!(
            reaches(&lab, "control", &api_server, 443),
            "the API server does answer"
        );
        assert!(
            !reaches(&lab, app, &api_server, 443),
            "the application reaches the API server"
        );
    })
    .await;
}
