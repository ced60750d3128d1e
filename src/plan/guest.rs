//! Guests: from a document to steps. Each kind of step has its file; this one says in which order they come for one guest.
//!
//! One guest's steps form a chain: shut down → detach → configuration → moves → growth → migration → start. Nothing is implied by
//! anything else: a restart, a detach, a move are steps of their own, and freeing a disk is never one.

mod boot_order;
mod clone;
mod cloud_init;
mod create;
mod disks;
mod placement;
mod power;
mod remove;
mod reshape;
mod restore;
mod retire;
mod safety_copy;
mod template;
mod volumes;

pub use restore::backups_wanted;

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, DraftId, Phase, Planner};
use super::error::Reason;
use super::input::{Item, Restart};
use super::pool::Pools;
use super::resolve::Target;
use super::values::{Decision, Secrets, decide};
use super::words::{self, difference, few};
use crate::document::desired::{DesiredGuest, Power};
use crate::ids::{GuestKind, StorageId};
use crate::proxmox::property::{Domain, boolean};
use crate::proxmox::schema::{ChangeEffect, change_effect, is_cloud_init, root_only};
use crate::world::{Action, Guest, Params, Section, Status};

/// What is gathered for one existing guest before it becomes steps.
struct Work<'a> {
    item: &'a Item,
    guest: &'a Guest,
    object: String,
    /// What is in force at the next start, without what this plan does.
    next: Section,
    /// What the configuration step writes.
    set: Params,
    delete: BTreeSet<String>,
    told: Vec<String>,
    /// What waits for the next start because of this document.
    waiting: Vec<String>,
    /// Steps before and after the configuration step.
    detaches: Vec<Draft>,
    moves: Vec<Draft>,
    grows: Vec<Draft>,
    /// It does not run while its configuration is written.
    stopped: bool,
    /// The step that makes it, if this plan does.
    made: Option<DraftId>,
    /// Where a migration takes what lies on a local storage, by that storage.
    carried: BTreeMap<StorageId, StorageId>,
}

impl Planner<'_, '_> {
    /// A guest that shall be as a document says.
    pub(super) fn guest_present(&mut self, item: &Item, desired: &DesiredGuest, pools: &mut Pools) {
        let Some(target) = self.target(item, desired) else {
            return;
        };
        self.target_storages(item, desired);
        if desired.nodes.is_empty() {
            self.bring(item, desired, &target);
        } else {
            self.bring_to_one_of(item, desired, &target);
        }
        if let Some(wish) = &desired.pool {
            let (vmid, new) = match target {
                Target::New(vmid) => (vmid, true),
                Target::Existing(guest) => (guest.vmid, false),
            };
            self.guest_pool(item, vmid, wish, new, pools);
        }
    }

    /// The steps that make a guest, or make it as its document says.
    fn bring(&mut self, item: &Item, desired: &DesiredGuest, target: &Target<'_>) {
        match target {
            Target::New(vmid) => match (&desired.clone_from, &desired.restore_from) {
                (Some(from), _) => self.clone_or_retire(item, desired, from, *vmid),
                (None, Some(from)) => self.create_restored(item, desired, from, *vmid),
                (None, None) => self.create(item, desired, *vmid),
            },
            Target::Existing(guest) => self.changed(item, desired, guest, None),
        }
    }

    /// Whether the storages are there that a migration of the guest is told of.
    fn target_storages(&mut self, item: &Item, desired: &DesiredGuest) {
        let named: BTreeSet<&StorageId> = desired
            .target_storage
            .iter()
            .flat_map(|(from, to)| [from, to])
            .collect();
        for storage in named {
            self.storage_known(item, power::TARGET_STORAGE, storage);
        }
    }

    /// A guest that is there, or will be once the step `made` has made it.
    fn changed(
        &mut self,
        item: &Item,
        desired: &DesiredGuest,
        guest: &Guest,
        made: Option<DraftId>,
    ) {
        let next = guest.config.next_start();
        let shuts_down = desired.power == Some(Power::Stopped) && guest.status == Status::Running;
        let mut work = Work {
            item,
            guest,
            object: guest.entity(),
            stopped: shuts_down || guest.status == Status::Stopped,
            next,
            set: Params::new(),
            delete: BTreeSet::new(),
            told: Vec::new(),
            waiting: Vec::new(),
            detaches: Vec::new(),
            moves: Vec::new(),
            grows: Vec::new(),
            made,
            carried: self.carried(guest, desired),
        };
        self.options(&mut work, desired);
        for (slot, wish) in &desired.disks {
            self.disk(&mut work, slot, wish, desired.node.as_ref());
        }
        let off = self.power_off(&work, desired);
        let migrate = self.migrate(&work, desired);
        let template = self.template(&work, desired);
        self.chain(work, desired, off, migrate, template);
    }

    /// Compares every option the document names.
    fn options(&mut self, work: &mut Work<'_>, desired: &DesiredGuest) {
        let domain = Domain::from(work.guest.kind);
        for (key, wish) in &desired.options {
            let before = work.next.get(key).cloned();
            let secrets = Secrets {
                now: self.input.secrets,
                sent: self
                    .input
                    .ownership
                    .fingerprint(&work.object, key)
                    .filter(|_| before.is_some()),
            };
            let decision = decide(domain, key, before.as_deref(), wish, secrets);
            match decision {
                Err(reason) => self.drafts.problem(&work.item.key, key, reason),
                Ok(Decision::Same) => self.already_waiting(work, key),
                Ok(Decision::Set { param, shown }) => {
                    let sent = match &param {
                        crate::world::Param::Plain(text) => text.clone(),
                        crate::world::Param::Secret { .. } => shown.clone(),
                    };
                    if self.write(work, key, before.as_deref(), Some(&sent), &shown) {
                        work.set.insert(key.clone(), param);
                    }
                }
                Ok(Decision::Delete) => {
                    if self.write(work, key, before.as_deref(), None, "") {
                        work.delete.insert(key.clone());
                    }
                }
            }
        }
    }

    /// A key is as it shall be; but perhaps only at the next start.
    fn already_waiting(&mut self, work: &mut Work<'_>, key: &str) {
        let pending = work.guest.config.pending.iter().find(|p| p.key == key);
        if let Some(pending) = pending {
            let value = pending.value.as_deref().unwrap_or("its removal");
            self.drafts.notes.insert(format!(
                "{}: {key} {} waits already for the next stop and start",
                work.object,
                words::short(value)
            ));
            work.waiting.push(key.to_owned());
        }
    }

    /// Notes that a key is written, unless Proxmox VE would refuse it; with when it takes effect.
    fn write(
        &mut self,
        work: &mut Work<'_>,
        key: &str,
        before: Option<&str>,
        after: Option<&str>,
        shown: &str,
    ) -> bool {
        let kind = work.guest.kind;
        let unprivileged = work.guest.config.current.get("unprivileged");
        if root_only(kind, key, before, after).is_some()
            || closed(kind, key, unprivileged.map_or("0", |flag| flag))
        {
            let key = key.to_owned();
            self.drafts
                .problem(&work.item.key, &key.clone(), Reason::RootOnly { key });
            return false;
        }
        let effect = if kind == GuestKind::Qemu && is_cloud_init(key) {
            cloud_init::effect(work.guest, work.stopped)
        } else if work.stopped {
            words::AT_ONCE
        } else {
            let hotplug = work.guest.config.current.get("hotplug");
            let current = work.guest.config.current.get(key).map(String::as_str);
            let effect = change_effect(kind, key, current, after, hotplug.map_or("", |h| h));
            if effect == ChangeEffect::Refused {
                let why = format!(
                    "Proxmox VE refuses to change {key} of {} in this way while it exists like this",
                    work.object
                );
                self.drafts
                    .problem(&work.item.key, key, Reason::Refused { why });
                return false;
            }
            if effect.needs_restart() {
                work.waiting.push(key.to_owned());
            }
            words::effect(effect)
        };
        let shown = after.map(|_| shown);
        self.drafts.change(&work.object, key, before, shown, effect);
        work.told.push(difference(key, before, shown));
        true
    }

    /// Puts the gathered work into steps, one after the other.
    fn chain(
        &mut self,
        mut work: Work<'_>,
        desired: &DesiredGuest,
        off: Option<Draft>,
        migrate: Option<(Draft, bool)>,
        template: Option<Draft>,
    ) {
        let (boot, told_of_boot) = boot_order::afterwards(&mut work, desired);
        let Work {
            item,
            guest,
            object,
            set,
            delete,
            told,
            waiting,
            detaches,
            moves,
            grows,
            stopped,
            made,
            next: _,
            carried: _,
        } = work;
        let mut notes: Vec<String> = told_of_boot.into_iter().collect();
        if !stopped && !waiting.is_empty() && item.restart != Restart::Window {
            notes.push(format!(
                "{} {} effect at the next stop and start",
                few(&waiting),
                if waiting.len() == 1 { "takes" } else { "take" }
            ));
        }
        let config = (!set.is_empty() || !delete.is_empty()).then(|| Draft {
            title: format!("set {object} {}", few(&told)),
            action: Action::UpdateConfig {
                kind: guest.kind,
                vmid: guest.vmid,
                set,
                delete,
            },
            node: Some(guest.node.clone()),
            phase: Phase::Guest,
            needs: BTreeSet::new(),
            notes,
        });
        let (first, last) = match migrate {
            Some((draft, true)) => (Some(draft), None),
            Some((draft, false)) => (None, Some(draft)),
            None => (None, None),
        };
        let after = self.power_on(item, desired, guest, &waiting, stopped, &object);
        let line = off
            .into_iter()
            .chain(first)
            .chain(detaches)
            .chain(config)
            .chain(boot)
            .chain(moves)
            .chain(grows)
            .chain(last)
            .chain(template)
            .chain(after);
        let mut before: Option<DraftId> = made;
        let mut activates = false;
        for mut draft in line {
            draft.needs.extend(before);
            for storage in super::finish::storages_of(&draft.action) {
                draft
                    .needs
                    .extend(self.drafts.opened.get(&storage).copied());
            }
            activates |= activates_pending(&draft.action, guest, stopped);
            before = Some(self.drafts.push(draft));
        }
        if activates {
            let ours = desired.options.keys().cloned();
            let slots = desired.disks.keys().map(ToString::to_string);
            self.others_pending(guest, &ours.chain(slots).collect());
        }
    }

    /// Pending changes that nobody asked for here (`ours` are the keys that were) and that a step of this plan puts in force.
    pub(super) fn others_pending(&mut self, guest: &Guest, ours: &BTreeSet<String>) {
        let object = &guest.entity();
        for pending in &guest.config.pending {
            if ours.contains(&pending.key) {
                continue;
            }
            let before = guest.config.current.get(&pending.key).map(String::as_str);
            self.drafts.change(
                object,
                &pending.key,
                before,
                pending.value.as_deref(),
                "pending already, not asked for by the document; this plan puts it in force",
            );
            self.drafts.notes.insert(format!(
                "{object}: somebody's pending change comes into force with this plan: {}{}",
                difference(&pending.key, before, pending.value.as_deref()),
                if pending.force {
                    "; its volume is freed for good"
                } else {
                    ""
                }
            ));
        }
    }
}

/// Whether a step puts everything in force that is pending (Proxmox VE: a write to a stopped VM applies all pending entries, as a
/// start does; a write to a container applies only what it touches).
pub(super) fn activates_pending(action: &Action, guest: &Guest, stopped: bool) -> bool {
    use crate::ids::GuestKind;
    use crate::world::PowerAction;
    if guest.config.pending.is_empty() {
        return false;
    }
    match action {
        Action::UpdateConfig { .. } | Action::DetachDisk { .. } => {
            stopped && guest.kind == GuestKind::Qemu
        }
        Action::SetPower { power, .. } => {
            matches!(power, PowerAction::Start | PowerAction::Reboot { .. })
        }
        Action::SetHaState { state, .. } => state == "started",
        Action::Migrate { running, .. } => *running && guest.kind == GuestKind::Lxc,
        Action::CreateGuest { .. }
        | Action::CloneGuest { .. }
        | Action::RestoreGuest { .. }
        | Action::ConvertToTemplate { .. }
        | Action::RegenerateCloudInit { .. }
        | Action::ResizeDisk { .. }
        | Action::MoveDisk { .. }
        | Action::FreeDisk { .. }
        | Action::RemoveHaResource { .. }
        | Action::DestroyGuest { .. }
        | Action::CreateStorage { .. }
        | Action::UpdateStorage { .. }
        | Action::DeleteStorage { .. }
        | Action::DeleteVolume { .. }
        | Action::DownloadImage { .. }
        | Action::DeleteImage { .. }
        | Action::CreatePool { .. }
        | Action::UpdatePool { .. }
        | Action::DeletePool { .. }
        | Action::CreateBackupJob { .. }
        | Action::UpdateBackupJob { .. }
        | Action::DeleteBackupJob { .. }
        | Action::TakeSnapshot { .. }
        | Action::DescribeSnapshot { .. }
        | Action::DeleteSnapshot { .. }
        | Action::CreateReplicationJob { .. }
        | Action::UpdateReplicationJob { .. }
        | Action::BackUpGuest { .. }
        | Action::ProtectBackup { .. }
        | Action::DeleteBackup { .. }
        | Action::DeleteReplicationJob { .. }
        | Action::Account(_)
        | Action::Firewall(_) => false,
    }
}

/// Whether no token may set a key because of what the guest is: the features of a privileged container, `nesting` too.
fn closed(kind: GuestKind, key: &str, unprivileged: &str) -> bool {
    kind == GuestKind::Lxc && key == "features" && boolean(unprivileged) != Some(true)
}
