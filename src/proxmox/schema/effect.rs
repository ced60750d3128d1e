//! What changing a key does to a guest that runs: at once, at the next start, with an interruption, or with a volume changing
//! hands. From qemu-server's `vmconfig_hotplug_pending` and pve-container's own. A stopped guest takes every change at once,
//! together with *everything* that was pending. After a write, `/pending` is the judge; this is what a plan says before it.

use crate::ids::GuestKind;
use crate::proxmox::property::{Domain, PropertyMap, boolean, equivalent, split_list};
use crate::proxmox::schema::split_index;

/// What a change of one key does to a running guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeEffect {
    /// Nothing: the values mean the same.
    None,
    /// In force at once, the guest notices nothing harmful.
    Live,
    /// In force for Proxmox VE at once, but the guest sees it only when its cloud-init drive is made anew and it boots.
    CloudInit,
    /// In force at once; the link goes down for a moment.
    NicFlap,
    /// The network card is unplugged and plugged in again: connections break, the guest sees a new card.
    NicReplug,
    /// A network card is plugged in or unplugged.
    NicHotplug,
    /// A disk is plugged in; no other is touched.
    DiskPlug,
    /// A disk is unplugged; its volume is kept as `unusedN`.
    DiskUnplug,
    /// The disk is unplugged and another volume plugged into its place; the old one is kept as `unusedN`.
    DiskReplace,
    /// Stored, and in force after the guest was stopped and started (a reboot inside the guest is not enough).
    Pending,
    /// Proxmox VE refuses it while the guest runs, or at all.
    Refused,
}

impl ChangeEffect {
    /// Whether the guest has to be stopped and started before the change is in force.
    pub fn needs_restart(self) -> bool {
        self == Self::Pending
    }
}

/// The features that can be changed while a VM runs, of its `hotplug` option; unset means `network,disk,usb`, `1` as well,
/// `0` none (Proxmox VE: `parse_hotplug_features`).
pub fn hotplugs(hotplug: &str, name: &str) -> bool {
    match hotplug.trim() {
        "" | "1" => matches!(name, "network" | "disk" | "usb"),
        "0" => false,
        list => split_list(list).any(|feature| feature == name),
    }
}

/// What changing `key` from `before` to `after` (`None`: not set) does to a running guest whose `hotplug` option is `hotplug`
/// (empty if not set; containers have none).
pub fn change_effect(
    kind: GuestKind,
    key: &str,
    before: Option<&str>,
    after: Option<&str>,
    hotplug: &str,
) -> ChangeEffect {
    let domain = Domain::from(kind);
    match (before, after) {
        (None, None) => return ChangeEffect::None,
        (Some(before), Some(after)) if equivalent(domain, key, before, after) => {
            return ChangeEffect::None;
        }
        _ => {}
    }
    match kind {
        GuestKind::Qemu => qemu(key, before, after, hotplug),
        GuestKind::Lxc => lxc(key, before, after),
    }
}

/// Whether a key of a VM is read by its guest from the cloud-init drive.
pub fn is_cloud_init(key: &str) -> bool {
    matches!(
        key,
        "ciuser"
            | "cipassword"
            | "citype"
            | "cicustom"
            | "ciupgrade"
            | "nameserver"
            | "searchdomain"
            | "sshkeys"
    ) || matches!(split_index(key), ("ipconfig", Some(_)))
}

fn qemu(key: &str, before: Option<&str>, after: Option<&str>, hotplug: &str) -> ChangeEffect {
    use ChangeEffect as E;
    let (stem, index) = split_index(key);
    let live_with = |name| {
        if hotplugs(hotplug, name) {
            E::Live
        } else {
            E::Pending
        }
    };
    match key {
        "description" | "hookscript" | "lock" | "migrate_downtime" | "migrate_speed" | "name"
        | "onboot" | "protection" | "shares" | "startup" | "tags" | "vmstatestorage"
        | "cpuunits" | "cpulimit" => E::Live,
        _ if is_cloud_init(key) => E::CloudInit,
        "vcpus" => live_with("cpu"),
        "memory" => live_with("memory"),
        "balloon" => {
            let zero = |text: Option<&str>| {
                text.is_some_and(|text| text.trim_start_matches('0').is_empty())
            };
            if zero(before) == zero(after) {
                E::Live
            } else {
                E::Pending
            }
        }
        "hotplug" => {
            let set = |text: Option<&str>, name| hotplugs(text.unwrap_or(""), name);
            let touches = |name| set(before, name) != set(after, name);
            if touches("cpu") || touches("memory") {
                E::Pending
            } else {
                E::Live
            }
        }
        "tablet" => live_with("usb"),
        "agent" => agent(before, after),
        "efidisk0" | "tpmstate0" => E::Pending,
        _ if index.is_some() => match stem {
            "unused" => E::Live,
            "net" => nic(before, after, hotplug),
            "ide" | "sata" | "scsi" | "virtio" => drive(stem, before, after, hotplug),
            // Only with a machine of version 7.1 and a guest that is Linux or a newer Windows; qemu-server keeps it pending else.
            "usb" => live_with("usb"),
            _ => E::Pending,
        },
        _ => E::Pending,
    }
}

fn agent(before: Option<&str>, after: Option<&str>) -> ChangeEffect {
    let rest = |text: Option<&str>| {
        let mut map = text
            .and_then(|text| PropertyMap::parse(Domain::Qemu, "agent", text).ok())
            .map(|map| map.normal())
            .unwrap_or_default();
        map.remove("fstrim_cloned_disks");
        map
    };
    if rest(before) == rest(after) {
        ChangeEffect::Live
    } else {
        ChangeEffect::Pending
    }
}

/// The options of a map by meaning, or nothing.
fn parse(domain: Domain, key: &str, text: &str) -> Option<PropertyMap> {
    PropertyMap::parse(domain, key, text).ok()
}

/// Whether any of these options differs.
fn differs(a: &PropertyMap, b: &PropertyMap, names: &[&str]) -> bool {
    let (a, b) = (a.normal(), b.normal());
    names.iter().any(|name| a.get(*name) != b.get(*name))
}

fn nic(before: Option<&str>, after: Option<&str>, hotplug: &str) -> ChangeEffect {
    use ChangeEffect as E;
    let with = |effect| {
        if hotplugs(hotplug, "network") {
            effect
        } else {
            E::Pending
        }
    };
    let (Some(before), Some(after)) = (before, after) else {
        return with(E::NicHotplug);
    };
    let (Some(before), Some(after)) = (
        parse(Domain::Qemu, "net0", before),
        parse(Domain::Qemu, "net0", after),
    ) else {
        return E::Pending;
    };
    let bridged = |map: &PropertyMap| map.get("bridge").is_some();
    if differs(&before, &after, &["model", "macaddr", "queues", "mtu"])
        || bridged(&before) != bridged(&after)
    {
        with(E::NicReplug)
    } else if differs(&before, &after, &["bridge", "tag", "trunks", "firewall"]) {
        E::NicFlap
    } else {
        E::Live
    }
}

fn drive(bus: &str, before: Option<&str>, after: Option<&str>, hotplug: &str) -> ChangeEffect {
    use ChangeEffect as E;
    let plugs = matches!(bus, "scsi" | "virtio") && hotplugs(hotplug, "disk");
    let with = |effect| if plugs { effect } else { E::Pending };
    let read = |text: &str| parse(Domain::Qemu, "scsi0", text);
    let (before, after) = match (before, after) {
        (None, _) => return with(E::DiskPlug),
        (_, None) => return with(E::DiskUnplug),
        (Some(before), Some(after)) => match (read(before), read(after)) {
            (Some(before), Some(after)) => (before, after),
            _ => return E::Pending,
        },
    };
    let cdrom = |map: &PropertyMap| map.get("media") == Some("cdrom");
    if cdrom(&before) != cdrom(&after) {
        return E::Refused;
    }
    if cdrom(&before) {
        // Another medium, or none: changed at once.
        return E::Live;
    }
    if before.get("file") != after.get("file") {
        return with(E::DiskReplace);
    }
    const NEXT_START: &[&str] = &[
        "aio",
        "discard",
        "iothread",
        "queues",
        "product",
        "vendor",
        "cache",
        "ssd",
        "ro",
        "serial",
        "wwn",
        "scsiblock",
        "snapshot",
    ];
    if differs(&before, &after, NEXT_START) {
        E::Pending
    } else {
        E::Live
    }
}

fn lxc(key: &str, before: Option<&str>, after: Option<&str>) -> ChangeEffect {
    use ChangeEffect as E;
    let (stem, index) = split_index(key);
    match key {
        "description" | "onboot" | "startup" | "protection" | "hostname" | "hookscript"
        | "cores" | "tags" | "lock" | "cpulimit" | "cpuunits" | "memory" | "swap" => E::Live,
        "unprivileged" => E::Refused,
        "rootfs" if after.is_none() => E::Refused,
        "ostype" if after.is_none() => E::Refused,
        _ if index.is_some() => match stem {
            "unused" => E::Live,
            "net" => lxc_nic(before, after),
            "mp" | "dev" if before.is_none() => E::DiskPlug,
            _ => E::Pending,
        },
        _ => E::Pending,
    }
}

fn lxc_nic(before: Option<&str>, after: Option<&str>) -> ChangeEffect {
    use ChangeEffect as E;
    let (Some(before), Some(after)) = (before, after) else {
        return E::NicHotplug;
    };
    let (Some(before), Some(after)) = (
        parse(Domain::Lxc, "net0", before),
        parse(Domain::Lxc, "net0", after),
    ) else {
        return E::NicReplug;
    };
    if differs(&before, &after, &["name", "hwaddr", "mtu", "type"]) {
        E::NicReplug
    } else if differs(
        &before,
        &after,
        &[
            "bridge",
            "tag",
            "trunks",
            "firewall",
            "ip",
            "ip6",
            "gw",
            "gw6",
            "host-managed",
        ],
    ) {
        E::NicFlap
    } else {
        E::Live
    }
}

/// Whether a `protection` value protects.
pub fn protects(value: Option<&str>) -> bool {
    value.and_then(boolean).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ChangeEffect as E;
    use GuestKind::{Lxc, Qemu};

    fn q(key: &str, before: &str, after: &str) -> E {
        let some = |text: &'static str| (!text.is_empty()).then_some(text);
        change_effect(Qemu, key, some(leak(before)), some(leak(after)), "")
    }

    fn leak(text: &str) -> &'static str {
        Box::leak(text.to_owned().into_boxed_str())
    }

    #[test]
    fn the_matrix_of_virtual_machines() {
        assert_eq!(q("name", "a", "b"), E::Live);
        assert_eq!(q("memory", "512", "1024"), E::Pending);
        assert_eq!(
            change_effect(Qemu, "memory", Some("512"), Some("1024"), "memory"),
            E::Live
        );
        assert_eq!(q("memory", "512", "0512"), E::None);
        assert_eq!(q("cores", "1", "2"), E::Pending);
        assert_eq!(q("balloon", "512", "256"), E::Live);
        assert_eq!(q("balloon", "512", "0"), E::Pending);
        assert_eq!(q("ciuser", "", "a"), E::CloudInit);
        assert_eq!(q("agent", "1", "1,fstrim_cloned_disks=1"), E::Live);
        assert_eq!(q("agent", "0", "1"), E::Pending);
        assert_eq!(q("hotplug", "", "network,disk,usb,memory"), E::Pending);
        assert_eq!(q("hotplug", "", "network"), E::Live);
        assert_eq!(
            q("net0", "virtio=A,bridge=vmbr0", "virtio=A,bridge=vmbr1"),
            E::NicFlap
        );
        assert_eq!(
            q(
                "net0",
                "virtio=A,bridge=vmbr0",
                "virtio=A,bridge=vmbr0,rate=5"
            ),
            E::Live
        );
        assert_eq!(
            q("net0", "virtio=A,bridge=vmbr0", "e1000=A,bridge=vmbr0"),
            E::NicReplug
        );
        assert_eq!(q("net1", "", "virtio,bridge=vmbr0"), E::NicHotplug);
        assert_eq!(
            change_effect(Qemu, "net1", None, Some("virtio"), "0"),
            E::Pending
        );
        assert_eq!(q("scsi1", "", "local:4"), E::DiskPlug);
        assert_eq!(q("sata1", "", "local:4"), E::Pending);
        assert_eq!(q("scsi1", "l:a", ""), E::DiskUnplug);
        assert_eq!(q("scsi1", "l:a", "l:b"), E::DiskReplace);
        assert_eq!(q("scsi1", "l:a", "l:a,mbps_rd=5"), E::Live);
        assert_eq!(q("scsi1", "l:a", "l:a,cache=none"), E::Pending);
        assert_eq!(
            q("ide2", "l:iso/a.iso,media=cdrom", "none,media=cdrom"),
            E::Live
        );
        assert_eq!(q("ide2", "l:a", "none,media=cdrom"), E::Refused);
    }

    #[test]
    fn the_matrix_of_containers() {
        let ct = |key, before, after| change_effect(Lxc, key, before, after, "");
        assert_eq!(ct("memory", Some("512"), Some("1024")), E::Live);
        assert_eq!(ct("features", None, Some("nesting=1")), E::Pending);
        assert_eq!(ct("mp0", None, Some("l:4,mp=/srv")), E::DiskPlug);
        assert_eq!(
            ct("mp0", Some("l:a,mp=/srv"), Some("l:a,mp=/srv2")),
            E::Pending
        );
        assert_eq!(ct("unprivileged", Some("1"), Some("0")), E::Refused);
        assert_eq!(ct("rootfs", Some("l:a"), None), E::Refused);
        assert_eq!(
            ct(
                "net0",
                Some("name=eth0,bridge=a"),
                Some("name=eth0,bridge=b")
            ),
            E::NicFlap
        );
    }
}
