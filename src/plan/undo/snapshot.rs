//! Taking back what was done to snapshots. One that was taken is deleted again, if it is still that very one.

use super::super::snapshot::{birth, described_as, object_of};
use super::Back;
use crate::ids::{GuestKind, NodeName, SnapshotName, Vmid};
use crate::world::{Action, Part, Snapshot};

impl Back<'_, '_, '_> {
    fn live_snapshot(&mut self, vmid: Vmid, name: &SnapshotName) -> Option<(NodeName, Snapshot)> {
        let object = object_of(vmid, name);
        let world = self.planner.input.world;
        if let Some(why) = world.unreadable(&Part::GuestSnapshots(vmid)) {
            let why = format!("{object} could not be looked at ({why})");
            self.left(&why);
            return None;
        }
        let guest = world.guests.get(&vmid)?;
        let snapshot = guest.config.snapshots.get(name.as_str())?;
        Some((guest.node.clone(), snapshot.clone()))
    }

    /// Deletes a snapshot that the run took.
    pub(super) fn snapshot_away(&mut self, kind: GuestKind, vmid: Vmid, name: &SnapshotName) {
        let object = object_of(vmid, name);
        let Some((node, live)) = self.live_snapshot(vmid, name) else {
            return;
        };
        let owned = self.planner.input.ownership.objects.get(&object);
        let known = owned.and_then(|owned| owned.birth.clone());
        if known.is_none() || known != birth(&live) {
            return self.left(&format!(
                "{object}: the one that is there is not surely the one the run took"
            ));
        }
        self.planner.drafts.change(
            &object,
            "(object)",
            Some("snapshot"),
            None,
            "the snapshot is deleted again",
        );
        self.push(
            format!("delete snapshot {name} of {}/{vmid}", kind.word()),
            Action::DeleteSnapshot {
                kind,
                vmid,
                name: name.clone(),
            },
            Some(node),
        );
    }

    /// Gives a snapshot the description it had.
    pub(super) fn snapshot_described(
        &mut self,
        kind: GuestKind,
        vmid: Vmid,
        name: &SnapshotName,
        description: &str,
    ) {
        let object = object_of(vmid, name);
        let Some((node, live)) = self.live_snapshot(vmid, name) else {
            return self.left(&format!("{object} is gone"));
        };
        let Action::DescribeSnapshot {
            description: left, ..
        } = &self.step.action
        else {
            return;
        };
        let now = described_as(&live);
        if now == description {
            return;
        }
        if now != left {
            return self.left(&format!("{object} was described anew by someone since"));
        }
        let word = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        self.planner.drafts.change(
            &object,
            "description",
            word(now).as_deref(),
            word(description).as_deref(),
            "at once",
        );
        self.push(
            format!("set back {object} description"),
            Action::DescribeSnapshot {
                kind,
                vmid,
                name: name.clone(),
                description: description.to_owned(),
            },
            Some(node),
        );
    }
}
