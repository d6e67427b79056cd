//! The list of child objects and how they are.

use medical_crds::status::{ChildState, ChildStatus};

use super::Observed;
use crate::{
    kinds::Kind,
    secrets,
    view::{Detail, View},
};

/// Every planned child and every needed Secret, in the order of apply.
pub(super) fn list(observed: &Observed) -> Vec<ChildStatus> {
    if observed.plan.is_empty() {
        return Vec::new();
    }
    let mut names: Vec<(Kind, String)> = secrets::needed(&observed.deployment.spec, &observed.names)
        .into_iter()
        .map(|need| (Kind::Secret, need.name))
        .chain(observed.plan.iter().map(|child| (child.kind, child.name.clone())))
        .collect();
    names.sort();
    names
        .into_iter()
        .map(|(kind, name)| status(observed, kind, name))
        .collect()
}

fn status(observed: &Observed, kind: Kind, name: String) -> ChildStatus {
    let view = observed.children.get(kind, &name);
    let obstacle = observed.outcome.at(kind, &name);
    let state = match (view, obstacle) {
        (_, Some(at)) if at.reason == "Rejected" || at.reason == "ForeignObject" => ChildState::Failed,
        (None, _) => ChildState::Missing,
        (Some(view), None) => state(view),
        (Some(_), Some(_)) => ChildState::Progressing,
    };
    ChildStatus {
        kind: kind.info().name.to_owned(),
        name,
        state,
        message: obstacle.map(|at| at.message.clone()),
    }
}

fn state(view: &View) -> ChildState {
    if view.deleting {
        return ChildState::Progressing;
    }
    match &view.detail {
        Detail::Deployment(app)
            if app.observed_generation < view.generation
                || app.available < app.wanted
                || app.updated < app.wanted =>
        {
            ChildState::Progressing
        }
        Detail::Cluster(cluster) if cluster.ready < cluster.wanted => ChildState::Progressing,
        Detail::Job(job) if job.failed.is_some() => ChildState::Failed,
        Detail::Job(job) if !job.complete => ChildState::Progressing,
        _ => ChildState::Ready,
    }
}
