//! The application: its init Job, its pods and its autoscaler.

use medical_crds::names::Component;

use super::{Judgement, Observed};
use crate::{
    kinds::Kind,
    view::{AutoscalerView, DeploymentView, Detail, PodView, View},
};

/// Reasons of a waiting container that do not go away without a change.
const FATAL: [&str; 8] = [
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
];

fn deployment<'a>(observed: &'a Observed) -> Option<(&'a View, &'a DeploymentView)> {
    let view = observed.children.get(Kind::Deployment, &observed.names.app())?;
    match &view.detail {
        Detail::Deployment(deployment) => Some((view, deployment)),
        _ => None,
    }
}

pub(super) fn view<'a>(observed: &'a Observed) -> Option<&'a DeploymentView> {
    deployment(observed).map(|(_, deployment)| deployment)
}

/// Pods that are wanted now.
fn wanted(observed: &Observed) -> i32 {
    match (view(observed), &observed.deployment.spec.autoscaling) {
        (Some(view), Some(_)) => view.wanted,
        (None, Some(autoscaling)) => autoscaling.min_replicas,
        (_, None) => observed.deployment.spec.app.replicas,
    }
}

pub(super) fn replicas_ready(observed: &Observed) -> String {
    format!(
        "{}/{}",
        view(observed).map_or(0, |view| view.ready),
        wanted(observed)
    )
}

fn pods<'a>(observed: &'a Observed, component: Component) -> impl Iterator<Item = &'a PodView> {
    observed
        .children
        .pods
        .values()
        .filter(move |pod| pod.component == component.as_str() && !pod.deleting)
}

/// Why a pod does not come up: reason and message.
fn trouble(pod: &PodView) -> Option<(String, String)> {
    if let Some((reason, message)) = &pod.waiting
        && FATAL.contains(&reason.as_str())
    {
        let message: String = message.chars().take(200).collect();
        return Some((reason.clone(), format!("pod {}: {reason}: {message}", pod.name)));
    }
    pod.unschedulable.as_ref().map(|message| {
        let message: String = message.chars().take(200).collect();
        ("Unschedulable".to_owned(), format!("pod {}: {message}", pod.name))
    })
}

pub(super) fn available(observed: &Observed) -> Judgement {
    let obstacle = observed.outcome.at(Kind::Deployment, &observed.names.app());
    let Some((object, app)) = deployment(observed) else {
        return match obstacle {
            Some(at) if at.reason == "Rejected" => Judgement::failed("Rejected", at.message.clone()),
            Some(at) => Judgement::not_yet(at.reason, format!("the application {}", at.message)),
            None => Judgement::not_yet("NotDeployed", "the application is not deployed yet"),
        };
    };
    if let Some(at) = obstacle {
        // The former version keeps serving.
        return Judgement::not_yet(at.reason, format!("the new version {}", at.message));
    }
    if app.observed_generation < object.generation {
        return Judgement::not_yet(
            "RollingOut",
            "the Deployment controller has not seen the new version yet",
        );
    }
    let wanted = wanted(observed);
    if app.wanted == wanted && app.updated == wanted && app.replicas == wanted && app.available >= wanted {
        return if wanted == 0 {
            Judgement::holds("ScaledToZero", "no pods are wanted")
        } else {
            Judgement::holds(
                "PodsAvailable",
                format!("{wanted} of {wanted} pods are available"),
            )
        };
    }
    let sum = format!(
        "{} of {wanted} pods are available, {} of the new version",
        app.available, app.updated
    );
    if let Some((reason, message)) = pods(observed, Component::App)
        .filter(|pod| !pod.ready)
        .find_map(trouble)
    {
        return Judgement::failed(&reason, format!("{sum}; {message}"));
    }
    if let Some(quota) = app
        .conditions
        .iter()
        .find(|c| c.type_ == "ReplicaFailure" && c.status == "True")
    {
        return Judgement::failed("ReplicaFailure", format!("{sum}; {}", quota.message));
    }
    if app
        .conditions
        .iter()
        .any(|c| c.type_ == "Progressing" && c.reason == "ProgressDeadlineExceeded")
    {
        return Judgement::failed(
            "ProgressDeadlineExceeded",
            format!("{sum}; the new pods do not become ready: read their logs"),
        );
    }
    Judgement::not_yet("RollingOut", sum)
}

/// Whether the init Job of the present image and configuration succeeded; `None` when there is none.
pub(super) fn migrated(observed: &Observed) -> Option<Judgement> {
    let planned = observed.plan.iter().find(|child| child.kind == Kind::Job)?;
    let Some(Detail::Job(job)) = observed
        .children
        .get(Kind::Job, &planned.name)
        .map(|view| &view.detail)
    else {
        return Some(match observed.outcome.at(Kind::Job, &planned.name) {
            Some(at) => Judgement::not_yet(at.reason, format!("the init Job {}", at.message)),
            None => Judgement::not_yet("NotMigrated", "the init Job is not there yet"),
        });
    };
    if job.complete {
        return Some(Judgement::holds(
            "Migrated",
            format!("Job {} succeeded", planned.name),
        ));
    }
    let pods: Vec<&PodView> = pods(observed, Component::Init)
        .filter(|pod| pod.job.as_deref() == Some(planned.name.as_str()))
        .collect();
    let said = pods
        .iter()
        .filter_map(|pod| pod.terminated.as_ref())
        .rfind(|end| end.exit_code != 0);
    let said: String = said
        .map(|end| end.message.trim().chars().take(300).collect())
        .unwrap_or_default();
    if let Some(why) = &job.failed {
        let message = if said.is_empty() { why.clone() } else { said };
        let remedy = "correct the spec; it is tried again every ten minutes";
        return Some(Judgement::failed(
            "MigrationFailed",
            format!("Job {} failed: {message}; {remedy}", planned.name),
        ));
    }
    if let Some((reason, message)) = pods.iter().find_map(|pod| trouble(pod)) {
        return Some(Judgement::failed(&reason, message));
    }
    let message = if said.is_empty() {
        format!("Job {} is running", planned.name)
    } else {
        format!("Job {} is tried again: {said}", planned.name)
    };
    Some(Judgement::not_yet("Migrating", message))
}

/// Whether the autoscaler works; `None` when there is none.
pub(super) fn autoscaling(observed: &Observed) -> Option<Judgement> {
    observed.deployment.spec.autoscaling.as_ref()?;
    let name = observed.names.app();
    let view = observed
        .children
        .get(Kind::HorizontalPodAutoscaler, &name)
        .map(|view| &view.detail);
    let Some(Detail::Autoscaler(AutoscalerView { conditions, .. })) = view else {
        return Some(Judgement::not_yet(
            "AutoscalerMissing",
            "the HorizontalPodAutoscaler is not there yet",
        ));
    };
    if let Some(failing) = conditions.iter().find(|condition| {
        ["AbleToScale", "ScalingActive"].contains(&condition.type_.as_str()) && condition.status == "False"
    }) {
        return Some(Judgement::not_yet(
            &failing.reason,
            format!("the HorizontalPodAutoscaler: {}", failing.message),
        ));
    }
    Some(
        if conditions
            .iter()
            .any(|condition| condition.type_ == "ScalingActive" && condition.status == "True")
        {
            Judgement::holds("ScalingActive", "the HorizontalPodAutoscaler reads its metrics")
        } else {
            Judgement::not_yet(
                "WaitingForMetrics",
                "the HorizontalPodAutoscaler has read no metrics yet",
            )
        },
    )
}
