//! A field that is accepted and ignored is the commonest fault of an operator. Every leaf of the schema is changed
//! here, one at a time, and has to change the plan; a new leaf without an entry in [`changes`] fails.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test ends at the first thing that is not as expected"
)]

mod sample;

use std::collections::BTreeSet;

use medical_crds::{check, generate};
use sample::Sample;
use serde_json::{Value, json};

/// Leaves that do not change the plan, another value for them, and what they drive instead.
fn outside_the_plan() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        (
            "suspend",
            json!(true),
            "the operator applies nothing while it is set",
        ),
        (
            "secrets.generate[].name",
            json!("other"),
            "key of the generated Secret, which is never planned",
        ),
        (
            "secrets.generate[].format",
            json!("base64url"),
            "form of the generated value",
        ),
        (
            "secrets.generate[].bytes",
            json!(64),
            "length of the generated value",
        ),
    ]
}

/// A leaf of the schema and another value for it.
type Change = (&'static str, Value);

fn changes() -> Vec<Change> {
    [
        whole(),
        pods(),
        probes(),
        environment_and_files(),
        database(),
        autoscaling(),
        backup(),
        network(),
    ]
    .concat()
}

fn whole() -> Vec<Change> {
    vec![
        ("environment", json!("staging")),
        ("preset", json!("custom")),
        ("app.image", json!("registry.example/medical-app:2")),
    ]
}

fn pods() -> Vec<Change> {
    vec![
        ("app.replicas", json!(4)),
        ("app.command[]", json!(["other"])),
        ("app.args[]", json!(["other"])),
        ("app.port", json!(9443)),
        ("app.scheme", json!("HTTP")),
        ("app.resources.requests.cpu", json!("300m")),
        ("app.resources.requests.memory", json!("200Mi")),
        ("app.resources.limits.cpu", json!("3")),
        ("app.resources.limits.memory", json!("3Gi")),
    ]
}

fn probes() -> Vec<Change> {
    vec![
        ("app.probes.startup.path", json!("/other")),
        ("app.probes.startup.periodSeconds", json!(7)),
        ("app.probes.startup.timeoutSeconds", json!(7)),
        ("app.probes.startup.failureThreshold", json!(7)),
        ("app.probes.liveness.path", json!("/other")),
        ("app.probes.liveness.periodSeconds", json!(7)),
        ("app.probes.liveness.timeoutSeconds", json!(7)),
        ("app.probes.liveness.failureThreshold", json!(7)),
        ("app.probes.readiness.path", json!("/other")),
        ("app.probes.readiness.periodSeconds", json!(7)),
        ("app.probes.readiness.timeoutSeconds", json!(7)),
        ("app.probes.readiness.failureThreshold", json!(7)),
    ]
}

fn environment_and_files() -> Vec<Change> {
    vec![
        ("app.env[].name", json!("OTHER")),
        ("app.env[].value", json!("other")),
        ("app.env[].secretKeyRef.name", json!("other")),
        ("app.env[].secretKeyRef.key", json!("other")),
        ("app.env[].generatedSecret", json!("spare")),
        ("app.env[].deploymentValue", json!("databaseOwnerUrl")),
        ("app.config.mountPath", json!("/etc/other")),
        ("app.config.files{}", json!("other")),
        ("app.writablePaths[]", json!(["/other"])),
        ("app.init.image", json!("registry.example/other:1")),
        ("app.init.command[]", json!(["other"])),
        ("app.init.args[]", json!(["other"])),
        ("app.init.timeoutSeconds", json!(77)),
        ("app.runAsUser", json!(10_002)),
        ("domain.primary", json!("other.example.org")),
        ("domain.allowedOrigins[]", json!(["https://other.example.org"])),
    ]
}

fn database() -> Vec<Change> {
    vec![
        ("database.managed.instances", json!(3)),
        ("database.managed.image", json!("registry.example/postgresql:18")),
        ("database.managed.storage.size", json!("20Gi")),
        ("database.managed.storage.storageClass", json!("other")),
        ("database.managed.resources.requests.cpu", json!("300m")),
        ("database.managed.resources.requests.memory", json!("300Mi")),
        ("database.managed.resources.limits.cpu", json!("3")),
        ("database.managed.resources.limits.memory", json!("3Gi")),
        ("database.managed.parameters{}", json!("8MB")),
    ]
}

fn autoscaling() -> Vec<Change> {
    vec![
        ("autoscaling.minReplicas", json!(3)),
        ("autoscaling.maxReplicas", json!(9)),
        ("autoscaling.targetCpuPercent", json!(50)),
        ("autoscaling.targetMemoryPercent", json!(50)),
        ("autoscaling.scaleDownAfterSeconds", json!(60)),
    ]
}

fn backup() -> Vec<Change> {
    vec![
        ("backup.logical.enabled", json!(false)),
        ("backup.logical.tiers.hourly.schedule", json!("7 * * * *")),
        ("backup.logical.tiers.hourly.keep", json!(7)),
        ("backup.logical.tiers.daily.schedule", json!("7 2 * * *")),
        ("backup.logical.tiers.daily.keep", json!(7)),
        ("backup.logical.tiers.weekly.schedule", json!("7 3 * * 0")),
        ("backup.logical.tiers.weekly.keep", json!(7)),
        ("backup.logical.tiers.monthly.schedule", json!("7 4 1 * *")),
        ("backup.logical.tiers.monthly.keep", json!(7)),
        ("backup.logical.timeZone", json!("Europe/Vienna")),
        ("backup.logical.storage.size", json!("20Gi")),
        ("backup.logical.storage.storageClass", json!("other")),
        ("backup.logical.verify.schedule", json!("7 5 * * 0")),
    ]
}

fn network() -> Vec<Change> {
    vec![
        ("network.ingressFrom[].namespaceLabels{}", json!("other")),
        ("network.ingressFrom[].podLabels{}", json!("other")),
        ("network.metricsFrom[].namespaceLabels{}", json!("other")),
        ("network.metricsFrom[].podLabels{}", json!("other")),
        ("network.egress[].purpose", json!("another purpose")),
        ("network.egress[].cidr", json!("198.51.100.0/24")),
        ("network.egress[].ports[].port", json!(465)),
        ("network.egress[].ports[].protocol", json!("UDP")),
        ("deletionPolicy", json!("Delete")),
    ]
}

/// Where a leaf is in [`base`]: the first item of a list, unless only another one has the leaf; a list or a map of plain
/// values as a whole or by a key of its own.
fn pointer(leaf: &str) -> String {
    let item = match leaf {
        "app.env[].secretKeyRef.name" | "app.env[].secretKeyRef.key" => "/1",
        "app.env[].generatedSecret" => "/2",
        "app.env[].deploymentValue" => "/3",
        // The first one is in use and cannot lose its name.
        _ if leaf.starts_with("secrets.generate[]") => "/1",
        _ => "/0",
    };
    let path = leaf
        .trim_end_matches("[]")
        .replace("{}", ".other")
        .replace("[]", item)
        .replace('.', "/");
    format!("/{path}")
}

/// A spec in which every group is set, so that a leaf is changed and nothing else.
fn base(leaf: &str) -> Value {
    let mut spec = json!({
        "environment": "development",
        "preset": "reference",
        "app": {
            "image": "registry.example/medical-app:1",
            "replicas": 2,
            "command": ["app"],
            "args": ["serve"],
            "port": 8443,
            "scheme": "HTTPS",
            "resources": {
                "requests": {"cpu": "100m", "memory": "128Mi"},
                "limits": {"cpu": "2", "memory": "2Gi"},
            },
            "probes": {"startup": {"path": "/a"}, "liveness": {"path": "/a"}, "readiness": {"path": "/a"}},
            "env": [
                {"name": "PLAIN", "value": "value"},
                {"name": "MINE", "secretKeyRef": {"name": "mine", "key": "key"}},
                {"name": "GENERATED", "generatedSecret": "session"},
                {"name": "KNOWN", "deploymentValue": "databaseUrl"},
            ],
            "config": {"mountPath": "/etc/medical", "files": {"a": "b"}},
            "writablePaths": ["/data"],
            "init": {"image": "registry.example/init:1", "command": ["app"], "args": ["migrate"], "timeoutSeconds": 600},
            "runAsUser": 10_001,
        },
        "domain": {"primary": "clinic.example.org", "allowedOrigins": ["https://portal.example.org"]},
        "database": {"managed": {
            "instances": 2,
            "image": "registry.example/postgresql:17",
            "storage": {"size": "10Gi", "storageClass": "standard"},
            "resources": {
                "requests": {"cpu": "100m", "memory": "256Mi"},
                "limits": {"cpu": "2", "memory": "2Gi"},
            },
            "parameters": {"work_mem": "4MB"},
        }},
        "secrets": {"generate": [
            {"name": "session", "format": "hex", "bytes": 32},
            {"name": "spare", "format": "hex", "bytes": 32},
        ]},
        "backup": {"logical": {
            "enabled": true,
            "tiers": {
                "hourly": {"schedule": "0 * * * *", "keep": 24},
                "daily": {"schedule": "0 2 * * *", "keep": 30},
                "weekly": {"schedule": "0 3 * * 0", "keep": 13},
                "monthly": {"schedule": "0 4 1 * *", "keep": 84},
            },
            "timeZone": "Etc/UTC",
            "storage": {"size": "10Gi", "storageClass": "standard"},
            "verify": {"schedule": "0 5 * * 0"},
        }},
        "network": {
            "ingressFrom": [{"namespaceLabels": {"team": "a"}, "podLabels": {"team": "a"}}],
            "metricsFrom": [{"namespaceLabels": {"team": "a"}, "podLabels": {"team": "a"}}],
            "egress": [{"purpose": "mail relay", "cidr": "203.0.113.0/24", "ports": [{"port": 587, "protocol": "TCP"}]}],
        },
        "deletionPolicy": "Retain",
        "suspend": false,
    });
    // An autoscaler takes the number of pods over, so the two are looked at apart.
    if leaf.starts_with("autoscaling.") {
        spec["autoscaling"] = json!({
            "minReplicas": 2, "maxReplicas": 10, "targetCpuPercent": 70, "targetMemoryPercent": 80,
            "scaleDownAfterSeconds": 300,
        });
    }
    spec
}

/// The same spec with one leaf changed. A leaf that is not there yet is added to the object that holds it.
fn changed(mut spec: Value, leaf: &str, value: Value) -> Value {
    let pointer = pointer(leaf);
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer begins with a slash");
    let parent = spec
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("{pointer} is not in the base spec"));
    parent[name] = value;
    spec
}

/// Paths of all leaves below a schema: `[]` for the items of a list, `{}` for the values of a map.
fn leaves(path: &str, schema: &Value, found: &mut BTreeSet<String>) {
    if let Some(properties) = schema["properties"].as_object() {
        for (name, property) in properties {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            leaves(&path, property, found);
        }
    } else if schema["items"].is_object() {
        leaves(&format!("{path}[]"), &schema["items"], found);
    } else if schema["additionalProperties"].is_object() {
        leaves(&format!("{path}{{}}"), &schema["additionalProperties"], found);
    } else {
        found.insert(path.to_owned());
    }
}

fn schema_leaves() -> BTreeSet<String> {
    let definition = serde_json::to_value(generate::custom_resource_definition()).unwrap();
    let spec = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut found = BTreeSet::new();
    leaves("", spec, &mut found);
    found
}

#[test]
fn every_leaf_of_the_schema_has_a_change_or_a_reason() {
    let known: BTreeSet<String> = changes()
        .iter()
        .map(|(leaf, ..)| (*leaf).to_owned())
        .chain(outside_the_plan().iter().map(|(leaf, ..)| (*leaf).to_owned()))
        .collect();
    let schema = schema_leaves();
    assert!(schema.len() > 70, "the walk found only {} leaves", schema.len());
    let unknown: Vec<_> = schema.difference(&known).collect();
    let gone: Vec<_> = known.difference(&schema).collect();
    assert!(
        unknown.is_empty(),
        "these leaves drive nothing that is shown here: {unknown:?}"
    );
    assert!(
        gone.is_empty(),
        "these leaves are no longer in the schema: {gone:?}"
    );
}

#[test]
fn every_leaf_changes_the_plan() {
    let mut ignored = Vec::new();
    for (leaf, value) in changes() {
        let base = base(leaf);
        let sample = Sample::new(base.clone());
        let changed = Sample::new(changed(base, leaf, value));
        assert_ne!(
            changed.deployment.spec, sample.deployment.spec,
            "{leaf}: the change changes nothing in the spec"
        );
        assert_eq!(
            check::violations(&changed.deployment),
            [],
            "{leaf}: the changed spec would be refused"
        );
        if changed.plan() == sample.plan() {
            ignored.push(leaf);
        }
    }
    assert!(ignored.is_empty(), "accepted and ignored: {ignored:?}");
}

#[test]
fn a_leaf_that_is_said_to_drive_something_else_does_not_change_the_plan() {
    for (leaf, other, drives) in outside_the_plan() {
        let sample = Sample::new(base(leaf));
        let changed = Sample::new(changed(base(leaf), leaf, other));
        assert_ne!(changed.deployment.spec, sample.deployment.spec, "{leaf}");
        assert_eq!(
            changed.plan(),
            sample.plan(),
            "{leaf} is in the plan, no longer outside it ({drives})"
        );
    }
}
