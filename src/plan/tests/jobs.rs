//! Backup jobs: what a document comes to, whom it leaves without backups, and how it is taken back.

use std::collections::BTreeSet;

use super::fixture::*;
use crate::document::load;
use crate::ids::{Bytes, GuestKind};
use crate::plan::{Item, Plan, Precondition, Risk, StepId, check, undo};
use crate::world::{Action, Param, Params, Part};

/// The item of a document.
fn job(name: &str, spec: &str) -> Item {
    let text = format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: BackupJob\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    );
    let documents = load(&[("a.yaml", text)]).unwrap_or_else(|errors| panic!("{errors}"));
    item(&format!("BackupJob/{name}"), documents[0].desired())
}

fn gone(lab: &mut Lab, id: &str) -> Item {
    let document = format!("BackupJob/{id}");
    lab.own(&format!("backup-job/{id}"), &document);
    removed(&document, true)
}

fn titles(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|step| step.title.as_str()).collect()
}

fn params(list: &[(&str, &str)]) -> Params {
    list.iter()
        .map(|(key, value)| ((*key).to_owned(), Param::Plain((*value).to_owned())))
        .collect()
}

/// The guests that get worse under rule CL03, with how.
fn cl03(plan: &Plan) -> Vec<String> {
    let impacts = plan.impacts.iter().filter(|impact| impact.rule == "CL03");
    impacts
        .map(|impact| {
            format!(
                "{} {}: {}",
                impact.entity,
                impact.category,
                impact.causes.join("; ")
            )
        })
        .collect()
}

/// Plans, and plans again on what comes of it: nothing is left.
fn settles(lab: &Lab, items: Vec<Item>) -> Plan {
    let plan = lab.plan(items.clone());
    let mut after = Lab::new();
    after.world = lab.after(&plan);
    after.ownership = lab.ownership.clone();
    let rest = after.plan(items);
    assert_eq!(titles(&rest), Vec::<&str>::new());
    assert_eq!(rest.changes, []);
    plan
}

/// Whom `nightly`, the lab's job for all, is for.
const ALL: [&str; 4] = ["ct/301", "vm/102", "vm/104", "vm/105"];

#[test]
fn a_job_is_made_with_what_its_document_says() {
    let lab = Lab::new();
    let spec = "{schedule: 'sat 03:00', storage: nas, guests: [104, 102], notesTemplate: '{{vmid}}', pruneBackups: {keepLast: 3}}";
    let plan = settles(&lab, vec![job("weekly", spec)]);
    assert_eq!(titles(&plan), ["make backup-job/weekly"]);
    let Action::CreateBackupJob { id, params: sent } = &plan.steps[0].action else {
        panic!()
    };
    assert_eq!(id.as_str(), "weekly");
    let expected = [
        ("schedule", "sat 03:00"),
        ("storage", "nas"),
        ("vmid", "102,104"),
        ("notes-template", "{{vmid}}"),
        ("prune-backups", "keep-last=3"),
    ];
    assert_eq!(*sent, params(&expected));
    assert_eq!((plan.risk, cl03(&plan)), (Risk::Low, vec![]));
}

#[test]
fn a_job_that_is_as_its_document_says_is_adopted_and_left_alone() {
    let lab = Lab::new();
    let plan = lab.plan(vec![job(
        "nightly",
        "{enabled: true, all: true, repeatMissed: false}",
    )]);
    assert_eq!((titles(&plan), plan.risk), (vec![], Risk::None));
    assert!(plan.documents[0].adopts);
}

#[test]
fn whom_a_job_is_for_takes_the_place_of_what_it_said_before() {
    let mut lab = Lab::new();
    lab.job(
        "other",
        &[
            ("all", "1"),
            ("exclude", "301"),
            ("storage", "nas"),
            ("quiet", "1"),
        ],
    );
    let plan = settles(&lab, vec![job("other", "{guests: [104]}")]);
    let Action::UpdateBackupJob { set, delete, .. } = &plan.steps[0].action else {
        panic!()
    };
    assert_eq!(*set, params(&[("vmid", "104")]));
    assert_eq!(
        *delete,
        BTreeSet::from(["all".to_owned(), "exclude".to_owned()])
    );
    // What the document does not say stays.
    let after = lab.after(&plan);
    let options = &after.backup_jobs["other"].options;
    assert_eq!(options["quiet"], "1");
    assert_eq!(options.get("all"), None);
}

#[test]
fn notes_and_protection_are_sent_with_the_storage() {
    let lab = Lab::new();
    let plan = settles(&lab, vec![job("nightly", "{notesTemplate: '{{vmid}}'}")]);
    let Action::UpdateBackupJob { set, .. } = &plan.steps[0].action else {
        panic!()
    };
    assert_eq!(
        *set,
        params(&[("notes-template", "{{vmid}}"), ("storage", "nas")])
    );
}

#[test]
fn counts_and_keeping_all_take_each_others_place() {
    let mut lab = Lab::new();
    lab.job(
        "other",
        &[
            ("all", "1"),
            ("storage", "nas"),
            ("prune-backups", "keep-all=1"),
        ],
    );
    let plan = settles(&lab, vec![job("other", "{pruneBackups: {keepLast: 3}}")]);
    let Action::UpdateBackupJob { set, .. } = &plan.steps[0].action else {
        panic!()
    };
    assert_eq!(*set, params(&[("prune-backups", "keep-last=3")]));
}

#[test]
fn a_job_that_cannot_be_made_is_refused_with_every_reason() {
    let lab = Lab::new();
    let refusal = lab.refused(vec![job("new", "{comment: x}")]);
    for words in [
        "when it shall run",
        "where its backups shall go",
        "which guests it is for",
    ] {
        assert!(refusal.contains(words), "{refusal}");
    }
    let refusal = lab.refused(vec![job(
        "new",
        "{schedule: '1:00', storage: ceph-vm, guests: [104, 999], node: pve9}",
    )]);
    for words in ["guest `999`", "does not hold `backup`", "node `pve9`"] {
        assert!(refusal.contains(words), "{refusal}");
    }
    let refusal = lab.refused(vec![job(
        "new",
        "{schedule: '1:00', storage: nass, pool: prodd}",
    )]);
    for words in ["did you mean `nas`", "did you mean `prod`"] {
        assert!(refusal.contains(words), "{refusal}");
    }
}

#[test]
fn what_cannot_be_told_or_changed_is_refused() {
    let mut lab = Lab::new();
    lab.job(
        "dumped",
        &[("vmid", "104"), ("dumpdir", "/srv"), ("schedule", "1:00")],
    );
    let refusal = lab.refused(vec![job("dumped", "{schedule: '2:00'}")]);
    assert!(refusal.contains("only root@pam may change"), "{refusal}");
    let refusal = lab.refused(vec![job("dumped", "{exclude: [104]}")]);
    assert!(refusal.contains("write `all: true`"), "{refusal}");
    lab.unread(Part::BackupJobs);
    let refusal = lab.refused(vec![job("nightly", "{schedule: '2:00'}")]);
    assert!(refusal.contains("the backup jobs"), "{refusal}");
}

#[test]
fn what_a_job_names_is_made_before_and_what_it_leaves_goes_after() {
    let mut lab = Lab::new();
    lab.job(
        "other",
        &[("vmid", "104"), ("storage", "local"), ("schedule", "1:00")],
    );
    lab.own("storage/local", "Storage/local");
    let mut web = guest(GuestKind::Qemu, Some(9000), "web-7");
    web.node = Some(node("pve1"));
    let options = [("path", "/srv/b"), ("content", "backup")];
    let plan = lab.plan(vec![
        removed("Storage/local", true),
        storage_doc("fresh", Some("dir"), &options),
        doc(web),
        job("other", "{storage: fresh, guests: [104, 9000]}"),
    ]);
    let place = |part: &str| titles(&plan).iter().position(|t| t.contains(part)).unwrap();
    let set = place("set backup-job/other");
    assert!(
        place("define storage/fresh") < set && place("9000") < set,
        "{:?}",
        titles(&plan)
    );
    assert!(set < place("delete storage/local"), "{:?}", titles(&plan));
}

#[test]
fn a_guest_that_the_plan_destroys_is_not_put_into_a_job() {
    let mut lab = Lab::new();
    lab.own("vm/104", "VirtualMachine/104");
    let items = vec![
        removed("VirtualMachine/104", true),
        job("new", "{schedule: '1:00', storage: nas, guests: [104]}"),
    ];
    let refusal = lab.refused(items);
    assert!(refusal.contains("destroyed by this plan"), "{refusal}");
}

#[test]
fn a_purged_guest_and_a_changed_job_agree_on_what_is_there() {
    let mut lab = Lab::new();
    lab.job(
        "other",
        &[
            ("vmid", "102,104"),
            ("storage", "nas"),
            ("schedule", "1:00"),
        ],
    );
    lab.own("vm/104", "VirtualMachine/104");
    let plan = lab.plan(vec![
        removed("VirtualMachine/104", true),
        job("other", "{guests: [102], schedule: '2:00'}"),
    ]);
    let after = lab.after(&plan);
    assert_eq!(after.backup_jobs["other"].options["vmid"], "102");
    assert_eq!(after.backup_jobs["other"].options["schedule"], "2:00");
}

#[test]
fn cl03_fires_for_every_guest_of_a_removed_job() {
    let mut lab = Lab::new();
    let plan = {
        let item = gone(&mut lab, "nightly");
        lab.plan(vec![item])
    };
    assert_eq!(titles(&plan), ["delete backup-job/nightly"]);
    let expected: Vec<String> = ["vm/102", "vm/104", "vm/105", "ct/301"]
        .iter()
        .filter(|guest| ALL.contains(guest))
        .map(|guest| format!("{guest} unprotected: no enabled backup job covers it"))
        .collect();
    assert_eq!(cl03(&plan), expected);
    assert_eq!(plan.impacts.len(), expected.len(), "{:?}", plan.impacts);
    assert_eq!(plan.risk, Risk::Medium);
}

#[test]
fn cl03_silent_for_guests_that_another_job_covers() {
    let mut lab = Lab::new();
    lab.backup_job("second", "nas", &[102, 104, 105, 301]);
    let item = gone(&mut lab, "nightly");
    let plan = lab.plan(vec![item]);
    assert_eq!((cl03(&plan), plan.risk), (vec![], Risk::Low));
}

#[test]
fn cl03_fires_for_a_job_that_is_disabled_and_names_it() {
    let lab = Lab::new();
    let plan = settles(&lab, vec![job("nightly", "{enabled: false}")]);
    assert_eq!(cl03(&plan).len(), ALL.len());
    assert!(
        cl03(&plan)[0].ends_with("covers it: nightly is disabled"),
        "{:?}",
        cl03(&plan)
    );
}

#[test]
fn cl03_fires_only_for_the_guests_that_a_narrowed_job_leaves() {
    let lab = Lab::new();
    let plan = settles(&lab, vec![job("nightly", "{exclude: [104]}")]);
    assert_eq!(
        cl03(&plan),
        ["vm/104 unprotected: no enabled backup job covers it"]
    );
    let plan = settles(&lab, vec![job("nightly", "{node: pve2}")]);
    let left: Vec<String> = lab
        .world
        .guests
        .values()
        .filter(|guest| guest.node.as_str() != "pve2")
        .map(|guest| guest.entity())
        .collect();
    assert!(!left.is_empty());
    assert_eq!(cl03(&plan).len(), left.len());
}

#[test]
fn cl03_silent_when_another_job_takes_the_guests_over_in_the_same_plan() {
    let mut lab = Lab::new();
    let item = gone(&mut lab, "nightly");
    let plan = lab.plan(vec![
        item,
        job("zz-new", "{schedule: '3:00', storage: nas, all: true}"),
    ]);
    assert_eq!(
        titles(&plan),
        ["make backup-job/zz-new", "delete backup-job/nightly"]
    );
    assert_eq!(plan.impacts, []);
}

#[test]
fn cl03_names_who_gains_backups() {
    let mut lab = Lab::new();
    lab.world.backup_jobs.clear();
    let plan = settles(
        &lab,
        vec![job(
            "new",
            "{schedule: '3:00', storage: nas, guests: [104]}",
        )],
    );
    assert_eq!(
        plan.improvements,
        ["vm/104 is no longer unprotected (no enabled backup job covers it)"]
    );
}

/// Three backups of a guest on the storage for backups.
fn with_backups(number: u32) -> Lab {
    let mut lab = Lab::new();
    for day in 1..=3 {
        let id = format!("nas:backup/vzdump-qemu-{number}-2026_11_0{day}-02_00_00.vma.zst");
        lab.volume("pve1", &id, "backup", Bytes(1 << 30), Some(number));
    }
    lab
}

#[test]
fn cl03_fires_for_backups_that_a_new_retention_removes() {
    let lab = with_backups(104);
    let plan = settles(&lab, vec![job("nightly", "{pruneBackups: {keepLast: 2}}")]);
    assert_eq!(
        cl03(&plan),
        [
            "vm/104 data-lost: backup job nightly keeps at most 2 of its 3 backups on nas from its next run on"
        ]
    );
    assert_eq!(plan.risk, Risk::High);
    let plan = settles(&lab, vec![job("nightly", "{pruneBackups: {keepDaily: 7}}")]);
    assert!(
        cl03(&plan)[0].contains("not surely all of its 3 backups"),
        "{:?}",
        cl03(&plan)
    );
}

#[test]
fn cl03_silent_for_a_retention_that_keeps_no_fewer() {
    let mut lab = with_backups(104);
    lab.job(
        "nightly",
        &[
            ("all", "1"),
            ("storage", "nas"),
            ("prune-backups", "keep-last=2"),
        ],
    );
    let plan = settles(&lab, vec![job("nightly", "{pruneBackups: {keepLast: 5}}")]);
    assert_eq!((cl03(&plan), plan.risk), (vec![], Risk::Low));
    let plan = settles(
        &lab,
        vec![job("nightly", "{pruneBackups: {keepAll: true}}")],
    );
    assert_eq!(cl03(&plan), Vec::<String>::new());
    // One that removes nothing keeps all, whatever it counts.
    let plan = settles(
        &lab,
        vec![job(
            "nightly",
            "{remove: false, pruneBackups: {keepLast: 1}}",
        )],
    );
    assert_eq!(cl03(&plan), Vec::<String>::new());
}

#[test]
fn cl03_silent_for_the_last_backup_and_for_a_change_of_something_else() {
    let mut lab = Lab::new();
    let id = "nas:backup/vzdump-qemu-104-2026_11_01-02_00_00.vma.zst";
    lab.volume("pve1", id, "backup", Bytes(1 << 30), Some(104));
    let plan = settles(&lab, vec![job("nightly", "{pruneBackups: {keepLast: 1}}")]);
    assert_eq!(cl03(&plan), Vec::<String>::new());
    let lab = with_backups(104);
    let plan = settles(
        &lab,
        vec![job("nightly", "{comment: other, schedule: '5:00'}")],
    );
    assert_eq!((cl03(&plan), plan.risk), (vec![], Risk::Low));
}

fn back(lab: &Lab, plan: &Plan) -> Plan {
    let done: BTreeSet<StepId> = plan.steps.iter().map(|step| step.id).collect();
    let back = undo(plan, &done, &lab.input(Vec::new())).unwrap();
    assert_eq!(check(&back), vec![], "{back:#?}");
    back
}

#[test]
fn a_removed_job_is_made_again_as_it_was() {
    let mut lab = Lab::new();
    let options = [
        ("vmid", "104"),
        ("storage", "nas"),
        ("schedule", "1:00"),
        ("exclude-path", "/a\n/b"),
        ("future", "x"),
    ];
    lab.job("other", &options);
    let before = lab.world.backup_jobs.clone();
    let item = gone(&mut lab, "other");
    let plan = lab.plan(vec![item]);
    lab.world = lab.after(&plan);
    let back = back(&lab, &plan);
    assert_eq!(titles(&back), ["make backup-job/other again"]);
    assert_eq!(lab.after(&back).backup_jobs, before);
}

#[test]
fn a_changed_job_is_set_back_but_not_what_others_changed_since() {
    let mut lab = Lab::new();
    let before = lab.world.backup_jobs.clone();
    let plan = lab.plan(vec![job(
        "nightly",
        "{guests: [104], comment: mine, schedule: '4:00'}",
    )]);
    lab.world = lab.after(&plan);
    assert_eq!(lab.after(&back(&lab, &plan)).backup_jobs, before);
    let mut options: Vec<(String, String)> = lab.world.backup_jobs["nightly"]
        .options
        .clone()
        .into_iter()
        .collect();
    options.push(("comment".to_owned(), "theirs".to_owned()));
    let options: Vec<(&str, &str)> = options
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    lab.job("nightly", &options);
    let back = back(&lab, &plan);
    assert!(
        back.notes
            .iter()
            .any(|note| note.contains("comment was changed by someone")),
        "{:?}",
        back.notes
    );
    let after = lab.after(&back);
    assert_eq!(after.backup_jobs["nightly"].options["comment"], "theirs");
    assert_eq!(after.backup_jobs["nightly"].options["schedule"], "02:00");
}

#[test]
fn a_new_job_is_removed_again_unless_somebody_changed_it() {
    let mut lab = Lab::new();
    let spec = "{schedule: '3:00', storage: nas, guests: [104]}";
    let plan = lab.plan(vec![job("new", spec)]);
    lab.world = lab.after(&plan);
    assert_eq!(titles(&back(&lab, &plan)), ["delete backup-job/new"]);
    lab.job(
        "new",
        &[
            ("schedule", "3:00"),
            ("storage", "nas"),
            ("vmid", "104,105"),
        ],
    );
    let back = back(&lab, &plan);
    assert_eq!(titles(&back), Vec::<&str>::new());
    assert!(
        back.notes
            .iter()
            .any(|note| note.contains("vmid was changed")),
        "{:?}",
        back.notes
    );
}

#[test]
fn a_job_is_changed_only_as_it_was_planned_on() {
    let lab = Lab::new();
    let plan = lab.plan(vec![job("nightly", "{schedule: '4:00'}")]);
    let options = lab.world.backup_jobs["nightly"].options.clone();
    let id = "nightly".parse().unwrap();
    assert_eq!(
        plan.steps[0].preconditions,
        [Precondition::BackupJobIs { id, options }]
    );
}
