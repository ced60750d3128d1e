//! The property strings of guests as tables, and the forms of their fields (qemu-server and pve-container of
//! Proxmox VE 9). Data and small checks only.

use super::super::params::Kind;
use super::forms::{
    bridge, disk_size, ipv4, ipv4_config, ipv6, ipv6_config, legacy_boot, mac, octal, ranges,
    volume_id, volume_or_path, word, wwn,
};
use super::props::{Field, Role, Schema};

const fn optional(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        role: Role::Optional,
    }
}
const fn required(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        role: Role::Required,
    }
}
const fn default(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        role: Role::Default,
    }
}
const fn bare(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        role: Role::OptionalDefault,
    }
}
const fn alias(name: &'static str, of: &'static str) -> Field {
    Field {
        name,
        kind: Kind::Text,
        role: Role::Alias(of),
    }
}
const fn model(name: &'static str) -> Field {
    Field {
        name,
        kind: Kind::Text,
        role: Role::KeyAlias("model", "macaddr"),
    }
}

const ANY: Kind = Kind::Integer(i64::MIN, i64::MAX);
const FROM_0: Kind = Kind::Integer(0, i64::MAX);
const FROM_1: Kind = Kind::Integer(1, i64::MAX);
const FLAG: Kind = Kind::Boolean;
const NUMBER: Kind = Kind::Number(f64::MIN);
const VOLUME: Kind = Kind::Form(volume_or_path);
const SIZE: Kind = Kind::Form(disk_size);
const MAC: Kind = Kind::Form(mac);
const DISK_FORMATS: Kind = Kind::Enum(&["raw", "qcow", "qed", "qcow2", "vmdk", "cloop"]);

const DRIVE: &[Field] = &[
    default("file", VOLUME),
    alias("volume", "file"),
    optional("aio", Kind::Enum(&["native", "threads", "io_uring"])),
    optional("backup", FLAG),
    optional("bps", ANY),
    optional("bps_max_length", FROM_1),
    optional("bps_rd", ANY),
    alias("bps_rd_length", "bps_rd_max_length"),
    optional("bps_rd_max_length", FROM_1),
    optional("bps_wr", ANY),
    alias("bps_wr_length", "bps_wr_max_length"),
    optional("bps_wr_max_length", FROM_1),
    optional(
        "cache",
        Kind::Enum(&["none", "writethrough", "writeback", "unsafe", "directsync"]),
    ),
    optional("detect_zeroes", FLAG),
    optional("discard", Kind::Enum(&["ignore", "on"])),
    optional("format", DISK_FORMATS),
    optional("import-from", Kind::Text),
    optional("iops", ANY),
    optional("iops_max", ANY),
    optional("iops_max_length", FROM_1),
    optional("iops_rd", ANY),
    alias("iops_rd_length", "iops_rd_max_length"),
    optional("iops_rd_max", ANY),
    optional("iops_rd_max_length", FROM_1),
    optional("iops_wr", ANY),
    alias("iops_wr_length", "iops_wr_max_length"),
    optional("iops_wr_max", ANY),
    optional("iops_wr_max_length", FROM_1),
    optional("mbps", NUMBER),
    optional("mbps_max", NUMBER),
    optional("mbps_rd", NUMBER),
    optional("mbps_rd_max", NUMBER),
    optional("mbps_wr", NUMBER),
    optional("mbps_wr_max", NUMBER),
    optional("media", Kind::Enum(&["cdrom", "disk"])),
    optional("replicate", FLAG),
    optional("rerror", Kind::Enum(&["ignore", "report", "stop"])),
    optional("serial", Kind::TextMax(60)),
    optional("shared", FLAG),
    optional("size", SIZE),
    optional("snapshot", FLAG),
    optional(
        "werror",
        Kind::Enum(&["enospc", "ignore", "report", "stop"]),
    ),
];
const SSD_WWN: &[Field] = &[optional("ssd", FLAG), optional("wwn", Kind::Pattern(wwn))];
const IOTHREAD_RO: &[Field] = &[optional("iothread", FLAG), optional("ro", FLAG)];
/// `ideN`.
pub const IDE: Schema = &[DRIVE, SSD_WWN, &[optional("model", Kind::TextMax(120))]];
/// `sataN`.
pub const SATA: Schema = &[DRIVE, SSD_WWN];
/// `scsiN`.
pub const SCSI: Schema = &[
    DRIVE,
    SSD_WWN,
    IOTHREAD_RO,
    &[
        optional("product", Kind::TextMax(16)),
        optional("queues", Kind::Integer(2, i64::MAX)),
        optional("scsiblock", FLAG),
        optional("vendor", Kind::TextMax(8)),
    ],
];
/// `virtioN`.
pub const VIRTIO: Schema = &[DRIVE, IOTHREAD_RO];
/// `efidisk0`.
pub const EFIDISK: Schema = &[&[
    default("file", VOLUME),
    alias("volume", "file"),
    optional("efitype", Kind::Enum(&["2m", "4m"])),
    optional("format", DISK_FORMATS),
    optional("import-from", Kind::Text),
    optional("ms-cert", Kind::Enum(&["2011", "2023", "2023w", "2023k"])),
    optional("pre-enrolled-keys", FLAG),
    optional("size", SIZE),
]];
/// `tpmstate0`.
pub const TPMSTATE: Schema = &[&[
    default("file", VOLUME),
    alias("volume", "file"),
    optional("format", Kind::Enum(&["raw", "qcow2", "vmdk"])),
    optional("import-from", Kind::Text),
    optional("size", SIZE),
    optional("version", Kind::Enum(&["v1.2", "v2.0"])),
]];
/// `unusedN` of virtual machines.
pub const VM_UNUSED: Schema = &[&[
    default("file", Kind::Form(volume_id)),
    alias("volume", "file"),
]];
/// `unusedN` of containers.
pub const CT_UNUSED: Schema = &[&[default("volume", Kind::Form(volume_id))]];

/// Network card models.
pub const MODELS: &[&str] = &[
    "e1000",
    "e1000-82540em",
    "e1000-82544gc",
    "e1000-82545em",
    "e1000e",
    "i82551",
    "i82557b",
    "i82559er",
    "ne2k_isa",
    "ne2k_pci",
    "pcnet",
    "rtl8139",
    "virtio",
    "vmxnet3",
];
/// `netN` of virtual machines.
pub const VM_NET: Schema = &[
    &[
        default("model", Kind::Enum(MODELS)),
        optional("bridge", Kind::Form(bridge)),
        optional("firewall", FLAG),
        optional("link_down", FLAG),
        optional("macaddr", MAC),
        optional("mtu", Kind::Integer(1, 65520)),
        optional("queues", Kind::Integer(0, 64)),
        optional("rate", Kind::Number(0.0)),
        optional("tag", Kind::Integer(1, 4094)),
        optional("trunks", Kind::Pattern(ranges)),
    ],
    &[
        model("e1000"),
        model("e1000-82540em"),
        model("e1000-82544gc"),
        model("e1000-82545em"),
        model("e1000e"),
        model("i82551"),
        model("i82557b"),
        model("i82559er"),
        model("ne2k_isa"),
        model("ne2k_pci"),
        model("pcnet"),
        model("rtl8139"),
        model("virtio"),
        model("vmxnet3"),
    ],
];
/// `memory` of virtual machines.
pub const VM_MEMORY: Schema = &[&[default("current", Kind::Integer(16, i64::MAX))]];
/// `agent`.
pub const AGENT: Schema = &[&[
    default("enabled", FLAG),
    optional("freeze-fs", FLAG),
    alias("freeze-fs-on-backup", "freeze-fs"),
    optional("fstrim_cloned_disks", FLAG),
    alias("guest-fsfreeze", "freeze-fs"),
    optional("type", Kind::Enum(&["virtio", "isa"])),
]];
/// `audio0`.
pub const AUDIO: Schema = &[&[
    required(
        "device",
        Kind::Enum(&["ich9-intel-hda", "intel-hda", "AC97"]),
    ),
    optional("driver", Kind::Enum(&["spice", "none"])),
]];
/// `boot`.
pub const BOOT: Schema = &[&[
    bare("legacy", Kind::Pattern(legacy_boot)),
    optional("order", Kind::Text),
]];
/// `cpu`.
pub const CPU: Schema = &[&[
    bare("cputype", Kind::Text),
    optional("flags", Kind::Text),
    optional("guest-phys-bits", Kind::Integer(32, 64)),
    optional("hidden", FLAG),
    optional("hv-vendor-id", Kind::Text),
    optional("level", Kind::Integer(1, i64::MAX)),
    optional("phys-bits", Kind::Text),
    optional("reported-model", Kind::Text),
]];
/// `cicustom`.
pub const CICUSTOM: Schema = &[&[
    optional("meta", Kind::Form(volume_id)),
    optional("network", Kind::Form(volume_id)),
    optional("user", Kind::Form(volume_id)),
    optional("vendor", Kind::Form(volume_id)),
]];
/// `ipconfigN`.
pub const IPCONFIG: Schema = &[&[
    optional("gw", Kind::Form(ipv4)),
    optional("gw6", Kind::Form(ipv6)),
    optional("ip", Kind::Form(ipv4_config)),
    optional("ip6", Kind::Form(ipv6_config)),
]];
/// `hostpciN`.
pub const HOSTPCI: Schema = &[&[
    bare("host", Kind::Text),
    optional("device-id", Kind::Text),
    optional("driver", Kind::Enum(&["vfio", "keep"])),
    optional("legacy-igd", FLAG),
    optional("mapping", Kind::Form(super::super::formats::config_id)),
    optional("mdev", Kind::Text),
    optional("pcie", FLAG),
    optional("rombar", FLAG),
    optional("romfile", Kind::Text),
    optional("sub-device-id", Kind::Text),
    optional("sub-vendor-id", Kind::Text),
    optional("vendor-id", Kind::Text),
    optional("x-vga", FLAG),
]];
/// `usbN`.
pub const USB: Schema = &[&[
    bare("host", Kind::Text),
    optional("mapping", Kind::Form(super::super::formats::config_id)),
    optional("usb3", FLAG),
]];
/// `numaN`.
pub const NUMA: Schema = &[&[
    required("cpus", Kind::Pattern(ranges)),
    optional("hostnodes", Kind::Pattern(ranges)),
    optional("memory", NUMBER),
    optional("policy", Kind::Enum(&["preferred", "bind", "interleave"])),
]];
/// `machine`.
pub const MACHINE: Schema = &[&[
    bare("type", Kind::TextMax(40)),
    optional("aw-bits", NUMBER),
    optional("enable-s3", FLAG),
    optional("enable-s4", FLAG),
    optional("viommu", Kind::Enum(&["intel", "virtio"])),
]];
/// `vga`.
pub const VGA: Schema = &[&[
    bare(
        "type",
        Kind::Enum(&[
            "cirrus",
            "qxl",
            "qxl2",
            "qxl3",
            "qxl4",
            "none",
            "serial0",
            "serial1",
            "serial2",
            "serial3",
            "std",
            "virtio",
            "virtio-gl",
            "vmware",
        ]),
    ),
    optional("clipboard", Kind::Enum(&["vnc"])),
    optional("memory", Kind::Integer(4, 512)),
]];
/// `rng0`.
pub const RNG: Schema = &[&[
    default("source", Kind::Text),
    optional("max_bytes", FROM_0),
    optional("period", FROM_0),
]];
/// `watchdog`.
pub const WATCHDOG: Schema = &[&[
    bare("model", Kind::Enum(&["i6300esb", "ib700"])),
    optional(
        "action",
        Kind::Enum(&["reset", "shutdown", "poweroff", "pause", "debug", "none"]),
    ),
]];
/// `virtiofsN`.
pub const VIRTIOFS: Schema = &[&[
    default("dirid", Kind::Form(super::super::formats::config_id)),
    optional(
        "cache",
        Kind::Enum(&["auto", "always", "metadata", "never"]),
    ),
    optional("direct-io", FLAG),
    optional("expose-acl", FLAG),
    optional("expose-xattr", FLAG),
]];
/// `ivshmem`.
pub const IVSHMEM: Schema = &[&[required("size", FROM_1), optional("name", Kind::Text)]];
/// `spice_enhancements`.
pub const SPICE: Schema = &[&[
    optional("foldersharing", FLAG),
    optional("videostreaming", Kind::Enum(&["off", "all", "filter"])),
]];

const CT_VOLUME: &[Field] = &[
    default("volume", Kind::Text),
    optional("acl", FLAG),
    optional("idmap", Kind::Text),
    optional("mountoptions", Kind::Text),
    optional("quota", FLAG),
    optional("replicate", FLAG),
    optional("ro", FLAG),
    optional("shared", FLAG),
    optional("size", SIZE),
];
/// `rootfs`.
pub const CT_ROOTFS: Schema = &[CT_VOLUME];
/// `mpN`.
pub const CT_MOUNT: Schema = &[
    CT_VOLUME,
    &[
        required("mp", Kind::Text),
        optional("backup", FLAG),
        optional("keepattrs", FLAG),
    ],
];
/// `devN`.
pub const CT_DEVICE: Schema = &[&[
    bare("path", Kind::Text),
    optional("deny-write", FLAG),
    optional("gid", FROM_0),
    optional("mode", Kind::Pattern(octal)),
    optional("uid", FROM_0),
]];
/// `features`.
pub const CT_FEATURES: Schema = &[&[
    optional("force_rw_sys", FLAG),
    optional("fuse", FLAG),
    optional("keyctl", FLAG),
    optional("mknod", FLAG),
    optional("mount", Kind::Text),
    optional("nesting", FLAG),
]];
/// `netN` of containers.
pub const CT_NET: Schema = &[&[
    required("name", Kind::Pattern(word)),
    optional("bridge", Kind::Pattern(word)),
    optional("firewall", FLAG),
    optional("gw", Kind::Form(ipv4)),
    optional("gw6", Kind::Form(ipv6)),
    optional("host-managed", FLAG),
    optional("hwaddr", MAC),
    optional("ip", Kind::Form(ipv4_config)),
    optional("ip6", Kind::Form(ipv6_config)),
    optional("link_down", FLAG),
    optional("mtu", Kind::Integer(64, 65535)),
    optional("rate", NUMBER),
    optional("tag", Kind::Integer(1, 4094)),
    optional("trunks", Kind::Pattern(ranges)),
    optional("type", Kind::Enum(&["veth"])),
]];
