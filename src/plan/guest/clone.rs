//! Cloning: one step that makes the clone as its source is, on the source's node; then the clone is a guest like any other, and
//! what its document says otherwise are further steps.

use std::collections::BTreeSet;

use super::super::draft::{Draft, DraftId, Phase, Planner};
use super::super::error::Reason;
use super::super::input::{Item, PlanInput, Wanted};
use super::super::resolve::kind_word;
use super::super::values::shown;
use super::super::words;
use crate::document::desired::{Desired, DesiredClone, DesiredGuest, Value, Wish};
use crate::ids::{GuestKind, SnapshotName, Vmid};
use crate::proxmox::property::is_true;
use crate::world::predict::cloned_section;
use crate::world::{Action, Guest, Part, Section, World, views};

/// The field that problems are told of.
const FIELD: &str = "cloneFrom";

impl Planner<'_, '_> {
    /// Makes a guest that does not exist by cloning another.
    pub(super) fn create_clone(
        &mut self,
        item: &Item,
        desired: &DesiredGuest,
        from: &DesiredClone,
        vmid: Vmid,
    ) {
        let Some(source) = self.source(item, desired.kind, from) else {
            return;
        };
        let (world, needs) = self.as_left(Some(source));
        let part = Part::GuestConfig(source);
        let Some(guest) = world.guests.get(&source) else {
            let what = kind_word(desired.kind);
            let (name, nearest) = (source.to_string(), String::new());
            return self.no_clone(
                item,
                Reason::NoSuch {
                    what,
                    name,
                    nearest,
                },
            );
        };
        if let Some(why) = world.unreadable(&part) {
            let (what, why) = (part.to_string(), why.to_owned());
            return self.no_clone(item, Reason::Unreadable { what, why });
        }
        if !self.node_usable(&item.key, &guest.node) {
            return;
        }
        if desired.kind == GuestKind::Qemu && desired.options.contains_key("smbios1") {
            let why = "Proxmox VE gives a clone a uuid of its own in `smbios`, which a change in the same plan would drop; ask for it in the next plan".to_owned();
            let reason = Reason::Refused { why };
            return self.drafts.problem(&item.key, "smbios1", reason);
        }
        if let Some(name) = &from.snapshot
            && !self.snapshot_there(item, &world, guest, name)
        {
            return;
        }
        let action = self.clone_action(desired, from, vmid, guest);
        // Its pool may be made by a later part of this plan; nothing here depends on it.
        let mut alone = action.clone();
        if let Action::CloneGuest { pool, .. } = &mut alone {
            *pool = None;
        }
        let predicted = match world.apply(&alone) {
            Ok(predicted) => predicted,
            Err(why) => {
                let why = format!("{} cannot be cloned so: {why}", guest.entity());
                return self.no_clone(item, Reason::Refused { why });
            }
        };
        let made = self.clone_step(desired, action, guest, needs);
        self.made_so(item, desired, &predicted, vmid, made);
    }

    /// From here on it is a guest that is there, in the world as the step that makes it leaves it.
    pub(super) fn made_so(
        &mut self,
        item: &Item,
        desired: &DesiredGuest,
        predicted: &World,
        vmid: Vmid,
        made: DraftId,
    ) {
        let Some(guest) = predicted.guests.get(&vmid) else {
            return;
        };
        let input = PlanInput {
            world: predicted,
            ..self.input.clone()
        };
        let mut after = Planner {
            input: &input,
            drafts: std::mem::take(&mut self.drafts),
        };
        after.changed(item, desired, guest, Some(made));
        self.drafts = after.drafts;
    }

    /// Whether the snapshot is there now that is to be cloned; a problem if not.
    fn snapshot_there(
        &mut self,
        item: &Item,
        world: &World,
        source: &Guest,
        name: &SnapshotName,
    ) -> bool {
        let part = Part::GuestSnapshots(source.vmid);
        if let Some(why) = world.unreadable(&part) {
            let (what, why) = (part.to_string(), why.to_owned());
            self.no_clone(item, Reason::Unreadable { what, why });
            return false;
        }
        let snapshots = &source.config.snapshots;
        if snapshots.contains_key(name.as_str()) {
            return true;
        }
        let taken = self.input.items.iter().any(|other| {
            matches!(&other.wanted, Wanted::Present(Desired::Snapshot(wish))
                if wish.vmid == source.vmid && wish.name == *name)
        });
        let reason = if taken {
            let why = format!(
                "{} has no snapshot `{name}` yet: this plan takes it after everything else, so clone from it with the next one",
                source.entity()
            );
            Reason::Refused { why }
        } else {
            Reason::NoSuch {
                what: "snapshot",
                name: format!("{}/{name}", source.vmid),
                nearest: super::super::nearest(name.as_str(), snapshots.keys().map(String::as_str)),
            }
        };
        self.no_clone(item, reason);
        false
    }

    fn no_clone(&mut self, item: &Item, reason: Reason) {
        self.drafts.problem(&item.key, FIELD, reason);
    }

    /// The number of the guest that is cloned: the one that is named, or the only one of its kind with the name.
    fn source(&mut self, item: &Item, kind: GuestKind, from: &DesiredClone) -> Option<Vmid> {
        if from.vmid.is_some() {
            return from.vmid;
        }
        let name = from.name.as_deref()?;
        let live = self.input.world.guests.values();
        let mut found: BTreeSet<Vmid> = live
            .filter(|guest| guest.kind == kind && guest.name.as_deref() == Some(name))
            .map(|guest| guest.vmid)
            .collect();
        found.extend(
            self.drafts
                .steps
                .iter()
                .filter_map(|draft| match &draft.action {
                    Action::CreateGuest {
                        kind: made,
                        vmid,
                        params,
                        ..
                    } if *made == kind => {
                        let key = if kind == GuestKind::Qemu {
                            "name"
                        } else {
                            "hostname"
                        };
                        (params.get(key).map(shown).as_deref() == Some(name)).then_some(*vmid)
                    }
                    _ => None,
                }),
        );
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some(only), None) => Some(only),
            (None, _) => {
                let what = kind_word(kind);
                let (name, nearest) = (name.to_owned(), String::new());
                self.no_clone(
                    item,
                    Reason::NoSuch {
                        what,
                        name,
                        nearest,
                    },
                );
                None
            }
            (Some(one), Some(other)) => {
                let why = format!(
                    "{one} and {other} are both called `{name}`; say which by `cloneFrom.vmid`"
                );
                self.no_clone(item, Reason::Ambiguous { why });
                None
            }
        }
    }

    /// The world in which the source, if there is one, is as this plan leaves it, and the steps that do so.
    pub(super) fn as_left(&self, source: Option<Vmid>) -> (World, BTreeSet<DraftId>) {
        let mut world = self.input.world.clone();
        let mut needs = BTreeSet::new();
        for (id, draft) in self.drafts.steps.iter().enumerate() {
            let own = draft.phase == Phase::Guest
                && draft
                    .action
                    .guest()
                    .is_some_and(|(_, vmid)| Some(vmid) == source);
            let first = matches!(
                draft.phase,
                Phase::StorageFirst | Phase::ImageFirst | Phase::PoolFirst
            );
            if !own && !first {
                continue;
            }
            // A step that would fail is told of where it stands.
            if let Ok(after) = world.apply(&draft.action) {
                world = after;
            }
            if own {
                needs.insert(id);
            }
        }
        (world, needs)
    }

    fn clone_action(
        &self,
        desired: &DesiredGuest,
        from: &DesiredClone,
        vmid: Vmid,
        source: &Guest,
    ) -> Action {
        let key = match desired.kind {
            GuestKind::Qemu => "name",
            GuestKind::Lxc => "hostname",
        };
        let name = match desired.options.get(key) {
            Some(Wish::Set(Value::Plain(name))) => name.clone(),
            Some(Wish::Set(Value::Properties { .. } | Value::Secret(_)) | Wish::Remove) | None => {
                desired.name_on_create.clone()
            }
        };
        let pool = match &desired.pool {
            Some(Wish::Set(pool)) => Some(pool.clone()),
            Some(Wish::Remove) | None => None,
        };
        Action::CloneGuest {
            kind: desired.kind,
            vmid,
            source: source.vmid,
            snapshot: from.snapshot.clone(),
            node: source.node.clone(),
            pool,
            name,
            full: from
                .full
                .unwrap_or(!source.template || from.snapshot.is_some()),
            storage: from.storage.clone(),
            format: from.format.clone(),
        }
    }

    /// The step itself, with what it takes over from the source.
    fn clone_step(
        &mut self,
        desired: &DesiredGuest,
        action: Action,
        source: &Guest,
        mut needs: BTreeSet<DraftId>,
    ) -> DraftId {
        let (vmid, name, how, snapshot) = match &action {
            Action::CloneGuest {
                vmid,
                name,
                full,
                snapshot,
                ..
            } => (
                *vmid,
                name.clone(),
                if *full {
                    "a full copy"
                } else {
                    "a linked clone"
                },
                snapshot.clone(),
            ),
            _ => (source.vmid, String::new(), "", None),
        };
        let object = format!("{}/{vmid}", desired.kind.word());
        let of = match &snapshot {
            Some(snapshot) => format!("snapshot {snapshot} of {}", source.entity()),
            None => source.entity(),
        };
        let place = format!("{how} of {of} on {}", source.node);
        let section = cloned_section(source, snapshot.as_ref());
        let section = section.unwrap_or(&source.config.current);
        let note = taken_over(desired, section, snapshot.as_ref());
        self.drafts
            .change(&object, "(object)", None, Some(&place), "the guest is made");
        for storage in super::super::finish::storages_of(&action) {
            needs.extend(self.drafts.opened.get(&storage).copied());
        }
        self.drafts.push(Draft {
            title: format!("clone {of} to {object} {} ({how})", words::short(&name)),
            action,
            node: Some(source.node.clone()),
            phase: Phase::Guest,
            needs,
            notes: vec![note],
        })
    }
}

/// What a clone has of its source that its document says nothing of and that people forget.
fn taken_over(
    desired: &DesiredGuest,
    section: &Section,
    snapshot: Option<&SnapshotName>,
) -> String {
    let mut note = match snapshot {
        None => "it takes over the source's settings and firewall rules".to_owned(),
        Some(name) => format!(
            "it takes over the settings in snapshot {name} and the source's firewall rules as they are now"
        ),
    };
    let kept = kept(desired, section);
    if !kept.is_empty() {
        note.push_str(&format!(", also {}", kept.join(", ")));
    }
    note
}

/// What of a configuration people forget and the document says nothing of.
pub(super) fn kept(desired: &DesiredGuest, section: &Section) -> Vec<String> {
    let said = |key: &str| {
        desired.options.contains_key(key) || desired.disks.keys().any(|slot| slot.as_str() == key)
    };
    let mut kept: Vec<String> = ["onboot", "protection"]
        .into_iter()
        .filter(|key| section.get(*key).is_some_and(|value| is_true(value)))
        .chain(
            ["startup", "tags", "hookscript"]
                .into_iter()
                .filter(|key| section.contains_key(*key)),
        )
        .filter(|key| !said(key))
        .map(str::to_owned)
        .collect();
    let media = views::disks(desired.kind, section)
        .into_iter()
        .filter_map(|disk| {
            let slot = disk.slot.to_string();
            match disk.source {
                views::Source::Cdrom(volume) if !said(&slot) => Some(format!("{slot} ({volume})")),
                views::Source::Cdrom(_)
                | views::Source::Volume(_)
                | views::Source::CloudInit(_)
                | views::Source::Empty
                | views::Source::Path(_) => None,
            }
        });
    kept.extend(media);
    let addresses = section.iter().filter(|(key, value)| {
        let fixed = |name: &str| {
            value.split(',').any(|part| {
                part.strip_prefix(name)
                    .is_some_and(|address| address.contains('/'))
            })
        };
        (key.starts_with("ipconfig") || views::is_nic_key(key))
            && (fixed("ip=") || fixed("ip6="))
            && !said(key)
    });
    kept.extend(addresses.map(|(key, _)| format!("the fixed address in {key}")));
    kept
}
