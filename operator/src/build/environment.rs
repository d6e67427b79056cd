//! Environment variables and mounted files of the application and of its init Job.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EnvVar, EnvVarSource, SecretKeySelector, Volume, VolumeMount,
};
use medical_crds::{
    names::{APP_ROLE, DATABASE, OWNER_ROLE},
    spec::{self, DeploymentValue, Preset, Scheme},
};

use super::{Inputs, database, pod, service};
use crate::{
    cnpg,
    secrets::{APPLICATION_KEYS, DATABASE_CA_DIRECTORY, DATABASE_CA_FILE},
};

const DATABASE_DIRECTORY: &str = "/run/secrets/medical/database";
const TLS_DIRECTORY: &str = "/run/secrets/medical/tls";
const KEYS_DIRECTORY: &str = "/run/secrets/medical/keys";

/// Seconds for which the reference application finishes its requests after SIGTERM.
pub(crate) const SHUTDOWN_GRACE_SECONDS: i64 = 20;

/// As whom a container logs in to the database, and with that what it may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// The application: the restricted role, the keys and the certificate.
    App,
    /// The init Job: the database's owner, no key and no certificate.
    Owner,
}

impl Login {
    fn role(self) -> &'static str {
        match self {
            Self::App => APP_ROLE,
            Self::Owner => OWNER_ROLE,
        }
    }

    fn secret(self, inputs: &Inputs) -> String {
        match self {
            Self::App => inputs.names.app_role_secret(),
            Self::Owner => inputs.names.owner_secret(),
        }
    }
}

/// The preset's variables, then the user's, which win by name.
pub(crate) fn variables(inputs: &Inputs, login: Login) -> Vec<EnvVar> {
    let spec = &inputs.deployment.spec;
    let users: BTreeSet<&str> = spec
        .app
        .env
        .iter()
        .map(|variable| variable.name.as_str())
        .collect();
    let preset = match spec.effective_preset() {
        Preset::Reference => reference(inputs, login),
        Preset::Custom => Vec::new(),
    };
    let mut variables: Vec<EnvVar> = preset
        .into_iter()
        .filter(|variable| !users.contains(variable.name.as_str()))
        .collect();
    variables.extend(
        spec.app
            .env
            .iter()
            .map(|variable| users_own(inputs, login, variable)),
    );
    variables
}

fn reference(inputs: &Inputs, login: Login) -> Vec<EnvVar> {
    let spec = &inputs.deployment.spec;
    let mut variables = vec![
        plain("ENVIRONMENT", spec.environment.as_str()),
        plain("DATABASE_HOST", inputs.names.database_service()),
        plain("DATABASE_PORT", cnpg::POSTGRESQL_PORT.to_string()),
        plain("DATABASE_NAME", DATABASE),
        plain("DATABASE_USER", login.role()),
        plain("DATABASE_PASSWORD_FILE", format!("{DATABASE_DIRECTORY}/password")),
        plain("DATABASE_CA_FILE", DATABASE_CA_FILE),
    ];
    if login == Login::App {
        variables.extend([
            plain(
                "DATABASE_MAX_CONNECTIONS",
                database::connections_of_a_pod(spec).to_string(),
            ),
            plain("MEDICAL_LISTEN", format!("0.0.0.0:{}", spec.effective_port())),
            plain(
                "PUBLIC_URL",
                service::public_url(inputs.deployment, &inputs.names),
            ),
            plain("TLS_CERT_FILE", format!("{TLS_DIRECTORY}/tls.crt")),
            plain("TLS_KEY_FILE", format!("{TLS_DIRECTORY}/tls.key")),
            plain("KEYS_DIRECTORY", KEYS_DIRECTORY),
            plain("SHUTDOWN_GRACE_SECONDS", SHUTDOWN_GRACE_SECONDS.to_string()),
        ]);
        if let Some(port) = spec.effective_metrics_port() {
            variables.push(plain("MEDICAL_METRICS_LISTEN", format!("0.0.0.0:{port}")));
        }
        let origins = allowed_origins(inputs);
        if !origins.is_empty() {
            variables.push(plain("ALLOWED_ORIGINS", origins));
        }
    }
    variables
}

fn users_own(inputs: &Inputs, login: Login, variable: &spec::EnvVar) -> EnvVar {
    let name = variable.name.as_str();
    if let Some(reference) = &variable.secret_key_ref {
        secret(name, reference.name.clone(), &reference.key)
    } else if let Some(key) = &variable.generated_secret {
        secret(name, inputs.names.generated_secret(), key)
    } else if let Some(value) = variable.deployment_value {
        deployment_value(inputs, login, name, value)
    } else {
        plain(name, variable.value.clone().unwrap_or_default())
    }
}

/// In the init Job, which has the owner's rights, the values of the restricted role are the owner's.
fn deployment_value(inputs: &Inputs, login: Login, name: &str, value: DeploymentValue) -> EnvVar {
    let spec = &inputs.deployment.spec;
    match value {
        DeploymentValue::DatabaseUrl => secret(name, login.secret(inputs), "uri"),
        DeploymentValue::DatabaseOwnerUrl => secret(name, Login::Owner.secret(inputs), "uri"),
        DeploymentValue::DatabaseHost => plain(name, inputs.names.database_service()),
        DeploymentValue::DatabasePort => plain(name, cnpg::POSTGRESQL_PORT.to_string()),
        DeploymentValue::DatabaseName => plain(name, DATABASE),
        DeploymentValue::DatabaseUser => plain(name, login.role()),
        DeploymentValue::DatabasePassword => secret(name, login.secret(inputs), "password"),
        DeploymentValue::DatabaseCaFile => plain(name, DATABASE_CA_FILE),
        DeploymentValue::Environment => plain(name, spec.environment.as_str()),
        DeploymentValue::PublicUrl => plain(name, service::public_url(inputs.deployment, &inputs.names)),
        DeploymentValue::Port => plain(name, spec.effective_port().to_string()),
        DeploymentValue::AllowedOrigins => plain(name, allowed_origins(inputs)),
    }
}

fn allowed_origins(inputs: &Inputs) -> String {
    inputs
        .deployment
        .spec
        .domain
        .as_ref()
        .map(|domain| domain.allowed_origins.join(","))
        .unwrap_or_default()
}

fn plain(name: &str, value: impl Into<String>) -> EnvVar {
    // The API server does not store an empty value, so that sending one would look like drift for ever.
    let value = Some(value.into()).filter(|value| !value.is_empty());
    EnvVar {
        name: name.to_owned(),
        value,
        value_from: None,
    }
}

fn secret(name: &str, secret: String, key: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret,
                key: key.to_owned(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
    }
}

/// The files that a container reads, as volumes of its pod and where they are mounted.
pub(crate) fn files(inputs: &Inputs, login: Login) -> (Vec<Volume>, Vec<VolumeMount>) {
    let spec = &inputs.deployment.spec;
    let names = &inputs.names;
    let reference = spec.effective_preset() == Preset::Reference;
    let mut volumes = vec![pod::secret_files("database-ca", names.database_ca(), &["ca.crt"])];
    let mut mounts = vec![pod::read_only("database-ca", DATABASE_CA_DIRECTORY)];
    if reference {
        volumes.push(pod::secret_files("database", login.secret(inputs), &["password"]));
        mounts.push(pod::read_only("database", DATABASE_DIRECTORY));
    }
    if login == Login::App && reference {
        volumes.push(pod::secret_files("keys", names.keys_secret(), &APPLICATION_KEYS));
        mounts.push(pod::read_only("keys", KEYS_DIRECTORY));
    }
    // An application that speaks plain HTTP has no use for the private key.
    if login == Login::App && spec.effective_scheme() == Scheme::Https {
        volumes.push(pod::secret_files(
            "tls",
            names.tls_secret(),
            &["tls.crt", "tls.key", "ca.crt"],
        ));
        mounts.push(pod::read_only("tls", TLS_DIRECTORY));
    }
    if let Some(config) = spec.app.config.as_ref().filter(|config| !config.files.is_empty()) {
        volumes.push(Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: names.config(),
                default_mode: Some(pod::READ_ONLY_FILE),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        });
        mounts.push(pod::read_only("config", &config.mount_path));
    }
    (volumes, mounts)
}

/// The Secrets of others that the application or its init Job reads through a variable, with the keys that they read.
pub fn referenced_secrets(inputs: &Inputs) -> BTreeMap<String, BTreeSet<String>> {
    let mut referenced: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for reference in inputs
        .deployment
        .spec
        .app
        .env
        .iter()
        .filter_map(|variable| variable.secret_key_ref.as_ref())
    {
        referenced
            .entry(reference.name.clone())
            .or_default()
            .insert(reference.key.clone());
    }
    referenced
}

/// Names of the Secrets whose change has to roll the application's pods: those that they read through a variable, and
/// those that they mount without watching them.
pub fn secrets_that_roll(inputs: &Inputs) -> BTreeSet<String> {
    let reference = inputs.deployment.spec.effective_preset() == Preset::Reference;
    // The reference application reads these again when they change; another application may not.
    let watched = |name: &str| {
        reference
            && (name == inputs.names.tls_secret().as_str() || name == inputs.names.database_ca().as_str())
    };
    let mounted = files(inputs, Login::App)
        .0
        .into_iter()
        .filter_map(|volume| volume.secret?.secret_name);
    let read = variables(inputs, Login::App)
        .into_iter()
        .filter_map(|variable| Some(variable.value_from?.secret_key_ref?.name));
    mounted.filter(|name| !watched(name)).chain(read).collect()
}
