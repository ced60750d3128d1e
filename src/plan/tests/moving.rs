//! Objects whose owner changes: taken over from another source, or along with a document that got another name.

use std::collections::BTreeSet;

use super::fixture::*;
use crate::ids::GuestKind;
use crate::plan::render::{Style, json, schema, text};
use crate::plan::{FormerOwner, Item, Ownership, Plan, Risk, StepId, check, undo};

const OTHER: &str = "operator:anna";

/// A document of another source that takes its object over.
fn takes(item: Item, from: &str) -> Item {
    Item {
        source: OTHER.to_owned(),
        take_over: Some(from.to_owned()),
        ..item
    }
}

fn named(key: &str, item: Item) -> Item {
    Item {
        key: key.to_owned(),
        hash: Some(format!("sha256:{key}")),
        ..item
    }
}

fn from(document: &str) -> Option<FormerOwner> {
    Some(FormerOwner {
        document: document.to_owned(),
        source: "directory:docs".to_owned(),
        hash: Some("h".to_owned()),
    })
}

fn db() -> Item {
    doc(set(vm(102), "memory", "4096"))
}

/// A lab in which `directory:docs` owns guest 102.
fn owned() -> Lab {
    let mut lab = Lab::new();
    lab.own("vm/102", "VirtualMachine/102");
    lab
}

fn after(lab: &Lab, plan: &Plan, items: &[Item]) -> Ownership {
    lab.ownership.after(plan, items, &lab.secrets, &lab.world)
}

/// Who owns an object.
fn owner<'o>(ownership: &'o Ownership, object: &str) -> (&'o str, &'o str) {
    let owned = &ownership.objects[object];
    (&owned.document, &owned.source)
}

#[test]
fn what_another_source_owns_is_refused_until_it_is_named() {
    let lab = owned();
    let plain = Item {
        source: OTHER.to_owned(),
        ..db()
    };
    let why = lab.refused(vec![plain]);
    assert!(
        why.contains("VirtualMachine/102 of directory:docs"),
        "{why}"
    );
    assert!(why.contains("take-over: directory:docs"), "{why}");
    for wrong in [
        "git:infra",
        "directory:doc",
        "directory:docs/VirtualMachine/103",
        "directory:docs/",
        "",
    ] {
        let why = lab.refused(vec![takes(db(), wrong)]);
        assert!(why.contains(&format!("names `{wrong}`")), "{why}");
        assert!(why.contains("owned by VirtualMachine/102"), "{why}");
    }
    for right in ["directory:docs", "directory:docs/VirtualMachine/102"] {
        let plan = lab.plan(vec![takes(db(), right)]);
        assert_eq!(plan.documents[0].former_owner, from("VirtualMachine/102"));
    }
    // What nobody owns cannot be taken over from anybody.
    let why = lab.refused(vec![takes(doc(vm(104)), "directory:docs")]);
    assert!(why.contains("owned by nobody"), "{why}");
}

#[test]
fn a_take_over_is_shown_and_moves_ownership_though_nothing_differs() {
    let lab = owned();
    let items = vec![takes(named("VirtualMachine/db", db()), "directory:docs")];
    let plan = lab.plan(items.clone());
    assert_eq!((plan.steps.len(), plan.risk), (0, Risk::None));
    assert!(!plan.documents[0].adopts && !plan.leaves_nothing_to_decide());
    let page = text(&plan, &Style::default());
    assert!(
        page.contains("operator:anna takes over from VirtualMachine/102 of directory:docs"),
        "{page}"
    );
    assert!(
        page.contains("vm/102 is owned by VirtualMachine/102 of directory:docs now"),
        "{page}"
    );
    let shown = json(&plan, serde_json::Value::Null, None);
    assert_eq!(
        shown["documents"][0]["formerOwner"]["source"],
        "directory:docs"
    );
    let schema = schema();
    super::shown::holds(&schema, &schema, &shown, "plan");

    let now = after(&lab, &plan, &items);
    assert_eq!(owner(&now, "vm/102"), ("VirtualMachine/db", OTHER));
    assert_eq!(
        now.objects["vm/102"].taken_from,
        vec![from("VirtualMachine/102").unwrap()]
    );
    assert_eq!(now.objects.len(), 1);
    // Once it is its own, the annotation has no meaning.
    let mut lab = lab;
    lab.ownership = now.clone();
    let again = lab.plan(items.clone());
    assert!(again.leaves_nothing_to_decide() && again.documents[0].former_owner.is_none());
    assert_eq!(after(&lab, &again, &items), now);
}

#[test]
fn what_differs_is_written_on_the_way() {
    let lab = owned();
    let plan = lab.plan(vec![takes(
        doc(set(vm(102), "memory", "6144")),
        "directory:docs",
    )]);
    assert_eq!(titles(&plan), ["set vm/102 memory 4096 → 6144"]);
    assert_eq!(plan.documents[0].former_owner, from("VirtualMachine/102"));
}

/// The document that lost its object is refused, makes nothing in its place, and can go without a trace.
#[test]
fn who_lost_an_object_gets_no_other() {
    let mut lab = owned();
    lab.own("vm/104", "VirtualMachine/web");
    let items = vec![takes(
        named("VirtualMachine/mine", doc(vm(104))),
        "directory:docs",
    )];
    let plan = lab.plan(items.clone());
    lab.ownership = after(&lab, &plan, &items);

    let why = lab.refused(vec![named("VirtualMachine/web", doc(vm(104)))]);
    assert!(
        why.contains("VirtualMachine/mine of operator:anna")
            && why.contains("VirtualMachine/web of directory:docs"),
        "{why}"
    );
    for elsewhere in [guest(GuestKind::Qemu, None, "web"), vm(105), vm(9001)] {
        let mut elsewhere = elsewhere;
        elsewhere.node = Some(node("pve1"));
        let why = lab.refused(vec![named("VirtualMachine/web", doc(elsewhere))]);
        assert!(
            why.contains("vm/104 was taken over by VirtualMachine/mine of operator:anna"),
            "{why}"
        );
    }
    let gone = vec![removed("VirtualMachine/web", true)];
    let plan = lab.plan(gone.clone());
    assert!(plan.steps.is_empty() && plan.impacts.is_empty());
    assert!(
        plan.notes[0].contains("VirtualMachine/mine of operator:anna"),
        "{:?}",
        plan.notes
    );
    let then = after(&lab, &plan, &gone);
    assert_eq!(owner(&then, "vm/104"), ("VirtualMachine/mine", OTHER));
    assert_eq!(then.objects["vm/104"].taken_from, vec![]);
    // Without being gone first it may take back what it lost.
    let back = Item {
        take_over: Some(OTHER.to_owned()),
        ..named("VirtualMachine/web", doc(vm(104)))
    };
    let plan = lab.plan(vec![back.clone()]);
    let then = after(&lab, &plan, &[back]);
    assert_eq!(
        owner(&then, "vm/104"),
        ("VirtualMachine/web", "directory:docs")
    );
    let former = &then.objects["vm/104"].taken_from;
    assert_eq!(former.len(), 1);
    assert!(former[0].is("VirtualMachine/mine", OTHER));
}

#[test]
fn a_document_without_a_number_takes_the_guest_of_whom_it_names() {
    let lab = owned();
    let mine = || guest(GuestKind::Qemu, None, "mine");
    let by_name = takes(
        named("VirtualMachine/mine", doc(mine())),
        "directory:docs/VirtualMachine/102",
    );
    let plan = lab.plan(vec![by_name]);
    assert_eq!(plan.documents[0].object, "vm/102");
    assert!(plan.steps.is_empty());
    let namesake = takes(named("VirtualMachine/102", doc(mine())), "directory:docs");
    assert_eq!(lab.plan(vec![namesake]).documents[0].object, "vm/102");
    // A source alone says nothing where no document of it has the name, nor does a document of another kind.
    let none = takes(named("VirtualMachine/mine", doc(mine())), "directory:docs");
    assert!(lab.refused(vec![none]).contains("owns no guest"));
    let container = takes(
        named("Container/102", doc(guest(GuestKind::Lxc, None, "mine"))),
        "directory:docs/VirtualMachine/102",
    );
    assert!(lab.refused(vec![container]).contains("owns no guest"));
}

#[test]
fn a_name_comes_with_its_own_object_or_not_at_all() {
    let mut lab = owned();
    lab.own("vm/104", "VirtualMachine/web");
    let both = takes(
        named("VirtualMachine/102", doc(vm(104))),
        "directory:docs/VirtualMachine/web",
    );
    let why = lab.refused(vec![both]);
    assert!(why.contains("owns vm/102"), "{why}");
}

#[test]
fn a_guest_made_anew_by_someone_is_not_taken_over() {
    let mut lab = owned();
    lab.edit(102, |guest| {
        let uuid = "uuid=ffffffff-0000-0000-0000-000000000102".to_owned();
        guest.config.current.insert("smbios1".to_owned(), uuid);
    });
    let why = lab.refused(vec![takes(db(), "directory:docs")]);
    assert!(why.contains("somebody made it anew"), "{why}");
}

#[test]
fn the_undo_gives_it_back() {
    let mut lab = owned();
    let items = vec![takes(
        named("VirtualMachine/mine", doc(set(vm(102), "memory", "6144"))),
        "directory:docs",
    )];
    let plan = lab.plan(items.clone());
    let before = lab.ownership.clone();
    lab.ownership = after(&lab, &plan, &items);
    lab.world = lab.after(&plan);
    lab.edit(102, |g| g.config.digest = format!("{:040}", 7));
    let done: BTreeSet<StepId> = plan.steps.iter().map(|s| s.id).collect();
    let back = undo(&plan, &done, &lab.input(Vec::new())).unwrap();
    assert_eq!(check(&back), vec![]);
    assert_eq!(titles(&back), ["set back vm/102 memory 6144 → 4096"]);
    assert_eq!(back.documents.len(), 1);
    assert_eq!(back.documents[0].taken_from().unwrap().source, OTHER);
    let mut then = lab.ownership.clone();
    assert!(then.give_back(&back.documents[0]));
    assert_eq!(owner(&then, "vm/102"), owner(&before, "vm/102"));
    assert_eq!(then.objects["vm/102"].taken_from, vec![]);
    // Not if a third one has it by then.
    let mut third = lab.ownership.clone();
    third.objects.get_mut("vm/102").unwrap().source = "git:infra".to_owned();
    assert!(!third.clone().give_back(&back.documents[0]));
    lab.ownership = third;
    let back = undo(&plan, &done, &lab.input(Vec::new())).unwrap();
    assert_eq!(back.documents, vec![]);
}

fn parsed(text: &str) -> Item {
    let documents = crate::document::load(&[("documents", text)]).unwrap();
    let document = &documents[0];
    item(&document.key().to_string(), document.desired())
}

/// A document under another name has the object of the old one, which nobody deletes: every kind.
#[test]
fn a_document_that_got_another_name_keeps_its_object() {
    let mut lab = owned();
    lab.snapshot(102, "before");
    lab.replication("104-0", "pve2", &[("schedule", "*/15")]);
    lab.own("storage/nas", "Storage/old");
    lab.own("pool/prod", "Pool/old");
    lab.own("backup-job/nightly", "BackupJob/old");
    lab.own("snapshot/102/before", "Snapshot/old");
    lab.own("replication-job/104-0", "ReplicationJob/old");
    let head = |kind: &str| {
        format!("apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: new}}\n")
    };
    let cases = [
        (
            "VirtualMachine/102",
            "vm/102",
            named("VirtualMachine/new", db()),
        ),
        (
            "Storage/old",
            "storage/nas",
            named("Storage/new", storage_doc("nas", None, &[])),
        ),
        (
            "Pool/old",
            "pool/prod",
            named("Pool/new", pool_doc("prod", None)),
        ),
        (
            "BackupJob/old",
            "backup-job/nightly",
            parsed(&format!("{}spec: {{id: nightly}}\n", head("BackupJob"))),
        ),
        (
            "Snapshot/old",
            "snapshot/102/before",
            parsed(&format!(
                "{}spec: {{vmid: 102, name: before}}\n",
                head("Snapshot")
            )),
        ),
        (
            "ReplicationJob/old",
            "replication-job/104-0",
            parsed(&format!("{}spec: {{id: 104-0}}\n", head("ReplicationJob"))),
        ),
    ];
    for (old, object, new) in cases {
        for delete in [false, true] {
            let items = vec![removed(old, delete), new.clone()];
            let plan = lab.plan(items.clone());
            assert!(plan.steps.is_empty(), "{object}: {:?}", titles(&plan));
            assert!(plan.leaves_nothing_to_decide());
            let of = |key: &str| plan.documents.iter().find(|d| d.key == key).unwrap();
            assert_eq!(of(&new.key).former_owner, from(old), "{object}");
            assert_eq!((&of(old).hash, of(old).object.as_str()), (&None, object));
            let then = after(&lab, &plan, &items);
            assert_eq!(owner(&then, object), (new.key.as_str(), "directory:docs"));
            assert_eq!(then.objects[object].taken_from, vec![], "{object}");
            assert_eq!(then.objects.len(), lab.ownership.objects.len());
        }
        // Only the new one: the old one is still there.
        let why = lab.refused(vec![new.clone()]);
        assert!(why.contains(old), "{why}");
    }
}

#[test]
fn a_new_document_of_another_source_is_no_other_name() {
    let lab = owned();
    let new = Item {
        source: OTHER.to_owned(),
        ..named("VirtualMachine/new", db())
    };
    let why = lab.refused(vec![removed("VirtualMachine/102", true), new]);
    assert!(why.contains("cannot own it too"), "{why}");
}

#[test]
fn a_new_document_without_a_number_may_be_meant_as_another_name() {
    let lab = owned();
    let mut new = guest(GuestKind::Qemu, None, "new");
    new.node = Some(node("pve1"));
    let plan = lab.plan(vec![removed("VirtualMachine/102", false), doc(new)]);
    assert_eq!(titles(&plan), ["create vm/9000 new on pve1"]);
    assert!(
        plan.notes
            .iter()
            .any(|note| note.contains("write `vmid: 102`")),
        "{:?}",
        plan.notes
    );
}

#[test]
fn a_guest_gets_another_name() {
    let lab = owned();
    let plan = lab.plan(vec![doc(set(vm(102), "name", "db-2"))]);
    assert_eq!(titles(&plan), ["set vm/102 name db-1 → db-2"]);
    assert_eq!(facts(&plan), Vec::<String>::new());
}

#[test]
fn what_is_orphaned_stays_as_it_is_and_can_be_adopted() {
    let mut lab = owned();
    let gone = vec![removed("VirtualMachine/102", false)];
    let plan = lab.plan(gone.clone());
    assert!(plan.steps.is_empty());
    assert!(
        plan.notes[0].contains("no longer managed"),
        "{:?}",
        plan.notes
    );
    lab.ownership = after(&lab, &plan, &gone);
    assert!(lab.ownership.objects.is_empty());
    let other = Item {
        source: OTHER.to_owned(),
        ..db()
    };
    let plan = lab.plan(vec![other]);
    assert!(plan.documents[0].adopts && plan.leaves_nothing_to_decide());
}
