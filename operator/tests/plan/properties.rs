//! What holds for the plan of every spec.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Value, json};

use crate::sample::Sample;

fn object(fields: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Value {
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

fn some<T: serde::Serialize>(value: Option<T>) -> Option<Value> {
    value.map(|value| json!(value))
}

fn quantity() -> impl Strategy<Value = &'static str> {
    select(vec![
        "1", "250m", "1000m", "0.5", "512Mi", "1024Mi", "1.5Gi", "2G", "10Gi",
    ])
}

fn resources() -> impl Strategy<Value = Value> {
    (
        option::of(quantity()),
        option::of(quantity()),
        option::of(quantity()),
        option::of(quantity()),
    )
        .prop_map(|(cpu, memory, cpu_limit, memory_limit)| {
            json!({
                "requests": object([("cpu", some(cpu)), ("memory", some(memory))]),
                "limits": object([("cpu", some(cpu_limit)), ("memory", some(memory_limit))]),
            })
        })
}

fn probe() -> impl Strategy<Value = Value> {
    (
        option::of(Just("/health")),
        option::of(1..300_i32),
        option::of(1..600_i32),
    )
        .prop_map(|(path, period, failures)| {
            object([
                ("path", some(path)),
                ("periodSeconds", some(period)),
                ("failureThreshold", some(failures)),
            ])
        })
}

fn env() -> impl Strategy<Value = Value> {
    let variable = prop_oneof![
        select(vec!["", "plain", "$(OTHER)"]).prop_map(|value| json!({"value": value})),
        Just(json!({"secretKeyRef": {"name": "mine", "key": "value"}})),
        Just(json!({"generatedSecret": "session"})),
        select(vec![
            "databaseUrl",
            "databaseOwnerUrl",
            "databasePassword",
            "port",
            "allowedOrigins",
            "publicUrl"
        ])
        .prop_map(|value| json!({"deploymentValue": value})),
    ];
    vec(variable, 0..5).prop_map(|variables| {
        variables
            .into_iter()
            .enumerate()
            .map(|(index, mut variable)| {
                variable["name"] = json!(format!("VARIABLE_{index}"));
                variable
            })
            .collect()
    })
}

fn app() -> impl Strategy<Value = Value> {
    let words = || vec(select(vec!["run", "--fast", "a b"]), 0..3);
    let init = (words(), words()).prop_map(|(command, args)| json!({"command": command, "args": args}));
    let files = proptest::collection::btree_map("[a-z]{1,8}", "[ -~]{0,20}", 0..3);
    (
        option::of(Just("registry.example/app:1")),
        0..20_i32,
        (words(), words()),
        option::of(select(vec!["HTTP", "HTTPS"])),
        resources(),
        option::of((option::of(probe()), option::of(probe()), option::of(probe()))),
        env(),
        option::of(files),
        vec(select(vec!["/data", "/app/uploads", "/var/cache"]), 0..3),
        option::of(init),
    )
        .prop_map(
            |(image, replicas, (command, args), scheme, resources, probes, env, files, writable, init)| {
                let probes = probes.map(|(startup, liveness, readiness)| {
                    object([
                        ("startup", startup),
                        ("liveness", liveness),
                        ("readiness", readiness),
                    ])
                });
                object([
                    ("image", some(image)),
                    ("replicas", Some(json!(replicas))),
                    ("command", Some(json!(command))),
                    ("args", Some(json!(args))),
                    ("scheme", some(scheme)),
                    ("resources", Some(resources)),
                    ("probes", probes),
                    ("env", Some(env)),
                    ("config", files.map(|files| json!({"files": files}))),
                    ("writablePaths", Some(json!(BTreeSet::from_iter(writable)))),
                    ("init", init),
                ])
            },
        )
}

fn network() -> impl Strategy<Value = Value> {
    let labels = || proptest::collection::btree_map("[a-z]{1,6}", "[a-z]{0,6}", 0..3);
    let peers = move || {
        vec((labels(), labels()), 0..3).prop_map(|peers| {
            peers
                .into_iter()
                .map(|(namespace, pod)| json!({"namespaceLabels": namespace, "podLabels": pod}))
                .collect::<Vec<Value>>()
        })
    };
    let egress = vec(
        Just(json!({"purpose": "mail", "cidr": "203.0.113.0/24", "ports": [{"port": 587}]})),
        0..3,
    );
    (peers(), peers(), egress).prop_map(
        |(from, metrics, egress)| json!({"ingressFrom": from, "metricsFrom": metrics, "egress": egress}),
    )
}

fn spec() -> impl Strategy<Value = Value> {
    let tier = || option::of((1..400_i32).prop_map(|keep| json!({"schedule": "0 2 * * *", "keep": keep})));
    let backup = (any::<bool>(), tier(), tier(), tier(), tier(), quantity()).prop_map(
        |(enabled, hourly, daily, weekly, monthly, size)| {
            let tiers = object([
                ("hourly", hourly),
                ("daily", daily),
                ("weekly", weekly),
                ("monthly", monthly),
            ]);
            json!({"logical": {"enabled": enabled, "tiers": tiers, "storage": {"size": size}}})
        },
    );
    let database = (1..4_i32, resources(), quantity(), option::of(Just("fast"))).prop_map(
        |(instances, resources, size, class)| {
            let storage = object([("size", some(Some(size))), ("storageClass", some(class))]);
            json!({"managed": {"instances": instances, "resources": resources, "storage": storage}})
        },
    );
    let autoscaling = (1..5_i32, 5..50_i32, option::of(50..90_i32)).prop_map(|(least, most, memory)| {
        object([
            ("minReplicas", some(Some(least))),
            ("maxReplicas", some(Some(most))),
            ("targetMemoryPercent", some(memory)),
        ])
    });
    let domain = (
        option::of(Just("clinic.example.org")),
        vec(Just("https://portal.example.org"), 0..2),
    )
        .prop_map(|(primary, origins)| {
            object([
                ("primary", some(primary)),
                ("allowedOrigins", some(Some(origins))),
            ])
        });
    (
        option::of(select(vec!["reference", "custom"])),
        app(),
        option::of(domain),
        database,
        option::of(autoscaling),
        backup,
        option::of(network()),
        select(vec!["Retain", "Delete"]),
    )
        .prop_map(
            |(preset, app, domain, database, autoscaling, backup, network, deletion)| {
                object([
                    ("preset", some(preset)),
                    ("app", Some(app)),
                    ("domain", domain),
                    ("database", Some(database)),
                    ("autoscaling", autoscaling),
                    ("backup", Some(backup)),
                    ("network", network),
                    ("deletionPolicy", Some(json!(deletion))),
                ])
            },
        )
}

/// Paths of what the API server would drop: nulls, empty lists and empty maps.
fn dropped(path: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Null => found.push(path.to_owned()),
        Value::Array(items) if items.is_empty() => found.push(path.to_owned()),
        Value::Object(fields) if fields.is_empty() => found.push(path.to_owned()),
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| dropped(&format!("{path}[{index}]"), item, found));
        }
        Value::Object(fields) => {
            fields
                .iter()
                .for_each(|(name, field)| dropped(&format!("{path}.{name}"), field, found));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_spec_always_gives_the_same_plan(spec in spec()) {
        prop_assert_eq!(Sample::new(spec.clone()).plan(), Sample::new(spec).plan());
    }

    #[test]
    fn nothing_in_a_plan_would_be_dropped_by_the_api_server(spec in spec()) {
        for child in Sample::new(spec).plan() {
            let mut found = Vec::new();
            dropped("", &child.object, &mut found);
            prop_assert!(found.is_empty(), "{:?} {}: {found:?}", child.kind, child.name);
            prop_assert!(child.object.get("status").is_none(), "{:?} {}", child.kind, child.name);
        }
    }

    #[test]
    fn a_plan_is_in_the_order_of_apply_and_names_every_child_once(spec in spec()) {
        let plan = Sample::new(spec).plan();
        prop_assert!(plan.is_sorted_by_key(|child| child.kind));
        let names: BTreeSet<_> = plan.iter().map(|child| (child.kind, child.name.clone())).collect();
        prop_assert_eq!(names.len(), plan.len());
    }

    #[test]
    fn every_child_says_what_it_is_whose_it_is_and_who_writes_it(spec in spec()) {
        for child in Sample::new(spec).plan() {
            let info = child.kind.info();
            let version = if info.group.is_empty() { info.version.to_owned() } else { format!("{}/{}", info.group, info.version) };
            prop_assert_eq!(&child.object["apiVersion"], &json!(version));
            prop_assert_eq!(&child.object["kind"], &json!(info.name));
            let metadata = &child.object["metadata"];
            prop_assert_eq!(&metadata["name"], &json!(child.name));
            prop_assert_eq!(&metadata["namespace"], &json!("medical-sample"));
            let labels: BTreeMap<String, String> = serde_json::from_value(metadata["labels"].clone()).expect("labels");
            prop_assert_eq!(&labels["app.kubernetes.io/name"], "medical-deployment");
            prop_assert_eq!(&labels["app.kubernetes.io/instance"], "clinic");
            prop_assert_eq!(&labels["app.kubernetes.io/managed-by"], "medical-operator");
            prop_assert!(labels.contains_key("app.kubernetes.io/component"));
        }
    }
}
