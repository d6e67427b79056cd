//! The plan: every child object that a resource asks for. Pure.

use serde::Serialize;
use serde_json::Value;

use crate::{
    build::{
        Inputs, Lifetime, autoscaler, backup_cron_jobs, backup_volume, config_map, database, deployment,
        disruption_budget, init_job, network_policies, service, service_account,
    },
    kinds::Kind,
};

/// A child object that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Whether it is removed together with the resource.
    pub lifetime: Lifetime,
    /// The whole object: apiVersion, kind, metadata and what is wanted; no status, no null, no empty list or map.
    pub object: Value,
}

/// All children, in the order of [`crate::kinds::ALL`]. Secrets are not among them: their values cannot be planned, they are
/// generated once.
pub fn plan(inputs: &Inputs) -> Vec<Child> {
    use Lifetime::{Data, Workload};
    let mut children = Vec::new();
    let mut add = |kind: Kind, lifetime: Lifetime, object: Value| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        children.push(Child {
            kind,
            name,
            lifetime,
            object,
        });
    };
    for account in service_account::build(inputs) {
        add(Kind::ServiceAccount, Workload, object(&account));
    }
    for (lifetime, policy) in network_policies::build(inputs) {
        add(Kind::NetworkPolicy, lifetime, object(&policy));
    }
    if let Some(config) = config_map::build(inputs) {
        add(Kind::ConfigMap, Workload, object(&config));
    }
    if let Some(volume) = backup_volume::build(inputs) {
        add(Kind::PersistentVolumeClaim, Data, object(&volume));
    }
    add(Kind::Cluster, Data, object(&database::build(inputs)));
    if let Some(job) = init_job::build(inputs) {
        add(Kind::Job, Workload, object(&job));
    }
    add(Kind::Service, Workload, object(&service::build(inputs)));
    add(Kind::Deployment, Workload, object(&deployment::build(inputs)));
    add(
        Kind::PodDisruptionBudget,
        Workload,
        object(&disruption_budget::build(inputs)),
    );
    if let Some(autoscaler) = autoscaler::build(inputs) {
        add(Kind::HorizontalPodAutoscaler, Workload, object(&autoscaler));
    }
    for job in backup_cron_jobs::build(inputs) {
        add(Kind::CronJob, Workload, object(&job));
    }
    children
}

#[expect(
    clippy::expect_used,
    reason = "the types' own Serialize cannot fail: every map in them has strings as keys; a null here would be applied as an empty object"
)]
fn object(typed: &impl Serialize) -> Value {
    serde_json::to_value(typed).expect("a child object is always serialisable")
}
