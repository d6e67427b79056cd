//! Writes a planned child, when it differs from what was written before or somebody changed it since.

use std::collections::HashMap;

use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    core::{DynamicObject, Status},
};
use medical_crds::names::LABEL_INSTANCE;
use serde_json::{Value, json};

use super::plan::Child;
use crate::{
    kinds::Kind,
    per_deployment::PerDeployment,
    store::Owner,
    view::{Detail, View, hash_of},
};

/// Field manager of all children. A field that it has applied once and leaves out later is removed by the API server.
pub const FIELD_MANAGER: &str = "medical-operator/children";
/// Field manager that keeps `spec.replicas` while it passes from us to the autoscaler, so that it never falls to 1.
pub const HANDOVER_MANAGER: &str = "medical-operator/scale-handover";

/// What was written last: hash of the plan and fingerprint of what the API server made of it.
type Written = HashMap<(Kind, String), (u64, u64)>;

/// Remembers what was written, so that a pass that changes nothing asks nothing.
#[derive(Default)]
pub struct Memory(PerDeployment<Written>);

impl Memory {
    fn is_current(&self, owner: &Owner, child: &Child, hash: u64, view: &View) -> bool {
        let memory = self.0.lock();
        memory
            .get(owner)
            .and_then(|written| written.get(&(child.kind, child.name.clone())))
            == Some(&(hash, view.fingerprint))
    }

    fn remember(&self, owner: &Owner, child: &Child, hash: u64, view: &View) {
        let mut memory = self.0.lock();
        memory
            .entry(owner.clone())
            .or_default()
            .insert((child.kind, child.name.clone()), (hash, view.fingerprint));
    }

    /// Forgets a deployment that is gone.
    pub fn forget(&self, owner: &Owner) {
        self.0.forget(owner);
    }
}

/// What became of a child.
#[derive(Debug)]
pub enum Applied {
    /// Nothing differed; nothing was asked.
    Unchanged,
    /// Written; this is what the API server answered.
    Written(Box<View>),
}

/// A child could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An object of that name exists and is not ours.
    #[error("an object of this name exists and is not managed by this resource")]
    Foreign,
    /// The object is being deleted.
    #[error("the former object is still being deleted")]
    Deleting,
    /// The API server refused it.
    #[error("{message}")]
    Rejected {
        /// The API server's word.
        reason: String,
        /// Fields, not values.
        message: String,
    },
    /// The API server could not be asked.
    #[error("the API server could not be asked: {0}")]
    Unreachable(String),
    /// The object could not be made in the first place.
    #[error("{0}")]
    NotMade(String),
}

impl ApplyError {
    /// One word for condition, Event and metric.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Foreign => "ForeignObject",
            Self::Deleting => "WaitingForDeletion",
            Self::Rejected { .. } => "Rejected",
            Self::Unreachable(_) => "ApiServerUnreachable",
            Self::NotMade(_) => "NotMade",
        }
    }
}

impl From<kube::Error> for ApplyError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Rejected {
                reason: status.reason.clone(),
                message: without_values(&status),
            },
            other => Self::Unreachable(transport(&other)),
        }
    }
}

/// A transport error without the address it went to and without bodies.
fn transport(error: &kube::Error) -> String {
    match error {
        kube::Error::Service(_) | kube::Error::HyperError(_) => "connection failed".to_owned(),
        kube::Error::SerdeError(_) => "answer not understood".to_owned(),
        _ => "request failed".to_owned(),
    }
}

/// What the API server said, without the values that it quotes: an invalid pod template would be quoted whole.
pub fn without_values(status: &Status) -> String {
    let causes: Vec<String> = status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .filter(|cause| !cause.field.is_empty())
        .map(|cause| format!("{} ({})", cause.field, cause.reason))
        .collect();
    if !causes.is_empty() {
        return format!("refused by the API server: {}", causes.join(", "));
    }
    match status.code {
        422 => format!("refused by the API server: {}", status.reason),
        _ => status.message.chars().take(300).collect(),
    }
}

fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Writes `child` when it is not as planned.
pub async fn apply(
    client: &Client,
    memory: &Memory,
    owner: &Owner,
    child: &Child,
    view: Option<&View>,
) -> Result<Applied, ApplyError> {
    let hash = hash_of(&child.object);
    if let Some(view) = view {
        if view.deleting {
            return Err(ApplyError::Deleting);
        }
        if memory.is_current(owner, child, hash, view) {
            return Ok(Applied::Unchanged);
        }
    }
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), &owner.namespace, &child.kind.api_resource());
    let uid = match view {
        Some(view) => Some(view.uid.clone()),
        // The watch may be behind, or the object may lack our labels.
        None => match api.get(&child.name).await {
            Ok(found) => {
                let found_view = View::of(child.kind, &found);
                if !found_view.ours || found.labels().get(LABEL_INSTANCE) != Some(&owner.name) {
                    return Err(ApplyError::Foreign);
                }
                Some(found_view.uid)
            }
            Err(error) if is_not_found(&error) => None,
            Err(error) => return Err(error.into()),
        },
    };
    if let Some(view) = view {
        hand_replicas_over(&api, child, view).await?;
    }
    let mut object = child.object.clone();
    claim_what_is_denied(child.kind, &mut object);
    if let (Some(uid), Some(metadata)) = (uid, object.get_mut("metadata").and_then(Value::as_object_mut)) {
        // Never write onto an object that took the place of the one that was seen.
        metadata.insert("uid".to_owned(), Value::String(uid));
    }
    let parameters = PatchParams {
        field_validation: Some(kube::api::ValidationDirective::Strict),
        ..PatchParams::apply(FIELD_MANAGER).force()
    };
    let answer = api
        .patch(&child.name, &parameters, &Patch::Apply(&object))
        .await?;
    let view = View::of(child.kind, &answer);
    memory.remember(owner, child, hash, &view);
    Ok(Applied::Written(Box::new(view)))
}

/// A direction without rules is claimed as an empty list: a rule that somebody adds would otherwise be a field of
/// theirs, and stay.
fn claim_what_is_denied(kind: Kind, object: &mut Value) {
    if kind != Kind::NetworkPolicy {
        return;
    }
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        for direction in ["ingress", "egress"] {
            spec.entry(direction).or_insert_with(|| json!([]));
        }
    }
}

/// Leaves the present number of replicas with a manager of its own before ours gives the field up: the API server
/// would otherwise remove it, and the default is 1.
async fn hand_replicas_over(api: &Api<DynamicObject>, child: &Child, view: &View) -> Result<(), ApplyError> {
    let Detail::Deployment(deployment) = &view.detail else {
        return Ok(());
    };
    if !deployment.owns_replicas || child.object.pointer("/spec/replicas").is_some() {
        return Ok(());
    }
    let only_replicas = json!({
        "apiVersion": child.object["apiVersion"],
        "kind": child.object["kind"],
        "metadata": {"name": child.name, "uid": view.uid},
        "spec": {"replicas": deployment.wanted},
    });
    api.patch(
        &child.name,
        &PatchParams::apply(HANDOVER_MANAGER).force(),
        &Patch::Apply(&only_replicas),
    )
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_fields_and_no_values() {
        let status: Status = serde_json::from_value(json!({
            "status": "Failure", "reason": "Invalid", "code": 422,
            "message": "Deployment is invalid: spec.template: Invalid value: {env: hunter22}",
            "details": {"causes": [{"reason": "FieldValueInvalid", "message": "hunter22", "field": "spec.template"}]}
        }))
        .unwrap();
        assert_eq!(
            without_values(&status),
            "refused by the API server: spec.template (FieldValueInvalid)"
        );
    }

    #[test]
    fn a_policy_claims_the_directions_that_it_denies() {
        let mut policy = json!({"spec": {"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]}});
        claim_what_is_denied(Kind::NetworkPolicy, &mut policy);
        assert_eq!(policy["spec"]["ingress"], json!([]));
        assert_eq!(policy["spec"]["egress"][0]["ports"][0]["port"], 53);
    }

    #[test]
    fn a_refusal_without_fields_tells_its_reason_alone() {
        let status: Status = serde_json::from_value(json!({
            "status": "Failure", "reason": "Invalid", "code": 422, "message": "hunter22"
        }))
        .unwrap();
        assert_eq!(without_values(&status), "refused by the API server: Invalid");
    }
}
