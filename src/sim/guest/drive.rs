//! Drives of virtual machines and volumes of containers as they stand in configurations. Pure.

use super::conf::Section;
use super::formats as of;
use super::keys;
use super::kind::Kind;
use super::props::{self, Props, Schema};

/// The table of a virtual machine's drive key.
#[must_use]
pub fn schema(key: &str) -> Schema {
    match keys::slot(key).map_or(key, |(name, _)| name) {
        "ide" | "cdrom" => of::IDE,
        "sata" => of::SATA,
        "virtio" => of::VIRTIO,
        "efidisk" => of::EFIDISK,
        "tpmstate" => of::TPMSTATE,
        "unused" => of::VM_UNUSED,
        _ => of::SCSI,
    }
}

/// The table of a container's volume key.
#[must_use]
pub fn mount_schema(key: &str) -> Schema {
    match keys::slot(key).map_or(key, |(name, _)| name) {
        "rootfs" => of::CT_ROOTFS,
        "unused" => of::CT_UNUSED,
        _ => of::CT_MOUNT,
    }
}

/// The table of a volume key of either kind of guest.
#[must_use]
pub fn table(kind: Kind, key: &str) -> Schema {
    match kind {
        Kind::Qemu => schema(key),
        Kind::Lxc => mount_schema(key),
    }
}

/// One volume as a configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// What guest it is of.
    pub kind: Kind,
    /// Its key: `scsi0`, `mp1`, `unused0`.
    pub key: String,
    /// Its fields.
    pub props: Props,
}

impl Drive {
    /// Parses a value.
    #[must_use]
    pub fn parse(kind: Kind, key: &str, value: &str) -> Option<Self> {
        let props = props::parse(table(kind, key), value).ok()?;
        Some(Self {
            kind,
            key: key.into(),
            props,
        })
    }

    fn file_key(&self) -> &'static str {
        match self.kind {
            Kind::Qemu => "file",
            Kind::Lxc => "volume",
        }
    }

    /// The volume id, a path, `none` or `cdrom`.
    #[must_use]
    pub fn file(&self) -> &str {
        self.get(self.file_key()).unwrap_or_default()
    }

    /// Replaces the volume.
    pub fn set_file(&mut self, volid: impl Into<String>) {
        self.props.insert(self.file_key().into(), volid.into());
    }

    /// A field.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&str> {
        self.props.get(field).map(String::as_str)
    }

    /// Sets a field.
    pub fn set(&mut self, field: &str, value: impl Into<String>) {
        self.props.insert(field.into(), value.into());
    }

    /// The value as the configuration holds it.
    #[must_use]
    pub fn print(&self) -> String {
        props::print(table(self.kind, &self.key), &self.props)
    }

    /// Whether it is a CD drive; a cloud-init drive is one.
    #[must_use]
    pub fn is_cdrom(&self) -> bool {
        self.get("media") == Some("cdrom") || matches!(self.file(), "none" | "cdrom")
    }

    /// Whether it is a cloud-init drive.
    #[must_use]
    pub fn is_cloudinit(&self) -> bool {
        let name = self.file().split_once(':').map_or("", |(_, name)| name);
        let last = name.rsplit('/').next().unwrap_or(name);
        self.kind == Kind::Qemu && (name == "cloudinit" || is_cloudinit_name(last))
    }

    /// The storage and the name within it, if it is a volume of a storage.
    #[must_use]
    pub fn volume(&self) -> Option<(&str, &str)> {
        let file = self.file();
        if file.starts_with('/') {
            None
        } else {
            file.split_once(':')
        }
    }

    /// The guest in whose name the volume is.
    #[must_use]
    pub fn owner(&self) -> Option<u32> {
        self.volume()
            .and_then(|(_, name)| super::super::volumes::owner(name))
    }

    /// The size it says, in bytes.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.get("size").and_then(super::size::parse)
    }

    /// What content type its storage must allow.
    #[must_use]
    pub fn content(&self) -> &'static str {
        match self.kind {
            Kind::Lxc => "rootdir",
            Kind::Qemu
                if self
                    .volume()
                    .is_some_and(|(_, name)| name.starts_with("iso/")) =>
            {
                "iso"
            }
            Kind::Qemu => "images",
        }
    }
}

fn is_cloudinit_name(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name);
    let mut parts = stem.split('-');
    parts.next() == Some("vm")
        && parts
            .next()
            .is_some_and(|vmid| vmid.bytes().all(|byte| byte.is_ascii_digit()))
        && parts.next() == Some("cloudinit")
        && parts.next().is_none()
}

/// `STORAGE:SIZE` in a request: a new volume of so many GiB. Answers storage and size text.
#[must_use]
pub fn new_volume(file: &str) -> Option<(&str, &str)> {
    let (storage, size) = file.split_once(':')?;
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let good = match size.split_once('.') {
        Some((whole, fraction)) => number(whole) && number(fraction),
        None => number(size),
    };
    good.then_some((storage, size))
}

/// The volumes in a section, in Proxmox VE's order of slots; `unusedN` last if wanted.
#[must_use]
pub fn drives(kind: Kind, section: &Section, unused: bool) -> Vec<Drive> {
    let order = |key: &str| {
        let (name, number) = keys::slot(key).unwrap_or((key, 0));
        let buses = [
            "ide", "scsi", "virtio", "sata", "efidisk", "tpmstate", "rootfs", "mp", "unused",
        ];
        (buses.iter().position(|bus| *bus == name), number)
    };
    let mut found: Vec<Drive> = section
        .values
        .iter()
        .filter(|(key, _)| keys::is_volume_slot(kind, key) || (unused && keys::is_unused(key)))
        .filter_map(|(key, value)| Drive::parse(kind, key, value))
        .collect();
    found.sort_by_key(|drive| order(&drive.key));
    found
}

/// The devices a virtual machine boots from if nothing says otherwise: its first disk, CD drive and network card.
#[must_use]
pub fn default_boot(section: &Section) -> String {
    let drives = drives(Kind::Qemu, section, false);
    let bootable = |drive: &&Drive| {
        matches!(
            keys::slot(&drive.key),
            Some(("ide" | "sata" | "scsi" | "virtio", _))
        )
    };
    let disk = drives
        .iter()
        .filter(bootable)
        .find(|drive| !drive.is_cdrom());
    let cdrom = drives
        .iter()
        .filter(bootable)
        .find(|drive| drive.is_cdrom());
    let net = (0..32)
        .map(|number| format!("net{number}"))
        .find(|key| section.get(key).is_some());
    let order: Vec<String> = [
        disk.map(|drive| drive.key.clone()),
        cdrom.map(|drive| drive.key.clone()),
        net,
    ]
    .into_iter()
    .flatten()
    .collect();
    boot_order(&order)
}

/// The boot order as a value: `order=scsi0;net0`, and one space for none (as an empty one reads back).
#[must_use]
pub fn boot_order(devices: &[String]) -> String {
    if devices.is_empty() {
        " ".into()
    } else {
        format!("order={}", devices.join(";"))
    }
}

/// The devices in a `boot` value.
#[must_use]
pub fn boot_devices(value: Option<&str>) -> Vec<String> {
    let order = value.and_then(|value| {
        value
            .split(',')
            .find_map(|part| part.strip_prefix("order="))
    });
    order
        .map(|order| {
            order
                .split(';')
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()
        })
        .unwrap_or_default()
}

/// The first free `unusedN`.
#[must_use]
pub fn free_unused(section: &Section) -> Option<String> {
    (0..256)
        .map(|number| format!("unused{number}"))
        .find(|key| section.get(key).is_none())
}

/// Adds a volume as `unusedN`, unless it is one already. Answers the key.
pub fn add_unused(section: &mut Section, volid: &str) -> Option<String> {
    let known = section
        .values
        .iter()
        .find(|(key, value)| keys::is_unused(key) && value.as_str() == volid);
    if let Some((key, _)) = known {
        return Some(key.clone());
    }
    let key = free_unused(section)?;
    section.set(key.clone(), volid);
    Some(key)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_a_new_volume_is_storage_and_size() {
        assert_eq!(new_volume("local-lvm:32"), Some(("local-lvm", "32")));
        assert_eq!(new_volume("local:0.5"), Some(("local", "0.5")));
        assert_eq!(new_volume("local:vm-100-disk-0"), None);
        assert_eq!(new_volume("local:99/vm-99-disk-0.raw"), None);
    }

    #[test]
    fn the_default_boot_order_is_disk_cdrom_network() {
        let mut main = Section::default();
        main.set("net0", "virtio,bridge=vmbr0");
        main.set("ide2", "local:102/vm-102-cloudinit.qcow2,media=cdrom");
        main.set("efidisk0", "local:102/vm-102-disk-0.raw,size=528K");
        assert_eq!(default_boot(&main), "order=ide2;net0");
        main.set("scsi1", "local:100/vm-100-disk-0.raw,size=1G");
        assert_eq!(default_boot(&main), "order=scsi1;ide2;net0");
        assert_eq!(default_boot(&Section::default()), " ");
    }

    #[test]
    fn cloud_init_drives_are_known_by_their_name() {
        let drive = |value| Drive::parse(Kind::Qemu, "ide2", value).unwrap();
        assert!(drive("local:102/vm-102-cloudinit.qcow2,media=cdrom").is_cloudinit());
        assert!(drive("local:cloudinit").is_cloudinit());
        assert!(!drive("local:iso/cloudinit.iso,media=cdrom").is_cloudinit());
    }
}
