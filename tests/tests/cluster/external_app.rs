//! An image of somebody else's, unmodified.

use anyhow::ensure;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use medical_tests::{
    Lab,
    commands::kubectl,
    eventually, in_namespace,
    namespace::{merged, small},
    waiting::seconds,
};
use serde_json::{Value, json};

#[tokio::test]
async fn an_unmodified_image_gets_what_it_needs_under_the_names_that_it_reads() {
    in_namespace("external", async |lab| {
        let sample = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/samples/external-app.yaml"));
        let sample: Value = serde_saphyr::from_str(&sample.expect("the sample")).expect("YAML");
        // The tests' machine is small; what the sample says of the application is taken as it is.
        let small = json!({"app": {"replicas": 1}, "database": {"managed": {"resources": {"requests": {"cpu": "10m", "memory": "128Mi"}}}}});
        lab.deploy("wound-notes", merged(sample["spec"].clone(), small)).await;
        let inside = |command: &str| {
            kubectl(&["-n", &lab.namespace, "exec", "deployment/wound-notes", "--", "sh", "-c", command]).expect(command)
        };
        assert_eq!(inside("echo $APP_ENV").trim(), "staging");
        assert!(inside("echo $DATABASE_URL").starts_with("postgresql://medical_owner:"));
        assert_eq!(inside("printf %s $JWT_SECRET_KEY | wc -c").trim(), "128");
        assert_eq!(inside("touch /app/uploads/a && echo written").trim(), "written");
        assert!(inside("touch /root-file 2>&1 || true").contains("Read-only file system"));
        assert_eq!(inside("curl -s http://127.0.0.1:8000/index.html").trim(), "<h1>Wound notes</h1>");
        let generated = kubectl(&["-n", &lab.namespace, "get", "secret", "wound-notes-keys", "--ignore-not-found", "-o", "name"]);
        assert_eq!(generated.expect("asked"), "", "a foreign image gets no key of the reference application");
    })
    .await;
}

/// What a command prints inside the application.
fn inside(lab: &Lab, command: &str) -> anyhow::Result<String> {
    let words = [
        "-n",
        &lab.namespace,
        "exec",
        "deployment/clinic",
        "--",
        "sh",
        "-c",
        command,
    ];
    Ok(kubectl(&words)?.trim().to_owned())
}

#[tokio::test]
async fn a_secret_of_the_users_is_asked_for_while_it_is_missing_and_rolls_the_pods_when_it_changes() {
    in_namespace("user-secret", async |lab| {
        let spec = merged(small(), json!({"app": {"image": "docker.io/library/busybox:latest",
            "command": ["sh", "-c", "mkdir -p /tmp/www; exec httpd -f -p 8080 -h /tmp/www"],
            "env": [{"name": "MAIL_KEY", "secretKeyRef": {"name": "mail", "key": "key"}},
                    {"name": "DATABASE_URL", "deploymentValue": "databaseUrl"}]}}));
        lab.apply("clinic", spec).await.expect("accepted");
        let (reason, message) = lab.condition("clinic", "SecretsReady", "False", 60).await;
        assert_eq!(reason, "SecretMissing");
        assert!(message.contains("Secret mail") && message.contains("create it"), "{message}");

        let secrets = lab.api::<Secret>();
        let write = async |key: &str, value: &str| {
            let data = json!({"stringData": {key: value}});
            secrets.patch("mail", &PatchParams::default(), &Patch::Merge(&data)).await.expect("written");
        };
        let empty = serde_json::from_value(json!({"metadata": {"name": "mail"}})).expect("a Secret");
        secrets.create(&PostParams::default(), &empty).await.expect("created");
        eventually("the missing key is told", seconds(30), || async {
            let (reason, message) = lab.condition("clinic", "SecretsReady", "False", 30).await;
            ensure!(reason == "SecretKeyMissing" && message.contains("lacks the key key"), "{reason}: {message}");
            Ok(())
        })
        .await;
        write("key", "first").await;
        lab.ready("clinic").await;
        assert_eq!(inside(&lab, "echo $MAIL_KEY").expect("it runs"), "first");

        write("key", "second").await;
        eventually("pods read the new value", seconds(90), || async {
            let value = inside(&lab, "echo $MAIL_KEY")?;
            ensure!(value == "second", "{value}");
            Ok(())
        })
        .await;

        // Tables that a foreign image's migrations make as the owner are the serving role's to read and write.
        let granted = kubectl(&["-n", &lab.namespace, "exec", "clinic-db-1", "-c", "postgres", "--", "psql", "-d", "app", "-Atqc",
            "SET ROLE medical_owner; CREATE TABLE notes (id bigserial, text text); RESET ROLE; SET ROLE medical_app; \
             INSERT INTO notes (text) VALUES ('x'); SELECT count(*) FROM notes"]);
        assert_eq!(granted.expect("the serving role writes").trim(), "1");
    })
    .await;
}
