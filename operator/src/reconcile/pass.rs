//! The pass itself: one deployment, from what is known to what is wanted.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::Client;
use medical_crds::{MedicalDeployment, names::Names};
use serde_json::Value;

use super::{
    apply::{self, Applied, ApplyError, Memory},
    ensure_secrets,
    outcome::{Obstacle, Outcome},
    plan::{Child, plan},
    prune,
    referenced_secrets::{self, SecretMemory},
    validate::ViolationMemory,
};
use crate::{
    build::{Inputs, environment},
    kinds::Kind,
    settings::Settings,
    store::{Children, Owner, Store, WatchState, Watched},
    view::{Detail, KNOWN_SECRETS, View},
};

/// Says that CloudNativePG is not there, and what to do.
pub const CLOUDNATIVE_PG_MISSING: &str = "the API postgresql.cnpg.io/v1 is not served: install CloudNativePG 1.28 or newer, the database is created as soon as it appears";

/// What a pass reads and writes with.
pub struct Tools<'a> {
    /// The API server.
    pub client: &'a Client,
    /// What is known of the children.
    pub store: &'a Store,
    /// What was written before.
    pub memory: &'a Memory,
    /// Secrets of others as they were last read.
    pub secrets: &'a SecretMemory,
    /// The rules that were found broken before.
    pub violations: &'a ViolationMemory,
    /// The operator's settings.
    pub settings: &'a Settings,
}

/// What a pass leaves behind: what is known now, what was planned and what it met.
pub struct Passed {
    /// The children, with what the API server answered in this pass.
    pub children: Children,
    /// The plan; empty when the resource breaks a rule.
    pub plan: Vec<Child>,
    /// What the pass met.
    pub outcome: Outcome,
}

/// Brings the children of `deployment` to what it declares.
pub async fn pass(
    tools: &Tools<'_>,
    owner: &Owner,
    deployment: &MedicalDeployment,
    now: Timestamp,
) -> Passed {
    let mut children = tools.store.children(owner);
    let mut outcome = Outcome {
        violations: tools.violations.violations(owner, deployment),
        ..Outcome::default()
    };
    let api_server = tools.store.api_server();
    let none = BTreeMap::new();
    let inputs = Inputs {
        deployment,
        names: Names::of(&owner.name),
        settings: tools.settings,
        api_server: &api_server,
        secret_checksums: &none,
    };
    if !outcome.violations.is_empty() {
        return Passed {
            children,
            plan: Vec::new(),
            outcome,
        };
    }
    if !deployment.spec.suspend {
        ensure_secrets::ensure(tools.client, owner, &inputs, &mut children, now, &mut outcome).await;
    }
    let mut checksums = secret_checksums(&children);
    if !deployment.spec.suspend {
        let mut referenced = environment::referenced_secrets(&inputs);
        referenced.retain(|name, _| children.get(Kind::Secret, name).is_none());
        // Values of others may be short; a password that nobody knows keeps them from being guessed by their checksum.
        let salt = checksums
            .get(&inputs.names.owner_secret())
            .cloned()
            .unwrap_or_default();
        let Tools {
            client,
            store,
            secrets,
            ..
        } = tools;
        checksums.extend(
            referenced_secrets::checksums(client, store, secrets, owner, &referenced, &salt, &mut outcome)
                .await,
        );
    }
    let inputs = Inputs {
        secret_checksums: &checksums,
        ..inputs
    };
    let mut plan = plan(&inputs);
    note_secrets(&inputs, &children, &mut plan);
    if !deployment.spec.suspend {
        apply_all(tools, owner, &inputs, &plan, &mut children, &mut outcome).await;
        if outcome.failures.is_empty() {
            let left = prune::left_over(&children, &plan, owner_uid(deployment));
            let left: Vec<_> = left
                .into_iter()
                .filter(|(kind, _)| !(*kind == Kind::Job && awaited(&outcome)))
                .chain(prune::to_run_again(&children, &plan, now))
                .map(|(kind, view)| (kind, view.clone()))
                .collect();
            prune_all(tools, owner, left, &mut children, &mut outcome).await;
        }
    }
    Passed {
        children,
        plan,
        outcome,
    }
}

fn secret_checksums(children: &Children) -> BTreeMap<String, String> {
    children
        .iter()
        .filter_map(|(_, view)| match &view.detail {
            Detail::Secret(secret) => Some((view.name.clone(), secret.checksum.clone())),
            _ => None,
        })
        .collect()
}

/// Notes on the Cluster which Secrets belong to its data, so that a resource that is made again knows a lost one.
fn note_secrets(inputs: &Inputs, children: &Children, plan: &mut [Child]) {
    let mut names = ensure_secrets::known_secrets(inputs, children);
    names.extend(
        children
            .iter()
            .filter(|(kind, _)| *kind == Kind::Secret)
            .map(|(_, view)| view.name.clone()),
    );
    let list = names.into_iter().collect::<Vec<_>>().join(",");
    for child in plan.iter_mut().filter(|child| child.kind == Kind::Cluster) {
        child.object["metadata"]["annotations"][KNOWN_SECRETS] = Value::String(list.clone());
    }
}

async fn apply_all(
    tools: &Tools<'_>,
    owner: &Owner,
    inputs: &Inputs<'_>,
    plan: &[Child],
    children: &mut Children,
    outcome: &mut Outcome,
) {
    for child in plan {
        if let Some(wait) = gate(tools, inputs, plan, child, children, outcome) {
            outcome.waiting.push(wait);
            continue;
        }
        let view = children.get(child.kind, &child.name).cloned();
        match apply::apply(tools.client, tools.memory, owner, child, view.as_ref()).await {
            Ok(Applied::Unchanged) => {}
            Ok(Applied::Written(view)) => {
                tracing::info!(kind = child.kind.info().name, child = child.name, "applied");
                children.insert(child.kind, *view);
            }
            Err(error) => {
                let obstacle = Obstacle {
                    kind: child.kind,
                    name: child.name.clone(),
                    reason: error.reason(),
                    message: explain(child, &error),
                };
                match error {
                    ApplyError::Deleting => outcome.waiting.push(obstacle),
                    _ => outcome.failures.push(obstacle),
                }
            }
        }
    }
}

fn explain(child: &Child, error: &ApplyError) -> String {
    let (kind, name) = (child.kind.info().name, &child.name);
    match error {
        ApplyError::Foreign => format!(
            "{kind} {name} exists and is not managed by this resource: rename it, delete it, or choose another metadata.name"
        ),
        other => format!("{kind} {name}: {other}"),
    }
}

/// Why a child has to wait, if it has to.
fn gate(
    tools: &Tools<'_>,
    inputs: &Inputs,
    plan: &[Child],
    child: &Child,
    children: &Children,
    outcome: &Outcome,
) -> Option<Obstacle> {
    let wait = |reason: &'static str, message: String| {
        Some(Obstacle {
            kind: child.kind,
            name: child.name.clone(),
            reason,
            message,
        })
    };
    let job = plan.iter().find(|child| child.kind == Kind::Job);
    match child.kind {
        Kind::Cluster if tools.store.state(Watched::Child(Kind::Cluster)) == WatchState::Absent => {
            wait("CloudNativePGMissing", CLOUDNATIVE_PG_MISSING.to_owned())
        }
        // A password or key that is missing would make a database that nobody can open.
        Kind::Cluster | Kind::Job | Kind::Deployment
            if outcome
                .failures
                .iter()
                .chain(&outcome.lost_secrets)
                .any(|at| at.kind == Kind::Secret) =>
        {
            wait("SecretsMissing", "waits for the Secrets".to_owned())
        }
        // Pods of the new template could not start without it.
        Kind::Job | Kind::Deployment if outcome.waiting.iter().any(|at| at.kind == Kind::Secret) => {
            wait("SecretsMissing", "waits for the Secrets".to_owned())
        }
        // The API server refuses another size until the first dump has bound a volume.
        Kind::PersistentVolumeClaim if grows_unbound(children, child) => wait(
            "VolumeNotBound",
            "the volume of the dumps takes its new size once the first dump has bound it".to_owned(),
        ),
        Kind::Job if !database_answers(inputs, children) => {
            wait("DatabaseNotReady", "waits for the database".to_owned())
        }
        Kind::Deployment if job.is_none() && !database_answers(inputs, children) => {
            let exists = children.get(child.kind, &child.name).is_some();
            // An existing Deployment may follow the spec while the database is away.
            if exists {
                None
            } else {
                wait("DatabaseNotReady", "waits for the database".to_owned())
            }
        }
        Kind::Deployment if job.is_some_and(|job| !job_complete(children, &job.name)) => {
            wait("NotMigrated", "waits for the init Job".to_owned())
        }
        Kind::PodDisruptionBudget | Kind::HorizontalPodAutoscaler
            if children.get(Kind::Deployment, &inputs.names.app()).is_none() =>
        {
            wait("AppNotDeployed", "waits for the Deployment".to_owned())
        }
        _ => None,
    }
}

fn grows_unbound(children: &Children, child: &Child) -> bool {
    let wanted = child.object.pointer("/spec/resources/requests/storage");
    matches!(
        children.get(child.kind, &child.name).map(|view| &view.detail),
        Some(Detail::Claim(claim)) if !claim.bound && wanted.is_some_and(|wanted| *wanted != *claim.requested)
    )
}

/// Whether the database has a primary and the roles that the application needs.
fn database_answers(inputs: &Inputs, children: &Children) -> bool {
    match children
        .get(Kind::Cluster, &inputs.names.cluster())
        .map(|view| &view.detail)
    {
        Some(Detail::Cluster(cluster)) => {
            cluster.ready >= 1
                && [medical_crds::names::APP_ROLE, medical_crds::names::BACKUP_ROLE]
                    .iter()
                    .all(|role| cluster.roles_reconciled.contains(*role))
        }
        _ => false,
    }
}

fn job_complete(children: &Children, name: &str) -> bool {
    matches!(children.get(Kind::Job, name).map(|view| &view.detail), Some(Detail::Job(job)) if job.complete)
}

fn owner_uid(deployment: &MedicalDeployment) -> &str {
    deployment.metadata.uid.as_deref().unwrap_or_default()
}

async fn prune_all(
    tools: &Tools<'_>,
    owner: &Owner,
    left: Vec<(Kind, View)>,
    children: &mut Children,
    outcome: &mut Outcome,
) {
    for (kind, view) in left {
        match prune::delete(tools.client, owner, kind, &view).await {
            Ok(()) => {
                tracing::info!(kind = kind.info().name, child = view.name, "pruned");
                children.remove(kind, &view.name);
            }
            Err(error) => outcome.failures.push(Obstacle {
                kind,
                name: view.name.clone(),
                reason: "PruneFailed",
                message: format!("{} {} could not be removed: {error}", kind.info().name, view.name),
            }),
        }
    }
}

/// The former init Job stays until the new one has run: it tells what the present schema came from.
fn awaited(outcome: &Outcome) -> bool {
    outcome
        .waiting
        .iter()
        .any(|wait| wait.reason == "NotMigrated" || wait.reason == "DatabaseNotReady")
}
