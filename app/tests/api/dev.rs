//! `medical-app dev`: what it prints works as it is printed, and nothing is left of it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

use crate::cluster::{Cluster, PASSWORD, free_port};
use crate::deployment::{ClusterRef, Deployment, run};
use crate::waiting::until;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md");
/// With this variable the tour is written into the document instead of being compared with it.
const WRITE: &str = "WRITE_API_TOUR";
const BEGIN: &str = "<!-- tour: begin -->\n";
/// Header fields whose values depend on the time.
const VARYING: [&str; 3] = ["date: ", "content-length: ", "ratelimit: "];
const END: &str = "<!-- tour: end -->";

/// A temporary directory with the rights of /tmp: PostgreSQL's own user makes and removes files, too.
fn surroundings() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o1777)).unwrap();
    directory
}

fn dev(temporary: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_medical-app"));
    command
        .arg("dev")
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("TMPDIR", temporary);
    command
}

/// The program, serving.
struct Dev {
    child: Child,
    temporary: TempDir,
    printed: String,
}

impl Dev {
    async fn start(arguments: &[&str]) -> Self {
        let temporary = surroundings();
        Self::of(dev(temporary.path(), arguments), temporary).await
    }

    async fn of(mut command: Command, temporary: TempDir) -> Self {
        let output = temporary.path().join("output");
        let child = command
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&output).unwrap())
            .spawn()
            .unwrap();
        let mut this = Self {
            child,
            temporary,
            printed: String::new(),
        };
        this.printed = until("the tour", async || {
            assert!(this.child.try_wait().unwrap().is_none(), "it ended");
            let printed = std::fs::read_to_string(&output).unwrap();
            printed.contains("Ctrl-C ends everything").then_some(printed)
        })
        .await;
        std::fs::remove_file(output).unwrap();
        this
    }

    fn port(&self) -> u16 {
        let (_, rest) = self.printed.split_once("https://localhost:").unwrap();
        rest.lines().next().unwrap().parse().unwrap()
    }

    /// Sends the signal and waits for the end.
    async fn end(&mut self, signal: &str) -> i32 {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
        until("the end of the program", async || {
            self.child.try_wait().unwrap()?.code()
        })
        .await
    }

    async fn assert_nothing_is_left(&self) {
        let left: Vec<PathBuf> = std::fs::read_dir(self.temporary.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(left.is_empty(), "{left:?}");
        // What took the directory away ends just after that.
        until("no process of it is left", async || {
            processes_of(self.temporary.path()).is_empty().then_some(())
        })
        .await;
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended; PostgreSQL ends with it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The command lines that name something in this directory.
fn processes_of(directory: &Path) -> Vec<String> {
    let output = run(
        {
            let mut command = Command::new("ps");
            command.args(["-A", "-ww", "-o", "args="]);
            command
        },
        "",
    );
    let directory = directory.to_str().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter(|line| line.contains(directory))
        .map(str::to_owned)
        .collect()
}

/// A line of the tour.
struct Line {
    title: String,
    status: String,
    command: String,
}

fn tour(printed: &str) -> Vec<Line> {
    let lines: Vec<_> = printed.lines().collect();
    lines
        .windows(2)
        .filter(|pair| pair[1].starts_with("curl "))
        .map(|pair| {
            let (title, status) = pair[0].strip_prefix("# ").unwrap().rsplit_once(" (").unwrap();
            Line {
                title: title.to_owned(),
                status: status.trim_end_matches(')').to_owned(),
                command: pair[1].to_owned(),
            }
        })
        .collect()
}

fn shell(command: &str) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    run(shell, "")
}

#[tokio::test]
async fn every_line_of_the_tour_works_as_printed_and_the_documentation_shows_what_it_prints() {
    let mut dev = Dev::start(&["--port", &free_port().to_string()]).await;
    let lines = tour(&dev.printed);
    assert_eq!(lines.len(), dev.printed.matches("\ncurl ").count());
    assert!(lines.len() > 20, "{}", lines.len());
    let mut places = Places::of(&dev);
    let mut document = String::new();
    for line in &lines {
        let output = shell(&line.command);
        assert!(output.status.success(), "{}: {output:?}", line.command);
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(
            printed.lines().any(|printed| printed == line.status),
            "{} ({}): {printed}",
            line.title,
            line.status
        );
        write!(
            document,
            "### {}\n\n```console\n$ {}\n{}\n```\n\n",
            line.title,
            places.settle(&line.command),
            places.settle(printed.trim())
        )
        .unwrap();
    }

    // Who takes part, and what they must not see.
    let titles = |wanted: &str| lines.iter().find(|line| line.title.contains(wanted)).unwrap();
    let foreign = shell(&titles("nobody's notes").command);
    assert!(!String::from_utf8(foreign.stdout).unwrap().contains("Invented"));
    assert_eq!(dev.end("-INT").await, 0);
    dev.assert_nothing_is_left().await;

    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(DOCUMENT, format!("{before}{BEGIN}\n{document}{END}{after}")).unwrap();
    } else {
        assert_eq!(
            shown.trim(),
            document.trim(),
            "docs/api.md is not what the tour prints; write it with the command at its head"
        );
    }
}

/// Replaces what differs from run to run by what stays.
struct Places {
    names: BTreeMap<String, String>,
    ids: Vec<Uuid>,
}

impl Places {
    fn of(dev: &Dev) -> Self {
        let between = |begin: &str, end: char| {
            let (_, rest) = dev.printed.split_once(begin).unwrap();
            rest.split(end).next().unwrap().to_owned()
        };
        let directory = between("removes ", '\n').trim_end_matches('.').to_owned();
        let metrics = between("http://localhost:", '/');
        Self {
            names: BTreeMap::from([
                (directory, "/tmp/medical-app-dev".to_owned()),
                (format!("localhost:{}", dev.port()), "localhost:8443".to_owned()),
                (format!("localhost:{metrics}"), "localhost:9090".to_owned()),
            ]),
            ids: Vec::new(),
        }
    }

    fn settle(&mut self, text: &str) -> String {
        let mut text = text.replace('\r', "");
        for (varying, settled) in &self.names {
            text = text.replace(varying, settled);
        }
        let lines: Vec<_> = text
            .lines()
            .filter(|line| !VARYING.iter().any(|header| line.starts_with(header)))
            .map(|line| self.words(line))
            .collect();
        lines.join("\n")
    }

    /// The line with ids by number, times and tokens.
    fn words(&mut self, line: &str) -> String {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '.' | '_');
        let mut settled = String::new();
        let mut rest = line;
        while let Some(start) = rest.find(is_part) {
            let end = rest[start..]
                .find(|c| !is_part(c))
                .map_or(rest.len(), |length| start + length);
            settled.push_str(&rest[..start]);
            let word = &rest[start..end];
            settled.push_str(&self.word(word));
            rest = &rest[end..];
        }
        settled + rest
    }

    fn word(&mut self, word: &str) -> String {
        if let Ok(id) = word.parse::<Uuid>() {
            let number = self.ids.iter().position(|known| *known == id).unwrap_or_else(|| {
                self.ids.push(id);
                self.ids.len() - 1
            });
            return format!("00000000-0000-7000-8000-{:012}", number + 1);
        }
        if word.parse::<jiff::Timestamp>().is_ok() {
            return "2026-01-01T00:00:00Z".to_owned();
        }
        // Tokens and cursors are the only long words with capitals.
        if word.len() >= 22 && word.contains(|c: char| c.is_ascii_uppercase()) {
            return "…".to_owned();
        }
        word.to_owned()
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_when_it_was_asked_for_and_avoided_when_not() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let temporary = surroundings();
    let output = run(dev(temporary.path(), &["--port", &port]), "");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains(&format!("--port {port}: ")) && said.contains("leave it out"),
        "{said}"
    );

    // It fails where somebody else has the usual one, which is as good.
    let _usual = TcpListener::bind("127.0.0.1:8443");
    let mut dev = Dev::start(&[]).await;
    assert_ne!(dev.port(), 8443);
    assert!(shell(&tour(&dev.printed)[0].command).status.success());
    assert_eq!(dev.end("-TERM").await, 0);
    dev.assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_signal_while_it_starts_leaves_nothing_either_and_neither_does_its_sudden_death() {
    for (signal, died) in [("-INT", false), ("-KILL", true)] {
        let temporary = surroundings();
        let child = dev(temporary.path(), &[]).stdout(Stdio::null()).spawn().unwrap();
        let mut dev = Dev {
            child,
            temporary,
            printed: String::new(),
        };
        until("PostgreSQL to be made", async || {
            (!processes_of(dev.temporary.path()).is_empty()).then_some(())
        })
        .await;
        if died {
            dev.child.kill().unwrap();
            dev.child.wait().unwrap();
            // Its own files stay, and open nothing any more; the data and who served them are gone.
            until("the end of PostgreSQL", async || {
                let data = std::fs::read_dir(dev.temporary.path())
                    .unwrap()
                    .any(|entry| entry.unwrap().file_name().to_str().unwrap().contains("postgres"));
                (!data && processes_of(dev.temporary.path()).is_empty()).then_some(())
            })
            .await;
        } else {
            assert_eq!(dev.end(signal).await, 0);
            dev.assert_nothing_is_left().await;
        }
    }
}

#[tokio::test]
async fn a_database_that_is_there_already_is_used_when_it_is_empty_and_confirmed_and_is_kept() {
    let deployment = Deployment::unmigrated(ClusterRef::Shared(Cluster::shared().await)).await;
    let name = deployment.database.as_str();
    let url = format!(
        "postgres://medical_owner@localhost:{}/{name}?sslrootcert={}",
        deployment.cluster.port,
        deployment.cluster.directory.join("ca.crt").display()
    );
    let password = deployment.directory.path().join("password");
    let serving = ["--serving-password-file", password.to_str().unwrap()];
    let confirmed = ["--confirm-database", name];
    let temporary = surroundings();
    let command = |arguments: &[&[&str]]| {
        let mut command = dev(temporary.path(), &arguments.concat());
        command.env("DATABASE_URL", &url).env("PGPASSWORD", PASSWORD);
        command
    };
    let refused = |arguments: &[&[&str]]| {
        let output = run(command(arguments), "");
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!said.contains(PASSWORD), "{said}");
        said
    };
    let said = refused(&[]);
    assert!(said.contains(&format!("add --confirm-database {name}")), "{said}");
    // The role serves others on this server, so that its password is not changed.
    let said = refused(&[&confirmed]);
    assert!(said.contains("--serving-password-file"), "{said}");
    let in_arguments = url.replace("medical_owner@", "medical_owner:hunter2@");
    let said = refused(&[&["--database-url", &in_arguments], &confirmed]);
    assert!(said.contains("PGPASSWORD") && !said.contains("hunter2"), "{said}");

    let mut serving_dev = Dev::of(command(&[&confirmed, &serving]), surroundings()).await;
    assert!(shell(&tour(&serving_dev.printed)[0].command).status.success());
    assert!(
        serving_dev
            .printed
            .contains("The database keeps what was written")
    );
    assert_eq!(serving_dev.end("-INT").await, 0);
    let count = async || -> i64 {
        let mut superuser = deployment.connect("postgres").await;
        sqlx::query_scalar("SELECT count(*) FROM patient")
            .fetch_one(&mut superuser)
            .await
            .unwrap()
    };
    assert_eq!(count().await, 3);
    let said = refused(&[&confirmed, &serving]);
    assert!(said.contains("is not empty, and nothing was changed"), "{said}");
    assert_eq!(count().await, 3);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn without_postgresql_it_says_how_to_install_it_and_leaves_nothing() {
    let temporary = surroundings();
    let empty = tempfile::tempdir().unwrap();
    let programs = empty.path().to_str().unwrap();
    let output = run(dev(temporary.path(), &["--postgres-programs", programs]), "");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("sudo apt-get install --no-install-recommends postgresql"),
        "{said}"
    );
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn where_patients_are_real_it_does_nothing() {
    let temporary = surroundings();
    for environment in ["production", "staging"] {
        let mut command = dev(temporary.path(), &[]);
        command.env("ENVIRONMENT", environment);
        let output = run(command, "");
        assert_eq!(output.status.code(), Some(1));
        assert!(
            String::from_utf8(output.stderr)
                .unwrap()
                .contains("ENVIRONMENT: ")
        );
    }
}

#[test]
fn every_problem_code_is_documented_and_no_other() {
    let description = include_str!("../../openapi.json");
    let description: Value = serde_json::from_str(description).unwrap();
    let mut known: Vec<_> = description["components"]["schemas"]["ProblemCode"]["enum"]
        .as_array()
        .unwrap()
        .iter()
        .map(|code| code.as_str().unwrap())
        .collect();
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let (_, section) = text.split_once("## Problems").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut documented: Vec<_> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    known.sort_unstable();
    documented.sort_unstable();
    assert_eq!(documented, known);
}
