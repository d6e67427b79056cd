//! The provider `kind`: a cluster in a Docker engine instead of in a network namespace. Only how a cluster begins,
//! gets images and ends differs; add-ons, chart and sample are the same steps.

use std::path::Path;

use crate::cluster::instance::Instance;
use crate::command::Run;

/// The name of the kind cluster.
const NAME: &str = "medops";

/// A command to run, as its words.
pub(crate) type Words = Vec<String>;

/// Lists the clusters there are, one a line.
pub(crate) fn list() -> Words {
    words(&["kind", "get", "clusters"])
}

/// Creates the cluster from the repository's configuration.
pub(crate) fn create(instance: &Instance, configuration: &Path) -> Words {
    let mut all = words(&[
        "kind", "create", "cluster", "--name", NAME, "--wait", "180s", "--config",
    ]);
    all.push(configuration.display().to_string());
    all.push("--kubeconfig".to_owned());
    all.push(instance.kubeconfig().display().to_string());
    all
}

/// Writes the kubeconfig of a cluster that runs already.
pub(crate) fn adopt(instance: &Instance) -> Words {
    let mut all = words(&["kind", "export", "kubeconfig", "--name", NAME, "--kubeconfig"]);
    all.push(instance.kubeconfig().display().to_string());
    all
}

/// Loads an OCI archive into every node.
pub(crate) fn load(archive: &Path) -> Words {
    let mut all = words(&["kind", "load", "image-archive", "--name", NAME]);
    all.push(archive.display().to_string());
    all
}

/// Deletes the cluster.
pub(crate) fn delete() -> Words {
    words(&["kind", "delete", "cluster", "--name", NAME])
}

/// Whether the list of clusters holds ours.
pub(crate) fn is_listed(clusters: &str) -> bool {
    clusters.lines().any(|line| line.trim() == NAME)
}

/// A planned command, to be run.
pub(crate) fn run(words: &Words) -> Run {
    Run::new(&words[0]).args(&words[1..])
}

/// Whether kind is the provider to choose: it is installed and a Docker engine answers.
pub(crate) fn is_usable() -> bool {
    Run::new("kind").arg("version").succeeds()
        && Run::new("docker")
            .args(["version", "--format", "{{.Server.Version}}"])
            .succeeds()
}

fn words(words: &[&str]) -> Words {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::instance::{CLUSTER, Provider, Tier};
    use crate::places::Places;

    #[test]
    fn the_whole_plan_names_one_cluster_and_one_kubeconfig() {
        let places = Places::at("/repository", "/cache");
        let instance = Instance::new(&places, CLUSTER, Tier::Cluster, Provider::Kind).unwrap();
        let plan = [
            list(),
            create(&instance, Path::new("/repository/kind-config.yaml")),
            adopt(&instance),
            load(Path::new("/cache/images/medical-app.tar")),
            delete(),
        ];
        assert_eq!(
            plan.map(|words| words.join(" ")),
            [
                "kind get clusters",
                "kind create cluster --name medops --wait 180s --config /repository/kind-config.yaml \
                 --kubeconfig /cache/state/pki/admin.kubeconfig",
                "kind export kubeconfig --name medops --kubeconfig /cache/state/pki/admin.kubeconfig",
                "kind load image-archive --name medops /cache/images/medical-app.tar",
                "kind delete cluster --name medops",
            ]
        );
    }

    #[test]
    fn a_cluster_of_a_similar_name_is_not_ours() {
        assert!(is_listed("kind\nmedops\n"));
        assert!(!is_listed("medops-two\n") && !is_listed("No kind clusters found."));
    }
}
