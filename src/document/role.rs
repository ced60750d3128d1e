//! The kind `Role`: privileges under a name.

use std::collections::BTreeSet;

use super::desired::DesiredRole;
use super::options::options;
use super::scalar::PrivilegeName;
use crate::ids::RoleId;

options! {
    /// How a role shall be. Proxmox VE's own roles (`Administrator`, `NoAccess`, `PVE…`) cannot be changed. When the document is removed
    /// with `bailiwick.dev/deletion: delete`, every access rule that gives the role goes with it.
    pub struct RoleSpec {
        /// The role's id, where it is not the document's name.
        id: Option<RoleId> = "roleid" by hand,
        /// The exact set of its privileges, such as `VM.Audit` and `VM.PowerMgmt`.
        privileges: Option<BTreeSet<PrivilegeName>> = "privs" by hand,
    }
}

impl RoleSpec {
    /// What this asks for in Proxmox VE's words, for the role of that id.
    pub fn desired(&self, id: RoleId) -> DesiredRole {
        let privileges = self.privileges.iter().flatten();
        DesiredRole {
            id,
            privileges: privileges.map(|name| name.as_str().to_owned()).collect(),
        }
    }
}
