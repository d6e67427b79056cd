//! Copying this program into another container's volume.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::part_file::PartFile;

/// The program could not be copied.
#[derive(Debug, thiserror::Error)]
#[error("this program cannot be copied to {}: {source}; check that the folder exists and can be written", .target.display())]
pub struct InstallError {
    target: PathBuf,
    source: io::Error,
}

/// Copies the running program to `target`, mode 0755. It appears there whole or not at all.
pub fn install(target: &Path) -> Result<(), InstallError> {
    copy(target).map_err(|source| InstallError {
        target: target.to_owned(),
        source,
    })
}

fn copy(target: &Path) -> io::Result<()> {
    let mut program = File::open(std::env::current_exe()?)?;
    if fs::metadata(target).is_ok_and(|metadata| metadata.is_dir()) {
        return Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "is a folder; name the file in it",
        ));
    }
    let (part, mut file) = PartFile::create(target)?;
    io::copy(&mut program, &mut file)?;
    file.set_permissions(Permissions::from_mode(0o755))?;
    part.complete(&file)
}
