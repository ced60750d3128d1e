//! `bailiwick doctor`: what is well is said to be well, each thing that is not is named with what to do, nothing is changed, and the
//! commands it tells to type give the token what it lacks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::desk::redacted;
use support::play::{LAB, Play, Ran, Setup};

/// A play at the pace of real time, in which the state file is there and a checkpoint vouches for the ledger.
fn play() -> Play {
    play_of(LAB.to_owned())
}

fn play_of(world: String) -> Play {
    let play = Play::with(Setup {
        world,
        scale: 1.0,
        ..Setup::default()
    });
    play.bailiwick(&["ledger", "checkpoint"]).ends(0);
    play
}

/// The lab, with this role for the controller.
fn with_role(privileges: &str) -> Play {
    let role = regex::Regex::new("role:BailiwickController:[^:]*:").unwrap();
    assert!(role.is_match(LAB));
    play_of(
        role.replace(LAB, format!("role:BailiwickController:{privileges}:"))
            .into_owned(),
    )
}

/// Every file of a play, with its content and permissions.
fn everything(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(everything(&path));
        } else if path
            .extension()
            .is_none_or(|extension| extension != "db-shm")
        {
            // What SQLite's readers tell each other; nothing of it is kept.
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            found.insert(path.clone(), (mode, std::fs::read(&path).unwrap()));
        }
    }
    found
}

/// The checks of a name that came out so.
fn checks<'a>(diagnosis: &'a Value, name: &str, status: &str) -> Vec<&'a Value> {
    diagnosis["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["name"].as_str().unwrap() == name && check["status"] == status)
        .collect()
}

/// The one thing that failed is this, and it is said like this.
#[track_caller]
fn fails_with(ran: &Ran, name: &str, says: &[&str]) {
    let diagnosis = ran.json();
    let failed: Vec<&Value> = diagnosis["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["status"] == "failed")
        .collect();
    assert!(
        !failed.is_empty() && diagnosis["well"] == false && ran.code == Some(1),
        "expected {says:?} of {name}"
    );
    let check = failed
        .iter()
        .find(|check| check["name"].as_str().unwrap() == name)
        .unwrap_or_else(|| panic!("{failed:#?}"));
    let text = check.to_string();
    for word in says {
        assert!(text.contains(word), "{word}: {check:#}");
    }
}

#[test]
fn what_is_well_is_said_to_be_well_and_nothing_is_changed() {
    let play = play();
    let before = everything(play.folder.path());
    let ran = play.bailiwick(&["doctor"]).ends(0);
    insta::assert_snapshot!("doctor_well", redacted(&play, &ran.out));
    let json = play.json(&["doctor"]).ends(0).json();
    assert_eq!(json["well"], true);
    let after = everything(play.folder.path());
    let names =
        |files: &BTreeMap<PathBuf, (u32, Vec<u8>)>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&before), names(&after));
    for (file, content) in &before {
        assert!(content == &after[file], "{} was changed", file.display());
    }
    assert_eq!(play.counts(), BTreeMap::new());
}

/// Also while another process has the state open.
#[test]
fn the_state_is_read_while_others_write_it() {
    let play = play();
    play.block_on(async {
        let store = bailiwick::store::Store::open(&play.path("state/bailiwick.db"))
            .await
            .unwrap();
        let tx = store.begin().await.unwrap();
        let ran = play.json(&["doctor"]).ends(0).json();
        assert_eq!(checks(&ran, "state", "ok").len(), 1, "{ran:#}");
        assert_eq!(checks(&ran, "ledger", "ok").len(), 1);
        tx.rollback().await.unwrap();
    });
}

/// Before anything was ever done the state is not there, and that is no fault.
#[test]
fn a_fresh_installation_is_well() {
    let play = Play::with(Setup {
        scale: 1.0,
        ..Setup::default()
    });
    let ran = play.json(&["doctor"]).ends(0).json();
    assert_eq!(checks(&ran, "state", "skipped").len(), 1);
    assert!(!play.path("state/bailiwick.db").exists());
    // `Play` verifies the ledger at its end.
    play.bailiwick(&["get", "plans"]).ends(0);
}

#[test]
fn what_lies_on_this_machine_and_is_not_well_is_named() {
    let play = play();
    play.leave_unchecked();
    let put_back = everything(play.folder.path());
    let broken = |name: &str, says: &[&str]| {
        fails_with(&play.json(&["doctor"]), name, says);
        for (file, (mode, content)) in &put_back {
            std::fs::write(file, content).unwrap();
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(*mode)).unwrap();
        }
    };
    let expose = |file: &str| {
        std::fs::set_permissions(play.path(file), std::fs::Permissions::from_mode(0o644)).unwrap();
    };
    expose("state/bailiwick.db");
    broken("state", &["0644", "chmod 600"]);
    for log in ["state/bailiwick.db-wal", "state/bailiwick.db-shm"] {
        // SQLite would bring the whole file back from its log.
        let _ = std::fs::remove_file(play.path(log));
    }
    std::fs::write(
        play.path("state/bailiwick.db"),
        "not a database, and long enough to be none. ".repeat(40),
    )
    .unwrap();
    broken("state", &["state/bailiwick.db", "backup"]);
    std::fs::remove_file(play.path("keys/ledger.key")).unwrap();
    broken("ledger", &["keys/ledger.key", "ledger keygen"]);
    expose("keys/ledger.key");
    broken("ledger", &["keys/ledger.key"]);
    expose("keys/checkpoint.key");
    broken("checkpoints", &["keys/checkpoint.key"]);
    std::fs::write(play.path("checkpoints.jsonl"), "{}\n").unwrap();
    broken("checkpoints", &["checkpoints.jsonl"]);
    std::fs::remove_file(play.path("allowed")).unwrap();
    broken("allowed signers", &["allowed", "anna ssh-ed25519"]);
    std::fs::write(play.path("allowed"), "# nobody\n").unwrap();
    broken("allowed signers", &["names nobody"]);
    expose("token");
    broken("cluster lab: token", &["token", "chmod 600"]);
    std::fs::write(play.path("bailiwick.yaml"), "apiVersion: x\n").unwrap();
    broken("configuration", &["bailiwick.yaml"]);
    std::fs::remove_file(play.path("bailiwick.yaml")).unwrap();
    broken("configuration", &["bailiwick.yaml", "bailiwick init"]);
    // And all of it is well again.
    play.json(&["doctor"]).ends(0);
}

/// A record that somebody changed is found, with its number.
#[test]
fn a_ledger_that_does_not_hold_is_found() {
    let play = play();
    play.leave_unchecked();
    play.block_on(async {
        let file = play.path("state/bailiwick.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        let tables: Vec<String> =
            sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'trigger'")
                .fetch_all(&pool)
                .await
                .unwrap();
        for trigger in tables {
            sqlx::query(sqlx::AssertSqlSafe(format!("DROP TRIGGER {trigger}")))
                .execute(&pool)
                .await
                .unwrap();
        }
        let changed = sqlx::query(
            "UPDATE ledger_records SET line = replace(line, 'system:bailiwick', 'person:nobody') WHERE seq = 2",
        )
        .execute(&pool)
        .await
        .unwrap();
        assert_eq!(changed.rows_affected(), 1);
        pool.close().await;
    });
    fails_with(
        &play.json(&["doctor"]).ends(1),
        "ledger",
        &["does not hold", "2"],
    );
}

#[test]
fn a_cluster_that_is_not_well_is_named() {
    let play = play();
    let configuration = std::fs::read_to_string(play.path("bailiwick.yaml")).unwrap();
    let with = |from: &str, to: &str| {
        assert!(configuration.contains(from), "{configuration}");
        std::fs::write(play.path("bailiwick.yaml"), configuration.replace(from, to)).unwrap();
        play.json(&["doctor"])
    };
    let endpoint = format!("cluster lab: {}", play.sim.url());
    // The wrong certificate: the one it shows is said, and the token is not sent.
    let seen = play.sim.log().len();
    let other = ["AB"; 32].join(":");
    let ran = with(play.sim.fingerprint(), &other).ends(1);
    fails_with(
        &ran,
        &endpoint,
        &["not trusted", play.sim.fingerprint(), &other],
    );
    assert_eq!(play.sim.log().len(), seen, "nothing was sent");
    // Nobody there, beside one who is: the cluster can still be looked at.
    let two = format!("\"https://127.0.0.1:1\", \"{}\"", play.sim.url());
    let ran = with(&format!("\"{}\"", play.sim.url()), &two).ends(1);
    fails_with(
        &ran,
        "cluster lab: https://127.0.0.1:1",
        &["no connection", "port"],
    );
    assert_eq!(checks(&ran.json(), "cluster lab: token", "ok").len(), 1);
    // The wrong secret.
    let token = std::fs::read_to_string(play.path("token")).unwrap();
    std::fs::write(play.path("token"), token.replace("1111", "2222")).unwrap();
    let ran = with("name: lab", "name: lab").ends(1);
    fails_with(
        &ran,
        "cluster lab: token",
        &[
            "not accepted",
            "its secret in the file token is wrong, or the token does not exist",
            "pveum user token modify bailiwick@pve controller -regenerate 1",
            "pveum user token add bailiwick@pve controller",
        ],
    );
    assert!(!ran.all().contains("2222"), "the secret is not shown");
    // What the token may do is another matter, and not known now.
    let text = with("name: lab", "name: lab").ends(1).out.to_lowercase();
    for word in ["pveum acl", "pveum role", "privilege", "grants"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    std::fs::write(play.path("token"), token).unwrap();
    // A cluster that is none.
    let ran = play.json(&["doctor", "--cluster", "nowhere"]).ends(1);
    fails_with(&ran, "cluster", &["nowhere"]);
    std::fs::write(play.path("bailiwick.yaml"), configuration).unwrap();
}

#[test]
fn a_clock_that_is_wrong_is_seen() {
    let play = play();
    play.sim.with(|cluster| cluster.clock.advance(3600.0));
    let ran = play.json(&["doctor"]).ends(0).json();
    let clock = checks(&ran, "cluster lab: clock", "warning");
    assert_eq!(clock.len(), 3, "{ran:#}");
    assert!(
        clock[0]["found"]
            .as_str()
            .unwrap()
            .contains("ahead of this machine"),
        "{clock:?}"
    );
    play.bailiwick(&["get", "plans"]).ends(0);
}

#[test]
fn secrets_that_documents_name_have_to_be_there() {
    let play = play();
    play.document(
        "a",
        &support::desk::machine(
            "mail",
            "vmid: 102\ncloudInit: {passwordFrom: {fromFile: secret}}",
        ),
    );
    fails_with(
        &play.json(&["doctor", "-f", "docs"]).ends(1),
        "secrets",
        &["secret"],
    );
    std::fs::write(play.path("secret"), "hunter2\n").unwrap();
    std::fs::set_permissions(play.path("secret"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let ran = play.json(&["doctor", "-f", "docs"]).ends(1);
    fails_with(&ran, "secrets", &["chmod 600"]);
    assert!(!ran.all().contains("hunter2"));
    std::fs::set_permissions(play.path("secret"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let ran = play.json(&["doctor", "-f", "docs"]).ends(0).json();
    assert_eq!(checks(&ran, "secrets", "ok").len(), 1);
    // A document with mistakes is no reason not to look at the rest.
    play.document("a", "kind: Nothing\n");
    let ran = play.json(&["doctor", "-f", "docs"]).ends(1);
    fails_with(&ran, "documents", &["Nothing"]);
    assert_eq!(checks(&ran.json(), "cluster lab: token", "ok").len(), 1);
}

/// Types the commands, as far as they are `pveum role add` and `pveum acl modify`.
fn type_in(play: &Play, commands: &[String]) {
    let role = regex::Regex::new(r#"^pveum role add (\S+) -privs "([^"]+)"$"#).unwrap();
    let entry =
        regex::Regex::new(r"^pveum acl modify (\S+) -(?:user|token) '?([^' ]+)'? -role (\S+)$")
            .unwrap();
    play.sim.with(|cluster| {
        let mut text = cluster.files.read("user.cfg").to_owned();
        for command in commands {
            if let Some(found) = role.captures(command) {
                text.push_str(&format!("role:{}:{}:\n", &found[1], &found[2]));
            } else if let Some(found) = entry.captures(command) {
                text.push_str(&format!(
                    "acl:1:{}:{}:{}:\n",
                    &found[1], &found[2], &found[3]
                ));
            } else {
                panic!("{command}");
            }
        }
        cluster.files.set("user.cfg".to_owned(), text);
    });
}

fn commands(diagnosis: &Value) -> Vec<String> {
    let grants = checks(diagnosis, "cluster lab: grants", "warning");
    assert_eq!(grants.len(), 1, "{diagnosis:#}");
    grants[0]["advice"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap().to_owned())
        .collect()
}

/// A token that may only look: what the documents take is named, and the commands give exactly that.
#[test]
fn what_a_token_lacks_is_named_and_the_commands_grant_it() {
    let play =
        with_role("Datastore.Allocate,Datastore.Audit,Pool.Audit,SDN.Audit,Sys.Audit,VM.Audit");
    play.document(
        "mail",
        &support::desk::machine("mail", "vmid: 102\nmemory: {size: 6Gi}\nosType: l26"),
    );
    play.document(
        "web",
        &support::desk::machine(
            "web-9",
            "vmid: 900\nnode: pve1\ndisks: {scsi0: {storage: ceph-vm, size: 1Gi}}",
        ),
    );
    let ran = play.json(&["doctor", "-f", "docs"]).ends(1);
    fails_with(
        &ran,
        "cluster lab: privileges",
        &[
            "VM.Config.Memory on /vms/102",
            "VM.Allocate on /vms/900",
            "Datastore.AllocateSpace on /storage/ceph-vm",
        ],
    );
    let later = ran.json();
    let later = checks(&later, "cluster lab: privileges", "warning");
    assert!(
        later[0]
            .to_string()
            .contains("VM.Config.Options on /vms/102"),
        "{later:?}"
    );
    play.bailiwick(&["plan", "-f", "docs"]).ends(1);

    let commands = commands(&ran.json());
    insta::assert_snapshot!("doctor_grants", commands.join("\n"));
    type_in(&play, &commands);
    let ran = play.json(&["doctor", "-f", "docs"]).ends(0).json();
    assert_eq!(
        checks(&ran, "cluster lab: privileges", "ok").len(),
        1,
        "{ran:#}"
    );
    assert_eq!(checks(&ran, "cluster lab: grants", "warning").len(), 0);
    // Nothing that was seen before is hidden now, and the plan can be carried out.
    assert_eq!(checks(&ran, "cluster lab: what can be seen", "ok").len(), 1);
    play.carry_out();
}

/// Parts that are hidden are named, and the commands show them.
#[test]
fn what_is_hidden_is_named_and_the_commands_show_it() {
    let play = with_role("VM.Audit,Datastore.Audit,VM.Config.Disk");
    let ran = play.json(&["doctor"]).ends(0);
    let json = ran.json();
    let hidden = checks(&json, "cluster lab: what can be seen", "warning");
    let all = serde_json::to_string(&hidden).unwrap();
    for says in [
        "the pools cannot be read",
        "Pool.Audit on /pool would show it",
        "Sys.Audit on / would show it",
        "the backup jobs",
    ] {
        assert!(all.contains(says), "{says}: {all}");
    }
    type_in(&play, &commands(&json));
    let ran = play.json(&["doctor"]).ends(0).json();
    assert_eq!(
        checks(&ran, "cluster lab: what can be seen", "ok").len(),
        1,
        "{ran:#}"
    );
}

/// A token without any privilege is told the whole list.
#[test]
fn a_token_without_privileges_is_told_the_role() {
    let world = LAB.replacen(
        "    acl:1:/:bailiwick@pve,bailiwick@pve!controller:BailiwickController:",
        "",
        1,
    );
    let play = play_of(world);
    let ran = play.json(&["doctor"]).ends(1);
    fails_with(
        &ran,
        "cluster lab: what can be seen",
        &[
            "pveum role add Bailiwick -privs",
            "pveum acl modify / -token 'bailiwick@pve!controller' -role Bailiwick",
        ],
    );
    let lines: Vec<String> =
        checks(&ran.json(), "cluster lab: what can be seen", "failed")[0]["advice"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line.as_str().unwrap().to_owned())
            .collect();
    type_in(&play, &lines);
    let ran = play.json(&["doctor"]).ends(0).json();
    assert_eq!(
        checks(&ran, "cluster lab: what can be seen", "ok").len(),
        1,
        "{ran:#}"
    );
}

/// Without -f the stored documents are looked at.
#[test]
fn stored_documents_are_looked_at() {
    let play = play();
    play.document(
        "mail",
        &support::desk::machine("mail", "vmid: 102\nmemory: {size: 6Gi}"),
    );
    play.carry_out();
    let ran = play.json(&["doctor"]).ends(0).json();
    let found = checks(&ran, "cluster lab: privileges", "ok");
    assert!(
        found[0]["found"]
            .as_str()
            .unwrap()
            .contains("(looked at: 1)"),
        "{found:?}"
    );
}

/// Sources that the loop reads are looked at, each cluster's part by itself.
#[test]
fn sources_are_looked_at() {
    let play = Play::with(Setup {
        sources: "{\"directory:home\": {directory: {paths: {lab: home}}}, \"git:infra\": {git: {url: \"/no/such/repository\", paths: {lab: .}}}}".to_owned(),
        scale: 1.0,
        ..Setup::default()
    });
    let ran = play.json(&["doctor"]).ends(1);
    fails_with(&ran, "source directory:home", &["home"]);
    // A play has no PATH, so no git.
    fails_with(&ran, "source git:infra", &["install git"]);
    let home = play.folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join("a.yaml"), "kind: Pool\n").unwrap();
    fails_with(
        &play.json(&["doctor"]).ends(1),
        "source directory:home",
        &["a.yaml:1:1"],
    );
    std::fs::write(
        home.join("a.yaml"),
        support::desk::document("Pool", "try", "comment: things"),
    )
    .unwrap();
    let ran = play.json(&["doctor"]).ends(1).json();
    let found = checks(&ran, "source directory:home", "ok");
    let text = found[0]["found"].as_str().unwrap();
    assert!(
        text.contains("at sha256:") && text.contains("has not looked yet"),
        "{text}"
    );
}
