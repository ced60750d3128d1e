//! Health: what every entity can do and has, facet by facet, as a pure function of a world. The blast radius of a plan is health
//! before against health after (and in between); nothing here knows of plans or steps.

pub mod model;
pub mod summary;

pub use model::*;
pub use summary::{Worse, summary};

use crate::world::World;

/// The health of a whole world.
pub fn evaluate(world: &World) -> Health {
    let mut health = Health::new();
    for guest in world.guests.values() {
        health.insert(
            (Entity::Guest(guest.kind, guest.vmid), Facet::Boots),
            State::GOOD,
        );
    }
    health
}

/// The health of `after`, given that of `before`: the same as [`evaluate`] of `after`, at the cost of what differs.
pub fn reevaluate(health: &Health, before: &World, after: &World) -> Health {
    let mut health = health.clone();
    advance(&mut health, before, after);
    health
}

/// Like [`reevaluate`], in place. Returns the keys whose state changed, with the state they had (`None`: they were not there).
pub fn advance(
    health: &mut Health,
    before: &World,
    after: &World,
) -> Vec<((Entity, Facet), Option<State>)> {
    let _ = before;
    *health = evaluate(after);
    Vec::new()
}

/// Further facts about an impact of this category on an entity, each one line: `keeps running until it is stopped, migrated or
/// rebooted`.
pub fn notes(world: &World, entity: &Entity, category: Category) -> Vec<String> {
    let _ = (world, entity, category);
    Vec::new()
}

/// Something that could not be read and that the difference between two worlds may matter to (rules G1 and G4).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// What could not be read.
    pub part: crate::world::Part,
    /// Why.
    pub why: String,
    /// Whose health it leaves unknown.
    pub entity: Entity,
    /// What it might have said: `it may use local-zfs`.
    pub matters: String,
}

/// Every unreadable part that the difference between `before` and `after` may matter to. Empty means: the blast radius is complete.
pub fn completeness_needed(before: &World, after: &World) -> Vec<Gap> {
    let _ = (before, after);
    Vec::new()
}

/// Whether what an action writes has room where it goes (rules ST09, GU07, GU08): one entry per storage that is too small, gets
/// tight, or cannot be judged. `world` is the world right before the action. These stand in for the storage's [`Facet::Room`].
pub fn fit(world: &World, action: &crate::world::Action) -> Vec<(Entity, State)> {
    let _ = (world, action);
    Vec::new()
}
