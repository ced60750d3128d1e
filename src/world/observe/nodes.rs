//! The parts that belong to one node: its size, its bridges, the state of its storages, and which guests run on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::cluster::status_of;
use super::{Observation, Why, data, each, json};
use crate::ids::{GuestKind, NodeName, StorageId, Vmid};
use crate::proxmox::call::ApiError;
use crate::proxmox::{Call, Client, ErrorClass};
use crate::world::model::{Part, Status, StorageState};

/// What was read of one node.
struct NodeRead {
    node: NodeName,
    status: Result<Value, ApiError>,
    network: Result<crate::proxmox::client::Answer, ApiError>,
    storage: Result<Value, ApiError>,
    qemu: Result<Value, ApiError>,
    lxc: Result<Value, ApiError>,
}

/// Reads a node, or says why it does not answer.
async fn read(client: Client, node: NodeName) -> Result<NodeRead, (NodeName, Why)> {
    let name = node.as_str();
    // One answer first: a node that cannot be reached is not asked five times, each until its time-out.
    let status = data(&client, Call::get(["nodes", name, "status"])).await;
    let status = match status {
        Err(error) if unreachable(&error) => return Err((node, error.to_string())),
        answered => answered,
    };
    let (network, storage, qemu, lxc) = tokio::join!(
        client.read(Call::get(["nodes", name, "network"]).param("type", "any_bridge")),
        data(&client, Call::get(["nodes", name, "storage"])),
        data(&client, Call::get(["nodes", name, "qemu"])),
        data(&client, Call::get(["nodes", name, "lxc"])),
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

fn unreachable(error: &ApiError) -> bool {
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
            self.node_lost(&node, "the node is offline");
        }
        let client = self.client.clone();
        for answer in each(online, |node| read(client.clone(), node)).await {
            match answer {
                Ok(read) => self.node_read(read),
                Err((node, why)) => self.node_lost(&node, &why),
            }
        }
    }

    /// Nothing of a node can be read: its guests are kept, and nobody knows whether they run.
    fn node_lost(&mut self, node: &NodeName, why: &str) {
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

    fn node_read(&mut self, read: NodeRead) {
        let NodeRead {
            node,
            status,
            network,
            storage,
            qemu,
            lxc,
        } = read;
        let part = status
            .map_err(|error| error.to_string())
            .map(|data| self.node_status(&node, &data));
        self.mark(Part::NodeStatus(node.clone()), part);
        let part = network
            .map_err(|error| error.to_string())
            .and_then(|answer| {
                let staged = answer
                    .extra
                    .get("changes")
                    .is_some_and(|changes| !changes.is_null());
                self.node_network(&node, &answer.data, staged)
            });
        self.mark(Part::NodeNetwork(node.clone()), part);
        let part = storage
            .map_err(|error| error.to_string())
            .and_then(|data| self.node_storage(&node, &data));
        self.mark(Part::NodeStorage(node.clone()), part);
        for (kind, list) in [(GuestKind::Qemu, qemu), (GuestKind::Lxc, lxc)] {
            match list {
                Ok(list) => self.running(&node, kind, &list),
                Err(error) if unreachable(&error) => {
                    for guest in self.world.guests.values_mut() {
                        if guest.node == node && guest.kind == kind {
                            Arc::make_mut(guest).status = Status::Unknown;
                        }
                    }
                }
                // What `/cluster/resources` said, some seconds old, is what is left.
                Err(_) => {}
            }
        }
    }

    fn node_status(&mut self, name: &NodeName, data: &Value) {
        let node = Arc::make_mut(self.world.nodes.entry(name.clone()).or_default());
        if let Some(memory) = data.get("memory") {
            node.memory_total = json::bytes(memory, "total").or(node.memory_total);
            node.memory_used = json::bytes(memory, "used").or(node.memory_used);
        }
        if let Some(cpus) = data
            .get("cpuinfo")
            .and_then(|info| json::integer(info, "cpus"))
        {
            node.cpus = u32::try_from(cpus).ok().or(node.cpus);
        }
        // It answered.
        node.online = Some(true);
    }

    fn node_network(&mut self, name: &NodeName, data: &Value, staged: bool) -> Result<(), Why> {
        // With edits staged, the list shows bridges that do not exist yet; those that do are active.
        let there = |item: &&Value| !staged || json::flag(item, "active").unwrap_or(false);
        let bridges: BTreeSet<String> = json::items(data)
            .filter(there)
            .filter_map(|item| json::text(item, "iface"))
            .collect();
        Arc::make_mut(self.world.nodes.entry(name.clone()).or_default()).bridges = bridges;
        self.sight.below("/sdn/zones", &["SDN.Audit", "SDN.Use"])
    }

    fn node_storage(&mut self, name: &NodeName, data: &Value) -> Result<(), Why> {
        let mut states = BTreeMap::new();
        for item in json::items(data) {
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
        Arc::make_mut(self.world.nodes.entry(name.clone()).or_default()).storages = states;
        self.sight
            .below("/storage", &["Datastore.Audit", "Datastore.AllocateSpace"])
    }

    /// The node's own list of its guests, which knows at once what `/cluster/resources` knows ten seconds later.
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
            let guest = Arc::make_mut(guest);
            guest.status = status_of(json::text(item, "status").as_deref());
            guest.name = json::text(item, "name").or_else(|| guest.name.take());
            guest.lock = json::text(item, "lock").filter(|lock| !lock.is_empty());
            if let Some(template) = json::flag(item, "template") {
                guest.template = template;
            }
        }
    }
}
