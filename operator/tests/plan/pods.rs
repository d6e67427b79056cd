//! What holds for every pod: the restricted Pod Security standard, bounded resources, nothing it does not need.

use medical_operator::kinds::Kind;
use serde_json::{Value, json};

use crate::{sample::Sample, specs};

/// Every pod template of every spec, with a name to tell it by.
pub fn all() -> Vec<(String, Value)> {
    specs::all()
        .into_iter()
        .flat_map(|(name, spec)| of(name, &Sample::new(spec)))
        .collect()
}

fn of(name: &str, sample: &Sample) -> Vec<(String, Value)> {
    sample
        .plan()
        .iter()
        .filter_map(|child| {
            let template = match child.kind {
                Kind::Deployment | Kind::Job => &child.object["spec"]["template"],
                Kind::CronJob => &child.object["spec"]["jobTemplate"]["spec"]["template"],
                _ => return None,
            };
            Some((
                format!("{name}: {:?} {}", child.kind, child.name),
                template.clone(),
            ))
        })
        .collect()
}

fn containers(template: &Value) -> Vec<Value> {
    let list = |key: &str| template["spec"][key].as_array().cloned().unwrap_or_default();
    [list("initContainers"), list("containers")].concat()
}

fn every_container(claim: impl Fn(&Value) -> bool) {
    for (name, template) in all() {
        for container in containers(&template) {
            assert!(claim(&container), "{name}: container {}", container["name"]);
        }
    }
}

fn every_pod(claim: impl Fn(&Value) -> bool) {
    for (name, template) in all() {
        assert!(claim(&template["spec"]), "{name}");
    }
}

#[test]
fn the_specs_together_have_every_kind_of_pod() {
    let names: Vec<String> = all().into_iter().map(|(name, _)| name).collect();
    for part in [
        "Deployment clinic",
        "Job clinic-init",
        "CronJob clinic-backup-hourly",
        "CronJob clinic-backup-verify",
    ] {
        assert!(
            names.iter().any(|name| name.contains(part)),
            "{part} is in none of {names:?}"
        );
    }
}

#[test]
fn no_pod_runs_as_root() {
    every_pod(|pod| {
        let security = &pod["securityContext"];
        security["runAsNonRoot"] == true
            && ["runAsUser", "runAsGroup", "fsGroup"]
                .iter()
                .all(|id| security[*id].as_i64() > Some(0))
    });
    every_container(|container| {
        container["securityContext"]["runAsNonRoot"] == true
            && container["securityContext"].get("runAsUser").is_none()
    });
}

#[test]
fn no_container_gains_a_privilege_or_writes_to_its_root_file_system() {
    every_container(|container| {
        let security = &container["securityContext"];
        security["allowPrivilegeEscalation"] == false
            && security["privileged"] == false
            && security["readOnlyRootFilesystem"] == true
            && security["capabilities"] == json!({"drop": ["ALL"]})
    });
}

#[test]
fn every_pod_is_confined_to_the_runtimes_system_calls() {
    every_pod(|pod| pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault");
}

#[test]
fn no_pod_gets_a_token_for_the_api_server_or_learns_of_other_services() {
    every_pod(|pod| {
        pod["automountServiceAccountToken"] == false
            && pod["enableServiceLinks"] == false
            && ["clinic", "clinic-backup"]
                .iter()
                .any(|name| pod["serviceAccountName"] == *name)
    });
    for (_, spec) in specs::all() {
        for account in Sample::new(spec)
            .plan()
            .iter()
            .filter(|child| child.kind == Kind::ServiceAccount)
        {
            assert_eq!(
                account.object["automountServiceAccountToken"], false,
                "{}",
                account.name
            );
        }
    }
}

#[test]
fn no_pod_shares_anything_with_its_node() {
    every_pod(|pod| {
        ["hostNetwork", "hostPID", "hostIPC"]
            .iter()
            .all(|key| pod.get(key).is_none())
            && pod["volumes"]
                .as_array()
                .unwrap()
                .iter()
                .all(|volume| volume.get("hostPath").is_none())
    });
}

#[test]
fn every_container_has_bounded_memory_and_storage() {
    every_container(|container| {
        let resources = &container["resources"];
        ["cpu", "memory", "ephemeral-storage"]
            .iter()
            .all(|name| resources["requests"][*name].is_string())
            && ["memory", "ephemeral-storage"]
                .iter()
                .all(|name| resources["limits"][*name].is_string())
    });
}

#[test]
fn every_temporary_volume_has_a_size() {
    every_pod(|pod| {
        let volumes = pod["volumes"].as_array().unwrap();
        volumes
            .iter()
            .filter_map(|volume| volume.get("emptyDir"))
            .all(|empty_dir| empty_dir["sizeLimit"].is_string())
    });
}

#[test]
fn every_mount_has_a_volume_and_every_volume_a_mount() {
    for (name, template) in all() {
        let volumes: std::collections::BTreeSet<String> = template["spec"]["volumes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|volume| volume["name"].as_str().unwrap().to_owned())
            .collect();
        let mounts = containers(&template)
            .iter()
            .flat_map(|container| container["volumeMounts"].as_array().cloned().unwrap_or_default())
            .map(|mount| mount["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(volumes, mounts, "{name}");
    }
}

#[test]
fn secrets_are_mounted_key_by_key_and_readable_by_the_pods_group_alone() {
    for (name, template) in all() {
        for volume in template["spec"]["volumes"].as_array().unwrap() {
            let Some(secret) = volume.get("secret") else {
                continue;
            };
            assert_eq!(secret["defaultMode"], 0o440, "{name}: {volume}");
            let items = secret["items"].as_array().expect("the keys are named");
            assert!(
                !items.is_empty() && items.iter().all(|item| item["key"] != "ca.key"),
                "{name}: {volume}"
            );
        }
    }
}

#[test]
fn every_job_ends_and_says_why_it_failed() {
    for (_, spec) in specs::all() {
        for child in Sample::new(spec).plan() {
            let job = match child.kind {
                Kind::Job => &child.object["spec"],
                Kind::CronJob => {
                    let spec = &child.object["spec"];
                    assert_eq!(spec["concurrencyPolicy"], "Forbid", "{}", child.name);
                    assert!(
                        spec["startingDeadlineSeconds"].as_i64() > Some(100),
                        "{}",
                        child.name
                    );
                    &spec["jobTemplate"]["spec"]
                }
                _ => continue,
            };
            assert!(job["activeDeadlineSeconds"].as_i64() > Some(0), "{}", child.name);
            assert!(job["backoffLimit"].is_number(), "{}", child.name);
            assert_eq!(
                job["template"]["spec"]["restartPolicy"], "Never",
                "{}",
                child.name
            );
            for container in containers(&job["template"]) {
                assert_eq!(
                    container["terminationMessagePolicy"], "FallbackToLogsOnError",
                    "{}",
                    child.name
                );
            }
        }
    }
}
