//! Data that a step takes away: volumes destroyed or detached, pending removals that take effect, disks of other guests that go
//! with their owner. Each with its size and storage.

use std::collections::BTreeSet;

use super::super::model::Duration;
use super::super::words::short;
use super::Raw;
use super::actions::{At, raw};
use crate::health::{Category, Entity, hidden_clones};
use crate::ids::{Bytes, GuestKind, Vmid, VolumeId};
use crate::world::views::{self, Disk};
use crate::world::{Guest, Section, World, safety_copy};

/// Every disk of a guest in every section, each volume once, with where it was found.
fn every_disk(guest: &Guest) -> Vec<(String, Disk)> {
    let config = &guest.config;
    let pending: Section = config
        .pending
        .iter()
        .filter_map(|p| Some((p.key.clone(), p.value.clone()?)))
        .collect();
    let mut seen: BTreeSet<VolumeId> = BTreeSet::new();
    let sections = [
        (String::new(), &config.current),
        (" (pending)".to_owned(), &pending),
    ]
    .into_iter()
    .chain(
        config
            .snapshots
            .iter()
            .map(|(name, snapshot)| (format!(" (snapshot {name})"), &snapshot.section)),
    );
    let mut all = Vec::new();
    for (label, section) in sections {
        for disk in views::disks(guest.kind, section) {
            if let Some(volume) = disk.source.data()
                && seen.insert(volume.clone())
            {
                all.push((format!("{}{label}", disk.slot), disk));
            }
        }
    }
    all
}

fn size_of(world: &World, guest: &Guest, disk: &Disk) -> Option<Bytes> {
    let volume = disk.source.volume()?;
    world
        .storages
        .get(volume.storage())
        .and_then(|storage| storage.volume(&guest.node, volume))
        .map(|volume| volume.size)
        .or(disk.size)
}

fn described(world: &World, guest: &Guest, place: &str, disk: &Disk) -> String {
    let storage = disk
        .source
        .volume()
        .map(|volume| volume.storage().to_string())
        .unwrap_or_default();
    match size_of(world, guest, disk) {
        Some(size) => format!("{place} ({size} on {storage})"),
        None => format!("{place} (size unknown, on {storage})"),
    }
}

impl At<'_> {
    /// Volumes of a guest that are there before a step and gone after it: pending removals by force that took effect.
    pub(super) fn freed(&self, vmid: Vmid, rule: &str) -> Vec<Raw> {
        let (Some(before), Some(after)) =
            (self.before.guests.get(&vmid), self.after.guests.get(&vmid))
        else {
            return Vec::new();
        };
        let kept: BTreeSet<_> = every_disk(after)
            .into_iter()
            .filter_map(|(_, disk)| disk.source.volume().cloned())
            .collect();
        let forced: BTreeSet<_> = before
            .config
            .pending
            .iter()
            .filter(|p| p.force)
            .map(|p| p.key.as_str())
            .collect();
        every_disk(before)
            .into_iter()
            .filter(|(place, disk)| {
                forced.contains(place.as_str())
                    && disk
                        .source
                        .data()
                        .is_some_and(|volume| !kept.contains(volume))
            })
            .map(|(place, disk)| {
                raw(
                    self.step,
                    Entity::Guest(before.kind, vmid),
                    Category::DataLost,
                    ("there", "gone"),
                    format!(
                        "{} was marked for removal by somebody, and this step makes it so",
                        described(self.before, before, &place, &disk)
                    ),
                    Duration::Permanent,
                    rule,
                )
            })
            .collect()
    }

    pub(super) fn detach(&self, kind: GuestKind, vmid: Vmid, slot: &str, volume: &VolumeId) -> Raw {
        let guest = self.before.guests.get(&vmid);
        let size = guest.and_then(|guest| {
            let section = guest.config.next_start();
            let disk = views::disk(kind, slot, section.get(slot)?)?;
            Some(described(self.before, guest, slot, &disk))
        });
        let mut impact = raw(
            self.step,
            Entity::Guest(kind, vmid),
            Category::Degraded,
            ("attached", "kept as unused"),
            format!(
                "{} is taken out of its slot and kept as unused",
                size.unwrap_or_else(|| format!("{slot} ({volume})"))
            ),
            Duration::Permanent,
            "ST13",
        );
        impact.notes = self
            .before
            .guests
            .values()
            .filter(|other| other.vmid != vmid)
            .filter(|other| {
                every_disk(other)
                    .iter()
                    .any(|(_, disk)| disk.source.volume() == Some(volume))
            })
            .map(|other| format!("{} refers to {volume} too", other.entity()))
            .collect();
        impact
    }

    pub(super) fn destroy(&self, kind: GuestKind, vmid: Vmid) -> Vec<Raw> {
        let Some(guest) = self.before.guests.get(&vmid) else {
            return Vec::new();
        };
        let entity = Entity::Guest(kind, vmid);
        let lost = |cause: String| {
            raw(
                self.step,
                entity.clone(),
                Category::DataLost,
                ("there", "gone"),
                cause,
                Duration::Permanent,
                "GU01",
            )
        };
        let copy = safety_copy::just_taken(self.before, vmid);
        let mut all: Vec<Raw> = every_disk(guest)
            .iter()
            .map(|(place, disk)| {
                let what = described(self.before, guest, place, disk);
                let Some((id, _, _)) = copy else {
                    return lost(what);
                };
                let held = place == disk.slot.as_str();
                match safety_copy::not_in_backups(kind, disk).filter(|_| held) {
                    None if held => {
                        let mut kept = lost(format!(
                            "{what}; the safety copy on {} has it",
                            id.storage()
                        ));
                        kept.after = "only in the safety copy".to_owned();
                        kept
                    }
                    Some(why) => lost(format!("{what}; not in the safety copy: {why}")),
                    None => lost(format!("{what}; not in the safety copy")),
                }
            })
            .collect();
        let aside = copy.map_or("", |_| "; not in the safety copy");
        all.extend(
            guest
                .config
                .snapshots
                .keys()
                .map(|name| lost(format!("snapshot {}{aside}", short(name)))),
        );
        let backups = self
            .after
            .storages
            .values()
            .flat_map(|storage| storage.volumes.values())
            .flat_map(|volumes| volumes.iter())
            .filter(|(_, volume)| volume.content == "backup" && volume.vmid == Some(vmid))
            .map(|(id, _)| id)
            .collect::<BTreeSet<_>>()
            .len();
        let note = match backups {
            0 => "no backup of it can be seen".to_owned(),
            1 => "one backup of it stays".to_owned(),
            more => format!("{more} backups of it stay"),
        };
        let restorable = copy.map(|(id, _, note)| {
            format!(
                "it can be restored from the safety copy on {} as it was when it was backed up, for {} from then on: by a document with `restoreFrom`",
                id.storage(),
                safety_copy::age(note.keep_for)
            )
        });
        let notes = std::iter::once(note)
            .chain(restorable)
            .chain(hidden_clones(self.before, guest));
        match all.first_mut() {
            Some(first) => first.notes.extend(notes),
            None => {
                let mut impact = raw(
                    self.step,
                    entity.clone(),
                    Category::Irreversible,
                    ("exists", "gone"),
                    "a destroyed guest does not come back".to_owned(),
                    Duration::Permanent,
                    "GU01",
                );
                impact.notes.extend(notes);
                all.push(impact);
            }
        }
        all.extend(self.others_disks(guest, vmid));
        all
    }

    /// Other guests that use a disk of the destroyed one.
    fn others_disks(&self, guest: &Guest, vmid: Vmid) -> Vec<Raw> {
        let volumes: BTreeSet<_> = every_disk(guest)
            .into_iter()
            .filter_map(|(_, disk)| disk.source.volume().cloned())
            .filter(|volume| views::owner(volume) == Some(vmid))
            .collect();
        let mut all = Vec::new();
        for other in self.before.guests.values().filter(|o| o.vmid != vmid) {
            for (place, disk) in every_disk(other) {
                if disk.source.volume().is_some_and(|v| volumes.contains(v)) {
                    all.push(raw(
                        self.step,
                        Entity::Guest(other.kind, other.vmid),
                        Category::DataLost,
                        ("there", "gone"),
                        format!(
                            "{} belongs to {} and goes with it",
                            described(self.before, other, &place, &disk),
                            guest.entity()
                        ),
                        Duration::Permanent,
                        "GU03",
                    ));
                }
            }
        }
        all
    }
}
