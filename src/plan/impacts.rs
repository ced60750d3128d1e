//! Impacts: health before, after every step and at the end. Worse at the end is permanent; worse in between only is transient. What
//! the steps themselves do (a restart, data destroyed) is added by [`actions`]. Nothing is cut.

mod access;
mod accounts;
mod actions;
mod addresses;
mod backups;
mod creation;
mod firewall;
mod losses;
mod number;
mod reach;
mod realms;
mod refusals;
mod returning;
mod safety;
mod tokens;
mod trial;

pub(super) use access::governs;
pub(super) use refusals::refused;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::model::{Duration, Impact, StepId};
use super::words::clean;
use crate::health::reach::Keepers;
use crate::health::{self, Backups, Category, Entity, Facet, Grade, Health, State, Worse};
use crate::ids::StorageId;
use crate::world::{Action, Guest, Status, Unpredictable, World};

/// An impact without an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Raw {
    pub entity: Entity,
    pub category: Category,
    pub before: String,
    pub after: String,
    pub causes: Vec<String>,
    pub notes: Vec<String>,
    pub duration: Duration,
    pub steps: BTreeSet<StepId>,
    pub rule: String,
}

/// What was seen over a whole plan.
pub(super) struct Seen {
    pub impacts: Vec<Impact>,
    pub improvements: Vec<String>,
    pub notes: BTreeSet<String>,
}

/// What becomes of reach through these worlds, by a step from each to the next.
#[cfg(test)]
pub(super) fn reached(worlds: &[&World]) -> Vec<Impact> {
    let mut touched = reach::Touched::new(Keepers::default());
    for ((pair, id), before) in worlds.iter().skip(1).zip(1..).zip(worlds) {
        touched.step(StepId(id), before, pair);
    }
    let (Some(start), Some(end)) = (worlds.first(), worlds.last()) else {
        return Vec::new();
    };
    number::number(reach::impacts(start, end, &touched), start, end)
}

type Key = (Entity, Facet);

/// Watches health while the steps of a plan are tried one after the other.
pub(super) struct Watch<'a> {
    start: &'a World,
    start_health: Health,
    world: World,
    health: Health,
    /// What is worse than at the start, by entity, as of now.
    worse: BTreeMap<Entity, Vec<Worse>>,
    /// What was worse at some time, with the world it was in and the step that ended it.
    was_worse: BTreeMap<Key, (Worse, BTreeSet<StepId>, Vec<String>)>,
    /// Steps that made a facet worse.
    blame: BTreeMap<Key, BTreeSet<StepId>>,
    /// Jobs that a step removes: that they are gone is what was asked for, and whom they leave is told.
    removed_jobs: BTreeSet<Entity>,
    /// Guests cloned and restored, as they were made.
    clones: Vec<(StepId, Arc<Guest>)>,
    raw: Vec<Raw>,
    unpredictable: Vec<(StepId, String, String)>,
    /// Where the steps may have changed what somebody may do.
    access: access::Touched,
    /// Where the steps may have changed who reaches whom.
    reach: reach::Touched,
    /// The steps that can take backups away with a storage, or from it.
    storage_steps: BTreeMap<StorageId, BTreeSet<StepId>>,
}

impl<'a> Watch<'a> {
    /// `keepers` are those who must be able to manage nodes.
    pub(super) fn new(start: &'a World, keepers: Keepers) -> Self {
        let start_health = health::evaluate(start);
        Self {
            start,
            health: start_health.clone(),
            start_health,
            world: start.clone(),
            worse: BTreeMap::new(),
            was_worse: BTreeMap::new(),
            blame: BTreeMap::new(),
            removed_jobs: BTreeSet::new(),
            clones: Vec::new(),
            raw: Vec::new(),
            unpredictable: Vec::new(),
            access: Vec::new(),
            reach: reach::Touched::new(keepers),
            storage_steps: BTreeMap::new(),
        }
    }

    /// The world as it is now.
    pub(super) fn world(&self) -> &World {
        &self.world
    }

    /// Tries one step. The world before it is handed back, unless the step changed nothing because it would fail.
    pub(super) fn step(&mut self, id: StepId, action: &Action) -> Option<World> {
        for (entity, state) in health::fit(&self.world, action) {
            let duration = Duration::Permanent;
            let notes = state
                .category
                .map(|category| health::notes(&self.world, &entity, category))
                .unwrap_or_default();
            let mut raw = of_state(entity, &State::GOOD, &state, "there is room", duration, id);
            raw.notes = notes;
            self.raw.push(raw);
        }
        let after = match self.world.apply(action) {
            Ok(after) => after,
            Err(error) => {
                self.unpredicted(id, action, &error);
                return None;
            }
        };
        let before = std::mem::replace(&mut self.world, after);
        let affected = health::affected(&before, &self.world);
        if !affected.is_empty() {
            self.access.push((id, affected, self.world.clone()));
        }
        self.reach.step(id, &before, &self.world);
        if let Some(storage) = storage_of(action) {
            let steps = self.storage_steps.entry(storage.clone());
            steps.or_default().insert(id);
        }
        if let Action::DeleteBackupJob { id: job } = action {
            self.removed_jobs.insert(Entity::BackupJob(job.to_string()));
        }
        if let Action::DeleteReplicationJob { id: job } = action {
            let job = Entity::ReplicationJob(job.to_string());
            self.removed_jobs.insert(job);
        }
        if let Action::CloneGuest { vmid, .. } | Action::RestoreGuest { vmid, .. } = action
            && let Some(clone) = self.world.guests.get(vmid)
        {
            self.clones.push((id, Arc::clone(clone)));
        }
        let changed = health::advance(&mut self.health, &before, &self.world);
        self.raw.extend(actions::impacts(
            id,
            action,
            &before,
            &self.world,
            &self.health,
        ));
        self.compare(id, changed);
        Some(before)
    }

    fn unpredicted(&mut self, id: StepId, action: &Action, error: &Unpredictable) {
        match error {
            Unpredictable::Refused(_) | Unpredictable::Missing(_) => {
                let known = refusals::will_fail(id, action, &self.world);
                if known.is_empty() {
                    let rule = refusals::failure_rule(action);
                    self.raw
                        .push(refusals::failure(id, action, &error.to_string(), rule));
                }
                self.raw.extend(known);
            }
            Unpredictable::Unread { part, why } => {
                self.unpredictable.push((id, part.to_string(), why.clone()));
            }
        }
    }

    /// A step that cannot be taken back says so, unless something worse about it was said already.
    pub(super) fn irreversible(&mut self, id: StepId, action: &Action, why: &str) {
        let told = self.raw.iter().any(|raw| {
            raw.steps.contains(&id)
                && matches!(
                    raw.category,
                    Category::Irreversible
                        | Category::DataLost
                        | Category::LastCopy
                        | Category::Restarted
                )
        });
        if !told {
            self.raw.push(refusals::cannot_go_back(id, action, why));
        }
    }

    /// What a step changed in health.
    fn compare(&mut self, id: StepId, changed: Vec<(Key, Option<State>)>) {
        let mut touched = BTreeSet::new();
        for (key, old) in changed {
            let old = old.map_or(Grade::Good, |state| state.grade);
            let new = self
                .health
                .get(&key)
                .map_or(Grade::Good, |state| state.grade);
            let first = self
                .start_health
                .get(&key)
                .map_or(Grade::Good, |state| state.grade);
            if new > old {
                self.blame.entry(key.clone()).or_default().insert(id);
            } else if new <= first {
                self.blame.remove(&key);
            }
            touched.insert(key.0);
        }
        let mut now = by_entity(health::summary(
            &of_entities(&self.start_health, &touched),
            &of_entities(&self.health, &touched),
        ));
        for entity in touched {
            let worse = now.remove(&entity).unwrap_or_default();
            let old = self.worse.remove(&entity).unwrap_or_default();
            for past in old {
                let still = worse.iter().any(|now| covers(now, &past));
                let key = (past.entity.clone(), past.facet.clone());
                if !still && let Some((_, steps, _)) = self.was_worse.get_mut(&key) {
                    steps.insert(id);
                }
            }
            for now in &worse {
                let key = (now.entity.clone(), now.facet.clone());
                let known = self.was_worse.get(&key);
                if known.is_none_or(|(past, _, _)| past.after.grade < now.after.grade) {
                    let notes = now
                        .after
                        .category
                        .map(|category| health::notes(self.start, &now.entity, category))
                        .unwrap_or_default();
                    self.was_worse
                        .insert(key, (now.clone(), BTreeSet::from([id]), notes));
                }
            }
            if !worse.is_empty() {
                self.worse.insert(entity, worse);
            }
        }
    }

    /// Everything that was seen. Unknowns are added to those the planner has.
    pub(super) fn end(mut self, unknowns: &mut BTreeMap<String, String>) -> Seen {
        let mut notes = BTreeSet::new();
        self.worse = by_entity(health::summary(&self.start_health, &self.health));
        self.permanent(&mut notes);
        self.transient();
        self.destroyed();
        self.older_backups();
        for (step, clone) in &self.clones {
            let shared = addresses::taken_over(*step, clone, &self.world);
            self.raw.extend(shared);
            self.raw
                .extend(addresses::same_cards(*step, clone, &self.world));
        }
        let privileges = access::impacts(self.start, &self.world, &self.access);
        self.raw.extend(privileges);
        let reach = reach::impacts(self.start, &self.world, &self.reach);
        self.raw.extend(reach);
        self.gaps(unknowns);
        let improvements = self.improvements();
        let mut raw = self.raw;
        for impact in &mut raw {
            // A gap has its unknown already: the part that could not be read.
            if impact.category == Category::Unknown && impact.rule != "G1" {
                let what = format!("what happens to {}", impact.entity);
                unknowns
                    .entry(what)
                    .or_insert_with(|| impact.causes.join("; "));
            }
        }
        Seen {
            impacts: number::number(raw, self.start, &self.world),
            improvements,
            notes,
        }
    }

    fn permanent(&mut self, notes: &mut BTreeSet<String>) {
        for (entity, worse) in &self.worse {
            for worse in worse {
                let Some(category) = worse.after.category else {
                    continue;
                };
                if !exists(self.start, entity) {
                    // What is new is no worse than before; but it may not be what was meant.
                    notes.insert(format!(
                        "{entity} is new and {category}: {}",
                        worse.after.causes.join("; ")
                    ));
                    continue;
                }
                if gone(&self.world, entity) || self.told(entity, &worse.facet, category) {
                    continue;
                }
                let key = (entity.clone(), worse.facet.clone());
                let steps = self.blame.get(&key).cloned().unwrap_or_default();
                let mut raw = of_state(
                    entity.clone(),
                    &worse.before,
                    &worse.after,
                    good(&worse.facet),
                    Duration::Permanent,
                    StepId(0),
                );
                raw.steps = steps;
                raw.notes = health::notes(self.start, entity, category);
                self.raw.push(raw);
            }
        }
    }

    /// Whether a step's own impact says it already: room is judged where it is used, a stop by the step that
    /// stops, and a job that is removed is meant to be gone.
    fn told(&self, entity: &Entity, facet: &Facet, category: Category) -> bool {
        if self.removed_jobs.contains(entity) {
            return true;
        }
        let by_step = matches!(facet, Facet::Room | Facet::Runs);
        by_step
            && self.raw.iter().any(|raw| {
                raw.entity == *entity
                    && (raw.category == category
                        || (*facet == Facet::Room
                            && matches!(raw.category, Category::Tight | Category::WontFit)))
            })
    }

    fn transient(&mut self) {
        let past = std::mem::take(&mut self.was_worse);
        for ((entity, facet), (worse, steps, notes)) in past {
            let Some(category) = worse.after.category else {
                continue;
            };
            if !exists(self.start, &entity)
                || gone(&self.world, &entity)
                || self.told(&entity, &facet, category)
            {
                continue;
            }
            let still = self
                .worse
                .get(&entity)
                .is_some_and(|now| now.iter().any(|now| covers(now, &worse)));
            // A fact that a worse one of the same entity now says is not over; it is covered.
            let over = steps.len() > 1;
            if still || !over {
                continue;
            }
            let mut raw = of_state(
                entity,
                &worse.before,
                &worse.after,
                good(&facet),
                Duration::Transient,
                StepId(0),
            );
            raw.steps = steps;
            raw.notes = notes;
            self.raw.push(raw);
        }
    }

    /// Guests that are gone at the end and ran at the start.
    fn destroyed(&mut self) {
        for guest in self.start.guests.values() {
            if self.world.guests.contains_key(&guest.vmid) || guest.status != Status::Running {
                continue;
            }
            let entity = Entity::Guest(guest.kind, guest.vmid);
            self.raw
                .retain(|raw| raw.entity != entity || raw.category != Category::Stopped);
            self.raw.push(Raw {
                entity,
                category: Category::Stopped,
                before: "runs".to_owned(),
                after: "gone".to_owned(),
                causes: vec!["it runs now and is destroyed".to_owned()],
                notes: Vec::new(),
                duration: Duration::Permanent,
                steps: BTreeSet::new(),
                rule: "GU01".to_owned(),
            });
        }
    }

    /// ST06: guests whose newest backup is no longer to be had, though an older one is. (That none is left, health tells.)
    fn older_backups(&mut self) {
        if self.storage_steps.is_empty() {
            return;
        }
        let (was, now) = (Backups::new(self.start), Backups::new(&self.world));
        for guest in self.start.guests.values() {
            let vmid = guest.vmid;
            let (Some((before, newest)), Some((after, older))) =
                (was.newest(vmid), now.newest(vmid))
            else {
                continue;
            };
            if older >= newest || !self.world.guests.contains_key(&vmid) {
                continue;
            }
            let steps = self.storage_steps.get(before).cloned();
            self.raw.push(Raw {
                entity: Entity::Guest(guest.kind, vmid),
                category: Category::Unprotected,
                before: format!("its newest backup is of {}", health::minute(newest)),
                after: format!("of {}", health::minute(older)),
                causes: vec![format!(
                    "its newest backup lies on {before}; the newest that is left lies on {after}"
                )],
                notes: Vec::new(),
                duration: Duration::Permanent,
                steps: steps.unwrap_or_default(),
                rule: "ST06".to_owned(),
            });
        }
    }

    fn gaps(&mut self, unknowns: &mut BTreeMap<String, String>) {
        for (id, what, why) in std::mem::take(&mut self.unpredictable) {
            unknowns
                .entry(what)
                .or_insert_with(|| format!("{why}; so what step {id} does cannot be told"));
        }
        for gap in health::completeness_needed(self.start, &self.world) {
            let what = gap.part.to_string();
            self.raw.push(Raw {
                entity: gap.entity,
                category: Category::Unknown,
                before: "unknown".to_owned(),
                after: "unknown".to_owned(),
                causes: vec![format!("{what} could not be read: {}", gap.matters)],
                notes: Vec::new(),
                duration: Duration::Permanent,
                steps: BTreeSet::new(),
                rule: "G1".to_owned(),
            });
            unknowns.entry(what).or_insert(gap.why);
        }
    }

    fn improvements(&self) -> Vec<String> {
        let better = health::summary(&self.health, &self.start_health);
        let mut lines = BTreeSet::new();
        for worse in better {
            if !exists(self.start, &worse.entity) || !exists(&self.world, &worse.entity) {
                continue;
            }
            let Some(category) = worse.after.category else {
                continue;
            };
            // What was not there before (a new member of a pool) was not bad before either.
            let was_bad = |state: &health::State| state.grade != health::Grade::Good;
            let key = (worse.entity.clone(), worse.facet.clone());
            if !self.start_health.get(&key).is_some_and(was_bad) {
                continue;
            }
            lines.insert(format!(
                "{} is no longer {category} ({})",
                worse.entity,
                clean(&worse.after.causes.join("; "))
            ));
        }
        lines.into_iter().collect()
    }
}

/// The storage whose backups a step may take away.
fn storage_of(action: &Action) -> Option<&StorageId> {
    match action {
        Action::UpdateStorage { id, .. } | Action::DeleteStorage { id } => Some(id),
        Action::DeleteVolume { volume, .. } | Action::DeleteBackup { volume, .. } => {
            Some(volume.storage())
        }
        _ => None,
    }
}

/// The part of a health that is about some entities.
fn of_entities(health: &Health, entities: &BTreeSet<Entity>) -> Health {
    // `Facet::Boots` is the least of the facets.
    entities
        .iter()
        .flat_map(|entity| {
            health
                .range((entity.clone(), Facet::Boots)..)
                .take_while(move |((other, _), _)| other == entity)
        })
        .map(|(key, state)| (key.clone(), state.clone()))
        .collect()
}

fn by_entity(worse: Vec<Worse>) -> BTreeMap<Entity, Vec<Worse>> {
    let mut map: BTreeMap<Entity, Vec<Worse>> = BTreeMap::new();
    for worse in worse {
        map.entry(worse.entity.clone()).or_default().push(worse);
    }
    map
}

/// Whether what is bad now is at least as bad as it was, in the same way.
fn covers(now: &Worse, past: &Worse) -> bool {
    now.facet == past.facet
        && now.after.grade >= past.after.grade
        && now.after.category == past.after.category
}

/// A guest that is destroyed: what it loses is told by the step that destroys it.
fn gone(world: &World, entity: &Entity) -> bool {
    matches!(entity, Entity::Guest(..)) && !exists(world, entity)
}

fn exists(world: &World, entity: &Entity) -> bool {
    match entity {
        Entity::Guest(_, vmid) => world.guests.contains_key(vmid),
        Entity::Storage(id) => world.storages.contains_key(id),
        Entity::Pool(id) => world.pools.contains_key(id),
        Entity::BackupJob(id) => world.backup_jobs.contains_key(id),
        Entity::ReplicationJob(id) => world.replication_jobs.contains_key(id),
        Entity::Volume(_)
        | Entity::Node(_)
        | Entity::Acl(_)
        | Entity::Principal(_)
        | Entity::Group(_)
        | Entity::Role(_)
        | Entity::Realm(_)
        | Entity::Controller => true,
    }
}

/// The word for a facet that is as it should be.
fn good(facet: &Facet) -> &'static str {
    match facet {
        Facet::Boots => "boots",
        Facet::Runs => "runs",
        Facet::Data(_) => "data there",
        Facet::Medium(_) => "medium there",
        Facet::Snapshot(_) => "snapshot usable",
        Facet::Recoverable => "has a backup",
        Facet::Covered => "is backed up",
        Facet::Replicated(_) => "is copied to another node",
        Facet::HighlyAvailable => "highly available",
        Facet::Failover => "its HA guests find room elsewhere",
        Facet::Movable => "can migrate",
        Facet::Nic(_) => "connected",
        Facet::Works => "works",
        Facet::Refers(_) => "names something that exists",
        Facet::Room => "has room",
        Facet::Pending(_) => "waits",
    }
}

fn of_state(
    entity: Entity,
    before: &State,
    after: &State,
    good: &str,
    duration: Duration,
    step: StepId,
) -> Raw {
    let word = |state: &State| match (state.grade, state.category) {
        (Grade::Good, _) | (_, None) => good.to_owned(),
        (Grade::Impaired | Grade::Lost | Grade::Unknown, Some(category)) => {
            category.word().to_owned()
        }
    };
    Raw {
        entity,
        category: after.category.unwrap_or(Category::Unknown),
        before: word(before),
        after: word(after),
        causes: after.causes.clone(),
        notes: Vec::new(),
        duration,
        steps: BTreeSet::from([step]),
        rule: if after.rule.is_empty() {
            "G5".to_owned()
        } else {
            after.rule.to_owned()
        },
    }
}
