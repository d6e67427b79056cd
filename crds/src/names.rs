//! The names and labels of every child object.
//!
//! A name is a function of the resource's name alone, so that a crash can never make a second object. The
//! resource's name has at most 36 characters: a CronJob's name may have 52, and the longest suffix is 15 long.

use std::collections::BTreeMap;

/// API group of the resource.
pub const GROUP: &str = "medops.dev";
/// Label: the kind of system that the objects belong to.
pub const LABEL_NAME: &str = "app.kubernetes.io/name";
/// Label: the `MedicalDeployment`.
pub const LABEL_INSTANCE: &str = "app.kubernetes.io/instance";
/// Label: who writes the object.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label: the part of the deployment.
pub const LABEL_COMPONENT: &str = "app.kubernetes.io/component";
/// Value of [`LABEL_NAME`].
pub const NAME: &str = "medical-deployment";
/// Value of [`LABEL_MANAGED_BY`].
pub const MANAGED_BY: &str = "medical-operator";

/// The parts of a deployment, as in [`LABEL_COMPONENT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The application.
    App,
    /// The init Job.
    Init,
    /// PostgreSQL.
    Database,
    /// Dumps.
    Backup,
    /// Verification of dumps.
    BackupVerify,
}

impl Component {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Init => "init",
            Self::Database => "database",
            Self::Backup => "backup",
            Self::BackupVerify => "backup-verify",
        }
    }
}

/// Names of the children of one `MedicalDeployment`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    name: String,
}

impl Names {
    /// Names for the resource called `name`.
    pub fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
        }
    }

    /// Deployment, Service, PodDisruptionBudget, HorizontalPodAutoscaler and the application's ServiceAccount.
    pub fn app(&self) -> String {
        self.name.clone()
    }
    /// ServiceAccount of the backup pods.
    pub fn backup_service_account(&self) -> String {
        format!("{}-backup", self.name)
    }
    /// ConfigMap with `spec.app.config.files`.
    pub fn config(&self) -> String {
        format!("{}-config", self.name)
    }
    /// CloudNativePG Cluster.
    pub fn cluster(&self) -> String {
        format!("{}-db", self.name)
    }
    /// Service of the primary, made by CloudNativePG.
    pub fn database_service(&self) -> String {
        format!("{}-db-rw", self.name)
    }
    /// Secret with the database's certificate authority, made by CloudNativePG.
    pub fn database_ca(&self) -> String {
        format!("{}-db-ca", self.name)
    }
    /// Secret of the database's owner.
    pub fn owner_secret(&self) -> String {
        format!("{}-db-owner", self.name)
    }
    /// Secret of the application's restricted role.
    pub fn app_role_secret(&self) -> String {
        format!("{}-db-app", self.name)
    }
    /// Secret of the role that dumps.
    pub fn backup_role_secret(&self) -> String {
        format!("{}-db-backup", self.name)
    }
    /// Secret with the application's keys.
    pub fn keys_secret(&self) -> String {
        format!("{}-keys", self.name)
    }
    /// Secret with the values of `spec.secrets.generate`.
    pub fn generated_secret(&self) -> String {
        format!("{}-generated", self.name)
    }
    /// Secret with the certificate authority of the application.
    pub fn ca_secret(&self) -> String {
        format!("{}-ca", self.name)
    }
    /// Secret with the application's certificate.
    pub fn tls_secret(&self) -> String {
        format!("{}-tls", self.name)
    }
    /// Secret with the key pair of the dumps.
    pub fn backup_key_secret(&self) -> String {
        format!("{}-backup-key", self.name)
    }
    /// PersistentVolumeClaim that keeps the dumps.
    pub fn backup_volume(&self) -> String {
        format!("{}-backup", self.name)
    }
    /// CronJob of a tier.
    pub fn backup_cron_job(&self, tier: &str) -> String {
        format!("{}-backup-{tier}", self.name)
    }
    /// CronJob that verifies the newest dump.
    pub fn verify_cron_job(&self) -> String {
        format!("{}-backup-verify", self.name)
    }
    /// Init Job for an image and a configuration, by the first ten digits of their hash.
    pub fn init_job(&self, hash: &str) -> String {
        format!("{}-init-{}", self.name, hash.get(..10).unwrap_or(hash))
    }
    /// NetworkPolicy for a part.
    pub fn network_policy(&self, component: Component) -> String {
        format!("{}-{}", self.name, component.as_str())
    }
    /// NetworkPolicy that denies everything to and from every pod of the deployment.
    pub fn default_deny_policy(&self) -> String {
        format!("{}-default-deny", self.name)
    }

    /// Labels that select every object of this deployment.
    pub fn selector(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (LABEL_NAME.to_owned(), NAME.to_owned()),
            (LABEL_INSTANCE.to_owned(), self.name.clone()),
        ])
    }

    /// Labels that select the pods of a part.
    pub fn component_selector(&self, component: Component) -> BTreeMap<String, String> {
        let mut labels = self.selector();
        labels.insert(LABEL_COMPONENT.to_owned(), component.as_str().to_owned());
        labels
    }

    /// All labels of an object of a part.
    pub fn labels(&self, component: Component) -> BTreeMap<String, String> {
        let mut labels = self.component_selector(component);
        labels.insert(LABEL_MANAGED_BY.to_owned(), MANAGED_BY.to_owned());
        labels
    }
}

/// Database that holds the application's tables.
pub const DATABASE: &str = "app";
/// Role that owns the tables and migrates them.
pub const OWNER_ROLE: &str = "medical_owner";
/// Restricted role that serves requests.
pub const APP_ROLE: &str = "medical_app";
/// Role that reads everything for a dump.
pub const BACKUP_ROLE: &str = "medical_backup";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_fits_what_kubernetes_allows() {
        let names = Names::of(&"n".repeat(36));
        // https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/: a Job's name appends 11 characters.
        assert!(names.backup_cron_job("monthly").len() <= 52);
        assert!(names.verify_cron_job().len() <= 52);
        // CloudNativePG appends an ordinal and, for Services, a role; a label's value may have 63 characters.
        assert!(names.cluster().len() <= 50);
        assert!(
            names.init_job(&"0".repeat(64)).len() <= 57,
            "a pod's name appends six characters"
        );
    }
}
