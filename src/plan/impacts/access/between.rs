//! What somebody gains or loses on the way only: had before and after and not in between, or the other way round. A run that stops in
//! between leaves it so.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::model::{Duration, StepId};
use super::super::Raw;
use super::{Judge, Touched};
use crate::health::access::{Access, Change, Configuration, Matrix, difference};
use crate::health::{self, Category};

/// What changes at the end, of one principal on one path: lost and gained.
type Ended<'a> = BTreeMap<(&'a str, &'a str), (BTreeSet<&'a str>, BTreeSet<&'a str>)>;

/// What each state on the way takes and gives that the end does not, with the steps that lead to it and on from it.
pub(super) fn impacts(
    before: &Configuration,
    at_the_end: &[Change],
    controller: Option<&str>,
    touched: &Touched,
    paths: &BTreeSet<String>,
) -> Vec<Raw> {
    let states: Vec<Configuration> = touched
        .iter()
        .take(touched.len().saturating_sub(1))
        .map(|(_, _, world)| health::deciding(world))
        .collect();
    if states.is_empty() {
        return Vec::new();
    }
    let ended = ended(at_the_end);
    let first = Matrix::new(before, paths);
    let mut found: BTreeMap<Change, (usize, BTreeSet<StepId>)> = BTreeMap::new();
    for (at, state) in states.iter().enumerate() {
        let ids = touched.iter().skip(at).take(2).map(|(id, ..)| *id);
        for change in difference(&first, &Matrix::new(state, paths)) {
            for only in on_the_way(&change, &ended) {
                let (_, steps) = found.entry(only).or_insert((at, BTreeSet::new()));
                steps.extend(ids.clone());
            }
        }
    }
    let mut all = Vec::new();
    for (change, (at, steps)) in found {
        let Some(state) = states.get(at) else {
            continue;
        };
        let judge = Judge {
            before: Access::new(before),
            after: Access::new(state),
            controller,
            touched,
        };
        all.extend(judge.raws(&change).into_iter().map(|raw| Raw {
            after: match raw.category {
                Category::GainsPrivilege => format!("{} for a while", raw.after),
                _ => "has not for a while".to_owned(),
            },
            duration: Duration::Transient,
            steps: steps.clone(),
            ..raw
        }));
    }
    all
}

fn ended(changes: &[Change]) -> Ended<'_> {
    let mut all = Ended::new();
    for change in changes {
        let lost = change.lost.iter().chain(&change.lost_below);
        let lost: BTreeSet<&str> = lost.map(String::as_str).collect();
        let gained = change.gained.iter().chain(&change.gained_below);
        let gained: BTreeSet<&str> = gained.map(String::as_str).collect();
        for path in &change.paths {
            let key = (change.principal.as_str(), path.as_str());
            all.insert(key, (lost.clone(), gained.clone()));
        }
    }
    all
}

/// What of a change on the way is none at the end, by the paths on which that is the same.
fn on_the_way(change: &Change, ended: &Ended<'_>) -> Vec<Change> {
    let mut alike: BTreeMap<Change, Vec<String>> = BTreeMap::new();
    for path in &change.paths {
        let at_the_end = ended.get(&(change.principal.as_str(), path.as_str()));
        let without = |names: &BTreeSet<String>, gained: bool| -> BTreeSet<String> {
            let stays = |name: &str| {
                at_the_end.is_some_and(|(lost, gains)| {
                    let there = if gained { gains } else { lost };
                    there.contains(name)
                })
            };
            names.iter().filter(|name| !stays(name)).cloned().collect()
        };
        let only = Change {
            principal: change.principal.clone(),
            paths: Vec::new(),
            gained: without(&change.gained, true),
            lost: without(&change.lost, false),
            gained_below: without(&change.gained_below, true),
            lost_below: without(&change.lost_below, false),
        };
        alike.entry(only).or_default().push(path.clone());
    }
    let some = |change: &Change| {
        let sets = [
            &change.gained,
            &change.lost,
            &change.gained_below,
            &change.lost_below,
        ];
        sets.iter().any(|set| !set.is_empty())
    };
    alike
        .into_iter()
        .filter(|(change, _)| some(change))
        .map(|(change, paths)| Change { paths, ..change })
        .collect()
}
