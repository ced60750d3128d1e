//! What the cluster's list of tasks gives away: which tasks are new, or have ended, since the list before, and what they changed.
//! The list is a hint and nothing more: it lags by up to ten seconds, forgets, and is empty for a token without Sys.Audit on `/`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::due::{Due, Reading};
use super::fingerprint::of_text;
use super::rotation::List;
use crate::ids::{NodeName, StorageId, Vmid};
use crate::proxmox::Upid;
use crate::world::model::World;
use crate::world::observe::json;

/// The tasks of the last list, each with whether it had ended.
#[derive(Debug, Default)]
pub(super) struct Tasks(BTreeMap<u64, bool>);

/// A task that is new or has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) upid: Upid,
    pub(super) ended: bool,
}

impl Tasks {
    pub(super) fn of(list: &Value) -> Self {
        Self(
            entries(list)
                .map(|(name, ended, _)| (name, ended))
                .collect(),
        )
    }

    /// What a later list has that this one had not. A UPID that cannot be read is no news.
    pub(super) fn news(&self, list: &Value) -> Vec<News> {
        entries(list)
            .filter(|(name, ended, _)| self.0.get(name) != Some(ended))
            .filter_map(|(_, ended, text)| {
                let upid = text.parse().ok()?;
                Some(News { upid, ended })
            })
            .collect()
    }
}

fn entries(list: &Value) -> impl Iterator<Item = (u64, bool, &str)> {
    json::items(list).filter_map(|item| {
        let upid = item.get("upid")?.as_str()?;
        let ended = item.get("endtime").is_some_and(|end| !end.is_null());
        Some((of_text(upid), ended, upid))
    })
}

/// Tasks that only look, or show a screen.
const LOOKING: &[&str] = &[
    "vncproxy",
    "vncshell",
    "spiceproxy",
    "spiceshell",
    "termproxy",
    "acmeupdate",
    "aptupdate",
];
/// Tasks that make, move or remove a guest's volumes.
const VOLUMES: &[&str] = &[
    "qmcreate",
    "qmrestore",
    "qmclone",
    "qmmove",
    "qmtemplate",
    "qmigrate",
    "qmsnapshot",
    "qmdelsnapshot",
    "qmrollback",
    "vzcreate",
    "vzrestore",
    "vzclone",
    "vztemplate",
    "vzmigrate",
    "vzsnapshot",
    "vzdelsnapshot",
    "vzrollback",
    "move_volume",
    "resize",
];

/// Notes what a task makes worth reading again.
pub(super) fn note(news: &News, world: &World, due: &mut Due, now: u64) {
    let News { upid, ended } = news;
    let kind = upid.task_type.as_str();
    if LOOKING.contains(&kind) {
        return;
    }
    // `104`, or `104@local` for a volume of a guest on a storage, or `local` for a storage.
    let (about, storage) = match upid.id.split_once('@') {
        Some((about, storage)) => (about, Some(storage)),
        None => (upid.id.as_str(), Some(upid.id.as_str())),
    };
    let vmid: Option<Vmid> = about.parse().ok();
    if let Some(vmid) = vmid {
        due.guest(vmid, now);
    }
    if kind.starts_with("ha") {
        due.lists.extend([List::HaResources, List::HaRules]);
    }
    match kind {
        "srvreload" => due.node(&upid.node, Reading::Network),
        "reloadnetworkall" => {
            for node in world.nodes.keys() {
                due.node(node, Reading::Network);
            }
        }
        "dircreate" | "lvmcreate" | "lvmthincreate" | "zfscreate" | "dirremove" | "lvmremove"
        | "lvmthinremove" | "zfsremove" => due.node(&upid.node, Reading::Storage),
        _ => {}
    }
    if !ended {
        return;
    }
    match kind {
        "vzdump" => content(world, &upid.node, due, now, |holds| holds == "backup"),
        // What the task that pulls an image from a registry is called is not known; it says `oci` somewhere.
        _ if matches!(kind, "imgcopy" | "imgdel" | "download" | "prunebackups")
            || kind.contains("oci") =>
        {
            let named: Option<StorageId> = storage
                .and_then(|storage| storage.parse().ok())
                .filter(|id| world.storages.contains_key(id));
            match named {
                Some(id) => due.content(id, None, now),
                None => content(world, &upid.node, due, now, |holds| {
                    !matches!(holds, "images" | "rootdir")
                }),
            }
        }
        _ if VOLUMES.contains(&kind) => {
            let guest = vmid.and_then(|vmid| world.guests.get(&vmid));
            for storage in guest.map(super::guests::storages).unwrap_or_default() {
                due.content(storage, None, now);
            }
        }
        _ => {}
    }
}

/// Whatever lies on the storages of a node that may hold something.
fn content(world: &World, node: &NodeName, due: &mut Due, now: u64, holds: impl Fn(&str) -> bool) {
    for storage in world.storages.values() {
        if storage.on_node(node) && storage.content.iter().any(|content| holds(content)) {
            due.content(storage.id.clone(), Some(node.clone()), now);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::world::testing::{Builder, node, storage_id, vmid};
    use serde_json::json;

    fn upid(kind: &str, id: &str) -> String {
        format!("UPID:pve1:0000C530:001C9BEC:69151F5C:{kind}:{id}:root@pam:")
    }

    #[test]
    fn new_and_ended_tasks_are_news_once() {
        let start = upid("qmstart", "100");
        let running = json!([{"upid": start, "node": "pve1"}]);
        let ended = json!([{"upid": start, "node": "pve1", "endtime": 5, "status": "OK"}]);
        let none = Tasks::default();
        assert_eq!(none.news(&running).len(), 1);
        let known = Tasks::of(&running);
        assert_eq!(known.news(&running), []);
        assert_eq!(known.news(&json!([{"upid": start, "endtime": null}])), []);
        assert!(known.news(&ended).first().unwrap().ended);
        assert_eq!(Tasks::of(&ended).news(&ended), []);
        assert_eq!(
            none.news(&json!([{"upid": "rubbish"}, {"node": "x"}, 7])),
            []
        );
    }

    fn noted(kind: &str, id: &str, ended: bool) -> Due {
        let world = Builder::new(&["pve1", "pve2"])
            .storage("local", "dir")
            .storage("fast", "lvmthin")
            .vm(100, "pve1", &[("scsi0", "fast:vm-100-disk-0,size=4G")])
            .build();
        let mut due = Due::default();
        let upid = upid(kind, id).parse().unwrap();
        note(&News { upid, ended }, &world, &mut due, 7);
        due
    }

    #[test]
    fn a_task_is_about_what_its_type_says() {
        assert_eq!(
            noted("qmconfig", "100", false).guests,
            [(vmid(100), 7)].into()
        );
        assert!(noted("vncproxy", "100", false).guests.is_empty());
        assert!(noted("qmmove", "100", false).contents.is_empty());
        let moved = noted("qmmove", "100", true);
        assert_eq!(moved.contents, [((storage_id("fast"), None), 7)].into());
        let backup = noted("vzdump", "", true);
        let there = (storage_id("local"), Some(node("pve1")));
        assert_eq!(backup.contents, [(there, 7)].into());
        let removed = noted("imgdel", "100@fast", true);
        assert_eq!(removed.contents, [((storage_id("fast"), None), 7)].into());
        assert!(removed.guests.contains_key(&vmid(100)));
        assert_eq!(noted("hamigrate", "100", false).lists.len(), 2);
        let reloaded = noted("srvreload", "networking", false);
        assert_eq!(reloaded.nodes, [(node("pve1"), Reading::Network)].into());
    }
}
