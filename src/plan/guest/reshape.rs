//! Moves and growth: steps that copy or enlarge the volume of a slot. A disk never shrinks, and a volume that a snapshot holds never
//! moves.

use std::collections::BTreeSet;

use super::super::draft::{Draft, Phase, Planner};
use super::super::error::Reason;
use super::Work;
use super::volumes::content_of;
use crate::document::desired::DesiredDisk;
use crate::ids::{Bytes, GuestKind, NodeName, Slot, StorageId, Vmid, VolumeId};
use crate::world::views;
use crate::world::{Action, Status};

/// Storages that keep volumes as files and so have formats to choose from.
fn has_formats(storage_type: &str) -> bool {
    matches!(
        storage_type,
        "dir" | "nfs" | "cifs" | "btrfs" | "glusterfs" | "cephfs"
    )
}

impl Planner<'_, '_> {
    /// Where a volume has to go, if it has to.
    pub(super) fn moves_to(
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
    pub(super) fn move_disk(
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

    pub(super) fn grow(&mut self, work: &mut Work<'_>, slot: &Slot, now: Bytes, wanted: Bytes) {
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
pub(super) fn exact(size: Bytes) -> String {
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
