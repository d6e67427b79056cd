//! A user of the sample application, so that somebody can log in to it.
//!
//! Users are made by the program's own command, as the owner of the database. The only pods with that right are
//! those of the migration; so a pod like theirs is started once, with another command.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::inside;
use super::instance::Instance;
use super::release::{SAMPLE, SAMPLE_NAMESPACE};
use crate::places::Places;
use crate::progress::Step;
use crate::schedule::Outcome;

/// Who logs in, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    /// The login name.
    pub(crate) email: String,
    /// A file that holds the password, readable by its owner only.
    pub(crate) password_file: PathBuf,
}

const EMAIL: &str = "ada@clinic.example.org";
/// The pod and the Secret that exist while the user is made.
const NAME: &str = "clinic-first-user";

/// Makes the user unless it was made since the cluster came up.
pub(crate) fn ensure(instance: &Instance, places: &Places, step: &Step) -> Result<(Login, Outcome)> {
    let login = Login {
        email: EMAIL.to_owned(),
        password_file: instance.run().join("sample-password"),
    };
    let made = instance.run().join("sample-user-made");
    let kubectl = |arguments: &[&str]| -> Result<String> {
        inside::kubectl(instance, places)?
            .args(["-n", SAMPLE_NAMESPACE])
            .args(arguments)
            .output()
    };
    let authority = kubectl(&[
        "get",
        "secret",
        &format!("{SAMPLE}-tls"),
        "-o",
        "go-template={{index .data \"ca.crt\" | base64decode}}",
    ])?;
    fs::write(instance.run().join("sample-ca.crt"), authority)?;
    if made.is_file() {
        return Ok((login, Outcome::Current));
    }
    if !login.password_file.is_file() {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&login.password_file)?;
        file.write_all(random_password()?.as_bytes())?;
    }
    let password = fs::read_to_string(&login.password_file)?;
    let jobs = kubectl(&[
        "get",
        "jobs",
        "-l",
        "app.kubernetes.io/component=init",
        "-o",
        "json",
    ])?;
    let jobs: Value = serde_json::from_str(&jobs).context("kubectl's answer")?;
    let template = jobs["items"]
        .as_array()
        .and_then(|items| items.last())
        .map(|job| job["spec"]["template"].clone())
        .with_context(|| {
            format!("{SAMPLE_NAMESPACE} has no migration Job to learn the database's owner from")
        })?;

    step.at("starting a pod that makes it");
    kubectl(&["delete", "pod,secret", NAME, "--ignore-not-found"])?;
    let apply = |content: &Value| {
        inside::kubectl(instance, places)?
            .args([
                "-n",
                SAMPLE_NAMESPACE,
                "apply",
                "--server-side",
                "--field-manager=medops-xtask",
                "-f",
                "-",
            ])
            .input(content.to_string())
            .done()
    };
    apply(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME}, "stringData": {"password": password},
    }))?;
    apply(&pod(&template)?)?;
    let waited = kubectl(&[
        "wait",
        "--for=jsonpath={.status.phase}=Succeeded",
        &format!("pod/{NAME}"),
        "--timeout=90s",
    ]);
    if let Err(error) = waited {
        let logs = kubectl(&["logs", NAME, "--tail=5"]).unwrap_or_default();
        return Err(error.context(format!("the first user could not be made\n{logs}")));
    }
    kubectl(&["delete", "pod,secret", NAME, "--wait=false"])?;
    fs::write(made, EMAIL)?;
    Ok((login, Outcome::Done(format!("{EMAIL} may log in"))))
}

/// A pod like those of the migration, with the command that makes a user.
fn pod(template: &Value) -> Result<Value> {
    let mut labels = template["metadata"]["labels"].clone();
    if let Some(labels) = labels.as_object_mut() {
        // What ties a pod to its Job must not tie this one to it.
        labels.retain(|name, _| !name.contains("job-name") && !name.contains("controller-uid"));
    }
    let mut spec = template["spec"].clone();
    let Some(container) = spec["containers"].get_mut(0) else {
        bail!("the migration has no container")
    };
    container["args"] = json!([
        "admin",
        "create-user",
        "--email",
        EMAIL,
        "--display-name",
        "Ada Example",
        "--role",
        "clinician",
        "--if-absent",
        "--password-file",
        "/run/secrets/first-user/password",
    ]);
    let mounts = container
        .as_object_mut()
        .and_then(|all| all.entry("volumeMounts").or_insert(json!([])).as_array_mut());
    mounts.context("volumeMounts")?.push(json!({
        "name": NAME, "mountPath": "/run/secrets/first-user", "readOnly": true,
    }));
    let volumes = spec
        .as_object_mut()
        .and_then(|all| all.entry("volumes").or_insert(json!([])).as_array_mut());
    volumes
        .context("volumes")?
        .push(json!({"name": NAME, "secret": {"secretName": NAME}}));
    spec["restartPolicy"] = json!("Never");
    Ok(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME, "labels": labels}, "spec": spec}))
}

/// 24 characters out of 64: 144 random bits.
fn random_password() -> Result<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0; 24];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 64)]))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pod_keeps_everything_of_the_migration_but_its_command_and_its_job() {
        let template = json!({
            "metadata": {"labels": {"app.kubernetes.io/component": "init", "batch.kubernetes.io/job-name": "x",
                "controller-uid": "y"}},
            "spec": {"restartPolicy": "OnFailure", "securityContext": {"runAsNonRoot": true},
                "containers": [{"name": "migrate", "image": "i", "args": ["migrate"], "env": [{"name": "A"}]}]},
        });
        let pod = pod(&template).unwrap();
        assert_eq!(
            pod["metadata"]["labels"],
            json!({"app.kubernetes.io/component": "init"})
        );
        assert_eq!(pod["spec"]["securityContext"]["runAsNonRoot"], true);
        let container = &pod["spec"]["containers"][0];
        assert_eq!(
            (&container["args"][1], &container["env"][0]["name"]),
            (&json!("create-user"), &json!("A"))
        );
        assert!(!pod.to_string().contains("migrate\"]"));
    }

    #[test]
    fn passwords_are_long_and_differ() {
        let (one, two) = (random_password().unwrap(), random_password().unwrap());
        assert_eq!(one.len(), 24);
        assert_ne!(one, two);
    }
}
