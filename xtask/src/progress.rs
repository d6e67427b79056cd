//! What a person sees while steps run: a line with the elapsed time for each running step on a terminal, one
//! plain line for each finished step everywhere else.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Off a terminal, a step that takes longer says once in this time that it still runs.
const STILL_RUNNING: Duration = Duration::from_mins(1);

/// The screen, shared by all steps.
#[derive(Clone)]
pub(crate) struct Progress {
    bars: MultiProgress,
    terminal: bool,
}

impl Progress {
    /// Draws on standard error, so that standard output stays for results.
    pub(crate) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Self {
            bars: MultiProgress::with_draw_target(target),
            terminal,
        }
    }

    /// Begins a step.
    pub(crate) fn step(&self, name: &str) -> Step {
        let bar = self.bars.add(ProgressBar::new_spinner());
        if let Ok(style) =
            ProgressStyle::with_template("{spinner:.cyan} {prefix:30} {elapsed:>5}  {wide_msg:.dim}")
        {
            bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
        }
        bar.set_prefix(name.to_owned());
        if self.terminal {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Step {
            name: name.to_owned(),
            begun: Instant::now(),
            bar,
            screen: self.clone(),
            reminded: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// A line that stays.
    pub(crate) fn say(&self, line: &str) {
        if self.terminal {
            // Printing through the bars keeps them below the line; it fails only with the terminal itself.
            drop(self.bars.println(line));
        } else {
            // Nobody may read any more (`| head`); the work goes on all the same.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}

/// One running step; ends with [`Step::done`], [`Step::current`] or, by being dropped, without a word.
pub(crate) struct Step {
    name: String,
    begun: Instant,
    bar: ProgressBar,
    screen: Progress,
    reminded: Arc<Mutex<Instant>>,
}

impl Step {
    /// What the step is at just now.
    pub(crate) fn at(&self, what: &str) {
        self.bar.set_message(what.to_owned());
        if self.screen.terminal {
            return;
        }
        if let Ok(mut reminded) = self.reminded.lock()
            && reminded.elapsed() >= STILL_RUNNING
        {
            *reminded = Instant::now();
            self.screen.say(&format!(
                "  … {} {}: {what}",
                self.name,
                seconds(self.begun.elapsed())
            ));
        }
    }

    /// The step did something: its line stays, with the time it took.
    pub(crate) fn done(self, what: &str) {
        let took = seconds(self.begun.elapsed());
        self.bar.finish_and_clear();
        self.screen
            .say(format!("✓ {:30} {took:>8}  {what}", self.name).trim_end());
    }

    /// There was nothing to do: its line goes.
    pub(crate) fn current(self) {
        self.bar.finish_and_clear();
    }

    /// The step failed; the reason is printed by whoever gets the error.
    pub(crate) fn failed(self) {
        let took = seconds(self.begun.elapsed());
        self.bar.finish_and_clear();
        self.screen.say(&format!("✗ {:30} {took:>8}", self.name));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A duration as people say it: `0.4 s`, `12 s`, `3 min 20 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    match whole {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        assert_eq!(seconds(Duration::from_millis(440)), "0.4 s");
        assert_eq!(seconds(Duration::from_secs(12)), "12 s");
        assert_eq!(seconds(Duration::from_secs(200)), "3 min 20 s");
        assert_eq!(seconds(Duration::from_mins(121)), "2 h 1 min");
    }
}
