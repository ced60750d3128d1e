//! The parts that belong to the whole cluster: options, storages' definitions, pools, jobs, HA, access, and the list of what
//! there is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::reads::Reads;
use super::{Observation, Why, each, json};
use crate::ids::{GuestKind, NodeName, PoolId, StorageId, Vmid};
use crate::proxmox::{ApiError, Call, ErrorClass};
use crate::world::model::{
    AclEntry, BackupJob, Guest, GuestConfig, HaResource, HaRule, Node, Part, Pool, ReplicationJob,
    Status, Storage,
};

/// Storage types whose volumes all nodes see, whatever the definition says (pve-storage's plugins).
const SHARED_TYPES: &[&str] = &[
    "nfs",
    "cifs",
    "rbd",
    "cephfs",
    "pbs",
    "iscsi",
    "iscsidirect",
    "zfs",
    "esxi",
    "glusterfs",
];

impl Observation<'_> {
    pub(in crate::world) fn acl(&mut self, read: Result<Value, ApiError>) {
        let read = read.map_err(|error| error.to_string()).map(|data| {
            let entries: Vec<AclEntry> = json::items(&data)
                .filter_map(|item| {
                    Some(AclEntry {
                        path: json::text(item, "path")?,
                        subject_type: json::text(item, "type")?,
                        subject: json::text(item, "ugid")?,
                        role: json::text(item, "roleid")?,
                        propagate: json::flag(item, "propagate").unwrap_or(true),
                    })
                })
                .collect();
            self.sight
                .note_acl_paths(entries.iter().map(|entry| entry.path.as_str()));
            self.world.acl = Arc::new(entries);
        });
        self.mark(Part::Acl, read);
    }

    /// Everything that is one call, or nearly, for the whole cluster.
    pub(super) async fn cluster_wide(&mut self) {
        let reads = self.reads.clone();
        let get = |path: [&'static str; 2]| reads.data(Call::get(path));
        let (status, options, storages, pools, backup, replication) = tokio::join!(
            get(["cluster", "status"]),
            get(["cluster", "options"]),
            reads.data(Call::get(["storage"])),
            reads.data(Call::get(["pools"])),
            get(["cluster", "backup"]),
            get(["cluster", "replication"]),
        );
        let (resources, rules) = tokio::join!(
            reads.data(Call::get(["cluster", "ha", "resources"])),
            reads.data(Call::get(["cluster", "ha", "rules"])),
        );
        let part = self.status(status);
        self.mark(Part::ClusterStatus, part);
        let part = self.options(options);
        self.mark(Part::Options, part);
        let part = self.storages(storages);
        self.mark(Part::Storages, part);
        let part = self.pools(pools).await;
        self.mark(Part::Pools, part);
        let part = self.backup_jobs(backup);
        self.mark(Part::BackupJobs, part);
        let part = self.replication_jobs(replication);
        self.mark(Part::ReplicationJobs, part);
        let part = self.ha_resources(resources);
        self.mark(Part::HaResources, part);
        let part = match rules {
            Err(error) if error.class() == ErrorClass::NotImplemented => self.ha_groups().await,
            rules => self.ha_rules(rules),
        };
        self.mark(Part::HaRules, part);
    }

    /// The list of guests and nodes. Storages are known by their definitions.
    pub(super) fn resources(&mut self, list: &Value) {
        let mut trouble = None;
        for item in json::items(list) {
            match listed(item) {
                Listed::Node(Some(name)) => self.node_of_list(name, item),
                Listed::Guest(kind) => {
                    let Some(guest) = guest_of_list(kind, item) else {
                        trouble = Some(nameless(item));
                        continue;
                    };
                    self.world.nodes.entry(guest.node.clone()).or_default();
                    self.world.guests.insert(guest.vmid, Arc::new(guest));
                }
                Listed::Node(None) | Listed::Storage | Listed::Other => {}
            }
        }
        self.mark(Part::Resources, trouble.map_or(Ok(()), Err));
    }

    pub(in crate::world) fn node_of_list(&mut self, name: NodeName, item: &Value) {
        let node = Arc::make_mut(self.world.nodes.entry(name).or_default());
        // `/cluster/status` knows better who is online; where it could not be read, this is what is left.
        node.online = node.online.or(match json::text(item, "status").as_deref() {
            Some("online") => Some(true),
            Some("offline") => Some(false),
            Some(_) | None => None,
        });
        node.cpus = json::integer(item, "maxcpu").and_then(|cpus| u32::try_from(cpus).ok());
        node.memory_total = json::bytes(item, "maxmem");
        node.memory_used = json::bytes(item, "mem");
    }

    pub(in crate::world) fn status(&mut self, read: Result<Value, ApiError>) -> Result<(), Why> {
        let data = read.map_err(|error| error.to_string())?;
        let mut quorate = None;
        let mut clustered = false;
        for item in json::items(&data) {
            match item.get("type").and_then(Value::as_str) {
                Some("cluster") => {
                    clustered = true;
                    quorate = json::flag(item, "quorate");
                }
                Some("node") => {
                    let Some(name) = json::name::<NodeName>(item, "name") else {
                        continue;
                    };
                    let node = Node {
                        online: json::flag(item, "online"),
                        ip: json::text(item, "ip"),
                        ..Node::default()
                    };
                    self.world.nodes.insert(name, Arc::new(node));
                }
                Some(_) | None => {}
            }
        }
        if self.world.nodes.is_empty() {
            return Err("Proxmox VE named no node".to_owned());
        }
        self.world.quorate = if clustered { quorate } else { Some(true) };
        if self.world.quorate.is_none() {
            return Err("Proxmox VE did not say whether the cluster is quorate".to_owned());
        }
        Ok(())
    }

    pub(in crate::world) fn options(&mut self, read: Result<Value, ApiError>) -> Result<(), Why> {
        let data = read.map_err(|error| error.to_string())?;
        self.world.options = Arc::new(json::section(&data, &["digest"]));
        Ok(())
    }

    pub(in crate::world) fn storages(&mut self, read: Result<Value, ApiError>) -> Result<(), Why> {
        let data = read.map_err(|error| error.to_string())?;
        for item in json::items(&data) {
            let (Some(id), Some(storage_type)) = (
                json::name::<StorageId>(item, "storage"),
                json::text(item, "type"),
            ) else {
                return Err(format!("a storage has no valid id or type: {item}"));
            };
            let nodes = json::text(item, "nodes").filter(|nodes| !nodes.trim().is_empty());
            let storage = Storage {
                content: json::text(item, "content")
                    .map(|text| json::set(&text))
                    .unwrap_or_default(),
                nodes: nodes.map(|nodes| json::set(&nodes)),
                disabled: json::flag(item, "disable").unwrap_or(false),
                shared: SHARED_TYPES.contains(&storage_type.as_str())
                    || json::flag(item, "shared").unwrap_or(false),
                digest: json::text(item, "digest").unwrap_or_default(),
                options: json::section(item, &["digest", "storage", "type"]),
                volumes: BTreeMap::new(),
                id: id.clone(),
                storage_type,
            };
            self.world.storages.insert(id, Arc::new(storage));
        }
        Ok(())
    }

    pub(super) async fn pools(&mut self, read: Result<Value, ApiError>) -> Result<(), Why> {
        let ids = pool_ids(&read.map_err(|error| error.to_string())?)?;
        let reads = self.reads.clone();
        let read = each(ids, |id| pool(reads.clone(), id)).await;
        let mut trouble = Ok(());
        for (id, pool) in read {
            match pool {
                Ok(pool) => {
                    self.world.pools.insert(id, Arc::new(pool));
                }
                Err(why) => trouble = trouble.and(Err(why)),
            }
        }
        trouble
    }

    pub(in crate::world) fn backup_jobs(
        &mut self,
        read: Result<Value, ApiError>,
    ) -> Result<(), Why> {
        let data = read.map_err(|error| error.to_string())?;
        for item in json::items(&data) {
            let id =
                json::text(item, "id").ok_or_else(|| format!("a backup job has no id: {item}"))?;
            let mut options = json::section(item, &["digest", "next-run"]);
            // A pattern of paths may hold what separates other lists, but is never more than a line.
            if let Some(Value::Array(patterns)) = item.get("exclude-path") {
                let patterns: Vec<String> = patterns.iter().filter_map(json::flat).collect();
                options.insert("exclude-path".to_owned(), patterns.join("\n"));
            }
            let job = BackupJob::of(options);
            self.world.backup_jobs.insert(id, Arc::new(job));
        }
        Ok(())
    }

    pub(in crate::world) fn replication_jobs(
        &mut self,
        read: Result<Value, ApiError>,
    ) -> Result<(), Why> {
        let data = read.map_err(|error| error.to_string())?;
        for item in json::items(&data) {
            let ids = json::name::<Vmid>(item, "guest").zip(json::name::<NodeName>(item, "target"));
            let (Some(id), Some((guest, target))) = (json::text(item, "id"), ids) else {
                return Err(format!(
                    "a replication job names no valid guest or target: {item}"
                ));
            };
            let removing = item.get("remove_job").is_some_and(|mark| !mark.is_null());
            let apart = [
                "digest",
                "guest",
                "id",
                "jobnum",
                "remove_job",
                "source",
                "target",
                "type",
            ];
            let options = json::section(item, &apart);
            let job = ReplicationJob::of(guest, target, removing, options);
            self.world.replication_jobs.insert(id, Arc::new(job));
        }
        Ok(())
    }

    pub(in crate::world) fn ha_resources(
        &mut self,
        read: Result<Value, ApiError>,
    ) -> Result<(), Why> {
        let data = read.map_err(|error| error.to_string())?;
        for item in json::items(&data) {
            let sid = json::text(item, "sid").unwrap_or_default();
            let (kind, vmid) =
                ha_id(&sid).ok_or_else(|| format!("an HA resource has no valid id: `{sid}`"))?;
            let state = match json::text(item, "state").as_deref() {
                None | Some("enabled") => "started".to_owned(),
                Some(state) => state.to_owned(),
            };
            let options = json::section(item, &["digest", "sid", "type"]);
            self.world.ha_resources.insert(
                vmid,
                Arc::new(HaResource {
                    kind,
                    state,
                    options,
                }),
            );
        }
        Ok(())
    }

    pub(in crate::world) fn ha_rules(&mut self, read: Result<Value, ApiError>) -> Result<(), Why> {
        self.rules_of(read, "rule")
    }

    /// The HA groups, which stand in for rules before Proxmox VE 9: there a resource names its group.
    pub(in crate::world) async fn ha_groups(&mut self) -> Result<(), Why> {
        let call = Call::get(["cluster", "ha", "groups"]);
        let read = self.reads.data(call).await;
        self.rules_of(read, "group")
    }

    fn rules_of(&mut self, read: Result<Value, ApiError>, field: &'static str) -> Result<(), Why> {
        let data = read.map_err(|error| error.to_string())?;
        for item in json::items(&data) {
            let name =
                json::text(item, field).ok_or_else(|| format!("an HA rule has no name: {item}"))?;
            let resources = json::text(item, "resources").map(|text| {
                crate::proxmox::property::split_list(&text)
                    .filter_map(|sid| ha_id(sid).map(|(_, vmid)| vmid))
                    .collect()
            });
            let nodes = json::text(item, "nodes").map(|text| {
                crate::proxmox::property::split_list(&text)
                    .filter_map(|node| node.split(':').next()?.parse().ok())
                    .collect()
            });
            let rule = HaRule {
                rule_type: if field == "group" {
                    "group".to_owned()
                } else {
                    // Without it nobody knows what the rule asks for.
                    json::text(item, "type")
                        .ok_or_else(|| format!("the HA rule `{name}` has no type"))?
                },
                resources: resources.unwrap_or_else(|| self.in_group(&name)),
                nodes: nodes.unwrap_or_default(),
                strict: json::flag(item, "strict")
                    .or_else(|| json::flag(item, "restricted"))
                    .unwrap_or(false),
                disabled: json::flag(item, "disable").unwrap_or(false),
                options: json::section(item, &["digest", field, "type"]),
            };
            self.world.ha_rules.insert(name, Arc::new(rule));
        }
        Ok(())
    }

    fn in_group(&self, group: &str) -> BTreeSet<Vmid> {
        let named = |resource: &HaResource| {
            resource
                .options
                .get("group")
                .is_some_and(|name| name == group)
        };
        let members = self.world.ha_resources.iter();
        members
            .filter(|(_, resource)| named(resource))
            .map(|(vmid, _)| *vmid)
            .collect()
    }
}

/// What an entry of `/cluster/resources` is.
pub(in crate::world) enum Listed {
    /// A guest.
    Guest(GuestKind),
    /// A node, if its name is valid.
    Node(Option<NodeName>),
    /// A storage on a node.
    Storage,
    /// A pool, a network zone, or something newer.
    Other,
}

/// What an entry of `/cluster/resources` is.
pub(in crate::world) fn listed(item: &Value) -> Listed {
    match item.get("type").and_then(Value::as_str) {
        Some("qemu") => Listed::Guest(GuestKind::Qemu),
        Some("lxc") => Listed::Guest(GuestKind::Lxc),
        Some("node") => Listed::Node(json::name(item, "node")),
        Some("storage") => Listed::Storage,
        Some(_) | None => Listed::Other,
    }
}

/// What to say of a guest in the list without a valid VMID or node; nothing that changes from one list to the next.
pub(in crate::world) fn nameless(item: &Value) -> Why {
    let field = |name| json::text(item, name).unwrap_or_default();
    format!(
        "an entry of the list has no valid VMID or node: id `{}`, vmid `{}`, node `{}`",
        field("id"),
        field("vmid"),
        field("node")
    )
}

/// The pools that there are.
pub(in crate::world) fn pool_ids(list: &Value) -> Result<Vec<PoolId>, Why> {
    json::items(list)
        .map(|item| {
            json::name(item, "poolid").ok_or_else(|| format!("a pool has no valid id: {item}"))
        })
        .collect()
}

/// Reads one pool.
pub(in crate::world) async fn pool(reads: Reads, id: PoolId) -> (PoolId, Result<Pool, Why>) {
    let call = Call::get(["pools"]).param("poolid", id.as_str());
    let read = reads.data(call).await.map_err(|error| error.to_string());
    (id, read.map(|data| pool_of(&data)))
}

fn pool_of(data: &Value) -> Pool {
    // A list with one entry; the older form gives the entry itself.
    let item = data.get(0).unwrap_or(data);
    let mut pool = Pool {
        comment: json::text(item, "comment").filter(|comment| !comment.is_empty()),
        ..Pool::default()
    };
    for member in item.get("members").into_iter().flat_map(json::items) {
        match member.get("type").and_then(Value::as_str) {
            Some("qemu" | "lxc" | "openvz") => {
                pool.guests.extend(json::name::<Vmid>(member, "vmid"))
            }
            Some("storage") => pool
                .storages
                .extend(json::name::<StorageId>(member, "storage")),
            Some(_) | None => {}
        }
    }
    pool
}

/// A guest as `/cluster/resources` shows it, without its configuration.
pub(in crate::world) fn guest_of_list(kind: GuestKind, item: &Value) -> Option<Guest> {
    Some(Guest {
        vmid: json::name::<Vmid>(item, "vmid")?,
        kind,
        node: json::name::<NodeName>(item, "node")?,
        name: json::text(item, "name"),
        status: status_of(json::text(item, "status").as_deref()),
        template: json::flag(item, "template").unwrap_or(false),
        lock: json::text(item, "lock").filter(|lock| !lock.is_empty()),
        pool: json::name(item, "pool"),
        config: GuestConfig::default(),
    })
}

/// `vm:104`, `ct:301`.
fn ha_id(sid: &str) -> Option<(GuestKind, Vmid)> {
    let (kind, vmid) = sid.split_once(':')?;
    let kind = match kind {
        "vm" => GuestKind::Qemu,
        "ct" => GuestKind::Lxc,
        _ => return None,
    };
    Some((kind, vmid.parse().ok()?))
}

/// Whether a guest runs, of Proxmox VE's words.
pub(in crate::world) fn status_of(word: Option<&str>) -> Status {
    match word {
        Some("running" | "paused" | "suspended" | "prelaunch") => Status::Running,
        Some("stopped") => Status::Stopped,
        Some(_) | None => Status::Unknown,
    }
}
