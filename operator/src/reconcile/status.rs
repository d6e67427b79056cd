//! The status of a deployment, computed from what was observed. Pure.
//!
//! Ready is told only from observation at the current generation of each child. It is the end of an ordered chain: the
//! first condition that does not hold gives the reason.

mod app;
mod backup;
mod children;
mod database;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use medical_crds::{
    MedicalDeployment, MedicalDeploymentStatus, conditions as types,
    names::{Component, Names},
    spec::Scheme,
    status::{Endpoints, Phase, SecretStatus, time},
};

use super::{outcome::Outcome, plan::Child};
use crate::{
    build::service,
    kinds::Kind,
    secrets::{self, Purpose},
    store::Children,
    view::{Detail, SecretView},
};

/// All that a status is computed from.
pub struct Observed<'a> {
    /// The resource, with its former status.
    pub deployment: &'a MedicalDeployment,
    /// Names of its children.
    pub names: Names,
    /// What is known of the children.
    pub children: &'a Children,
    /// What was planned.
    pub plan: &'a [Child],
    /// What the pass met.
    pub outcome: &'a Outcome,
    /// Whether CloudNativePG's API is absent.
    pub database_api_absent: bool,
    /// Now.
    pub now: Timestamp,
}

/// What is to be said of one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// True, False or Unknown.
    pub status: &'static str,
    /// One word.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// Whether it will not mend without a change.
    pub stuck: bool,
}

impl Judgement {
    /// It holds.
    pub fn holds(reason: &str, message: impl Into<String>) -> Self {
        Self {
            status: "True",
            reason: reason.to_owned(),
            message: message.into(),
            stuck: false,
        }
    }
    /// It does not hold yet.
    pub fn not_yet(reason: &str, message: impl Into<String>) -> Self {
        Self {
            status: "False",
            reason: reason.to_owned(),
            message: message.into(),
            stuck: false,
        }
    }
    /// It does not hold and will not without a change.
    pub fn failed(reason: &str, message: impl Into<String>) -> Self {
        Self {
            status: "False",
            reason: reason.to_owned(),
            message: message.into(),
            stuck: true,
        }
    }
    /// Nothing can be said.
    pub fn unknown(reason: &str, message: impl Into<String>) -> Self {
        Self {
            status: "Unknown",
            reason: reason.to_owned(),
            message: message.into(),
            stuck: false,
        }
    }
    fn is_true(&self) -> bool {
        self.status == "True"
    }
}

/// The status of a deployment.
pub fn compute(observed: &Observed) -> MedicalDeploymentStatus {
    let former = observed.deployment.status.clone().unwrap_or_default();
    let generation = observed.deployment.metadata.generation;
    let invalid = !observed.outcome.violations.is_empty();
    let suspended = observed.deployment.spec.suspend;
    let backup = backup::status(observed, former.backup.clone());

    let mut parts: Vec<(&str, Judgement)> = vec![(types::ACCEPTED, accepted(observed))];
    if !invalid {
        parts.push((types::SECRETS_READY, secrets_ready(observed)));
        parts.push((types::NETWORK_ISOLATED, network_isolated(observed)));
        parts.push((types::DATABASE_READY, database::judge(observed)));
        parts.extend(app::migrated(observed).map(|judgement| (types::MIGRATED, judgement)));
        parts.extend(tls_ready(observed).map(|judgement| (types::TLS_READY, judgement)));
        parts.push((types::APP_AVAILABLE, app::available(observed)));
        parts.extend(app::autoscaling(observed).map(|judgement| (types::AUTOSCALING_READY, judgement)));
        parts.extend(
            backup::judge(observed, backup.as_ref()).map(|judgement| (types::BACKUP_HEALTHY, judgement)),
        );
    }
    if suspended {
        let message = "spec.suspend is set: the operator changes nothing until it is removed";
        parts.push((types::SUSPENDED, Judgement::holds("Suspended", message)));
    }

    let obstacle = observed
        .outcome
        .failure()
        .map(|failure| Judgement::failed(failure.reason, &failure.message));
    let ready = ready(&parts, obstacle.as_ref(), suspended);
    let stuck = ready.stuck || parts.iter().any(|(_, judgement)| judgement.stuck);
    let progressing = !ready.is_true() && !ready.stuck && !suspended;
    let tell = |holds: bool, judgement: &Judgement, idle: &str| {
        if holds {
            Judgement::holds(&judgement.reason, judgement.message.clone())
        } else {
            Judgement::not_yet(idle, "")
        }
    };
    let worst = parts
        .iter()
        .map(|(_, judgement)| judgement)
        .find(|judgement| judgement.stuck)
        .unwrap_or(&ready)
        .clone();
    parts.push((types::PROGRESSING, tell(progressing, &ready, "Idle")));
    parts.push((types::DEGRADED, tell(stuck, &worst, "AsExpected")));
    parts.push((types::READY, ready.clone()));
    // kstatus reads these two as abnormal while they are true.
    if progressing {
        parts.push((types::RECONCILING, tell(true, &ready, "")));
    }
    if stuck && !suspended {
        parts.push((types::STALLED, tell(true, &worst, "")));
    }

    let phase = match () {
        () if invalid => Phase::Invalid,
        () if suspended => Phase::Suspended,
        () if stuck => Phase::Degraded,
        () if ready.is_true() => Phase::Ready,
        () => Phase::Progressing,
    };
    MedicalDeploymentStatus {
        observed_generation: generation,
        phase: Some(phase),
        conditions: conditions(&former.conditions, &parts, generation, observed.now),
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        endpoints: Some(endpoints(observed)),
        replicas: Some(app::view(observed).map_or(0, |view| view.replicas)),
        replicas_ready: Some(app::replicas_ready(observed)),
        selector: Some(selector(observed)),
        database: database::status(observed),
        backup,
        secrets: secret_list(observed),
        children: children::list(observed),
    }
}

fn ready(parts: &[(&str, Judgement)], obstacle: Option<&Judgement>, suspended: bool) -> Judgement {
    // A backup that was never made yet is no fault; a failed one is.
    let blocks = |judgement: &Judgement| {
        judgement.status == "False"
            || (judgement.status == "Unknown" && judgement.reason != backup::NO_BACKUP_YET)
    };
    let first = parts
        .iter()
        .filter(|(type_, _)| *type_ != types::SUSPENDED)
        .map(|(_, judgement)| judgement)
        .find(|judgement| blocks(judgement));
    match (first, obstacle) {
        (Some(judgement), _) => judgement.clone(),
        (None, Some(obstacle)) => obstacle.clone(),
        (None, None) if suspended => Judgement::holds(
            "ReadyWhileSuspended",
            "everything declared was observed to work; changes are suspended",
        ),
        (None, None) => Judgement::holds("Ready", "everything declared was observed to work"),
    }
}

fn accepted(observed: &Observed) -> Judgement {
    let violations = &observed.outcome.violations;
    if let Some(first) = violations.first() {
        let more = match violations.len() {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        return Judgement::failed("Invalid", format!("{}: {}{more}", first.field, first.remedy));
    }
    if observed.database_api_absent {
        return Judgement::failed("CloudNativePGMissing", super::pass::CLOUDNATIVE_PG_MISSING);
    }
    if let Some(foreign) = observed
        .outcome
        .failures
        .iter()
        .find(|failure| failure.reason == "ForeignObject")
    {
        return Judgement::failed("ForeignObject", foreign.message.clone());
    }
    Judgement::holds("Accepted", "the resource is valid")
}

fn secrets_ready(observed: &Observed) -> Judgement {
    let at_secret = |obstacles: &[super::outcome::Obstacle]| {
        obstacles
            .iter()
            .find(|obstacle| obstacle.kind == Kind::Secret)
            .cloned()
    };
    let outcome = observed.outcome;
    if let Some(lost) = at_secret(&outcome.lost_secrets) {
        return Judgement::failed(lost.reason, lost.message);
    }
    if let Some(failure) = at_secret(&outcome.failures) {
        return Judgement::failed(failure.reason, failure.message);
    }
    if let Some(missing) = at_secret(&outcome.waiting).filter(|at| at.reason != "WaitingForDeletion") {
        return Judgement::failed(missing.reason, missing.message);
    }
    if let Some(warning) = at_secret(&outcome.warnings) {
        return Judgement::failed(warning.reason, warning.message);
    }
    let missing = secrets::needed(&observed.deployment.spec, &observed.names)
        .into_iter()
        .find(|need| {
            observed
                .children
                .get(Kind::Secret, &need.name)
                .is_none_or(|view| view.deleting)
        });
    match missing {
        Some(need) => Judgement::not_yet("SecretMissing", format!("Secret {} is not there yet", need.name)),
        None => Judgement::holds("SecretsPresent", "every Secret is there"),
    }
}

fn network_isolated(observed: &Observed) -> Judgement {
    let missing = observed
        .plan
        .iter()
        .filter(|child| child.kind == Kind::NetworkPolicy)
        .find(|child| {
            observed
                .children
                .get(Kind::NetworkPolicy, &child.name)
                .is_none_or(|view| view.deleting)
        });
    match missing {
        Some(child) => Judgement::not_yet(
            "PolicyMissing",
            format!("NetworkPolicy {} is not there yet", child.name),
        ),
        None => Judgement::holds(
            "PoliciesApplied",
            "every NetworkPolicy is applied; enforcing them is the cluster's network plugin's part",
        ),
    }
}

fn tls_ready(observed: &Observed) -> Option<Judgement> {
    if observed.deployment.spec.effective_scheme() != Scheme::Https {
        return None;
    }
    let secret = observed
        .children
        .get(Kind::Secret, &observed.names.tls_secret())
        .map(|view| &view.detail);
    Some(match secret {
        Some(Detail::Secret(SecretView {
            certificate: Some(facts),
            ..
        })) if facts.not_after > observed.now => Judgement::holds(
            "CertificateValid",
            format!("the certificate is valid until {}", time(facts.not_after).0),
        ),
        Some(Detail::Secret(SecretView {
            certificate: Some(_), ..
        })) => Judgement::failed(
            "CertificateExpired",
            "the certificate has expired and could not be renewed",
        ),
        _ => Judgement::not_yet("CertificateMissing", "the certificate is not there yet"),
    })
}

fn endpoints(observed: &Observed) -> Endpoints {
    let (deployment, names) = (observed.deployment, &observed.names);
    Endpoints {
        url: Some(service::public_url(deployment, names)),
        service: Some(service::host(deployment, names)),
        ca_secret: (deployment.spec.effective_scheme() == Scheme::Https).then(|| names.tls_secret()),
    }
}

fn selector(observed: &Observed) -> String {
    let labels = observed.names.component_selector(Component::App);
    labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(",")
}

fn secret_list(observed: &Observed) -> Vec<SecretStatus> {
    let needed = secrets::needed(&observed.deployment.spec, &observed.names);
    let former = observed
        .deployment
        .status
        .iter()
        .flat_map(|status| &status.secrets);
    let mut list: Vec<SecretStatus> = needed
        .iter()
        .filter_map(|need| {
            let view = observed.children.get(Kind::Secret, &need.name)?;
            Some(SecretStatus {
                name: need.name.clone(),
                purpose: need.purpose.describe().to_owned(),
                created: view.created.map(time),
            })
        })
        .collect();
    // A Secret that guards data and was seen once stays on the list: that is how its loss is known.
    for secret in former {
        let guards = needed
            .iter()
            .any(|need| need.name == secret.name && need.purpose.guards_data())
            || secret.purpose == Purpose::Generated.describe();
        if guards && !list.iter().any(|listed| listed.name == secret.name) {
            list.push(secret.clone());
        }
    }
    list.sort_by(|a, b| a.name.cmp(&b.name));
    list
}

/// The conditions in the order of [`types::ALL`]; a transition time changes only with the status.
fn conditions(
    former: &[Condition],
    parts: &[(&str, Judgement)],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    types::ALL
        .iter()
        .filter_map(|type_| parts.iter().find(|(part, _)| part == type_))
        .map(|(type_, judgement)| {
            let before = former.iter().find(|condition| condition.type_ == *type_);
            let since = before.filter(|condition| condition.status == judgement.status);
            Condition {
                type_: (*type_).to_owned(),
                status: judgement.status.to_owned(),
                reason: judgement.reason.clone(),
                message: judgement.message.chars().take(1024).collect(),
                observed_generation: generation,
                last_transition_time: since
                    .map_or_else(|| time(now), |condition| condition.last_transition_time.clone()),
            }
        })
        .collect()
}
