//! GU01 to GU08, as far as they are facts of health or of prediction. What a plan says beyond that (volumes lost with a destroyed
//! guest, identity, link flaps, messages) is tested there.

use super::{after, between, lab};
use crate::health::{Category, fit};
use crate::ids::GuestKind;
use crate::world::testing::{node, vmid};
use crate::world::{Action, Param, Params, PowerAction, Status, Unpredictable, World};

fn destroy(number: u32, purge: bool) -> Action {
    Action::DestroyGuest {
        kind: GuestKind::Qemu,
        vmid: vmid(number),
        purge,
    }
}

fn params(lines: &[(&str, &str)]) -> Params {
    lines
        .iter()
        .map(|(k, v)| ((*k).to_owned(), Param::Plain((*v).to_owned())))
        .collect()
}

fn power(number: u32, power: PowerAction) -> Action {
    Action::SetPower {
        kind: GuestKind::Qemu,
        vmid: vmid(number),
        power,
    }
}

fn create(number: u32, lines: &[(&str, &str)]) -> Action {
    Action::CreateGuest {
        kind: GuestKind::Qemu,
        vmid: vmid(number),
        node: node("pve1"),
        pool: None,
        params: params(lines),
    }
}

fn refused(world: &World, action: &Action) -> String {
    match world.apply(action) {
        Err(Unpredictable::Refused(why)) => why,
        other => panic!("{:?} was not refused", other.map(|_| action)),
    }
}

fn simple() -> crate::world::testing::Builder {
    lab().vm(
        104,
        "pve1",
        &[
            ("name", "web"),
            ("scsi0", "ceph:vm-104-disk-0,size=8G"),
            ("boot", "order=scsi0"),
            ("net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0"),
        ],
    )
}

#[test]
fn gu01_destroying_leaves_nothing_but_the_backups() {
    let world = simple().backup("pve1", "nas", 104).build();
    let end = world.apply(&destroy(104, true)).unwrap();
    assert!(!end.guests.contains_key(&vmid(104)));
    let left: Vec<String> = end
        .storages
        .values()
        .flat_map(|s| {
            s.volumes
                .values()
                .flat_map(|v| v.keys())
                .map(ToString::to_string)
        })
        .collect();
    assert_eq!(
        left,
        ["nas:backup/vzdump-qemu-104-2026_11_01-01_00_00.vma.zst"]
    );
}

#[test]
fn gu02_destroying_fails_where_proxmox_refuses() {
    let protected = lab()
        .vm(
            104,
            "pve1",
            &[("scsi0", "ceph:vm-104-disk-0"), ("protection", "1")],
        )
        .build();
    assert!(refused(&protected, &destroy(104, true)).contains("protected"));
    assert!(
        refused(&simple().locked(104, "backup").build(), &destroy(104, true))
            .contains("locked (backup)")
    );
    assert!(refused(&simple().running(104).build(), &destroy(104, true)).contains("running"));
    assert!(refused(&simple().ha(104, "stopped").build(), &destroy(104, false)).contains("HA"));
    assert!(
        refused(
            &simple().replication(104, "pve2").build(),
            &destroy(104, false)
        )
        .contains("replication")
    );
    let template = lab()
        .vm(
            100,
            "pve1",
            &[("scsi0", "ceph:base-100-disk-0"), ("template", "1")],
        )
        .vm(
            101,
            "pve1",
            &[("scsi0", "ceph:base-100-disk-0/vm-101-disk-0")],
        )
        .build();
    assert!(refused(&template, &destroy(100, true)).contains("linked clone"));
    assert!(simple().build().apply(&destroy(104, false)).is_ok());
}

#[test]
fn gu03_what_names_a_destroyed_guest_is_told() {
    let world = simple()
        .vm(
            105,
            "pve1",
            &[
                ("scsi0", "nas:105/vm-105-disk-0.raw"),
                ("scsi1", "ceph:vm-104-disk-0"),
                ("boot", "order=scsi0"),
            ],
        )
        .pool("prod", &[104], &[])
        .acl("/vms/104", "dev@pve", "PVEVMUser")
        .backup_job("only-104", "nas", &[104])
        .backup_job("both", "nas", &[104, 105])
        .replication(104, "pve2")
        .build();
    assert_eq!(
        after(&world, &destroy(104, true)),
        [
            "vm/105 data-lost (data volume scsi1: volume ceph:vm-104-disk-0 does not exist)",
            "pool/prod degraded (its member vm/104 is removed with it)",
            "backup-job/only-104 unprotected (backup job only-104 is removed with its last guest)",
            "replication-job/104-0 unprotected (replication 104-0 is removed)",
            "acl//vms/104 dev@pve PVEVMUser loses-privilege (the entry is removed with /vms/104)",
        ]
    );
    let alone = simple().build();
    assert!(after(&alone, &destroy(104, true)).is_empty());
}

#[test]
fn gu04_a_change_of_a_running_vm_is_live_or_pending() {
    let world = simple().running(104).build();
    let action = Action::UpdateConfig {
        kind: GuestKind::Qemu,
        vmid: vmid(104),
        set: params(&[("memory", "4096"), ("description", "web server")]),
        delete: Default::default(),
    };
    let guest = world
        .apply(&action)
        .unwrap()
        .guests
        .get(&vmid(104))
        .unwrap()
        .clone();
    assert_eq!(guest.config.current.get("memory").unwrap(), "1024");
    assert_eq!(
        guest.config.current.get("description").unwrap(),
        "web server"
    );
    let keys: Vec<&str> = guest
        .config
        .pending
        .iter()
        .map(|p| p.key.as_str())
        .collect();
    assert_eq!(keys, ["memory"]);
}

#[test]
fn gu05_a_change_of_a_stopped_vm_applies_everything_pending() {
    let world = simple().pending(104, "cores", Some("8")).build();
    let action = Action::UpdateConfig {
        kind: GuestKind::Qemu,
        vmid: vmid(104),
        set: params(&[("memory", "4096")]),
        delete: Default::default(),
    };
    let guest = world
        .apply(&action)
        .unwrap()
        .guests
        .get(&vmid(104))
        .unwrap()
        .clone();
    assert_eq!(guest.config.current.get("cores").unwrap(), "8");
    assert!(guest.config.pending.is_empty());
}

#[test]
fn gu06_stopping_is_an_impact_and_an_impossible_start_is_refused() {
    let running = simple().running(104).build();
    assert_eq!(
        after(&running, &power(104, PowerAction::Stop)),
        ["vm/104 stopped (it does not run)"]
    );
    let stopped = simple().build();
    assert!(after(&stopped, &power(104, PowerAction::Start)).is_empty());
    let no_bridge = lab()
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "ceph:vm-104-disk-0"),
                ("net0", "virtio,bridge=vmbr9"),
            ],
        )
        .build();
    assert!(refused(&no_bridge, &power(104, PowerAction::Start)).contains("vmbr9"));
    let gone = simple()
        .edit(|w| {
            drop(
                w.storages
                    .remove(&crate::world::testing::storage_id("ceph")),
            )
        })
        .build();
    assert!(refused(&gone, &power(104, PowerAction::Start)).contains("ceph"));
    let volume = crate::world::testing::volume("ceph:vm-104-disk-0");
    let lost = stopped
        .apply(&Action::DeleteVolume {
            node: node("pve1"),
            volume,
        })
        .unwrap();
    assert!(refused(&lost, &power(104, PowerAction::Start)).contains("does not exist"));
    assert!(
        refused(
            &simple().ha(104, "started").build(),
            &power(104, PowerAction::Start)
        )
        .contains("HA")
    );
}

#[test]
fn gu07_a_migration_must_find_storage_and_bridge() {
    let migrate = |number: u32| Action::Migrate {
        kind: GuestKind::Qemu,
        vmid: vmid(number),
        from: node("pve1"),
        to: node("pve2"),
        running: false,
        with_local_disks: false,
        target_storage: Default::default(),
    };
    let world = lab()
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "local-zfs:vm-104-disk-0,size=8G"),
                ("boot", "order=scsi0"),
                ("net0", "virtio,bridge=vmbr1"),
            ],
        )
        .vm(
            105,
            "pve1",
            &[
                ("scsi0", "ceph:vm-105-disk-0"),
                ("ide2", "local:iso/x.iso,media=cdrom"),
            ],
        )
        .vm(
            106,
            "pve1",
            &[
                ("scsi0", "ceph:vm-106-disk-0"),
                ("boot", "order=scsi0"),
                ("net0", "virtio,bridge=vmbr0"),
            ],
        )
        .vm(
            107,
            "pve1",
            &[("scsi0", "local-zfs:vm-107-disk-0,size=600G")],
        )
        .edit(|w| {
            let pve1 = std::sync::Arc::make_mut(w.nodes.get_mut(&node("pve1")).unwrap());
            pve1.bridges.insert("vmbr1".to_owned());
        })
        .build();
    assert_eq!(
        after(&world, &migrate(104)),
        ["vm/104 won't-boot (net0 on bridge vmbr1, which node pve2 does not have)"]
    );
    assert!(refused(&world, &migrate(105)).contains("CD image"));
    assert!(after(&world, &migrate(106)).is_empty());
    assert_eq!(
        fit(&world, &migrate(107)).first().unwrap().1.category,
        Some(Category::WontFit)
    );
    assert!(fit(&world, &migrate(106)).is_empty());
    let moved = world.apply(&migrate(104)).unwrap();
    let zfs = moved
        .storages
        .get(&crate::world::testing::storage_id("local-zfs"))
        .unwrap();
    assert!(
        zfs.volume(
            &node("pve2"),
            &crate::world::testing::volume("local-zfs:vm-104-disk-0")
        )
        .is_some()
    );
    assert!(
        zfs.volume(
            &node("pve1"),
            &crate::world::testing::volume("local-zfs:vm-104-disk-0")
        )
        .is_none()
    );
}

#[test]
fn gu08_creating_needs_a_free_vmid_room_and_memory() {
    let world = simple().build();
    assert!(refused(&world, &create(104, &[("memory", "512")])).contains("already exists"));
    let fine = create(
        120,
        &[
            ("memory", "512"),
            ("scsi0", "ceph:32"),
            ("net0", "virtio,bridge=vmbr0"),
        ],
    );
    assert!(after(&world, &fine).is_empty());
    assert!(fit(&world, &fine).is_empty());
    assert_eq!(
        fit(&world, &create(120, &[("scsi0", "ceph:600")]))
            .first()
            .unwrap()
            .1
            .category,
        Some(Category::WontFit)
    );
    let greedy = create(
        120,
        &[("memory", "98304"), ("scsi0", "ceph:32"), ("onboot", "1")],
    );
    let lines = after(&world, &greedy);
    assert_eq!(
        lines,
        ["node/pve1 tight (its guests are given 96 GiB of 64 GiB memory)"]
    );
}

#[test]
fn gu08_a_new_guest_without_its_bridge_does_not_boot() {
    let world = simple().build();
    assert_eq!(
        after(
            &world,
            &create(120, &[("scsi0", "ceph:8"), ("net0", "virtio,bridge=vmbr7")])
        ),
        ["vm/120 won't-boot (net0 on bridge vmbr7, which node pve1 does not have)"]
    );
}

#[test]
fn gu13_raising_memory_over_what_a_node_has_is_tight() {
    let world = simple().running(104).build();
    let mut end = world.clone();
    let guest = std::sync::Arc::make_mut(end.guests.get_mut(&vmid(104)).unwrap());
    guest
        .config
        .current
        .insert("memory".to_owned(), "131072".to_owned());
    assert_eq!(
        between(&world, &end),
        ["node/pve1 tight (its guests are given 128 GiB of 64 GiB memory)"]
    );
}

#[test]
fn ha_guests_lose_availability_with_their_shared_storage() {
    let world = simple().running(104).ha(104, "started").build();
    let action = Action::MoveDisk {
        kind: GuestKind::Qemu,
        vmid: vmid(104),
        slot: crate::ids::Slot::new("scsi0").unwrap(),
        volume: crate::world::testing::volume("ceph:vm-104-disk-0"),
        to: crate::world::testing::storage_id("local-zfs"),
        format: None,
    };
    assert_eq!(
        after(&world, &action),
        ["vm/104 not-highly-available (no other node can start it with scsi0 on local-zfs)"]
    );
    let removed = Action::RemoveHaResource {
        kind: GuestKind::Qemu,
        vmid: vmid(104),
    };
    assert_eq!(
        after(&world, &removed),
        ["vm/104 not-highly-available (it is taken out of HA)"]
    );
    let stopped = Action::SetHaState {
        kind: GuestKind::Qemu,
        vmid: vmid(104),
        state: "stopped".to_owned(),
        before: "started".to_owned(),
    };
    assert_eq!(
        world
            .apply(&stopped)
            .unwrap()
            .guests
            .get(&vmid(104))
            .unwrap()
            .status,
        Status::Stopped
    );
}

#[test]
fn gu04_a_vm_without_a_disk_in_its_boot_order_does_not_boot() {
    let world = simple().running(104).build();
    let detach = Action::DetachDisk {
        kind: GuestKind::Qemu,
        vmid: vmid(104),
        slot: crate::ids::Slot::new("scsi0").unwrap(),
        volume: crate::world::testing::volume("ceph:vm-104-disk-0"),
    };
    let found = between(&world, &world.apply(&detach).unwrap());
    assert!(
        found
            .iter()
            .any(|line| line.starts_with("vm/104 won't-boot (nothing to start from")),
        "{found:?}"
    );
    let order = Action::UpdateConfig {
        kind: GuestKind::Qemu,
        vmid: vmid(104),
        set: params(&[("boot", "order=net0")]),
        delete: std::collections::BTreeSet::new(),
    };
    let found = between(&world, &world.apply(&order).unwrap());
    assert!(
        found
            .iter()
            .any(|line| line.starts_with("vm/104 may-not-boot (it starts from net0")),
        "{found:?}"
    );
}

#[test]
fn gu06_more_processors_than_the_node_has_keep_a_vm_from_booting() {
    let world = simple()
        .running(104)
        .edit(|w| {
            std::sync::Arc::make_mut(w.nodes.get_mut(&node("pve1")).unwrap()).cpus = Some(32);
        })
        .build();
    let with = |cores: &str| Action::UpdateConfig {
        kind: GuestKind::Qemu,
        vmid: vmid(104),
        set: params(&[("cores", cores), ("sockets", "2")]),
        delete: std::collections::BTreeSet::new(),
    };
    assert!(between(&world, &world.apply(&with("16")).unwrap()).is_empty());
    assert_eq!(
        between(&world, &world.apply(&with("17")).unwrap()),
        ["vm/104 won't-boot (it asks for 34 processors, and node pve1 has 32)"]
    );
}
