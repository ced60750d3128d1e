//! The exit codes are a contract: 0 success or nothing to do, 1 error, 2 a plan with changes waits, 3 refused, 4 undetermined. And what
//! programs read: JSON and YAML, help, completions, colour. All over the real program.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use bailiwick::cli::arguments::Arguments;
use clap::CommandFactory;
use serde_json::Value;
use support::desk::{deletable, document, feed, machine, propose};
use support::play::{Play, Ran, Setup};

fn more_memory() -> String {
    machine("mail", "vmid: 102\nmemory: {size: 6Gi}")
}

#[test]
fn the_loop() {
    let play = Play::new();
    play.document("mail", &more_memory());
    for format in ["text", "json"] {
        let o = ["-o", format];
        let with = |args: &[&str]| play.bailiwick(&[args, &o].concat());
        // Only looked at: 2, since there would be changes; and nothing waits after it.
        with(&["plan", "-f", "docs"]).ends(2);
        with(&["diff", "-f", "docs"]).ends(2);
        with(&["get", "plans"]).ends(0);
    }
    assert_eq!(
        play.json(&["get", "plans"]).json(),
        Value::Array(Vec::new())
    );
    let plan = play.json(&["apply", "-f", "docs"]).ends(2).hash();
    // Submitted again it is the same plan.
    assert_eq!(play.json(&["apply", "-f", "docs"]).ends(2).hash(), plan);
    play.bailiwick(&["run", &plan]).ends(3);
    play.approve(&plan).ends(0);
    play.bailiwick(&["run", &plan[..20]]).ends(0);
    // It ran: a second time there is nothing to run, and nothing to do.
    play.bailiwick(&["run", &plan]).ends(1);
    play.bailiwick(&["apply", "-f", "docs"]).ends(0);
    play.bailiwick(&["plan", "-f", "docs"]).ends(0);
    play.bailiwick(&["plan"]).ends(0);
    play.bailiwick(&["diff", "-f", "docs"]).ends(0);
    for what in [
        "plans",
        "documents",
        "runs",
        "freezes",
        "vm",
        "ct",
        "storage",
        "pool",
        "node",
    ] {
        play.json(&["get", what]).ends(0).json();
    }
    for what in [
        "VirtualMachine/mail",
        "vm/102",
        "ct/301",
        "storage/local",
        "pool/lab",
        "node/pve1",
        "run/1",
        &plan,
    ] {
        play.json(&["describe", what]).ends(0).json();
    }
    for args in [
        ["get", "plans"],
        ["get", "vm"],
        ["describe", "vm/102"],
        ["describe", &plan],
    ] {
        play.bailiwick(&args).ends(0);
    }
    let undo = play.json(&["undo", &plan]).ends(2).hash();
    play.bailiwick(&[
        "reject",
        &undo,
        "--reason",
        "it stays",
        "--as",
        "person:anna",
    ])
    .ends(0);
    play.bailiwick(&["run", &undo]).ends(3);
    play.bailiwick(&["approve", &undo, "--key", "anna"]).ends(1);
}

#[test]
fn drift_waits() {
    let play = Play::new();
    play.document("mail", &more_memory());
    play.carry_out();
    play.edit(102, "memory: 6144", "memory: 4096");
    play.bailiwick(&["plan"]).ends(2);
    play.bailiwick(&["diff"]).ends(2);
}

/// From where guests could be restored, over all storages.
#[test]
fn backups_are_listed_with_their_age() {
    let play = Play::new();
    let rows = play.json(&["get", "backups"]).ends(0).json();
    let of = |guest: &str| {
        let rows = rows.as_array().unwrap().iter();
        let row = rows.clone().find(|row| row["guest"] == guest);
        row.unwrap_or_else(|| panic!("{rows:?}")).clone()
    };
    let mail = of("vm/102");
    assert_eq!(
        (&mail["storage"], &mail["backups"]),
        (&"backup".into(), &"2".into())
    );
    assert_ne!(mail["newest"], "?");
    assert!(mail["age"].as_str().unwrap().ends_with('d'), "{mail}");
    assert_eq!(of("vm/103")["storage"], "none");
    let one = play.json(&["describe", "vm/102"]).ends(0).json();
    assert_eq!(one["backups"][0]["count"], 2);
    play.bailiwick(&["get", "snapshots"]).ends(0);
}

#[test]
fn freezes() {
    let play = Play::new();
    let plan = propose(&play, &[], &more_memory());
    play.approve(&plan).ends(0);
    play.json(&["freeze", "--reason", "an incident"])
        .ends(0)
        .json();
    play.bailiwick(&["run", &plan]).ends(3);
    // Freezing is for everybody, thawing for people.
    play.bailiwick(&["thaw"]).ends(3);
    play.json(&["thaw", "--as", "person:anna"]).ends(0).json();
    play.bailiwick(&["run", &plan]).ends(0);
}

#[test]
fn a_policy_that_denies_and_one_that_needs_two() {
    let play = Play::with(Setup {
        approval: "  groups: {operators: [anna, ben]}\n  policy:\n  - {name: hands off, match: {kinds: {any: [Pool]}}, deny: pools are changed by hand}\n  \
                   - {name: two, match: {risk: [none, low, medium, high, unknown]}, require: {approvals: 2, group: operators}}"
            .to_owned(),
        ..Setup::default()
    });
    let denied = feed(
        &play,
        &["apply", "-f", "-", "-o", "json"],
        &document("Pool", "lab", "comment: other"),
    )
    .ends(3)
    .hash();
    play.bailiwick(&["run", &denied]).ends(3);
    play.approve(&denied).ends(3);
    let plan = propose(&play, &[], &more_memory());
    play.approve(&plan).ends(2);
    play.bailiwick(&["run", &plan]).ends(3);
    play.approve_with(&plan, "ben").ends(0);
    play.bailiwick(&["run", &plan]).ends(0);
}

/// A plan that the world has overtaken: nothing runs, and the new plan waits.
#[test]
fn superseded() {
    let play = Play::new();
    let plan = propose(
        &play,
        &[],
        &machine("wiki", "vmid: 116\ncpu: {cores: 4}\nmemory: {size: 6Gi}"),
    );
    play.approve(&plan).ends(0);
    play.edit(116, "cores: 2", "cores: 3");
    let ran = play.json(&["run", &plan]).ends(2).json();
    assert_eq!(ran["result"], "superseded");
    assert!(ran["by"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(play.writes().len(), 0);
}

#[test]
fn undetermined() {
    let play = Play::new();
    // The write is lost on its way and its effect never comes: nobody can know whether it still will.
    play.fault("drop=before;method=POST;path=/nodes/*/qemu/102/config;count=1");
    play.fault("drop=before;method=PUT;path=/nodes/*/qemu/102/config;count=1");
    let plan = propose(&play, &[], &more_memory());
    play.approve(&plan).ends(0);
    let ran = play.json(&["run", &plan]).ends(4).json();
    assert_eq!(ran["result"], "undetermined");
    play.check();
    play.leave_unchecked();
}

#[test]
fn plans_as_json_and_yaml() {
    let play = Play::new();
    play.document(
        "local-zfs",
        &deletable("Storage", "local-zfs", "content: [images, rootdir]"),
    );
    play.bailiwick(&["apply", "-f", "docs"]).ends(0);
    play.withdraw("local-zfs");
    play.document("mail", &more_memory());
    let args = ["plan", "-f", "docs", "--prune"];
    let json = play.json(&args).ends(2).json();
    fits_schema(&json);
    assert_eq!(json["risk"], "high");
    let applied = play
        .json(&["apply", "-f", "docs", "--prune"])
        .ends(2)
        .json();
    fits_schema(&applied);
    assert_eq!(applied["hash"], json["hash"]);
    assert!(applied["ledger"].is_u64() && json["ledger"].is_null());
    let described = play
        .json(&["describe", applied["hash"].as_str().unwrap()])
        .ends(0)
        .json();
    fits_schema(&described);
    assert_eq!(described["steps"], applied["steps"]);
    // YAML says the same.
    let yaml = play
        .bailiwick(&[&args[..], &["-o", "yaml"]].concat())
        .ends(2)
        .out;
    let yaml: Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(yaml, json);
    let diff = play.json(&["diff", "-f", "docs", "--prune"]).ends(2).json();
    assert_eq!(diff, json["changes"]);
}

#[test]
fn answers_as_json_and_yaml() {
    let play = Play::new();
    let mail = propose(&play, &[], &more_memory());
    let wiki = propose(&play, &[], &machine("wiki", "vmid: 116\ncpu: {cores: 4}"));
    let yaml = |args: &[&str], code| -> Value {
        let out = play
            .bailiwick(&[args, &["-o", "yaml"]].concat())
            .ends(code)
            .out;
        serde_saphyr::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}\n{out}"))
    };
    let rejected = play
        .json(&[
            "reject",
            &wiki,
            "--reason",
            "no: not now",
            "--as",
            "person:anna",
        ])
        .ends(0)
        .json();
    assert_eq!(rejected["state"], "rejected");
    let approved = yaml(&["approve", &mail, "--key", "anna", "--reason", "yes"], 0);
    assert_eq!(approved["state"], "approved");
    let ran = yaml(&["run", &mail], 0);
    assert_eq!(ran["result"], "applied");
    assert_eq!(yaml(&["get", "plans"], 0).as_array().unwrap().len(), 2);
    assert_eq!(
        yaml(&["describe", "vm/102"], 0),
        play.json(&["describe", "vm/102"]).json()
    );
    assert_eq!(
        yaml(&["explain", "Pool"], 0)["text"].as_str().unwrap(),
        play.json(&["explain", "Pool"]).json()["text"]
    );
    assert_eq!(yaml(&["ledger", "verify"], 0)["ok"], true);
    assert_eq!(
        play.json(&["ledger", "checkpoint"]).ends(0).json()["checkpoint"]
            .as_u64()
            .map(|n| n > 0),
        Some(true)
    );
    // Errors too, on standard error.
    let refused = play.json(&["run", "0123"]).ends(1);
    let error: Value = serde_json::from_str(&refused.err).unwrap();
    assert_eq!(
        (refused.out.as_str(), &error["exit"]),
        ("", &Value::from(1))
    );
}

/// Holds a value against the few words of JSON Schema that the committed plan schema uses.
fn fits_schema(value: &Value) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/plan.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    fits(&schema, &schema, value, "plan");
}

fn fits(schema: &Value, root: &Value, value: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        return fits(
            &root["$defs"][name.rsplit('/').next().unwrap()],
            root,
            value,
            at,
        );
    }
    if let Some(options) = schema["oneOf"].as_array() {
        let option = options
            .iter()
            .find(|option| option["properties"]["kind"]["const"] == value["kind"]);
        let option = option.unwrap_or_else(|| panic!("{at}: no kind {}", value["kind"]));
        return fits(option, root, value, at);
    }
    if let Some(known) = schema["enum"].as_array() {
        assert!(known.contains(value), "{at}: {value}");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        several => several
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect(),
    };
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{at}: the type {other}"),
    };
    assert!(
        types.is_empty() || types.iter().any(|name| is(name)),
        "{at}: {value} is not {types:?}"
    );
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str()) {
        assert!(
            regex::Regex::new(pattern).unwrap().is_match(text),
            "{at}: {text}"
        );
    }
    for required in schema["required"].as_array().into_iter().flatten() {
        assert!(
            value.get(required.as_str().unwrap()).is_some(),
            "{at}: no {required}"
        );
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        match &schema["properties"][name] {
            Value::Null => assert_ne!(
                schema["additionalProperties"], false,
                "{at}.{name} is not in the schema"
            ),
            known => fits(known, root, inner, &format!("{at}.{name}")),
        }
    }
    for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
        if schema["items"].is_object() {
            fits(&schema["items"], root, inner, &format!("{at}[{index}]"));
        }
    }
}

/// Runs the program without a play.
fn bare(args: &[&str]) -> Ran {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    command
        .args(args)
        .env_clear()
        .stdin(std::process::Stdio::null());
    Ran::of(command.output().unwrap())
}

#[test]
fn help_of_every_command() {
    fn each(command: &clap::Command, path: &[&str]) {
        let help = bare(&[path, &["--help"]].concat()).ends(0);
        assert!(
            help.out.contains("Usage: bailiwick"),
            "{path:?}: {}",
            help.out
        );
        assert_eq!(help.err, "");
        for inner in command.get_subcommands() {
            each(inner, &[path, &[inner.get_name()]].concat());
        }
    }
    each(&Arguments::command(), &[]);
    assert!(bare(&["--help"]).out.contains("Exit codes: 0 success"));
    assert!(bare(&["--version"]).ends(0).out.starts_with("bailiwick "));
    bare(&["help", "plan"]).ends(0);
}

#[test]
fn completions() {
    for shell in ["bash", "zsh", "fish"] {
        let text = bare(&["completions", shell]).ends(0).out;
        for word in ["bailiwick", "approve", "rotate-key", "allow-deletions"] {
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn explanations() {
    let kinds = bare(&["explain"]).ends(0).out;
    for kind in [
        "VirtualMachine",
        "Container",
        "Storage",
        "Pool",
        "BackupJob",
        "ReplicationJob",
        "ApiToken",
        "Realm",
        "FirewallAlias",
        "IpSet",
        "SecurityGroup",
        "Firewall",
        "Group",
        "User",
        "Role",
        "AccessRule",
    ] {
        assert!(kinds.contains(kind));
        assert!(
            bare(&["explain", kind]).ends(0).out.contains("spec"),
            "{kind}"
        );
    }
    assert!(
        bare(&["explain", "VirtualMachine.disks.cache"])
            .ends(0)
            .out
            .contains("cache")
    );
    let misspelt = bare(&["explain", "VirtualMachine.memroy"]).ends(1);
    assert!(
        misspelt.err.contains("did you mean `memory`?"),
        "{}",
        misspelt.err
    );
}

#[test]
fn colour() {
    let play = Play::new();
    let said = |args: &[&str]| {
        feed(
            &play,
            &[&["plan", "-f", "-"], args].concat(),
            &more_memory(),
        )
        .ends(2)
        .out
    };
    let plain = said(&[]);
    assert!(
        !plain.contains('\u{1b}'),
        "coloured although not a terminal"
    );
    assert_eq!(plain, said(&["--color", "never"]));
    let coloured = said(&["--color", "always"]);
    assert!(coloured.contains("\u{1b}["));
    assert_eq!(
        plain,
        regex::Regex::new("\u{1b}\\[[0-9;]*m")
            .unwrap()
            .replace_all(&coloured, ""),
        "complete without colour"
    );
    assert!(!said(&["--color", "always", "-o", "json"]).contains('\u{1b}'));
    let error = play
        .bailiwick(&["--color", "always", "run", "0123"])
        .ends(1)
        .err;
    assert!(error.contains("\u{1b}["));
}
