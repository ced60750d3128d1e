//! Guests that may be on any of several nodes, and storages that a migration takes disks to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::fixture::*;
use crate::document::desired::{DesiredClone, DesiredGuest, DesiredRestore};
use crate::health::Category;
use crate::ids::{Bytes, GuestKind, StorageId};
use crate::plan::{Inverse, Plan};
use crate::world::{Action, HaRule, Part, Section, Status};

fn anywhere(guest: DesiredGuest, nodes: &[&str]) -> DesiredGuest {
    DesiredGuest {
        nodes: nodes.iter().map(|name| node(name)).collect(),
        ..guest
    }
}

fn on_node(guest: DesiredGuest, name: &str) -> DesiredGuest {
    DesiredGuest {
        node: Some(node(name)),
        ..guest
    }
}

fn onto(guest: DesiredGuest, map: &[(&str, &str)]) -> DesiredGuest {
    DesiredGuest {
        target_storage: targets(map),
        ..guest
    }
}

fn targets(map: &[(&str, &str)]) -> BTreeMap<StorageId, StorageId> {
    map.iter()
        .map(|(from, to)| (storage_id(from), storage_id(to)))
        .collect()
}

/// The small cluster with a third node, like the second.
fn three() -> Lab {
    let mut lab = Lab::new();
    let second = lab.world.nodes[&node("pve2")].clone();
    lab.world.nodes.insert(node("pve3"), second);
    lab.read(Part::NodeStatus(node("pve3")));
    lab.read(Part::NodeNetwork(node("pve3")));
    lab.read(Part::NodeStorage(node("pve3")));
    let ids: Vec<StorageId> = lab.world.storages.keys().cloned().collect();
    for id in ids {
        if !lab.world.storages[&id].shared {
            lab.edit_storage(id.as_str(), |storage| {
                storage.volumes.insert(node("pve3"), Arc::default());
            });
        }
        lab.read(Part::StorageContent(node("pve3"), id));
    }
    lab
}

fn edit_node(lab: &mut Lab, name: &str, change: impl FnOnce(&mut crate::world::Node)) {
    change(Arc::make_mut(lab.world.nodes.get_mut(&node(name)).unwrap()));
}

fn busy(lab: &mut Lab, number: u32, on: &str) {
    let lines = [("memory", "8192"), ("scsi0", "ceph-vm:vm-1-disk-0,size=1G")];
    lab.guest(GuestKind::Qemu, number, "busy", on, Status::Running, &lines);
}

fn notes(plan: &Plan) -> String {
    let notes = plan.steps.iter().flat_map(|step| step.notes.clone());
    notes.collect::<Vec<_>>().join("\n")
}

#[test]
fn on_one_of_its_nodes_a_guest_stays_where_it_is() {
    let mut lab = three();
    busy(&mut lab, 110, "pve1");
    for place in ["pve1", "pve2", "pve3"] {
        lab.edit(102, |guest| guest.node = node(place));
        let plan = lab.plan(vec![doc(anywhere(vm(102), &["pve1", "pve2", "pve3"]))]);
        assert!(plan.steps.is_empty() && plan.changes.is_empty(), "{place}");
    }
    edit_node(&mut lab, "pve3", |node| node.online = Some(false));
    let plan = lab.plan(vec![doc(anywhere(vm(102), &["pve1", "pve3"]))]);
    assert!(
        plan.steps.is_empty(),
        "an offline node is no reason to move"
    );
}

#[test]
fn elsewhere_it_goes_to_the_one_with_the_most_memory_left_and_the_plan_says_why() {
    let mut lab = three();
    let wish = || vec![doc(anywhere(vm(102), &["pve2", "pve3"]))];
    let plan = lab.plan(wish());
    assert_eq!(titles(&plan), ["migrate vm/102 from pve1 to pve2"]);
    assert!(
        notes(&plan).contains("on pve2, of pve2, pve3: it has the most memory left"),
        "{}",
        notes(&plan)
    );
    assert_eq!(plan.hash, lab.plan(wish()).hash);
    busy(&mut lab, 110, "pve2");
    assert_eq!(
        titles(&lab.plan(wish())),
        ["migrate vm/102 from pve1 to pve3"]
    );
    // What is stopped and does not start with the node takes none.
    lab.edit(110, |guest| guest.status = Status::Stopped);
    assert_eq!(
        titles(&lab.plan(wish())),
        ["migrate vm/102 from pve1 to pve2"]
    );
    edit_node(&mut lab, "pve3", |node| {
        node.memory_total = Some(Bytes(256 << 30));
    });
    let by_size = lab.plan(wish());
    assert_eq!(titles(&by_size), ["migrate vm/102 from pve1 to pve3"]);
    lab.unread(Part::NodeStatus(node("pve3")));
    assert_eq!(
        titles(&lab.plan(wish())),
        ["migrate vm/102 from pve1 to pve2"]
    );
    lab.unread(Part::NodeStatus(node("pve2")));
    let unknown = lab.plan(wish());
    assert!(
        notes(&unknown).contains("is not known"),
        "{}",
        notes(&unknown)
    );
}

#[test]
fn a_node_without_what_the_guest_needs_is_not_taken_and_the_plan_says_so() {
    let mut lab = three();
    edit_node(&mut lab, "pve2", |node| {
        node.bridges.remove("vmbr0");
    });
    let plan = lab.plan(vec![doc(anywhere(vm(102), &["pve2", "pve3"]))]);
    assert_eq!(titles(&plan), ["migrate vm/102 from pve1 to pve3"]);
    assert!(
        notes(&plan).contains("not pve2: net0 is on vmbr0, which pve2 does not have"),
        "{}",
        notes(&plan)
    );
    let web = || doc(anywhere(vm(104), &["pve2", "pve3"]));
    edit_node(&mut lab, "pve3", |node| node.online = Some(false));
    lab.edit_storage("local-zfs", |storage| {
        storage.nodes = Some(BTreeSet::from([node("pve1")]));
    });
    let said = lab.refused(vec![web()]);
    assert!(
        said.contains("can be on none of its `nodes`")
            && said.contains("pve2: storage `local-zfs` is not available on node `pve2`")
            && said.contains("pve3: it is offline"),
        "{said}"
    );
}

#[test]
fn what_is_wrong_on_every_node_is_said_once() {
    let lab = three();
    let wish = with_disk(
        anywhere(vm(900), &["pve2", "pve3"]),
        "scsi0",
        sized("cepf-vm", 8),
    );
    let said = lab.refused(vec![doc(wish)]);
    assert_eq!(said.matches("cepf-vm").count(), 1, "{said}");
    assert!(said.contains("did you mean `ceph-vm`?"), "{said}");
}

#[test]
fn a_node_that_does_not_exist_is_told_of() {
    let lab = three();
    let plan = lab.plan(vec![doc(anywhere(vm(102), &["pve1", "pve22"]))]);
    assert!(plan.steps.is_empty());
    let told = plan.notes.join("\n");
    assert!(
        told.contains("`nodes` names pve22") && told.contains("did you mean `pve2`?"),
        "{told}"
    );
    let said = lab.refused(vec![doc(anywhere(vm(102), &["pve22"]))]);
    assert!(said.contains("pve22: there is no such node"), "{said}");
}

fn rule(lab: &mut Lab, rule_type: &str, nodes: &[&str], options: &[(&str, &str)]) {
    let rule = HaRule {
        rule_type: rule_type.to_owned(),
        resources: [102, 105].map(vmid).into(),
        nodes: nodes.iter().map(|name| node(name)).collect(),
        strict: true,
        disabled: false,
        options: section(options),
    };
    lab.world.ha_rules.insert("rule".to_owned(), Arc::new(rule));
}

#[test]
fn what_ha_does_not_allow_is_not_taken() {
    let mut lab = three();
    let to = |lab: &Lab| {
        let plan = lab.plan(vec![doc(anywhere(vm(102), &["pve2", "pve3"]))]);
        titles(&plan).join("; ")
    };
    rule(&mut lab, "node-affinity", &["pve1", "pve3"], &[]);
    assert_eq!(to(&lab), "migrate vm/102 from pve1 to pve2");
    lab.ha(102, "started");
    assert_eq!(to(&lab), "migrate vm/102 from pve1 to pve3");
    // It would not stay where HA prefers another node.
    let prefer = [("nodes", "pve1,pve2:1,pve3:2")];
    rule(
        &mut lab,
        "node-affinity",
        &["pve1", "pve2", "pve3"],
        &prefer,
    );
    assert_eq!(to(&lab), "migrate vm/102 from pve1 to pve3");
    edit_node(&mut lab, "pve3", |node| node.online = Some(false));
    assert_eq!(to(&lab), "migrate vm/102 from pve1 to pve2");
    edit_node(&mut lab, "pve3", |node| node.online = Some(true));
    rule(
        &mut lab,
        "resource-affinity",
        &[],
        &[("affinity", "negative")],
    );
    lab.edit(105, |guest| guest.node = node("pve2"));
    assert_eq!(to(&lab), "migrate vm/102 from pve1 to pve3");
    rule(
        &mut lab,
        "resource-affinity",
        &[],
        &[("affinity", "positive")],
    );
    assert_eq!(to(&lab), "migrate vm/102 from pve1 to pve2");
    lab.edit(105, |guest| guest.node = node("pve1"));
    let said = lab.refused(vec![doc(anywhere(vm(102), &["pve2", "pve3"]))]);
    assert!(
        said.contains("the HA rule `rule` keeps it together with vm/105, which is on pve1"),
        "{said}"
    );
}

#[test]
fn new_guests_spread_by_what_the_plan_gives_away() {
    let lab = three();
    let new = |number: u32, memory: &str| {
        let wish = set(anywhere(vm(number), &["pve2", "pve3"]), "memory", memory);
        doc(with_disk(wish, "scsi0", sized("ceph-vm", 8)))
    };
    let fixed = doc(set(on_node(vm(909), "pve2"), "memory", "1024"));
    let items = vec![
        new(901, "4096"),
        new(902, "2048"),
        new(903, "2048"),
        new(904, "512"),
        fixed,
    ];
    let plan = lab.plan(items.clone());
    let made: BTreeMap<u32, String> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::CreateGuest { vmid, node, .. } => Some((vmid.get(), node.to_string())),
            _ => None,
        })
        .collect();
    let expected = [
        (901, "pve3"),
        (902, "pve2"),
        (903, "pve2"),
        (904, "pve3"),
        (909, "pve2"),
    ];
    assert_eq!(made, expected.map(|(n, on)| (n, on.to_owned())).into());
    let mut turned = items;
    turned.reverse();
    assert_eq!(plan.hash, lab.plan(turned).hash);
    // Once they are made nothing is left to do.
    let mut done = three();
    done.world = lab.after(&plan);
    for number in [901, 902, 903, 904] {
        done.read(Part::GuestConfig(vmid(number)));
    }
    let again = done.plan(vec![new(901, "4096"), new(904, "512")]);
    assert!(again.steps.is_empty(), "{:?}", titles(&again));
}

#[test]
fn clones_and_restored_guests_are_placed_too() {
    let mut lab = three();
    let clone = DesiredGuest {
        clone_from: Some(DesiredClone {
            vmid: Some(vmid(105)),
            name: None,
            snapshot: None,
            full: None,
            storage: None,
            format: None,
        }),
        ..anywhere(guest(GuestKind::Qemu, Some(905), "copy"), &["pve2", "pve3"])
    };
    busy(&mut lab, 110, "pve2");
    let plan = lab.plan(vec![doc(clone)]);
    assert_eq!(
        titles(&plan),
        [
            "clone vm/105 to vm/905 copy (a full copy)",
            "migrate vm/905 from pve1 to pve3"
        ]
    );
    assert!(plan.steps[1].notes.iter().any(|n| n.starts_with("on pve3")));
    let archive = "nas:backup/vzdump-qemu-105-2026_11_01-03_00_00.vma.zst";
    let lines = [
        ("memory", "1024"),
        ("scsi0", "ceph-vm:vm-105-disk-0,size=8G"),
    ];
    lab.backup("pve1", archive, 105, &lines);
    let restored = DesiredGuest {
        restore_from: Some(DesiredRestore {
            volume: volume(archive),
            storage: None,
            unique: true,
        }),
        ..anywhere(guest(GuestKind::Qemu, Some(906), "back"), &["pve2", "pve3"])
    };
    let items = vec![doc(restored)];
    let wanted = crate::plan::backups_wanted(&items, &lab.ownership, &lab.world);
    let nodes: Vec<&str> = wanted.iter().map(|(node, _)| node.as_str()).collect();
    assert_eq!(nodes, ["pve2", "pve3"]);
    let read = lab.backups.values().next().unwrap().clone();
    lab.backups.insert((node("pve3"), volume(archive)), read);
    let plan = lab.plan(items);
    assert_eq!(
        titles(&plan),
        [format!("restore vm/906 from {archive} on pve3")]
    );
}

/// The small cluster with storages that only the second node has.
fn with_fast() -> Lab {
    let mut lab = Lab::new();
    for (id, kind, content) in [
        ("fast", "zfspool", "images,rootdir"),
        ("thin", "lvmthin", "images,rootdir"),
        ("isos", "zfspool", "rootdir"),
    ] {
        lab.storage(id, kind, content, false, 900);
        lab.edit_storage(id, |storage| {
            storage.nodes = Some(BTreeSet::from([node("pve2")]));
        });
    }
    lab
}

fn map_of(plan: &Plan) -> BTreeMap<StorageId, StorageId> {
    let mut maps = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Migrate { target_storage, .. } => Some(target_storage.clone()),
        _ => None,
    });
    maps.next().unwrap()
}

fn said(lab: &Lab, wish: DesiredGuest) -> String {
    lab.refused(vec![doc(wish)])
}

#[test]
fn a_migration_takes_disks_to_the_target_storages_and_back() {
    let lab = with_fast();
    let map = [("local-zfs", "fast"), ("ceph-vm", "thin")];
    let plan = lab.plan(vec![doc(onto(on_node(vm(104), "pve2"), &map))]);
    assert_eq!(titles(&plan), ["migrate vm/104 from pve1 to pve2"]);
    // What lies on a shared storage stays there.
    assert_eq!(map_of(&plan), targets(&[("local-zfs", "fast")]));
    let after = lab.after(&plan);
    let config = &after.guests[&vmid(104)].config.current;
    assert!(config["scsi0"].starts_with("fast:vm-104-disk-"));
    assert_eq!(config["scsi1"], "ceph-vm:vm-104-disk-1,size=100G");
    assert!(notes(&plan).contains("what lies on local-zfs goes to fast"));
    let Inverse::Actions { actions, remains } = &plan.steps[0].inverse else {
        panic!("{:?}", plan.steps[0].inverse);
    };
    assert!(remains.is_empty());
    assert!(
        matches!(&actions[..], [Action::Migrate { target_storage, .. }] if *target_storage == targets(&[("fast", "local-zfs")]))
    );
    let back = after.apply(&actions[0]).unwrap();
    let config = &back.guests[&vmid(104)].config.current;
    assert!(config["scsi0"].starts_with("local-zfs:vm-104-disk-"));
}

#[test]
fn target_storages_alone_are_no_reason_to_do_anything() {
    let lab = with_fast();
    let map = [("local-zfs", "fast")];
    for wish in [
        onto(on_node(vm(104), "pve1"), &map),
        onto(anywhere(vm(104), &["pve1", "pve2"]), &map),
    ] {
        let plan = lab.plan(vec![doc(wish)]);
        assert!(plan.steps.is_empty() && plan.changes.is_empty());
    }
}

#[test]
fn the_disk_that_a_migration_brings_where_it_shall_lie_is_not_moved_besides() {
    let lab = with_fast();
    let map = [("local-zfs", "fast")];
    let wish = with_disk(onto(on_node(vm(104), "pve2"), &map), "scsi0", on("fast"));
    let plan = lab.plan(vec![doc(wish.clone())]);
    assert_eq!(titles(&plan), ["migrate vm/104 from pve1 to pve2"]);
    let mut done = with_fast();
    done.world = lab.after(&plan);
    assert!(done.plan(vec![doc(wish)]).steps.is_empty());
    let torn = with_disk(
        onto(on_node(vm(104), "pve2"), &map),
        "scsi0",
        on("local-zfs"),
    );
    assert!(said(&lab, torn).contains("write the same storage in both"));
}

#[test]
fn storages_that_cannot_take_the_disks_are_refused() {
    let mut lab = with_fast();
    let to = |map: &[(&str, &str)]| onto(on_node(vm(104), "pve2"), map);
    let unknown = said(&lab, to(&[("local-zfs", "fats")]));
    assert!(
        unknown.contains("no storage `fats`") && unknown.contains("did you mean `fast`?"),
        "{unknown}"
    );
    let nothing = onto(on_node(vm(104), "pve1"), &[("local-zsf", "fast")]);
    assert!(said(&lab, nothing).contains("no storage `local-zsf`"));
    let content = said(&lab, to(&[("local-zfs", "isos")]));
    assert!(content.contains("does not hold `images`"), "{content}");
    lab.edit_storage("fast", |storage| {
        storage.nodes = Some(BTreeSet::from([node("pve1")]));
    });
    let away = said(&lab, to(&[("local-zfs", "fast")]));
    assert!(
        away.contains("storage `fast` is not available on node `pve2`"),
        "{away}"
    );
    lab.ha(104, "started");
    let managed = said(&lab, to(&[("local-zfs", "thin")]));
    assert!(managed.contains("knows no target storages"), "{managed}");
}

#[test]
fn gu07_what_cannot_be_copied_between_types_of_storages_will_fail() {
    let mut lab = with_fast();
    let wish = || {
        vec![doc(onto(
            on_node(vm(104), "pve2"),
            &[("local-zfs", "thin")],
        ))]
    };
    // A running machine's disks are mirrored.
    let live = lab.plan(wish());
    assert!(!facts(&live).join(" ").contains("will-fail"));
    lab.edit(104, |guest| guest.status = Status::Stopped);
    let plan = lab.plan(wish());
    let fails = plan
        .impacts
        .iter()
        .find(|impact| impact.category == Category::WillFail)
        .unwrap();
    assert_eq!(fails.rule, "GU07");
    assert!(
        fails.causes.join(" ").contains("from zfspool to lvmthin"),
        "{:?}",
        fails.causes
    );
    let ct = onto(on_node(ct(301), "pve2"), &[("local-zfs", "fast")]);
    let plan = lab.plan(vec![doc(ct)]);
    let after = lab.after(&plan);
    assert_eq!(
        after.guests[&vmid(301)].config.current["mp1"],
        "fast:subvol-301-disk-1,mp=/srv,size=200G"
    );
}

#[test]
fn gu07_two_storages_that_become_one_have_no_way_back() {
    let mut lab = with_fast();
    lab.storage("other", "zfspool", "images", false, 900);
    lab.edit(104, |guest| {
        let disk = "other:vm-104-disk-7,size=1G".to_owned();
        guest.config.current.insert("scsi2".to_owned(), disk);
    });
    lab.volume(
        "pve1",
        "other:vm-104-disk-7",
        "images",
        Bytes(1 << 30),
        Some(104),
    );
    let map = [("local-zfs", "fast"), ("other", "fast")];
    let plan = lab.plan(vec![doc(onto(on_node(vm(104), "pve2"), &map))]);
    assert!(matches!(
        plan.steps[0].inverse,
        Inverse::Irreversible { .. }
    ));
    let facts = facts(&plan);
    assert!(
        facts
            .iter()
            .any(|fact| fact.starts_with("vm/104 irreversible GU07")),
        "{facts:?}"
    );
}

#[test]
fn what_goes_to_a_shared_storage_stays_there() {
    let lab = with_fast();
    let map = [("local-zfs", "ceph-vm")];
    let plan = lab.plan(vec![doc(onto(on_node(vm(104), "pve2"), &map))]);
    let Inverse::Actions { actions, remains } = &plan.steps[0].inverse else {
        panic!("{:?}", plan.steps[0].inverse);
    };
    assert_eq!(remains.join(" "), "what lay on local-zfs stays on ceph-vm");
    let back = lab.after(&plan).apply(&actions[0]).unwrap();
    let config: &Section = &back.guests[&vmid(104)].config.current;
    assert!(config["scsi0"].starts_with("ceph-vm:"));
}
