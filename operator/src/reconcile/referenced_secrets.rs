//! The Secrets of others that a resource names: a changed one rolls the pods that read it, a missing one is told before
//! pods wait for it.
//!
//! The watch tells versions only. A Secret is read once for each version, and nothing of it is kept but a salted checksum
//! and the names of its keys.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use super::{
    apply::ApplyError,
    outcome::{Obstacle, Outcome},
};
use crate::{
    kinds::Kind,
    per_deployment::PerDeployment,
    store::{Owner, Store},
    view::checksum,
};

/// What was read of a Secret; `None` when there was none.
#[derive(Clone)]
struct Read {
    version: Option<String>,
    content: Option<Content>,
}

#[derive(Clone)]
struct Content {
    keys: BTreeSet<String>,
    checksum: String,
}

/// What was read, by deployment and name.
#[derive(Default)]
pub struct SecretMemory(PerDeployment<BTreeMap<String, Read>>);

impl SecretMemory {
    fn recall(&self, owner: &Owner, name: &str, version: Option<&String>) -> Option<Read> {
        let memory = self.0.lock();
        let read = memory.get(owner)?.get(name)?;
        (read.version.as_ref() == version).then(|| read.clone())
    }

    fn remember(&self, owner: &Owner, name: &str, read: Read) {
        let mut memory = self.0.lock();
        memory
            .entry(owner.clone())
            .or_default()
            .insert(name.to_owned(), read);
    }

    /// Forgets a deployment that is gone.
    pub fn forget(&self, owner: &Owner) {
        self.0.forget(owner);
    }
}

/// The checksum of each of `referenced` (names of Secrets, with the keys that are read), salted with `salt`. What is
/// missing waits in `outcome`; what could not be read fails there.
pub async fn checksums(
    client: &Client,
    store: &Store,
    memory: &SecretMemory,
    owner: &Owner,
    referenced: &BTreeMap<String, BTreeSet<String>>,
    salt: &str,
    outcome: &mut Outcome,
) -> BTreeMap<String, String> {
    store.refer(owner, &referenced.keys().cloned().collect());
    let mut checksums = BTreeMap::new();
    for (name, keys) in referenced {
        let obstacle = |reason, message| Obstacle {
            kind: Kind::Secret,
            name: name.clone(),
            reason,
            message,
        };
        // Taken before the Secret is read: a change in between is read once more.
        let version = store.secret_version(&owner.namespace, name);
        let read = match memory.recall(owner, name, version.as_ref()) {
            Some(read) => read,
            None => match content(client, owner, name, salt).await {
                Ok(content) => {
                    let read = Read { version, content };
                    memory.remember(owner, name, read.clone());
                    read
                }
                Err(error) => {
                    let message = format!("Secret {name}, named in spec.app.env, could not be read: {error}");
                    outcome.failures.push(obstacle(error.reason(), message));
                    continue;
                }
            },
        };
        let Some(content) = read.content else {
            outcome.waiting.push(obstacle(
                "SecretMissing",
                format!("Secret {name}, named in spec.app.env[].secretKeyRef, does not exist: create it"),
            ));
            continue;
        };
        let missing: Vec<&str> = keys.difference(&content.keys).map(String::as_str).collect();
        if !missing.is_empty() {
            outcome.waiting.push(obstacle(
                "SecretKeyMissing",
                format!(
                    "Secret {name}, named in spec.app.env[].secretKeyRef, lacks the key {}: add it",
                    missing.join(", ")
                ),
            ));
        }
        checksums.insert(name.clone(), content.checksum);
    }
    checksums
}

async fn content(
    client: &Client,
    owner: &Owner,
    name: &str,
    salt: &str,
) -> Result<Option<Content>, ApplyError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &owner.namespace);
    let Some(secret) = api.get_opt(name).await? else {
        return Ok(None);
    };
    let data = secret.data.unwrap_or_default();
    Ok(Some(Content {
        keys: data.keys().cloned().collect(),
        checksum: checksum(
            salt.as_bytes(),
            data.iter().map(|(key, value)| (key.as_str(), value.0.as_slice())),
        ),
    }))
}
