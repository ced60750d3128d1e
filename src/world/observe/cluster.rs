//! The parts that belong to the whole cluster: options, storages' definitions, pools, jobs, HA, access, and the list of what
//! there is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::{Observation, Why, data, each, json};
use crate::ids::{GuestKind, NodeName, PoolId, StorageId, Vmid};
use crate::proxmox::{ApiError, Call, ErrorClass};
use crate::world::model::{
    AclEntry, BackupJob, Guest, GuestConfig, HaResource, HaRule, Node, Part, Pool, ReplicationJob,
    Selection, Status, Storage,
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
    pub(super) fn acl(&mut self, read: Result<Value, ApiError>) {
        let read = read.map_err(|error| error.to_string()).and_then(|data| {
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
            let whole = self.sight.on("/access", &["Sys.Audit"]);
            self.sight
                .note_acl_paths(entries.iter().map(|entry| entry.path.as_str()));
            self.world.acl = Arc::new(entries);
            whole
        });
        self.mark(Part::Acl, read);
    }

    /// Everything that is one call, or nearly, for the whole cluster.
    pub(super) async fn cluster_wide(&mut self) {
        let client = self.client;
        let get = |path: [&'static str; 2]| data(client, Call::get(path));
        let (status, options, storages, pools, backup, replication) = tokio::join!(
            get(["cluster", "status"]),
            get(["cluster", "options"]),
            data(client, Call::get(["storage"])),
            data(client, Call::get(["pools"])),
            get(["cluster", "backup"]),
            get(["cluster", "replication"]),
        );
        let (resources, rules) = tokio::join!(
            data(client, Call::get(["cluster", "ha", "resources"])),
            data(client, Call::get(["cluster", "ha", "rules"])),
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
        let groups = self.ha_resources(resources);
        let part = match groups {
            Ok(in_group) => {
                self.mark(Part::HaResources, Ok(()));
                self.ha_rules(rules, in_group).await
            }
            Err(why) => {
                self.mark(Part::HaResources, Err(why));
                self.ha_rules(rules, BTreeMap::new()).await
            }
        };
        self.mark(Part::HaRules, part);
    }

    /// The list of guests and nodes. Storages are known by their definitions.
    pub(super) fn resources(&mut self, list: &Value) {
        let mut trouble = None;
        for item in json::items(list) {
            let kind = match item.get("type").and_then(Value::as_str) {
                Some("qemu") => GuestKind::Qemu,
                Some("lxc") => GuestKind::Lxc,
                Some("node") => {
                    if let Some(name) = json::name::<NodeName>(item, "node") {
                        self.node_of_list(name, item);
                    }
                    continue;
                }
                Some(_) | None => continue,
            };
            let Some(guest) = guest_of_list(kind, item) else {
                trouble = Some(format!(
                    "an entry of the list has no valid VMID or node: {item}"
                ));
                continue;
            };
            self.world.nodes.entry(guest.node.clone()).or_default();
            self.world.guests.insert(guest.vmid, Arc::new(guest));
        }
        let whole = self.sight.below("/vms", &["VM.Audit"]);
        self.mark(Part::Resources, trouble.map_or(whole, Err));
    }

    fn node_of_list(&mut self, name: NodeName, item: &Value) {
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

    fn status(&mut self, read: Result<Value, ApiError>) -> Result<(), Why> {
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

    fn options(&mut self, read: Result<Value, ApiError>) -> Result<(), Why> {
        let data = read.map_err(|error| error.to_string())?;
        self.world.options = Arc::new(json::section(&data, &["digest"]));
        self.sight.on("/", &["Sys.Audit"])
    }

    pub(super) fn storages(&mut self, read: Result<Value, ApiError>) -> Result<(), Why> {
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
        self.sight
            .below("/storage", &["Datastore.Audit", "Datastore.AllocateSpace"])
    }

    pub(super) async fn pools(&mut self, read: Result<Value, ApiError>) -> Result<(), Why> {
        let data = read.map_err(|error| error.to_string())?;
        let ids: Vec<PoolId> = json::items(&data)
            .map(|item| {
                json::name(item, "poolid").ok_or_else(|| format!("a pool has no valid id: {item}"))
            })
            .collect::<Result<_, _>>()?;
        let client = self.client.clone();
        let read = each(ids, |id| {
            let client = client.clone();
            async move {
                let call = Call::get(["pools"]).param("poolid", id.as_str());
                (id, super::data(&client, call).await)
            }
        })
        .await;
        for (id, data) in read {
            let data = data.map_err(|error| error.to_string())?;
            // A list with one entry; the older form gives the entry itself.
            let item = data.get(0).unwrap_or(&data);
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
            self.world.pools.insert(id, Arc::new(pool));
        }
        self.sight.below("/pool", &["Pool.Audit"])
    }

    pub(super) fn backup_jobs(&mut self, read: Result<Value, ApiError>) -> Result<(), Why> {
        let data = read.map_err(|error| error.to_string())?;
        for item in json::items(&data) {
            let id =
                json::text(item, "id").ok_or_else(|| format!("a backup job has no id: {item}"))?;
            let vmids = |field| {
                json::text(item, field)
                    .map(|text| json::set(&text))
                    .unwrap_or_default()
            };
            let selection = if json::flag(item, "all").unwrap_or(false) {
                Selection::AllBut(vmids("exclude"))
            } else if let Some(pool) = json::text(item, "pool") {
                Selection::Pool(pool)
            } else {
                Selection::Guests(vmids("vmid"))
            };
            let job = BackupJob {
                enabled: json::flag(item, "enabled").unwrap_or(true),
                selection,
                node: json::name(item, "node"),
                storage: json::text(item, "storage"),
                fleecing_storage: item.get("fleecing").and_then(fleecing_storage),
                options: json::section(item, &["digest", "next-run"]),
            };
            self.world.backup_jobs.insert(id, Arc::new(job));
        }
        self.sight.on("/", &["Sys.Audit"])
    }

    pub(super) fn replication_jobs(&mut self, read: Result<Value, ApiError>) -> Result<(), Why> {
        let data = read.map_err(|error| error.to_string())?;
        for item in json::items(&data) {
            let ids = json::name::<Vmid>(item, "guest").zip(json::name::<NodeName>(item, "target"));
            let (Some(id), Some((guest, target))) = (json::text(item, "id"), ids) else {
                return Err(format!(
                    "a replication job names no valid guest or target: {item}"
                ));
            };
            let job = ReplicationJob {
                guest,
                target,
                disabled: json::flag(item, "disable").unwrap_or(false),
                removing: item.get("remove_job").is_some_and(|mark| !mark.is_null()),
            };
            self.world.replication_jobs.insert(id, Arc::new(job));
        }
        self.sight.below("/vms", &["VM.Audit"])
    }

    /// The HA resources; gives which guests are in which group, for versions before 9.
    pub(super) fn ha_resources(
        &mut self,
        read: Result<Value, ApiError>,
    ) -> Result<BTreeMap<String, BTreeSet<Vmid>>, Why> {
        let data = read.map_err(|error| error.to_string())?;
        let mut in_group: BTreeMap<String, BTreeSet<Vmid>> = BTreeMap::new();
        for item in json::items(&data) {
            let sid = json::text(item, "sid").unwrap_or_default();
            let (kind, vmid) =
                ha_id(&sid).ok_or_else(|| format!("an HA resource has no valid id: `{sid}`"))?;
            if let Some(group) = json::text(item, "group") {
                in_group.entry(group).or_default().insert(vmid);
            }
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
        self.sight.on("/", &["Sys.Audit"])?;
        Ok(in_group)
    }

    pub(super) async fn ha_rules(
        &mut self,
        read: Result<Value, ApiError>,
        in_group: BTreeMap<String, BTreeSet<Vmid>>,
    ) -> Result<(), Why> {
        let (data, field) = match read {
            Ok(data) => (data, "rule"),
            Err(error) if error.class() == ErrorClass::NotImplemented => {
                let groups = super::data(self.client, Call::get(["cluster", "ha", "groups"])).await;
                (groups.map_err(|error| error.to_string())?, "group")
            }
            Err(error) => return Err(error.to_string()),
        };
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
                    json::text(item, "type").unwrap_or_default()
                },
                resources: resources
                    .or_else(|| in_group.get(&name).cloned())
                    .unwrap_or_default(),
                nodes: nodes.unwrap_or_default(),
                strict: json::flag(item, "strict")
                    .or_else(|| json::flag(item, "restricted"))
                    .unwrap_or(false),
                disabled: json::flag(item, "disable").unwrap_or(false),
                options: json::section(item, &["digest", field, "type"]),
            };
            self.world.ha_rules.insert(name, Arc::new(rule));
        }
        self.sight.on("/", &["Sys.Audit"])
    }
}

/// A guest as `/cluster/resources` shows it, without its configuration.
pub(super) fn guest_of_list(kind: GuestKind, item: &Value) -> Option<Guest> {
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

/// The storage of a job's `fleecing` option, which is an object or its text.
fn fleecing_storage(value: &Value) -> Option<String> {
    match value {
        Value::Object(_) => json::text(value, "storage"),
        Value::String(text) => {
            crate::proxmox::PropertyMap::parse(crate::proxmox::Domain::BackupJob, "fleecing", text)
                .ok()?
                .get("storage")
                .map(str::to_owned)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
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
pub(super) fn status_of(word: Option<&str>) -> Status {
    match word {
        Some("running" | "paused" | "suspended" | "prelaunch") => Status::Running,
        Some("stopped") => Status::Stopped,
        Some(_) | None => Status::Unknown,
    }
}
