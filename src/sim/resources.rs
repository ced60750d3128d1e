//! `/cluster/resources`: what nodes have published about their guests, which is older than what is.
//!
//! Nodes publish every [`Cluster::broadcast`] simulated seconds. Node, type, pool, lock, tags and HA state are live; name,
//! sizes, status and uptime are as published, and a guest nobody has published yet is `unknown`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::call::{Answer, Call, put};
use super::options;
use super::state::{Cluster, Guest, GuestKind};

/// What nodes published last about their guests.
#[derive(Debug, Default)]
pub struct Published {
    /// When, in simulated seconds since the start.
    pub at: Option<f64>,
    guests: BTreeMap<u32, Stats>,
}

/// What a node knows of a guest of its own.
#[derive(Debug, Clone)]
struct Stats {
    node: String,
    name: String,
    status: &'static str,
    since: i64,
    cpus: u64,
    memory: u64,
    disk: u64,
    template: bool,
}

fn main_section(text: &str) -> &str {
    if text.starts_with('[') {
        ""
    } else {
        text.find("\n[")
            .and_then(|at| text.get(..at))
            .unwrap_or(text)
    }
}

fn size_option(drive: &str) -> u64 {
    let properties = options::properties(drive, "file");
    let size = properties
        .iter()
        .find(|(key, _)| key == "size")
        .map(|(_, value)| value.as_str());
    size.and_then(super::worldfile::parse_size).unwrap_or(0)
}

/// The size of the disk a VM boots from; 0 if it boots from none.
fn boot_disk(values: &BTreeMap<String, String>) -> u64 {
    let order = values
        .get("boot")
        .map(|boot| options::properties(boot, "legacy"))
        .unwrap_or_default();
    let listed = order
        .iter()
        .find(|(key, _)| key == "order")
        .map(|(_, value)| super::call::split_list(value));
    let fallback = || {
        values
            .get("bootdisk")
            .map(|disk| vec![disk.clone()])
            .unwrap_or_default()
    };
    let is_disk = |key: &&String| {
        ["scsi", "virtio", "ide", "sata"]
            .iter()
            .any(|bus| key.starts_with(bus))
    };
    let drives = listed.unwrap_or_else(fallback);
    let found = drives
        .iter()
        .filter(is_disk)
        .filter_map(|key| values.get(key))
        .find(|drive| !drive.contains("media=cdrom"));
    found.map_or(0, |drive| size_option(drive))
}

fn stats(cluster: &Cluster, guest: &Guest) -> Stats {
    let text = cluster.files.read(&guest.file());
    let values: BTreeMap<String, String> = options::lines(main_section(text)).into_iter().collect();
    let number = |key: &str| {
        values.get(key).and_then(|value| {
            value
                .trim_start_matches("current=")
                .split(',')
                .next()?
                .parse::<u64>()
                .ok()
        })
    };
    let text = |key: &str| values.get(key).cloned().unwrap_or_default();
    let host = cluster
        .nodes
        .get(&guest.node)
        .map_or(1, |node| u64::from(node.cpus));
    let (name, cpus, disk) = match guest.kind {
        GuestKind::Qemu => {
            let all = number("sockets").unwrap_or(1) * number("cores").unwrap_or(1);
            (
                text("name"),
                number("vcpus").unwrap_or(all),
                boot_disk(&values),
            )
        }
        GuestKind::Lxc => (
            text("hostname"),
            number("cores").unwrap_or(host),
            size_option(&text("rootfs")),
        ),
    };
    let fallback = match guest.kind {
        GuestKind::Qemu => format!("VM {}", guest.vmid),
        GuestKind::Lxc => format!("CT{}", guest.vmid),
    };
    let run = cluster.running.get(&guest.vmid);
    Stats {
        node: guest.node.clone(),
        name: if name.is_empty() { fallback } else { name },
        status: match run {
            Some(run) if run.paused => "paused",
            Some(_) => "running",
            None => "stopped",
        },
        since: run.map_or(0, |run| run.since),
        cpus,
        memory: number("memory").unwrap_or(512) << 20,
        disk,
        template: values.get("template").is_some_and(|value| value == "1"),
    }
}

impl Cluster {
    /// Publishes what nodes know, if `due` (simulated seconds) is past the next round.
    pub(super) fn publish_before(&mut self, due: f64) {
        if self.broadcast <= 0.0 {
            return;
        }
        let round = (due / self.broadcast).floor() * self.broadcast;
        if self.published.at.is_none_or(|at| at < round) {
            self.publish(round);
        }
    }

    /// Forgets what a node published of its guests, as when its daemon hangs; until the next round they are `unknown`.
    pub fn hush(&mut self, node: &str) {
        self.published.guests.retain(|_, stats| stats.node != node);
    }

    fn publish(&mut self, at: f64) {
        let online = |guest: &Guest| self.nodes.get(&guest.node).is_some_and(|node| node.online);
        let guests = self
            .guests()
            .into_iter()
            .filter(online)
            .map(|guest| (guest.vmid, stats(self, &guest)))
            .collect();
        self.published = Published {
            at: Some(at),
            guests,
        };
    }
}

/// A guest as `/cluster/resources` shows it; `full` adds its pool, which lists of a pool's members leave out.
pub fn guest_entry(cluster: &Cluster, guest: &Guest, full: bool) -> Value {
    let mut map = Map::new();
    let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
    put("id", json!(format!("{}/{}", guest.kind.api(), guest.vmid)));
    put("type", json!(guest.kind.api()));
    put("vmid", json!(guest.vmid));
    put("node", json!(guest.node));
    if full {
        let main = main_section(cluster.files.read(&guest.file()));
        let value = |key: &str| options::value(main, key);
        if let Some(pool) = cluster.read_users().pool_of_guest(guest.vmid) {
            put("pool", json!(pool));
        }
        if let Some(lock) = value("lock") {
            put("lock", json!(lock));
        }
        if let Some(tags) = value("tags") {
            put("tags", json!(tags));
        }
        if let Some(state) = cluster.ha_state(guest) {
            put("hastate", json!(state));
        }
    }
    let fresh = (cluster.broadcast <= 0.0).then(|| stats(cluster, guest));
    let known = fresh
        .as_ref()
        .or_else(|| cluster.published.guests.get(&guest.vmid));
    let online = cluster
        .nodes
        .get(&guest.node)
        .is_some_and(|node| node.online);
    let Some(stats) = known.filter(|stats| online && stats.node == guest.node) else {
        put("status", json!("unknown"));
        return Value::Object(map);
    };
    let running = stats.status != "stopped";
    let memory = if running { stats.memory / 2 } else { 0 };
    for (name, value) in [
        ("name", json!(stats.name)),
        ("status", json!(stats.status)),
        ("template", json!(u8::from(stats.template))),
        ("maxcpu", json!(stats.cpus)),
        ("maxmem", json!(stats.memory)),
        ("maxdisk", json!(stats.disk)),
        (
            "uptime",
            json!(if running {
                cluster.clock.unix() - stats.since
            } else {
                0
            }),
        ),
        ("cpu", if running { json!(0.02) } else { json!(0) }),
        ("mem", json!(memory)),
        ("memhost", json!(memory)),
        ("disk", json!(0)),
        ("diskread", json!(0)),
        ("diskwrite", json!(0)),
        ("netin", json!(0)),
        ("netout", json!(0)),
    ] {
        put(name, value);
    }
    Value::Object(map)
}

/// A storage on a node (the first that may use it, if none is given).
pub fn storage_entry(cluster: &Cluster, id: &str, node: Option<&str>) -> Option<Value> {
    let section = cluster.storage(id)?;
    let node = match node {
        Some(node) => node.to_owned(),
        None => cluster
            .nodes
            .keys()
            .find(|node| section.on_node(node))?
            .clone(),
    };
    let online = cluster.nodes.get(&node).is_some_and(|node| node.online);
    let mut entry = json!({
        "id": format!("storage/{node}/{id}"),
        "type": "storage",
        "storage": id,
        "node": node,
        "plugintype": section.kind,
        "content": section.list("content").join(","),
        "shared": u8::from(cluster.storage_is_shared(&section)),
        "status": "unknown",
    });
    if online && cluster.usable_storage(&node, id).is_ok() {
        let (total, used) = cluster.usage(&node, id);
        put(&mut entry, "status", json!("available"));
        put(&mut entry, "disk", json!(used));
        put(&mut entry, "maxdisk", json!(total));
    }
    Some(entry)
}

/// A node; without Sys.Audit only its name and condition.
pub fn node_entry(cluster: &Cluster, name: &str, audit: bool) -> Option<Value> {
    let node = cluster.nodes.get(name)?;
    let mut entry = json!({
        "id": format!("node/{name}"),
        "type": "node",
        "node": name,
        "level": "",
        "status": if node.online { "online" } else { "offline" },
    });
    if node.online {
        put(&mut entry, "cgroup-mode", json!(2));
    }
    if node.online && audit {
        put(&mut entry, "maxcpu", json!(node.cpus));
        put(&mut entry, "maxmem", json!(node.memory));
        put(&mut entry, "maxdisk", json!(node.disk));
        put(&mut entry, "cpu", json!(0.05));
        put(&mut entry, "mem", json!(node.memory / 3));
        put(&mut entry, "disk", json!(node.disk / 4));
        put(
            &mut entry,
            "uptime",
            json!(cluster.clock.unix() - node.booted),
        );
    }
    Some(entry)
}

/// `GET /cluster/resources`.
pub fn resources(cluster: &mut Cluster, call: &Call) -> Answer {
    let wanted = |kind: &str| call.get("type").is_none_or(|wanted| wanted == kind);
    let mut answer = vec![];
    if cluster.broadcast > 0.0 && cluster.published.at.is_none() {
        cluster.publish(0.0);
    }
    let users = cluster.users();
    if call.get("type").is_none() {
        for id in users.pools.keys() {
            if cluster.allowed(&call.auth, &format!("/pool/{id}"), "Pool.Audit") {
                answer.push(json!({ "id": format!("/pool/{id}"), "type": "pool", "pool": id }));
            }
        }
    }
    if wanted("vm") {
        for guest in cluster.guests() {
            if cluster.allowed(&call.auth, &format!("/vms/{}", guest.vmid), "VM.Audit") {
                let mut entry = guest_entry(cluster, &guest, true);
                let pool = users.pool_of_guest(guest.vmid);
                let hidden = pool.filter(|pool| {
                    !cluster.allowed(&call.auth, &format!("/pool/{pool}"), "Pool.Audit")
                });
                if let (Some(_), Value::Object(members)) = (hidden, &mut entry) {
                    members.remove("pool");
                }
                answer.push(entry);
            }
        }
    }
    let nodes: Vec<String> = cluster.nodes.keys().cloned().collect();
    if wanted("node") {
        for name in &nodes {
            let audit = cluster.allowed(&call.auth, &format!("/nodes/{name}"), "Sys.Audit");
            let mut entry = node_entry(cluster, name, audit).unwrap_or_default();
            if audit && cluster.ha_active() {
                let online = cluster.nodes.get(name).is_some_and(|node| node.online);
                put(
                    &mut entry,
                    "hastate",
                    json!(if online { "online" } else { "unknown" }),
                );
            }
            answer.push(entry);
        }
    }
    if wanted("storage") {
        for section in cluster
            .storages()
            .into_iter()
            .filter(|section| !section.flag("disable"))
        {
            if cluster.allowed(
                &call.auth,
                &format!("/storage/{}", section.id),
                "Datastore.Audit",
            ) {
                let on = nodes.iter().filter(|node| section.on_node(node));
                answer
                    .extend(on.filter_map(|node| storage_entry(cluster, &section.id, Some(node))));
            }
        }
    }
    if wanted("sdn")
        && cluster
            .check_any(
                &call.auth,
                "/sdn/zones/localnetwork",
                &["SDN.Audit", "SDN.Use"],
            )
            .is_ok()
    {
        for name in &nodes {
            answer.push(json!({
                "id": format!("network/{name}/zone/localnetwork"), "type": "network", "network": "localnetwork",
                "network-type": "zone", "node": name, "status": "ok",
            }));
        }
    }
    Ok(Value::Array(answer))
}
