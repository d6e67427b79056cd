//! checkov, a judge of manifests, out of the Python package index: a virtual environment in the cache, made once and
//! made anew when the pins in `tests/judges/checkov.txt` change.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::command::Run;
use crate::lock;
use crate::places::Places;
use crate::progress::Step;
use crate::schedule::Outcome;

/// The name of the program, of its stamp and of its folder in the cache.
pub(crate) const NAME: &str = "checkov";

/// Every package by version and hashes, as pip reads it.
fn pins(places: &Places) -> PathBuf {
    places.repository.join("tests/judges/checkov.txt")
}

fn stamp(places: &Places) -> Result<String> {
    let path = pins(places);
    let pins = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(hex::encode(Sha256::digest(pins)))
}

/// Whether the cache holds what is pinned, and the Python that it was made with is still there.
pub(crate) fn is_current(places: &Places) -> Result<bool> {
    let recorded = fs::read_to_string(places.stamps().join(NAME)).unwrap_or_default();
    Ok(recorded == stamp(places)?
        && places.binaries().join(NAME).exists()
        && places.cache().join(NAME).join("bin/python").exists())
}

/// Installs it and links it beside the other programs. Nothing is taken whose hash is not pinned, and no package's code
/// runs while it is installed.
pub(crate) fn install(places: &Places, step: &Step) -> Result<Outcome> {
    if is_current(places)? {
        return Ok(Outcome::Current);
    }
    let _lock = lock::take(&places.locks(), &format!("build-{NAME}"), || {
        step.at("waits for another installation");
    })?;
    if is_current(places)? {
        return Ok(Outcome::Current);
    }
    let environment = places.cache().join(NAME);
    let program = places.binaries().join(NAME);
    // A virtual environment cannot be moved into place; without its stamp a half-made one is not taken for whole.
    drop(fs::remove_file(places.stamps().join(NAME)));
    drop(fs::remove_file(&program));
    fs::create_dir_all(places.binaries())?;
    fs::create_dir_all(places.stamps())?;
    Run::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&environment)
        .done()?;
    // What pip tells goes to standard error, where it is watched.
    Run::new("sh")
        .args(["-c", r#"exec "$0" "$@" >&2"#])
        .arg(environment.join("bin/python"))
        .args([
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--progress-bar",
            "off",
        ])
        .args(["--require-hashes", "--only-binary", ":all:", "--requirement"])
        .arg(pins(places))
        .watched(|line| {
            if line.starts_with("Collecting ") {
                step.at(line);
            }
        })
        .context("checkov could not be installed from the Python package index (PIP_INDEX_URL, PIP_PROXY)")?;
    symlink(environment.join("bin").join(NAME), &program)
        .with_context(|| format!("cannot link {}", program.display()))?;
    fs::write(places.stamps().join(NAME), stamp(places)?)?;
    Ok(Outcome::Done(pinned_version(places)?))
}

/// `checkov 1.2.3`.
fn pinned_version(places: &Places) -> Result<String> {
    let text = fs::read_to_string(pins(places))?;
    let line = text.lines().find_map(|line| line.strip_prefix("checkov=="));
    let version = line.context("tests/judges/checkov.txt does not pin checkov")?;
    Ok(format!("{NAME} {}", version.trim_end_matches(['\\', ' '])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pins_are_those_of_the_version_that_is_asked_for() {
        let places = Places::find().unwrap();
        let asked = fs::read_to_string(places.repository.join("tests/judges/checkov.in")).unwrap();
        assert_eq!(asked.trim(), pinned_version(&places).unwrap().replace(' ', "=="));
    }

    #[test]
    fn what_is_installed_is_current_until_a_pin_changes() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::at(folder.path(), folder.path().join("cache"));
        fs::create_dir_all(places.repository.join("tests/judges")).unwrap();
        fs::create_dir_all(places.cache().join("checkov/bin")).unwrap();
        fs::create_dir_all(places.stamps()).unwrap();
        fs::create_dir_all(places.binaries()).unwrap();
        fs::write(pins(&places), "checkov==1.2.3 \\\n").unwrap();
        fs::write(places.cache().join("checkov/bin/python"), "").unwrap();
        fs::write(places.binaries().join("checkov"), "").unwrap();
        assert!(!is_current(&places).unwrap());
        fs::write(places.stamps().join("checkov"), stamp(&places).unwrap()).unwrap();
        assert!(is_current(&places).unwrap());
        fs::write(pins(&places), "checkov==1.2.4 \\\n").unwrap();
        assert!(!is_current(&places).unwrap());
    }
}
