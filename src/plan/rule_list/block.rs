//! A block of a list that people share: the rules between two markers are ours, all others are theirs and are neither changed nor moved.
//!
//! The markers are rules that are off, so they have no effect whatever their fields say, and whose comments are `bailiwick:begin NAME`
//! and `bailiwick:end NAME`.

use super::align::Fixed;
use super::{Edit, Groups, RuleListError, order};
use crate::world::Section;
use crate::world::firewall::Rule;

const BEGIN: &str = "bailiwick:begin";
const END: &str = "bailiwick:end";

/// Where a block's markers stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Markers {
    /// The position of the first.
    pub begin: usize,
    /// The position of the second.
    pub end: usize,
}

impl Markers {
    /// The rules between the markers.
    #[must_use]
    pub fn inside<'a>(&self, list: &'a [Rule]) -> &'a [Rule] {
        list.get(self.begin + 1..self.end).unwrap_or_default()
    }
}

fn marks(rule: &Rule, word: &str, name: &str) -> bool {
    let comment = rule.fields.get("comment").map_or("", String::as_str);
    let mut words = comment.split_whitespace();
    words.next() == Some(word) && words.next() == Some(name) && words.next().is_none()
}

fn marker(word: &str, name: &str) -> Rule {
    let fields = [
        ("type", "in"),
        ("action", "DROP"),
        ("enable", "0"),
        ("comment", &format!("{word} {name}")),
    ];
    let fields = fields.iter();
    Rule {
        fields: fields
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        errors: Section::new(),
    }
}

/// Where a block stands in a list; `None` if neither of its markers is there.
///
/// # Errors
/// [`RuleListError::BrokenBlock`]: only one marker, one twice, the second before the first, or one that is switched on.
pub fn markers(list: &[Rule], name: &str) -> Result<Option<Markers>, RuleListError> {
    let at = |word: &str| -> Vec<usize> {
        let list = list.iter().enumerate();
        list.filter(|(_, rule)| marks(rule, word, name))
            .map(|(at, _)| at)
            .collect()
    };
    let (begins, ends) = (at(BEGIN), at(END));
    let found = match (begins.as_slice(), ends.as_slice()) {
        ([], []) => return Ok(None),
        ([begin], [end]) if begin < end => {
            let mut on = [*begin, *end].into_iter().filter(|at| {
                let rule = list.get(*at);
                rule.is_some_and(|rule| super::fields::enabled(&rule.fields))
            });
            match on.next() {
                Some(at) => format!("the marker at position {at} is switched on"),
                None => {
                    return Ok(Some(Markers {
                        begin: *begin,
                        end: *end,
                    }));
                }
            }
        }
        ([begin], [end]) => {
            format!("`{END} {name}` at position {end} stands before `{BEGIN} {name}` at {begin}")
        }
        ([begin], []) => format!("`{BEGIN} {name}` at position {begin} has no `{END} {name}`"),
        ([], [end]) => format!("`{END} {name}` at position {end} has no `{BEGIN} {name}`"),
        (begins, ends) => format!(
            "`{BEGIN} {name}` stands at {}, `{END} {name}` at {}",
            positions(begins),
            positions(ends)
        ),
    };
    Err(RuleListError::BrokenBlock {
        name: name.to_owned(),
        found,
    })
}

fn positions(at: &[usize]) -> String {
    if at.is_empty() {
        return "no position".to_owned();
    }
    let at: Vec<String> = at.iter().map(usize::to_string).collect();
    format!("position {}", at.join(" and "))
}

/// The calls that make `wanted` of the rules between a block's markers. If the markers are not there, they come in before the rule at
/// position `new_at`; at the list's end if that is `None`.
///
/// # Errors
/// [`RuleListError::BrokenBlock`] for markers that are not one pair in order, and those of [`super::script`].
pub fn script_of_block(
    live: &[Rule],
    name: &str,
    wanted: &[Rule],
    new_at: Option<usize>,
    groups: &Groups,
) -> Result<Vec<Edit>, RuleListError> {
    let mut marked = wanted
        .iter()
        .enumerate()
        .filter(|(_, rule)| [BEGIN, END].iter().any(|word| marks(rule, word, name)));
    if let Some((at, _)) = marked.next() {
        return Err(RuleListError::BrokenBlock {
            name: name.to_owned(),
            found: format!("rule {at} of those that are wanted in it has a marker's comment"),
        });
    }
    let (before, between, after) = match markers(live, name)? {
        Some(Markers { begin, end }) => (begin + 1, Vec::new(), live.len() - end),
        None => {
            let before = new_at.unwrap_or(live.len()).min(live.len());
            let pair = vec![marker(BEGIN, name), marker(END, name)];
            (before, pair, live.len() - before)
        }
    };
    let mut whole = live.get(..before).unwrap_or_default().to_vec();
    let mut between = between.into_iter();
    whole.extend(between.next());
    whole.extend(wanted.iter().cloned());
    whole.extend(between);
    whole.extend_from_slice(live.get(live.len() - after..).unwrap_or_default());
    order::script(live, &whole, Fixed { before, after }, groups)
}
