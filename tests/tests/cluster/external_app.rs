//! An image of somebody else's, unmodified.

use medical_tests::{commands::kubectl, in_namespace, namespace::merged};
use serde_json::{Value, json};

#[tokio::test]
async fn an_unmodified_image_gets_what_it_needs_under_the_names_that_it_reads() {
    in_namespace("external", async |lab| {
        let sample = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/samples/external-app.yaml"));
        let sample: Value = serde_saphyr::from_str(&sample.expect("the sample")).expect("YAML");
        // The tests' machine is small; what the sample says of the application is taken as it is.
        let small = json!({"app": {"replicas": 1}, "database": {"managed": {"resources": {"requests": {"cpu": "10m", "memory": "128Mi"}}}}});
        lab.apply("wound-notes", merged(sample["spec"].clone(), small)).await.expect("accepted");
        lab.ready("wound-notes").await;
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
