//! What a new guest meets: what still names its number from a former guest, another guest of its name, and a container that is
//! root on its node.

use std::collections::BTreeSet;

use super::super::model::Duration;
use super::super::words::few;
use super::Raw;
use super::actions::{At, raw};
use crate::health::{Category, Entity};
use crate::ids::{GuestKind, Vmid, VolumeId};
use crate::proxmox::property::boolean;
use crate::world::{Param, Params, Selection};

impl At<'_> {
    pub(super) fn create(&self, kind: GuestKind, vmid: Vmid, params: &Params) -> Vec<Raw> {
        self.newcomer(kind, vmid, params, false)
    }

    /// A new guest; `again` if it is the one that had this number before, whose backups and jobs are its own.
    fn newcomer(&self, kind: GuestKind, vmid: Vmid, params: &Params, again: bool) -> Vec<Raw> {
        let entity = Entity::Guest(kind, vmid);
        let mut all = Vec::new();
        let path = format!("/vms/{vmid}");
        for entry in self.before.acl.iter().filter(|entry| entry.path == path) {
            all.push(raw(
                self.step,
                Entity::Acl(format!("{path} {}", entry.subject)),
                Category::GainsPrivilege,
                ("names nothing", "names the new guest"),
                format!(
                    "the access rule {path} of a former guest gives {} {} the role {} on the new one",
                    entry.subject_type, entry.subject, entry.role
                ),
                Duration::Permanent,
                "GU08",
            ));
        }
        let jobs = self.before.backup_jobs.iter().filter(|(_, job)| {
            matches!(&job.selection, Selection::Guests(guests) | Selection::AllBut(guests) if guests.contains(&vmid))
        });
        for (id, _) in jobs.filter(|_| !again) {
            all.push(raw(
                self.step,
                Entity::BackupJob(id.clone()),
                Category::Dangling,
                ("names nothing", "names the new guest"),
                format!("it still names {vmid}, which was another guest"),
                Duration::Permanent,
                "GU08",
            ));
        }
        let left = self
            .before
            .storages
            .values()
            .flat_map(|storage| storage.volumes.values())
            .flat_map(|volumes| volumes.iter())
            .filter(|(_, volume)| volume.vmid == Some(vmid))
            .filter(|(_, volume)| !(again && volume.content == "backup"))
            .map(|(id, _)| id.to_string())
            .collect::<BTreeSet<_>>();
        if !left.is_empty() {
            let list: Vec<_> = left.into_iter().collect();
            all.push(raw(
                self.step,
                entity.clone(),
                Category::Dangling,
                ("no guest", "a new guest"),
                format!(
                    "volumes of a former guest {vmid} are still there and would count as the new one's: {}",
                    few(&list)
                ),
                Duration::Permanent,
                "GU08",
            ));
        }
        let privileged = kind == GuestKind::Lxc
            && matches!(params.get("unprivileged"), Some(Param::Plain(text)) if boolean(text) == Some(false));
        if privileged {
            all.push(raw(
                self.step,
                entity.clone(),
                Category::Exposed,
                ("no guest", "a privileged container"),
                "it is a privileged container: root inside it is root on the node".to_owned(),
                Duration::Permanent,
                "GU08",
            ));
        }
        all.extend(self.same_name(&entity, vmid));
        all
    }

    /// A clone is a new guest too; whether it is privileged comes from its source.
    pub(super) fn cloned(&self, kind: GuestKind, vmid: Vmid) -> Vec<Raw> {
        self.newcomer(kind, vmid, &self.taken_over(vmid), false)
    }

    /// So is a guest from a backup, unless the backup is of a guest of the same number.
    pub(super) fn restored(&self, kind: GuestKind, vmid: Vmid, archive: &VolumeId) -> Vec<Raw> {
        let storage = self.before.storages.get(archive.storage());
        let node = self.after.guests.get(&vmid).map(|guest| &guest.node);
        let file = storage
            .zip(node)
            .and_then(|(on, node)| on.volume(node, archive));
        let again = file.is_some_and(|file| file.vmid == Some(vmid));
        self.newcomer(kind, vmid, &self.taken_over(vmid), again)
    }

    /// What a guest made from another, or from a backup, has that its creation would have said.
    fn taken_over(&self, vmid: Vmid) -> Params {
        let guest = self.after.guests.get(&vmid);
        let unprivileged = guest.and_then(|guest| guest.config.current.get("unprivileged"));
        let flag = unprivileged.map_or("0", String::as_str).to_owned();
        Params::from([("unprivileged".to_owned(), Param::Plain(flag))])
    }

    fn same_name(&self, entity: &Entity, vmid: Vmid) -> Option<Raw> {
        let name = self.after.guests.get(&vmid)?.name.clone()?;
        let other = self
            .before
            .guests
            .values()
            .find(|guest| guest.name.as_deref() == Some(&name))?;
        Some(raw(
            self.step,
            entity.clone(),
            Category::Dangling,
            ("one guest of this name", "two"),
            format!("{} is called {name} too", other.entity()),
            Duration::Permanent,
            "GU08",
        ))
    }
}
