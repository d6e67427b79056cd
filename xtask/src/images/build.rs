//! Makes the archives of the images, each only when something in it changed.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::oci::{self, Entry, Layer};
use super::table::{Image, Item};
use crate::cargo::Programs;
use crate::command::Run;
use crate::components::{self, KUBERNETES};
use crate::lock;
use crate::places::Places;
use crate::progress::Step;
use crate::schedule::Outcome;

/// What is recorded beside an archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    key: String,
    /// The image's full name.
    pub(crate) reference: String,
    /// Digest of its manifest.
    pub(crate) digest: String,
    /// Bytes of all layers.
    pub(crate) bytes: u64,
    /// Bytes above the base layer.
    pub(crate) above_base: u64,
}

impl Image {
    /// Its archive.
    pub(crate) fn archive(&self, places: &Places) -> PathBuf {
        places.images().join(format!("{}.tar", self.name))
    }

    /// What was recorded when the archive was written.
    pub(crate) fn record(&self, places: &Places) -> Option<Record> {
        let text = std::fs::read(places.images().join(format!("{}.json", self.name))).ok()?;
        serde_json::from_slice(&text)
            .ok()
            .filter(|_| self.archive(places).is_file())
    }

    /// Identifies the content without reading what other stamps identify already.
    fn key(&self, places: &Places, own: &Programs) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(serde_json::to_vec(&(self.reference, self.aliases, &self.config))?);
        if let Some(base) = &self.base {
            hash.update(base.digest(places)?);
        }
        for item in &self.items {
            match item {
                Item::Component(component, path) => {
                    hash.update(components::stamp(component, places)?);
                    hash.update(path);
                }
                Item::Own(program) => {
                    hash.update(oci::digest_of(&mut File::open(own.path(program)?)?)?.0);
                }
                Item::Pause => hash.update(components::stamp(&KUBERNETES, places)?),
                Item::Link(target, path) => hash.update(format!("{target} {path}")),
            }
        }
        Ok(hex::encode(hash.finalize()))
    }

    /// Writes the archive unless it is there with this content.
    pub(crate) fn make(&self, places: &Places, own: &Programs, step: &Step) -> Result<Outcome> {
        let key = self.key(places, own)?;
        if self.record(places).is_some_and(|record| record.key == key) {
            return Ok(Outcome::Current);
        }
        let _lock = lock::take(&places.locks(), &format!("image-{}", self.name), || {
            step.at("waits for another");
        })?;
        step.at("packing");
        std::fs::create_dir_all(places.images())?;
        let mut layers = Vec::new();
        layers.extend(self.base.iter().map(|base| Layer::Archive(base.archive(places))));
        if !self.items.is_empty() {
            let entries = self
                .items
                .iter()
                .map(|item| entry(item, places, own))
                .collect::<Result<_>>()?;
            layers.push(Layer::Entries(entries));
        }
        let archive = self.archive(places);
        let part = archive.with_extension("part");
        let written = oci::write(
            &part,
            &self.references().collect::<Vec<_>>(),
            &self.config,
            &layers,
        )?;
        std::fs::rename(&part, &archive)?;
        let record = Record {
            key,
            reference: self.reference.to_owned(),
            digest: written.digest,
            bytes: written.bytes,
            above_base: written.above_base,
        };
        std::fs::write(
            archive.with_extension("json"),
            serde_json::to_vec_pretty(&record)?,
        )?;
        Ok(Outcome::Done(format!(
            "{}, {} MB{}",
            self.reference,
            written.bytes / 1_000_000,
            if self.base.is_some() && written.above_base > 0 {
                format!(" ({} MB above its base)", written.above_base / 1_000_000)
            } else {
                String::new()
            }
        )))
    }
}

fn entry(item: &Item, places: &Places, own: &Programs) -> Result<Entry> {
    Ok(match item {
        Item::Component(component, path) => Entry::Program {
            from: places.binaries().join(component.programs[0].0),
            path: path.clone(),
        },
        Item::Own(program) => Entry::Program {
            from: own.path(program)?.to_owned(),
            path: format!("/usr/local/bin/{program}"),
        },
        Item::Pause => Entry::Program {
            from: compile_pause(places)?,
            path: "/pause".into(),
        },
        Item::Link(target, path) => Entry::Link {
            target: target.clone(),
            path: path.clone(),
        },
    })
}

/// The linker that Rust needs is a C compiler too.
fn compile_pause(places: &Places) -> Result<PathBuf> {
    let source = places.upstream_manifests(KUBERNETES.name).join("pause.c");
    let program = places.binaries().join("pause");
    Run::new("cc")
        .args(["-Os", "-static", "-s", "-DVERSION=3.10", "-o"])
        .args([&program, &source])
        .done()
        .context("cannot compile Kubernetes' pause program. Remedy: apt-get install gcc libc6-dev")?;
    Ok(program)
}
