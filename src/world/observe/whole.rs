//! Which privileges make what was read of a part the whole of it (rule G2).

use super::{Observation, Why};
use crate::ids::StorageId;
use crate::world::model::Part;

impl Observation<'_> {
    /// Whether what Proxmox VE shows the token of a part is all there is; an error says which privilege is lacking.
    pub(in crate::world) fn whole(&self, part: &Part) -> Result<(), Why> {
        let sight = &self.sight;
        match part {
            Part::Permissions
            | Part::ClusterStatus
            | Part::NodeStatus(_)
            | Part::GuestConfig(_)
            | Part::GuestSnapshots(_)
            | Part::Roles
            | Part::Realms => Ok(()),
            Part::Acl => sight.on("/access", &["Sys.Audit"]),
            Part::RealmSettings => sight.on("/access/realm", &["Realm.Allocate", "Sys.Audit"]),
            // The list of users is filtered by their groups too, which leaves those without a group to who may see all.
            Part::Users => sight.on("/access/groups", &["User.Modify", "Sys.Audit"]),
            Part::Groups => sight.below(
                "/access/groups",
                &["User.Modify", "Sys.Audit", "Group.Allocate"],
            ),
            Part::Resources => sight.below("/vms", &["VM.Audit"]),
            Part::Options | Part::BackupJobs | Part::HaResources | Part::HaRules => {
                sight.on("/", &["Sys.Audit"])
            }
            Part::ReplicationJobs => sight.below("/vms", &["VM.Audit"]),
            Part::Pools => sight.below("/pool", &["Pool.Audit"]),
            Part::NodeNetwork(_) => sight.below("/sdn/zones", &["SDN.Audit", "SDN.Use"]),
            Part::Storages | Part::NodeStorage(_) => {
                sight.below("/storage", &["Datastore.Audit", "Datastore.AllocateSpace"])
            }
            Part::StorageContent(_, storage) => self.whole_content(storage),
        }
    }

    /// Proxmox VE hides disks from a token without VM.Config.Disk on their guest, and backups from one without VM.Backup, unless
    /// it has Datastore.Allocate on the storage.
    fn whole_content(&self, storage: &StorageId) -> Result<(), Why> {
        let path = format!("/storage/{storage}");
        if self.sight.on(&path, &["Datastore.Allocate"]).is_ok() {
            return Ok(());
        }
        let may_hold = self
            .world
            .storages
            .get(storage)
            .map(|storage| &storage.content);
        let holds = |kinds: &[&str]| {
            may_hold.is_none_or(|content| kinds.iter().any(|kind| content.contains(*kind)))
        };
        let advice =
            |why: Why| format!("{why} (Datastore.Allocate on {path} would show everything on it)");
        self.sight
            .on(&path, &["Datastore.Audit", "Datastore.AllocateSpace"])
            .map_err(advice)?;
        // Volumes of a type that the storage no longer may hold can still lie there, but Proxmox VE does not list them at all.
        if holds(&["images", "rootdir"]) {
            self.sight.on(&path, &["Datastore.Audit"]).map_err(advice)?;
            self.sight
                .below("/vms", &["VM.Config.Disk"])
                .map_err(advice)?;
        }
        if holds(&["backup"]) {
            self.sight
                .on(&path, &["Datastore.AllocateSpace"])
                .map_err(advice)?;
            self.sight.below("/vms", &["VM.Backup"]).map_err(advice)?;
        }
        if holds(&["snippets"]) {
            return Err(advice(format!(
                "without Datastore.Allocate on {path} the snippets on it are hidden"
            )));
        }
        Ok(())
    }
}
