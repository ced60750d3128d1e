//! What lies on the storages. Proxmox VE hides disks from a token without VM.Config.Disk on their guest, and backups from one
//! without VM.Backup, unless it has Datastore.Allocate on the storage: without these the list is not whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::{Observation, Why, data, each, json};
use crate::ids::{Bytes, NodeName, StorageId, VolumeId};
use crate::proxmox::{Call, Client};
use crate::world::model::{Part, Storage, Volume};

/// Asks a list of nodes for a storage's content until one answers.
pub(super) struct Wanted {
    pub(super) storage: StorageId,
    /// The nodes to ask, in order; the parts of all of them are answered by the first answer if the storage is shared.
    pub(super) nodes: Vec<NodeName>,
}

impl Observation<'_> {
    pub(super) async fn contents(&mut self) {
        let mut wanted = Vec::new();
        let storages: Vec<Arc<Storage>> = self.world.storages.values().cloned().collect();
        for storage in storages {
            let nodes = self.usable_on(&storage);
            if storage.shared {
                if !nodes.is_empty() {
                    wanted.push(Wanted {
                        storage: storage.id.clone(),
                        nodes,
                    });
                }
            } else {
                wanted.extend(nodes.into_iter().map(|node| Wanted {
                    storage: storage.id.clone(),
                    nodes: vec![node],
                }));
            }
        }
        let client = self.client.clone();
        for (wanted, answer) in each(wanted, |wanted| ask(client.clone(), wanted)).await {
            self.content_read(wanted, answer);
        }
    }

    /// The nodes that can list a storage's content now; for the others of its nodes the part is marked unreadable.
    fn usable_on(&mut self, storage: &Storage) -> Vec<NodeName> {
        let nodes: BTreeSet<NodeName> = match &storage.nodes {
            Some(nodes) => nodes.clone(),
            None => self.world.nodes.keys().cloned().collect(),
        };
        let mut usable = Vec::new();
        let mut not = Vec::new();
        for node in nodes {
            let why = if storage.disabled {
                Some("the storage is disabled".to_owned())
            } else {
                self.not_usable(&node, &storage.id)
            };
            match why {
                None => usable.push(node),
                Some(why) => not.push((node, why)),
            }
        }
        // A shared storage is read where it can be; that another node cannot reach it hides nothing of its content.
        if !storage.shared || usable.is_empty() {
            for (node, why) in not {
                self.mark(Part::StorageContent(node, storage.id.clone()), Err(why));
            }
            return usable;
        }
        usable.extend(not.into_iter().map(|(node, _)| node));
        usable
    }

    fn not_usable(&self, node: &NodeName, storage: &StorageId) -> Option<Why> {
        if let Some(why) = self.world.unreadable(&Part::NodeStorage(node.clone()))
            && !self
                .world
                .nodes
                .get(node)
                .is_some_and(|node| node.storages.contains_key(storage))
        {
            return Some(why.to_owned());
        }
        match self
            .world
            .nodes
            .get(node)
            .and_then(|node| node.storages.get(storage))
        {
            None => Some(format!("node {node} does not have it")),
            Some(state) if !state.enabled => Some(format!("it is not enabled on node {node}")),
            Some(state) if !state.active => Some(format!("it is not active on node {node}")),
            Some(_) => None,
        }
    }

    pub(super) fn content_read(&mut self, wanted: Wanted, answer: Result<(NodeName, Value), Why>) {
        let part = match answer {
            Ok((node, data)) => {
                let read = volumes(&data);
                let trouble = read.as_ref().err().cloned();
                if let (Ok(volumes), Some(storage)) =
                    (read, self.world.storages.get_mut(&wanted.storage))
                {
                    Arc::make_mut(storage)
                        .volumes
                        .insert(node, Arc::new(volumes));
                }
                trouble.map_or_else(|| self.sees_all_of(&wanted.storage), Err)
            }
            Err(why) => Err(why),
        };
        for node in wanted.nodes {
            self.mark(
                Part::StorageContent(node, wanted.storage.clone()),
                part.clone(),
            );
        }
    }

    /// Whether nothing of a storage's content is hidden from the token.
    fn sees_all_of(&self, storage: &StorageId) -> Result<(), Why> {
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

pub(super) async fn ask(
    client: Client,
    wanted: Wanted,
) -> (Wanted, Result<(NodeName, Value), Why>) {
    let mut why = "no node can list it".to_owned();
    for node in &wanted.nodes {
        let call = Call::get([
            "nodes",
            node.as_str(),
            "storage",
            wanted.storage.as_str(),
            "content",
        ]);
        match data(&client, call).await {
            Ok(data) => {
                let node = node.clone();
                return (wanted, Ok((node, data)));
            }
            Err(error) => why = error.to_string(),
        }
    }
    (wanted, Err(why))
}

fn volumes(data: &Value) -> Result<BTreeMap<VolumeId, Volume>, Why> {
    json::items(data)
        .map(|item| {
            let id: VolumeId = json::name(item, "volid")
                .ok_or_else(|| format!("a volume has no valid id: {item}"))?;
            let volume = Volume {
                content: json::text(item, "content").unwrap_or_default(),
                format: json::text(item, "format").unwrap_or_default(),
                size: json::bytes(item, "size").unwrap_or(Bytes(0)),
                vmid: json::name(item, "vmid"),
                parent: json::text(item, "parent").filter(|parent| !parent.is_empty()),
                created: json::integer(item, "ctime"),
                protected: json::flag(item, "protected").unwrap_or(false),
            };
            Ok((id, volume))
        })
        .collect()
}
