//! `dev`: the whole application on one machine, without Kubernetes, with synthetic data, until Ctrl-C.
//!
//! It uses the program's own commands and variables, as a deployment does; nothing here is a second way to do them.

mod client;
mod database;
mod directory;
mod existing;
mod ours;
mod people;
mod postgres;
mod tour;

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use medical_app::config::Settings;
use medical_app::serve::ServeError;
use medical_app::telemetry;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinError, JoinHandle};

use self::client::Client;
use self::directory::Directory;
use self::ours::Ours;
use self::postgres::Postgres;
use crate::{Failure, failed, print};

/// Port of the API when none is asked for and it is free.
const PORT: u16 = 8443;

/// Longest time for the server to end: more than its own limits add up to.
const LONGEST_END: Duration = Duration::from_secs(10);

#[derive(Args)]
pub struct Dev {
    /// Port of the API; when absent 8443, or a free one where that is taken.
    #[arg(long)]
    port: Option<u16>,
    /// Directory of PostgreSQL's programs; when absent the newest below /usr/lib/postgresql, or those in PATH.
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "database_url")]
    postgres_programs: Option<PathBuf>,
    /// An empty database to use instead of a temporary one, `postgres://OWNER@HOST/NAME`, its password in PGPASSWORD; when
    /// absent `DATABASE_URL`. What is written stays there.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Name of that database, to confirm that it may be filled with synthetic data.
    #[arg(long, value_name = "NAME")]
    confirm_database: Option<String>,
    /// File with the password of the role `medical_app` where that role is on the server already.
    #[arg(long, value_name = "FILE", requires = "confirm_database")]
    serving_password_file: Option<PathBuf>,
}

/// Runs until the server ends, and takes everything away again.
pub async fn run(dev: &Dev) -> Result<(), Failure> {
    refuse_where_patients_are_real()?;
    // From here on no signal ends the process before everything is taken away.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let directory = Directory::new()?;
    let mut running = Running::default();
    let outcome = tokio::select! {
        outcome = serve(dev, &directory, &mut running) => outcome,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    let ended = running.end(outcome.is_err()).await;
    let removed = directory.remove();
    outcome.and(ended).and(removed)
}

fn refuse_where_patients_are_real() -> Result<(), Failure> {
    match std::env::var("ENVIRONMENT").as_deref() {
        Err(_) | Ok("" | "development") => Ok(()),
        Ok(_) => Err(failed(
            "ENVIRONMENT: dev makes users and patients, for a developer's machine only; unset it or set it to development",
        )),
    }
}

/// What has to be ended.
#[derive(Default)]
struct Running {
    postgres: Option<Postgres>,
    server: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Running {
    /// Ends the server, which hears the same signals, then PostgreSQL.
    async fn end(self, failed: bool) -> Result<(), Failure> {
        if let Some(mut server) = self.server.filter(|server| !server.is_finished()) {
            // One that no signal reached would serve on.
            if failed || tokio::time::timeout(LONGEST_END, &mut server).await.is_err() {
                server.abort();
            }
        }
        match self.postgres {
            Some(postgres) => postgres.stop().await,
            None => Ok(()),
        }
    }
}

/// Starts everything, prints the tour and waits for the end of the server.
async fn serve(dev: &Dev, directory: &Directory, running: &mut Running) -> Result<(), Failure> {
    start(dev, directory, running).await?;
    match &mut running.server {
        Some(server) => how_it_ended(server.await),
        None => Ok(()),
    }
}

fn how_it_ended(end: Result<Result<(), ServeError>, JoinError>) -> Result<(), Failure> {
    end.map_err(failed)?.map_err(failed)
}

/// Starts everything, prints the tour, and returns while the server runs.
async fn start(dev: &Dev, directory: &Directory, running: &mut Running) -> Result<(), Failure> {
    let port = choose_port(dev.port)?;
    let metrics_port = free_port()?;
    let database = if let Some(existing) = existing::chosen(dev)? {
        step("Looking at the database", existing.prepare(directory)).await?
    } else {
        let programs = postgres::programs(dev.postgres_programs.as_deref())?;
        let postgres = running.postgres.insert(Postgres::launch(directory, programs)?);
        step("Starting PostgreSQL", postgres.prepare(directory)).await?
    };
    let variables = directory.variables(&database, port, metrics_port)?;
    let ours = Ours::new(variables, &database)?;
    step("Migrating", ours.run(&["migrate"], "")).await?;
    let people = step("Making users", people::employ(&ours, directory)).await?;

    let settings = Settings::read(&ours.source())?;
    telemetry::start(settings.telemetry);
    let server = running
        .server
        .insert(tokio::spawn(medical_app::serve::serve(settings)));
    let client = Client::new(directory, port)?;
    let filling = async {
        client.until_ready().await?;
        people::admit_patients(&client, &people).await
    };
    let patients = tokio::select! {
        patients = step("Admitting patients", filling) => patients?,
        end = &mut *server => {
            how_it_ended(end)?;
            return Err(failed("the server ended before it was ready"));
        }
    };
    let people = step(
        "Making the patient's account",
        people::open_account(&ours, directory, people, &patients),
    )
    .await?;
    let place = tour::Place {
        directory: directory.path(),
        port,
        metrics_port,
    };
    print(&tour::render(&place, &people, &patients, database.keeps_data)?)?;
    std::io::stdout().flush().map_err(failed)
}

/// Shows what is being done while it is, on standard error and only where that is a terminal.
async fn step<T>(name: &'static str, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let bar = ProgressBar::new_spinner().with_message(name);
    bar.enable_steady_tick(Duration::from_millis(100));
    let outcome = work.await;
    bar.finish_and_clear();
    outcome
}

/// The port of the API: the one that was asked for, else the usual one, else a free one.
fn choose_port(asked: Option<u16>) -> Result<u16, Failure> {
    let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    match asked {
        Some(port) => match is_free(port) {
            Ok(_) => Ok(port),
            Err(error) => Err(failed(format!(
                "--port {port}: {error}; choose another one, or leave it out for a free one"
            ))),
        },
        None if is_free(PORT).is_ok() => Ok(PORT),
        None => free_port(),
    }
}

fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    Ok(listener.local_addr().map_err(failed)?.port())
}
