//! Clones and templates: from documents to steps.

use super::fixture::*;
use crate::document::desired::{Desired, DesiredClone, DesiredGuest, DesiredSnapshot, Power, Wish};
use crate::health::Category;
use crate::ids::GuestKind;
use crate::plan::Inverse;
use crate::world::{Action, Snapshot, Status};

fn from(number: u32) -> DesiredClone {
    DesiredClone {
        vmid: Some(vmid(number)),
        name: None,
        snapshot: None,
        full: None,
        storage: None,
        format: None,
    }
}

fn clone_of(number: u32, from: DesiredClone) -> DesiredGuest {
    DesiredGuest {
        clone_from: Some(from),
        ..guest(GuestKind::Qemu, Some(number), "copy")
    }
}

fn template(number: u32) -> DesiredGuest {
    DesiredGuest {
        template: Some(true),
        ..vm(number)
    }
}

fn with_template(lab: &mut Lab) {
    lab.guest(
        GuestKind::Qemu,
        900,
        "tpl",
        "pve1",
        Status::Stopped,
        &[
            ("template", "1"),
            ("onboot", "1"),
            ("ide2", "local:iso/debian.iso,media=cdrom"),
            ("net0", "virtio=BC:24:11:00:09:00,bridge=vmbr0"),
            ("scsi0", "local-zfs:base-900-disk-0,size=8G"),
            ("smbios1", "uuid=de2b7eec-7e84-4e29-a0c3-52313cb9f2ca"),
        ],
    );
    lab.edit(900, |guest| guest.template = true);
}

#[test]
fn a_clone_is_one_step_and_what_its_document_says_otherwise_are_more() {
    let mut lab = Lab::new();
    with_template(&mut lab);
    let mut copy = clone_of(
        901,
        DesiredClone {
            full: Some(true),
            ..from(900)
        },
    );
    copy.node = Some(node("pve2"));
    copy.power = Some(Power::Running);
    copy.pool = Some(Wish::Set(pool_id("prod")));
    let copy = with_disk(set(copy, "memory", "4096"), "scsi0", sized("ceph-vm", 20));
    let copy = without_disk(copy, "ide2");
    let plan = lab.plan(vec![doc(copy)]);
    assert_eq!(
        titles(&plan),
        [
            "clone vm/900 to vm/901 copy (a full copy)",
            "set vm/901 memory → 4096, ide2 (removed)",
            "move vm/901 scsi0 from local-zfs to ceph-vm (8 GiB)",
            "grow vm/901 scsi0 8 GiB → 20 GiB",
            "migrate vm/901 from pve1 to pve2",
            "start vm/901",
        ]
    );
    assert!(
        plan.steps[0].notes[0].contains("onboot"),
        "{:?}",
        plan.steps[0].notes
    );
    assert!(
        matches!(&plan.steps[0].inverse, Inverse::Actions { actions, .. }
        if matches!(actions[..], [Action::DestroyGuest { vmid, .. }] if vmid.get() == 901))
    );
}

#[test]
fn the_source_of_a_guest_that_is_there_does_not_count() {
    let lab = Lab::new();
    let plan = lab.plan(vec![doc(clone_of(105, from(999)))]);
    assert!(plan.steps.is_empty() && plan.changes.is_empty());
}

#[test]
fn a_template_is_linked_to_and_a_linked_clone_takes_no_room() {
    let mut lab = Lab::new();
    with_template(&mut lab);
    let plan = lab.plan(vec![doc(clone_of(901, from(900)))]);
    assert_eq!(
        titles(&plan),
        ["clone vm/900 to vm/901 copy (a linked clone)"]
    );
    let after = lab.world.apply(&plan.steps[0].action).unwrap();
    let clone = &after.guests[&vmid(901)];
    assert_eq!(
        clone.config.current["scsi0"],
        "local-zfs:base-900-disk-0/vm-901-disk-0,size=8G"
    );
    assert_eq!(clone.config.current["net0"], "virtio,bridge=vmbr0");
    assert!(!clone.template && !clone.config.current.contains_key("smbios1"));
    assert!(crate::world::predict::demand(&lab.world, &plan.steps[0].action).is_empty());
}

#[test]
fn a_source_is_made_a_template_before_it_is_linked_to() {
    let lab = Lab::new();
    let linked = DesiredClone {
        vmid: None,
        name: Some("old-5".to_owned()),
        full: Some(false),
        ..from(105)
    };
    let plan = lab.plan(vec![doc(clone_of(100, linked)), doc(template(105))]);
    assert_eq!(
        titles(&plan),
        [
            "turn vm/105 into a template",
            "clone vm/105 to vm/100 copy (a linked clone)"
        ]
    );
    assert_eq!(facts(&plan), ["vm/105 irreversible GU11"]);
}

#[test]
fn a_source_goes_only_after_it_was_cloned() {
    let mut lab = Lab::new();
    lab.own("vm/105", "VirtualMachine/105");
    let plan = lab.plan(vec![
        doc(clone_of(901, from(105))),
        removed("VirtualMachine/105", true),
    ]);
    assert_eq!(
        titles(&plan),
        [
            "clone vm/105 to vm/901 copy (a full copy)",
            "destroy vm/105 old-5"
        ]
    );
}

#[test]
fn gu09_fires_for_what_cannot_be_cloned() {
    let refused = |edit: &dyn Fn(&mut Lab), from: DesiredClone| {
        let mut lab = Lab::new();
        with_template(&mut lab);
        edit(&mut lab);
        lab.refused(vec![doc(clone_of(901, from))])
    };
    let linked = |number| DesiredClone {
        full: Some(false),
        ..from(number)
    };
    let named = |name: &str| DesiredClone {
        vmid: None,
        name: Some(name.to_owned()),
        ..from(105)
    };
    for (said, told) in [
        (refused(&|_| {}, from(999)), "999"),
        (refused(&|_| {}, named("none")), "none"),
        (refused(&|_| {}, linked(105)), "stands on a template"),
        (
            refused(
                &|lab| lab.edit(105, |g| g.lock = Some("backup".into())),
                from(105),
            ),
            "locked (backup)",
        ),
        (
            refused(
                &|lab| {
                    lab.edit(102, |g| {
                        let state = "ceph-vm:vm-102-disk-1,size=4M".to_owned();
                        g.config.current.insert("tpmstate0".to_owned(), state);
                    });
                },
                from(102),
            ),
            "TPM state of a running VM",
        ),
        (
            refused(
                &|lab| lab.edit(102, |g| g.name = Some("old-5".into())),
                named("old-5"),
            ),
            "are both called",
        ),
        (
            refused(
                &|_| {},
                DesiredClone {
                    storage: Some(storage_id("ceph-vm")),
                    ..from(900)
                },
            ),
            "lies where its base does",
        ),
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
}

#[test]
fn gu09_fires_where_copies_do_not_fit() {
    let mut lab = Lab::new();
    lab.storage("small", "zfspool", "images", false, 4);
    let onto = DesiredClone {
        storage: Some(storage_id("small")),
        ..from(105)
    };
    let plan = lab.plan(vec![doc(clone_of(901, onto))]);
    assert!(
        plan.impacts.iter().any(|i| i.category == Category::WontFit),
        "{:?}",
        facts(&plan)
    );
}

#[test]
fn gu09_silent_for_a_stopped_source_with_room() {
    let lab = Lab::new();
    let plan = lab.plan(vec![doc(clone_of(901, from(105)))]);
    assert_eq!(facts(&plan), Vec::<String>::new());
}

#[test]
fn gu11_fires_for_a_conversion_and_refuses_what_cannot_be() {
    let mut lab = Lab::new();
    let plan = lab.plan(vec![doc(template(105))]);
    assert_eq!(facts(&plan), ["vm/105 irreversible GU11"]);
    assert!(matches!(
        plan.steps[0].inverse,
        Inverse::Irreversible { .. }
    ));
    let after = lab.world.apply(&plan.steps[0].action).unwrap();
    let made = &after.guests[&vmid(105)];
    assert!(made.template);
    assert_eq!(
        made.config.current["scsi0"],
        "ceph-vm:base-105-disk-0,size=8G"
    );
    assert!(lab.refused(vec![doc(template(102))]).contains("runs"));
    lab.edit(105, |guest| {
        let taken = Snapshot::default();
        guest.config.snapshots.insert("before".to_owned(), taken);
    });
    assert!(lab.refused(vec![doc(template(105))]).contains("before"));
    with_template(&mut lab);
    let back = DesiredGuest {
        template: Some(false),
        ..vm(900)
    };
    assert!(
        lab.refused(vec![doc(back)])
            .contains("does not become a guest again")
    );
}

#[test]
fn gu11_silent_for_a_template_and_for_a_guest_that_is_none() {
    let mut lab = Lab::new();
    with_template(&mut lab);
    let stopped = DesiredGuest {
        power: Some(Power::Stopped),
        ..template(900)
    };
    let none = DesiredGuest {
        template: Some(false),
        ..vm(105)
    };
    assert!(lab.plan(vec![doc(stopped), doc(none)]).steps.is_empty());
}

#[test]
fn a_running_guest_is_shut_down_first_where_its_document_says_so() {
    let lab = Lab::new();
    let wish = DesiredGuest {
        power: Some(Power::Stopped),
        ..template(102)
    };
    let plan = lab.plan(vec![doc(wish)]);
    assert_eq!(
        titles(&plan),
        ["shut down vm/102", "turn vm/102 into a template"]
    );
}

#[test]
fn a_clone_that_keeps_its_sources_address_is_told_and_one_with_its_own_is_not() {
    let mut lab = Lab::new();
    lab.edit(105, |guest| {
        let section = &mut guest.config.current;
        section.insert(
            "net0".to_owned(),
            "virtio=BC:24:11:00:01:05,bridge=vmbr0".to_owned(),
        );
        section.insert("ipconfig0".to_owned(), "ip=10.0.0.5/24".to_owned());
    });
    let shared = |plan: &crate::plan::Plan| -> Vec<String> {
        let told = facts(plan).into_iter();
        told.filter(|fact| fact.ends_with("GU14")).collect()
    };
    let plan = lab.plan(vec![doc(clone_of(901, from(105)))]);
    let both = ["vm/105 unreachable GU14", "vm/901 unreachable GU14"];
    assert_eq!(shared(&plan), both);
    let own = set(clone_of(901, from(105)), "ipconfig0", "ip=10.0.0.6/24");
    assert_eq!(shared(&lab.plan(vec![doc(own)])), Vec::<String>::new());
    // A template answers nobody.
    let kept = DesiredGuest {
        template: Some(true),
        ..clone_of(901, from(105))
    };
    assert_eq!(shared(&lab.plan(vec![doc(kept)])), Vec::<String>::new());
}

/// Steps run at once where nothing says otherwise; a storage stays until everything of the plan's own guests that lies there is done.
#[test]
fn a_storage_goes_after_every_step_of_a_clone_that_lies_there() {
    let mut lab = Lab::new();
    lab.edit(104, |guest| guest.status = Status::Stopped);
    lab.own("storage/local-zfs", "Storage/local-zfs");
    let copy = DesiredGuest {
        template: Some(true),
        ..clone_of(901, from(104))
    };
    let plan = lab.plan(vec![removed("Storage/local-zfs", true), doc(copy)]);
    let step = |part: &str| plan.steps.iter().find(|step| step.title.contains(part));
    let template = step("into a template").unwrap().id;
    let delete = step("delete storage/local-zfs").unwrap();
    assert!(delete.needs.contains(&template), "{:?}", titles(&plan));
}

/// Guest 102 is owned, and its document names 106 now.
fn renumbered(lab: &mut Lab, from: Option<DesiredClone>) -> crate::plan::Item {
    lab.own("vm/102", "VirtualMachine/db");
    let mut wanted = guest(GuestKind::Qemu, Some(106), "db");
    wanted.clone_from = from;
    wanted.power = Some(Power::Running);
    item(
        "VirtualMachine/db",
        crate::document::desired::Desired::Guest(Box::new(wanted)),
    )
}

#[test]
fn another_number_is_a_clone_that_is_asked_for() {
    let mut lab = Lab::new();
    let wanted = renumbered(&mut lab, None);
    let why = lab.refused(vec![wanted]);
    assert!(why.contains("write `cloneFrom: {vmid: 102}`"), "{why}");
    for other in [
        from(104),
        DesiredClone {
            full: Some(false),
            ..from(102)
        },
    ] {
        let wanted = renumbered(&mut lab, Some(other));
        lab.refused(vec![wanted]);
    }
    let mut wanted = renumbered(&mut lab, Some(from(102)));
    if let crate::plan::Wanted::Present(crate::document::desired::Desired::Guest(guest)) =
        &mut wanted.wanted
    {
        guest.vmid = Some(vmid(105));
    }
    let why = lab.refused(vec![wanted]);
    assert!(why.contains("vm/105 is there already"), "{why}");
}

#[test]
fn the_old_guest_is_retired_and_named_with_what_stays() {
    let mut lab = Lab::new();
    lab.snapshot(102, "before");
    lab.backup_job("weekly", "nas", &[102, 104]);
    lab.edit(102, |guest| {
        let on = ("onboot".to_owned(), "1".to_owned());
        guest.config.current.extend([on]);
    });
    let wanted = renumbered(&mut lab, Some(from(102)));
    let plan = lab.plan(vec![wanted.clone()]);
    assert_eq!(
        titles(&plan),
        [
            "shut down vm/102",
            "clone vm/102 to vm/106 db (a full copy)",
            "set vm/102 onboot 1 → 0",
            "start vm/106"
        ]
    );
    assert_eq!(plan.documents[0].object, "vm/106");
    assert_eq!(plan.documents[0].instead_of.as_deref(), Some("vm/102"));
    assert!(!plan.documents[0].adopts);
    let stopped = plan
        .impacts
        .iter()
        .any(|impact| impact.entity == "vm/102" && impact.category == Category::Stopped);
    assert!(stopped, "{:?}", facts(&plan));
    let notes = plan.notes.join("\n");
    for word in [
        "vm/102 is retired",
        "backup-job/weekly",
        "its snapshots (before)",
        "new MAC addresses in net0",
    ] {
        assert!(notes.contains(word), "{word}: {notes}");
    }
    assert!(!notes.contains("nothing happens to it"), "{notes}");
    let page = crate::plan::render::text(&plan, &crate::plan::render::Style::default());
    assert!(page.contains("instead of vm/102"), "{page}");

    // It is owned no more; the undo starts it again, with what it was, and gives it back to its document.
    let items = [wanted];
    lab.world = lab.after(&plan);
    lab.ownership = lab.ownership.after(&plan, &items, &lab.secrets, &lab.world);
    assert!(!lab.ownership.objects.contains_key("vm/102"));
    for number in [102, 106] {
        lab.edit(number, |g| g.config.digest = format!("{:040}", number + 1));
    }
    assert!(lab.plan(items.to_vec()).steps.is_empty());
    let done = plan.steps.iter().map(|step| step.id).collect();
    let back = crate::plan::undo(&plan, &done, &lab.input(Vec::new())).unwrap();
    assert_eq!(crate::plan::check(&back), vec![]);
    let order = titles(&back).join("; ");
    for title in [
        "set back vm/102 onboot 0 → 1",
        "destroy vm/106 db",
        "start vm/102",
    ] {
        assert!(order.contains(title), "{order}");
    }
    let again = &back.documents[0];
    assert_eq!(again.object, "vm/102");
    assert_eq!(again.instead_of.as_deref(), Some("vm/106"));
    let mut then = lab.ownership.after(&back, &[], &lab.secrets, &lab.world);
    let was = lab.ownership.objects["vm/106"].clone();
    assert!(then.own_again(again, &was, &lab.world));
    assert_eq!(then.objects.len(), 1);
    assert_eq!(then.objects["vm/102"].document, "VirtualMachine/db");
    assert_eq!(then.objects["vm/102"].vmid, Some(vmid(102)));
}

#[test]
fn a_stopped_guest_that_starts_by_hand_is_only_cloned() {
    let mut lab = Lab::new();
    lab.own("vm/105", "VirtualMachine/old");
    let mut wanted = guest(GuestKind::Qemu, Some(106), "old");
    wanted.clone_from = Some(from(105));
    let wanted = item(
        "VirtualMachine/old",
        crate::document::desired::Desired::Guest(Box::new(wanted)),
    );
    let plan = lab.plan(vec![wanted]);
    assert_eq!(titles(&plan), ["clone vm/105 to vm/106 old (a full copy)"]);
    assert_eq!(facts(&plan), Vec::<String>::new());
}

#[test]
fn a_pool_is_made_before_a_guest_is_cloned_into_it() {
    let lab = Lab::new();
    let copy = DesiredGuest {
        pool: Some(Wish::Set(pool_id("fresh"))),
        ..clone_of(901, from(105))
    };
    let plan = lab.plan(vec![doc(copy), pool_doc("fresh", None)]);
    assert_eq!(
        titles(&plan),
        [
            "make pool/fresh",
            "clone vm/105 to vm/901 copy (a full copy)"
        ]
    );
}

/// A machine on shared storage, with a snapshot of when it had less memory.
fn with_snapshot(lab: &mut Lab) {
    lab.snapshot(105, "clean");
    lab.edit(105, |guest| {
        let memory = "8192".to_owned();
        guest.config.current.insert("memory".to_owned(), memory);
    });
}

fn of_snapshot(number: u32, name: &str) -> DesiredClone {
    DesiredClone {
        snapshot: Some(name.parse().unwrap()),
        ..from(number)
    }
}

#[test]
fn a_clone_of_a_snapshot_is_as_the_guest_was_then() {
    let mut lab = Lab::new();
    with_snapshot(&mut lab);
    let plan = lab.plan(vec![doc(clone_of(901, of_snapshot(105, "clean")))]);
    assert_eq!(
        titles(&plan),
        ["clone snapshot clean of vm/105 to vm/901 copy (a full copy)"]
    );
    assert!(plan.steps[0].notes[0].contains("the settings in snapshot clean"));
    let after = lab.after(&plan);
    let clone = &after.guests[&vmid(901)];
    assert_eq!(clone.config.current["memory"], "2048");
    assert_eq!(
        clone.config.current["scsi0"],
        "ceph-vm:vm-901-disk-0,size=8G"
    );
    assert!(clone.config.snapshots.is_empty());
    // A container that runs is cloned from a snapshot only.
    lab.snapshot(301, "clean");
    let copy = |from| {
        doc(DesiredGuest {
            clone_from: Some(from),
            ..guest(GuestKind::Lxc, Some(902), "copy")
        })
    };
    let running = lab.plan(vec![copy(of_snapshot(301, "clean"))]);
    assert_eq!(
        titles(&running),
        ["clone snapshot clean of ct/301 to ct/902 copy (a full copy)"]
    );
    let said = lab.refused(vec![copy(from(301))]);
    assert!(said.contains("or from a snapshot"), "{said}");
}

#[test]
fn a_snapshot_that_cannot_be_cloned_is_told() {
    let mut lab = Lab::new();
    with_snapshot(&mut lab);
    lab.snapshot(104, "clean");
    let said = |lab: &Lab, from| lab.refused(vec![doc(clone_of(901, from))]);
    let none = said(&lab, of_snapshot(105, "claen"));
    assert!(
        none.contains("no snapshot `105/claen`") && none.contains("did you mean `clean`?"),
        "{none}"
    );
    let zfs = said(&lab, of_snapshot(104, "clean"));
    assert!(
        zfs.contains("scsi0 lies on local-zfs (zfspool), of which Proxmox VE copies no snapshot"),
        "{zfs}"
    );
    lab.own("vm/105", "VirtualMachine/901");
    let retired = said(&lab, of_snapshot(105, "clean"));
    assert!(retired.contains("leave `snapshot` out"), "{retired}");
    lab.ownership.objects.clear();
    lab.unread(crate::world::Part::GuestSnapshots(vmid(105)));
    let hidden = said(&lab, of_snapshot(105, "clean"));
    assert!(hidden.contains("could not be read"), "{hidden}");
}

#[test]
fn a_snapshot_of_the_same_plan_is_cloned_by_the_next_and_one_that_goes_before_it_does() {
    let mut lab = Lab::new();
    let wish = Desired::Snapshot(Box::new(DesiredSnapshot {
        vmid: vmid(105),
        name: "clean".parse().unwrap(),
        description: None,
        memory: None,
        keep_for: None,
    }));
    let snapshot = item("Snapshot/clean", wish);
    let clone = || doc(clone_of(901, of_snapshot(105, "clean")));
    let said = lab.refused(vec![clone(), snapshot]);
    assert!(said.contains("clone from it with the next one"), "{said}");
    with_snapshot(&mut lab);
    lab.own("snapshot/105/clean", "Snapshot/clean");
    let owned = lab.ownership.objects.get_mut("snapshot/105/clean").unwrap();
    owned.birth = Some("snaptime:1690000000".to_owned());
    let plan = lab.plan(vec![removed("Snapshot/clean", true), clone()]);
    assert!(titles(&plan)[0].starts_with("clone snapshot clean of vm/105"));
    assert!(
        matches!(&plan.steps[1].action, Action::DeleteSnapshot { .. })
            && plan.steps[1].needs.contains(&plan.steps[0].id),
        "{:?}",
        titles(&plan)
    );
}
