//! What people see while a run goes on.

use anstyle::AnsiColor;

use super::output::Output;
use crate::apply::executor::Progress;
use crate::apply::port::Outcome;
use crate::apply::step::NotBegun;
use crate::plan::words::clean;
use crate::service::run::outcome_word;

/// Tells progress, a line each.
pub fn tell(output: Output) -> impl Fn(Progress) + Send + Sync {
    move |progress| match progress {
        Progress::Begins(step) => {
            output.line(format!("  step {:>2}  {} …", step.id.0, clean(&step.title)))
        }
        Progress::Ended(step, outcome, left) => {
            let colour = match outcome {
                Outcome::Ok | Outcome::Warnings => AnsiColor::Green,
                Outcome::Failed | Outcome::Undetermined => AnsiColor::Red,
            };
            let word = output.paint(outcome_word(outcome), colour);
            let message = if left.message.is_empty() {
                String::new()
            } else {
                format!(": {}", clean(&left.message))
            };
            output.line(format!("  step {:>2}  {word}{message}", step.id.0));
        }
        Progress::NotBegun(step, why) => {
            let why = match why {
                NotBegun::Frozen(why) => format!("frozen: {why}"),
                NotBegun::Stale(why) => format!("the world has changed: {why}"),
                NotBegun::Unreadable(why) => format!("not now: {why}"),
            };
            output.line(format!(
                "  step {:>2}  not begun, {}",
                step.id.0,
                clean(&why)
            ));
        }
    }
}
