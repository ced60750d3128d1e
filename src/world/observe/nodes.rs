//! The parts that belong to one node: its size, its bridges, the state of its storages, and which guests run on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::cluster::status_of;
use super::reads::Reads;
use super::{Observation, Why, each, json};
use crate::ids::{Bytes, GuestKind, NodeName, StorageId, Vmid};
use crate::proxmox::call::ApiError;
use crate::proxmox::client::Answer;
use crate::proxmox::{Call, ErrorClass};
use crate::world::model::{GuestConfig, Part, Status, StorageState};

/// Why nothing is read of a node that the cluster says is offline.
pub(in crate::world) const OFFLINE: &str = "the node is offline";

/// What was read of one node.
pub(in crate::world) struct NodeRead {
    node: NodeName,
    status: Result<Value, ApiError>,
    network: Result<Answer, ApiError>,
    storage: Result<Value, ApiError>,
    qemu: Result<Value, ApiError>,
    lxc: Result<Value, ApiError>,
}

/// Reads a node, or says why it does not answer.
pub(in crate::world) async fn read(
    reads: Reads,
    node: NodeName,
) -> Result<NodeRead, (NodeName, Why)> {
    // One answer first: a node that cannot be reached is not asked five times, each until its time-out.
    let status = match status(&reads, &node).await {
        Err(error) if unreachable(&error) => return Err((node, error.to_string())),
        answered => answered,
    };
    let (network, storage, qemu, lxc) = tokio::join!(
        network(&reads, &node),
        storage(&reads, &node),
        guests(&reads, &node, GuestKind::Qemu),
        guests(&reads, &node, GuestKind::Lxc),
    );
    Ok(NodeRead {
        node,
        status,
        network,
        storage,
        qemu,
        lxc,
    })
}

/// Its size and how it does.
pub(in crate::world) async fn status(reads: &Reads, node: &NodeName) -> Result<Value, ApiError> {
    reads
        .data(Call::get(["nodes", node.as_str(), "status"]))
        .await
}

/// Its bridges; whether edits are staged stands beside the data.
pub(in crate::world) async fn network(reads: &Reads, node: &NodeName) -> Result<Answer, ApiError> {
    let call = Call::get(["nodes", node.as_str(), "network"]).param("type", "any_bridge");
    reads.answer(call).await
}

/// The state of its storages.
pub(in crate::world) async fn storage(reads: &Reads, node: &NodeName) -> Result<Value, ApiError> {
    reads
        .data(Call::get(["nodes", node.as_str(), "storage"]))
        .await
}

/// Its guests of one kind.
pub(in crate::world) async fn guests(
    reads: &Reads,
    node: &NodeName,
    kind: GuestKind,
) -> Result<Value, ApiError> {
    reads
        .data(Call::get(["nodes", node.as_str(), kind.api()]))
        .await
}

/// Whether an error of a call about a node says that the node does not answer.
pub(in crate::world) fn unreachable(error: &ApiError) -> bool {
    matches!(
        error.class(),
        ErrorClass::NodeUnreachable | ErrorClass::Proxy
    )
}

impl Observation<'_> {
    pub(super) async fn nodes(&mut self) {
        let (online, offline): (Vec<NodeName>, Vec<NodeName>) = self
            .world
            .nodes
            .iter()
            .map(|(name, node)| (name.clone(), node.online != Some(false)))
            .fold(
                (Vec::new(), Vec::new()),
                |(mut on, mut off), (name, is_on)| {
                    if is_on {
                        on.push(name)
                    } else {
                        off.push(name)
                    }
                    (on, off)
                },
            );
        for node in offline {
            self.node_lost(&node, OFFLINE);
        }
        let reads = self.reads.clone();
        for answer in each(online, |node| read(reads.clone(), node)).await {
            match answer {
                Ok(read) => self.node_read(read),
                Err((node, why)) => self.node_lost(&node, &why),
            }
        }
    }

    /// Nothing of a node can be read: its guests are kept, and nobody knows whether they run.
    pub(in crate::world) fn node_lost(&mut self, node: &NodeName, why: &str) {
        self.lost.insert(node.clone(), why.to_owned());
        for part in [
            Part::NodeStatus(node.clone()),
            Part::NodeNetwork(node.clone()),
            Part::NodeStorage(node.clone()),
        ] {
            self.mark(part, Err(why.to_owned()));
        }
        for guest in self
            .world
            .guests
            .values_mut()
            .filter(|guest| guest.node == *node)
        {
            Arc::make_mut(guest).status = Status::Unknown;
        }
    }

    pub(in crate::world) fn node_read(&mut self, read: NodeRead) {
        let NodeRead {
            node,
            status,
            network,
            storage,
            qemu,
            lxc,
        } = read;
        self.node_status_read(&node, status);
        self.node_network_read(&node, network);
        self.node_storage_read(&node, storage);
        self.node_guests_read(&node, GuestKind::Qemu, qemu);
        self.node_guests_read(&node, GuestKind::Lxc, lxc);
    }

    pub(in crate::world) fn node_status_read(
        &mut self,
        node: &NodeName,
        read: Result<Value, ApiError>,
    ) {
        let part = read
            .map_err(|error| error.to_string())
            .map(|data| self.node_status(node, &data));
        self.mark(Part::NodeStatus(node.clone()), part);
    }

    pub(in crate::world) fn node_network_read(
        &mut self,
        node: &NodeName,
        read: Result<Answer, ApiError>,
    ) {
        let bridges = read.map_err(|error| error.to_string()).map(|answer| {
            let staged = answer
                .extra
                .get("changes")
                .is_some_and(|changes| !changes.is_null());
            bridges(&answer.data, staged)
        });
        let part = bridges.as_ref().map(|_| ()).map_err(Why::clone);
        let entry = self.world.nodes.entry(node.clone()).or_default();
        Arc::make_mut(entry).bridges = bridges.unwrap_or_default();
        self.mark(Part::NodeNetwork(node.clone()), part);
    }

    pub(in crate::world) fn node_storage_read(
        &mut self,
        node: &NodeName,
        read: Result<Value, ApiError>,
    ) {
        let states = read
            .map_err(|error| error.to_string())
            .and_then(|data| storage_states(&data));
        let part = states.as_ref().map(|_| ()).map_err(Why::clone);
        let entry = self.world.nodes.entry(node.clone()).or_default();
        Arc::make_mut(entry).storages = states.unwrap_or_default();
        self.mark(Part::NodeStorage(node.clone()), part);
    }

    pub(in crate::world) fn node_guests_read(
        &mut self,
        node: &NodeName,
        kind: GuestKind,
        read: Result<Value, ApiError>,
    ) {
        match read {
            Ok(list) => self.running(node, kind, &list),
            Err(error) if unreachable(&error) => {
                for guest in self.world.guests.values_mut() {
                    if guest.node == *node && guest.kind == kind {
                        Arc::make_mut(guest).status = Status::Unknown;
                    }
                }
            }
            // What `/cluster/resources` said, some seconds old, is what is left.
            Err(_) => {}
        }
    }

    fn node_status(&mut self, name: &NodeName, data: &Value) {
        let node = Arc::make_mut(self.world.nodes.entry(name.clone()).or_default());
        let Size { memory, used, cpus } = size(data);
        node.memory_total = memory.or(node.memory_total);
        node.memory_used = used.or(node.memory_used);
        node.cpus = cpus.or(node.cpus);
        // It answered.
        node.online = Some(true);
    }

    /// The node's own list of its guests, which knows at once what `/cluster/resources` knows ten seconds later. A guest about
    /// which it says nothing new is not touched.
    pub(super) fn running(&mut self, node: &NodeName, kind: GuestKind, list: &Value) {
        for item in json::items(list) {
            let Some(vmid) = json::name::<Vmid>(item, "vmid") else {
                continue;
            };
            let Some(guest) = self
                .world
                .guests
                .get_mut(&vmid)
                .filter(|g| g.node == *node && g.kind == kind)
            else {
                continue;
            };
            let status = status_of(json::text(item, "status").as_deref());
            let name = name_of(kind, &guest.config)
                .map(str::to_owned)
                .or_else(|| json::text(item, "name"))
                .or_else(|| guest.name.clone());
            let lock = json::text(item, "lock").filter(|lock| !lock.is_empty());
            let template = template_of(&guest.config)
                .or_else(|| json::flag(item, "template"))
                .unwrap_or(guest.template);
            if (status, &name, &lock, template)
                != (guest.status, &guest.name, &guest.lock, guest.template)
            {
                let guest = Arc::make_mut(guest);
                guest.status = status;
                guest.name = name;
                guest.lock = lock;
                guest.template = template;
            }
        }
    }
}

/// The name that stands in a guest's configuration.
pub(super) fn name_of(kind: GuestKind, config: &GuestConfig) -> Option<&str> {
    let key = match kind {
        GuestKind::Qemu => "name",
        GuestKind::Lxc => "hostname",
    };
    config.current.get(key).map(String::as_str)
}

/// Whether a guest is a template, if its configuration says so.
pub(super) fn template_of(config: &GuestConfig) -> Option<bool> {
    let text = config.current.get("template")?;
    crate::proxmox::property::boolean(text)
}

/// A node's size, of `/nodes/NODE/status`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Size {
    memory: Option<Bytes>,
    used: Option<Bytes>,
    cpus: Option<u32>,
}

fn size(data: &Value) -> Size {
    let memory = data.get("memory");
    let cpus = data
        .get("cpuinfo")
        .and_then(|info| json::integer(info, "cpus"))
        .filter(|cpus| *cpus > 0);
    let total = memory
        .and_then(|memory| json::bytes(memory, "total"))
        .filter(|total| *total > Bytes(0));
    Size {
        // There is no node without memory: that is not known rather than nought.
        memory: total,
        used: total.and(memory.and_then(|memory| json::bytes(memory, "used"))),
        cpus: cpus.and_then(|cpus| u32::try_from(cpus).ok()),
    }
}

fn bridges(list: &Value, staged: bool) -> BTreeSet<String> {
    // With edits staged, the list shows bridges that do not exist yet; those that do are active.
    let there = |item: &&Value| !staged || json::flag(item, "active").unwrap_or(false);
    json::items(list)
        .filter(there)
        .filter_map(|item| json::text(item, "iface"))
        .collect()
}

fn storage_states(list: &Value) -> Result<BTreeMap<StorageId, StorageState>, Why> {
    let mut states = BTreeMap::new();
    for item in json::items(list) {
        let id: StorageId = json::name(item, "storage")
            .ok_or_else(|| format!("a storage has no valid id: {item}"))?;
        let active = json::flag(item, "active").unwrap_or(false);
        // An inactive storage reports a size of nought, which is no size.
        let size = |field| json::bytes(item, field).filter(|_| active);
        let state = StorageState {
            enabled: json::flag(item, "enabled").unwrap_or(true),
            active,
            total: size("total"),
            available: size("avail"),
        };
        states.insert(id, state);
    }
    Ok(states)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_size_of_nought_is_no_size() {
        let empty = json!({"memory": {"total": 0, "used": 0}, "cpuinfo": {"cpus": 0}});
        assert_eq!(size(&empty), Size::default());
        let full = json!({"memory": {"total": 4096, "used": 0}, "cpuinfo": {"cpus": 4}});
        let expected = Size {
            memory: Some(Bytes(4096)),
            used: Some(Bytes(0)),
            cpus: Some(4),
        };
        assert_eq!(size(&full), expected);
    }
}
