//! The program under test, with a folder for dumps and a pair of keys.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use medical_backup::manifest::Manifest;
use serde_json::Value;

use crate::server::{Server, give_away, unprivileged, wait_until};

/// What one run of the program came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    fn from(output: Output) -> Self {
        Self {
            success: output.status.success(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The result of a run that must have gone well.
    pub(crate) fn result(&self) -> Value {
        assert!(self.success, "{self:#?}");
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The message of a run that must have failed: one line, the last of the log.
    pub(crate) fn failure(&self) -> String {
        assert!(!self.success && self.stdout.is_empty(), "{self:#?}");
        let last: Value = serde_json::from_str(self.stderr.lines().last().unwrap()).unwrap();
        assert_eq!(last["level"], "ERROR");
        let message = last["message"].as_str().unwrap().to_owned();
        assert!(!message.contains('\n'), "{message}");
        message
    }
}

/// A folder of dumps beside a server.
pub(crate) struct Backups<'a> {
    pub(crate) server: &'a Server,
    pub(crate) folder: PathBuf,
    program: PathBuf,
}

impl<'a> Backups<'a> {
    /// Installs the program where an ordinary user can run it, and makes keys.
    pub(crate) fn new(server: &'a Server) -> Self {
        let program = server.path("medical-backup");
        let installed = Command::new(env!("CARGO_BIN_EXE_medical-backup"))
            .arg("install")
            .arg(&program)
            .output();
        assert!(installed.unwrap().status.success());
        let folder = server.make_folder("dumps");
        server.make_folder("scratch");
        let backups = Self {
            server,
            folder,
            program,
        };
        backups.keygen("");
        fs::write(server.path("termination"), "").unwrap();
        give_away(&server.path("termination"));
        backups
    }

    /// Makes the files `identity…` and `recipient…`.
    pub(crate) fn keygen(&self, suffix: &str) {
        let path = |name: &str| self.server.path(&format!("{name}{suffix}"));
        let mut command = self.command("keygen");
        command
            .arg("--identity-file")
            .arg(path("identity"))
            .arg("--recipient-file")
            .arg(path("recipient"));
        assert!(Run::from(command.output().unwrap()).success);
    }

    /// One of the program's commands, as an ordinary user.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = unprivileged(&self.program);
        command.arg(name).current_dir(self.server.path(""));
        if self.server.path("termination").exists() {
            command
                .arg("--termination-log")
                .arg(self.server.path("termination"));
        }
        command
    }

    /// `dump` of `app` by `medical_backup` as a daily one of which two are kept, unless options say otherwise.
    pub(crate) fn dump_with(&self, options: &[(&str, &str)]) -> Command {
        let (host, folder) = (self.server.path(""), &self.folder);
        let recipient = self.server.path("recipient");
        let usual = [
            ("--host", host.to_str().unwrap()),
            ("--username", "medical_backup"),
            ("--dbname", "app"),
            ("--directory", folder.to_str().unwrap()),
            ("--tier", "daily"),
            ("--keep", "2"),
            ("--recipient-file", recipient.to_str().unwrap()),
        ];
        let mut command = self.command("dump");
        let unsaid = usual
            .iter()
            .filter(|(name, _)| options.iter().all(|(other, _)| name != other));
        for (name, value) in unsaid.chain(options) {
            command.args([name, value]);
        }
        command
    }

    /// `dump` of a database into a tier.
    pub(crate) fn dump_command(&self, database: &str, tier: &str) -> Command {
        self.dump_with(&[("--dbname", database), ("--tier", tier)])
    }

    pub(crate) fn dump(&self) -> Run {
        run(&mut self.dump_command("app", "daily"))
    }

    /// `verify` of the newest dump.
    pub(crate) fn verify_command(&self) -> Command {
        let mut command = self.command("verify");
        command
            .arg("--directory")
            .arg(&self.folder)
            .arg("--scratch")
            .arg(self.server.path("scratch"));
        command.arg("--identity-file").arg(self.server.path("identity"));
        command
    }

    pub(crate) fn verify(&self) -> Run {
        run(&mut self.verify_command())
    }

    /// `restore` of the newest dump by `medical_owner`.
    pub(crate) fn restore(&self, database: &str) -> Run {
        let mut command = self.command("restore");
        command.arg("--host").arg(self.server.path("")).args([
            "--username",
            "medical_owner",
            "--dbname",
            database,
        ]);
        command.arg("--directory").arg(&self.folder);
        run(command.arg("--identity-file").arg(self.server.path("identity")))
    }

    /// The names of the files in the folder, sorted, without the lock.
    pub(crate) fn files(&self) -> Vec<String> {
        files(&self.folder)
            .into_iter()
            .filter(|name| name != ".medical-backup.lock")
            .collect()
    }

    /// The dumps in the folder, the newest first.
    pub(crate) fn dumps(&self) -> Vec<medical_backup::catalog::Dump> {
        medical_backup::catalog::read(&self.folder).unwrap()
    }

    /// The newest dump and its manifest.
    pub(crate) fn newest(&self) -> (PathBuf, Manifest) {
        let dump = self.dumps().swap_remove(0);
        let manifest = fs::read_to_string(self.folder.join(dump.name.manifest_file_name())).unwrap();
        (dump.path, Manifest::parse(&manifest).unwrap())
    }

    /// Changes the newest dump's manifest.
    pub(crate) fn edit_manifest(&self, edit: impl FnOnce(&mut Manifest)) {
        let (_, mut manifest) = self.newest();
        let path = self.folder.join(self.dumps()[0].name.manifest_file_name());
        edit(&mut manifest);
        fs::write(path, serde_json::to_string(&manifest).unwrap()).unwrap();
    }

    /// What the kubelet would read.
    pub(crate) fn termination_message(&self) -> String {
        fs::read_to_string(self.server.path("termination")).unwrap()
    }

    /// Starts a dump and waits until it has written some of its file.
    pub(crate) fn begin_dump(&self) -> Child {
        let child = start(&mut self.dump_command("app", "daily"));
        wait_until("the dump has written something", || {
            let entries = fs::read_dir(&self.folder).unwrap().flatten();
            entries
                .filter(|entry| entry.path().extension().is_some_and(|part| part == "part"))
                .any(|entry| entry.metadata().is_ok_and(|metadata| metadata.len() > 100_000))
        });
        child
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Run {
    Run::from(command.stdin(Stdio::null()).output().unwrap())
}

/// Starts a command whose output is read when it has ended.
pub(crate) fn start(command: &mut Command) -> Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for a child that was [started](start).
pub(crate) fn finish(child: Child) -> Run {
    Run::from(child.wait_with_output().unwrap())
}

/// The names in a folder, sorted.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
