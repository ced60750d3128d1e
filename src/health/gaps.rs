//! What could not be read and would have mattered: rules G1 (unreadable is unknown, never silence), G2 and G3 (empty is not nothing)
//! and G4 ("nothing else is affected" only when every input was whole). The difference between two worlds says what matters.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::ids::{NodeName, StorageId, Vmid, VolumeId};
use crate::world::{Guest, Part, Storage, World, predict, views};

use super::{Entity, guest, protection};

/// Something that could not be read and that the difference between two worlds may matter to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// What could not be read.
    pub part: Part,
    /// Why.
    pub why: String,
    /// Whose health it leaves unknown.
    pub entity: Entity,
    /// What it might have said: `it may use local-zfs`.
    pub matters: String,
}

/// Every unreadable part that the difference between `before` and `after` may matter to, sorted. Empty means: the blast radius
/// is complete.
pub fn completeness_needed(before: &World, after: &World) -> Vec<Gap> {
    let mut gaps = Gaps {
        world: before,
        asked: BTreeSet::new(),
        found: BTreeSet::new(),
    };
    gaps.storages(before, after);
    gaps.guests(before, after);
    gaps.rest(before, after);
    gaps.found.into_iter().collect()
}

struct Gaps<'w> {
    world: &'w World,
    asked: BTreeSet<String>,
    found: BTreeSet<Gap>,
}

impl Gaps<'_> {
    fn need(&mut self, part: Part, entity: &Entity, matters: &str) {
        if let Some(why) = self.world.unreadable(&part) {
            let why = why.to_owned();
            self.found.insert(Gap {
                part,
                why,
                entity: entity.clone(),
                matters: matters.to_owned(),
            });
        }
    }

    fn storages(&mut self, before: &World, after: &World) {
        let ids: BTreeSet<&StorageId> = before
            .storages
            .keys()
            .chain(after.storages.keys())
            .collect();
        for id in ids {
            let (was, is) = (before.storages.get(id), after.storages.get(id));
            match (was, is) {
                (Some(was), Some(is)) if Arc::ptr_eq(was, is) => {}
                (Some(was), Some(is)) if !narrowed(was, is) => self.volumes(was, is),
                (None, _) => {}
                (Some(was), _) => self.storage_lost(was),
            }
        }
    }

    /// A storage goes, or may be used less: everybody who might use it must have been read.
    fn storage_lost(&mut self, storage: &Storage) {
        let id = &storage.id;
        let entity = Entity::Storage(id.clone());
        self.need(Part::Storages, &entity, "other storages may stand on it");
        self.every_guest(&format!("it may use {id}"));
        self.need(Part::Pools, &entity, &format!("pools may name {id}"));
        self.need(
            Part::BackupJobs,
            &entity,
            &format!("backup jobs may write to {id}"),
        );
        self.need(
            Part::ReplicationJobs,
            &entity,
            &format!("replication may need {id}"),
        );
        self.need(
            Part::Acl,
            &entity,
            &format!("access control entries may name {id}"),
        );
        if protection::holds_backups(storage) {
            for node in nodes_of(self.world, storage) {
                self.need(
                    Part::StorageContent(node, id.clone()),
                    &entity,
                    "backups of guests may lie on it, and may be their last",
                );
            }
        }
    }

    /// Volumes were deleted: whoever might use them must have been read.
    fn volumes(&mut self, was: &Storage, is: &Storage) {
        let gone = was.volumes.iter().any(|(node, volumes)| {
            let now = is.volumes.get(node);
            volumes
                .keys()
                .any(|id| now.is_none_or(|now| !now.contains_key(id)))
        });
        if gone {
            self.every_guest(&format!("it may use a deleted volume of {}", was.id));
        }
    }

    fn every_guest(&mut self, matters: &str) {
        if !self.asked.insert(matters.to_owned()) {
            return;
        }
        let world = self.world;
        self.need(
            Part::Resources,
            &Entity::Controller,
            "there may be guests that were not seen",
        );
        for guest in world.guests.values() {
            self.guest_config(guest, matters);
        }
    }

    fn guest_config(&mut self, guest: &Guest, matters: &str) {
        let entity = Entity::Guest(guest.kind, guest.vmid);
        match guest::unread(self.world, guest) {
            Some(why) => {
                let part = Part::GuestConfig(guest.vmid);
                self.found.insert(Gap {
                    part,
                    why,
                    entity,
                    matters: matters.to_owned(),
                });
            }
            None => self.need(Part::GuestSnapshots(guest.vmid), &entity, matters),
        }
    }

    fn guests(&mut self, before: &World, after: &World) {
        let vmids: BTreeSet<Vmid> = before
            .guests
            .keys()
            .chain(after.guests.keys())
            .copied()
            .collect();
        for vmid in vmids {
            let (was, is) = (before.guests.get(&vmid), after.guests.get(&vmid));
            match (was, is) {
                (Some(was), Some(is)) if Arc::ptr_eq(was, is) => {}
                (Some(was), None) => {
                    self.guest_config(was, "what is lost with it");
                    self.freed(was, None);
                    let entity = Entity::Guest(was.kind, vmid);
                    let parts = [
                        Part::Pools,
                        Part::BackupJobs,
                        Part::ReplicationJobs,
                        Part::HaResources,
                        Part::Acl,
                    ];
                    for part in parts {
                        self.need(part, &entity, "it may name the guest");
                    }
                    // Other guests may use its volumes: linked clones, shared disks.
                    self.every_guest("it may use a volume of a destroyed guest");
                }
                (Some(was), Some(is)) => {
                    self.guest_config(was, "it is changed");
                    self.freed(was, Some(is));
                    if was.node != is.node {
                        let entity = Entity::Guest(is.kind, vmid);
                        self.need(
                            Part::NodeNetwork(is.node.clone()),
                            &entity,
                            "its bridges may be missing there",
                        );
                        self.need(
                            Part::NodeStorage(is.node.clone()),
                            &entity,
                            "there may be no room for it there",
                        );
                    }
                }
                (None, Some(is)) => {
                    let entity = Entity::Guest(is.kind, vmid);
                    self.need(
                        Part::NodeNetwork(is.node.clone()),
                        &entity,
                        "its bridges may be missing there",
                    );
                    self.need(Part::Resources, &entity, "its VMID may be taken");
                    // GU08: a VMID that is named by jobs, HA or access control entries inherits what they say.
                    for part in [Part::BackupJobs, Part::HaResources, Part::Acl] {
                        self.need(part, &entity, "it may already name this VMID");
                    }
                }
                (None, None) => {}
            }
        }
    }

    /// Volumes that a guest no longer names and that are freed: without a listing, nobody sees who else loses them.
    fn freed(&mut self, was: &Guest, is: Option<&Arc<Guest>>) {
        let kept: BTreeSet<VolumeId> = is.map(|g| named(g)).unwrap_or_default();
        let gone = named(was)
            .into_iter()
            .filter(|v| !kept.contains(v) && views::owner(v) == Some(was.vmid));
        for volume in gone {
            let Some(on) = self.world.storages.get(volume.storage()) else {
                continue;
            };
            if super::usable::listing(self.world, on, &was.node).is_none() {
                let entity = Entity::Guest(was.kind, was.vmid);
                let part = Part::StorageContent(was.node.clone(), on.id.clone());
                let matters = format!("whether other guests use {volume}");
                self.need(part, &entity, &matters);
                self.every_guest("it may use a freed volume");
            }
        }
    }

    /// Backup jobs that come, go or change: whom they are for, and what their retention removes.
    fn backup_jobs(&mut self, before: &World, after: &World) {
        let ids: BTreeSet<&String> = before
            .backup_jobs
            .keys()
            .chain(after.backup_jobs.keys())
            .collect();
        for id in ids {
            let (was, is) = (before.backup_jobs.get(id), after.backup_jobs.get(id));
            if let (Some(was), Some(is)) = (was, is)
                && Arc::ptr_eq(was, is)
            {
                continue;
            }
            let entity = Entity::BackupJob(id.clone());
            self.need(Part::BackupJobs, &entity, "other jobs may cover its guests");
            self.need(Part::Resources, &entity, "it may be for guests not seen");
            self.need(Part::Pools, &entity, "jobs may be for the members of pools");
            self.need(Part::Storages, &entity, "jobs may not work without them");
            let target = is.and_then(|job| StorageId::new(job.storage.as_deref()?).ok());
            let target = target.and_then(|target| before.storages.get(&target));
            for node in target.into_iter().flat_map(|on| nodes_of(self.world, on)) {
                if let Some(on) = target {
                    self.need(
                        Part::StorageContent(node, on.id.clone()),
                        &entity,
                        "its retention may remove backups there",
                    );
                }
            }
        }
    }

    /// Replication jobs that come, go or change: who relies on their copies.
    fn replication_jobs(&mut self, before: &World, after: &World) {
        let ids: BTreeSet<&String> = before
            .replication_jobs
            .keys()
            .chain(after.replication_jobs.keys())
            .collect();
        for id in ids {
            let (was, is) = (
                before.replication_jobs.get(id),
                after.replication_jobs.get(id),
            );
            if let (Some(was), Some(is)) = (was, is)
                && Arc::ptr_eq(was, is)
            {
                continue;
            }
            let entity = Entity::ReplicationJob(id.clone());
            let others = "other jobs may copy its guest";
            self.need(Part::ReplicationJobs, &entity, others);
            self.need(Part::HaResources, &entity, "HA may rely on its copy");
            self.need(Part::HaRules, &entity, "HA may rely on its copy");
            self.need(Part::Storages, &entity, "it may not work without them");
            let guest = was.or(is).and_then(|job| self.world.guests.get(&job.guest));
            if let Some(guest) = guest {
                self.guest_config(guest, "which disks a replication job copies");
            }
        }
    }

    /// Who there is, or what they are given, is changed: what anybody may do is decided by all of it together.
    fn accounts(&mut self, before: &World, after: &World) {
        let same = before.users == after.users
            && before.groups == after.groups
            && before.roles == after.roles
            && before.realms == after.realms
            && Arc::ptr_eq(&before.acl, &after.acl);
        if same || super::affected(before, after).is_empty() {
            return;
        }
        let (was, is) = (super::deciding(before), super::deciding(after));
        if was == is {
            return;
        }
        for part in super::DECIDING {
            let matters = "who gains and who loses privileges is decided by it";
            self.need(part, &Entity::Controller, matters);
        }
    }

    fn rest(&mut self, before: &World, after: &World) {
        // Where nothing that stays changes its pool, nobody's privileges on it change.
        let stays = super::affected(before, after);
        let who = [Part::Users, Part::Groups, Part::Roles];
        let moved: Vec<Part> = who.into_iter().filter(|_| !stays.is_empty()).collect();
        for id in before
            .pools
            .keys()
            .chain(after.pools.keys())
            .collect::<BTreeSet<_>>()
        {
            let same = match (before.pools.get(id), after.pools.get(id)) {
                (Some(was), Some(is)) => Arc::ptr_eq(was, is),
                (None, Some(_)) | (Some(_), None) | (None, None) => false,
            };
            if !same {
                let entity = Entity::Pool(id.clone());
                self.need(Part::Pools, &entity, "it is changed");
                self.need(Part::Acl, &entity, "privileges may come from the pool");
                for part in moved.clone() {
                    self.need(part, &entity, "privileges may come from the pool");
                }
                self.need(Part::BackupJobs, &entity, "backup jobs may select the pool");
            }
        }
        self.accounts(before, after);
        self.backup_jobs(before, after);
        self.replication_jobs(before, after);
        for vmid in before.ha_resources.keys() {
            if !after.ha_resources.contains_key(vmid) {
                self.need(
                    Part::HaRules,
                    &Entity::Controller,
                    "HA rules may name the guest",
                );
            }
        }
    }
}

/// Whether a storage may be used less, or differently, than before.
fn narrowed(was: &Storage, is: &Storage) -> bool {
    let fewer_nodes = match (&was.nodes, &is.nodes) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(was), Some(is)) => !was.is_subset(is),
    };
    let elsewhere = |key: &&str| was.options.get(*key) != is.options.get(*key);
    fewer_nodes
        || (is.disabled && !was.disabled)
        || !was.content.is_subset(&is.content)
        || was.shared != is.shared
        || was.storage_type != is.storage_type
        || predict::WHERE.iter().any(elsewhere)
}

/// Every volume a guest's configuration names, in any section.
fn named(guest: &Guest) -> BTreeSet<VolumeId> {
    let sections = std::iter::once(&guest.config.current)
        .chain(guest.config.snapshots.values().map(|s| &s.section));
    let pending = guest
        .config
        .pending
        .iter()
        .filter_map(|p| views::disk(guest.kind, &p.key, p.value.as_deref()?));
    sections
        .flat_map(|section| views::disks(guest.kind, section))
        .chain(pending)
        .filter_map(|disk| disk.source.volume().cloned())
        .collect()
}

fn nodes_of(world: &World, storage: &Storage) -> Vec<NodeName> {
    protection::listing_nodes(world, storage)
        .into_iter()
        .cloned()
        .collect()
}
