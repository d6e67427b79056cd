//! What makes pods roll, a Job run again, or neither.

use medical_operator::{build::init_job, kinds::Kind};
use serde_json::{Value, json};

use crate::{sample::Sample, specs};

fn template(sample: &Sample) -> Value {
    let plan = sample.plan();
    plan.iter()
        .find(|child| child.kind == Kind::Deployment)
        .unwrap()
        .object["spec"]["template"]
        .clone()
}

fn job(sample: &Sample) -> String {
    init_job::name(&sample.inputs()).unwrap()
}

#[test]
fn a_changed_secret_rolls_the_pods_that_read_it_and_no_others() {
    let sample = Sample::new(specs::production());
    for (suffix, rolls) in [
        ("db-app", true),
        ("keys", true),
        ("db-owner", false),
        ("db-backup", false),
        ("backup-key", false),
    ] {
        let mut changed = sample.clone();
        changed
            .secret_checksums
            .insert(format!("clinic-{suffix}"), "changed".to_owned());
        assert_eq!(template(&changed) != template(&sample), rolls, "{suffix}");
    }
}

#[test]
fn a_renewed_certificate_rolls_only_an_application_that_may_not_watch_it() {
    for (spec, rolls) in [
        (json!({}), false),
        (json!({"app": {"image": "r/a:1", "scheme": "HTTPS"}}), true),
    ] {
        let sample = Sample::new(spec);
        let mut renewed = sample.clone();
        renewed
            .secret_checksums
            .insert("clinic-tls".to_owned(), "renewed".to_owned());
        assert_eq!(template(&renewed) != template(&sample), rolls);
    }
}

#[test]
fn a_changed_secret_of_the_users_rolls_the_pods() {
    let mut sample = Sample::new(specs::custom());
    let before = template(&sample);
    sample
        .secret_checksums
        .insert("smtp".to_owned(), "new".to_owned());
    assert_ne!(template(&sample), before);
}

#[test]
fn a_changed_file_rolls_the_pods_and_runs_the_init_job_again() {
    let mut spec = specs::custom();
    let before = Sample::new(spec.clone());
    spec["app"]["config"]["files"]["settings.toml"] = json!("workers = 8\n");
    let after = Sample::new(spec);
    assert_ne!(template(&after), template(&before));
    assert_ne!(job(&after), job(&before));
}

#[test]
fn an_init_job_runs_again_for_a_new_image_but_not_for_a_new_password() {
    let sample = Sample::new(json!({"app": {"image": "registry.example/app:1"}, "preset": "reference"}));
    let mut password = sample.clone();
    password
        .secret_checksums
        .insert("clinic-db-owner".to_owned(), "changed".to_owned());
    assert_eq!(job(&password), job(&sample));
    let image = Sample::new(json!({"app": {"image": "registry.example/app:2"}, "preset": "reference"}));
    assert_ne!(job(&image), job(&sample));
    let scaled = Sample::new(
        json!({"app": {"image": "registry.example/app:1", "replicas": 9}, "preset": "reference"}),
    );
    assert_eq!(job(&scaled), job(&sample));
}

#[test]
fn an_init_job_has_the_name_that_the_status_looks_for() {
    let sample = Sample::new(json!({}));
    let plan = sample.plan();
    let planned = plan.iter().find(|child| child.kind == Kind::Job).unwrap();
    assert_eq!(planned.name, job(&sample));
    assert!(planned.name.len() <= 57, "a pod's name appends six characters");
}

#[test]
fn an_application_without_migrations_has_no_init_job() {
    let sample = Sample::new(json!({"app": {"image": "registry.example/app:1"}}));
    assert_eq!(init_job::name(&sample.inputs()), None);
    assert!(
        sample
            .plan()
            .iter()
            .all(|child| child.kind != Kind::Job && child.name != "clinic-init")
    );
}

#[test]
fn the_operator_never_claims_the_number_of_pods_while_an_autoscaler_has_it() {
    let replicas = |spec| {
        let plan = Sample::new(spec).plan();
        plan.iter()
            .find(|child| child.kind == Kind::Deployment)
            .unwrap()
            .object["spec"]
            .get("replicas")
            .cloned()
    };
    assert_eq!(replicas(specs::autoscaled()), None);
    assert_eq!(replicas(json!({"app": {"replicas": 0}})), Some(json!(0)));
}

#[test]
fn a_variable_of_the_users_wins_over_the_presets() {
    let sample =
        Sample::new(json!({"app": {"env": [{"name": "PUBLIC_URL", "value": "https://other.example.org"}]}}));
    let env = template(&sample)["spec"]["containers"][0]["env"].clone();
    let found: Vec<&Value> = env
        .as_array()
        .unwrap()
        .iter()
        .filter(|variable| variable["name"] == "PUBLIC_URL")
        .collect();
    assert_eq!(
        found,
        [&json!({"name": "PUBLIC_URL", "value": "https://other.example.org"})]
    );
}

#[test]
fn a_rollout_gives_a_slow_pod_all_the_time_that_its_startup_probe_gives() {
    let plan = Sample::new(specs::custom()).plan();
    let deployment = &plan
        .iter()
        .find(|child| child.kind == Kind::Deployment)
        .unwrap()
        .object["spec"];
    assert_eq!(deployment["progressDeadlineSeconds"], 150 * 2 + 60);
    assert_eq!(
        deployment["strategy"]["rollingUpdate"],
        json!({"maxSurge": 1, "maxUnavailable": 0})
    );
}
