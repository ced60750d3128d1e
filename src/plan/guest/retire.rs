//! Another VMID: Proxmox VE cannot give a guest one. A document that owns a guest and names another number says by `cloneFrom` that
//! the guest shall be cloned to it: the old one is shut down, cloned whole, kept from starting by itself, and stays, unmanaged.

use std::collections::{BTreeMap, BTreeSet};

use super::super::draft::{Draft, DraftId, Phase, Planner};
use super::super::error::Reason;
use super::super::input::{Item, Owned};
use crate::document::desired::{DesiredClone, DesiredGuest, Power};
use crate::ids::Vmid;
use crate::proxmox::property::is_true;
use crate::world::{Action, Guest, Param, Part, PowerAction, Selection, Status, views};

const FIELD: &str = "vmid";

impl Planner<'_, '_> {
    /// Whether a document that owns one guest (`owned`, numbered `old`) may become the document of a clone of it, numbered `new`; a
    /// problem that says what to write if not.
    pub(in crate::plan) fn may_retire(
        &mut self,
        item: &Item,
        desired: &DesiredGuest,
        (object, owned, old): (&str, &Owned, Vmid),
        new: Vmid,
    ) -> bool {
        let world = self.input.world;
        let from = desired.clone_from.as_ref();
        let live = world.guests.get(&old);
        let refused = |why: String| Some(Reason::Refused { why });
        let problem = if from.and_then(|from| from.vmid) != Some(old) {
            refused(format!(
                "the document owns {object} and now names VMID {new}, and no guest can change its number: write `cloneFrom: {{vmid: {old}}}` beside it to have {object} cloned to {new} and retired, or write {old} again"
            ))
        } else if from.is_some_and(|from| from.snapshot.is_some()) {
            refused(format!(
                "a clone of a snapshot would leave out what came after it, and {object} would be retired; leave `snapshot` out of `cloneFrom`"
            ))
        } else if from.and_then(|from| from.full) == Some(false) {
            refused(format!(
                "a linked clone would need {object} for ever; write `mode: full` in `cloneFrom`"
            ))
        } else if let Some(taken) = world.guests.get(&new) {
            refused(format!(
                "{} is there already, so {object} cannot be cloned to it; name a number that is free",
                taken.entity()
            ))
        } else if let Some(why) = world.unreadable(&Part::GuestConfig(old)) {
            let (what, why) = (Part::GuestConfig(old).to_string(), why.to_owned());
            Some(Reason::Unreadable { what, why })
        } else {
            match live {
                None => refused(format!("{object} is gone, so it cannot be cloned to {new}")),
                Some(guest) if guest.status == Status::Unknown => {
                    let what = format!("whether {object} runs");
                    let why = format!("node {} does not say", guest.node);
                    Some(Reason::Unreadable { what, why })
                }
                Some(_) => None,
            }
        };
        if let Some(reason) = problem {
            self.drafts.problem(&item.key, FIELD, reason);
            return false;
        }
        live.is_some_and(|guest| self.same_birth(item, guest, owned))
    }

    /// Makes a guest by cloning another, and retires that one if it was the document's own until now.
    pub(super) fn clone_or_retire(
        &mut self,
        item: &Item,
        desired: &DesiredGuest,
        from: &DesiredClone,
        vmid: Vmid,
    ) {
        let world = self.input.world;
        let owned = self.input.ownership.of_document(&item.key, &item.source);
        let old = owned
            .and_then(|(_, owned)| owned.vmid)
            .filter(|old| *old != vmid)
            .and_then(|old| world.guests.get(&old));
        let Some(old) = old else {
            return self.create_clone(item, desired, from, vmid);
        };
        let object = old.entity();
        if old.status == Status::Running || self.ha_state(old.vmid) == Some("started") {
            let timeout = self.input.settings.shutdown_timeout;
            let off = self.power_step(old, PowerAction::Shutdown { timeout }, Phase::Guest);
            self.drafts.change(
                &object,
                "powerState",
                Some("running"),
                Some("stopped"),
                "the guest is shut down, and its clone takes its place",
            );
            self.drafts.push(off);
        }
        let whole = DesiredClone {
            full: Some(true),
            ..from.clone()
        };
        self.create_clone(item, desired, &whole, vmid);
        let made = self.drafts.steps.iter().position(
            |draft| matches!(&draft.action, Action::CloneGuest { vmid: made, .. } if *made == vmid),
        );
        if let Some(made) = made {
            self.starts_no_more(old, made);
            self.note_retired(item, desired, old, vmid);
        }
    }

    /// The step that keeps a retired guest from starting with its node.
    fn starts_no_more(&mut self, old: &Guest, made: DraftId) {
        let next = old.config.next_start();
        let before = next.get("onboot").map(String::as_str);
        if !before.is_some_and(is_true) {
            return;
        }
        let object = old.entity();
        let effect = super::words::AT_ONCE;
        self.drafts
            .change(&object, "onboot", before, Some("0"), effect);
        let step = Draft {
            title: format!("set {object} onboot 1 → 0"),
            action: Action::UpdateConfig {
                kind: old.kind,
                vmid: old.vmid,
                set: BTreeMap::from([("onboot".to_owned(), Param::Plain("0".to_owned()))]),
                delete: BTreeSet::new(),
            },
            node: Some(old.node.clone()),
            phase: Phase::Guest,
            needs: BTreeSet::from([made]),
            notes: Vec::new(),
        };
        if super::activates_pending(&step.action, old, true) {
            self.others_pending(old, &BTreeSet::from(["onboot".to_owned()]));
        }
        self.drafts.push(step);
    }

    /// Says what becomes of the old guest, and what still points to it.
    fn note_retired(&mut self, item: &Item, desired: &DesiredGuest, old: &Guest, new: Vmid) {
        let object = old.entity();
        let mut notes = vec![format!(
            "{object} is retired: it stays as it is, stopped, and {} manages its clone {}/{new} instead; delete it by hand once nobody needs it",
            item.key,
            old.kind.word()
        )];
        let kept = self.what_stays(old);
        if !kept.is_empty() {
            notes.push(format!(
                "these stay with {object} and do not come along: {}",
                kept.join(", ")
            ));
        }
        let section = old.config.next_start();
        let nics: Vec<&str> = section
            .keys()
            .filter(|key| views::is_nic_key(key) && !desired.options.contains_key(*key))
            .map(String::as_str)
            .collect();
        if !nics.is_empty() {
            notes.push(format!(
                "the clone has new MAC addresses in {}; write them into the document to keep those of {object}",
                nics.join(", ")
            ));
        }
        if old.status == Status::Running && desired.power != Some(Power::Running) {
            notes.push(format!(
                "the clone of {object} is not started; write `powerState: running` for that"
            ));
        }
        self.drafts.notes.extend(notes);
    }

    /// What points to a guest or belongs to it, in words.
    fn what_stays(&self, old: &Guest) -> Vec<String> {
        let world = self.input.world;
        let vmid = old.vmid;
        let mut kept: Vec<String> = Vec::new();
        if world.ha_resources.contains_key(&vmid) {
            kept.push("its HA resource".to_owned());
        }
        let named = |selection: &Selection| matches!(selection, Selection::Guests(guests) if guests.contains(&vmid));
        let jobs = world
            .backup_jobs
            .iter()
            .filter(|(_, j)| named(&j.selection));
        kept.extend(jobs.map(|(id, _)| format!("backup-job/{id}")));
        let replicated = world.replication_jobs.iter();
        let replicated = replicated.filter(|(_, job)| job.guest == vmid);
        kept.extend(replicated.map(|(id, _)| format!("replication-job/{id}")));
        let pools = world.pools.iter().filter(|(_, p)| p.guests.contains(&vmid));
        kept.extend(pools.map(|(id, _)| format!("its place in pool/{id}")));
        let snapshots: Vec<&str> = old.config.snapshots.keys().map(String::as_str).collect();
        if !snapshots.is_empty() {
            kept.push(format!("its snapshots ({})", snapshots.join(", ")));
        }
        kept
    }
}
