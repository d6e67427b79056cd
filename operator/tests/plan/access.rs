//! Who holds which credential: each pod has what its work needs and nothing beside.

use std::collections::BTreeSet;

use medical_operator::{build::Lifetime, kinds::Kind};
use serde_json::Value;

use crate::{pods, sample::Sample, specs};

/// `SECRET/KEY` of everything that a pod template mounts or reads.
fn held(template: &Value) -> BTreeSet<String> {
    let mut held = BTreeSet::new();
    for volume in template["spec"]["volumes"].as_array().unwrap() {
        let Some(secret) = volume.get("secret") else {
            continue;
        };
        for item in secret["items"].as_array().unwrap() {
            held.insert(format!("{}/{}", text(&secret["secretName"]), text(&item["key"])));
        }
    }
    for list in ["initContainers", "containers"] {
        for container in template["spec"][list].as_array().into_iter().flatten() {
            for variable in container["env"].as_array().into_iter().flatten() {
                if let Some(reference) = variable["valueFrom"].get("secretKeyRef") {
                    held.insert(format!(
                        "{}/{}",
                        text(&reference["name"]),
                        text(&reference["key"])
                    ));
                }
            }
        }
    }
    held
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn pod(name: &str) -> BTreeSet<String> {
    let found = pods::all().into_iter().find(|(pod, _)| pod.starts_with(name));
    held(&found.unwrap_or_else(|| panic!("no pod {name}")).1)
}

fn set(expected: &[&str]) -> BTreeSet<String> {
    expected.iter().map(|entry| (*entry).to_owned()).collect()
}

#[test]
fn the_application_holds_its_restricted_role_and_its_keys_but_never_the_owners_password() {
    let expected = set(&[
        "clinic-db-app/password",
        "clinic-db-ca/ca.crt",
        "clinic-keys/audit",
        "clinic-keys/blind-index",
        "clinic-keys/phi-kek",
        "clinic-keys/token-signing",
        "clinic-tls/ca.crt",
        "clinic-tls/tls.crt",
        "clinic-tls/tls.key",
    ]);
    assert_eq!(pod("minimal: Deployment"), expected);
    assert_eq!(pod("production: Deployment"), expected);
}

#[test]
fn the_init_job_holds_the_owners_password_but_no_key_and_no_certificate() {
    assert_eq!(
        pod("minimal: Job"),
        set(&["clinic-db-ca/ca.crt", "clinic-db-owner/password"])
    );
}

#[test]
fn another_application_holds_what_it_asks_for() {
    let own = [
        "clinic-db-ca/ca.crt",
        "clinic-generated/secret-key",
        "smtp/password",
    ];
    let app = ["clinic-db-app/uri", "clinic-db-app/password"];
    assert_eq!(pod("custom: Deployment"), set(&[&own[..], &app[..]].concat()));
    // Its init command runs with the owner's rights under the same names.
    let owner = ["clinic-db-owner/uri", "clinic-db-owner/password"];
    assert_eq!(pod("custom: Job"), set(&[&own[..], &owner[..]].concat()));
}

#[test]
fn a_pod_that_dumps_cannot_read_its_dumps() {
    assert_eq!(
        pod("production: CronJob clinic-backup-hourly"),
        set(&[
            "clinic-backup-key/recipient",
            "clinic-db-backup/password",
            "clinic-db-ca/ca.crt"
        ])
    );
}

#[test]
fn the_pod_that_verifies_has_no_password_and_cannot_change_a_dump() {
    assert_eq!(
        pod("production: CronJob clinic-backup-verify"),
        set(&["clinic-backup-key/identity"])
    );
    let (_, template) = pods::all()
        .into_iter()
        .find(|(name, _)| name == "production: CronJob clinic-backup-verify")
        .unwrap();
    let mounts = template["spec"]["containers"][0]["volumeMounts"]
        .as_array()
        .unwrap();
    assert!(
        mounts
            .iter()
            .any(|mount| mount["name"] == "dumps" && mount["readOnly"] == true)
    );
}

#[test]
fn no_plain_variable_is_named_like_a_secret() {
    for (name, template) in pods::all() {
        for container in template["spec"]["containers"].as_array().unwrap() {
            for variable in container["env"].as_array().into_iter().flatten() {
                let secret = ["PASSWORD", "SECRET", "TOKEN", "KEY"]
                    .iter()
                    .any(|end| text(&variable["name"]).ends_with(end));
                assert!(!(secret && variable.get("value").is_some()), "{name}: {variable}");
            }
        }
    }
}

#[test]
fn the_database_has_no_superuser_and_accepts_only_its_three_roles_over_tls() {
    for (name, spec) in specs::all() {
        let plan = Sample::new(spec).plan();
        let cluster = &plan
            .iter()
            .find(|child| child.kind == Kind::Cluster)
            .unwrap()
            .object["spec"];
        assert_eq!(cluster["enableSuperuserAccess"], false, "{name}");
        assert_eq!(cluster["bootstrap"]["initdb"]["owner"], "medical_owner", "{name}");
        let rules: Vec<&str> = cluster["postgresql"]["pg_hba"]
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect();
        assert_eq!(
            rules,
            [
                "hostssl all medical_owner all scram-sha-256",
                "hostssl app medical_app all scram-sha-256",
                "hostssl app medical_backup all scram-sha-256",
                "hostnossl all all all reject",
                "hostssl all all all reject",
            ],
            "{name}"
        );
        let bypassing: Vec<&str> = cluster["managed"]["roles"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|role| role.get("bypassrls").is_some())
            .map(|role| text(&role["name"]))
            .collect();
        assert_eq!(bypassing, ["medical_backup"], "{name}");
    }
}

#[test]
fn what_holds_or_guards_data_outlives_the_resource_unless_told_otherwise() {
    for (name, spec) in specs::all() {
        let delete = spec["deletionPolicy"] == "Delete";
        for child in Sample::new(spec).plan() {
            let owned = child.object["metadata"].get("ownerReferences").is_some();
            assert_eq!(
                owned,
                delete || child.lifetime == Lifetime::Workload,
                "{name}: {:?} {}",
                child.kind,
                child.name
            );
            let data = match child.kind {
                Kind::PersistentVolumeClaim | Kind::Cluster => true,
                Kind::NetworkPolicy => ["clinic-default-deny", "clinic-db-default-deny", "clinic-database"]
                    .contains(&child.name.as_str()),
                _ => false,
            };
            assert_eq!(
                child.lifetime == Lifetime::Data,
                data,
                "{name}: {:?} {}",
                child.kind,
                child.name
            );
        }
    }
}
