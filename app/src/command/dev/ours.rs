//! This program's own commands, run as they are in a deployment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use medical_app::config::Source;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::database::Database;
use crate::{Failure, failed};

/// The program and the environment of its commands.
pub struct Ours {
    program: PathBuf,
    variables: BTreeMap<&'static str, String>,
    owner: String,
    owner_password: PathBuf,
}

impl Ours {
    /// With the environment of `serve`.
    pub fn new(variables: BTreeMap<&'static str, String>, database: &Database) -> Result<Self, Failure> {
        Ok(Self {
            program: std::env::current_exe().map_err(failed)?,
            variables,
            owner: database.owner.clone(),
            owner_password: database.owner_password.clone(),
        })
    }

    /// For reading the settings of `serve`.
    pub fn source(&self) -> Source {
        Source::from_lookup(|name| self.variables.get(name).cloned())
    }

    /// Runs a command as the owner of the database and gives what it printed.
    pub async fn run(&self, arguments: &[&str], input: &str) -> Result<String, Failure> {
        let mut child = Command::new(&self.program)
            .args(arguments)
            .env_clear()
            .envs(&self.variables)
            .env("DATABASE_USER", &self.owner)
            .env("DATABASE_PASSWORD_FILE", &self.owner_password)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that does not read its input may be gone by now.
            drop(stdin.write_all(input.as_bytes()).await);
        }
        let output = child.wait_with_output().await.map_err(failed)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().trim_start_matches("medical-app: ");
        Err(failed(format!("{}: {said}", arguments.join(" "))))
    }
}
