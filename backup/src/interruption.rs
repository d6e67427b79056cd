//! Ending early and cleanly on SIGTERM, SIGINT or SIGHUP.
//!
//! A pod that is deleted or runs over its deadline gets SIGTERM. Every place where this program can block waits for a child
//! process, so the signal ends the children; what waits for them fails, and unwinding removes unfinished files and the scratch server.

use std::io;
use std::process::Child;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Work was given up because a signal asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted by signal {0}; unfinished files were removed, and the command can be run again")]
pub struct Interrupted(pub i32);

/// Whether a signal has asked to end, shared by everything that runs. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Interruption(Arc<State>);

#[derive(Debug, Default)]
struct State {
    signal: AtomicI32,
    children: Mutex<Vec<Weak<Mutex<Child>>>>,
}

impl Interruption {
    /// Starts to listen for signals. Call it once, before the first child is started.
    pub fn on_signals() -> io::Result<Self> {
        let interruption = Self::default();
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        let shared = interruption.clone();
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                for signal in &mut signals {
                    shared.raise(signal);
                }
            })?;
        Ok(interruption)
    }

    /// Asks everything to end, as a signal with this number does.
    pub fn raise(&self, signal: i32) {
        self.0.signal.store(signal, Ordering::SeqCst);
        for child in lock(&self.0.children).iter().filter_map(Weak::upgrade) {
            // An error means that the child has ended already.
            let _ = lock(&child).kill();
        }
    }

    /// Fails once a signal has come.
    pub fn check(&self) -> Result<(), Interrupted> {
        match self.0.signal.load(Ordering::SeqCst) {
            0 => Ok(()),
            signal => Err(Interrupted(signal)),
        }
    }

    /// Calls `attempt` until it gives a value, `wait` has passed (`Ok(None)`) or a signal comes.
    pub fn poll<T, E: From<Interrupted>>(
        &self,
        wait: Duration,
        interval: Duration,
        mut attempt: impl FnMut() -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        let deadline = Instant::now() + wait;
        loop {
            self.check()?;
            if let Some(value) = attempt()? {
                return Ok(Some(value));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            std::thread::sleep(interval.min(left));
        }
    }

    /// Ends `child` when a signal comes, or at once when one has come already.
    pub(crate) fn guard(&self, child: &Arc<Mutex<Child>>) {
        let mut children = lock(&self.0.children);
        children.retain(|known| known.strong_count() > 0);
        children.push(Arc::downgrade(child));
        drop(children);
        if self.check().is_err() {
            let _ = lock(child).kill();
        }
    }
}

/// A child process is a plain handle: a panic elsewhere while it was held leaves nothing half-changed in it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
