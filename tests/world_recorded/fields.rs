//! The fields of the answers that the world is read from: which are read, and which are not, reviewed, with the reason.

use serde_json::Value;

/// What an element of an answer is, by its path; `None` where the world is not read from it.
pub fn class(path: &str, item: &Value) -> Option<&'static str> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    Some(match parts.as_slice() {
        ["cluster", "resources"] => match item["type"].as_str()? {
            "qemu" | "lxc" => "a guest in the list",
            "node" => "a node in the list",
            "storage" => "a storage in the list",
            _ => "something else in the list",
        },
        ["cluster", "status"] => "a member of the cluster",
        ["cluster", "options"] => "options",
        ["storage"] => "a storage",
        ["pools"] => "a pool",
        ["cluster", "backup"] => "a backup job",
        ["cluster", "replication"] => "a replication job",
        ["cluster", "ha", "resources"] => "an HA resource",
        ["cluster", "ha", "rules"] => "an HA rule",
        ["access", "acl"] => "an access entry",
        ["nodes", _, "status"] => "a node",
        ["nodes", _, "network"] => "an interface",
        ["nodes", _, "storage"] => "a storage on a node",
        ["nodes", _, "qemu" | "lxc"] => "a guest on its node",
        ["nodes", _, "storage", _, "content"] => "a volume",
        ["nodes", _, "qemu" | "lxc", _, "pending"] => "a setting",
        ["nodes", _, "qemu" | "lxc", _, "snapshot"] => "a snapshot",
        _ => return None,
    })
}

/// What is read, by class.
pub const READ: &[(&str, &[&str])] = &[
    (
        "a guest in the list",
        &["type", "vmid", "node", "name", "status", "template", "lock", "pool"],
    ),
    ("a node in the list", &["type", "node", "status", "maxcpu", "maxmem", "mem"]),
    ("a member of the cluster", &["type", "name", "ip", "online"]),
    (
        "options",
        &[
            "allowed-tags", "bwlimit", "console", "crs", "description", "email_from", "ha", "keyboard", "language", "mac_prefix",
            "max_workers", "migration", "next-id", "notify", "registered-tags", "tag-style", "user-tag-access",
        ],
    ),
    (
        "a storage",
        &[
            "blocksize", "bwlimit", "content", "datastore", "digest", "disable", "domain", "export", "fingerprint", "krbd",
            "max-protected-backups", "monhost", "namespace", "nodes", "options", "path", "pool", "preallocation",
            "priority", "prune-backups", "server", "share", "shared", "smbversion", "sparse", "storage", "thinpool", "type", "username",
            "vgname",
        ],
    ),
    ("a pool", &["poolid", "members", "comment"]),
    (
        "a backup job",
        &[
            "all", "bwlimit", "comment", "compress", "enabled", "exclude", "exclude-path", "fleecing", "id", "ionice",
            "lockwait", "mailnotification", "mailto", "mode", "node", "notes-template", "notification-mode", "performance",
            "pool", "protected", "prune-backups", "repeat-missed", "schedule", "storage", "type", "vmid",
        ],
    ),
    ("a replication job", &["id", "guest", "target", "disable"]),
    (
        "an HA resource",
        &["sid", "state", "comment", "failback", "max_relocate", "max_restart"],
    ),
    (
        "an HA rule",
        &["rule", "type", "resources", "nodes", "strict", "disable", "affinity", "comment", "errors", "order"],
    ),
    ("an access entry", &["path", "type", "ugid", "roleid", "propagate"]),
    ("a node", &["memory", "cpuinfo"]),
    ("an interface", &["iface", "active"]),
    ("a storage on a node", &["storage", "enabled", "active", "total", "avail"]),
    ("a guest on its node", &["vmid", "status", "name", "lock"]),
    (
        "a volume",
        &["volid", "content", "format", "size", "vmid", "parent", "ctime", "protected"],
    ),
    ("a setting", &["key", "value", "pending", "delete"]),
    ("a snapshot", &["name", "parent", "snaptime", "digest"]),
];

/// What is not read, by class (`*` is every class), and why.
pub const NOT_READ: &[(&str, &[&str], &str)] = &[
    (
        "a guest in the list",
        &[
            "cpu", "mem", "memhost", "disk", "diskread", "diskwrite", "netin", "netout", "uptime",
        ],
        "what it uses at the moment",
    ),
    ("a guest in the list", &["id"], "its type and VMID again"),
    (
        "a guest in the list",
        &["maxcpu", "maxmem", "maxdisk", "tags"],
        "its configuration says it, and at once",
    ),
    (
        "a guest in the list",
        &["hastate"],
        "where the HA manager is on its way; what is wanted is in the HA resources",
    ),
    (
        "a node in the list",
        &["id", "level", "cgroup-mode", "cpu", "disk", "maxdisk", "uptime"],
        "its name again, its subscription, and what it uses at the moment",
    ),
    (
        "a node in the list",
        &["hastate"],
        "whether the HA manager sees it; whether it is online is in the cluster's status",
    ),
    (
        "a storage in the list",
        &[
            "id", "type", "storage", "node", "status", "plugintype", "content", "shared", "disk", "maxdisk",
        ],
        "storages are known by their definitions, and by what each node says of them",
    ),
    (
        "something else in the list",
        &[
            "id", "type", "pool", "network", "network-type", "node", "status", "zone-type", "cpu", "maxcpu", "maxmem", "mem",
            "uptime",
        ],
        "pools are read by themselves; no kind is about networks",
    ),
    (
        "a member of the cluster",
        &["id", "level", "local", "nodeid"],
        "its name again, its subscription, and which node answered",
    ),
    (
        "a backup job",
        &["next-run"],
        "follows from the schedule and the clock",
    ),
    (
        "a replication job",
        &["comment", "jobnum", "rate", "schedule", "source", "type"],
        "which guest is copied where, and whether, is all that health asks; the rest comes with a kind for it",
    ),
    (
        "an HA resource",
        &["digest", "type"],
        "of the whole file; the type stands in the id",
    ),
    ("an HA rule", &["digest"], "of the whole file"),
    (
        "a node",
        &[
            "boot-info", "cpu", "current-kernel", "idle", "ksm", "kversion", "loadavg", "pveversion", "rootfs", "swap", "uptime",
            "wait",
        ],
        "its kernel, and what it uses at the moment; the version is asked of the API itself",
    ),
    (
        "an interface",
        &[
            "address", "autostart", "bond_miimon", "bond_mode", "bridge_fd", "bridge_ports", "bridge_stp", "bridge_vids",
            "bridge_vlan_aware", "cidr", "comments", "exists", "families", "gateway", "ipam", "method", "method6", "mtu",
            "netmask", "priority", "slaves", "type", "vlan-id", "vlan-raw-device", "vlanaware",
        ],
        "which bridges there are is all that guests need; no kind is about networks",
    ),
    (
        "a storage on a node",
        &["content", "format", "formats", "shared", "type", "used", "used_fraction"],
        "its definition says it; what is used follows from total and available",
    ),
    (
        "a guest on its node",
        &[
            "balloon_min", "cpu", "disk", "diskread", "diskwrite", "maxswap", "mem", "memhost", "netin", "netout", "nics", "pid",
            "pressurecpufull", "pressurecpusome", "pressureiofull", "pressureiosome", "pressurememoryfull",
            "pressurememorysome", "qmpstatus", "serial", "shares", "swap", "uptime",
        ],
        "its process, and what it uses at the moment",
    ),
    (
        "a guest on its node",
        &["cpus", "maxdisk", "maxmem", "tags", "template", "type"],
        "its configuration says it",
    ),
    (
        "a volume",
        &["used", "subtype", "notes"],
        "what a sparse file takes; an archive's kind is in its name, its notes are people's",
    ),
    (
        "a snapshot",
        &["description", "running", "vmstate"],
        "the snapshot's own configuration has them; `running` is of the guest",
    ),
];

/// What is read, but makes no difference in the recorded cluster, because another answer says the same.
pub const SAID_TWICE: &[(&str, &str, &str)] = &[];

/// Settings that are no settings: what the API adds to a guest's configuration.
pub const READ_ONLY: &[(&str, &str)] = &[
    ("digest", "stands in a field of its own"),
    ("lock", "stands in a field of the guest"),
    ("parent", "which snapshot came last; the list of snapshots has it"),
    ("snaptime", "stands in a field of the snapshot"),
    ("snapstate", "a snapshot being made or removed"),
    ("special-sections", "text of sections that Proxmox VE keeps for itself"),
    ("runningcpu", "of the process at the time"),
    ("runningmachine", "of the process at the time"),
    ("running-nets-host-mtu", "of the process at the time"),
    ("pending", "the section of pending settings"),
];
