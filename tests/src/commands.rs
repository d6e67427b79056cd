//! Commands that a user would type.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use anyhow::{Context, bail};

/// Runs a command and returns what it printed.
///
/// # Errors
/// When it cannot be started or fails; the error holds what it printed on standard error.
pub fn run(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    run_with_input(program, arguments, "")
}

/// Runs a command with `input` on its standard input and returns what it printed.
///
/// # Errors
/// When it cannot be started or fails; the error holds what it printed on standard error.
pub fn run_with_input(program: &str, arguments: &[&str], input: &str) -> anyhow::Result<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{program} cannot be started"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!(
            "{program} {}: {}{stdout}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(stdout)
}

/// Runs kubectl.
///
/// # Errors
/// As [`run`].
pub fn kubectl(arguments: &[&str]) -> anyhow::Result<String> {
    run("kubectl", arguments)
}

/// Runs the plugin `kubectl medical`, as it was built with the tests.
///
/// # Errors
/// As [`run`].
pub fn kubectl_medical(arguments: &[&str], input: &str) -> anyhow::Result<String> {
    let program = std::env::var("MEDOPS_TEST_KUBECTL_MEDICAL")
        .context("MEDOPS_TEST_KUBECTL_MEDICAL is not set: run the tests by `cargo xtask test`")?;
    run_with_input(&program, arguments, input)
}
