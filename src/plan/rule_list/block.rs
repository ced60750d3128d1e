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

/// Whether these are a rule's fields that marks where a block begins or ends.
#[must_use]
pub fn is_marker(fields: &Section) -> bool {
    let comment = fields.get("comment").map_or("", String::as_str);
    let mut words = comment.split_whitespace();
    let marks = matches!(words.next(), Some(BEGIN | END));
    marks && words.next().is_some() && words.next().is_none() && !super::fields::enabled(fields)
}

fn marks(rule: &Rule, word: &str, name: &str) -> bool {
    let comment = rule.fields.get("comment").map_or("", String::as_str);
    let mut words = comment.split_whitespace();
    words.next() == Some(word) && words.next() == Some(name) && words.next().is_none()
}

fn marker(word: &str, block: &Block<'_>) -> Rule {
    let fields = [
        ("type", if block.forward { "forward" } else { "in" }),
        ("action", "DROP"),
        ("enable", "0"),
        ("comment", &format!("{word} {}", block.name)),
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

/// A block that a list shall have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// Its name.
    pub name: &'a str,
    /// The position of the rule before which it comes in, if its markers are not in the list; the list's end if that is `None`.
    pub new_at: Option<usize>,
    /// Whether the list takes only rules for what is forwarded, so that its markers are such rules too.
    pub forward: bool,
}

/// The names of all blocks that a list has markers of, each once, in their order.
#[must_use]
pub fn blocks(list: &[Rule]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for rule in list {
        let comment = rule.fields.get("comment").map_or("", String::as_str);
        let mut words = comment.split_whitespace();
        let word = words.next();
        if let (true, Some(name), None) = (
            word == Some(BEGIN) || word == Some(END),
            words.next(),
            words.next(),
        ) && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// The calls that make `wanted` of the rules between a block's markers. If the markers are not there, they come in as the block says.
///
/// # Errors
/// [`RuleListError::BrokenBlock`] for markers that are not one pair in order, and those of [`super::script`].
pub fn script_of_block(
    live: &[Rule],
    block: &Block<'_>,
    wanted: &[Rule],
    groups: &Groups,
) -> Result<Vec<Edit>, RuleListError> {
    let name = block.name;
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
    let (fixed, between) = match markers(live, name)? {
        Some(Markers { begin, end }) => {
            let fixed = Fixed {
                before: begin + 1,
                after: live.len() - end,
            };
            (fixed, wanted.to_vec())
        }
        None => {
            let before = block.new_at.unwrap_or(live.len()).min(live.len());
            let after = live.len() - before;
            let mut between = vec![marker(BEGIN, block)];
            between.extend(wanted.iter().cloned());
            between.push(marker(END, block));
            (Fixed { before, after }, between)
        }
    };
    replaced(live, fixed, between, groups)
}

/// The calls that take a block away, its markers too. None if it is not there.
///
/// # Errors
/// As [`script_of_block`].
pub fn script_without_block(
    live: &[Rule],
    name: &str,
    groups: &Groups,
) -> Result<Vec<Edit>, RuleListError> {
    let Some(Markers { begin, end }) = markers(live, name)? else {
        return Ok(Vec::new());
    };
    let fixed = Fixed {
        before: begin,
        after: live.len() - end - 1,
    };
    replaced(live, fixed, Vec::new(), groups)
}

/// The calls that put other rules between those that are fixed.
fn replaced(
    live: &[Rule],
    fixed: Fixed,
    between: Vec<Rule>,
    groups: &Groups,
) -> Result<Vec<Edit>, RuleListError> {
    let mut whole = live.get(..fixed.before).unwrap_or_default().to_vec();
    whole.extend(between);
    let after = live.get(live.len() - fixed.after..).unwrap_or_default();
    whole.extend_from_slice(after);
    order::script(live, &whole, fixed, groups)
}
