//! From two healths to what got worse: one line per fact a person has to know. A fact that a worse one of the same entity already
//! says is dropped (a lost boot disk does not also print its slot); nothing else is, and no entity ever is (rule G9).

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::Slot;

use super::usable::by_definition_only;
use super::{Category, Entity, Facet, Grade, Health, State};

/// One facet of one entity that got worse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worse {
    /// Whose.
    pub entity: Entity,
    /// Which. Several slots with the same cause make one line under the first of them.
    pub facet: Facet,
    /// How it was.
    pub before: State,
    /// How it is.
    pub after: State,
}

/// Whether a state is worse than another. What was unknown and is lost now is worse: before, it may have been fine. So is what was
/// out of reach by a definition only (disabled, kept from a node) and has lost its storage now.
pub fn is_worse(before: &State, after: &State) -> bool {
    let soft = |state: &State| {
        !state.causes.is_empty() && state.causes.iter().all(|cause| by_definition_only(cause))
    };
    after.grade > before.grade
        || (after.grade == Grade::Lost && before.grade == Grade::Unknown)
        || (after.grade == Grade::Lost
            && before.grade == Grade::Lost
            && soft(before)
            && !soft(after))
}

/// What got worse from `before` to `after`, in the order of the entities.
pub fn summary(before: &Health, after: &Health) -> Vec<Worse> {
    let mut by_entity: BTreeMap<Entity, Vec<Worse>> = BTreeMap::new();
    for ((entity, facet), state) in after.iter().filter(|(_, state)| state.grade != Grade::Good) {
        if let Some(worse) = compare(before, entity, facet, state) {
            by_entity.entry(entity.clone()).or_default().push(worse);
        }
    }
    for worse in vanished(before, after) {
        by_entity
            .entry(worse.entity.clone())
            .or_default()
            .push(worse);
    }
    by_entity.into_values().flat_map(one_entity).collect()
}

/// What is in the first and not in the second, in order. Both are sorted, so one walk finds it.
fn gone<'h>(before: &'h Health, after: &Health) -> Vec<(&'h Entity, &'h Facet, &'h State)> {
    let mut rest = after.keys().peekable();
    let mut found = Vec::new();
    for (key, state) in before {
        while rest.peek().is_some_and(|next| *next < key) {
            rest.next();
        }
        if rest.peek() != Some(&key) {
            found.push((&key.0, &key.1, state));
        }
    }
    found
}

fn exists(health: &Health, entity: &Entity) -> bool {
    // `Boots` is the first of the facets in their order.
    health
        .range((entity.clone(), Facet::Boots)..)
        .next()
        .is_some_and(|((found, _), _)| found == entity)
}

fn compare(before: &Health, entity: &Entity, facet: &Facet, state: &State) -> Option<Worse> {
    let was = match before.get(&(entity.clone(), facet.clone())) {
        Some(was) => was.clone(),
        // What did not exist before cannot have lost a backup, a job or its running.
        None if !exists(before, entity) && !counts_when_new(facet) => return None,
        None => State::GOOD,
    };
    if !is_worse(&was, state) {
        return None;
    }
    let mut after = state.clone();
    if *facet == Facet::Recoverable
        && after.grade == Grade::Lost
        && let Some(places) = was.causes.first()
    {
        after.causes = vec![format!("its only backups lie on {places}")];
    }
    Some(Worse {
        entity: entity.clone(),
        facet: facet.clone(),
        before: was,
        after,
    })
}

/// Whether a facet that is bad from the beginning is worth a line for something new.
fn counts_when_new(facet: &Facet) -> bool {
    match facet {
        Facet::Boots
        | Facet::Data(_)
        | Facet::Medium(_)
        | Facet::Nic(_)
        | Facet::Movable
        | Facet::Works
        | Facet::Refers(_)
        | Facet::HighlyAvailable => true,
        Facet::Runs
        | Facet::Snapshot(_)
        | Facet::Recoverable
        | Facet::Covered
        | Facet::Replicated(_)
        | Facet::Failover
        | Facet::Room
        | Facet::Pending(_) => false,
    }
}

/// Whether what a path of the access control list names has ended.
fn ends(path: &str, ended: &BTreeSet<String>) -> bool {
    match path.strip_prefix("/vms/") {
        Some(vmid) => ["vm", "ct"]
            .iter()
            .any(|kind| ended.contains(&format!("{kind}/{vmid}"))),
        None => ended.contains(path.trim_start_matches('/')),
    }
}

/// What is no more, where its end is a side effect: references dropped with what they named, jobs and entries gone with a guest,
/// HA taken away. What a guest loses when it is destroyed is told by the plan, which knows the volumes.
fn vanished(before: &Health, after: &Health) -> Vec<Worse> {
    let mut found = Vec::new();
    let gone = gone(before, after);
    let mut ended: BTreeSet<String> = BTreeSet::new();
    let mut last: Option<&Entity> = None;
    for (entity, _, _) in &gone {
        if last != Some(*entity) && !exists(after, entity) {
            ended.insert(entity.to_string());
        }
        last = Some(*entity);
    }
    for (entity, facet, was) in gone {
        if was.grade == Grade::Lost {
            continue;
        }
        let (category, rule, cause) = match (entity, facet) {
            (Entity::Pool(_), Facet::Refers(what))
                if ended.contains(what) && exists(after, entity) =>
            {
                (
                    Category::Degraded,
                    "ST06",
                    format!("its member {what} is removed with it"),
                )
            }
            // Where only who or what it gives goes, that is told with who loses it.
            (Entity::Acl(_), Facet::Refers(path)) if !ends(path, &ended) => continue,
            (Entity::Acl(_), Facet::Refers(path)) => (
                Category::LosesPrivilege,
                "ST06",
                format!("the entry is removed with {path}"),
            ),
            (Entity::BackupJob(id), Facet::Works) => (
                Category::Unprotected,
                "GU03",
                format!("backup job {id} is removed with its last guest"),
            ),
            (Entity::ReplicationJob(id), Facet::Works) => (
                Category::Unprotected,
                "GU03",
                format!("replication {id} is removed"),
            ),
            (Entity::Guest(..), Facet::Replicated(id)) if exists(after, entity) => {
                let place = was.causes.first().filter(|_| was.grade == Grade::Good);
                let place = place.map_or_else(String::new, |node| format!(" on node {node}"));
                (
                    Category::Unprotected,
                    "CL04",
                    format!(
                        "the copy{place} that replication {id} keeps is removed, and a migration there copies everything again"
                    ),
                )
            }
            (Entity::Guest(..), Facet::HighlyAvailable) if exists(after, entity) => (
                Category::NotHighlyAvailable,
                "GU03",
                "it is taken out of HA".to_owned(),
            ),
            (Entity::Guest(..), Facet::Snapshot(name)) if exists(after, entity) => (
                Category::DataLost,
                "GU10",
                format!("snapshot {name} is removed"),
            ),
            _ => continue,
        };
        let after = State {
            grade: Grade::Lost,
            category: Some(category),
            rule,
            causes: vec![cause],
        };
        found.push(Worse {
            entity: entity.clone(),
            facet: facet.clone(),
            before: was.clone(),
            after,
        });
    }
    found
}

/// Drops what a worse fact of the same entity says already, and joins slots with the same cause.
fn one_entity(mut worse: Vec<Worse>) -> Vec<Worse> {
    // Boots, when it is not good, names every slot, medium and NIC that is in trouble.
    let boots = worse
        .iter()
        .find(|w| w.facet == Facet::Boots)
        .map(|w| w.after.causes.clone());
    if let Some(boots) = boots {
        worse.retain(|w| match &w.facet {
            Facet::Data(_) => false,
            Facet::Medium(_) | Facet::Nic(_) => !w.after.causes.iter().all(|c| boots.contains(c)),
            Facet::Boots
            | Facet::Runs
            | Facet::Snapshot(_)
            | Facet::Recoverable
            | Facet::Covered
            | Facet::Replicated(_)
            | Facet::HighlyAvailable
            | Facet::Failover
            | Facet::Movable
            | Facet::Works
            | Facet::Refers(_)
            | Facet::Room
            | Facet::Pending(_) => true,
        });
        return worse;
    }
    let mut lines: Vec<(Worse, String, Vec<String>)> = Vec::new();
    for one in worse {
        let Some((slot, tail)) = slot_and_tail(&one) else {
            lines.push((one, String::new(), Vec::new()));
            continue;
        };
        let same = lines.iter_mut().find(|(first, t, slots)| {
            !slots.is_empty() && *t == tail && first.after.category == one.after.category
        });
        match same {
            Some((_, _, slots)) => slots.push(slot.to_string()),
            None => lines.push((one, tail, vec![slot.to_string()])),
        }
    }
    lines
        .into_iter()
        .map(|(mut one, tail, slots)| {
            if slots.len() > 1 {
                let head = if tail.starts_with("data volume") {
                    "data volumes"
                } else {
                    "unused volumes"
                };
                let rest = tail.split_once('\u{0}').map_or("", |(_, rest)| rest);
                one.after.causes = vec![format!("{head} {}{rest}", slots.join(", "))];
            }
            one
        })
        .collect()
}

/// The slot of a lost data volume, and the rest of its cause with the slot cut out (marked by NUL).
fn slot_and_tail(worse: &Worse) -> Option<(Slot, String)> {
    let Facet::Data(slot) = &worse.facet else {
        return None;
    };
    let cause = worse.after.causes.first()?;
    let (head, rest) = ["data volume ", "unused volume "]
        .iter()
        .find_map(|head| Some((head, cause.strip_prefix(head)?.strip_prefix(slot.as_str())?)))?;
    Some((slot.clone(), format!("{head}\u{0}{rest}")))
}
