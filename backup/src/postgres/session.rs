//! A `psql` that stays connected: statements go in by its standard input, rows come back as lines of JSON.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::binaries::{Binaries, BinariesError};
use super::connection::Connection;
use super::process::{Output, Process, ProcessError};
use crate::interruption::{Interrupted, Interruption};

/// The line that ends the answer to one request. JSON text cannot begin with it.
const END: &str = "#end-of-answer";

/// Settings every session begins with. `row_security = off` makes a query fail where a policy would silently
/// hide rows; timeouts of role or database must not cut a long count short; `search_path` is empty because of
/// CVE-2018-1058. `transaction_timeout` exists from PostgreSQL 17.
const SETTINGS: &str = r"
\set VERBOSITY terse
\o /dev/null
SELECT pg_catalog.set_config(name, value, false)
FROM (VALUES ('search_path', ''), ('row_security', 'off'), ('statement_timeout', '0'), ('lock_timeout', '60s'),
             ('idle_in_transaction_session_timeout', '0'), ('idle_session_timeout', '0'),
             ('transaction_timeout', '0'), ('client_min_messages', 'error')) AS wanted (name, value)
WHERE name IN (SELECT name FROM pg_catalog.pg_settings);
\o
";

/// A connected session.
#[derive(Debug)]
pub struct Session {
    process: Option<Process>,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

/// A session that could not be opened, or ended before its answer.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No connection within the time allowed.
    #[error(
        "no connection to {place} after {seconds} s: {cause}. Check that the database is running and that its \
         NetworkPolicy admits this pod"
    )]
    Unreachable {
        /// The database and its host.
        place: String,
        /// How long it was tried.
        seconds: u64,
        /// What the last attempt ended with.
        cause: ProcessError,
    },
    /// The server refused, and would refuse again.
    #[error("{place} refused the connection: {cause}. Check user, password file and certificate authority")]
    Refused {
        /// The database and its host.
        place: String,
        /// What the attempt ended with.
        cause: ProcessError,
    },
    /// A statement failed.
    #[error(transparent)]
    Failed(#[from] ProcessError),
    /// A statement answered something else than expected.
    #[error("psql gave an answer that was not asked for: {0}")]
    Answer(String),
    /// `psql` is missing.
    #[error(transparent)]
    Binaries(#[from] BinariesError),
    /// A signal came.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Session {
    /// Connects, and tries again for up to `wait`: a new pod is let through by its NetworkPolicy only after a moment,
    /// and a server that fails over is away for some seconds. A refusal that will not change fails at once.
    pub fn connect(
        binaries: &Binaries,
        connection: &Connection,
        wait: Duration,
        interruption: &Interruption,
    ) -> Result<Self, SessionError> {
        let mut last = None;
        let session = interruption.poll(wait, Duration::from_millis(500), || {
            match Self::open(binaries, connection, interruption) {
                Ok(session) => Ok(Some(session)),
                Err(SessionError::Failed(cause)) if may_pass(cause.messages()) => {
                    interruption.check()?;
                    if last.is_none() && !wait.is_zero() {
                        tracing::info!(database = %connection.describe(), "waiting for the database: {cause}");
                    }
                    last = Some(cause);
                    Ok(None)
                }
                Err(SessionError::Failed(cause)) => {
                    interruption.check()?;
                    Err(SessionError::Refused { place: connection.describe(), cause })
                }
                Err(error) => Err(error),
            }
        })?;
        match (session, last) {
            (Some(session), _) => Ok(session),
            (None, Some(cause)) => {
                let (place, seconds) = (connection.describe(), wait.as_secs());
                Err(SessionError::Unreachable {
                    place,
                    seconds,
                    cause,
                })
            }
            (None, None) => Err(SessionError::Answer("no attempt was made".into())),
        }
    }

    fn open(
        binaries: &Binaries,
        connection: &Connection,
        interruption: &Interruption,
    ) -> Result<Self, SessionError> {
        let mut command = connection.command(binaries, "psql")?;
        command.args([
            "--no-psqlrc",
            "--no-password",
            "--quiet",
            "--no-align",
            "--tuples-only",
        ]);
        command
            .arg("--set=ON_ERROR_STOP=1")
            .env("PGAPPNAME", "medical-backup");
        let mut process = Process::start("psql", &mut command, true, Output::Pipe, interruption)?;
        let (Some(stdin), Some(stdout)) = (process.stdin(), process.stdout()) else {
            return Err(SessionError::Answer("no pipe".into()));
        };
        let mut session = Self {
            process: Some(process),
            stdin,
            stdout: BufReader::new(stdout),
        };
        session.run(SETTINGS)?;
        Ok(session)
    }

    /// Runs statements that answer nothing.
    pub fn run(&mut self, sql: &str) -> Result<(), SessionError> {
        self.each_line(sql, |line| Err(SessionError::Answer(line.to_owned())))
    }

    /// Runs statements whose every row is one column of JSON without line ends, and reads the rows.
    pub fn rows<T: DeserializeOwned>(&mut self, sql: &str) -> Result<Vec<T>, SessionError> {
        let mut rows = Vec::new();
        self.each_line(sql, |line| {
            let row = serde_json::from_str(line);
            rows.push(row.map_err(|error| SessionError::Answer(format!("a row of other JSON ({error})")))?);
            Ok(())
        })?;
        Ok(rows)
    }

    /// Like [`rows`](Self::rows), for exactly one row.
    pub fn row<T: DeserializeOwned>(&mut self, sql: &str) -> Result<T, SessionError> {
        let mut rows = self.rows(sql)?;
        match (rows.pop(), rows.len()) {
            (Some(row), 0) => Ok(row),
            (_, others) => Err(SessionError::Answer(format!(
                "{others} rows more or less than one"
            ))),
        }
    }

    fn each_line(
        &mut self,
        sql: &str,
        mut each: impl FnMut(&str) -> Result<(), SessionError>,
    ) -> Result<(), SessionError> {
        if writeln!(self.stdin, "{sql}\n\\echo {END}")
            .and_then(|()| self.stdin.flush())
            .is_err()
        {
            return Err(self.ended());
        }
        let mut line = String::new();
        loop {
            line.clear();
            match self.stdout.read_line(&mut line) {
                Ok(0) | Err(_) => return Err(self.ended()),
                Ok(_) => match line.trim_end_matches('\n') {
                    END => return Ok(()),
                    row => each(row)?,
                },
            }
        }
    }

    /// Why `psql` ended before its answer.
    fn ended(&mut self) -> SessionError {
        match self.process.take().map(Process::finish) {
            Some(Err(error)) => error.into(),
            Some(Ok(())) | None => SessionError::Answer("the end of the session".to_owned()),
        }
    }
}

/// Whether a failed attempt to connect may succeed later.
fn may_pass(messages: &[String]) -> bool {
    let transient = [
        "Connection refused",
        "Connection timed out",
        "timeout expired",
        "could not translate host name",
        "No route to host",
        "Network is unreachable",
        "Connection reset by peer",
        "server closed the connection unexpectedly",
        "the database system is ",
        "too many clients",
        "remaining connection slots",
        "failed: No such file or directory",
    ];
    messages
        .iter()
        .any(|message| transient.iter().any(|text| message.contains(text)))
}
