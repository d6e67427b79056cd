//! A resource and all that its plan depends on.

use std::collections::BTreeMap;

use medical_crds::{MedicalDeployment, names::Names};
use medical_operator::{
    build::{ApiServerAddress, Inputs},
    reconcile::plan::{Child, plan},
    settings::Settings,
};
use serde_json::Value;

/// A resource and all that its plan depends on.
#[derive(Clone)]
pub struct Sample {
    pub deployment: MedicalDeployment,
    pub settings: Settings,
    pub api_server: Vec<ApiServerAddress>,
    pub secret_checksums: BTreeMap<String, String>,
}

impl Sample {
    /// The resource `clinic` with this spec, on a cluster where every Secret is there.
    pub fn new(spec: Value) -> Self {
        let mut deployment = MedicalDeployment::new("clinic", serde_json::from_value(spec).expect("a spec"));
        deployment.metadata.namespace = Some("medical-sample".to_owned());
        deployment.metadata.uid = Some("11111111-2222-3333-4444-555555555555".to_owned());
        let secrets = [
            "db-owner",
            "db-app",
            "db-backup",
            "db-ca",
            "keys",
            "generated",
            "ca",
            "tls",
            "backup-key",
        ];
        Self {
            deployment,
            settings: Settings {
                app_image: "docker.io/medops/medical-app:1.2.3".to_owned(),
                backup_image: "docker.io/medops/medical-backup:1.2.3".to_owned(),
                ..Settings::default()
            },
            api_server: vec![address("10.96.0.1", 443), address("172.31.255.1", 6443)],
            secret_checksums: secrets
                .iter()
                .map(|suffix| (format!("clinic-{suffix}"), format!("checksum of {suffix}")))
                .collect(),
        }
    }

    pub fn inputs(&self) -> Inputs<'_> {
        Inputs {
            deployment: &self.deployment,
            names: Names::of("clinic"),
            settings: &self.settings,
            api_server: &self.api_server,
            secret_checksums: &self.secret_checksums,
        }
    }

    pub fn plan(&self) -> Vec<Child> {
        plan(&self.inputs())
    }
}

fn address(ip: &str, port: i32) -> ApiServerAddress {
    ApiServerAddress {
        ip: ip.to_owned(),
        port,
    }
}
