//! checkov: the policies of a vulnerability scanner, over the manifests and over the chart as Helm renders it.

use std::{fs, path::Path};

use medical_tests::commands::run;
use serde_json::Value;

use super::{
    Manifests, OPERATOR_NAMESPACE, REPOSITORY, children_of_samples, children_with, installations, samples,
};

/// Findings that stay: the check, a part of the resources' names, and the reason.
const EXPLAINED: [(&str, &str, &str); 9] = [
    (
        "CKV_K8S_11",
        "",
        "a CPU limit throttles and makes requests slow; memory, which cannot be throttled, is limited",
    ),
    (
        "CKV_K8S_14",
        "Deployment.clinic.wound-notes",
        "the sample shows the wiring with an image that is on every machine; production refuses the tag",
    ),
    (
        "CKV_K8S_15",
        "",
        "tags are never reused; the chart's values and defaults.imagePullPolicy choose to pull always",
    ),
    (
        "CKV_K8S_21",
        "Role.default.medical-operator-system-",
        "the addresses of the API server are written in this namespace, and the Role reads no more than these",
    ),
    (
        "CKV_K8S_21",
        "RoleBinding.default.medical-operator-system-",
        "it binds the Role that reads the API server's addresses, which are written in this namespace",
    ),
    (
        "CKV_K8S_35",
        "Deployment.clinic.wound-notes",
        "the sample's image is somebody else's and reads variables; the reference application reads files",
    ),
    (
        "CKV_K8S_38",
        "Deployment.medical-operator-system.",
        "the operator talks to the API server; no other pod of the project gets a token",
    ),
    (
        "CKV_K8S_40",
        "-backup-",
        "26 is the user of every CloudNativePG operand image, in whose pods dumps are made",
    ),
    (
        "CKV_K8S_43",
        "",
        "a version is named; `image.tag`, the defaults and every image of the resource take a digest behind it",
    ),
];

/// A policy that a resource breaks.
struct Finding {
    check: String,
    resource: String,
    /// The policy's name and the file.
    text: String,
}

/// What checkov, as it is called by `command`, finds below a folder.
fn findings(command: &[&str], folder: &Path) -> Vec<Finding> {
    let folder = folder.to_str().expect("a path");
    let mut arguments = command.to_vec();
    arguments.extend([
        "--directory",
        folder,
        "--skip-download",
        "--soft-fail",
        "--compact",
        "--quiet",
    ]);
    arguments.extend(["--output", "json"]);
    let answer = run("env", &arguments);
    let answer: Value = serde_json::from_str(&answer.expect("checkov judges")).expect("JSON");
    let summary = &answer["summary"];
    assert!(
        summary["passed"].as_u64() > Some(0),
        "checkov judged nothing: {answer}"
    );
    assert_eq!(summary["parsing_errors"], 0, "{answer}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    answer["results"]["failed_checks"]
        .as_array()
        .expect("findings")
        .iter()
        .map(|finding| Finding {
            check: text(&finding["check_id"]),
            resource: text(&finding["resource"]),
            text: format!(
                "{} in {}",
                text(&finding["check_name"]),
                text(&finding["file_path"])
            ),
        })
        .collect()
}

/// What checkov finds in manifests.
fn findings_in(manifests: impl IntoIterator<Item = Manifests>) -> Vec<Finding> {
    // checkov passes over folders with a dot before their name, as those of `tempdir` are.
    let folder = tempfile::Builder::new()
        .prefix("manifests")
        .tempdir()
        .expect("a folder");
    for (number, manifests) in manifests.into_iter().enumerate() {
        let file = format!("{number} {}.yaml", manifests.name);
        fs::write(folder.path().join(file), manifests.text).expect("written");
    }
    findings(&["checkov", "--framework", "kubernetes"], folder.path())
}

fn explains(explained: &(&str, &str, &str), finding: &Finding) -> bool {
    let (check, resource, _) = explained;
    finding.check == *check && finding.resource.contains(resource)
}

/// Those that no reason explains, one line each.
fn unexplained(findings: &[Finding]) -> Vec<String> {
    findings
        .iter()
        .filter(|finding| !EXPLAINED.iter().any(|explained| explains(explained, finding)))
        .map(|finding| format!("{} {}: {}", finding.check, finding.resource, finding.text))
        .collect()
}

#[test]
fn checkov_finds_nothing_unexplained_in_anything_shipped_and_every_reason_is_still_needed() {
    let shipped = installations()
        .into_iter()
        .chain(samples())
        .chain(children_of_samples());
    let findings = findings_in(shipped);
    assert_eq!(unexplained(&findings), Vec::<String>::new());
    let idle: Vec<_> = EXPLAINED
        .iter()
        .filter(|explained| !findings.iter().any(|finding| explains(explained, finding)))
        .collect();
    assert!(idle.is_empty(), "these explain nothing any more: {idle:?}");
}

#[test]
fn checkov_finds_nothing_unexplained_in_the_chart_as_helm_renders_it() {
    let chart = Path::new(REPOSITORY).join("charts/medical-operator");
    let namespace = format!("HELM_NAMESPACE={OPERATOR_NAMESPACE}");
    let findings = findings(&[&namespace, "checkov", "--framework", "helm"], &chart);
    assert_eq!(unexplained(&findings), Vec::<String>::new());
}

#[test]
fn checkov_does_find_what_is_wrong() {
    let worse = Manifests {
        name: "a fault".to_owned(),
        text: children_with(
            "allowPrivilegeEscalation: false",
            "allowPrivilegeEscalation: true",
        ),
    };
    let found = unexplained(&findings_in([worse]));
    assert!(
        found.iter().any(|finding| finding.starts_with("CKV_K8S_20 ")),
        "{found:?}"
    );
}
