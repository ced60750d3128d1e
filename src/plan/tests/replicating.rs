//! Replication jobs: what a document comes to, which copies are lost, and what a replicated guest cannot do.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::fixture::*;
use crate::document::load;
use crate::health::Category;
use crate::plan::{Item, Plan, Precondition, Risk, StepId, check, undo};
use crate::world::{Action, Part, Status};

/// The item of a document.
fn job(name: &str, spec: &str) -> Item {
    let text = format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: ReplicationJob\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    );
    let documents = load(&[("a.yaml", text)]).unwrap_or_else(|errors| panic!("{errors}"));
    item(&format!("ReplicationJob/{name}"), documents[0].desired())
}

fn gone(lab: &mut Lab, id: &str) -> Item {
    let document = format!("ReplicationJob/{id}");
    lab.own(&format!("replication-job/{id}"), &document);
    removed(&document, true)
}

/// What gets worse under rule CL04.
fn cl04(plan: &Plan) -> Vec<String> {
    let impacts = plan.impacts.iter().filter(|impact| impact.rule == "CL04");
    let told = |causes: &[String]| causes.join("; ");
    impacts
        .map(|impact| {
            let causes = told(&impact.causes);
            format!("{} {}: {causes}", impact.entity, impact.category)
        })
        .collect()
}

/// Plans, and plans again on what comes of it: nothing is left.
fn settles(lab: &Lab, items: Vec<Item>) -> Plan {
    let plan = lab.plan(items.clone());
    assert_eq!(check(&plan), vec![]);
    let mut after = Lab::new();
    after.world = lab.after(&plan);
    after.ownership = lab.ownership.clone();
    let rest = after.plan(items);
    assert_eq!(titles(&rest), Vec::<&str>::new());
    assert_eq!(rest.changes, []);
    plan
}

const REMOVED: &str = "vm/104 unprotected: the copy on node pve2 that replication 104-0 keeps is removed, and a migration there copies everything again";

#[test]
fn a_job_is_made_with_what_its_document_says() {
    let lab = Lab::new();
    let spec =
        "{guest: 104, target: pve2, schedule: '*/30', rate: 12.5, enabled: true, comment: x}";
    let plan = settles(&lab, vec![job("copy", spec)]);
    assert_eq!(titles(&plan), ["make replication-job/104-0 to pve2"]);
    let Action::CreateReplicationJob { target, params, .. } = &plan.steps[0].action else {
        panic!()
    };
    assert_eq!(target.as_str(), "pve2");
    let keys: Vec<&str> = params.keys().map(String::as_str).collect();
    assert_eq!(keys, ["comment", "rate", "schedule"]);
    let conditions = &plan.steps[0].preconditions;
    assert!(
        conditions
            .iter()
            .any(|p| matches!(p, Precondition::Identity { vmid: v, .. } if *v == vmid(104)))
    );
    assert_eq!((plan.risk, plan.impacts), (Risk::Low, vec![]));
}

#[test]
fn what_is_as_its_document_says_is_adopted_and_left_alone() {
    let mut lab = Lab::new();
    lab.replication("104-0", "pve2", &[("rate", "10"), ("source", "pve1")]);
    let spec = "{target: pve2, rate: 10, schedule: '*/15', enabled: true}";
    let plan = lab.plan(vec![job("104-0", spec)]);
    assert_eq!((titles(&plan), plan.risk), (vec![], Risk::None));
    assert!(plan.documents[0].adopts);
}

#[test]
fn what_stands_in_the_way_of_a_new_job_is_said() {
    let mut lab = Lab::new();
    assert!(
        lab.refused(vec![job("104-0", "{}")])
            .contains("to which `target`")
    );
    assert!(
        lab.refused(vec![job("104-0", "{target: pve3}")])
            .contains("no node `pve3`")
    );
    assert!(
        lab.refused(vec![job("999-0", "{target: pve2}")])
            .contains("no guest `999`")
    );
    let will_fail = |lab: &Lab, name: &str, target: &str| {
        let plan = lab.plan(vec![job(name, &format!("{{target: {target}}}"))]);
        let fails = plan
            .impacts
            .iter()
            .find(|i| i.category == Category::WillFail);
        let fails = fails.unwrap_or_else(|| panic!("{:?}", facts(&plan)));
        assert_eq!(fails.rule, "CL04");
        fails.causes.join("; ")
    };
    assert!(will_fail(&lab, "104-0", "pve1").contains("own node"));
    lab.replication("104-3", "pve2", &[]);
    assert!(will_fail(&lab, "104-0", "pve2").contains("104-3 copies vm/104 to pve2 already"));
    lab.edit(102, |guest| {
        let thin = "local:102/vm-102-disk-1.qcow2,size=1G".to_owned();
        guest.config.current.insert("scsi1".to_owned(), thin);
    });
    assert!(will_fail(&lab, "102-0", "pve2").contains("scsi1 lies on local, which is no ZFS pool"));
    lab.edit_storage("local-zfs", |storage| {
        storage.nodes = Some([node("pve1")].into())
    });
    assert!(will_fail(&lab, "301-0", "pve2").contains("not available on pve2"));
    lab.unread(Part::ReplicationJobs);
    assert!(
        lab.refused(vec![job("105-0", "{target: pve2}")])
            .contains("could not be read")
    );
}

#[test]
fn a_disk_that_is_not_replicated_stands_in_nobodys_way() {
    let mut lab = Lab::new();
    lab.edit(102, |guest| {
        let local = "local:102/vm-102-disk-1.qcow2,replicate=0,size=1G".to_owned();
        guest.config.current.insert("scsi1".to_owned(), local);
    });
    let plan = lab.plan(vec![job("102-0", "{target: pve2}")]);
    assert_eq!(plan.impacts, vec![]);
}

#[test]
fn another_target_is_another_job_and_refused_with_what_to_write() {
    let mut lab = Lab::new();
    lab.replication("104-0", "pve2", &[]);
    let mut third = lab.world.nodes[&node("pve2")].as_ref().clone();
    third.ip = None;
    lab.world.nodes.insert(node("pve3"), Arc::new(third));
    let refused = lab.refused(vec![job("104-0", "{target: pve3}")]);
    for word in [
        "copies to pve2",
        "cannot be changed",
        "`id: 104-1`",
        "bailiwick.dev/deletion: delete",
    ] {
        assert!(refused.contains(word), "{word}: {refused}");
    }
    let mut marked = lab.world.replication_jobs["104-0"].as_ref().clone();
    marked.removing = true;
    lab.world
        .replication_jobs
        .insert("104-0".to_owned(), Arc::new(marked));
    assert!(
        lab.refused(vec![job("104-0", "{target: pve2}")])
            .contains("marked for removal")
    );
    let removal = gone(&mut lab, "104-0");
    assert_eq!(titles(&lab.plan(vec![removal])), Vec::<&str>::new());
}

#[test]
fn cl04_fires_for_a_deleted_job_and_names_the_copy() {
    let mut lab = Lab::new();
    lab.replication("104-0", "pve2", &[]);
    let item = gone(&mut lab, "104-0");
    let plan = lab.plan(vec![item]);
    assert_eq!(
        titles(&plan),
        ["delete replication-job/104-0 and its copy on pve2"]
    );
    assert_eq!(cl04(&plan), [REMOVED]);
    assert!(lab.after(&plan).replication_jobs["104-0"].removing);
}

#[test]
fn cl04_fires_for_a_retarget_by_two_documents_which_makes_before_it_deletes() {
    let mut lab = Lab::new();
    let third = lab.world.nodes[&node("pve2")].as_ref().clone();
    lab.world.nodes.insert(node("pve3"), Arc::new(third));
    lab.replication("104-0", "pve2", &[]);
    let removal = gone(&mut lab, "104-0");
    let plan = lab.plan(vec![removal, job("104-1", "{target: pve3}")]);
    assert_eq!(
        titles(&plan),
        [
            "make replication-job/104-1 to pve3",
            "delete replication-job/104-0 and its copy on pve2"
        ]
    );
    assert_eq!(cl04(&plan), [REMOVED]);
}

#[test]
fn cl04_fires_for_a_disabled_job_and_is_silent_for_other_changes() {
    let mut lab = Lab::new();
    lab.replication("104-0", "pve2", &[("rate", "10")]);
    let plan = settles(&lab, vec![job("104-0", "{enabled: false}")]);
    assert_eq!(
        cl04(&plan),
        [
            "vm/104 unprotected: replication 104-0 is disabled: its copy on node pve2 is no longer kept up to date"
        ]
    );
    let plan = settles(
        &lab,
        vec![job("104-0", "{schedule: '22:00', rate: null, comment: z}")],
    );
    assert_eq!(plan.impacts, vec![]);
    let unchanged = lab.plan(vec![job("104-0", "{rate: 10.0}")]);
    assert_eq!(unchanged.impacts, vec![]);
}

#[test]
fn cl04_fires_for_ha_that_relies_on_the_copy_and_is_silent_for_shared_disks() {
    let mut lab = Lab::new();
    lab.ha(104, "started");
    lab.replication("104-0", "pve2", &[]);
    let item = gone(&mut lab, "104-0");
    let plan = lab.plan(vec![item]);
    let told = cl04(&plan);
    assert!(
        told.iter().any(|line| line.starts_with(
            "vm/104 not-highly-available: no other node can start it with scsi0 on local-zfs"
        )),
        "{told:?}"
    );
    assert!(told.contains(&REMOVED.to_owned()), "{told:?}");
    // Every disk of 102 is seen by all nodes: HA needs no copy of it.
    let mut lab = Lab::new();
    lab.ha(102, "started");
    lab.replication("102-0", "pve2", &[]);
    let item = gone(&mut lab, "102-0");
    let told = cl04(&lab.plan(vec![item]));
    assert!(
        told.iter()
            .all(|line| !line.contains("not-highly-available")),
        "{told:?}"
    );
}

#[test]
fn cl04_silent_where_a_migration_turns_the_job_round() {
    let mut lab = Lab::new();
    lab.replication("104-0", "pve2", &[]);
    let mut moved = vm(104);
    moved.node = Some(node("pve2"));
    let plan = lab.plan(vec![doc(moved.clone()), job("104-0", "{target: pve2}")]);
    assert_eq!(cl04(&plan), Vec::<String>::new());
    let mut after = Lab::new();
    after.world = lab.after(&plan);
    assert_eq!(after.world.replication_jobs["104-0"].target, node("pve1"));
    // The job has turned round; that is no drift.
    let rest = after.plan(vec![doc(moved), job("104-0", "{target: pve2}")]);
    assert_eq!(titles(&rest), Vec::<&str>::new());
    assert!(
        rest.notes
            .iter()
            .any(|note| note.contains("has turned round")),
        "{:?}",
        rest.notes
    );
}

#[test]
fn gu07_a_replicated_guest_goes_live_only_where_it_is_copied_to() {
    let mut lab = Lab::new();
    let third = lab.world.nodes[&node("pve2")].as_ref().clone();
    lab.world.nodes.insert(node("pve3"), Arc::new(third));
    lab.replication("104-0", "pve3", &[]);
    let mut moved = vm(104);
    moved.node = Some(node("pve2"));
    let refused = |lab: &Lab| {
        let plan = lab.plan(vec![doc(moved.clone())]);
        let fails = plan
            .impacts
            .iter()
            .filter(|i| i.category == Category::WillFail);
        fails
            .flat_map(|i| i.causes.clone())
            .collect::<Vec<_>>()
            .join("; ")
    };
    assert!(
        refused(&lab).contains("it is replicated"),
        "{}",
        refused(&lab)
    );
    lab.edit(104, |guest| guest.status = Status::Stopped);
    assert_eq!(refused(&lab), "");
}

#[test]
fn gu04_a_replicated_guest_takes_no_volume_that_cannot_be_copied() {
    let mut lab = Lab::new();
    lab.replication("104-0", "pve2", &[]);
    let told = |lab: &Lab, disk| {
        let plan = lab.plan(vec![doc(with_disk(vm(104), "scsi2", disk))]);
        let fails = plan
            .impacts
            .iter()
            .filter(|i| i.category == Category::WillFail);
        fails
            .flat_map(|i| i.causes.clone())
            .collect::<Vec<_>>()
            .join("; ")
    };
    assert!(told(&lab, sized("local", 4)).contains("no ZFS pool, and vm/104 is replicated"));
    assert_eq!(told(&lab, sized("local-zfs", 4)), "");
    assert_eq!(told(&lab, sized("ceph-vm", 4)), "");
    let mut apart = sized("local", 4);
    apart.options.insert("replicate".to_owned(), "0".to_owned());
    assert_eq!(told(&lab, apart), "");
    lab.world.replication_jobs.clear();
    assert_eq!(told(&lab, sized("local", 4)), "");
}

#[test]
fn made_changed_and_deleted_jobs_are_taken_back() {
    let back = |lab: &Lab, item: Item| {
        let plan = lab.plan(vec![item]);
        let mut after = Lab::new();
        after.world = lab.after(&plan);
        let done: BTreeSet<StepId> = plan.steps.iter().map(|step| step.id).collect();
        // The job that was marked is gone by then.
        after.world.replication_jobs.retain(|_, job| !job.removing);
        undo(&plan, &done, &after.input(vec![])).unwrap()
    };
    let mut lab = Lab::new();
    let made = back(&lab, job("104-0", "{target: pve2, rate: 5}"));
    assert_eq!(titles(&made), ["delete replication-job/104-0"]);
    lab.replication("104-0", "pve2", &[("rate", "10"), ("comment", "x")]);
    let changed = back(
        &lab,
        job("104-0", "{rate: 20, comment: null, schedule: '22:00'}"),
    );
    let Action::UpdateReplicationJob { set, delete, .. } = &changed.steps[0].action else {
        panic!()
    };
    assert_eq!(set.keys().collect::<Vec<_>>(), ["comment", "rate"]);
    assert_eq!(delete.iter().collect::<Vec<_>>(), ["schedule"]);
    let item = gone(&mut lab, "104-0");
    let deleted = back(&lab, item);
    assert_eq!(
        titles(&deleted),
        ["make replication-job/104-0 to pve2 again"]
    );
    assert!(
        deleted
            .notes
            .iter()
            .any(|note| note.contains("made anew, whole")),
        "{:?}",
        deleted.notes
    );
}
