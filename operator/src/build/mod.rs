//! The child objects, one file per built kind. Pure: what is built depends on the inputs alone.
//!
//! | module | subject |
//! |---|---|
//! | [`service_account`] [`network_policies`] [`config_map`] [`backup_volume`] [`database`] [`init_job`] [`service`] [`deployment`] [`disruption_budget`] [`autoscaler`] [`backup_cron_jobs`] | the children, in the order of apply |
//! | [`environment`] | variables and mounted files of the application and its init Job |
//! | [`pod`] | the restricted Pod Security standard, volumes |
//! | [`quantities`] | quantities and resources as the API server stores them |
//! | [`checksum`] | checksums that name a Job or roll pods |

pub mod autoscaler;
pub mod backup_cron_jobs;
pub mod backup_volume;
mod checksum;
pub mod config_map;
pub mod database;
pub mod deployment;
pub mod disruption_budget;
pub mod environment;
pub mod init_job;
pub mod network_policies;
mod pod;
mod quantities;
pub mod service;
pub mod service_account;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use medical_crds::{
    MedicalDeployment,
    names::{Component, Names},
    spec::DeletionPolicy,
};

use crate::settings::Settings;

/// An address of the API server, as pods reach it after the Service's translation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiServerAddress {
    /// IP address.
    pub ip: String,
    /// TCP port.
    pub port: i32,
}

/// All that the child objects depend on.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// The resource.
    pub deployment: &'a MedicalDeployment,
    /// Names of its children.
    pub names: Names,
    /// The operator's settings.
    pub settings: &'a Settings,
    /// Addresses of the API server: the Service's and its endpoints'.
    pub api_server: &'a [ApiServerAddress],
    /// Checksum of the data of each Secret that the application's pods mount or read, by the Secret's name. A changed
    /// checksum rolls the pods.
    pub secret_checksums: &'a BTreeMap<String, String>,
}

/// Whether an object is removed together with the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Removed together with the resource.
    Workload,
    /// Holds or guards patient data, or the keys to it: stays unless `deletionPolicy` is Delete.
    Data,
}

impl Inputs<'_> {
    /// Namespace of the resource and of all its children.
    pub fn namespace(&self) -> &str {
        self.deployment.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Metadata of a child.
    pub fn metadata(&self, name: String, component: Component, lifetime: Lifetime) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: self.deployment.metadata.namespace.clone(),
            labels: Some(self.names.labels(component)),
            owner_references: self.owner(lifetime).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        }
    }

    /// The owner reference of a child; none for data that outlives the resource.
    pub fn owner(&self, lifetime: Lifetime) -> Option<OwnerReference> {
        let owned = match lifetime {
            Lifetime::Workload => true,
            Lifetime::Data => self.deployment.spec.deletion_policy == DeletionPolicy::Delete,
        };
        if owned {
            self.deployment.controller_owner_ref(&())
        } else {
            None
        }
    }
}
