//! Development tasks, run as `cargo xtask`: a local Kubernetes with everything in it, the tests, the generated files.

mod cargo;
mod checkov;
mod cli;
mod cluster;
mod command;
mod components;
mod generate;
mod images;
mod kind;
mod lock;
mod places;
mod progress;
mod schedule;
mod surroundings;
mod test_tiers;
mod up;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;

use cli::{Cli, Command};
use cluster::instance::Instance;
use cluster::{down, forward, inside, load, status, supervisor};
use command::Run;
use places::Places;
use progress::Progress;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let places = Places::find()?;
    match cli.command {
        Command::Up(options) => up::up(&options, &places, &Progress::new()),
        Command::Down(options) => {
            let names = if options.all {
                Instance::names(&places)
            } else {
                vec![options.which.name]
            };
            down::down(&places, &names, &Progress::new())
        }
        Command::Status(options) => status::print(
            &Instance::of(&places, &options.which.name)?,
            &places,
            options.json,
        ),
        Command::Logs(options) => logs(&Instance::of(&places, &options.which.name)?, &options),
        Command::In(options) => Err(inside::become_command(
            &Instance::of(&places, &options.which.name)?,
            &places,
            &options.command,
        )?),
        Command::Kubectl(passed) => become_program("kubectl", passed, &places),
        Command::Helm(passed) => become_program("helm", passed, &places),
        Command::Forward(options) => {
            if options.detached {
                nix::unistd::setsid().context("this process leads a group already")?;
            }
            let instance = Instance::of(&places, &options.which.name)?;
            let namespace = options
                .namespace
                .as_deref()
                .or(options.target.namespace.as_deref())
                .unwrap_or("default");
            forward::forward(&instance, &places, &options.target, namespace, options.ports)
        }
        Command::Load(options) => {
            let instance = Instance::of(&places, &options.which.name)?;
            options
                .archives
                .iter()
                .try_for_each(|archive| load::load(&instance, archive))
        }
        Command::Image(options) => up::images(&options, &places, &Progress::new()),
        Command::Test(options) => test_tiers::run(&options, &places),
        Command::Generate(options) => generate::run(options.check, &places),
        Command::Supervise(which) => supervisor::supervise(&Instance::of(&places, &which.name)?, &places),
    }
}

fn become_program(program: &str, passed: cli::Passed, places: &Places) -> Result<()> {
    let instance = Instance::of(places, &passed.which.name)?;
    let mut command = vec![places.binaries().join(program).into_os_string()];
    command.extend(passed.arguments);
    Err(inside::become_command(&instance, places, &command)?)
}

fn logs(instance: &Instance, options: &cli::Logs) -> Result<()> {
    let path = cluster::processes::log(instance, &options.process);
    if !path.is_file() {
        let mut known: Vec<String> = std::fs::read_dir(instance.logs())?
            .flatten()
            .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".log")?.to_owned()))
            .collect();
        known.sort();
        bail!(
            "{} has no log of “{}”; there are: {}",
            instance.name,
            options.process,
            known.join(", ")
        );
    }
    let mut tail = Run::new("tail").arg(format!("--lines={}", options.lines));
    if options.follow {
        tail = tail.arg("--follow=name");
    }
    tail.arg(path).visible()
}
