//! Whether the effect of an action can be seen in a world: how an undetermined write is decided without sending it again.

mod account;

use crate::proxmox::firewall::same_element;
use crate::proxmox::property::{Domain, equivalent};
use crate::world::firewall::{ON_TRIAL, Rule, Scope};
use crate::world::predict::backups_taken;
use crate::world::{
    Action, FirewallAction, Guest, Param, Params, PowerAction, RuleList, Section, Status, World,
    views,
};

/// Whether the world looks as if the action had been done.
pub fn visible(action: &Action, world: &World) -> bool {
    let guest = |vmid| world.guests.get(vmid);
    match action {
        Action::CreateGuest {
            kind, vmid, node, ..
        }
        | Action::CloneGuest {
            kind, vmid, node, ..
        }
        | Action::RestoreGuest {
            kind, vmid, node, ..
        } => guest(vmid).is_some_and(|guest| {
            guest.kind == *kind && guest.node == *node && guest.lock.is_none()
        }),
        Action::ConvertToTemplate { vmid, .. } => {
            guest(vmid).is_some_and(|guest| guest.template && guest.lock.is_none())
        }
        // What is on the drive is not read.
        Action::RegenerateCloudInit { vmid } => guest(vmid).is_some(),
        Action::UpdateConfig {
            kind,
            vmid,
            set,
            delete,
        } => guest(vmid).is_some_and(|guest| {
            let next = guest.config.next_start();
            shows((*kind).into(), &next, set) && delete.iter().all(|key| !next.contains_key(key))
        }),
        Action::ResizeDisk { vmid, slot, to, .. } => guest(vmid)
            .and_then(|guest| size_of(guest, slot.as_str()))
            .is_some_and(|size| size >= to.0),
        Action::MoveDisk { vmid, slot, to, .. } => guest(vmid).is_some_and(|guest| {
            let held = guest.config.current.get(slot.as_str());
            guest.lock.is_none() && held.is_some_and(|value| value.starts_with(&format!("{to}:")))
        }),
        Action::DetachDisk { vmid, slot, .. } | Action::FreeDisk { vmid, slot, .. } => {
            guest(vmid).is_some_and(|guest| !guest.config.next_start().contains_key(slot.as_str()))
        }
        Action::SetPower { vmid, power, .. } => guest(vmid).is_some_and(|guest| match power {
            PowerAction::Start => guest.status == Status::Running,
            PowerAction::Shutdown { .. } | PowerAction::Stop => guest.status == Status::Stopped,
            // Running before and after: only its task can tell.
            PowerAction::Reboot { .. } => {
                guest.status == Status::Running && guest.config.pending.is_empty()
            }
        }),
        Action::SetHaState { vmid, state, .. } => {
            world
                .ha_resources
                .get(vmid)
                .is_some_and(|resource| resource.state == *state)
                && guest(vmid).is_some_and(|guest| match state.as_str() {
                    "started" => guest.status == Status::Running,
                    "stopped" | "disabled" => guest.status == Status::Stopped,
                    _ => true,
                })
        }
        Action::RemoveHaResource { vmid, .. } => !world.ha_resources.contains_key(vmid),
        Action::Migrate { vmid, to, .. } => {
            guest(vmid).is_some_and(|guest| guest.node == *to && guest.lock.is_none())
        }
        Action::DestroyGuest { vmid, .. } => guest(vmid).is_none(),
        Action::CreateStorage { id, .. } => world.storages.contains_key(id),
        Action::UpdateStorage { id, set, delete } => {
            world.storages.get(id).is_some_and(|storage| {
                shows(Domain::Storage, &storage.options, set)
                    && delete.iter().all(|key| !storage.options.contains_key(key))
            })
        }
        Action::DeleteStorage { id } => !world.storages.contains_key(id),
        Action::DownloadImage { node, volume, .. } => world
            .storages
            .get(volume.storage())
            .is_some_and(|storage| storage.volume(node, volume).is_some()),
        Action::DeleteVolume { node, volume } | Action::DeleteImage { node, volume, .. } => world
            .storages
            .get(volume.storage())
            .is_some_and(|storage| storage.volume(node, volume).is_none()),
        Action::CreatePool { id, .. } => world.pools.contains_key(id),
        Action::UpdatePool {
            id,
            comment,
            guests_add,
            guests_remove,
            storages_add,
            storages_remove,
        } => world.pools.get(id).is_some_and(|pool| {
            comment
                .as_ref()
                .is_none_or(|comment| pool.comment.as_deref().unwrap_or("") == comment)
                && guests_add.is_subset(&pool.guests)
                && guests_remove.is_disjoint(&pool.guests)
                && storages_add.is_subset(&pool.storages)
                && storages_remove.is_disjoint(&pool.storages)
        }),
        Action::DeletePool { id } => !world.pools.contains_key(id),
        Action::CreateBackupJob { id, params } => world
            .backup_jobs
            .get(id.as_str())
            .is_some_and(|job| shows(Domain::BackupJob, &job.options, params)),
        Action::UpdateBackupJob { id, set, delete } => {
            world.backup_jobs.get(id.as_str()).is_some_and(|job| {
                let gone = |key: &String| {
                    let found = job.options.get(key).map(String::as_str);
                    views::same_job_option(key, found, None)
                };
                shows(Domain::BackupJob, &job.options, set) && delete.iter().all(gone)
            })
        }
        Action::DeleteBackupJob { id } => !world.backup_jobs.contains_key(id.as_str()),
        Action::TakeSnapshot {
            vmid, name, memory, ..
        } => guest(vmid).is_some_and(|guest| {
            let taken = guest.config.snapshots.get(name.as_str());
            guest.lock.is_none()
                && taken.is_some_and(|taken| {
                    taken.state.is_none() && taken.section.contains_key("vmstate") == *memory
                })
        }),
        Action::DescribeSnapshot {
            vmid,
            name,
            description,
            ..
        } => guest(vmid)
            .and_then(|guest| guest.config.snapshots.get(name.as_str()))
            .is_some_and(|snapshot| {
                let text = snapshot.section.get("description");
                text.map_or("", |text| text.trim_end()) == description
            }),
        Action::DeleteSnapshot { vmid, name, .. } => {
            guest(vmid).is_none_or(|guest| !guest.config.snapshots.contains_key(name.as_str()))
        }
        Action::CreateReplicationJob { id, target, params } => {
            world.replication_jobs.get(id.as_str()).is_some_and(|job| {
                let asked = shows(Domain::ReplicationJob, &job.options, params);
                job.target == *target && !job.removing && asked
            })
        }
        Action::UpdateReplicationJob { id, set, delete } => {
            world.replication_jobs.get(id.as_str()).is_some_and(|job| {
                let gone = |key: &String| {
                    let found = job.options.get(key).map(String::as_str);
                    views::same_replication_option(key, found, None)
                };
                shows(Domain::ReplicationJob, &job.options, set) && delete.iter().all(gone)
            })
        }
        Action::BackUpGuest {
            vmid,
            node,
            storage,
            notes,
            ..
        } => !backups_taken(world, node, storage, *vmid, notes).is_empty(),
        Action::ProtectBackup {
            node,
            volume,
            protected,
        } => world
            .storages
            .get(volume.storage())
            .and_then(|storage| storage.volume(node, volume))
            .is_some_and(|file| file.protected == *protected),
        Action::DeleteBackup { node, volume } => world
            .storages
            .get(volume.storage())
            .is_some_and(|storage| storage.volume(node, volume).is_none()),
        Action::Firewall(action) => firewall(action, world),
        // It is gone only after the next run on the guest's node, which may be down; the mark is what the call leaves.
        Action::DeleteReplicationJob { id } => {
            let job = world.replication_jobs.get(id.as_str());
            job.is_none_or(|job| job.removing)
        }
        Action::Account(action) => account::visible(action, world),
    }
}

fn rules<'s>(scope: &'s Scope, list: &RuleList) -> &'s [Rule] {
    match list {
        RuleList::Rules => &scope.rules,
        RuleList::Group(name) => scope.group(name).map_or(&[], |group| &group.rules),
    }
}

/// Whether a rule has these fields.
fn has(rule: &Rule, fields: &Section) -> bool {
    fields.iter().all(|(key, value)| match key.as_str() {
        "enable" => rule.enabled() == (value != "0"),
        "source" | "dest" => rule.fields.get(key).is_some_and(|found| {
            let (mut found, mut asked) = (found.split(','), value.split(','));
            loop {
                match (found.next(), asked.next()) {
                    (None, None) => break true,
                    (Some(found), Some(asked)) if same_element(found, asked) => {}
                    _ => break false,
                }
            }
        }),
        // Proxmox VE writes it as it knows it.
        "macro" => rule
            .fields
            .get(key)
            .is_some_and(|found| found.eq_ignore_ascii_case(value)),
        _ => rule.fields.get(key).map_or("", String::as_str) == value,
    })
}

/// Whether a firewall looks as if an action had been done to it.
fn firewall(action: &FirewallAction, world: &World) -> bool {
    let Ok(scope) = world.firewalls.scope(&action.site().place()) else {
        return false;
    };
    let entry = |name: &str, cidr: &str| {
        let set = scope.ipsets.get(name);
        let mut entries = set.into_iter().flat_map(|set| &set.entries);
        entries.find(|entry| same_element(&entry.cidr, cidr))
    };
    let said = |comment: &Option<String>| comment.clone().unwrap_or_default();
    match action {
        FirewallAction::CreateAlias {
            name,
            cidr,
            comment,
            ..
        }
        | FirewallAction::UpdateAlias {
            name,
            cidr,
            comment,
            ..
        } => scope.alias(name).is_some_and(|alias| {
            same_element(&alias.cidr, cidr) && said(&alias.comment) == said(comment)
        }),
        FirewallAction::DeleteAlias { name, .. } => scope.alias(name).is_none(),
        FirewallAction::CreateIpSet { name, .. } => scope.ipsets.contains_key(name),
        FirewallAction::DescribeIpSet { name, comment, .. } => scope
            .ipsets
            .get(name)
            .is_some_and(|set| said(&set.comment) == *comment),
        FirewallAction::AddIpSetEntry { name, element, .. }
        | FirewallAction::UpdateIpSetEntry { name, element, .. } => entry(name, &element.cidr)
            .is_some_and(|entry| {
                entry.nomatch == element.nomatch && said(&entry.comment) == said(&element.comment)
            }),
        FirewallAction::RemoveIpSetEntry { name, cidr, .. } => entry(name, cidr).is_none(),
        FirewallAction::DeleteIpSet { name, .. } => !scope.ipsets.contains_key(name),
        FirewallAction::CreateGroup { name, .. } => scope.group(name).is_some(),
        FirewallAction::DescribeGroup { name, comment } => scope
            .group(name)
            .is_some_and(|group| said(&group.comment) == *comment),
        FirewallAction::DeleteGroup { name } => scope.group(name).is_none(),
        FirewallAction::InsertRule {
            list,
            fields,
            length,
            ..
        } => {
            let rules = rules(scope, list);
            rules.len() == length + 1 && rules.first().is_some_and(|rule| has(rule, fields))
        }
        FirewallAction::UpdateRule {
            list,
            position,
            set,
            delete,
            ..
        } => rules(scope, list).get(*position).is_some_and(|rule| {
            has(rule, set) && delete.iter().all(|key| !rule.fields.contains_key(key))
        }),
        FirewallAction::MoveRule {
            list,
            from,
            to,
            rule,
            ..
        } => {
            let rules = rules(scope, list);
            let at = if to > from { to - 1 } else { *to };
            let at = at.min(rules.len().saturating_sub(1));
            rules.get(at).is_some_and(|moved| has(moved, rule))
        }
        FirewallAction::DeleteRule { list, length, .. } => rules(scope, list).len() + 1 == *length,
        FirewallAction::SetOptions { set, delete, .. } => {
            let same = |(key, value): (&String, &String)| scope.options.get(key) == Some(value);
            set.iter().all(same) && delete.iter().all(|key| !scope.options.contains_key(key))
        }
        FirewallAction::BeginTrial { .. } => {
            scope.options.get("enable").is_some_and(|on| on == ON_TRIAL)
        }
        FirewallAction::ConfirmTrial { .. } => {
            scope.options.get("enable").is_some_and(|on| on == "1")
        }
    }
}

/// Whether seeing the effect tells that the action was done. A change of a secret cannot be seen, nor a drive that is made anew: the
/// world looks the same before. Both can be done again.
pub fn tells(action: &Action) -> bool {
    let secret = |set: &Params| {
        set.values()
            .any(|param| matches!(param, Param::Secret { .. }))
    };
    match action {
        Action::UpdateConfig { set, .. } | Action::UpdateStorage { set, .. } => !secret(set),
        Action::RegenerateCloudInit { .. } => false,
        // An older copy of the guest has the same notes: whether one was taken, only its task tells.
        Action::BackUpGuest { .. } => false,
        Action::CreateGuest { .. }
        | Action::CloneGuest { .. }
        | Action::RestoreGuest { .. }
        | Action::ConvertToTemplate { .. }
        | Action::ResizeDisk { .. }
        | Action::MoveDisk { .. }
        | Action::DetachDisk { .. }
        | Action::FreeDisk { .. }
        | Action::SetPower { .. }
        | Action::SetHaState { .. }
        | Action::RemoveHaResource { .. }
        | Action::Migrate { .. }
        | Action::DestroyGuest { .. }
        | Action::CreateStorage { .. }
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
        | Action::ProtectBackup { .. }
        | Action::DeleteBackup { .. }
        | Action::DeleteReplicationJob { .. }
        | Action::Account(_)
        | Action::Firewall(_) => true,
    }
}

/// Whether an action may be sent twice where nobody knows whether it was sent: it changes nothing the second time, and what it does
/// cannot be seen.
pub fn repeatable(action: &Action) -> bool {
    matches!(action, Action::RegenerateCloudInit { .. })
}

fn shows(domain: Domain, section: &Section, set: &Params) -> bool {
    set.iter().all(|(key, param)| match param {
        Param::Plain(value) => section
            .get(key)
            .is_some_and(|found| equivalent(domain, key, found, value)),
        // Never readable: the key being there is all that can be seen.
        Param::Secret { .. } => true,
    })
}

fn size_of(guest: &Guest, slot: &str) -> Option<u64> {
    let value = guest.config.current.get(slot)?;
    let size = value
        .split(',')
        .find_map(|part| part.strip_prefix("size="))?;
    crate::proxmox::size::parse(size).ok().map(|bytes| bytes.0)
}
