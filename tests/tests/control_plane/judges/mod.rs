//! What judges that nobody here wrote say of all that is shipped: the chart, the manifest for `kubectl apply`, the
//! samples and their children.

mod checkov;
mod kube_score;
mod kubeconform;

use medical_tests::commands::{kubectl_medical, run};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Namespaces of the operator and of the samples, as the README has them.
const OPERATOR_NAMESPACE: &str = "medical-operator-system";
const SAMPLE_NAMESPACE: &str = "clinic";

/// Values of the chart: none, and those under which every object and every optional part of one is made.
const VALUES: [(&str, &str); 2] = [
    ("as it comes", ""),
    (
        "with everything",
        "replicas=2,imagePullSecrets[0].name=registry,priorityClassName=system-cluster-critical,nodeSelector.disk=ssd,\
         tolerations[0].operator=Exists,networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring,\
         serviceMonitor.enabled=true,serviceMonitor.labels.release=prometheus",
    ),
];

/// A stream of YAML documents.
struct Manifests {
    /// What it is, in a file's name and in a finding.
    name: String,
    text: String,
}

/// The chart under each set of values, and `manifests/install.yaml`.
fn installations() -> Vec<Manifests> {
    let chart = format!("{REPOSITORY}/charts/medical-operator");
    let mut found: Vec<Manifests> = VALUES
        .iter()
        .map(|(name, values)| {
            let arguments = [
                "template",
                "medical-operator",
                &chart,
                "-n",
                OPERATOR_NAMESPACE,
                "--set",
                values,
            ];
            Manifests {
                name: format!("chart {name}"),
                text: run("helm", &arguments).expect("the chart renders"),
            }
        })
        .collect();
    found.push(Manifests {
        name: "install.yaml".to_owned(),
        text: std::fs::read_to_string(format!("{REPOSITORY}/manifests/install.yaml")).expect("a file"),
    });
    found
}

/// The files in `manifests/samples`.
fn samples() -> Vec<Manifests> {
    let folder = std::fs::read_dir(format!("{REPOSITORY}/manifests/samples")).expect("samples");
    folder
        .map(|file| {
            let file = file.expect("a file");
            Manifests {
                name: file.file_name().into_string().expect("a name"),
                text: std::fs::read_to_string(file.path()).expect("a sample"),
            }
        })
        .collect()
}

/// What the operator makes of a resource.
fn children(resource: &str) -> String {
    kubectl_medical(&["render", "-n", SAMPLE_NAMESPACE, "-f", "-"], resource).expect("rendered")
}

/// What the operator makes of each sample.
fn children_of_samples() -> Vec<Manifests> {
    samples()
        .into_iter()
        .map(|sample| Manifests {
            name: format!("children of {}", sample.name),
            text: children(&sample.text),
        })
        .collect()
}

/// The children of the least resource there is, with one place of them changed.
fn children_with(right: &str, wrong: &str) -> String {
    let resource =
        "apiVersion: medops.dev/v1alpha1\nkind: MedicalDeployment\nmetadata: {name: clinic}\nspec: {}\n";
    let children = children(resource);
    assert!(children.contains(right), "no child has {right}");
    children.replace(right, wrong)
}
