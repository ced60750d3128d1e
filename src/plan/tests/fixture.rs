//! A small cluster to plan on: two nodes, a local and two shared storages, four guests, a pool, a backup job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::document::desired::{
    Desired, DesiredDisk, DesiredGuest, DesiredPool, DesiredStorage, Media, SecretRef, Value, Wish,
};
use crate::ids::{Bytes, GuestKind, NodeName, PoolId, Slot, StorageId, Vmid, VolumeId};
use crate::plan::input::{
    ApiView, Backups, Item, Owned, Ownership, PlanInput, Restart, Settings, Wanted,
};
use crate::plan::{Origin, Plan, PlanError, check, make_plan};
use crate::world::{
    AclEntry, BackupJob, Completeness, Guest, GuestConfig, HaResource, Node, Part, Pool, Section,
    Snapshot, Status, Storage, StorageState, Volume, World,
};

pub fn vmid(number: u32) -> Vmid {
    Vmid::new(number).unwrap()
}
pub fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}
pub fn storage_id(name: &str) -> StorageId {
    StorageId::new(name).unwrap()
}
pub fn pool_id(name: &str) -> PoolId {
    PoolId::new(name).unwrap()
}
pub fn slot(name: &str) -> Slot {
    Slot::new(name).unwrap()
}
pub fn volume(name: &str) -> VolumeId {
    name.parse().unwrap()
}
pub fn section(lines: &[(&str, &str)]) -> Section {
    lines
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

/// The privileges of a full administrator.
const ALL: &[&str] = &[
    "VM.Allocate",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Disk",
    "VM.Config.CDROM",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.Config.HWType",
    "VM.Config.Cloudinit",
    "VM.PowerMgmt",
    "VM.Migrate",
    "VM.Replicate",
    "VM.Audit",
    "VM.Snapshot",
    "VM.Clone",
    "VM.Backup",
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.AllocateTemplate",
    "Datastore.Audit",
    "Pool.Allocate",
    "Pool.Audit",
    "SDN.Use",
    "Sys.Audit",
    "Sys.Console",
    "Sys.Modify",
    "Permissions.Modify",
];

pub struct Lab {
    pub world: World,
    pub ownership: Ownership,
    pub settings: Settings,
    pub secrets: BTreeMap<SecretRef, String>,
    pub closed_files: BTreeMap<String, String>,
    pub backups: Backups,
    pub origin: Origin,
}

impl Lab {
    /// An empty cluster of two nodes in which everything was read.
    pub fn empty() -> Self {
        let at = jiff::Timestamp::from_second(1_700_000_000).unwrap();
        let mut world = World::unread("lab".parse().unwrap(), at);
        (world.firewalls.cluster, world.firewalls.corosync) =
            (Ok(Arc::default()), Ok(Arc::default()));
        world.version = "9.1.8".to_owned();
        world.quorate = Some(true);
        world.permissions = Arc::new(BTreeMap::from([(
            "/".to_owned(),
            ALL.iter().map(|p| ((*p).to_owned(), true)).collect(),
        )]));
        let mut lab = Self {
            world,
            ownership: Ownership::default(),
            settings: Settings::default(),
            secrets: BTreeMap::new(),
            closed_files: BTreeMap::new(),
            backups: Backups::new(),
            origin: Origin::Submission {
                source: "directory:docs".to_owned(),
                prune: true,
            },
        };
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
            lab.read(part);
        }
        for name in ["pve1", "pve2"] {
            lab.world.nodes.insert(
                node(name),
                Arc::new(Node {
                    online: Some(true),
                    ip: None,
                    cpus: Some(16),
                    memory_total: Some(Bytes(128 << 30)),
                    memory_used: Some(Bytes(16 << 30)),
                    bridges: BTreeSet::from(["vmbr0".to_owned(), "vmbr1".to_owned()]),
                    storages: BTreeMap::new(),
                }),
            );
            lab.read(Part::NodeStatus(node(name)));
            lab.read(Part::NodeNetwork(node(name)));
            lab.read(Part::NodeStorage(node(name)));
        }
        lab
    }

    /// The small cluster.
    pub fn new() -> Self {
        let mut lab = Self::empty();
        lab.storage("local", "dir", "iso,vztmpl,backup,images", false, 900);
        lab.storage("local-zfs", "zfspool", "images,rootdir", false, 900);
        lab.storage("ceph-vm", "rbd", "images,rootdir", true, 4000);
        lab.storage("nas", "nfs", "backup,images,iso", true, 4000);
        lab.guest(
            GuestKind::Qemu,
            102,
            "db-1",
            "pve1",
            Status::Running,
            &[
                ("memory", "4096"),
                ("cores", "2"),
                ("boot", "order=scsi0"),
                ("scsi0", "ceph-vm:vm-102-disk-0,size=32G"),
                ("net0", "virtio=BC:24:11:00:01:02,bridge=vmbr0,firewall=1"),
            ],
        );
        lab.guest(
            GuestKind::Qemu,
            104,
            "web-4",
            "pve1",
            Status::Running,
            &[
                ("memory", "2048"),
                ("cores", "2"),
                ("boot", "order=scsi0"),
                ("scsi0", "local-zfs:vm-104-disk-0,size=32G"),
                ("scsi1", "ceph-vm:vm-104-disk-1,size=100G"),
                ("net0", "virtio=BC:24:11:00:01:04,bridge=vmbr0"),
            ],
        );
        lab.guest(
            GuestKind::Qemu,
            105,
            "old-5",
            "pve1",
            Status::Stopped,
            &[
                ("memory", "2048"),
                ("boot", "order=scsi0"),
                ("scsi0", "ceph-vm:vm-105-disk-0,size=8G"),
            ],
        );
        lab.guest(
            GuestKind::Lxc,
            301,
            "files",
            "pve1",
            Status::Running,
            &[
                ("hostname", "files"),
                ("memory", "1024"),
                ("rootfs", "ceph-vm:vm-301-disk-0,size=8G"),
                ("mp1", "local-zfs:subvol-301-disk-1,mp=/srv,size=200G"),
            ],
        );
        lab.world.pools.insert(
            pool_id("prod"),
            Arc::new(Pool {
                comment: Some("production".to_owned()),
                guests: BTreeSet::new(),
                storages: BTreeSet::new(),
            }),
        );
        lab.job(
            "nightly",
            &[("all", "1"), ("storage", "nas"), ("schedule", "02:00")],
        );
        lab
    }

    pub fn read(&mut self, part: Part) {
        let at = self.world.observed_at;
        self.world
            .completeness
            .insert(part, Completeness::Complete { at });
    }

    pub fn unread(&mut self, part: Part) {
        self.world.completeness.insert(
            part,
            Completeness::Unreadable {
                why: "403 Permission check failed".to_owned(),
            },
        );
    }

    pub fn storage(&mut self, id: &str, storage_type: &str, content: &str, shared: bool, gib: u64) {
        let nodes: Vec<NodeName> = self.world.nodes.keys().cloned().collect();
        let volumes = if shared {
            nodes.first().into_iter().cloned().collect()
        } else {
            nodes.clone()
        };
        let mut options = section(&[("content", content)]);
        match storage_type {
            "zfspool" => options.insert("pool".to_owned(), "rpool/data".to_owned()),
            "dir" => options.insert("path".to_owned(), "/var/lib/vz".to_owned()),
            "nfs" => options.insert("server".to_owned(), "10.0.0.9".to_owned()),
            _ => options.insert("pool".to_owned(), "vm".to_owned()),
        };
        self.world.storages.insert(
            storage_id(id),
            Arc::new(Storage {
                id: storage_id(id),
                storage_type: storage_type.to_owned(),
                content: content.split(',').map(str::to_owned).collect(),
                nodes: None,
                disabled: false,
                shared,
                digest: "d".repeat(40),
                options,
                volumes: volumes.into_iter().map(|n| (n, Arc::default())).collect(),
            }),
        );
        for name in nodes {
            self.read(Part::StorageContent(name.clone(), storage_id(id)));
            let node = Arc::make_mut(self.world.nodes.get_mut(&name).unwrap());
            node.storages.insert(
                storage_id(id),
                StorageState {
                    enabled: true,
                    active: true,
                    total: Some(Bytes(gib << 30)),
                    available: Some(Bytes((gib / 2) << 30)),
                },
            );
        }
    }

    pub fn volume(&mut self, on: &str, id: &str, content: &str, size: Bytes, owner: Option<u32>) {
        let id = volume(id);
        let storage = Arc::make_mut(self.world.storages.get_mut(id.storage()).unwrap());
        let place = if storage.shared {
            storage.volumes.keys().next().cloned().unwrap()
        } else {
            node(on)
        };
        let format = match storage.storage_type.as_str() {
            "dir" | "nfs" => "qcow2",
            _ if id.name().starts_with("subvol") => "subvol",
            _ => "raw",
        };
        let volumes = Arc::make_mut(storage.volumes.get_mut(&place).unwrap());
        volumes.insert(
            id,
            Volume {
                content: content.to_owned(),
                format: format.to_owned(),
                size,
                vmid: owner.map(vmid),
                parent: None,
                created: Some(1_690_000_000),
                protected: false,
                notes: None,
            },
        );
    }

    /// A backup, with the configuration in it.
    pub fn backup(&mut self, on: &str, id: &str, owner: u32, config: &[(&str, &str)]) {
        self.volume(on, id, "backup", Bytes(1 << 30), Some(owner));
        for name in self.world.nodes.keys() {
            let place = (name.clone(), volume(id));
            self.backups.insert(place, Ok(section(config)));
        }
    }

    pub fn guest(
        &mut self,
        kind: GuestKind,
        number: u32,
        name: &str,
        on: &str,
        status: Status,
        config: &[(&str, &str)],
    ) {
        let mut current = section(config);
        match kind {
            GuestKind::Qemu => {
                current.insert("name".to_owned(), name.to_owned());
                let uuid = format!("uuid=00000000-0000-0000-0000-{number:012}");
                current.insert("smbios1".to_owned(), uuid);
            }
            GuestKind::Lxc => {
                current.insert("hostname".to_owned(), name.to_owned());
            }
        }
        for disk in crate::world::views::disks(kind, &current) {
            if let Some(id) = disk.source.volume()
                && self.world.storages.contains_key(id.storage())
            {
                let content = match (&disk.source, kind) {
                    (crate::world::views::Source::Cdrom(_), _) => "iso",
                    (_, GuestKind::Qemu) => "images",
                    (_, GuestKind::Lxc) => "rootdir",
                };
                let owner = (content != "iso").then_some(number);
                let size = disk.size.unwrap_or(Bytes(1 << 30));
                self.volume(on, &id.to_string(), content, size, owner);
            }
        }
        self.world.guests.insert(
            vmid(number),
            Arc::new(Guest {
                vmid: vmid(number),
                kind,
                node: node(on),
                name: Some(name.to_owned()),
                status,
                template: current.get("template").is_some_and(|t| t == "1"),
                lock: None,
                pool: None,
                config: GuestConfig {
                    digest: format!("{number:040}"),
                    current,
                    pending: Vec::new(),
                    snapshots: BTreeMap::new(),
                },
            }),
        );
        self.read(Part::GuestConfig(vmid(number)));
        self.read(Part::GuestSnapshots(vmid(number)));
    }

    pub fn edit(&mut self, number: u32, change: impl FnOnce(&mut Guest)) {
        change(Arc::make_mut(
            self.world.guests.get_mut(&vmid(number)).unwrap(),
        ));
    }

    pub fn edit_storage(&mut self, id: &str, change: impl FnOnce(&mut Storage)) {
        change(Arc::make_mut(
            self.world.storages.get_mut(&storage_id(id)).unwrap(),
        ));
    }

    pub fn snapshot(&mut self, number: u32, name: &str) {
        self.edit(number, |guest| {
            let section = guest.config.current.clone();
            guest.config.snapshots.insert(
                name.to_owned(),
                Snapshot {
                    parent: None,
                    taken: Some(1_690_000_000),
                    state: None,
                    section,
                },
            );
        });
    }

    pub fn ha(&mut self, number: u32, state: &str) {
        let kind = self.world.guests[&vmid(number)].kind;
        self.world.ha_resources.insert(
            vmid(number),
            Arc::new(HaResource {
                kind,
                state: state.to_owned(),
                options: section(&[("state", state)]),
            }),
        );
    }

    pub fn acl(&mut self, path: &str) {
        Arc::make_mut(&mut self.world.acl).push(AclEntry {
            path: path.to_owned(),
            subject_type: "user".to_owned(),
            subject: "anna@pve".to_owned(),
            role: "PVEVMAdmin".to_owned(),
            propagate: true,
        });
    }

    pub fn backup_job(&mut self, id: &str, storage: &str, guests: &[u32]) {
        let numbers: Vec<String> = guests.iter().map(ToString::to_string).collect();
        self.job(id, &[("vmid", &numbers.join(",")), ("storage", storage)]);
    }

    /// A backup job with these options.
    pub fn job(&mut self, id: &str, options: &[(&str, &str)]) {
        let mut all = section(&[("id", id), ("type", "vzdump"), ("enabled", "1")]);
        all.extend(section(options));
        self.world
            .backup_jobs
            .insert(id.to_owned(), Arc::new(BackupJob::of(all)));
    }

    /// Makes the source own an object.
    /// A replication job, not marked for removal.
    pub fn replication(&mut self, id: &str, target: &str, options: &[(&str, &str)]) {
        let guest = id.split('-').next().unwrap().parse().unwrap();
        let job = crate::world::ReplicationJob::of(guest, node(target), false, section(options));
        self.world
            .replication_jobs
            .insert(id.to_owned(), Arc::new(job));
    }

    pub fn own(&mut self, object: &str, document: &str) {
        let guest = object.split_once('/').and_then(|(kind, id)| {
            matches!(kind, "vm" | "ct").then(|| id.parse::<Vmid>().unwrap())
        });
        let birth = guest.and_then(|v| self.world.guests[&v].config.birth());
        self.ownership.objects.insert(
            object.to_owned(),
            Owned {
                document: document.to_owned(),
                source: "directory:docs".to_owned(),
                hash: Some("h".to_owned()),
                vmid: guest,
                birth,
                managed: BTreeMap::new(),
                taken_from: Vec::new(),
            },
        );
    }

    pub fn input(&self, items: Vec<Item>) -> PlanInput<'_> {
        PlanInput {
            cluster: self.world.cluster.clone(),
            parent: None,
            origin: self.origin.clone(),
            policy: "sha256:policy".to_owned(),
            items,
            ownership: &self.ownership,
            world: &self.world,
            api: ApiView::NotAsked,
            settings: &self.settings,
            now: self.world.observed_at,
            secrets: &self.secrets,
            closed_files: &self.closed_files,
            backups: &self.backups,
        }
    }

    /// Plans, and has the judge look at the plan.
    pub fn plan(&self, items: Vec<Item>) -> Plan {
        let plan = self.try_plan(items).unwrap();
        assert_eq!(check(&plan), vec![], "{plan:#?}");
        plan
    }

    pub fn try_plan(&self, items: Vec<Item>) -> Result<Plan, PlanError> {
        make_plan(&self.input(items))
    }

    /// The problems of a plan that must not be.
    pub fn refused(&self, items: Vec<Item>) -> String {
        self.try_plan(items).unwrap_err().to_string()
    }

    /// The world after every step of a plan.
    pub fn after(&self, plan: &Plan) -> World {
        plan.steps.iter().fold(self.world.clone(), |world, step| {
            world.apply(&step.action).unwrap()
        })
    }
}

pub fn item(key: &str, desired: Desired) -> Item {
    Item {
        key: key.to_owned(),
        source: "directory:docs".to_owned(),
        hash: Some(format!("sha256:{key}")),
        wanted: Wanted::Present(desired),
        restart: Restart::Never,
        take_over: None,
        labels: BTreeMap::new(),
    }
}

pub fn removed(key: &str, delete: bool) -> Item {
    Item {
        hash: None,
        wanted: Wanted::Removed { delete },
        ..item(
            key,
            Desired::Pool(Box::new(DesiredPool {
                id: pool_id("x"),
                comment: None,
                guests: None,
                storages: None,
            })),
        )
    }
}

pub fn guest(kind: GuestKind, number: Option<u32>, name: &str) -> DesiredGuest {
    DesiredGuest {
        kind,
        vmid: number.map(vmid),
        name_on_create: name.to_owned(),
        node: None,
        nodes: BTreeSet::new(),
        target_storage: BTreeMap::new(),
        pool: None,
        power: None,
        options: BTreeMap::new(),
        disks: BTreeMap::new(),
        clone_from: None,
        restore_from: None,
        template: None,
        create_only: BTreeMap::new(),
    }
}

pub fn vm(number: u32) -> DesiredGuest {
    guest(GuestKind::Qemu, Some(number), "vm")
}

pub fn ct(number: u32) -> DesiredGuest {
    guest(GuestKind::Lxc, Some(number), "ct")
}

pub fn plain(text: &str) -> Wish<Value> {
    Wish::Set(Value::Plain(text.to_owned()))
}

pub fn set(mut guest: DesiredGuest, key: &str, value: &str) -> DesiredGuest {
    guest.options.insert(key.to_owned(), plain(value));
    guest
}

pub fn disk() -> DesiredDisk {
    DesiredDisk {
        media: Media::Disk,
        storage: None,
        size: None,
        format: None,
        volume: None,
        import_from: None,
        empty: false,
        options: BTreeMap::new(),
        remove_options: BTreeSet::new(),
    }
}

pub fn on(storage: &str) -> DesiredDisk {
    DesiredDisk {
        storage: Some(storage_id(storage)),
        ..disk()
    }
}

pub fn sized(storage: &str, gib: u64) -> DesiredDisk {
    DesiredDisk {
        size: Some(Bytes(gib << 30)),
        ..on(storage)
    }
}

pub fn with_disk(mut guest: DesiredGuest, name: &str, disk: DesiredDisk) -> DesiredGuest {
    guest.disks.insert(slot(name), Wish::Set(disk));
    guest
}

pub fn without_disk(mut guest: DesiredGuest, name: &str) -> DesiredGuest {
    guest.disks.insert(slot(name), Wish::Remove);
    guest
}

pub fn doc(guest: DesiredGuest) -> Item {
    let kind = match guest.kind {
        GuestKind::Qemu => "VirtualMachine",
        GuestKind::Lxc => "Container",
    };
    let name = guest
        .vmid
        .map_or_else(|| guest.name_on_create.clone(), |vmid| vmid.to_string());
    item(&format!("{kind}/{name}"), Desired::Guest(Box::new(guest)))
}

pub fn storage_doc(id: &str, storage_type: Option<&str>, options: &[(&str, &str)]) -> Item {
    item(
        &format!("Storage/{id}"),
        Desired::Storage(Box::new(DesiredStorage {
            id: storage_id(id),
            storage_type: storage_type.map(str::to_owned),
            options: options
                .iter()
                .map(|(k, v)| ((*k).to_owned(), plain(v)))
                .collect(),
        })),
    )
}

pub fn pool_doc(id: &str, guests: Option<&[u32]>) -> Item {
    item(
        &format!("Pool/{id}"),
        Desired::Pool(Box::new(DesiredPool {
            id: pool_id(id),
            comment: None,
            guests: guests.map(|g| g.iter().map(|n| vmid(*n)).collect()),
            storages: None,
        })),
    )
}

/// `vm/104 won't-boot ST01` for each impact.
pub fn facts(plan: &Plan) -> Vec<String> {
    plan.impacts
        .iter()
        .map(|i| {
            let transient = match i.duration {
                crate::plan::Duration::Transient => " (transient)",
                crate::plan::Duration::Permanent => "",
            };
            format!("{} {} {}{transient}", i.entity, i.category, i.rule)
        })
        .collect()
}

pub fn titles(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|s| s.title.as_str()).collect()
}
