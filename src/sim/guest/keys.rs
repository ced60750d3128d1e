//! Which settings guests have: the parameter tables of their configuration, and which keys a file may hold.

use super::super::formats as forms;
use super::super::params::{Kind as Type, Param};
use super::formats as of;
use super::kind::Kind;

const COUNT: Type = Type::Integer(0, i64::MAX);
const FROM_1: Type = Type::Integer(1, i64::MAX);

/// Settings of virtual machines that both creation and change take.
pub const VM: &[Param] = &[
    Param::new("acpi", Type::Boolean),
    Param::new("affinity", Type::Text),
    Param::new("agent", Type::Property(of::AGENT)),
    Param::new("allow-ksm", Type::Boolean),
    Param::new("amd-sev", Type::Text),
    Param::new("arch", Type::Enum(&["x86_64", "aarch64"])),
    Param::new("args", Type::Text),
    Param::new("audio0", Type::Property(of::AUDIO)),
    Param::new("autostart", Type::Boolean),
    Param::new("balloon", COUNT),
    Param::new("bios", Type::Enum(&["seabios", "ovmf"])),
    Param::new("boot", Type::Property(of::BOOT)),
    Param::new("bootdisk", Type::Pattern(is_boot_disk)),
    Param::new("cdrom", Type::Property(of::IDE)),
    Param::new("cicustom", Type::Property(of::CICUSTOM)),
    Param::new("cipassword", Type::Text),
    Param::new(
        "citype",
        Type::Enum(&["configdrive2", "nocloud", "opennebula"]),
    ),
    Param::new("ciupgrade", Type::Boolean),
    Param::new("ciuser", Type::Text),
    Param::new("cores", FROM_1),
    Param::new("cpu", Type::Property(of::CPU)),
    Param::new("cpulimit", Type::NumberIn(0.0, 128.0)),
    Param::new("cpuunits", Type::Integer(1, 262_144)),
    Param::new("description", Type::TextMax(8192)),
    Param::new("efidisk0", Type::Property(of::EFIDISK)),
    Param::new("force", Type::Boolean),
    Param::new("freeze", Type::Boolean),
    Param::new("hookscript", Type::Form(super::forms::volume_id)),
    Param::indexed("hostpci", 16, Type::Property(of::HOSTPCI)),
    Param::new("hotplug", Type::Form(hotplug)),
    Param::new("hugepages", Type::Enum(&["any", "2", "1024"])),
    Param::indexed("ide", 4, Type::Property(of::IDE)),
    Param::new("intel-tdx", Type::Text),
    Param::indexed("ipconfig", 32, Type::Property(of::IPCONFIG)),
    Param::new("ivshmem", Type::Property(of::IVSHMEM)),
    Param::new("keephugepages", Type::Boolean),
    Param::new(
        "keyboard",
        Type::Enum(&[
            "de", "de-ch", "da", "en-gb", "en-us", "es", "fi", "fr", "fr-be", "fr-ca", "fr-ch",
            "hu", "is", "it", "ja", "lt", "mk", "nl", "no", "pl", "pt", "pt-br", "sv", "sl", "tr",
        ]),
    ),
    Param::new("kvm", Type::Boolean),
    Param::new("localtime", Type::Boolean),
    Param::new(
        "lock",
        Type::Enum(&[
            "backup",
            "clone",
            "create",
            "migrate",
            "rollback",
            "snapshot",
            "snapshot-delete",
            "suspending",
            "suspended",
        ]),
    ),
    Param::new("machine", Type::Property(of::MACHINE)),
    Param::new("memory", Type::Property(of::VM_MEMORY)),
    Param::new("migrate_downtime", Type::Number(0.0)),
    Param::new("migrate_speed", COUNT),
    Param::new("name", Type::Form(dns_name)),
    Param::new("nameserver", Type::Text),
    Param::indexed("net", 32, Type::Property(of::VM_NET)),
    Param::new("numa", Type::Boolean),
    Param::indexed("numa", 8, Type::Property(of::NUMA)),
    Param::new("onboot", Type::Boolean),
    Param::new(
        "ostype",
        Type::Enum(&[
            "other", "wxp", "w2k", "w2k3", "w2k8", "wvista", "win7", "win8", "win10", "win11",
            "l24", "l26", "solaris",
        ]),
    ),
    Param::indexed("parallel", 3, Type::Pattern(is_parallel)),
    Param::new("protection", Type::Boolean),
    Param::new("reboot", Type::Boolean),
    Param::new("rng0", Type::Property(of::RNG)),
    Param::indexed("sata", 6, Type::Property(of::SATA)),
    Param::indexed("scsi", 31, Type::Property(of::SCSI)),
    Param::new(
        "scsihw",
        Type::Enum(&[
            "lsi",
            "lsi53c810",
            "virtio-scsi-pci",
            "virtio-scsi-single",
            "megasas",
            "pvscsi",
        ]),
    ),
    Param::new("searchdomain", Type::Text),
    Param::indexed("serial", 4, Type::Pattern(is_serial)),
    Param::new("shares", Type::Integer(0, 50_000)),
    Param::new("smbios1", Type::TextMax(512)),
    Param::new("smp", FROM_1),
    Param::new("sockets", FROM_1),
    Param::new("spice_enhancements", Type::Property(of::SPICE)),
    Param::new("sshkeys", Type::Text),
    Param::new("startdate", Type::Text),
    Param::new("startup", Type::Form(startup)),
    Param::new("tablet", Type::Boolean),
    Param::new("tags", Type::Form(tags)),
    Param::new("tdf", Type::Boolean),
    Param::new("template", Type::Boolean),
    Param::new("tpmstate0", Type::Property(of::TPMSTATE)),
    Param::indexed("unused", 256, Type::Property(of::VM_UNUSED)),
    Param::indexed("usb", 14, Type::Property(of::USB)),
    Param::new("vcpus", FROM_1),
    Param::new("vga", Type::Property(of::VGA)),
    Param::indexed("virtio", 16, Type::Property(of::VIRTIO)),
    Param::indexed("virtiofs", 10, Type::Property(of::VIRTIOFS)),
    Param::new("vmgenid", Type::Pattern(is_vmgenid)),
    Param::new("vmstatestorage", Type::Form(forms::storage_id)),
    Param::new("watchdog", Type::Property(of::WATCHDOG)),
];

/// What creation of a virtual machine takes besides.
pub const VM_CREATE: &[Param] = &[
    Param::required("vmid", forms::VMID),
    Param::new("archive", Type::TextMax(255)),
    Param::new("bwlimit", COUNT),
    Param::new("force", Type::Boolean),
    Param::new("ha-managed", Type::Boolean),
    Param::new("import-working-storage", Type::Form(forms::storage_id)),
    Param::new("live-restore", Type::Boolean),
    Param::new("pool", Type::Text),
    Param::new("start", Type::Boolean),
    Param::new("storage", Type::Form(forms::storage_id)),
    Param::new("unique", Type::Boolean),
];

/// What a change of a virtual machine takes besides.
pub const VM_UPDATE: &[Param] = &[
    Param::new("delete", Type::FormList(config_id)),
    Param::new("digest", Type::TextMax(40)),
    Param::new("revert", Type::FormList(config_id)),
    Param::new("skiplock", Type::Boolean),
];

/// What only the asynchronous change takes.
pub const VM_UPDATE_ASYNC: &[Param] = &[
    Param::new("background_delay", Type::Integer(1, 30)),
    Param::new("import-working-storage", Type::Form(forms::storage_id)),
];

/// Settings of containers that both creation and change take.
pub const CT: &[Param] = &[
    Param::new(
        "arch",
        Type::Enum(&["amd64", "i386", "arm64", "armhf", "riscv32", "riscv64"]),
    ),
    Param::new("cmode", Type::Enum(&["shell", "console", "tty"])),
    Param::new("console", Type::Boolean),
    Param::new("cores", Type::Integer(1, 8192)),
    Param::new("cpulimit", Type::NumberIn(0.0, 8192.0)),
    Param::new("cpuunits", Type::Integer(0, 500_000)),
    Param::new("debug", Type::Boolean),
    Param::new("description", Type::TextMax(8192)),
    Param::indexed("dev", 256, Type::Property(of::CT_DEVICE)),
    Param::new("entrypoint", Type::Text),
    Param::new("env", Type::Text),
    Param::new("features", Type::Property(of::CT_FEATURES)),
    Param::new("hookscript", Type::Form(super::forms::volume_id)),
    Param::new("hostname", Type::Form(dns_name)),
    Param::new(
        "lock",
        Type::Enum(&[
            "backup",
            "create",
            "destroyed",
            "disk",
            "fstrim",
            "migrate",
            "mounted",
            "rollback",
            "snapshot",
            "snapshot-delete",
        ]),
    ),
    Param::new("memory", Type::Integer(16, i64::MAX)),
    Param::indexed("mp", 256, Type::Property(of::CT_MOUNT)),
    Param::new("nameserver", Type::Text),
    Param::indexed("net", 32, Type::Property(of::CT_NET)),
    Param::new("onboot", Type::Boolean),
    Param::new(
        "ostype",
        Type::Enum(&[
            "debian",
            "devuan",
            "ubuntu",
            "centos",
            "fedora",
            "opensuse",
            "archlinux",
            "alpine",
            "gentoo",
            "nixos",
            "unmanaged",
        ]),
    ),
    Param::new("protection", Type::Boolean),
    Param::new("rootfs", Type::Property(of::CT_ROOTFS)),
    Param::new("searchdomain", Type::Text),
    Param::new("startup", Type::Form(startup)),
    Param::new("swap", COUNT),
    Param::new("tags", Type::Form(tags)),
    Param::new("template", Type::Boolean),
    Param::new("timezone", Type::Text),
    Param::new("tty", Type::Integer(0, 6)),
    Param::new("unprivileged", Type::Boolean),
    Param::indexed("unused", 256, Type::Property(of::CT_UNUSED)),
];

/// What creation of a container takes besides.
pub const CT_CREATE: &[Param] = &[
    Param::required("vmid", forms::VMID),
    Param::required("ostemplate", Type::TextMax(255)),
    Param::new("bwlimit", Type::Number(0.0)),
    Param::new("force", Type::Boolean),
    Param::new("ha-managed", Type::Boolean),
    Param::new("ignore-unpack-errors", Type::Boolean),
    Param::new("password", Type::TextMin(5)),
    Param::new("pool", Type::Text),
    Param::new("restore", Type::Boolean),
    Param::new("ssh-public-keys", Type::Text),
    Param::new("start", Type::Boolean),
    Param::new("storage", Type::Form(forms::storage_id)),
    Param::new("unique", Type::Boolean),
];

/// What a change of a container takes besides.
pub const CT_UPDATE: &[Param] = &[
    Param::new("delete", Type::FormList(config_id)),
    Param::new("digest", Type::TextMax(40)),
    Param::new("revert", Type::FormList(config_id)),
];

/// Keys that only Proxmox VE itself writes.
const VM_INTERNAL: &[&str] = &[
    "meta",
    "parent",
    "running-nets-host-mtu",
    "runningcpu",
    "runningmachine",
    "snapstate",
    "snaptime",
    "vmstate",
];
const CT_INTERNAL: &[&str] = &["parent", "snapstate", "snaptime"];

fn table(kind: Kind) -> &'static [Param] {
    match kind {
        Kind::Qemu => VM,
        Kind::Lxc => CT,
    }
}

/// The option of this name that can be set through the API, if there is one.
#[must_use]
pub fn option(kind: Kind, key: &str) -> Option<&'static Param> {
    table(kind)
        .iter()
        .find(|row| row.covers(key))
        .filter(|row| row.name != "force")
}

/// Whether a configuration file may hold this key.
#[must_use]
pub fn is_stored(kind: Kind, key: &str) -> bool {
    let internal = match kind {
        Kind::Qemu => VM_INTERNAL,
        Kind::Lxc => CT_INTERNAL,
    };
    internal.contains(&key) || option(kind, key).is_some()
}

/// Whether Proxmox VE answers this key as a JSON number.
#[must_use]
pub fn is_number(kind: Kind, key: &str) -> bool {
    key == "snaptime"
        || option(kind, key)
            .is_some_and(|row| matches!(row.kind, Type::Integer(..) | Type::Boolean))
}

/// Splits `scsi12` into `scsi` and 12.
#[must_use]
pub fn slot(key: &str) -> Option<(&str, u32)> {
    let at = key.find(|c: char| c.is_ascii_digit())?;
    Some((key.get(..at)?, key.get(at..)?.parse().ok()?))
}

/// Whether a key holds a volume that the guest uses: a drive, `rootfs` or a mount point, not `unusedN`.
#[must_use]
pub fn is_volume_slot(kind: Kind, key: &str) -> bool {
    match (kind, slot(key)) {
        (Kind::Qemu, Some(("ide" | "sata" | "scsi" | "virtio" | "efidisk" | "tpmstate", _))) => {
            true
        }
        (Kind::Lxc, Some(("mp", _))) => true,
        (Kind::Lxc, None) => key == "rootfs",
        _ => false,
    }
}

/// Whether a key is `unusedN`.
#[must_use]
pub fn is_unused(key: &str) -> bool {
    matches!(slot(key), Some(("unused", _)))
}

/// All slots of drives in Proxmox VE's order.
#[must_use]
pub fn drive_slots() -> Vec<String> {
    let bus =
        |name: &'static str, count: u32| (0..count).map(move |number| format!("{name}{number}"));
    bus("ide", 4)
        .chain(bus("scsi", 31))
        .chain(bus("virtio", 16))
        .chain(bus("sata", 6))
        .chain(bus("efidisk", 1))
        .chain(bus("tpmstate", 1))
        .collect()
}

/// All slots of drives, and unused ones.
#[must_use]
pub fn drive_and_unused_slots() -> Vec<String> {
    drive_slots()
        .into_iter()
        .chain((0..256).map(|number| format!("unused{number}")))
        .collect()
}

/// All slots of a container's volumes.
#[must_use]
pub fn mount_slots() -> Vec<String> {
    std::iter::once("rootfs".to_owned())
        .chain((0..256).map(|number| format!("mp{number}")))
        .collect()
}

/// All slots of a container's volumes, and unused ones.
#[must_use]
pub fn mount_and_unused_slots() -> Vec<String> {
    mount_slots()
        .into_iter()
        .chain((0..256).map(|number| format!("unused{number}")))
        .collect()
}

fn config_id(text: &str) -> Result<(), String> {
    forms::config_id(text)
}

fn is_boot_disk(text: &str) -> bool {
    matches!(slot(text), Some(("ide" | "sata" | "scsi" | "virtio", _)))
}

fn is_parallel(text: &str) -> bool {
    let after = |prefix: &str| {
        text.strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    after("/dev/parport") || after("/dev/usb/lp")
}

fn is_serial(text: &str) -> bool {
    text == "socket" || (text.starts_with("/dev/") && text.len() > 5 && !text.contains(','))
}

fn is_vmgenid(text: &str) -> bool {
    matches!(text, "0" | "1") || uuid::Uuid::parse_str(text).is_ok_and(|_| text.len() == 36)
}

/// A host name.
///
/// # Errors
/// The complaint.
pub fn dns_name(text: &str) -> Result<(), String> {
    let label = |part: &str| {
        !part.is_empty()
            && part.len() <= 63
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    if text.split('.').all(label) {
        Ok(())
    } else {
        Err("value does not look like a valid DNS name".into())
    }
}

fn hotplug(text: &str) -> Result<(), String> {
    if matches!(text, "0" | "1") {
        return Ok(());
    }
    for part in super::super::call::split_list(text) {
        if !["network", "disk", "cpu", "memory", "usb", "cloudinit"].contains(&part.as_str()) {
            return Err(format!("invalid hotplug feature '{part}'"));
        }
    }
    Ok(())
}

fn startup(text: &str) -> Result<(), String> {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let good = text.split(',').all(|part| match part.split_once('=') {
        Some(("order" | "up" | "down", value)) => number(value),
        Some(_) => false,
        None => number(part),
    });
    if good {
        Ok(())
    } else {
        Err("unable to parse startup options".into())
    }
}

fn tags(text: &str) -> Result<(), String> {
    for tag in super::super::call::split_list(text) {
        let first = tag.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        if !first
            || !tag
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '.'))
        {
            return Err(format!("invalid characters in tag '{tag}'"));
        }
    }
    Ok(())
}
