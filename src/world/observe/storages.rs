//! What lies on the storages. Whether what Proxmox VE shows of it is all of it, [`super::whole`] says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::reads::Reads;
use super::{Observation, Why, each, json};
use crate::ids::{Bytes, NodeName, StorageId, VolumeId};
use crate::proxmox::Call;
use crate::world::model::{Part, Storage, Volume};

/// A storage's content, to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::world) struct Wanted {
    pub(in crate::world) storage: StorageId,
    /// The nodes to ask, in order; the parts of all of them are answered by the first answer if the storage is shared.
    pub(in crate::world) nodes: Vec<NodeName>,
}

/// Which contents can be asked for, and which cannot, with the reason.
#[derive(Debug, Default)]
pub(in crate::world) struct Contents {
    pub(in crate::world) wanted: Vec<Wanted>,
    pub(in crate::world) unusable: BTreeMap<Part, Why>,
}

impl Observation<'_> {
    pub(super) async fn contents(&mut self) {
        let Contents { wanted, unusable } = self.which_contents();
        for (part, why) in unusable {
            self.mark(part, Err(why));
        }
        self.read_contents(wanted).await;
    }

    pub(in crate::world) async fn read_contents(&mut self, wanted: Vec<Wanted>) {
        let reads = self.reads.clone();
        for (wanted, answer) in each(wanted, |wanted| ask(reads.clone(), wanted)).await {
            self.content_read(wanted, answer);
        }
    }

    /// What can be asked for, by the storages' definitions and their state on the nodes.
    pub(in crate::world) fn which_contents(&self) -> Contents {
        let mut contents = Contents::default();
        for storage in self.world.storages.values() {
            let nodes = self.usable_on(storage, &mut contents.unusable);
            let wanted = |nodes| Wanted {
                storage: storage.id.clone(),
                nodes,
            };
            if !storage.shared {
                contents
                    .wanted
                    .extend(nodes.into_iter().map(|node| wanted(vec![node])));
            } else if !nodes.is_empty() {
                contents.wanted.push(wanted(nodes));
            }
        }
        contents
    }

    /// The nodes that can list a storage's content now; for the others of its nodes the part is unusable.
    fn usable_on(&self, storage: &Storage, unusable: &mut BTreeMap<Part, Why>) -> Vec<NodeName> {
        let nodes: BTreeSet<&NodeName> = match &storage.nodes {
            Some(nodes) => nodes.iter().collect(),
            None => self.world.nodes.keys().collect(),
        };
        let mut usable = Vec::new();
        let mut not = Vec::new();
        for node in nodes {
            let why = if storage.disabled {
                Some("the storage is disabled".to_owned())
            } else {
                self.not_usable(node, &storage.id)
            };
            match why {
                None => usable.push(node.clone()),
                Some(why) => not.push((node.clone(), why)),
            }
        }
        // A shared storage is read where it can be; that another node cannot reach it hides nothing of its content.
        if !storage.shared || usable.is_empty() {
            unusable.extend(
                not.into_iter()
                    .map(|(node, why)| (Part::StorageContent(node, storage.id.clone()), why)),
            );
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
        let read = answer.and_then(|(node, data)| Ok((node, volumes(&data)?)));
        let part = read.as_ref().map(|_| ()).map_err(Why::clone);
        if let Some(storage) = self.world.storages.get_mut(&wanted.storage) {
            let before = |node: &NodeName| storage.volumes.get(node).cloned();
            // What is the same as before stays the same in memory.
            let read = read.map(|(node, volumes)| match before(&node) {
                Some(known) if *known == volumes => (node, known),
                Some(_) | None => (node, Arc::new(volumes)),
            });
            let storage = Arc::make_mut(storage);
            for node in &wanted.nodes {
                storage.volumes.remove(node);
            }
            storage.volumes.extend(read);
        }
        for node in wanted.nodes {
            self.mark(
                Part::StorageContent(node, wanted.storage.clone()),
                part.clone(),
            );
        }
    }
}

pub(super) async fn ask(reads: Reads, wanted: Wanted) -> (Wanted, Result<(NodeName, Value), Why>) {
    let mut why = "no node can list it".to_owned();
    for node in &wanted.nodes {
        let call = Call::get([
            "nodes",
            node.as_str(),
            "storage",
            wanted.storage.as_str(),
            "content",
        ]);
        match reads.data(call).await {
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
                notes: json::text(item, "notes").filter(|notes| !notes.is_empty()),
            };
            Ok((id, volume))
        })
        .collect()
}
