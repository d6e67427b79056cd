//! Running other programs: quietly when they succeed, with their last words when they fail.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How many lines of a failed program's output an error repeats.
const LAST_WORDS: usize = 25;

/// A program with its arguments, described once and run in one of several ways.
pub(crate) struct Run {
    command: Command,
    input: Option<Vec<u8>>,
}

impl Run {
    /// A program by name or path.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            command: Command::new(program),
            input: None,
        }
    }

    /// One more argument.
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Several more arguments.
    pub(crate) fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, arguments: I) -> Self {
        self.command.args(arguments);
        self
    }

    /// One variable of the environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The working directory.
    pub(crate) fn directory(mut self, path: impl AsRef<Path>) -> Self {
        self.command.current_dir(path);
        self
    }

    /// What the program reads from its standard input; nothing otherwise.
    pub(crate) fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// The command line, as one would type it.
    pub(crate) fn line(&self) -> String {
        let mut words = vec![quoted(self.command.get_program())];
        words.extend(self.command.get_args().map(quoted));
        words.join(" ")
    }

    /// Runs it and returns its standard output as text; a non-zero exit is an error with its last words.
    pub(crate) fn output(mut self) -> Result<String> {
        let line = self.line();
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command.stdin(if self.input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        let (mut child, noted) = RUNNING
            .start(&mut self.command)
            .with_context(|| format!("cannot start `{line}`"))?;
        let feeder = child.stdin.take().zip(self.input).map(|(mut pipe, bytes)| {
            // A program that stops reading early says why on its own; the broken pipe adds nothing.
            std::thread::spawn(move || drop(pipe.write_all(&bytes)))
        });
        let output = child
            .wait_with_output()
            .with_context(|| format!("`{line}` was lost"))?;
        drop(noted);
        if let Some(feeder) = feeder {
            drop(feeder.join());
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(text);
        }
        let words = format!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
        bail!(
            "`{}` ended with {}\n{}",
            shortened(&line),
            output.status,
            last_lines(&words)
        )
    }

    /// Runs it for its effect.
    pub(crate) fn done(self) -> Result<()> {
        self.output().map(drop)
    }

    /// Whether it ends with success; its output is dropped.
    pub(crate) fn succeeds(mut self) -> bool {
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.command.status().is_ok_and(|status| status.success())
    }

    /// Runs it, hands each line of its standard error to `each` as it comes, and returns its standard output.
    pub(crate) fn watched(mut self, mut each: impl FnMut(&str)) -> Result<String> {
        let line = self.line();
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let (mut child, noted) = RUNNING
            .start(&mut self.command)
            .with_context(|| format!("cannot start `{line}`"))?;
        let out = child.stdout.take().context("no standard output")?;
        let reader = std::thread::spawn(move || std::io::read_to_string(out));
        let mut words = String::new();
        let errors = child.stderr.take().context("no standard error")?;
        for text in BufReader::new(errors).lines() {
            let text = text?;
            each(&text);
            words.push_str(&text);
            words.push('\n');
        }
        let status = child.wait()?;
        drop(noted);
        let out = reader
            .join()
            .map_err(|_| anyhow::anyhow!("the reader of `{line}` ended early"))??;
        if !status.success() {
            bail!(
                "`{}` ended with {status}\n{}",
                shortened(&line),
                last_lines(&words)
            );
        }
        Ok(out)
    }

    /// Runs it on the caller's own terminal; a non-zero exit is an error.
    pub(crate) fn visible(mut self) -> Result<()> {
        let line = self.line();
        let status = self
            .command
            .status()
            .with_context(|| format!("cannot start `{line}`"))?;
        if !status.success() {
            bail!("`{}` ended with {status}", shortened(&line));
        }
        Ok(())
    }
}

/// The programs that run just now, so that they can be ended when what they do is of no use any more.
struct Running {
    pids: Mutex<BTreeSet<u32>>,
    interrupted: AtomicBool,
}

static RUNNING: Running = Running {
    pids: Mutex::new(BTreeSet::new()),
    interrupted: AtomicBool::new(false),
};

/// One of them, until it was waited for.
struct Noted<'a>(&'a Running, u32);

impl Running {
    fn pids(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.pids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, command: &mut Command) -> Result<(Child, Noted<'_>)> {
        ensure!(
            !self.interrupted.load(Ordering::SeqCst),
            "not started, because another step failed"
        );
        let child = command.spawn()?;
        let pid = child.id();
        self.pids().insert(pid);
        Ok((child, Noted(self, pid)))
    }

    fn interrupt(&self) {
        self.interrupted.store(true, Ordering::SeqCst);
        for pid in self.pids().iter().filter_map(|pid| i32::try_from(*pid).ok()) {
            // It may have ended just now; then there is nothing left to end.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        self.0.pids().remove(&self.1);
    }
}

/// Asks the programs that run just now to end, and starts no further ones: a step has failed for good.
pub(crate) fn interrupt() {
    RUNNING.interrupt();
}

/// Whether a step has failed for good, so that waiting is of no use any more.
pub(crate) fn is_interrupted() -> bool {
    RUNNING.interrupted.load(Ordering::SeqCst)
}

fn quoted(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || "'\"\\$*;&|<>()".contains(c)) {
        format!("'{}'", text.replace('\'', r"'\''"))
    } else {
        text.into_owned()
    }
}

/// A command line that fits an error message: the Kubernetes programs take arguments by the dozen.
fn shortened(line: &str) -> String {
    if line.chars().count() <= 200 {
        line.to_owned()
    } else {
        line.chars().take(199).chain(['…']).collect()
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LAST_WORDS)..]
        .iter()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_program_is_reported_with_its_command_line_and_last_words() {
        let error = Run::new("sh")
            .args(["-c", "echo said >&2; exit 3"])
            .output()
            .unwrap_err()
            .to_string();
        assert!(error.contains("sh -c 'echo said >&2; exit 3'"), "{error}");
        assert!(
            error.contains("exit status: 3") && error.ends_with("  said"),
            "{error}"
        );
    }

    #[test]
    fn what_runs_is_interrupted_and_nothing_more_is_started() {
        let running = Running {
            pids: Mutex::default(),
            interrupted: AtomicBool::new(false),
        };
        let (mut child, _noted) = running.start(Command::new("sleep").arg("600")).unwrap();
        running.interrupt();
        assert!(child.wait().unwrap().to_string().contains("signal: 15"));
        assert!(running.start(&mut Command::new("true")).is_err());
    }

    #[test]
    fn a_program_reads_the_input_it_was_given() {
        assert_eq!(Run::new("cat").input("through").output().unwrap(), "through");
    }

    #[test]
    fn only_the_end_of_a_long_output_is_repeated() {
        let text = (0..100)
            .map(|n| format!("line {n}"))
            .collect::<Vec<_>>()
            .join("\n");
        let last = last_lines(&text);
        assert_eq!(last.lines().count(), LAST_WORDS);
        assert!(last.ends_with("  line 99"));
    }
}
