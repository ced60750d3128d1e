//! FW09: what is shut on the way although it is open before and after.

use std::collections::BTreeSet;

use super::super::super::model::Duration;
use super::super::Raw;
use super::concerned::Concerned;
use super::told::{Told, asked, merged};
use crate::health::reach::{Compiled, Keepers, judge_between};

/// What each state on the way shuts, with the step that leads to it and the one that leads on.
pub(super) fn impacts(
    told: &Told<'_>,
    concerned: &Concerned,
    first: &Compiled,
    last: &Compiled,
) -> Vec<Raw> {
    let states = &told.touched.states;
    let following = states.iter().skip(1);
    let raws = states
        .iter()
        .zip(following)
        .flat_map(|((id, world), (next, _))| {
            // What it is like where it cannot be read is not known before and after either, and told.
            let between = super::compiled(world, &concerned.guests).ok();
            let found =
                between.map(|between| judge_between(first, &between, last, &Keepers::default()));
            let found = found.into_iter().flatten();
            found
                .filter(|judged| asked(judged, concerned))
                .map(|judged| Raw {
                    before: "open".to_owned(),
                    after: "closed for a while".to_owned(),
                    duration: Duration::Transient,
                    steps: BTreeSet::from([*id, *next]),
                    ..told.raw(judged)
                })
                .collect::<Vec<_>>()
        });
    merged(raws)
}
