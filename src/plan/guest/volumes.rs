//! What fills an empty slot: a new volume, an imported one, one that exists already, or a medium; and whether it may. It never
//! looks at a slot that is in use.

use std::collections::BTreeSet;

use super::super::draft::Planner;
use super::super::error::Reason;
use super::super::values::merge;
use super::super::words;
use super::reshape::exact;
use crate::document::desired::{DesiredDisk, Media};
use crate::ids::{Bytes, GuestKind, NodeName, Slot, StorageId, Vmid, VolumeId};
use crate::proxmox::property::Domain;
use crate::world::views;

pub(super) fn content_of(kind: GuestKind) -> &'static str {
    match kind {
        GuestKind::Qemu => "images",
        GuestKind::Lxc => "rootdir",
    }
}

impl Planner<'_, '_> {
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
        if !self.storage_usable(document, field, template.storage(), node, None)
            || !self.stays(document, field, template, node)
        {
            return;
        }
        if !self.downloaded(node, template)
            && let Ok(None) = self.volume_at(node, template)
        {
            let reason = Reason::NoSuch {
                what: "volume",
                name: template.to_string(),
                nearest: String::new(),
            };
            self.drafts.problem(document, field, reason);
        }
    }

    /// Whether a volume that is to be attached exists and nobody else has it.
    pub(super) fn volume_there(
        &mut self,
        document: &str,
        slot: &Slot,
        volume: &VolumeId,
        node: &NodeName,
        owner: Option<Vmid>,
    ) -> Option<()> {
        if !self.storage_usable(document, slot.as_str(), volume.storage(), node, None)
            || !self.stays(document, slot.as_str(), volume, node)
        {
            return None;
        }
        let downloaded = self.downloaded(node, volume);
        let reason = match self.volume_at(node, volume) {
            Ok(Some(_)) => None,
            Ok(None) if downloaded && views::file_content(volume) == Some("iso") => None,
            Ok(None) if downloaded => Some(Reason::Refused {
                why: format!(
                    "{volume} is downloaded by this plan, and how big a disk made of it is shows only then; apply its document first, and this one after it"
                ),
            }),
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

    /// Whether this plan leaves a file where it is; a problem if not.
    fn stays(&mut self, document: &str, field: &str, volume: &VolumeId, node: &NodeName) -> bool {
        let Some(object) = self.deleted(node, volume) else {
            return true;
        };
        let why = format!("{object} is deleted by this plan");
        self.drafts
            .problem(document, field, Reason::Ambiguous { why });
        false
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
}
