//! Images: what a document comes to, that a file that is there is left alone, what its deletion hurts, and how both are taken back.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::fixture::*;
use crate::document::load;
use crate::health::Category;
use crate::ids::Bytes;
use crate::plan::{Inverse, Item, Owned, Plan, Precondition, StepId, check, undo};
use crate::world::{Action, Part, World};

const SUM: &str = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
const URL: &str = "https://images.example.org/rescue-13.iso";

/// The item of a document with these fields besides address and checksum.
fn wanted(name: &str, fields: &str) -> Item {
    from(name, fields, URL, "sha256", SUM)
}

fn from(name: &str, fields: &str, url: &str, algorithm: &str, sum: &str) -> Item {
    let text = format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: Image\nmetadata: {{name: {name}}}\nspec: {{{fields}, url: '{url}', checksum: {{algorithm: {algorithm}, value: '{sum}'}}}}\n"
    );
    let documents = load(&[("a.yaml", text)]).unwrap_or_else(|errors| panic!("{errors}"));
    item(&format!("Image/{name}"), documents[0].desired())
}

const ISO: &str = "storage: local, node: pve1, content: iso";
const OBJECT: &str = "image/pve1/local:iso/rescue-13.iso";
const KEY: &str = "Image/rescue-13.iso";

/// A lab that has the file on pve1.
fn with_file() -> Lab {
    let mut lab = Lab::new();
    let id = "local:iso/rescue-13.iso";
    lab.volume("pve1", id, "iso", Bytes(Bytes::GIB), None);
    lab
}

/// Ownership as it is after the plan of these items was carried out.
fn owned(lab: &mut Lab, items: &[Item]) {
    let plan = lab.plan(items.to_vec());
    lab.ownership = lab
        .ownership
        .after(&plan, items, &lab.secrets, &lab.after(&plan));
}

fn has_impact(plan: &Plan, entity: &str, category: Category) -> bool {
    plan.impacts
        .iter()
        .any(|impact| impact.entity == entity && impact.category == category)
}

#[test]
fn an_image_is_downloaded_once() {
    let lab = Lab::new();
    let items = vec![wanted("rescue-13.iso", ISO)];
    let plan = lab.plan(items.clone());
    assert_eq!(
        titles(&plan),
        ["download image local:iso/rescue-13.iso to pve1"]
    );
    let step = &plan.steps[0];
    assert!(matches!(&step.inverse, Inverse::Actions { actions, .. }
        if matches!(&actions[..], [Action::DeleteImage { .. }])));
    assert!(step.preconditions.contains(&Precondition::VolumeAbsent {
        node: node("pve1"),
        volume: volume("local:iso/rescue-13.iso"),
    }));
    assert!(step.notes.iter().any(|note| note.contains("how big it is")));
    assert_eq!(plan.impacts, []);
    assert_eq!(plan.documents[0].object, OBJECT);
    let mut after = Lab::new();
    after.world = lab.after(&plan);
    let rest = after.plan(items);
    assert_eq!(titles(&rest), Vec::<&str>::new());
    assert!(rest.documents[0].adopts);
}

/// An image of a registry: no checksum is known, which is said, and another tag is another file.
#[test]
fn an_image_of_a_registry_is_pulled_once() {
    let pulled = |reference: &str| {
        let text = format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: Image\nmetadata: {{name: nginx.tar}}\nspec: {{storage: local, node: pve1, content: vztmpl, reference: '{reference}'}}\n"
        );
        let documents = load(&[("a.yaml", text)]).unwrap_or_else(|errors| panic!("{errors}"));
        item("Image/nginx.tar", documents[0].desired())
    };
    let mut lab = Lab::new();
    let items = vec![pulled("docker.io/library/nginx:1.29")];
    // Where an address may be fetched from with older privileges, a registry may not.
    let refused = lab.refused(items.clone());
    assert!(
        refused.contains("lacks `Sys.AccessNetwork` on `/nodes/pve1`"),
        "{refused}"
    );
    let held = Arc::make_mut(&mut lab.world.permissions);
    let root = held.entry("/".to_owned()).or_default();
    root.insert("Sys.AccessNetwork".to_owned(), true);
    let plan = lab.plan(items.clone());
    let title = "download image local:vztmpl/nginx.tar to pve1";
    assert_eq!(titles(&plan), [title]);
    let notes = &plan.steps[0].notes;
    assert!(
        notes.iter().any(|n| n.contains("a tag can be moved")),
        "{notes:?}"
    );
    assert!(plan.changes.iter().any(|change| {
        change.after.as_deref() == Some("pulled from docker.io/library/nginx:1.29")
    }));
    owned(&mut lab, &items);
    lab.volume(
        "pve1",
        "local:vztmpl/nginx.tar",
        "vztmpl",
        Bytes(Bytes::GIB),
        None,
    );
    assert_eq!(titles(&lab.plan(items)), Vec::<&str>::new());
    let refused = lab.refused(vec![pulled("docker.io/library/nginx:1.30")]);
    for word in ["nginx:1.29", "write another `filename`"] {
        assert!(refused.contains(word), "{word}: {refused}");
    }
    // Nor does it become what an address serves.
    let text = format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: Image\nmetadata: {{name: a}}\nspec: {{storage: local, node: pve1, content: vztmpl, filename: nginx.tar.gz, url: '{URL}', checksum: {{algorithm: sha256, value: '{SUM}'}}}}\n"
    );
    let documents = load(&[("a.yaml", text)]).unwrap_or_else(|errors| panic!("{errors}"));
    let other = item("Image/nginx.tar", documents[0].desired());
    assert_eq!(lab.plan(vec![other]).steps.len(), 1);
}

#[test]
fn a_file_that_is_there_is_taken_over_as_it_is() {
    let lab = with_file();
    let plan = lab.plan(vec![wanted("rescue-13.iso", ISO)]);
    assert_eq!(titles(&plan), Vec::<&str>::new());
    assert!(plan.notes.iter().any(|note| note.contains("is not known")));
}

/// No change of a document is a reason to download a file again, and none to touch a guest that has it.
#[test]
fn a_changed_address_or_checksum_never_downloads_again() {
    let mut lab = with_file();
    lab.edit(104, |guest| {
        let drive = "local:iso/rescue-13.iso,media=cdrom,size=1G".to_owned();
        guest.config.current.insert("ide2".to_owned(), drive);
    });
    owned(&mut lab, &[wanted("rescue-13.iso", ISO)]);
    assert!(lab.ownership.objects[OBJECT].birth.is_some());
    let other = URL.replace("images", "mirror");
    let moved = lab.plan(vec![from("rescue-13.iso", ISO, &other, "sha256", SUM)]);
    assert_eq!(titles(&moved), Vec::<&str>::new());
    assert!(
        moved
            .notes
            .iter()
            .any(|note| note.contains("not downloaded again for another address"))
    );
    let sum = "a".repeat(64);
    let refused = lab.refused(vec![from("rescue-13.iso", ISO, URL, "sha256", &sum)]);
    for word in [SUM, "write another `filename`", "never downloaded again"] {
        assert!(refused.contains(word), "{word}: {refused}");
    }
    let refused = lab.refused(vec![from("rescue-13.iso", ISO, URL, "md5", &sum[..32])]);
    assert!(refused.contains("write another `filename`"), "{refused}");
    let packed = format!("{ISO}, decompression: gz");
    let refused = lab.refused(vec![wanted("rescue-13.iso", &packed)]);
    assert!(refused.contains("write another `filename`"), "{refused}");
    // Another filename is another image; the old file stays.
    let next = format!("{ISO}, filename: rescue-14.iso");
    let plan = lab.plan(vec![from("rescue-13.iso", &next, URL, "sha256", &sum)]);
    assert_eq!(
        titles(&plan),
        ["download image local:iso/rescue-14.iso to pve1"]
    );
    assert!(
        plan.notes
            .iter()
            .any(|note| note.contains("no longer managed"))
    );
}

#[test]
fn a_file_that_is_gone_is_downloaded_again() {
    let mut lab = with_file();
    let items = [wanted("rescue-13.iso", ISO)];
    owned(&mut lab, &items);
    lab.edit_storage("local", |storage| {
        storage.volumes.insert(node("pve1"), Default::default());
    });
    let plan = lab.plan(items.to_vec());
    assert_eq!(plan.steps.len(), 1);
    assert!(plan.notes.iter().any(|note| note.contains("is gone")));
}

#[test]
fn a_file_written_anew_is_told_and_left() {
    let mut lab = with_file();
    let items = [wanted("rescue-13.iso", ISO)];
    owned(&mut lab, &items);
    let known = lab.ownership.objects.get_mut(OBJECT).unwrap();
    known.birth = Some("ctime:1".to_owned());
    let plan = lab.plan(items.to_vec());
    assert_eq!(titles(&plan), Vec::<&str>::new());
    assert!(plan.notes.iter().any(|note| note.contains("written anew")));
    let refused = lab.refused(vec![removed(KEY, true)]);
    assert!(
        refused.contains("is not the file this document owned"),
        "{refused}"
    );
}

#[test]
fn where_an_image_can_be_is_known_at_plan_time() {
    let lab = Lab::new();
    let refused = |lab: &Lab, fields: &str| lab.refused(vec![wanted("rescue-13.iso", fields)]);
    let nowhere = refused(&lab, "storage: local, content: iso");
    assert!(nowhere.contains("does not say which `node`"), "{nowhere}");
    let blocks = refused(&lab, "storage: local-zfs, node: pve1, content: iso");
    assert!(blocks.contains("keeps no files"), "{blocks}");
    let nothing = refused(&lab, "storage: lokal, node: pve1, content: iso");
    assert!(nothing.contains("did you mean `local`"), "{nothing}");
    let nobody = refused(&lab, "storage: local, node: pve9, content: iso");
    assert!(nobody.contains("pve9"), "{nobody}");
    let template = "storage: nas, content: vztmpl, filename: a.tar.zst";
    let content = refused(&lab, template);
    assert!(content.contains("does not hold `vztmpl`"), "{content}");
    let mut off = Lab::new();
    off.edit_storage("local", |storage| storage.disabled = true);
    let disabled = refused(&off, ISO);
    assert!(disabled.contains("is not available"), "{disabled}");
    let mut blind = Lab::new();
    blind.unread(Part::StorageContent(node("pve1"), storage_id("local")));
    blind.edit_storage("local", |storage| {
        storage.volumes.remove(&node("pve1"));
    });
    let unread = refused(&blind, ISO);
    assert!(unread.contains("could not be read"), "{unread}");
    // On a shared storage any node will do, and the image has no node.
    let plan = lab.plan(vec![wanted("rescue-13.iso", "storage: nas, content: iso")]);
    assert_eq!(plan.documents[0].object, "image/nas:iso/rescue-13.iso");
    let mut down = Lab::new();
    for name in ["pve1", "pve2"] {
        let live = down.world.nodes.get_mut(&node(name)).unwrap();
        let states = &mut std::sync::Arc::make_mut(live).storages;
        states.get_mut(&storage_id("nas")).unwrap().active = false;
    }
    let unreached = refused(&down, "storage: nas, content: iso");
    assert!(unreached.contains("no node that is online"), "{unreached}");
}

#[test]
fn what_weakens_a_download_is_told() {
    let lab = Lab::new();
    let fields = format!("{ISO}, verifyCertificates: false, decompression: zst");
    let sum = "b".repeat(32);
    let plan = lab.plan(vec![from("rescue-13.iso", &fields, URL, "md5", &sum)]);
    let notes = plan.steps[0].notes.join("\n");
    for word in [
        "md5 tells damage",
        "is not verified",
        "decompressed with zst",
    ] {
        assert!(notes.contains(word), "{word}: {notes}");
    }
    let lacks = plan.steps[0].privileges.iter();
    let lacks: Vec<String> = lacks
        .map(|needed| format!("{} {}", needed.path, needed.privilege))
        .collect();
    assert!(
        lacks.contains(&"/storage/local Datastore.AllocateTemplate".to_owned()),
        "{lacks:?}"
    );
}

fn guest_document(kind: &str, spec: &str) -> Item {
    let text = format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: guest}}\nspec: {spec}\n"
    );
    let documents = load(&[("b.yaml", text)]).unwrap_or_else(|errors| panic!("{errors}"));
    item(&format!("{kind}/guest"), documents[0].desired())
}

/// A guest that is made from a file comes after the file, in one plan.
#[test]
fn a_guest_gets_an_image_of_the_same_plan() {
    let lab = Lab::new();
    let drive = "{vmid: 900, node: pve1, memory: {size: 1Gi}, cdroms: {ide2: {iso: 'local:iso/rescue-13.iso'}}}";
    let plan = lab.plan(vec![
        guest_document("VirtualMachine", drive),
        wanted("rescue-13.iso", ISO),
    ]);
    let (first, second) = (&plan.steps[0], &plan.steps[1]);
    assert!(matches!(first.action, Action::DownloadImage { .. }));
    assert!(matches!(second.action, Action::CreateGuest { .. }));
    assert!(second.needs.contains(&first.id));
    let changed = "{vmid: 105, cdroms: {ide2: {iso: 'local:iso/rescue-13.iso'}}}";
    let plan = lab.plan(vec![
        guest_document("VirtualMachine", changed),
        wanted("rescue-13.iso", ISO),
    ]);
    assert!(plan.steps[1].needs.contains(&plan.steps[0].id));
    let container = "{vmid: 901, node: pve1, template: 'local:vztmpl/small.tar.zst', unprivileged: true, rootFs: {storage: local-zfs, size: 4Gi}}";
    let template = "storage: local, node: pve1, content: vztmpl, filename: small.tar.zst";
    let plan = lab.plan(vec![
        guest_document("Container", container),
        wanted("small", template),
    ]);
    assert!(plan.steps[1].needs.contains(&plan.steps[0].id));
    // Each node has its own files: one on pve2 is of no use here.
    let other = wanted("rescue-13.iso", "storage: local, node: pve2, content: iso");
    let refused = lab.refused(vec![guest_document("VirtualMachine", drive), other]);
    assert!(refused.contains("there is no volume"), "{refused}");
}

/// How big an imported disk is shows only when its file is there.
#[test]
fn a_disk_is_not_imported_from_an_image_of_the_same_plan() {
    let mut lab = Lab::new();
    lab.storage("files", "dir", "import,images", false, 900);
    let image = "storage: files, node: pve1, content: import, filename: cloud.qcow2";
    let machine = "{vmid: 900, node: pve1, memory: {size: 1Gi}, disks: {scsi0: {storage: local-zfs, importFrom: 'files:import/cloud.qcow2'}}}";
    let refused = lab.refused(vec![
        wanted("cloud", image),
        guest_document("VirtualMachine", machine),
    ]);
    assert!(refused.contains("apply its document first"), "{refused}");
}

/// Rule ST08: the deletion of a file names every guest that has it in a drive, and every snapshot that had.
#[test]
fn st08_the_deletion_of_an_image_names_who_has_it() {
    let mut lab = with_file();
    let drive = "local:iso/rescue-13.iso,media=cdrom,size=1G";
    for number in [104, 105] {
        lab.edit(number, |guest| {
            let current = &mut guest.config.current;
            current.insert("ide2".to_owned(), drive.to_owned());
        });
    }
    lab.snapshot(102, "before");
    lab.edit(102, |guest| {
        let snapshot = guest.config.snapshots.get_mut("before").unwrap();
        snapshot.section.insert("ide2".to_owned(), drive.to_owned());
    });
    owned(&mut lab, &[wanted("rescue-13.iso", ISO)]);
    let plan = lab.plan(vec![removed(KEY, true)]);
    assert_eq!(
        titles(&plan),
        ["delete image local:iso/rescue-13.iso on pve1"]
    );
    assert!(has_impact(&plan, "vm/104", Category::WontBoot), "{plan:#?}");
    assert!(has_impact(&plan, "vm/105", Category::WontBoot), "{plan:#?}");
    let file = "volume/local:iso/rescue-13.iso";
    assert!(has_impact(&plan, file, Category::DataLost), "{plan:#?}");
    let notes = plan.steps[0].notes.join("\n");
    assert!(notes.contains("snapshot before of vm/102"), "{notes}");
    assert!(
        plan.steps[0]
            .preconditions
            .contains(&Precondition::VolumeIs {
                node: node("pve1"),
                volume: volume("local:iso/rescue-13.iso"),
                created: Some(1_690_000_000),
            })
    );
    // It can be had again, as long as the address serves it.
    let Inverse::Actions { actions, remains } = &plan.steps[0].inverse else {
        panic!("{:?}", plan.steps[0].inverse);
    };
    assert!(matches!(&actions[..], [Action::DownloadImage { .. }]));
    assert!(remains[0].contains(URL), "{remains:?}");
}

/// A guest whose drive is emptied in the same plan is not hurt: the file goes after that.
#[test]
fn a_file_goes_after_the_drives_that_let_go_of_it() {
    let mut lab = with_file();
    lab.edit(105, |guest| {
        let drive = "local:iso/rescue-13.iso,media=cdrom,size=1G".to_owned();
        guest.config.current.insert("ide2".to_owned(), drive);
    });
    owned(&mut lab, &[wanted("rescue-13.iso", ISO)]);
    let emptied = "{vmid: 105, cdroms: {ide2: {empty: true}}}";
    let plan = lab.plan(vec![
        removed(KEY, true),
        guest_document("VirtualMachine", emptied),
    ]);
    assert!(matches!(plan.steps[0].action, Action::UpdateConfig { .. }));
    assert!(plan.steps[1].needs.contains(&plan.steps[0].id));
    assert!(!has_impact(&plan, "vm/105", Category::WontBoot));
    // And none is given a file that goes.
    let given = "{vmid: 102, cdroms: {ide2: {iso: 'local:iso/rescue-13.iso'}}}";
    let refused = lab.refused(vec![
        removed(KEY, true),
        guest_document("VirtualMachine", given),
    ]);
    assert!(refused.contains("is deleted by this plan"), "{refused}");
}

#[test]
fn a_removed_document_deletes_only_what_it_owned() {
    let mut lab = with_file();
    owned(&mut lab, &[wanted("rescue-13.iso", ISO)]);
    let kept = lab.plan(vec![removed(KEY, false)]);
    assert_eq!(titles(&kept), Vec::<&str>::new());
    // Where it came from is not known any more: then there is no way back.
    let known = lab.ownership.objects.get_mut(OBJECT).unwrap();
    known.managed.clear();
    let plan = lab.plan(vec![removed(KEY, true)]);
    assert!(matches!(
        plan.steps[0].inverse,
        Inverse::Irreversible { .. }
    ));
    let after = lab
        .ownership
        .after(&plan, &[], &lab.secrets, &lab.after(&plan));
    assert!(!after.objects.contains_key(OBJECT));
    lab.world = lab.after(&plan);
    let gone = lab.plan(vec![removed(KEY, true)]);
    assert_eq!(titles(&gone), Vec::<&str>::new());
    assert!(gone.notes.iter().any(|note| note.contains("already gone")));
}

fn taken_back(lab: &Lab, plan: &Plan) -> Plan {
    let done: BTreeSet<StepId> = plan.steps.iter().map(|step| step.id).collect();
    let back = undo(plan, &done, &lab.input(Vec::new())).unwrap();
    assert_eq!(check(&back), vec![], "{back:#?}");
    back
}

/// A world in which the file was written when the ownership says.
fn written(world: World) -> World {
    let mut lab = Lab::empty();
    lab.world = world;
    let id = "local:iso/rescue-13.iso";
    lab.volume("pve1", id, "iso", Bytes(Bytes::GIB), None);
    lab.world
}

#[test]
fn a_download_is_taken_back_and_so_is_a_deletion() {
    let mut lab = Lab::new();
    let items = [wanted("rescue-13.iso", ISO)];
    let plan = lab.plan(items.to_vec());
    lab.world = written(lab.after(&plan));
    lab.ownership = lab.ownership.after(&plan, &items, &lab.secrets, &lab.world);
    let back = taken_back(&lab, &plan);
    assert_eq!(
        titles(&back),
        ["delete image local:iso/rescue-13.iso on pve1"]
    );
    // What a guest has is not taken from it.
    lab.edit(105, |guest| {
        let drive = "local:iso/rescue-13.iso,media=cdrom,size=1G".to_owned();
        guest.config.current.insert("ide2".to_owned(), drive);
    });
    let back = taken_back(&lab, &plan);
    assert_eq!(titles(&back), Vec::<&str>::new());
    assert!(
        back.notes
            .iter()
            .any(|note| note.contains("in use by vm/105 (ide2)"))
    );
    // Nor is another file.
    lab.edit(105, |guest| {
        guest.config.current.remove("ide2");
    });
    let known: &mut Owned = lab.ownership.objects.get_mut(OBJECT).unwrap();
    let birth = known.birth.replace("ctime:1".to_owned());
    assert!(
        taken_back(&lab, &plan)
            .notes
            .iter()
            .any(|note| note.contains("not surely the one"))
    );
    lab.ownership.objects.get_mut(OBJECT).unwrap().birth = birth;
    let gone = lab.plan(vec![removed(KEY, true)]);
    let before = lab.world.clone();
    lab.world = lab.after(&gone);
    assert_eq!(
        titles(&taken_back(&lab, &gone)),
        ["download image local:iso/rescue-13.iso to pve1 again"]
    );
    lab.world = before;
    let back = taken_back(&lab, &gone);
    assert_eq!(titles(&back), Vec::<&str>::new());
}

#[test]
fn two_documents_cannot_have_one_file() {
    let lab = Lab::new();
    let other = format!("{ISO}, filename: rescue-13.iso");
    let refused = lab.refused(vec![wanted("rescue-13.iso", ISO), wanted("other", &other)]);
    assert!(refused.contains("an object has one document"), "{refused}");
    // A file of the same name on another node is another file.
    let elsewhere = "storage: local, node: pve2, content: iso, filename: rescue-13.iso";
    let plan = lab.plan(vec![
        wanted("rescue-13.iso", ISO),
        wanted("other", elsewhere),
    ]);
    assert_eq!(plan.steps.len(), 2);
}

/// Proxmox VE appends a CD drive to the boot order: the order that a document asks for is written after it, and where it says nothing
/// the plan tells what happens.
#[test]
fn a_drive_does_not_change_the_boot_order_in_silence() {
    let planned = |boot: &str| {
        let lab = with_file();
        let fields =
            format!("{{vmid: 105, cdroms: {{ide2: {{iso: 'local:iso/rescue-13.iso'}}}}{boot}}}");
        let plan = lab.plan(vec![guest_document("VirtualMachine", &fields)]);
        let after = lab.after(&plan);
        let config = &after.guests[&vmid(105)].config;
        let order = config.next_start().get("boot").cloned().unwrap_or_default();
        let notes: Vec<String> = plan
            .steps
            .iter()
            .flat_map(|step| step.notes.clone())
            .collect();
        (plan.steps.len(), order, notes.join("; "))
    };
    let (steps, order, _) = planned(", bootOrder: [scsi0]");
    assert_eq!((steps, order.as_str()), (2, "order=scsi0"));
    let (steps, order, notes) = planned("");
    assert_eq!((steps, order.as_str()), (1, "order=scsi0;ide2"));
    assert!(
        notes.contains("Proxmox VE appends ide2 to the boot order"),
        "{notes}"
    );
}
