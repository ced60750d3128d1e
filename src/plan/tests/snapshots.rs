//! Snapshots: what a document comes to, what stands in the way, and how it is taken back.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::fixture::*;
use crate::document::load;
use crate::health::Category;
use crate::ids::GuestKind;
use crate::plan::{Inverse, Item, Owned, Plan, Precondition, StepId, check, undo};
use crate::world::{Action, Part, Status};

/// The item of a document.
fn wanted(name: &str, spec: &str) -> Item {
    let text = format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: Snapshot\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    );
    let documents = load(&[("a.yaml", text)]).unwrap_or_else(|errors| panic!("{errors}"));
    item(&format!("Snapshot/{name}"), documents[0].desired())
}

/// A document that owned a snapshot taken at this time, and is gone.
fn gone(lab: &mut Lab, number: u32, name: &str, taken: i64) -> Item {
    let document = format!("Snapshot/{name}");
    let object = format!("snapshot/{number}/{name}");
    lab.own(&object, &document);
    let owned: &mut Owned = lab.ownership.objects.get_mut(&object).unwrap();
    owned.birth = Some(format!("snaptime:{taken}"));
    removed(&document, true)
}

/// Rule GU10: a snapshot that is there is adopted, and one that is not is taken, once.
#[test]
fn gu10_silent_for_a_snapshot_that_is_taken_once() {
    let lab = Lab::new();
    let items = vec![wanted("before", "{vmid: 104, description: first}")];
    let plan = lab.plan(items.clone());
    assert_eq!(titles(&plan), ["take snapshot before of vm/104"]);
    assert!(plan.impacts.iter().all(|impact| impact.rule != "GU10"));
    assert!(
        matches!(&plan.steps[0].inverse, Inverse::Actions { actions, .. }
        if matches!(&actions[..], [Action::DeleteSnapshot { .. }]))
    );
    assert!(
        plan.steps[0]
            .preconditions
            .contains(&Precondition::SnapshotAbsent {
                vmid: vmid(104),
                name: "before".parse().unwrap(),
            })
    );
    let mut after = Lab::new();
    after.world = lab.after(&plan);
    let rest = after.plan(items);
    assert_eq!(titles(&rest), Vec::<&str>::new());
    assert!(rest.documents[0].adopts);
    assert_eq!(
        after.plan(vec![wanted("before", "{vmid: 104}")]).changes,
        []
    );
}

#[test]
fn only_the_description_of_a_snapshot_can_change() {
    let mut lab = Lab::new();
    lab.snapshot(104, "before");
    let plan = lab.plan(vec![wanted("before", "{vmid: 104, description: why}")]);
    assert!(titles(&plan)[0].starts_with("set snapshot/104/before description"));
    lab.world = lab.after(&plan);
    let plan = lab.plan(vec![wanted("before", "{vmid: 104, description: null}")]);
    assert_eq!(plan.steps.len(), 1);
    let refused = lab.refused(vec![wanted("before", "{vmid: 104, includeMemory: true}")]);
    assert!(
        refused.contains("write `includeMemory: false`, or ask for another snapshot"),
        "{refused}"
    );
    lab.edit(104, |guest| {
        guest.config.snapshots.get_mut("before").unwrap().state = Some("delete".to_owned());
    });
    let refused = lab.refused(vec![wanted("before", "{vmid: 104}")]);
    assert!(refused.contains("unfinished"), "{refused}");
}

/// Rule GU10: every volume that cannot be snapshotted is named, and so is what cannot have its memory saved.
#[test]
fn gu10_fires_for_what_cannot_be_snapshotted() {
    let mut lab = Lab::new();
    lab.storage("thick", "lvm", "images", false, 100);
    lab.edit(104, |guest| {
        let current = &mut guest.config.current;
        current.insert(
            "scsi2".to_owned(),
            "nas:104/vm-104-disk-2.raw,size=1G".to_owned(),
        );
        current.insert("scsi3".to_owned(), "thick:vm-104-disk-3,size=1G".to_owned());
        current.insert(
            "scsi4".to_owned(),
            "nas:104/vm-104-disk-4.qcow2,size=1G".to_owned(),
        );
        current.insert("virtiofs0".to_owned(), "dirid=any".to_owned());
    });
    let refused = lab.refused(vec![wanted("before", "{vmid: 104, includeMemory: true}")]);
    for word in [
        "scsi2: nas:104/vm-104-disk-2.raw lies on nas (nfs)",
        "scsi3: thick:vm-104-disk-3 lies on thick (lvm)",
        "`virtiofs0`",
    ] {
        assert!(refused.contains(word), "{word}: {refused}");
    }
    assert!(
        !refused.contains("scsi4") && !refused.contains("scsi0"),
        "{refused}"
    );
    let lab = Lab::new();
    let stopped = lab.refused(vec![wanted("before", "{vmid: 105, includeMemory: true}")]);
    assert!(stopped.contains("does not run"), "{stopped}");
    let container = lab.refused(vec![wanted("before", "{vmid: 301, includeMemory: true}")]);
    assert!(container.contains("memory of a container"), "{container}");
    let nobody = lab.refused(vec![wanted("before", "{vmid: 999}")]);
    assert!(nobody.contains("no guest `999`"), "{nobody}");
    let mut lab = Lab::new();
    lab.unread(Part::GuestSnapshots(vmid(104)));
    let unread = lab.refused(vec![wanted("before", "{vmid: 104}")]);
    assert!(unread.contains("could not be read"), "{unread}");
    let mut lab = Lab::new();
    lab.edit(104, |guest| guest.lock = Some("backup".to_owned()));
    let plan = lab.plan(vec![wanted("before", "{vmid: 104}")]);
    assert!(
        plan.impacts
            .iter()
            .any(|impact| impact.category == Category::WillFail && impact.rule == "GU10")
    );
}

#[test]
fn the_memory_has_to_fit_where_it_is_saved() {
    let mut lab = Lab::new();
    lab.storage("small", "dir", "images", false, 2);
    lab.edit(104, |guest| {
        guest
            .config
            .current
            .insert("vmstatestorage".to_owned(), "small".to_owned());
    });
    let plan = lab.plan(vec![wanted("before", "{vmid: 104, includeMemory: true}")]);
    assert!(
        plan.impacts
            .iter()
            .any(|impact| impact.category == Category::WontFit),
        "{:?}",
        facts(&plan)
    );
    let plan = lab.plan(vec![wanted("before", "{vmid: 104}")]);
    assert_eq!(plan.impacts, []);
}

/// Snapshots hold volumes where they are: what the same plan moves or makes comes first.
#[test]
fn a_snapshot_is_taken_after_the_other_steps_of_its_guest() {
    let lab = Lab::new();
    let moved = with_disk(vm(104), "scsi0", on("ceph-vm"));
    let plan = lab.plan(vec![doc(moved), wanted("before", "{vmid: 104}")]);
    assert!(
        matches!(plan.steps[0].action, Action::MoveDisk { .. }),
        "{:?}",
        titles(&plan)
    );
    assert!(matches!(plan.steps[1].action, Action::TakeSnapshot { .. }));
    assert!(plan.steps[1].needs.contains(&plan.steps[0].id));
    assert!(
        !plan
            .impacts
            .iter()
            .any(|impact| impact.category == Category::WillFail)
    );
    // A guest that the plan makes can be snapshotted too.
    let new = with_disk(
        guest(GuestKind::Qemu, Some(900), "new"),
        "scsi0",
        sized("ceph-vm", 4),
    );
    let mut new = new;
    new.node = Some(node("pve1"));
    let plan = lab.plan(vec![doc(new), wanted("golden", "{vmid: 900}")]);
    assert_eq!(
        titles(&plan).last(),
        Some(&"take snapshot golden of vm/900")
    );
}

#[test]
fn a_deleted_snapshot_is_data_lost_for_good() {
    let mut lab = Lab::new();
    lab.snapshot(104, "old");
    lab.snapshot(104, "young");
    lab.edit(104, |guest| {
        guest.config.snapshots.get_mut("young").unwrap().parent = Some("old".to_owned());
    });
    let item = gone(&mut lab, 104, "old", 1_690_000_000);
    let plan = lab.plan(vec![item]);
    assert_eq!(titles(&plan), ["delete snapshot old of vm/104"]);
    assert_eq!(plan.steps[0].notes, ["taken after it, and kept: young"]);
    assert!(matches!(
        plan.steps[0].inverse,
        Inverse::Irreversible { .. }
    ));
    assert!(
        plan.impacts
            .iter()
            .any(|impact| impact.category == Category::DataLost && impact.rule == "GU10")
    );
    let after = lab.after(&plan);
    let left = &after.guests[&vmid(104)].config.snapshots;
    assert_eq!(left.keys().collect::<Vec<_>>(), ["young"]);
    assert_eq!(left["young"].parent, None);
}

#[test]
fn a_snapshot_that_the_document_did_not_own_is_never_deleted() {
    let mut lab = Lab::new();
    lab.snapshot(104, "old");
    let item = gone(&mut lab, 104, "old", 1_600_000_000);
    let refused = lab.refused(vec![item.clone()]);
    assert!(
        refused.contains("is not the snapshot this document owned"),
        "{refused}"
    );
    lab.edit(104, |guest| guest.config.snapshots.clear());
    let plan = lab.plan(vec![item]);
    assert_eq!(titles(&plan), Vec::<&str>::new());
    assert!(plan.notes.iter().any(|note| note.contains("already gone")));
}

/// Proxmox VE activates every storage a snapshot has to do with before it takes or deletes one, and a disabled one stops it.
#[test]
fn gu10_fires_for_a_storage_that_is_disabled() {
    let mut lab = Lab::new();
    lab.edit_storage("nas", |storage| {
        storage.disabled = true;
        storage.options.insert("disable".to_owned(), "1".to_owned());
    });
    let plan = lab.plan(vec![wanted("before", "{vmid: 104}")]);
    assert_eq!(plan.steps.len(), 1, "nothing of it lies there");
    lab.edit(104, |guest| {
        let current = &mut guest.config.current;
        current.insert("vmstatestorage".to_owned(), "nas".to_owned());
    });
    let with_memory = wanted("before", "{vmid: 104, includeMemory: true}");
    let refused = lab.refused(vec![with_memory]);
    assert!(
        refused.contains("the memory would be saved: storage nas is disabled"),
        "{refused}"
    );
    lab.edit(104, |guest| {
        let disk = "nas:104/vm-104-disk-4.qcow2,size=1G".to_owned();
        guest.config.current.insert("scsi4".to_owned(), disk);
    });
    lab.snapshot(104, "old");
    let refused = lab.refused(vec![wanted("before", "{vmid: 104}")]);
    assert!(
        refused.contains("scsi4: storage nas is disabled; enable it first"),
        "{refused}"
    );
    let item = gone(&mut lab, 104, "old", 1_690_000_000);
    let plan = lab.plan(vec![item]);
    let fails = plan.impacts.iter();
    let mut fails = fails.filter(|impact| impact.category == Category::WillFail);
    assert!(fails.any(|impact| impact.rule == "GU10"));
    // Enabled in the same plan, it is in nobody's way.
    let enabled = lab.plan(vec![
        storage_doc("nas", None, &[("disable", "0")]),
        wanted("before", "{vmid: 104}"),
    ]);
    let mut impacts = enabled.impacts.iter();
    assert!(impacts.all(|impact| impact.category != Category::WillFail));
}

/// A TPM state on a storage that chains snapshots: its newest one is deleted only while the machine is stopped (semantics of Proxmox VE 9).
#[test]
fn the_newest_snapshot_of_a_chained_tpm_state_stays_while_the_machine_runs() {
    let mut lab = Lab::new();
    lab.edit_storage("nas", |storage| {
        storage
            .options
            .insert("snapshot-as-volume-chain".to_owned(), "1".to_owned());
    });
    lab.edit(104, |guest| {
        guest.config.current.insert(
            "tpmstate0".to_owned(),
            "nas:104/vm-104-disk-9.qcow2,size=4M,version=v2.0".to_owned(),
        );
    });
    lab.snapshot(104, "old");
    let item = gone(&mut lab, 104, "old", 1_690_000_000);
    let fails = |plan: &Plan| {
        plan.impacts
            .iter()
            .any(|impact| impact.category == Category::WillFail)
    };
    assert!(fails(&lab.plan(vec![item.clone()])));
    lab.edit(104, |guest| guest.status = Status::Stopped);
    assert!(!fails(&lab.plan(vec![item])));
}

#[test]
fn undo_deletes_the_very_snapshot_that_was_taken() {
    let mut lab = Lab::new();
    let plan = lab.plan(vec![wanted("before", "{vmid: 104}")]);
    lab.snapshot(104, "before");
    let back = |lab: &Lab| {
        let done: BTreeSet<StepId> = plan.steps.iter().map(|step| step.id).collect();
        let back = undo(&plan, &done, &lab.input(Vec::new())).unwrap();
        assert_eq!(check(&back), vec![], "{back:#?}");
        back
    };
    // Who took it is not known without the time.
    assert_eq!(titles(&back(&lab)), Vec::<&str>::new());
    gone(&mut lab, 104, "before", 1_690_000_000);
    assert_eq!(titles(&back(&lab)), ["delete snapshot before of vm/104"]);
    gone(&mut lab, 104, "before", 1_690_000_001);
    let left = back(&lab);
    assert_eq!(titles(&left), Vec::<&str>::new());
    assert!(
        left.notes
            .iter()
            .any(|note| note.contains("not surely the one")),
        "{:?}",
        left.notes
    );
}

/// A snapshot with an age: it is deleted once it is older, and not taken again.
#[test]
fn an_aged_snapshot_is_deleted_once_and_not_taken_again() {
    let mut lab = Lab::new();
    lab.snapshot(104, "before");
    let taken = 1_690_000_000;
    let items = vec![wanted("before", "{vmid: 104, keepFor: 14d}")];
    let days = |lab: &mut Lab, days: i64| {
        lab.world.observed_at = Timestamp::from_second(taken + days * 86_400).unwrap();
    };
    let notes = |plan: &Plan| plan.notes.join("\n");
    // Adopted, whatever its age: nothing is deleted that no document owned.
    days(&mut lab, 20);
    let plan = lab.plan(items.clone());
    assert_eq!(titles(&plan), Vec::<&str>::new());
    assert!(notes(&plan).contains("once the document owns it, a plan deletes it"));
    lab.ownership = lab.ownership.after(&plan, &items, &lab.secrets, &lab.world);
    days(&mut lab, 13);
    let plan = lab.plan(items.clone());
    assert_eq!(titles(&plan), Vec::<&str>::new());
    assert!(notes(&plan).contains("is kept until 2023-08-05T04:26:40Z; then a plan deletes it"));
    days(&mut lab, 14);
    let plan = lab.plan(items.clone());
    assert_eq!(titles(&plan), ["delete snapshot before of vm/104"]);
    let mut impacts = plan.impacts.iter();
    assert!(impacts.any(|impact| impact.category == Category::DataLost));
    // Somebody else's of the same name is left alone.
    let mut other = Lab::new();
    other.world = lab.world.clone();
    other.ownership = lab.ownership.clone();
    other.edit(104, |guest| {
        guest.config.snapshots.get_mut("before").unwrap().taken = Some(taken + 60);
    });
    assert!(
        other
            .refused(items.clone())
            .contains("took another of the same name")
    );
    lab.world = lab.after(&plan);
    lab.ownership = lab.ownership.after(&plan, &items, &lab.secrets, &lab.world);
    let plan = lab.plan(items);
    assert_eq!(titles(&plan), Vec::<&str>::new());
    assert!(notes(&plan).contains("is not taken again; its document can go"));
    // Deleted by hand before its time, it is taken anew.
    days(&mut lab, 3);
    let plan = lab.plan(vec![wanted("before", "{vmid: 104, keepFor: 14d}")]);
    assert_eq!(titles(&plan), ["take snapshot before of vm/104"]);
    let notes = plan.steps[0].notes.join("\n");
    assert!(
        notes.contains("it is kept for 2 weeks from then on"),
        "{notes}"
    );
}
