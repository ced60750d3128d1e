//! Disks: what a document asks for each slot against what stands there. A used slot is never given a new volume (rule ST11): another
//! storage is a move, another volume is a detach and an attach, more room is growth, and less is refused.

use std::collections::BTreeSet;

use super::super::draft::{Draft, Phase, Planner};
use super::super::error::Reason;
use super::super::values::merge;
use super::super::words;
use super::Work;
use crate::document::desired::{DesiredDisk, Media, Wish};
use crate::ids::{NodeName, Slot, VolumeId};
use crate::proxmox::property::Domain;
use crate::proxmox::schema::change_effect;
use crate::world::views::{self, Disk, Source};
use crate::world::{Action, Param};

impl Planner<'_, '_> {
    /// One slot of an existing guest.
    pub(super) fn disk(
        &mut self,
        work: &mut Work<'_>,
        slot: &Slot,
        wish: &Wish<DesiredDisk>,
        target: Option<&NodeName>,
    ) {
        let kind = work.guest.kind;
        let live = work.next.get(slot.as_str()).cloned();
        match (wish, live) {
            (Wish::Remove, None) => self.already_waiting(work, slot.as_str()),
            (Wish::Remove, Some(value)) => self.disk_away(work, slot, &value),
            (Wish::Set(disk), None) => {
                let node = work.guest.node.clone();
                let vmid = Some(work.guest.vmid);
                let document = work.item.key.clone();
                if let Some(value) = self.new_disk_value(&document, kind, slot, disk, &node, vmid)
                    && self.write(work, slot.as_str(), None, Some(&value), &value)
                {
                    work.set.insert(slot.to_string(), Param::Plain(value));
                    if let Some((now, wanted)) = self.import_growth(&document, slot, disk, &node) {
                        self.grow(work, slot, now, wanted);
                    }
                }
            }
            (Wish::Set(disk), Some(value)) => match views::disk(kind, slot.as_str(), &value) {
                Some(live) => self.disk_changed(work, slot, disk, &live, &value, target),
                None => self.disk_problem(
                    work,
                    slot,
                    "",
                    format!(
                        "the slot holds `{}`, which is no disk",
                        words::short(&value)
                    ),
                ),
            },
        }
    }

    pub(super) fn disk_problem(&mut self, work: &Work<'_>, slot: &Slot, field: &str, why: String) {
        let field = if field.is_empty() {
            slot.to_string()
        } else {
            format!("{slot}.{field}")
        };
        self.drafts
            .problem(&work.item.key, &field, Reason::Refused { why });
    }

    fn disk_away(&mut self, work: &mut Work<'_>, slot: &Slot, value: &str) {
        let kind = work.guest.kind;
        let disk = views::disk(kind, slot.as_str(), value);
        if slot.as_str() == "rootfs" {
            let why = "a container cannot be without its root file system".to_owned();
            return self.disk_problem(work, slot, "", why);
        }
        match disk.map(|disk| disk.source) {
            Some(Source::Volume(volume)) => self.detach(work, slot, &volume, value),
            Some(Source::CloudInit(_) | Source::Cdrom(_) | Source::Empty | Source::Path(_))
            | None => {
                if self.write(work, slot.as_str(), Some(value), None, "") {
                    work.delete.insert(slot.to_string());
                }
            }
        }
    }

    /// Takes a volume out of its slot; it is kept as `unusedN`.
    fn detach(&mut self, work: &mut Work<'_>, slot: &Slot, volume: &VolumeId, value: &str) {
        let told = work.told.len();
        if !self.write(work, slot.as_str(), Some(value), None, "") {
            return;
        }
        work.told.truncate(told);
        if slot.as_str().starts_with("unused") {
            let why =
                "this would free the volume for good; free it by hand if that is meant".to_owned();
            return self.disk_problem(work, slot, "", why);
        }
        work.detaches.push(Draft {
            title: format!("detach {} {slot} ({volume}), kept as unused", work.object),
            action: Action::DetachDisk {
                kind: work.guest.kind,
                vmid: work.guest.vmid,
                slot: slot.clone(),
                volume: volume.clone(),
            },
            node: Some(work.guest.node.clone()),
            phase: Phase::Guest,
            needs: BTreeSet::new(),
            notes: Vec::new(),
        });
    }

    fn disk_changed(
        &mut self,
        work: &mut Work<'_>,
        slot: &Slot,
        wanted: &DesiredDisk,
        live: &Disk,
        value: &str,
        target: Option<&NodeName>,
    ) {
        let goes = match &live.source {
            Source::Volume(volume) | Source::CloudInit(volume) => {
                work.carried.get(volume.storage()).cloned()
            }
            Source::Cdrom(_) | Source::Empty | Source::Path(_) => None,
        };
        if let (Some(goes), Some(storage)) = (&goes, &wanted.storage)
            && goes != storage
        {
            let why = format!(
                "the migration takes it to {goes} (`migration.targetStorage`), and the document wants it on {storage}: write the same storage in both"
            );
            return self.disk_problem(work, slot, "storage", why);
        }
        let volume = match (&live.source, wanted.media) {
            (Source::Volume(volume), Media::Disk) => volume.clone(),
            (Source::Cdrom(_) | Source::Empty, Media::Cdrom) => {
                return self.medium(work, slot, wanted, live, value);
            }
            (Source::CloudInit(volume), Media::CloudInit) => {
                if let Some(storage) = &wanted.storage
                    && storage != volume.storage()
                    && goes.is_none()
                {
                    let why = format!(
                        "the cloud-init drive lies on {}; remove it with one plan and add it on {storage} with the next, Proxmox VE makes it anew",
                        volume.storage()
                    );
                    return self.disk_problem(work, slot, "storage", why);
                }
                return self.slot_options(work, slot, wanted, value, false);
            }
            (Source::Path(path), _) => {
                let why =
                    format!("the slot holds the node's own `{path}`, which no token may change");
                return self.disk_problem(work, slot, "", why);
            }
            (
                Source::Volume(_) | Source::Cdrom(_) | Source::Empty | Source::CloudInit(_),
                Media::Disk | Media::Cdrom | Media::CloudInit,
            ) => {
                let why = "Proxmox VE cannot turn a disk into a CD drive or back; remove it with one plan and add it with the next".to_owned();
                return self.disk_problem(work, slot, "media", why);
            }
        };
        if let Some(other) = wanted.volume.as_ref().filter(|other| **other != volume) {
            return self.replaced(work, slot, wanted, &volume, other, value);
        }
        let info = self
            .volume_at(&work.guest.node, &volume)
            .ok()
            .flatten()
            .cloned();
        let format_now = info.as_ref().map(|info| info.format.clone());
        let size = info.map(|info| info.size).or(live.size);
        // The migration itself brings it where it shall lie.
        let moves = match goes {
            Some(_) => None,
            None => self.moves_to(work, slot, wanted, &volume, format_now.as_deref()),
        };
        let grows = wanted.size.zip(size).filter(|(wanted, now)| wanted != now);
        let reshaped = moves.is_some() || grows.is_some();
        self.slot_options(work, slot, wanted, value, reshaped);
        if reshaped
            && work
                .guest
                .config
                .pending
                .iter()
                .any(|p| p.key == slot.as_str())
        {
            let why = "a pending change of this disk has to take effect or be reverted before it is moved or grown".to_owned();
            return self.disk_problem(work, slot, "", why);
        }
        if let Some((storage, format)) = moves {
            self.move_disk(work, slot, &volume, storage, format, size, target);
        }
        match (wanted.size, size, grows) {
            (_, _, Some((wanted, now))) => self.grow(work, slot, now, wanted),
            (Some(_), None, None) => {
                let why = "neither the storage nor the configuration tells how big the disk is now, so it is unknown whether it would grow".to_owned();
                self.disk_problem(work, slot, "size", why);
            }
            (Some(_) | None, _, None) => {}
        }
    }

    /// A CD drive gets another medium, or none.
    fn medium(
        &mut self,
        work: &mut Work<'_>,
        slot: &Slot,
        wanted: &DesiredDisk,
        live: &Disk,
        value: &str,
    ) {
        let now = live.source.volume();
        let new = match &wanted.volume {
            Some(volume) if Some(volume) != now => {
                let document = work.item.key.clone();
                let node = work.guest.node.clone();
                if self
                    .volume_there(&document, slot, volume, &node, None)
                    .is_none()
                {
                    return;
                }
                format!("{volume},media=cdrom")
            }
            None if wanted.empty && now.is_some() => "none,media=cdrom".to_owned(),
            Some(_) | None => return self.slot_options(work, slot, wanted, value, false),
        };
        if self.write(work, slot.as_str(), Some(value), Some(&new), &new) {
            work.set.insert(slot.to_string(), Param::Plain(new));
        }
    }

    /// The options of a slot whose volume stays. Written before a move, with the volume as it is then.
    fn slot_options(
        &mut self,
        work: &mut Work<'_>,
        slot: &Slot,
        wanted: &DesiredDisk,
        value: &str,
        reshaped: bool,
    ) {
        let kind = work.guest.kind;
        let merged = merge(
            Domain::from(kind),
            slot.as_str(),
            Some(value),
            &wanted.options,
            &wanted.remove_options,
        );
        match merged {
            Err(reason) => self.drafts.problem(&work.item.key, slot.as_str(), reason),
            Ok(None) => self.already_waiting(work, slot.as_str()),
            Ok(Some(new)) => {
                let hotplug = work.guest.config.current.get("hotplug");
                let current = work.guest.config.current.get(slot.as_str());
                let effect = change_effect(
                    kind,
                    slot.as_str(),
                    current.map(String::as_str),
                    Some(&new),
                    hotplug.map_or("", |h| h),
                );
                if reshaped && !work.stopped && effect.needs_restart() {
                    let why = "these options wait for the next start, and until then the disk cannot be moved or grown; stop the guest, or ask for one of the two first".to_owned();
                    return self.disk_problem(work, slot, "options", why);
                }
                if self.write(work, slot.as_str(), Some(value), Some(&new), &new) {
                    work.set.insert(slot.to_string(), Param::Plain(new));
                }
            }
        }
    }

    /// Another volume in a used slot: the one that is there is detached, in a step of its own, and kept.
    fn replaced(
        &mut self,
        work: &mut Work<'_>,
        slot: &Slot,
        wanted: &DesiredDisk,
        volume: &VolumeId,
        other: &VolumeId,
        value: &str,
    ) {
        let document = work.item.key.clone();
        let node = work.guest.node.clone();
        let kind = work.guest.kind;
        let owner = Some(work.guest.vmid);
        if self
            .volume_there(&document, slot, other, &node, owner)
            .is_none()
        {
            return;
        }
        let same_bus_waits = !work.stopped
            && change_effect(kind, slot.as_str(), Some(value), None, "").needs_restart();
        if same_bus_waits {
            let why =
                "the disk that is there can only be detached while the guest is stopped".to_owned();
            return self.disk_problem(work, slot, "volume", why);
        }
        self.detach(work, slot, volume, value);
        if let Some(new) = self.new_disk_value(&document, kind, slot, wanted, &node, owner)
            && self.write(work, slot.as_str(), None, Some(&new), &new)
        {
            work.set.insert(slot.to_string(), Param::Plain(new));
        }
    }
}
