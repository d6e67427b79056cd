//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cluster::forward::{PortPair, Target};
use crate::cluster::instance::{CLUSTER, Provider, Tier};

/// Development tasks: a local Kubernetes, the tests, the generated files.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    after_long_help = "\
FIRST STEPS
  cargo xtask up                   a real Kubernetes, our operator, a sample application
  cargo xtask kubectl get md -A    what the operator says about it
  cargo xtask status               each process of the cluster: well, restarts, log
  cargo xtask down                 everything gone but the cache

The first `up` compiles Kubernetes and its add-ons from pinned Go modules (about 20 minutes on two cores) and \
builds the images; the next ones take a minute. Caches are in ${XDG_CACHE_HOME:-~/.cache}/medical-operator, or \
$MEDOPS_CACHE.

The cluster lives in a network namespace of its own: nothing of it can be reached from outside but through `in` \
and `forward`, and nothing of it reaches the network."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a Kubernetes with everything in it; does only what is missing
    #[command(after_long_help = "\
EXAMPLES
  cargo xtask up                                     cluster, operator, sample
  cargo xtask up --without-operator                  the cluster and its add-ons alone
  cargo xtask up --tier control-plane --name mine    an API server with played nodes
  cargo xtask up --provider kind                     on kind, where a Docker engine runs

Run it again after a change: changed images are imported again and the operator is restarted.")]
    Up(Up),
    /// Stop it and remove every trace but the cache
    Down(Down),
    /// Show each process: pid, uptime, restarts, health, log; fails when one is not well
    Status(Status),
    /// Show the log of a process
    Logs(Logs),
    /// Run a command in the cluster's network, with KUBECONFIG and PATH set
    #[command(after_long_help = "\
EXAMPLES
  cargo xtask in bash
  cargo xtask in curl --cacert ca.crt https://clinic.medical-sample.svc/readyz

Names of Services resolve. The machine's own network cannot be reached from there.")]
    In(In),
    /// Run the cluster's kubectl
    Kubectl(Passed),
    /// Run the cluster's Helm
    Helm(Passed),
    /// Make a Service reachable on this machine's loopback, until interrupted
    #[command(after_long_help = "\
EXAMPLES
  cargo xtask forward svc/clinic -n medical-sample 8443:443
  cargo xtask forward svc/clinic.medical-sample 8443:443
  curl --insecure https://127.0.0.1:8443/readyz")]
    Forward(Forward),
    /// Import an OCI archive into the cluster's image store
    Load(Load),
    /// Build container images as OCI archives, ours or the cluster's; no container engine needed
    Image(Image),
    /// Run the tests, tier by tier
    Test(Test),
    /// Write the generated files, or check that they are up to date
    Generate(Generate),
    /// Hold a cluster together (started by `up`)
    #[command(hide = true)]
    Supervise(Which),
}

/// Which instance.
#[derive(Debug, Clone, Args)]
pub(crate) struct Which {
    /// The instance, when it is not the cluster: the name given to `up --tier control-plane`
    #[arg(long, env = "MEDOPS_INSTANCE_NAME", default_value = CLUSTER)]
    pub(crate) name: String,
}

/// `up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// How much of a cluster
    #[arg(long, value_enum, default_value = "cluster")]
    pub(crate) tier: Tier,
    /// What runs it; kind when it is installed and a Docker engine answers, else this program
    #[arg(long, value_enum)]
    pub(crate) provider: Option<Provider>,
    /// A name, to have several control planes side by side
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Leave out our operator, and with it the sample
    #[arg(long)]
    pub(crate) without_operator: bool,
    /// Leave out the sample application
    #[arg(long)]
    pub(crate) without_sample: bool,
}

/// `down`.
#[derive(Debug, Args)]
pub(crate) struct Down {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Every instance of this machine's cache
    #[arg(long, conflicts_with = "name")]
    pub(crate) all: bool,
}

/// `status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) which: Which,
    /// As JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// `logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    pub(crate) which: Which,
    /// The process, as `status` names it; also `supervisor`, `audit`, `forward-PORT`
    pub(crate) process: String,
    /// Go on as lines come
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// How many of the last lines
    #[arg(short = 'n', long, default_value_t = 200)]
    pub(crate) lines: u32,
}

/// `in`.
#[derive(Debug, Args)]
pub(crate) struct In {
    #[command(flatten)]
    pub(crate) which: Which,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<OsString>,
}

/// `kubectl` and `helm`.
#[derive(Debug, Args)]
pub(crate) struct Passed {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<OsString>,
}

/// `forward`.
#[derive(Debug, Args)]
pub(crate) struct Forward {
    #[command(flatten)]
    pub(crate) which: Which,
    /// svc/NAME or svc/NAME.NAMESPACE
    pub(crate) target: Target,
    /// PORT, or LOCAL:PORT
    pub(crate) ports: PortPair,
    /// The Service's namespace
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,
    /// Leave the terminal's session (used by `up`)
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
}

/// `load`.
#[derive(Debug, Args)]
pub(crate) struct Load {
    #[command(flatten)]
    pub(crate) which: Which,
    /// The archives
    #[arg(required = true)]
    pub(crate) archives: Vec<PathBuf>,
}

/// `image`.
#[derive(Debug, Args)]
pub(crate) struct Image {
    /// Images by name; ours when none is given
    pub(crate) names: Vec<String>,
    /// Only list the names
    #[arg(long)]
    pub(crate) list: bool,
}

/// `test`.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// One tier; all in order when none is given
    #[arg(long, value_enum)]
    pub(crate) tier: Option<TestTier>,
    /// Leave a tier out that cannot run on this machine
    #[arg(long, value_enum)]
    pub(crate) skip: Vec<TestTier>,
    /// Arguments for the test programs
    #[arg(last = true)]
    pub(crate) arguments: Vec<String>,
}

/// A tier of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TestTier {
    /// Everything that needs no cluster
    Unit,
    /// Against an API server with played nodes
    ControlPlane,
    /// Against the whole cluster
    Cluster,
    /// The cluster itself: up and down twice, and nothing left
    Lifecycle,
}

/// `generate`.
#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// Change nothing; fail when a file differs
    #[arg(long)]
    pub(crate) check: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_after_kubectl_are_kubectls() {
        let cli = Cli::try_parse_from(["xtask", "kubectl", "get", "pods", "-A", "--name", "x"]).unwrap();
        let Command::Kubectl(passed) = cli.command else {
            panic!()
        };
        assert_eq!(passed.arguments, ["get", "pods", "-A", "--name", "x"]);
        assert_eq!(passed.which.name, CLUSTER);
    }
}
