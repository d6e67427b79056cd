//! Finding PostgreSQL's programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where Debian and the operand image install the programs, below a folder named by the major version.
const DEBIAN_ROOT: &str = "/usr/lib/postgresql";

/// The folder that holds `pg_dump`, `pg_restore`, `psql`, and for verifying `initdb` and `postgres`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    directory: PathBuf,
}

/// PostgreSQL's programs are missing or do not answer.
#[derive(Debug, thiserror::Error)]
pub enum BinariesError {
    /// Nothing was found.
    #[error(
        "pg_dump was found neither in PATH nor below {DEBIAN_ROOT}: run this in the database's own image, \
         name the folder with --bin-dir, or install it (`apt-get install postgresql`)"
    )]
    NotFound,
    /// One program is missing beside the others.
    #[error("{} is missing: use an image or package that holds PostgreSQL's server and client programs", .0.display())]
    Missing(PathBuf),
    /// `--version` failed.
    #[error("`{} --version` gave no version", .0.display())]
    NoVersion(PathBuf),
}

impl Binaries {
    /// The programs in `directory`, or found in `PATH`, or of the newest major version below `/usr/lib/postgresql`.
    ///
    /// A `pg_dump` in `PATH` that is Debian's Perl wrapper is passed over: images that lack its modules hold it
    /// all the same.
    pub fn find(directory: Option<&Path>, path: Option<&OsStr>) -> Result<Self, BinariesError> {
        if let Some(directory) = directory {
            let binaries = Self {
                directory: directory.to_owned(),
            };
            binaries.program("pg_dump")?;
            return Ok(binaries);
        }
        let in_path = path.into_iter().flat_map(std::env::split_paths);
        in_path
            .chain(debian_directories())
            .filter(|directory| is_real_program(&directory.join("pg_dump")))
            .map(|directory| Self { directory })
            .next()
            .ok_or(BinariesError::NotFound)
    }

    /// The path of one program.
    pub fn program(&self, name: &str) -> Result<PathBuf, BinariesError> {
        let path = self.directory.join(name);
        if path.is_file() {
            Ok(path)
        } else {
            Err(BinariesError::Missing(path))
        }
    }

    /// The version of `pg_dump`, such as `17.12`.
    pub fn pg_dump_version(&self) -> Result<String, BinariesError> {
        let program = self.program("pg_dump")?;
        let output = Command::new(&program)
            .arg("--version")
            .stdin(Stdio::null())
            .output();
        output
            .ok()
            .filter(|output| output.status.success())
            .and_then(|output| version_in(&String::from_utf8_lossy(&output.stdout)))
            .ok_or(BinariesError::NoVersion(program))
    }
}

/// The version in `pg_dump (PostgreSQL) 17.12 (Debian 17.12-1)`.
fn version_in(text: &str) -> Option<String> {
    let (_, rest) = text.split_once(") ")?;
    rest.split_whitespace().next().map(str::to_owned)
}

/// The major version in `17.12`, `17beta1` or `17`.
pub fn major(version: &str) -> Option<u32> {
    let digits = version
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(version.len());
    version[..digits].parse().ok()
}

fn is_real_program(path: &Path) -> bool {
    path.canonicalize()
        .is_ok_and(|real| real.is_file() && real.file_name() != Some(OsStr::new("pg_wrapper")))
}

fn debian_directories() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(DEBIAN_ROOT) else {
        return Vec::new();
    };
    let mut majors: Vec<u32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    majors.sort_unstable_by(|a, b| b.cmp(a));
    majors
        .iter()
        .map(|major| Path::new(DEBIAN_ROOT).join(major.to_string()).join("bin"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_version_is_read_from_what_debian_and_upstream_print() {
        assert_eq!(
            version_in("pg_dump (PostgreSQL) 17.12 (Debian 17.12-1)\n").unwrap(),
            "17.12"
        );
        assert_eq!(version_in("pg_dump (PostgreSQL) 18beta1\n").unwrap(), "18beta1");
        assert_eq!(major("18beta1"), Some(18));
        assert_eq!(major("17.12 (Debian)"), Some(17));
        assert_eq!(major("devel"), None);
    }

    #[test]
    fn a_perl_wrapper_in_path_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let (wrapped, real) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::create_dir_all(&wrapped).unwrap();
        std::fs::create_dir_all(&real).unwrap();
        std::fs::write(folder.path().join("pg_wrapper"), "").unwrap();
        symlink(folder.path().join("pg_wrapper"), wrapped.join("pg_dump")).unwrap();
        std::fs::write(real.join("pg_dump"), "").unwrap();
        let path = std::env::join_paths([&wrapped, &real]).unwrap();
        assert_eq!(Binaries::find(None, Some(&path)).unwrap().directory, real);
    }

    #[test]
    fn a_named_folder_without_pg_dump_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = Binaries::find(Some(folder.path()), None).unwrap_err();
        assert!(matches!(error, BinariesError::Missing(path) if path.ends_with("pg_dump")));
    }
}
