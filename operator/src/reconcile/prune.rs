//! Removes children that the plan no longer holds.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use kube::{
    Api, Client,
    api::{DeleteParams, Preconditions, PropagationPolicy},
    core::DynamicObject,
};

use super::{apply::ApplyError, plan::Child};
use crate::{
    kinds::Kind,
    store::{Children, Owner},
    view::{Detail, JobView, View},
};

/// Time after which a failed init Job is tried again, after the retries that Kubernetes itself made.
pub const TRIED_AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(10);

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

/// The init Job that failed long enough ago to be tried once more: what it failed for may have passed. A Job cannot run
/// again, so that it has to make room.
pub fn to_run_again<'a>(children: &'a Children, plan: &[Child], now: Timestamp) -> Option<(Kind, &'a View)> {
    let planned = plan.iter().find(|child| child.kind == Kind::Job)?;
    let view = children.get(Kind::Job, &planned.name)?;
    let Detail::Job(JobView {
        failed_at: Some(failed_at),
        ..
    }) = &view.detail
    else {
        return None;
    };
    (!view.deleting && now.duration_since(*failed_at) >= TRIED_AGAIN_AFTER).then_some((Kind::Job, view))
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
    fn a_failed_init_job_is_tried_again_after_ten_minutes_and_not_before() {
        let failed = json!({"conditions": [
            {"type": "Failed", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
        let mut children = Children::default();
        children.insert(Kind::Job, view(Kind::Job, "init", "ours", &failed));
        let plan = [Child {
            kind: Kind::Job,
            name: "init".to_owned(),
            lifetime: crate::build::Lifetime::Workload,
            object: json!({}),
        }];
        let at =
            |time: &str| to_run_again(&children, &plan, time.parse().unwrap()).map(|(_, view)| &view.name);
        assert_eq!(at("2026-01-01T00:09:59Z"), None);
        assert_eq!(at("2026-01-01T00:10:00Z"), Some(&"init".to_owned()));
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
