//! Further facts about an impact, one line each: what keeps running for now, what cannot be told, who shares a storage.

use std::collections::BTreeMap;

use crate::ids::StorageId;
use crate::world::views;
use crate::world::{Guest, Section, Status, Storage, World};

use super::{Category, Entity};

/// Further facts about an impact of this category on an entity. `world` is the world before the plan.
pub fn notes(world: &World, entity: &Entity, category: Category) -> Vec<String> {
    match entity {
        Entity::Guest(_, vmid) => world
            .guests
            .get(vmid)
            .map(|guest| guest_notes(world, guest, category))
            .unwrap_or_default(),
        Entity::Storage(id) => world
            .storages
            .get(id)
            .map(|storage| storage_notes(world, storage, category))
            .unwrap_or_default(),
        Entity::Volume(_)
        | Entity::Node(_)
        | Entity::Pool(_)
        | Entity::BackupJob(_)
        | Entity::ReplicationJob(_)
        | Entity::Acl(_)
        | Entity::Principal(_)
        | Entity::Group(_)
        | Entity::Role(_)
        | Entity::Realm(_)
        | Entity::Controller => Vec::new(),
    }
}

fn guest_notes(world: &World, guest: &Guest, category: Category) -> Vec<String> {
    let mut notes = Vec::new();
    let loses = matches!(
        category,
        Category::WontBoot
            | Category::MayNotBoot
            | Category::Degraded
            | Category::Stranded
            | Category::DataLost
    );
    if !loses {
        return notes;
    }
    match guest.status {
        Status::Running => {
            notes.push("keeps running until it is stopped, migrated or rebooted".to_owned());
        }
        Status::Unknown => notes.push("whether it runs now is not known".to_owned()),
        Status::Stopped => {}
    }
    if category == Category::Degraded {
        notes.push(
            "Proxmox VE does not start it while a volume it names is out of reach".to_owned(),
        );
    }
    notes.extend(hidden_clones(world, guest));
    if world.ha_resources.contains_key(&guest.vmid) {
        notes.push("HA restarts and moves it on its own".to_owned());
    }
    notes
}

/// What cannot be told of a template's linked clones, where its storage does not name them (rule ST07).
pub fn hidden_clones(world: &World, guest: &Guest) -> Option<String> {
    (guest.template && on_lvmthin(world, guest)).then(|| {
        "which linked clones depend on it is unknown: LVM-thin does not name a clone's parent"
            .to_owned()
    })
}

/// Whether any disk of the guest lies on a storage that hides which clones depend on it.
fn on_lvmthin(world: &World, guest: &Guest) -> bool {
    views::disks(guest.kind, &guest.config.current)
        .iter()
        .filter_map(|disk| disk.source.data())
        .filter_map(|volume| world.storages.get(volume.storage()))
        .any(|storage| !views::names_tell_parents(&storage.storage_type))
}

fn storage_notes(world: &World, storage: &Storage, category: Category) -> Vec<String> {
    match category {
        Category::Tight | Category::WontFit => {
            let others = tenants(world, &storage.id);
            if others.is_empty() {
                Vec::new()
            } else {
                vec![format!("shared with {}", others.join(", "))]
            }
        }
        _ => contents(storage).into_iter().collect(),
    }
}

/// Every guest with a volume on a storage, in any section of its configuration: `vm/104`, … The co-tenants when room gets scarce.
pub fn tenants(world: &World, id: &StorageId) -> Vec<String> {
    world
        .guests
        .values()
        .filter(|guest| uses(guest, id))
        .map(|guest| guest.entity())
        .collect()
}

fn uses(guest: &Guest, id: &StorageId) -> bool {
    let here = |section: &Section| {
        views::disks(guest.kind, section).iter().any(|disk| {
            disk.source
                .volume()
                .is_some_and(|volume| volume.storage() == id)
        })
    };
    here(&guest.config.current)
        || (!guest.config.pending.is_empty() && here(&guest.config.next_start()))
        || guest
            .config
            .snapshots
            .values()
            .any(|snapshot| here(&snapshot.section))
}

/// What lies on a storage, counted: `2 container templates, 1 ISO image, 41 backups`. `None` when nothing was listed.
pub fn contents(storage: &Storage) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for volume in storage
        .volumes
        .values()
        .flat_map(|volumes| volumes.values())
    {
        *counts.entry(volume.content.as_str()).or_default() += 1;
    }
    let words = [
        ("images", "VM volume", "VM volumes"),
        ("rootdir", "container volume", "container volumes"),
        ("backup", "backup", "backups"),
        ("iso", "ISO image", "ISO images"),
        ("vztmpl", "container template", "container templates"),
        ("snippets", "snippet", "snippets"),
        ("import", "import image", "import images"),
    ];
    let parts: Vec<String> = words
        .iter()
        .filter_map(|(content, one, many)| {
            let count = counts.get(content)?;
            Some(format!("{count} {}", if *count == 1 { one } else { many }))
        })
        .collect();
    (!parts.is_empty()).then(|| format!("on {} lie {}", storage.id, parts.join(", ")))
}
