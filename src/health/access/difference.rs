//! Who gains and who loses what.

use std::collections::{BTreeMap, BTreeSet};

use super::matrix::Matrix;

/// What changes for one principal on some paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The user or token.
    pub principal: String,
    /// The paths on which all of this changes.
    pub paths: Vec<String>,
    /// The privileges it holds now and did not.
    pub gained: BTreeSet<String>,
    /// The privileges it held and does not any more.
    pub lost: BTreeSet<String>,
    /// The privileges it keeps, and that hold below the path now too.
    pub gained_below: BTreeSet<String>,
    /// The privileges it keeps, and that do not hold below the path any more.
    pub lost_below: BTreeSet<String>,
}

/// What changes, of one pair of sets of privileges.
type Words = (
    BTreeSet<String>,
    BTreeSet<String>,
    BTreeSet<String>,
    BTreeSet<String>,
);

/// Who gains and loses what on the paths of either matrix, one change for all paths of a principal on which it is the same.
/// A principal or path that one of the two does not have is one with no privileges there.
#[must_use]
pub fn difference(before: &Matrix<'_>, after: &Matrix<'_>) -> Vec<Change> {
    let principals: BTreeSet<&str> = before
        .principals
        .iter()
        .chain(&after.principals)
        .copied()
        .collect();
    let columns: Vec<(&str, Option<usize>, Option<usize>)> = principals
        .into_iter()
        .map(|id| (id, before.column(id), after.column(id)))
        .collect();
    let paths: BTreeSet<&String> = before.paths.keys().chain(after.paths.keys()).collect();
    // Paths with the same rows in both change in the same way.
    let mut alike: BTreeMap<(Option<usize>, Option<usize>), Vec<&String>> = BTreeMap::new();
    for path in paths {
        let rows = (before.paths.get(path), after.paths.get(path));
        alike
            .entry((rows.0.copied(), rows.1.copied()))
            .or_default()
            .push(path);
    }
    // Most cells stay the same, and of those nothing more is asked.
    let same = before.numbers_in(after);
    let mut known: BTreeMap<(Option<u32>, Option<u32>), Option<usize>> = BTreeMap::new();
    let mut words: Vec<Words> = Vec::new();
    let mut changes: BTreeMap<(&str, usize), Vec<&String>> = BTreeMap::new();
    for ((was, is), paths) in alike {
        let was = was.and_then(|row| before.rows.get(row));
        let is = is.and_then(|row| after.rows.get(row));
        for (id, column_before, column_after) in &columns {
            let cell = |row: Option<&Vec<u32>>, column: &Option<usize>| {
                row.and_then(|row| row.get((*column)?).copied())
            };
            let pair = (cell(was, column_before), cell(is, column_after));
            if let (Some(was), Some(is)) = pair
                && same.get(was as usize) == Some(&Some(is))
            {
                continue;
            }
            let change = *known.entry(pair).or_insert_with(|| {
                let change = compare(
                    &pair.0.and_then(|set| before.set(set)).unwrap_or_default(),
                    &pair.1.and_then(|set| after.set(set)).unwrap_or_default(),
                )?;
                words.push(change);
                Some(words.len() - 1)
            });
            if let Some(change) = change {
                changes.entry((*id, change)).or_default().extend(&paths);
            }
        }
    }
    let mut found: Vec<Change> = changes
        .into_iter()
        .filter_map(|((id, change), mut paths)| {
            let (gained, lost, gained_below, lost_below) = words.get(change)?.clone();
            paths.sort_unstable();
            Some(Change {
                principal: id.to_owned(),
                paths: paths.into_iter().cloned().collect(),
                gained,
                lost,
                gained_below,
                lost_below,
            })
        })
        .collect();
    found.sort_unstable();
    found
}

fn compare(before: &BTreeMap<&str, bool>, after: &BTreeMap<&str, bool>) -> Option<Words> {
    if before == after {
        return None;
    }
    let missing = |here: &BTreeMap<&str, bool>, there: &BTreeMap<&str, bool>| {
        let only = here.keys().filter(|name| !there.contains_key(*name));
        only.map(|name| (*name).to_owned()).collect()
    };
    let below = |there: bool| {
        let kept = before
            .iter()
            .filter_map(|(name, was)| Some((name, *was, *after.get(name)?)));
        kept.filter(|(_, was, is)| was != is && *is == there)
            .map(|(name, ..)| (*name).to_owned())
            .collect()
    };
    Some((
        missing(after, before),
        missing(before, after),
        below(true),
        below(false),
    ))
}
