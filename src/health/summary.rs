//! From two healths to what got worse, one line per fact a person has to know.

use super::{Entity, Facet, Health, State};

/// One facet of one entity that got worse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worse {
    /// Whose.
    pub entity: Entity,
    /// Which.
    pub facet: Facet,
    /// How it was.
    pub before: State,
    /// How it is.
    pub after: State,
}

/// What got worse from `before` to `after`, without what a worse fact of the same entity already says.
pub fn summary(before: &Health, after: &Health) -> Vec<Worse> {
    after
        .iter()
        .filter_map(|((entity, facet), state)| {
            let was = before
                .get(&(entity.clone(), facet.clone()))
                .cloned()
                .unwrap_or(State::GOOD);
            (state.grade > was.grade).then(|| Worse {
                entity: entity.clone(),
                facet: facet.clone(),
                before: was,
                after: state.clone(),
            })
        })
        .collect()
}
