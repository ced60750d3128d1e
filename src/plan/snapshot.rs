//! Snapshots: from a document to a step that takes, describes or deletes one. Going back to one is no state to be wished for, and no
//! step does it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::draft::{Draft, Phase, Planner};
use super::error::Reason;
use super::input::{Item, Owned};
use super::words::difference;
use crate::document::desired::{DesiredSnapshot, Wish};
use crate::ids::{GuestKind, NodeName, SnapshotName, Vmid};
use crate::world::{Action, Guest, Part, Snapshot, snapshot_refused};

/// How the snapshot of a guest is called among live objects.
pub(super) fn object_of(vmid: Vmid, name: &SnapshotName) -> String {
    format!("snapshot/{vmid}/{name}")
}

/// The snapshot that an object's name is about.
pub(super) fn of_object(object: &str) -> Option<(Vmid, SnapshotName)> {
    let (vmid, name) = object.strip_prefix("snapshot/")?.split_once('/')?;
    Some((vmid.parse().ok()?, SnapshotName::new(name).ok()?))
}

/// What tells a snapshot from another one of the same name.
pub(super) fn birth(snapshot: &Snapshot) -> Option<String> {
    snapshot.taken.map(|taken| format!("snaptime:{taken}"))
}

/// When the snapshot of a birth was taken, in seconds since 1970.
fn taken(birth: &str) -> Option<i64> {
    birth.strip_prefix("snaptime:")?.parse().ok()
}

/// The end of an age that began then; `None` beyond all time.
fn end(taken: i64, seconds: u64) -> Option<Timestamp> {
    let end = taken.checked_add(i64::try_from(seconds).ok()?)?;
    Timestamp::from_second(end).ok()
}

/// What becomes of a snapshot that is not taken yet.
fn kept_for(seconds: u64) -> String {
    let units = [("weeks", 604_800), ("days", 86_400), ("hours", 3_600)];
    let whole = units
        .iter()
        .find(|(_, unit)| seconds.is_multiple_of(*unit) && seconds > *unit);
    let (unit, length) = whole.copied().unwrap_or(("minutes", 60));
    let count = seconds / length;
    format!(
        "it is kept for {count} {unit} from then on; after that a plan deletes it, and it is not taken again"
    )
}

/// What is said of a snapshot that another one has taken the name of.
fn another(object: &str) -> String {
    format!(
        "{object} is not the snapshot this document owned: somebody deleted that one and took another of the same name, which no document asks to delete; delete it by hand, or set `bailiwick.dev/deletion: orphan`"
    )
}

impl Planner<'_, '_> {
    /// A snapshot that shall be there.
    pub(super) fn snapshot_present(&mut self, item: &Item, desired: &DesiredSnapshot) {
        if !self.needs_part(item, &Part::Resources) {
            return;
        }
        let vmid = desired.vmid;
        let destroyed = self.drafts.steps.iter().any(
            |draft| matches!(&draft.action, Action::DestroyGuest { vmid: gone, .. } if *gone == vmid),
        );
        if destroyed {
            let why = format!("guest {vmid} is destroyed by this plan, and its snapshots with it");
            let reason = Reason::Ambiguous { why };
            return self.drafts.problem(&item.key, "vmid", reason);
        }
        let made = self
            .drafts
            .steps
            .iter()
            .find_map(|draft| match &draft.action {
                Action::CreateGuest {
                    kind,
                    vmid: made,
                    node,
                    ..
                } if *made == vmid => Some((*kind, node.clone())),
                _ => None,
            });
        match (self.input.world.guests.get(&vmid), made) {
            (Some(guest), _) => self.snapshot_of(item, desired, guest),
            (None, Some((kind, node))) => {
                if self.claim(item, &object_of(vmid, &desired.name), false) {
                    self.take(item, desired, kind, node);
                }
            }
            (None, None) => {
                let reason = Reason::NoSuch {
                    what: "guest",
                    name: vmid.to_string(),
                    nearest: String::new(),
                };
                self.drafts.problem(&item.key, "vmid", reason);
            }
        }
    }

    fn snapshot_of(&mut self, item: &Item, desired: &DesiredSnapshot, guest: &Guest) {
        let vmid = guest.vmid;
        if !self.needs_part(item, &Part::GuestConfig(vmid))
            || !self.needs_part(item, &Part::GuestSnapshots(vmid))
        {
            return;
        }
        let object = object_of(vmid, &desired.name);
        let live = guest.config.snapshots.get(desired.name.as_str());
        if !self.claim(item, &object, live.is_some()) {
            return;
        }
        if let Some(until) = self.over(desired, &object) {
            return self.expired(item, desired, guest, &object, until);
        }
        if let Some(live) = live {
            self.kept_until(desired, live, &object);
        }
        let Some(live) = live else {
            if self.input.ownership.objects.contains_key(&object) {
                self.drafts.notes.insert(format!(
                    "{object} is gone and will be taken anew: what it held is not brought back"
                ));
            }
            // Where other steps change the guest or a storage first, prediction tells.
            let alone = !self.drafts.steps.iter().any(|draft| match &draft.action {
                Action::CreateStorage { .. } | Action::UpdateStorage { .. } => true,
                action => action.guest().is_some_and(|(_, changed)| changed == vmid),
            });
            let refused = if alone {
                snapshot_refused(self.input.world, guest, desired.memory == Some(true))
            } else {
                Vec::new()
            };
            for why in &refused {
                self.drafts
                    .problem(&item.key, "", Reason::Refused { why: why.clone() });
            }
            if refused.is_empty() {
                self.take(item, desired, guest.kind, guest.node.clone());
            }
            return;
        };
        if let Some(why) = differs(desired, live) {
            return self.drafts.problem(&item.key, "", Reason::Refused { why });
        }
        self.described(desired, guest, live, &object);
    }

    fn take(&mut self, item: &Item, desired: &DesiredSnapshot, kind: GuestKind, node: NodeName) {
        let memory = desired.memory == Some(true);
        if memory && kind == GuestKind::Lxc {
            let why = "the memory of a container cannot be saved; leave `includeMemory` out";
            let reason = Reason::Refused {
                why: why.to_owned(),
            };
            return self.drafts.problem(&item.key, "vmstate", reason);
        }
        let object = object_of(desired.vmid, &desired.name);
        let effect = "as the guest is once this plan's other steps for it are done";
        self.drafts
            .change(&object, "(object)", None, Some("taken"), effect);
        let note = if memory {
            "the guest runs slower while its memory is saved, and stands still for a moment"
        } else {
            "the guest stands still for a moment"
        };
        let description = match &desired.description {
            Some(Wish::Set(text)) => Some(text.clone()),
            Some(Wish::Remove) | None => None,
        };
        self.drafts.push(Draft {
            title: format!(
                "take snapshot {} of {}/{}{}",
                desired.name,
                kind.word(),
                desired.vmid,
                if memory { " with its memory" } else { "" }
            ),
            action: Action::TakeSnapshot {
                kind,
                vmid: desired.vmid,
                name: desired.name.clone(),
                description,
                memory,
            },
            node: Some(node),
            phase: Phase::Snapshot,
            needs: BTreeSet::new(),
            notes: std::iter::once(note.to_owned())
                .chain(desired.keep_for.map(kept_for))
                .collect(),
        });
    }

    fn described(
        &mut self,
        desired: &DesiredSnapshot,
        guest: &Guest,
        live: &Snapshot,
        object: &str,
    ) {
        let now = described_as(live);
        let wanted = match &desired.description {
            None => return,
            Some(Wish::Set(text)) => text.as_str(),
            Some(Wish::Remove) => "",
        };
        if now == wanted {
            return;
        }
        let word = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (before, after) = (word(now), word(wanted));
        let key = "description";
        self.drafts
            .change(object, key, before.as_deref(), after.as_deref(), "at once");
        self.drafts.push(Draft {
            title: format!(
                "set {object} {}",
                difference(key, before.as_deref(), after.as_deref())
            ),
            action: Action::DescribeSnapshot {
                kind: guest.kind,
                vmid: guest.vmid,
                name: desired.name.clone(),
                description: wanted.to_owned(),
            },
            node: Some(guest.node.clone()),
            phase: Phase::Snapshot,
            needs: BTreeSet::new(),
            notes: Vec::new(),
        });
    }

    /// A snapshot whose document is gone and said that it shall be deleted.
    pub(super) fn snapshot_removed(
        &mut self,
        item: &Item,
        owned: &Owned,
        vmid: Vmid,
        name: &SnapshotName,
    ) {
        if !self.needs_part(item, &Part::Resources) {
            return;
        }
        let object = object_of(vmid, name);
        let gone = |planner: &mut Self| {
            planner
                .drafts
                .notes
                .insert(format!("{object} is already gone"));
        };
        let Some(guest) = self.input.world.guests.get(&vmid) else {
            return gone(self);
        };
        if self.drafts.going.contains(&guest.entity()) {
            self.drafts
                .notes
                .insert(format!("{object} goes with {}", guest.entity()));
            return;
        }
        if !self.needs_part(item, &Part::GuestConfig(vmid))
            || !self.needs_part(item, &Part::GuestSnapshots(vmid))
        {
            return;
        }
        let Some(live) = guest.config.snapshots.get(name.as_str()) else {
            return gone(self);
        };
        if owned.birth.is_some() && owned.birth != birth(live) {
            let why = another(&object);
            return self.drafts.problem(&item.key, "", Reason::Refused { why });
        }
        self.delete(guest, name, &object, String::new());
    }

    fn delete(&mut self, guest: &Guest, name: &SnapshotName, object: &str, why: String) {
        let effect = "the snapshot is deleted; the guest and its other snapshots stay";
        self.drafts
            .change(object, "(object)", Some("snapshot"), None, effect);
        let mut notes = children(guest, name);
        notes.extend((!why.is_empty()).then_some(why));
        self.drafts.push(Draft {
            title: format!("delete snapshot {name} of {}", guest.entity()),
            action: Action::DeleteSnapshot {
                kind: guest.kind,
                vmid: guest.vmid,
                name: name.clone(),
            },
            node: Some(guest.node.clone()),
            phase: Phase::SnapshotLast,
            needs: BTreeSet::new(),
            notes,
        });
    }

    /// Until when the document kept its snapshot, if that is over.
    fn over(&self, desired: &DesiredSnapshot, object: &str) -> Option<Timestamp> {
        let owned = self.input.ownership.objects.get(object)?;
        let taken = taken(owned.birth.as_deref()?)?;
        end(taken, desired.keep_for?).filter(|until| *until <= self.input.now)
    }

    /// A snapshot that is older than its document keeps it: it is deleted, once, and not taken again.
    fn expired(
        &mut self,
        item: &Item,
        desired: &DesiredSnapshot,
        guest: &Guest,
        object: &str,
        until: Timestamp,
    ) {
        let Some(live) = guest.config.snapshots.get(desired.name.as_str()) else {
            self.drafts.notes.insert(format!(
                "{object} was kept until {until} and is not taken again; its document can go"
            ));
            return;
        };
        let owned = self.input.ownership.objects.get(object);
        if owned.and_then(|owned| owned.birth.clone()) != birth(live) {
            let why = another(object);
            return self.drafts.problem(&item.key, "", Reason::Refused { why });
        }
        let why =
            format!("it was kept until {until}, as its document says, and is not taken again");
        self.delete(guest, &desired.name, object, why);
    }

    /// Says until when a snapshot that is there is kept.
    fn kept_until(&mut self, desired: &DesiredSnapshot, live: &Snapshot, object: &str) {
        let until = live.taken.zip(desired.keep_for);
        let until = until.and_then(|(taken, seconds)| end(taken, seconds));
        let Some(until) = until else { return };
        self.drafts.notes.insert(if until <= self.input.now {
            format!("{object} is older than its document keeps it (until {until}): once the document owns it, a plan deletes it")
        } else {
            format!("{object} is kept until {until}; then a plan deletes it")
        });
    }
}

/// The description of a snapshot; an empty text where it has none.
pub(super) fn described_as(snapshot: &Snapshot) -> &str {
    let text = snapshot.section.get("description");
    text.map_or("", |text| text.trim_end())
}

/// Why a snapshot that is there is not the one that is asked for.
fn differs(desired: &DesiredSnapshot, live: &Snapshot) -> Option<String> {
    let name = &desired.name;
    if let Some(state) = &live.state {
        return Some(format!(
            "snapshot {name} is unfinished (snapstate `{}`); wait until its task has ended, and if none runs, delete it by hand",
            super::words::clean(state)
        ));
    }
    let has = live.section.contains_key("vmstate");
    let wanted = desired.memory.filter(|wanted| *wanted != has)?;
    let (is, asked) = if wanted {
        ("without", "with")
    } else {
        ("with", "without")
    };
    Some(format!(
        "snapshot {name} was taken {is} the memory and the document asks for one {asked} it, which cannot be changed; write `includeMemory: {has}`, or ask for another snapshot under a new name"
    ))
}

/// What is told of the snapshots that were taken after one that goes.
fn children(guest: &Guest, name: &SnapshotName) -> Vec<String> {
    let after: Vec<&str> = guest
        .config
        .snapshots
        .iter()
        .filter(|(_, other)| other.parent.as_deref() == Some(name.as_str()))
        .map(|(other, _)| other.as_str())
        .collect();
    if after.is_empty() {
        return Vec::new();
    }
    vec![format!("taken after it, and kept: {}", after.join(", "))]
}
