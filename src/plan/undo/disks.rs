//! Taking back what was done to disks: a new one is detached, never freed, and a moved one goes home.

use super::Back;
use crate::ids::{Slot, StorageId, Vmid, VolumeId};
use crate::world::{Action, Guest, Param, Section, views};

impl Back<'_, '_, '_> {
    /// Whether the run moved a disk after it wrote its slot.
    pub(super) fn moved_meanwhile(
        &self,
        vmid: Vmid,
        key: &str,
        old: &Param,
        live: &Section,
    ) -> bool {
        let Param::Plain(old) = old else { return false };
        let moved = self.plan.steps.iter().any(|step| {
            self.done.contains(&step.id)
                && matches!(&step.action, Action::MoveDisk { vmid: v, slot, .. }
                    if *v == vmid && slot.as_str() == key)
        });
        let file = |text: &str| text.split(',').next().map(str::to_owned);
        moved && live.get(key).and_then(|text| file(text)) != file(old)
    }

    fn volume_in(guest: &Guest, slot: &Slot) -> Option<VolumeId> {
        let next = guest.config.next_start();
        views::disk(guest.kind, slot.as_str(), next.get(slot.as_str())?)?
            .source
            .volume()
            .cloned()
    }

    pub(super) fn detach(&mut self, vmid: Vmid, slot: &Slot) {
        let Some(guest) = self.guest(vmid) else {
            return;
        };
        let object = guest.entity();
        let Some(volume) = Self::volume_in(&guest, slot) else {
            return;
        };
        let written = match &self.step.action {
            Action::UpdateConfig { set, .. } => {
                set.get(slot.as_str()).map(super::super::values::shown)
            }
            _ => None,
        };
        let first = written
            .as_deref()
            .and_then(|text| text.split(',').next())
            .unwrap_or_default()
            .to_owned();
        let named: Option<VolumeId> = first.parse().ok();
        let made = named.as_ref().is_some_and(|named| {
            !named.name().is_empty()
                && named
                    .name()
                    .bytes()
                    .all(|b| b.is_ascii_digit() || b == b'.')
        });
        let ours = named
            .as_ref()
            .is_some_and(|named| *named == volume || (made && named.storage() == volume.storage()));
        if !ours {
            return self.left(&format!(
                "{object} {slot} was changed by someone since ({volume}, we left {first})"
            ));
        }
        self.planner.drafts.change(
            &object,
            slot.as_str(),
            Some(&volume.to_string()),
            None,
            "detached, kept as unused",
        );
        self.push(
            format!("detach {object} {slot} ({volume}), kept as unused"),
            Action::DetachDisk {
                kind: guest.kind,
                vmid,
                slot: slot.clone(),
                volume,
            },
            Some(guest.node.clone()),
        );
    }

    pub(super) fn moved(
        &mut self,
        vmid: Vmid,
        slot: &Slot,
        home: &StorageId,
        format: Option<&str>,
    ) {
        let Some(guest) = self.guest(vmid) else {
            return;
        };
        let object = guest.entity();
        let Action::MoveDisk { to, .. } = &self.step.action else {
            return;
        };
        let Some(volume) = Self::volume_in(&guest, slot) else {
            return self.left(&format!("{object} {slot} was emptied by someone since"));
        };
        if volume.storage() == home && home != to {
            return;
        }
        if volume.storage() != to {
            return self.left(&format!(
                "{object} {slot} was moved by someone since (on {}, we left it on {to})",
                volume.storage()
            ));
        }
        let there = self.planner.input.world.storages.contains_key(home)
            || self.planner.drafts.opened.contains_key(home);
        if !there {
            return self.left(&format!("{object} {slot}: storage {home} is gone"));
        }
        let held = guest.config.snapshots.iter().find(|(_, snapshot)| {
            views::disks(guest.kind, &snapshot.section)
                .iter()
                .any(|disk| disk.source.volume() == Some(&volume))
        });
        if let Some((name, _)) = held {
            return self.left(&format!(
                "{object} {slot}: snapshot {name} made since refers to {volume}"
            ));
        }
        if let Some(opened) = self.planner.drafts.opened.get(home) {
            self.needs.insert(*opened);
        }
        let field = format!("{slot}.storage");
        self.planner.drafts.change(
            &object,
            &field,
            Some(to.as_str()),
            Some(home.as_str()),
            "moved back",
        );
        self.push(
            format!("move {object} {slot} back from {to} to {home}"),
            Action::MoveDisk {
                kind: guest.kind,
                vmid,
                slot: slot.clone(),
                volume,
                to: home.clone(),
                format: format.map(str::to_owned),
            },
            Some(guest.node.clone()),
        );
    }
}
