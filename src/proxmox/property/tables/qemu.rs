//! Options of a virtual machine's keys.

use super::super::{Field, Format, Kind};
use super::{STARTUP, field, format, number, off, on, preset, required, text, tristate};

/// `efidisk0`, `tpmstate0` and the buses' own options come after these.
const DRIVE: &[Field] = &[
    required("file", Kind::Text),
    field("aio", Kind::Text),
    on("backup"),
    number("bps"),
    number("bps_max_length"),
    number("bps_rd"),
    number("bps_rd_max_length"),
    number("bps_wr"),
    number("bps_wr_max_length"),
    text("cache"),
    on("detect_zeroes"),
    preset("discard", Kind::Text, "ignore"),
    text("format"),
    text("import-from"),
    number("iops"),
    number("iops_max"),
    number("iops_max_length"),
    number("iops_rd"),
    number("iops_rd_max"),
    number("iops_rd_max_length"),
    number("iops_wr"),
    number("iops_wr_max"),
    number("iops_wr_max_length"),
    number("mbps"),
    number("mbps_max"),
    number("mbps_rd"),
    number("mbps_rd_max"),
    number("mbps_wr"),
    number("mbps_wr_max"),
    preset("media", Kind::Text, "disk"),
    on("replicate"),
    text("rerror"),
    text("serial"),
    off("shared"),
    field("size", Kind::Size),
    off("snapshot"),
    text("werror"),
];

const DRIVE_ALIASES: &[(&str, &str)] = &[
    ("volume", "file"),
    ("bps_rd_length", "bps_rd_max_length"),
    ("bps_wr_length", "bps_wr_max_length"),
    ("iops_rd_length", "iops_rd_max_length"),
    ("iops_wr_length", "iops_wr_max_length"),
];

const fn drive(fields: &'static [&'static [Field]]) -> Format {
    Format {
        default_key: Some("file"),
        fields,
        aliases: DRIVE_ALIASES,
        combined: None,
        informational: &["size"],
    }
}

static IDE: Format = drive(&[
    DRIVE,
    &[text("model"), off("ssd"), field("wwn", Kind::Caseless)],
]);

static SATA: Format = drive(&[DRIVE, &[off("ssd"), field("wwn", Kind::Caseless)]]);

static SCSI: Format = drive(&[
    DRIVE,
    &[
        off("iothread"),
        text("product"),
        number("queues"),
        off("ro"),
        off("scsiblock"),
        off("ssd"),
        text("vendor"),
        field("wwn", Kind::Caseless),
    ],
]);

static VIRTIO: Format = drive(&[DRIVE, &[off("iothread"), off("ro")]]);

static EFIDISK: Format = drive(&[&[
    required("file", Kind::Text),
    preset("efitype", Kind::Text, "2m"),
    text("format"),
    text("import-from"),
    preset("ms-cert", Kind::Text, "2011"),
    off("pre-enrolled-keys"),
    field("size", Kind::Size),
]]);

static TPMSTATE: Format = drive(&[&[
    required("file", Kind::Text),
    text("format"),
    text("import-from"),
    field("size", Kind::Size),
    preset("version", Kind::Text, "v1.2"),
]]);

static UNUSED_QEMU: Format = drive(&[&[required("file", Kind::Text), field("size", Kind::Size)]]);

/// The models of network cards a VM can have.
pub const NIC_MODELS: &[&str] = &[
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

static NET_QEMU: Format = Format {
    default_key: Some("model"),
    fields: &[&[
        required("model", Kind::Text),
        text("bridge"),
        off("firewall"),
        off("link_down"),
        field("macaddr", Kind::Caseless),
        number("mtu"),
        preset("queues", Kind::Number, "0"),
        number("rate"),
        number("tag"),
        field("trunks", Kind::Set),
    ]],
    aliases: &[],
    combined: Some(("model", "macaddr", NIC_MODELS)),
    informational: &[],
};

static AGENT: Format = Format {
    default_key: Some("enabled"),
    fields: &[&[
        Field {
            name: "enabled",
            kind: Kind::Boolean,
            default: Some("0"),
            required: true,
        },
        on("freeze-fs"),
        off("fstrim_cloned_disks"),
        preset("type", Kind::Text, "virtio"),
    ]],
    aliases: &[
        ("freeze-fs-on-backup", "freeze-fs"),
        ("guest-fsfreeze", "freeze-fs"),
    ],
    combined: None,
    informational: &[],
};

static CPU: Format = format(
    Some("cputype"),
    &[&[
        text("cputype"),
        field("flags", Kind::Set),
        number("guest-phys-bits"),
        off("hidden"),
        text("hv-vendor-id"),
        number("level"),
        text("phys-bits"),
        preset("reported-model", Kind::Text, "kvm64"),
    ]],
);

static VGA: Format = format(
    Some("type"),
    &[&[
        text("clipboard"),
        number("memory"),
        preset("type", Kind::Text, "std"),
    ]],
);

static SMBIOS: Format = format(
    None,
    &[&[
        off("base64"),
        text("family"),
        text("manufacturer"),
        text("product"),
        text("serial"),
        text("sku"),
        field("uuid", Kind::Caseless),
        text("version"),
    ]],
);

static IPCONFIG: Format = format(
    None,
    &[&[
        text("gw"),
        field("gw6", Kind::Caseless),
        text("ip"),
        field("ip6", Kind::Caseless),
    ]],
);

static BOOT: Format = format(
    Some("legacy"),
    &[&[text("legacy"), field("order", Kind::List)]],
);

static NUMA_NODE: Format = format(
    None,
    &[&[
        required("cpus", Kind::List),
        field("hostnodes", Kind::List),
        number("memory"),
        text("policy"),
    ]],
);

static HOSTPCI: Format = format(
    Some("host"),
    &[&[
        field("host", Kind::Caseless),
        field("device-id", Kind::Caseless),
        text("driver"),
        off("legacy-igd"),
        text("mapping"),
        text("mdev"),
        off("pcie"),
        on("rombar"),
        text("romfile"),
        field("sub-device-id", Kind::Caseless),
        field("sub-vendor-id", Kind::Caseless),
        field("vendor-id", Kind::Caseless),
        off("x-vga"),
    ]],
);

static USB: Format = format(
    Some("host"),
    &[&[field("host", Kind::Caseless), text("mapping"), off("usb3")]],
);

static WATCHDOG: Format = format(
    Some("model"),
    &[&[text("action"), preset("model", Kind::Text, "i6300esb")]],
);

static RNG: Format = format(
    Some("source"),
    &[&[
        preset("max_bytes", Kind::Number, "1024"),
        preset("period", Kind::Number, "1000"),
        required("source", Kind::Text),
    ]],
);

static AUDIO: Format = format(
    None,
    &[&[
        required("device", Kind::Text),
        preset("driver", Kind::Text, "spice"),
    ]],
);

static VIRTIOFS: Format = format(
    Some("dirid"),
    &[&[
        required("dirid", Kind::Text),
        preset("cache", Kind::Text, "auto"),
        off("direct-io"),
        off("expose-acl"),
        off("expose-xattr"),
    ]],
);

static SPICE: Format = format(
    None,
    &[&[
        off("foldersharing"),
        preset("videostreaming", Kind::Text, "off"),
    ]],
);

static CICUSTOM: Format = format(
    None,
    &[&[text("meta"), text("network"), text("user"), text("vendor")]],
);

static IVSHMEM: Format = format(None, &[&[required("size", Kind::Number), text("name")]]);

static MACHINE: Format = format(
    Some("type"),
    &[&[
        number("aw-bits"),
        tristate("enable-s3"),
        tristate("enable-s4"),
        text("type"),
        text("viommu"),
    ]],
);

static MEMORY: Format = format(
    Some("current"),
    &[&[Field {
        name: "current",
        kind: Kind::Number,
        default: Some("512"),
        required: true,
    }]],
);

static SEV: Format = format(
    Some("type"),
    &[&[
        required("type", Kind::Text),
        on("allow-smt"),
        off("kernel-hashes"),
        off("no-debug"),
        off("no-key-sharing"),
    ]],
);

static TDX: Format = format(
    Some("type"),
    &[&[
        required("type", Kind::Text),
        Field {
            name: "attestation",
            kind: Kind::Boolean,
            default: Some("1"),
            required: true,
        },
        number("vsock-cid"),
        number("vsock-port"),
    ]],
);

static META: Format = format(None, &[&[text("creation-qemu"), number("ctime")]]);

/// The format of a key's value.
pub(super) fn format_of(key: &str, stem: &str, indexed: bool) -> Option<&'static Format> {
    Some(match key {
        "agent" => &AGENT,
        "cpu" => &CPU,
        "vga" => &VGA,
        "startup" => &STARTUP,
        "boot" => &BOOT,
        "spice_enhancements" => &SPICE,
        "cicustom" => &CICUSTOM,
        "ivshmem" => &IVSHMEM,
        "machine" => &MACHINE,
        "memory" => &MEMORY,
        "watchdog" => &WATCHDOG,
        "amd-sev" => &SEV,
        "intel-tdx" => &TDX,
        "meta" => &META,
        "smbios1" => &SMBIOS,
        "efidisk0" => &EFIDISK,
        "tpmstate0" => &TPMSTATE,
        "rng0" => &RNG,
        "audio0" => &AUDIO,
        _ if !indexed => return None,
        _ => match stem {
            "ide" => &IDE,
            "sata" => &SATA,
            "scsi" => &SCSI,
            "virtio" => &VIRTIO,
            "unused" => &UNUSED_QEMU,
            "net" => &NET_QEMU,
            "ipconfig" => &IPCONFIG,
            "numa" => &NUMA_NODE,
            "hostpci" => &HOSTPCI,
            "usb" => &USB,
            "virtiofs" => &VIRTIOFS,
            _ => return None,
        },
    })
}
