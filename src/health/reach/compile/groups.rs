//! Security groups: two chains each, made when a rule first brings the group in. If a rule of the group fails, the group stays half
//! made and whoever brought it in loses what it was compiling; the next one finds what is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::address::Family;
use super::super::chain::{Chain, Origin, Then, When};
use super::super::rule::Kind;
use super::Site;
use super::lists::{Actions, Failure, Lookup};

/// Into or out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Direction {
    In,
    Out,
}

impl Direction {
    fn suffix(self) -> usize {
        match self {
            Self::In => "-IN".len(),
            Self::Out => "-OUT".len(),
        }
    }
}

/// The groups' chains so far.
#[derive(Debug, Default)]
pub(super) struct Groups {
    chains: BTreeMap<(String, Direction), Arc<Chain>>,
    /// A configuration that could not be read may have brought groups in before; why.
    pub(super) unread: Option<String>,
}

/// That compiling gave up.
pub(super) struct GivenUp;

impl Groups {
    /// The chain of a group, made now if it is not there.
    pub(super) fn chain(
        &mut self,
        site: &Site<'_>,
        group: &str,
        direction: Direction,
    ) -> Result<Arc<Chain>, GivenUp> {
        let key = (group.to_owned(), direction);
        if let Some(chain) = self.chains.get(&key) {
            return Ok(chain.clone());
        }
        let made = self.make(site, group);
        if let (Err(GivenUp), Some(why)) = (&made, &self.unread) {
            let why = format!("security group {group} cannot be compiled wholly, and {why}");
            let chain = Arc::new(super::unknown(&why));
            self.chains.insert(key, chain.clone());
            return Ok(chain);
        }
        made?;
        self.chains.get(&key).cloned().ok_or(GivenUp)
    }

    fn make(&mut self, site: &Site<'_>, group: &str) -> Result<(), GivenUp> {
        // A kernel's names of chains have room for 28 characters.
        let fits = |direction: Direction| "GROUP-".len() + group.len() + direction.suffix() <= 28;
        for direction in [Direction::In, Direction::Out] {
            let key = (group.to_owned(), direction);
            if !fits(direction) || self.chains.contains_key(&key) {
                return Err(GivenUp);
            }
            let (chain, whole) = site.group(group, direction);
            self.chains.insert(key, Arc::new(chain));
            if !whole {
                return Err(GivenUp);
            }
        }
        Ok(())
    }
}

impl Site<'_> {
    /// A group's rules of one direction, and whether all of them could be compiled; the chain ends before the first that could not. A
    /// group that does not exist is empty.
    fn group(&self, name: &str, direction: Direction) -> (Chain, bool) {
        let mut chain = Chain::default();
        let label: Arc<str> = Arc::from(name);
        let origin = |position| Origin::Group {
            group: label.clone(),
            position,
        };
        chain.push(When::default(), Then::Unmark, origin(0));
        let actions = Actions {
            accept: Then::MarkAndReturn,
            reject: Then::Jump(self.standard.reject.clone()),
        };
        let lookup = self.shared_lookup();
        let rules = self.cluster.groups.get(name);
        for (position, entry) in rules.into_iter().flatten().enumerate() {
            let Some(rule) = entry.active() else { continue };
            let action = match (&rule.kind, direction) {
                (Kind::In(action), Direction::In) | (Kind::Out(action), Direction::Out) => *action,
                _ => continue,
            };
            if !applies(rule.family, self.family) {
                continue;
            }
            match lookup.steps(rule, &actions.then(action), &origin(position)) {
                Ok(steps) => chain.steps.extend(steps),
                Err(Failure::Fails) => return (chain, false),
                Err(Failure::Unknown(why)) => chain.push(
                    When::default(),
                    Then::Unknown,
                    Origin::Unknown(Arc::from(why)),
                ),
            }
        }
        (chain, true)
    }

    /// Where references are looked up that are no guest's.
    pub(super) fn shared_lookup(&self) -> Lookup<'_> {
        Lookup {
            family: self.family,
            own: None,
            shared: (&self.shared, &self.sets),
        }
    }
}

/// Whether a rule that may be for one version only stands among the rules of a version.
pub(super) fn applies(only: Option<Family>, family: Family) -> bool {
    only.is_none_or(|only| only == family)
}
