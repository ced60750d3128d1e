//! Restoring: one step that makes the guest as it is in a backup, on a node that sees the backup; then it is a guest like any other,
//! and what its document says otherwise are further steps. A guest that is there is never restored over.

use std::collections::{BTreeMap, BTreeSet};

use super::super::draft::{Draft, DraftId, Planner};
use super::super::error::Reason;
use super::super::input::{Item, Ownership, Wanted};
use super::super::words;
use super::clone::kept;
use crate::document::desired::{Desired, DesiredGuest, DesiredRestore, Wish};
use crate::document::restore::backup_kind;
use crate::ids::{GuestKind, NodeName, Vmid, VolumeId};
use crate::proxmox::schema::{root_only, split_index};
use crate::world::predict::left_out;
use crate::world::views::{self, Source};
use crate::world::{Action, Part, Section, Volume, World};

/// The field that problems are told of.
const FIELD: &str = "restoreFrom";

/// The backups whose configuration has to be read to plan these documents, by the node to read it on: those that guests which are
/// not there are to be restored from.
pub fn backups_wanted(
    items: &[Item],
    ownership: &Ownership,
    world: &World,
) -> BTreeSet<(NodeName, VolumeId)> {
    let mut wanted = BTreeSet::new();
    for item in items {
        let Wanted::Present(Desired::Guest(guest)) = &item.wanted else {
            continue;
        };
        let Some(from) = &guest.restore_from else {
            continue;
        };
        let owned = ownership
            .of_document(&item.key, &item.source)
            .and_then(|(_, owned)| owned.vmid);
        if guest
            .vmid
            .or(owned)
            .is_some_and(|vmid| world.guests.contains_key(&vmid))
        {
            continue;
        }
        let mut nodes: Vec<Option<&NodeName>> = guest.nodes.iter().map(Some).collect();
        if nodes.is_empty() {
            nodes.push(guest.node.as_ref());
        }
        for node in nodes {
            if let Ok((node, _)) = place(world, node, &from.volume) {
                wanted.insert((node, from.volume.clone()));
            }
        }
    }
    wanted
}

/// Where a backup is restored: on the wanted node if it sees the backup, else on one that does.
fn place<'w>(
    world: &'w World,
    wanted: Option<&NodeName>,
    volume: &VolumeId,
) -> Result<(NodeName, &'w Volume), Reason> {
    let Some(storage) = world.storages.get(volume.storage()) else {
        let ids = world.storages.keys().map(|id| id.as_str());
        return Err(Reason::NoSuch {
            what: "storage",
            name: volume.storage().to_string(),
            nearest: super::super::nearest(volume.storage().as_str(), ids),
        });
    };
    if storage.disabled {
        let why = format!(
            "storage {} is disabled, so nothing can be read from it",
            storage.id
        );
        return Err(Reason::Refused { why });
    }
    let online = |node: &&NodeName| {
        world
            .nodes
            .get(*node)
            .is_some_and(|node| node.online != Some(false))
    };
    let nodes: Vec<&NodeName> = world
        .nodes
        .keys()
        .filter(|node| storage.on_node(node))
        .filter(online)
        .collect();
    let sees: BTreeMap<&NodeName, &Volume> = nodes
        .iter()
        .filter_map(|node| {
            let found = storage.volume(node, volume)?;
            (found.content == "backup").then_some((*node, found))
        })
        .collect();
    if let Some((node, found)) = wanted.and_then(|node| sees.get_key_value(node)) {
        return Ok(((*node).clone(), *found));
    }
    let mut all = sees.into_iter();
    match (all.next(), all.next()) {
        (Some((node, found)), None) => Ok((node.clone(), found)),
        // It moves to the wanted one afterwards.
        (Some((node, found)), Some(_)) if wanted.is_some() => Ok((node.clone(), found)),
        (Some(_), Some(_)) => Err(Reason::Ambiguous {
            why: "the guest does not exist yet, and the document does not say on which `node` to restore it".to_owned(),
        }),
        (None, _) => {
            // What a shared storage holds is told by the node that could list it.
            let listed = storage.volumes.keys().next().filter(|_| storage.shared);
            let unread = nodes.iter().find_map(|node| {
                let under = listed.unwrap_or(node).clone();
                let part = Part::StorageContent(under, storage.id.clone());
                let why = world.unreadable(&part)?.to_owned();
                Some((part, why))
            });
            match unread {
                Some((part, why)) => Err(Reason::Unreadable {
                    what: part.to_string(),
                    why,
                }),
                None => Err(Reason::NoSuch {
                    what: "backup",
                    name: volume.to_string(),
                    nearest: String::new(),
                }),
            }
        }
    }
}

impl Planner<'_, '_> {
    /// Makes a guest that does not exist by restoring a backup.
    pub(super) fn create_restored(
        &mut self,
        item: &Item,
        desired: &DesiredGuest,
        from: &DesiredRestore,
        vmid: Vmid,
    ) {
        if let Some(node) = &desired.node
            && !self.node_usable(&item.key, node)
        {
            return;
        }
        let placed = place(self.input.world, desired.node.as_ref(), &from.volume);
        let (node, backup) = match placed {
            Ok((node, backup)) => (node, backup.clone()),
            Err(reason) => return self.no_restore(item, reason),
        };
        let Some(config) = self.in_backup(item, desired, from, &node) else {
            return;
        };
        if from.unique && desired.options.contains_key("smbios1") {
            let why = "Proxmox VE gives a guest that is restored with `unique` a uuid of its own in `smbios`, which a change in the same plan would drop; ask for it in the next plan".to_owned();
            let reason = Reason::Refused { why };
            return self.drafts.problem(&item.key, "smbios1", reason);
        }
        let (world, _) = self.as_left(None);
        let pool = match &desired.pool {
            Some(Wish::Set(pool)) => Some(pool.clone()),
            Some(Wish::Remove) | None => None,
        };
        // Its pool may be made by a later part of this plan; nothing here depends on it.
        let mut action = Action::RestoreGuest {
            kind: desired.kind,
            vmid,
            node: node.clone(),
            pool: None,
            archive: from.volume.clone(),
            storage: from.storage.clone(),
            unique: from.unique,
            config: config.clone(),
        };
        let predicted = match world.apply(&action) {
            Ok(predicted) => predicted,
            Err(why) => {
                // What is in a backup may be anybody's text.
                let why = words::clean(&format!("{} cannot be restored so: {why}", from.volume));
                return self.no_restore(item, Reason::Refused { why });
            }
        };
        if let Action::RestoreGuest { pool: joined, .. } = &mut action {
            *joined = pool;
        }
        let notes = self.restore_notes(desired, from, &config, &backup, vmid);
        let made = self.restore_step(desired, from, action, &node, notes);
        self.made_so(item, desired, &predicted, vmid, made);
    }

    fn no_restore(&mut self, item: &Item, reason: Reason) {
        self.drafts.problem(&item.key, FIELD, reason);
    }

    /// The configuration in the backup, if it is known and a token may restore it.
    fn in_backup(
        &mut self,
        item: &Item,
        desired: &DesiredGuest,
        from: &DesiredRestore,
        node: &NodeName,
    ) -> Option<Section> {
        if backup_kind(&from.volume) != Some(desired.kind) {
            let why = format!(
                "{} is no backup of a {}",
                from.volume,
                super::super::resolve::kind_word(desired.kind)
            );
            self.no_restore(item, Reason::Refused { why });
            return None;
        }
        let read = self.input.backups.get(&(node.clone(), from.volume.clone()));
        let config = match read {
            Some(Ok(config)) => config.clone(),
            Some(Err(_)) | None => {
                let what = format!("the configuration in backup {}", from.volume);
                let why = match read {
                    Some(Err(why)) => why.clone(),
                    Some(Ok(_)) | None => "it was not read".to_owned(),
                };
                self.no_restore(item, Reason::Unreadable { what, why });
                return None;
            }
        };
        let mut allowed = true;
        for (key, value) in &config {
            let (stem, _) = split_index(key);
            let asked = match desired.kind {
                GuestKind::Qemu => matches!(stem, "usb" | "hostpci"),
                GuestKind::Lxc => stem == "dev",
            };
            if asked && let Some(rule) = root_only(desired.kind, key, None, Some(value)) {
                let why = format!(
                    "the guest in {} has {key}, which only root@pam restores: {rule}",
                    from.volume
                );
                self.no_restore(item, Reason::Refused { why });
                allowed = false;
            }
        }
        allowed.then_some(config)
    }

    /// What people should know of a restore before it is approved.
    fn restore_notes(
        &self,
        desired: &DesiredGuest,
        from: &DesiredRestore,
        config: &Section,
        backup: &Volume,
        vmid: Vmid,
    ) -> Vec<String> {
        let mut notes = Vec::new();
        let taken = backup
            .created
            .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        notes.push(match taken {
            Some(taken) => format!("everything in it is as of {taken}"),
            None => "when the backup was made is not known".to_owned(),
        });
        let original = backup
            .vmid
            .filter(|original| *original != vmid)
            .and_then(|original| self.input.world.guests.get(&original));
        if let Some(original) = original.filter(|_| !from.unique) {
            notes.push(format!(
                "it has the MAC addresses and the uuid that {} had then; with `unique: true` it gets its own",
                original.entity()
            ));
        }
        let taken_over = kept(desired, config);
        if !taken_over.is_empty() {
            notes.push(words::clean(&format!(
                "it takes over {}",
                taken_over.join(", ")
            )));
        }
        for disk in views::disks(desired.kind, config) {
            let volume = matches!(disk.source, Source::Volume(_)) && !disk.unused();
            let slot = &disk.slot;
            if volume && left_out(desired.kind, &disk) {
                notes.push(format!(
                    "{slot} is not in the backup and does not come back"
                ));
            }
            let saved = disk.options.get("backup").is_some_and(|flag| flag == "1");
            if volume && desired.kind == GuestKind::Lxc && slot.as_str() != "rootfs" && !saved {
                notes.push(format!("{slot} is not in the backup and comes back empty"));
            }
        }
        if config.contains_key("lxc") {
            notes.push(
                "its raw `lxc` options do not come back: only root@pam restores them".to_owned(),
            );
        }
        notes
    }

    fn restore_step(
        &mut self,
        desired: &DesiredGuest,
        from: &DesiredRestore,
        action: Action,
        node: &NodeName,
        notes: Vec<String>,
    ) -> DraftId {
        let object = match action.guest() {
            Some((kind, vmid)) => format!("{}/{vmid}", kind.word()),
            None => String::new(),
        };
        let place = format!("restored from {} on {node}", from.volume);
        self.drafts
            .change(&object, "(object)", None, Some(&place), "the guest is made");
        let needs = super::super::finish::storages_of(&action)
            .iter()
            .filter_map(|storage| self.drafts.opened.get(storage).copied())
            .collect();
        let key = match desired.kind {
            GuestKind::Qemu => "name",
            GuestKind::Lxc => "hostname",
        };
        let name = match &action {
            Action::RestoreGuest { config, .. } => config.get(key),
            _ => None,
        };
        let name = name
            .map(|name| format!(" {}", words::short(name)))
            .unwrap_or_default();
        self.drafts.push(Draft {
            title: format!("restore {object}{name} from {} on {node}", from.volume),
            action,
            node: Some(node.clone()),
            phase: super::super::draft::Phase::Guest,
            needs,
            notes,
        })
    }
}
