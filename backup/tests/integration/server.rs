//! A PostgreSQL server for one test, with the roles and the schema of a small clinic.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use medical_backup::postgres::binaries::Binaries;
use nix::unistd::{User, geteuid};
use tempfile::TempDir;

/// How long a test waits for a condition before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// A table of every kind of thing that has been lost by some backup somewhere. Made by `medical_owner`.
const SCHEMA: &str = r#"
CREATE SCHEMA clinic;
CREATE TYPE clinic.blood AS ENUM ('A', 'B', 'AB', '0');
CREATE DOMAIN clinic.percent AS int CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE clinic.patients (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE, sealed bytea, blood clinic.blood,
  share clinic.percent, born date, facts jsonb, initial text GENERATED ALWAYS AS (left(name, 1)) STORED);
CREATE TABLE clinic.visits (
  patient text NOT NULL REFERENCES clinic.patients (name), at timestamptz NOT NULL, note text) PARTITION BY RANGE (at);
CREATE TABLE clinic.visits_2025 PARTITION OF clinic.visits FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE clinic.visits_rest PARTITION OF clinic.visits DEFAULT;
CREATE TABLE clinic."Odd ""name""; DROP TABLE x" ("a b" text);
CREATE TABLE clinic.empty (x int);
CREATE SEQUENCE clinic.numbers START 7 INCREMENT 3;
SELECT nextval('clinic.numbers'), nextval('clinic.numbers');
CREATE VIEW clinic.names AS SELECT name FROM clinic.patients;
CREATE FUNCTION clinic.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'append only'; END $$;
CREATE TABLE clinic.audit (id bigserial PRIMARY KEY, entry text);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON clinic.audit FOR EACH ROW EXECUTE FUNCTION clinic.refuse();
INSERT INTO clinic.patients (name, sealed, blood, share, born, facts)
  SELECT 'Planted ' || n, decode(md5(n::text), 'hex'), 'AB', n % 100, date '1950-01-01' + n, jsonb_build_object('n', n)
  FROM generate_series(1, 500) AS n;
INSERT INTO clinic.visits SELECT 'Planted ' || 1 + n % 500, timestamptz '2024-06-01' + n * interval '1 day', E'line\nend\t\\'
  FROM generate_series(1, 900) AS n;
INSERT INTO clinic."Odd ""name""; DROP TABLE x" VALUES (NULL), (''), ('\N');
INSERT INTO clinic.audit (entry) SELECT 'read ' || n FROM generate_series(1, 50) AS n;
CREATE MATERIALIZED VIEW clinic.counts AS SELECT patient, count(*) FROM clinic.visits GROUP BY patient;
ALTER TABLE clinic.patients ENABLE ROW LEVEL SECURITY;
ALTER TABLE clinic.patients FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON clinic.patients TO medical_app USING (name = current_setting('app.name', true));
GRANT USAGE ON SCHEMA clinic TO medical_app;
GRANT SELECT, INSERT, UPDATE ON clinic.patients, clinic.visits TO medical_app;
GRANT SELECT (entry), INSERT ON clinic.audit TO medical_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA clinic TO medical_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA clinic GRANT SELECT ON TABLES TO medical_app;
SELECT lo_from_bytea(4242, decode(repeat('c0ffee', 5000), 'hex'));
GRANT SELECT ON LARGE OBJECT 4242 TO medical_backup;
"#;

/// Rows of the tables of [`SCHEMA`], large object and views left out.
pub(crate) const ROWS: u64 = 500 + 900 + 3 + 50;

/// A running server below a temporary folder that ends with this value.
pub(crate) struct Server {
    postgres: Option<Child>,
    folder: TempDir,
    binaries: Binaries,
    port: u16,
}

impl Server {
    /// A server with the database `app`, its roles and nothing in it.
    pub(crate) fn start_empty() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("medical-backup-test-")
            .tempdir()
            .unwrap();
        give_away(folder.path());
        let binaries = Binaries::find(None, std::env::var_os("PATH").as_deref())
            .and_then(|binaries| binaries.program("initdb").map(|_| binaries))
            .expect("these tests need PostgreSQL: run `apt-get install postgresql`");
        let mut server = Self {
            postgres: None,
            folder,
            binaries,
            port: 5432,
        };
        server.make_data_folder();
        server.start_up();
        server.sql(
            "postgres",
            "CREATE ROLE medical_owner LOGIN; CREATE ROLE medical_app LOGIN;
             CREATE ROLE medical_backup LOGIN BYPASSRLS PASSWORD 'planted-password';
             GRANT pg_read_all_data TO medical_backup;",
        );
        server.create_database("app");
        server
    }

    /// Copies the data folder that an earlier test made, since `initdb` takes longer than most tests.
    fn make_data_folder(&self) {
        let (user, version) = (nix::unistd::geteuid(), self.binaries.pg_dump_version().unwrap());
        let template = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cluster-{version}-{user}"));
        let data = self.path("data");
        if !template.exists() {
            let mut initdb = self.program("initdb");
            initdb.args([
                "--username=postgres",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
                "--no-sync",
            ]);
            initdb
                .args(["--encoding=UTF8", "--locale=C", "--pgdata"])
                .arg(&data);
            let made = initdb.output().unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            let copy = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            copy_folder(&data, &copy.path().join("data"));
            // Another test may have been faster; its template is as good.
            let _ = fs::rename(copy.path().join("data"), &template);
            return;
        }
        copy_folder(&template, &data);
    }

    /// A server whose database `app` holds the clinic.
    pub(crate) fn start() -> Self {
        let server = Self::start_empty();
        server.sql("app", "CREATE EXTENSION pg_stat_statements;");
        server.sql_as("medical_owner", "app", "CREATE EXTENSION pgcrypto;");
        server.sql_as("medical_owner", "app", SCHEMA);
        server
    }

    /// Starts the server, reachable by its Unix socket alone.
    pub(crate) fn start_up(&mut self) {
        self.start_on(5432, &["listen_addresses="]);
    }

    /// Starts the server on a port, which is in the name of its socket as well.
    pub(crate) fn start_on(&mut self, port: u16, settings: &[&str]) {
        self.port = port;
        let mut postgres = self.program("postgres");
        postgres.arg("-D").arg(self.path("data")).arg("-c").arg(format!(
            "unix_socket_directories={}",
            self.folder.path().display()
        ));
        for setting in ["fsync=off", "max_wal_size=2GB", &format!("port={port}")]
            .iter()
            .chain(settings)
        {
            postgres.args(["-c", setting]);
        }
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        self.postgres = Some(
            postgres
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .unwrap(),
        );
        let ready = || self.try_sql("postgres", "postgres", "SELECT 1").is_ok();
        wait_until("the server answers", ready);
    }

    /// Ends the server at once, as a crash does.
    pub(crate) fn stop(&mut self) {
        if let Some(mut postgres) = self.postgres.take() {
            signal(postgres.id(), nix::sys::signal::Signal::SIGQUIT);
            postgres.wait().unwrap();
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a folder that the program may write.
    pub(crate) fn make_folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).unwrap();
        give_away(&path);
        path
    }

    /// Makes an empty database that belongs to `medical_owner`.
    pub(crate) fn create_database(&self, name: &str) {
        let name = name.replace('"', "\"\"");
        self.sql(
            "postgres",
            &format!("CREATE DATABASE \"{name}\" OWNER medical_owner TEMPLATE template0"),
        );
    }

    /// Runs statements as superuser and gives back what they print.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        self.sql_as("postgres", database, sql)
    }

    pub(crate) fn sql_as(&self, role: &str, database: &str, sql: &str) -> String {
        self.try_sql(role, database, sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub(crate) fn try_sql(&self, role: &str, database: &str, sql: &str) -> Result<String, String> {
        let output = self.psql(role, database).arg("-c").arg(sql).output().unwrap();
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    fn psql(&self, role: &str, database: &str) -> Command {
        let mut psql = self.program("psql");
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "--no-align",
            "--tuples-only",
            "--set=ON_ERROR_STOP=1",
        ]);
        psql.env("PGHOST", self.folder.path())
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", role)
            .env("PGDATABASE", database);
        psql
    }

    /// A command for one of PostgreSQL's programs, as the user that may run a server.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = unprivileged(&self.binaries.program(name).unwrap());
        command.current_dir(self.folder.path());
        command
    }

    /// A transaction that holds a table against everybody until it is dropped.
    pub(crate) fn hold(&self, table: &str) -> Hold {
        let mut psql = self.psql("postgres", "app");
        let mut psql = psql.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let sql = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;\n");
        psql.stdin.as_mut().unwrap().write_all(sql.as_bytes()).unwrap();
        let granted = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation IS NOT NULL
                       AND pid <> pg_backend_pid()";
        wait_until("the table is held", || self.sql("app", granted) != "0");
        Hold(psql)
    }

    /// Waits until a program with this name waits for a lock.
    pub(crate) fn wait_until_blocked(&self, application: &str) {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{application}' AND wait_event_type = 'Lock'"
        );
        wait_until("the dump waits for the held table", || {
            self.sql("app", &sql) != "0"
        });
    }

    /// Everything a restore must bring back: rows by their digest, and the schema as `pg_dump` writes it.
    pub(crate) fn fingerprint(&self, database: &str) -> BTreeMap<String, String> {
        let tables = self.sql(
            database,
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'clinic'
             UNION ALL SELECT format('%I.%I', schemaname, sequencename) FROM pg_sequences WHERE schemaname = 'clinic'",
        );
        let mut found = BTreeMap::new();
        for table in tables.lines() {
            let sql = format!(
                "SELECT count(*), md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM ONLY {table} AS t"
            );
            // A sequence remembers how many values it has given out to a session beforehand.
            let sql = if self.is_sequence(database, table) {
                format!("SELECT last_value, is_called FROM {table}")
            } else {
                sql
            };
            found.insert(table.to_owned(), self.sql(database, &sql));
        }
        let objects = "SELECT oid, lomacl, md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY oid";
        found.insert("large objects".to_owned(), self.sql(database, objects));
        let mut pg_dump = self.program("pg_dump");
        pg_dump
            .env("PGHOST", self.folder.path())
            .env("PGUSER", "postgres")
            .env("PGDATABASE", database);
        let schema = pg_dump
            .args(["--schema-only", "--schema=clinic"])
            .output()
            .unwrap();
        let schema = String::from_utf8(schema.stdout).unwrap();
        let schema: Vec<_> = schema.lines().filter(|line| !line.contains("restrict")).collect();
        assert!(schema.len() > 100);
        found.insert("schema".to_owned(), schema.join("\n"));
        found
    }

    fn is_sequence(&self, database: &str, relation: &str) -> bool {
        let relation = relation.replace('\'', "''");
        self.sql(
            database,
            &format!("SELECT relkind FROM pg_class WHERE oid = '{relation}'::regclass"),
        ) == "S"
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An open transaction.
pub(crate) struct Hold(Child);

impl Drop for Hold {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Copies a folder with owners and modes, which PostgreSQL insists on.
fn copy_folder(from: &Path, to: &Path) {
    assert!(
        Command::new("cp")
            .arg("-a")
            .arg(from)
            .arg(to)
            .status()
            .unwrap()
            .success()
    );
}

/// Polls until `condition` holds, and fails the test when it does not within [`DEADLINE`].
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn signal(pid: u32, signal: nix::sys::signal::Signal) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, signal).unwrap();
}

/// Whom to run as when the tests are run by root, whom PostgreSQL refuses.
pub(crate) fn unprivileged_user() -> Option<User> {
    geteuid().is_root().then(|| {
        let names = ["postgres", "nobody"];
        names
            .iter()
            .find_map(|name| User::from_name(name).unwrap())
            .expect("a user other than root")
    })
}

/// Makes a file belong to whoever runs the program.
pub(crate) fn give_away(path: &Path) {
    if let Some(user) = unprivileged_user() {
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    }
}

/// A command that runs as an ordinary user.
pub(crate) fn unprivileged(program: &Path) -> Command {
    let mut command = match unprivileged_user() {
        None => Command::new(program),
        Some(user) => {
            let mut command = Command::new("setpriv");
            command
                .arg(format!("--reuid={}", user.uid))
                .arg(format!("--regid={}", user.gid));
            command.arg("--clear-groups").arg(program);
            command
        }
    };
    // libpq looks for certificates in the home folder, which is not this user's.
    command.env("HOME", "/");
    for name in [
        "PGHOST",
        "PGPORT",
        "PGDATABASE",
        "PGUSER",
        "PGPASSWORD",
        "PGSSLMODE",
        "PGSSLROOTCERT",
    ] {
        command.env_remove(name);
    }
    command
}
