//! Safety copies: taken before a guest is destroyed, counted, and deleted once they are old enough.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::fixture::*;
use crate::health::Category;
use crate::ids::{Bytes, GuestKind};
use crate::plan::{
    Inverse, Origin, Plan, Precondition, Risk, SafetyCopy, StepId, check, clean_up, undo,
};
use crate::world::{Action, Part};

const DAY: u64 = 86_400;

fn lab() -> Lab {
    let mut lab = Lab::new();
    lab.settings.safety_copy = Some(SafetyCopy {
        storage: storage_id("nas"),
        keep_for: 14 * DAY,
    });
    lab
}

fn destroyed(lab: &mut Lab, number: u32) -> Plan {
    let (object, document) = owned(lab, number);
    lab.own(&object, &document);
    lab.plan(vec![removed(&document, true)])
}

fn owned(lab: &Lab, number: u32) -> (String, String) {
    let guest = &lab.world.guests[&vmid(number)];
    let kind = match guest.kind {
        GuestKind::Qemu => "VirtualMachine",
        GuestKind::Lxc => "Container",
    };
    (guest.entity(), format!("{kind}/{number}"))
}

fn refusal(lab: &mut Lab, number: u32) -> String {
    let (object, document) = owned(lab, number);
    lab.own(&object, &document);
    lab.refused(vec![removed(&document, true)])
}

fn causes(plan: &Plan, rule: &str) -> Vec<String> {
    let of_rule = plan.impacts.iter().filter(|impact| impact.rule == rule);
    of_rule.flat_map(|impact| impact.causes.clone()).collect()
}

#[test]
fn a_guest_is_stopped_backed_up_and_then_destroyed() {
    let mut lab = lab();
    lab.ha(104, "started");
    let plan = destroyed(&mut lab, 104);
    assert_eq!(
        titles(&plan),
        [
            "ask HA to have vm/104 stopped",
            "back up vm/104 web-4 to nas, before it is destroyed",
            "take vm/104 out of HA",
            "destroy vm/104 web-4"
        ]
    );
    let copy = &plan.steps[1];
    assert_eq!(
        copy.action,
        Action::BackUpGuest {
            kind: GuestKind::Qemu,
            vmid: vmid(104),
            node: node("pve1"),
            storage: storage_id("nas"),
            notes: "bailiwick: safety copy of vm/104, kept for 14d".to_owned(),
        }
    );
    // Nothing that takes something away begins before the copy is there.
    for step in &plan.steps[2..] {
        assert!(step.needs.contains(&copy.id) || step.needs.contains(&StepId(3)));
    }
    let destroy = plan.steps.last().unwrap();
    assert!(
        destroy.preconditions.contains(&Precondition::SafetyCopyIs {
            vmid: vmid(104),
            node: node("pve1"),
            storage: storage_id("nas"),
            notes: "bailiwick: safety copy of vm/104, kept for 14d".to_owned(),
        }),
        "{:?}",
        destroy.preconditions
    );
    let taken = copy.preconditions.iter();
    assert!(taken.clone().any(|p| matches!(
        p,
        Precondition::Status {
            status: crate::world::Status::Stopped,
            ..
        }
    )));
    assert!(
        matches!(&copy.inverse, Inverse::Actions { actions, remains }
        if actions.is_empty() && remains.len() == 1)
    );
    assert!(matches!(&destroy.inverse, Inverse::Irreversible { why }
        if why.contains("its safety copy on nas, which is kept for 14d")));
}

#[test]
fn gu01_says_what_the_copy_has_and_what_is_lost_all_the_same() {
    let mut lab = lab();
    lab.snapshot(104, "before");
    lab.edit(104, |guest| {
        let config = &mut guest.config.current;
        let disk = "ceph-vm:vm-104-disk-1,backup=0,size=100G";
        config.insert("scsi1".to_owned(), disk.to_owned());
        config.insert("unused0".to_owned(), "ceph-vm:vm-104-disk-2".to_owned());
    });
    let plan = destroyed(&mut lab, 104);
    assert_eq!(
        causes(&plan, "GU01"),
        [
            "scsi0 (32 GiB on local-zfs); the safety copy on nas has it",
            "scsi1 (100 GiB on ceph-vm); not in the safety copy: it has `backup=0`",
            "snapshot before; not in the safety copy",
            "unused0 (size unknown, on ceph-vm); not in the safety copy: unused volumes are in no backup",
            "it runs now and is destroyed"
        ]
    );
    let first = &plan.impacts[0];
    assert_eq!(first.category, Category::DataLost);
    assert_eq!(first.after, "only in the safety copy");
    assert_eq!(
        first.notes,
        [
            "one backup of it stays",
            "it can be restored from the safety copy on nas as it was when it was backed up, for 14d from then on: by a document with `restoreFrom`"
        ]
    );
    assert_eq!(plan.risk, Risk::High);
    let copy = &plan.steps[1];
    assert!(
        copy.notes
            .iter()
            .any(|note| note
                == "not in it, and lost: scsi1 (it has `backup=0`), unused0 (unused volumes are in no backup)"),
        "{:?}",
        copy.notes
    );
}

#[test]
fn a_container_keeps_its_root_and_what_asks_for_backups() {
    let mut lab = lab();
    let plan = destroyed(&mut lab, 301);
    assert_eq!(
        causes(&plan, "GU01")[..2],
        [
            "mp1 (200 GiB on local-zfs); not in the safety copy: it has no `backup=1`".to_owned(),
            "rootfs (8 GiB on ceph-vm); the safety copy on nas has it".to_owned(),
        ]
    );
}

#[test]
fn nobody_asks_or_nothing_to_lose_no_copy_and_the_same_plan_as_ever() {
    let mut without = Lab::new();
    let plain = destroyed(&mut without, 104);
    assert_eq!(titles(&plain), ["stop vm/104", "destroy vm/104 web-4"]);
    let mut lab = lab();
    lab.guest(
        GuestKind::Qemu,
        106,
        "empty",
        "pve1",
        crate::world::Status::Stopped,
        &[("memory", "512"), ("ide2", "none,media=cdrom")],
    );
    assert_eq!(titles(&destroyed(&mut lab, 106)), ["destroy vm/106 empty"]);
    // A plan that destroys nothing does not depend on the setting.
    let memory = vec![doc(set(vm(102), "memory", "6144"))];
    assert_eq!(
        lab.plan(memory.clone()).hash,
        {
            lab.settings.safety_copy = None;
            lab.plan(memory)
        }
        .hash
    );
}

#[test]
fn a_storage_that_cannot_take_backups_keeps_the_guest() {
    let refused = |change: &dyn Fn(&mut Lab)| {
        let mut lab = lab();
        change(&mut lab);
        refusal(&mut lab, 104)
    };
    let without = "vm/104 is not destroyed without the safety copy that the configuration of this cluster asks for (`safetyCopy`), and ";
    for (change, why) in [
        (
            (&|lab: &mut Lab| {
                lab.settings.safety_copy.as_mut().unwrap().storage = storage_id("gone");
            }) as &dyn Fn(&mut Lab),
            "storage gone does not exist",
        ),
        (
            &|lab: &mut Lab| {
                lab.settings.safety_copy.as_mut().unwrap().storage = storage_id("ceph-vm");
            },
            "storage ceph-vm may not hold backups (its content lacks `backup`)",
        ),
        (
            &|lab: &mut Lab| lab.edit_storage("nas", |storage| storage.disabled = true),
            "storage nas is disabled",
        ),
        (
            &|lab: &mut Lab| {
                lab.edit_storage("nas", |storage| {
                    storage.nodes = Some(BTreeSet::from([node("pve2")]));
                });
            },
            "node pve1 may not use storage nas",
        ),
        (
            &|lab: &mut Lab| {
                let on = lab.world.nodes.get_mut(&node("pve1")).unwrap();
                let states = &mut Arc::make_mut(on).storages;
                states.get_mut(&storage_id("nas")).unwrap().active = false;
            },
            "storage nas is not active on node pve1",
        ),
    ] {
        let text = refused(change);
        assert!(text.contains(&format!("{without}{why}")), "{text}");
    }
    let unread = refused(&|lab: &mut Lab| lab.unread(Part::NodeStorage(node("pve1"))));
    assert!(
        unread.contains("the storages' state on node pve1, where the safety copy of vm/104 goes"),
        "{unread}"
    );
    let unlisted = refused(&|lab: &mut Lab| {
        lab.unread(Part::StorageContent(node("pve1"), storage_id("nas")));
        lab.edit_storage("nas", |storage| storage.volumes.clear());
    });
    assert!(
        unlisted.contains("the content of storage nas on node pve1, where the safety copy"),
        "{unlisted}"
    );
}

#[test]
fn the_storage_of_the_copies_stays_as_it_is() {
    let mut lab = lab();
    lab.own("vm/104", "VirtualMachine/104");
    let items = vec![
        removed("VirtualMachine/104", true),
        storage_doc("nas", None, &[("content", "iso")]),
    ];
    let text = lab.refused(items);
    assert!(
        text.contains("safety copies go to storage nas, which the same plan changes"),
        "{text}"
    );
}

#[test]
fn a_locked_guest_and_a_full_storage_will_fail() {
    let mut locked = lab();
    locked.edit(105, |guest| guest.lock = Some("backup".to_owned()));
    let plan = destroyed(&mut locked, 105);
    let copy = plan.steps.iter().find(|step| {
        matches!(step.action, Action::BackUpGuest { .. })
            && plan
                .impacts
                .iter()
                .any(|i| i.category == Category::WillFail && i.steps.contains(&step.id))
    });
    assert!(copy.is_some(), "{:?}", facts(&plan));

    let mut limited = lab();
    limited.edit_storage("nas", |storage| {
        let options = &mut storage.options;
        options.insert("max-protected-backups".to_owned(), "0".to_owned());
    });
    let plan = destroyed(&mut limited, 105);
    assert!(
        causes(&plan, "GU01")
            .iter()
            .any(|cause| cause.contains("takes at most 0 protected backups of a guest")),
        "{:?}",
        plan.impacts
    );
}

#[test]
fn st09_tells_that_a_copy_may_not_fit() {
    let free = |bytes: Option<u64>| {
        let mut lab = lab();
        for name in ["pve1", "pve2"] {
            let on = Arc::make_mut(lab.world.nodes.get_mut(&node(name)).unwrap());
            let state = on.storages.get_mut(&storage_id("nas")).unwrap();
            state.available = bytes.map(Bytes);
        }
        let plan = destroyed(&mut lab, 105);
        let on_nas = plan.impacts.iter().filter(|i| i.entity == "storage/nas");
        on_nas.map(|i| i.category).collect::<Vec<_>>()
    };
    assert_eq!(free(Some(8 << 30)), []);
    assert_eq!(free(Some(7 << 30)), [Category::Tight]);
    assert_eq!(free(Some(0)), [Category::WontFit]);
    assert_eq!(free(None), [Category::Unknown]);
}

#[test]
fn what_a_run_made_is_backed_up_before_its_undo_destroys_it() {
    let mut lab = lab();
    let mut web = guest(GuestKind::Qemu, Some(9000), "web-7");
    web.node = Some(node("pve1"));
    let items = vec![doc(with_disk(web, "scsi0", sized("ceph-vm", 32)))];
    let plan = lab.plan(items.clone());
    lab.world = lab.after(&plan);
    lab.edit(9000, |guest| guest.config.digest = "1".repeat(40));
    lab.ownership = lab.ownership.after(&plan, &items, &lab.secrets, &lab.world);
    let done: BTreeSet<StepId> = plan.steps.iter().map(|step| step.id).collect();
    let back = undo(&plan, &done, &lab.input(Vec::new())).unwrap();
    assert_eq!(check(&back), vec![]);
    assert_eq!(
        titles(&back),
        [
            "back up vm/9000 web-7 to nas, before it is destroyed",
            "destroy vm/9000 web-7"
        ]
    );
}

/// A copy that was taken so many seconds ago.
fn copy(lab: &mut Lab, number: u32, ago: u64, notes: &str, protected: bool) -> String {
    let name = format!("nas:backup/vzdump-qemu-{number}-{ago}.vma.zst");
    lab.volume("pve1", &name, "backup", Bytes(1 << 30), Some(number));
    let now = lab.world.observed_at.as_second();
    lab.edit_storage("nas", |storage| {
        for volumes in storage.volumes.values_mut() {
            if let Some(file) = Arc::make_mut(volumes).get_mut(&volume(&name)) {
                file.created = Some(now - i64::try_from(ago).unwrap());
                file.notes = Some(notes.to_owned());
                file.protected = protected;
            }
        }
    });
    name
}

fn cleaned(lab: &Lab) -> Plan {
    let plan = clean_up(&lab.input(Vec::new())).unwrap();
    assert_eq!(check(&plan), vec![], "{plan:#?}");
    assert_eq!(plan.origin, Origin::CleanUp);
    plan
}

const NOTES: &str = "bailiwick: safety copy of vm/150, kept for 14d";

#[test]
fn st08_a_copy_that_is_old_enough_is_deleted_and_named_as_the_last_one() {
    let mut lab = lab();
    let old = copy(&mut lab, 150, 14 * DAY, NOTES, true);
    let plan = cleaned(&lab);
    assert_eq!(
        titles(&plan),
        [
            format!("take the protection off backup {old} of vm/150"),
            format!("delete backup {old} of vm/150")
        ]
    );
    assert_eq!(plan.steps[1].needs, BTreeSet::from([StepId(1)]));
    for step in &plan.steps {
        assert!(step.preconditions.contains(&Precondition::BackupIs {
            node: node("pve1"),
            volume: volume(&old),
            vmid: Some(vmid(150)),
            created: Some(1_700_000_000 - 14 * 86_400),
            notes: Some(NOTES.to_owned()),
        }));
    }
    assert_eq!(
        facts(&plan),
        [
            format!("volume/{old} data-lost ST08"),
            format!("volume/{old} last-copy ST08")
        ]
    );
    assert_eq!(plan.risk, Risk::High);
    // The same a minute later.
    let mut later = lab.input(Vec::new());
    later.now = later
        .now
        .checked_add(jiff::SignedDuration::from_mins(1))
        .unwrap();
    assert_eq!(clean_up(&later).unwrap().hash, plan.hash);
}

#[test]
fn st08_a_copy_of_a_guest_that_is_there_is_its_last_backup_or_not() {
    let notes = "bailiwick: safety copy of vm/105, kept for 1h";
    let mut lab = lab();
    let old = copy(&mut lab, 105, 3_600, notes, false);
    let plan = cleaned(&lab);
    assert_eq!(titles(&plan), [format!("delete backup {old} of vm/105")]);
    assert!(
        facts(&plan).contains(&"vm/105 last-copy ST06".to_owned()),
        "{:?}",
        facts(&plan)
    );
    copy(&mut lab, 105, 60, "nightly", false);
    assert_eq!(
        facts(&cleaned(&lab)),
        [format!("volume/{old} data-lost ST08")]
    );
}

#[test]
fn what_is_no_copy_to_the_letter_or_not_old_enough_stays() {
    let mut lab = lab();
    copy(&mut lab, 150, 14 * DAY - 1, NOTES, true);
    copy(&mut lab, 151, 400 * DAY, NOTES, true);
    copy(&mut lab, 150, 400 * DAY, &format!("{NOTES} - keep!"), true);
    copy(&mut lab, 150, 401 * DAY, "nightly", false);
    assert_eq!(titles(&cleaned(&lab)), Vec::<&str>::new());
    // Where nobody asks for copies, notes mean nothing.
    copy(&mut lab, 150, 15 * DAY, NOTES, true);
    assert_eq!(cleaned(&lab).steps.len(), 2);
    lab.settings.safety_copy = None;
    assert_eq!(titles(&cleaned(&lab)), Vec::<&str>::new());
}

#[test]
fn a_copy_that_stays_is_protected_again_by_an_undo() {
    let mut lab = lab();
    let old = copy(&mut lab, 150, 15 * DAY, NOTES, true);
    let plan = cleaned(&lab);
    lab.world = lab.world.apply(&plan.steps[0].action).unwrap();
    let done = BTreeSet::from([StepId(1)]);
    let back = undo(&plan, &done, &lab.input(Vec::new())).unwrap();
    assert_eq!(check(&back), vec![]);
    assert_eq!(
        titles(&back),
        [format!("have backup {old} protected again")]
    );
    lab.world = lab.world.apply(&plan.steps[1].action).unwrap();
    let back = undo(&plan, &done, &lab.input(Vec::new())).unwrap();
    assert_eq!(titles(&back), Vec::<&str>::new());
    assert!(back.notes.iter().any(|note| note.contains("is gone")));
}
