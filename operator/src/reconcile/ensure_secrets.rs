//! Makes the Secrets that are missing, renews the certificate, and reports what must not be made again.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
    core::DynamicObject,
};
use medical_crds::names::LABEL_INSTANCE;
use serde_json::json;

use super::{
    apply::ApplyError,
    outcome::{Obstacle, Outcome},
};
use crate::{
    build::Inputs,
    kinds::Kind,
    secrets::{self, Needed, Purpose, REPLACE_LOST_SECRET, certificate_names},
    store::{Children, Owner},
    tls,
    view::{Detail, SecretView, View},
};

/// Field manager of the certificate, the only Secret that is ever written twice.
const CERTIFICATE_MANAGER: &str = "medical-operator/certificates";

/// Makes what is missing. `children` gets the view of every Secret that was made.
pub async fn ensure(
    client: &Client,
    owner: &Owner,
    inputs: &Inputs<'_>,
    children: &mut Children,
    now: Timestamp,
    outcome: &mut Outcome,
) {
    let known = known_secrets(inputs, children);
    for need in secrets::needed(&inputs.deployment.spec, &inputs.names) {
        let view = children.get(Kind::Secret, &need.name).cloned();
        match judge(&need, view.as_ref(), inputs, children, &known, now) {
            Verdict::Present => {}
            Verdict::Waiting => outcome.waiting.push(obstacle(
                &need,
                "WaitingForDeletion",
                "the former Secret is still being deleted".to_owned(),
            )),
            Verdict::Lost(message) => outcome.lost_secrets.push(obstacle(&need, "SecretLost", message)),
            Verdict::Make(missing) => match make(client, owner, inputs, &need, &missing, view.as_ref(), now)
                .await
            {
                Ok(view) => children.insert(Kind::Secret, view),
                Err(error) => {
                    outcome
                        .failures
                        .push(obstacle(&need, error.reason(), failure_message(&need, &error)));
                }
            },
        }
        if let Some(Detail::Secret(SecretView {
            uri_matches: false, ..
        })) = children.get(Kind::Secret, &need.name).map(|view| &view.detail)
        {
            outcome.warnings.push(obstacle(
                &need,
                "UriOutdated",
                format!("Secret {}: the password inside key 'uri' is not the one in key 'password': write the new password into 'uri' too", need.name),
            ));
        }
    }
}

fn obstacle(need: &Needed, reason: &'static str, message: String) -> Obstacle {
    Obstacle {
        kind: Kind::Secret,
        name: need.name.clone(),
        reason,
        message,
    }
}

fn failure_message(need: &Needed, error: &ApplyError) -> String {
    match error {
        ApplyError::Foreign => format!(
            "Secret {} exists and is not managed by this resource: rename it, or delete it if it is not needed",
            need.name
        ),
        other => format!("Secret {}: {other}", need.name),
    }
}

/// What is to be done about a Secret.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Present,
    Waiting,
    Lost(String),
    Make(BTreeSet<String>),
}

/// Secrets that were seen to exist together with this deployment's data.
pub fn known_secrets(inputs: &Inputs, children: &Children) -> BTreeSet<String> {
    let reported = inputs
        .deployment
        .status
        .iter()
        .flat_map(|status| &status.secrets)
        .map(|secret| secret.name.clone());
    let noted = match children
        .get(Kind::Cluster, &inputs.names.cluster())
        .map(|view| &view.detail)
    {
        Some(Detail::Cluster(cluster)) => cluster.known_secrets.clone(),
        _ => BTreeSet::new(),
    };
    reported.chain(noted).collect()
}

fn judge(
    need: &Needed,
    view: Option<&View>,
    inputs: &Inputs,
    children: &Children,
    known: &BTreeSet<String>,
    now: Timestamp,
) -> Verdict {
    let Some(view) = view else {
        let has_data = children.get(Kind::Cluster, &inputs.names.cluster()).is_some()
            || children
                .get(Kind::PersistentVolumeClaim, &inputs.names.backup_volume())
                .is_some();
        let allowed = need.purpose.replaceable()
            && inputs
                .deployment
                .metadata
                .annotations
                .as_ref()
                .and_then(|annotations| annotations.get(REPLACE_LOST_SECRET))
                .is_some_and(|name| *name == need.name);
        return if need.purpose.guards_data() && known.contains(&need.name) && has_data && !allowed {
            Verdict::Lost(lost(need))
        } else {
            Verdict::Make(need.keys.clone())
        };
    };
    if view.deleting {
        return Verdict::Waiting;
    }
    let Detail::Secret(secret) = &view.detail else {
        return Verdict::Present;
    };
    let missing: BTreeSet<String> = need.keys.difference(&secret.keys).cloned().collect();
    match need.purpose {
        // Entries of the spec may be added later.
        Purpose::Generated if !missing.is_empty() => Verdict::Make(missing),
        Purpose::Certificate if !missing.is_empty() || !certificate_holds(secret, inputs, children, now) => {
            Verdict::Make(need.keys.clone())
        }
        _ if missing.is_empty() => Verdict::Present,
        _ => Verdict::Lost(format!(
            "Secret {} lacks the key {}: restore the Secret from a backup",
            need.name,
            missing.into_iter().collect::<Vec<_>>().join(", ")
        )),
    }
}

fn lost(need: &Needed) -> String {
    let what = need.purpose.describe();
    if need.purpose.replaceable() {
        format!(
            "Secret {} ({what}) is gone: restore it from a backup, or let a new password be made by annotating this resource with {REPLACE_LOST_SECRET}={}",
            need.name, need.name
        )
    } else {
        format!(
            "Secret {} ({what}) is gone: restore it from a backup; a new one could not open the existing data",
            need.name
        )
    }
}

fn certificate_holds(secret: &SecretView, inputs: &Inputs, children: &Children, now: Timestamp) -> bool {
    let Some(facts) = &secret.certificate else {
        return false;
    };
    let signer = match children
        .get(Kind::Secret, &inputs.names.ca_secret())
        .map(|view| &view.detail)
    {
        Some(Detail::Secret(SecretView {
            certificate: Some(authority),
            ..
        })) => &authority.key_id,
        _ => return false,
    };
    let mut names = certificate_names(inputs);
    names.sort();
    names.dedup();
    !facts.due(now) && facts.dns_names == names && facts.signed_by == *signer
}

async fn make(
    client: &Client,
    owner: &Owner,
    inputs: &Inputs<'_>,
    need: &Needed,
    missing: &BTreeSet<String>,
    present: Option<&View>,
    now: Timestamp,
) -> Result<View, ApplyError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &owner.namespace);
    let values = match need.purpose {
        Purpose::Authority => authority_values(inputs, now)?,
        Purpose::Certificate => certificate_values(&api, inputs, now).await?,
        _ => {
            secrets::values(inputs, need, missing).map_err(|error| ApplyError::NotMade(error.to_string()))?
        }
    };
    let secret = secrets::object(inputs, need, values);
    let answer = match present {
        None => create(&api, owner, &secret).await?,
        Some(_) if need.purpose == Purpose::Certificate => {
            api.patch(
                &need.name,
                &PatchParams::apply(CERTIFICATE_MANAGER).force(),
                &Patch::Apply(&secret),
            )
            .await?
        }
        // Adds keys to the Secret that was seen; never touches a key that is there.
        Some(view) => {
            let addition = json!({
                "metadata": {"uid": view.uid, "resourceVersion": view.resource_version},
                "data": secret.data,
            });
            api.patch(&need.name, &PatchParams::default(), &Patch::Merge(&addition))
                .await?
        }
    };
    Ok(View::of(Kind::Secret, &dynamic(&answer)))
}

async fn create(api: &Api<Secret>, owner: &Owner, secret: &Secret) -> Result<Secret, ApplyError> {
    match api.create(&PostParams::default(), secret).await {
        Ok(created) => Ok(created),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            // The watch may be behind, or the Secret may be somebody else's.
            let found = api
                .get(secret.metadata.name.as_deref().unwrap_or_default())
                .await?;
            let view = View::of(Kind::Secret, &dynamic(&found));
            let instance = found
                .metadata
                .labels
                .as_ref()
                .and_then(|labels| labels.get(LABEL_INSTANCE));
            if view.ours && instance == Some(&owner.name) {
                Ok(found)
            } else {
                Err(ApplyError::Foreign)
            }
        }
        Err(error) => Err(error.into()),
    }
}

fn dynamic(secret: &Secret) -> DynamicObject {
    // A Secret is a Kubernetes object: name, metadata and fields are what DynamicObject reads.
    serde_json::to_value(secret)
        .and_then(serde_json::from_value)
        .unwrap_or_else(|_| DynamicObject::new("", &Kind::Secret.api_resource()))
}

fn authority_values(inputs: &Inputs, now: Timestamp) -> Result<BTreeMap<String, String>, ApplyError> {
    let name = format!(
        "{}.{} medical-operator CA",
        inputs.names.app(),
        inputs.namespace()
    );
    let pair = tls::authority(&name, now).map_err(|error| ApplyError::NotMade(error.to_string()))?;
    Ok(BTreeMap::from([
        ("ca.crt".to_owned(), pair.certificate),
        ("ca.key".to_owned(), pair.key.to_string()),
    ]))
}

async fn certificate_values(
    api: &Api<Secret>,
    inputs: &Inputs<'_>,
    now: Timestamp,
) -> Result<BTreeMap<String, String>, ApplyError> {
    let authority = api.get(&inputs.names.ca_secret()).await?;
    let text = |key: &str| {
        authority
            .data
            .as_ref()
            .and_then(|data| data.get(key))
            .and_then(|value| String::from_utf8(value.0.clone()).ok())
            .unwrap_or_default()
    };
    let certificate = text("ca.crt");
    let pair = tls::certificate(&certificate, &text("ca.key"), &certificate_names(inputs), now)
        .map_err(|error| ApplyError::NotMade(error.to_string()))?;
    Ok(BTreeMap::from([
        ("ca.crt".to_owned(), certificate),
        ("tls.crt".to_owned(), pair.certificate),
        ("tls.key".to_owned(), pair.key.to_string()),
    ]))
}
