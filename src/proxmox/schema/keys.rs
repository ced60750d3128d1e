//! The keys themselves, one line each. `[n]` stands for an index, with its greatest value beside it.

use crate::proxmox::property::Domain;
use crate::proxmox::schema::split_index;

/// What the values of a key are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueKind {
    /// `0` or `1`.
    Boolean,
    /// A whole number, with its bounds.
    Integer {
        /// The least value.
        min: Option<i64>,
        /// The greatest value.
        max: Option<i64>,
    },
    /// A number, with its bounds.
    Number {
        /// The least value.
        min: Option<f64>,
        /// The greatest value.
        max: Option<f64>,
    },
    /// One of these words.
    Enum(&'static [&'static str]),
    /// A list whose order matters.
    List,
    /// A list whose order does not matter.
    Set,
    /// Free text whose trailing white space Proxmox VE drops.
    Description,
    /// Text in which case does not matter.
    Caseless,
    /// Text.
    Text,
    /// A property string; see [`crate::proxmox::property::tables`].
    Properties,
}

/// One key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeySpec {
    /// Its name, or its stem if it is indexed.
    pub stem: &'static str,
    /// The greatest index, if it is indexed (`net0` to `net31`).
    pub max_index: Option<u32>,
    /// What its values are.
    pub value: ValueKind,
}

impl KeySpec {
    /// The name as the API writes it: `cores`, `net[n]`.
    pub fn pattern(&self) -> String {
        match self.max_index {
            Some(_) => format!("{}[n]", self.stem),
            None => self.stem.to_owned(),
        }
    }
}

const fn key(stem: &'static str, value: ValueKind) -> KeySpec {
    KeySpec {
        stem,
        max_index: None,
        value,
    }
}

const fn indexed(stem: &'static str, max_index: u32, value: ValueKind) -> KeySpec {
    KeySpec {
        stem,
        max_index: Some(max_index),
        value,
    }
}

const BOOL: ValueKind = ValueKind::Boolean;
const TEXT: ValueKind = ValueKind::Text;
const PROPS: ValueKind = ValueKind::Properties;
const INTEGER: ValueKind = ValueKind::Integer {
    min: None,
    max: None,
};

const fn from(min: i64) -> ValueKind {
    ValueKind::Integer {
        min: Some(min),
        max: None,
    }
}

const fn between(min: i64, max: i64) -> ValueKind {
    ValueKind::Integer {
        min: Some(min),
        max: Some(max),
    }
}

const fn number(min: f64, max: Option<f64>) -> ValueKind {
    ValueKind::Number {
        min: Some(min),
        max,
    }
}

const KEYBOARDS: &[&str] = &[
    "de", "de-ch", "da", "en-gb", "en-us", "es", "fi", "fr", "fr-be", "fr-ca", "fr-ch", "hu", "is",
    "it", "ja", "lt", "mk", "nl", "no", "pl", "pt", "pt-br", "sv", "sl", "tr",
];

/// The keys of a virtual machine.
pub const QEMU: &[KeySpec] = &[
    key("acpi", BOOL),
    key("affinity", TEXT),
    key("agent", PROPS),
    key("allow-ksm", BOOL),
    key("amd-sev", PROPS),
    key("arch", ValueKind::Enum(&["x86_64", "aarch64"])),
    key("args", TEXT),
    key("audio0", PROPS),
    key("autostart", BOOL),
    key("balloon", from(0)),
    key("bios", ValueKind::Enum(&["seabios", "ovmf"])),
    key("boot", PROPS),
    key("bootdisk", TEXT),
    key("cicustom", PROPS),
    key("cipassword", TEXT),
    key(
        "citype",
        ValueKind::Enum(&["configdrive2", "nocloud", "opennebula"]),
    ),
    key("ciupgrade", BOOL),
    key("ciuser", TEXT),
    key("cores", from(1)),
    key("cpu", PROPS),
    key("cpulimit", number(0.0, Some(128.0))),
    key("cpuunits", between(1, 262_144)),
    key("description", ValueKind::Description),
    key("efidisk0", PROPS),
    key("freeze", BOOL),
    key("hookscript", TEXT),
    indexed("hostpci", 15, PROPS),
    key("hotplug", ValueKind::Set),
    key("hugepages", ValueKind::Enum(&["any", "2", "1024"])),
    indexed("ide", 3, PROPS),
    key("intel-tdx", PROPS),
    indexed("ipconfig", 31, PROPS),
    key("ivshmem", PROPS),
    key("keephugepages", BOOL),
    key("keyboard", ValueKind::Enum(KEYBOARDS)),
    key("kvm", BOOL),
    key("localtime", BOOL),
    key(
        "lock",
        ValueKind::Enum(&[
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
    key("machine", PROPS),
    key("memory", PROPS),
    key("migrate_downtime", number(0.0, None)),
    key("migrate_speed", from(0)),
    key("name", TEXT),
    key("nameserver", ValueKind::List),
    indexed("net", 31, PROPS),
    key("numa", BOOL),
    indexed("numa", 7, PROPS),
    key("onboot", BOOL),
    key(
        "ostype",
        ValueKind::Enum(&[
            "other", "wxp", "w2k", "w2k3", "w2k8", "wvista", "win7", "win8", "win10", "win11",
            "l24", "l26", "solaris",
        ]),
    ),
    indexed("parallel", 2, TEXT),
    key("protection", BOOL),
    key("reboot", BOOL),
    key("rng0", PROPS),
    indexed("sata", 5, PROPS),
    indexed("scsi", 30, PROPS),
    key(
        "scsihw",
        ValueKind::Enum(&[
            "lsi",
            "lsi53c810",
            "virtio-scsi-pci",
            "virtio-scsi-single",
            "megasas",
            "pvscsi",
        ]),
    ),
    key("searchdomain", TEXT),
    indexed("serial", 3, TEXT),
    key("shares", between(0, 50_000)),
    key("smbios1", PROPS),
    key("smp", from(1)),
    key("sockets", from(1)),
    key("spice_enhancements", PROPS),
    key("sshkeys", TEXT),
    key("startdate", TEXT),
    key("startup", PROPS),
    key("tablet", BOOL),
    key("tags", ValueKind::Set),
    key("tdf", BOOL),
    key("template", BOOL),
    key("tpmstate0", PROPS),
    indexed("unused", 255, PROPS),
    indexed("usb", 13, PROPS),
    key("vcpus", from(1)),
    key("vga", PROPS),
    indexed("virtio", 15, PROPS),
    indexed("virtiofs", 9, PROPS),
    key("vmgenid", ValueKind::Caseless),
    key("vmstatestorage", TEXT),
    key("watchdog", PROPS),
];

/// The keys of a container.
pub const LXC: &[KeySpec] = &[
    key(
        "arch",
        ValueKind::Enum(&["amd64", "i386", "arm64", "armhf", "riscv32", "riscv64"]),
    ),
    key("cmode", ValueKind::Enum(&["shell", "console", "tty"])),
    key("console", BOOL),
    key("cores", between(1, 8192)),
    key("cpulimit", number(0.0, Some(8192.0))),
    key("cpuunits", between(0, 500_000)),
    key("debug", BOOL),
    key("description", ValueKind::Description),
    indexed("dev", 255, PROPS),
    key("entrypoint", TEXT),
    key("env", TEXT),
    key("features", PROPS),
    key("hookscript", TEXT),
    key("hostname", TEXT),
    key(
        "lock",
        ValueKind::Enum(&[
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
    key("memory", from(16)),
    indexed("mp", 255, PROPS),
    key("nameserver", ValueKind::List),
    indexed("net", 31, PROPS),
    key("onboot", BOOL),
    key(
        "ostype",
        ValueKind::Enum(&[
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
    key("protection", BOOL),
    key("rootfs", PROPS),
    key("searchdomain", ValueKind::List),
    key("startup", PROPS),
    key("swap", from(0)),
    key("tags", ValueKind::Set),
    key("template", BOOL),
    key("timezone", TEXT),
    key("tty", between(0, 6)),
    key("unprivileged", BOOL),
    indexed("unused", 255, PROPS),
];

/// The options of a storage definition, of all types together.
pub const STORAGE: &[KeySpec] = &[
    key("authsupported", TEXT),
    key("base", TEXT),
    key("blocksize", ValueKind::Caseless),
    key("bwlimit", PROPS),
    key("comstar_hg", TEXT),
    key("comstar_tg", TEXT),
    key("content", ValueKind::Set),
    key("content-dirs", ValueKind::Set),
    key("create-base-path", BOOL),
    key("create-subdirs", BOOL),
    key("data-pool", TEXT),
    key("datastore", TEXT),
    key("disable", BOOL),
    key("domain", TEXT),
    key("encryption-key", TEXT),
    key("export", TEXT),
    key("fingerprint", ValueKind::Caseless),
    key(
        "format",
        ValueKind::Enum(&["raw", "qcow2", "subvol", "vmdk"]),
    ),
    key("fs-name", TEXT),
    key("fuse", BOOL),
    key("is_mountpoint", TEXT),
    key("iscsiprovider", TEXT),
    key("keyring", TEXT),
    key("krbd", BOOL),
    key("lio_tpg", TEXT),
    key("master-pubkey", TEXT),
    key("max-protected-backups", from(-1)),
    key("mkdir", BOOL),
    key("monhost", ValueKind::Set),
    key("mountpoint", TEXT),
    key("namespace", TEXT),
    key("nocow", BOOL),
    key("nodes", ValueKind::Set),
    key("nowritecache", BOOL),
    key("options", TEXT),
    key("password", TEXT),
    key("path", TEXT),
    key("pool", TEXT),
    key("port", between(1, 65_535)),
    key("portal", TEXT),
    key(
        "preallocation",
        ValueKind::Enum(&["off", "metadata", "falloc", "full"]),
    ),
    key("prune-backups", PROPS),
    key("saferemove", BOOL),
    key("saferemove-stepsize", between(1, 32)),
    key("saferemove_throughput", TEXT),
    key("server", TEXT),
    key("share", TEXT),
    key("shared", BOOL),
    key("skip-cert-verification", BOOL),
    key(
        "smbversion",
        ValueKind::Enum(&["default", "2.0", "2.1", "3", "3.0", "3.11"]),
    ),
    key("snapshot-as-volume-chain", BOOL),
    key("sparse", BOOL),
    key("subdir", TEXT),
    key("tagged_only", BOOL),
    key("target", TEXT),
    key("thinpool", TEXT),
    key("username", TEXT),
    key("vgname", TEXT),
    key("zfs-base-path", TEXT),
];

/// The options of a backup job.
pub const BACKUP_JOB: &[KeySpec] = &[
    key("all", BOOL),
    key("bwlimit", from(0)),
    key("comment", TEXT),
    key(
        "compress",
        ValueKind::Enum(&["0", "1", "gzip", "lzo", "zstd"]),
    ),
    key("dumpdir", TEXT),
    key("enabled", BOOL),
    key("exclude", ValueKind::Set),
    key("exclude-path", TEXT),
    key("fleecing", PROPS),
    key("ionice", between(0, 8)),
    key("lockwait", from(0)),
    key("mailnotification", ValueKind::Enum(&["always", "failure"])),
    key("mailto", ValueKind::Set),
    key("mode", ValueKind::Enum(&["snapshot", "suspend", "stop"])),
    key("node", TEXT),
    key("notes-template", TEXT),
    key(
        "notification-mode",
        ValueKind::Enum(&["auto", "legacy-sendmail", "notification-system"]),
    ),
    key(
        "pbs-change-detection-mode",
        ValueKind::Enum(&["legacy", "data", "metadata"]),
    ),
    key("performance", PROPS),
    key("pigz", INTEGER),
    key("pool", TEXT),
    key("protected", BOOL),
    key("prune-backups", PROPS),
    key("quiet", BOOL),
    key("remove", BOOL),
    key("repeat-missed", BOOL),
    key("schedule", TEXT),
    key("script", TEXT),
    key("stdexcludes", BOOL),
    key("stopwait", from(0)),
    key("storage", TEXT),
    key("tmpdir", TEXT),
    key("vmid", ValueKind::Set),
    key("zstd", INTEGER),
];

/// The options of a replication job.
pub const REPLICATION_JOB: &[KeySpec] = &[
    key("comment", TEXT),
    key("disable", BOOL),
    key(
        "rate",
        ValueKind::Number {
            min: Some(1.0),
            max: None,
        },
    ),
    key("remove_job", ValueKind::Enum(&["local", "full"])),
    key("schedule", TEXT),
    key("source", TEXT),
];

/// The settings of a realm.
pub const REALM: &[KeySpec] = &[
    key("acr-values", TEXT),
    key("audiences", TEXT),
    key("autocreate", BOOL),
    key("base_dn", TEXT),
    key("bind_dn", TEXT),
    key("capath", TEXT),
    key("case-sensitive", BOOL),
    key("cert", TEXT),
    key("certkey", TEXT),
    key("client-id", TEXT),
    key("client-key", TEXT),
    key("comment", TEXT),
    key("default", BOOL),
    key("domain", TEXT),
    key("filter", TEXT),
    key("group_classes", ValueKind::Set),
    key("group_dn", TEXT),
    key("group_filter", TEXT),
    key("group_name_attr", TEXT),
    key("groups-autocreate", BOOL),
    key("groups-claim", TEXT),
    key("groups-overwrite", BOOL),
    key("issuer-url", TEXT),
    key("mode", TEXT),
    key("password", TEXT),
    key("port", from(1)),
    key("prompt", TEXT),
    key("query-userinfo", BOOL),
    key("scopes", TEXT),
    key("secure", BOOL),
    key("server1", TEXT),
    key("server2", TEXT),
    key("sslversion", TEXT),
    key("sync-defaults-options", PROPS),
    key("sync_attributes", TEXT),
    key("tfa", PROPS),
    key("user_attr", TEXT),
    key("user_classes", ValueKind::Set),
    key("username-claim", TEXT),
    key("verify", BOOL),
];

/// Every key of a domain that has a table here.
pub fn keys(domain: Domain) -> &'static [KeySpec] {
    match domain {
        Domain::Qemu => QEMU,
        Domain::Lxc => LXC,
        Domain::Storage => STORAGE,
        Domain::BackupJob => BACKUP_JOB,
        Domain::ReplicationJob => REPLICATION_JOB,
        Domain::Realm => REALM,
        Domain::Firewall | Domain::Cluster => &[],
    }
}

/// A key by its name as it stands in a configuration (`cores`, `net0`), if it exists and its index is within bounds.
pub fn key_spec(domain: Domain, name: &str) -> Option<&'static KeySpec> {
    let table = keys(domain);
    if let Some(spec) = table
        .iter()
        .find(|spec| spec.max_index.is_none() && spec.stem == name)
    {
        return Some(spec);
    }
    let (stem, index) = split_index(name);
    let index = index?;
    table
        .iter()
        .find(|spec| spec.stem == stem && spec.max_index.is_some_and(|max| index <= max))
}

/// Whether a key of a guest is a place for a volume or medium: a drive, a root file system, a mount point or `unusedN`.
pub fn is_volume_key(domain: Domain, name: &str) -> bool {
    let (stem, index) = split_index(name);
    match domain {
        Domain::Qemu => {
            matches!(name, "efidisk0" | "tpmstate0")
                || (index.is_some()
                    && matches!(stem, "ide" | "sata" | "scsi" | "virtio" | "unused"))
        }
        Domain::Lxc => name == "rootfs" || (index.is_some() && matches!(stem, "mp" | "unused")),
        Domain::Storage
        | Domain::BackupJob
        | Domain::ReplicationJob
        | Domain::Realm
        | Domain::Firewall
        | Domain::Cluster => false,
    }
}
