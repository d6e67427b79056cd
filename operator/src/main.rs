//! The operator's binary: arguments, logs, lease, wiring.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use futures::channel::mpsc;
use kube::{Client, Config};
use medical_operator::{
    admin,
    backoff::Backoff,
    controller::{self, Context},
    events::Events,
    lease::Candidate,
    metrics::Metrics,
    reconcile::{
        apply::Memory, referenced_secrets::SecretMemory, validate::ViolationMemory,
        write_status::StatusMemory,
    },
    settings::Settings,
    store::Store,
    watches,
};
use tracing_subscriber::EnvFilter;

mod generate;

/// Gives back what a burst of passes freed, which the system's allocator keeps.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Reconciles `MedicalDeployment` resources.
#[derive(Parser)]
#[command(version, about, long_about = None)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the operator until it is told to stop or loses its lease.
    Run(Box<Run>),
    /// Writes the files that are generated from the types: the CustomResourceDefinition and the RBAC rules of the chart.
    Generate {
        /// Root of the repository.
        #[arg(default_value = ".")]
        root: PathBuf,
    },
}

#[derive(Args)]
struct Run {
    /// Address of /livez, /readyz and /metrics.
    #[arg(long, env = "ADMIN_LISTEN", default_value = "0.0.0.0:8080")]
    admin_listen: SocketAddr,
    /// Namespace of the operator's Lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "medical-operator-system")]
    namespace: String,
    /// Name of this process, unique among the replicas.
    #[arg(long, env = "POD_NAME")]
    identity: Option<String>,
    /// Name of the Lease.
    #[arg(long, env = "LEASE_NAME", default_value = "medical-operator")]
    lease: String,
    /// Passes that run at the same time.
    #[arg(long, env = "CONCURRENCY", default_value_t = 8)]
    concurrency: u16,
    /// Image of the reference application, for a resource that names none.
    #[arg(long, env = "APP_IMAGE", default_value_t = Settings::default().app_image)]
    app_image: String,
    /// Image that carries medical-backup.
    #[arg(long, env = "BACKUP_IMAGE", default_value_t = Settings::default().backup_image)]
    backup_image: String,
    /// PostgreSQL operand image, for a resource that names none.
    #[arg(long, env = "DATABASE_IMAGE", default_value_t = Settings::default().database_image)]
    database_image: String,
    /// Namespace of the CloudNativePG operator.
    #[arg(long, env = "CLOUDNATIVE_PG_NAMESPACE", default_value_t = Settings::default().cloudnative_pg_namespace)]
    cloudnative_pg_namespace: String,
    /// Pull policy of the application's and the backup image: IfNotPresent, Always or Never.
    #[arg(long, env = "IMAGE_PULL_POLICY", default_value_t = Settings::default().image_pull_policy)]
    image_pull_policy: String,
    /// What is logged, in the syntax of tracing-subscriber.
    #[arg(long, env = "LOG_LEVEL", default_value = "info,kube=warn")]
    log_level: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Generate { root } => generate::write(&root),
        Command::Run(run) => run_operator(*run).await,
    }
}

async fn run_operator(run: Run) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_new(&run.log_level).context("LOG_LEVEL is not understood: write for example info")?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_env_filter(filter)
        .init();
    let identity = run
        .identity
        .clone()
        .unwrap_or_else(|| format!("local-{}", std::process::id()));

    let mut config = Config::infer()
        .await
        .context("no cluster: set KUBECONFIG or run in a pod")?;
    // kube would repeat a refused request for minutes, a renewal of the lease too; every pass is repeated anyway.
    config.default_retry = false;
    let client = Client::try_from(config)?;
    let metrics = Metrics::new()?;
    let store = Arc::new(Store::new(watches::all()));

    let told = admin::Admin {
        store: store.clone(),
        metrics: metrics.clone(),
    };
    let admin = tokio::spawn(admin::serve(run.admin_listen, told));
    let (changes, touched) = mpsc::unbounded();
    for watched in watches::all() {
        tokio::spawn(watches::feed(
            client.clone(),
            watched,
            store.clone(),
            metrics.clone(),
            changes.clone(),
        ));
    }

    let mut candidate = Candidate::new(client.clone(), &run.namespace, &run.lease, identity.clone());
    tokio::select! {
        () = candidate.acquire() => {}
        () = terminated() => return Ok(()),
        ended = admin => anyhow::bail!("the admin port ended: {ended:?}"),
    }
    metrics.leader.set(1);
    tokio::select! {
        () = store.wait_until_synced() => {}
        () = terminated() => {
            candidate.release().await;
            return Ok(());
        }
    }

    let context = Arc::new(Context {
        events: Events::new(client.clone(), Some(identity)),
        client,
        store,
        settings: Settings {
            app_image: run.app_image,
            backup_image: run.backup_image,
            database_image: run.database_image,
            cloudnative_pg_namespace: run.cloudnative_pg_namespace,
            image_pull_policy: run.image_pull_policy,
        },
        metrics,
        memory: Memory::default(),
        secrets: SecretMemory::default(),
        violations: ViolationMemory::default(),
        statuses: StatusMemory::default(),
        backoff: Backoff::default(),
    });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    // A task of its own: passes that keep a thread busy must not keep the lease from being renewed.
    let mut passes = tokio::spawn(controller::run(context, run.concurrency, touched, async {
        let _ = stopped.await;
    }));
    tokio::select! {
        // Another process may be leading by now: nothing may be written any more.
        () = candidate.hold() => std::process::exit(1),
        ended = &mut passes => anyhow::bail!("the controller ended: {ended:?}"),
        () = terminated() => {}
    }
    tracing::info!("stopping: passes under way are finished");
    drop(stop);
    tokio::select! {
        () = candidate.hold() => std::process::exit(1),
        drained = tokio::time::timeout(Duration::from_secs(20), passes) => {
            if drained.is_err() {
                tracing::warn!("some passes did not end in time");
            }
        }
    }
    candidate.release().await;
    Ok(())
}

/// SIGTERM or SIGINT.
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be received");
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
}
