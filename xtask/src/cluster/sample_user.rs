//! A user of the sample application, so that somebody can log in to it.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use super::inside;
use super::instance::Instance;
use super::release::{SAMPLE, SAMPLE_NAMESPACE};
use crate::places::Places;
use crate::progress::Step;
use crate::schedule::Outcome;

/// Who logs in, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    /// The login name.
    pub(crate) email: &'static str,
    /// The body of a login request, readable by its owner only.
    pub(crate) request: PathBuf,
    /// The authority that signed the application's certificate.
    pub(crate) authority: PathBuf,
}

const EMAIL: &str = "ada@clinic.example.org";

/// Makes the user by the kubectl plugin, unless it was made since the cluster came up.
pub(crate) fn ensure(instance: &Instance, places: &Places, step: &Step) -> Result<(Login, Outcome)> {
    let login = Login {
        email: EMAIL,
        request: instance.run().join("sample-login.json"),
        authority: instance.run().join("sample-ca.crt"),
    };
    let secret = format!("{SAMPLE}-ca");
    let certificate = inside::kubectl(instance, places)?
        .args(["-n", SAMPLE_NAMESPACE, "get", "secret", &secret])
        .arg("-o=go-template={{index .data \"ca.crt\" | base64decode}}")
        .output()?;
    fs::write(&login.authority, certificate)?;
    if login.request.is_file() {
        return Ok((login, Outcome::Current));
    }
    step.at(EMAIL);
    let password = random_password()?;
    inside::kubectl(instance, places)?
        .args(["medical", "create-user", SAMPLE, "-n", SAMPLE_NAMESPACE])
        .args(["--email", EMAIL, "--role", "clinician"])
        .input(password.as_bytes())
        .done()
        .context("the first user could not be made")?;
    // Written last: it also says that the user exists.
    write_private(
        &login.request,
        &json!({"email": EMAIL, "password": password}).to_string(),
    )?;
    Ok((login, Outcome::Done(format!("{EMAIL} may log in"))))
}

fn write_private(path: &Path, content: &str) -> Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    Ok(file.write_all(content.as_bytes())?)
}

/// 24 characters out of 64: 144 random bits.
fn random_password() -> Result<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0; 24];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 64)]))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn passwords_are_long_and_differ() {
        let (one, two) = (random_password().unwrap(), random_password().unwrap());
        assert_eq!(one.len(), 24);
        assert_ne!(one, two);
    }

    #[test]
    fn the_login_is_readable_by_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("login.json");
        write_private(&path, "{}").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
