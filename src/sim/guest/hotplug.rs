//! What becomes of a changed setting of a running guest: in force at once, or pending until it stops. Pure.
//!
//! Virtual machines after qemu-server's `vmconfig_hotplug_pending`, containers after pve-container's.

use super::conf::Section;
use super::formats as of;
use super::keys;
use super::kind::Kind;
use super::props::{self, Props, Schema};

/// What becomes of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// In force at once.
    Live,
    /// In force at once if the guest lets go of the device.
    Unplug,
    /// Waits for a stop or start.
    Pending,
    /// Refused with this text; the change stays pending.
    Refused(String),
}

const VM_FAST: &[&str] = &[
    "description",
    "hookscript",
    "lock",
    "migrate_downtime",
    "migrate_speed",
    "name",
    "onboot",
    "protection",
    "shares",
    "startup",
    "tags",
    "vmstatestorage",
];
const VM_CLOUDINIT: &[&str] = &[
    "ciuser",
    "cipassword",
    "citype",
    "cicustom",
    "ciupgrade",
    "nameserver",
    "searchdomain",
    "sshkeys",
];
const CT_FAST: &[&str] = &[
    "description",
    "onboot",
    "startup",
    "protection",
    "hostname",
    "hookscript",
    "cores",
    "tags",
    "lock",
];

/// Whether a change of this key is in force at once whatever else is pending (it is applied even if another change is
/// asked for).
#[must_use]
pub fn is_fast(kind: Kind, key: &str) -> bool {
    match kind {
        Kind::Qemu => {
            VM_FAST.contains(&key)
                || VM_CLOUDINIT.contains(&key)
                || matches!(keys::slot(key), Some(("ipconfig", _)))
        }
        Kind::Lxc => CT_FAST.contains(&key),
    }
}

/// Whether the cloud-init drive is made from this key.
#[must_use]
pub fn is_cloudinit(key: &str) -> bool {
    VM_CLOUDINIT.contains(&key) || matches!(keys::slot(key), Some(("ipconfig", _)))
}

fn has(main: &Section, feature: &str) -> bool {
    match main.get("hotplug") {
        None | Some("1") => matches!(feature, "network" | "disk" | "usb"),
        Some("0") => false,
        Some(list) => super::super::call::split_list(list)
            .iter()
            .any(|word| word == feature),
    }
}

fn live_if(condition: bool, effect: Effect) -> Effect {
    if condition { effect } else { Effect::Pending }
}

/// The effect of setting `key` to `value` on a running guest whose settings in force are `main`.
#[must_use]
pub fn set(kind: Kind, main: &Section, key: &str, value: &str) -> Effect {
    if is_fast(kind, key) {
        return Effect::Live;
    }
    match kind {
        Kind::Qemu => vm_set(main, key, value),
        Kind::Lxc => ct_set(main, key),
    }
}

/// The effect of removing `key` from a running guest whose settings in force are `main`.
#[must_use]
pub fn unset(kind: Kind, main: &Section, key: &str) -> Effect {
    if is_fast(kind, key) || keys::is_unused(key) {
        return Effect::Live;
    }
    match (kind, keys::slot(key).map_or(key, |(name, _)| name)) {
        (Kind::Qemu, "net") => live_if(has(main, "network"), Effect::Unplug),
        (Kind::Qemu, "scsi" | "virtio") => live_if(has(main, "disk"), Effect::Unplug),
        (Kind::Qemu, "usb") => live_if(usb_plugs(main), Effect::Live),
        (Kind::Qemu, "vcpus") => live_if(has(main, "cpu"), Effect::Live),
        (Kind::Qemu, "memory") => live_if(has(main, "memory"), Effect::Live),
        (Kind::Qemu, "balloon") => live_if(main.get("balloon") != Some("0"), Effect::Live),
        (Kind::Qemu, "tablet") => live_if(has(main, "usb"), Effect::Live),
        (Kind::Qemu, "hotplug") => live_if(!touches_hardware(main, ""), Effect::Live),
        (Kind::Qemu, "cpuunits" | "cpulimit") => Effect::Live,
        (Kind::Lxc, "net" | "swap" | "cpulimit" | "cpuunits" | "memory") => Effect::Live,
        (Kind::Qemu | Kind::Lxc, _) => Effect::Pending,
    }
}

fn vm_set(main: &Section, key: &str, value: &str) -> Effect {
    match keys::slot(key).map_or(key, |(name, _)| name) {
        "net" => net(main, key, value),
        "ide" | "sata" | "scsi" | "virtio" | "efidisk" => disk(main, key, value),
        "usb" => live_if(usb_plugs(main), Effect::Live),
        "vcpus" => live_if(has(main, "cpu"), Effect::Live),
        "memory" => live_if(has(main, "memory"), Effect::Live),
        "balloon" => {
            let enabled = main.get("balloon") != Some("0");
            live_if(enabled == (value != "0"), Effect::Live)
        }
        "tablet" => live_if(has(main, "usb"), Effect::Live),
        "hotplug" => live_if(!touches_hardware(main, value), Effect::Live),
        "agent" => agent(main, value),
        "cpuunits" | "cpulimit" => Effect::Live,
        _ => Effect::Pending,
    }
}

/// Whether a change of `hotplug` would switch the hot-plugging of memory or processors.
fn touches_hardware(main: &Section, value: &str) -> bool {
    let old = main.get("hotplug").unwrap_or_default();
    ["memory", "cpu"]
        .iter()
        .any(|word| old.contains(word) != value.contains(word))
}

/// USB devices plug into machines of version 7.1 and later, whose guests are Linux or Windows after 7.
fn usb_plugs(main: &Section) -> bool {
    let system = matches!(main.get("ostype"), Some("l26" | "win8" | "win10" | "win11"));
    let old = main.get("machine").is_some_and(|machine| {
        let version = machine.rsplit_once('-').map_or("", |(_, version)| version);
        let mut numbers = version
            .split('.')
            .filter_map(|part| part.parse::<u32>().ok());
        numbers
            .next()
            .is_some_and(|major| (major, numbers.next().unwrap_or(0)) < (7, 1))
    });
    has(main, "usb") && system && !old
}

fn differs(old: &Props, new: &Props, fields: &[&str]) -> bool {
    fields
        .iter()
        .any(|field| old.get(*field) != new.get(*field))
}

fn parsed(schema: Schema, text: Option<&str>) -> Option<Props> {
    text.and_then(|text| props::parse(schema, text).ok())
}

fn agent(main: &Section, value: &str) -> Effect {
    let old = parsed(of::AGENT, main.get("agent")).unwrap_or_default();
    let new = parsed(of::AGENT, Some(value)).unwrap_or_default();
    let others = old
        .keys()
        .chain(new.keys())
        .filter(|key| key.as_str() != "fstrim_cloned_disks");
    let same = others.clone().all(|key| old.get(key) == new.get(key));
    live_if(same && !old.is_empty(), Effect::Live)
}

fn net(main: &Section, key: &str, value: &str) -> Effect {
    let plug = has(main, "network");
    let (Some(old), Some(new)) = (
        parsed(of::VM_NET, main.get(key)),
        parsed(of::VM_NET, Some(value)),
    ) else {
        return live_if(plug, Effect::Live);
    };
    let hardware = differs(&old, &new, &["model", "macaddr", "queues", "mtu"])
        || old.contains_key("bridge") != new.contains_key("bridge");
    if hardware {
        live_if(plug, Effect::Unplug)
    } else {
        Effect::Live
    }
}

fn disk(main: &Section, key: &str, value: &str) -> Effect {
    let schema = super::drive::schema(key);
    let plug = has(main, "disk") && matches!(keys::slot(key), Some(("scsi" | "virtio", _)));
    let (Some(old), Some(new)) = (parsed(schema, main.get(key)), parsed(schema, Some(value)))
    else {
        return live_if(plug, Effect::Live);
    };
    let media = |drive: &Props| drive.get("media").cloned().unwrap_or_else(|| "disk".into());
    if media(&old) != media(&new) {
        return Effect::Refused("unable to change media type".into());
    }
    if media(&old) == "cdrom" {
        return Effect::Live;
    }
    if old.get("file") != new.get("file") {
        return live_if(plug, Effect::Unplug);
    }
    let fixed = [
        "aio", "discard", "iothread", "queues", "product", "vendor", "cache", "ssd", "ro",
    ];
    live_if(
        !differs(&old, &new, &fixed) && !key.starts_with("efidisk"),
        Effect::Live,
    )
}

fn ct_set(main: &Section, key: &str) -> Effect {
    match keys::slot(key).map_or(key, |(name, _)| name) {
        "memory" | "swap" | "cpulimit" | "cpuunits" | "net" => Effect::Live,
        "mp" | "dev" => live_if(main.get(key).is_none(), Effect::Live),
        _ => Effect::Pending,
    }
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

    fn vm() -> Section {
        let mut main = Section::default();
        for (key, value) in [
            ("ostype", "l26"),
            ("memory", "512"),
            ("net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0"),
            ("scsi0", "local:100/vm-100-disk-0.raw,size=1G"),
            ("sata0", "local:100/vm-100-disk-1.raw,size=1G"),
            ("ide2", "none,media=cdrom"),
            ("agent", "1"),
        ] {
            main.set(key, value);
        }
        main
    }

    fn ct() -> Section {
        let mut main = Section::default();
        main.set("rootfs", "local:200/vm-200-disk-0.raw,size=1G");
        main.set("mp0", "local:200/vm-200-disk-1.raw,mp=/data,size=1G");
        main
    }

    #[test]
    fn virtual_machines_take_at_once_what_does_not_touch_hardware() {
        let main = vm();
        let effect = |key, value| set(Kind::Qemu, &main, key, value);
        for (key, value) in [
            ("name", "x"),
            ("tags", "a"),
            ("protection", "1"),
            ("ciuser", "u"),
            ("ipconfig0", "ip=dhcp"),
            ("cpulimit", "2"),
            ("balloon", "256"),
            ("hotplug", "network,disk"),
            ("agent", "1,fstrim_cloned_disks=1"),
            (
                "net0",
                "virtio=BC:24:11:00:00:01,bridge=vmbr1,tag=5,firewall=1",
            ),
            ("net1", "virtio=BC:24:11:00:00:02,bridge=vmbr0"),
            (
                "scsi0",
                "local:100/vm-100-disk-0.raw,mbps_rd=10,backup=0,size=1G",
            ),
            ("scsi1", "local:100/vm-100-disk-2.raw,size=1G"),
            ("ide2", "local:iso/a.iso,media=cdrom"),
            ("usb0", "spice"),
        ] {
            assert_eq!(effect(key, value), Effect::Live, "{key}={value}");
        }
    }

    #[test]
    fn virtual_machines_keep_hardware_pending() {
        let main = vm();
        for (key, value) in [
            ("memory", "1024"),
            ("cores", "2"),
            ("sockets", "2"),
            ("cpu", "host"),
            ("vcpus", "1"),
            ("balloon", "0"),
            ("machine", "q35"),
            ("bios", "ovmf"),
            ("ostype", "l24"),
            ("scsihw", "lsi"),
            ("boot", "order=scsi0"),
            ("agent", "0"),
            ("hotplug", "memory"),
            ("serial0", "socket"),
            ("scsi0", "local:100/vm-100-disk-0.raw,iothread=1,size=1G"),
            ("sata1", "local:100/vm-100-disk-3.raw,size=1G"),
            ("sata0", "local:100/vm-100-disk-4.raw,size=1G"),
            ("tpmstate0", "local:100/vm-100-disk-5.raw"),
        ] {
            assert_eq!(
                set(Kind::Qemu, &main, key, value),
                Effect::Pending,
                "{key}={value}"
            );
        }
    }

    #[test]
    fn other_hardware_in_a_slot_needs_the_guest_to_let_go() {
        let main = vm();
        let e1000 = "e1000=BC:24:11:00:00:01,bridge=vmbr0";
        assert_eq!(set(Kind::Qemu, &main, "net0", e1000), Effect::Unplug);
        assert_eq!(
            set(Kind::Qemu, &main, "scsi0", "local:100/vm-100-disk-9.raw"),
            Effect::Unplug
        );
        assert_eq!(unset(Kind::Qemu, &main, "net0"), Effect::Unplug);
        assert_eq!(unset(Kind::Qemu, &main, "sata0"), Effect::Pending);
        let refused = set(Kind::Qemu, &main, "ide2", "local:100/vm-100-disk-9.raw");
        assert_eq!(
            refused,
            Effect::Refused("unable to change media type".into())
        );
    }

    #[test]
    fn the_hotplug_setting_decides() {
        let mut main = vm();
        main.set("hotplug", "0");
        let net = "virtio=BC:24:11:00:00:02,bridge=vmbr0";
        assert_eq!(set(Kind::Qemu, &main, "net1", net), Effect::Pending);
        assert_eq!(unset(Kind::Qemu, &main, "scsi0"), Effect::Pending);
        main.set("hotplug", "memory,cpu");
        assert_eq!(set(Kind::Qemu, &main, "memory", "1024"), Effect::Live);
        assert_eq!(set(Kind::Qemu, &main, "vcpus", "1"), Effect::Live);
    }

    #[test]
    fn containers_take_most_at_once() {
        let main = ct();
        for key in [
            "memory", "swap", "cores", "net0", "mp1", "hostname", "cpulimit", "tags",
        ] {
            assert_eq!(set(Kind::Lxc, &main, key, "x"), Effect::Live, "{key}");
        }
        for key in [
            "features",
            "tty",
            "mp0",
            "rootfs",
            "nameserver",
            "timezone",
            "arch",
        ] {
            assert_eq!(set(Kind::Lxc, &main, key, "x"), Effect::Pending, "{key}");
        }
        assert_eq!(unset(Kind::Lxc, &main, "mp0"), Effect::Pending);
        assert_eq!(unset(Kind::Lxc, &main, "net0"), Effect::Live);
    }
}
