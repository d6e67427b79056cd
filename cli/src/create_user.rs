//! `create-user`: a Job like the init Job, with another command and the password from a Secret that goes with it.

use std::{collections::BTreeMap, fs, io::Read, time::Duration};

use anyhow::{Context, bail};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{EnvVar, KeyToPath, Pod, Secret, SecretVolumeSource, Volume, VolumeMount},
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams, PropagationPolicy},
};
use medical_crds::names::{Component, Names};

use crate::CreateUser;

const PASSWORD_DIRECTORY: &str = "/run/secrets/medical/new-user";
const KEYS_DIRECTORY: &str = "/run/secrets/medical/keys";
const DEADLINE: Duration = Duration::from_mins(3);

pub(crate) async fn run(user: CreateUser) -> anyhow::Result<()> {
    let password = password(&user)?;
    let client = Client::try_default()
        .await
        .context("no cluster: set KUBECONFIG")?;
    let namespace = user
        .which
        .namespace
        .clone()
        .unwrap_or_else(|| client.default_namespace().to_owned());
    let names = Names::of(&user.which.name);
    let jobs: Api<Job> = Api::namespaced(client.clone(), &namespace);
    let template = init_job(&jobs, &names).await?;
    let job = jobs
        .create(&PostParams::default(), &job(&user, &names, template)?)
        .await?;
    let name = job.metadata.name.clone().context("the Job has no name")?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            // Goes with the Job.
            owner_references: job.owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        string_data: Some(BTreeMap::from([("password".to_owned(), password)])),
        ..Secret::default()
    };
    let result = match secrets.create(&PostParams::default(), &secret).await {
        Ok(_) => wait(&client, &jobs, &namespace, &name).await,
        Err(error) => Err(error.into()),
    };
    let background = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        ..DeleteParams::default()
    };
    let removed = jobs.delete(&name, &background).await;
    result?;
    removed
        .with_context(|| format!("the user was created, but Job {name} could not be removed: delete it"))?;
    println!("{} can log in as {}", user.email, user.role);
    Ok(())
}

fn password(user: &CreateUser) -> anyhow::Result<String> {
    let mut text = String::new();
    match &user.password_file {
        Some(file) => {
            text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        }
        None => {
            std::io::stdin().read_to_string(&mut text)?;
        }
    }
    let password = text.trim_end_matches(['\r', '\n']).to_owned();
    if password.is_empty() {
        bail!("the password is empty: write it to standard input or name a file by --password-file");
    }
    Ok(password)
}

/// The newest init Job that succeeded: it has the image and the rights that are needed.
async fn init_job(jobs: &Api<Job>, names: &Names) -> anyhow::Result<Job> {
    let selector = names
        .component_selector(Component::Init)
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(",");
    let mut complete: Vec<Job> = jobs
        .list(&ListParams::default().labels(&selector))
        .await?
        .into_iter()
        .filter(|job| {
            job.status
                .as_ref()
                .and_then(|status| status.succeeded)
                .unwrap_or(0)
                > 0
        })
        .collect();
    complete.sort_by_key(|job| job.metadata.creation_timestamp.clone().map(|time| time.0));
    complete
        .pop()
        .context("the database is not migrated yet: wait until `kubectl get md` says Ready")
}

fn job(user: &CreateUser, names: &Names, template: Job) -> anyhow::Result<Job> {
    let mut spec = template.spec.context("the init Job has no spec")?;
    spec.selector = None;
    spec.manual_selector = None;
    spec.backoff_limit = Some(0);
    spec.ttl_seconds_after_finished = Some(300);
    let pod = spec.template.spec.as_mut().context("the init Job has no pod")?;
    // Network policies select by these; the Job controller's own labels belong to the other Job.
    let mut labels = names.component_selector(Component::Init);
    labels.insert("medops.dev/task".to_owned(), "create-user".to_owned());
    spec.template.metadata = Some(ObjectMeta {
        labels: Some(labels.clone()),
        ..ObjectMeta::default()
    });
    let name = format!("{}-user-{}", names.app(), suffix());
    let volumes = pod.volumes.get_or_insert_default();
    volumes.push(secret_volume("new-user", name.clone(), "password"));
    // The new user is written to the audit log, which takes that one key.
    volumes.push(secret_volume("audit-key", names.keys_secret(), "audit"));
    let container = pod
        .containers
        .first_mut()
        .context("the init Job has no container")?;
    let mut args = vec![
        "admin".to_owned(),
        "create-user".to_owned(),
        format!("--email={}", user.email),
        format!("--role={}", user.role),
        format!("--password-file={PASSWORD_DIRECTORY}/password"),
    ];
    if let Some(patient) = &user.patient {
        args.push(format!("--patient={patient}"));
    }
    if user.if_absent {
        args.push("--if-absent".to_owned());
    }
    container.args = Some(args);
    container.env.get_or_insert_default().push(EnvVar {
        name: "KEYS_DIRECTORY".to_owned(),
        value: Some(KEYS_DIRECTORY.to_owned()),
        value_from: None,
    });
    let mounts = container.volume_mounts.get_or_insert_default();
    mounts.push(read_only("new-user", PASSWORD_DIRECTORY));
    mounts.push(read_only("audit-key", KEYS_DIRECTORY));
    Ok(Job {
        metadata: ObjectMeta {
            name: Some(name),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    })
}

/// One key of a Secret, as a file.
fn secret_volume(name: &str, secret: String, key: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret),
            default_mode: Some(0o440),
            items: Some(vec![KeyToPath {
                key: key.to_owned(),
                path: key.to_owned(),
                mode: None,
            }]),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn read_only(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}

/// Unlikely to be taken: the nanoseconds of now. A name that is taken is refused by the API server.
fn suffix() -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    format!(
        "{:08x}",
        now.subsec_nanos() ^ u32::try_from(now.as_secs() & 0xffff_ffff).unwrap_or_default()
    )
}

async fn wait(client: &Client, jobs: &Api<Job>, namespace: &str, name: &str) -> anyhow::Result<()> {
    eprintln!("Job {namespace}/{name} creates the user …");
    let ended = async {
        loop {
            let status = jobs.get_status(name).await?.status.unwrap_or_default();
            match (status.succeeded.unwrap_or(0), status.failed.unwrap_or(0)) {
                (0, 0) => tokio::time::sleep(Duration::from_millis(500)).await,
                (succeeded, _) => return Ok::<bool, kube::Error>(succeeded > 0),
            }
        }
    };
    match tokio::time::timeout(DEADLINE, ended).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => bail!(
            "the user was not created: {}",
            said(client, namespace, name).await
        ),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => bail!(
            "the Job did not end within {} s: `kubectl describe job {name}` tells why",
            DEADLINE.as_secs()
        ),
    }
}

/// What the container said when it ended.
async fn said(client: &Client, namespace: &str, job: &str) -> String {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let selector = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    let message = pods.list(&selector).await.ok().and_then(|pods| {
        pods.into_iter()
            .filter_map(|pod| {
                pod.status?
                    .container_statuses?
                    .into_iter()
                    .next()?
                    .state?
                    .terminated?
                    .message
            })
            .next_back()
    });
    message.unwrap_or_else(|| "no message; read the logs of its pod".to_owned())
}
