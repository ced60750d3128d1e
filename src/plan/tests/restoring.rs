//! Guests from a backup: from documents to steps.

use super::fixture::*;
use crate::document::desired::{DesiredGuest, DesiredRestore, Power, Wish};
use crate::health::Category;
use crate::ids::GuestKind;
use crate::plan::{Inverse, Precondition, backups_wanted};
use crate::world::{Action, Part, Status};

const VM: &str = "nas:backup/vzdump-qemu-104-2026_11_01-03_00_00.vma.zst";
const CT: &str = "nas:backup/vzdump-lxc-301-2026_11_01-03_00_00.tar.zst";

const WEB: &[(&str, &str)] = &[
    ("boot", "order=scsi0"),
    ("cores", "2"),
    ("memory", "2048"),
    ("name", "web-4"),
    ("net0", "virtio=BC:24:11:00:01:04,bridge=vmbr0"),
    ("onboot", "1"),
    ("scsi0", "local-zfs:vm-104-disk-0,size=32G"),
    ("scsi1", "ceph-vm:vm-104-disk-1,size=100G"),
    ("smbios1", "uuid=00000000-0000-0000-0000-000000000104"),
    ("vmgenid", "0b0e0c2c-0000-0000-0000-000000000104"),
];

const FILES: &[(&str, &str)] = &[
    ("hostname", "files"),
    ("memory", "1024"),
    ("mp1", "local-zfs:subvol-301-disk-1,mp=/srv,size=200G"),
    (
        "net0",
        "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:03:01,ip=10.0.0.31/24,type=veth",
    ),
    ("rootfs", "ceph-vm:vm-301-disk-0,size=8G"),
    ("unprivileged", "1"),
];

fn lab() -> Lab {
    let mut lab = Lab::new();
    lab.backup("pve1", VM, 104, WEB);
    lab.backup("pve1", CT, 301, FILES);
    lab
}

fn from(name: &str) -> DesiredRestore {
    DesiredRestore {
        volume: volume(name),
        storage: Some(storage_id("ceph-vm")),
        unique: true,
    }
}

fn restored(number: u32, from: DesiredRestore) -> DesiredGuest {
    let kind = match from.volume.name().contains("lxc") {
        true => GuestKind::Lxc,
        false => GuestKind::Qemu,
    };
    DesiredGuest {
        restore_from: Some(from),
        node: Some(node("pve1")),
        ..guest(kind, Some(number), "again")
    }
}

#[test]
fn a_restore_is_one_step_and_what_its_document_says_otherwise_are_more() {
    let lab = lab();
    let again = DesiredGuest {
        node: Some(node("pve2")),
        pool: Some(Wish::Set(pool_id("prod"))),
        power: Some(Power::Running),
        ..restored(901, from(VM))
    };
    let again = with_disk(set(again, "memory", "4096"), "scsi0", sized("ceph-vm", 40));
    let plan = lab.plan(vec![doc(set(again, "name", "web-5"))]);
    assert_eq!(
        titles(&plan),
        [
            &*format!("restore vm/901 web-4 from {VM} on pve2"),
            "set vm/901 memory 2048 → 4096, name web-4 → web-5",
            "grow vm/901 scsi0 32 GiB → 40 GiB",
            "start vm/901",
        ]
    );
    assert!(
        matches!(&plan.steps[0].inverse, Inverse::Actions { actions, .. }
        if matches!(actions[..], [Action::DestroyGuest { vmid, .. }] if vmid.get() == 901))
    );
    assert_eq!(
        plan.steps[0].preconditions,
        [
            Precondition::GuestAbsent { vmid: vmid(901) },
            Precondition::VolumeIs {
                node: node("pve2"),
                volume: volume(VM),
                created: Some(1_690_000_000),
            },
        ]
    );
    let made = &lab.after(&plan).guests[&vmid(901)];
    assert_eq!(made.status, Status::Running);
    assert_eq!(made.pool, Some(pool_id("prod")));
    assert_eq!(made.config.current["net0"], "virtio,bridge=vmbr0");
    assert!(!made.config.current.contains_key("smbios1"));
    assert_eq!(
        made.config.current["scsi1"],
        "ceph-vm:vm-901-disk-1,size=100G"
    );
}

#[test]
fn what_it_is_as_of_and_what_people_forget_is_said() {
    let plan = lab().plan(vec![doc(restored(901, from(VM)))]);
    assert_eq!(
        plan.steps[0].notes,
        [
            "everything in it is as of 2023-07-22T04:26:40Z",
            "it takes over onboot"
        ]
    );
    let mut files = from(CT);
    files.storage = Some(storage_id("ceph-vm"));
    let plan = lab().plan(vec![doc(restored(901, files))]);
    assert!(
        plan.steps[0]
            .notes
            .contains(&"mp1 is not in the backup and comes back empty".to_owned()),
        "{:?}",
        plan.steps[0].notes
    );
}

#[test]
fn a_guest_that_is_there_is_never_restored_and_its_backup_not_even_read() {
    let lab = lab();
    let there = doc(restored(105, from("nas:backup/vzdump-qemu-999-x.vma.zst")));
    let plan = lab.plan(vec![there.clone()]);
    assert!(
        plan.steps
            .iter()
            .all(|step| !matches!(step.action, Action::RestoreGuest { .. }))
    );
    assert!(backups_wanted(&[there], &lab.ownership, &lab.world).is_empty());
}

#[test]
fn only_the_backups_of_guests_that_are_missing_are_read() {
    let lab = lab();
    let items = [doc(restored(901, from(VM))), doc(restored(104, from(VM)))];
    let wanted: Vec<_> = backups_wanted(&items, &lab.ownership, &lab.world)
        .into_iter()
        .collect();
    assert_eq!(wanted, [(node("pve1"), volume(VM))]);
}

#[test]
fn a_guest_that_is_gone_comes_back_under_its_own_number_as_it_was() {
    let mut lab = lab();
    lab.own("vm/104", "VirtualMachine/104");
    lab.world.guests.remove(&vmid(104));
    let same = DesiredRestore {
        storage: None,
        unique: false,
        ..from(VM)
    };
    let plan = lab.plan(vec![doc(restored(104, same))]);
    assert_eq!(
        titles(&plan),
        [format!("restore vm/104 web-4 from {VM} on pve1")]
    );
    assert!(
        plan.notes
            .iter()
            .any(|note| note.contains("will be restored from"))
    );
    let made = &lab.after(&plan).guests[&vmid(104)];
    let current = &made.config.current;
    assert!(current["scsi0"].starts_with("local-zfs:vm-104-disk-"));
    assert!(current["scsi1"].starts_with("ceph-vm:vm-104-disk-"));
    assert_eq!(current["net0"], "virtio=BC:24:11:00:01:04,bridge=vmbr0");
    assert_eq!(
        made.config.birth(),
        Some("uuid:00000000-0000-0000-0000-000000000104".to_owned())
    );
    // Its own backups are no strangers', but the volumes that were left are.
    let left: Vec<&str> = plan
        .impacts
        .iter()
        .flat_map(|i| &i.causes)
        .map(String::as_str)
        .collect();
    assert!(
        left.iter().all(|cause| !cause.contains("vzdump")),
        "{left:?}"
    );
}

#[test]
fn a_node_that_does_not_see_the_backup_gets_the_guest_afterwards() {
    let mut lab = lab();
    let local = "local:backup/vzdump-qemu-105-2026_11_01-03_00_00.vma.zst";
    lab.backup("pve1", local, 105, &[("name", "old"), ("memory", "512")]);
    let wish = DesiredGuest {
        node: Some(node("pve2")),
        ..restored(901, from(local))
    };
    let plan = lab.plan(vec![doc(wish)]);
    assert_eq!(
        titles(&plan),
        [
            &*format!("restore vm/901 old from {local} on pve1"),
            "migrate vm/901 from pve1 to pve2"
        ]
    );
}

#[test]
fn gu14_fires_where_the_living_original_has_the_same_addresses() {
    let mut lab = lab();
    let same = DesiredRestore {
        unique: false,
        ..from(VM)
    };
    let plan = lab.plan(vec![doc(restored(901, same.clone()))]);
    let shared = |plan: &crate::plan::Plan| -> Vec<String> {
        let told = facts(plan).into_iter();
        told.filter(|fact| fact.ends_with("GU14")).collect()
    };
    assert_eq!(
        shared(&plan),
        ["vm/104 unreachable GU14", "vm/901 unreachable GU14"]
    );
    assert!(plan.steps[0].notes[1].contains("unique: true"));
    // One that goes with the same plan shares nothing.
    lab.own("vm/104", "VirtualMachine/104");
    lab.edit(104, |guest| guest.status = Status::Stopped);
    let plan = lab.plan(vec![
        doc(restored(901, same)),
        removed("VirtualMachine/104", true),
    ]);
    assert_eq!(shared(&plan), Vec::<String>::new());
    // A fixed address stays even where the card's own is new.
    lab.edit(301, |guest| {
        let card = FILES[3].1.replace("BC:24:11:00:03:01", "BC:24:11:00:03:09");
        guest.config.current.insert("net0".to_owned(), card);
    });
    let plan = lab.plan(vec![doc(restored(902, from(CT)))]);
    assert_eq!(
        shared(&plan),
        ["ct/301 unreachable GU14", "ct/902 unreachable GU14"]
    );
}

#[test]
fn gu14_silent_for_a_guest_with_addresses_of_its_own() {
    let plan = lab().plan(vec![doc(restored(901, from(VM)))]);
    assert!(facts(&plan).iter().all(|fact| !fact.ends_with("GU14")));
}

#[test]
fn gu08_fires_where_it_does_not_fit_and_for_a_privileged_container() {
    let mut lab = lab();
    lab.storage("small", "zfspool", "images,rootdir", false, 4);
    let onto = DesiredRestore {
        storage: Some(storage_id("small")),
        ..from(VM)
    };
    let plan = lab.plan(vec![doc(restored(901, onto))]);
    let fits =
        |plan: &crate::plan::Plan| plan.impacts.iter().all(|i| i.category != Category::WontFit);
    assert!(!fits(&plan), "{:?}", facts(&plan));
    let privileged: Vec<(&str, &str)> = FILES[..5].to_vec();
    lab.backup("pve1", CT, 301, &privileged);
    let plan = lab.plan(vec![doc(restored(901, from(CT)))]);
    assert!(
        facts(&plan).contains(&"ct/901 exposed GU08".to_owned()),
        "{:?}",
        facts(&plan)
    );
}

#[test]
fn what_cannot_be_restored_is_refused_with_the_reason() {
    let refused = |edit: &dyn Fn(&mut Lab), wish: DesiredGuest| {
        let mut lab = lab();
        edit(&mut lab);
        lab.refused(vec![doc(wish)])
    };
    let with = |more: (&'static str, &'static str)| {
        move |lab: &mut Lab| {
            let config: Vec<(&str, &str)> = WEB.iter().copied().chain([more]).collect();
            lab.backup("pve1", VM, 104, &config);
        }
    };
    let onto = |storage: &str| DesiredRestore {
        storage: Some(storage_id(storage)),
        ..from(VM)
    };
    let nowhere = DesiredGuest {
        node: None,
        ..restored(901, from(VM))
    };
    let plain = || restored(901, from(VM));
    let unread = |lab: &mut Lab| {
        for read in lab.backups.values_mut() {
            *read = Err("403 Permission check failed".to_owned());
        }
    };
    let bound = |lab: &mut Lab| {
        let mut config = FILES.to_vec();
        config.push(("mp2", "/mnt/data,mp=/data"));
        lab.backup("pve1", CT, 301, &config);
    };
    for (said, told) in [
        (
            refused(
                &|_| {},
                restored(901, from("nas:backup/vzdump-qemu-9-x.vma")),
            ),
            "nas:backup/vzdump-qemu-9-x.vma",
        ),
        (
            refused(
                &|_| {},
                restored(901, from("nix:backup/vzdump-qemu-9-x.vma")),
            ),
            "nix",
        ),
        (refused(&|_| {}, nowhere), "on which `node` to restore it"),
        (refused(&unread, plain()), "403 Permission check failed"),
        (refused(&|lab| lab.backups.clear(), plain()), "was not read"),
        (
            refused(
                &|lab| {
                    lab.unread(Part::StorageContent(node("pve1"), storage_id("nas")));
                    lab.edit_storage("nas", |nas| {
                        nas.volumes
                            .values_mut()
                            .for_each(|v| *v = Default::default());
                    });
                },
                plain(),
            ),
            "the content of storage nas",
        ),
        (
            refused(&|_| {}, restored(901, onto("nas2"))),
            "storage nas2",
        ),
        (
            refused(
                &|_| {},
                restored(
                    901,
                    DesiredRestore {
                        storage: Some(storage_id("nas")),
                        ..from(CT)
                    },
                ),
            ),
            "may not hold rootdir",
        ),
        (
            refused(
                &|lab| lab.edit_storage("nas", |s| s.disabled = true),
                plain(),
            ),
            "storage nas is disabled",
        ),
        (
            refused(&with(("template", "1")), plain()),
            "backup of a template",
        ),
        (
            refused(&with(("hostpci0", "host=0000:01:00.0")), plain()),
            "only root@pam restores",
        ),
        (
            refused(&bound, restored(901, from(CT))),
            "mp2 is /mnt/data of the host",
        ),
        (
            refused(
                &|_| {},
                DesiredGuest {
                    kind: GuestKind::Lxc,
                    ..plain()
                },
            ),
            "no backup of a container",
        ),
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
}

#[test]
fn a_disk_that_is_in_no_backup_does_not_come_back() {
    let mut lab = lab();
    let mut config = WEB.to_vec();
    config[7].1 = "ceph-vm:vm-104-disk-1,backup=0,size=100G";
    lab.backup("pve1", VM, 104, &config);
    let plan = lab.plan(vec![doc(restored(901, from(VM)))]);
    assert!(
        plan.steps[0]
            .notes
            .contains(&"scsi1 is not in the backup and does not come back".to_owned())
    );
    let after = lab.after(&plan);
    let current = &after.guests[&vmid(901)].config.current;
    assert!(!current.contains_key("scsi1"));
    assert_eq!(
        current["description"],
        "scsi1: ceph-vm:vm-104-disk-1,backup=0,size=100G\n"
    );
    let demand = crate::world::predict::demand(&lab.world, &plan.steps[0].action);
    assert_eq!(demand.len(), 1);
}

#[test]
fn the_storages_of_a_restore_go_after_it() {
    let mut lab = lab();
    lab.world.guests.remove(&vmid(104));
    lab.world.backup_jobs.clear();
    lab.own("storage/nas", "Storage/nas");
    let plan = lab.plan(vec![
        removed("Storage/nas", true),
        doc(restored(901, from(VM))),
    ]);
    let step = |part: &str| {
        plan.steps
            .iter()
            .find(|step| step.title.contains(part))
            .unwrap()
    };
    let restore = step("restore vm/901").id;
    assert!(
        step("delete storage/nas").needs.contains(&restore),
        "{:?}",
        titles(&plan)
    );
}

#[test]
fn a_pool_is_made_before_a_guest_is_restored_into_it() {
    let lab = lab();
    let pooled = |wish: DesiredGuest| DesiredGuest {
        pool: Some(Wish::Set(pool_id("fresh"))),
        ..wish
    };
    let plan = lab.plan(vec![
        doc(pooled(restored(901, from(VM)))),
        pool_doc("fresh", None),
    ]);
    assert_eq!(
        titles(&plan),
        [
            "make pool/fresh",
            &*format!("restore vm/901 web-4 from {VM} on pve1")
        ]
    );
    assert_eq!(
        lab.after(&plan).guests[&vmid(901)].pool,
        Some(pool_id("fresh"))
    );
}
