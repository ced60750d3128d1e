//! Laws over random worlds and random actions.

use proptest::prelude::*;

use crate::health::{Entity, advance, evaluate, reevaluate};
use crate::ids::{Bytes, GuestKind};
use crate::world::testing::{Builder, node, storage_id, vmid};
use crate::world::views;
use crate::world::{Action, Param, Part, PowerAction, World};

const NODES: [&str; 3] = ["pve1", "pve2", "pve3"];
const STORAGES: [&str; 5] = ["local", "local-zfs", "ceph", "nas", "thin"];

type GuestSeed = (bool, usize, usize, Option<usize>, u16);
type ActionSeed = (u8, usize, usize, u8);

fn guests() -> impl Strategy<Value = Vec<GuestSeed>> {
    let guest = (
        any::<bool>(),
        0..NODES.len(),
        0..STORAGES.len(),
        proptest::option::of(0..STORAGES.len()),
        any::<u16>(),
    );
    proptest::collection::vec(guest, 1..8)
}

fn actions() -> impl Strategy<Value = Vec<ActionSeed>> {
    proptest::collection::vec((0..20_u8, 0..8_usize, 0..8_usize, any::<u8>()), 1..6)
}

fn build(seeds: &[GuestSeed]) -> World {
    let mut builder = Builder::new(&NODES)
        .storage("local", "dir")
        .storage("local-zfs", "zfspool")
        .storage("ceph", "rbd")
        .storage("nas", "nfs")
        .storage("thin", "lvmthin");
    let mut pool = Vec::new();
    for (index, (container, on, system, data, flags)) in seeds.iter().enumerate() {
        let number = 100 + u32::try_from(index).unwrap();
        let flag = |bit: u16| flags & (1 << bit) != 0;
        let file = |s: usize, n: u32| match STORAGES[s] {
            s @ ("local" | "nas") => format!("{s}:{number}/vm-{number}-disk-{n}.raw"),
            s => format!("{s}:vm-{number}-disk-{n}"),
        };
        let first = format!("{},size=8G", file(*system, 0));
        let second = data.map(|s| format!("{},mp=/srv,size=4G", file(s, 1)));
        let net = if flag(0) {
            "virtio=BC:24:11:00:00:01,bridge=vmbr0"
        } else {
            "virtio=BC:24:11:00:00:01,bridge=vmbr9"
        };
        let (root, extra) = if *container {
            ("rootfs", "mp0")
        } else {
            ("scsi0", "scsi1")
        };
        let mut lines = vec![(root, first.as_str())];
        if let Some(second) = &second {
            lines.push((extra, second));
        }
        if flag(1) && !container {
            lines.push(("boot", "order=scsi0"));
        }
        if flag(2) {
            lines.push(("net0", net));
        }
        if flag(3) && !container {
            lines.push(("ide2", "nas:iso/debian.iso,media=cdrom"));
        }
        let kind = if *container {
            GuestKind::Lxc
        } else {
            GuestKind::Qemu
        };
        builder = builder.guest(kind, number, NODES[*on], &lines);
        if flag(4) {
            builder = builder.running(number);
        }
        if flag(5) {
            builder = builder.snapshot(number, "snap", &[(root, first.as_str())]);
        }
        if flag(6) {
            builder = builder.backup(NODES[*on], if flag(7) { "nas" } else { "local" }, number);
        }
        if flag(8) {
            builder = builder.ha(number, "started");
        }
        if flag(9) {
            builder = builder.replication(number, NODES[(on + 1) % NODES.len()]);
        }
        if flag(10) {
            builder = builder.acl(&format!("/vms/{number}"), "ops@pve", "PVEVMUser");
        }
        if flag(11) {
            builder = builder.unreadable(Part::GuestConfig(vmid(number)), "timeout");
        }
        if flag(12) {
            pool.push(number);
        }
        if flag(13) {
            builder = builder.pending(number, "cores", Some("4"));
        }
    }
    builder = builder
        .pool("prod", &pool, &["nas"])
        .backup_job("nightly", "nas", &[100, 101]);
    builder = builder.acl("/storage/nas", "ops@pve", "PVEDatastoreUser");
    builder.build()
}

fn set(lines: &[(&str, String)]) -> std::collections::BTreeMap<String, Param> {
    lines
        .iter()
        .map(|(k, v)| ((*k).to_owned(), Param::Plain(v.clone())))
        .collect()
}

fn action(world: &World, seed: ActionSeed) -> Option<Action> {
    let (which, a, b, c) = seed;
    let id = storage_id(STORAGES[a % STORAGES.len()]);
    let other = storage_id(STORAGES[b % STORAGES.len()]);
    let guest = world.guests.values().nth(a % world.guests.len().max(1));
    let (kind, number) = guest.map(|g| (g.kind, g.vmid))?;
    let guest = guest?;
    let disk = views::disks(kind, &guest.config.current)
        .into_iter()
        .filter(|d| d.source.data().is_some())
        .nth(b % 2);
    let slot = disk.as_ref().map(|d| d.slot.clone());
    let held = disk.as_ref().and_then(|d| d.source.data().cloned());
    Some(match which {
        0 => Action::DeleteStorage { id },
        1 => Action::UpdateStorage {
            id,
            set: set(&[("disable", (c % 2).to_string())]),
            delete: Default::default(),
        },
        2 => Action::UpdateStorage {
            id,
            set: set(&[("nodes", NODES[b % 3].to_owned())]),
            delete: Default::default(),
        },
        3 => {
            let content = [
                "images",
                "rootdir",
                "backup,iso",
                "images,rootdir,backup,iso",
            ][usize::from(c) % 4];
            Action::UpdateStorage {
                id,
                set: set(&[("content", content.to_owned())]),
                delete: Default::default(),
            }
        }
        4 => Action::UpdateStorage {
            id,
            set: set(&[("server", "10.0.0.9".to_owned())]),
            delete: Default::default(),
        },
        5 => Action::MoveDisk {
            kind,
            vmid: number,
            slot: slot?,
            volume: held?,
            to: other,
            format: None,
        },
        6 => Action::DetachDisk {
            kind,
            vmid: number,
            slot: slot?,
            volume: held?,
        },
        7 => {
            let unused = views::disks(kind, &guest.config.current)
                .into_iter()
                .find(views::Disk::unused)?;
            Action::FreeDisk {
                kind,
                vmid: number,
                volume: unused.source.volume()?.clone(),
                slot: unused.slot,
            }
        }
        8 => Action::DestroyGuest {
            kind,
            vmid: number,
            purge: c % 2 == 0,
        },
        9 => Action::SetPower {
            kind,
            vmid: number,
            power: PowerAction::Stop,
        },
        10 => Action::SetPower {
            kind,
            vmid: number,
            power: PowerAction::Start,
        },
        11 => Action::UpdateConfig {
            kind,
            vmid: number,
            set: set(&[
                ("cores", (1 + c % 4).to_string()),
                ("memory", (512 * (1 + u32::from(c))).to_string()),
            ]),
            delete: Default::default(),
        },
        12 => Action::Migrate {
            kind,
            vmid: number,
            from: guest.node.clone(),
            to: node(NODES[b % 3]),
            running: false,
            with_local_disks: c % 2 == 0,
            target_storage: Default::default(),
        },
        13 => {
            let listed = world.storages.get(&id)?;
            let (on, volumes) = listed.volumes.iter().nth(b % 3)?;
            Action::DeleteVolume {
                node: on.clone(),
                volume: volumes.keys().nth(usize::from(c) % 3)?.clone(),
            }
        }
        14 => Action::UpdatePool {
            id: "prod".parse().unwrap(),
            comment: None,
            guests_add: [number].into(),
            guests_remove: Default::default(),
            storages_add: Default::default(),
            storages_remove: Default::default(),
        },
        15 => Action::RemoveHaResource { kind, vmid: number },
        16 => Action::SetHaState {
            kind,
            vmid: number,
            state: "stopped".to_owned(),
            before: "started".to_owned(),
        },
        17 => Action::ResizeDisk {
            kind,
            vmid: number,
            slot: slot?,
            from: Bytes(8 << 30),
            to: Bytes((8 + u64::from(c)) << 30),
        },
        18 => Action::CreateGuest {
            kind: GuestKind::Qemu,
            vmid: vmid(200 + u32::from(c % 4)),
            node: node(NODES[b % 3]),
            pool: None,
            params: set(&[("memory", "512".to_owned()), ("scsi0", format!("{id}:8"))]),
        },
        _ => Action::CreateStorage {
            id: storage_id("fresh"),
            storage_type: "nfs".to_owned(),
            params: set(&[
                ("server", "10.0.0.1".to_owned()),
                ("content", "images,backup".to_owned()),
            ]),
        },
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn incremental_health_equals_whole_health(seeds in guests(), acts in actions()) {
        let first = build(&seeds);
        let mut world = first.clone();
        let mut health = evaluate(&world);
        for seed in acts {
            let Some(action) = action(&world, seed) else { continue };
            let Ok(next) = world.apply(&action) else { continue };
            let again = world.apply(&action).unwrap();
            prop_assert_eq!(&again, &next, "apply is not deterministic");
            let before = health.clone();
            let changed = advance(&mut health, &world, &next);
            prop_assert_eq!(&health, &evaluate(&next), "after {:?}", action);
            for (key, was) in changed {
                prop_assert_eq!(before.get(&key), was.as_ref(), "old state of {:?}", key);
            }
            world = next;
        }
        prop_assert_eq!(reevaluate(&evaluate(&first), &first, &world), health);
    }

    #[test]
    fn a_world_that_did_not_change_changes_no_health(seeds in guests()) {
        let world = build(&seeds);
        let mut health = evaluate(&world);
        prop_assert!(advance(&mut health, &world, &world.clone()).is_empty());
        prop_assert_eq!(health, evaluate(&world));
    }

    #[test]
    fn an_unrelated_guest_changes_nobody_elses_health(seeds in guests()) {
        let world = build(&seeds);
        let create = Action::CreateGuest {
            kind: GuestKind::Qemu,
            vmid: vmid(900),
            node: node("pve1"),
            pool: None,
            params: set(&[("memory", "512".to_owned()), ("scsi0", "ceph:1".to_owned())]),
        };
        let after = evaluate(&world.apply(&create).unwrap());
        let before = evaluate(&world);
        let others: crate::health::Health =
            after.into_iter().filter(|((e, _), _)| *e != Entity::Guest(GuestKind::Qemu, vmid(900))).collect();
        prop_assert_eq!(others, before);
    }

    #[test]
    fn free_space_never_exceeds_the_total(seeds in guests(), acts in actions()) {
        let mut world = build(&seeds);
        for seed in acts {
            if let Some(next) = action(&world, seed).and_then(|a| world.apply(&a).ok()) {
                world = next;
            }
        }
        for space in world.nodes.values().flat_map(|n| n.storages.values()) {
            prop_assert!(space.available <= space.total);
        }
    }
}
