//! Runs named steps, each as soon as the steps it needs are done, within a few lanes.
//!
//! A lane is a thing of which there is one: the two cores of a small machine while Go compiles on both, the
//! package mirror, the image store. Steps of one lane run one after the other in the order they were added;
//! steps without a lane (waiting, mostly) run side by side.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Error, Result, anyhow, bail};

use crate::progress::{Progress, Step};

/// What a step holds while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The Go compiler, which uses every core by itself.
    Go,
    /// Cargo, which locks its target directory anyway.
    Cargo,
    /// Debian's mirror and package tools.
    Debian,
    /// The image store.
    Images,
    /// Nothing: the step mostly waits.
    Free,
}

/// How a step that did not fail ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did something, described for the reader.
    Done(String),
    /// All was there already.
    Current,
}

type Action<'a> = Box<dyn FnOnce(&Step) -> Result<Outcome> + Send + 'a>;

struct Planned<'a> {
    name: String,
    lane: Lane,
    needs: Vec<String>,
    action: Action<'a>,
}

/// Steps with what each needs.
#[derive(Default)]
pub(crate) struct Schedule<'a> {
    steps: Vec<Planned<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Running,
    Done,
    Failed,
}

struct Board {
    phases: Vec<Phase>,
    errors: Vec<Error>,
    done: usize,
}

impl<'a> Schedule<'a> {
    /// Adds a step; `needs` are names of steps added before it, so that there can be no circle.
    pub(crate) fn add<N: Into<String>>(
        &mut self,
        name: impl Into<String>,
        lane: Lane,
        needs: impl IntoIterator<Item = N>,
        action: impl FnOnce(&Step) -> Result<Outcome> + Send + 'a,
    ) {
        let needs = needs.into_iter().map(Into::into).collect();
        self.steps.push(Planned {
            name: name.into(),
            lane,
            needs,
            action: Box::new(action),
        });
    }

    /// Whether a step of this name was added.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.steps.iter().any(|step| step.name == name)
    }

    /// Runs all steps; returns how many had something to do, or the first error after the running steps ended.
    /// `on_failure` is called once, at the first error: the place to cut the others short.
    pub(crate) fn run(self, progress: &Progress, on_failure: impl Fn() + Sync) -> Result<usize> {
        let mut before: Vec<Vec<usize>> = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            if self.steps[..index].iter().any(|other| other.name == step.name) {
                bail!("two steps are named {}", step.name);
            }
            let mut needs = Vec::new();
            for need in &step.needs {
                match self.steps[..index].iter().position(|other| other.name == *need) {
                    Some(position) => needs.push(position),
                    None => bail!("step {} needs {need}, which was not added before it", step.name),
                }
            }
            before.push(needs);
        }
        let lanes: Vec<Lane> = self.steps.iter().map(|step| step.lane).collect();
        let board = Mutex::new(Board {
            phases: vec![Phase::Waiting; lanes.len()],
            errors: Vec::new(),
            done: 0,
        });
        let changed = Condvar::new();
        std::thread::scope(|scope| {
            for (index, step) in self.steps.into_iter().enumerate() {
                let (before, lanes, board, changed, on_failure) =
                    (&before, &lanes, &board, &changed, &on_failure);
                scope.spawn(move || {
                    let mut state = lock(board);
                    loop {
                        if !state.errors.is_empty() {
                            return; // somebody failed: start nothing more
                        }
                        if may_start(index, &state.phases, before, lanes) {
                            break;
                        }
                        state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    }
                    state.phases[index] = Phase::Running;
                    drop(state);
                    let line = progress.step(&step.name);
                    // A step that panics must not leave the others waiting for it.
                    let result = catch_unwind(AssertUnwindSafe(|| (step.action)(&line)))
                        .unwrap_or_else(|_| Err(anyhow!("it panicked; the reason is printed above")));
                    let mut state = lock(board);
                    state.phases[index] = if result.is_ok() {
                        Phase::Done
                    } else {
                        Phase::Failed
                    };
                    match result {
                        Ok(Outcome::Done(what)) => {
                            state.done += 1;
                            line.done(&what);
                        }
                        Ok(Outcome::Current) => line.current(),
                        Err(error) => {
                            line.failed();
                            if state.errors.is_empty() {
                                on_failure();
                            }
                            state
                                .errors
                                .push(error.context(format!("step “{}” failed", step.name)));
                        }
                    }
                    changed.notify_all();
                });
            }
        });
        let board = board.into_inner().unwrap_or_else(PoisonError::into_inner);
        match board.errors.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(board.done),
        }
    }
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A step may start when all it needs is done and no earlier startable step wants its lane.
fn may_start(index: usize, phases: &[Phase], before: &[Vec<usize>], lanes: &[Lane]) -> bool {
    let ready =
        |i: usize| phases[i] == Phase::Waiting && before[i].iter().all(|&need| phases[need] == Phase::Done);
    if !ready(index) {
        return false;
    }
    lanes[index] == Lane::Free
        || !(0..phases.len()).any(|other| {
            other != index
                && lanes[other] == lanes[index]
                && (phases[other] == Phase::Running || (other < index && ready(other)))
        })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn note<'a>(
        log: &'a Mutex<Vec<&'static str>>,
        name: &'static str,
    ) -> impl FnOnce(&Step) -> Result<Outcome> + 'a {
        move |_| {
            log.lock().unwrap().push(name);
            Ok(Outcome::Done(String::new()))
        }
    }

    #[test]
    fn a_step_runs_after_all_it_needs() {
        let log = Mutex::new(Vec::new());
        let mut schedule = Schedule::default();
        schedule.add("a", Lane::Go, [""; 0], note(&log, "a"));
        schedule.add("b", Lane::Debian, [""; 0], note(&log, "b"));
        schedule.add("c", Lane::Free, ["a", "b"], note(&log, "c"));
        assert_eq!(schedule.run(&Progress::new(), || ()).unwrap(), 3);
        assert_eq!(log.lock().unwrap()[2], "c");
    }

    #[test]
    fn two_steps_of_one_lane_never_run_at_once_and_keep_their_order() {
        let log = Mutex::new(Vec::new());
        let running = AtomicUsize::new(0);
        let mut schedule = Schedule::default();
        for name in ["a", "b", "c", "d"] {
            let (log, running) = (&log, &running);
            schedule.add(name, Lane::Images, [""; 0], move |_| {
                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0);
                std::thread::yield_now();
                log.lock().unwrap().push(name);
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(Outcome::Current)
            });
        }
        assert_eq!(schedule.run(&Progress::new(), || ()).unwrap(), 0);
        assert_eq!(*log.lock().unwrap(), ["a", "b", "c", "d"]);
    }

    #[test]
    fn a_failure_stops_what_has_not_started_and_is_returned_with_the_name_of_its_step() {
        let log = Mutex::new(Vec::new());
        let mut schedule = Schedule::default();
        schedule.add("broken", Lane::Go, [""; 0], |_| bail!("no such version"));
        schedule.add("later", Lane::Go, ["broken"], note(&log, "later"));
        let error = format!("{:#}", schedule.run(&Progress::new(), || ()).unwrap_err());
        assert!(
            error.contains("broken") && error.contains("no such version"),
            "{error}"
        );
        assert!(log.lock().unwrap().is_empty());
    }

    #[test]
    fn the_first_failure_is_told_at_once_and_once() {
        let told = AtomicUsize::new(0);
        let mut schedule = Schedule::default();
        for name in ["a", "b"] {
            schedule.add(name, Lane::Free, [""; 0], |_| bail!("no"));
        }
        let tell = || {
            told.fetch_add(1, Ordering::SeqCst);
        };
        assert!(schedule.run(&Progress::new(), tell).is_err());
        assert_eq!(told.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_step_that_panics_is_a_failure_and_not_a_standstill() {
        let mut schedule = Schedule::default();
        schedule.add("a", Lane::Free, [""; 0], |_| panic!("on purpose"));
        schedule.add("b", Lane::Free, ["a"], |_| Ok(Outcome::Current));
        assert!(schedule.run(&Progress::new(), || ()).is_err());
    }

    #[test]
    fn two_steps_of_one_name_are_refused() {
        let mut schedule = Schedule::default();
        schedule.add("a", Lane::Free, [""; 0], |_| Ok(Outcome::Current));
        schedule.add("a", Lane::Free, [""; 0], |_| Ok(Outcome::Current));
        assert!(
            schedule
                .run(&Progress::new(), || ())
                .unwrap_err()
                .to_string()
                .contains("two steps")
        );
    }

    #[test]
    fn a_step_that_needs_an_unknown_one_is_refused() {
        let mut schedule = Schedule::default();
        schedule.add("a", Lane::Free, ["nothing"], |_| Ok(Outcome::Current));
        assert!(
            schedule
                .run(&Progress::new(), || ())
                .unwrap_err()
                .to_string()
                .contains("nothing")
        );
    }
}
