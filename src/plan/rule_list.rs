//! Edit scripts: how a list of firewall rules becomes the wanted one by calls of Proxmox VE's API, one call an edit.
//!
//! What the calls do (measured): a rule has no name but its position. A new rule goes to the top of the list, whatever `pos` says, and is off
//! unless `enable` says otherwise. A move (`moveto`) puts a rule before the rule that stood at that position, and ignores everything else
//! that is sent. A change leaves the position; a deletion closes the gap. Changes, moves and deletions are checked against the list's digest,
//! new rules are not.
//!
//! **No state on the way is stricter than both ends**: whatever packet the list lets pass before and after is let pass all the way. So the
//! edits that can only open come first (accepting rules come in or up, dropping rules go down or away), then those that do both, of which a
//! packet may meet only one, and at last those that can only shut. What a rule matches is taken from its own fields; a named set or alias
//! matches an unknown set of addresses, the same wherever the name stands. An edit that would do both, and whose packets another such
//! edit may concern too, becomes two: the new rule comes before the old one goes. A new rule that would pass rules of another verdict on its way from the
//! top to its place comes off, and is switched on there.
//!
//! **As few calls as that allows.** A rule that is wanted as it stands is neither changed nor deleted: it stays or is moved. The others are
//! changed, moved, both, or deleted, or are new. Counted are one call for each move, change and deletion, one for a new rule at the top, and
//! two for one elsewhere; the rules that stay are chosen so that this count is the least (a weighted longest common subsequence). The law
//! above, and that nothing is opened needlessly, add calls to it; nothing else does. Rules that are equal more than once are paired by the
//! longest common subsequence of equal rules, and in order beyond that.

mod align;
mod block;
mod fields;
mod order;
mod pass;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::world::Section;
use crate::world::firewall::Rule;

pub use block::{
    Block, Markers, blocks, is_marker, markers, script_of_block, script_without_block,
};
pub use fields::same;
pub use pass::{looser, stricter};

/// The contents of security groups by name, as far as they are known and are the same before and after. A call of any other group may
/// accept and drop anything.
pub type Groups = BTreeMap<String, Vec<Rule>>;

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// A new rule, at the top of the list: Proxmox VE puts it nowhere else.
    Insert {
        /// Its fields, `enable` (`0` or `1`) always among them.
        fields: Section,
    },
    /// Changes fields of a rule. It stays where it is.
    Update {
        /// Its position.
        position: usize,
        /// The fields that get a value.
        set: Section,
        /// The fields that are taken away.
        delete: Vec<String>,
    },
    /// Moves a rule.
    Move {
        /// Its position.
        from: usize,
        /// The position, before the move, of the rule that it is put before; the list's length for its end.
        to: usize,
    },
    /// Takes a rule away.
    Delete {
        /// Its position.
        position: usize,
    },
}

/// Why there is no script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleListError {
    /// Every order of the calls has a state that may be stricter than both ends.
    #[error(
        "there is no order of single calls in which nothing is shut on the way that is open before and after: {} may each accept and drop the same \
         packets; change one of them at a time",
        .rules.join(" and ")
    )]
    NoSafeOrder {
        /// The rules that cannot change in one go, in words.
        rules: Vec<String>,
    },
    /// A block's markers are not one pair in order.
    #[error("the block {name} of the list is broken: {found}; mend its two marker rules by hand")]
    BrokenBlock {
        /// The block's name.
        name: String,
        /// What stands in the list instead.
        found: String,
    },
}

/// The calls that make `wanted` of `live`; none if the lists mean the same.
///
/// # Errors
/// [`RuleListError::NoSafeOrder`]: several calls of security groups that are not known, or that accept and drop, come, go or move.
pub fn script(live: &[Rule], wanted: &[Rule], groups: &Groups) -> Result<Vec<Edit>, RuleListError> {
    order::script(live, wanted, align::Fixed::default(), groups)
}

/// What Proxmox VE makes of a list by a call. A position that is not there changes nothing.
#[must_use]
pub fn apply(list: &[Rule], edit: &Edit) -> Vec<Rule> {
    let mut list = list.to_vec();
    match edit {
        Edit::Insert { fields } => list.insert(
            0,
            Rule {
                fields: fields.clone(),
                ..Rule::default()
            },
        ),
        Edit::Update {
            position,
            set,
            delete,
        } => {
            if let Some(rule) = list.get_mut(*position) {
                fields::change(rule, set, delete);
            }
        }
        Edit::Move { from, to } => {
            if *from < list.len() {
                let rule = list.remove(*from);
                let to = if to > from { to - 1 } else { *to };
                list.insert(to.min(list.len()), rule);
            }
        }
        Edit::Delete { position } => {
            if *position < list.len() {
                list.remove(*position);
            }
        }
    }
    list
}

/// The list before the first edit and after each.
#[must_use]
pub fn states(live: &[Rule], edits: &[Edit]) -> Vec<Vec<Rule>> {
    let mut states = vec![live.to_vec()];
    for edit in edits {
        let next = states.last().map(|list| apply(list, edit));
        states.extend(next);
    }
    states
}
