//! What the API server itself refuses, by the schema and the CEL rules of the definition.

use medical_tests::{in_namespace, namespace::merged};
use serde_json::{Value, json};

/// What is wrong with each, and words that the refusal must hold: the field and the remedy.
#[expect(clippy::too_many_lines, reason = "a table, a row each")]
fn malformed() -> Vec<(&'static str, Value, &'static [&'static str])> {
    let production = |changes: Value| {
        merged(
            json!({"environment": "production", "database": {"managed": {"instances": 2}}}),
            changes,
        )
    };
    vec![
        (
            "one replica in production",
            production(json!({"app": {"replicas": 1}})),
            &["spec.app.replicas", "at least 2"],
        ),
        (
            "one pod at least in production",
            production(json!({"autoscaling": {"minReplicas": 1}})),
            &["minReplicas", "at least 2"],
        ),
        (
            "one instance in production",
            json!({"environment": "production"}),
            &["spec.database.managed.instances", "at least 2"],
        ),
        (
            "the tag latest in production",
            production(json!({"app": {"image": "registry.example/app:latest"}})),
            &["spec.app.image", "latest"],
        ),
        (
            "no tag in production",
            production(json!({"app": {"image": "registry.example:5000/app"}})),
            &["spec.app.image", "fixed tag"],
        ),
        (
            "debug in production",
            production(json!({"app": {"env": [{"name": "FLASK_DEBUG", "value": "True"}]}})),
            &["spec.app.env", "debug"],
        ),
        (
            "a development server in production",
            production(json!({"app": {"args": ["--reload"]}})),
            &["spec.app.command", "--reload"],
        ),
        (
            "an http origin in production",
            production(json!({"domain": {"allowedOrigins": ["http://clinic.example"]}})),
            &["spec.domain.allowedOrigins", "https://"],
        ),
        (
            "no backups in production",
            production(json!({"backup": {"logical": {"enabled": false}}})),
            &["spec.backup.logical", "daily"],
        ),
        (
            "every address in production",
            production(
                json!({"network": {"egress": [{"purpose": "mail", "cidr": "0.0.0.0/0", "ports": [{"port": 587}]}]}}),
            ),
            &["spec.network.egress", "/0"],
        ),
        (
            "a minimum above the maximum",
            json!({"autoscaling": {"minReplicas": 5, "maxReplicas": 3}}),
            &["minReplicas", "maxReplicas"],
        ),
        (
            "an unknown environment",
            json!({"environment": "prod"}),
            &["spec.environment", "production"],
        ),
        (
            "a port that is none",
            json!({"app": {"port": 70000}}),
            &["spec.app.port", "65535"],
        ),
        (
            "a quantity that is none",
            json!({"database": {"managed": {"storage": {"size": "10 GB"}}}}),
            &["spec.database.managed.storage.size"],
        ),
        (
            "a request above the limit",
            json!({"app": {"resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "512Mi"}}}}),
            &["resources.requests.memory", "lower the request"],
        ),
        (
            "a writable system directory",
            json!({"app": {"writablePaths": ["/etc"]}}),
            &["spec.app.writablePaths", "/app/uploads"],
        ),
        (
            "a relative writable path",
            json!({"app": {"writablePaths": ["uploads"]}}),
            &["spec.app.writablePaths"],
        ),
        (
            "a variable with two sources",
            json!({"app": {"env": [{"name": "A", "value": "x", "deploymentValue": "port"}]}}),
            &["spec.app.env", "exactly one"],
        ),
        (
            "a variable with no source",
            json!({"app": {"env": [{"name": "A"}]}}),
            &["spec.app.env", "exactly one"],
        ),
        (
            "a secret in plain text",
            json!({"app": {"env": [{"name": "DB_PASSWORD", "value": "hunter22"}]}}),
            &["spec.app.env", "secretKeyRef"],
        ),
        (
            "a variable named twice",
            json!({"app": {"env": [{"name": "A", "value": "x"}, {"name": "A", "value": "y"}]}}),
            &["spec.app.env", "A"],
        ),
        (
            "a schedule with four fields",
            json!({"backup": {"logical": {"tiers": {"daily": {"schedule": "0 2 * *", "keep": 3}}}}}),
            &["schedule"],
        ),
        (
            "nothing kept",
            json!({"backup": {"logical": {"tiers": {"daily": {"schedule": "0 2 * * *", "keep": 0}}}}}),
            &["keep"],
        ),
        (
            "a parameter that is CloudNativePG's",
            json!({"database": {"managed": {"parameters": {"ssl": "off"}}}}),
            &["spec.database.managed.parameters", "CloudNativePG"],
        ),
        (
            "statements in the log",
            json!({"database": {"managed": {"parameters": {"log_statement": "all"}}}}),
            &["log_statement", "PHI"],
        ),
        (
            "plans in the log",
            json!({"database": {"managed": {"parameters": {"auto_explain.log_min_duration": "0"}}}}),
            &["spec.database.managed.parameters", "PHI"],
        ),
        (
            "an autoscaler with nothing to measure by",
            json!({"autoscaling": {}, "app": {"resources": {"requests": {"memory": "64Mi"}}}}),
            &["spec.app.resources.requests.cpu", "autoscaling"],
        ),
        (
            "two volumes at one place",
            json!({"app": {"writablePaths": ["/data"], "config": {"mountPath": "/data", "files": {"a": "b"}}}}),
            &["spec.app.config.mountPath", "writablePaths"],
        ),
        (
            "a peer that is everybody",
            json!({"network": {"ingressFrom": [{}]}}),
            &["spec.network.ingressFrom", "podLabels"],
        ),
        (
            "a short fernet key",
            json!({"secrets": {"generate": [{"name": "K", "format": "fernet", "bytes": 16}]}}),
            &["fernet", "32"],
        ),
        ("root", json!({"app": {"runAsUser": 0}}), &["spec.app.runAsUser"]),
        (
            "an image of a database without a version",
            json!({"database": {"managed": {"image": "registry.example/postgresql:latest"}}}),
            &["spec.database.managed.image"],
        ),
    ]
}

#[tokio::test]
async fn every_malformed_resource_is_refused_with_its_field_and_a_remedy() {
    in_namespace("malformed", async |lab| {
        let mut faults = Vec::new();
        for (what, spec, words) in malformed() {
            match lab.apply("clinic", spec).await {
                Ok(_) => faults.push(format!("{what}: accepted")),
                Err(error) => {
                    let message = error.to_string();
                    let missing: Vec<_> = words.iter().filter(|word| !message.contains(**word)).collect();
                    if !missing.is_empty() {
                        faults.push(format!("{what}: the refusal lacks {missing:?}: {message}"));
                    }
                    if message.contains("hunter22") {
                        faults.push(format!("{what}: the refusal holds the value: {message}"));
                    }
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    })
    .await;
}

#[tokio::test]
async fn a_name_that_children_could_not_carry_is_refused() {
    in_namespace("names", async |lab| {
        for name in ["1clinic", "clinic.ward", &"c".repeat(37)] {
            let error = lab
                .apply(name, json!({}))
                .await
                .expect_err("a name that must be refused");
            assert!(error.to_string().contains("metadata.name"), "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_empty_spec_and_every_sample_are_accepted() {
    in_namespace("samples", async |lab| {
        lab.apply("empty", json!({}))
            .await
            .expect("an empty spec is valid");
        let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/samples");
        for file in std::fs::read_dir(samples).expect("samples") {
            let path = file.expect("a file").path();
            let text = std::fs::read_to_string(&path).expect("a sample");
            let object: Value = serde_saphyr::from_str(&text).expect("YAML");
            // Two samples have the same name.
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
            lab.apply(name, object["spec"].clone()).await.expect(name);
        }
    })
    .await;
}

#[tokio::test]
async fn storage_grows_but_neither_shrinks_nor_changes_its_class() {
    in_namespace("storage", async |lab| {
        let spec = |storage: Value| json!({"database": {"managed": {"storage": storage}}});
        lab.apply("clinic", spec(json!({"size": "2Gi"})))
            .await
            .expect("created");
        lab.apply("clinic", spec(json!({"size": "3Gi"})))
            .await
            .expect("grown");
        let shrunk = lab
            .apply("clinic", spec(json!({"size": "1Gi"})))
            .await
            .expect_err("shrunk");
        assert!(shrunk.to_string().contains("not shrink"), "{shrunk}");
        let class = json!({"size": "3Gi", "storageClass": "other"});
        let moved = lab
            .apply("clinic", spec(class))
            .await
            .expect_err("a class added later");
        assert!(moved.to_string().contains("storageClass"), "{moved}");
    })
    .await;
}
