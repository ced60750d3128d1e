//! A run whose process dies at any point and is run again ends as if nothing had been: nothing done twice, nothing left out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bailiwick::sim;
use support::play::{Play, hash_of, same_end};

/// A new VM, a configuration change, three disk moves (one of a container) and the removal of the storage they leave.
fn approved() -> (Play, String, usize) {
    let play = Play::new();
    play.document("local-zfs", include_str!("../examples/demo/local-zfs.yaml"));
    play.bailiwick(&["apply", "-f", "docs"]).ends(0);
    play.withdraw("local-zfs");
    play.document("web-7", include_str!("../examples/demo/web-7.yaml"));
    play.document("mail", include_str!("../examples/demo/mail.yaml"));
    play.document("moved", include_str!("../examples/demo/moved-away.yaml"));
    let plan = play.apply();
    let verbs: Vec<&str> = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["action"]["do"].as_str().unwrap())
        .collect();
    for verb in ["createGuest", "updateConfig", "moveDisk", "deleteStorage"] {
        assert!(verbs.contains(&verb), "{verbs:?}");
    }
    play.approve(&hash_of(&plan)).ends(0);
    (play, hash_of(&plan), verbs.len())
}

fn outcomes(play: &Play) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for record in play.ledger() {
        let action = record["action"].as_str().unwrap().to_owned();
        if ["run-started", "step-intent", "step-outcome", "run-finished"].contains(&action.as_str())
        {
            *counts.entry(action).or_default() += 1;
        }
    }
    counts
}

#[test]
fn killed_anywhere_it_ends_the_same() {
    let (begun, plan, steps) = approved();
    let straight = begun.again(500.0);
    straight.run(&plan).ends(0);
    let (end, counts, records) = (straight.end(), straight.counts(), outcomes(&straight));
    assert_eq!(counts.values().sum::<usize>(), steps);

    let points: Vec<String> = (1..=steps)
        .flat_map(|step| {
            ["intent", "answered", "sent", "ending", "ended"].map(|at| format!("{at}:{step}"))
        })
        .collect();
    let left = Mutex::new(points);
    let aborted = Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let Some(point) = left.lock().unwrap().pop() else {
                        break;
                    };
                    let play = begun.again(500.0);
                    let mut command = play.command(&["run", &plan, "-o", "json"]);
                    let first = command.env("BAILIWICK_TEST_ABORT_AT", &point).output();
                    let code = first.unwrap().status.code();
                    // A call that starts no task is never `answered` or `sent`.
                    if code.is_none() {
                        *aborted.lock().unwrap() += 1;
                        play.run(&plan).ends(0);
                    } else {
                        assert_eq!(code, Some(0), "{point}");
                        assert!(point.starts_with("answered") || point.starts_with("sent"));
                    }
                    assert_eq!(play.counts(), counts, "{point}");
                    same_end(&play.end(), &end, &point);
                    assert_eq!(outcomes(&play), records, "{point}");
                    if point.starts_with("ended") {
                        play.run(&plan).ends(1);
                    }
                }
            });
        }
    });
    // Every point but two of the one step without a task.
    assert_eq!(aborted.into_inner().unwrap(), steps * 5 - 2);
}

#[test]
fn killed_again_and_again_it_ends_the_same() {
    let (begun, plan, steps) = approved();
    let straight = begun.again(500.0);
    straight.run(&plan).ends(0);
    let play = begun.again(500.0);
    let points = (1..=steps).flat_map(|step| {
        ["intent", "answered", "sent", "ending", "ended"].map(|at| format!("{at}:{step}"))
    });
    let mut deaths = 0;
    for point in points {
        let mut command = play.command(&["run", &plan]);
        command.env("BAILIWICK_TEST_ABORT_AT", &point);
        match command.output().unwrap().status.code() {
            None => deaths += 1,
            // A step that went on beside another is past its point by now, and nothing stopped the rest.
            code => {
                assert_eq!(code, Some(0), "{point}");
                break;
            }
        }
    }
    assert!(deaths >= 5, "{deaths}");
    play.run(&plan);
    assert_eq!(play.counts(), straight.counts());
    same_end(&play.end(), &straight.end(), "");
}

#[test]
fn killed_from_outside_in_the_middle_of_a_task() {
    let (begun, plan, _) = approved();
    let straight = begun.again(500.0);
    straight.run(&plan).ends(0);
    let play = begun.again(20.0);
    let mut child = play
        .command(&["run", &plan])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    let moving = || {
        play.writes()
            .iter()
            .any(|entry| entry.path.ends_with("move_disk") && entry.status == 200)
    };
    while !moving() {
        assert!(Instant::now() < until, "no disk was moved");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    play.sim.advance(3600.0);
    play.run(&plan).ends(0);
    assert_eq!(play.counts(), straight.counts());
    same_end(&play.end(), &straight.end(), "");
}

#[test]
fn two_at_once_are_one() {
    let (play, plan, steps) = approved();
    let mut children: Vec<_> = (0..3)
        .map(|_| play.command(&["run", &plan]).output_later())
        .collect();
    let codes: Vec<Option<i32>> = children
        .iter_mut()
        .map(|child| child.wait().unwrap().code())
        .collect();
    assert_eq!(
        codes.iter().filter(|code| **code == Some(0)).count(),
        1,
        "{codes:?}"
    );
    assert_eq!(play.writes().len(), steps);
}

/// The promise holds for the rest of an interrupted run too: it hurts nobody whom the plan did not name.
#[test]
fn the_rest_is_not_begun_when_it_would_now_hurt_somebody_else() {
    let (play, plan, steps) = approved();
    let whole = play.json(&["describe", &plan]).json();
    let last = whole["steps"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["action"]["do"], "deleteStorage");
    let need = last["needs"].as_array().unwrap().last().unwrap().as_u64();
    play.bailiwick(&["freeze", "--kind", "Storage", "--reason", "inventory"])
        .ends(0);
    // A freeze of a kind in the plan keeps it from beginning; one set later stops it before that kind's step.
    play.run(&plan).ends(3);
    assert_eq!(play.writes().len(), 0);
    play.bailiwick(&["thaw", "--kind", "Storage", "--as", "person:anna"])
        .ends(0);
    let mut command = play.command(&["run", &plan]);
    command.env(
        "BAILIWICK_TEST_ABORT_AT",
        format!("ended:{}", need.unwrap()),
    );
    assert_eq!(command.output().unwrap().status.code(), None);
    // Meanwhile somebody puts a disk of another machine on the storage that is to go.
    play.sim.with(|cluster| {
        let guest = cluster.guest(116).unwrap();
        let volume = sim::volumes::Volume {
            volid: "local-zfs:vm-116-disk-0".to_owned(),
            node: guest.node.clone(),
            ..cluster.volumes.iter().next().unwrap().clone()
        };
        cluster.volumes.insert(volume);
    });
    play.edit(
        116,
        "name: wiki",
        "name: wiki\nscsi7: local-zfs:vm-116-disk-0,size=1G",
    );
    let ran = play.run(&plan).ends(1);
    let why = ran.json()["why"].as_str().unwrap().to_owned();
    assert!(why.contains("vm/116"), "{why}");
    assert!(play.writes().iter().all(|entry| entry.method != "DELETE"));
    assert!(play.writes().len() < steps);
    let new = play.apply();
    assert_ne!(hash_of(&new), plan);
    assert!(new["impacts"].to_string().contains("vm/116"));
}

trait OutputLater {
    fn output_later(&mut self) -> std::process::Child;
}

impl OutputLater for std::process::Command {
    fn output_later(&mut self) -> std::process::Child {
        self.stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap()
    }
}
