//! What the token can see. Proxmox VE filters lists by privilege in silence: a list counts as whole only if the token has the
//! privilege on the whole subtree it is filtered by.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::Why;
use crate::world::model::Part;

/// Path → privilege → whether it holds below the path too.
pub type Permissions = BTreeMap<String, BTreeMap<String, bool>>;

/// What reading a cluster whole takes: each privilege with the path it is needed on.
pub const READING: &[(&str, &str)] = &[
    ("/", "Sys.Audit"),
    ("/vms", "VM.Audit"),
    ("/storage", "Datastore.Audit"),
    // Proxmox VE shows everything that lies on a storage only to who may change its definition.
    ("/storage", "Datastore.Allocate"),
    ("/pool", "Pool.Audit"),
    ("/sdn/zones", "SDN.Audit"),
];

/// The privilege that shows a part of the world, with the path it is needed on; `None` for what everybody sees.
pub fn shown_by(part: &Part) -> Option<(String, &'static str)> {
    Some(match part {
        Part::Permissions | Part::Roles | Part::Realms => return None,
        Part::Resources | Part::ReplicationJobs => ("/vms".to_owned(), "VM.Audit"),
        Part::ClusterStatus
        | Part::Options
        | Part::BackupJobs
        | Part::HaResources
        | Part::HaRules => ("/".to_owned(), "Sys.Audit"),
        Part::Acl => ("/access".to_owned(), "Sys.Audit"),
        Part::RealmSettings => ("/access/realm".to_owned(), "Sys.Audit"),
        Part::Users | Part::Groups => ("/access/groups".to_owned(), "Sys.Audit"),
        Part::Storages | Part::NodeStorage(_) => ("/storage".to_owned(), "Datastore.Audit"),
        Part::NodeStatus(node) => (format!("/nodes/{node}"), "Sys.Audit"),
        Part::NodeNetwork(_) => ("/sdn/zones".to_owned(), "SDN.Audit"),
        Part::StorageContent(_, storage) => (format!("/storage/{storage}"), "Datastore.Allocate"),
        Part::GuestConfig(vmid) | Part::GuestSnapshots(vmid) => {
            (format!("/vms/{vmid}"), "VM.Audit")
        }
        Part::Pools => ("/pool".to_owned(), "Pool.Audit"),
    })
}

/// Reads `GET /access/permissions`.
pub fn permissions(data: &Value) -> Permissions {
    data.as_object()
        .into_iter()
        .flatten()
        .map(|(path, privileges)| {
            let privileges = privileges
                .as_object()
                .into_iter()
                .flatten()
                .map(|(privilege, propagates)| {
                    let propagates = super::json::flat(propagates).is_some_and(|text| text == "1");
                    (privilege.clone(), propagates)
                })
                .collect();
            (path.clone(), privileges)
        })
        .collect()
}

/// The token's privileges, with the paths on which it is known to have none.
#[derive(Clone)]
pub(in crate::world) struct Sight {
    permissions: Arc<Permissions>,
}

impl Sight {
    /// Proxmox VE works the privileges out for some paths always and leaves out those where there are none: where one of these is
    /// missing and others are not, the token may do nothing there, whatever it may above. A server that lists none of them lists
    /// only what has entries of its own.
    pub(in crate::world) fn new(permissions: Arc<Permissions>) -> Self {
        const ALWAYS: [&str; 7] = [
            "/access",
            "/access/groups",
            "/nodes",
            "/pool",
            "/sdn",
            "/storage",
            "/vms",
        ];
        let mut sight = Self { permissions };
        if ALWAYS
            .iter()
            .any(|path| sight.permissions.contains_key(*path))
        {
            sight.note_acl_paths(["/access", "/access/groups"].into_iter());
        }
        sight
    }

    pub(in crate::world) fn permissions(&self) -> Arc<Permissions> {
        Arc::clone(&self.permissions)
    }

    /// Notes the paths of the access control list. Proxmox VE works the privileges out for each of them and leaves out those
    /// where there are none; so a path of the list that is not among them is one where the token may do nothing.
    pub(in crate::world) fn note_acl_paths<'a>(&mut self, paths: impl Iterator<Item = &'a str>) {
        for path in paths {
            if !self.permissions.contains_key(path) {
                Arc::make_mut(&mut self.permissions).insert(path.to_owned(), BTreeMap::new());
            }
        }
    }

    /// Whether the token has any of these privileges on exactly this path; an error says which it lacks.
    pub(in crate::world) fn on(&self, path: &str, any: &[&str]) -> Result<(), Why> {
        let mut at = path;
        loop {
            if let Some(privileges) = self.permissions.get(at) {
                let held = |privilege: &&&str| {
                    privileges
                        .get(**privilege)
                        .is_some_and(|propagates| at == path || *propagates)
                };
                return any
                    .iter()
                    .find(held)
                    .map(|_| ())
                    .ok_or_else(|| lacking(path, any));
            }
            at = match at.rsplit_once('/') {
                Some(("", _)) if at != "/" => "/",
                Some((parent, _)) if !parent.is_empty() => parent,
                _ => return Err(lacking(path, any)),
            };
        }
    }

    /// Whether the token has any of these privileges on everything below a path, so that a list filtered by them is whole.
    pub(in crate::world) fn below(&self, path: &str, any: &[&str]) -> Result<(), Why> {
        // Some path that nobody names, so that what is found for it holds by inheritance.
        self.on(&format!("{path}/\u{0}"), any)
            .map_err(|_| lacking(path, any))?;
        let prefix = format!("{}/", path.trim_end_matches('/'));
        self.permissions
            .range(prefix.clone()..)
            .take_while(|(listed, _)| listed.starts_with(&prefix))
            .find(|(_, privileges)| {
                !any.iter()
                    .any(|privilege| privileges.contains_key(*privilege))
            })
            .map_or(Ok(()), |(listed, _)| Err(lacking(listed, any)))
    }
}

fn lacking(path: &str, any: &[&str]) -> Why {
    format!(
        "the API token lacks the privilege {} on {path}, and Proxmox VE shows nothing of what it hides",
        any.join(" or ")
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sight(value: Value) -> Sight {
        Sight::new(Arc::new(permissions(&value)))
    }

    #[test]
    fn privileges_are_inherited_where_they_propagate() {
        let sight =
            sight(json!({"/": {"VM.Audit": 1, "Sys.Audit": 0}, "/vms/100": {"VM.Backup": 1}}));
        assert!(sight.on("/vms/7", &["VM.Audit"]).is_ok());
        assert!(sight.on("/", &["Sys.Audit"]).is_ok());
        assert!(sight.on("/nodes/a", &["Sys.Audit"]).is_err());
        assert!(sight.on("/vms/100", &["VM.Audit"]).is_err());
        assert!(sight.below("/storage", &["Datastore.Audit"]).is_err());
        assert!(
            sight
                .below("/vms", &["VM.Audit"])
                .unwrap_err()
                .contains("/vms/100")
        );
    }

    #[test]
    fn a_path_with_an_entry_but_without_privileges_hides_what_is_there() {
        let mut sight = sight(json!({"/": {"VM.Audit": 1}}));
        assert!(sight.below("/vms", &["VM.Audit"]).is_ok());
        sight.note_acl_paths(["/vms/101", "/"].into_iter());
        assert!(sight.below("/vms", &["VM.Audit"]).is_err());
        assert!(sight.on("/vms/100", &["VM.Audit"]).is_ok());
    }

    #[test]
    fn a_path_that_is_always_listed_and_is_not_is_hidden() {
        let hidden = sight(json!({"/": {"Sys.Audit": 1}, "/access": {"User.Modify": 1}}));
        assert!(hidden.on("/access", &["Sys.Audit"]).is_err());
        assert!(hidden.on("/access/groups", &["Sys.Audit"]).is_err());
        let inherited = sight(json!({"/": {"Sys.Audit": 1}}));
        assert!(inherited.on("/access/groups", &["Sys.Audit"]).is_ok());
        let listed = json!({"/": {"Sys.Audit": 1}, "/access": {"Sys.Audit": 1}, "/access/groups": {"Sys.Audit": 1}});
        assert!(
            sight(listed)
                .below("/access/groups", &["Sys.Audit"])
                .is_ok()
        );
    }

    #[test]
    fn an_entry_on_the_top_alone_is_not_the_subtree() {
        assert!(
            sight(json!({"/vms": {"VM.Audit": 0}}))
                .below("/vms", &["VM.Audit"])
                .is_err()
        );
        assert!(
            sight(json!({"/vms": {"VM.Audit": 1}}))
                .below("/vms", &["VM.Audit"])
                .is_ok()
        );
        assert!(sight(json!({})).below("/vms", &["VM.Audit"]).is_err());
    }
}
