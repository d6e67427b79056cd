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

/// Leaves that do not change the plan, and what they drive instead.
const OUTSIDE_THE_PLAN: &[(&str, &str, &str)] = &[
    (
        "suspend",
        "/suspend",
        "the operator applies nothing while it is set",
    ),
    (
        "secrets.generate[].name",
        "/secrets/generate/1/name",
        "key of the generated Secret, which is created and never planned",
    ),
    (
        "secrets.generate[].format",
        "/secrets/generate/1/format",
        "form of the generated value",
    ),
    (
        "secrets.generate[].bytes",
        "/secrets/generate/1/bytes",
        "length of the generated value",
    ),
];

/// Leaf of the schema, where it is in [`base`], and another value for it.
fn changes() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("environment", "/environment", json!("staging")),
        ("preset", "/preset", json!("custom")),
        ("app.image", "/app/image", json!("registry.example/medical-app:2")),
        ("app.replicas", "/app/replicas", json!(4)),
        ("app.command[]", "/app/command", json!(["other"])),
        ("app.args[]", "/app/args", json!(["other"])),
        ("app.port", "/app/port", json!(9443)),
        ("app.scheme", "/app/scheme", json!("HTTP")),
        (
            "app.resources.requests.cpu",
            "/app/resources/requests/cpu",
            json!("300m"),
        ),
        (
            "app.resources.requests.memory",
            "/app/resources/requests/memory",
            json!("200Mi"),
        ),
        (
            "app.resources.limits.cpu",
            "/app/resources/limits/cpu",
            json!("3"),
        ),
        (
            "app.resources.limits.memory",
            "/app/resources/limits/memory",
            json!("3Gi"),
        ),
        (
            "app.probes.startup.path",
            "/app/probes/startup/path",
            json!("/other"),
        ),
        (
            "app.probes.startup.periodSeconds",
            "/app/probes/startup/periodSeconds",
            json!(7),
        ),
        (
            "app.probes.startup.timeoutSeconds",
            "/app/probes/startup/timeoutSeconds",
            json!(7),
        ),
        (
            "app.probes.startup.failureThreshold",
            "/app/probes/startup/failureThreshold",
            json!(7),
        ),
        (
            "app.probes.liveness.path",
            "/app/probes/liveness/path",
            json!("/other"),
        ),
        (
            "app.probes.liveness.periodSeconds",
            "/app/probes/liveness/periodSeconds",
            json!(7),
        ),
        (
            "app.probes.liveness.timeoutSeconds",
            "/app/probes/liveness/timeoutSeconds",
            json!(7),
        ),
        (
            "app.probes.liveness.failureThreshold",
            "/app/probes/liveness/failureThreshold",
            json!(7),
        ),
        (
            "app.probes.readiness.path",
            "/app/probes/readiness/path",
            json!("/other"),
        ),
        (
            "app.probes.readiness.periodSeconds",
            "/app/probes/readiness/periodSeconds",
            json!(7),
        ),
        (
            "app.probes.readiness.timeoutSeconds",
            "/app/probes/readiness/timeoutSeconds",
            json!(7),
        ),
        (
            "app.probes.readiness.failureThreshold",
            "/app/probes/readiness/failureThreshold",
            json!(7),
        ),
        ("app.env[].name", "/app/env/0/name", json!("OTHER")),
        ("app.env[].value", "/app/env/0/value", json!("other")),
        (
            "app.env[].secretKeyRef.name",
            "/app/env/1/secretKeyRef/name",
            json!("other"),
        ),
        (
            "app.env[].secretKeyRef.key",
            "/app/env/1/secretKeyRef/key",
            json!("other"),
        ),
        (
            "app.env[].generatedSecret",
            "/app/env/2/generatedSecret",
            json!("spare"),
        ),
        (
            "app.env[].deploymentValue",
            "/app/env/3/deploymentValue",
            json!("databaseOwnerUrl"),
        ),
        (
            "app.config.mountPath",
            "/app/config/mountPath",
            json!("/etc/other"),
        ),
        ("app.config.files{}", "/app/config/files/a", json!("other")),
        ("app.writablePaths[]", "/app/writablePaths", json!(["/other"])),
        (
            "app.init.image",
            "/app/init/image",
            json!("registry.example/other:1"),
        ),
        ("app.init.command[]", "/app/init/command", json!(["other"])),
        ("app.init.args[]", "/app/init/args", json!(["other"])),
        ("app.init.timeoutSeconds", "/app/init/timeoutSeconds", json!(77)),
        ("app.runAsUser", "/app/runAsUser", json!(10_002)),
        ("domain.primary", "/domain/primary", json!("other.example.org")),
        (
            "domain.allowedOrigins[]",
            "/domain/allowedOrigins",
            json!(["https://other.example.org"]),
        ),
        (
            "database.managed.instances",
            "/database/managed/instances",
            json!(3),
        ),
        (
            "database.managed.image",
            "/database/managed/image",
            json!("registry.example/postgresql:18"),
        ),
        (
            "database.managed.storage.size",
            "/database/managed/storage/size",
            json!("20Gi"),
        ),
        (
            "database.managed.storage.storageClass",
            "/database/managed/storage/storageClass",
            json!("other"),
        ),
        (
            "database.managed.resources.requests.cpu",
            "/database/managed/resources/requests/cpu",
            json!("300m"),
        ),
        (
            "database.managed.resources.requests.memory",
            "/database/managed/resources/requests/memory",
            json!("300Mi"),
        ),
        (
            "database.managed.resources.limits.cpu",
            "/database/managed/resources/limits/cpu",
            json!("3"),
        ),
        (
            "database.managed.resources.limits.memory",
            "/database/managed/resources/limits/memory",
            json!("3Gi"),
        ),
        (
            "database.managed.parameters{}",
            "/database/managed/parameters/work_mem",
            json!("8MB"),
        ),
        ("autoscaling.minReplicas", "/autoscaling/minReplicas", json!(3)),
        ("autoscaling.maxReplicas", "/autoscaling/maxReplicas", json!(9)),
        (
            "autoscaling.targetCpuPercent",
            "/autoscaling/targetCpuPercent",
            json!(50),
        ),
        (
            "autoscaling.targetMemoryPercent",
            "/autoscaling/targetMemoryPercent",
            json!(50),
        ),
        (
            "autoscaling.scaleDownAfterSeconds",
            "/autoscaling/scaleDownAfterSeconds",
            json!(60),
        ),
        ("backup.logical.enabled", "/backup/logical/enabled", json!(false)),
        (
            "backup.logical.tiers.hourly.schedule",
            "/backup/logical/tiers/hourly/schedule",
            json!("7 * * * *"),
        ),
        (
            "backup.logical.tiers.hourly.keep",
            "/backup/logical/tiers/hourly/keep",
            json!(7),
        ),
        (
            "backup.logical.tiers.daily.schedule",
            "/backup/logical/tiers/daily/schedule",
            json!("7 2 * * *"),
        ),
        (
            "backup.logical.tiers.daily.keep",
            "/backup/logical/tiers/daily/keep",
            json!(7),
        ),
        (
            "backup.logical.tiers.weekly.schedule",
            "/backup/logical/tiers/weekly/schedule",
            json!("7 3 * * 0"),
        ),
        (
            "backup.logical.tiers.weekly.keep",
            "/backup/logical/tiers/weekly/keep",
            json!(7),
        ),
        (
            "backup.logical.tiers.monthly.schedule",
            "/backup/logical/tiers/monthly/schedule",
            json!("7 4 1 * *"),
        ),
        (
            "backup.logical.tiers.monthly.keep",
            "/backup/logical/tiers/monthly/keep",
            json!(7),
        ),
        (
            "backup.logical.timeZone",
            "/backup/logical/timeZone",
            json!("Europe/Vienna"),
        ),
        (
            "backup.logical.storage.size",
            "/backup/logical/storage/size",
            json!("20Gi"),
        ),
        (
            "backup.logical.storage.storageClass",
            "/backup/logical/storage/storageClass",
            json!("other"),
        ),
        (
            "backup.logical.verify.schedule",
            "/backup/logical/verify/schedule",
            json!("7 5 * * 0"),
        ),
        (
            "network.ingressFrom[].namespaceLabels{}",
            "/network/ingressFrom/0/namespaceLabels/team",
            json!("other"),
        ),
        (
            "network.ingressFrom[].podLabels{}",
            "/network/ingressFrom/0/podLabels/team",
            json!("other"),
        ),
        (
            "network.metricsFrom[].namespaceLabels{}",
            "/network/metricsFrom/0/namespaceLabels/team",
            json!("other"),
        ),
        (
            "network.metricsFrom[].podLabels{}",
            "/network/metricsFrom/0/podLabels/team",
            json!("other"),
        ),
        (
            "network.egress[].purpose",
            "/network/egress/0/purpose",
            json!("another purpose"),
        ),
        (
            "network.egress[].cidr",
            "/network/egress/0/cidr",
            json!("198.51.100.0/24"),
        ),
        (
            "network.egress[].ports[].port",
            "/network/egress/0/ports/0/port",
            json!(465),
        ),
        (
            "network.egress[].ports[].protocol",
            "/network/egress/0/ports/0/protocol",
            json!("UDP"),
        ),
        ("deletionPolicy", "/deletionPolicy", json!("Delete")),
    ]
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
fn changed(mut spec: Value, pointer: &str, value: Value) -> Value {
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
        .chain(OUTSIDE_THE_PLAN.iter().map(|(leaf, ..)| (*leaf).to_owned()))
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
    for (leaf, pointer, value) in changes() {
        let base = base(leaf);
        let sample = Sample::new(base.clone());
        let changed = Sample::new(changed(base, pointer, value));
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
    for (leaf, pointer, drives) in OUTSIDE_THE_PLAN {
        let other = match *leaf {
            "suspend" => json!(true),
            "secrets.generate[].name" => json!("other"),
            "secrets.generate[].format" => json!("base64url"),
            _ => json!(64),
        };
        let sample = Sample::new(base(leaf));
        let changed = Sample::new(changed(base(leaf), pointer, other));
        assert_ne!(changed.deployment.spec, sample.deployment.spec, "{leaf}");
        assert_eq!(
            changed.plan(),
            sample.plan(),
            "{leaf} is in the plan, no longer outside it ({drives})"
        );
    }
}
