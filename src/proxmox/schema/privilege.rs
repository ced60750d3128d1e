//! Who may change which key: the privilege Proxmox VE asks for, and what it gives to nobody but `root@pam` itself (a token of
//! `root@pam` is not `root@pam`). From the checks of qemu-server's and pve-container's API.

use crate::ids::GuestKind;
use crate::proxmox::property::{Domain, PropertyMap};
use crate::proxmox::schema::split_index;

/// What a change of a key takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPrivilege {
    /// Any one of these, on `/vms/{vmid}` (or the guest's pool).
    AnyOf(&'static [&'static str]),
    /// These together, each on its path; `None` is the guest's own.
    AllOf(&'static [(Option<&'static str>, &'static str)]),
    /// No token can; with the reason.
    RootOnly(&'static str),
}

/// The privilege that changing a key of a guest takes. What the *value* decides beyond that is for [`root_only`]; storages,
/// bridges and mappings that a value names take privileges of their own.
pub fn privilege(kind: GuestKind, key: &str) -> KeyPrivilege {
    match kind {
        GuestKind::Qemu => qemu(key),
        GuestKind::Lxc => lxc(key),
    }
}

fn qemu(key: &str) -> KeyPrivilege {
    use KeyPrivilege::{AllOf, AnyOf};
    let (stem, index) = split_index(key);
    match key {
        "cores" | "cpu" | "cpulimit" | "cpuunits" | "numa" | "smp" | "sockets" | "vcpus" => {
            AnyOf(&["VM.Config.CPU"])
        }
        "memory" | "balloon" | "shares" | "allow-ksm" => AnyOf(&["VM.Config.Memory"]),
        "acpi" | "hotplug" | "kvm" | "machine" | "scsihw" | "smbios1" | "tablet" | "vga"
        | "watchdog" | "audio0" | "rng0" => AnyOf(&["VM.Config.HWType"]),
        "startup" => AllOf(&[(None, "VM.Config.Options"), (Some("/"), "Sys.Modify")]),
        "agent" | "autostart" | "bios" | "description" | "keyboard" | "localtime"
        | "migrate_downtime" | "migrate_speed" | "name" | "onboot" | "ostype" | "protection"
        | "reboot" | "startdate" | "tdf" | "template" | "tags" => AnyOf(&["VM.Config.Options"]),
        "freeze" => AnyOf(&["VM.PowerMgmt"]),
        "boot" | "bootdisk" | "vmstatestorage" | "efidisk0" | "tpmstate0" => {
            AnyOf(&["VM.Config.Disk"])
        }
        "cicustom" | "cipassword" | "citype" | "ciuser" | "ciupgrade" | "nameserver"
        | "searchdomain" | "sshkeys" => AnyOf(&["VM.Config.Cloudinit", "VM.Config.Network"]),
        "lock" => {
            KeyPrivilege::RootOnly("locks are Proxmox VE's own; a token can only wait for them")
        }
        _ if index.is_some() => match stem {
            "numa" => AnyOf(&["VM.Config.CPU"]),
            "net" => AnyOf(&["VM.Config.Network"]),
            "ipconfig" => AnyOf(&["VM.Config.Cloudinit", "VM.Config.Network"]),
            "ide" | "sata" | "scsi" | "virtio" => AnyOf(&["VM.Config.Disk", "VM.Config.CDROM"]),
            "unused" | "virtiofs" => AnyOf(&["VM.Config.Disk"]),
            "serial" | "usb" | "hostpci" => AnyOf(&["VM.Config.HWType"]),
            _ => KeyPrivilege::RootOnly(ROOT_KEY),
        },
        _ => KeyPrivilege::RootOnly(ROOT_KEY),
    }
}

const ROOT_KEY: &str = "Proxmox VE lets only root@pam itself set this key, never an API token";

fn lxc(key: &str) -> KeyPrivilege {
    use KeyPrivilege::AnyOf;
    let (stem, index) = split_index(key);
    match key {
        "cores" | "cpuunits" | "cpulimit" => AnyOf(&["VM.Config.CPU"]),
        "rootfs" => AnyOf(&["VM.Config.Disk"]),
        "memory" | "swap" => AnyOf(&["VM.Config.Memory"]),
        "nameserver" | "searchdomain" | "hostname" => AnyOf(&["VM.Config.Network"]),
        "features" => AnyOf(&["VM.Allocate"]),
        "startup" => KeyPrivilege::AllOf(&[(None, "VM.Config.Options"), (Some("/"), "Sys.Modify")]),
        "hookscript" => KeyPrivilege::RootOnly(ROOT_KEY),
        _ if index.is_some() => match stem {
            "mp" | "unused" => AnyOf(&["VM.Config.Disk"]),
            "net" => AnyOf(&["VM.Config.Network"]),
            "dev" => KeyPrivilege::RootOnly(
                "Proxmox VE lets only root@pam itself hand devices of the host to a container",
            ),
            _ => AnyOf(&["VM.Config.Options"]),
        },
        _ => AnyOf(&["VM.Config.Options"]),
    }
}

/// Why a token can never write this value to this key, or `None` if it may (given the privilege). `before` is the value in
/// force: what does not change it need not be written.
pub fn root_only(
    kind: GuestKind,
    key: &str,
    before: Option<&str>,
    after: Option<&str>,
) -> Option<&'static str> {
    if let KeyPrivilege::RootOnly(why) = privilege(kind, key) {
        return Some(why);
    }
    let domain = Domain::from(kind);
    let read = |text: &str| PropertyMap::parse(domain, key, text).ok();
    let (stem, _) = split_index(key);
    match (kind, stem) {
        (GuestKind::Qemu, "hostpci") => {
            let raw = |text: &str| read(text).is_some_and(|map| map.get("host").is_some());
            if before.is_some_and(raw) || after.is_some_and(raw) {
                return Some(
                    "raw PCI devices (`host=`) are for root@pam only; use a resource mapping (`mapping=`)",
                );
            }
            after
                .and_then(read)
                .is_some_and(|map| map.get("romfile").is_some())
                .then_some("`romfile` of a PCI device is for root@pam only")
        }
        (GuestKind::Qemu, "usb") => {
            let raw = |text: &str| {
                read(text).is_some_and(|map| {
                    map.get("host")
                        .is_some_and(|host| !host.eq_ignore_ascii_case("spice"))
                })
            };
            (before.is_some_and(raw) || after.is_some_and(raw))
                .then_some("raw USB devices (`host=`) are for root@pam only; use `spice` or a resource mapping (`mapping=`)")
        }
        (GuestKind::Qemu, "serial") => {
            let raw = |text: &str| text != "socket";
            (before.is_some_and(raw) || after.is_some_and(raw))
                .then_some("serial devices of the host are for root@pam only; use `socket`")
        }
        (GuestKind::Qemu, "ide" | "sata" | "scsi" | "virtio") => after
            .and_then(read)
            .is_some_and(|map| {
                let path = |name| map.get(name).is_some_and(|value| value.starts_with('/'));
                path("file") || path("import-from")
            })
            .then_some(
                "paths of the host as drives are for root@pam only; use a volume on a storage",
            ),
        (GuestKind::Lxc, "mp" | "rootfs") => after
            .and_then(read)
            .is_some_and(|map| {
                map.get("volume")
                    .is_some_and(|volume| volume.starts_with('/'))
            })
            .then_some(
                "bind and device mount points are for root@pam only; use a volume on a storage",
            ),
        (GuestKind::Lxc, "features") => {
            let others = |text: Option<&str>| {
                let mut map = text
                    .and_then(read)
                    .map(|map| map.normal())
                    .unwrap_or_default();
                map.remove("nesting");
                map
            };
            (others(before) != others(after))
                .then_some("of a container's features a token may change only `nesting`")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_root_may_do_is_known_before_anything_is_sent() {
        use GuestKind::{Lxc, Qemu};
        for key in [
            "args",
            "affinity",
            "hookscript",
            "vmgenid",
            "lock",
            "parallel0",
            "ivshmem",
            "hugepages",
            "arch",
        ] {
            assert!(root_only(Qemu, key, None, Some("x")).is_some(), "{key}");
        }
        assert!(root_only(Qemu, "hostpci0", None, Some("0000:01:00.0")).is_some());
        assert!(root_only(Qemu, "hostpci0", None, Some("mapping=gpu,pcie=1")).is_none());
        assert!(root_only(Qemu, "usb0", None, Some("spice")).is_none());
        assert!(root_only(Qemu, "usb0", Some("host=1-2"), None).is_some());
        assert!(root_only(Qemu, "serial0", None, Some("/dev/ttyS0")).is_some());
        assert!(root_only(Qemu, "scsi0", None, Some("/dev/sda")).is_some());
        assert!(root_only(Qemu, "scsi0", None, Some("local:1")).is_none());
        assert!(root_only(Lxc, "mp0", None, Some("/srv,mp=/srv")).is_some());
        assert!(
            root_only(
                Lxc,
                "features",
                Some("nesting=1,fuse=1"),
                Some("fuse=1,nesting=0")
            )
            .is_none()
        );
        assert!(root_only(Lxc, "features", None, Some("fuse=1")).is_some());
        assert!(root_only(Lxc, "dev0", None, Some("/dev/kvm")).is_some());
    }

    #[test]
    fn every_key_has_an_answer() {
        for spec in crate::proxmox::schema::keys(Domain::Qemu) {
            let name = spec
                .max_index
                .map_or(spec.stem.to_owned(), |_| format!("{}0", spec.stem));
            let _ = privilege(GuestKind::Qemu, &name);
        }
        assert_eq!(
            privilege(GuestKind::Qemu, "cores"),
            KeyPrivilege::AnyOf(&["VM.Config.CPU"])
        );
        assert_eq!(
            privilege(GuestKind::Qemu, "numa1"),
            KeyPrivilege::AnyOf(&["VM.Config.CPU"])
        );
        assert_eq!(
            privilege(GuestKind::Lxc, "onboot"),
            KeyPrivilege::AnyOf(&["VM.Config.Options"])
        );
    }
}
