//! The Secrets of a deployment: which ones it needs, how their values are made, and which of them must never be
//! made again.
//!
//! A value is generated once. A Secret that guards data and is gone is reported, never replaced: a new key could not
//! open what the old one closed.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::{
    Engine,
    engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD},
};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use medical_crds::{
    names::{APP_ROLE, BACKUP_ROLE, Component, DATABASE, Names, OWNER_ROLE},
    spec::{MedicalDeploymentSpec, Preset, Scheme, SecretFormat},
};
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::build::{Inputs, Lifetime};

/// Where pods find the database's certificate authority.
pub const DATABASE_CA_DIRECTORY: &str = "/run/secrets/medical/database-ca";
/// The authority's file there, as URLs and variables name it.
pub const DATABASE_CA_FILE: &str = "/run/secrets/medical/database-ca/ca.crt";

/// Annotation by which a person allows a lost password to be replaced; its value is the Secret's name.
pub const REPLACE_LOST_SECRET: &str = "medops.dev/replace-lost-secret";

/// What a Secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Password of a database role.
    Password(Component, &'static str),
    /// The application's keys.
    Keys,
    /// Values of `spec.secrets.generate`.
    Generated,
    /// Key pair of the dumps.
    BackupKey,
    /// The application's certificate authority.
    Authority,
    /// The application's certificate.
    Certificate,
}

impl Purpose {
    /// In words, for status.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Password(Component::Init, _) => "password of the database's owner",
            Self::Password(Component::Backup, _) => "password of the role that dumps",
            Self::Password(..) => "password of the application's database role",
            Self::Keys => "keys of the application: PHI, blind index, tokens, audit",
            Self::Generated => "values generated for the application",
            Self::BackupKey => "key pair of the dumps",
            Self::Authority => "certificate authority of the application",
            Self::Certificate => "certificate of the application",
        }
    }

    /// Whether a new value in the place of a lost one could cost data.
    pub fn guards_data(self) -> bool {
        !matches!(self, Self::Authority | Self::Certificate)
    }

    /// Whether a person may allow a lost value to be replaced: `PostgreSQL` takes a new password, a key has no substitute.
    pub fn replaceable(self) -> bool {
        matches!(self, Self::Password(..))
    }
}

/// A Secret that a deployment needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Keys that it must hold.
    pub keys: BTreeSet<String>,
}

/// The Secrets that a deployment needs, in a stable order.
pub fn needed(spec: &MedicalDeploymentSpec, names: &Names) -> Vec<Needed> {
    let need = |name: String, purpose: Purpose, keys: &[&str]| Needed {
        name,
        purpose,
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
    };
    let password = ["username", "password", "uri"];
    let mut all = vec![
        need(
            names.owner_secret(),
            Purpose::Password(Component::Init, OWNER_ROLE),
            &password,
        ),
        need(
            names.app_role_secret(),
            Purpose::Password(Component::App, APP_ROLE),
            &password,
        ),
        need(
            names.backup_role_secret(),
            Purpose::Password(Component::Backup, BACKUP_ROLE),
            &password,
        ),
    ];
    if spec.effective_preset() == Preset::Reference {
        all.push(need(names.keys_secret(), Purpose::Keys, &APPLICATION_KEYS));
    }
    let generated: Vec<&str> = spec
        .secrets
        .iter()
        .flat_map(|secrets| &secrets.generate)
        .map(|secret| secret.name.as_str())
        .collect();
    if !generated.is_empty() {
        all.push(need(names.generated_secret(), Purpose::Generated, &generated));
    }
    if spec.backup.logical.enabled {
        all.push(need(
            names.backup_key_secret(),
            Purpose::BackupKey,
            &["identity", "recipient"],
        ));
    }
    if spec.effective_scheme() == Scheme::Https {
        all.push(need(names.ca_secret(), Purpose::Authority, &["ca.crt", "ca.key"]));
        all.push(need(
            names.tls_secret(),
            Purpose::Certificate,
            &["ca.crt", "tls.crt", "tls.key"],
        ));
    }
    all
}

/// Keys of the reference application, each a file in its directory of keys.
pub const APPLICATION_KEYS: [&str; 4] = ["phi-kek", "blind-index", "token-signing", "audit"];

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomness;

fn random(bytes: usize) -> Result<Zeroizing<Vec<u8>>, NoRandomness> {
    let mut buffer = Zeroizing::new(vec![0; bytes]);
    SystemRandom::new().fill(&mut buffer).map_err(|_| NoRandomness)?;
    Ok(buffer)
}

fn written(bytes: &[u8], format: SecretFormat) -> String {
    match format {
        SecretFormat::Hex => hex::encode(bytes),
        SecretFormat::Base64url => URL_SAFE_NO_PAD.encode(bytes),
        SecretFormat::Fernet => URL_SAFE.encode(bytes),
    }
}

/// Fresh values for a Secret that is not a certificate; `missing` restricts them to those keys.
pub fn values(
    inputs: &Inputs,
    needed: &Needed,
    missing: &BTreeSet<String>,
) -> Result<BTreeMap<String, String>, NoRandomness> {
    let mut values = BTreeMap::new();
    match needed.purpose {
        Purpose::Password(_, role) => {
            let password = written(&random(32)?, SecretFormat::Hex);
            let host = format!("{}.{}.svc", inputs.names.database_service(), inputs.namespace());
            // The password is hexadecimal, so that it needs no percent-encoding.
            let uri = format!(
                "postgresql://{role}:{password}@{host}:5432/{DATABASE}?sslmode=verify-full&sslrootcert={DATABASE_CA_FILE}"
            );
            values.extend([
                ("username".to_owned(), role.to_owned()),
                ("password".to_owned(), password),
                ("uri".to_owned(), uri),
            ]);
        }
        Purpose::Keys => {
            for key in APPLICATION_KEYS {
                values.insert(key.to_owned(), written(&random(32)?, SecretFormat::Base64url));
            }
        }
        Purpose::Generated => {
            for secret in inputs
                .deployment
                .spec
                .secrets
                .iter()
                .flat_map(|secrets| &secrets.generate)
            {
                let bytes = random(usize::try_from(secret.bytes).unwrap_or(32))?;
                values.insert(secret.name.clone(), written(&bytes, secret.format));
            }
        }
        Purpose::BackupKey => {
            let identity = age::x25519::Identity::generate();
            values.insert("recipient".to_owned(), identity.to_public().to_string());
            values.insert(
                "identity".to_owned(),
                identity.to_string().expose_secret().to_owned(),
            );
        }
        Purpose::Authority | Purpose::Certificate => {}
    }
    values.retain(|key, _| missing.contains(key));
    Ok(values)
}

/// The Secret object that holds `values`.
pub fn object(inputs: &Inputs, needed: &Needed, values: BTreeMap<String, String>) -> Secret {
    let (component, type_) = match needed.purpose {
        Purpose::Password(..) => (Component::Database, "kubernetes.io/basic-auth"),
        Purpose::Certificate => (Component::App, "kubernetes.io/tls"),
        Purpose::BackupKey => (Component::Backup, "Opaque"),
        _ => (Component::App, "Opaque"),
    };
    // The authority and the certificate can be made again; everything else outlives the resource.
    let lifetime = if needed.purpose.guards_data() {
        Lifetime::Data
    } else {
        Lifetime::Workload
    };
    let mut metadata = inputs.metadata(needed.name.clone(), component, lifetime);
    if matches!(needed.purpose, Purpose::Password(..)) {
        // CloudNativePG watches only Secrets with this label; without it a changed password would wait for a restart.
        metadata
            .labels
            .get_or_insert_default()
            .insert("cnpg.io/reload".to_owned(), "true".to_owned());
    }
    Secret {
        metadata,
        type_: Some(type_.to_owned()),
        data: Some(
            values
                .into_iter()
                .map(|(key, value)| (key, ByteString(value.into_bytes())))
                .collect(),
        ),
        ..Secret::default()
    }
}

/// Host names in the application's certificate.
pub fn certificate_names(inputs: &Inputs) -> Vec<String> {
    let (name, namespace) = (inputs.names.app(), inputs.namespace());
    let mut names = vec![
        format!("{name}.{namespace}.svc"),
        name.clone(),
        format!("{name}.{namespace}"),
        format!("{name}.{namespace}.svc.cluster.local"),
        // For a forwarded port.
        "localhost".to_owned(),
    ];
    names.extend(
        inputs
            .deployment
            .spec
            .domain
            .iter()
            .filter_map(|domain| domain.primary.clone()),
    );
    names
}

#[cfg(test)]
mod tests {
    use medical_crds::MedicalDeployment;

    use super::*;
    use crate::settings::Settings;

    fn with_inputs<T>(spec: serde_json::Value, test: impl FnOnce(&Inputs) -> T) -> T {
        let mut deployment = MedicalDeployment::new("clinic", serde_json::from_value(spec).unwrap());
        deployment.metadata.namespace = Some("ward".to_owned());
        deployment.metadata.uid = Some("uid".to_owned());
        test(&Inputs {
            deployment: &deployment,
            names: Names::of("clinic"),
            settings: &Settings::default(),
            api_server: &[],
            secret_checksums: &BTreeMap::new(),
        })
    }

    fn made(spec: serde_json::Value, name: &str) -> BTreeMap<String, String> {
        with_inputs(spec, |inputs| {
            let all = needed(&inputs.deployment.spec, &inputs.names);
            let need = all.iter().find(|need| need.name == name).unwrap();
            values(inputs, need, &need.keys).unwrap()
        })
    }

    #[test]
    fn every_needed_key_gets_a_value_that_differs_each_time() {
        let spec = serde_json::json!({"secrets": {"generate": [{"name": "SECRET_KEY"}]}});
        for name in [
            "clinic-db-owner",
            "clinic-keys",
            "clinic-generated",
            "clinic-backup-key",
        ] {
            let (first, second) = (made(spec.clone(), name), made(spec.clone(), name));
            assert!(!first.is_empty());
            assert_eq!(
                first.keys().collect::<Vec<_>>(),
                second.keys().collect::<Vec<_>>()
            );
            for (key, value) in first.iter().filter(|(key, _)| *key != "username") {
                assert_ne!(Some(value), second.get(key), "{name}/{key}");
            }
        }
    }

    #[test]
    fn generated_values_have_the_length_and_alphabet_of_their_format() {
        let spec = serde_json::json!({"secrets": {"generate": [
            {"name": "HEX", "format": "hex", "bytes": 16},
            {"name": "URL", "format": "base64url", "bytes": 48},
            {"name": "FERNET", "format": "fernet"},
        ]}});
        let values = made(spec, "clinic-generated");
        assert_eq!(values["HEX"].len(), 32);
        assert_eq!(values["URL"].len(), 64);
        assert_eq!(URL_SAFE.decode(&values["FERNET"]).unwrap().len(), 32);
        assert_eq!(values["FERNET"].len(), 44);
    }

    #[test]
    fn a_backup_key_opens_what_its_recipient_closed() {
        let values = made(serde_json::json!({}), "clinic-backup-key");
        let identity: age::x25519::Identity = values["identity"].parse().unwrap();
        assert_eq!(identity.to_public().to_string(), values["recipient"]);
    }

    #[test]
    fn only_secrets_that_can_be_made_again_go_with_the_resource() {
        with_inputs(serde_json::json!({}), |inputs| {
            for need in needed(&inputs.deployment.spec, &inputs.names) {
                let secret = object(inputs, &need, BTreeMap::new());
                assert_eq!(
                    secret.metadata.owner_references.is_none(),
                    need.purpose.guards_data(),
                    "{}",
                    need.name
                );
            }
        });
    }

    #[test]
    fn an_application_without_tls_needs_no_certificate() {
        with_inputs(
            serde_json::json!({"app": {"image": "registry.example/app:1"}}),
            |inputs| {
                let names: Vec<_> = needed(&inputs.deployment.spec, &inputs.names)
                    .into_iter()
                    .map(|need| need.name)
                    .collect();
                assert_eq!(
                    names,
                    [
                        "clinic-db-owner",
                        "clinic-db-app",
                        "clinic-db-backup",
                        "clinic-backup-key"
                    ]
                );
            },
        );
    }
}
