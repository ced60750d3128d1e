//! G1 to G9, as far as they are facts of health.

use super::{after, between, delete, lab, line, set};
use crate::health::{Category, Entity, Facet, Grade, completeness_needed, evaluate, summary};
use crate::ids::GuestKind;
use crate::world::testing::{large, node, storage_id, vmid};
use crate::world::{Action, Param, Part};

fn vm104() -> crate::world::testing::Builder {
    lab().vm(
        104,
        "pve1",
        &[("scsi0", "ceph:vm-104-disk-0"), ("boot", "order=scsi0")],
    )
}

#[test]
fn g1_an_unreadable_configuration_is_unknown_and_named_where_it_matters() {
    let world = vm104()
        .vm(105, "pve1", &[("scsi0", "local-zfs:vm-105-disk-0")])
        .unreadable(Part::GuestConfig(vmid(105)), "node pve1 did not answer")
        .build();
    let health = evaluate(&world);
    let state = health
        .get(&(Entity::Guest(GuestKind::Qemu, vmid(105)), Facet::Boots))
        .unwrap();
    assert_eq!(
        (state.grade, state.category, state.rule),
        (Grade::Unknown, Some(Category::Unknown), "G1")
    );
    let end = world.apply(&delete("local-zfs")).unwrap();
    let gaps = completeness_needed(&world, &end);
    let gap = gaps.first().unwrap();
    assert_eq!(gaps.len(), 1);
    assert_eq!(gap.entity.to_string(), "vm/105");
    assert_eq!(gap.part, Part::GuestConfig(vmid(105)));
    assert_eq!(gap.why, "node pve1 did not answer");
}

#[test]
fn g1_unreadable_storages_are_unknown_and_not_gone() {
    let world = vm104()
        .unreadable(Part::Storages, "permission check failed")
        .edit(|w| w.storages.clear())
        .build();
    let health = evaluate(&world);
    let state = health
        .get(&(Entity::Guest(GuestKind::Qemu, vmid(104)), Facet::Boots))
        .unwrap();
    assert_eq!(state.grade, Grade::Unknown);
}

#[test]
fn g1_a_backup_that_may_lie_where_nobody_could_look_is_unknown() {
    let world = vm104()
        .storage("tank", "pbs")
        .backup("pve1", "nas", 104)
        .unreadable(
            Part::StorageContent(node("pve1"), storage_id("tank")),
            "timeout",
        )
        .build();
    assert_eq!(
        after(&world, &delete("nas")),
        [
            "vm/104 unknown (the content of storage tank on node pve1 could not be read, and no other backup is known)"
        ]
    );
}

#[test]
fn g1_what_was_unknown_and_is_lost_now_is_told() {
    let world = vm104()
        .unreadable(
            Part::StorageContent(node("pve1"), storage_id("ceph")),
            "timeout",
        )
        .build();
    assert_eq!(
        after(&world, &delete("ceph")),
        ["vm/104 won't-boot (only copy: scsi0 on ceph)"]
    );
}

#[test]
fn g2_an_empty_list_from_a_token_without_privileges_is_a_gap() {
    let world = vm104()
        .unreadable(Part::BackupJobs, "the token lacks Sys.Audit on /")
        .unreadable(Part::Acl, "the token lacks Sys.Audit on /access")
        .build();
    let end = world.apply(&delete("nas")).unwrap();
    let parts: Vec<Part> = completeness_needed(&world, &end)
        .into_iter()
        .map(|g| g.part)
        .collect();
    assert_eq!(parts, [Part::BackupJobs, Part::Acl]);
}

#[test]
fn g3_an_empty_configuration_counts_as_unreadable() {
    let world = vm104()
        .edit(|w| {
            std::sync::Arc::make_mut(w.guests.get_mut(&vmid(104)).unwrap())
                .config
                .current
                .clear()
        })
        .build();
    let health = evaluate(&world);
    let state = health
        .get(&(Entity::Guest(GuestKind::Qemu, vmid(104)), Facet::Boots))
        .unwrap();
    assert_eq!(state.grade, Grade::Unknown);
    let end = world.apply(&delete("nas")).unwrap();
    assert_eq!(completeness_needed(&world, &end).len(), 1);
}

#[test]
fn g4_nothing_is_missing_when_everything_was_read_or_does_not_matter() {
    let world = vm104().build();
    let end = world.apply(&delete("local-zfs")).unwrap();
    assert!(completeness_needed(&world, &end).is_empty());
    let hidden = vm104()
        .unreadable(Part::GuestConfig(vmid(104)), "timeout")
        .build();
    let end = hidden
        .apply(&Action::CreatePool {
            id: "prod".parse().unwrap(),
            comment: None,
        })
        .unwrap();
    assert!(completeness_needed(&hidden, &end).is_empty());
}

#[test]
fn g5_the_worlds_in_between_are_judged_too() {
    let world = vm104().build();
    let disabled = world.apply(&set("ceph", &[("disable", "1")])).unwrap();
    let enabled = disabled.apply(&set("ceph", &[("disable", "0")])).unwrap();
    assert!(!between(&world, &disabled).is_empty());
    assert!(between(&world, &enabled).is_empty());
    assert!(between(&disabled, &enabled).is_empty());
}

#[test]
fn g6_current_pending_and_snapshots_are_looked_at() {
    let world = vm104()
        .pending(104, "scsi1", Some("local-zfs:vm-104-disk-7,size=1G"))
        .volume(
            "pve1",
            "local-zfs:vm-104-disk-7",
            "images",
            1 << 30,
            Some(104),
        )
        .volume(
            "pve1",
            "nas:104/vm-104-disk-3.raw",
            "images",
            1 << 30,
            Some(104),
        )
        .snapshot(104, "before", &[("scsi2", "nas:104/vm-104-disk-3.raw")])
        .build();
    assert_eq!(
        after(&world, &delete("local-zfs")),
        ["vm/104 degraded (data volume scsi1 on local-zfs)"]
    );
    assert_eq!(
        after(&world, &delete("nas")),
        ["vm/104 data-lost (snapshot before: scsi2 on nas)"]
    );
    // A slot that is pending to lose its volume still has it now.
    let world = vm104()
        .vm(
            105,
            "pve1",
            &[
                ("scsi0", "ceph:vm-105-disk-0"),
                ("sata1", "local-zfs:vm-105-disk-0"),
                ("boot", "order=scsi0"),
            ],
        )
        .pending(105, "sata1", None)
        .build();
    assert_eq!(
        after(&world, &delete("local-zfs")),
        ["vm/105 degraded (data volume sata1 on local-zfs)"]
    );
}

#[test]
fn g7_pending_changes_of_others_come_with_a_start() {
    let world = vm104()
        .pending(104, "scsi0", Some("local-zfs:vm-104-disk-5"))
        .volume(
            "pve1",
            "local-zfs:vm-104-disk-5",
            "images",
            1 << 30,
            Some(104),
        )
        .build();
    let health = evaluate(&world);
    let key = (
        Entity::Guest(GuestKind::Qemu, vmid(104)),
        Facet::Pending("scsi0".to_owned()),
    );
    assert!(health.contains_key(&key));
    let started = world
        .apply(&Action::SetPower {
            kind: GuestKind::Qemu,
            vmid: vmid(104),
            power: crate::world::PowerAction::Start,
        })
        .unwrap();
    assert!(!evaluate(&started).contains_key(&key));
    let guest = started.guests.get(&vmid(104)).unwrap();
    assert_eq!(
        guest.config.current.get("scsi0").unwrap(),
        "local-zfs:vm-104-disk-5"
    );
    assert_eq!(
        guest.config.current.get("unused0").unwrap(),
        "ceph:vm-104-disk-0"
    );
}

#[test]
fn g8_a_change_that_does_nothing_is_no_change() {
    let world = vm104().build();
    let action = Action::UpdateConfig {
        kind: GuestKind::Qemu,
        vmid: vmid(104),
        set: [("memory".to_owned(), Param::Plain("1024".to_owned()))].into(),
        delete: Default::default(),
    };
    assert_eq!(evaluate(&world.apply(&action).unwrap()), evaluate(&world));
    let same = set("local-zfs", &[("content", "rootdir,images")]);
    assert_eq!(evaluate(&world.apply(&same).unwrap()), evaluate(&world));
}

#[test]
fn g9_every_affected_guest_is_named() {
    let world = large(1000);
    let end = world.apply(&delete("local-zfs")).unwrap();
    let worse = summary(&evaluate(&world), &evaluate(&end));
    let named: std::collections::BTreeSet<String> =
        worse.iter().map(|w| w.entity.to_string()).collect();
    let expected: Vec<String> = world
        .guests
        .values()
        .filter(|g| g.config.current.values().any(|v| v.contains("local-zfs:")))
        .map(|g| g.entity())
        .collect();
    assert!(expected.len() > 630);
    assert!(expected.iter().all(|entity| named.contains(entity)));
    assert_eq!(
        named.len(),
        expected.len(),
        "{:?}",
        worse.iter().map(line).next()
    );
}
