//! From documents to steps.

use super::fixture::*;
use crate::document::desired::{Power, SecretRef, Value, Wish};
use crate::ids::GuestKind;
use crate::plan::{Duration, Inverse, Restart, Risk};
use crate::world::{Action, Param, Pending, PowerAction, Status};

#[test]
fn a_new_vm_and_a_memory_change_are_of_low_risk() {
    let lab = Lab::new();
    let mut web = guest(GuestKind::Qemu, None, "web-7");
    web.node = Some(node("pve1"));
    web.power = Some(Power::Running);
    web.pool = Some(Wish::Set(pool_id("prod")));
    let web = with_disk(set(web, "memory", "2048"), "scsi0", sized("ceph-vm", 32));
    let plan = lab.plan(vec![doc(web), doc(set(vm(102), "memory", "6144"))]);
    assert_eq!(
        titles(&plan),
        [
            "set vm/102 memory 4096 → 6144",
            "create vm/9000 web-7 on pve1",
            "start vm/9000"
        ]
    );
    assert_eq!(facts(&plan), Vec::<String>::new());
    assert_eq!(plan.risk, Risk::Low);
    assert!(plan.complete);
    assert_eq!(
        plan.steps[0].notes,
        ["memory takes effect at the next stop and start"]
    );
    assert!(
        plan.documents
            .iter()
            .any(|d| d.adopts && d.object == "vm/102")
    );
}

#[test]
fn adopting_what_is_as_asked_writes_nothing() {
    let lab = Lab::new();
    let plan = lab.plan(vec![doc(set(vm(102), "memory", "4096"))]);
    assert!(plan.steps.is_empty() && plan.changes.is_empty());
    assert_eq!(plan.risk, Risk::None);
    assert!(plan.documents[0].adopts);
    let after = lab.ownership.after(
        &plan,
        &[doc(set(vm(102), "memory", "4096"))],
        &lab.secrets,
        &lab.world,
    );
    assert_eq!(after.objects["vm/102"].vmid, Some(vmid(102)));
    assert!(after.objects["vm/102"].managed.contains_key("memory"));
    let json = serde_json::to_string(&after).unwrap();
    assert_eq!(
        serde_json::from_str::<crate::plan::Ownership>(&json).unwrap(),
        after
    );
}

#[test]
fn values_are_compared_by_meaning() {
    let lab = Lab::new();
    let nic = set(vm(102), "net0", "model=virtio,firewall=on,bridge=vmbr0");
    assert!(lab.plan(vec![doc(nic)]).steps.is_empty());
    // A changed NIC keeps its MAC.
    let nic = set(vm(102), "net0", "virtio,bridge=vmbr1,firewall=1");
    let plan = lab.plan(vec![doc(nic)]);
    let Action::UpdateConfig { set, .. } = &plan.steps[0].action else {
        panic!()
    };
    let Param::Plain(value) = &set["net0"] else {
        panic!()
    };
    assert!(value.contains("BC:24:11:00:01:02"), "{value}");
}

#[test]
fn moves_grow_and_detach_are_steps_of_their_own() {
    let lab = Lab::new();
    let mut wanted = with_disk(vm(104), "scsi0", sized("ceph-vm", 40));
    wanted.disks.insert(slot("scsi1"), Wish::Remove);
    let plan = lab.plan(vec![doc(wanted)]);
    assert_eq!(
        titles(&plan),
        [
            "detach vm/104 scsi1 (ceph-vm:vm-104-disk-1), kept as unused",
            "move vm/104 scsi0 from local-zfs to ceph-vm (32 GiB)",
            "grow vm/104 scsi0 32 GiB → 40 GiB"
        ]
    );
    assert!(plan.steps[2].needs.contains(&plan.steps[1].id));
    assert!(matches!(
        plan.steps[2].inverse,
        Inverse::Irreversible { .. }
    ));
}

#[test]
fn a_disk_that_goes_before_its_storage_goes_has_no_permanent_impact() {
    let mut lab = Lab::new();
    lab.own("storage/local-zfs", "Storage/local-zfs");
    let gone = removed("Storage/local-zfs", true);
    let plan = lab.plan(vec![gone.clone()]);
    assert!(
        facts(&plan).contains(&"vm/104 won't-boot ST01".to_owned()),
        "{:?}",
        facts(&plan)
    );
    assert!(
        facts(&plan).contains(&"ct/301 degraded ST01".to_owned()),
        "{:?}",
        facts(&plan)
    );
    assert_eq!(plan.risk, Risk::High);
    let mut files = with_disk(ct(301), "mp1", on("ceph-vm"));
    files.power = Some(Power::Stopped);
    let plan = lab.plan(vec![
        gone,
        doc(with_disk(vm(104), "scsi0", on("ceph-vm"))),
        doc(files),
    ]);
    let permanent: Vec<_> = plan
        .impacts
        .iter()
        .filter(|i| i.duration == Duration::Permanent && i.rule.starts_with("ST"))
        .collect();
    assert!(permanent.is_empty(), "{permanent:#?}");
    assert_eq!(*titles(&plan).last().unwrap(), "delete storage/local-zfs");
}

#[test]
fn a_storage_made_in_the_plan_can_be_used_in_it() {
    let lab = Lab::new();
    let fast = storage_doc(
        "fast",
        Some("zfspool"),
        &[("pool", "tank"), ("content", "images")],
    );
    let disk = with_disk(vm(105), "scsi1", sized("fast", 8));
    let plan = lab.plan(vec![doc(disk.clone()), fast]);
    assert_eq!(plan.steps[0].title, "define storage/fast (zfspool)");
    assert!(plan.steps[1].needs.contains(&plan.steps[0].id));
    let problem = lab.refused(vec![doc(disk)]);
    assert!(problem.contains("there is no storage `fast`"), "{problem}");
}

#[test]
fn what_works_with_a_storage_is_done_before_its_definition_changes() {
    let lab = Lab::new();
    let narrower = storage_doc("nas", None, &[("content", "images")]);
    let disk = with_disk(vm(105), "scsi1", sized("nas", 8));
    let plan = lab.plan(vec![doc(disk), narrower]);
    let titles = titles(&plan);
    assert_eq!(titles.len(), 2, "{titles:?}");
    assert!(
        titles[1].starts_with("set storage/nas content"),
        "{titles:?}"
    );
    assert_eq!(plan.steps[1].needs, [plan.steps[0].id].into());
}

#[test]
fn what_the_plan_takes_away_cannot_be_used_in_it() {
    let mut lab = Lab::new();
    lab.own("storage/nas", "Storage/nas");
    lab.own("vm/104", "VirtualMachine/104");
    let disk = with_disk(vm(105), "scsi1", sized("nas", 8));
    let problem = lab.refused(vec![doc(disk), removed("Storage/nas", true)]);
    assert!(
        problem.contains("storage/nas is deleted by this plan"),
        "{problem}"
    );
    let pool = pool_doc("prod", Some(&[102, 104]));
    let problem = lab.refused(vec![pool, removed("VirtualMachine/104", true)]);
    assert!(
        problem.contains("vm/104 is destroyed by this plan"),
        "{problem}"
    );
    let narrowed = storage_doc("nas", None, &[("nodes", "pve2")]);
    let disk = with_disk(vm(105), "scsi1", sized("nas", 8));
    let problem = lab.refused(vec![doc(disk), narrowed]);
    assert!(problem.contains("pve1"), "{problem}");
}

#[test]
fn problems_are_told_all_at_once() {
    let mut lab = Lab::new();
    lab.own("vm/105", "VirtualMachine/other");
    let shrink = with_disk(vm(102), "scsi0", sized("ceph-wm", 8));
    let shrink = set(shrink, "args", "-foo");
    let smaller = with_disk(vm(104), "scsi0", sized("local-zfs", 8));
    let text = lab.refused(vec![
        doc(shrink),
        doc(smaller),
        doc(vm(105)),
        doc(ct(999)),
        doc(vm(301)),
        storage_doc("nas", Some("cifs"), &[("path", "/x")]),
    ]);
    for part in [
        "did you mean `ceph-vm`?",
        "only root@pam",
        "disks never shrink",
        "is owned by VirtualMachine/other of directory:docs",
        "on which `node`",
        "ct/301 is a container",
        "is fixed once it exists",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn missing_privileges_are_problems_with_path() {
    let mut lab = Lab::new();
    let mut permissions = (*lab.world.permissions).clone();
    permissions.insert("/vms/102".to_owned(), std::collections::BTreeMap::new());
    lab.world.permissions = std::sync::Arc::new(permissions);
    let text = lab.refused(vec![doc(set(vm(102), "memory", "6144"))]);
    assert!(
        text.contains("lacks `VM.Config.Memory` on `/vms/102`"),
        "{text}"
    );
}

#[test]
fn a_snapshot_holds_its_volume() {
    let mut lab = Lab::new();
    lab.snapshot(104, "before-upgrade");
    let text = lab.refused(vec![doc(with_disk(vm(104), "scsi0", on("ceph-vm")))]);
    assert!(text.contains("snapshot `before-upgrade`"), "{text}");
}

#[test]
fn templates_have_no_power() {
    let mut lab = Lab::new();
    lab.guest(
        GuestKind::Qemu,
        900,
        "tpl",
        "pve1",
        Status::Stopped,
        &[
            ("template", "1"),
            ("memory", "512"),
            ("scsi0", "ceph-vm:base-900-disk-0,size=8G"),
        ],
    );
    let mut wanted = vm(900);
    wanted.power = Some(Power::Running);
    assert!(
        lab.refused(vec![doc(wanted)])
            .contains("a template does not run")
    );
}

#[test]
fn restarts_are_only_steps_when_the_document_says_window() {
    let lab = Lab::new();
    for (restart, steps) in [(Restart::Never, 1), (Restart::Ask, 1), (Restart::Window, 2)] {
        let mut item = doc(set(vm(102), "memory", "6144"));
        item.restart = restart;
        let plan = lab.plan(vec![item]);
        assert_eq!(plan.steps.len(), steps, "{restart:?}");
        if restart == Restart::Window {
            assert!(matches!(
                &plan.steps[1].action,
                Action::SetPower {
                    power: PowerAction::Reboot { .. },
                    ..
                }
            ));
            assert_eq!(facts(&plan), ["vm/102 restarted GU06 (transient)"]);
            assert_eq!(plan.risk, Risk::Medium);
        }
    }
}

#[test]
fn a_value_that_waits_already_is_no_change() {
    let mut lab = Lab::new();
    lab.edit(102, |g| {
        g.config.pending.push(Pending {
            key: "memory".to_owned(),
            value: Some("6144".to_owned()),
            force: false,
        })
    });
    let plan = lab.plan(vec![doc(set(vm(102), "memory", "6144"))]);
    assert!(plan.steps.is_empty());
    assert!(
        plan.notes[0].contains("memory 6144 waits already"),
        "{:?}",
        plan.notes
    );
}

#[test]
fn deleting_a_guest_stops_it_takes_it_out_of_ha_and_destroys_it() {
    let mut lab = Lab::new();
    lab.ha(104, "started");
    lab.own("vm/104", "VirtualMachine/104");
    let plan = lab.plan(vec![removed("VirtualMachine/104", true)]);
    assert_eq!(
        titles(&plan),
        [
            "ask HA to have vm/104 stopped",
            "take vm/104 out of HA",
            "destroy vm/104 web-4"
        ]
    );
    let plan = lab.plan(vec![removed("VirtualMachine/104", false)]);
    assert!(plan.steps.is_empty());
    assert!(plan.notes[0].contains("no longer managed"));
    assert_eq!(plan.risk, Risk::None);
}

#[test]
fn a_pool_is_emptied_before_it_is_deleted() {
    let mut lab = Lab::new();
    lab.own("pool/prod", "Pool/prod");
    lab.own("vm/105", "VirtualMachine/105");
    for n in [104, 105] {
        lab.edit(n, |g| g.pool = Some(pool_id("prod")));
        std::sync::Arc::make_mut(lab.world.pools.get_mut(&pool_id("prod")).unwrap())
            .guests
            .insert(vmid(n));
    }
    let plan = lab.plan(vec![
        removed("Pool/prod", true),
        removed("VirtualMachine/105", true),
    ]);
    assert_eq!(
        titles(&plan),
        [
            "set pool/prod − 104",
            "destroy vm/105 old-5",
            "delete pool/prod"
        ]
    );
}

#[test]
fn secrets_are_compared_by_fingerprint_and_sent_after_creation() {
    let mut lab = Lab::new();
    let from = SecretRef::FromEnv("PW".to_owned());
    lab.secrets.insert(from.clone(), "f1".to_owned());
    let mut wanted = guest(GuestKind::Qemu, Some(9001), "new");
    wanted.node = Some(node("pve1"));
    wanted.options.insert(
        "cipassword".to_owned(),
        Wish::Set(Value::Secret(from.clone())),
    );
    let items = vec![doc(wanted)];
    let plan = lab.plan(items.clone());
    assert_eq!(
        titles(&plan),
        ["create vm/9001 new on pve1", "set vm/9001 cipassword"]
    );
    let text = serde_json::to_string(&plan).unwrap();
    assert!(text.contains("f1"));
    lab.world = lab.after(&plan);
    lab.ownership = lab.ownership.after(&plan, &items, &lab.secrets, &lab.world);
    assert!(lab.plan(items.clone()).steps.is_empty());
    lab.secrets.insert(from, "f2".to_owned());
    lab.edit(9001, |g| g.config.digest = "e".repeat(40));
    assert_eq!(lab.plan(items).steps.len(), 1);
}

#[test]
fn a_document_that_turns_to_another_object_lets_the_first_go() {
    let mut lab = Lab::new();
    lab.own("pool/prod", "Pool/extra");
    let items = vec![pool_doc("extra", None)];
    let plan = lab.plan(items.clone());
    assert_eq!(titles(&plan), ["make pool/extra"]);
    assert!(
        plan.notes[0].contains("pool/prod is no longer managed"),
        "{:?}",
        plan.notes
    );
    let after = lab
        .ownership
        .after(&plan, &items, &lab.secrets, &lab.after(&plan));
    assert_eq!(after.objects.keys().collect::<Vec<_>>(), ["pool/extra"]);
}

#[test]
fn a_guest_of_another_birth_is_not_touched() {
    let mut lab = Lab::new();
    lab.own("vm/105", "VirtualMachine/105");
    lab.edit(105, |g| {
        g.config.current.insert(
            "smbios1".to_owned(),
            "uuid=aaaaaaaa-0000-0000-0000-000000000000".to_owned(),
        );
    });
    let text = lab.refused(vec![removed("VirtualMachine/105", true)]);
    assert!(text.contains("made it anew"), "{text}");
}

#[test]
fn options_and_a_move_of_one_disk() {
    let lab = Lab::new();
    let mut moved = on("ceph-vm");
    moved.options.insert("cache".to_owned(), "none".to_owned());
    // Running: the option would wait with the old volume's name in it.
    let text = lab.refused(vec![doc(with_disk(vm(104), "scsi0", moved.clone()))]);
    assert!(text.contains("wait for the next start"), "{text}");
    let mut stopped = with_disk(vm(104), "scsi0", moved);
    stopped.power = Some(Power::Stopped);
    let plan = lab.plan(vec![doc(stopped)]);
    assert_eq!(
        titles(&plan),
        [
            "shut down vm/104",
            "set vm/104 scsi0 - → cache=none",
            "move vm/104 scsi0 from local-zfs to ceph-vm (32 GiB)",
        ]
    );
}

#[test]
fn the_judge_sees_forgeries() {
    let lab = Lab::new();
    let plan = lab.plan(vec![doc(set(vm(102), "memory", "6144"))]);
    let judged = |change: &dyn Fn(&mut crate::plan::Plan)| {
        let mut forged = plan.clone();
        change(&mut forged);
        forged.hash = crate::plan::hash(&forged).unwrap();
        crate::plan::check(&forged).len()
    };
    assert_eq!(judged(&|_| {}), 0);
    assert!(judged(&|p| p.steps[0].preconditions.clear()) > 0);
    assert!(
        judged(&|p| p.steps[0].inverse = Inverse::Irreversible {
            why: "so".to_owned()
        }) > 0
    );
    assert!(judged(&|p| p.steps[0].needs = [crate::plan::StepId(1)].into()) > 0);
    assert!(judged(&|p| p.risk = Risk::None) > 0);
    assert!(
        judged(&|p| p.steps[0].action = Action::DestroyGuest {
            kind: GuestKind::Qemu,
            vmid: vmid(102),
            purge: false
        }) > 0
    );
    let mut forged = plan.clone();
    forged.steps[0].title.push('!');
    assert_eq!(crate::plan::check(&forged).len(), 1);
}

#[test]
fn an_imported_disk_grows_after_it_was_imported() {
    let mut lab = Lab::new();
    lab.volume(
        "pve1",
        "nas:import/debian.qcow2",
        "import",
        crate::ids::Bytes(4 << 30),
        None,
    );
    let mut wanted = guest(GuestKind::Qemu, Some(9001), "img");
    wanted.node = Some(node("pve1"));
    let mut disk = sized("ceph-vm", 8);
    disk.import_from = Some(volume("nas:import/debian.qcow2"));
    let items = vec![doc(with_disk(wanted, "scsi0", disk))];
    let plan = lab.plan(items.clone());
    assert_eq!(
        titles(&plan),
        [
            "create vm/9001 img on pve1",
            "grow vm/9001 scsi0 4 GiB → 8 GiB"
        ]
    );
    let ownership = lab.ownership.after(&plan, &items, &lab.secrets, &lab.world);
    lab.world = lab.after(&plan);
    lab.ownership = ownership;
    assert!(lab.plan(items).steps.is_empty());
}
