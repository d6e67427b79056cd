//! Quantities and container resources in the form in which the API server stores them.
//!
//! The API server rewrites `1000m` to `1` and `1024Mi` to `1Gi`. What is sent in any other form would look like
//! drift for ever (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>).

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::ResourceRequirements as ContainerResources,
    apimachinery::pkg::api::resource::Quantity as ApiQuantity,
};
use medical_crds::{
    quantity::Quantity,
    spec::{ResourceRequirements, Resources},
};

const DECIMAL: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// One gibibyte in bytes.
pub(crate) const GIBIBYTE: i128 = 1 << 30;

/// The quantity as the API server stores it. What is no quantity stays as it is written, for the API server to refuse.
pub(crate) fn canonical(quantity: &Quantity) -> ApiQuantity {
    let Some(milli) = quantity.milli() else {
        return quantity.into();
    };
    // Below 1024 the API server stores the decimal form, to avoid rounding.
    if quantity.as_str().ends_with('i') && milli >= 1_024_000 {
        return binary(bytes(quantity).unwrap_or_default());
    }
    if milli % 1_000 != 0 {
        return ApiQuantity(format!("{milli}m"));
    }
    ApiQuantity(scaled(milli / 1_000, 1_000, DECIMAL))
}

/// A number of bytes in the binary form.
pub(crate) fn binary(bytes: i128) -> ApiQuantity {
    ApiQuantity(scaled(bytes, 1_024, BINARY))
}

/// The bytes of a quantity, rounded up.
pub(crate) fn bytes(quantity: &Quantity) -> Option<i128> {
    quantity
        .milli()
        .map(|milli| milli.div_euclid(1_000) + i128::from(milli.rem_euclid(1_000) != 0))
}

fn scaled(mut number: i128, base: i128, suffixes: [&str; 7]) -> String {
    let mut power = 0;
    while number != 0 && number % base == 0 && power + 1 < suffixes.len() {
        number /= base;
        power += 1;
    }
    format!("{number}{}", suffixes[power])
}

/// CPU, memory and, where it is given, local storage of a container.
pub(crate) fn container(resources: &Resources, storage: Option<LocalStorage>) -> ContainerResources {
    let mut requests = amounts(&resources.requests);
    let mut limits = amounts(&resources.limits);
    if let Some(storage) = storage {
        requests.insert("ephemeral-storage".to_owned(), binary(storage.request));
        limits.insert("ephemeral-storage".to_owned(), binary(storage.limit));
    }
    let some = |map: BTreeMap<String, ApiQuantity>| (!map.is_empty()).then_some(map);
    ContainerResources {
        requests: some(requests),
        limits: some(limits),
        ..ContainerResources::default()
    }
}

/// Local storage of a container: its logs and its temporary volumes, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalStorage {
    /// What the scheduler reserves.
    pub(crate) request: i128,
    /// More than this and the kubelet evicts the pod.
    pub(crate) limit: i128,
}

fn amounts(requirements: &ResourceRequirements) -> BTreeMap<String, ApiQuantity> {
    [("cpu", &requirements.cpu), ("memory", &requirements.memory)]
        .into_iter()
        .filter_map(|(name, amount)| Some((name.to_owned(), canonical(amount.as_ref()?))))
        .collect()
}

/// Resources of a container of ours. Its CPU is limited, because what it does may take longer but must not slow the
/// database that shares the node.
pub(crate) fn bounded(cpu: (&str, &str), memory: (&str, &str), storage: LocalStorage) -> ContainerResources {
    let amount = |cpu: &str, memory: &str| ResourceRequirements {
        cpu: Some(cpu.into()),
        memory: Some(memory.into()),
    };
    let resources = Resources {
        requests: amount(cpu.0, memory.0),
        limits: amount(cpu.1, memory.1),
    };
    container(&resources, Some(storage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_written_as_the_api_server_stores_it() {
        for (written, stored) in [
            ("500m", "500m"),
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1.0", "1"),
            ("2", "2"),
            ("1500000", "1500k"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("10Gi", "10Gi"),
            ("1000M", "1G"),
            ("128M", "128M"),
            ("0.5Ki", "512"),
            ("1Ki", "1Ki"),
            ("0", "0"),
        ] {
            assert_eq!(canonical(&written.into()).0, stored, "{written}");
        }
    }
}
