//! Which privileges documents take: for a plan, for keeping an object as its document says, and for a role that can do all of it.
//! The tables are those the planner itself refuses by (`super::privileges`).

use std::collections::{BTreeMap, BTreeSet};

use super::input::SafetyCopy;
use super::model::{Plan, Privilege};
use super::privileges::privileges;
use crate::document::desired::{
    Desired, DesiredAccount, DesiredDisk, DesiredGuest, Download, ImageSource, Media, Value, Wish,
};
use crate::document::{Kind, schema};
use crate::ids::{
    Bytes, ClusterName, GuestKind, NodeName, PoolId, ReplicationJobId, Slot, SnapshotName,
    StorageId, Vmid, VolumeId,
};
use crate::proxmox::schema::{KeyPrivilege, privilege};
use crate::world::observe::READING;
use crate::world::{AccountAction, Action, Guest, Param, Params, PowerAction, World, views};

/// The privileges a plan's steps take: those the token has where there is a choice, the usual ones where it lacks them all.
pub fn of_plan(plan: &Plan, world: &World) -> BTreeSet<Privilege> {
    plan.steps
        .iter()
        .flat_map(|step| privileges(&step.action, world))
        .collect()
}

/// The privileges of one step.
pub fn of_action(action: &Action, world: &World) -> BTreeSet<Privilege> {
    privileges(action, world)
}

/// The privileges that bringing an object back to what its document says can take, whatever of it drifts. `guest` is the guest the
/// document is about; of an object that is not there yet nothing is said, since a plan makes it. `deletes`: the document asks for its
/// object's deletion when it is removed; `copy`: what is taken of a guest before that.
pub fn of_document(
    desired: &Desired,
    guest: Option<&Guest>,
    deletes: bool,
    copy: Option<&SafetyCopy>,
    world: &World,
) -> BTreeSet<Privilege> {
    let mut actions = Vec::new();
    match desired {
        Desired::Guest(desired) => {
            if let Some(guest) = guest {
                guest_actions(desired, guest, deletes, world, &mut actions);
                if let Some(copy) = copy.filter(|_| deletes) {
                    actions.push(Action::BackUpGuest {
                        kind: guest.kind,
                        vmid: guest.vmid,
                        node: guest.node.clone(),
                        storage: copy.storage.clone(),
                        notes: String::new(),
                    });
                }
            }
        }
        Desired::Storage(storage) if world.storages.contains_key(&storage.id) => {
            actions.push(Action::UpdateStorage {
                id: storage.id.clone(),
                set: Params::new(),
                delete: BTreeSet::new(),
            });
        }
        Desired::Pool(pool) if world.pools.contains_key(&pool.id) => {
            actions.push(Action::UpdatePool {
                id: pool.id.clone(),
                comment: None,
                guests_add: BTreeSet::new(),
                guests_remove: BTreeSet::new(),
                storages_add: BTreeSet::new(),
                storages_remove: BTreeSet::new(),
            });
        }
        Desired::BackupJob(job) => {
            if let Some(live) = world.backup_jobs.get(job.id.as_str()) {
                let mut set = Params::new();
                for (key, wish) in &job.options {
                    if let Wish::Set(value) = wish {
                        set.insert(key.clone(), Param::Plain(plain(value)));
                    }
                }
                views::with_storage(&mut set, live.storage.as_deref());
                actions.push(Action::UpdateBackupJob {
                    id: job.id.clone(),
                    set,
                    delete: BTreeSet::new(),
                });
            }
        }
        Desired::Snapshot(snapshot) => {
            if let Some(guest) = world.guests.get(&snapshot.vmid) {
                actions.push(Action::TakeSnapshot {
                    kind: guest.kind,
                    vmid: guest.vmid,
                    name: snapshot.name.clone(),
                    description: None,
                    memory: snapshot.memory == Some(true),
                });
            }
        }
        Desired::ReplicationJob(job) if world.replication_jobs.contains_key(job.id.as_str()) => {
            actions.push(Action::DeleteReplicationJob { id: job.id.clone() });
        }
        // Where it is gone it is downloaded again; which node does that where none is named, a plan says.
        Desired::Image(image) => {
            if let Some(node) = image
                .node
                .clone()
                .or_else(|| world.nodes.keys().next().cloned())
            {
                actions.push(Action::DownloadImage {
                    node: node.clone(),
                    volume: image.volume.clone(),
                    source: image.source.clone(),
                });
                if deletes {
                    actions.push(Action::DeleteImage {
                        node,
                        volume: image.volume.clone(),
                        source: None,
                    });
                }
            }
        }
        Desired::Account(account) => account_actions(account, deletes, world, &mut actions),
        Desired::ApiToken(token) => actions.push(Action::Account(AccountAction::DeleteToken {
            id: token.id.clone(),
        })),
        Desired::FirewallAlias(_)
        | Desired::IpSet(_)
        | Desired::SecurityGroup(_)
        | Desired::Firewall(_) => {
            actions.extend(super::firewall::sample(desired, world).map(Action::Firewall));
        }
        Desired::Storage(_) | Desired::Pool(_) | Desired::ReplicationJob(_) => {}
    }
    actions
        .iter()
        .flat_map(|action| privileges(action, world))
        .collect()
}

/// What keeps an account as its document says, if it is there.
fn account_actions(
    account: &DesiredAccount,
    deletes: bool,
    world: &World,
    actions: &mut Vec<Action>,
) {
    let mut all = Vec::new();
    match account {
        DesiredAccount::Group(group) if world.groups.contains_key(group.id.as_str()) => {
            all.push(AccountAction::DeleteGroup {
                id: group.id.clone(),
            });
        }
        DesiredAccount::User(user) if world.users.contains_key(user.id.as_str()) => {
            let groups = user.groups.iter().flatten().map(ToString::to_string);
            let groups: Vec<String> = groups.collect();
            all.push(AccountAction::UpdateUser {
                id: user.id.clone(),
                set: [("groups".to_owned(), Param::Plain(groups.join(",")))].into(),
            });
            if deletes {
                all.push(AccountAction::DeleteUser {
                    id: user.id.clone(),
                });
            }
        }
        DesiredAccount::Role(role) if world.roles.contains_key(role.id.as_str()) => {
            all.push(AccountAction::DeleteRole {
                id: role.id.clone(),
            });
        }
        DesiredAccount::Rule(rule) => all.push(AccountAction::Grant {
            path: rule.id.path.clone(),
            subject: rule.id.subject.clone(),
            roles: rule.roles.clone(),
            propagate: rule.propagate,
        }),
        DesiredAccount::Realm(realm) => all.push(AccountAction::UpdateRealm {
            id: realm.id.clone(),
            set: Params::new(),
            delete: BTreeSet::new(),
        }),
        DesiredAccount::Group(_) | DesiredAccount::User(_) | DesiredAccount::Role(_) => {}
    }
    actions.extend(all.into_iter().map(Action::Account));
}

fn guest_actions(
    desired: &DesiredGuest,
    guest: &Guest,
    deletes: bool,
    world: &World,
    actions: &mut Vec<Action>,
) {
    let (kind, vmid) = (guest.kind, guest.vmid);
    let mut set = Params::new();
    let mut delete = BTreeSet::new();
    for (key, wish) in &desired.options {
        match wish {
            Wish::Remove => {
                delete.insert(key.clone());
            }
            Wish::Set(value) => {
                set.insert(key.clone(), Param::Plain(plain(value)));
            }
        }
    }
    for (slot, wish) in &desired.disks {
        match wish {
            Wish::Remove => {
                delete.insert(slot.to_string());
            }
            Wish::Set(disk) => {
                let live = guest.config.current.get(slot.as_str());
                let value = live.cloned().or_else(|| new_value(disk));
                set.insert(slot.to_string(), Param::Plain(value.unwrap_or_default()));
                if disk.size.is_some() {
                    actions.push(Action::ResizeDisk {
                        kind,
                        vmid,
                        slot: slot.clone(),
                        from: Bytes(0),
                        to: Bytes(0),
                    });
                }
                actions.extend(a_move(kind, vmid, slot, disk, live));
            }
        }
    }
    if !set.is_empty() || !delete.is_empty() {
        actions.push(Action::UpdateConfig {
            kind,
            vmid,
            set,
            delete,
        });
    }
    if desired.power.is_some() {
        actions.push(match world.ha_resources.get(&vmid) {
            None => Action::SetPower {
                kind,
                vmid,
                power: PowerAction::Start,
            },
            Some(resource) => Action::SetHaState {
                kind,
                vmid,
                state: "started".to_owned(),
                before: resource.state.clone(),
            },
        });
    }
    let wanted = desired.node.as_ref().or_else(|| desired.nodes.first());
    if let Some(node) = wanted.filter(|_| world.nodes.len() > 1) {
        actions.push(Action::Migrate {
            kind,
            vmid,
            from: guest.node.clone(),
            to: node.clone(),
            running: false,
            with_local_disks: false,
            target_storage: desired.target_storage.clone(),
        });
    }
    if deletes {
        actions.push(Action::DestroyGuest {
            kind,
            vmid,
            purge: false,
        });
    }
}

/// A value as text, enough to see what it names.
fn plain(value: &Value) -> String {
    match value {
        Value::Plain(text) => text.clone(),
        Value::Properties { set, .. } => {
            let pairs: Vec<String> = set.iter().map(|(k, v)| format!("{k}={v}")).collect();
            pairs.join(",")
        }
        Value::Secret(_) => String::new(),
    }
}

/// What fills a slot that is empty.
fn new_value(disk: &DesiredDisk) -> Option<String> {
    let volume = disk.volume.as_ref().map(ToString::to_string);
    let new = disk.storage.as_ref().map(|storage| format!("{storage}:1"));
    let media = match disk.media {
        Media::Disk => "",
        Media::Cdrom | Media::CloudInit => ",media=cdrom",
    };
    volume.or(new).map(|first| format!("{first}{media}"))
}

/// The move a disk needs that lies elsewhere.
fn a_move(
    kind: GuestKind,
    vmid: Vmid,
    slot: &Slot,
    disk: &DesiredDisk,
    live: Option<&String>,
) -> Option<Action> {
    let to = disk.storage.clone()?;
    let held = views::disk(kind, slot.as_str(), live?)?;
    let volume = held.source.data()?.clone();
    (*volume.storage() != to).then(|| Action::MoveDisk {
        kind,
        vmid,
        slot: slot.clone(),
        volume,
        to,
        format: None,
    })
}

/// What a role takes that lets a token read a cluster whole and keep guests, storages and pools as documents say: the privileges of
/// every key a document can set and of every action. Not among them is what gives power over the whole cluster and only some documents
/// need: `Sys.Modify` (the start order of a guest, privileged containers, backup jobs, the firewalls of the datacenter and of nodes), `Sys.Console` (guests under high availability),
/// `VM.Backup` (safety copies, where the operator wants them), and what has nodes ask any address, inside a network too:
/// `Sys.AccessNetwork` and `Datastore.AllocateTemplate` (images); nor what keeping accounts takes (`Permissions.Modify`, `User.Modify`,
/// `Group.Allocate`, `Realm.AllocateUser`, `Realm.Allocate`), with which a token can give itself everything.
pub fn role() -> BTreeSet<String> {
    const APART: [&str; 5] = [
        "VM.Backup",
        "Sys.Modify",
        "Sys.Console",
        "Sys.AccessNetwork",
        "Datastore.AllocateTemplate",
    ];
    let mut role: BTreeSet<String> = READING
        .iter()
        .map(|(_, privilege)| (*privilege).to_owned())
        .collect();
    for (kind, of) in [
        (GuestKind::Qemu, Kind::VirtualMachine),
        (GuestKind::Lxc, Kind::Container),
    ] {
        for key in schema::typed_keys(of).keys() {
            let any: Vec<&str> = match privilege(kind, &key.replace("[n]", "0")) {
                KeyPrivilege::AnyOf(any) => any.to_vec(),
                KeyPrivilege::AllOf(all) => all.iter().map(|(_, privilege)| *privilege).collect(),
                KeyPrivilege::RootOnly(_) => Vec::new(),
            };
            role.extend(any.into_iter().map(str::to_owned));
        }
    }
    // Of actions on a world of which nothing is known, the usual privilege of every choice is named.
    if let (Ok(name), Some(samples)) = (ClusterName::new("any"), samples()) {
        let nowhere = World::unread(name, jiff::Timestamp::UNIX_EPOCH);
        let privileges = samples
            .iter()
            .flat_map(|action| privileges(action, &nowhere));
        role.extend(privileges.map(|privilege| privilege.privilege));
    }
    role.retain(|privilege| !APART.contains(&privilege.as_str()));
    role
}

/// An action of each kind. What is asked of values (a storage's space, a bridge, a mapping) is asked of those of `CreateGuest`.
fn samples() -> Option<Vec<Action>> {
    let vmid = Vmid::new(Vmid::MIN).ok()?;
    let node = NodeName::new("any").ok()?;
    let storage = StorageId::new("any").ok()?;
    let pool = PoolId::new("any").ok()?;
    let params = [
        ("scsi0", "any:1"),
        ("net0", "virtio,bridge=vmbr0"),
        ("usb0", "mapping=any"),
        ("hostpci0", "mapping=any"),
        ("virtiofs0", "any"),
    ];
    let kind = GuestKind::Qemu;
    let to = storage.clone();
    Some(vec![
        Action::CreateGuest {
            kind,
            vmid,
            node: node.clone(),
            pool: None,
            params: params
                .iter()
                .map(|(key, value)| ((*key).to_owned(), Param::Plain((*value).to_owned())))
                .collect(),
        },
        Action::CloneGuest {
            kind,
            vmid,
            source: vmid,
            snapshot: None,
            node: node.clone(),
            pool: None,
            name: String::new(),
            full: true,
            storage: Some(storage.clone()),
            format: None,
        },
        Action::RestoreGuest {
            kind,
            vmid,
            node: node.clone(),
            pool: None,
            archive: VolumeId::new(storage.clone(), "backup/vzdump-qemu-101-x.vma.zst"),
            storage: Some(storage.clone()),
            unique: false,
            config: BTreeMap::new(),
        },
        Action::ConvertToTemplate { kind, vmid },
        Action::RegenerateCloudInit { vmid },
        Action::MoveDisk {
            kind,
            vmid,
            slot: Slot::new("scsi0").ok()?,
            volume: VolumeId::new(storage.clone(), "any"),
            to,
            format: None,
        },
        Action::SetPower {
            kind,
            vmid,
            power: PowerAction::Start,
        },
        Action::Migrate {
            kind,
            vmid,
            from: node.clone(),
            to: node.clone(),
            running: false,
            with_local_disks: false,
            target_storage: BTreeMap::new(),
        },
        Action::DestroyGuest {
            kind,
            vmid,
            purge: false,
        },
        Action::BackUpGuest {
            kind,
            vmid,
            node: node.clone(),
            storage: storage.clone(),
            notes: String::new(),
        },
        Action::TakeSnapshot {
            kind,
            vmid,
            name: SnapshotName::new("any").ok()?,
            description: None,
            memory: false,
        },
        Action::DownloadImage {
            node: node.clone(),
            volume: VolumeId::new(storage.clone(), "iso/any.iso"),
            source: ImageSource::Url(Download {
                url: String::new(),
                algorithm: String::new(),
                checksum: String::new(),
                decompression: None,
                verify_certificates: true,
            }),
        },
        Action::CreateStorage {
            id: storage.clone(),
            storage_type: "dir".to_owned(),
            params: Params::new(),
        },
        Action::UpdatePool {
            id: pool.clone(),
            comment: None,
            guests_add: BTreeSet::from([vmid]),
            guests_remove: BTreeSet::new(),
            storages_add: BTreeSet::from([storage]),
            storages_remove: BTreeSet::new(),
        },
        Action::DeletePool { id: pool },
        Action::DeleteReplicationJob {
            id: ReplicationJobId::new(format!("{vmid}-0")).ok()?,
        },
    ])
}
