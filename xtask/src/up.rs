//! `cargo xtask up`: from whatever is there to a cluster that is ready.

mod steps;
mod summary;

use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use crate::checkov;
use crate::cli;
use crate::cluster::addons;
use crate::cluster::forward::{self, PortPair};
use crate::cluster::instance::{CLUSTER, CONTROL_PLANE, Instance, Provider, Tier};
use crate::cluster::release::{self, SAMPLE, SAMPLE_NAMESPACE};
use crate::cluster::sample_user;
use crate::command;
use crate::components::{
    CLOUDNATIVE_PG, Component, ETCD, HELM, KUBE_ROUTER, KUBE_SCORE, KUBECONFORM, KUBERNETES, KWOK,
};
use crate::images::table::{self, Image};
use crate::kind;
use crate::lock::{self, Lock};
use crate::places::Places;
use crate::progress::Progress;
use crate::schedule::{Lane, Outcome, Schedule};
use crate::surroundings;

/// Where the sample is reached on this machine.
const SAMPLE_PORTS: PortPair = PortPair {
    local: 8443,
    service: 443,
};

/// How much of the cluster tier is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Our operator, by its chart.
    pub(crate) operator: bool,
    /// A resource for it, with a user who can log in.
    pub(crate) sample: bool,
}

/// Starts what is missing.
pub(crate) fn up(options: &cli::Up, places: &Places, progress: &Progress) -> Result<()> {
    let begun = std::time::Instant::now();
    match options.tier {
        Tier::Cluster => {
            let name = options.name.as_deref().unwrap_or(CLUSTER);
            let extent = Extent {
                operator: !options.without_operator,
                sample: !options.without_operator && !options.without_sample,
            };
            let provider = match options.provider {
                Some(provider) => provider,
                None => provider(places)?,
            };
            // A name that cannot be is said before the work.
            Instance::new(places, name, options.tier, provider)?;
            let (instance, user) = cluster(name, provider, extent, places, progress)?;
            progress.say(&summary::cluster(
                &instance,
                extent,
                user.as_ref(),
                SAMPLE_PORTS.local,
                begun.elapsed(),
            ));
        }
        Tier::ControlPlane => {
            if options.provider == Some(Provider::Kind) {
                bail!(
                    "kind brings nodes; the control-plane tier has none. Leave out one of --provider and --tier"
                );
            }
            let instance = control_plane(options.name.as_deref().unwrap_or(CONTROL_PLANE), places, progress)?;
            progress.say(&summary::control_plane(&instance, begun.elapsed()));
        }
    }
    Ok(())
}

/// The provider of what is up already; else kind where it is usable, else this program.
fn provider(places: &Places) -> Result<Provider> {
    Ok(match Instance::recorded(places, CLUSTER)? {
        Some(instance) => instance.provider,
        None if kind::is_usable() => Provider::Kind,
        None => Provider::Local,
    })
}

/// Starts what is missing of the cluster tier.
pub(crate) fn cluster(
    name: &str,
    provider: Provider,
    extent: Extent,
    places: &Places,
    progress: &Progress,
) -> Result<(Instance, Option<sample_user::Login>)> {
    let images = wanted_images(provider, extent);
    let mut components = vec![];
    match provider {
        Provider::Local => components.extend([KUBERNETES, ETCD, KUBE_ROUTER, HELM]),
        Provider::Kind => components.extend(steps::clients_to_build()),
    }
    components.extend(images.iter().flat_map(Image::components));
    match provider {
        Provider::Local => surroundings::check_cluster(&components, places, progress)?,
        Provider::Kind => surroundings::check_kind(&components, places)?,
    }

    let _lock = instance_lock(name, places, progress)?;
    let stage = steps::Stage::new(name, Tier::Cluster, provider, places);
    let login = OnceLock::new();
    let mut schedule = Schedule::default();
    stage.build_components(&mut schedule, &components);
    stage.make_images(&mut schedule, &images, extent.sample);
    match provider {
        Provider::Local => stage.start_processes(&mut schedule, &[KUBERNETES, ETCD, KUBE_ROUTER]),
        Provider::Kind => stage.start_kind(&mut schedule),
    }
    for image in &images {
        stage.load_image(&mut schedule, image);
    }
    let wanted = if provider == Provider::Kind {
        addons::ON_KIND
    } else {
        addons::ON_CLUSTER
    };
    stage.apply_addons(&mut schedule, wanted);
    stage.prove_policies(&mut schedule);
    if extent.operator {
        stage.install_operator(&mut schedule, wanted);
    }
    if extent.sample {
        schedule.add(
            "sample",
            Lane::Free,
            ["operator", "load postgresql", "load medical-app"],
            |step| release::sample(stage.instance()?, places, step),
        );
        schedule.add("user", Lane::Free, ["sample"], |step| {
            let (made, outcome) = sample_user::ensure(stage.instance()?, places, step)?;
            login.get_or_init(|| made);
            Ok(outcome)
        });
        schedule.add("forward", Lane::Free, ["sample"], |_| {
            forward::in_background(
                stage.instance()?,
                &format!("svc/{SAMPLE}.{SAMPLE_NAMESPACE}"),
                SAMPLE_PORTS,
            )?;
            Ok(Outcome::Current)
        });
    }
    schedule.run(progress, command::interrupt)?;
    Ok((stage.into_instance()?, login.into_inner()))
}

/// One command at a time starts or stops an instance.
pub(crate) fn instance_lock(name: &str, places: &Places, progress: &Progress) -> Result<Lock> {
    lock::take(&places.locks(), &format!("instance-{name}"), || {
        progress.say(&format!("another command starts or stops {name}; waiting for it"));
    })
}

/// A bare cluster needs no image of ours; kind brings its own pause, DNS and volumes.
fn wanted_images(provider: Provider, extent: Extent) -> Vec<Image> {
    const BROUGHT_BY_KIND: [&str; 3] = ["pause", "coredns", "local-path-provisioner"];
    table::images()
        .into_iter()
        .filter(|image| extent.operator || !image.is_own())
        .filter(|image| provider == Provider::Local || !BROUGHT_BY_KIND.contains(&image.name))
        .collect()
}

/// Starts what is missing of a control plane with played nodes.
pub(crate) fn control_plane(name: &str, places: &Places, progress: &Progress) -> Result<Instance> {
    let components = [KUBERNETES, ETCD, KWOK, CLOUDNATIVE_PG];
    surroundings::check_control_plane(&components, places)?;
    let _lock = instance_lock(name, places, progress)?;
    let stage = steps::Stage::new(name, Tier::ControlPlane, Provider::Local, places);
    let mut schedule = Schedule::default();
    stage.build_components(&mut schedule, &components);
    stage.start_processes(&mut schedule, &[KUBERNETES, ETCD, KWOK]);
    stage.apply_addons(&mut schedule, addons::ON_CONTROL_PLANE);
    schedule.add("our types", Lane::Free, ["api server"], |_| {
        release::apply_types(stage.instance()?, places)
    });
    schedule.run(progress, command::interrupt)?;
    stage.into_instance()
}

/// Builds programs that need no cluster.
pub(crate) fn programs(components: &[Component], places: &Places, progress: &Progress) -> Result<()> {
    surroundings::check_control_plane(components, places)?;
    let stage = steps::Stage::new(CONTROL_PLANE, Tier::ControlPlane, Provider::Local, places);
    let mut schedule = Schedule::default();
    stage.build_components(&mut schedule, components);
    schedule.run(progress, command::interrupt).map(drop)
}

/// Builds and installs the programs that judge manifests.
pub(crate) fn judges(places: &Places, progress: &Progress) -> Result<()> {
    programs(&[HELM, KUBECONFORM, KUBE_SCORE], places, progress)?;
    if !checkov::is_current(places)? {
        surroundings::check_python(progress)?;
    }
    let mut schedule = Schedule::default();
    let needs: [&str; 0] = [];
    schedule.add(checkov::NAME, Lane::Free, needs, |step| {
        checkov::install(places, step)
    });
    schedule.run(progress, command::interrupt).map(drop)
}

/// `cargo xtask image`.
pub(crate) fn images(options: &cli::Image, places: &Places, progress: &Progress) -> Result<()> {
    let all = table::images();
    if options.list {
        for image in &all {
            println!(
                "{:24} {}",
                image.name,
                image.references().collect::<Vec<_>>().join(", ")
            );
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
    let components: Vec<Component> = wanted.iter().flat_map(Image::components).collect();
    let stage = steps::Stage::new(CLUSTER, Tier::Cluster, Provider::Local, places);
    let mut schedule = Schedule::default();
    stage.build_components(&mut schedule, &components);
    stage.make_images(&mut schedule, &wanted, false);
    schedule.run(progress, command::interrupt)?;
    for image in &wanted {
        let record = image
            .record(places)
            .with_context(|| format!("{} was not written", image.name))?;
        println!(
            "{}\n  {}\n  {}\n  {} MB, {} MB above its base",
            record.reference,
            image.archive(places).display(),
            record.digest,
            record.bytes.div_ceil(1_000_000),
            record.above_base.div_ceil(1_000_000),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(provider: Provider, operator: bool) -> Vec<&'static str> {
        wanted_images(
            provider,
            Extent {
                operator,
                sample: false,
            },
        )
        .iter()
        .map(|image| image.name)
        .collect()
    }

    #[test]
    fn a_bare_cluster_needs_nothing_that_cargo_builds() {
        assert!(
            !names(Provider::Local, false)
                .iter()
                .any(|name| name.starts_with("medical-"))
        );
        assert!(names(Provider::Local, true).contains(&"medical-operator"));
    }

    #[test]
    fn kind_gets_only_the_images_it_does_not_bring() {
        let names = names(Provider::Kind, true);
        assert!(
            !names.contains(&"coredns")
                && names.contains(&"cloudnative-pg")
                && names.contains(&"medical-app")
        );
    }
}
