//! A child process that ends with its owner.

use std::fs::File;
use std::io;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::diagnostics;
use crate::interruption::{Interruption, lock};

/// Where the standard output of a child goes.
#[derive(Debug)]
pub enum Output {
    /// Nowhere.
    Discard,
    /// To [`Process::stdout`].
    Pipe,
    /// Into a file.
    File(File),
}

/// A running child. Dropping it kills and reaps it; a signal to this program kills it too.
#[derive(Debug)]
pub struct Process {
    program: &'static str,
    child: Arc<Mutex<Child>>,
    messages: Option<JoinHandle<Vec<String>>>,
    reaped: bool,
}

/// A child that could not be run to a good end.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program could not be started.
    #[error("{program} could not be started: {source}")]
    Start {
        /// The program.
        program: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The program ended with a failure.
    #[error("{program} failed ({status}){}", said(messages))]
    Failed {
        /// The program.
        program: &'static str,
        /// Its exit status or the signal that ended it.
        status: ExitStatus,
        /// What it said, without values of rows.
        messages: Vec<String>,
    },
    /// Waiting for the program failed.
    #[error("waiting for {program} failed: {source}")]
    Wait {
        /// The program.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
}

fn said(messages: &[String]) -> String {
    if messages.is_empty() {
        " and said nothing".to_owned()
    } else {
        format!(": {}", messages.join(" | "))
    }
}

impl ProcessError {
    /// What the program said on standard error; empty when it did not run.
    pub fn messages(&self) -> &[String] {
        match self {
            Self::Failed { messages, .. } => messages,
            Self::Start { .. } | Self::Wait { .. } => &[],
        }
    }
}

impl Process {
    /// Starts `command` with its standard error read from the beginning.
    pub fn start(
        program: &'static str,
        command: &mut Command,
        stdin: bool,
        output: Output,
        interruption: &Interruption,
    ) -> Result<Self, ProcessError> {
        command.stdin(if stdin { Stdio::piped() } else { Stdio::null() });
        command.stderr(Stdio::piped());
        match output {
            Output::Discard => command.stdout(Stdio::null()),
            Output::Pipe => command.stdout(Stdio::piped()),
            Output::File(file) => command.stdout(file),
        };
        let mut child = command
            .spawn()
            .map_err(|source| ProcessError::Start { program, source })?;
        let messages = child
            .stderr
            .take()
            .map(|stream| std::thread::spawn(|| diagnostics::read_messages(stream)));
        let child = Arc::new(Mutex::new(child));
        interruption.guard(&child);
        Ok(Self {
            program,
            child,
            messages,
            reaped: false,
        })
    }

    /// Starts a server with all its output in `log`. A signal to this program does not kill it: it ends with its
    /// owner, which can end it in good order.
    pub fn start_logging(
        program: &'static str,
        command: &mut Command,
        log: File,
    ) -> Result<Self, ProcessError> {
        let failed = |source| ProcessError::Start { program, source };
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log);
        let child = Arc::new(Mutex::new(command.spawn().map_err(failed)?));
        Ok(Self {
            program,
            child,
            messages: None,
            reaped: false,
        })
    }

    /// The child's standard input, once.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        lock(&self.child).stdin.take()
    }

    /// The child's standard output, once.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        lock(&self.child).stdout.take()
    }

    /// The child's process id.
    pub fn id(&self) -> u32 {
        lock(&self.child).id()
    }

    /// Whether the child is still there.
    pub fn is_running(&self) -> bool {
        matches!(lock(&self.child).try_wait(), Ok(None))
    }

    /// Ends the child at once. What it leaves unread or unwritten is lost.
    pub fn kill(&self) {
        // An error means that it has ended already.
        let _ = lock(&self.child).kill();
    }

    /// Waits for the child to end by itself, and fails unless it ended well.
    pub fn finish(mut self) -> Result<(), ProcessError> {
        drop(self.stdin());
        let program = self.program;
        let status = self
            .wait()
            .map_err(|source| ProcessError::Wait { program, source })?;
        self.reaped = true;
        let messages = self
            .messages
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default();
        if status.success() {
            Ok(())
        } else {
            Err(ProcessError::Failed {
                program,
                status,
                messages,
            })
        }
    }

    /// Polls, because a wait that holds the child would keep a signal from killing it.
    fn wait(&self) -> io::Result<ExitStatus> {
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = lock(&self.child).try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.reaped {
            let mut child = lock(&self.child);
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
