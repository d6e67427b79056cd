//! A PostgreSQL of the tests' own: TLS only, passwords only, as an unprivileged user, gone with the test process.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use crate::authority::Authority;
use crate::waiting::until;

/// Password of the superuser and of both roles; it guards synthetic data on loopback for some seconds.
pub(crate) const PASSWORD: &str = "Zq4-only-for-the-tests-of-this-run";

/// Runs PostgreSQL until its standard input ends, which happens with the test process however that ends.
const SUPERVISOR: &str = r#"
set -eu
trap '' INT HUP TERM
cd "$1"
"$2/initdb" -D data -U postgres --auth=scram-sha-256 --pwfile=password --no-sync >initdb.log
printf 'hostssl all all 127.0.0.1/32 scram-sha-256\n' >data/pg_hba.conf
"$2/postgres" -D data -c listen_addresses=127.0.0.1 -c "port=$3" -c unix_socket_directories= \
    -c ssl=on -c "ssl_cert_file=$1/server.crt" -c "ssl_key_file=$1/server.key" -c ssl_min_protocol_version=TLSv1.3 \
    -c fsync=off -c max_connections=300 -c log_statement=all -c log_parameter_max_length=-1 >postgres.log 2>&1 &
child=$!
read -r _ || true
kill -QUIT $child
wait $child || true
cd /
rm -rf "$1"
"#;

pub(crate) struct Cluster {
    pub(crate) port: u16,
    pub(crate) directory: PathBuf,
    binaries: PathBuf,
    supervisor: Mutex<Option<(Child, ChildStdin)>>,
}

impl Cluster {
    /// The one that the tests share.
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        static STARTED: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
        let cluster = SHARED.get_or_init(Self::launch);
        STARTED.get_or_init(|| cluster.prepare()).await;
        cluster
    }

    /// One for a test that disturbs others.
    pub(crate) async fn own() -> Self {
        let cluster = Self::launch();
        cluster.prepare().await;
        cluster
    }

    fn launch() -> Self {
        let binaries = binaries();
        let directory = tempfile::Builder::new()
            .prefix("medical-app-postgres-")
            .tempdir()
            .unwrap()
            .keep();
        let authority = Authority::new();
        std::fs::write(directory.join("ca.crt"), authority.certificate()).unwrap();
        std::fs::write(directory.join("password"), PASSWORD).unwrap();
        authority
            .identity()
            .write(&directory.join("server.crt"), &directory.join("server.key"));
        std::fs::set_permissions(directory.join("server.key"), PermissionsExt::from_mode(0o600)).unwrap();
        // Readable for the test's own user, too: the server's log is searched for what must not be in it.
        std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o755)).unwrap();

        let port = free_port();
        let mut command = as_unprivileged(&directory);
        command.args(["sh", "-c", SUPERVISOR, "sh"]);
        command
            .arg(&directory)
            .arg(&binaries)
            .arg(port.to_string())
            .stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take().unwrap();
        Self {
            port,
            directory,
            binaries,
            supervisor: Mutex::new(Some((child, input))),
        }
    }

    async fn prepare(&self) {
        let mut connection = until("PostgreSQL", async || {
            self.options("postgres", PASSWORD, "postgres")
                .connect()
                .await
                .ok()
        })
        .await;
        for role in ["medical_owner", "medical_app"] {
            let statement = format!("CREATE ROLE {role} LOGIN NOBYPASSRLS PASSWORD '{PASSWORD}'");
            sqlx::query(AssertSqlSafe(statement))
                .execute(&mut connection)
                .await
                .unwrap();
        }
        connection.close().await.unwrap();
    }

    /// How to connect to a database.
    pub(crate) fn options(&self, role: &str, password: &str, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("localhost")
            .port(self.port)
            .username(role)
            .password(password)
            .database(database)
            .ssl_mode(PgSslMode::VerifyFull)
            .ssl_root_cert(self.directory.join("ca.crt"))
    }

    /// A connection of the superuser.
    pub(crate) async fn superuser(&self, database: &str) -> PgConnection {
        self.options("postgres", PASSWORD, database)
            .connect()
            .await
            .unwrap()
    }

    /// One of PostgreSQL's own programs, ready to connect as the superuser.
    pub(crate) fn program(&self, name: &str, database: &str) -> Command {
        let mut command = Command::new(self.binaries.join(name));
        command
            .env("PGHOST", "localhost")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", "postgres")
            .env("PGPASSWORD", PASSWORD)
            .env("PGDATABASE", database)
            .env("PGSSLMODE", "verify-full")
            .env("PGSSLROOTCERT", self.directory.join("ca.crt"));
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some((mut child, input)) = self.supervisor.lock().unwrap().take() {
            drop(input);
            child.wait().unwrap();
        }
    }
}

fn binaries() -> PathBuf {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, path)| path.join("postgres").exists())
        .collect();
    found.sort();
    let (_, newest) = found.pop().expect(
        "these tests need PostgreSQL's server programs; install them with: apt-get install --no-install-recommends postgresql",
    );
    newest
}

/// PostgreSQL refuses to run as root; the package brings a user for it.
fn as_unprivileged(directory: &Path) -> Command {
    let id = |option: &str, user: &[&str]| {
        let output = Command::new("id").arg(option).args(user).output().unwrap();
        String::from_utf8(output.stdout)
            .unwrap()
            .trim()
            .parse::<u32>()
            .unwrap()
    };
    if id("-u", &[]) != 0 {
        return Command::new("env");
    }
    let (user, group) = (id("-u", &["postgres"]), id("-g", &["postgres"]));
    for path in [directory.to_owned(), directory.join("server.key")] {
        chown(path, Some(user), Some(group)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args([
        format!("--reuid={user}"),
        format!("--regid={group}"),
        "--clear-groups".to_owned(),
    ]);
    command
}

pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
