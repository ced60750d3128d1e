//! Typed views of one section of a guest's configuration: disks, NICs, boot order, references to files. They are computed from the
//! raw text where they are needed and hold nothing back: what is not understood is simply not a disk. They decide nothing.

mod accounts;
mod jobs;
mod names;
mod realms;
mod replication;

use std::collections::BTreeMap;

use crate::ids::{Bytes, GuestKind, Slot, StorageId, VolumeId};
use crate::proxmox::property::is_true;
use crate::proxmox::property::tables::NIC_MODELS;
use crate::proxmox::size;

use super::model::Section;

pub use accounts::{entries_naming, entry_says, groups_of, roles_on, token, user_fields};
pub use jobs::{same_job_option, with_storage};
pub use names::{
    Parent, backed_up, file_content, is_cloudinit, keeps_files, names_tell_parents, owner, parent,
};
pub use realms::{
    REALM_SECRETS, built_in_comment, default_realm, realm_default, realm_setting, realms_differ,
    users_of_realm,
};
pub use replication::{replicated_disk, replicated_disks, replicates, same_replication_option};

/// What stands in a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A volume with data: a disk, EFI variables, TPM state, a root file system, a mount point, saved memory.
    Volume(VolumeId),
    /// A cloud-init drive, which Proxmox VE makes anew at every start.
    CloudInit(VolumeId),
    /// The medium of a CD drive: an ISO image (or a disk volume mounted read-only as CD).
    Cdrom(VolumeId),
    /// An empty CD drive (`none`) or the node's own drive (`cdrom`).
    Empty,
    /// A path of the node itself: a pass-through disk, a bind mount. No storage knows it.
    Path(String),
}

impl Source {
    /// The volume, whatever it is.
    pub fn volume(&self) -> Option<&VolumeId> {
        match self {
            Self::Volume(volume) | Self::CloudInit(volume) | Self::Cdrom(volume) => Some(volume),
            Self::Empty | Self::Path(_) => None,
        }
    }

    /// The volume, if it holds data that is lost with it.
    pub fn data(&self) -> Option<&VolumeId> {
        match self {
            Self::Volume(volume) => Some(volume),
            Self::CloudInit(_) | Self::Cdrom(_) | Self::Empty | Self::Path(_) => None,
        }
    }
}

/// One disk slot of a configuration section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Where: `scsi0`, `efidisk0`, `rootfs`, `mp1`, `unused0`, `vmstate`.
    pub slot: Slot,
    /// What.
    pub source: Source,
    /// The size written in the configuration. For VM disks it is informational: Proxmox VE reads the real one on every write.
    pub size: Option<Bytes>,
    /// Every other property (`cache`, `iothread`, `mp`, …), raw, without `file`/`volume`, `size`.
    pub options: BTreeMap<String, String>,
}

impl Disk {
    /// Whether the slot is `unusedN`: kept for the guest, attached to nothing.
    pub fn unused(&self) -> bool {
        self.slot.as_str().starts_with("unused")
    }
}

/// One network interface of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// Where: `net0`.
    pub slot: Slot,
    /// The bridge or vnet, if it is attached to one.
    pub bridge: Option<String>,
    /// The MAC address.
    pub mac: Option<String>,
    /// The VLAN tag.
    pub tag: Option<String>,
    /// Whether the guest's firewall filters it.
    pub firewall: bool,
    /// Every property, raw (a VM's `virtio=MAC` as `model` and `macaddr`).
    pub options: BTreeMap<String, String>,
}

/// From what a VM starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// From the first of these slots that works (disks, CD drives, NICs, USB and PCI devices), as `boot: order=` says.
    Order(Vec<Slot>),
    /// Nothing says from what: the firmware chooses among the disks.
    Unclear,
}

/// A reference from a configuration to a file or storage that is no disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The key it stands under: `cicustom`, `hookscript`, `vmstatestorage`.
    pub slot: Slot,
    /// What it names.
    pub target: Target,
}

/// What a [`Reference`] names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A volume (a snippet).
    Volume(VolumeId),
    /// A whole storage.
    Storage(StorageId),
}

/// The pieces of a property string: the bare value first, if there is one, then `key=value`.
pub fn properties(text: &str) -> (Option<&str>, impl Iterator<Item = (&str, &str)>) {
    let mut parts = text.split(',').peekable();
    let bare = match parts.peek() {
        Some(first) if !first.contains('=') => parts.next().map(str::trim),
        _ => None,
    };
    let rest = parts.filter_map(|part| part.split_once('=').map(|(k, v)| (k.trim(), v.trim())));
    (bare, rest)
}

fn numbered(key: &str, prefix: &str) -> bool {
    key.strip_prefix(prefix)
        .is_some_and(|n| !n.is_empty() && n.len() <= 3 && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether a configuration key is a disk slot of this kind of guest (`unusedN` and `vmstate` included).
pub fn is_disk_key(kind: GuestKind, key: &str) -> bool {
    match kind {
        GuestKind::Qemu => {
            ["ide", "sata", "scsi", "virtio", "unused"]
                .iter()
                .any(|p| numbered(key, p))
                || matches!(key, "efidisk0" | "tpmstate0" | "vmstate")
        }
        GuestKind::Lxc => key == "rootfs" || numbered(key, "mp") || numbered(key, "unused"),
    }
}

/// Whether a configuration key is a network interface.
pub fn is_nic_key(key: &str) -> bool {
    numbered(key, "net")
}

/// One disk slot, if the key is one and its value can be understood.
pub fn disk(kind: GuestKind, key: &str, value: &str) -> Option<Disk> {
    if !is_disk_key(kind, key) {
        return None;
    }
    let slot = Slot::new(key).ok()?;
    let (bare, rest) = properties(value);
    let mut file = bare;
    let mut size_text = None;
    let mut options = BTreeMap::new();
    for (name, text) in rest {
        match name {
            "file" | "volume" => file = Some(text),
            "size" => size_text = Some(text),
            _ => {
                options.insert(name.to_owned(), text.to_owned());
            }
        }
    }
    let file = file?;
    let cdrom = options.get("media").is_some_and(|media| media == "cdrom");
    let source = match file {
        "none" | "cdrom" => Source::Empty,
        path if path.starts_with('/') => Source::Path(path.to_owned()),
        volume => match volume.parse::<VolumeId>() {
            Ok(volume) if is_cloudinit(&volume) => Source::CloudInit(volume),
            Ok(volume) if cdrom => Source::Cdrom(volume),
            Ok(volume) => Source::Volume(volume),
            Err(_) => Source::Path(volume.to_owned()),
        },
    };
    Some(Disk {
        slot,
        source,
        size: size_text.and_then(|text| size::parse(text).ok()),
        options,
    })
}

/// The slot of a virtual machine's cloud-init drive.
pub fn cloud_init_drive(section: &Section) -> Option<String> {
    let mut all = disks(GuestKind::Qemu, section).into_iter();
    let drive = all.find(|disk| matches!(disk.source, Source::CloudInit(_)))?;
    Some(drive.slot.to_string())
}

/// Every disk slot of a section, in the order of the slots' names.
pub fn disks(kind: GuestKind, section: &Section) -> Vec<Disk> {
    section
        .iter()
        .filter_map(|(key, value)| disk(kind, key, value))
        .collect()
}

/// One network interface, if the key is one.
pub fn nic(key: &str, value: &str) -> Option<Nic> {
    if !is_nic_key(key) {
        return None;
    }
    let slot = Slot::new(key).ok()?;
    let mut options = BTreeMap::new();
    let (bare, rest) = properties(value);
    if let Some(model) = bare {
        options.insert("model".to_owned(), model.to_owned());
    }
    for (name, text) in rest {
        if NIC_MODELS.contains(&name) {
            options.insert("model".to_owned(), name.to_owned());
            options.insert("macaddr".to_owned(), text.to_owned());
        } else {
            options.insert(name.to_owned(), text.to_owned());
        }
    }
    let get = |name: &str| options.get(name).cloned();
    Some(Nic {
        slot,
        bridge: get("bridge"),
        mac: get("macaddr").or_else(|| get("hwaddr")),
        tag: get("tag"),
        firewall: get("firewall").is_some_and(|v| is_true(&v)),
        options,
    })
}

/// Every network interface of a section.
pub fn nics(section: &Section) -> Vec<Nic> {
    section
        .iter()
        .filter_map(|(key, value)| nic(key, value))
        .collect()
}

/// The devices that a value of `boot` names in `order=`, first choice first; none where it is of the old form.
pub fn boot_devices(boot: &str) -> Vec<String> {
    boot.split(',')
        .find_map(|part| part.trim().strip_prefix("order="))
        .unwrap_or_default()
        .split(';')
        .filter(|device| !device.is_empty())
        .map(str::to_owned)
        .collect()
}

/// From what a guest starts. A container starts from `rootfs`. For a VM: `boot: order=…`; else the old `bootdisk`; else, with only
/// one disk, that disk; otherwise nobody says.
pub fn boot(kind: GuestKind, section: &Section) -> Boot {
    if kind == GuestKind::Lxc {
        return Boot::Order(Slot::new("rootfs").into_iter().collect());
    }
    if let Some(text) = section.get("boot") {
        let order = text
            .split(',')
            .find_map(|part| part.trim().strip_prefix("order="));
        if let Some(order) = order {
            return Boot::Order(
                order
                    .split(';')
                    .filter_map(|s| Slot::new(s.trim()).ok())
                    .collect(),
            );
        }
        if text.trim().is_empty() {
            return Boot::Order(Vec::new());
        }
    }
    if let Some(slot) = section
        .get("bootdisk")
        .and_then(|slot| Slot::new(slot.trim()).ok())
    {
        return Boot::Order(vec![slot]);
    }
    let mut system = section.iter().filter_map(|(key, value)| {
        let disk = disk(kind, key, value)?;
        is_system_candidate(&disk).then_some(disk.slot)
    });
    match (system.next(), system.next()) {
        (Some(only), None) => Boot::Order(vec![only]),
        (None, _) => Boot::Order(Vec::new()),
        (Some(_), Some(_)) => Boot::Unclear,
    }
}

/// The slots a guest starts from, first choice first; empty when nothing says. See [`boot`].
pub fn boot_slots(kind: GuestKind, section: &Section) -> Vec<Slot> {
    match boot(kind, section) {
        Boot::Order(slots) => slots,
        Boot::Unclear => Vec::new(),
    }
}

/// Whether an operating system may lie on this disk: a data volume or pass-through disk that is attached as a drive.
pub fn is_system_candidate(disk: &Disk) -> bool {
    matches!(disk.source, Source::Volume(_) | Source::Path(_)) && is_system_slot(&disk.slot)
}

/// Whether a slot is one a system can be attached to (not `unusedN`, EFI variables, TPM state or saved memory).
pub fn is_system_slot(slot: &Slot) -> bool {
    let slot = slot.as_str();
    !slot.starts_with("unused") && !matches!(slot, "efidisk0" | "tpmstate0" | "vmstate")
}

/// Every reference to snippets and storages: `cicustom` (one each for `user`, `network`, `meta`, `vendor`), `hookscript`,
/// `vmstatestorage`.
pub fn references(section: &Section) -> Vec<Reference> {
    let mut found = Vec::new();
    if let (Some(text), Ok(slot)) = (section.get("cicustom"), Slot::new("cicustom")) {
        let (_, rest) = properties(text);
        for (_, volume) in rest {
            if let Ok(volume) = volume.parse() {
                found.push(Reference {
                    slot: slot.clone(),
                    target: Target::Volume(volume),
                });
            }
        }
    }
    if let (Some(text), Ok(slot)) = (section.get("hookscript"), Slot::new("hookscript"))
        && let Ok(volume) = text.trim().parse()
    {
        found.push(Reference {
            slot,
            target: Target::Volume(volume),
        });
    }
    if let (Some(text), Ok(slot)) = (section.get("vmstatestorage"), Slot::new("vmstatestorage"))
        && let Ok(storage) = StorageId::new(text.trim())
    {
        found.push(Reference {
            slot,
            target: Target::Storage(storage),
        });
    }
    found
}

/// Whether a volume is held by a snapshot of a guest.
pub fn in_snapshot(guest: &super::Guest, volume: &VolumeId) -> bool {
    guest.config.snapshots.values().any(|snapshot| {
        disks(guest.kind, &snapshot.section)
            .iter()
            .any(|disk| disk.source.volume() == Some(volume))
    })
}

/// Whether a volume that a snapshot holds can be taken to another node: ZFS sends its snapshots along, and a qcow2 file has them in it
/// (PVE::QemuMigrate, PVE::LXC::Migrate: `non-migratable snapshot exists`).
pub fn takes_snapshots_along(storage_type: &str, volume: &VolumeId) -> bool {
    storage_type == "zfspool" || (keeps_files(storage_type) && volume.name().ends_with(".qcow2"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn section(lines: &[(&str, &str)]) -> Section {
        lines
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn disks_of_a_vm_are_told_apart() {
        let section = section(&[
            ("scsi0", "local-zfs:vm-104-disk-0,iothread=1,size=32G"),
            ("ide2", "local:iso/debian.iso,media=cdrom,size=600M"),
            ("ide0", "none,media=cdrom"),
            ("sata0", "/dev/disk/by-id/x,size=1T"),
            ("ide3", "local-zfs:vm-104-cloudinit,media=cdrom"),
            ("ide1", "local:104/vm-104-cloudinit.qcow2,media=cdrom"),
            (
                "efidisk0",
                "file=local-zfs:vm-104-disk-1,efitype=4m,size=1M",
            ),
            ("unused0", "local-zfs:vm-104-disk-9"),
            ("vmstate", "local-zfs:vm-104-state-a"),
            ("scsihw", "virtio-scsi-single"),
        ]);
        let disks = disks(GuestKind::Qemu, &section);
        let kinds: Vec<(&str, &str)> = disks
            .iter()
            .map(|d| {
                (
                    d.slot.as_str(),
                    match d.source {
                        Source::Volume(_) => "volume",
                        Source::CloudInit(_) => "cloudinit",
                        Source::Cdrom(_) => "cdrom",
                        Source::Empty => "empty",
                        Source::Path(_) => "path",
                    },
                )
            })
            .collect();
        assert_eq!(
            kinds,
            [
                ("efidisk0", "volume"),
                ("ide0", "empty"),
                ("ide1", "cloudinit"),
                ("ide2", "cdrom"),
                ("ide3", "cloudinit"),
                ("sata0", "path"),
                ("scsi0", "volume"),
                ("unused0", "volume"),
                ("vmstate", "volume")
            ]
        );
        let scsi0 = disks.iter().find(|d| d.slot.as_str() == "scsi0").unwrap();
        assert_eq!(scsi0.size, Some(Bytes(32 << 30)));
        assert_eq!(scsi0.options.get("iothread").map(String::as_str), Some("1"));
    }

    #[test]
    fn container_keys_are_not_vm_keys() {
        let section = section(&[
            ("rootfs", "a1:vm-301-disk-0,size=8G"),
            ("mp1", "/srv,mp=/srv"),
            ("scsi0", "a1:x"),
        ]);
        let disks = disks(GuestKind::Lxc, &section);
        assert_eq!(disks.len(), 2);
        assert!(
            disks
                .iter()
                .any(|d| d.source == Source::Path("/srv".to_owned()))
        );
    }

    #[test]
    fn boot_order_in_every_spelling() {
        let of = |lines: &[(&str, &str)]| boot(GuestKind::Qemu, &section(lines));
        let order =
            |slots: &[&str]| Boot::Order(slots.iter().map(|s| Slot::new(s).unwrap()).collect());
        assert_eq!(
            of(&[("boot", "order=scsi0;ide2;net0")]),
            order(&["scsi0", "ide2", "net0"])
        );
        assert_eq!(of(&[("boot", " "), ("scsi0", "aa:x")]), order(&[]));
        assert_eq!(
            of(&[("boot", "cdn"), ("bootdisk", "ide0")]),
            order(&["ide0"])
        );
        assert_eq!(
            of(&[("scsi0", "aa:vm-1-disk-0"), ("ide2", "none,media=cdrom")]),
            order(&["scsi0"])
        );
        assert_eq!(of(&[("scsi0", "aa:x"), ("scsi1", "aa:y")]), Boot::Unclear);
        assert_eq!(boot(GuestKind::Lxc, &Section::new()), order(&["rootfs"]));
    }

    #[test]
    fn references_name_snippets_and_storages() {
        let section = section(&[
            ("cicustom", "user=sn:snippets/u.yml,meta=sn:snippets/m.yml"),
            ("hookscript", "local:snippets/hook.pl"),
            ("vmstatestorage", "ceph"),
        ]);
        assert_eq!(references(&section).len(), 4);
    }

    #[test]
    fn nics_of_both_kinds() {
        let section = section(&[
            (
                "net0",
                "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=5",
            ),
            (
                "net1",
                "name=eth1,bridge=vmbr1,hwaddr=BC:24:11:00:00:02,type=veth",
            ),
        ]);
        let nics = nics(&section);
        assert_eq!(nics.first().unwrap().bridge.as_deref(), Some("vmbr0"));
        assert!(nics.first().unwrap().firewall);
        assert_eq!(
            nics.last().unwrap().mac.as_deref(),
            Some("BC:24:11:00:00:02")
        );
    }
}
