//! What the program says of itself, and how it gets into another container.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::program::run;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_medical-backup"))
}

#[test]
fn install_copies_the_running_program_over_an_older_one_and_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("medical-backup");
    fs::write(&target, "an older program").unwrap();
    assert!(run(program().arg("install").arg(&target)).success);
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o755);
    let version = run(Command::new(&target).arg("--version")).stdout;
    assert_eq!(version, format!("medical-backup {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing else is left"
    );
}

#[test]
fn install_names_a_target_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let message = run(program().arg("install").arg(folder.path())).failure();
    assert!(message.contains("name the file in it"), "{message}");
    let message = run(program().arg("install").arg(folder.path().join("missing/file"))).failure();
    assert!(
        message.contains("missing/file") && message.contains("can be written"),
        "{message}"
    );
}

#[test]
fn the_examples_of_the_help_fit_a_terminal_and_name_options_that_exist() {
    let help = run(program().arg("--help")).stdout;
    let examples = help.split_once("Examples:").unwrap().1;
    assert!(
        examples.lines().all(|line| line.chars().count() <= 100),
        "{examples}"
    );
    for command in ["dump", "verify", "restore", "keygen"] {
        let named = examples
            .split("medical-backup ")
            .filter(|text| text.starts_with(command))
            .collect::<String>();
        let named = named.split("\n\n").next().unwrap();
        let known = run(program().args([command, "--help"])).stdout;
        for option in named.split_whitespace().filter(|word| word.starts_with("--")) {
            assert!(
                known.contains(&format!("{option} ")) || known.contains(&format!("{option}\n")),
                "{option}"
            );
        }
    }
}

#[test]
fn a_keep_count_of_nothing_and_an_unknown_tier_are_refused_before_anything_happens() {
    for (option, value) in [("--keep", "0"), ("--keep", "-1"), ("--tier", "yearly")] {
        let mut command = program();
        command.args(["prune", "--directory", "/nowhere"]);
        for (name, usual) in [("--tier", "daily"), ("--keep", "1")] {
            command.arg(format!("{name}={}", if name == option { value } else { usual }));
        }
        let run = run(&mut command);
        assert!(!run.success && run.stderr.contains(option), "{run:?}");
    }
}
