//! Progress bars of commands that have several steps.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

/// One bar after another, on standard error when it is a terminal.
#[derive(Default)]
pub(crate) struct Bars(Mutex<Option<(Step, ProgressBar)>>);

/// A step, and whether it is known how much there is to do.
type Step = (&'static str, bool);

/// How often a bar moves of which nobody can say how far it is.
const TICK: Duration = Duration::from_millis(100);

impl Bars {
    /// Shows how much of a step is done; another name than before ends the bar before, as does a total that becomes known. A
    /// total of 0 is one not known.
    pub(crate) fn show(&self, name: &'static str, done: u64, total: u64) {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let step = (name, total > 0);
        if current.as_ref().is_none_or(|(before, _)| *before != step)
            && let Some((_, before)) = current.replace((step, bar(name, total)))
        {
            before.finish_and_clear();
        }
        if let Some((_, bar)) = &*current {
            bar.set_position(done);
        }
    }

    /// Takes the last bar away.
    pub(crate) fn end(&self) {
        let current = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        current.inspect(|(_, bar)| bar.finish_and_clear());
    }
}

fn bar(name: &'static str, total: u64) -> ProgressBar {
    let (bar, template) = match total {
        0 => (ProgressBar::new_spinner(), "{spinner} {msg} {elapsed}"),
        _ => (ProgressBar::new(total), "{bar:40} {percent:>3}% {msg} {elapsed} (ETA {eta})"),
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar.set_message(name);
    bar.enable_steady_tick(TICK);
    bar
}
