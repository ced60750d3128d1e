//! FW09: what is shut on the way although it is open before and after; and what is open on the way although it is shut before and after.

use std::collections::BTreeSet;

use super::super::super::model::Duration;
use super::super::Raw;
use super::concerned::Concerned;
use super::told::{Told, asked, merged};
use crate::health::reach::{Compiled, Effect, judge_between};

/// What each state on the way shuts and opens, with the step that leads to it and the one that leads on.
pub(super) fn impacts(
    told: &Told<'_>,
    concerned: &Concerned,
    first: &Compiled,
    last: &Compiled,
) -> Vec<Raw> {
    let states = &told.touched.states;
    let mut raws = Vec::new();
    for ((id, world), (next, _)) in states.iter().zip(states.iter().skip(1)) {
        // What it is like where it cannot be read is not known before and after either, and told.
        let Ok(between) = super::compiled(world, &concerned.guests) else {
            continue;
        };
        let found = judge_between(first, &between, last, &told.touched.keepers);
        for judged in found.into_iter().filter(|judged| asked(judged, concerned)) {
            let (before, after) = match judged.effect {
                Effect::Exposed => ("closed", "open for a while"),
                _ => ("open", "closed for a while"),
            };
            raws.push(Raw {
                before: before.to_owned(),
                after: after.to_owned(),
                duration: Duration::Transient,
                steps: BTreeSet::from([*id, *next]),
                ..told.raw(judged)
            });
        }
    }
    merged(raws.into_iter())
}
