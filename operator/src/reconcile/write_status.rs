//! The one writer of status.

use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use medical_crds::{MedicalDeployment, MedicalDeploymentStatus};
use serde_json::json;

use super::apply::ApplyError;
use crate::{per_deployment::PerDeployment, store::Owner, view::hash_of};

/// Field manager of the status.
pub const STATUS_MANAGER: &str = "medical-operator/status";

/// Remembers what was written, because the watch that would tell may be behind: UID of the deployment and hash of its
/// status.
#[derive(Default)]
pub struct StatusMemory(PerDeployment<(String, u64)>);

impl StatusMemory {
    fn is_written(&self, owner: &Owner, uid: &str, status: u64) -> bool {
        let memory = self.0.lock();
        memory
            .get(owner)
            .is_some_and(|(of, written)| of == uid && *written == status)
    }

    /// Forgets a deployment that is gone.
    pub fn forget(&self, owner: &Owner) {
        self.0.forget(owner);
    }
}

/// Writes `status` unless it is what was written before. Returns whether it was written.
pub async fn write(
    client: &Client,
    memory: &StatusMemory,
    owner: &Owner,
    deployment: &MedicalDeployment,
    status: &MedicalDeploymentStatus,
) -> Result<bool, ApplyError> {
    let uid = deployment.metadata.uid.clone().unwrap_or_default();
    if deployment.status.as_ref() == Some(status) {
        return Ok(false);
    }
    let hash = hash_of(&json!(status));
    if memory.is_written(owner, &uid, hash) {
        return Ok(false);
    }
    let api: Api<MedicalDeployment> = Api::namespaced(client.clone(), &owner.namespace);
    let object = json!({
        "apiVersion": "medops.dev/v1alpha1",
        "kind": "MedicalDeployment",
        "metadata": {"name": owner.name, "uid": uid},
        "status": status,
    });
    api.patch_status(
        &owner.name,
        &PatchParams::apply(STATUS_MANAGER).force(),
        &Patch::Apply(&object),
    )
    .await?;
    memory.0.lock().insert(owner.clone(), (uid, hash));
    Ok(true)
}
