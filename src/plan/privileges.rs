//! What the controller's token needs for a step, and whether it has it. From Proxmox VE 9's own checks in qemu-server,
//! pve-container, pve-storage and pve-manager.

mod account;

use std::collections::BTreeSet;

use super::model::Privilege;
use crate::document::desired::ImageSource;
use crate::ids::{GuestKind, NodeName, StorageId, Vmid, VolumeId};
use crate::proxmox::property::{Domain, PropertyMap, boolean};
use crate::proxmox::schema::{KeyPrivilege, keys, privilege};
use crate::world::predict::{cloned_section, restored_to};
use crate::world::views;
use crate::world::{Action, Guest, Param, Params, Section, Site, World};

/// Any one of these would do; the first is named if there is none.
type Choice = Vec<Privilege>;

/// The privileges of an action: those the token has where it has a choice, the usual ones where it lacks them all.
pub(super) fn privileges(action: &Action, world: &World) -> BTreeSet<Privilege> {
    choices(action, world)
        .into_iter()
        .filter_map(|choice| {
            choice
                .iter()
                .find(|privilege| world.may(&privilege.path, &privilege.privilege))
                .or(choice.first())
                .cloned()
        })
        .collect()
}

fn one(path: impl Into<String>, privilege: &str) -> Privilege {
    Privilege {
        path: path.into(),
        privilege: privilege.to_owned(),
    }
}

fn on_guest(vmid: Vmid, privilege: &str) -> Choice {
    vec![one(format!("/vms/{vmid}"), privilege)]
}

fn space(storage: &StorageId) -> Choice {
    vec![one(
        format!("/storage/{storage}"),
        "Datastore.AllocateSpace",
    )]
}

fn choices(action: &Action, world: &World) -> Vec<Choice> {
    match action {
        Action::CreateGuest {
            kind,
            vmid,
            pool,
            params,
            ..
        } => {
            let mut allocate = on_guest(*vmid, "VM.Allocate");
            if let Some(pool) = pool {
                allocate.push(one(format!("/pool/{pool}"), "VM.Allocate"));
            }
            let mut all = vec![allocate];
            let pool = pool.as_ref().map(|pool| format!("/pool/{pool}"));
            for (key, param) in params.iter().filter(|(key, _)| is_key(*kind, key)) {
                let value = plain(param);
                all.extend(for_key(*kind, *vmid, key, value, pool.as_deref()));
            }
            if *kind == GuestKind::Lxc
                && params.get("unprivileged").and_then(plain).and_then(boolean) == Some(false)
            {
                all.push(vec![one("/", "Sys.Modify")]);
            }
            all.extend(for_values(*kind, *vmid, params, world));
            all
        }
        Action::CloneGuest {
            vmid,
            source,
            snapshot,
            pool,
            storage,
            full,
            ..
        } => {
            let mut allocate = on_guest(*vmid, "VM.Allocate");
            if let Some(pool) = pool {
                allocate.push(one(format!("/pool/{pool}"), "VM.Allocate"));
            }
            let mut all = vec![on_guest(*source, "VM.Clone"), allocate];
            all.extend(storage.as_ref().filter(|_| *full).map(space));
            if let Some(guest) = world.guests.get(source) {
                let section = cloned_section(guest, snapshot.as_ref());
                let section = section.unwrap_or(&guest.config.current);
                let storage = storage.as_ref().filter(|_| *full);
                all.extend(cloned(guest, section, storage, world));
            }
            all
        }
        Action::RestoreGuest {
            kind,
            vmid,
            node,
            pool,
            archive,
            storage,
            unique: _,
            config,
        } => {
            let mut allocate = on_guest(*vmid, "VM.Allocate");
            if let Some(pool) = pool {
                allocate.push(one(format!("/pool/{pool}"), "VM.Allocate"));
            }
            let mut all = vec![allocate];
            all.extend(of_backup(*vmid, node, archive, world));
            let storages: BTreeSet<StorageId> = restored_to(*kind, config, storage.as_ref())
                .into_iter()
                .chain(storage.clone())
                .collect();
            all.extend(storages.iter().map(space));
            for nic in views::nics(config) {
                if let Some(bridge) = nic.bridge.as_deref() {
                    all.push(bridge_choice(bridge, nic.tag.as_deref(), world));
                }
            }
            all.extend(
                config
                    .iter()
                    .filter_map(|(key, value)| mapping(*kind, key, value)),
            );
            let unprivileged = config.get("unprivileged").map_or("0", String::as_str);
            if *kind == GuestKind::Lxc && boolean(unprivileged) != Some(true) {
                all.push(vec![one("/", "Sys.Modify")]);
            }
            all
        }
        Action::ConvertToTemplate { vmid, .. } => vec![on_guest(*vmid, "VM.Allocate")],
        Action::RegenerateCloudInit { vmid } => vec![on_guest(*vmid, "VM.Config.Cloudinit")],
        Action::UpdateConfig {
            kind,
            vmid,
            set,
            delete,
        } => {
            let now = world.guests.get(vmid).map(|guest| &guest.config.current);
            let old = |key: &str| now.and_then(|now| now.get(key)).map(String::as_str);
            let mut all = Vec::new();
            for (key, param) in set {
                all.extend(for_key(*kind, *vmid, key, plain(param), None));
                // What is replaced is asked about as what replaces it: a medium in place of a disk takes both.
                if old(key).is_some() {
                    all.extend(for_key(*kind, *vmid, key, old(key), None));
                }
            }
            for key in delete {
                all.extend(for_key(*kind, *vmid, key, old(key), None));
            }
            all.extend(for_values(*kind, *vmid, set, world));
            // A card that is taken from a bridge needs the privilege on that bridge too.
            let cards: Params = set
                .keys()
                .chain(delete)
                .filter(|key| views::is_nic_key(key))
                .filter_map(|key| Some((key.clone(), Param::Plain(old(key)?.to_owned()))))
                .collect();
            all.extend(for_values(*kind, *vmid, &cards, world));
            // The call itself asks for any one of these first, whatever it is to change.
            let door = door(*kind);
            let opens =
                |choice: &Choice| choice.iter().all(|p| door.contains(&p.privilege.as_str()));
            if !all.iter().any(opens) {
                let path = format!("/vms/{vmid}");
                all.push(
                    door.iter()
                        .map(|privilege| one(path.clone(), privilege))
                        .collect(),
                );
            }
            all
        }
        Action::ResizeDisk { vmid, slot, .. } => {
            let mut all = vec![on_guest(*vmid, "VM.Config.Disk")];
            let storage = world
                .guests
                .get(vmid)
                .and_then(|guest| {
                    let value = guest.config.current.get(slot.as_str())?;
                    views::disk(guest.kind, slot.as_str(), value)
                })
                .and_then(|disk| disk.source.volume().map(|volume| volume.storage().clone()));
            all.extend(storage.as_ref().map(space));
            all
        }
        Action::MoveDisk { vmid, to, .. } => vec![on_guest(*vmid, "VM.Config.Disk"), space(to)],
        Action::DetachDisk { vmid, .. } => vec![on_guest(*vmid, "VM.Config.Disk")],
        Action::FreeDisk {
            kind, vmid, volume, ..
        } => {
            let mut all = vec![on_guest(*vmid, "VM.Config.Disk")];
            if *kind == GuestKind::Qemu {
                all.push(space(volume.storage()));
            }
            all
        }
        Action::SetPower { vmid, .. } => vec![on_guest(*vmid, "VM.PowerMgmt")],
        Action::SetHaState { .. } | Action::RemoveHaResource { .. } => {
            vec![vec![one("/", "Sys.Console")]]
        }
        Action::Migrate {
            vmid,
            target_storage,
            ..
        } => {
            let mut all = vec![on_guest(*vmid, "VM.Migrate")];
            if !target_storage.is_empty() {
                all.push(on_guest(*vmid, "VM.Config.Disk"));
                all.extend(target_storage.values().map(space));
            }
            all
        }
        Action::DestroyGuest { vmid, .. } => vec![on_guest(*vmid, "VM.Allocate")],
        Action::BackUpGuest { vmid, storage, .. } => {
            vec![on_guest(*vmid, "VM.Backup"), space(storage)]
        }
        Action::ProtectBackup { volume, .. } | Action::DeleteBackup { volume, .. } => {
            of_a_guest(volume)
        }
        Action::CreateStorage { .. } => vec![vec![one("/storage", "Datastore.Allocate")]],
        Action::UpdateStorage { .. } | Action::DeleteStorage { .. } => {
            vec![vec![one("/storage", "Datastore.Allocate")]]
        }
        Action::DeleteVolume { volume, .. } => vec![vec![one(
            format!("/storage/{}", volume.storage()),
            "Datastore.Allocate",
        )]],
        // Either the newer privilege on the node, or both of the older ones.
        Action::DownloadImage {
            node,
            volume,
            source,
        } => {
            let network = one(format!("/nodes/{node}"), "Sys.AccessNetwork");
            if let ImageSource::Registry(_) = source {
                let storage = format!("/storage/{}", volume.storage());
                let template = one(storage, "Datastore.AllocateTemplate");
                return vec![vec![template], vec![network]];
            }
            vec![
                vec![one(
                    format!("/storage/{}", volume.storage()),
                    "Datastore.AllocateTemplate",
                )],
                vec![network.clone(), one("/", "Sys.Modify")],
                vec![network, one("/", "Sys.Audit")],
            ]
        }
        Action::DeleteImage { volume, .. } => vec![vec![one(
            format!("/storage/{}", volume.storage()),
            "Datastore.Allocate",
        )]],
        Action::Account(action) => account::choices(action, world),
        Action::CreatePool { id, .. } | Action::DeletePool { id } => {
            vec![vec![one(format!("/pool/{id}"), "Pool.Allocate")]]
        }
        Action::UpdatePool {
            id,
            comment: _,
            guests_add,
            guests_remove,
            storages_add,
            storages_remove,
        } => {
            let mut all = vec![vec![one(format!("/pool/{id}"), "Pool.Allocate")]];
            for vmid in guests_add.union(guests_remove) {
                let path = format!("/vms/{vmid}");
                all.push(vec![
                    one(path.clone(), "VM.Allocate"),
                    one(path, "Permissions.Modify"),
                ]);
            }
            // A guest that comes from another pool leaves that one.
            let left = guests_add
                .iter()
                .filter_map(|vmid| world.guests.get(vmid)?.pool.as_ref())
                .filter(|pool| *pool != id);
            for pool in left {
                all.push(vec![one(format!("/pool/{pool}"), "Pool.Allocate")]);
            }
            for storage in storages_add.union(storages_remove) {
                let path = format!("/storage/{storage}");
                all.push(vec![
                    one(path.clone(), "Datastore.Allocate"),
                    one(path, "Permissions.Modify"),
                ]);
            }
            all
        }
        Action::CreateBackupJob { params, .. } => job(params, !params.contains_key("storage")),
        Action::UpdateBackupJob { set, delete, .. } => job(set, delete.contains("storage")),
        Action::DeleteBackupJob { .. } => job(&Params::new(), false),
        Action::TakeSnapshot { vmid, .. }
        | Action::DescribeSnapshot { vmid, .. }
        | Action::DeleteSnapshot { vmid, .. } => vec![on_guest(*vmid, "VM.Snapshot")],
        Action::Firewall(action) => vec![match action.site() {
            Site::Cluster => vec![one("/", "Sys.Modify")],
            Site::Node { node } => vec![one(format!("/nodes/{node}"), "Sys.Modify")],
            Site::Guest { vmid, .. } => on_guest(*vmid, "VM.Config.Network"),
            Site::Vnet { vnet } => {
                let known = world.firewalls.vnets.as_ref().ok();
                let known = known.and_then(|vnets| vnets.get(vnet));
                let path = match known {
                    Some(known) => format!("/sdn/zones/{}/{vnet}", known.zone),
                    // Its zone is not known, but it is in one.
                    None => "/sdn/zones".to_owned(),
                };
                vec![one(path, "SDN.Allocate")]
            }
        }],
        Action::CreateReplicationJob { id, .. }
        | Action::UpdateReplicationJob { id, .. }
        | Action::DeleteReplicationJob { id } => {
            let guest = id.guest().into_iter();
            guest.map(|vmid| on_guest(vmid, "VM.Replicate")).collect()
        }
    }
}

/// What a clone takes on account of what its source has: room on each storage it writes to, and its bridges.
fn cloned(
    source: &Guest,
    section: &Section,
    storage: Option<&StorageId>,
    world: &World,
) -> Vec<Choice> {
    let disks = views::disks(source.kind, section);
    let written = disks.iter().filter(|disk| !disk.unused());
    let own = written.filter_map(|disk| match &disk.source {
        views::Source::Volume(volume) | views::Source::CloudInit(volume) => Some(volume.storage()),
        views::Source::Cdrom(_) | views::Source::Empty | views::Source::Path(_) => None,
    });
    let storages: BTreeSet<&StorageId> = own.map(|own| storage.unwrap_or(own)).collect();
    let cards = views::nics(section).into_iter().filter_map(|nic| {
        let bridge = nic.bridge.as_deref()?;
        Some(bridge_choice(bridge, nic.tag.as_deref(), world))
    });
    storages.into_iter().map(space).chain(cards).collect()
}

/// What reading a backup takes: nothing for a guest's own number, else the right to back up the guest it is of and room on its storage,
/// or the whole storage.
fn of_backup(vmid: Vmid, node: &NodeName, archive: &VolumeId, world: &World) -> Vec<Choice> {
    let path = format!("/storage/{}", archive.storage());
    let whole = one(path.clone(), "Datastore.Allocate");
    let storage = world.storages.get(archive.storage());
    let file = storage.and_then(|storage| storage.volume(node, archive));
    match file.and_then(|file| file.vmid) {
        Some(owner) if owner == vmid => Vec::new(),
        Some(owner) => vec![
            vec![one(path, "Datastore.AllocateSpace"), whole.clone()],
            vec![one(format!("/vms/{owner}"), "VM.Backup"), whole],
        ],
        None => vec![vec![whole]],
    }
}

/// What changing and deleting a backup takes: the right to back up the guest it is of and room on its storage, or the whole storage.
fn of_a_guest(volume: &VolumeId) -> Vec<Choice> {
    let path = format!("/storage/{}", volume.storage());
    let whole = one(path.clone(), "Datastore.Allocate");
    match views::backed_up(volume) {
        Some(owner) => vec![
            vec![one(path, "Datastore.AllocateSpace"), whole.clone()],
            vec![one(format!("/vms/{owner}"), "VM.Backup"), whole],
        ],
        None => vec![vec![whole]],
    }
}

/// What a backup job takes: the whole cluster, the storage it writes to (`local` where none is said), and room for fleecing.
fn job(params: &Params, default_storage: bool) -> Vec<Choice> {
    let mut all = vec![vec![one("/", "Sys.Modify")]];
    let storage = params.get("storage").and_then(plain);
    if let Some(storage) = storage.or(default_storage.then_some("local")) {
        all.push(vec![one(
            format!("/storage/{storage}"),
            "Datastore.Allocate",
        )]);
    }
    let fleecing = params.get("fleecing").and_then(plain);
    let fleecing = fleecing
        .and_then(|text| PropertyMap::parse(Domain::BackupJob, "fleecing", text).ok())
        .and_then(|fleecing| fleecing.get("storage").map(str::to_owned));
    if let Some(storage) = fleecing {
        all.push(vec![one(
            format!("/storage/{storage}"),
            "Datastore.AllocateSpace",
        )]);
    }
    all
}

/// The privileges of which a change of a configuration takes any one, besides what its keys take.
fn door(kind: GuestKind) -> &'static [&'static str] {
    const BOTH: [&str; 5] = [
        "VM.Config.Options",
        "VM.Config.Disk",
        "VM.Config.CPU",
        "VM.Config.Memory",
        "VM.Config.Network",
    ];
    const MACHINE: [&str; 8] = [
        "VM.Config.Options",
        "VM.Config.Disk",
        "VM.Config.CDROM",
        "VM.Config.CPU",
        "VM.Config.Memory",
        "VM.Config.Network",
        "VM.Config.HWType",
        "VM.Config.Cloudinit",
    ];
    match kind {
        GuestKind::Qemu => &MACHINE,
        GuestKind::Lxc => &BOTH,
    }
}

/// Whether a parameter of a creation is a configuration key; the others (`ostemplate`, `unprivileged`, …) take no privilege of
/// their own.
fn is_key(kind: GuestKind, key: &str) -> bool {
    let (stem, index) = crate::proxmox::schema::split_index(key);
    let only_at_creation = matches!(
        key,
        "ostemplate"
            | "unprivileged"
            | "password"
            | "ssh-public-keys"
            | "storage"
            | "arch"
            | "ostype"
    ) && kind == GuestKind::Lxc;
    !only_at_creation
        && keys(Domain::from(kind)).iter().any(|spec| {
            spec.stem == key || (index.is_some() && spec.stem == stem && spec.max_index.is_some())
        })
}

fn plain(param: &Param) -> Option<&str> {
    match param {
        Param::Plain(value) => Some(value),
        Param::Secret { .. } => None,
    }
}

/// What a key takes; of a drive the value says whether it is a disk or a medium.
fn for_key(
    kind: GuestKind,
    vmid: Vmid,
    key: &str,
    value: Option<&str>,
    pool: Option<&str>,
) -> Vec<Choice> {
    let path = format!("/vms/{vmid}");
    let on = |privilege: &str| -> Choice {
        std::iter::once(one(path.clone(), privilege))
            .chain(pool.map(|pool| one(pool, privilege)))
            .collect()
    };
    if let Some(privilege) = value.and_then(|value| drive(kind, key, value)) {
        return vec![on(privilege)];
    }
    match privilege(kind, key) {
        KeyPrivilege::AnyOf(any) => vec![any.iter().flat_map(|privilege| on(privilege)).collect()],
        KeyPrivilege::AllOf(all) => all
            .iter()
            .map(|(path, privilege)| match path {
                Some(path) => vec![one(*path, privilege)],
                None => on(privilege),
            })
            .collect(),
        // Refused as a problem of the document before any step is made.
        KeyPrivilege::RootOnly(_) => Vec::new(),
    }
}

/// What the drive of a virtual machine takes: for a CD drive, the one of cloud-init too, the privilege for media, else the one for
/// disks. `None` if it is no drive.
fn drive(kind: GuestKind, key: &str, value: &str) -> Option<&'static str> {
    let (stem, index) = crate::proxmox::schema::split_index(key);
    if kind != GuestKind::Qemu
        || index.is_none()
        || !matches!(stem, "ide" | "sata" | "scsi" | "virtio")
    {
        return None;
    }
    let disk = views::disk(kind, key, value)?;
    let medium = disk
        .options
        .get("media")
        .is_some_and(|media| media == "cdrom");
    Some(match disk.source {
        views::Source::Cdrom(_) | views::Source::CloudInit(_) | views::Source::Empty => {
            "VM.Config.CDROM"
        }
        views::Source::Volume(_) | views::Source::Path(_) if medium => "VM.Config.CDROM",
        views::Source::Volume(_) | views::Source::Path(_) => "VM.Config.Disk",
    })
}

/// What using a volume takes: a new one its space, a medium its sight, the guest's own nothing, another's the whole storage.
fn for_volume(vmid: Vmid, disk: &views::Disk, volume: &VolumeId) -> Option<Choice> {
    let path = format!("/storage/{}", volume.storage());
    let name = volume.name();
    let new = name == "cloudinit"
        || (!name.is_empty() && name.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
    if new {
        return Some(space(volume.storage()));
    }
    if views::owner(volume) == Some(vmid) {
        return None;
    }
    if matches!(disk.source, views::Source::Cdrom(_)) || views::file_content(volume).is_some() {
        return Some(vec![
            one(path.clone(), "Datastore.AllocateSpace"),
            one(path, "Datastore.Audit"),
        ]);
    }
    Some(vec![one(path, "Datastore.Allocate")])
}

/// What the storages and bridges that values name take.
fn for_values(kind: GuestKind, vmid: Vmid, params: &Params, world: &World) -> Vec<Choice> {
    let mut all = Vec::new();
    for (key, param) in params {
        let Param::Plain(value) = param else { continue };
        if let Some(disk) = views::disk(kind, key, value)
            && let Some(volume) = disk.source.volume()
        {
            all.extend(for_volume(vmid, &disk, volume));
        }
        let import = value
            .split(',')
            .find_map(|part| part.strip_prefix("import-from="))
            .and_then(|volume| volume.split_once(':'));
        if let Some((storage, _)) = import {
            let path = format!("/storage/{storage}");
            all.push(vec![
                one(path.clone(), "Datastore.AllocateSpace"),
                one(path, "Datastore.Audit"),
            ]);
        }
        if key == "ostemplate"
            && let Some((storage, _)) = value.split_once(':')
        {
            let path = format!("/storage/{storage}");
            all.push(vec![
                one(path.clone(), "Datastore.AllocateSpace"),
                one(path, "Datastore.Audit"),
            ]);
        }
        all.extend(mapping(kind, key, value));
        if let Some(nic) = views::nic(key, value)
            && let Some(bridge) = &nic.bridge
        {
            all.push(bridge_choice(bridge, nic.tag.as_deref(), world));
        }
    }
    all
}

/// The use of a cluster-wide mapping of a device or directory, if the value names one.
fn mapping(kind: GuestKind, key: &str, value: &str) -> Option<Choice> {
    let (stem, _) = crate::proxmox::schema::split_index(key);
    let (of, option) = match (kind, stem) {
        (GuestKind::Qemu, "usb") => ("usb", "mapping"),
        (GuestKind::Qemu, "hostpci") => ("pci", "mapping"),
        (GuestKind::Qemu, "virtiofs") => ("dir", "dirid"),
        (GuestKind::Qemu | GuestKind::Lxc, _) => return None,
    };
    let map = PropertyMap::parse(Domain::from(kind), key, value).ok()?;
    let path = format!("/mapping/{of}/{}", map.get(option)?);
    Some(vec![one(path, "Mapping.Use")])
}

/// The use of a bridge, or of a vnet of any zone; a tag may have a path of its own.
fn bridge_choice(bridge: &str, tag: Option<&str>, world: &World) -> Choice {
    let local = format!("/sdn/zones/localnetwork/{bridge}");
    let mut choice = vec![one(local.clone(), "SDN.Use")];
    if let Some(tag) = tag {
        choice.push(one(format!("{local}/{tag}"), "SDN.Use"));
    }
    let vnet = world
        .permissions
        .keys()
        .filter(|path| path.starts_with("/sdn/zones/") && path.split('/').nth(4) == Some(bridge));
    choice.extend(vnet.map(|path| one(path.clone(), "SDN.Use")));
    choice
}
