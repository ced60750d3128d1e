//! Disks: what a document asks for each slot against what stands there. A used slot is never given a new volume (rule ST11): another
//! storage is a move, another volume is a detach and an attach, more room is growth, and less is refused.

use std::collections::BTreeSet;

use super::super::draft::{Draft, Phase, Planner};
use super::super::error::Reason;
use super::super::values::merge;
use super::super::words;
use super::Work;
use crate::document::desired::{DesiredDisk, Media, Wish};
use crate::ids::{Bytes, GuestKind, NodeName, Slot, StorageId, Vmid, VolumeId};
use crate::proxmox::property::Domain;
use crate::proxmox::schema::change_effect;
use crate::world::views::{self, Disk, Source};
use crate::world::{Action, Param, Status};

/// Storages that keep volumes as files and so have formats to choose from.
fn has_formats(storage_type: &str) -> bool {
    matches!(
        storage_type,
        "dir" | "nfs" | "cifs" | "btrfs" | "glusterfs" | "cephfs"
    )
}

fn content_of(kind: GuestKind) -> &'static str {
    match kind {
        GuestKind::Qemu => "images",
        GuestKind::Lxc => "rootdir",
    }
}

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

    /// How much a disk that starts with an imported volume has to grow after that.
    pub(super) fn import_growth(
        &mut self,
        document: &str,
        slot: &Slot,
        disk: &DesiredDisk,
        node: &NodeName,
    ) -> Option<(Bytes, Bytes)> {
        let (from, wanted) = (disk.import_from.as_ref()?, disk.size?);
        if disk.volume.is_some() || disk.media != Media::Disk {
            return None;
        }
        let field = format!("{slot}.size");
        let now = self.volume_at(node, from).ok().flatten()?.size;
        match wanted.cmp(&now) {
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some((now, wanted)),
            std::cmp::Ordering::Less => {
                let reason = Reason::Shrink {
                    now: exact(now),
                    wanted: exact(wanted),
                };
                self.drafts.problem(document, &field, reason);
                None
            }
        }
    }

    fn disk_problem(&mut self, work: &Work<'_>, slot: &Slot, field: &str, why: String) {
        let field = if field.is_empty() {
            slot.to_string()
        } else {
            format!("{slot}.{field}")
        };
        self.drafts
            .problem(&work.item.key, &field, Reason::Refused { why });
    }

    /// The value that fills an empty slot.
    pub(super) fn new_disk_value(
        &mut self,
        document: &str,
        kind: GuestKind,
        slot: &Slot,
        disk: &DesiredDisk,
        node: &NodeName,
        owner: Option<Vmid>,
    ) -> Option<String> {
        let first = match disk.media {
            Media::Cdrom => match &disk.volume {
                Some(volume) => {
                    self.volume_there(document, slot, volume, node, None)?;
                    format!("{volume},media=cdrom")
                }
                None => "none,media=cdrom".to_owned(),
            },
            Media::CloudInit => {
                let storage = self.storage_named(document, slot, disk)?;
                self.storage_usable(document, slot.as_str(), storage, node, Some("images"))
                    .then(|| format!("{storage}:cloudinit,media=cdrom"))?
            }
            Media::Disk => match &disk.volume {
                Some(volume) => {
                    self.volume_there(document, slot, volume, node, owner)?;
                    volume.to_string()
                }
                None => self.new_volume_value(document, kind, slot, disk, node)?,
            },
        };
        let mut options = disk.options.clone();
        if let (Some(format), Media::Disk, None, GuestKind::Qemu) =
            (&disk.format, disk.media, &disk.volume, kind)
        {
            options.insert("format".to_owned(), format.clone());
        }
        match merge(
            Domain::from(kind),
            slot.as_str(),
            Some(&first),
            &options,
            &BTreeSet::new(),
        ) {
            Ok(Some(value)) => Some(value),
            Ok(None) => Some(first),
            Err(reason) => {
                self.drafts.problem(document, slot.as_str(), reason);
                None
            }
        }
    }

    fn storage_named<'d>(
        &mut self,
        document: &str,
        slot: &Slot,
        disk: &'d DesiredDisk,
    ) -> Option<&'d StorageId> {
        if disk.storage.is_none() {
            let why = "there is no such disk yet, and the document does not say on which `storage` to make it".to_owned();
            self.drafts
                .problem(document, slot.as_str(), Reason::Ambiguous { why });
        }
        disk.storage.as_ref()
    }

    fn new_volume_value(
        &mut self,
        document: &str,
        kind: GuestKind,
        slot: &Slot,
        disk: &DesiredDisk,
        node: &NodeName,
    ) -> Option<String> {
        let storage = self.storage_named(document, slot, disk)?;
        if !self.storage_usable(
            document,
            slot.as_str(),
            storage,
            node,
            Some(content_of(kind)),
        ) {
            return None;
        }
        if let Some(from) = &disk.import_from {
            // The size is the imported volume's; more is grown afterwards.
            self.volume_there(document, slot, from, node, None)?;
            return Some(format!("{storage}:0,import-from={from}"));
        }
        let size = match (disk.size, slot.as_str()) {
            // Proxmox VE chooses the size of these itself.
            (None, "efidisk0" | "tpmstate0") => Bytes(Bytes::GIB),
            (Some(size), _) => size,
            (None, _) => {
                let why = "there is no such disk yet, and the document does not say which `size` it shall have".to_owned();
                self.drafts
                    .problem(document, slot.as_str(), Reason::Ambiguous { why });
                return None;
            }
        };
        let value = words::new_volume(storage, size);
        if value.is_none() {
            let why = format!("{size} is no multiple of 1 MiB, which a new disk's size has to be");
            self.drafts
                .problem(document, slot.as_str(), Reason::Refused { why });
        }
        value
    }

    /// Whether the template that a new container is made of is there, as far as anybody could look.
    pub(super) fn template_there(&mut self, document: &str, template: &VolumeId, node: &NodeName) {
        let field = "template";
        if !self.storage_usable(document, field, template.storage(), node, None) {
            return;
        }
        if let Ok(None) = self.volume_at(node, template) {
            let reason = Reason::NoSuch {
                what: "volume",
                name: template.to_string(),
                nearest: String::new(),
            };
            self.drafts.problem(document, field, reason);
        }
    }

    /// Whether a volume that is to be attached exists and nobody else has it.
    fn volume_there(
        &mut self,
        document: &str,
        slot: &Slot,
        volume: &VolumeId,
        node: &NodeName,
        owner: Option<Vmid>,
    ) -> Option<()> {
        if !self.storage_usable(document, slot.as_str(), volume.storage(), node, None) {
            return None;
        }
        let reason = match self.volume_at(node, volume) {
            Ok(Some(_)) => None,
            Ok(None) => Some(Reason::NoSuch {
                what: "volume",
                name: volume.to_string(),
                nearest: String::new(),
            }),
            Err(why) => Some(Reason::Unreadable {
                what: format!("the content of storage {}", volume.storage()),
                why,
            }),
        };
        if let Some(reason) = reason {
            self.drafts.problem(document, slot.as_str(), reason);
            return None;
        }
        let user = owner.and_then(|owner| self.user_of(volume, owner, slot));
        if let Some(user) = user {
            let why = format!("{volume} is in use by {user}; one volume has one user");
            self.drafts
                .problem(document, slot.as_str(), Reason::Refused { why });
            return None;
        }
        Some(())
    }

    /// Who has a volume in a slot, but for the slot it is wanted in and `unusedN` of the same guest.
    fn user_of(&self, volume: &VolumeId, owner: Vmid, slot: &Slot) -> Option<String> {
        self.input.world.guests.values().find_map(|guest| {
            views::disks(guest.kind, &guest.config.next_start())
                .into_iter()
                .find(|disk| {
                    disk.source.volume() == Some(volume)
                        && !(guest.vmid == owner && (disk.unused() || disk.slot == *slot))
                })
                .map(|disk| format!("{} ({})", guest.entity(), disk.slot))
        })
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
        let volume = match (&live.source, wanted.media) {
            (Source::Volume(volume), Media::Disk) => volume.clone(),
            (Source::Cdrom(_) | Source::Empty, Media::Cdrom) => {
                return self.medium(work, slot, wanted, live, value);
            }
            (Source::CloudInit(volume), Media::CloudInit) => {
                if let Some(storage) = &wanted.storage
                    && storage != volume.storage()
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
        let moves = self.moves_to(work, slot, wanted, &volume, format_now.as_deref());
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

    /// Where a volume has to go, if it has to.
    fn moves_to(
        &mut self,
        work: &Work<'_>,
        slot: &Slot,
        wanted: &DesiredDisk,
        volume: &VolumeId,
        format_now: Option<&str>,
    ) -> Option<(StorageId, Option<String>)> {
        let storage = wanted
            .storage
            .clone()
            .unwrap_or_else(|| volume.storage().clone());
        let formats = self
            .storage_will_be(&storage)
            .is_some_and(|will| has_formats(&will.storage_type));
        let format = wanted.format.clone();
        if let Some(format) = &format
            && !formats
            && format != "raw"
        {
            let why = format!("storage {storage} holds disks as raw only");
            self.disk_problem(work, slot, "format", why);
            return None;
        }
        let elsewhere = storage != *volume.storage();
        let otherwise = formats
            && format
                .as_deref()
                .zip(format_now)
                .is_some_and(|(wanted, now)| wanted != now);
        (elsewhere || otherwise).then(|| (storage, format.filter(|_| formats)))
    }

    #[allow(clippy::too_many_arguments)] // one move, told whole
    fn move_disk(
        &mut self,
        work: &mut Work<'_>,
        slot: &Slot,
        volume: &VolumeId,
        to: StorageId,
        format: Option<String>,
        size: Option<Bytes>,
        target: Option<&NodeName>,
    ) {
        let guest = work.guest;
        let field = format!("{slot}.storage");
        let here = self
            .storage_will_be(&to)
            .is_none_or(|will| will.nodes.is_none_or(|n| n.contains(guest.node.as_str())));
        let node = match target {
            Some(target) if !here => target,
            Some(_) | None => &guest.node,
        };
        let document = work.item.key.clone();
        if !self.storage_usable(&document, &field, &to, node, Some(content_of(guest.kind))) {
            return;
        }
        let held = guest.config.snapshots.iter().find(|(_, snapshot)| {
            views::disks(guest.kind, &snapshot.section)
                .iter()
                .any(|disk| disk.source.volume() == Some(volume))
        });
        if let Some((name, _)) = held {
            let reason = Reason::SnapshotHolds {
                snapshot: name.clone(),
                volume: volume.to_string(),
            };
            return self.drafts.problem(&document, &field, reason);
        }
        let running = guest.status == Status::Running && !work.stopped;
        let refused = match (running, guest.kind, slot.as_str()) {
            (true, GuestKind::Lxc, _) => Some("a running container's volume cannot be moved"),
            (true, GuestKind::Qemu, "tpmstate0") => {
                Some("the TPM state of a running VM cannot be moved")
            }
            (true | false, GuestKind::Qemu | GuestKind::Lxc, _) => None,
        };
        if let Some(why) = refused {
            let why = format!(
                "{why}; shut {} down first (`powerState: stopped`)",
                work.object
            );
            return self.disk_problem(work, slot, "storage", why);
        }
        let object = &work.object;
        let from = volume.storage().to_string();
        self.drafts.change(
            object,
            &field,
            Some(&from),
            Some(to.as_str()),
            "the data is copied, then the old volume is deleted",
        );
        let sized = size.map(|size| format!(" ({size})")).unwrap_or_default();
        let title = if from == to.as_str() {
            format!(
                "move {object} {slot} on {to} to format {}{sized}",
                format.as_deref().unwrap_or("raw")
            )
        } else {
            format!("move {object} {slot} from {from} to {to}{sized}")
        };
        work.moves.push(Draft {
            title,
            action: Action::MoveDisk {
                kind: guest.kind,
                vmid: guest.vmid,
                slot: slot.clone(),
                volume: volume.clone(),
                to,
                format,
            },
            node: Some(node.clone()),
            phase: Phase::Guest,
            needs: BTreeSet::new(),
            notes: Vec::new(),
        });
    }

    fn grow(&mut self, work: &mut Work<'_>, slot: &Slot, now: Bytes, wanted: Bytes) {
        let field = format!("{slot}.size");
        if wanted < now {
            let reason = Reason::Shrink {
                now: exact(now),
                wanted: exact(wanted),
            };
            return self.drafts.problem(&work.item.key, &field, reason);
        }
        let (before, after) = (exact(now), exact(wanted));
        self.drafts.change(
            &work.object,
            &field,
            Some(&before),
            Some(&after),
            "at once; a disk cannot shrink again",
        );
        work.grows.push(growth(
            work.guest.kind,
            work.guest.vmid,
            slot,
            (now, wanted),
            &work.guest.node,
        ));
    }
}

/// The step that grows a disk.
pub(super) fn growth(
    kind: GuestKind,
    vmid: Vmid,
    slot: &Slot,
    (from, to): (Bytes, Bytes),
    node: &NodeName,
) -> Draft {
    Draft {
        title: format!(
            "grow {}/{vmid} {slot} {} → {}",
            kind.word(),
            exact(from),
            exact(to)
        ),
        action: Action::ResizeDisk {
            kind,
            vmid,
            slot: slot.clone(),
            from,
            to,
        },
        node: Some(node.clone()),
        phase: Phase::Guest,
        needs: BTreeSet::new(),
        notes: vec!["the partition and file system inside are not grown by this".to_owned()],
    }
}

/// A size that two different sizes never share.
fn exact(size: Bytes) -> String {
    let human = size.human();
    let unit = [Bytes::TIB, Bytes::GIB, Bytes::MIB, Bytes::KIB]
        .into_iter()
        .find(|unit| size.0 >= *unit)
        .unwrap_or(1);
    if size.0.is_multiple_of(unit) {
        human
    } else {
        format!("{} ({} bytes)", human, size.0)
    }
}
