//! Tokens, from a document to the file with the secret: made, kept once, lost, changed, deleted, taken back. The secret is looked for in
//! everything else that a run leaves behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::play::{LAB, Play, Setup, hash_of};

const ID: &str = "anna@pve!builds";
const PATH: &str = "/access/users/anna@pve/token/builds";

/// The lab, whose controller may change users too.
fn lab(version: &str) -> Play {
    let world = LAB.replacen(
        "VM.Allocate,VM.Audit",
        "User.Modify,VM.Allocate,VM.Audit",
        1,
    );
    assert_ne!(world, LAB);
    Play::with(Setup {
        world: format!("version: {version}\n{world}"),
        ..Setup::default()
    })
}

fn file(play: &Play) -> PathBuf {
    play.path("secrets").canonicalize().unwrap().join("builds")
}

/// A document for the token, with its file in the play's folder.
fn document(play: &Play, annotation: &str, spec: &str) {
    std::fs::create_dir_all(play.path("secrets")).unwrap();
    let file = file(play).display().to_string();
    let text = format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: ApiToken\nmetadata: {{name: builds, annotations: {{{annotation}}}}}\nspec: {{user: anna@pve, secretFile: {file}{spec}}}\n"
    );
    play.document("builds", &text);
}

/// The secret that the simulated cluster gave the token.
fn secret(play: &Play) -> Option<String> {
    play.sim.with(|cluster| cluster.secrets.get(ID).cloned())
}

/// The token as the cluster has it: a line of `user.cfg`.
fn line(play: &Play) -> Option<String> {
    let text = play
        .sim
        .with(|cluster| cluster.files.read("user.cfg").to_owned());
    let start = format!("token:{ID}:");
    text.lines()
        .find(|line| line.starts_with(&start))
        .map(str::to_owned)
}

/// Every file below a folder that has a text in it.
fn holding(folder: &Path, text: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holding(&path, text, found);
        } else if std::fs::read(&path)
            .unwrap()
            .windows(text.len())
            .any(|window| window == text.as_bytes())
        {
            found.push(path);
        }
    }
}

/// Submits what is there already; the plan.
fn settled(play: &Play) -> Value {
    let plan = play
        .json(&["apply", "-f", "docs", "--prune"])
        .ends(0)
        .json();
    assert_eq!(plan["steps"], serde_json::json!([]), "{plan}");
    plan
}

fn approved(play: &Play) -> (String, Value) {
    let plan = play.apply();
    let hash = hash_of(&plan);
    play.approve(&hash).ends(0);
    (hash, plan)
}

#[test]
fn the_secret_is_in_its_file_and_nowhere_else() {
    let play = lab("9.2.3");
    document(&play, "", ", expires: 2033-05-18, comment: for the builds");
    let (hash, plan) = approved(&play);
    let file = file(&play);
    assert!(!file.exists());
    let ran = play.run(&hash).ends(0);
    let value = secret(&play).unwrap();
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        format!("{value}\n")
    );
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(
        line(&play).unwrap(),
        format!("token:{ID}:1999987200:1:for the builds:")
    );
    let mut found = Vec::new();
    let folder = play.path("docs").parent().unwrap().canonicalize().unwrap();
    holding(&folder, &value, &mut found);
    assert_eq!(found, [file]);
    let told = [
        ran.all(),
        plan.to_string(),
        play.bailiwick(&["describe", &format!("token/{ID}")])
            .ends(0)
            .all(),
        play.bailiwick(&["events"]).ends(0).all(),
        play.bailiwick(&["get", "tokens"]).ends(0).all(),
    ];
    assert!(told[4].contains(ID), "{}", told[4]);
    for text in told {
        assert!(!text.contains(&value), "{text}");
    }
    // The file is there now, and nothing is left to do.
    settled(&play);
}

#[test]
fn a_file_that_is_there_is_never_written() {
    let play = lab("9.2.3");
    document(&play, "", "");
    std::fs::write(file(&play), "mine").unwrap();
    let refused = play.bailiwick(&["apply", "-f", "docs"]).ends(1).all();
    assert!(refused.contains("nothing is ever overwritten"), "{refused}");
    std::fs::remove_file(file(&play)).unwrap();
    // Somebody makes it between the approval and the run.
    let (hash, _) = approved(&play);
    std::fs::write(file(&play), "mine").unwrap();
    let refused = play.run(&hash).ends(1).all();
    assert!(refused.contains("nothing is ever overwritten"), "{refused}");
    assert_eq!(std::fs::read_to_string(file(&play)).unwrap(), "mine");
    assert_eq!((line(&play), play.writes().len()), (None, 0));
}

#[test]
fn a_lost_answer_is_a_failed_step_and_no_silent_success() {
    for fault in ["drop=after", "after=595 Connection timed out"] {
        let play = lab("9.2.3");
        document(&play, "", "");
        let (hash, _) = approved(&play);
        play.fault(&format!("{fault};method=POST;path={PATH}"));
        let ran = play.run(&hash).ends(1);
        let why = ran.json()["why"].to_string();
        assert!(why.contains("its secret is lost"), "{why}");
        assert!(why.contains(&format!("delete token {ID}")), "{why}");
        assert!(line(&play).is_some() && !file(&play).exists());
        // It is there, and says that nobody has its secret; nothing is written.
        let again = settled(&play);
        assert!(
            again["notes"].to_string().contains("nobody can read"),
            "{again}"
        );
        assert!(!file(&play).exists());
    }
}

#[test]
fn a_refused_call_leaves_no_file() {
    let play = lab("9.2.3");
    document(&play, "", "");
    let (hash, _) = approved(&play);
    play.fault(&format!(
        "status=403 Permission check failed;method=POST;path={PATH}"
    ));
    play.run(&hash).ends(1);
    assert_eq!((line(&play), file(&play).exists()), (None, false));
}

#[test]
fn what_never_arrived_is_sent_again_by_the_next_run() {
    let play = lab("9.2.3");
    document(&play, "", "");
    let (hash, _) = approved(&play);
    play.fault(&format!("drop=before;method=POST;path={PATH}"));
    play.run(&hash).ends(4);
    assert_eq!((line(&play), file(&play).exists()), (None, false));
    play.run(&hash).ends(0);
    let value = secret(&play).unwrap();
    assert_eq!(
        std::fs::read_to_string(file(&play)).unwrap(),
        format!("{value}\n")
    );
}

#[test]
fn killed_at_any_point_it_ends_well_or_says_what_is_lost() {
    for point in ["intent:1", "ending:1", "ended:1"] {
        let play = lab("9.2.3");
        document(&play, "", "");
        let (hash, _) = approved(&play);
        let mut command = play.command(&["run", &hash]);
        let output = command.env("BAILIWICK_TEST_ABORT_AT", point).output();
        assert!(output.unwrap().status.code().is_none(), "{point}");
        play.run(&hash).ends(0);
        let value = secret(&play).unwrap();
        let kept = std::fs::read_to_string(file(&play)).unwrap();
        assert_eq!(kept, format!("{value}\n"), "{point}");
        assert_eq!(play.counts()[&format!("POST {PATH}")], 1, "{point}");
    }
    // Killed after the call was taken and before its answer was kept: the token is there, and its file is empty or was never made.
    for left in ["empty", "none", "half"] {
        let play = lab("9.2.3");
        document(&play, "", "");
        let (hash, _) = approved(&play);
        let mut command = play.command(&["run", &hash]);
        command
            .env("BAILIWICK_TEST_ABORT_AT", "intent:1")
            .output()
            .unwrap();
        play.sim.with(|cluster| {
            let text = cluster.files.read("user.cfg");
            let user = "user:bailiwick@pve";
            let text = text.replacen(user, &format!("token:{ID}:0:1::\n{user}"), 1);
            cluster.files.set("user.cfg", text);
        });
        match left {
            "empty" => support::play::write_private(&file(&play), ""),
            "half" => support::play::write_private(&file(&play), "3631e8f4"),
            _ => {}
        }
        let ran = play.run(&hash).ends(1);
        let why = ran.json()["why"].to_string();
        assert!(why.contains("its secret is lost"), "{left}: {why}");
        assert_eq!(file(&play).exists(), left == "half", "{left}");
        assert_eq!(play.writes().len(), 0);
        play.leave_unchecked();
    }
}

#[test]
fn what_a_document_says_is_set_and_taken_back() {
    let play = lab("9.2.3");
    document(&play, "", "");
    let (hash, _) = approved(&play);
    play.run(&hash).ends(0);
    let value = secret(&play);
    document(
        &play,
        "",
        ", separated: false, expires: 2033-05-18, comment: x",
    );
    let (hash, plan) = approved(&play);
    let impacts = plan["impacts"].to_string();
    assert!(
        impacts.contains("AC04") && impacts.contains("AC05"),
        "{impacts}"
    );
    play.run(&hash).ends(0);
    assert_eq!(line(&play).unwrap(), format!("token:{ID}:1999987200:0:x:"));
    let back = play.undo(&hash);
    play.approve(&hash_of(&back)).ends(0);
    play.run(&hash_of(&back)).ends(0);
    assert_eq!(line(&play).unwrap(), format!("token:{ID}:0:1::"));
    assert_eq!(secret(&play), value, "the secret stays");
}

#[test]
fn a_comment_goes_only_where_the_version_takes_it_away() {
    for (version, goes) in [("9.2.3", true), ("9.1.8", false)] {
        let play = lab(version);
        document(&play, "", ", comment: x");
        let (hash, _) = approved(&play);
        play.run(&hash).ends(0);
        document(&play, "", ", comment: null");
        if goes {
            let (hash, _) = approved(&play);
            play.run(&hash).ends(0);
            assert_eq!(line(&play).unwrap(), format!("token:{ID}:0:1::"));
        } else {
            let refused = play.bailiwick(&["apply", "-f", "docs"]).ends(1).all();
            assert!(refused.contains("`delete`"), "{refused}");
        }
    }
}

#[test]
fn a_deleted_token_does_not_come_back_and_the_plan_says_so_before() {
    let play = lab("9.2.3");
    document(&play, "bailiwick.dev/deletion: delete", "");
    let (hash, _) = approved(&play);
    play.run(&hash).ends(0);
    play.withdraw("builds");
    play.document(
        "beside",
        "apiVersion: bailiwick.dev/v1alpha1\nkind: Pool\nmetadata: {name: infra}\nspec: {comment: network and monitoring}\n",
    );
    let (hash, plan) = approved(&play);
    let step = &plan["steps"][0];
    assert_eq!(step["inverse"]["kind"], "irreversible", "{step}");
    let impact = &plan["impacts"][0];
    assert_eq!(
        (&impact["rule"], &impact["category"]),
        (&"AC04".into(), &"irreversible".into())
    );
    play.run(&hash).ends(0);
    assert_eq!((line(&play), secret(&play)), (None, None));
    assert!(
        file(&play).exists(),
        "what is in the file is for its owner to take away"
    );
}

#[test]
fn a_token_that_the_run_made_goes_again() {
    let play = lab("9.2.3");
    document(&play, "", "");
    let (hash, _) = approved(&play);
    play.run(&hash).ends(0);
    let back = play.undo(&hash);
    play.approve(&hash_of(&back)).ends(0);
    play.run(&hash_of(&back)).ends(0);
    assert_eq!((line(&play), file(&play).exists()), (None, true));
}
