//! `bailiwick import`: documents for a whole cluster that change nothing, and what is said where something cannot be imported.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use support::play::{LAB, Play, Setup};

/// The lab, with this role for the controller.
fn with_role(privileges: &str) -> Play {
    let role = regex::Regex::new("role:BailiwickController:[^:]*:").unwrap();
    assert!(role.is_match(LAB));
    Play::with(Setup {
        world: role
            .replace(LAB, format!("role:BailiwickController:{privileges}:"))
            .into_owned(),
        ..Setup::default()
    })
}

/// Every file below a folder.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return found;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            found.extend(
                files(&path)
                    .into_iter()
                    .map(|(file, text)| (format!("{name}/{file}"), text)),
            );
        } else {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            found.insert(name, std::fs::read_to_string(path).unwrap());
        }
    }
    found
}

/// The objects of an import as JSON.
fn objects(import: &Value) -> BTreeSet<&str> {
    import["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|object| object["object"].as_str().unwrap())
        .collect()
}

#[test]
fn a_whole_cluster_comes_back_without_a_change_and_is_adopted_without_a_write() {
    let play = Play::new();
    let import = play.bailiwick(&["import", "--to", "live"]).ends(0);
    assert!(import.out.is_empty(), "{}", import.out);
    insta::assert_snapshot!("import_summary", import.err);
    let written = files(&play.path("live"));
    for name in [
        "virtualmachine/shop-db",
        "virtualmachine/orders-db",
        "virtualmachine/win-rdp",
        "container/files",
        "storage/local-zfs",
        "storage/backup",
        "pool/prod-web",
        "backupjob/nightly-prod",
        "backupjob/weekly-infra",
    ] {
        let shown = name.replace(['/', '-'], "_");
        insta::assert_snapshot!(format!("import_{shown}"), written[&format!("{name}.yaml")]);
    }

    let plan = play.json(&["plan", "-f", "live"]).ends(0).json();
    assert_eq!(plan["steps"], serde_json::json!([]));
    assert_eq!(plan["changes"], serde_json::json!([]));
    assert_eq!(plan["impacts"], serde_json::json!([]));
    let guests = play.sim.with(|cluster| cluster.guests().len());
    let (storages, pools, jobs) = (6, 4, 2);
    // The superuser and the roles of Proxmox VE's own are nobody's to manage. The last are tokens.
    let accounts = 2 + 3 + 1 + 7 + 3;
    assert_eq!(written.len(), guests + storages + pools + jobs + accounts);
    assert_eq!(plan["documents"].as_array().unwrap().len(), written.len());

    play.bailiwick(&["apply", "-f", "live"]).ends(0);
    assert_eq!(
        play.counts(),
        BTreeMap::new(),
        "nothing was written to the cluster"
    );
    let listed = play.json(&["get", "documents"]).ends(0).json();
    let owned: BTreeSet<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|document| document["object"].as_str().unwrap())
        .collect();
    assert_eq!(owned.len(), written.len());
    assert!(
        owned.contains("vm/104") && owned.contains("pool/prod/web"),
        "{owned:?}"
    );
    play.json(&["plan"]).ends(0);

    // Once more: the same files, and now it is said whose the objects are.
    let again = play.bailiwick(&["import", "--to", "live"]).ends(0);
    assert!(
        again.err.contains("managed already") && again.err.contains("agent:demo"),
        "{}",
        again.err
    );
    assert_eq!(files(&play.path("live")), written);
}

/// The last line of standard error.
fn last(ran: &support::play::Ran) -> &str {
    ran.err.lines().last().unwrap_or_default()
}

#[test]
fn how_much_was_read_and_written_is_said_last_and_never_on_standard_output() {
    let play = Play::new();
    let some = ["import", "--only", "vm/104", "vm/102", "ct/301", "pool"];
    let to = [&some[..], &["--to", "live"]].concat();
    let ran = play.bailiwick(&to).ends(0);
    assert_eq!(ran.out, "");
    assert_eq!(
        last(&ran),
        "read 3 guests, 0 storages, 4 pools, 0 backup jobs; wrote 7 files, 0 said the same already"
    );
    // Programs read the answer from standard output, whole; the line is on standard error all the same.
    std::fs::remove_file(play.path("live/virtualmachine/mail.yaml")).unwrap();
    let ran = play.json(&to).ends(0);
    assert_eq!(ran.json()["objects"].as_array().unwrap().len(), 7);
    assert_eq!(
        ran.err,
        "read 3 guests, 0 storages, 4 pools, 0 backup jobs; wrote 1 file, 6 said the same already\n"
    );
    let ran = play.json(&some).ends(0);
    assert_eq!(ran.json()["objects"].as_array().unwrap().len(), 7);
    assert_eq!(
        ran.err,
        "read 3 guests, 0 storages, 4 pools, 0 backup jobs; printed 7 documents\n"
    );
    let ran = play.bailiwick(&["import", "--only", "vm/104"]).ends(0);
    assert_eq!(ran.out.matches("apiVersion:").count(), 1);
    assert!(!ran.out.contains("printed"), "{}", ran.out);
    assert_eq!(
        last(&ran),
        "read 1 guest, 0 storages, 0 pools, 0 backup jobs; printed 1 document"
    );
    // What could not be read is counted too.
    play.fault("status=500 it is on fire;method=GET;path=/nodes/*/qemu/104/pending;count=*");
    let ran = play.bailiwick(&to).ends(1);
    assert_eq!(
        last(&ran),
        "read 2 guests, 0 storages, 4 pools, 0 backup jobs; wrote 0 files, 6 said the same already; not imported: 1"
    );
}

#[test]
fn printed_documents_plan_to_nothing_too() {
    let play = Play::new();
    let printed = play
        .bailiwick(&["import", "--only", "vm/104", "storage", "--power"])
        .ends(0);
    assert_eq!(printed.out.matches("apiVersion:").count(), 7);
    assert!(
        printed.out.contains("powerState: running"),
        "{}",
        printed.out
    );
    let plan = support::desk::feed(&play, &["plan", "-f", "-", "-o", "json"], &printed.out)
        .ends(0)
        .json();
    assert_eq!(plan["documents"].as_array().unwrap().len(), 7);

    let json = play
        .json(&["import", "--only", "vm/104,pool/prod/web", "ct/301"])
        .ends(0)
        .json();
    assert_eq!(
        objects(&json),
        BTreeSet::from(["ct/301", "pool/prod/web", "vm/104"])
    );
    let machine = json["objects"]
        .as_array()
        .unwrap()
        .iter()
        .find(|object| object["object"] == "vm/104")
        .unwrap();
    assert_eq!(machine["document"]["spec"]["vmid"], 104);
    assert_eq!(machine["document"]["spec"].get("powerState"), None);
    let left: Vec<&str> = machine["leftOut"]
        .as_array()
        .unwrap()
        .iter()
        .map(|left| left["setting"].as_str().unwrap())
        .collect();
    assert_eq!(left, ["meta", "smbios1.uuid", "vmgenid"]);
    assert_eq!(json["notImported"], serde_json::json!([]));
}

#[test]
fn files_that_say_something_else_are_not_written_over() {
    let play = Play::new();
    let import = ["import", "--to", "live", "--only", "vm/104", "vm/102"];
    play.bailiwick(&import).ends(0);
    let before = files(&play.path("live"));
    assert_eq!(before.len(), 2);
    // The same once more is no conflict.
    play.bailiwick(&import).ends(0);
    let mine = play.path("live/virtualmachine/mail.yaml");
    std::fs::write(&mine, "# mine\n").unwrap();
    std::fs::remove_file(play.path("live/virtualmachine/shop-db.yaml")).unwrap();
    let refused = play.bailiwick(&import).ends(1);
    assert!(
        refused.err.contains("live/virtualmachine/mail.yaml") && refused.err.contains("--force"),
        "{}",
        refused.err
    );
    assert_eq!(
        files(&play.path("live")),
        BTreeMap::from([("virtualmachine/mail.yaml".to_owned(), "# mine\n".to_owned())])
    );
    play.bailiwick(&[&import[..], &["--force"]].concat())
        .ends(0);
    assert_eq!(files(&play.path("live")), before);

    std::fs::write(play.path("a-file"), "").unwrap();
    let refused = play
        .bailiwick(&["import", "--to", "a-file", "--only", "vm/104"])
        .ends(1);
    assert!(refused.err.contains("a-file"), "{}", refused.err);
}

#[test]
fn what_is_named_and_not_there_is_an_error_before_anything_is_written() {
    let play = Play::new();
    for (only, says) in [
        ("vm/999", "cluster lab has no vm/999"),
        ("ct/104", "cluster lab has no ct/104"),
        ("storage/nowhere", "no storage/nowhere"),
        ("vms", "--only: `vms` names nothing"),
        ("vm/", "--only: `vm/` names nothing"),
    ] {
        let ran = play
            .bailiwick(&["import", "--to", "live", "--only", "vm/104", only])
            .ends(1);
        assert!(ran.err.contains(says), "{only}: {}", ran.err);
        assert!(!play.path("live").exists());
    }
}

/// What the token may not see is named with what would show it; the rest is written, and the exit code says that it is not all.
#[test]
fn of_a_half_readable_cluster_the_rest_is_imported() {
    let play = with_role("Datastore.Audit,SDN.Audit,Sys.Audit,VM.Audit");
    play.fault("status=500 it is on fire;method=GET;path=/nodes/*/qemu/104/pending;count=*");
    let import = play.bailiwick(&["import", "--to", "live"]).ends(1);
    assert!(
        import
            .err
            .contains("vm/104: its configuration cannot be read: ")
            && import.err.contains("it is on fire"),
        "{}",
        import.err
    );
    assert!(
        import.err.contains("the pools: ") && import.err.contains("Pool.Audit"),
        "{}",
        import.err
    );
    let written = files(&play.path("live"));
    assert!(!written.contains_key("virtualmachine/shop-db.yaml"));
    assert!(
        written.contains_key("virtualmachine/mail.yaml")
            && written.contains_key("storage/local-zfs.yaml")
    );
    assert!(!written.keys().any(|name| name.starts_with("pool/")));
    play.json(&["plan", "-f", "live"]).ends(0);
    let json = play.json(&["import", "--only", "vm"]).ends(1).json();
    let missing: Vec<&str> = json["notImported"]
        .as_array()
        .unwrap()
        .iter()
        .map(|missing| missing["what"].as_str().unwrap())
        .collect();
    assert_eq!(missing, ["vm/104"]);
    // What was not asked for is not missed.
    play.json(&["import", "--only", "storage"]).ends(0);
}

/// A token that sees only some guests imports those, and says that there may be more.
#[test]
fn of_guests_that_are_partly_hidden_those_that_are_seen_are_imported() {
    let world = LAB.replacen(
        "    acl:1:/:bailiwick@pve,bailiwick@pve!controller:BailiwickController:",
        "    acl:1:/vms/104:bailiwick@pve,bailiwick@pve!controller:BailiwickController:",
        1,
    );
    assert_ne!(world, LAB);
    let play = Play::with(Setup {
        world,
        ..Setup::default()
    });
    let import = play.json(&["import"]).ends(1).json();
    // Roles are shown to everybody.
    let seen = BTreeSet::from(["role/BailiwickController", "vm/104"]);
    assert_eq!(objects(&import), seen);
    let missing = import["notImported"].to_string();
    assert!(
        missing.contains("the list of guests") && missing.contains("VM.Audit on /vms"),
        "{missing}"
    );
    let lost = play.bailiwick(&["import", "--only", "vm/102"]).ends(1);
    assert!(
        lost.err.contains("no vm/102 (or it is hidden"),
        "{}",
        lost.err
    );
}
