//! The routes of guests, with their parameters and privileges.

use super::super::call::Method::{self, Delete, Get, Post, Put};
use super::super::formats as forms;
use super::super::params::{Kind as Type, Param};
use super::super::router::{Access, Handler, Route, route};
use super::{
    clone, cloudinit, create_ct, create_vm, destroy, feature, keys, migrate, power, read, relocate,
    resize, snapshot, template, update_ct, update_vm,
};

const SKIPLOCK: Param = Param::new("skiplock", Type::Boolean);
const TIMEOUT: Param = Param::new("timeout", forms::COUNT);
const DIGEST: Param = Param::new("digest", Type::TextMax(40));
const SNAPNAME: Param = Param::required("snapname", Type::Form(forms::config_id));
const SIZE: Param = Param::required("size", Type::Pattern(is_size));
const TARGET: Param = Param::required("target", Type::Form(forms::node_name));

const CONFIG_GET: &[Param] = &[
    Param::new("current", Type::Boolean),
    Param::new("snapshot", Type::Form(forms::config_id)),
];
const LIST_VM: &[Param] = &[Param::new("full", Type::Boolean)];
const START_VM: &[Param] = &[
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
const START_CT: &[Param] = &[SKIPLOCK, Param::new("debug", Type::Boolean)];
const STOP_VM: &[Param] = &[
    SKIPLOCK,
    TIMEOUT,
    Param::new("keepActive", Type::Boolean),
    Param::new("migratedfrom", Type::Form(forms::node_name)),
    Param::new("overrule-shutdown", Type::Boolean),
];
const STOP_CT: &[Param] = &[SKIPLOCK, Param::new("overrule-shutdown", Type::Boolean)];
const SHUTDOWN_VM: &[Param] = &[
    SKIPLOCK,
    TIMEOUT,
    Param::new("forceStop", Type::Boolean),
    Param::new("keepActive", Type::Boolean),
];
const SHUTDOWN_CT: &[Param] = &[TIMEOUT, Param::new("forceStop", Type::Boolean)];
const REBOOT: &[Param] = &[TIMEOUT];
const RESET: &[Param] = &[SKIPLOCK];
const SUSPEND_VM: &[Param] = &[
    SKIPLOCK,
    Param::new("statestorage", Type::Form(forms::storage_id)),
    Param::new("todisk", Type::Boolean),
];
const RESUME_VM: &[Param] = &[SKIPLOCK, Param::new("nocheck", Type::Boolean)];
const NONE: &[Param] = &[];
const UNLINK: &[Param] = &[
    Param::required("idlist", Type::FormList(forms::config_id)),
    Param::new("force", Type::Boolean),
];
const RESIZE_VM: &[Param] = &[
    Param::required("disk", Type::Among(keys::drive_slots)),
    SIZE,
    DIGEST,
    SKIPLOCK,
];
const RESIZE_CT: &[Param] = &[
    Param::required("disk", Type::Among(keys::mount_slots)),
    SIZE,
    DIGEST,
];
const MOVE_COMMON: &[Param] = &[
    Param::new("bwlimit", Type::Number(0.0)),
    Param::new("delete", Type::Boolean),
    DIGEST,
    Param::new("storage", Type::Form(forms::storage_id)),
    Param::new("target-digest", Type::TextMax(40)),
    Param::new("target-vmid", forms::VMID),
];
const MOVE_VM: &[Param] = &[
    Param::required("disk", Type::Among(keys::drive_and_unused_slots)),
    Param::new("format", Type::Enum(&["raw", "qcow2", "vmdk"])),
    Param::new("target-disk", Type::Among(keys::drive_and_unused_slots)),
];
const MOVE_CT: &[Param] = &[
    Param::required("volume", Type::Among(keys::mount_and_unused_slots)),
    Param::new("target-volume", Type::Among(keys::mount_and_unused_slots)),
];
const SNAPSHOT_CT: &[Param] = &[SNAPNAME, Param::new("description", Type::Text)];
const SNAPSHOT_VM: &[Param] = &[Param::new("vmstate", Type::Boolean)];
const SNAPSHOT_DELETE: &[Param] = &[Param::new("force", Type::Boolean)];
const SNAPSHOT_ROLLBACK: &[Param] = &[Param::new("start", Type::Boolean)];
const SNAPSHOT_DESCRIBE: &[Param] = &[Param::new("description", Type::Text)];
const FEATURE: &[Param] = &[
    Param::required("feature", Type::Enum(&["snapshot", "clone", "copy"])),
    Param::new("snapname", Type::Form(forms::config_id)),
];
const CLONE: &[Param] = &[
    Param::required("newid", forms::VMID),
    Param::new("bwlimit", Type::Number(0.0)),
    Param::new("description", Type::Text),
    Param::new("full", Type::Boolean),
    Param::new("pool", Type::Text),
    Param::new("snapname", Type::Form(forms::config_id)),
    Param::new("storage", Type::Form(forms::storage_id)),
    Param::new("target", Type::Form(forms::node_name)),
];
const CLONE_VM: &[Param] = &[
    Param::new("format", Type::Enum(&["raw", "qcow2", "vmdk"])),
    Param::new("name", Type::Form(keys::dns_name)),
];
const CLONE_CT: &[Param] = &[Param::new("hostname", Type::Form(keys::dns_name))];
const MIGRATE_GET: &[Param] = &[Param::new("target", Type::Form(forms::node_name))];
const MIGRATE: &[Param] = &[
    TARGET,
    Param::new("bwlimit", Type::Number(0.0)),
    Param::new("online", Type::Boolean),
];
const MIGRATE_VM: &[Param] = &[
    Param::new("force", Type::Boolean),
    Param::new("migration_network", Type::Text),
    Param::new("migration_type", Type::Enum(&["secure", "insecure"])),
    Param::new("targetstorage", Type::Text),
    Param::new("with-conntrack-state", Type::Boolean),
    Param::new("with-local-disks", Type::Boolean),
];
const MIGRATE_CT: &[Param] = &[
    Param::new("restart", Type::Boolean),
    Param::new("target-storage", Type::Text),
    Param::new("timeout", Type::Integer(i64::MIN, i64::MAX)),
];
const TEMPLATE_VM: &[Param] = &[Param::new("disk", Type::Among(keys::drive_slots))];
const DESTROY: &[Param] = &[
    Param::new("destroy-unreferenced-disks", Type::Boolean),
    Param::new("purge", Type::Boolean),
];
const DESTROY_CT: &[Param] = &[Param::new("force", Type::Boolean)];

fn is_size(text: &str) -> bool {
    let text = text.strip_prefix('+').unwrap_or(text);
    super::size::parse(text).is_some()
}

const fn on(privileges: &'static [&'static str]) -> Access {
    Access::Any("/vms/{vmid}", privileges)
}

const AUDIT: Access = on(&["VM.Audit"]);
const POWER: Access = on(&["VM.PowerMgmt"]);
const DISK: Access = on(&["VM.Config.Disk"]);
const ALLOCATE: Access = on(&["VM.Allocate"]);
const SNAPSHOT: Access = on(&["VM.Snapshot"]);
const MIGRATION: Access = on(&["VM.Migrate"]);
const VM_CONFIG: Access = on(&[
    "VM.Config.Disk",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.HWType",
    "VM.Config.Options",
    "VM.Config.Cloudinit",
]);
const CT_CONFIG: Access = on(&[
    "VM.Config.Disk",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
]);

type Tables = &'static [&'static [Param]];

/// All routes of guests.
#[must_use]
pub fn routes() -> Vec<Route> {
    let vm = virtual_machines()
        .into_iter()
        .map(|(method, path, params, access, handler)| {
            route(method, path, params, access, handler)
        });
    let ct = containers()
        .into_iter()
        .map(|(method, path, params, access, handler)| {
            route(method, path, params, access, handler)
        });
    vm.chain(ct).collect()
}

type Row = (Method, &'static str, Tables, Access, Handler);

fn virtual_machines() -> Vec<Row> {
    vec![
        (
            Get,
            "/nodes/{node}/qemu",
            &[LIST_VM],
            Access::User,
            read::list,
        ),
        (
            Post,
            "/nodes/{node}/qemu",
            &[keys::VM, keys::VM_CREATE],
            Access::User,
            create_vm::create,
        ),
        (
            Get,
            "/nodes/{node}/qemu/{vmid}",
            &[NONE],
            Access::User,
            read::index,
        ),
        (
            Delete,
            "/nodes/{node}/qemu/{vmid}",
            &[DESTROY, RESET],
            ALLOCATE,
            destroy::destroy,
        ),
        (
            Get,
            "/nodes/{node}/qemu/{vmid}/config",
            &[CONFIG_GET],
            AUDIT,
            read::config,
        ),
        (
            Put,
            "/nodes/{node}/qemu/{vmid}/config",
            &[keys::VM, keys::VM_UPDATE],
            VM_CONFIG,
            update_vm::put,
        ),
        (
            Post,
            "/nodes/{node}/qemu/{vmid}/config",
            &[keys::VM, keys::VM_UPDATE, keys::VM_UPDATE_ASYNC],
            VM_CONFIG,
            update_vm::post,
        ),
        (
            Get,
            "/nodes/{node}/qemu/{vmid}/pending",
            &[NONE],
            AUDIT,
            read::pending,
        ),
        (
            Put,
            "/nodes/{node}/qemu/{vmid}/unlink",
            &[UNLINK],
            DISK,
            update_vm::unlink,
        ),
        (
            Get,
            "/nodes/{node}/qemu/{vmid}/cloudinit",
            &[NONE],
            AUDIT,
            cloudinit::pending,
        ),
        (
            Put,
            "/nodes/{node}/qemu/{vmid}/cloudinit",
            &[NONE],
            on(&["VM.Config.Cloudinit"]),
            cloudinit::regenerate,
        ),
        (
            Get,
            "/nodes/{node}/qemu/{vmid}/status",
            &[NONE],
            Access::User,
            read::status_index,
        ),
        (
            Get,
            "/nodes/{node}/qemu/{vmid}/status/current",
            &[NONE],
            AUDIT,
            read::current,
        ),
        (
            Post,
            "/nodes/{node}/qemu/{vmid}/status/start",
            &[START_VM],
            POWER,
            power::start,
        ),
        (
            Post,
            "/nodes/{node}/qemu/{vmid}/status/stop",
            &[STOP_VM],
            POWER,
            power::stop,
        ),
        (
            Post,
            "/nodes/{node}/qemu/{vmid}/status/shutdown",
            &[SHUTDOWN_VM],
            POWER,
            power::shutdown,
        ),
        (
            Post,
            "/nodes/{node}/qemu/{vmid}/status/reboot",
            &[REBOOT],
            POWER,
            power::reboot,
        ),
        (
            Post,
            "/nodes/{node}/qemu/{vmid}/status/reset",
            &[RESET],
            POWER,
            power::reset,
        ),
        (
            Post,
            "/nodes/{node}/qemu/{vmid}/status/suspend",
            &[SUSPEND_VM],
            POWER,
            power::suspend,
        ),
        (
            Post,
            "/nodes/{node}/qemu/{vmid}/status/resume",
            &[RESUME_VM],
            POWER,
            power::resume,
        ),
        (
            Put,
            "/nodes/{node}/qemu/{vmid}/resize",
            &[RESIZE_VM],
            DISK,
            resize::resize,
        ),
        (
            Post,
            "/nodes/{node}/qemu/{vmid}/move_disk",
            &[MOVE_COMMON, MOVE_VM],
            DISK,
            relocate::disk,
        ),
        (
            Get,
            "/nodes/{node}/qemu/{vmid}/snapshot",
            &[NONE],
            AUDIT,
            snapshot::list,
        ),
        (
            Post,
            "/nodes/{node}/qemu/{vmid}/snapshot",
            &[SNAPSHOT_CT, SNAPSHOT_VM],
            SNAPSHOT,
            snapshot::take,
        ),
        (
            Get,
            "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}",
            &[NONE],
            Access::User,
            snapshot::index,
        ),
        (
            Delete,
            "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}",
            &[SNAPSHOT_DELETE],
            SNAPSHOT,
            snapshot::delete,
        ),
        (
            Get,
            "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config",
            &[NONE],
            on(&["VM.Snapshot", "VM.Snapshot.Rollback", "VM.Audit"]),
            snapshot::config,
        ),
        (
            Put,
            "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config",
            &[SNAPSHOT_DESCRIBE],
            SNAPSHOT,
            snapshot::describe,
        ),
        (
            Post,
            "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/rollback",
            &[SNAPSHOT_ROLLBACK],
            on(&["VM.Snapshot", "VM.Snapshot.Rollback"]),
            snapshot::rollback,
        ),
        (
            Get,
            "/nodes/{node}/qemu/{vmid}/feature",
            &[FEATURE],
            AUDIT,
            feature::feature,
        ),
        (
            Post,
            "/nodes/{node}/qemu/{vmid}/clone",
            &[CLONE, CLONE_VM],
            on(&["VM.Clone"]),
            clone::clone,
        ),
        (
            Get,
            "/nodes/{node}/qemu/{vmid}/migrate",
            &[MIGRATE_GET],
            MIGRATION,
            migrate::preconditions,
        ),
        (
            Post,
            "/nodes/{node}/qemu/{vmid}/migrate",
            &[MIGRATE, MIGRATE_VM],
            MIGRATION,
            migrate::migrate,
        ),
        (
            Post,
            "/nodes/{node}/qemu/{vmid}/template",
            &[TEMPLATE_VM],
            ALLOCATE,
            template::convert,
        ),
    ]
}

fn containers() -> Vec<Row> {
    vec![
        (Get, "/nodes/{node}/lxc", &[NONE], Access::User, read::list),
        (
            Post,
            "/nodes/{node}/lxc",
            &[keys::CT, keys::CT_CREATE],
            Access::User,
            create_ct::create,
        ),
        (
            Get,
            "/nodes/{node}/lxc/{vmid}",
            &[NONE],
            Access::User,
            read::index,
        ),
        (
            Delete,
            "/nodes/{node}/lxc/{vmid}",
            &[DESTROY, DESTROY_CT],
            ALLOCATE,
            destroy::destroy,
        ),
        (
            Get,
            "/nodes/{node}/lxc/{vmid}/config",
            &[CONFIG_GET],
            AUDIT,
            read::config,
        ),
        (
            Put,
            "/nodes/{node}/lxc/{vmid}/config",
            &[keys::CT, keys::CT_UPDATE],
            CT_CONFIG,
            update_ct::put,
        ),
        (
            Get,
            "/nodes/{node}/lxc/{vmid}/pending",
            &[NONE],
            AUDIT,
            read::pending,
        ),
        (
            Get,
            "/nodes/{node}/lxc/{vmid}/interfaces",
            &[NONE],
            AUDIT,
            read::interfaces,
        ),
        (
            Get,
            "/nodes/{node}/lxc/{vmid}/status",
            &[NONE],
            Access::User,
            read::status_index,
        ),
        (
            Get,
            "/nodes/{node}/lxc/{vmid}/status/current",
            &[NONE],
            AUDIT,
            read::current,
        ),
        (
            Post,
            "/nodes/{node}/lxc/{vmid}/status/start",
            &[START_CT],
            POWER,
            power::start,
        ),
        (
            Post,
            "/nodes/{node}/lxc/{vmid}/status/stop",
            &[STOP_CT],
            POWER,
            power::stop,
        ),
        (
            Post,
            "/nodes/{node}/lxc/{vmid}/status/shutdown",
            &[SHUTDOWN_CT],
            POWER,
            power::shutdown,
        ),
        (
            Post,
            "/nodes/{node}/lxc/{vmid}/status/reboot",
            &[REBOOT],
            POWER,
            power::reboot,
        ),
        (
            Post,
            "/nodes/{node}/lxc/{vmid}/status/suspend",
            &[NONE],
            POWER,
            power::suspend,
        ),
        (
            Post,
            "/nodes/{node}/lxc/{vmid}/status/resume",
            &[NONE],
            POWER,
            power::resume,
        ),
        (
            Put,
            "/nodes/{node}/lxc/{vmid}/resize",
            &[RESIZE_CT],
            DISK,
            resize::resize,
        ),
        (
            Post,
            "/nodes/{node}/lxc/{vmid}/move_volume",
            &[MOVE_COMMON, MOVE_CT],
            DISK,
            relocate::volume,
        ),
        (
            Get,
            "/nodes/{node}/lxc/{vmid}/snapshot",
            &[NONE],
            AUDIT,
            snapshot::list,
        ),
        (
            Post,
            "/nodes/{node}/lxc/{vmid}/snapshot",
            &[SNAPSHOT_CT],
            SNAPSHOT,
            snapshot::take,
        ),
        (
            Get,
            "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}",
            &[NONE],
            Access::User,
            snapshot::index,
        ),
        (
            Delete,
            "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}",
            &[SNAPSHOT_DELETE],
            SNAPSHOT,
            snapshot::delete,
        ),
        (
            Get,
            "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}/config",
            &[NONE],
            on(&["VM.Snapshot", "VM.Snapshot.Rollback", "VM.Audit"]),
            snapshot::config,
        ),
        (
            Put,
            "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}/config",
            &[SNAPSHOT_DESCRIBE],
            SNAPSHOT,
            snapshot::describe,
        ),
        (
            Post,
            "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}/rollback",
            &[SNAPSHOT_ROLLBACK],
            on(&["VM.Snapshot", "VM.Snapshot.Rollback"]),
            snapshot::rollback,
        ),
        (
            Get,
            "/nodes/{node}/lxc/{vmid}/feature",
            &[FEATURE],
            AUDIT,
            feature::feature,
        ),
        (
            Post,
            "/nodes/{node}/lxc/{vmid}/clone",
            &[CLONE, CLONE_CT],
            on(&["VM.Clone"]),
            clone::clone,
        ),
        (
            Get,
            "/nodes/{node}/lxc/{vmid}/migrate",
            &[MIGRATE_GET],
            MIGRATION,
            migrate::preconditions,
        ),
        (
            Post,
            "/nodes/{node}/lxc/{vmid}/migrate",
            &[MIGRATE, MIGRATE_CT],
            MIGRATION,
            migrate::migrate,
        ),
        (
            Post,
            "/nodes/{node}/lxc/{vmid}/template",
            &[NONE],
            ALLOCATE,
            template::convert,
        ),
    ]
}
