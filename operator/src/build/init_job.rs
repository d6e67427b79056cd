//! The init Job: schema migration and what else must succeed before pods of a new image or configuration start.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        batch::v1::{Job, JobSpec},
        core::v1::{Container, PodSpec, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use medical_crds::{names::Component, spec::Init};

use super::{
    Inputs, Lifetime, checksum,
    deployment::{self, CONFIG_CHECKSUM},
    environment::{self, Login},
    pod,
    quantities::{self, GIBIBYTE, LocalStorage},
};

const TEMPORARY: i128 = GIBIBYTE / 4;

/// The Job; none when there is nothing to run.
pub fn build(inputs: &Inputs) -> Option<Job> {
    let init = inputs.deployment.spec.effective_init()?;
    let template = template(inputs, &init);
    Some(Job {
        metadata: inputs.metadata(name_for(inputs, &template), Component::Init, Lifetime::Workload),
        spec: Some(JobSpec {
            active_deadline_seconds: Some(init.timeout_seconds),
            backoff_limit: Some(3),
            template,
            // No time to live: the Job that is there is the evidence that this image and configuration were migrated.
            ..JobSpec::default()
        }),
        status: None,
    })
}

/// Name of the Job of the present image and configuration; none when there is nothing to run.
pub fn name(inputs: &Inputs) -> Option<String> {
    let init = inputs.deployment.spec.effective_init()?;
    Some(name_for(inputs, &template(inputs, &init)))
}

/// A Job's pod template cannot be changed, so the name follows the template. A changed Secret changes neither: a new
/// password does not ask for another migration.
fn name_for(inputs: &Inputs, template: &PodTemplateSpec) -> String {
    inputs.names.init_job(&checksum::of_value(template))
}

fn template(inputs: &Inputs, init: &Init) -> PodTemplateSpec {
    let spec = &inputs.deployment.spec;
    let (mut volumes, mut mounts) = environment::files(inputs, Login::Owner);
    volumes.push(pod::empty_dir("tmp", TEMPORARY));
    mounts.push(pod::writable("tmp", "/tmp"));
    let some = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    let variables = environment::variables(inputs, Login::Owner);
    let container = Container {
        name: "init".to_owned(),
        image: Some(init.image.clone().unwrap_or_else(|| deployment::image(inputs))),
        image_pull_policy: Some(inputs.settings.image_pull_policy.clone()),
        command: some(&init.command),
        args: some(&init.args),
        env: (!variables.is_empty()).then_some(variables),
        resources: Some(quantities::container(
            &spec.app.resources,
            Some(LocalStorage {
                request: GIBIBYTE / 16,
                limit: 2 * TEMPORARY,
            }),
        )),
        security_context: Some(pod::container_security()),
        // Tells why a migration failed even when the image knows nothing of the termination log.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(mounts),
        ..Container::default()
    };
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(inputs.names.labels(Component::Init)),
            annotations: checksum::of_config(inputs)
                .map(|config| BTreeMap::from([(CONFIG_CHECKSUM.to_owned(), config)])),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            restart_policy: Some("Never".to_owned()),
            service_account_name: Some(inputs.names.app()),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            security_context: Some(pod::pod_security(spec.app.run_as_user)),
            containers: vec![container],
            volumes: Some(volumes),
            ..PodSpec::default()
        }),
    }
}
