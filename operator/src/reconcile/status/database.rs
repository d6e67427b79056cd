//! The database, judged from several signs: CloudNativePG's `Ready` alone holds for a hibernated cluster too.

use medical_crds::{
    names::{APP_ROLE, BACKUP_ROLE},
    status::DatabaseStatus,
};

use super::{Judgement, Observed};
use crate::{
    kinds::Kind,
    view::{ClusterView, Detail},
};

/// Phases that do not end without a person.
const FATAL: [&str; 4] = [
    "unrecoverable",
    "Invalid cluster definition",
    "Unable to create",
    "invalid image catalog",
];

fn view<'a>(observed: &'a Observed) -> Option<&'a ClusterView> {
    match &observed
        .children
        .get(Kind::Cluster, &observed.names.cluster())?
        .detail
    {
        Detail::Cluster(cluster) => Some(cluster),
        _ => None,
    }
}

pub(super) fn judge(observed: &Observed) -> Judgement {
    let name = observed.names.cluster();
    let Some(cluster) = view(observed) else {
        return match observed.outcome.at(Kind::Cluster, &name) {
            Some(at) if at.reason == "Rejected" => Judgement::failed("Rejected", at.message.clone()),
            Some(at) => Judgement::not_yet(at.reason, at.message.clone()),
            None => Judgement::not_yet("ClusterMissing", "the Cluster is not there yet"),
        };
    };
    if let Some(at) = observed
        .outcome
        .failures
        .iter()
        .find(|at| at.kind == Kind::Cluster)
    {
        return Judgement::failed(at.reason, at.message.clone());
    }
    let wanted = observed.deployment.spec.database.managed.instances;
    let sum = format!("{} of {wanted} instances are ready", cluster.ready);
    let phase = if cluster.phase.is_empty() {
        "no phase reported yet"
    } else {
        &cluster.phase
    };
    if FATAL.iter().any(|fatal| phase.contains(fatal)) {
        return Judgement::failed("DatabaseFailed", format!("{sum}; CloudNativePG: {phase}"));
    }
    if let Some(role) = cluster.roles_failing.first() {
        return Judgement::failed(
            "RoleNotApplied",
            format!(
                "CloudNativePG could not apply the role {role}: see the Cluster's status.managedRolesStatus"
            ),
        );
    }
    let holds = |type_: &str| {
        cluster
            .conditions
            .iter()
            .any(|c| c.type_ == type_ && c.status == "True")
    };
    if holds("cnpg.io/hibernation") {
        return Judgement::failed(
            "Hibernated",
            "the Cluster is hibernated: remove its annotation cnpg.io/hibernation",
        );
    }
    if cluster.ready < wanted || cluster.wanted != wanted || !holds("Ready") {
        return Judgement::not_yet("InstancesNotReady", format!("{sum}; CloudNativePG: {phase}"));
    }
    if cluster.image != cluster.wanted_image {
        return Judgement::not_yet(
            "ImageUpdating",
            format!("{sum}; not all run the wanted image yet"),
        );
    }
    if let Some(role) = [APP_ROLE, BACKUP_ROLE]
        .iter()
        .find(|role| !cluster.roles_reconciled.contains(**role))
    {
        return Judgement::not_yet("RolesNotReady", format!("the role {role} is not there yet"));
    }
    Judgement::holds("InstancesReady", sum)
}

pub(super) fn status(observed: &Observed) -> Option<DatabaseStatus> {
    let cluster = view(observed)?;
    let wanted = observed.deployment.spec.database.managed.instances;
    Some(DatabaseStatus {
        cluster: observed.names.cluster(),
        instances: wanted,
        ready_instances: cluster.ready,
        instances_ready: format!("{}/{wanted}", cluster.ready),
        primary: cluster.primary.clone(),
        image: cluster.image.clone(),
        phase: (!cluster.phase.is_empty()).then(|| cluster.phase.clone()),
    })
}
