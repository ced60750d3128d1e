//! The routes of guests: their parameters and privileges. The rows are in `table_vm` and `table_ct`.

use super::super::call::Method;
use super::super::formats as forms;
use super::super::params::{Kind as Type, Param};
use super::super::router::{Access, Handler, Route, route};
use super::keys;
use super::{table_ct, table_vm};

pub(super) const SKIPLOCK: Param = Param::new("skiplock", Type::Boolean);
pub(super) const TIMEOUT: Param = Param::new("timeout", forms::COUNT);
pub(super) const DIGEST: Param = Param::new("digest", Type::TextMax(40));
pub(super) const SNAPNAME: Param = Param::required("snapname", Type::Form(forms::config_id));
pub(super) const SIZE: Param = Param::required("size", Type::Pattern(is_size));
pub(super) const TARGET: Param = Param::required("target", Type::Form(forms::node_name));

pub(super) const CONFIG_GET: &[Param] = &[
    Param::new("current", Type::Boolean),
    Param::new("snapshot", Type::Form(forms::config_id)),
];
pub(super) const LIST_VM: &[Param] = &[Param::new("full", Type::Boolean)];
pub(super) const START_VM: &[Param] = &[
    SKIPLOCK,
    TIMEOUT,
    Param::new("force-cpu", Type::Text),
    Param::new("machine", Type::Property(super::formats::MACHINE)),
    Param::new("migratedfrom", Type::Form(forms::node_name)),
    Param::new("migration_network", Type::Text),
    Param::new("migration_type", Type::Enum(&["secure", "insecure"])),
    Param::new("nets-host-mtu", Type::Text),
    Param::new("stateuri", Type::TextMax(128)),
    Param::new("targetstorage", Type::Text),
    Param::new("with-conntrack-state", Type::Boolean),
];
pub(super) const START_CT: &[Param] = &[SKIPLOCK, Param::new("debug", Type::Boolean)];
pub(super) const STOP_VM: &[Param] = &[
    SKIPLOCK,
    TIMEOUT,
    Param::new("keepActive", Type::Boolean),
    Param::new("migratedfrom", Type::Form(forms::node_name)),
    Param::new("overrule-shutdown", Type::Boolean),
];
pub(super) const STOP_CT: &[Param] = &[SKIPLOCK, Param::new("overrule-shutdown", Type::Boolean)];
pub(super) const SHUTDOWN_VM: &[Param] = &[
    SKIPLOCK,
    TIMEOUT,
    Param::new("forceStop", Type::Boolean),
    Param::new("keepActive", Type::Boolean),
];
pub(super) const SHUTDOWN_CT: &[Param] = &[TIMEOUT, Param::new("forceStop", Type::Boolean)];
pub(super) const REBOOT: &[Param] = &[TIMEOUT];
pub(super) const RESET: &[Param] = &[SKIPLOCK];
pub(super) const SUSPEND_VM: &[Param] = &[
    SKIPLOCK,
    Param::new("statestorage", Type::Form(forms::storage_id)),
    Param::new("todisk", Type::Boolean),
];
pub(super) const RESUME_VM: &[Param] = &[SKIPLOCK, Param::new("nocheck", Type::Boolean)];
pub(super) const NONE: &[Param] = &[];
pub(super) const UNLINK: &[Param] = &[
    Param::required("idlist", Type::FormList(forms::config_id)),
    Param::new("force", Type::Boolean),
];
pub(super) const RESIZE_VM: &[Param] = &[
    Param::required("disk", Type::Among(keys::drive_slots)),
    SIZE,
    DIGEST,
    SKIPLOCK,
];
pub(super) const RESIZE_CT: &[Param] = &[
    Param::required("disk", Type::Among(keys::mount_slots)),
    SIZE,
    DIGEST,
];
pub(super) const MOVE_COMMON: &[Param] = &[
    Param::new("bwlimit", Type::Number(0.0)),
    Param::new("delete", Type::Boolean),
    DIGEST,
    Param::new("storage", Type::Form(forms::storage_id)),
    Param::new("target-digest", Type::TextMax(40)),
    Param::new("target-vmid", forms::VMID),
];
pub(super) const MOVE_VM: &[Param] = &[
    Param::required("disk", Type::Among(keys::drive_and_unused_slots)),
    Param::new("format", Type::Enum(&["raw", "qcow2", "vmdk"])),
    Param::new("target-disk", Type::Among(keys::drive_and_unused_slots)),
];
pub(super) const MOVE_CT: &[Param] = &[
    Param::required("volume", Type::Among(keys::mount_and_unused_slots)),
    Param::new("target-volume", Type::Among(keys::mount_and_unused_slots)),
];
pub(super) const SNAPSHOT_CT: &[Param] = &[SNAPNAME, Param::new("description", Type::Text)];
pub(super) const SNAPSHOT_VM: &[Param] = &[Param::new("vmstate", Type::Boolean)];
pub(super) const SNAPSHOT_DELETE: &[Param] = &[Param::new("force", Type::Boolean)];
pub(super) const SNAPSHOT_ROLLBACK: &[Param] = &[Param::new("start", Type::Boolean)];
pub(super) const SNAPSHOT_DESCRIBE: &[Param] = &[Param::new("description", Type::Text)];
pub(super) const FEATURE: &[Param] = &[
    Param::required("feature", Type::Enum(&["snapshot", "clone", "copy"])),
    Param::new("snapname", Type::Form(forms::config_id)),
];
pub(super) const CLONE: &[Param] = &[
    Param::required("newid", forms::VMID),
    Param::new("bwlimit", Type::Number(0.0)),
    Param::new("description", Type::Text),
    Param::new("full", Type::Boolean),
    Param::new("pool", Type::Text),
    Param::new("snapname", Type::Form(forms::config_id)),
    Param::new("storage", Type::Form(forms::storage_id)),
    Param::new("target", Type::Form(forms::node_name)),
];
pub(super) const CLONE_VM: &[Param] = &[
    Param::new("format", Type::Enum(&["raw", "qcow2", "vmdk"])),
    Param::new("name", Type::Form(keys::dns_name)),
];
pub(super) const CLONE_CT: &[Param] = &[Param::new("hostname", Type::Form(keys::dns_name))];
pub(super) const MIGRATE_GET: &[Param] = &[Param::new("target", Type::Form(forms::node_name))];
pub(super) const MIGRATE: &[Param] = &[
    TARGET,
    Param::new("bwlimit", Type::Number(0.0)),
    Param::new("online", Type::Boolean),
];
pub(super) const MIGRATE_VM: &[Param] = &[
    Param::new("force", Type::Boolean),
    Param::new("migration_network", Type::Text),
    Param::new("migration_type", Type::Enum(&["secure", "insecure"])),
    Param::new("targetstorage", Type::Text),
    Param::new("with-conntrack-state", Type::Boolean),
    Param::new("with-local-disks", Type::Boolean),
];
pub(super) const MIGRATE_CT: &[Param] = &[
    Param::new("restart", Type::Boolean),
    Param::new("target-storage", Type::Text),
    Param::new("timeout", Type::Integer(i64::MIN, i64::MAX)),
];
pub(super) const TEMPLATE_VM: &[Param] = &[Param::new("disk", Type::Among(keys::drive_slots))];
pub(super) const DESTROY: &[Param] = &[
    Param::new("destroy-unreferenced-disks", Type::Boolean),
    Param::new("purge", Type::Boolean),
];
pub(super) const DESTROY_CT: &[Param] = &[Param::new("force", Type::Boolean)];

fn is_size(text: &str) -> bool {
    let text = text.strip_prefix('+').unwrap_or(text);
    super::size::parse(text).is_some()
}

pub(super) const fn on(privileges: &'static [&'static str]) -> Access {
    Access::Any("/vms/{vmid}", privileges)
}

pub(super) const AUDIT: Access = on(&["VM.Audit"]);
pub(super) const POWER: Access = on(&["VM.PowerMgmt"]);
pub(super) const DISK: Access = on(&["VM.Config.Disk"]);
pub(super) const ALLOCATE: Access = on(&["VM.Allocate"]);
pub(super) const SNAPSHOT: Access = on(&["VM.Snapshot"]);
pub(super) const MIGRATION: Access = on(&["VM.Migrate"]);
pub(super) const VM_CONFIG: Access = on(&[
    "VM.Config.Disk",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.HWType",
    "VM.Config.Options",
    "VM.Config.Cloudinit",
]);
pub(super) const CT_CONFIG: Access = on(&[
    "VM.Config.Disk",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
]);

pub(super) type Tables = &'static [&'static [Param]];

pub(super) type Row = (Method, &'static str, Tables, Access, Handler);

/// All routes of guests.
#[must_use]
pub fn routes() -> Vec<Route> {
    let rows = table_vm::rows().into_iter().chain(table_ct::rows());
    rows.map(|(method, path, params, access, handler)| route(method, path, params, access, handler))
        .collect()
}
