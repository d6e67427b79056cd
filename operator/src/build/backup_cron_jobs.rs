//! The `CronJobs` that dump the database and that verify the newest dump.
//!
//! `medical-backup` is copied into a pod of the database's own operand image, so that `pg_dump` and the scratch server
//! always match the server. A pod that dumps holds the recipient only and cannot read what it wrote; the pod that
//! verifies holds the identity, reads the volume only, and has no network and no password.

use k8s_openapi::{
    api::{
        batch::v1::{CronJob, CronJobSpec, JobSpec, JobTemplateSpec},
        core::v1::{
            Container, EnvVar, PersistentVolumeClaimVolumeSource, PodSpec, PodTemplateSpec, Volume,
            VolumeMount,
        },
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use medical_crds::{
    names::{BACKUP_ROLE, Component, DATABASE},
    spec::Tier,
};

use super::{
    Inputs, Lifetime, database, pod,
    quantities::{self, GIBIBYTE, LocalStorage},
};
use crate::cnpg;

const PROGRAM: &str = "/tools/medical-backup";
const DUMPS: &str = "/backups";
const SCRATCH: &str = "/scratch";
const RECIPIENT: &str = "recipient";
const IDENTITY: &str = "identity";
const KEY_DIRECTORY: &str = "/run/secrets/backup";
const PASSWORD_DIRECTORY: &str = "/run/secrets/database";
const CA_DIRECTORY: &str = "/run/secrets/database-ca";

/// Size of `/tmp`; a dump is streamed and needs hardly any.
const TEMPORARY: i128 = GIBIBYTE / 4;
/// Size of the volume that holds the program.
const TOOLS: i128 = GIBIBYTE / 8;
/// Seconds after its time within which a run that was missed is still started.
const STARTING_DEADLINE_SECONDS: i64 = 3_600;
/// Seconds after which a run counts as hung. A dump of 100 GiB or its restore takes less.
const ACTIVE_DEADLINE_SECONDS: i64 = 6 * 3_600;

/// One `CronJob` a tier and one that verifies; none while no dumps are made.
pub fn build(inputs: &Inputs) -> Vec<CronJob> {
    let logical = &inputs.deployment.spec.backup.logical;
    if !logical.enabled {
        return Vec::new();
    }
    let mut jobs: Vec<CronJob> = logical
        .tiers
        .named()
        .map(|(name, tier)| dump(inputs, name, tier))
        .collect();
    // Without a tier there is nothing to verify.
    if !jobs.is_empty() {
        jobs.push(verify(inputs));
    }
    jobs
}

fn dump(inputs: &Inputs, tier: &str, wanted: &Tier) -> CronJob {
    let names = &inputs.names;
    let arguments = vec![
        "dump".to_owned(),
        format!("--directory={DUMPS}"),
        format!("--tier={tier}"),
        format!("--keep={}", wanted.keep),
        format!("--recipient-file={KEY_DIRECTORY}/{RECIPIENT}"),
        format!("--password-file={PASSWORD_DIRECTORY}/password"),
    ];
    let env = |name: &str, value: String| EnvVar {
        name: name.to_owned(),
        value: Some(value),
        value_from: None,
    };
    let container = Container {
        env: Some(vec![
            env("PGHOST", names.database_service()),
            env("PGPORT", cnpg::POSTGRESQL_PORT.to_string()),
            env("PGDATABASE", DATABASE.to_owned()),
            env("PGUSER", BACKUP_ROLE.to_owned()),
            env("PGSSLMODE", "verify-full".to_owned()),
            env("PGSSLROOTCERT", format!("{CA_DIRECTORY}/ca.crt")),
        ]),
        resources: Some(quantities::bounded(
            ("100m", "1"),
            ("128Mi", "512Mi"),
            storage(TEMPORARY + TOOLS),
        )),
        ..program(
            inputs,
            "dump",
            arguments,
            vec![
                pod::writable("dumps", DUMPS),
                pod::read_only("key", KEY_DIRECTORY),
                pod::read_only("password", PASSWORD_DIRECTORY),
                pod::read_only("database-ca", CA_DIRECTORY),
            ],
        )
    };
    let volumes = vec![
        pod::secret_files("key", names.backup_key_secret(), &[RECIPIENT]),
        pod::secret_files("password", names.backup_role_secret(), &["password"]),
        pod::secret_files("database-ca", names.database_ca(), &["ca.crt"]),
    ];
    let run = Run {
        schedule: &wanted.schedule,
        component: Component::Backup,
        retries: 2,
        container,
        volumes,
    };
    cron_job(inputs, names.backup_cron_job(tier), run)
}

fn verify(inputs: &Inputs) -> CronJob {
    let spec = &inputs.deployment.spec;
    // The restored database is at most as large as the volume of an instance.
    let scratch = quantities::bytes(&spec.database.managed.storage.size).unwrap_or(10 * GIBIBYTE);
    let arguments = vec![
        "verify".to_owned(),
        format!("--directory={DUMPS}"),
        format!("--identity-file={KEY_DIRECTORY}/{IDENTITY}"),
        "--latest".to_owned(),
        format!("--scratch={SCRATCH}"),
    ];
    let container = Container {
        resources: Some(quantities::bounded(
            ("100m", "1"),
            ("256Mi", "1Gi"),
            storage(TEMPORARY + TOOLS + scratch),
        )),
        ..program(
            inputs,
            "verify",
            arguments,
            vec![
                pod::read_only("dumps", DUMPS),
                pod::read_only("key", KEY_DIRECTORY),
                pod::writable("scratch", SCRATCH),
            ],
        )
    };
    let volumes = vec![
        pod::secret_files("key", inputs.names.backup_key_secret(), &[IDENTITY]),
        pod::empty_dir("scratch", scratch),
    ];
    let schedule = &spec.backup.logical.verify.schedule;
    let run = Run {
        schedule,
        component: Component::BackupVerify,
        retries: 1,
        container,
        volumes,
    };
    cron_job(inputs, inputs.names.verify_cron_job(), run)
}

struct Run<'a> {
    schedule: &'a str,
    component: Component,
    retries: i32,
    container: Container,
    volumes: Vec<Volume>,
}

fn program(inputs: &Inputs, name: &str, arguments: Vec<String>, mut mounts: Vec<VolumeMount>) -> Container {
    mounts.push(pod::read_only("tools", "/tools"));
    mounts.push(pod::writable("tmp", "/tmp"));
    Container {
        name: name.to_owned(),
        image: Some(database::image(inputs)),
        image_pull_policy: Some(inputs.settings.image_pull_policy.clone()),
        command: Some(vec![PROGRAM.to_owned()]),
        args: Some(arguments),
        security_context: Some(pod::container_security()),
        // The program writes its result there; a program that could not even start shows in the log.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

fn install(inputs: &Inputs) -> Container {
    Container {
        name: "install".to_owned(),
        image: Some(inputs.settings.backup_image.clone()),
        image_pull_policy: Some(inputs.settings.image_pull_policy.clone()),
        command: Some(vec!["/usr/local/bin/medical-backup".to_owned()]),
        args: Some(vec!["install".to_owned(), PROGRAM.to_owned()]),
        resources: Some(quantities::bounded(
            ("10m", "500m"),
            ("16Mi", "64Mi"),
            storage(TOOLS),
        )),
        security_context: Some(pod::container_security()),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(vec![pod::writable("tools", "/tools")]),
        ..Container::default()
    }
}

fn storage(volumes: i128) -> LocalStorage {
    LocalStorage {
        request: GIBIBYTE / 16,
        limit: volumes + GIBIBYTE / 4,
    }
}

fn cron_job(inputs: &Inputs, name: String, run: Run) -> CronJob {
    let labels = || {
        Some(ObjectMeta {
            labels: Some(inputs.names.labels(run.component)),
            ..ObjectMeta::default()
        })
    };
    let mut volumes = vec![
        pod::empty_dir("tools", TOOLS),
        pod::empty_dir("tmp", TEMPORARY),
        Volume {
            name: "dumps".to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: inputs.names.backup_volume(),
                read_only: None,
            }),
            ..Volume::default()
        },
    ];
    volumes.extend(run.volumes);
    CronJob {
        metadata: inputs.metadata(name, run.component, Lifetime::Workload),
        spec: Some(CronJobSpec {
            schedule: run.schedule.to_owned(),
            time_zone: Some(inputs.deployment.spec.backup.logical.time_zone.clone()),
            concurrency_policy: Some("Forbid".to_owned()),
            starting_deadline_seconds: Some(STARTING_DEADLINE_SECONDS),
            // The operator reads what the last runs reported from their pods.
            successful_jobs_history_limit: Some(3),
            failed_jobs_history_limit: Some(3),
            suspend: None,
            job_template: JobTemplateSpec {
                metadata: labels(),
                spec: Some(JobSpec {
                    active_deadline_seconds: Some(ACTIVE_DEADLINE_SECONDS),
                    backoff_limit: Some(run.retries),
                    template: PodTemplateSpec {
                        metadata: labels(),
                        spec: Some(PodSpec {
                            restart_policy: Some("Never".to_owned()),
                            service_account_name: Some(inputs.names.backup_service_account()),
                            automount_service_account_token: Some(false),
                            enable_service_links: Some(false),
                            security_context: Some(pod::pod_security(pod::POSTGRES_USER)),
                            init_containers: Some(vec![install(inputs)]),
                            containers: vec![run.container],
                            volumes: Some(volumes),
                            ..PodSpec::default()
                        }),
                    },
                    ..JobSpec::default()
                }),
            },
        }),
        status: None,
    }
}
