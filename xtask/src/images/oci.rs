//! The OCI image layout as a tar archive: writing one reproducibly, and reading one back.
//!
//! Format: <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>. Layers are stored
//! uncompressed, so that the digest of a layer is its diff id and importing costs no decompression.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

const KIND: &str = "application/vnd.oci.image";

/// What a container of the image runs and as whom, in the words of the OCI configuration.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Config {
    /// The program with its fixed arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) entrypoint: Vec<String>,
    /// Arguments used when the container gives none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) cmd: Vec<String>,
    /// `NAME=value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) env: Vec<String>,
    /// `uid:gid`; root when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) user: String,
    /// The directory the program starts in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) working_dir: String,
}

/// One path of a layer made here.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    /// A file of the machine, executable by everybody.
    Program { from: PathBuf, path: String },
    /// A symbolic link.
    Link { target: String, path: String },
}

/// A layer, bottom to top.
#[derive(Debug, Clone)]
pub(crate) enum Layer {
    /// A tar archive as it is.
    Archive(PathBuf),
    /// Paths, packed in their order with root as owner and the epoch as time.
    Entries(Vec<Entry>),
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// Digest of the manifest: the image's identity.
    pub(crate) digest: String,
    /// Bytes of all layers.
    pub(crate) bytes: u64,
    /// Bytes of the layers above the first: what an image adds to its base.
    pub(crate) above_base: u64,
}

struct Blob {
    digest: String,
    size: u64,
    content: Content,
}

enum Content {
    Memory(Vec<u8>),
    File(PathBuf),
}

/// Writes the archive of one image under one or several names. The same inputs give the same bytes.
pub(crate) fn write(
    archive: &Path,
    references: &[&str],
    config: &Config,
    layers: &[Layer],
) -> Result<Written> {
    let blobs = layers.iter().map(layer_blob).collect::<Result<Vec<_>>>()?;
    let config = serde_json::to_vec(&json!({
        "architecture": architecture(),
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": blobs.iter().map(|blob| &blob.digest).collect::<Vec<_>>()},
    }))?;
    let config = memory_blob(config);
    let manifest = memory_blob(serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": format!("{KIND}.manifest.v1+json"),
        "config": {"mediaType": format!("{KIND}.config.v1+json"), "digest": config.digest, "size": config.size},
        "layers": blobs.iter().map(|blob| json!({
            "mediaType": format!("{KIND}.layer.v1.tar"), "digest": blob.digest, "size": blob.size,
        })).collect::<Vec<_>>(),
    }))?);
    let written = Written {
        digest: manifest.digest.clone(),
        bytes: blobs.iter().map(|blob| blob.size).sum(),
        above_base: blobs.iter().skip(1).map(|blob| blob.size).sum(),
    };
    // containerd and kind take the image's name from the first annotation, other tools from the second.
    let index = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": format!("{KIND}.index.v1+json"),
        "manifests": references.iter().map(|reference| json!({
            "mediaType": format!("{KIND}.manifest.v1+json"), "digest": manifest.digest, "size": manifest.size,
            "platform": {"architecture": architecture(), "os": "linux"},
            "annotations": {"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": reference},
        })).collect::<Vec<_>>(),
    }))?;

    let mut tar = tar::Builder::new(BufWriter::new(File::create(archive)?));
    append(
        &mut tar,
        "oci-layout",
        &mut &b"{\"imageLayoutVersion\":\"1.0.0\"}"[..],
        30,
    )?;
    append(&mut tar, "index.json", &mut index.as_slice(), index.len() as u64)?;
    let mut stored = std::collections::BTreeSet::new();
    for blob in blobs.iter().chain([&config, &manifest]) {
        if !stored.insert(&blob.digest) {
            continue;
        }
        let path = format!("blobs/sha256/{}", blob.digest.trim_start_matches("sha256:"));
        match &blob.content {
            Content::Memory(bytes) => append(&mut tar, &path, &mut bytes.as_slice(), blob.size)?,
            Content::File(file) => append(&mut tar, &path, &mut File::open(file)?, blob.size)?,
        }
    }
    tar.into_inner()?.flush()?;
    Ok(written)
}

/// The processor's name as Go and OCI spell it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn append(tar: &mut tar::Builder<impl Write>, path: &str, content: &mut impl Read, size: u64) -> Result<()> {
    let mut header = root_header();
    header.set_size(size);
    header.set_mode(0o644);
    tar.append_data(&mut header, path, content)
        .with_context(|| format!("cannot store {path}"))
}

/// Owned by root, of the epoch: the same on every machine and day.
fn root_header() -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn memory_blob(bytes: Vec<u8>) -> Blob {
    Blob {
        digest: format!("sha256:{}", hex::encode(Sha256::digest(&bytes))),
        size: bytes.len() as u64,
        content: Content::Memory(bytes),
    }
}

fn layer_blob(layer: &Layer) -> Result<Blob> {
    match layer {
        Layer::Archive(path) => {
            let (digest, size) =
                digest_of(&mut File::open(path).with_context(|| path.display().to_string())?)?;
            Ok(Blob {
                digest,
                size,
                content: Content::File(path.clone()),
            })
        }
        Layer::Entries(entries) => Ok(memory_blob(pack(entries)?)),
    }
}

/// Digest and length of what a reader gives.
pub(crate) fn digest_of(reader: &mut impl Read) -> Result<(String, u64)> {
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok((format!("sha256:{}", hex::encode(hash.finalize())), size));
        }
        hash.update(&buffer[..count]);
        size += count as u64;
    }
}

fn pack(entries: &[Entry]) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = root_header();
        match entry {
            Entry::Program { from, path } => {
                let bytes = std::fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
                header.set_size(bytes.len() as u64);
                header.set_mode(0o755);
                tar.append_data(&mut header, path.trim_start_matches('/'), bytes.as_slice())?;
            }
            Entry::Link { target, path } => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                header.set_mode(0o777);
                tar.append_link(&mut header, path.trim_start_matches('/'), target)?;
            }
        }
    }
    Ok(tar.into_inner()?)
}

/// An image found in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its full name, when the archive gives one.
    pub(crate) reference: Option<String>,
    /// Digest of its manifest.
    pub(crate) digest: String,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Reads an archive back: every blob's content must match its name, and all that a manifest refers to must be there.
pub(crate) fn read(archive: &Path) -> Result<Vec<Found>> {
    let file = File::open(archive).with_context(|| format!("cannot open {}", archive.display()))?;
    let mut tar = tar::Archive::new(BufReader::new(file));
    let (mut index, mut small, mut sizes) = (None, BTreeMap::new(), BTreeMap::new());
    for entry in tar.entries()? {
        let mut entry = entry.with_context(|| format!("{} is not a tar archive", archive.display()))?;
        let path = entry
            .path()?
            .to_string_lossy()
            .trim_start_matches("./")
            .to_owned();
        if path == "index.json" {
            index = Some(serde_json::from_reader::<_, Index>(&mut entry).context("index.json")?);
        } else if let Some(name) = path.strip_prefix("blobs/sha256/").filter(|name| !name.is_empty()) {
            let named = format!("sha256:{name}");
            let size = entry.size();
            let digest = if size < 1 << 20 {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes)?;
                let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
                small.insert(named.clone(), bytes);
                digest
            } else {
                digest_of(&mut entry)?.0
            };
            ensure!(
                digest == named,
                "{}: blob {named} holds {digest}",
                archive.display()
            );
            sizes.insert(named, size);
        }
    }
    let Some(index) = index else {
        bail!(
            "{} has no index.json: it is not an OCI archive (docker save writes one since 25.0)",
            archive.display()
        )
    };
    let there = |part: &Descriptor| -> Result<()> {
        let size = sizes
            .get(&part.digest)
            .with_context(|| format!("blob {} is missing", part.digest))?;
        ensure!(
            *size == part.size,
            "blob {} has {size} bytes, not {}",
            part.digest,
            part.size
        );
        Ok(())
    };
    let mut found = Vec::new();
    for descriptor in &index.manifests {
        there(descriptor)?;
        let manifest: Manifest =
            serde_json::from_slice(&small[&descriptor.digest]).context("image manifest")?;
        there(&manifest.config)?;
        manifest.layers.iter().try_for_each(there)?;
        let name = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
        found.push(Found {
            reference: name
                .iter()
                .find_map(|key| descriptor.annotations.get(*key))
                .cloned(),
            digest: descriptor.digest.clone(),
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(folder: &Path) -> Vec<Layer> {
        std::fs::write(folder.join("program"), "#!").unwrap();
        vec![Layer::Entries(vec![
            Entry::Program {
                from: folder.join("program"),
                path: "/usr/local/bin/program".into(),
            },
            Entry::Link {
                target: "usr/local/bin/program".into(),
                path: "/program".into(),
            },
        ])]
    }

    #[test]
    fn an_archive_reads_back_with_its_name_and_the_digest_that_writing_returned() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        let written = write(
            &path,
            &["docker.io/a/b:1"],
            &Config::default(),
            &sample(folder.path()),
        )
        .unwrap();
        let found = read(&path).unwrap();
        assert_eq!(
            found,
            [Found {
                reference: Some("docker.io/a/b:1".into()),
                digest: written.digest
            }]
        );
    }

    #[test]
    fn the_same_inputs_give_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("1.tar"), folder.path().join("2.tar"));
        for path in [&one, &two] {
            write(path, &["a:1"], &Config::default(), &sample(folder.path())).unwrap();
        }
        assert_eq!(std::fs::read(one).unwrap(), std::fs::read(two).unwrap());
    }

    #[test]
    fn a_changed_byte_in_a_blob_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        write(&path, &["a:1"], &Config::default(), &sample(folder.path())).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let place = bytes.windows(2).position(|pair| pair == b"#!").unwrap();
        bytes[place] = b'X';
        std::fs::write(&path, bytes).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("holds"));
    }

    #[test]
    fn a_layer_holds_files_and_links_with_fixed_owner_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let Layer::Entries(entries) = &sample(folder.path())[0] else {
            unreachable!()
        };
        let bytes = pack(entries).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let listed: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                assert_eq!(
                    (
                        header.mtime().unwrap(),
                        header.uid().unwrap(),
                        header.gid().unwrap()
                    ),
                    (0, 0, 0)
                );
                (
                    entry.path().unwrap().display().to_string(),
                    header.mode().unwrap(),
                    header.entry_type(),
                )
            })
            .collect();
        assert_eq!(
            listed[0],
            ("usr/local/bin/program".into(), 0o755, tar::EntryType::Regular)
        );
        assert_eq!(listed[1], ("program".into(), 0o777, tar::EntryType::Symlink));
    }
}
