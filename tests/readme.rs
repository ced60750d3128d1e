//! The README is true: its commands exist, its links lead somewhere, its exit codes are those of the program, and the privileges it
//! tells people to give are enough for what it promises.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use bailiwick::cli::arguments::Arguments;
use bailiwick::cli::exit::Exit;
use clap::{CommandFactory, Parser};
use regex::Regex;
use support::play::{LAB, Play, Setup};

const README: &str = include_str!("../README.md");

/// The rows of the table with this heading, as cells.
fn table(heading: &str) -> Vec<Vec<String>> {
    let rows: Vec<Vec<String>> = README
        .lines()
        .skip_while(|line| !line.starts_with(heading))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            line.trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().to_owned())
                .collect()
        })
        .collect();
    assert!(!rows.is_empty(), "no table {heading}");
    rows
}

fn code_spans(text: &str) -> Vec<String> {
    let spans = Regex::new("`([^`]+)`").unwrap();
    spans
        .captures_iter(text)
        .map(|found| found[1].to_owned())
        .collect()
}

#[test]
fn the_table_of_commands_is_clap_s() {
    let command = Arguments::command();
    let mut told = BTreeSet::new();
    for row in table("| command |") {
        for span in code_spans(&row[0]) {
            let mut words = span.split_whitespace();
            let name = words.next().unwrap();
            let found = command
                .find_subcommand(name)
                .unwrap_or_else(|| panic!("no command {name}"));
            for flag in words.filter_map(|word| word.strip_prefix('-')) {
                assert!(
                    found
                        .get_arguments()
                        .any(|arg| arg.get_short() == flag.chars().next()),
                    "{name} has no -{flag}"
                );
            }
            told.insert(name.to_owned());
            if found.has_subcommands() {
                let inner: BTreeSet<String> = found
                    .get_subcommands()
                    .map(|inner| inner.get_name().to_owned())
                    .collect();
                assert_eq!(
                    code_spans(&row[1]).into_iter().collect::<BTreeSet<_>>(),
                    inner,
                    "{name}"
                );
            }
        }
    }
    let there: BTreeSet<String> = command
        .get_subcommands()
        .map(|inner| inner.get_name().to_owned())
        .collect();
    assert_eq!(told, there);
}

/// Every line of the README's examples that calls the program is a line the program understands.
#[test]
fn examples_parse() {
    let mut parsed = 0;
    let mut inside = false;
    for line in README.lines().map(str::trim) {
        if line.starts_with("```") {
            inside = line == "```sh";
            continue;
        }
        let line = line.split(" #").next().unwrap_or(line);
        let words = line
            .strip_prefix("bailiwick ")
            .or_else(|| line.strip_prefix("cargo run --release -- "));
        if let (true, Some(words)) = (inside, words) {
            let arguments = ["bailiwick"].into_iter().chain(words.split_whitespace());
            Arguments::try_parse_from(arguments).unwrap_or_else(|error| panic!("{line}\n{error}"));
            parsed += 1;
        }
    }
    let inline = code_spans(README);
    for span in inline
        .iter()
        .filter_map(|span| span.strip_prefix("bailiwick "))
    {
        let arguments = ["bailiwick"].into_iter().chain(span.split_whitespace());
        Arguments::try_parse_from(arguments).unwrap_or_else(|error| panic!("{span}\n{error}"));
        parsed += 1;
    }
    assert!(parsed > 5, "only {parsed} examples found");
}

#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let link = Regex::new(r"\]\(([^)#\s]+)[^)]*\)").unwrap();
    for file in [
        "README.md",
        "CONTRIBUTING.md",
        "ARCHITECTURE.md",
        "docs/ledger-format.md",
    ] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        for found in link
            .captures_iter(&text)
            .filter(|found| !found[1].contains("://"))
        {
            let target = root.join(file).parent().unwrap().join(&found[1]);
            assert!(
                target.exists(),
                "{file} links to {}, which is not there",
                &found[1]
            );
        }
    }
    // Files and folders named in passing.
    let path = Regex::new(r"^[a-z]+(-[a-z]+)*(/[a-z-]+)*(\.(md|rs|toml|yaml)|/)$").unwrap();
    for span in code_spans(README).iter().filter(|span| path.is_match(span)) {
        let example = ["web.yaml", "bailiwick.yaml"].contains(&span.as_str());
        assert!(
            example || root.join(span).exists(),
            "README names `{span}`, which is not there"
        );
    }
}

#[test]
fn exit_codes() {
    let rows = table("| exit code |");
    let codes = [
        (Exit::Success, "success"),
        (Exit::Error, "error"),
        (Exit::Waits, "waits"),
        (Exit::Refused, "refused"),
        (Exit::Undetermined, "undetermined"),
    ];
    assert_eq!(rows.len(), codes.len());
    for (row, (exit, word)) in rows.iter().zip(codes) {
        assert_eq!(row[0], (exit as u8).to_string());
        assert!(row[1].contains(word), "{row:?}");
        assert!(bailiwick::cli::arguments::EXIT_CODES.contains(&format!("{} ", exit as u8)));
    }
}

/// Whoever follows the README gives the token exactly these privileges. They suffice for guests, storages and pools, and the plan says
/// of nothing that it could not be read.
#[test]
fn the_privileges_suffice() {
    let privileges = Regex::new("-privs \"([^\"]+)\"")
        .unwrap()
        .captures(README)
        .unwrap()[1]
        .to_owned();
    let role = Regex::new("role:BailiwickController:[^:]*:").unwrap();
    assert!(role.is_match(LAB));
    let play = Play::with(Setup {
        world: role
            .replace(LAB, format!("role:BailiwickController:{privileges}:"))
            .into_owned(),
        ..Setup::default()
    });
    let demo = |name: &str| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/demo/{name}.yaml"));
        std::fs::read_to_string(file).unwrap()
    };
    let pool = |comment: &str| {
        format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: Pool\nmetadata: {{name: lab}}\nspec: {{comment: {comment}}}\n"
        )
    };
    // A new machine, a change of memory, a change of a pool.
    for name in ["web-7", "mail", "local-zfs"] {
        play.document(name, &demo(name));
    }
    play.document("lab", &pool("try anything here"));
    let plan = play.apply();
    assert_eq!(
        plan["unknowns"],
        serde_json::json!([]),
        "what is unknown for want of privileges"
    );
    let hash = play.carry_out();
    // The disks away, the storage deleted.
    play.document("moved-away", &demo("moved-away"));
    play.withdraw("local-zfs");
    let plan = play.apply();
    assert_eq!(plan["unknowns"], serde_json::json!([]));
    play.carry_out();
    // And all of the first taken back.
    let undo = play.undo(&hash)["hash"].as_str().unwrap().to_owned();
    play.approve(&undo).ends(0);
    play.run(&undo).ends(0);
    assert!(
        play.sim.log().iter().all(|entry| entry.status != 403),
        "something was forbidden"
    );
}

/// The README's commands are those that `init` tells to type: one list of privileges, made from the code's table.
#[test]
fn the_commands_for_a_token_are_those_of_init() {
    for command in bailiwick::service::init::token_commands(bailiwick::service::init::TOKEN) {
        assert!(
            README.lines().any(|line| line.trim() == command),
            "the README lacks: {command}"
        );
    }
}
