//! Privileges and predefined roles of Proxmox VE 9 (PVE::AccessControl).

use std::collections::{BTreeMap, BTreeSet};

/// Every privilege.
pub const PRIVILEGES: [&str; 47] = [
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.AllocateTemplate",
    "Datastore.Audit",
    "Group.Allocate",
    "Mapping.Audit",
    "Mapping.Modify",
    "Mapping.Use",
    "Permissions.Modify",
    "Pool.Allocate",
    "Pool.Audit",
    "Realm.Allocate",
    "Realm.AllocateUser",
    "SDN.Allocate",
    "SDN.Audit",
    "SDN.Use",
    "Sys.AccessNetwork",
    "Sys.Audit",
    "Sys.Console",
    "Sys.Incoming",
    "Sys.Modify",
    "Sys.PowerMgmt",
    "Sys.Syslog",
    "User.Modify",
    "VM.Allocate",
    "VM.Audit",
    "VM.Backup",
    "VM.Clone",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Cloudinit",
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.Console",
    "VM.GuestAgent.Audit",
    "VM.GuestAgent.FileRead",
    "VM.GuestAgent.FileSystemMgmt",
    "VM.GuestAgent.FileWrite",
    "VM.GuestAgent.Unrestricted",
    "VM.Migrate",
    "VM.PowerMgmt",
    "VM.Replicate",
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
];

/// What only the superuser role has.
const ROOT_ONLY: [&str; 7] = [
    "Mapping.Modify",
    "Permissions.Modify",
    "Realm.Allocate",
    "Sys.AccessNetwork",
    "Sys.Incoming",
    "Sys.Modify",
    "Sys.PowerMgmt",
];

const VM_USER: [&str; 10] = [
    "VM.Audit",
    "VM.Backup",
    "VM.Config.CDROM",
    "VM.Config.Cloudinit",
    "VM.Console",
    "VM.GuestAgent.Audit",
    "VM.GuestAgent.FileRead",
    "VM.GuestAgent.FileSystemMgmt",
    "VM.GuestAgent.FileWrite",
    "VM.PowerMgmt",
];

/// The predefined roles, which cannot be changed.
#[must_use]
pub fn predefined() -> BTreeMap<String, BTreeSet<String>> {
    let all = || PRIVILEGES.iter().copied();
    let group = |prefix: &'static str| all().filter(move |name| name.starts_with(prefix));
    let mut roles: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut add = |role: &str, privileges: Vec<&str>| {
        roles.insert(
            role.to_owned(),
            privileges.into_iter().map(str::to_owned).collect(),
        );
    };
    add("Administrator", all().collect());
    add("NoAccess", vec![]);
    add(
        "PVEAdmin",
        all().filter(|name| !ROOT_ONLY.contains(name)).collect(),
    );
    add(
        "PVEAuditor",
        vec![
            "Datastore.Audit",
            "Mapping.Audit",
            "Pool.Audit",
            "SDN.Audit",
            "Sys.Audit",
            "VM.Audit",
            "VM.GuestAgent.Audit",
        ],
    );
    add("PVEDatastoreAdmin", group("Datastore.").collect());
    add(
        "PVEDatastoreUser",
        vec!["Datastore.AllocateSpace", "Datastore.Audit"],
    );
    add("PVEMappingAdmin", group("Mapping.").collect());
    add("PVEMappingUser", vec!["Mapping.Audit", "Mapping.Use"]);
    add("PVEPoolAdmin", group("Pool.").collect());
    add("PVEPoolUser", vec!["Pool.Audit"]);
    add("PVESDNAdmin", group("SDN.").collect());
    add("PVESDNUser", vec!["SDN.Audit", "SDN.Use"]);
    add(
        "PVESysAdmin",
        vec!["Sys.Audit", "Sys.Console", "Sys.Syslog"],
    );
    add("PVETemplateUser", vec!["VM.Audit", "VM.Clone"]);
    add(
        "PVEUserAdmin",
        vec!["Group.Allocate", "Realm.AllocateUser", "User.Modify"],
    );
    add("PVEVMAdmin", group("VM.").collect());
    add("PVEVMUser", VM_USER.to_vec());
    roles
}

/// Whether a role is predefined.
#[must_use]
pub fn is_predefined(role: &str) -> bool {
    predefined().contains_key(role)
}
