//! `cargo xtask up`: from whatever is there to a cluster that is ready.

use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result};

use crate::cli;
use crate::cluster::addons::{self, Addon};
use crate::cluster::instance::{CLUSTER, CONTROL_PLANE, Instance, Tier};
use crate::cluster::{load, policy_proof, start};
use crate::components::{self, COMPONENTS, Component, ETCD, HELM, KUBE_ROUTER, KUBERNETES, KWOK};
use crate::images::build::OwnPrograms;
use crate::images::rootfs::RootFilesystem;
use crate::images::table::{self, Image, OWN};
use crate::places::Places;
use crate::progress::Progress;
use crate::schedule::{Lane, Outcome, Schedule};
use crate::surroundings;

const NOTHING: [&str; 0] = [];

/// Starts what is missing.
pub(crate) fn up(options: &cli::Up, places: &Places, progress: &Progress) -> Result<()> {
    match options.tier {
        Tier::Cluster => cluster(options, places, progress),
        Tier::ControlPlane => {
            control_plane(options.name.as_deref().unwrap_or(CONTROL_PLANE), places, progress).map(drop)
        }
    }
}

fn cluster(options: &cli::Up, places: &Places, progress: &Progress) -> Result<()> {
    let name = options.name.as_deref().unwrap_or(CLUSTER);
    surroundings::check_cluster(places)?;
    let images: Vec<Image> = table::images()
        .into_iter()
        .filter(|image| !image.is_own() || !options.without_operator)
        .collect();
    let instance = OnceLock::new();
    let own = Mutex::new(OwnPrograms::default());
    let mut schedule = Schedule::default();

    let mut components = vec![KUBERNETES, ETCD, KUBE_ROUTER, HELM];
    components.extend(images.iter().flat_map(Image::components));
    add_components(&mut schedule, &components, places);
    add_images(&mut schedule, &images, &own, places);
    let needs = [KUBERNETES, ETCD, KUBE_ROUTER];
    add_processes(&mut schedule, name, Tier::Cluster, &needs, &instance, places);
    for image in &images {
        add_import(&mut schedule, image, &instance, places);
    }
    add_addons(&mut schedule, addons::ON_CLUSTER, &instance, places);
    schedule.add(
        "network policies",
        Lane::Free,
        ["processes", "load pause", "load toolbox"],
        |step| policy_proof::prove(there(&instance)?, places, step),
    );
    schedule.run(progress)?;
    Ok(())
}

/// Starts a control plane with played nodes.
pub(crate) fn control_plane(name: &str, places: &Places, progress: &Progress) -> Result<Instance> {
    let instance = OnceLock::new();
    let mut schedule = Schedule::default();
    add_components(
        &mut schedule,
        &[KUBERNETES, ETCD, KWOK, components::CLOUDNATIVE_PG],
        places,
    );
    let needs = [KUBERNETES, ETCD, KWOK];
    add_processes(&mut schedule, name, Tier::ControlPlane, &needs, &instance, places);
    add_addons(&mut schedule, addons::ON_CONTROL_PLANE, &instance, places);
    schedule.run(progress)?;
    instance.into_inner().context("nothing was started")
}

/// `cargo xtask image`.
pub(crate) fn images(options: &cli::Image, places: &Places, progress: &Progress) -> Result<()> {
    let all = table::images();
    if options.list {
        for image in &all {
            println!("{:24} {}", image.name, image.reference);
        }
        return Ok(());
    }
    let wanted: Vec<Image> = if options.names.is_empty() {
        all.into_iter().filter(Image::is_own).collect()
    } else {
        let find = |name: &String| {
            table::image(name)
                .with_context(|| format!("no image is named {name}; see: cargo xtask image --list"))
        };
        options.names.iter().map(find).collect::<Result<_>>()?
    };
    let own = Mutex::new(OwnPrograms::default());
    let mut schedule = Schedule::default();
    let components: Vec<Component> = wanted.iter().flat_map(Image::components).collect();
    add_components(&mut schedule, &components, places);
    add_images(&mut schedule, &wanted, &own, places);
    schedule.run(progress)?;
    for image in &wanted {
        let record = image
            .record(places)
            .with_context(|| format!("{} was not written", image.name))?;
        println!(
            "{}\n  {}\n  {}\n  {:.1} MB, {:.1} MB above its base",
            record.reference,
            image.archive(places).display(),
            record.digest,
            megabytes(record.bytes),
            megabytes(record.above_base),
        );
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a size for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn there(instance: &OnceLock<Instance>) -> Result<&Instance> {
    instance.get().context("no instance was started")
}

/// One build step for each component, in the order of the table.
fn add_components<'a>(schedule: &mut Schedule<'a>, wanted: &[Component], places: &'a Places) {
    let names: BTreeSet<&str> = wanted.iter().map(|component| component.name).collect();
    for component in COMPONENTS
        .iter()
        .filter(|component| names.contains(component.name))
    {
        schedule.add(build_step(component), Lane::Go, NOTHING, |step| {
            components::build(component, places, step)
        });
    }
}

fn add_images<'a>(
    schedule: &mut Schedule<'a>,
    images: &[Image],
    own: &'a Mutex<OwnPrograms>,
    places: &'a Places,
) {
    if images.iter().any(Image::is_own) {
        schedule.add("our programs", Lane::Cargo, NOTHING, move |step| {
            let (built, compiled) = OwnPrograms::build(&OWN, places, step)?;
            *own.lock().unwrap_or_else(PoisonError::into_inner) = built;
            Ok(if compiled {
                Outcome::Done(OWN.join(", "))
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
                schedule.add(&name, Lane::Debian, NOTHING, move |step| base.make(places, step));
            }
            needs.push(name);
        }
        if image.is_own() {
            needs.push("our programs".to_owned());
        }
        let step_name = format!("image {}", image.name);
        let image = image.clone();
        schedule.add(step_name, Lane::Images, needs, move |step| {
            image.make(places, &own.lock().unwrap_or_else(PoisonError::into_inner), step)
        });
    }
}

fn build_step(component: &Component) -> String {
    format!("build {}", component.name)
}

fn root_filesystem_step(base: &RootFilesystem) -> String {
    format!("root filesystem {}", base.name)
}

/// Two steps: `api`, as soon as the API server answers, and `processes`, when all are well.
fn add_processes<'a>(
    schedule: &mut Schedule<'a>,
    name: &'a str,
    tier: Tier,
    needs: &[Component],
    instance: &'a OnceLock<Instance>,
    places: &'a Places,
) {
    let fresh = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_fresh = fresh.clone();
    schedule.add(
        "api server",
        Lane::Free,
        needs.iter().map(build_step),
        move |step| {
            step.at("starting");
            let (started, fresh) = start::start(places, name, tier)?;
            is_fresh.store(fresh, std::sync::atomic::Ordering::Relaxed);
            let started = instance.get_or_init(|| started);
            start::wait_for(started, "kube-apiserver")?;
            Ok(if fresh {
                Outcome::Done(String::new())
            } else {
                Outcome::Current
            })
        },
    );
    schedule.add("processes", Lane::Free, ["api server"], move |step| {
        start::wait_until_well(
            there(instance)?,
            fresh.load(std::sync::atomic::Ordering::Relaxed),
            step,
        )
    });
}

fn add_import<'a>(
    schedule: &mut Schedule<'a>,
    image: &Image,
    instance: &'a OnceLock<Instance>,
    places: &'a Places,
) {
    let needs = [format!("image {}", image.name), "api server".to_owned()];
    let step_name = format!("load {}", image.name);
    let image = image.clone();
    schedule.add(step_name, Lane::Images, needs, move |step| {
        let instance = there(instance)?;
        let record = image
            .record(places)
            .with_context(|| format!("{} was not written", image.name))?;
        if load::imported(instance).get(image.reference) == Some(&record.digest) {
            return Ok(Outcome::Current);
        }
        start::wait_for(instance, "containerd")?;
        step.at(image.reference);
        load::import(instance, &image.archive(places))?;
        load::remember(instance, image.reference, &record.digest)?;
        Ok(Outcome::Done(String::new()))
    });
}

fn add_addons<'a>(
    schedule: &mut Schedule<'a>,
    all: &'static [Addon],
    instance: &'a OnceLock<Instance>,
    places: &'a Places,
) {
    for addon in all {
        let mut needs = vec!["api server".to_owned()];
        needs.extend(addon.images.iter().map(|image| format!("load {image}")));
        if let Some(upstream) = addon.upstream {
            needs.push(format!("build {upstream}"));
        }
        let apply = format!("apply {}", addon.name);
        schedule.add(&apply, Lane::Free, needs, |step| {
            addons::apply(addon, there(instance)?, places, step)
        });
        if addon.deployment.is_some() {
            schedule.add(
                format!("{} ready", addon.name),
                Lane::Free,
                [apply.as_str(), "processes"],
                |step| addons::wait(addon, there(instance)?, places, step),
            );
        }
    }
}
