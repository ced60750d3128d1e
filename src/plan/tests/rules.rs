//! The rules of the blast radius that only a plan can judge: each fires where it must and is silent where it must not.

use std::sync::Arc;

use super::fixture::*;
use crate::document::desired::{DesiredDisk, Media, Power, Value, Wish};
use crate::health::Category;
use crate::ids::{Bytes, GuestKind};
use crate::plan::render::{Style, text};
use crate::plan::{Impact, Plan, Risk, undo};
use crate::world::{Action, Part, Pending, ReplicationJob, Section, Status};

fn delete_storage(lab: &mut Lab, id: &str) -> Plan {
    lab.own(&format!("storage/{id}"), &format!("Storage/{id}"));
    lab.plan(vec![removed(&format!("Storage/{id}"), true)])
}

fn delete_guest(lab: &mut Lab, number: u32) -> Plan {
    let (object, document) = if lab.world.guests[&vmid(number)].kind == GuestKind::Qemu {
        (format!("vm/{number}"), format!("VirtualMachine/{number}"))
    } else {
        (format!("ct/{number}"), format!("Container/{number}"))
    };
    lab.own(&object, &document);
    lab.plan(vec![removed(&document, true)])
}

fn has(plan: &Plan, fact: &str) -> bool {
    facts(plan).iter().any(|f| f == fact)
}

fn of_rule(plan: &Plan, rule: &str) -> Vec<String> {
    facts(plan)
        .into_iter()
        .filter(|f| f.split(' ').nth(2) == Some(rule))
        .collect()
}

fn powered(number: u32, power: Power) -> crate::document::desired::DesiredGuest {
    let mut guest = vm(number);
    guest.power = Some(power);
    guest
}

#[test]
fn g1_fires_for_an_unread_configuration() {
    let mut lab = Lab::new();
    lab.unread(Part::GuestConfig(vmid(102)));
    let plan = delete_storage(&mut lab, "local-zfs");
    assert!(
        plan.impacts
            .iter()
            .any(|i| i.entity == "vm/102" && i.category == Category::Unknown)
    );
    assert_eq!(plan.risk, Risk::Unknown);
    assert!(!plan.complete);
}

#[test]
fn g1_silent_when_the_unread_part_does_not_matter() {
    let mut lab = Lab::new();
    lab.unread(Part::GuestConfig(vmid(104)));
    let plan = lab.plan(vec![doc(set(vm(102), "memory", "6144"))]);
    assert!(plan.complete, "{:?}", plan.unknowns);
    assert_eq!(plan.risk, Risk::Low);
}

#[test]
fn g2_fires_when_the_list_of_guests_could_not_be_seen() {
    let mut lab = Lab::new();
    lab.world.guests.clear();
    lab.unread(Part::Resources);
    let plan = delete_storage(&mut lab, "local-zfs");
    assert_eq!(plan.risk, Risk::Unknown);
    assert!(
        plan.unknowns
            .iter()
            .any(|u| u.what.contains("list of guests")),
        "{:?}",
        plan.unknowns
    );
    let refused = lab.refused(vec![doc(set(vm(102), "memory", "6144"))]);
    assert!(refused.contains("could not be read"), "{refused}");
}

#[test]
fn g2_silent_when_the_list_is_empty_and_whole() {
    let mut lab = Lab::new();
    lab.world.guests.clear();
    let plan = delete_storage(&mut lab, "local-zfs");
    assert!(plan.complete, "{:?}", plan.unknowns);
}

#[test]
fn g3_fires_for_an_empty_configuration() {
    let mut lab = Lab::new();
    lab.edit(102, |guest| guest.config.current.clear());
    let plan = delete_storage(&mut lab, "local-zfs");
    assert!(
        plan.impacts
            .iter()
            .any(|i| i.entity == "vm/102" && i.category == Category::Unknown)
    );
    assert_eq!(plan.risk, Risk::Unknown);
}

#[test]
fn g3_silent_for_a_configuration_that_was_read() {
    let plan = delete_storage(&mut Lab::new(), "local-zfs");
    assert!(plan.complete && plan.unknowns.is_empty());
}

#[test]
fn g4_fires_and_says_that_nothing_else_is_affected() {
    let plan = delete_storage(&mut Lab::new(), "local-zfs");
    assert!(text(&plan, &Style::default()).contains("nothing else is affected"));
}

#[test]
fn g4_silent_when_anything_was_unread() {
    let mut lab = Lab::new();
    lab.unread(Part::BackupJobs);
    let plan = delete_storage(&mut lab, "local-zfs");
    assert!(!text(&plan, &Style::default()).contains("nothing else"));
}

#[test]
fn g5_fires_for_what_two_steps_do_together() {
    // Each backup storage holds one backup of vm/104; only both together are its last.
    let mut lab = Lab::new();
    lab.storage("nas2", "nfs", "backup", true, 4000);
    lab.volume(
        "pve1",
        "nas:backup/vzdump-qemu-104-a.vma.zst",
        "backup",
        Bytes(1 << 30),
        Some(104),
    );
    lab.volume(
        "pve1",
        "nas2:backup/vzdump-qemu-104-b.vma.zst",
        "backup",
        Bytes(1 << 30),
        Some(104),
    );
    for id in ["nas", "nas2"] {
        lab.own(&format!("storage/{id}"), &format!("Storage/{id}"));
    }
    let both = lab.plan(vec![
        removed("Storage/nas", true),
        removed("Storage/nas2", true),
    ]);
    assert!(
        both.impacts
            .iter()
            .any(|i| i.entity == "vm/104" && i.category == Category::LastCopy),
        "{:?}",
        facts(&both)
    );
}

#[test]
fn g5_silent_for_one_of_two_copies() {
    let mut lab = Lab::new();
    lab.storage("nas2", "nfs", "backup", true, 4000);
    lab.volume(
        "pve1",
        "nas:backup/vzdump-qemu-104-a.vma.zst",
        "backup",
        Bytes(1 << 30),
        Some(104),
    );
    lab.volume(
        "pve1",
        "nas2:backup/vzdump-qemu-104-b.vma.zst",
        "backup",
        Bytes(1 << 30),
        Some(104),
    );
    let one = delete_storage(&mut lab, "nas2");
    assert!(
        !one.impacts
            .iter()
            .any(|i| i.entity == "vm/104" && i.category == Category::LastCopy),
        "{:?}",
        facts(&one)
    );
}

#[test]
fn g6_fires_for_a_volume_only_a_snapshot_names() {
    let mut lab = Lab::new();
    lab.volume(
        "pve1",
        "local-zfs:vm-105-disk-9",
        "images",
        Bytes(1 << 30),
        Some(105),
    );
    lab.snapshot(105, "old");
    lab.edit(105, |g| {
        g.config.snapshots.get_mut("old").unwrap().section.insert(
            "scsi1".to_owned(),
            "local-zfs:vm-105-disk-9,size=1G".to_owned(),
        );
    });
    let plan = delete_storage(&mut lab, "local-zfs");
    assert!(
        plan.impacts.iter().any(|i| i.entity == "vm/105"),
        "{:?}",
        facts(&plan)
    );
}

#[test]
fn g6_silent_for_a_snapshot_elsewhere() {
    let mut lab = Lab::new();
    lab.snapshot(105, "old");
    let plan = delete_storage(&mut lab, "local-zfs");
    assert!(
        !plan.impacts.iter().any(|i| i.entity == "vm/105"),
        "{:?}",
        facts(&plan)
    );
}

fn with_others_pending() -> Lab {
    let mut lab = Lab::new();
    lab.edit(105, |g| {
        g.config.pending = vec![Pending {
            key: "cores".to_owned(),
            value: Some("8".to_owned()),
            force: false,
        }];
    });
    lab
}

#[test]
fn g7_fires_when_a_start_takes_others_pending_changes_along() {
    let lab = with_others_pending();
    let plan = lab.plan(vec![doc(powered(105, Power::Running))]);
    assert!(
        plan.changes
            .iter()
            .any(|c| c.field == "cores" && c.effect.contains("pending already"))
    );
    assert!(
        plan.notes
            .iter()
            .any(|n| n.contains("somebody's pending change") && n.contains("cores → 8")),
        "{:?}",
        plan.notes
    );
}

#[test]
fn g7_silent_when_they_stay_pending() {
    let mut lab = with_others_pending();
    lab.edit(105, |g| g.status = Status::Running);
    let plan = lab.plan(vec![doc(set(vm(105), "memory", "4096"))]);
    assert!(!plan.changes.iter().any(|c| c.field == "cores"));
}

#[test]
fn g8_fires_for_a_change_that_does_something() {
    assert_eq!(
        Lab::new()
            .plan(vec![doc(set(vm(102), "cores", "4"))])
            .changes
            .len(),
        1
    );
}

#[test]
fn g8_silent_for_a_change_that_does_nothing() {
    let plan = Lab::new().plan(vec![doc(set(set(vm(102), "cores", "2"), "onboot", "0"))]);
    assert!(plan.changes.iter().all(|c| c.field != "cores"));
}

#[test]
fn g9_fires_with_the_full_number_when_paged() {
    let mut lab = Lab::new();
    for n in 400..440 {
        lab.guest(
            GuestKind::Qemu,
            n,
            "g",
            "pve1",
            Status::Stopped,
            &[
                ("boot", "order=scsi0"),
                ("scsi0", &format!("local-zfs:vm-{n}-disk-0,size=1G")),
            ],
        );
    }
    let plan = delete_storage(&mut lab, "local-zfs");
    assert_eq!(
        plan.impacts
            .iter()
            .filter(|i| i.category == Category::WontBoot)
            .count(),
        41
    );
    let page = text(
        &plan,
        &Style {
            limit: Some(5),
            ..Style::default()
        },
    );
    assert!(page.contains(&format!(
        "… {} more of {}",
        plan.impacts.len() - 5,
        plan.impacts.len()
    )));
}

#[test]
fn g9_silent_when_everything_is_shown() {
    let plan = delete_storage(&mut Lab::new(), "local-zfs");
    assert!(!text(&plan, &Style::default()).contains(" more of "));
}

#[test]
fn st02_fires_for_a_running_guest() {
    let plan = delete_storage(&mut Lab::new(), "local-zfs");
    let impact = plan.impacts.iter().find(|i| i.entity == "vm/104").unwrap();
    assert!(
        impact
            .notes
            .iter()
            .any(|n| n.contains("keeps running until"))
    );
}

#[test]
fn st02_silent_for_a_stopped_guest() {
    let mut lab = Lab::new();
    lab.edit(104, |g| g.status = Status::Stopped);
    let plan = delete_storage(&mut lab, "local-zfs");
    let impact = plan.impacts.iter().find(|i| i.entity == "vm/104").unwrap();
    assert!(!impact.notes.iter().any(|n| n.contains("keeps running")));
}

#[test]
fn st07_fires_for_clones_of_a_lost_base() {
    let mut lab = Lab::new();
    lab.guest(
        GuestKind::Qemu,
        900,
        "tpl",
        "pve1",
        Status::Stopped,
        &[
            ("template", "1"),
            ("boot", "order=scsi0"),
            ("scsi0", "local-zfs:base-900-disk-0,size=8G"),
        ],
    );
    lab.guest(
        GuestKind::Qemu,
        901,
        "clone",
        "pve1",
        Status::Stopped,
        &[
            ("boot", "order=scsi0"),
            ("scsi0", "local-zfs:base-900-disk-0/vm-901-disk-0,size=8G"),
        ],
    );
    let plan = delete_guest(&mut lab, 900);
    assert!(
        plan.impacts
            .iter()
            .any(|i| i.category == Category::WillFail && i.causes[0].contains("vm/901")),
        "{:?}",
        facts(&plan)
    );
}

#[test]
fn st07_silent_when_clone_and_base_go_in_order() {
    let mut lab = Lab::new();
    lab.guest(
        GuestKind::Qemu,
        900,
        "tpl",
        "pve1",
        Status::Stopped,
        &[
            ("template", "1"),
            ("boot", "order=scsi0"),
            ("scsi0", "local-zfs:base-900-disk-0,size=8G"),
        ],
    );
    lab.guest(
        GuestKind::Qemu,
        901,
        "clone",
        "pve1",
        Status::Stopped,
        &[
            ("boot", "order=scsi0"),
            ("scsi0", "local-zfs:base-900-disk-0/vm-901-disk-0,size=8G"),
        ],
    );
    lab.own("vm/900", "VirtualMachine/900");
    lab.own("vm/901", "VirtualMachine/901");
    let plan = lab.plan(vec![
        removed("VirtualMachine/900", true),
        removed("VirtualMachine/901", true),
    ]);
    assert_eq!(
        titles(&plan),
        ["destroy vm/901 clone", "destroy vm/900 tpl"]
    );
    assert!(
        !plan
            .impacts
            .iter()
            .any(|i| i.category == Category::WillFail),
        "{:?}",
        facts(&plan)
    );
}

#[test]
fn st09_fires_when_a_move_does_not_fit_or_gets_tight() {
    let mut lab = Lab::new();
    lab.storage("small", "zfspool", "images", false, 80);
    let plan = lab.plan(vec![doc(with_disk(vm(104), "scsi0", on("small")))]);
    assert!(has(&plan, "storage/small tight ST09"), "{:?}", facts(&plan));
    let plan = lab.plan(vec![doc(with_disk(vm(104), "scsi1", on("small")))]);
    assert!(
        has(&plan, "storage/small won't-fit ST09"),
        "{:?}",
        facts(&plan)
    );
    assert_eq!(plan.risk, Risk::High);
}

#[test]
fn st09_silent_when_there_is_room() {
    let plan = Lab::new().plan(vec![doc(with_disk(vm(104), "scsi0", on("ceph-vm")))]);
    assert!(of_rule(&plan, "ST09").is_empty());
}

#[test]
fn st10_fires_when_a_disk_grows() {
    let plan = Lab::new().plan(vec![doc(with_disk(vm(102), "scsi0", sized("ceph-vm", 40)))]);
    assert_eq!(facts(&plan), ["vm/102 irreversible ST10"]);
    assert_eq!(plan.risk, Risk::Medium);
    let mut lab = Lab::new();
    lab.edit(102, |g| {
        g.config.pending.push(Pending {
            key: "scsi0".to_owned(),
            value: Some("ceph-vm:vm-102-disk-0,cache=none,size=32G".to_owned()),
            force: false,
        })
    });
    let text = lab.refused(vec![doc(with_disk(vm(102), "scsi0", sized("ceph-vm", 40)))]);
    assert!(text.contains("pending change of this disk"), "{text}");
}

#[test]
fn st10_silent_when_the_size_is_as_it_is() {
    let plan = Lab::new().plan(vec![doc(with_disk(vm(102), "scsi0", sized("ceph-vm", 32)))]);
    assert!(plan.steps.is_empty());
}

#[test]
fn st11_fires_never_a_new_volume_in_a_used_slot() {
    // Whatever is asked of a used slot, no step writes STORAGE:SIZE into it.
    let plan = Lab::new().plan(vec![doc(with_disk(vm(104), "scsi0", sized("ceph-vm", 64)))]);
    for step in &plan.steps {
        if let Action::UpdateConfig { set, .. } = &step.action {
            assert!(!set.contains_key("scsi0"), "{step:?}");
        }
    }
    let mut forged = plan;
    forged.steps[0].action = Action::UpdateConfig {
        kind: GuestKind::Qemu,
        vmid: vmid(104),
        set: [(
            "scsi0".to_owned(),
            crate::world::Param::Plain("ceph-vm:64".to_owned()),
        )]
        .into(),
        delete: Default::default(),
    };
    forged.hash = crate::plan::hash(&forged).unwrap();
    assert!(
        crate::plan::check(&forged)
            .iter()
            .any(|f| f.what.contains("new volume in scsi0"))
    );
}

#[test]
fn st11_silent_for_an_empty_slot() {
    let plan = Lab::new().plan(vec![doc(with_disk(vm(102), "scsi1", sized("ceph-vm", 8)))]);
    assert_eq!(titles(&plan), ["set vm/102 scsi1 → ceph-vm:8"]);
}

#[test]
fn st12_fires_when_a_storage_is_redirected() {
    let mut lab = Lab::new();
    lab.guest(
        GuestKind::Qemu,
        110,
        "n",
        "pve1",
        Status::Stopped,
        &[
            ("boot", "order=scsi0"),
            ("scsi0", "nas:110/vm-110-disk-0.qcow2,size=8G"),
        ],
    );
    lab.edit_storage("nas", |s| {
        s.options.insert("options".to_owned(), "vers=4".to_owned());
    });
    let plan = lab.plan(vec![storage_doc("nas", None, &[("options", "vers=3")])]);
    assert!(!of_rule(&plan, "ST12").is_empty(), "{:?}", facts(&plan));
    assert!(plan.risk >= Risk::High);
}

#[test]
fn st12_silent_when_only_retention_changes() {
    let plan = Lab::new().plan(vec![storage_doc(
        "nas",
        None,
        &[("prune-backups", "keep-last=3")],
    )]);
    assert!(of_rule(&plan, "ST12").is_empty());
    assert_eq!(plan.risk, Risk::Low);
}

#[test]
fn st13_fires_when_a_disk_is_detached() {
    let mut lab = Lab::new();
    lab.guest(
        GuestKind::Qemu,
        111,
        "twin",
        "pve1",
        Status::Stopped,
        &[("scsi1", "ceph-vm:vm-104-disk-1,size=100G")],
    );
    let plan = lab.plan(vec![doc(without_disk(vm(104), "scsi1"))]);
    let impact = plan.impacts.iter().find(|i| i.rule == "ST13").unwrap();
    assert_eq!(impact.entity, "vm/104");
    assert!(impact.notes[0].contains("vm/111"), "{:?}", impact.notes);
    assert!(matches!(plan.steps[0].action, Action::DetachDisk { .. }));
}

#[test]
fn st13_silent_when_a_cd_is_ejected() {
    let mut lab = Lab::new();
    lab.edit(102, |g| {
        g.config.current.insert(
            "ide2".to_owned(),
            "local:iso/debian.iso,media=cdrom".to_owned(),
        );
    });
    lab.volume("pve1", "local:iso/debian.iso", "iso", Bytes(1 << 30), None);
    let empty = DesiredDisk {
        media: Media::Cdrom,
        empty: true,
        ..disk()
    };
    let plan = lab.plan(vec![doc(with_disk(vm(102), "ide2", empty))]);
    assert_eq!(plan.steps.len(), 1);
    assert!(of_rule(&plan, "ST13").is_empty());
}

#[test]
fn gu01_fires_with_every_volume_and_snapshot() {
    let mut lab = Lab::new();
    lab.snapshot(104, "before");
    lab.volume(
        "pve1",
        "nas:backup/vzdump-qemu-104-a.vma.zst",
        "backup",
        Bytes(1 << 30),
        Some(104),
    );
    let plan = delete_guest(&mut lab, 104);
    let causes: Vec<_> = plan
        .impacts
        .iter()
        .filter(|i| i.rule == "GU01")
        .map(|i| i.causes[0].as_str())
        .collect();
    assert_eq!(
        causes,
        [
            "scsi0 (32 GiB on local-zfs)",
            "scsi1 (100 GiB on ceph-vm)",
            "snapshot before",
            "it runs now and is destroyed"
        ]
    );
    assert_eq!(plan.impacts[0].notes, ["one backup of it stays"]);
    assert_eq!(plan.risk, Risk::High);
}

#[test]
fn gu01_silent_for_an_orphaned_guest() {
    let mut lab = Lab::new();
    lab.own("vm/104", "VirtualMachine/104");
    assert!(
        lab.plan(vec![removed("VirtualMachine/104", false)])
            .impacts
            .is_empty()
    );
}

#[test]
fn gu02_fires_for_protection_locks_and_clones() {
    for change in [
        |g: &mut crate::world::Guest| {
            g.config
                .current
                .insert("protection".to_owned(), "1".to_owned());
        },
        |g: &mut crate::world::Guest| {
            g.lock = Some("backup".to_owned());
        },
    ] {
        let mut lab = Lab::new();
        lab.edit(105, change);
        let plan = delete_guest(&mut lab, 105);
        assert!(has(&plan, "vm/105 will-fail GU02"), "{:?}", facts(&plan));
        assert_eq!(plan.risk, Risk::High);
    }
}

#[test]
fn gu02_silent_for_a_guest_that_is_stopped_by_the_plan() {
    let plan = delete_guest(&mut Lab::new(), 104);
    assert!(of_rule(&plan, "GU02").is_empty(), "{:?}", facts(&plan));
}

#[test]
fn gu03_fires_for_access_rules_jobs_and_replication() {
    let mut lab = Lab::new();
    lab.acl("/vms/104");
    lab.world.replication_jobs.insert(
        "104-0".to_owned(),
        std::sync::Arc::new(ReplicationJob {
            guest: vmid(104),
            target: node("pve2"),
            disabled: false,
            removing: false,
            options: Section::new(),
        }),
    );
    let plan = delete_guest(&mut lab, 104);
    assert!(
        plan.impacts
            .iter()
            .any(|i| i.category == Category::LosesPrivilege),
        "{:?}",
        facts(&plan)
    );
    assert!(matches!(
        plan.steps.last().unwrap().action,
        Action::DestroyGuest { purge: true, .. }
    ));
}

#[test]
fn gu03_silent_for_a_guest_nobody_names() {
    let plan = delete_guest(&mut Lab::new(), 105);
    assert!(of_rule(&plan, "GU03").is_empty(), "{:?}", facts(&plan));
    assert!(matches!(
        plan.steps.last().unwrap().action,
        Action::DestroyGuest { purge: false, .. }
    ));
}

#[test]
fn gu04_fires_with_the_effect_of_every_key() {
    let nic = set(vm(102), "net0", "virtio,bridge=vmbr1,firewall=1");
    let plan = Lab::new().plan(vec![doc(set(set(nic, "memory", "6144"), "onboot", "1"))]);
    assert_eq!(
        facts(&plan),
        [
            "vm/102 unreachable GU12",
            "vm/102 link-flap GU04 (transient)"
        ]
    );
    let effect = |field: &str| {
        plan.changes
            .iter()
            .find(|c| c.field == field)
            .unwrap()
            .effect
            .as_str()
    };
    assert_eq!(effect("memory"), "at the next stop and start");
    assert_eq!(effect("onboot"), "at once");
    assert_eq!(effect("net0"), "at once; the link goes down for a moment");
}

/// What GU12 says of the card of vm/104, `virtio=BC:24:11:00:01:04,bridge=vmbr0`.
fn rewired(value: &str) -> Vec<String> {
    of_rule(
        &Lab::new().plan(vec![doc(set(vm(104), "net0", value))]),
        "GU12",
    )
}

#[test]
fn gu12_fires_when_a_card_is_no_longer_where_it_was() {
    for unreachable in [
        "virtio=BC:24:11:00:01:04,bridge=vmbr1",
        "virtio=BC:24:11:00:01:04,bridge=vmbr0,tag=20",
        "virtio=BC:24:11:00:01:04,bridge=vmbr0,link_down=1",
    ] {
        assert_eq!(
            rewired(unreachable),
            ["vm/104 unreachable GU12"],
            "{unreachable}"
        );
    }
    let other = "virtio=BC:24:11:FF:FF:FF,bridge=vmbr0";
    assert_eq!(rewired(other), ["vm/104 degraded GU12"]);
    // A container's address stands in its configuration.
    let mut lab = Lab::new();
    let net = |ip: &str| format!("name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:03:01,ip={ip}");
    let files = Arc::make_mut(lab.world.guests.get_mut(&vmid(301)).unwrap());
    let section = &mut files.config.current;
    section.insert("net0".to_owned(), net("10.0.0.5/24"));
    let plan = lab.plan(vec![doc(set(ct(301), "net0", &net("dhcp")))]);
    assert_eq!(of_rule(&plan, "GU12"), ["ct/301 unreachable GU12"]);
}

#[test]
fn gu12_silent_for_a_card_that_stays_where_it_is() {
    for same in [
        "virtio=BC:24:11:00:01:04,bridge=vmbr0,queues=2",
        "virtio=BC:24:11:00:01:04,bridge=vmbr0,firewall=1",
        "e1000=bc:24:11:00:01:04,bridge=vmbr0",
    ] {
        assert_eq!(rewired(same), Vec::<String>::new(), "{same}");
    }
}

/// A container of the lab with this card.
fn with_card(lab: &mut Lab, number: u32, card: &str) {
    let guest = Arc::make_mut(lab.world.guests.get_mut(&vmid(number)).unwrap());
    let section = &mut guest.config.current;
    section.insert("net0".to_owned(), card.to_owned());
}

#[test]
fn gu13_fires_for_more_memory_than_the_node_has() {
    let plan = Lab::new().plan(vec![doc(set(vm(104), "memory", "262144"))]);
    assert!(
        plan.impacts
            .iter()
            .any(|i| i.entity == "node/pve1" && i.category == Category::Tight),
        "{:?}",
        facts(&plan)
    );
}

#[test]
fn gu13_silent_for_memory_that_the_node_has() {
    let plan = Lab::new().plan(vec![doc(set(vm(104), "memory", "8192"))]);
    assert!(plan.impacts.iter().all(|i| i.category != Category::Tight));
}

#[test]
fn gu13_fires_when_the_other_nodes_could_not_take_over() {
    let mut lab = Lab::new();
    lab.ha(104, "started");
    // 120 GiB fit on the node that has 128, and not beside what runs on the other one.
    lab.edit(102, |guest| {
        guest.node = node("pve2");
        guest
            .config
            .current
            .insert("memory".to_owned(), "16384".to_owned());
        guest.status = Status::Running;
    });
    let plan = lab.plan(vec![doc(set(vm(104), "memory", "122880"))]);
    let found = plan.impacts.iter().find(|i| i.entity == "node/pve1");
    let found = found.unwrap_or_else(|| panic!("{:?}", facts(&plan)));
    assert_eq!(found.rule, "GU13");
    assert!(
        found.causes[0].starts_with("its HA guest is given 120 GiB and the other nodes have"),
        "{:?}",
        found.causes
    );
}

#[test]
fn gu13_silent_when_the_other_nodes_can_take_over_and_without_ha() {
    let mut lab = Lab::new();
    lab.ha(104, "started");
    let plan = lab.plan(vec![doc(set(vm(104), "memory", "16384"))]);
    assert!(
        !has(&plan, "node/pve1 not-highly-available GU13"),
        "{:?}",
        facts(&plan)
    );
    let mut lab = Lab::new();
    lab.edit(102, |guest| guest.node = node("pve2"));
    let plan = lab.plan(vec![doc(set(vm(104), "memory", "122880"))]);
    assert!(
        !has(&plan, "node/pve1 not-highly-available GU13"),
        "{:?}",
        facts(&plan)
    );
}

#[test]
fn gu14_fires_for_both_guests_of_an_address() {
    let card = |ip: &str| format!("name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:03:01,ip={ip}");
    let mut lab = Lab::new();
    with_card(&mut lab, 301, &card("10.0.0.5/24"));
    // A virtual machine gets it through cloud-init, in another form of the same address's network.
    let plan = lab.plan(vec![doc(set(
        vm(104),
        "ipconfig0",
        "gw=10.0.0.1,ip=10.0.0.5/16",
    ))]);
    assert_eq!(
        of_rule(&plan, "GU14"),
        ["vm/104 unreachable GU14", "ct/301 unreachable GU14"]
    );
    // What cannot be read may have it.
    lab.unread(Part::GuestConfig(vmid(301)));
    let plan = lab.plan(vec![doc(set(vm(104), "ipconfig0", "ip=10.0.0.9/24"))]);
    assert_eq!(of_rule(&plan, "GU14"), ["vm/104 unknown GU14"]);
}

#[test]
fn gu14_silent_for_an_address_of_ones_own_and_on_another_network() {
    let card = |ip: &str, tag: &str| {
        format!("name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:03:01,ip={ip}{tag}")
    };
    for (ip, tag) in [("10.0.0.6/24", ""), ("10.0.0.5/24", ",tag=7"), ("dhcp", "")] {
        let mut lab = Lab::new();
        with_card(&mut lab, 301, &card(ip, tag));
        let plan = lab.plan(vec![doc(set(vm(104), "ipconfig0", "ip=10.0.0.5/24"))]);
        assert_eq!(of_rule(&plan, "GU14"), Vec::<String>::new(), "{ip}{tag}");
    }
    // Both have it already: this plan makes nothing worse.
    let mut lab = Lab::new();
    with_card(&mut lab, 301, &card("10.0.0.5/24", ""));
    let guest = Arc::make_mut(lab.world.guests.get_mut(&vmid(104)).unwrap());
    let section = &mut guest.config.current;
    section.insert("ipconfig0".to_owned(), "ip=10.0.0.5/24".to_owned());
    let plan = lab.plan(vec![doc(set(
        vm(104),
        "ipconfig0",
        "gw=10.0.0.1,ip=10.0.0.5/24",
    ))]);
    assert_eq!(of_rule(&plan, "GU14"), Vec::<String>::new());
}

/// The lab with vm/104 starting first with its node.
fn started_with_its_node() -> Lab {
    let mut lab = Lab::new();
    let guest = Arc::make_mut(lab.world.guests.get_mut(&vmid(104)).unwrap());
    let section = &mut guest.config.current;
    section.insert("onboot".to_owned(), "1".to_owned());
    section.insert("startup".to_owned(), "order=1,up=30".to_owned());
    lab
}

#[test]
fn gu15_fires_for_a_guest_that_no_longer_comes_back() {
    let lab = started_with_its_node();
    for doc in [
        doc(set(vm(104), "onboot", "0")),
        doc(set(vm(104), "startup", "up=30")),
    ] {
        let plan = lab.plan(vec![doc]);
        assert_eq!(of_rule(&plan, "GU15"), ["vm/104 degraded GU15"]);
    }
}

#[test]
fn gu15_silent_for_a_guest_that_comes_back_all_the_same() {
    let lab = started_with_its_node();
    for doc in [
        doc(set(vm(104), "startup", "order=2")),
        doc(set(vm(104), "description", "x")),
    ] {
        assert_eq!(of_rule(&lab.plan(vec![doc]), "GU15"), Vec::<String>::new());
    }
    let never = Lab::new();
    let plan = never.plan(vec![doc(set(vm(105), "onboot", "0"))]);
    assert_eq!(of_rule(&plan, "GU15"), Vec::<String>::new());
}

/// When a change of vm/104 takes effect.
fn effect_of(key: &str, value: &str) -> String {
    let plan = Lab::new().plan(vec![doc(set(vm(104), key, value))]);
    let change = plan.changes.iter().find(|change| change.field == key);
    change.unwrap().effect.clone()
}

#[test]
fn gu16_fires_for_keys_of_cloud_init() {
    let says = "stored; there is no cloud-init drive, so the guest is not told";
    for (key, value) in [
        ("ciuser", "admin"),
        ("ipconfig0", "ip=dhcp"),
        ("nameserver", "10.0.0.1"),
    ] {
        assert_eq!(effect_of(key, value), says, "{key}");
    }
}

/// Rule GU16: the drive of a machine that runs is made anew by a step, and at its next boot the guest is another instance to cloud-init.
#[test]
fn gu16_fires_with_a_step_that_makes_the_drive_anew() {
    let mut lab = Lab::new();
    lab.edit(104, |guest| {
        let drive = "local-zfs:vm-104-cloudinit,media=cdrom".to_owned();
        guest.config.current.insert("ide2".to_owned(), drive);
    });
    let steps = |lab: &Lab, guest| {
        let plan = lab.plan(vec![doc(guest)]);
        let titles = titles(&plan).into_iter().map(str::to_owned);
        let effects = plan.changes.iter().map(|change| change.effect.clone());
        (titles.collect::<Vec<_>>(), effects.collect::<Vec<_>>())
    };
    let (titles, effects) = steps(&lab, set(vm(104), "ciuser", "admin"));
    assert_eq!(titles[1], "make the cloud-init drive of vm/104 anew");
    assert!(effects[0].contains("new instance id"), "{effects:?}");
    // Undone, it is made anew again once the settings are what they were.
    let plan = lab.plan(vec![doc(set(vm(104), "ciuser", "admin"))]);
    let mut after = Lab::new();
    after.world = lab.after(&plan);
    let all = plan.steps.iter().map(|step| step.id).collect();
    let back = undo(&plan, &all, &after.input(Vec::new())).unwrap();
    assert!(back.steps[0].title.starts_with("set back vm/104 ciuser"));
    assert_eq!(
        back.steps[1].title,
        "make the cloud-init drive of vm/104 anew"
    );
    // A start makes it anew anyway, and so does Proxmox VE where the guest hot-plugs it.
    lab.edit(104, |guest| guest.status = Status::Stopped);
    let (titles, effects) = steps(&lab, set(vm(104), "ciuser", "admin"));
    assert_eq!(titles.len(), 1);
    assert!(effects[0].starts_with("at its next start"), "{effects:?}");
    lab.edit(104, |guest| {
        guest.status = Status::Running;
        let features = "network,disk,cloudinit".to_owned();
        guest.config.current.insert("hotplug".to_owned(), features);
    });
    assert_eq!(steps(&lab, set(vm(104), "ciuser", "admin")).0.len(), 1);
}

#[test]
fn gu16_silent_for_other_keys() {
    assert_eq!(effect_of("description", "new"), "at once");
}

#[test]
fn st09_fires_for_a_disk_on_a_disabled_storage() {
    let mut lab = Lab::new();
    let storage = Arc::make_mut(
        lab.world
            .storages
            .get_mut(&storage_id("local-zfs"))
            .unwrap(),
    );
    storage.disabled = true;
    let plan = lab.plan(vec![doc(with_disk(vm(104), "scsi0", on("ceph-vm")))]);
    assert_eq!(of_rule(&plan, "ST09"), ["vm/104 will-fail ST09"]);
    assert!(
        plan.impacts
            .iter()
            .any(|i| i.causes[0] == "scsi0 lies on storage local-zfs, which is disabled")
    );
}

#[test]
fn gu04_fires_for_a_cluster_that_is_not_quorate() {
    let mut lab = Lab::new();
    lab.world.quorate = Some(false);
    let plan = lab.plan(vec![doc(set(vm(102), "onboot", "1"))]);
    assert_eq!(facts(&plan), ["vm/102 will-fail GU04"]);
    assert!(plan.impacts[0].causes[0].contains("not quorate"));
}

#[test]
fn gu04_silent_for_a_cluster_that_is_quorate() {
    let plan = Lab::new().plan(vec![doc(set(vm(102), "onboot", "1"))]);
    assert_eq!(facts(&plan), Vec::<String>::new());
}

#[test]
fn gu04_silent_for_a_stopped_guest() {
    let plan = Lab::new().plan(vec![doc(set(vm(105), "memory", "6144"))]);
    assert_eq!(plan.changes[0].effect, "at once");
    assert!(plan.impacts.is_empty() && plan.steps[0].notes.is_empty());
}

#[test]
fn gu05_fires_when_a_write_frees_what_somebody_marked() {
    let mut lab = Lab::new();
    lab.edit(105, |g| {
        g.config.current.insert(
            "scsi1".to_owned(),
            "ceph-vm:vm-105-disk-1,size=8G".to_owned(),
        );
        g.config.pending.push(Pending {
            key: "scsi1".to_owned(),
            value: None,
            force: true,
        });
    });
    lab.volume(
        "pve1",
        "ceph-vm:vm-105-disk-1",
        "images",
        Bytes(8 << 30),
        Some(105),
    );
    let plan = lab.plan(vec![doc(set(vm(105), "memory", "4096"))]);
    assert!(has(&plan, "vm/105 data-lost GU05"), "{:?}", facts(&plan));
    assert_eq!(plan.risk, Risk::High);
}

#[test]
fn gu05_silent_while_the_guest_runs() {
    let mut lab = Lab::new();
    lab.edit(102, |g| {
        g.config.pending.push(Pending {
            key: "cores".to_owned(),
            value: Some("8".to_owned()),
            force: false,
        })
    });
    let plan = lab.plan(vec![doc(set(vm(102), "onboot", "1"))]);
    assert!(
        plan.changes.iter().all(|c| c.field == "onboot"),
        "{:?}",
        plan.changes
    );
}

#[test]
fn gu06_fires_for_a_start_that_cannot_succeed_and_for_a_stop() {
    let mut lab = Lab::new();
    lab.edit(105, |g| {
        g.config.current.insert(
            "net0".to_owned(),
            "virtio=BC:24:11:00:01:05,bridge=vmbr9".to_owned(),
        );
    });
    let plan = lab.plan(vec![doc(powered(105, Power::Running))]);
    assert!(has(&plan, "vm/105 will-fail GU06"), "{:?}", facts(&plan));
    let plan = lab.plan(vec![doc(powered(102, Power::Stopped))]);
    assert_eq!(facts(&plan), ["vm/102 stopped GU06"]);
    assert_eq!(plan.risk, Risk::High);
    lab.ha(102, "started");
    let plan = lab.plan(vec![doc(powered(102, Power::Stopped))]);
    assert!(matches!(plan.steps[0].action, Action::SetHaState { .. }));
}

#[test]
fn gu06_silent_for_a_start_that_works() {
    let plan = Lab::new().plan(vec![doc(powered(105, Power::Running))]);
    assert!(of_rule(&plan, "GU06").is_empty(), "{:?}", facts(&plan));
    assert_eq!(plan.risk, Risk::Low);
}

fn migrated(number: u32, kind: GuestKind) -> crate::plan::Item {
    let mut wanted = guest(kind, Some(number), "x");
    wanted.node = Some(node("pve2"));
    doc(wanted)
}

#[test]
fn gu07_fires_for_what_a_migration_cannot_take_along() {
    let mut lab = Lab::new();
    lab.edit(102, |g| {
        g.config
            .current
            .insert("hostpci0".to_owned(), "0000:01:00.0".to_owned());
        g.config.current.insert(
            "net1".to_owned(),
            "virtio=BC:24:11:00:01:99,bridge=vmbr7".to_owned(),
        );
    });
    let plan = lab.plan(vec![migrated(102, GuestKind::Qemu)]);
    assert!(has(&plan, "vm/102 will-fail GU07"), "{:?}", facts(&plan));
    let plan = lab.plan(vec![migrated(301, GuestKind::Lxc)]);
    assert!(
        has(&plan, "ct/301 restarted GU07 (transient)"),
        "{:?}",
        facts(&plan)
    );
    assert!(plan.steps[0].notes[0].contains("local disks are copied"));
}

#[test]
fn gu07_fires_for_a_volume_that_a_snapshot_holds_in_its_place() {
    let mut lab = Lab::new();
    let before = lab.plan(vec![migrated(301, GuestKind::Lxc)]);
    assert!(
        !has(&before, "ct/301 will-fail GU07"),
        "{:?}",
        facts(&before)
    );
    lab.snapshot(301, "first");
    // ZFS sends snapshots along.
    let sent = lab.plan(vec![migrated(301, GuestKind::Lxc)]);
    assert!(!has(&sent, "ct/301 will-fail GU07"), "{:?}", facts(&sent));
    lab.edit_storage("local-zfs", |storage| {
        storage.storage_type = "lvmthin".to_owned();
    });
    let plan = lab.plan(vec![migrated(301, GuestKind::Lxc)]);
    assert!(has(&plan, "ct/301 will-fail GU07"), "{:?}", facts(&plan));
}

#[test]
fn gu07_silent_for_a_guest_on_shared_storage() {
    let plan = Lab::new().plan(vec![migrated(102, GuestKind::Qemu)]);
    assert!(of_rule(&plan, "GU07").is_empty(), "{:?}", facts(&plan));
    assert_eq!(plan.steps[0].title, "migrate vm/102 from pve1 to pve2");
}

#[test]
fn gu08_fires_for_a_vmid_that_others_still_name() {
    let mut lab = Lab::new();
    lab.acl("/vms/9000");
    lab.volume(
        "pve1",
        "ceph-vm:vm-9001-disk-0",
        "images",
        Bytes(1 << 30),
        Some(9001),
    );
    lab.volume(
        "pve1",
        "local:vztmpl/d.tar.zst",
        "vztmpl",
        Bytes(1 << 20),
        None,
    );
    let mut free = guest(GuestKind::Qemu, None, "auto");
    free.node = Some(node("pve1"));
    assert!(lab.plan(vec![doc(free)]).steps[0].title.contains("vm/9002"));
    let mut named = guest(GuestKind::Qemu, Some(9000), "named");
    named.node = Some(node("pve1"));
    let plan = lab.plan(vec![doc(named)]);
    assert!(
        plan.impacts
            .iter()
            .any(|i| i.category == Category::GainsPrivilege && i.rule == "GU08"),
        "{:?}",
        facts(&plan)
    );
    let mut privileged = guest(GuestKind::Lxc, Some(9009), "root");
    privileged.node = Some(node("pve1"));
    privileged
        .create_only
        .insert("unprivileged".to_owned(), Value::Plain("0".to_owned()));
    privileged.create_only.insert(
        "ostemplate".to_owned(),
        Value::Plain("local:vztmpl/d.tar.zst".to_owned()),
    );
    privileged
        .disks
        .insert(slot("rootfs"), Wish::Set(sized("ceph-vm", 8)));
    assert!(has(
        &lab.plan(vec![doc(privileged)]),
        "ct/9009 exposed GU08"
    ));
}

#[test]
fn gu08_silent_for_a_fresh_vmid() {
    let mut fresh = guest(GuestKind::Qemu, Some(9000), "fresh");
    fresh.node = Some(node("pve1"));
    let plan = Lab::new().plan(vec![doc(fresh)]);
    assert!(of_rule(&plan, "GU08").is_empty(), "{:?}", facts(&plan));
}

#[test]
fn st05_fires_with_what_a_deleted_storage_holds() {
    let mut lab = Lab::new();
    for (id, content) in [
        ("local:vztmpl/debian.tar.zst", "vztmpl"),
        ("local:iso/debian.iso", "iso"),
    ] {
        lab.volume("pve1", id, content, Bytes(1 << 30), None);
    }
    let plan = delete_storage(&mut lab, "local");
    let page = text(&plan, &Style::default());
    assert!(
        page.contains("on local lie 1 ISO image, 1 container template"),
        "{page}"
    );
}

#[test]
fn st05_silent_for_an_empty_storage() {
    let mut lab = Lab::new();
    lab.storage("bare", "dir", "iso", false, 100);
    let page = text(&delete_storage(&mut lab, "bare"), &Style::default());
    assert!(!page.contains("on bare lie"), "{page}");
}

#[test]
fn st06_fires_for_guests_on_nodes_that_lose_their_backup_storage() {
    let mut lab = Lab::new();
    lab.backup_job("nightly", "nas", &[102, 104]);
    lab.edit(104, |g| g.node = node("pve2"));
    let plan = lab.plan(vec![storage_doc("nas", None, &[("nodes", "pve1")])]);
    assert!(has(&plan, "vm/104 unprotected ST06"), "{:?}", facts(&plan));
    assert!(!has(&plan, "vm/102 unprotected ST06"), "{:?}", facts(&plan));
}

/// Backups of vm/104: one on `nas` of November 2023, one on `vault` of a year earlier.
fn lab_with_two_backups() -> Lab {
    let mut lab = Lab::new();
    lab.storage("vault", "nfs", "backup", true, 4000);
    for (id, second) in [("nas", 1_699_000_000), ("vault", 1_667_000_000)] {
        let volume = format!("{id}:backup/vzdump-qemu-104-x.vma.zst");
        lab.volume("pve1", &volume, "backup", Bytes(1 << 30), Some(104));
        lab.edit_storage(id, |storage| {
            for listed in storage.volumes.values_mut() {
                for volume in std::sync::Arc::make_mut(listed).values_mut() {
                    volume.created = Some(second);
                }
            }
        });
    }
    lab
}

#[test]
fn st06_fires_when_only_an_older_backup_stays() {
    let mut lab = lab_with_two_backups();
    let plan = delete_storage(&mut lab, "nas");
    let found = plan
        .impacts
        .iter()
        .find(|i| i.entity == "vm/104" && i.before.starts_with("its newest"))
        .unwrap();
    assert_eq!(
        (found.before.as_str(), found.after.as_str()),
        (
            "its newest backup is of 2023-11-03 08:26Z",
            "of 2022-10-28 23:33Z"
        )
    );
    assert_eq!(
        (found.category, found.rule.as_str()),
        (Category::Unprotected, "ST06")
    );
    assert_eq!(
        found.causes,
        ["its newest backup lies on nas; the newest that is left lies on vault"]
    );
    assert_eq!(found.steps, plan.steps.iter().map(|step| step.id).collect());
}

#[test]
fn st06_silent_when_the_newest_backup_stays() {
    let mut lab = lab_with_two_backups();
    let plan = delete_storage(&mut lab, "vault");
    let told = |impact: &Impact| impact.before.starts_with("its newest");
    assert!(!plan.impacts.iter().any(told), "{:?}", facts(&plan));
}

#[test]
fn st07_fires_with_what_lvmthin_hides() {
    let mut lab = Lab::new();
    lab.storage("thin", "lvmthin", "images", false, 900);
    lab.guest(
        GuestKind::Qemu,
        900,
        "tpl",
        "pve1",
        Status::Stopped,
        &[
            ("template", "1"),
            ("boot", "order=scsi0"),
            ("scsi0", "thin:base-900-disk-0,size=8G"),
        ],
    );
    for plan in [
        delete_storage(&mut lab, "thin"),
        delete_guest(&mut lab, 900),
    ] {
        let page = text(&plan, &Style::default());
        assert!(
            page.contains("which linked clones depend on it is unknown"),
            "{page}"
        );
    }
}

#[test]
fn st07_silent_where_names_tell_the_parent() {
    let mut lab = Lab::new();
    lab.edit(105, |g| {
        g.template = true;
        g.config
            .current
            .insert("template".to_owned(), "1".to_owned());
    });
    let page = text(&delete_guest(&mut lab, 105), &Style::default());
    assert!(!page.contains("LVM-thin"), "{page}");
}

#[test]
fn st09_fires_with_everybody_who_shares_the_storage() {
    let mut lab = Lab::new();
    lab.storage("small", "zfspool", "images", false, 80);
    lab.guest(
        GuestKind::Qemu,
        111,
        "tenant",
        "pve1",
        Status::Stopped,
        &[
            ("boot", "order=scsi0"),
            ("scsi0", "small:vm-111-disk-0,size=8G"),
        ],
    );
    for slot in ["scsi0", "scsi1"] {
        let plan = lab.plan(vec![doc(with_disk(vm(104), slot, on("small")))]);
        let impact = plan.impacts.iter().find(|i| i.rule == "ST09").unwrap();
        assert_eq!(impact.notes, ["shared with vm/111"], "{impact:?}");
    }
}

#[test]
fn gu03_fires_with_the_name_of_everything_that_names_the_guest() {
    let mut lab = Lab::new();
    lab.backup_job("nightly", "nas", &[104, 105]);
    lab.ha(104, "started");
    lab.world.ha_rules.insert(
        "keep-apart".to_owned(),
        std::sync::Arc::new(crate::world::HaRule {
            rule_type: "resource-affinity".to_owned(),
            resources: [vmid(104), vmid(105)].into(),
            nodes: Default::default(),
            strict: false,
            disabled: false,
            options: Default::default(),
        }),
    );
    lab.guest(
        GuestKind::Qemu,
        111,
        "twin",
        "pve1",
        Status::Stopped,
        &[("scsi1", "ceph-vm:vm-104-disk-1,size=100G")],
    );
    let plan = delete_guest(&mut lab, 104);
    assert!(has(&plan, "vm/111 data-lost GU03"), "{:?}", facts(&plan));
    let page = text(&plan, &Style::default());
    for named in ["backup job nightly", "HA rule keep-apart", "firewall"] {
        assert!(page.contains(named), "{named}: {page}");
    }
}

#[test]
fn gu08_fires_for_jobs_backups_and_names() {
    let mut lab = Lab::new();
    lab.backup_job("nightly", "nas", &[9000]);
    lab.volume(
        "pve1",
        "nas:backup/vzdump-qemu-9000-a.vma.zst",
        "backup",
        Bytes(1 << 30),
        Some(9000),
    );
    let mut named = guest(GuestKind::Qemu, Some(9000), "web-4");
    named.node = Some(node("pve1"));
    let plan = lab.plan(vec![doc(named)]);
    let page = text(&plan, &Style::default());
    for fact in [
        "backup-job/nightly",
        "it still names 9000",
        "nas:backup/vzdump-qemu-9000-a.vma.zst",
        "vm/104 is called web-4 too",
    ] {
        assert!(page.contains(fact), "{fact}: {page}");
    }
}
