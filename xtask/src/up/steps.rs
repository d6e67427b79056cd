//! The steps of `up`, each with what it needs.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context, Result};

use crate::cargo::{self, Profile, Programs};
use crate::cluster::addons::{self, Addon};
use crate::cluster::instance::{Instance, Provider, Tier};
use crate::cluster::{load, policy_proof, release, start};
use crate::command::Run;
use crate::components::{self, COMPONENTS, Component, HELM, KUBERNETES};
use crate::images::rootfs::RootFilesystem;
use crate::images::table::{Image, OWN, PLUGIN};
use crate::places::Places;
use crate::schedule::{Lane, Outcome, Schedule};

const NOTHING: [&str; 0] = [];

/// What the steps of one run share.
pub(super) struct Stage<'a> {
    name: &'a str,
    tier: Tier,
    provider: Provider,
    places: &'a Places,
    instance: OnceLock<Instance>,
    fresh: AtomicBool,
    own: Mutex<Programs>,
    /// Images that replaced another content under the same name in a running cluster.
    replaced: Mutex<BTreeSet<&'static str>>,
}

/// kubectl and Helm, where people have none of their own.
pub(super) fn clients_to_build() -> Vec<Component> {
    let has = |program: &str, argument: &str| Run::new(program).arg(argument).succeeds();
    let mut missing = Vec::new();
    if !has("kubectl", "--help") {
        missing.push(KUBERNETES);
    }
    if !has("helm", "--help") {
        missing.push(HELM);
    }
    missing
}

impl<'a> Stage<'a> {
    pub(super) fn new(name: &'a str, tier: Tier, provider: Provider, places: &'a Places) -> Self {
        Self {
            name,
            tier,
            provider,
            places,
            instance: OnceLock::new(),
            fresh: AtomicBool::new(false),
            own: Mutex::default(),
            replaced: Mutex::default(),
        }
    }

    /// The instance, once it is started.
    pub(super) fn instance(&self) -> Result<&Instance> {
        self.instance.get().context("no instance was started")
    }

    /// The instance that was started.
    pub(super) fn into_instance(self) -> Result<Instance> {
        self.instance.into_inner().context("no instance was started")
    }

    /// One build step for each component, in the order of the table.
    pub(super) fn build_components<'s>(&'s self, schedule: &mut Schedule<'s>, wanted: &[Component]) {
        let names: BTreeSet<&str> = wanted.iter().map(|component| component.name).collect();
        for component in COMPONENTS
            .iter()
            .filter(|component| names.contains(component.name))
        {
            schedule.add(build_step(component), Lane::Go, NOTHING, |step| {
                components::build(component, self.places, step)
            });
        }
    }

    /// Root filesystems, our programs, archives; the kubectl plugin too, when something is to be done with it.
    pub(super) fn make_images<'s>(&'s self, schedule: &mut Schedule<'s>, images: &[Image], plugin: bool) {
        if images.iter().any(Image::is_own) {
            schedule.add("our programs", Lane::Cargo, NOTHING, move |step| {
                let mut packages = OWN.to_vec();
                packages.extend(plugin.then_some(PLUGIN));
                let (built, compiled) =
                    cargo::build(&packages, Profile::Release, self.places, |line| step.at(line))?;
                if plugin {
                    install(built.path(PLUGIN)?, &self.places.binaries().join(PLUGIN))?;
                }
                *lock(&self.own) = built;
                Ok(if compiled {
                    Outcome::Done(packages.join(", "))
                } else {
                    Outcome::Current
                })
            });
        }
        for image in images {
            let mut needs: Vec<String> = image.components().iter().map(build_step).collect();
            if let Some(base) = image.base {
                let name = root_filesystem_step(&base);
                if !schedule.has(&name) {
                    schedule.add(&name, Lane::Debian, NOTHING, move |step| {
                        base.make(self.places, step)
                    });
                }
                needs.push(name);
            }
            if image.is_own() {
                needs.push("our programs".to_owned());
            }
            let name = format!("image {}", image.name);
            let image = image.clone();
            schedule.add(name, Lane::Images, needs, move |step| {
                image.make(self.places, &lock(&self.own), step)
            });
        }
    }

    /// Two steps: `api server`, as soon as it answers, and `processes`, when all are well.
    pub(super) fn start_processes<'s>(&'s self, schedule: &mut Schedule<'s>, needs: &[Component]) {
        schedule.add("api server", Lane::Free, needs.iter().map(build_step), |step| {
            step.at("starting");
            let (started, fresh) = start::start(self.places, self.name, self.tier)?;
            self.fresh.store(fresh, Ordering::Relaxed);
            let started = self.instance.get_or_init(|| started);
            start::wait_for(started, "kube-apiserver")?;
            Ok(if fresh {
                Outcome::Done(String::new())
            } else {
                Outcome::Current
            })
        });
        schedule.add("processes", Lane::Free, ["api server"], |step| {
            start::wait_until_well(self.instance()?, self.fresh.load(Ordering::Relaxed), step)
        });
    }

    /// The same two steps where kind does both.
    pub(super) fn start_kind<'s>(&'s self, schedule: &mut Schedule<'s>) {
        schedule.add(
            "api server",
            Lane::Free,
            clients_to_build().iter().map(build_step),
            |step| {
                step.at("kind create cluster");
                let (started, fresh) = start::start_kind(self.places, self.name)?;
                self.instance.get_or_init(|| started);
                Ok(if fresh {
                    Outcome::Done(String::new())
                } else {
                    Outcome::Current
                })
            },
        );
        schedule.add("processes", Lane::Free, ["api server"], |_| Ok(Outcome::Current));
    }

    /// Brings an image into the node, unless this very content was brought before.
    pub(super) fn load_image<'s>(&'s self, schedule: &mut Schedule<'s>, image: &Image) {
        let needs = [format!("image {}", image.name), "api server".to_owned()];
        let name = load_step(image.name);
        let image = image.clone();
        schedule.add(name, Lane::Images, needs, move |step| {
            let instance = self.instance()?;
            let record = image
                .record(self.places)
                .with_context(|| format!("{} was not written", image.name))?;
            let before = load::imported(instance).remove(image.reference);
            if before.as_ref() == Some(&record.digest) {
                return Ok(Outcome::Current);
            }
            if self.provider == Provider::Local {
                start::wait_for(instance, "containerd")?;
            }
            step.at(image.reference);
            load::import(instance, &image.archive(self.places))?;
            load::remember(instance, image.reference, &record.digest)?;
            if before.is_some() {
                lock(&self.replaced).insert(image.name);
            }
            Ok(Outcome::Done(String::new()))
        });
    }

    /// For each add-on a step that applies it and, when it runs something, one that waits for it.
    pub(super) fn apply_addons<'s>(&'s self, schedule: &mut Schedule<'s>, all: &'static [Addon]) {
        for addon in all {
            let mut needs = vec!["api server".to_owned()];
            needs.extend(
                addon
                    .images
                    .iter()
                    .map(|image| load_step(image))
                    .filter(|name| schedule.has(name)),
            );
            needs.extend(addon.upstream.map(|upstream| format!("build {upstream}")));
            needs.extend(addon.after.iter().map(|other| format!("apply {other}")));
            let apply = format!("apply {}", addon.name);
            schedule.add(&apply, Lane::Free, needs, |step| {
                addons::apply(addon, self.instance()?, self.places, step)
            });
            if addon.deployment.is_some() {
                schedule.add(
                    ready_step(addon),
                    Lane::Free,
                    [apply.as_str(), "processes"],
                    |step| addons::wait(addon, self.instance()?, self.places, step),
                );
            }
        }
    }

    /// Traffic decides whether this cluster enforces policies.
    pub(super) fn prove_policies<'s>(&'s self, schedule: &mut Schedule<'s>) {
        let needs: Vec<String> = ["pause", "toolbox"]
            .map(load_step)
            .into_iter()
            .filter(|name| schedule.has(name))
            .collect();
        schedule.add(
            "network policies",
            Lane::Free,
            [vec!["processes".to_owned()], needs].concat(),
            |step| policy_proof::prove(self.instance()?, self.places, step),
        );
    }

    /// The chart, after everything it and its resources rely on.
    pub(super) fn install_operator<'s>(&'s self, schedule: &mut Schedule<'s>, after: &[Addon]) {
        let mut needs = vec![
            "network policies".to_owned(),
            load_step(OWN[0]),
            load_step(OWN[1]),
            load_step(OWN[2]),
        ];
        needs.extend(
            after
                .iter()
                .filter(|addon| addon.deployment.is_some())
                .map(ready_step),
        );
        if schedule.has(&build_step(&HELM)) {
            needs.push(build_step(&HELM));
        }
        schedule.add("operator", Lane::Free, needs, |step| {
            let replaced = lock(&self.replaced).clone();
            let instance = self.instance()?;
            let outcome = release::install(instance, self.places, replaced.contains(OWN[0]), step)?;
            if replaced.contains(OWN[1]) {
                release::restart_applications(instance, self.places, step)?;
            }
            Ok(outcome)
        });
    }
}

/// Puts a program beside the others, by renaming: it may be running.
fn install(from: &Path, to: &Path) -> Result<()> {
    let part = to.with_extension("part");
    std::fs::create_dir_all(to.parent().context("a program has a folder")?)?;
    std::fs::copy(from, &part).with_context(|| format!("cannot copy {}", from.display()))?;
    std::fs::rename(&part, to).with_context(|| format!("cannot write {}", to.display()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn build_step(component: &Component) -> String {
    format!("build {}", component.name)
}

fn load_step(image: &str) -> String {
    format!("load {image}")
}

fn ready_step(addon: &Addon) -> String {
    format!("{} ready", addon.name)
}

fn root_filesystem_step(base: &RootFilesystem) -> String {
    format!("root filesystem {}", base.name)
}
