//! Builds a component from its module into the cache, unless the cache already holds that very build.

use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow};
use sha2::{Digest, Sha256};

use super::Component;
use crate::command::Run;
use crate::lock;
use crate::places::Places;
use crate::progress::Step;
use crate::schedule::Outcome;

/// The arguments of `go build` but for the output and the packages.
fn arguments(component: &Component) -> Vec<String> {
    let mut linker = vec!["-s".to_owned(), "-w".to_owned()];
    linker.extend(
        component
            .variables
            .iter()
            .map(|(name, value)| format!("-X {name}={value}")),
    );
    let mut arguments = vec!["-v".to_owned(), "-trimpath".to_owned()];
    if !component.tags.is_empty() {
        arguments.extend(["-tags".to_owned(), component.tags.join(",")]);
    }
    arguments.extend(["-ldflags".to_owned(), linker.join(" ")]);
    arguments
}

/// What a build depends on: the pins, their checksums and the arguments. A new Go release is not among them.
pub(crate) fn stamp(component: &Component, places: &Places) -> Result<String> {
    let folder = places.kube().join(component.name);
    let mut hash = Sha256::new();
    for file in ["go.mod", "go.sum"] {
        let path = folder.join(file);
        hash.update(std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
        hash.update([0]);
    }
    for part in arguments(component)
        .iter()
        .map(String::as_str)
        .chain(component.keeps.iter().copied())
    {
        hash.update(part);
        hash.update([0]);
    }
    for (name, package) in component.programs {
        hash.update(format!("{name}={package}\0"));
    }
    Ok(hex::encode(hash.finalize()))
}

/// Whether the cache holds this build already.
pub(crate) fn is_current(component: &Component, places: &Places) -> Result<bool> {
    let recorded = std::fs::read_to_string(places.stamps().join(component.name)).unwrap_or_default();
    Ok(recorded == stamp(component, places)?
        && component
            .programs
            .iter()
            .all(|(name, _)| places.binaries().join(name).is_file())
        && component.keeps.iter().all(|kept| {
            places
                .upstream_manifests(component.name)
                .join(last(kept))
                .exists()
        }))
}

/// Builds the component. Programs appear in the cache by renaming, so that an interrupted build leaves none behind
/// and a running program is never written over.
pub(crate) fn build(component: &Component, places: &Places, step: &Step) -> Result<Outcome> {
    if is_current(component, places)? {
        return Ok(Outcome::Current);
    }
    let _lock = lock::take(&places.locks(), &format!("build-{}", component.name), || {
        step.at("waits for another build");
    })?;
    if is_current(component, places)? {
        return Ok(Outcome::Current);
    }
    let folder = places.kube().join(component.name);
    let output = places.cache().join("building").join(component.name);
    drop(std::fs::remove_dir_all(&output));
    std::fs::create_dir_all(&output)?;
    std::fs::create_dir_all(places.binaries())?;
    std::fs::create_dir_all(places.stamps())?;

    let target = match component.programs {
        [(name, _)] => output.join(name),
        _ => output.join(""), // several programs: Go names each after its package
    };
    step.at("reading its modules");
    let mut packages = 0_u32;
    go(&folder)
        .arg("build")
        .args(arguments(component))
        .arg("-o")
        .arg(&target)
        .args(component.programs.iter().map(|(_, package)| package))
        .watched(|line| {
            if line.starts_with("go: downloading ") {
                step.at(line.trim_start_matches("go: "));
            } else {
                packages += 1;
                step.at(&format!("{packages} packages compiled, now {line}"));
            }
        })
        .map_err(|error| refused(error, component))?;
    keep(component, places, &folder)?;
    for (name, _) in component.programs {
        std::fs::rename(output.join(name), places.binaries().join(name))
            .with_context(|| format!("the build of {} made no {name}", component.name))?;
    }
    std::fs::remove_dir_all(&output)?;
    std::fs::write(places.stamps().join(component.name), stamp(component, places)?)?;
    Ok(Outcome::Done(format!(
        "{} {}",
        component.module, component.version
    )))
}

/// Go as every build here runs it: from the committed pins only, without C, without stamping the work tree's state.
fn go(folder: &Path) -> Run {
    Run::new("go")
        .directory(folder)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=readonly -buildvcs=false")
        .env("GOWORK", "off")
}

/// Copies what the cluster uses of the module's own files.
fn keep(component: &Component, places: &Places, folder: &Path) -> Result<()> {
    if component.keeps.is_empty() {
        return Ok(());
    }
    let listed = go(folder)
        .args(["list", "-m", "-f", "{{.Dir}}", component.module])
        .output()?;
    let module = PathBuf::from(listed.trim());
    let kept = places.upstream_manifests(component.name);
    drop(std::fs::remove_dir_all(&kept));
    std::fs::create_dir_all(&kept)?;
    for path in component.keeps {
        copy(&module.join(path), &kept.join(last(path)))
            .with_context(|| format!("{} {} carries no {path}", component.module, component.version))?;
    }
    Ok(())
}

/// Copies a file or a folder. The contents only: files in the module cache are read-only.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        std::fs::write(to, std::fs::read(from)?)?;
        return Ok(());
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Adds the remedy when the reason is the module proxy's answer and not the code.
fn refused(error: Error, component: &Component) -> Error {
    let text = format!("{error:#}");
    let remedy = if [": 403 ", ": 404 ", ": 410 ", "unknown revision"]
        .iter()
        .any(|sign| text.contains(sign))
    {
        "the module registry refuses a pinned version. Check GOPROXY and GOSUMDB (`go env`), or pin another version: \
         edit tests/kube/{}/go.mod and the table in xtask/src/components.rs, then run `go mod tidy` in that folder"
    } else if ["dial tcp", "no such host", "i/o timeout", "TLS handshake"]
        .iter()
        .any(|sign| text.contains(sign))
    {
        "the module registry cannot be reached. Check the network, GOPROXY and HTTPS_PROXY; what was downloaded is \
         kept, run the command again. (The module is tests/kube/{})"
    } else if text.contains("requires go >=") || text.contains("go.mod requires go") {
        "this Go is too old for tests/kube/{}: install a newer one from https://go.dev/dl, or let it fetch one with \
         GOTOOLCHAIN=auto"
    } else if text.contains("No space left on device") || text.contains("no space left on device") {
        "the disk is full (building tests/kube/{}): the Go build cache needs about 5 GB (`go env GOCACHE`)"
    } else {
        return error;
    };
    anyhow!("{text}\nremedy: {}", remedy.replace("{}", component.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::components::{COREDNS, ETCD, KUBERNETES};

    #[test]
    fn the_linker_stamps_the_version_and_the_tags_are_passed() {
        let line = arguments(&KUBERNETES).join(" ");
        assert!(
            line.contains("-X k8s.io/component-base/version.gitVersion=v1.36.4"),
            "{line}"
        );
        assert!(line.contains("-tags selinux,notest,grpcnotrace"), "{line}");
    }

    #[test]
    fn a_changed_pin_changes_the_stamp_of_just_that_component() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places::at(folder.path(), folder.path().join("cache"));
        for component in [&ETCD, &COREDNS] {
            let module = places.kube().join(component.name);
            std::fs::create_dir_all(&module).unwrap();
            std::fs::write(module.join("go.mod"), "module a\n").unwrap();
            std::fs::write(module.join("go.sum"), "").unwrap();
        }
        let before = (stamp(&ETCD, &places).unwrap(), stamp(&COREDNS, &places).unwrap());
        std::fs::write(places.kube().join("etcd/go.mod"), "module b\n").unwrap();
        assert_ne!(stamp(&ETCD, &places).unwrap(), before.0);
        assert_eq!(stamp(&COREDNS, &places).unwrap(), before.1);
    }

    #[test]
    fn a_refused_version_is_reported_with_the_file_to_edit() {
        let error = refused(anyhow!("reading https://…/v1.30.1.info: 403 Forbidden"), &ETCD).to_string();
        assert!(
            error.contains("tests/kube/etcd/go.mod") && error.contains("go mod tidy"),
            "{error}"
        );
    }
}
