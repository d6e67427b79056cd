//! The Deployment of the application.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Affinity, Container, ContainerPort, HTTPGetAction, Lifecycle, LifecycleHandler, PodAffinityTerm,
            PodAntiAffinity, PodSpec, PodTemplateSpec, Probe, SleepAction, TCPSocketAction,
            TopologySpreadConstraint, Volume, VolumeMount, WeightedPodAffinityTerm,
        },
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use medical_crds::{
    names::Component,
    spec::{self, MedicalDeploymentSpec},
};

use super::{
    Inputs, Lifetime, checksum,
    environment::{self, Login, SHUTDOWN_GRACE_SECONDS},
    pod,
    quantities::{self, GIBIBYTE, LocalStorage},
    service,
};

/// Annotation of the pods with the checksum of the Secrets that they read; a change rolls them.
pub const SECRETS_CHECKSUM: &str = "medops.dev/secrets-checksum";
/// Annotation of the pods with the checksum of their configuration files; a change rolls them.
pub const CONFIG_CHECKSUM: &str = "medops.dev/config-checksum";

/// Seconds for which a pod that is to end still serves, until every node has taken it out of the Service.
const DRAIN_SECONDS: i64 = 5;
/// Seconds that a pod gets beyond its own grace, to write its last lines.
const SPARE_SECONDS: i64 = 20;
/// Seconds for which a new pod has to stay ready before it counts.
const MIN_READY_SECONDS: i32 = 5;
/// Size of `/tmp`.
const TEMPORARY: i128 = GIBIBYTE / 4;
/// Size of each of `spec.app.writablePaths`.
const WRITABLE_PATH: i128 = GIBIBYTE;
/// Local storage for the container's logs.
const LOGS: i128 = GIBIBYTE / 4;

/// The Deployment.
pub fn build(inputs: &Inputs) -> Deployment {
    let spec = &inputs.deployment.spec;
    let startup = probes(spec).0;
    let starting = startup
        .period_seconds
        .unwrap_or_default()
        .saturating_mul(startup.failure_threshold.unwrap_or_default());
    Deployment {
        metadata: inputs.metadata(inputs.names.app(), Component::App, Lifetime::Workload),
        spec: Some(DeploymentSpec {
            // The autoscaler owns the number while there is one; claiming it would undo every scaling.
            replicas: spec.autoscaling.is_none().then_some(spec.app.replicas),
            selector: selector(inputs),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            min_ready_seconds: Some(MIN_READY_SECONDS),
            // A pod may use its whole time to start before the rollout counts as stuck.
            progress_deadline_seconds: Some(starting.saturating_add(60)),
            revision_history_limit: Some(5),
            template: template(inputs),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// The image of the application.
pub(crate) fn image(inputs: &Inputs) -> String {
    inputs
        .deployment
        .spec
        .app
        .image
        .as_ref()
        .unwrap_or(&inputs.settings.app_image)
        .clone()
}

fn selector(inputs: &Inputs) -> LabelSelector {
    LabelSelector {
        match_labels: Some(inputs.names.component_selector(Component::App)),
        match_expressions: None,
    }
}

fn template(inputs: &Inputs) -> PodTemplateSpec {
    let spec = &inputs.deployment.spec;
    let (mut volumes, mut mounts) = environment::files(inputs, Login::App);
    let (writable_volumes, writable_mounts) = writable(spec);
    volumes.extend(writable_volumes);
    mounts.extend(writable_mounts);
    let secrets = checksum::of_secrets(inputs, &environment::secrets_that_roll(inputs));
    let annotations: BTreeMap<String, String> = [
        (SECRETS_CHECKSUM, secrets),
        (CONFIG_CHECKSUM, checksum::of_config(inputs)),
    ]
    .into_iter()
    .filter_map(|(name, sum)| Some((name.to_owned(), sum?)))
    .collect();
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(inputs.names.labels(Component::App)),
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            service_account_name: Some(inputs.names.app()),
            automount_service_account_token: Some(false),
            // Variables about every Service of the namespace tell more than the application needs.
            enable_service_links: Some(false),
            security_context: Some(pod::pod_security(spec.app.run_as_user)),
            termination_grace_period_seconds: Some(DRAIN_SECONDS + SHUTDOWN_GRACE_SECONDS + SPARE_SECONDS),
            topology_spread_constraints: Some(
                ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
                    .map(|topology| spread(inputs, topology))
                    .to_vec(),
            ),
            affinity: Some(apart(inputs)),
            containers: vec![container(inputs, mounts)],
            volumes: Some(volumes),
            ..PodSpec::default()
        }),
    }
}

fn container(inputs: &Inputs, mounts: Vec<VolumeMount>) -> Container {
    let spec = &inputs.deployment.spec;
    let some = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    let variables = environment::variables(inputs, Login::App);
    let mut ports = vec![port(service::port_name(spec), spec.effective_port())];
    ports.extend(
        spec.effective_metrics_port()
            .map(|number| port("metrics", number)),
    );
    let (startup, liveness, readiness) = probes(spec);
    Container {
        name: "app".to_owned(),
        image: Some(image(inputs)),
        image_pull_policy: Some(inputs.settings.image_pull_policy.clone()),
        command: some(&spec.app.command),
        args: some(&spec.app.args),
        env: (!variables.is_empty()).then_some(variables),
        ports: Some(ports),
        startup_probe: Some(startup),
        liveness_probe: Some(liveness),
        readiness_probe: Some(readiness),
        lifecycle: Some(Lifecycle {
            // The kubelet's own sleep: an image without a shell has no program for it.
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction {
                    seconds: DRAIN_SECONDS,
                }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        resources: Some(quantities::container(
            &spec.app.resources,
            Some(local_storage(spec)),
        )),
        security_context: Some(pod::container_security()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn writable(spec: &MedicalDeploymentSpec) -> (Vec<Volume>, Vec<VolumeMount>) {
    let paths = spec.app.writable_paths.iter().enumerate();
    let declared = paths.map(|(index, path)| (format!("writable-{index}"), path.as_str(), WRITABLE_PATH));
    [("tmp".to_owned(), "/tmp", TEMPORARY)]
        .into_iter()
        .chain(declared)
        .map(|(name, path, bytes)| (pod::empty_dir(&name, bytes), pod::writable(&name, path)))
        .unzip()
}

fn local_storage(spec: &MedicalDeploymentSpec) -> LocalStorage {
    let paths = spec
        .app
        .writable_paths
        .iter()
        .map(|_| WRITABLE_PATH)
        .sum::<i128>();
    LocalStorage {
        request: GIBIBYTE / 16,
        limit: TEMPORARY + LOGS + paths,
    }
}

/// The probes that start, check and admit a pod.
fn probes(spec: &MedicalDeploymentSpec) -> (Probe, Probe, Probe) {
    let declared = spec.app.probes.clone().unwrap_or_default();
    let paths = spec.effective_health_paths();
    (
        probe(spec, declared.startup.as_ref(), paths.startup, 2, 60),
        probe(spec, declared.liveness.as_ref(), paths.liveness, 10, 3),
        probe(spec, declared.readiness.as_ref(), paths.readiness, 5, 3),
    )
}

fn probe(
    spec: &MedicalDeploymentSpec,
    declared: Option<&spec::Probe>,
    preset_path: Option<&str>,
    period: i32,
    failures: i32,
) -> Probe {
    let declared = declared.cloned().unwrap_or_default();
    let port = IntOrString::String(service::port_name(spec).to_owned());
    let mut probe = Probe {
        period_seconds: Some(declared.period_seconds.unwrap_or(period)),
        timeout_seconds: Some(declared.timeout_seconds.unwrap_or(3)),
        failure_threshold: Some(declared.failure_threshold.unwrap_or(failures)),
        ..Probe::default()
    };
    match declared.path.or_else(|| preset_path.map(str::to_owned)) {
        Some(path) => {
            probe.http_get = Some(HTTPGetAction {
                path: Some(path),
                port,
                scheme: Some(spec.effective_scheme().as_str().to_owned()),
                ..HTTPGetAction::default()
            });
        }
        None => probe.tcp_socket = Some(TCPSocketAction { port, host: None }),
    }
    probe
}

fn spread(inputs: &Inputs, topology: &str) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: topology.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(selector(inputs)),
        // Counts the pods of the new revision alone, so that a rollout ends as evenly spread as it began.
        match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
        ..TopologySpreadConstraint::default()
    }
}

fn apart(inputs: &Inputs) -> Affinity {
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(vec![WeightedPodAffinityTerm {
                weight: 100,
                pod_affinity_term: PodAffinityTerm {
                    label_selector: Some(selector(inputs)),
                    topology_key: "kubernetes.io/hostname".to_owned(),
                    ..PodAffinityTerm::default()
                },
            }]),
            ..PodAntiAffinity::default()
        }),
        ..Affinity::default()
    }
}
