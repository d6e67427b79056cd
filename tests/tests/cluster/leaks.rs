//! No secret value and no PHI where it does not belong.

use medical_tests::{
    api::{ApiClient, PASSWORD, planted, planted_patient},
    commands::kubectl,
    in_namespace,
    namespace::small,
};

#[tokio::test]
async fn no_secret_and_no_phi_is_in_any_log_event_status_metric_or_argument() {
    in_namespace("leaks", async |lab| {
        let namespace = lab.namespace.as_str();
        lab.deploy("clinic", small()).await;
        let api = ApiClient::of_clinician(&lab, "clinic").await;
        let id = api.create_patient(&planted_patient()).await.expect("created");
        api.patient(&id).await.expect("read");
        // Requests that fail tell most.
        let mut wrong = planted_patient();
        wrong["dateOfBirth"] = serde_json::json!("not a date");
        api.create_patient(&wrong).await.expect_err("a wrong date of birth");
        api.create_patient(&planted_patient()).await.expect_err("a record number that is taken");

        let secrets = kubectl(&["-n", namespace, "get", "secret", "-l", "app.kubernetes.io/instance=clinic", "-o",
            r#"go-template={{range .items}}{{range $k, $v := .data}}{{if not (eq $k "username" "recipient" "ca.crt" "tls.crt")}}{{$v | base64decode}}{{"\x00"}}{{end}}{{end}}{{end}}"#])
        .expect("the Secrets");
        let mut forbidden: Vec<String> = secrets
            .split('\0')
            .map(|value| value.lines().nth(1).unwrap_or(value).trim().to_owned())
            .filter(|value| value.len() >= 16)
            .collect();
        assert!(forbidden.len() > 8, "only {} values were found", forbidden.len());
        forbidden.extend([planted::FAMILY_NAME, planted::NOTES, planted::RECORD_NUMBER, PASSWORD].map(str::to_owned));

        let mut places = vec![
            ("Events".to_owned(), kubectl(&["-n", namespace, "get", "events", "-o", "yaml"]).expect("Events")),
            ("the resource".to_owned(), kubectl(&["-n", namespace, "get", "md", "-o", "yaml"]).expect("the resource")),
            ("the children".to_owned(), kubectl(&["-n", namespace, "get", "deployment,job,cronjob,pod,configmap,cluster,networkpolicy", "-o", "yaml"]).expect("children")),
            ("the operator's log".to_owned(), kubectl(&["-n", "medical-operator-system", "logs", "-l", "app.kubernetes.io/name=medical-operator", "--tail=-1"]).expect("a log")),
        ];
        for pod in kubectl(&["-n", namespace, "get", "pods", "-o", "name"]).expect("pods").lines() {
            places.push((format!("the log of {pod}"), kubectl(&["-n", namespace, "logs", pod, "--all-containers"]).expect("a log")));
        }
        let arguments = ["-n", namespace, "exec", "clinic-db-1", "-c", "postgres", "--", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"];
        places.push(("arguments of the database's processes".to_owned(), kubectl(&arguments).expect("arguments")));
        let metrics = kubectl(&["-n", namespace, "get", "--raw", &format!("/api/v1/namespaces/{namespace}/pods/{}:9090/proxy/metrics", app_pod(namespace))]);
        // The API server is no declared peer: where it is let in all the same, what it reads is looked at too.
        places.extend(metrics.ok().map(|text| ("the application's metrics".to_owned(), text)));

        let mut leaks = Vec::new();
        for (place, text) in &places {
            assert!(!text.is_empty() || place.contains("log of"), "{place} is empty");
            leaks.extend(forbidden.iter().enumerate().filter(|(_, value)| text.contains(value.as_str())).map(|(index, _)| format!("value {index} is in {place}")));
        }
        assert!(leaks.is_empty(), "{}", leaks.join("\n"));
        // The search itself finds what is there.
        let answer = api.patient(&id).await.expect("read").to_string();
        assert!(forbidden.iter().any(|value| answer.contains(value.as_str())));
    })
    .await;
}

fn app_pod(namespace: &str) -> String {
    kubectl(&[
        "-n",
        namespace,
        "get",
        "pod",
        "-l",
        "app.kubernetes.io/component=app",
        "-o",
        "jsonpath={.items[0].metadata.name}",
    ])
    .expect("a pod")
}
