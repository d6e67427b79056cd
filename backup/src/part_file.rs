//! Files that appear under their name only when they are whole.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::name::PART_SUFFIX;

/// A file being written beside its later name, as `<name>.part`. Dropped before it was
/// [completed](Self::complete), it is removed.
#[derive(Debug)]
pub struct PartFile {
    path: PathBuf,
    part: PathBuf,
    completed: bool,
}

impl PartFile {
    /// Creates `<path>.part`, readable by its owner and group alone, in place of one that a killed run left.
    pub fn create(path: &Path) -> io::Result<(Self, File)> {
        let mut part = path.as_os_str().to_owned();
        part.push(PART_SUFFIX);
        let part = PathBuf::from(part);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o640)
            .open(&part)?;
        Ok((
            Self {
                path: path.to_owned(),
                part,
                completed: false,
            },
            file,
        ))
    }

    /// Puts the content on the disk for good, and only then gives the file its name.
    pub fn complete(mut self, file: &File) -> io::Result<()> {
        file.sync_all()?;
        fs::rename(&self.part, &self.path)?;
        self.completed = true;
        sync_parent(&self.path).inspect_err(|_| {
            let _ = fs::remove_file(&self.path);
        })
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.completed {
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// A rename survives a crash of the machine only when the folder itself is on the disk.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_appears_only_when_it_is_completed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let (part, mut file) = PartFile::create(&path).unwrap();
        file.write_all(b"x").unwrap();
        assert!(!path.exists() && folder.path().join("a.part").exists());
        part.complete(&file).unwrap();
        assert!(path.exists() && !folder.path().join("a.part").exists());
    }

    #[test]
    fn a_file_that_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(PartFile::create(&folder.path().join("a")).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
