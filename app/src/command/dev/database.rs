//! The database that is used, whichever it is.

use std::path::PathBuf;

/// Where the database is and how to log in to it.
pub struct Database {
    /// Host name.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Name of the database.
    pub name: String,
    /// Its owner, who migrates and makes users.
    pub owner: String,
    /// File with the owner's password.
    pub owner_password: PathBuf,
    /// File with the password of the role that serves.
    pub serving_password: PathBuf,
    /// Authority of the database's certificate; without one the connection is not protected.
    pub authority: Option<PathBuf>,
    /// Whether the data stay when the program ends.
    pub keeps_data: bool,
}

/// The role that serves; migrations give it its rights.
pub const SERVING_ROLE: &str = "medical_app";

/// The statement that makes a role. A password is made of letters, digits, `-` and `_`.
pub fn create_role(role: &str, password: &str) -> String {
    format!("CREATE ROLE {role} LOGIN NOBYPASSRLS PASSWORD '{password}'")
}
