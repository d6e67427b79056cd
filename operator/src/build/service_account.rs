//! The `ServiceAccounts`. None carries a token: no pod of a deployment talks to the API server.

use k8s_openapi::api::core::v1::ServiceAccount;
use medical_crds::names::Component;

use super::{Inputs, Lifetime};

/// `ServiceAccounts` of the application (with its init Job) and, when dumps are made, of the backup pods.
pub fn build(inputs: &Inputs) -> Vec<ServiceAccount> {
    let mut accounts = vec![account(inputs, inputs.names.app(), Component::App)];
    if inputs.deployment.spec.backup.logical.enabled {
        accounts.push(account(
            inputs,
            inputs.names.backup_service_account(),
            Component::Backup,
        ));
    }
    accounts
}

fn account(inputs: &Inputs, name: String, component: Component) -> ServiceAccount {
    ServiceAccount {
        metadata: inputs.metadata(name, component, Lifetime::Workload),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
