//! ST01 to ST14, as far as they are facts of health.

use super::{after, between, delete, lab, set};
use crate::health::{Category, Entity, Grade, fit, notes, tenants};
use crate::ids::{Bytes, GuestKind, Slot};
use crate::world::testing::{node, storage_id, vmid, volume};
use crate::world::{Action, Part, Status};

#[test]
fn st01_fires_for_every_guest_on_a_deleted_storage() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "local-zfs:vm-104-disk-0,size=32G"),
                ("scsi1", "ceph:vm-104-disk-0,size=9G"),
                ("boot", "order=scsi0"),
            ],
        )
        .vm(
            210,
            "pve2",
            &[
                ("scsi0", "local-zfs:vm-210-disk-0,size=32G"),
                ("boot", "order=scsi0;net0"),
            ],
        )
        .ct(
            301,
            "pve1",
            &[
                ("rootfs", "ceph:vm-301-disk-0,size=8G"),
                ("mp1", "local-zfs:subvol-301-disk-0,mp=/srv,size=8G"),
            ],
        )
        .ct(
            302,
            "pve3",
            &[
                ("rootfs", "ceph:vm-302-disk-0,size=8G"),
                ("mp0", "local-zfs:subvol-302-disk-0,mp=/a,size=8G"),
                ("mp1", "local-zfs:subvol-302-disk-1,mp=/b,size=8G"),
            ],
        )
        .vm(
            400,
            "pve1",
            &[
                ("scsi0", "ceph:vm-400-disk-0"),
                ("efidisk0", "local-zfs:vm-400-disk-1"),
                ("boot", "order=scsi0"),
            ],
        )
        .vm(
            401,
            "pve1",
            &[
                ("scsi0", "ceph:vm-401-disk-0"),
                ("tpmstate0", "local-zfs:vm-401-disk-1"),
                ("boot", "order=scsi0"),
            ],
        )
        .vm(
            402,
            "pve1",
            &[
                ("scsi0", "ceph:vm-402-disk-0"),
                ("scsi1", "local-zfs:vm-402-disk-1"),
            ],
        )
        .vm(
            403,
            "pve1",
            &[
                ("scsi0", "ceph:vm-403-disk-0"),
                ("unused0", "local-zfs:vm-403-disk-1"),
                ("boot", "order=scsi0"),
            ],
        )
        .vm(
            404,
            "pve1",
            &[("scsi0", "ceph:vm-404-disk-0"), ("boot", "order=scsi0")],
        )
        .build();
    assert_eq!(
        after(&world, &delete("local-zfs")),
        [
            "vm/104 won't-boot (boot disk scsi0 on local-zfs)",
            "vm/210 won't-boot (only copy: scsi0 on local-zfs)",
            "vm/400 won't-boot (EFI variables efidisk0 on local-zfs)",
            "vm/401 won't-boot (TPM state tpmstate0 on local-zfs)",
            "vm/402 may-not-boot (data volume scsi1 on local-zfs; nothing says which disk it boots from)",
            "vm/403 degraded (unused volume unused0 on local-zfs)",
            "ct/301 degraded (data volume mp1 on local-zfs)",
            "ct/302 degraded (data volumes mp0, mp1 on local-zfs)",
        ]
    );
}

#[test]
fn st01_silent_for_guests_elsewhere_and_for_an_unused_storage() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[("scsi0", "ceph:vm-104-disk-0"), ("boot", "order=scsi0")],
        )
        .build();
    assert!(after(&world, &delete("local-zfs")).is_empty());
}

#[test]
fn st01_fires_when_a_storage_is_disabled() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "local-zfs:vm-104-disk-0"),
                ("boot", "order=scsi0"),
            ],
        )
        .build();
    assert_eq!(
        after(&world, &set("local-zfs", &[("disable", "1")])),
        [
            "vm/104 won't-boot (only copy: scsi0 on local-zfs, which is disabled)",
            "storage/local-zfs degraded (local-zfs is disabled)"
        ]
    );
}

#[test]
fn st01_silent_when_the_disk_is_moved_away_first() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "local-zfs:vm-104-disk-0,size=32G"),
                ("boot", "order=scsi0"),
            ],
        )
        .build();
    let moved = world
        .apply(&move_scsi0(104, "local-zfs:vm-104-disk-0", "ceph"))
        .unwrap();
    let end = moved.apply(&delete("local-zfs")).unwrap();
    assert!(between(&world, &end).is_empty());
}

fn move_scsi0(number: u32, from: &str, to: &str) -> Action {
    Action::MoveDisk {
        kind: GuestKind::Qemu,
        vmid: vmid(number),
        slot: Slot::new("scsi0").unwrap(),
        volume: volume(from),
        to: storage_id(to),
        format: None,
    }
}

#[test]
fn st02_fires_for_running_guests_only() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "local-zfs:vm-104-disk-0"),
                ("boot", "order=scsi0"),
            ],
        )
        .running(104)
        .vm(
            105,
            "pve1",
            &[
                ("scsi0", "local-zfs:vm-105-disk-0"),
                ("boot", "order=scsi0"),
            ],
        )
        .build();
    let of = |n| {
        notes(
            &world,
            &Entity::Guest(GuestKind::Qemu, vmid(n)),
            Category::WontBoot,
        )
    };
    assert_eq!(
        of(104),
        ["keeps running until it is stopped, migrated or rebooted"]
    );
    assert!(of(105).is_empty());
}

#[test]
fn st03_fires_for_guests_on_excluded_nodes_and_is_silent_for_kept_ones() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "local-zfs:vm-104-disk-0"),
                ("boot", "order=scsi0"),
            ],
        )
        .vm(
            105,
            "pve2",
            &[
                ("scsi0", "local-zfs:vm-105-disk-0"),
                ("boot", "order=scsi0"),
            ],
        )
        .build();
    assert_eq!(
        after(&world, &set("local-zfs", &[("nodes", "pve2,pve3")])),
        ["vm/104 stranded (boot disk scsi0 on local-zfs, which node pve1 may not use)"]
    );
}

#[test]
fn st03_silent_when_the_list_is_emptied() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "local-zfs:vm-104-disk-0"),
                ("boot", "order=scsi0"),
            ],
        )
        .build();
    let narrow = world
        .apply(&set("local-zfs", &[("nodes", "pve1")]))
        .unwrap();
    let mut wide = Action::UpdateStorage {
        id: storage_id("local-zfs"),
        set: Default::default(),
        delete: Default::default(),
    };
    if let Action::UpdateStorage { delete, .. } = &mut wide {
        delete.insert("nodes".to_owned());
    }
    assert!(after(&narrow, &wide).is_empty());
}

#[test]
fn st04_fires_for_the_kind_of_guest_whose_content_type_is_dropped() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "local-zfs:vm-104-disk-0"),
                ("boot", "order=scsi0"),
            ],
        )
        .ct(301, "pve1", &[("rootfs", "local-zfs:subvol-301-disk-0")])
        .build();
    assert_eq!(
        after(&world, &set("local-zfs", &[("content", "rootdir")])),
        [
            "vm/104 won't-boot (boot disk scsi0 on local-zfs, which may not hold images: it cannot start, migrate or grow)"
        ]
    );
}

#[test]
fn st04_silent_when_a_type_nobody_uses_is_dropped_or_one_is_added() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "local-zfs:vm-104-disk-0"),
                ("boot", "order=scsi0"),
            ],
        )
        .build();
    let only_images = set("local-zfs", &[("content", "images")]);
    assert!(after(&world, &only_images).is_empty());
    let dropped = world.apply(&only_images).unwrap();
    assert!(
        after(
            &dropped,
            &set("local-zfs", &[("content", "images,rootdir")])
        )
        .is_empty()
    );
}

#[test]
fn st05_fires_for_media_snippets_and_cloud_init() {
    let world = lab()
        .volume("pve1", "nas:snippets/user.yml", "snippets", 1, None)
        .volume("pve1", "nas:snippets/hook.pl", "snippets", 1, None)
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "ceph:vm-104-disk-0"),
                ("ide2", "nas:iso/debian.iso,media=cdrom"),
                ("boot", "order=scsi0"),
            ],
        )
        .vm(
            105,
            "pve1",
            &[
                ("scsi0", "ceph:vm-105-disk-0"),
                ("cicustom", "user=nas:snippets/user.yml"),
                ("boot", "order=scsi0"),
            ],
        )
        .vm(
            106,
            "pve1",
            &[
                ("scsi0", "ceph:vm-106-disk-0"),
                ("hookscript", "nas:snippets/hook.pl"),
                ("boot", "order=scsi0"),
            ],
        )
        .vm(
            107,
            "pve1",
            &[
                ("scsi0", "ceph:vm-107-disk-0"),
                ("vmstatestorage", "nas"),
                ("boot", "order=scsi0"),
            ],
        )
        .vm(
            108,
            "pve1",
            &[
                ("scsi0", "ceph:vm-108-disk-0"),
                ("ide2", "nas:108/vm-108-cloudinit.qcow2,media=cdrom"),
                ("boot", "order=scsi0"),
            ],
        )
        .vm(
            109,
            "pve1",
            &[
                ("scsi0", "ceph:vm-109-disk-0"),
                ("ide2", "none,media=cdrom"),
                ("boot", "order=scsi0"),
            ],
        )
        .build();
    assert_eq!(
        after(&world, &delete("nas")),
        [
            "vm/104 won't-boot (ISO image ide2 on nas)",
            "vm/105 won't-boot (cicustom on nas)",
            "vm/106 won't-boot (hookscript on nas)",
            "vm/107 degraded (vmstatestorage on nas: it cannot save its memory there)",
            "vm/108 degraded (cloud-init drive ide2 on nas; until it is made anew on another storage the VM does not start)",
        ]
    );
}

#[test]
fn st05_silent_for_files_on_other_storages() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "ceph:vm-104-disk-0"),
                ("ide2", "local:iso/debian.iso,media=cdrom"),
                ("boot", "order=scsi0"),
            ],
        )
        .build();
    assert!(after(&world, &delete("nas")).is_empty());
}

#[test]
fn st06_fires_for_jobs_backups_replication_pools_and_access() {
    let world = lab()
        .storage("tank", "pbs")
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "local-zfs:vm-104-disk-0"),
                ("boot", "order=scsi0"),
            ],
        )
        .replication(104, "pve2")
        .pool("prod", &[104], &["tank", "local-zfs"])
        .acl("/storage/tank", "ops@pve", "PVEDatastoreUser")
        .backup("pve1", "tank", 104)
        .backup_job("nightly", "tank", &[104])
        .build();
    assert_eq!(
        after(&world, &delete("tank")),
        [
            "vm/104 last-copy (its only backups lie on tank)",
            "vm/104 unprotected (backup job nightly cannot work: its storage tank is gone)",
            "pool/prod degraded (its member storage/tank is removed with it)",
            "backup-job/nightly dangling (backup job nightly cannot work: its storage tank is gone)",
            "acl//storage/tank ops@pve PVEDatastoreUser loses-privilege (the entry is removed with /storage/tank)",
        ]
    );
    let lines = after(&world, &delete("local-zfs"));
    assert!(
        lines.contains(&"replication-job/104-0 unprotected (replication 104-0 cannot work: scsi0 on local-zfs)".to_owned()),
        "{lines:?}"
    );
}

#[test]
fn st06_fires_for_fleecing() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[("scsi0", "ceph:vm-104-disk-0"), ("boot", "order=scsi0")],
        )
        .backup_job("nightly", "nas", &[104])
        .edit(|world| {
            for job in world.backup_jobs.values_mut() {
                std::sync::Arc::make_mut(job).fleecing_storage = Some("local-zfs".to_owned());
            }
        })
        .build();
    assert_eq!(
        after(&world, &delete("local-zfs")),
        [
            "backup-job/nightly dangling (backup job nightly cannot work: its fleecing storage local-zfs is gone or disabled)"
        ]
    );
}

#[test]
fn st06_silent_while_another_storage_has_a_backup() {
    let world = lab()
        .storage("tank", "pbs")
        .vm(
            104,
            "pve1",
            &[("scsi0", "ceph:vm-104-disk-0"), ("boot", "order=scsi0")],
        )
        .backup("pve1", "tank", 104)
        .backup("pve1", "nas", 104)
        .build();
    assert!(after(&world, &delete("tank")).is_empty());
}

#[test]
fn st06_fires_only_for_both_when_two_storages_hold_each_others_last_backup() {
    let world = lab()
        .storage("tank", "pbs")
        .vm(
            104,
            "pve1",
            &[("scsi0", "ceph:vm-104-disk-0"), ("boot", "order=scsi0")],
        )
        .backup("pve1", "tank", 104)
        .backup("pve1", "nas", 104)
        .build();
    let one = world.apply(&delete("tank")).unwrap();
    assert!(between(&world, &one).is_empty());
    let both = one.apply(&delete("nas")).unwrap();
    assert_eq!(
        between(&world, &both),
        ["vm/104 last-copy (its only backups lie on nas, tank)"]
    );
}

#[test]
fn st06_a_storage_that_stands_on_another_is_named_and_its_deletion_refused() {
    let world = lab()
        .storage("san", "iscsi")
        .storage("vg", "lvm")
        .edit(|world| {
            let vg = std::sync::Arc::make_mut(world.storages.get_mut(&storage_id("vg")).unwrap());
            vg.options.insert("base".to_owned(), "san:lun0".to_owned());
        })
        .build();
    assert!(world.apply(&delete("san")).is_err());
    assert_eq!(
        after(&world, &set("san", &[("disable", "1")])),
        [
            "storage/san degraded (san is disabled)",
            "storage/vg dangling (vg stands on san, which is gone or disabled)"
        ]
    );
}

#[test]
fn st07_fires_for_every_clone_of_a_lost_base() {
    let world = lab()
        .vm(
            100,
            "pve1",
            &[
                ("scsi0", "local-zfs:base-100-disk-0"),
                ("template", "1"),
                ("boot", "order=scsi0"),
            ],
        )
        .vm(
            101,
            "pve1",
            &[
                ("scsi0", "local-zfs:base-100-disk-0/vm-101-disk-0"),
                ("boot", "order=scsi0"),
            ],
        )
        .vm(
            102,
            "pve1",
            &[
                ("scsi0", "local-zfs:vm-102-disk-0"),
                ("boot", "order=scsi0"),
            ],
        )
        .build();
    let mut without = world.clone();
    let zfs = std::sync::Arc::make_mut(without.storages.get_mut(&storage_id("local-zfs")).unwrap());
    let listing = std::sync::Arc::make_mut(zfs.volumes.get_mut(&node("pve1")).unwrap());
    listing
        .remove(&volume("local-zfs:base-100-disk-0"))
        .unwrap();
    let lines = between(&world, &without);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().any(|l| l.starts_with("vm/101 won't-boot")
        && l.contains("linked clone of local-zfs:base-100-disk-0")));
    // And Proxmox VE refuses to delete the base while a clone needs it.
    let delete = Action::DeleteVolume {
        node: node("pve1"),
        volume: volume("local-zfs:base-100-disk-0"),
    };
    assert!(world.apply(&delete).is_err());
}

#[test]
fn st07_says_that_lvmthin_hides_its_clones() {
    let world = lab()
        .storage("thin", "lvmthin")
        .vm(
            100,
            "pve1",
            &[("scsi0", "thin:base-100-disk-0"), ("template", "1")],
        )
        .vm(
            101,
            "pve1",
            &[("scsi0", "ceph:base-101-disk-0"), ("template", "1")],
        )
        .build();
    let of = |n| {
        notes(
            &world,
            &Entity::Guest(GuestKind::Qemu, vmid(n)),
            Category::WontBoot,
        )
    };
    assert!(of(100).iter().any(|n| n.contains("LVM-thin")));
    assert!(of(101).is_empty());
}

#[test]
fn st08_fires_for_a_volume_in_use_in_any_section_an_iso_and_a_last_backup() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "local-zfs:vm-104-disk-0"),
                ("boot", "order=scsi0"),
            ],
        )
        .snapshot(
            104,
            "before",
            &[
                ("scsi0", "local-zfs:vm-104-disk-0"),
                ("vmstate", "local-zfs:vm-104-state-before"),
            ],
        )
        .vm(
            105,
            "pve1",
            &[
                ("scsi0", "ceph:vm-105-disk-0"),
                ("ide2", "nas:iso/d.iso,media=cdrom"),
                ("boot", "order=scsi0"),
            ],
        )
        .vm(
            106,
            "pve1",
            &[("scsi0", "ceph:vm-106-disk-0"), ("boot", "order=scsi0")],
        )
        .pending(106, "scsi1", Some("ceph:vm-106-disk-1"))
        .volume("pve1", "ceph:vm-106-disk-1", "images", 1 << 30, Some(106))
        .backup("pve1", "nas", 104)
        .build();
    let delete = |text: &str| Action::DeleteVolume {
        node: node("pve1"),
        volume: volume(text),
    };
    assert_eq!(
        after(&world, &delete("local-zfs:vm-104-disk-0")),
        [
            "vm/104 won't-boot (only copy: scsi0: volume local-zfs:vm-104-disk-0 does not exist)",
            "vm/104 data-lost (snapshot before: scsi0: volume local-zfs:vm-104-disk-0 does not exist)",
        ]
    );
    assert_eq!(
        after(&world, &delete("local-zfs:vm-104-state-before")),
        [
            "vm/104 data-lost (snapshot before: vmstate: volume local-zfs:vm-104-state-before does not exist)"
        ]
    );
    assert_eq!(
        after(&world, &delete("nas:iso/d.iso")),
        ["vm/105 won't-boot (ISO image ide2: volume nas:iso/d.iso does not exist)"]
    );
    assert_eq!(
        after(&world, &delete("ceph:vm-106-disk-1")),
        ["vm/106 data-lost (data volume scsi1: volume ceph:vm-106-disk-1 does not exist)"]
    );
    assert_eq!(
        after(
            &world,
            &delete("nas:backup/vzdump-qemu-104-2026_11_01-01_00_00.vma.zst")
        ),
        ["vm/104 last-copy (its only backups lie on nas)"]
    );
}

#[test]
fn st08_silent_for_a_volume_nobody_uses() {
    let world = lab()
        .volume(
            "pve1",
            "local-zfs:vm-999-disk-0",
            "images",
            1 << 30,
            Some(999),
        )
        .vm(
            99_999,
            "pve1",
            &[
                ("scsi0", "local-zfs:vm-99999-disk-0"),
                ("boot", "order=scsi0"),
            ],
        )
        .build();
    let delete = Action::DeleteVolume {
        node: node("pve1"),
        volume: volume("local-zfs:vm-999-disk-0"),
    };
    assert!(after(&world, &delete).is_empty());
}

#[test]
fn st09_fires_when_a_move_does_not_fit_gets_tight_or_has_no_size() {
    let build = |size: &str| {
        let disk = format!("local-zfs:vm-104-disk-0{size}");
        lab()
            .vm(
                104,
                "pve1",
                &[("scsi0", disk.as_str()), ("boot", "order=scsi0")],
            )
            .vm(
                105,
                "pve2",
                &[
                    ("scsi0", "ceph:vm-105-disk-0,size=8G"),
                    ("boot", "order=scsi0"),
                ],
            )
            .build()
    };
    let grade = |world: &crate::world::World| {
        fit(world, &move_scsi0(104, "local-zfs:vm-104-disk-0", "ceph"))
            .into_iter()
            .map(|(entity, state)| (entity.to_string(), state.category.unwrap(), state.grade))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        grade(&build(",size=600G")),
        [("storage/ceph".to_owned(), Category::WontFit, Grade::Lost)]
    );
    assert_eq!(
        grade(&build(",size=450G")),
        [("storage/ceph".to_owned(), Category::Tight, Grade::Impaired)]
    );
    assert!(grade(&build(",size=32G")).is_empty());
    let world = build(",size=450G");
    assert_eq!(tenants(&world, &storage_id("ceph")), ["vm/105"]);
    assert_eq!(
        notes(
            &world,
            &Entity::Storage(storage_id("ceph")),
            Category::Tight
        ),
        ["shared with vm/105"]
    );
    assert_eq!(
        after(&world, &move_scsi0(104, "local-zfs:vm-104-disk-0", "ceph")),
        ["storage/ceph tight (less than 10 GiB or 10 % stays free on ceph)"]
    );
    let mut unsized_world = build("");
    let zfs = std::sync::Arc::make_mut(
        unsized_world
            .storages
            .get_mut(&storage_id("local-zfs"))
            .unwrap(),
    );
    zfs.volumes.clear();
    assert_eq!(
        grade(&unsized_world),
        [("storage/ceph".to_owned(), Category::Unknown, Grade::Unknown)]
    );
}

#[test]
fn st09_snapshots_do_not_move() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "local-zfs:vm-104-disk-0,size=1G"),
                ("boot", "order=scsi0"),
            ],
        )
        .snapshot(
            104,
            "before",
            &[("scsi0", "local-zfs:vm-104-disk-0,size=1G")],
        )
        .build();
    assert!(
        world
            .apply(&move_scsi0(104, "local-zfs:vm-104-disk-0", "ceph"))
            .is_err()
    );
}

#[test]
fn st10_fires_when_growing_fills_a_storage_and_refuses_shrinking() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "local-zfs:vm-104-disk-0,size=32G"),
                ("boot", "order=scsi0"),
            ],
        )
        .build();
    let grow = |gib: u64| Action::ResizeDisk {
        kind: GuestKind::Qemu,
        vmid: vmid(104),
        slot: Slot::new("scsi0").unwrap(),
        from: Bytes(32 << 30),
        to: Bytes(gib << 30),
    };
    assert!(fit(&world, &grow(64)).is_empty());
    assert_eq!(
        fit(&world, &grow(600)).first().unwrap().1.category,
        Some(Category::WontFit)
    );
    assert!(world.apply(&grow(16)).is_err());
}

#[test]
fn st12_fires_when_a_storage_is_pointed_elsewhere() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "nas:104/vm-104-disk-0.raw"),
                ("boot", "order=scsi0"),
            ],
        )
        .backup("pve1", "nas", 104)
        .build();
    let lines = after(&world, &set("nas", &[("server", "10.0.0.9")]));
    assert_eq!(
        lines,
        [
            "vm/104 unknown (boot disk scsi0 on nas, whose content is not known: this plan changes where the storage is (server), and nobody knows what is there)",
            "vm/104 unknown (the content of storage nas on node pve1 could not be read, and no other backup is known)",
        ]
    );
}

#[test]
fn st12_silent_for_options_that_move_nothing() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "nas:104/vm-104-disk-0.raw"),
                ("boot", "order=scsi0"),
            ],
        )
        .build();
    assert!(after(&world, &set("nas", &[("prune-backups", "keep-last=3")])).is_empty());
}

#[test]
fn st13_detaching_keeps_the_volume_and_freeing_loses_it() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "ceph:vm-104-disk-0"),
                ("scsi1", "ceph:vm-104-disk-1"),
                ("boot", "order=scsi0"),
            ],
        )
        .vm(
            105,
            "pve1",
            &[
                ("scsi0", "ceph:vm-105-disk-0"),
                ("scsi1", "ceph:vm-104-disk-1"),
                ("boot", "order=scsi0"),
            ],
        )
        .build();
    let detach = Action::DetachDisk {
        kind: GuestKind::Qemu,
        vmid: vmid(104),
        slot: Slot::new("scsi1").unwrap(),
        volume: volume("ceph:vm-104-disk-1"),
    };
    assert!(after(&world, &detach).is_empty());
    let detached = world.apply(&detach).unwrap();
    let free = Action::FreeDisk {
        kind: GuestKind::Qemu,
        vmid: vmid(104),
        slot: Slot::new("unused0").unwrap(),
        volume: volume("ceph:vm-104-disk-1"),
    };
    assert_eq!(
        after(&detached, &free),
        ["vm/105 data-lost (data volume scsi1: volume ceph:vm-104-disk-1 does not exist)"]
    );
}

#[test]
fn st14_fires_when_a_local_type_is_called_shared() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "local:104/vm-104-disk-0.raw"),
                ("boot", "order=scsi0"),
            ],
        )
        .build();
    let lines = after(&world, &set("local", &[("shared", "1")]));
    assert!(
        lines
            .iter()
            .any(|l| l.starts_with("vm/104 degraded (scsi0 on local, which is marked shared")),
        "{lines:?}"
    );
}

#[test]
fn st14_silent_for_a_guest_elsewhere() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[("scsi0", "ceph:vm-104-disk-0"), ("boot", "order=scsi0")],
        )
        .build();
    assert!(after(&world, &set("local", &[("shared", "1")])).is_empty());
}

#[test]
fn st02_an_unknown_status_is_said() {
    let world = lab()
        .vm(104, "pve1", &[("scsi0", "local-zfs:vm-104-disk-0")])
        .edit(|w| {
            std::sync::Arc::make_mut(w.guests.get_mut(&vmid(104)).unwrap()).status = Status::Unknown
        })
        .unreadable(Part::NodeStatus(node("pve1")), "offline")
        .build();
    let lines = notes(
        &world,
        &Entity::Guest(GuestKind::Qemu, vmid(104)),
        Category::WontBoot,
    );
    assert_eq!(lines, ["whether it runs now is not known"]);
}

#[test]
fn st01_fires_when_a_disabled_storage_is_deleted() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "local-zfs:vm-104-disk-0"),
                ("boot", "order=scsi0"),
            ],
        )
        .build();
    let disabled = world.apply(&set("local-zfs", &[("disable", "1")])).unwrap();
    assert_eq!(
        after(&disabled, &delete("local-zfs")),
        ["vm/104 won't-boot (only copy: scsi0 on local-zfs)"]
    );
    let gone = disabled.apply(&delete("local-zfs")).unwrap();
    assert!(after(&gone, &delete("nas")).is_empty());
}

#[test]
fn st13_freeing_without_a_listing_is_not_silent() {
    let world = lab()
        .vm(
            104,
            "pve1",
            &[
                ("scsi0", "ceph:vm-104-disk-0"),
                ("unused0", "nas:104/vm-104-disk-1.raw"),
                ("boot", "order=scsi0"),
            ],
        )
        .unreadable(
            Part::StorageContent(node("pve1"), storage_id("nas")),
            "timeout",
        )
        .edit(|w| {
            std::sync::Arc::make_mut(w.storages.get_mut(&storage_id("nas")).unwrap())
                .volumes
                .clear()
        })
        .build();
    let free = Action::FreeDisk {
        kind: GuestKind::Qemu,
        vmid: vmid(104),
        slot: Slot::new("unused0").unwrap(),
        volume: volume("nas:104/vm-104-disk-1.raw"),
    };
    let end = world.apply(&free).unwrap();
    let gaps = crate::health::completeness_needed(&world, &end);
    assert!(
        gaps.iter()
            .any(|g| matches!(g.part, Part::StorageContent(..))),
        "{gaps:?}"
    );
}
