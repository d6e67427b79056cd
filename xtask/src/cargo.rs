//! Building programs of this workspace, and finding where Cargo put them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::command::Run;
use crate::places::Places;

/// The Cargo that started us, else the one in PATH; it runs in the repository.
pub(crate) fn cargo(places: &Places) -> Run {
    Run::new(program()).directory(&places.repository)
}

/// The Cargo that started us, else the one in PATH.
pub(crate) fn program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// How programs are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// For images.
    Release,
    /// For tests that start a program by themselves.
    Development,
}

/// Programs by the name of their package.
#[derive(Debug, Default)]
pub(crate) struct Programs(Vec<(String, PathBuf)>);

impl Programs {
    /// Where a program is.
    pub(crate) fn path(&self, program: &str) -> Result<&Path> {
        self.0
            .iter()
            .find_map(|(name, path)| (name == program).then_some(path.as_path()))
            .with_context(|| format!("{program} was not built"))
    }
}

/// Builds these packages, each with one program of its name; returns whether Cargo had anything to do. `at` hears what
/// Cargo says.
pub(crate) fn build(
    packages: &[&str],
    profile: Profile,
    places: &Places,
    at: impl Fn(&str),
) -> Result<(Programs, bool)> {
    let mut compiled = false;
    let mut run = cargo(places).args(["build", "--message-format=json-render-diagnostics"]);
    if profile == Profile::Release {
        // What is for developers' machines, such as `medical-app dev`, is not in an image.
        run = run.args(["--release", "--no-default-features"]);
    }
    let messages = run
        .args(packages.iter().flat_map(|package| ["--package", *package]))
        .watched(|line| {
            compiled |= line.trim_start().starts_with("Compiling");
            at(line.trim());
        })?;
    let programs = executables(&messages)
        .into_iter()
        .filter(|(name, _)| packages.contains(&name.as_str()))
        .collect();
    Ok((Programs(programs), compiled))
}

/// The programs among Cargo's messages (<https://doc.rust-lang.org/cargo/reference/external-tools.html>).
fn executables(messages: &str) -> Vec<(String, PathBuf)> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
        target: Option<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter_map(|message| Some((message.target?.name, message.executable?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_are_where_cargo_says_it_put_them() {
        let messages = "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"serde\"},\"executable\":null}\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"medical-app\"},\"executable\":\"/t/medical-app\"}\n\
            {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(
            executables(messages),
            [("medical-app".to_owned(), PathBuf::from("/t/medical-app"))]
        );
    }
}
