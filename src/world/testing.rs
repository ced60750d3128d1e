//! A builder for worlds, for tests and benches of every room above. Everything counts as read unless it is said otherwise. It panics
//! on names that are none: it is no part of the library's promises.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::model::{
    AclEntry, BackupJob, Completeness, Guest, GuestConfig, HaResource, Node, Part, Pending, Pool,
    ReplicationJob, Section, Snapshot, Status, Storage, StorageState, Volume, World,
};
use super::views;
use crate::ids::{Bytes, ClusterName, GuestKind, NodeName, StorageId, Vmid, VolumeId};

const GIB: u64 = Bytes::GIB;

/// Builds a world piece by piece.
pub struct Builder {
    world: World,
}

pub fn vmid(number: u32) -> Vmid {
    Vmid::new(number).unwrap()
}

pub fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

pub fn storage_id(name: &str) -> StorageId {
    StorageId::new(name).unwrap()
}

pub fn volume(text: &str) -> VolumeId {
    text.parse().unwrap()
}

pub fn section(lines: &[(&str, &str)]) -> Section {
    lines
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

impl Builder {
    /// Nodes with the bridge `vmbr0` and 64 GiB of memory each; every part of the world read.
    pub fn new(nodes: &[&str]) -> Self {
        let at = Timestamp::from_second(1_760_000_000).unwrap();
        let mut world = World::unread(ClusterName::new("lab").unwrap(), at);
        world.version = "9.1.8".to_owned();
        (world.firewalls.cluster, world.firewalls.corosync) =
            (Ok(Arc::default()), Ok(Arc::default()));
        world.firewalls.vnets = Ok(crate::world::Shared::default());
        world.quorate = Some(true);
        let all = [
            "VM.Allocate",
            "Datastore.Allocate",
            "Sys.Audit",
            "Sys.Modify",
            "Pool.Allocate",
        ];
        let all: BTreeMap<String, bool> = all.iter().map(|p| ((*p).to_owned(), true)).collect();
        world.permissions = Arc::new(BTreeMap::from([("/".to_owned(), all)]));
        let mut builder = Self { world };
        for part in [
            Part::Permissions,
            Part::Resources,
            Part::ClusterStatus,
            Part::Options,
            Part::Storages,
            Part::Pools,
            Part::BackupJobs,
            Part::ReplicationJobs,
            Part::HaResources,
            Part::HaRules,
            Part::Acl,
            Part::Users,
            Part::Groups,
            Part::Roles,
            Part::Realms,
            Part::RealmSettings,
        ] {
            builder.read(part);
        }
        for name in nodes {
            let name = node(name);
            builder.read(Part::NodeStatus(name.clone()));
            builder.read(Part::NodeNetwork(name.clone()));
            builder.read(Part::NodeStorage(name.clone()));
            let state = Node {
                online: Some(true),
                cpus: Some(16),
                memory_total: Some(Bytes(64 * GIB)),
                memory_used: Some(Bytes(8 * GIB)),
                bridges: BTreeSet::from(["vmbr0".to_owned()]),
                ..Node::default()
            };
            builder.world.nodes.insert(name, Arc::new(state));
        }
        builder
    }

    fn read(&mut self, part: Part) {
        let at = self.world.observed_at;
        self.world
            .completeness
            .insert(part, Completeness::Complete { at });
    }

    /// A storage on every node that may hold everything its type can, 1 TiB large with 500 GiB free, listed and empty.
    #[must_use]
    pub fn storage(mut self, id: &str, storage_type: &str) -> Self {
        let id = storage_id(id);
        let shared = matches!(storage_type, "nfs" | "cifs" | "cephfs" | "rbd" | "pbs");
        let content: &[&str] = match storage_type {
            "pbs" => &["backup"],
            "rbd" | "zfspool" | "lvmthin" | "lvm" => &["images", "rootdir"],
            _ => &["images", "rootdir", "iso", "vztmpl", "backup", "snippets"],
        };
        let names: Vec<NodeName> = self.world.nodes.keys().cloned().collect();
        let mut volumes = BTreeMap::new();
        for name in &names {
            let state = StorageState {
                enabled: true,
                active: true,
                total: Some(Bytes(1024 * GIB)),
                available: Some(Bytes(500 * GIB)),
            };
            let node = Arc::make_mut(self.world.nodes.get_mut(name).unwrap());
            node.storages.insert(id.clone(), state);
            if !shared || volumes.is_empty() {
                volumes.insert(name.clone(), Arc::default());
            }
            self.read(Part::StorageContent(name.clone(), id.clone()));
        }
        let options = section(&[("content", &content.join(","))]);
        let storage = Storage {
            id: id.clone(),
            storage_type: storage_type.to_owned(),
            content: content.iter().map(|c| (*c).to_owned()).collect(),
            nodes: None,
            disabled: false,
            shared,
            digest: "d".repeat(40),
            options,
            volumes,
        };
        self.world.storages.insert(id, Arc::new(storage));
        self
    }

    /// A volume in a storage's listing (not in any configuration).
    #[must_use]
    pub fn volume(
        mut self,
        on_node: &str,
        id: &str,
        content: &str,
        bytes: u64,
        of: Option<u32>,
    ) -> Self {
        self.list(
            &node(on_node),
            volume(id),
            content,
            Bytes(bytes),
            of.map(vmid),
        );
        self
    }

    fn list(
        &mut self,
        on_node: &NodeName,
        id: VolumeId,
        content: &str,
        size: Bytes,
        of: Option<Vmid>,
    ) {
        let Some(storage) = self.world.storages.get_mut(id.storage()) else {
            return;
        };
        let storage = Arc::make_mut(storage);
        let under = if storage.shared {
            storage.volumes.keys().next().cloned()
        } else {
            Some(on_node.clone())
        };
        let Some(listing) = under.and_then(|n| storage.volumes.get_mut(&n)) else {
            return;
        };
        let entry = Volume {
            content: content.to_owned(),
            format: "raw".to_owned(),
            size,
            vmid: of,
            parent: None,
            created: None,
            protected: false,
            notes: None,
        };
        Arc::make_mut(listing).insert(id, entry);
    }

    /// A backup of a guest.
    #[must_use]
    pub fn backup(self, on_node: &str, storage: &str, of: u32) -> Self {
        let id = format!("{storage}:backup/vzdump-qemu-{of}-2026_11_01-01_00_00.vma.zst");
        self.volume(on_node, &id, "backup", GIB, Some(of))
    }

    /// A stopped VM; its volumes are listed on their storages.
    #[must_use]
    pub fn vm(self, number: u32, on_node: &str, lines: &[(&str, &str)]) -> Self {
        self.guest(GuestKind::Qemu, number, on_node, lines)
    }

    /// A stopped container; its volumes are listed on their storages.
    #[must_use]
    pub fn ct(self, number: u32, on_node: &str, lines: &[(&str, &str)]) -> Self {
        self.guest(GuestKind::Lxc, number, on_node, lines)
    }

    /// A stopped guest; its volumes are listed on their storages.
    #[must_use]
    pub fn guest(
        mut self,
        kind: GuestKind,
        number: u32,
        on_node: &str,
        lines: &[(&str, &str)],
    ) -> Self {
        let vmid = vmid(number);
        let mut current = section(lines);
        current
            .entry("memory".to_owned())
            .or_insert_with(|| "1024".to_owned());
        self.list_all(kind, vmid, &node(on_node), &current);
        let name_key = if kind == GuestKind::Qemu {
            "name"
        } else {
            "hostname"
        };
        let guest = Guest {
            vmid,
            kind,
            node: node(on_node),
            name: current.get(name_key).cloned(),
            status: Status::Stopped,
            template: current.get("template").is_some_and(|v| v == "1"),
            lock: None,
            pool: None,
            config: GuestConfig {
                digest: "c".repeat(40),
                current,
                ..GuestConfig::default()
            },
        };
        self.world.guests.insert(vmid, Arc::new(guest));
        self.read(Part::GuestConfig(vmid));
        self.read(Part::GuestSnapshots(vmid));
        self
    }

    fn list_all(&mut self, kind: GuestKind, of: Vmid, on_node: &NodeName, section: &Section) {
        for disk in views::disks(kind, section) {
            let Some(id) = disk.source.volume().cloned() else {
                continue;
            };
            let content = views::file_content(&id).unwrap_or(match kind {
                GuestKind::Qemu => "images",
                GuestKind::Lxc => "rootdir",
            });
            let owner = views::owner(&id).or((content == "images").then_some(of));
            self.list(on_node, id, content, disk.size.unwrap_or(Bytes(GIB)), owner);
        }
    }

    fn change(mut self, number: u32, change: impl FnOnce(&mut Guest)) -> Self {
        change(Arc::make_mut(
            self.world
                .guests
                .get_mut(&vmid(number))
                .expect("the guest was built before"),
        ));
        self
    }

    #[must_use]
    pub fn running(self, number: u32) -> Self {
        self.change(number, |guest| guest.status = Status::Running)
    }

    #[must_use]
    pub fn locked(self, number: u32, lock: &str) -> Self {
        self.change(number, |guest| guest.lock = Some(lock.to_owned()))
    }

    #[must_use]
    pub fn pending(self, number: u32, key: &str, value: Option<&str>) -> Self {
        self.change(number, |guest| {
            let value = value.map(str::to_owned);
            guest.config.pending.push(Pending {
                key: key.to_owned(),
                value,
                force: false,
            });
        })
    }

    #[must_use]
    pub fn snapshot(mut self, number: u32, name: &str, lines: &[(&str, &str)]) -> Self {
        let guest = self.world.guests[&vmid(number)].clone();
        let section = section(lines);
        self.list_all(guest.kind, guest.vmid, &guest.node, &section);
        let snapshot = Snapshot {
            parent: None,
            taken: Some(1_750_000_000),
            state: None,
            section,
        };
        self.change(number, |guest| {
            guest.config.snapshots.insert(name.to_owned(), snapshot);
        })
    }

    #[must_use]
    pub fn pool(mut self, id: &str, guests: &[u32], storages: &[&str]) -> Self {
        let id: crate::ids::PoolId = id.parse().unwrap();
        for number in guests {
            let id = id.clone();
            self = self.change(*number, |guest| guest.pool = Some(id));
        }
        let pool = Pool {
            comment: None,
            guests: guests.iter().map(|n| vmid(*n)).collect(),
            storages: storages.iter().map(|s| storage_id(s)).collect(),
        };
        self.world.pools.insert(id, Arc::new(pool));
        self
    }

    /// An enabled backup job of these guests.
    #[must_use]
    pub fn backup_job(mut self, id: &str, storage: &str, guests: &[u32]) -> Self {
        let numbers: Vec<String> = guests.iter().map(ToString::to_string).collect();
        let job = BackupJob::of(section(&[
            ("vmid", &numbers.join(",")),
            ("storage", storage),
        ]));
        self.world.backup_jobs.insert(id.to_owned(), Arc::new(job));
        self
    }

    #[must_use]
    pub fn replication(mut self, number: u32, target: &str) -> Self {
        let job = ReplicationJob::of(vmid(number), node(target), false, Section::new());
        self.world
            .replication_jobs
            .insert(format!("{number}-0"), Arc::new(job));
        self
    }

    #[must_use]
    pub fn ha(mut self, number: u32, state: &str) -> Self {
        let kind = self.world.guests[&vmid(number)].kind;
        let resource = HaResource {
            kind,
            state: state.to_owned(),
            options: section(&[("state", state)]),
        };
        self.world
            .ha_resources
            .insert(vmid(number), Arc::new(resource));
        self
    }

    #[must_use]
    pub fn acl(mut self, path: &str, subject: &str, role: &str) -> Self {
        let entry = AclEntry {
            path: path.to_owned(),
            subject_type: "user".to_owned(),
            subject: subject.to_owned(),
            role: role.to_owned(),
            propagate: true,
        };
        Arc::make_mut(&mut self.world.acl).push(entry);
        self
    }

    /// A part that could not be read.
    #[must_use]
    pub fn unreadable(mut self, part: Part, why: &str) -> Self {
        self.world.completeness.insert(
            part,
            Completeness::Unreadable {
                why: why.to_owned(),
            },
        );
        self
    }

    /// Anything else.
    #[must_use]
    pub fn edit(mut self, edit: impl FnOnce(&mut World)) -> Self {
        edit(&mut self.world);
        self
    }

    pub fn build(self) -> World {
        self.world
    }
}

/// A world of many guests: five nodes; 63 of 100 guests have their system on `local-zfs`, every tenth of all has a second volume
/// there, the others lie on `ceph`; a backup of each on `backup`, one job for all of them.
pub fn large(guests: u32) -> World {
    let nodes = ["pve1", "pve2", "pve3", "pve4", "pve5"];
    let mut builder = Builder::new(&nodes)
        .storage("local", "dir")
        .storage("local-zfs", "zfspool")
        .storage("ceph", "rbd")
        .storage("backup", "pbs");
    for n in 0..guests {
        let number = 100 + n;
        let on = nodes[n as usize % nodes.len()];
        let system = if n % 100 < 63 { "local-zfs" } else { "ceph" };
        let net = "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1";
        let name = format!("guest-{number}");
        if n % 4 == 3 {
            let root = format!("{system}:subvol-{number}-disk-0,size=8G");
            let mut lines = vec![
                ("hostname", name.as_str()),
                ("rootfs", root.as_str()),
                ("cores", "2"),
            ];
            let mp = format!("local-zfs:subvol-{number}-disk-1,mp=/srv,size=16G");
            if n % 10 == 0 {
                lines.push(("mp0", &mp));
            }
            builder = builder.ct(number, on, &lines);
        } else {
            let disk = format!("{system}:vm-{number}-disk-0,iothread=1,size=32G");
            let data = format!("local-zfs:vm-{number}-disk-1,size=64G");
            let mut lines = vec![
                ("name", name.as_str()),
                ("scsi0", disk.as_str()),
                ("boot", "order=scsi0;net0"),
                ("net0", net),
                ("ide2", "none,media=cdrom"),
                ("scsihw", "virtio-scsi-single"),
                ("ostype", "l26"),
                ("agent", "1"),
                ("cores", "2"),
            ];
            if n % 10 == 0 {
                lines.push(("scsi1", &data));
            }
            builder = builder.vm(number, on, &lines);
        }
        builder = builder.backup(on, "backup", number);
        if n % 2 == 0 {
            builder = builder.running(number);
        }
    }
    builder = builder.edit(|world| {
        let job = BackupJob::of(section(&[("all", "1"), ("storage", "backup")]));
        world
            .backup_jobs
            .insert("nightly".to_owned(), Arc::new(job));
    });
    builder.build()
}
