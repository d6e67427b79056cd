//! The files that programs of this workspace write and that are committed all the same, so that people can read and
//! apply them without a compiler. `--check` fails when one differs from what would be written.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cargo::cargo;
use crate::components::copy;
use crate::places::Places;

/// One program that writes files.
struct Generator {
    /// The package, and its program of the same name.
    package: &'static str,
    arguments: &'static [&'static str],
    output: Output,
}

enum Output {
    /// It takes a folder as its last argument and writes below it, at the paths of the repository.
    Folder,
    /// Its standard output is this file.
    File(&'static str),
}

const GENERATORS: [Generator; 2] = [
    Generator {
        package: "medical-operator",
        arguments: &["generate"],
        output: Output::Folder,
    },
    Generator {
        package: "medical-app",
        arguments: &["openapi"],
        output: Output::File("docs/openapi.json"),
    },
];

/// Writes the files, or checks that they are as they would be written.
pub(crate) fn run(check: bool, places: &Places) -> Result<()> {
    let fresh = places.cache().join("generated");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir_all(&fresh)?;
    for generator in &GENERATORS {
        let run = cargo(places)
            .args(["run", "--quiet", "--package", generator.package, "--"])
            .args(generator.arguments);
        match generator.output {
            Output::Folder => run.arg(&fresh).done()?,
            Output::File(path) => {
                let file = fresh.join(path);
                fs::create_dir_all(file.parent().context("a file has a folder")?)?;
                fs::write(&file, run.output()?)?;
            }
        }
    }
    let differing = differing(&fresh, &places.repository)?;
    if check {
        if !differing.is_empty() {
            bail!(
                "not up to date: {}\nremedy: cargo xtask generate",
                differing.join(", ")
            );
        }
        println!("all generated files are up to date");
        return Ok(());
    }
    for path in &differing {
        let target = places.repository.join(path);
        fs::create_dir_all(target.parent().context("a file has a folder")?)?;
        copy(&fresh.join(path), &target)?;
        println!("wrote {path}");
    }
    Ok(())
}

/// Paths of the files below `fresh` that the repository has not, or has otherwise.
fn differing(fresh: &Path, repository: &Path) -> Result<Vec<String>> {
    let mut differing = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(fresh.join(&folder))? {
            let path = folder.join(entry?.file_name());
            if fresh.join(&path).is_dir() {
                folders.push(path);
            } else if fs::read(repository.join(&path)).ok() != Some(fs::read(fresh.join(&path))?) {
                differing.push(path.display().to_string());
            }
        }
    }
    differing.sort();
    Ok(differing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_and_a_changed_file_differ_and_an_equal_one_does_not() {
        let (fresh, repository) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for root in [&fresh, &repository] {
            fs::create_dir_all(root.path().join("charts/files")).unwrap();
            fs::write(root.path().join("equal"), "1").unwrap();
        }
        fs::write(fresh.path().join("charts/files/changed"), "new").unwrap();
        fs::write(repository.path().join("charts/files/changed"), "old").unwrap();
        fs::write(fresh.path().join("missing"), "").unwrap();
        assert_eq!(
            differing(fresh.path(), repository.path()).unwrap(),
            ["charts/files/changed", "missing"]
        );
    }
}
