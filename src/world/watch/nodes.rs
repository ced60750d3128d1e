//! The nodes, again: who is a member and online, what each node says of itself, and what becomes of its guests when it is lost and
//! when it comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::due::Reading;
use super::fingerprint::{NodeFingerprint, of_storage};
use super::resources::Entry;
use super::rotation::List;
use super::turn::Turn;
use crate::ids::{GuestKind, NodeName};
use crate::proxmox::ApiError;
use crate::proxmox::client::Answer;
use crate::world::model::{Node, Part, Status};
use crate::world::observe::cluster::{Listed, guest_of_list};
use crate::world::observe::guests::on_lost_node;
use crate::world::observe::nodes::{self, NodeRead, OFFLINE, unreachable};
use crate::world::observe::{Why, each, json};

/// What was read of a node.
enum Read {
    Whole(Result<Box<NodeRead>, Why>),
    Status(Result<Value, ApiError>),
    Network(Result<Answer, ApiError>),
    Storage(Result<Value, ApiError>),
    Guests(GuestKind, Result<Value, ApiError>),
}

impl Turn<'_> {
    /// What the list of resources says of nodes and their storages.
    pub(super) fn nodes_listed(&mut self) {
        let list = Arc::clone(&self.list);
        for entry in list.entries() {
            match entry.listed() {
                Listed::Node(Some(name)) => self.node_listed(name, &entry),
                Listed::Storage => self.storage_listed(&entry),
                Listed::Node(None) | Listed::Guest(_) | Listed::Other => {}
            }
        }
        let before = &self.before.listing;
        if before
            .nodes
            .keys()
            .any(|name| !self.listing.nodes.contains_key(name))
        {
            self.due.lists.insert(List::ClusterStatus);
        }
        for key in before.storages.keys() {
            if !self.listing.storages.contains_key(key) {
                self.due.lists.insert(List::Storages);
                self.due.node(&key.0, Reading::Storage);
            }
        }
    }

    fn node_listed(&mut self, name: NodeName, entry: &Entry<'_>) {
        let now = NodeFingerprint::of(entry);
        match self.before.listing.nodes.get(&name) {
            Some(before) => {
                if before.rebooted(&now) {
                    self.due.node(&name, Reading::Whole);
                }
                if before.differs(&now) {
                    self.due.lists.insert(List::ClusterStatus);
                    self.due.node(&name, Reading::Status);
                }
            }
            None => drop(self.due.lists.insert(List::ClusterStatus)),
        }
        self.figures(&name, &entry.value());
        self.listing.nodes.insert(name, now);
    }

    /// The list's figures of a node: the memory in use as of now, and its size where the node itself could not be asked.
    fn figures(&mut self, name: &NodeName, item: &Value) {
        let asked = !self
            .seen
            .failed
            .contains_key(&Part::NodeStatus(name.clone()));
        let Some(node) = self.seen.world.nodes.get_mut(name) else {
            return;
        };
        let used = json::bytes(item, "mem");
        if asked && (used.is_none() || used == node.memory_used) {
            return;
        }
        let node = Arc::make_mut(node);
        node.memory_used = used;
        if !asked {
            node.cpus = json::integer(item, "maxcpu").and_then(|cpus| u32::try_from(cpus).ok());
            node.memory_total = json::bytes(item, "maxmem");
        }
    }

    fn figures_of_list(&mut self, name: &NodeName) {
        let list = Arc::clone(&self.list);
        for entry in list.entries() {
            if matches!(entry.listed(), Listed::Node(Some(listed)) if listed == *name) {
                self.figures(name, &entry.value());
            }
        }
    }

    fn storage_listed(&mut self, entry: &Entry<'_>) {
        let item = &entry.value();
        let (Some(node), Some(storage)) = (json::name(item, "node"), json::name(item, "storage"))
        else {
            return;
        };
        let now = of_storage(entry);
        let key = (node, storage);
        let before = self.before.listing.storages.get(&key);
        if before != Some(&now) {
            self.due.node(&key.0, Reading::Storage);
            self.due.lists.insert(List::Storages);
        }
        self.listing.storages.insert(key, now);
    }

    /// Who is a member, by the cluster's status and the list of resources; and so who is offline, new, back, or gone.
    pub(super) fn members(&mut self, status: Result<Value, ApiError>) {
        let before = std::mem::take(&mut self.seen.world.nodes);
        self.seen.world.quorate = None;
        let part = self.seen.status(status);
        let list = Arc::clone(&self.list);
        for entry in list.entries() {
            match entry.listed() {
                Listed::Node(Some(name)) => self.seen.node_of_list(name, &entry.value()),
                Listed::Guest(_) => self.node_of_guest(&entry),
                Listed::Node(None) | Listed::Storage | Listed::Other => {}
            }
        }
        self.seen.mark(Part::ClusterStatus, part);
        let names: Vec<NodeName> = self.seen.world.nodes.keys().cloned().collect();
        for name in names {
            let known = before.get(&name);
            self.member(name, known);
        }
        for name in before.keys() {
            if !self.seen.world.nodes.contains_key(name) {
                self.node_gone(name);
            }
        }
    }

    /// A guest's node is one, whoever else says so.
    fn node_of_guest(&mut self, entry: &Entry<'_>) {
        let known = entry.field("node");
        let is_known = |name: &NodeName| Some(name.as_str()) == known;
        if !self.seen.world.nodes.keys().any(is_known)
            && let Some(name) = json::name(&entry.value(), "node")
        {
            self.seen.world.nodes.entry(name).or_default();
        }
    }

    fn member(&mut self, name: NodeName, known: Option<&Arc<Node>>) {
        let online = self
            .seen
            .world
            .nodes
            .get(&name)
            .and_then(|node| node.online);
        let lost = self.seen.lost.get(&name).map(String::as_str);
        match (online, lost) {
            (Some(false), Some(OFFLINE)) => {}
            (Some(false), _) => return self.lose(&name, OFFLINE),
            (Some(true) | None, Some(OFFLINE)) => return self.due.node(&name, Reading::Whole),
            (Some(true) | None, Some(_)) => {}
            (Some(true) | None, None) => match known {
                Some(known) => self.carry(&name, known),
                None => return self.due.node(&name, Reading::Whole),
            },
        }
        // Nothing new about it: the same in memory.
        let node = self.seen.world.nodes.get_mut(&name);
        if let Some((known, node)) = known.zip(node)
            && known == node
        {
            *node = Arc::clone(known);
        }
    }

    /// What the node itself said stands above what the lists say of it.
    fn carry(&mut self, name: &NodeName, known: &Node) {
        let asked = !self
            .seen
            .failed
            .contains_key(&Part::NodeStatus(name.clone()));
        let Some(node) = self.seen.world.nodes.get_mut(name) else {
            return;
        };
        let node = Arc::make_mut(node);
        node.bridges.clone_from(&known.bridges);
        node.storages.clone_from(&known.storages);
        if asked {
            node.online = Some(true);
            node.cpus = known.cpus.or(node.cpus);
            node.memory_total = known.memory_total.or(node.memory_total);
        }
    }

    fn node_gone(&mut self, name: &NodeName) {
        self.shrunk = true;
        self.seen.lost.remove(name);
        for part in [
            Part::NodeStatus(name.clone()),
            Part::NodeNetwork(name.clone()),
            Part::NodeStorage(name.clone()),
        ] {
            self.seen.world.completeness.remove(&part);
            self.seen.failed.remove(&part);
        }
    }

    /// Nothing of a node can be read any more: of it and of its guests is known what the lists say, and no more.
    fn lose(&mut self, name: &NodeName, why: &str) {
        if self.seen.lost.get(name).is_some_and(|known| known == why) {
            return;
        }
        self.seen.node_lost(name, why);
        let node = self.seen.world.nodes.entry(name.clone()).or_default();
        let node = Arc::make_mut(node);
        node.bridges.clear();
        node.storages.clear();
        let list = Arc::clone(&self.list);
        for entry in list.entries() {
            match entry.listed() {
                Listed::Node(Some(listed)) if listed == *name => {
                    self.figures(name, &entry.value());
                }
                Listed::Guest(kind) if entry.field("node") == Some(name.as_str()) => {
                    self.guest_lost(kind, &entry.value(), why);
                }
                Listed::Guest(_) | Listed::Node(_) | Listed::Storage | Listed::Other => {}
            }
        }
    }

    /// A guest on a lost node, as the list has it.
    pub(super) fn guest_lost(&mut self, kind: GuestKind, item: &Value, why: &str) {
        let Some(mut guest) = guest_of_list(kind, item) else {
            return;
        };
        guest.status = Status::Unknown;
        let (vmid, why) = (guest.vmid, on_lost_node(&guest.node, why));
        self.volumes_moved(vmid, None);
        self.seen.world.guests.insert(vmid, Arc::new(guest));
        self.seen.guest_unread(vmid, why);
        self.due.guests.remove(&vmid);
    }

    /// Reads what is due of the nodes.
    pub(super) async fn nodes_again(&mut self) {
        let mut calls: BTreeSet<(NodeName, Reading)> = BTreeSet::new();
        for (node, reading) in std::mem::take(&mut self.due.nodes) {
            let lost = self.seen.lost.get(&node).map(String::as_str);
            match (lost, self.seen.world.nodes.get(&node)) {
                (_, None) => {}
                // It was offline, and is not: this is what was waited for.
                (Some(OFFLINE), Some(it)) if it.online == Some(false) => {}
                (Some(_), Some(_)) => match reading {
                    Reading::Whole | Reading::Status => drop(calls.insert((node, Reading::Whole))),
                    Reading::Network | Reading::Storage | Reading::Guests(_) => {}
                },
                (None, Some(_)) => drop(calls.insert((node, reading))),
            }
        }
        let whole: BTreeSet<NodeName> = calls
            .iter()
            .filter(|(_, reading)| *reading == Reading::Whole)
            .map(|(node, _)| node.clone())
            .collect();
        calls.retain(|(node, reading)| *reading == Reading::Whole || !whole.contains(node));
        let reads = self.seen.reads.clone();
        let answers = each(calls.into_iter().collect(), |(node, reading)| {
            let reads = reads.clone();
            async move {
                let read = match reading {
                    Reading::Whole => {
                        let whole = nodes::read(reads, node.clone()).await;
                        Read::Whole(whole.map(Box::new).map_err(|(_, why)| why))
                    }
                    Reading::Status => Read::Status(nodes::status(&reads, &node).await),
                    Reading::Network => Read::Network(nodes::network(&reads, &node).await),
                    Reading::Storage => Read::Storage(nodes::storage(&reads, &node).await),
                    Reading::Guests(kind) => {
                        Read::Guests(kind, nodes::guests(&reads, &node, kind).await)
                    }
                };
                (node, read)
            }
        });
        let mut known = BTreeMap::new();
        for (node, read) in answers.await {
            if let Some(before) = self.before.world.nodes.get(&node) {
                known.insert(node.clone(), Arc::clone(before));
            }
            self.node_read(&node, read);
            // Its size is what the list says where the node itself does not.
            if self
                .seen
                .failed
                .contains_key(&Part::NodeStatus(node.clone()))
            {
                self.figures_of_list(&node);
            }
        }
        super::lists::keep(&known, &mut self.seen.world.nodes);
    }

    fn node_read(&mut self, node: &NodeName, read: Read) {
        match read {
            Read::Whole(Ok(read)) => {
                if self.seen.lost.remove(node).is_some() {
                    self.back(node);
                }
                self.seen.node_read(*read);
            }
            Read::Whole(Err(why)) => self.lose(node, &why),
            Read::Status(Err(error)) if unreachable(&error) => self.lose(node, &error.to_string()),
            Read::Status(read) => self.seen.node_status_read(node, read),
            Read::Network(read) => {
                self.doubt(node, read.as_ref().err());
                self.seen.node_network_read(node, read);
            }
            Read::Storage(read) => {
                self.doubt(node, read.as_ref().err());
                self.seen.node_storage_read(node, read);
            }
            Read::Guests(kind, read) => self.guest_list(node, kind, read),
        }
    }

    /// A node's list of its guests of one kind.
    pub(super) fn guest_list(
        &mut self,
        node: &NodeName,
        kind: GuestKind,
        read: Result<Value, ApiError>,
    ) {
        if self.doubt(node, read.as_ref().err()) {
            self.due.node(node, Reading::Guests(kind));
        }
        self.seen.node_guests_read(node, kind, read);
    }

    /// When a call about a node found no way to it, the next cycle asks the node itself; its status alone decides.
    pub(super) fn doubt(&mut self, node: &NodeName, error: Option<&ApiError>) -> bool {
        let doubtful = error.is_some_and(unreachable);
        if doubtful {
            self.due.node(node, Reading::Status);
        }
        doubtful
    }

    /// A node that was lost answers: its guests are read again.
    fn back(&mut self, name: &NodeName) {
        for guest in self.seen.world.guests.values() {
            if guest.node == *name {
                self.due.guest(guest.vmid, self.now);
            }
        }
    }
}
