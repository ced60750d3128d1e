//! What each action makes of a world, and what a read-back may show.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Unpredictable, surprises};
use crate::document::desired::SecretRef;
use crate::ids::{Bytes, GuestKind, Slot};
use crate::world::testing::{Builder, node, storage_id, vmid, volume};
use crate::world::{Action, Guest, Param, Params, Part, PowerAction, Section, Status, World};

const GIB: u64 = Bytes::GIB;

fn lab() -> Builder {
    Builder::new(&["pve1", "pve2"])
        .storage("local", "dir")
        .storage("local-zfs", "zfspool")
        .storage("ceph", "rbd")
}

fn web() -> Builder {
    lab().vm(
        104,
        "pve1",
        &[
            ("name", "web"),
            ("scsi0", "local-zfs:vm-104-disk-0,iothread=1,size=32G"),
            ("sata1", "local-zfs:vm-104-disk-1,size=4G"),
            ("boot", "order=scsi0"),
            ("net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0"),
        ],
    )
}

fn params(lines: &[(&str, &str)]) -> Params {
    lines
        .iter()
        .map(|(k, v)| ((*k).to_owned(), Param::Plain((*v).to_owned())))
        .collect()
}

fn update(number: u32, set: &[(&str, &str)], delete: &[&str]) -> Action {
    Action::UpdateConfig {
        kind: GuestKind::Qemu,
        vmid: vmid(number),
        set: params(set),
        delete: delete.iter().map(|k| (*k).to_owned()).collect(),
    }
}

fn slot(name: &str) -> Slot {
    Slot::new(name).unwrap()
}

fn relocate(kind: GuestKind, number: u32, at: &str, from: &str, to: &str) -> Action {
    Action::MoveDisk {
        kind,
        vmid: vmid(number),
        slot: slot(at),
        volume: volume(from),
        to: storage_id(to),
        format: None,
    }
}

fn guest(world: &World, number: u32) -> &Guest {
    &world.guests[&vmid(number)]
}

fn value<'w>(world: &'w World, number: u32, key: &str) -> Option<&'w str> {
    guest(world, number)
        .config
        .current
        .get(key)
        .map(String::as_str)
}

fn free(world: &World, on: &str, storage: &str) -> u64 {
    world.nodes[&node(on)].storages[&storage_id(storage)]
        .available
        .unwrap()
        .0
        / GIB
}

fn refused(world: &World, action: &Action) -> String {
    match world.apply(action) {
        Err(Unpredictable::Refused(why)) => why,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("not refused"),
    }
}

#[test]
fn a_move_keeps_the_slot_and_its_options_and_accounts_for_the_space() {
    let world = web().build();
    let end = world
        .apply(&relocate(
            GuestKind::Qemu,
            104,
            "scsi0",
            "local-zfs:vm-104-disk-0",
            "ceph",
        ))
        .unwrap();
    assert_eq!(
        value(&end, 104, "scsi0"),
        Some("ceph:vm-104-disk-0,iothread=1,size=32G")
    );
    assert_eq!(value(&end, 104, "sata1"), value(&world, 104, "sata1"));
    assert_eq!(
        (free(&end, "pve1", "ceph"), free(&end, "pve2", "ceph")),
        (468, 468),
        "a shared storage is one"
    );
    assert_eq!(
        (
            free(&end, "pve1", "local-zfs"),
            free(&end, "pve2", "local-zfs")
        ),
        (532, 500)
    );
    assert!(
        end.storages[&storage_id("ceph")]
            .volume(&node("pve2"), &volume("ceph:vm-104-disk-0"))
            .is_some()
    );
    assert!(
        end.storages[&storage_id("local-zfs")]
            .volume(&node("pve1"), &volume("local-zfs:vm-104-disk-0"))
            .is_none()
    );
}

#[test]
fn new_volumes_are_named_by_the_storages_type() {
    let world = web().build();
    let to_dir = world
        .apply(&relocate(
            GuestKind::Qemu,
            104,
            "scsi0",
            "local-zfs:vm-104-disk-0",
            "local",
        ))
        .unwrap();
    assert_eq!(
        value(&to_dir, 104, "scsi0"),
        Some("local:104/vm-104-disk-0.raw,iothread=1,size=32G")
    );
    let ct = lab()
        .ct(301, "pve1", &[("rootfs", "ceph:vm-301-disk-0,size=8G")])
        .build();
    let to_zfs = ct
        .apply(&relocate(
            GuestKind::Lxc,
            301,
            "rootfs",
            "ceph:vm-301-disk-0",
            "local-zfs",
        ))
        .unwrap();
    assert_eq!(
        value(&to_zfs, 301, "rootfs"),
        Some("local-zfs:subvol-301-disk-0,size=8G")
    );
    let second = world
        .apply(&update(104, &[("scsi2", "local-zfs:10,cache=none")], &[]))
        .unwrap();
    assert_eq!(
        value(&second, 104, "scsi2"),
        Some("local-zfs:vm-104-disk-2,cache=none,size=10G")
    );
    let cloud = world
        .apply(&update(104, &[("ide2", "local:cloudinit")], &[]))
        .unwrap();
    assert_eq!(
        value(&cloud, 104, "ide2"),
        Some("local:104/vm-104-cloudinit.qcow2,size=4M,media=cdrom")
    );
}

#[test]
fn a_slot_given_away_keeps_its_old_volume_as_unused() {
    let world = web()
        .volume("pve1", "ceph:vm-104-disk-9", "images", GIB, Some(104))
        .build();
    let end = world
        .apply(&update(104, &[("sata1", "ceph:vm-104-disk-9")], &[]))
        .unwrap();
    assert_eq!(
        value(&end, 104, "sata1"),
        Some("ceph:vm-104-disk-9,size=1G")
    );
    assert_eq!(value(&end, 104, "unused0"), Some("local-zfs:vm-104-disk-1"));
    let back = end
        .apply(&update(104, &[("sata2", "local-zfs:vm-104-disk-1")], &[]))
        .unwrap();
    assert_eq!(
        value(&back, 104, "unused0"),
        None,
        "a volume that is used again is not unused"
    );
}

#[test]
fn detaching_and_freeing() {
    let world = web().build();
    let detach = Action::DetachDisk {
        kind: GuestKind::Qemu,
        vmid: vmid(104),
        slot: slot("sata1"),
        volume: volume("local-zfs:vm-104-disk-1"),
    };
    let detached = world.apply(&detach).unwrap();
    assert_eq!(
        (
            value(&detached, 104, "sata1"),
            value(&detached, 104, "unused0")
        ),
        (None, Some("local-zfs:vm-104-disk-1"))
    );
    let freeing = Action::FreeDisk {
        kind: GuestKind::Qemu,
        vmid: vmid(104),
        slot: slot("unused0"),
        volume: volume("local-zfs:vm-104-disk-1"),
    };
    let freed = detached.apply(&freeing).unwrap();
    assert_eq!(value(&freed, 104, "unused0"), None);
    assert_eq!(free(&freed, "pve1", "local-zfs"), 504);
    // SATA disks cannot be unplugged: it waits.
    let running = web().running(104).build();
    let waiting = running.apply(&detach).unwrap();
    assert!(value(&waiting, 104, "sata1").is_some());
    assert_eq!(
        guest(&waiting, 104)
            .config
            .pending
            .first()
            .map(|p| p.value.is_none()),
        Some(true)
    );
    let stopped = waiting.apply(&power(104, PowerAction::Stop)).unwrap();
    let started = stopped.apply(&power(104, PowerAction::Start)).unwrap();
    assert_eq!(
        (
            value(&started, 104, "sata1"),
            value(&started, 104, "unused0")
        ),
        (None, Some("local-zfs:vm-104-disk-1"))
    );
    assert!(matches!(
        freed.apply(&freeing),
        Err(Unpredictable::Missing(_))
    ));
}

fn power(number: u32, power: PowerAction) -> Action {
    Action::SetPower {
        kind: GuestKind::Qemu,
        vmid: vmid(number),
        power,
    }
}

#[test]
fn running_guests_keep_what_cannot_be_changed_live() {
    let world = web().running(104).build();
    let waits = world
        .apply(&update(104, &[("cores", "4"), ("name", "www")], &[]))
        .unwrap();
    assert_eq!(
        (value(&waits, 104, "cores"), value(&waits, 104, "name")),
        (None, Some("www"))
    );
    assert_eq!(guest(&waits, 104).name.as_deref(), Some("www"));
    let reboot = waits
        .apply(&power(104, PowerAction::Reboot { timeout: 60 }))
        .unwrap();
    assert_eq!(value(&reboot, 104, "cores"), Some("4"));
    assert!(guest(&reboot, 104).config.pending.is_empty());
    // Set back to the running value: it leaves the pending list.
    let memory = world
        .apply(&update(104, &[("memory", "4096")], &[]))
        .unwrap();
    assert_eq!(guest(&memory, 104).config.pending.len(), 1);
    let back = memory
        .apply(&update(104, &[("memory", "1024")], &[]))
        .unwrap();
    assert!(guest(&back, 104).config.pending.is_empty());
}

#[test]
fn a_stopped_container_takes_only_the_keys_of_the_request_and_a_start_takes_all() {
    let world = lab()
        .ct(301, "pve1", &[("rootfs", "ceph:vm-301-disk-0,size=8G")])
        .pending(301, "features", Some("nesting=1"))
        .build();
    let set = Action::UpdateConfig {
        kind: GuestKind::Lxc,
        vmid: vmid(301),
        set: params(&[("cores", "2")]),
        delete: BTreeSet::new(),
    };
    let changed = world.apply(&set).unwrap();
    assert_eq!(
        (
            value(&changed, 301, "cores"),
            value(&changed, 301, "features")
        ),
        (Some("2"), None)
    );
    let start = Action::SetPower {
        kind: GuestKind::Lxc,
        vmid: vmid(301),
        power: PowerAction::Start,
    };
    assert_eq!(
        value(&changed.apply(&start).unwrap(), 301, "features"),
        Some("nesting=1")
    );
}

#[test]
fn secrets_and_the_boot_order_are_kept_as_proxmox_shows_them() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[("scsi0", "ceph:vm-104-disk-0"), ("bootdisk", "scsi0")],
        )
        .build();
    let mut set = params(&[("boot", "order=scsi0")]);
    let secret = Param::Secret {
        from: SecretRef::FromEnv("PASSWORD".to_owned()),
        fingerprint: "00".to_owned(),
    };
    set.insert("cipassword".to_owned(), secret);
    let action = Action::UpdateConfig {
        kind: GuestKind::Qemu,
        vmid: vmid(104),
        set,
        delete: BTreeSet::new(),
    };
    let end = world.apply(&action).unwrap();
    assert_eq!(value(&end, 104, "cipassword"), Some("**********"));
    assert_eq!(
        (value(&end, 104, "boot"), value(&end, 104, "bootdisk")),
        (Some("order=scsi0"), None)
    );
}

#[test]
fn a_created_guest_is_whole() {
    let world = web().pool("prod", &[104], &[]).build();
    let create = |kind, lines: &[(&str, &str)]| Action::CreateGuest {
        kind,
        vmid: vmid(120),
        node: node("pve1"),
        pool: Some("prod".parse().unwrap()),
        params: params(lines),
    };
    let vm = world
        .apply(&create(
            GuestKind::Qemu,
            &[
                ("name", "new"),
                ("scsi0", "ceph:32"),
                ("ide2", "none,media=cdrom"),
                ("net0", "virtio,bridge=vmbr0"),
            ],
        ))
        .unwrap();
    assert_eq!(value(&vm, 120, "boot"), Some("order=scsi0;ide2;net0"));
    assert_eq!(
        value(&vm, 120, "scsi0"),
        Some("ceph:vm-120-disk-0,size=32G")
    );
    assert_eq!(guest(&vm, 120).status, Status::Stopped);
    assert!(
        vm.pools
            .values()
            .next()
            .unwrap()
            .guests
            .contains(&vmid(120))
    );
    assert_eq!(vm.unreadable(&Part::GuestConfig(vmid(120))), None);
    assert_eq!(free(&vm, "pve1", "ceph"), 468);
    let ct = world
        .apply(&create(
            GuestKind::Lxc,
            &[
                ("ostemplate", "local:vztmpl/d.tar.zst"),
                ("storage", "local-zfs"),
            ],
        ))
        .unwrap();
    assert_eq!(
        value(&ct, 120, "rootfs"),
        Some("local-zfs:subvol-120-disk-0,size=4G")
    );
    assert_eq!(
        (value(&ct, 120, "hostname"), value(&ct, 120, "ostemplate")),
        (Some("CT120"), None)
    );
    assert!(
        refused(
            &world,
            &Action::CreateGuest {
                kind: GuestKind::Qemu,
                vmid: vmid(104),
                node: node("pve1"),
                pool: None,
                params: Params::new()
            }
        )
        .contains("exists")
    );
}

#[test]
fn destroying_with_purge_cleans_jobs_and_rules() {
    let world = web()
        .vm(105, "pve1", &[("scsi0", "ceph:vm-105-disk-0")])
        .backup_job("both", "local", &[104, 105])
        .backup_job("one", "local", &[104])
        .ha(104, "stopped")
        .build();
    let end = world
        .apply(&Action::DestroyGuest {
            kind: GuestKind::Qemu,
            vmid: vmid(104),
            purge: true,
        })
        .unwrap();
    assert_eq!(end.backup_jobs.keys().collect::<Vec<_>>(), ["both"]);
    assert_eq!(end.backup_jobs["both"].options["vmid"], "105");
    assert!(end.ha_resources.is_empty());
    assert_eq!(free(&end, "pve1", "local-zfs"), 536);
    assert!(!end.completeness.contains_key(&Part::GuestConfig(vmid(104))));
}

#[test]
fn storages_and_pools() {
    let world = web()
        .pool("prod", &[104], &["ceph"])
        .pool("prod/web", &[], &[])
        .pool("test", &[], &[])
        .acl("/storage/ceph", "ops@pve", "PVEDatastoreUser")
        .acl("/pool/test", "ops@pve", "PVEPoolUser")
        .build();
    let without = world
        .apply(&Action::DeleteStorage {
            id: storage_id("ceph"),
        })
        .unwrap();
    assert!(without.pools.values().all(|p| p.storages.is_empty()));
    assert_eq!(without.acl.len(), 1);
    assert!(
        !without.nodes[&node("pve1")]
            .storages
            .contains_key(&storage_id("ceph"))
    );
    let moved = world
        .apply(&Action::UpdatePool {
            id: "test".parse().unwrap(),
            comment: Some("Tests".to_owned()),
            guests_add: [vmid(104)].into(),
            guests_remove: BTreeSet::new(),
            storages_add: BTreeSet::new(),
            storages_remove: BTreeSet::new(),
        })
        .unwrap();
    assert!(moved.pools[&"prod".parse().unwrap()].guests.is_empty());
    assert_eq!(guest(&moved, 104).pool.as_ref().unwrap().as_str(), "test");
    assert!(
        refused(
            &world,
            &Action::DeletePool {
                id: "prod".parse().unwrap()
            }
        )
        .contains("not empty")
    );
    let end = world
        .apply(&Action::DeletePool {
            id: "test".parse().unwrap(),
        })
        .unwrap();
    assert_eq!(end.acl.len(), 1);
    assert!(
        refused(
            &world,
            &Action::CreatePool {
                id: "no/such".parse().unwrap(),
                comment: None
            }
        )
        .contains("parent")
    );
}

#[test]
fn a_migration_takes_local_volumes_along_and_turns_replication_round() {
    let world = web().replication(104, "pve2").build();
    let migrate = |map: BTreeMap<_, _>| Action::Migrate {
        kind: GuestKind::Qemu,
        vmid: vmid(104),
        from: node("pve1"),
        to: node("pve2"),
        running: false,
        with_local_disks: true,
        target_storage: map,
    };
    let same = world.apply(&migrate(BTreeMap::new())).unwrap();
    assert_eq!(guest(&same, 104).node, node("pve2"));
    assert_eq!(value(&same, 104, "scsi0"), value(&world, 104, "scsi0"));
    assert_eq!(
        (
            free(&same, "pve1", "local-zfs"),
            free(&same, "pve2", "local-zfs")
        ),
        (536, 464)
    );
    assert_eq!(same.replication_jobs["104-0"].target, node("pve1"));
    let to_thin = migrate([(storage_id("local-zfs"), storage_id("thin"))].into());
    let thin = lab().storage("thin", "lvmthin");
    let stopped = thin.vm(104, "pve1", &[("scsi0", "local-zfs:vm-104-disk-0,size=1G")]);
    assert!(refused(&stopped.build(), &to_thin).contains("from zfspool to lvmthin"));
    // A machine that runs has its disks mirrored, to any type of storage.
    let mapped = tweak(&world, 104, |g| g.status = Status::Running);
    let mapped = mapped
        .apply(&migrate(
            [(storage_id("local-zfs"), storage_id("ceph"))].into(),
        ))
        .unwrap();
    assert!(
        value(&mapped, 104, "scsi0")
            .unwrap()
            .ends_with(",iothread=1,size=32G")
    );
    let used: BTreeSet<&str> = ["scsi0", "sata1"]
        .iter()
        .map(|s| value(&mapped, 104, s).unwrap().split(',').next().unwrap())
        .collect();
    assert_eq!(
        used,
        BTreeSet::from(["ceph:vm-104-disk-0", "ceph:vm-104-disk-1"])
    );
}

#[test]
fn target_storages_are_for_what_is_copied_and_keep_its_name() {
    let world = lab()
        .storage("files", "dir")
        .storage("thin", "lvmthin")
        .storage("thick", "lvmthin")
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "thin:vm-104-disk-3,size=1G"),
                ("scsi1", "ceph:vm-104-disk-0,size=1G"),
                ("ide2", "thin:vm-104-cloudinit,media=cdrom"),
                ("unused0", "thin:vm-104-disk-4"),
            ],
        )
        .build();
    let migrate = |to: &str| Action::Migrate {
        kind: GuestKind::Qemu,
        vmid: vmid(104),
        from: node("pve1"),
        to: node("pve2"),
        running: false,
        with_local_disks: true,
        target_storage: [
            (storage_id("thin"), storage_id(to)),
            (storage_id("ceph"), storage_id(to)),
        ]
        .into(),
    };
    let kept = world.apply(&migrate("thick")).unwrap();
    let at = |slot: &str| {
        let value = value(&kept, 104, slot).unwrap();
        value.split(',').next().unwrap().to_owned()
    };
    let slots = ["scsi0", "scsi1", "ide2", "unused0"];
    assert_eq!(
        slots.map(at),
        [
            "thick:vm-104-disk-3",
            "ceph:vm-104-disk-0",
            "thick:vm-104-cloudinit",
            "thick:vm-104-disk-4"
        ]
    );
    let files = world.apply(&migrate("files")).unwrap();
    assert_eq!(
        value(&files, 104, "scsi0"),
        Some("files:104/vm-104-disk-3.raw,size=1G")
    );
}

#[test]
fn what_was_not_read_is_not_guessed() {
    let hidden = web()
        .unreadable(Part::GuestConfig(vmid(104)), "timeout")
        .build();
    assert!(matches!(
        hidden.apply(&update(104, &[("cores", "1")], &[])),
        Err(Unpredictable::Unread { .. })
    ));
    let unlisted = web()
        .edit(|w| {
            Arc::make_mut(w.storages.get_mut(&storage_id("local-zfs")).unwrap())
                .volumes
                .clear()
        })
        .build();
    let delete = Action::DeleteVolume {
        node: node("pve1"),
        volume: volume("local-zfs:vm-104-disk-0"),
    };
    assert!(matches!(
        unlisted.apply(&delete),
        Err(Unpredictable::Unread { .. })
    ));
    assert!(matches!(
        web().build().apply(&update(999, &[], &[])),
        Err(Unpredictable::Missing(_))
    ));
}

#[test]
fn untouched_parts_are_shared() {
    let world = web()
        .vm(105, "pve1", &[("scsi0", "ceph:vm-105-disk-0")])
        .build();
    let end = world.apply(&update(104, &[("cores", "2")], &[])).unwrap();
    assert!(Arc::ptr_eq(
        &world.guests[&vmid(105)],
        &end.guests[&vmid(105)]
    ));
    assert!(
        world
            .storages
            .iter()
            .all(|(id, s)| Arc::ptr_eq(s, &end.storages[id]))
    );
    assert!(
        world
            .nodes
            .iter()
            .all(|(name, n)| Arc::ptr_eq(n, &end.nodes[name]))
    );
}

fn tweak(world: &World, number: u32, change: impl FnOnce(&mut Guest)) -> World {
    let mut world = world.clone();
    change(Arc::make_mut(world.guests.get_mut(&vmid(number)).unwrap()));
    world
}

fn put(world: &World, number: u32, key: &str, value: &str) -> World {
    tweak(world, number, |g| {
        g.config.current.insert(key.to_owned(), value.to_owned());
    })
}

#[test]
fn what_proxmox_fills_in_or_prints_anew_is_no_surprise() {
    let before = web().build();
    let action = Action::CreateGuest {
        kind: GuestKind::Qemu,
        vmid: vmid(120),
        node: node("pve1"),
        pool: None,
        params: params(&[
            ("scsi0", "ceph:32"),
            ("net0", "virtio,bridge=vmbr0"),
            ("memory", "0512"),
            ("tags", "Zeta,alpha"),
        ]),
    };
    let predicted = before.apply(&action).unwrap();
    assert!(surprises(&before, &predicted, &predicted, &action).is_empty());
    let seen = tweak(&predicted, 120, |g| {
        g.config.digest = "e".repeat(40);
        let lines = [
            ("scsi0", "ceph:vm-120-disk-3,size=32G"),
            ("net0", "virtio=BC:24:11:AA:BB:CC,bridge=vmbr0"),
            ("memory", "512"),
            ("tags", "alpha;zeta"),
            ("meta", "creation-qemu=10.1.2,ctime=1760000000"),
            ("smbios1", "uuid=6a5c1d9e-0000-4000-8000-000000000000"),
            ("vmgenid", "6a5c1d9e-0000-4000-8000-000000000001"),
        ];
        for (key, value) in lines {
            g.config.current.insert(key.to_owned(), value.to_owned());
        }
    });
    let found = surprises(&before, &predicted, &seen, &action);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn every_other_difference_is_a_surprise() {
    let before = web().build();
    let action = update(104, &[("cores", "4")], &[]);
    let predicted = before.apply(&action).unwrap();
    let lines = |seen: &World| surprises(&before, &predicted, seen, &action);
    assert!(lines(&predicted).is_empty());
    assert_eq!(
        lines(&put(&predicted, 104, "cores", "2")),
        ["vm/104 cores: `4` was predicted, `2` is"]
    );
    assert_eq!(
        lines(&put(&predicted, 104, "sockets", "2")),
        ["vm/104 sockets: nothing was predicted, `2` is"]
    );
    assert_eq!(
        lines(&put(
            &predicted,
            104,
            "scsi0",
            "ceph:vm-104-disk-0,iothread=1,size=32G"
        ))
        .len(),
        1
    );
    assert_eq!(
        lines(&put(
            &predicted,
            104,
            "scsi0",
            "local-zfs:vm-104-disk-0,size=32G"
        ))
        .len(),
        1
    );
    assert_eq!(
        lines(&put(
            &predicted,
            104,
            "net0",
            "virtio=BC:24:11:00:00:09,bridge=vmbr0"
        ))
        .len(),
        1
    );
    assert_eq!(
        lines(&tweak(&predicted, 104, |g| g.status = Status::Running)),
        ["vm/104 power: stopped was predicted, running is"]
    );
    assert_eq!(
        lines(&tweak(&predicted, 104, |g| g.node = node("pve2"))).len(),
        1
    );
    let mut gone = predicted.clone();
    gone.guests.remove(&vmid(104));
    assert_eq!(lines(&gone), ["vm/104 is not there"]);
    let pending = tweak(&predicted, 104, |g| {
        g.config.pending.push(crate::world::Pending {
            key: "memory".to_owned(),
            value: Some("9".to_owned()),
            force: false,
        });
    });
    assert_eq!(
        lines(&pending),
        ["vm/104 memory pending: nothing was predicted, `9` is"]
    );
}

#[test]
fn surprises_of_storages_and_pools() {
    let before = web().build();
    let action = Action::DeleteStorage {
        id: storage_id("ceph"),
    };
    let predicted = before.apply(&action).unwrap();
    assert!(surprises(&before, &predicted, &predicted, &action).is_empty());
    assert_eq!(
        surprises(&before, &predicted, &before, &action),
        ["storage ceph is still there"]
    );
    let action = Action::UpdateStorage {
        id: storage_id("ceph"),
        set: params(&[("content", "rootdir,images"), ("krbd", "1")]),
        delete: BTreeSet::new(),
    };
    let predicted = before.apply(&action).unwrap();
    let mut seen = predicted.clone();
    let storage = Arc::make_mut(seen.storages.get_mut(&storage_id("ceph")).unwrap());
    storage.options = Section::from([
        ("content".to_owned(), "images,rootdir".to_owned()),
        ("krbd".to_owned(), "1".to_owned()),
    ]);
    assert!(surprises(&before, &predicted, &seen, &action).is_empty());
    let storage = Arc::make_mut(seen.storages.get_mut(&storage_id("ceph")).unwrap());
    storage.options.insert("krbd".to_owned(), "0".to_owned());
    assert_eq!(
        surprises(&before, &predicted, &seen, &action),
        ["storage ceph krbd: `1` was predicted, `0` is"]
    );
    let action = Action::CreatePool {
        id: "prod".parse().unwrap(),
        comment: Some("x".to_owned()),
    };
    let predicted = before.apply(&action).unwrap();
    assert_eq!(
        surprises(&before, &predicted, &before, &action),
        ["pool prod is not there"]
    );
}

#[test]
fn a_disk_taken_out_leaves_the_boot_order_and_a_cd_drive_put_in_joins_it() {
    let detach = Action::DetachDisk {
        kind: GuestKind::Qemu,
        vmid: vmid(104),
        slot: slot("scsi0"),
        volume: volume("local-zfs:vm-104-disk-0"),
    };
    let stopped = web().build();
    let end = stopped.apply(&detach).unwrap();
    assert_eq!(value(&end, 104, "boot"), Some(" "));
    let end = stopped
        .apply(&update(104, &[("ide2", "none,media=cdrom")], &[]))
        .unwrap();
    assert_eq!(value(&end, 104, "boot"), Some("order=scsi0;ide2"));
    let running = web().running(104).build();
    let end = running.apply(&detach).unwrap();
    assert_eq!(value(&end, 104, "boot"), Some("order=scsi0"));
    assert_eq!(
        guest(&end, 104).config.next_start().get("boot"),
        Some(&" ".to_owned())
    );
}

#[test]
fn a_disk_that_waits_for_the_next_start_can_be_taken_out_again() {
    let world = web().running(104).build();
    let end = world
        .apply(&update(104, &[("sata0", "ceph:1")], &[]))
        .unwrap();
    let waiting = guest(&end, 104).config.next_start()["sata0"].clone();
    let made = waiting.split(',').next().unwrap().to_owned();
    let end = end
        .apply(&Action::DetachDisk {
            kind: GuestKind::Qemu,
            vmid: vmid(104),
            slot: slot("sata0"),
            volume: volume(&made),
        })
        .unwrap();
    assert!(guest(&end, 104).config.pending.is_empty());
    assert_eq!(value(&end, 104, "unused0"), Some(made.as_str()));
}
