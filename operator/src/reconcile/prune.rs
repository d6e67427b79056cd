//! Removes children that the plan no longer holds.

use std::collections::BTreeSet;

use kube::{
    Api, Client,
    api::{DeleteParams, Preconditions, PropagationPolicy},
    core::DynamicObject,
};

use super::{apply::ApplyError, plan::Child};
use crate::{
    kinds::Kind,
    store::{Children, Owner},
    view::{Detail, View},
};

/// The children that are left over. What holds data is never among them, nor what somebody else owns, nor a Job that
/// still runs.
pub fn left_over<'a>(children: &'a Children, plan: &[Child], owner_uid: &str) -> Vec<(Kind, &'a View)> {
    let planned: BTreeSet<(Kind, &str)> = plan
        .iter()
        .map(|child| (child.kind, child.name.as_str()))
        .collect();
    children
        .iter()
        .rev() // in the reverse order of apply: what uses an object goes before it
        .filter(|(kind, view)| {
            !kind.info().holds_data
                && view.owner_uid.as_deref() == Some(owner_uid)
                && !view.deleting
                && !planned.contains(&(*kind, view.name.as_str()))
                && !matches!(&view.detail, Detail::Job(job) if !job.finished())
        })
        .collect()
}

/// Deletes one object, provided that it is still the one that was seen.
pub async fn delete(client: &Client, owner: &Owner, kind: Kind, view: &View) -> Result<(), ApplyError> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), &owner.namespace, &kind.api_resource());
    let parameters = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(view.uid.clone()),
            resource_version: Some(view.resource_version.clone()),
        }),
        propagation_policy: Some(PropagationPolicy::Background),
        ..DeleteParams::default()
    };
    match api.delete(&view.name, &parameters).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn view(kind: Kind, name: &str, owner: &str, status: &serde_json::Value) -> View {
        View::of(
            kind,
            &serde_json::from_value(json!({"apiVersion": "x/v1", "kind": "K", "status": status,
                "metadata": {"name": name, "uid": format!("{name}-uid"), "ownerReferences": [
                    {"apiVersion": "medops.dev/v1alpha1", "kind": "MedicalDeployment", "name": "clinic", "uid": owner, "controller": true}]}}))
            .unwrap(),
        )
    }

    fn names(children: &Children) -> Vec<&str> {
        left_over(children, &[], "ours")
            .into_iter()
            .map(|(_, view)| view.name.as_str())
            .collect()
    }

    #[test]
    fn what_holds_data_is_never_left_over() {
        let mut children = Children::default();
        for kind in [Kind::Secret, Kind::PersistentVolumeClaim, Kind::Cluster] {
            children.insert(kind, view(kind, "data", "ours", &json!({})));
        }
        assert_eq!(names(&children), Vec::<&str>::new());
    }

    #[test]
    fn what_somebody_else_owns_is_not_left_over() {
        let mut children = Children::default();
        children.insert(Kind::Service, view(Kind::Service, "theirs", "other", &json!({})));
        children.insert(Kind::Service, view(Kind::Service, "mine", "ours", &json!({})));
        assert_eq!(names(&children), ["mine"]);
    }

    #[test]
    fn a_job_that_still_runs_is_not_left_over() {
        let mut children = Children::default();
        let complete = json!({"conditions": [{"type": "Complete", "status": "True"}]});
        children.insert(
            Kind::Job,
            view(Kind::Job, "running", "ours", &json!({"active": 1})),
        );
        children.insert(Kind::Job, view(Kind::Job, "done", "ours", &complete));
        assert_eq!(names(&children), ["done"]);
    }
}
