//! What goes wrong on the wire and in the cluster while a plan runs: each run ends well, or stops with everything written down and
//! goes on when it is run again, or fails for good. Never a double effect.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::Value;
use support::play::{Play, hash_of, same_end};

/// A container's memory: the one change of a guest that starts no task.
const REDIS: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: Container\nmetadata: {name: redis-01}\nspec: {vmid: 303, memory: 3Gi}\n";
const BACKUP: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: Storage\nmetadata: {name: nfs-data}\nspec: {content: [images, rootdir, iso]}\n";
const POOL: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: Pool\nmetadata: {name: fresh}\nspec: {comment: new}\n";
const DISK: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: vm-210}\nspec: {vmid: 210, disks: {scsi0: {storage: ceph-vm}}}\n";

fn approved(documents: &[(&str, &str)]) -> (Play, String, Value) {
    let play = Play::new();
    for (name, text) in documents {
        play.document(name, text);
    }
    let plan = play.apply();
    play.approve(&hash_of(&plan)).ends(0);
    (play, hash_of(&plan), plan)
}

fn all_kinds() -> (Play, String) {
    let (play, hash, _) = approved(&[
        ("web-7", include_str!("../examples/demo/web-7.yaml")),
        ("mail", include_str!("../examples/demo/mail.yaml")),
        ("redis", REDIS),
        ("backup", BACKUP),
        ("pool", POOL),
        ("disk", DISK),
    ]);
    (play, hash)
}

fn step_outcomes(play: &Play) -> Vec<(u64, String)> {
    play.ledger()
        .iter()
        .filter(|record| record["action"] == "step-outcome")
        .map(|record| {
            let step = record["detail"]["step"].as_u64().unwrap();
            let outcome = record["detail"]["outcome"].as_str().unwrap();
            (step, outcome.to_owned())
        })
        .collect()
}

#[test]
fn lost_answers_are_looked_for_and_nothing_is_done_twice() {
    let (begun, plan) = all_kinds();
    let straight = begun.again(500.0);
    straight.run(&plan).ends(0);
    let (end, counts) = (straight.end(), straight.counts());
    assert!(counts.len() >= 6, "{counts:?}");

    // What is told, whether the call still takes effect.
    let faults = [
        ("drop=after", true),
        ("after=595 Connection timed out", true),
        ("drop=before", false),
        ("status=596 Connection timed out", false),
    ];
    let cases: Vec<(String, &str, bool)> = counts
        .keys()
        .flat_map(|call| faults.map(|(fault, effect)| (call.clone(), fault, effect)))
        .collect();
    let left = Mutex::new(cases);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let Some((call, fault, effect)) = left.lock().unwrap().pop() else {
                        break;
                    };
                    let what = format!("{call} {fault}");
                    let (method, path) = call.split_once(' ').unwrap();
                    let play = begun.again(500.0);
                    play.fault(&format!("{fault};method={method};path={path}"));
                    let first = play.run(&plan);
                    let mut expected = counts.clone();
                    if effect {
                        assert_eq!(first.code, Some(0), "{what}: {}", first.all());
                    } else {
                        assert_eq!(first.code, Some(4), "{what}: {}", first.all());
                        assert_eq!(first.json()["result"], "undetermined");
                        play.run(&plan).ends(0);
                        // It never arrived the first time, so it was sent again; once.
                        *expected.get_mut(&call).unwrap() += 1;
                    }
                    assert_eq!(play.counts(), expected, "{what}");
                    same_end(&play.end(), &end, &what);
                    play.run(&plan).ends(1);
                }
            });
        }
    });
}

#[test]
fn a_lock_held_by_somebody_else_is_waited_for() {
    let (play, plan, _) = approved(&[("mail", include_str!("../examples/demo/mail.yaml"))]);
    let text = "can't lock file '/var/lock/qemu-server/lock-102.conf' - got timeout";
    play.fault(&format!("status=500 {text};method=POST;count=2"));
    play.run(&plan).ends(0);
    assert_eq!(play.writes().len(), 3);
    assert_eq!(step_outcomes(&play), [(1, "ok".to_owned())]);
}

#[test]
fn a_plain_refusal_is_never_tried_again() {
    let (play, plan, _) = approved(&[("mail", include_str!("../examples/demo/mail.yaml"))]);
    play.fault("status=500 no space left on device;method=POST");
    let ran = play.run(&plan).ends(1);
    assert_eq!(ran.json()["result"], "failed");
    assert_eq!(play.writes().len(), 1);
    play.run(&plan).ends(1);
    assert_eq!(play.writes().len(), 1);
    submitted_again_it_is_another_plan(&play, &plan);
}

/// After a failure the same documents make a plan that can be approved and run, and the old approval does not count for it.
fn submitted_again_it_is_another_plan(play: &Play, plan: &str) {
    let again = hash_of(&play.apply());
    assert_ne!(again, plan);
    play.run(&again).ends(3);
    play.approve(&again).ends(0);
    play.run(&again).ends(0);
}

#[test]
fn a_change_between_reading_and_writing_is_met_by_the_digest() {
    let (play, plan, _) = approved(&[("mail", include_str!("../examples/demo/mail.yaml"))]);
    // The answer to the last reading before the write comes late; meanwhile somebody changes the machine.
    play.fault("latency=1500;method=GET;path=/nodes/*/tasks;count=1");
    let mut child = play
        .command(&["run", &plan])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let asked = || {
        play.sim
            .log()
            .iter()
            .any(|e| e.path.ends_with("/tasks") && e.params.contains_key("typefilter"))
    };
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !asked() && std::time::Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    play.edit(102, "name: mail", "description: by hand\nname: mail");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let writes = play.writes();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert_ne!(writes[0].status, 200);
    assert!(writes[0].params.contains_key("digest"));
    assert_eq!(step_outcomes(&play), [(1, "failed".to_owned())]);
    assert!(play.config(102).unwrap().contains("by hand"));
    submitted_again_it_is_another_plan(&play, &plan);
}

#[test]
fn a_failed_task_fails_the_run_and_the_rest_is_not_begun() {
    let (begun, plan) = all_kinds();
    for (kind, id) in [("qmmove", "210"), ("qmcreate", "9000"), ("qmconfig", "102")] {
        let play = begun.again(500.0);
        play.fault(&format!("task=it broke;type={kind};id={id}"));
        let ran = play.run(&plan).ends(1);
        assert!(ran.json()["why"].as_str().unwrap().contains("it broke"));
        let outcomes = step_outcomes(&play);
        let failed = outcomes.iter().filter(|(_, word)| word == "failed");
        assert_eq!(failed.count(), 1, "{outcomes:?}");
        let before = play.counts();
        play.run(&plan).ends(1);
        assert_eq!(play.counts(), before);
        submitted_again_it_is_another_plan(&play, &plan);
        assert!(play.config(210).unwrap().contains("ceph-vm:vm-210"));
        assert!(play.config(9000).is_some());
    }
}

#[test]
fn where_ha_gives_up_the_run_ends_and_says_so() {
    let app = "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: app-04}\nspec: {vmid: 109, powerState: running}\n";
    let play = Play::new();
    play.document("app", app);
    // Its disk is gone, which HA finds when it starts it.
    play.sim.with(|cluster| {
        let disk = "ceph-vm:base-105-disk-0/vm-109-disk-0";
        cluster.free("pve3", disk).unwrap();
    });
    let plan = hash_of(&play.apply());
    play.approve(&plan).ends(0);
    let ran = play.run(&plan).ends(1).json();
    let why = ran["why"].as_str().unwrap();
    assert!(why.contains("HA has given up on vm/109"), "{why}");
    assert_eq!(step_outcomes(&play), [(1, "failed".to_owned())]);
    assert_ne!(hash_of(&play.apply()), plan);
}

#[test]
fn a_failed_step_is_not_tried_again_by_the_next_process() {
    let (play, plan, _) = approved(&[
        ("mail", include_str!("../examples/demo/mail.yaml")),
        ("disk", DISK),
    ]);
    play.fault("task=it broke;type=qmconfig;id=102");
    let step = {
        let plan = play.json(&["describe", &plan]).json();
        let steps = plan["steps"].as_array().unwrap().clone();
        let found = steps
            .iter()
            .find(|step| step["action"]["do"] == "updateConfig")
            .unwrap();
        found["id"].as_u64().unwrap()
    };
    let mut command = play.command(&["run", &plan]);
    command.env("BAILIWICK_TEST_ABORT_AT", format!("ended:{step}"));
    assert_eq!(command.output().unwrap().status.code(), None);
    let ran = play.run(&plan).ends(1);
    assert_eq!(ran.json()["result"], "failed");
    let counts: BTreeMap<String, usize> = play.counts();
    assert_eq!(counts["POST /nodes/pve2/qemu/102/config"], 1, "{counts:?}");
    // What was in hand beside it was seen to its end.
    let outcomes = step_outcomes(&play);
    assert!(
        outcomes.iter().all(|(_, word)| word != "undetermined"),
        "{outcomes:?}"
    );
    let intents = play
        .ledger()
        .iter()
        .filter(|r| r["action"] == "step-intent")
        .count();
    assert_eq!(intents, outcomes.len());
}

#[test]
fn warnings_are_success() {
    let (play, plan, _) = approved(&[("mail", include_str!("../examples/demo/mail.yaml"))]);
    play.fault("warn=2;type=qmconfig;id=102");
    play.run(&plan).ends(0);
    assert_eq!(step_outcomes(&play), [(1, "warnings".to_owned())]);
    assert!(play.config(102).unwrap().contains("memory: 6144"));
}

#[test]
fn a_guest_that_moved_before_the_run_supersedes() {
    let (play, plan, _) = approved(&[("mail", include_str!("../examples/demo/mail.yaml"))]);
    let to = move_by_hand(&play, 102);
    let ran = play.run(&plan).ends(2);
    assert_eq!(ran.json()["result"], "superseded");
    let new = ran.json()["by"].as_str().unwrap().to_owned();
    assert_ne!(new, plan);
    assert_eq!(play.writes().len(), 0);
    play.run(&new).ends(3);
    play.approve(&new).ends(0);
    play.run(&new).ends(0);
    assert!(
        play.counts()
            .contains_key(&format!("POST /nodes/{to}/qemu/102/config"))
    );
}

fn move_by_hand(play: &Play, vmid: u32) -> String {
    play.sim.with(|cluster| {
        let guest = cluster.guest(vmid).unwrap();
        let to = if guest.node == "pve1" { "pve3" } else { "pve1" };
        let target = guest.file().replace(&guest.node, to);
        assert!(cluster.files.rename(&guest.file(), &target));
        to.to_owned()
    })
}

#[test]
fn a_guest_that_moves_after_a_crash_is_not_sent_to_its_old_node() {
    let (begun, plan, _) = approved(&[("mail", include_str!("../examples/demo/mail.yaml"))]);
    for point in ["intent:1", "answered:1", "sent:1"] {
        let play = begun.again(500.0);
        let mut command = play.command(&["run", &plan]);
        command.env("BAILIWICK_TEST_ABORT_AT", point);
        assert_eq!(command.output().unwrap().status.code(), None);
        play.sim.advance(60.0);
        move_by_hand(&play, 102);
        let ran = play.run(&plan);
        let sent = play.writes().len();
        match point {
            "intent:1" => {
                assert_eq!((ran.code, sent), (Some(1), 0), "{}", ran.all());
                submitted_again_it_is_another_plan(&play, &plan);
            }
            _ => assert_eq!((ran.code, sent), (Some(0), 1), "{point} {}", ran.all()),
        }
        assert!(
            play.config(102).unwrap().contains("memory: 6144"),
            "{point}"
        );
    }
}

#[test]
fn a_cluster_that_cannot_be_read_leaves_the_run_open() {
    let (begun, plan, _) = approved(&[("mail", include_str!("../examples/demo/mail.yaml"))]);
    // Before anything was sent.
    let play = begun.again(500.0);
    play.fault("status=500 nothing works;method=GET;path=/nodes/*/tasks;count=*");
    play.fault("status=500 nothing works;method=GET;path=/cluster/tasks;count=*");
    let ran = play.run(&plan).ends(1);
    assert_eq!(ran.json()["result"], "stopped");
    assert_eq!(play.writes().len(), 0);
    play.sim.clear_faults();
    play.run(&plan).ends(0);
    // After a crash that leaves open whether it was sent.
    for point in ["intent:1", "answered:1"] {
        let play = begun.again(500.0);
        let mut command = play.command(&["run", &plan]);
        command.env("BAILIWICK_TEST_ABORT_AT", point);
        assert_eq!(command.output().unwrap().status.code(), None);
        play.fault("status=500 nothing works;method=GET;path=/nodes/*/tasks;count=*");
        play.fault("status=500 nothing works;method=GET;path=/cluster/tasks;count=*");
        let ran = play.run(&plan);
        if point == "intent:1" {
            assert_eq!(ran.code, Some(4), "{}", ran.all());
        }
        play.sim.clear_faults();
        if ran.code != Some(0) {
            play.run(&plan).ends(0);
        }
        assert_eq!(play.writes().len(), 1, "{point}");
    }
}

#[test]
fn a_secret_that_changed_since_the_approval_is_not_sent() {
    let play = Play::new();
    let file = play.path("password");
    support::play::write_private(&file, "first");
    play.document(
        "app",
        &format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {{name: app-01}}\nspec: {{vmid: 106, cloudInit: {{passwordFrom: {{fromFile: {}}}}}}}\n",
            file.display()
        ),
    );
    let plan = hash_of(&play.apply());
    play.approve(&plan).ends(0);
    let mut command = play.command(&["run", &plan]);
    command.env("BAILIWICK_TEST_ABORT_AT", "intent:1");
    assert_eq!(command.output().unwrap().status.code(), None);
    support::play::write_private(&file, "second");
    let ran = play.run(&plan).ends(1);
    assert!(ran.all().contains("planned and approved"), "{}", ran.all());
    assert!(!ran.all().contains("second"));
    assert_eq!(play.writes().len(), 0);
    submitted_again_it_is_another_plan(&play, &plan);
    // The password, and the drive that the guest reads it from.
    assert_eq!(play.writes().len(), 2);
}
