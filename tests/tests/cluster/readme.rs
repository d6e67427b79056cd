//! The README, run: every command in it, as it is written there.

use std::{fs, os::unix::fs::symlink};

use anyhow::ensure;
use medical_tests::{
    Lab,
    api::{ApiClient, PASSWORD},
    commands::run,
    eventually,
    namespace::in_namespace_to_make,
    waiting::seconds,
};
use tempfile::TempDir;

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The beginnings of lines that cannot be run here, each with the reason, or the test that runs them.
const NOT_RUN_HERE: [(&str, &str); 6] = [
    ("cargo xtask up", "made what this test runs in"),
    ("cargo xtask test", "runs this test"),
    (
        "helm upgrade --install medical-operator ",
        "z_disruptions::the_chart_is_upgraded_uninstalled_and_installed_again_without_touching_a_pod",
    ),
    (
        "helm uninstall medical-operator ",
        "z_disruptions::the_chart_is_upgraded_uninstalled_and_installed_again_without_touching_a_pod",
    ),
    (
        "kubectl apply --server-side -f manifests/install.yaml",
        "install_manifest::the_manifest_is_applied_as_a_whole_and_again_without_a_change",
    ),
    (
        "cargo run -p medical-app -- dev",
        "dev::every_line_of_the_tour_works_as_printed_and_the_documentation_shows_what_it_prints",
    ),
];

/// What differs in the cluster that tests run in: its kubectl and our plugin are in the path.
const PREFIXES: [(&str, &str); 2] = [
    ("cargo xtask kubectl ", "kubectl "),
    ("cargo run -p kubectl-medical -- ", "kubectl medical "),
];

/// A line to copy, with what the README says that it prints.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Command {
    line: String,
    output: Vec<String>,
}

/// The commands of the indented blocks, block by block. In a block with prompts the other lines are output.
fn blocks(text: &str) -> Vec<Vec<Command>> {
    let mut blocks: Vec<Vec<&str>> = vec![vec![]];
    let mut fenced = false;
    for line in text.lines() {
        fenced ^= line.starts_with("```");
        match line.strip_prefix("    ") {
            Some(code) if !fenced => blocks.last_mut().expect("a block").push(code),
            _ => blocks.push(vec![]),
        }
    }
    blocks.retain(|lines| !lines.is_empty());
    blocks.iter().map(|lines| commands(lines)).collect()
}

fn commands(lines: &[&str]) -> Vec<Command> {
    let prompts = lines.iter().any(|line| line.starts_with("$ "));
    let mut commands: Vec<Command> = Vec::new();
    let mut continued = false;
    for line in lines {
        let code = line.strip_prefix("$ ").unwrap_or(line);
        match commands.last_mut() {
            Some(last) if continued => {
                last.line = format!("{} {}", last.line.trim_end_matches(['\\', ' ']), code.trim());
            }
            Some(last) if prompts && code == *line => last.output.push(code.to_owned()),
            _ => commands.push(Command {
                line: code.to_owned(),
                output: vec![],
            }),
        }
        continued = code.ends_with('\\');
    }
    commands
}

fn readme() -> Vec<Vec<Command>> {
    blocks(&fs::read_to_string(format!("{REPOSITORY}/README.md")).expect("the README"))
}

/// Where the reader is: a copy of what the README names, with our plugin in the path.
struct Desk {
    folder: TempDir,
    namespace: String,
}

impl Desk {
    fn new(namespace: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let plugin = std::env::var("MEDOPS_TEST_KUBECTL_MEDICAL").expect("run by `cargo xtask test`");
        symlink(plugin, folder.path().join("kubectl-medical")).expect("the plugin");
        symlink(format!("{REPOSITORY}/manifests"), folder.path().join("manifests")).expect("the manifests");
        fs::write(folder.path().join("password.txt"), PASSWORD).expect("a password");
        Self {
            folder,
            namespace: namespace.to_owned(),
        }
    }

    /// The line with the test's own namespace for those of the README.
    fn here(&self, text: &str) -> String {
        let namespace = self.namespace.as_str();
        text.replace("medical-sample", namespace)
            .replace("-n clinic", &format!("-n {namespace}"))
            .replace("namespace clinic", &format!("namespace {namespace}"))
    }

    /// Runs a line in a shell and returns what it printed; to print nothing is to fail.
    fn run(&self, line: &str) -> anyhow::Result<String> {
        let line = PREFIXES
            .iter()
            .find_map(|(written, here)| Some(format!("{here}{}", line.strip_prefix(written)?)))
            .unwrap_or_else(|| line.to_owned());
        let folder = self.folder.path().to_str().expect("a path");
        let script = format!("cd {folder}\nPATH={folder}:$PATH\n{}", self.here(&line));
        let printed = run("sh", &["-ec", &script])?;
        ensure!(!printed.trim().is_empty(), "{line} printed nothing");
        Ok(printed)
    }

    /// The words of the heading and of our own line in a table, but for the age.
    fn table<'a>(&self, lines: impl Iterator<Item = &'a str>) -> anyhow::Result<(Vec<String>, Vec<String>)> {
        let mut rows = lines.map(|line| {
            self.here(line)
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        });
        let heading = rows.next().unwrap_or_default();
        let mut own = rows
            .find(|row| row.first() == Some(&self.namespace))
            .unwrap_or_default();
        ensure!(own.pop().is_some(), "no line of {}", self.namespace);
        Ok((heading, own))
    }
}

fn is_run_here(command: &Command) -> bool {
    !NOT_RUN_HERE
        .iter()
        .any(|(line, _)| command.line.starts_with(line))
}

#[tokio::test]
async fn every_command_of_the_readme_works_and_prints_what_it_says() {
    in_namespace_to_make("readme", async |lab: Lab| {
        let desk = Desk::new(&lab.namespace);
        let (mut first, tour): (Vec<_>, Vec<_>) = readme().into_iter().partition(|block| {
            block
                .iter()
                .any(|command| command.line.contains("create namespace"))
        });
        // The tour looks at the sample that `cargo xtask up` makes; here the README's own first deployment is there.
        first.extend(tour);
        let mut tables = 0;
        for command in first.iter().flatten().filter(|command| is_run_here(command)) {
            let printed = desk
                .run(&command.line)
                .unwrap_or_else(|error| panic!("{}: {error:#}", command.line));
            if !command.output.is_empty() {
                let promised = desk.table(command.output.iter().map(String::as_str));
                assert_eq!(
                    desk.table(printed.lines()).expect("a line"),
                    promised.expect("a line")
                );
                tables += 1;
            }
        }
        assert!(tables > 0, "the README shows no output");

        let api = ApiClient::connect(&lab, "clinic").await.expect("connected");
        api.as_clinician(&lab, "clinic", "doctor@example.org")
            .await
            .expect("the README's user logs in");
        eventually("the backup is told", seconds(30), || async {
            let printed = desk.run("kubectl get md -A")?;
            let (heading, own) = desk.table(printed.lines())?;
            // The age is taken off, so that a line without an empty cell has one word less than the heading.
            ensure!(own.len() + 1 == heading.len(), "{printed}");
            Ok(())
        })
        .await;
    })
    .await;
}

#[test]
fn a_line_that_is_not_run_here_is_in_the_readme_and_has_a_test_of_its_own_where_one_is_named() {
    let tests = [
        include_str!("z_disruptions.rs"),
        include_str!("../control_plane/install_manifest.rs"),
        include_str!("../../../app/tests/api/dev.rs"),
    ]
    .concat();
    let commands = readme().concat();
    for (line, reason) in NOT_RUN_HERE {
        assert!(
            commands.iter().any(|command| command.line.starts_with(line)),
            "{line} is not in the README"
        );
        if let Some((_, test)) = reason.split_once("::") {
            assert!(
                tests.contains(&format!("async fn {test}()")),
                "there is no test {test}"
            );
        }
    }
}

#[test]
fn commands_are_told_from_what_they_print_and_a_line_goes_on_behind_a_backslash() {
    let text =
        "text\n\n    $ a b\n    HEADING\n    $ c\n\n```sh\n    no\n```\n\n    d \\\n      --e\n    f\n";
    let command = |line: &str, output: &[&str]| Command {
        line: line.to_owned(),
        output: output.iter().map(|&line| line.to_owned()).collect(),
    };
    assert_eq!(
        blocks(text),
        [
            vec![command("a b", &["HEADING"]), command("c", &[])],
            vec![command("d --e", &[]), command("f", &[])]
        ]
    );
}

#[test]
fn a_line_that_fails_or_prints_nothing_is_an_error() {
    let desk = Desk::new("somewhere");
    for line in ["cargo xtask kubectl get no-such-kind", "false", "true"] {
        desk.run(line).expect_err(line);
    }
    assert_eq!(
        desk.run("echo in -n clinic medical-sample")
            .expect("printed")
            .trim(),
        "in -n somewhere somewhere"
    );
}
