//! The tests, tier by tier: `cargo xtask test`.

mod lifecycle;

use anyhow::{Context, Result, bail};

use crate::cargo::{self, Profile, cargo};
use crate::cli::{Test, TestTier};
use crate::cluster::instance::{CLUSTER, CONTROL_PLANE, Instance, Provider};
use crate::command::Run;
use crate::components::HELM;
use crate::places::Places;
use crate::progress::{Progress, seconds};
use crate::up::{self, Extent};

/// The lifecycle comes before the cluster's own tests, which want a cluster that stays up.
const ORDER: [TestTier; 4] = [
    TestTier::Unit,
    TestTier::ControlPlane,
    TestTier::Lifecycle,
    TestTier::Cluster,
];

/// Runs the tiers that were asked for. One that cannot run fails the whole, unless it was left out by name.
pub(crate) fn run(options: &Test, places: &Places) -> Result<()> {
    let tiers = chosen(options);
    if tiers.is_empty() {
        bail!("nothing is left to run");
    }
    let mut told = Vec::new();
    for tier in ORDER.into_iter().filter(|tier| options.skip.contains(tier)) {
        told.push(format!("  {} tier  left out", name(tier)));
    }
    for tier in tiers {
        println!("── {} tier", name(tier));
        let begun = std::time::Instant::now();
        let result = match tier {
            TestTier::Unit => unit(options, places),
            TestTier::ControlPlane => control_plane(options, places),
            TestTier::Cluster => cluster(options, places),
            TestTier::Lifecycle => lifecycle::run(places),
        };
        result.with_context(|| format!("the {0} tier failed (leave it out: --skip {0})", name(tier)))?;
        told.push(format!(
            "  {} tier  passed in {}",
            name(tier),
            seconds(begun.elapsed())
        ));
    }
    println!("{}", told.join("\n"));
    Ok(())
}

fn chosen(options: &Test) -> Vec<TestTier> {
    ORDER
        .into_iter()
        .filter(|tier| options.tier.is_none_or(|only| only == *tier) && !options.skip.contains(tier))
        .collect()
}

fn name(tier: TestTier) -> &'static str {
    match tier {
        TestTier::Unit => "unit",
        TestTier::ControlPlane => "control-plane",
        TestTier::Cluster => "cluster",
        TestTier::Lifecycle => "lifecycle",
    }
}

/// All packages but the tests that need a cluster, and kind's opinion of its configuration.
fn unit(options: &Test, places: &Places) -> Result<()> {
    let tests = ["test", "--workspace", "--exclude", "medical-tests"];
    cargo(places).args(tests).args(passed_on(options)).visible()?;
    let register = [
        "test",
        "--package",
        "medical-tests",
        "--test",
        "requirements_register",
    ];
    cargo(places).args(register).args(passed_on(options)).visible()?;
    Run::new("go")
        .directory(places.kube().join("kind"))
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=readonly -buildvcs=false")
        .env("GOWORK", "off")
        .args(["test", "./..."])
        .visible()
        .context("kind does not accept kind-config.yaml")
}

fn control_plane(options: &Test, places: &Places) -> Result<()> {
    let instance = up::control_plane(CONTROL_PLANE, places, &Progress::new())?;
    up::judges(places, &Progress::new())?;
    test_inside(&instance, "control_plane", options, places, &[])
}

/// The operator is installed, and no sample: each test makes its own resources in its own namespaces.
fn cluster(options: &Test, places: &Places) -> Result<()> {
    let extent = Extent {
        operator: true,
        sample: false,
    };
    let provider = Instance::recorded(places, CLUSTER)?.map_or(Provider::Local, |instance| instance.provider);
    let (instance, _) = up::cluster(CLUSTER, provider, extent, places, &Progress::new())?;
    up::programs(&[HELM], places, &Progress::new())?;
    // A deployment with its database is a lot for two cores.
    test_inside(&instance, "cluster", options, places, &["--test-threads=3"])?;
    // What disturbs the operator itself disturbs every other test.
    test_inside(
        &instance,
        "cluster",
        options,
        places,
        &["--ignored", "--test-threads=1"],
    )
}

/// Compiles outside, where the registry can be reached, and runs inside, where the cluster can. Tests that start the
/// operator or the kubectl plugin by themselves find them by a variable.
fn test_inside(
    instance: &Instance,
    test: &str,
    options: &Test,
    places: &Places,
    harness: &[&str],
) -> Result<()> {
    const STARTED_BY_TESTS: [(&str, &str); 2] = [
        ("MEDOPS_TEST_OPERATOR", "medical-operator"),
        ("MEDOPS_TEST_KUBECTL_MEDICAL", "kubectl-medical"),
    ];
    let step = Progress::new().step("programs for the tests");
    let packages = STARTED_BY_TESTS.map(|(_, package)| package);
    let (programs, _) = cargo::build(&packages, Profile::Development, places, |line| step.at(line))?;
    step.current();
    let words = ["test", "--package", "medical-tests", "--test", test];
    cargo(places).args(words).arg("--no-run").visible()?;

    let failures = places.cache().join("test-failures");
    let mut run = Run::new("/proc/self/exe")
        .directory(&places.repository)
        .env("MEDOPS_TEST_FAILURES", &failures)
        .args(["in", "--name", &instance.name])
        .arg(cargo::program())
        .args(words)
        .arg("--")
        .args(harness)
        .args(&options.arguments);
    for (variable, package) in STARTED_BY_TESTS {
        run = run.env(variable, programs.path(package)?);
    }
    run.visible()
        .with_context(|| format!("what failing tests left behind is in {}", failures.display()))
}

fn passed_on(options: &Test) -> Vec<String> {
    if options.arguments.is_empty() {
        return Vec::new();
    }
    std::iter::once("--".to_owned())
        .chain(options.arguments.iter().cloned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(tier: Option<TestTier>, skip: &[TestTier]) -> Test {
        Test {
            tier,
            skip: skip.to_vec(),
            arguments: vec![],
        }
    }

    #[test]
    fn without_a_tier_all_run_in_order_but_those_left_out() {
        assert_eq!(chosen(&options(None, &[])), ORDER);
        let left = chosen(&options(None, &[TestTier::Lifecycle, TestTier::Cluster]));
        assert_eq!(left, [TestTier::Unit, TestTier::ControlPlane]);
    }

    #[test]
    fn one_tier_can_run_alone_and_leaving_out_the_only_one_is_an_error() {
        assert_eq!(
            chosen(&options(Some(TestTier::Cluster), &[])),
            [TestTier::Cluster]
        );
        let places = Places::at("/repository", "/cache");
        assert!(run(&options(Some(TestTier::Unit), &[TestTier::Unit]), &places).is_err());
    }
}
