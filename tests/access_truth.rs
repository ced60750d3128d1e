//! Who may do what, against the answers of real Proxmox VEs: hundreds of random user configurations, each asked about every principal
//! on many paths. They lie outside of the project, in the folder that `BAILIWICK_SHARED` names; without it nothing is compared.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs
)]

#[path = "support/user_cfg.rs"]
mod user_cfg;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::PathBuf;

use bailiwick::health::access::{Access, Answer, Basis, Configuration, Matrix, owner};
use bailiwick::sim::roles;
use bailiwick::sim::users::UserConfig;
use proptest::prelude::*;
use serde_json::Value;

/// A time between those that long have passed and those that are long to come in the set.
const NOW: i64 = 1_780_000_000;

fn worlds() -> Option<Vec<Value>> {
    let shared = std::env::var_os("BAILIWICK_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let file = shared.join("proxmox/truth/acl-dev.jsonl.gz");
    let Ok(packed) = std::fs::read(&file) else {
        eprintln!(
            "NOTICE: {} is not at hand (set BAILIWICK_SHARED); nothing was compared",
            file.display()
        );
        return None;
    };
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_slice())
        .read_to_string(&mut text)
        .unwrap();
    let worlds = text.lines().map(|line| serde_json::from_str(line).unwrap());
    Some(worlds.collect())
}

fn flags(value: &Value) -> BTreeMap<&str, bool> {
    let flags = value.as_object().into_iter().flatten();
    flags
        .map(|(name, flag)| (name.as_str(), flag.as_i64() == Some(1)))
        .collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[test]
fn every_answer_of_real_configurations_is_given() {
    let Some(worlds) = worlds() else {
        return;
    };
    let predefined = roles::predefined();
    let (mut compared, mut by_chance) = (0, 0);
    for world in &worlds {
        for which in ["user_cfg", "canonical"] {
            let configuration = user_cfg::read(text(world, which), &predefined);
            let (all, chance) = compare(world, which, &configuration);
            compared += all;
            by_chance += chance;
        }
    }
    assert_eq!(compared, 2 * 48_924);
    assert_eq!(by_chance, 2 * 27, "few flags are left to chance");
}

#[test]
fn the_simulator_gives_every_answer_of_real_configurations() {
    let Some(worlds) = worlds() else {
        return;
    };
    let (mut compared, mut wrong) = (0, Vec::new());
    for world in &worlds {
        let simulated = UserConfig::parse(text(world, "user_cfg"));
        if simulated.print() != text(world, "canonical") {
            wrong.push(format!("{} written", world["index"]));
        }
        let configuration = user_cfg::read(text(world, "user_cfg"), &roles::predefined());
        let access = Access::new(&configuration);
        for wanted in list(&world["answers"]) {
            let (principal, path) = (text(wanted, "principal"), text(wanted, "path"));
            compared += 1;
            // The flag that is left to chance is not compared.
            let settled = !left_to_chance(&access.on(principal, path));
            let same = |held: BTreeMap<String, bool>, wanted: &Value| {
                let held = held
                    .iter()
                    .map(|(name, flag)| (name.as_str(), *flag && settled));
                let wanted = flags(wanted).into_iter();
                held.eq(wanted.map(|(name, flag)| (name, flag && settled)))
            };
            if !same(simulated.privileges(principal, path), &wanted["privs"])
                || !same(simulated.roles_on(principal, path), &wanted["roles"])
            {
                wrong.push(format!("{} {principal} {path}", world["index"]));
            }
        }
        for wanted in list(&world["principals"]) {
            let principal = text(wanted, "principal");
            if simulated.is_enabled(principal, NOW) != (wanted["enabled"] == true) {
                wrong.push(format!("{} {principal} enabled", world["index"]));
            }
        }
    }
    assert_eq!(
        wrong.first(),
        None,
        "{} of {compared} are wrong",
        wrong.len()
    );
    assert_eq!(compared, 48_924);
}

/// Compares a world's answers, one by one and as a matrix; gives their number, and of how many a flag is left to chance.
fn compare(world: &Value, which: &str, configuration: &Configuration) -> (usize, usize) {
    let access = Access::new(configuration);
    let paths: BTreeSet<String> = list(&world["answers"])
        .map(|answer| text(answer, "path").to_owned())
        .collect();
    let matrix = Matrix::new(configuration, &paths);
    let (mut compared, mut by_chance) = (0, 0);
    for wanted in list(&world["answers"]) {
        let (principal, path) = (text(wanted, "principal"), text(wanted, "path"));
        let at = format!(
            "world {} ({which}), {principal} on {path}:\n{}",
            world["index"],
            text(world, which)
        );
        let answer = access.on(principal, path);
        compared += 1;
        if left_to_chance(&answer) {
            by_chance += 1;
            assert!(
                answer.roles.keys().eq(flags(&wanted["roles"]).keys()),
                "{at}"
            );
            assert!(
                answer.privileges.keys().eq(flags(&wanted["privs"]).keys()),
                "{at}"
            );
            continue;
        }
        assert_eq!(answer.roles, flags(&wanted["roles"]), "roles of {at}");
        // Of tokens that have what their owner has the set does not say what pools add.
        let owner = owner(principal).filter(|_| matches!(answer.basis, Basis::Owner(..)));
        let of_owner = owner.map(|owner| find(world, owner, path));
        let said = of_owner.unwrap_or(wanted);
        let pools = said.get("roles_with_pools").unwrap_or(&said["roles"]);
        assert_eq!(answer.with_pools, flags(pools), "roles and pools of {at}");
        let privileges = flags(&wanted["privs"]);
        assert_eq!(answer.privileges, privileges, "privileges of {at}");
        let in_matrix = matrix.privileges(principal, path);
        // A principal that does not exist is not in the matrix.
        match in_matrix {
            Some(held) => assert_eq!(held, privileges, "in the matrix: {at}"),
            None => assert!(!configuration.principals().contains(&principal), "{at}"),
        }
        for name in predefined_names() {
            let decision = access.decide(principal, path, name);
            assert_eq!(decision.held, privileges.contains_key(name), "{name}: {at}");
            assert!(!decision.because.is_empty(), "{name}: {at}");
        }
    }
    for wanted in list(&world["principals"]) {
        let principal = text(wanted, "principal");
        let enabled = access.authenticates(principal, NOW);
        let at = format!("world {} ({which}): {principal}", world["index"]);
        assert_eq!(
            enabled.is_ok(),
            wanted["enabled"] == true,
            "{at} {enabled:?}"
        );
    }
    (compared, by_chance)
}

/// Whether several groups give one role on one path, one with propagation and another without. Proxmox VE shows the flag of the one
/// that it happens to come to last; what is held does not depend on it.
fn left_to_chance(answer: &Answer<'_>) -> bool {
    let entries = match &answer.basis {
        Basis::Entries(entries) => entries,
        Basis::Owner(_, owners) | Basis::Both(_, _, owners) => return left_to_chance(owners),
        Basis::Root | Basis::NoSuchToken => return false,
    };
    let with = |propagate: bool| -> BTreeSet<&str> {
        let entries = entries
            .here
            .iter()
            .filter(|entry| entry.propagate == propagate);
        entries.map(|entry| entry.role.as_str()).collect()
    };
    let both: BTreeSet<&str> = with(true).intersection(&with(false)).copied().collect();
    both.iter().any(|role| answer.roles.contains_key(role))
}

fn find<'a>(world: &'a Value, principal: &str, path: &str) -> &'a Value {
    list(&world["answers"])
        .find(|answer| text(answer, "principal") == principal && text(answer, "path") == path)
        .unwrap()
}

fn predefined_names() -> [&'static str; 4] {
    [
        "Sys.Audit",
        "VM.PowerMgmt",
        "Permissions.Modify",
        "Datastore.Audit",
    ]
}

/// Lines of a `user.cfg` of few names, so that they meet often.
fn lines() -> impl Strategy<Value = String> {
    const USERS: [&str; 3] = ["ann@pve", "bob@pve", "root@pam"];
    const SUBJECTS: [&str; 8] = [
        "ann@pve",
        "bob@pve",
        "@a",
        "@b",
        "ann@pve!ci",
        "bob@pve!cd",
        "root@pam!ro",
        "ghost@pve",
    ];
    const PATHS: [&str; 10] = [
        "/",
        "/vms",
        "/vms/100",
        "/vms/101",
        "/pool/p",
        "/pool/p/q",
        "/pool",
        "/storage/s",
        "/storage",
        "/nodes/n",
    ];
    const ROLES: [&str; 6] = [
        "NoAccess",
        "PVEAuditor",
        "PVEVMUser",
        "Mine",
        "Nothing",
        "Gone",
    ];
    let list = |items: &'static [&'static str]| {
        proptest::sample::subsequence(items, 0..=items.len().min(3)).prop_map(|some| some.join(","))
    };
    let acl = (
        any::<bool>(),
        proptest::sample::select(&PATHS[..]),
        list(&SUBJECTS),
        list(&ROLES),
    )
        .prop_map(|(below, path, subjects, roles)| {
            format!("acl:{}:{path}:{subjects}:{roles}:", u8::from(below))
        });
    let group = (proptest::sample::select(&["a", "b"][..]), list(&USERS))
        .prop_map(|(id, members)| format!("group:{id}:{members}::"));
    let pool = (
        proptest::sample::select(&["p", "p/q", "r"][..]),
        list(&["100", "101"]),
        list(&["s", "t"]),
    )
        .prop_map(|(id, guests, storages)| format!("pool:{id}::{guests}:{storages}:"));
    let token = (
        proptest::sample::select(&["ann@pve!ci", "bob@pve!cd", "root@pam!ro"][..]),
        any::<bool>(),
    )
        .prop_map(|(id, separated)| format!("token:{id}:0:{}::", u8::from(separated)));
    let line = prop_oneof![8 => acl, 2 => group, 2 => pool, 2 => token];
    proptest::collection::vec(line, 0..24).prop_map(|lines| {
        let first =
            "user:ann@pve:1:0:\nuser:bob@pve:1:0:\nrole:Mine:VM.Audit,Sys.Audit:\nrole:Nothing::\n";
        format!("{first}{}\n", lines.join("\n"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_evaluator_and_the_simulator_say_the_same(text in lines()) {
        const PATHS: [&str; 14] = [
            "/", "/vms", "/vms/100", "/vms/101", "/vms/102", "/pool", "/pool/p", "/pool/p/q", "/pool/r", "/storage", "/storage/s",
            "/storage/t", "/nodes/n", "/access",
        ];
        let simulated = UserConfig::parse(&text);
        let configuration = user_cfg::read(&text, &roles::predefined());
        let access = Access::new(&configuration);
        for principal in ["ann@pve", "bob@pve", "root@pam", "ghost@pve", "ann@pve!ci", "bob@pve!cd", "root@pam!ro"] {
            for path in PATHS {
                let answer = access.on(principal, path);
                let held = simulated.privileges(principal, path);
                let held: BTreeMap<&str, bool> = held.iter().map(|(name, flag)| (name.as_str(), *flag)).collect();
                prop_assert_eq!(&answer.privileges, &held, "{} on {}", principal, path);
                let roles = simulated.roles_on(principal, path);
                let roles: BTreeMap<&str, bool> = roles.iter().map(|(name, flag)| (name.as_str(), *flag)).collect();
                prop_assert_eq!(&answer.roles, &roles, "{} on {}", principal, path);
                for name in predefined_names() {
                    prop_assert_eq!(simulated.holds(principal, path, name), held.contains_key(name));
                }
            }
        }
    }
}
