//! The driver: it takes deployments off the queue, runs a pass over each and writes what came of it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{Stream, StreamExt, TryStreamExt};
use jiff::Timestamp;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::DeserializeGuard,
    runtime::{
        Controller, WatchStreamExt,
        controller::{Action, Config},
        events::EventType,
        reflector::{self, ObjectRef},
        watcher::{self, Event, watcher},
    },
};
use medical_crds::{MedicalDeployment, check::Violation, names::Names, spec::DeletionPolicy};
use serde_json::json;

use crate::{
    backoff::{Backoff, spread},
    events::Events,
    kinds::Kind,
    metrics::Metrics,
    reconcile::{
        apply::{ApplyError, Memory},
        outcome::Outcome,
        pass::{Tools, pass},
        referenced_secrets::SecretMemory,
        status::{self, Observed},
        validate::ViolationMemory,
        write_status::{self, StatusMemory},
    },
    settings::Settings,
    store::{Children, Owner, Store, WatchState, Watched},
    watches::RESYNC,
};

/// A deployment that may not be readable: one that is not must not stop the watch.
type Guarded = DeserializeGuard<MedicalDeployment>;

/// Set while `deletionPolicy` is Delete, so that the loss is told before it happens.
pub const FINALIZER: &str = "medops.dev/announce-data-deletion";
/// A pass that takes longer is given up and tried again.
const PASS_DEADLINE: Duration = Duration::from_mins(1);
/// How long to wait for something that is under way; a watch normally tells earlier.
const WAITING: Duration = Duration::from_secs(30);

/// What all passes share.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What is known of the children.
    pub store: Arc<Store>,
    /// The operator's settings.
    pub settings: Settings,
    /// The metrics.
    pub metrics: Metrics,
    /// Events.
    pub events: Events,
    /// What was written before.
    pub memory: Memory,
    /// Secrets of others as they were last read.
    pub secrets: SecretMemory,
    /// The rules that were found broken before.
    pub violations: ViolationMemory,
    /// The statuses that were written before.
    pub statuses: StatusMemory,
    /// Failures in a row.
    pub backoff: Backoff,
}

/// Runs passes until `shutdown` resolves. `changes` tells of deployments whose children changed.
pub async fn run(
    context: Arc<Context>,
    concurrency: u16,
    changes: impl Stream<Item = Owner> + Send + 'static,
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let api: Api<Guarded> = Api::all(context.client.clone());
    let (reader, writer) = reflector::store();
    let forgetful = context.clone();
    let deployments = watcher(api, watcher::Config::default())
        .default_backoff()
        .inspect_ok(move |event| {
            if let Event::Delete(deployment) = event {
                forgetful.forget(&owner_of(deployment));
            }
        })
        .modify(|deployment| deployment.meta_mut().managed_fields = None)
        .reflect(writer)
        .touched_objects();
    Controller::for_stream(deployments, reader)
        .with_config(
            Config::default()
                .concurrency(concurrency)
                .debounce(Duration::from_millis(100)),
        )
        .reconcile_on(changes.map(|owner| ObjectRef::new(&owner.name).within(&owner.namespace)))
        .graceful_shutdown_on(shutdown)
        .run(
            reconcile,
            |_, _: &std::convert::Infallible, _| Action::requeue(WAITING),
            context,
        )
        .for_each(|result| async move {
            if let Err(error) = result {
                // A deployment that is gone by the time of its turn is no error.
                tracing::debug!(%error, "queue");
            }
        })
        .await;
}

async fn reconcile(guarded: Arc<Guarded>, context: Arc<Context>) -> Result<Action, std::convert::Infallible> {
    let owner = owner_of(&guarded);
    let started = std::time::Instant::now();
    // A task of its own uses every core and contains a panic, which would end the whole controller.
    let (shared, place) = (context.clone(), owner.clone());
    let mut task = tokio::spawn(async move { one(&guarded, &place, &shared).await });
    // One slow deployment would hold a slot for ever.
    let (result, action) = match tokio::time::timeout(PASS_DEADLINE, &mut task).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => {
            tracing::error!(
                namespace = owner.namespace,
                deployment = owner.name,
                "the pass panicked"
            );
            ("panic", Action::requeue(context.backoff.failed(&owner)))
        }
        Err(_) => {
            task.abort();
            tracing::error!(
                namespace = owner.namespace,
                deployment = owner.name,
                "the pass took too long"
            );
            ("timeout", Action::requeue(context.backoff.failed(&owner)))
        }
    };
    context.metrics.passes.with_label_values(&[result]).inc();
    context
        .metrics
        .seconds
        .with_label_values(&[result])
        .observe(started.elapsed().as_secs_f64());
    Ok(action)
}

#[tracing::instrument(name = "pass", skip_all, fields(namespace = owner.namespace, deployment = owner.name))]
async fn one(guarded: &Guarded, owner: &Owner, context: &Context) -> (&'static str, Action) {
    let deployment = match &guarded.0 {
        Ok(deployment) => deployment,
        Err(unreadable) => return unreadable_deployment(unreadable, owner, context).await,
    };
    if deployment.metadata.deletion_timestamp.is_some() {
        return deleted(deployment, owner, context).await;
    }
    if let Err(error) = keep_finalizer(deployment, owner, context).await {
        return failed(owner, context, &error);
    }
    let now = Timestamp::now();
    let tools = Tools {
        client: &context.client,
        store: &context.store,
        memory: &context.memory,
        secrets: &context.secrets,
        violations: &context.violations,
        settings: &context.settings,
    };
    let passed = pass(&tools, owner, deployment, now).await;
    let status = status::compute(&Observed {
        deployment,
        names: Names::of(&owner.name),
        children: &passed.children,
        plan: &passed.plan,
        outcome: &passed.outcome,
        database_api_absent: context.store.state(Watched::Child(Kind::Cluster)) == WatchState::Absent,
        now,
    });
    context.metrics.count(owner, status.phase);
    match write_status::write(&context.client, &context.statuses, owner, deployment, &status).await {
        Ok(true) => context.events.publish_change(deployment, &status).await,
        Ok(false) => {}
        Err(error) => return failed(owner, context, &error),
    }
    let outcome = &passed.outcome;
    for obstacle in outcome.failures.iter().chain(&outcome.lost_secrets) {
        context
            .metrics
            .obstacles
            .with_label_values(&[obstacle.kind.info().name, obstacle.reason])
            .inc();
        tracing::warn!(
            kind = obstacle.kind.info().name,
            child = obstacle.name,
            reason = obstacle.reason,
            message = obstacle.message,
            "obstacle"
        );
    }
    action(outcome, owner, context)
}

fn action(outcome: &Outcome, owner: &Owner, context: &Context) -> (&'static str, Action) {
    if !outcome.failures.is_empty() {
        return ("failed", Action::requeue(context.backoff.failed(owner)));
    }
    context.backoff.reset(owner);
    if !outcome.violations.is_empty() {
        return ("invalid", Action::await_change());
    }
    if !outcome.waiting.is_empty() {
        return ("waiting", Action::requeue(WAITING));
    }
    ("done", Action::requeue(spread(RESYNC, owner)))
}

fn failed(owner: &Owner, context: &Context, error: &ApplyError) -> (&'static str, Action) {
    tracing::warn!(reason = error.reason(), %error, "the pass failed");
    ("failed", Action::requeue(context.backoff.failed(owner)))
}

/// A resource that does not fit its type (its definition in the cluster is of another version) is told in its status.
async fn unreadable_deployment(
    unreadable: &kube::core::error_boundary::InvalidObject,
    owner: &Owner,
    context: &Context,
) -> (&'static str, Action) {
    let mut deployment = MedicalDeployment {
        metadata: unreadable.metadata.clone(),
        ..MedicalDeployment::default()
    };
    deployment.status = None;
    let violation = Violation {
        field: "spec".to_owned(),
        remedy: "cannot be read by this version of the operator: upgrade the operator or the CustomResourceDefinition so that both are of one version".to_owned(),
    };
    let outcome = Outcome {
        violations: vec![violation],
        ..Outcome::default()
    };
    let status = status::compute(&Observed {
        deployment: &deployment,
        names: Names::of(&owner.name),
        children: &Children::default(),
        plan: &[],
        outcome: &outcome,
        database_api_absent: false,
        now: Timestamp::now(),
    });
    context.metrics.count(owner, status.phase);
    match write_status::write(&context.client, &context.statuses, owner, &deployment, &status).await {
        Ok(_) => ("invalid", Action::await_change()),
        Err(error) => failed(owner, context, &error),
    }
}

/// The finalizer is there exactly while the policy is Delete.
async fn keep_finalizer(
    deployment: &MedicalDeployment,
    owner: &Owner,
    context: &Context,
) -> Result<(), ApplyError> {
    let wanted = deployment.spec.deletion_policy == DeletionPolicy::Delete;
    let present = deployment
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == FINALIZER);
    if wanted == present {
        return Ok(());
    }
    set_finalizer(deployment, owner, context, wanted).await?;
    if wanted {
        let note = "deletionPolicy is Delete: deleting this resource removes the database, its volumes, the keys and the backups for ever";
        context
            .events
            .publish(deployment, EventType::Warning, "DataNotRetained", note)
            .await;
    }
    Ok(())
}

async fn set_finalizer(
    deployment: &MedicalDeployment,
    owner: &Owner,
    context: &Context,
    present: bool,
) -> Result<(), ApplyError> {
    let mut finalizers: Vec<String> = deployment
        .finalizers()
        .iter()
        .filter(|finalizer| *finalizer != FINALIZER)
        .cloned()
        .collect();
    if present {
        finalizers.push(FINALIZER.to_owned());
    }
    let api: Api<MedicalDeployment> = Api::namespaced(context.client.clone(), &owner.namespace);
    // The resourceVersion guards the finalizers that others set meanwhile.
    let patch = json!({"metadata": {
        "resourceVersion": deployment.metadata.resource_version,
        "finalizers": finalizers,
    }});
    match api
        .patch_metadata(&owner.name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn deleted(deployment: &MedicalDeployment, owner: &Owner, context: &Context) -> (&'static str, Action) {
    if deployment
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == FINALIZER)
    {
        let note =
            "deletionPolicy is Delete: the database, its volumes, the keys and the backups are being removed";
        context
            .events
            .publish(deployment, EventType::Warning, "DeletingData", note)
            .await;
        if let Err(error) = set_finalizer(deployment, owner, context, false).await {
            return failed(owner, context, &error);
        }
    }
    ("deleted", Action::await_change())
}

impl Context {
    /// Forgets a deployment that is gone.
    fn forget(&self, owner: &Owner) {
        self.memory.forget(owner);
        self.secrets.forget(owner);
        self.violations.forget(owner);
        self.metrics.count(owner, None);
        self.store.refer(owner, &BTreeSet::new());
        self.statuses.forget(owner);
        self.backoff.reset(owner);
    }
}

fn owner_of(deployment: &Guarded) -> Owner {
    Owner {
        namespace: deployment.namespace().unwrap_or_default(),
        name: deployment.name_any(),
    }
}
