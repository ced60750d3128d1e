//! How long a plan takes once the world is read: a storage is deleted that 63 % of the guests lie on, and every one of them is
//! named. The aim is less than 300 ms of processor time and 80 MiB resident at 1,000 guests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs
)]

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::sync::Arc;

use bailiwick::ids::{Bytes, GuestKind, NodeName, StorageId, Vmid};
use bailiwick::plan::{
    ApiView, Item, Origin, Owned, Ownership, PlanInput, Restart, Settings, Wanted, make_plan,
    render,
};
use bailiwick::world::{
    BackupJob, Completeness, Guest, GuestConfig, Node, Part, Selection, Status, Storage,
    StorageState, Volume, World,
};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn world(guests: u32) -> World {
    let at = jiff::Timestamp::from_second(1_700_000_000).unwrap();
    let mut world = World::unread("bench".parse().unwrap(), at);
    (world.firewalls.cluster, world.firewalls.corosync) = (Ok(Arc::default()), Ok(Arc::default()));
    let mut read = |part: Part| {
        world
            .completeness
            .insert(part, Completeness::Complete { at });
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
    ] {
        read(part);
    }
    let nodes: Vec<NodeName> = (1..=4)
        .map(|n| NodeName::new(format!("pve{n}")).unwrap())
        .collect();
    let ids: Vec<StorageId> = ["local-zfs", "ceph-vm", "nas"]
        .iter()
        .map(|s| StorageId::new(s).unwrap())
        .collect();
    for node in &nodes {
        read(Part::NodeStatus(node.clone()));
        read(Part::NodeNetwork(node.clone()));
        read(Part::NodeStorage(node.clone()));
        for id in &ids {
            read(Part::StorageContent(node.clone(), id.clone()));
        }
    }
    for number in 0..guests {
        read(Part::GuestConfig(Vmid::new(100 + number).unwrap()));
        read(Part::GuestSnapshots(Vmid::new(100 + number).unwrap()));
    }
    let token = ["Datastore.Allocate", "VM.Allocate"]
        .map(|p| (p.to_owned(), true))
        .into();
    world.permissions = Arc::new(BTreeMap::from([("/".to_owned(), token)]));
    let state = StorageState {
        enabled: true,
        active: true,
        total: Some(Bytes(1 << 50)),
        available: Some(Bytes(1 << 49)),
    };
    for node in &nodes {
        world.nodes.insert(
            node.clone(),
            Arc::new(Node {
                online: Some(true),
                memory_total: Some(Bytes(1 << 44)),
                bridges: BTreeSet::from(["vmbr0".to_owned()]),
                storages: ids.iter().map(|id| (id.clone(), state.clone())).collect(),
                ..Node::default()
            }),
        );
    }
    let mut volumes: BTreeMap<StorageId, BTreeMap<NodeName, BTreeMap<_, Volume>>> = BTreeMap::new();
    for number in 0..guests {
        let vmid = Vmid::new(100 + number).unwrap();
        let node = nodes[number as usize % nodes.len()].clone();
        let on = if number % 100 < 63 { &ids[0] } else { &ids[1] };
        let mut current: BTreeMap<String, String> = (0..20)
            .map(|k| (format!("key{k}"), "value".to_owned()))
            .collect();
        for (key, value) in [
            ("name", format!("guest-{number}")),
            ("memory", "4096".to_owned()),
            ("boot", "order=scsi0".to_owned()),
            (
                "net0",
                format!(
                    "virtio=BC:24:11:00:{:02X}:{:02X},bridge=vmbr0",
                    number / 256 % 256,
                    number % 256
                ),
            ),
            (
                "smbios1",
                format!("uuid=00000000-0000-0000-0000-{number:012}"),
            ),
        ] {
            current.insert(key.to_owned(), value);
        }
        for disk in 0..2 {
            let id: bailiwick::ids::VolumeId =
                format!("{on}:vm-{vmid}-disk-{disk}").parse().unwrap();
            current.insert(format!("scsi{disk}"), format!("{id},size=32G"));
            let place = if *on == ids[1] {
                nodes[0].clone()
            } else {
                node.clone()
            };
            volumes
                .entry(on.clone())
                .or_default()
                .entry(place)
                .or_default()
                .insert(
                    id,
                    Volume {
                        content: "images".to_owned(),
                        format: "raw".to_owned(),
                        size: Bytes(32 << 30),
                        vmid: Some(vmid),
                        parent: None,
                        created: None,
                        protected: false,
                        notes: None,
                    },
                );
        }
        let backup = format!("nas:backup/vzdump-qemu-{vmid}-2026_01_01-00_00_00.vma.zst")
            .parse()
            .unwrap();
        volumes
            .entry(ids[2].clone())
            .or_default()
            .entry(nodes[0].clone())
            .or_default()
            .insert(
                backup,
                Volume {
                    content: "backup".to_owned(),
                    format: "vma.zst".to_owned(),
                    size: Bytes(1 << 30),
                    vmid: Some(vmid),
                    parent: None,
                    created: None,
                    protected: false,
                    notes: None,
                },
            );
        world.guests.insert(
            vmid,
            Arc::new(Guest {
                vmid,
                kind: GuestKind::Qemu,
                node,
                name: current.get("name").cloned(),
                status: Status::Running,
                template: false,
                lock: None,
                pool: None,
                config: GuestConfig {
                    digest: "a".repeat(40),
                    current,
                    ..GuestConfig::default()
                },
            }),
        );
    }
    for (id, (storage_type, content, shared)) in ids.iter().zip([
        ("zfspool", "images", false),
        ("rbd", "images", true),
        ("nfs", "backup", true),
    ]) {
        let volumes = volumes.remove(id).unwrap_or_default();
        world.storages.insert(
            id.clone(),
            Arc::new(Storage {
                id: id.clone(),
                storage_type: storage_type.to_owned(),
                content: BTreeSet::from([content.to_owned()]),
                nodes: None,
                disabled: false,
                shared,
                digest: "d".repeat(40),
                options: [("content".to_owned(), content.to_owned())].into(),
                volumes: volumes
                    .into_iter()
                    .map(|(node, volumes)| (node, Arc::new(volumes)))
                    .collect(),
            }),
        );
    }
    world.backup_jobs.insert(
        "nightly".to_owned(),
        Arc::new(BackupJob {
            enabled: true,
            selection: Selection::AllBut(BTreeSet::new()),
            node: None,
            storage: Some("nas".to_owned()),
            fleecing_storage: None,
            options: BTreeMap::new(),
        }),
    );
    world
}

fn resident() -> String {
    std::fs::read_to_string("/proc/self/status")
        .unwrap_or_default()
        .lines()
        .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn delete_storage(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("delete a storage");
    group.sample_size(10);
    for guests in [1_000u32, 10_000] {
        let world = world(guests);
        let ownership = Ownership {
            objects: [(
                "storage/local-zfs".to_owned(),
                Owned {
                    document: "Storage/local-zfs".to_owned(),
                    source: "git:infra".to_owned(),
                    hash: None,
                    vmid: None,
                    birth: None,
                    managed: BTreeMap::new(),
                    taken_from: Vec::new(),
                },
            )]
            .into(),
        };
        let settings = Settings::default();
        let secrets = BTreeMap::new();
        let input = PlanInput {
            cluster: world.cluster.clone(),
            parent: None,
            origin: Origin::Submission {
                source: "git:infra".to_owned(),
                prune: true,
            },
            policy: "sha256:policy".to_owned(),
            items: vec![Item {
                key: "Storage/local-zfs".to_owned(),
                source: "git:infra".to_owned(),
                hash: None,
                wanted: Wanted::Removed { delete: true },
                restart: Restart::Never,
                take_over: None,
                labels: BTreeMap::new(),
            }],
            ownership: &ownership,
            world: &world,
            api: ApiView::NotAsked,
            settings: &settings,
            now: world.observed_at,
            secrets: &secrets,
            closed_files: &BTreeMap::new(),
            backups: &Default::default(),
        };
        let plan = make_plan(&input).unwrap();
        let named = plan
            .impacts
            .iter()
            .filter(|i| i.entity.starts_with("vm/"))
            .count();
        assert_eq!(named, guests as usize * 63 / 100, "every guest is named");
        println!("{guests} guests: {named} named; {}", resident());
        group.bench_with_input(
            BenchmarkId::new("plan", guests),
            &input,
            |bencher, input| {
                bencher.iter(|| make_plan(black_box(input)).unwrap());
            },
        );
        group.bench_with_input(BenchmarkId::new("show", guests), &plan, |bencher, plan| {
            bencher.iter(|| render::text(black_box(plan), &render::Style::default()));
        });
    }
    group.finish();
}

criterion_group!(benches, delete_storage);
criterion_main!(benches);
