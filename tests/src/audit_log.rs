//! The API server's audit log: who wrote and listed what, counted by somebody other than the one who did.

use std::{fs, path::PathBuf};

use anyhow::Context;
use serde_json::Value;

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// create, update, patch, delete, get, list or watch.
    pub verb: String,
    /// Plural of the kind, with the subresource.
    pub resource: String,
    /// Namespace, empty for none.
    pub namespace: String,
    /// Name, empty for a list.
    pub name: String,
    /// Request URI, with the field manager.
    pub uri: String,
    /// HTTP status of the answer.
    pub code: i64,
}

/// The operator's own user.
pub const OPERATOR: &str = "system:serviceaccount:medical-operator-system:medical-operator";

/// A place in the log, to read on from.
pub struct Mark(u64);

fn path() -> anyhow::Result<PathBuf> {
    std::env::var_os("MEDOPS_TEST_AUDIT_LOG")
        .map(PathBuf::from)
        .context("MEDOPS_TEST_AUDIT_LOG is not set: run the tests by `cargo xtask test`")
}

/// The end of the log now.
///
/// # Errors
/// When the log cannot be read.
pub fn mark() -> anyhow::Result<Mark> {
    Ok(Mark(fs::metadata(path()?)?.len()))
}

/// The requests of `user` since `mark`, each counted once.
///
/// # Errors
/// When the log cannot be read.
pub fn since(mark: &Mark, user: &str) -> anyhow::Result<Vec<Request>> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = fs::File::open(path()?)?;
    file.seek(SeekFrom::Start(mark.0))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["stage"] == "ResponseComplete" || event["verb"] == "watch")
        .filter(|event| event["user"]["username"] == user)
        .map(|event| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let reference = &event["objectRef"];
            let subresource = text(&reference["subresource"]);
            Request {
                verb: text(&event["verb"]),
                resource: match subresource.as_str() {
                    "" => text(&reference["resource"]),
                    subresource => format!("{}/{subresource}", text(&reference["resource"])),
                },
                namespace: text(&reference["namespace"]),
                name: text(&reference["name"]),
                uri: text(&event["requestURI"]),
                code: event["responseStatus"]["code"].as_i64().unwrap_or_default(),
            }
        })
        .collect())
}
