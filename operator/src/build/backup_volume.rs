//! The volume that keeps the dumps.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use medical_crds::names::Component;

use super::{Inputs, Lifetime, quantities};

/// The claim; none while no dumps are made. One that exists already holds dumps and must be kept all the same.
pub fn build(inputs: &Inputs) -> Option<PersistentVolumeClaim> {
    let logical = &inputs.deployment.spec.backup.logical;
    logical.enabled.then(|| PersistentVolumeClaim {
        metadata: inputs.metadata(inputs.names.backup_volume(), Component::Backup, Lifetime::Data),
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([(
                    "storage".to_owned(),
                    quantities::canonical(&logical.storage.size),
                )])),
                ..VolumeResourceRequirements::default()
            }),
            storage_class_name: logical.storage.storage_class.clone(),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    })
}
