//! How far a long step is: a bar on a terminal, a log line now and then elsewhere.

use std::io::{self, IsTerminal, Read};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use crate::interruption::{Interruption, lock};

/// How often a step that takes long is logged where no bar can be drawn.
const LOG_EVERY: Duration = Duration::from_secs(30);

const KNOWN: &str = "{msg:<22} {bar:30} {percent:>3} %  {bytes} of {total_bytes}  {bytes_per_sec}  {elapsed}";
const UNKNOWN: &str = "{msg:<22} {spinner} {bytes}  {bytes_per_sec}  {elapsed}";

/// The progress of one step, in bytes.
#[derive(Debug)]
pub struct Progress {
    step: &'static str,
    bar: ProgressBar,
    is_terminal: bool,
    logged: Mutex<Instant>,
}

impl Progress {
    /// Begins a step of `total` bytes, zero when nobody knows.
    pub fn begin(step: &'static str, total: u64) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let bar = if total == 0 {
            ProgressBar::no_length()
        } else {
            ProgressBar::new(total)
        };
        if is_terminal {
            let template = if total == 0 { UNKNOWN } else { KNOWN };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_message(step);
            bar.enable_steady_tick(Duration::from_millis(200));
        } else {
            bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        }
        Self {
            step,
            bar,
            is_terminal,
            logged: Mutex::new(Instant::now()),
        }
    }

    /// Tells that `bytes` more are done.
    pub fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
        if self.is_terminal {
            return;
        }
        let mut logged = lock(&self.logged);
        if logged.elapsed() >= LOG_EVERY {
            *logged = Instant::now();
            let (bytes, total) = (self.bar.position(), self.bar.length());
            let percent = total.map(|total| (bytes * 100 / total.max(1)).min(100));
            tracing::info!(
                step = self.step,
                bytes,
                total,
                percent,
                elapsed_seconds = self.seconds(),
                "in progress"
            );
        }
    }

    /// Ends the step and logs what it took.
    pub fn end(self) {
        let (bytes, seconds) = (self.bar.position(), self.seconds());
        self.bar.finish_and_clear();
        if self.is_terminal {
            tracing::info!("{}: {} in {seconds:.1} s", self.step, HumanBytes(bytes));
        } else {
            tracing::info!(step = self.step, bytes, elapsed_seconds = seconds, "done");
        }
    }

    /// Reads `inner` with every byte counted. Reading fails once a signal has come.
    pub fn reading<R: Read>(&self, inner: R, interruption: &Interruption) -> impl Read + use<'_, R> {
        CountedReader {
            inner,
            progress: self,
            interruption: interruption.clone(),
        }
    }

    fn seconds(&self) -> f64 {
        (self.bar.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

struct CountedReader<'a, R> {
    inner: R,
    progress: &'a Progress,
    interruption: Interruption,
}

impl<R: Read> Read for CountedReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interruption.check().map_err(io::Error::other)?;
        let read = self.inner.read(buffer)?;
        self.progress.advance(read as u64);
        Ok(read)
    }
}
