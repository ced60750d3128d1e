//! Keys of Proxmox VE that no document may set, each with the reason; and those a request carries that are no options at all.
//! The lists are facts of Proxmox VE 9 (qemu-server's and pve-container's permission checks), restated.

use super::Kind;

/// Why `root@pam` alone may set a key.
const ROOT: &str = "Proxmox VE lets only root@pam with a password set it, never an API token";
const REQUEST: &str = "it is a parameter of a request, not an option of the object";

/// Keys of virtual machines.
const MACHINE: &[(&str, &str)] = &[
    ("affinity", ROOT),
    ("amd-sev", ROOT),
    ("arch", ROOT),
    ("args", ROOT),
    ("hookscript", ROOT),
    ("hugepages", ROOT),
    ("intel-tdx", ROOT),
    ("ivshmem", ROOT),
    ("keephugepages", ROOT),
    ("lock", ROOT),
    ("parallel[n]", ROOT),
    ("skiplock", ROOT),
    ("spice_enhancements", ROOT),
    ("vmgenid", ROOT),
    (
        "archive",
        "it says where a guest comes from; use `spec.restoreFrom`",
    ),
    ("autostart", "Proxmox VE ignores it; use `spec.onBoot`"),
    ("bootdisk", "it is an old name; use `spec.bootOrder`"),
    ("cdrom", "it is an old name of `ide2`; use `spec.cdroms`"),
    (
        "smp",
        "it is an old name; use `spec.cpu.sockets` and `spec.cpu.cores`",
    ),
    (
        "template",
        "a template is made by `spec.isTemplate`; it cannot be undone and is not an option of the machine",
    ),
    (
        "unused[n]",
        "a detached volume is not configured; attach it with `spec.disks.SLOT.volume`",
    ),
    (
        "meta",
        "Proxmox VE writes it; it is part of the machine's identity",
    ),
    (
        "ha-managed",
        "high availability is managed by documents of its own",
    ),
    ("background_delay", REQUEST),
    ("bwlimit", REQUEST),
    ("delete", "write the field as `null`"),
    ("digest", REQUEST),
    ("force", REQUEST),
    ("import-working-storage", REQUEST),
    ("live-restore", REQUEST),
    ("reboot", REQUEST),
    ("revert", REQUEST),
    (
        "storage",
        "each disk names its storage; use `spec.disks.SLOT.storage`",
    ),
    ("unique", REQUEST),
];

/// Keys of containers.
const CONTAINER: &[(&str, &str)] = &[
    ("dev[n]", ROOT),
    ("hookscript", ROOT),
    ("lock", ROOT),
    ("skiplock", ROOT),
    ("lxc", ROOT),
    ("fuse", ROOT),
    ("keyctl", ROOT),
    ("mknod", ROOT),
    ("mount", ROOT),
    ("force_rw_sys", ROOT),
    (
        "template",
        "a template is made by `spec.isTemplate`; it cannot be undone and is not an option of the container",
    ),
    (
        "unused[n]",
        "a detached volume is not configured; mount it with `spec.mountPoints.mpN.volume`",
    ),
    (
        "ha-managed",
        "high availability is managed by documents of its own",
    ),
    ("bwlimit", REQUEST),
    ("delete", "write the field as `null`"),
    ("digest", REQUEST),
    ("force", REQUEST),
    ("ignore-unpack-errors", REQUEST),
    (
        "restore",
        "it says where a guest comes from; use `spec.restoreFrom`",
    ),
    ("revert", REQUEST),
    (
        "storage",
        "each volume names its storage; use `spec.rootFs.storage`",
    ),
    ("unique", REQUEST),
];

/// Keys of storages.
const STORAGE: &[(&str, &str)] = &[
    ("authsupported", "no type of storage accepts it any more"),
    (
        "maxfiles",
        "Proxmox VE 9 dropped it; use `spec.pruneBackups`",
    ),
    ("delete", "write the field as `null`"),
    ("digest", REQUEST),
];

/// Keys of pools.
const POOL: &[(&str, &str)] = &[
    (
        "allow-move",
        "a guest that is in another pool is moved anyway",
    ),
    ("delete", REQUEST),
];

/// Keys of backup jobs.
const BACKUP_JOB: &[(&str, &str)] = &[
    ("dumpdir", ROOT),
    ("script", ROOT),
    ("tmpdir", ROOT),
    ("dow", "it is an old name; use `spec.schedule`"),
    ("starttime", "it is an old name; use `spec.schedule`"),
    (
        "maxfiles",
        "Proxmox VE 9 dropped it; use `spec.pruneBackups`",
    ),
    ("size", "Proxmox VE ignores it"),
    (
        "stop",
        "it stops backups that run, once, and is not an option of the job",
    ),
    ("stdout", REQUEST),
    ("job-id", REQUEST),
    ("type", "every backup job has the type `vzdump`"),
    ("delete", "write the field as `null`"),
    ("digest", REQUEST),
];

/// Keys of snapshots.
const SNAPSHOT: &[(&str, &str)] = &[("node", REQUEST)];

/// Keys of replication jobs.
const REPLICATION_JOB: &[(&str, &str)] = &[
    ("type", "every replication job has the type `local`"),
    (
        "source",
        "it is Proxmox VE's own note of where the guest was; the guest's node says it",
    ),
    (
        "remove_job",
        "it marks the job for removal; remove the document instead, with the annotation `bailiwick.dev/deletion: delete`",
    ),
    ("jobnum", "it is the end of `spec.id`"),
    ("delete", "write the field as `null`"),
    ("digest", REQUEST),
];

/// Keys of images.
const IMAGE: &[(&str, &str)] = &[
    ("size", "it is the downloaded file's own"),
    (
        "overwrite",
        "a file that is there is never downloaded again; write another `spec.filename`",
    ),
];

/// Keys of users.
const USER: &[(&str, &str)] = &[
    (
        "keys",
        "second factors are each user's own; they are set in the web interface",
    ),
    ("append", "the groups of a document are all of them"),
];

/// Keys of roles.
const ROLE: &[(&str, &str)] = &[("append", "the privileges of a document are all of them")];

/// Keys of access rules.
const ACCESS_RULE: &[(&str, &str)] = &[("delete", REQUEST)];

/// Keys of tokens.
const API_TOKEN: &[(&str, &str)] = &[
    (
        "regenerate",
        "a token that is there keeps its secret: to have another one, delete the token and have it made anew",
    ),
    ("delete", "write the field as `null`"),
];

/// Keys of realms.
const REALM: &[(&str, &str)] = &[
    ("secure", "it is an old name; use `spec.mode`"),
    (
        "check-connection",
        "it has Proxmox VE try the server once, and is no setting of the realm",
    ),
    ("delete", "write the field as `null`"),
    ("digest", REQUEST),
];

/// Keys of aliases and sets of firewalls.
const FIREWALL: &[(&str, &str)] = &[
    (
        "vnet",
        "a vnet has no aliases and sets of its own; its rules use the datacenter's",
    ),
    (
        "node",
        "a node has no aliases and sets of its own; its rules use the datacenter's",
    ),
    ("vmid", "write the guest as `spec.guest`"),
    (
        "rename",
        "write another `spec.name`: what the old name is for is removed with its document",
    ),
    ("digest", REQUEST),
];

/// Keys of security groups.
const SECURITY_GROUP: &[(&str, &str)] = &[
    (
        "rename",
        "write another `spec.name`: what the old name is for is removed with its document",
    ),
    ("guest", "security groups are the datacenter's"),
    ("digest", REQUEST),
];

/// Keys of firewalls.
const FIREWALL_OPTIONS: &[(&str, &str)] = &[
    ("vmid", "write the guest as `spec.guest`"),
    ("node", "write the node as `spec.node`"),
    ("vnet", "write the vnet as `spec.vnet`"),
    ("delete", "write the field as `null`"),
    ("digest", REQUEST),
];

/// The refused keys of a kind, with the reasons.
pub fn table(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::VirtualMachine => MACHINE,
        Kind::Container => CONTAINER,
        Kind::Storage => STORAGE,
        Kind::Pool => POOL,
        Kind::BackupJob => BACKUP_JOB,
        Kind::Snapshot => SNAPSHOT,
        Kind::ReplicationJob => REPLICATION_JOB,
        Kind::Image => IMAGE,
        Kind::Group => &[],
        Kind::User => USER,
        Kind::Role => ROLE,
        Kind::AccessRule => ACCESS_RULE,
        Kind::ApiToken => API_TOKEN,
        Kind::Realm => REALM,
        Kind::FirewallAlias | Kind::IpSet => FIREWALL,
        Kind::SecurityGroup => SECURITY_GROUP,
        Kind::Firewall => FIREWALL_OPTIONS,
    }
}

/// A key with its number as `[n]`: `net3` is `net[n]`.
pub fn family(key: &str) -> String {
    let word = key.trim_end_matches(|c: char| c.is_ascii_digit());
    if word.len() == key.len() {
        key.to_owned()
    } else {
        format!("{word}[n]")
    }
}

/// Why a key of Proxmox VE's configuration is refused.
pub fn key(kind: Kind, key: &str) -> Option<&'static str> {
    let family = family(key);
    let (_, reason) = table(kind)
        .iter()
        .find(|(refused, _)| *refused == key || *refused == family)?;
    Some(reason)
}

/// Why a field that a document does not have is refused, however it is spelled (`hookScript`, `hook-script`).
pub fn field(kind: Kind, field: &str) -> Option<&'static str> {
    let plain = plain(&family(field));
    let (_, reason) = table(kind)
        .iter()
        .find(|(refused, _)| self::plain(refused) == plain)?;
    Some(reason)
}

/// A name without case and separators.
pub fn plain(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .map(|c| c.to_ascii_lowercase())
        .collect()
}
