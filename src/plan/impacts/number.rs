//! The order in which impacts are told, their numbers, and the names of the guests they are about. It judges nothing.

use super::super::model::Impact;
use super::Raw;
use crate::health::Entity;
use crate::ids::GuestKind;
use crate::world::World;

/// A guest's name, before or after.
fn name(entity: &Entity, start: &World, end: &World) -> Option<String> {
    match entity {
        Entity::Guest(_, vmid) => start
            .guests
            .get(vmid)
            .or_else(|| end.guests.get(vmid))
            .and_then(|guest| guest.name.clone()),
        Entity::Storage(_)
        | Entity::Volume(_)
        | Entity::Node(_)
        | Entity::Pool(_)
        | Entity::BackupJob(_)
        | Entity::ReplicationJob(_)
        | Entity::Acl(_)
        | Entity::Principal(_)
        | Entity::Group(_)
        | Entity::Role(_)
        | Entity::Realm(_)
        | Entity::Controller => None,
    }
}

/// Sorts impacts (permanent first, then by what they are) and numbers them.
pub(super) fn number(mut raw: Vec<Raw>, start: &World, end: &World) -> Vec<Impact> {
    let kind = |entity: &Entity| match entity {
        Entity::Guest(GuestKind::Qemu, _) => 0,
        Entity::Guest(GuestKind::Lxc, _) => 1,
        Entity::Storage(_)
        | Entity::Volume(_)
        | Entity::Node(_)
        | Entity::Pool(_)
        | Entity::BackupJob(_)
        | Entity::ReplicationJob(_)
        | Entity::Acl(_)
        | Entity::Principal(_)
        | Entity::Group(_)
        | Entity::Role(_)
        | Entity::Realm(_)
        | Entity::Controller => 2,
    };
    raw.sort_by(|a, b| {
        (
            b.duration,
            a.category,
            kind(&a.entity),
            &a.entity,
            &a.causes,
            &a.rule,
        )
            .cmp(&(
                a.duration,
                b.category,
                kind(&b.entity),
                &b.entity,
                &b.causes,
                &b.rule,
            ))
    });
    raw.dedup_by(|a, b| {
        let same = a.entity == b.entity
            && a.category == b.category
            && a.causes == b.causes
            && a.duration == b.duration
            && a.rule == b.rule;
        if same {
            b.steps.append(&mut a.steps);
        }
        same
    });
    raw.into_iter()
        .zip(1u32..)
        .map(|(raw, number)| Impact {
            id: format!("I{number}"),
            name: name(&raw.entity, start, end),
            entity: raw.entity.to_string(),
            category: raw.category,
            before: raw.before,
            after: raw.after,
            causes: raw.causes,
            notes: raw.notes,
            duration: raw.duration,
            steps: raw.steps.into_iter().filter(|step| step.0 > 0).collect(),
            rule: raw.rule,
        })
        .collect()
}
