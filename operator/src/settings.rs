//! What the operator is told by its command line, the same for every resource.

/// Settings of the operator that reach child objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Image of the reference application, for a resource that names none.
    pub app_image: String,
    /// Image that carries `medical-backup`, injected into the backup pods.
    pub backup_image: String,
    /// PostgreSQL operand image, for a resource that names none.
    pub database_image: String,
    /// Namespace of the CloudNativePG operator, which must reach the database's pods.
    pub cloudnative_pg_namespace: String,
    /// Pull policy of the application's and the backup image.
    pub image_pull_policy: String,
}

impl Default for Settings {
    fn default() -> Self {
        let version = env!("CARGO_PKG_VERSION");
        Self {
            app_image: format!("docker.io/medops/medical-app:{version}"),
            backup_image: format!("docker.io/medops/medical-backup:{version}"),
            database_image: "docker.io/medops/postgresql:17".to_owned(),
            cloudnative_pg_namespace: "cnpg-system".to_owned(),
            image_pull_policy: "IfNotPresent".to_owned(),
        }
    }
}
