//! kube-score: good practice of workloads and of what guards them.

use medical_tests::commands::run_with_input;

use super::{children_of_samples, children_with, installations};

/// Findings that stay, each with the reason.
const EXPLAINED: [(&str, &str); 7] = [
    (
        "ImagePullPolicy is not set to Always",
        "tags are never reused; the chart's values and defaults.imagePullPolicy choose otherwise",
    ),
    (
        "CPU limit is not set",
        "throttling makes requests slow; memory, which cannot be throttled, is limited",
    ),
    (
        "running with a low user ID",
        "26 is the user of every CloudNativePG operand image, in whose pods dumps are made",
    ),
    (
        "running with a low group ID",
        "26 is the group of every CloudNativePG operand image, in whose pods dumps are made",
    ),
    (
        "The NetworkPolicys selector doesn't match any pods",
        "it matches the pods that CloudNativePG makes, which no manifest holds",
    ),
    (
        "Deployment few replicas",
        "one operator is enough: a standby would wait for the Lease; `replicas` in the chart's values adds them",
    ),
    (
        "wound-notes/clinic apps/v1/Deployment: (app) Image with latest tag",
        "the sample shows the wiring with an image that is on every machine; production refuses the tag",
    ),
];

/// The findings of kube-score that no reason explains.
fn unexplained(manifests: &str) -> Vec<String> {
    let found = run_with_input(
        "sh",
        &["-c", "kube-score score --output-format ci - || true"],
        manifests,
    )
    .expect("kube-score judges");
    assert!(found.contains("[OK]"), "kube-score judged nothing: {found}");
    found
        .lines()
        .filter(|line| line.starts_with("[CRITICAL]") || line.starts_with("[WARNING]"))
        .filter(|line| !EXPLAINED.iter().any(|(finding, _)| line.contains(finding)))
        .map(str::to_owned)
        .collect()
}

#[test]
fn kube_score_finds_nothing_unexplained_in_any_installation() {
    for manifests in installations() {
        assert_eq!(
            unexplained(&manifests.text),
            Vec::<String>::new(),
            "{}",
            manifests.name
        );
    }
}

#[test]
fn kube_score_finds_nothing_unexplained_in_the_children_of_any_sample() {
    for manifests in children_of_samples() {
        assert_eq!(
            unexplained(&manifests.text),
            Vec::<String>::new(),
            "{}",
            manifests.name
        );
    }
}

#[test]
fn kube_score_does_find_what_is_wrong() {
    let worse = children_with("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false");
    assert!(!unexplained(&worse).is_empty());
}
