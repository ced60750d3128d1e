//! Taking runs back.

use std::collections::BTreeSet;

use super::fixture::*;
use crate::document::desired::Power;
use crate::ids::GuestKind;
use crate::plan::{Item, Plan, Risk, StepId, check, undo};

fn ran(lab: &mut Lab, items: Vec<Item>) -> Plan {
    let plan = lab.plan(items.clone());
    lab.world = lab.after(&plan);
    let numbers: Vec<u32> = lab.world.guests.keys().map(|vmid| vmid.get()).collect();
    for number in numbers {
        lab.edit(number, |g| g.config.digest = format!("{:040}", number + 1));
    }
    lab.ownership = lab.ownership.after(&plan, &items, &lab.secrets, &lab.world);
    plan
}

fn back(lab: &Lab, plan: &Plan) -> Plan {
    let done: BTreeSet<StepId> = plan.steps.iter().map(|s| s.id).collect();
    let back = undo(plan, &done, &lab.input(Vec::new())).unwrap();
    assert_eq!(check(&back), vec![], "{back:#?}");
    back
}

fn new_vm() -> Item {
    let mut web = guest(GuestKind::Qemu, Some(9000), "web-7");
    web.node = Some(node("pve1"));
    web.power = Some(Power::Running);
    doc(with_disk(web, "scsi0", sized("ceph-vm", 32)))
}

#[test]
fn a_new_vm_and_a_memory_change_are_taken_back() {
    let mut lab = Lab::new();
    let plan = ran(
        &mut lab,
        vec![new_vm(), doc(set(vm(102), "memory", "6144"))],
    );
    let back = back(&lab, &plan);
    assert_eq!(
        titles(&back),
        [
            "set back vm/102 memory 6144 → 4096",
            "stop vm/9000",
            "destroy vm/9000 web-7"
        ]
    );
    assert_eq!(back.risk, Risk::High);
    let ownership = lab.ownership.after(&back, &[], &lab.secrets, &lab.world);
    assert!(!ownership.objects.contains_key("vm/9000"));
    assert!(ownership.objects.contains_key("vm/102"));
}

#[test]
fn what_someone_changed_since_stays() {
    let mut lab = Lab::new();
    let plan = ran(
        &mut lab,
        vec![doc(set(set(vm(105), "memory", "6144"), "cores", "4"))],
    );
    lab.edit(105, |g| {
        g.config
            .current
            .insert("memory".to_owned(), "8192".to_owned());
    });
    let back = back(&lab, &plan);
    assert_eq!(titles(&back), ["set back vm/105 cores (removed)"]);
    assert_eq!(
        back.notes,
        ["not undone: vm/105 memory was changed by someone since (8192, we left 6144)"]
    );
}

#[test]
fn a_guest_made_anew_is_not_destroyed() {
    let mut lab = Lab::new();
    let plan = ran(&mut lab, vec![new_vm()]);
    lab.edit(9000, |g| {
        g.config.current.insert(
            "smbios1".to_owned(),
            "uuid=aaaaaaaa-0000-0000-0000-000000000000".to_owned(),
        );
    });
    lab.ownership.objects.get_mut("vm/9000").unwrap().birth =
        Some("uuid:bbbbbbbb-0000-0000-0000-000000000000".to_owned());
    let back = back(&lab, &plan);
    assert!(back.steps.is_empty(), "{:?}", titles(&back));
    assert!(
        back.notes
            .iter()
            .any(|n| n.contains("made anew by someone")),
        "{:?}",
        back.notes
    );
}

#[test]
fn a_move_and_a_deleted_storage_come_back_in_order() {
    let mut lab = Lab::new();
    lab.edit(301, |g| {
        g.config.current.remove("mp1");
    });
    lab.own("storage/local-zfs", "Storage/local-zfs");
    let plan = ran(
        &mut lab,
        vec![
            removed("Storage/local-zfs", true),
            doc(with_disk(vm(104), "scsi0", on("ceph-vm"))),
        ],
    );
    let back = back(&lab, &plan);
    assert_eq!(
        titles(&back),
        [
            "define storage/local-zfs (zfspool) again",
            "move vm/104 scsi0 back from ceph-vm to local-zfs"
        ]
    );
    assert!(back.steps[1].needs.contains(&back.steps[0].id));
}

#[test]
fn only_steps_that_were_done_are_taken_back() {
    let mut lab = Lab::new();
    let items = vec![
        doc(set(vm(102), "memory", "6144")),
        doc(set(vm(105), "memory", "6144")),
    ];
    let plan = ran(&mut lab, items);
    let first = BTreeSet::from([plan.steps[0].id]);
    let back = undo(&plan, &first, &lab.input(Vec::new())).unwrap();
    assert_eq!(titles(&back), ["set back vm/102 memory 6144 → 4096"]);
}

#[test]
fn growth_is_not_taken_back_and_says_so() {
    let mut lab = Lab::new();
    let plan = ran(
        &mut lab,
        vec![doc(with_disk(vm(102), "scsi0", sized("ceph-vm", 40)))],
    );
    let back = back(&lab, &plan);
    assert!(back.steps.is_empty());
    assert_eq!(
        back.notes,
        ["not undone: grow vm/102 scsi0 32 GiB → 40 GiB: a disk cannot shrink"]
    );
}

#[test]
fn a_detached_disk_is_attached_again() {
    let mut lab = Lab::new();
    let plan = ran(&mut lab, vec![doc(without_disk(vm(104), "scsi1"))]);
    let back = back(&lab, &plan);
    assert_eq!(
        titles(&back),
        ["set back vm/104 scsi1 → ceph-vm:vm-104-disk-1,size=100G"]
    );
    let end = lab.after(&back);
    assert!(end.guests[&vmid(104)].config.current.contains_key("scsi1"));
}

#[test]
fn g7_fires_when_an_undo_takes_others_pending_changes_along() {
    let mut lab = Lab::new();
    let plan = ran(&mut lab, vec![doc(set(vm(105), "memory", "6144"))]);
    lab.edit(105, |g| {
        g.config.pending.push(crate::world::Pending {
            key: "cores".to_owned(),
            value: Some("8".to_owned()),
            force: false,
        });
    });
    let taken = back(&lab, &plan);
    assert!(
        taken
            .notes
            .iter()
            .any(|n| n.contains("somebody's pending change") && n.contains("cores")),
        "{:?}",
        taken.notes
    );
    lab.edit(105, |g| g.config.pending.clear());
    assert!(back(&lab, &plan).notes.is_empty());
}

#[test]
fn a_guest_that_was_moved_and_started_is_shut_down_and_moved_back_stopped() {
    let mut lab = Lab::new();
    lab.edit(105, |g| g.status = crate::world::Status::Stopped);
    let mut moved = vm(105);
    let from = lab.world.guests[&vmid(105)].node.clone();
    moved.node = Some(node(if from.as_str() == "pve1" {
        "pve2"
    } else {
        "pve1"
    }));
    moved.power = Some(Power::Running);
    let plan = ran(&mut lab, vec![doc(moved)]);
    let back = back(&lab, &plan);
    let running: Vec<bool> = back
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            crate::world::Action::Migrate { running, .. } => Some(*running),
            _ => None,
        })
        .collect();
    assert_eq!(running, [false], "{:?}", titles(&back));
}
