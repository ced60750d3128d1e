//! Safety copies over the simulator: a guest that is destroyed is backed up before, comes back from that, and the copy goes when it is
//! old enough.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::sync::Arc;

use bailiwick::configuration::load_configuration;
use bailiwick::service::{Environment, Planned, Service, Tuning};
use bailiwick::sim::volumes::Volume;
use bailiwick::store::PlanState;
use support::play::{Play, Setup, hash_of};

const BESIDE: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: Pool\nmetadata: {name: infra}\nspec: {comment: network and monitoring}\n";
const BUILD: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: build, annotations: {bailiwick.dev/deletion: delete}}\nspec: {vmid: 103}\n";
const NOTES: &str = "bailiwick: safety copy of vm/103, kept for 14d";

/// A play with copies in which a document owns guest 103 and is withdrawn.
fn withdrawn(cluster: &str) -> Play {
    let play = Play::with(Setup {
        cluster: cluster.to_owned(),
        ..Setup::default()
    });
    play.document("infra", BESIDE);
    play.document("build", BUILD);
    play.bailiwick(&["apply", "-f", "docs", "--prune"]).ends(0);
    play.withdraw("build");
    play
}

const COPIES: &str = "  safetyCopy: {storage: backup, keepFor: 14d}";

fn copies(play: &Play) -> Vec<Volume> {
    play.sim.with(|cluster| {
        let ours = |volume: &&Volume| {
            let notes = volume.notes.as_deref().unwrap_or_default();
            notes.starts_with("bailiwick: safety copy of ")
        };
        cluster.volumes.iter().filter(ours).cloned().collect()
    })
}

/// Makes a copy as old as this many days.
fn age(play: &Play, volid: &str, days: i64) {
    play.sim.with(|cluster| {
        let volume = cluster.volumes.get_mut("pve1", volid).unwrap();
        volume.ctime = jiff::Timestamp::now().as_second() - days * 86_400;
    });
}

/// Destroys guest 103; the copy of it.
fn destroyed(play: &Play) -> Volume {
    let plan = play.apply();
    let steps = plan["steps"].as_array().unwrap();
    let titles: Vec<&str> = steps.iter().map(|s| s["title"].as_str().unwrap()).collect();
    assert_eq!(
        titles,
        [
            "back up vm/103 build-01 to backup, before it is destroyed",
            "destroy vm/103 build-01"
        ]
    );
    let hash = hash_of(&plan);
    play.approve(&hash).ends(0);
    play.run(&hash).ends(0);
    assert_eq!(play.config(103), None);
    let [copy] = copies(play).try_into().unwrap();
    copy
}

#[test]
fn a_destroyed_guest_comes_back_from_its_copy_and_the_copy_goes_in_the_end() {
    let play = withdrawn(COPIES);
    let before = play.config(103).unwrap();
    let copy = destroyed(&play);
    assert_eq!(copy.notes.as_deref(), Some(NOTES));
    assert!(copy.protected);
    // Nobody has to remember the number of a guest that is gone.
    let rows = play.json(&["get", "backups"]).ends(0).json();
    let gone: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["name"] == "gone")
        .map(|row| (row["guest"].clone(), row["storage"].clone()))
        .collect();
    assert_eq!(gone, [("guest/103".into(), "backup".into())]);

    let volid = &copy.volid;
    let again = format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {{name: build}}\nspec: {{vmid: 103, node: pve2, restoreFrom: {{volume: '{volid}'}}}}\n"
    );
    play.document("build", &again);
    play.carry_out();
    let restored = play.config(103).unwrap();
    for line in ["name: build-01", "smbios1: ", "net0: ", "memory: 8192"] {
        let of = |text: &str| -> String {
            let line = text.lines().find(|l| l.starts_with(line));
            line.unwrap_or_default().to_owned()
        };
        assert_eq!(of(&restored), of(&before));
    }

    play.json(&["clean-up"]).ends(0);
    age(&play, volid, 13);
    play.json(&["clean-up"]).ends(0);
    age(&play, volid, 15);
    let plan = play.json(&["clean-up"]).ends(2);
    let hash = plan.hash();
    assert_eq!(plan.json()["origin"]["because"], "cleanUp");
    play.run(&hash).ends(3);
    assert_eq!(copies(&play).len(), 1);
    play.approve(&hash).ends(0);
    play.run(&hash).ends(0);
    assert_eq!(copies(&play).len(), 0);
    play.json(&["clean-up"]).ends(0);
}

#[test]
fn a_copy_that_fails_keeps_the_guest() {
    let play = withdrawn(COPIES);
    let hash = hash_of(&play.apply());
    play.approve(&hash).ends(0);
    play.fault("task=it broke;type=vzdump;id=103");
    let ran = play.run(&hash);
    assert!(ran.all().contains("it broke"), "{ran:?}");
    assert_ne!(ran.code, Some(0));
    assert!(play.config(103).is_some());
    let destroys = |name: &String| name.starts_with("DELETE ");
    assert_eq!(
        play.counts().keys().filter(|name| destroys(name)).count(),
        0
    );
    // The same documents make a plan that takes another one.
    play.sim.clear_faults();
    let hash = hash_of(&play.apply());
    play.approve(&hash).ends(0);
    play.run(&hash).ends(0);
    assert_eq!(play.config(103), None);
    assert_eq!(copies(&play).len(), 1);
}

#[test]
fn a_storage_that_no_longer_takes_backups_keeps_the_guest() {
    let play = withdrawn(COPIES);
    let hash = hash_of(&play.apply());
    play.approve(&hash).ends(0);
    play.sim.with(|cluster| {
        let section = cluster
            .files
            .read("storage.cfg")
            .replace("content backup\n", "content images\n");
        cluster.files.set("storage.cfg".to_owned(), section);
    });
    assert_ne!(play.run(&hash).code, Some(0));
    assert!(play.config(103).is_some());
    let refused = play.bailiwick(&["apply", "-f", "docs", "--prune"]).ends(1);
    assert!(
        refused.err.contains("storage backup may not hold backups"),
        "{refused:?}"
    );
}

#[test]
fn who_changes_the_notes_keeps_the_copy() {
    let play = withdrawn(COPIES);
    let copy = destroyed(&play);
    age(&play, &copy.volid, 15);
    let hash = play.json(&["clean-up"]).ends(2).hash();
    play.approve(&hash).ends(0);
    play.sim.with(|cluster| {
        let volume = cluster.volumes.get_mut("pve1", &copy.volid).unwrap();
        volume.notes = Some("keep me".to_owned());
    });
    // The plan is made anew before it is run: there is nothing to do any more.
    let writes = play.writes().len();
    play.run(&hash).ends(0);
    assert_eq!(play.writes().len(), writes);
    let there = play
        .sim
        .with(|cluster| cluster.volumes.get("pve1", &copy.volid).cloned());
    assert!(there.unwrap().protected);
    play.json(&["clean-up"]).ends(0);
}

#[test]
fn without_the_setting_there_is_no_copy_and_nothing_to_clean_up() {
    let play = withdrawn("");
    let plan = play.apply();
    assert_eq!(plan["steps"].as_array().unwrap().len(), 1);
    let refused = play.bailiwick(&["clean-up"]).ends(1);
    assert!(refused.err.contains("has no `safetyCopy`"), "{refused:?}");
}

/// What the loop does at every turn.
fn settled(play: &Play) -> Vec<Planned> {
    let environment = Environment {
        variable: Arc::new(|_| None),
        clock: Arc::new(jiff::Timestamp::now),
    };
    let configuration = load_configuration(&play.path("bailiwick.yaml")).unwrap();
    play.block_on(async {
        let service = Service::open(configuration, environment, Tuning::default())
            .await
            .unwrap();
        let cluster = service.cluster(Some("lab")).unwrap();
        let proposed = service.settle_cluster(cluster).await.unwrap().proposed;
        service.store().close().await;
        proposed
    })
}

#[test]
fn the_loop_proposes_to_clean_up_and_never_does_by_itself() {
    let play = withdrawn(COPIES);
    let copy = destroyed(&play);
    assert!(settled(&play).is_empty());
    age(&play, &copy.volid, 15);
    let [proposed] = settled(&play)
        .try_into()
        .unwrap_or_else(|_| panic!("not one plan"));
    assert_eq!(proposed.state, Some(PlanState::Waiting));
    // The same stands already.
    let [again] = settled(&play)
        .try_into()
        .unwrap_or_else(|_| panic!("not one plan"));
    assert_eq!(again.plan.hash, proposed.plan.hash);
    // Who decided against it is not asked again.
    let hash = proposed.plan.hash.0;
    play.bailiwick(&[
        "reject",
        &hash,
        "--reason",
        "not yet",
        "--as",
        "person:anna",
    ])
    .ends(0);
    assert!(settled(&play).is_empty());
    assert_eq!(copies(&play).len(), 1);
}
