//! A PostgreSQL for one run, from the machine's own programs: TLS and passwords on loopback, data in a temporary
//! directory.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::unistd::User;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tempfile::TempDir;
use tokio::process::{Child, ChildStdin, Command};
use zeroize::Zeroizing;

use super::database::{Database, SERVING_ROLE, create_role};
use super::directory::{Directory, random_text, write_private};
use super::free_port;
use crate::{Failure, failed};

/// Where Debian's packages put the programs, one directory a version.
const PACKAGES: &str = "/usr/lib/postgresql";
/// The user as whom PostgreSQL runs when the program is run as root, which PostgreSQL refuses; the package makes it.
const USER: &str = "postgres";
/// What to do when there is no PostgreSQL.
const REMEDY: &str = "install it with: sudo apt-get install --no-install-recommends postgresql; or name the directory of \
                      its programs with --postgres-programs, or an empty database with --database-url";

const OWNER: &str = "medical_owner";
const DATABASE: &str = "app";

/// Time between two looks at a PostgreSQL that is starting.
const LOOK: Duration = Duration::from_millis(50);
/// Longest time for it to start.
const LONGEST_START: Duration = Duration::from_mins(1);
/// Longest time for it to end; when it is being made, that is finished first.
const LONGEST_END: Duration = Duration::from_secs(30);

/// The directory of PostgreSQL's programs.
///
/// # Errors
/// There are none; with the remedy.
pub fn programs(named: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(directory) = named {
        return Some(directory.to_owned())
            .filter(|directory| is_complete(directory))
            .ok_or_else(|| {
                failed(format!(
                    "--postgres-programs: there is no PostgreSQL in {}; {REMEDY}",
                    directory.display()
                ))
            });
    }
    newest_package(Path::new(PACKAGES))
        .or_else(|| in_path(std::env::var_os("PATH").as_deref()?))
        .ok_or_else(|| {
            failed(format!(
                "PostgreSQL's server programs are not installed; {REMEDY}"
            ))
        })
}

fn is_complete(directory: &Path) -> bool {
    ["initdb", "postgres"]
        .iter()
        .all(|program| directory.join(program).is_file())
}

fn newest_package(packages: &Path) -> Option<PathBuf> {
    std::fs::read_dir(packages)
        .ok()?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, directory)| is_complete(directory))
        .max()
        .map(|(_, directory)| directory)
}

fn in_path(path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).find(|directory| is_complete(directory))
}

/// A running PostgreSQL.
pub struct Postgres {
    directory: TempDir,
    port: u16,
    password: Zeroizing<String>,
    supervisor: Child,
    /// Its end is what the supervisor waits for.
    input: ChildStdin,
}

impl Postgres {
    /// Starts it; whether it came up is for [`Self::prepare`] to find out.
    pub fn launch(directory: &Directory, programs: PathBuf) -> Result<Self, Failure> {
        let own = TempDir::with_prefix("medical-app-dev-postgres-").map_err(failed)?;
        let password = random_text::<24>()?;
        let path = |name: &str| own.path().join(name);
        write_private(&path("password"), &password)?;
        directory.write_identity(&path("server.crt"), &path("server.key"))?;
        let port = free_port()?;
        let mut command = Command::new("sh");
        command
            .args(["-c", include_str!("supervisor.sh"), "sh"])
            .arg(own.path())
            .arg(programs)
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for us: the server still has requests to answer.
            .process_group(0);
        if own.path().metadata().map_err(failed)?.uid() == 0 {
            let user = User::from_name(USER).map_err(failed)?.ok_or_else(|| {
                failed(format!(
                    "PostgreSQL does not run as root, and there is no user {USER}; run this as another user"
                ))
            })?;
            let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
            for path in [
                own.path().to_owned(),
                path("password"),
                path("server.crt"),
                path("server.key"),
            ] {
                chown(path, Some(uid), Some(gid)).map_err(failed)?;
            }
            command.uid(uid).gid(gid);
        }
        let mut supervisor = command.spawn().map_err(failed)?;
        let input = supervisor
            .stdin
            .take()
            .ok_or_else(|| failed("the supervisor of PostgreSQL has no input"))?;
        Ok(Self {
            directory: own,
            port,
            password,
            supervisor,
            input,
        })
    }

    /// Waits until it answers, and makes roles and an empty database.
    pub async fn prepare(&mut self, directory: &Directory) -> Result<Database, Failure> {
        let mut superuser = self.connect(directory).await?;
        let (owner, serving) = (random_text::<24>()?, random_text::<24>()?);
        for statement in [
            // Passwords belong into no log.
            "SET log_min_error_statement = panic".to_owned(),
            create_role(OWNER, &owner),
            create_role(SERVING_ROLE, &serving),
            format!("CREATE DATABASE {DATABASE} OWNER {OWNER}"),
        ] {
            sqlx::query(AssertSqlSafe(statement))
                .execute(&mut superuser)
                .await
                .map_err(failed)?;
        }
        superuser.close().await.map_err(failed)?;
        Ok(Database {
            host: "localhost".to_owned(),
            port: self.port,
            name: DATABASE.to_owned(),
            owner: OWNER.to_owned(),
            owner_password: directory.write("owner-password", &owner)?,
            serving_password: directory.write("serving-password", &serving)?,
            authority: Some(directory.authority()),
            keeps_data: false,
        })
    }

    async fn connect(&mut self, directory: &Directory) -> Result<PgConnection, Failure> {
        let options = PgConnectOptions::new_without_pgpass()
            .host("localhost")
            .port(self.port)
            .username("postgres")
            .password(&self.password)
            .database("postgres")
            .ssl_mode(PgSslMode::VerifyFull)
            .ssl_root_cert(directory.authority())
            .disable_statement_logging();
        let deadline = tokio::time::Instant::now() + LONGEST_START;
        loop {
            match options.connect().await {
                Ok(connection) => return Ok(connection),
                Err(error) => {
                    let ended = self.supervisor.try_wait().map_err(failed)?.is_some();
                    if ended || tokio::time::Instant::now() > deadline {
                        return Err(failed(format!("PostgreSQL did not start: {}", self.said(&error))));
                    }
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The last line that it wrote, else the error.
    fn said(&self, error: &sqlx::Error) -> String {
        ["postgres.log", "initdb.log"]
            .iter()
            .filter_map(|name| std::fs::read_to_string(self.directory.path().join(name)).ok())
            .find_map(|text| {
                text.lines()
                    .rfind(|line| !line.trim().is_empty())
                    .map(str::to_owned)
            })
            .unwrap_or_else(|| error.to_string())
    }

    /// Ends it and takes its directory away.
    pub async fn stop(mut self) -> Result<(), Failure> {
        drop(self.input);
        if tokio::time::timeout(LONGEST_END, self.supervisor.wait())
            .await
            .is_err()
        {
            return Err(failed(format!(
                "PostgreSQL does not end; end it and remove {}",
                self.directory.keep().display()
            )));
        }
        // The supervisor has emptied it.
        match self.directory.close() {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(directory: &Path) {
        std::fs::create_dir_all(directory).unwrap();
        for program in ["initdb", "postgres"] {
            std::fs::write(directory.join(program), "").unwrap();
        }
    }

    #[test]
    fn the_newest_version_is_taken_and_one_without_a_server_is_not() {
        let packages = tempfile::tempdir().unwrap();
        assert_eq!(newest_package(packages.path()), None);
        for version in ["9", "17", "16"] {
            install(&packages.path().join(version).join("bin"));
        }
        // Only the client of 18 is there.
        std::fs::create_dir_all(packages.path().join("18/bin")).unwrap();
        assert_eq!(
            newest_package(packages.path()),
            Some(packages.path().join("17/bin"))
        );
    }

    #[test]
    fn the_programs_are_found_in_the_path() {
        let home = tempfile::tempdir().unwrap();
        let (empty, full) = (home.path().join("empty"), home.path().join("full"));
        std::fs::create_dir(&empty).unwrap();
        install(&full);
        let path = std::env::join_paths([&empty, &full]).unwrap();
        assert_eq!(in_path(&path), Some(full));
        assert_eq!(in_path(empty.as_os_str()), None);
    }
}
