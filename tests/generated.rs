//! The committed files that are made from the code are what the code makes: `crds/`, `schemas/`, `docs/cli.md`, `docs/mcp-tools.md`,
//! `docs/metrics.md`, `docs/reference/`.
//! `./task bless` (`BAILIWICK_BLESS=1`) writes them anew.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fmt::Write as _;
use std::path::PathBuf;

use bailiwick::cli::arguments::{Arguments, EXIT_CODES};
use bailiwick::document::{Kind, crd, schema};
use clap::{Arg, Command, CommandFactory};

/// Every generated file: its path below the project's folder, and its text.
fn generated() -> Vec<(String, String)> {
    let pretty = |value: &serde_json::Value| serde_json::to_string_pretty(value).unwrap() + "\n";
    let mut files = Vec::new();
    for kind in Kind::ALL {
        files.push((
            format!("schemas/{kind}.schema.json"),
            pretty(schema::schema(kind)),
        ));
        let definition = bailiwick::document::yaml::write(&crd::definition(kind)).unwrap();
        files.push((
            format!("crds/{}.yaml", crd::name(kind)),
            format!(
                "# Made from the Rust types; do not edit. `./task bless` writes it anew.\n{definition}"
            ),
        ));
    }
    files.push((
        "schemas/plan.schema.json".to_owned(),
        pretty(&bailiwick::plan::render::schema()),
    ));
    files.push((
        "schemas/mcp-tools.json".to_owned(),
        pretty(&bailiwick::mcp::reference()),
    ));
    files.push(("docs/mcp-tools.md".to_owned(), tools_reference()));
    files.push((
        "schemas/notification.schema.json".to_owned(),
        pretty(&bailiwick::notify::message::schema()),
    ));
    files.push(("docs/cli.md".to_owned(), command_reference()));
    files.push(("docs/metrics.md".to_owned(), metrics_reference()));
    for kind in Kind::ALL {
        let (name, example) = match kind {
            Kind::VirtualMachine => (
                "virtual-machine",
                include_str!("../examples/documents/virtual-machine.yaml"),
            ),
            Kind::Container => (
                "container",
                include_str!("../examples/documents/container.yaml"),
            ),
            Kind::Storage => (
                "storage",
                include_str!("../examples/documents/storage.yaml"),
            ),
            Kind::Pool => ("pool", include_str!("../examples/documents/pool.yaml")),
            Kind::BackupJob => (
                "backup-job",
                include_str!("../examples/documents/backup-job.yaml"),
            ),
            Kind::Image => ("image", include_str!("../examples/documents/image.yaml")),
            Kind::FirewallAlias => (
                "firewall-alias",
                include_str!("../examples/documents/firewall-alias.yaml"),
            ),
            Kind::IpSet => ("ip-set", include_str!("../examples/documents/ip-set.yaml")),
            Kind::SecurityGroup => (
                "security-group",
                include_str!("../examples/documents/security-group.yaml"),
            ),
            Kind::Firewall => (
                "firewall",
                include_str!("../examples/documents/firewall.yaml"),
            ),
            Kind::Snapshot => (
                "snapshot",
                include_str!("../examples/documents/snapshot.yaml"),
            ),
            Kind::ReplicationJob => (
                "replication-job",
                include_str!("../examples/documents/replication-job.yaml"),
            ),
            Kind::ApiToken => (
                "api-token",
                include_str!("../examples/documents/api-token.yaml"),
            ),
            Kind::Group => ("group", include_str!("../examples/documents/group.yaml")),
            Kind::User => ("user", include_str!("../examples/documents/user.yaml")),
            Kind::Realm => ("realm", include_str!("../examples/documents/realm.yaml")),
            Kind::Role => ("role", include_str!("../examples/documents/role.yaml")),
            Kind::AccessRule => (
                "access-rule",
                include_str!("../examples/documents/access-rule.yaml"),
            ),
        };
        let text = bailiwick::document::reference::reference(kind);
        files.push((
            format!("docs/reference/{name}.md"),
            format!("{text}\n## An example\n\n`examples/documents/{name}.yaml`:\n\n```yaml\n{example}```\n"),
        ));
    }
    files
}

#[test]
fn generated_files_are_up_to_date() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut stale = Vec::new();
    for (name, expected) in generated() {
        let path = root.join(&name);
        if std::env::var_os("BAILIWICK_BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &expected).unwrap();
        }
        if std::fs::read_to_string(&path).unwrap_or_default() != expected {
            stale.push(name);
        }
    }
    assert!(
        stale.is_empty(),
        "not what the code makes (./task bless writes them anew): {}",
        stale.join(", ")
    );
}

/// Nothing lies in the generated folders that the code no longer makes.
#[test]
fn generated_folders_have_no_leftovers() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let made: Vec<PathBuf> = generated()
        .into_iter()
        .map(|(name, _)| root.join(name))
        .collect();
    for folder in ["crds", "schemas", "docs/reference"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            assert!(
                made.contains(&path),
                "{} is made by nothing",
                path.display()
            );
        }
    }
}

/// The metrics, as Markdown.
fn metrics_reference() -> String {
    format!(
        "# Metrics\n\nMade from the program's own definitions; do not edit. `./task bless` writes it anew.\n\n\
         `bailiwick serve` shows them at `/metrics` in Prometheus's text format. Labels are bounded: what is none of a label's words, or one\n\
         name more than it tells apart, counts as `other`; guests, users, plans and paths are never labels. What is kept (plans, open runs,\n\
         drift, submissions, freezes, the ledger's end) is counted from the state file, whichever process put it there; everything else\n\
         is counted by the process that shows it, from its start.\n\n\
         `charts/grafana/bailiwick.json` is a dashboard of them, `charts/prometheus/alerts.yaml` are rules that raise the alerts below.\n{}{}",
        bailiwick::metrics::reference(),
        alerts()
    )
}

/// The alerts, with what to do about each.
fn alerts() -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/prometheus/alerts.yaml");
    let file = std::fs::read_to_string(file).unwrap();
    let file: serde_json::Value = serde_saphyr::from_str(&file).unwrap();
    // Templates are written as what they stand for: `{{ $labels.cluster }}` as `CLUSTER`.
    let template = regex::Regex::new(r"\{\{ \$(?:labels\.)?(\w+)[^}]*\}\}").unwrap();
    let mut out = "\n## Alerts\n".to_owned();
    for group in file["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            let text = |of: &serde_json::Value| of.as_str().unwrap_or_default().trim().to_owned();
            let note = |name: &str| {
                let note = text(&rule["annotations"][name]);
                let plain = template.replace_all(&note, |found: &regex::Captures<'_>| {
                    format!("`{}`", found[1].to_uppercase())
                });
                plain.into_owned()
            };
            let lasting = rule["for"].as_str();
            let lasting =
                lasting.map_or_else(String::new, |time| format!(", when it holds for {time}"));
            let _ = write!(
                out,
                "\n### {}\n\n{}. {} ({}{lasting})\n\n```promql\n{}\n```\n\n{}\n",
                text(&rule["alert"]),
                note("summary"),
                note("description"),
                text(&rule["labels"]["severity"]),
                text(&rule["expr"]),
                note("runbook"),
            );
        }
    }
    out
}

/// The tools of MCP, what they take and the errors they give, as Markdown.
fn tools_reference() -> String {
    let mut out = "# MCP tools\n\nMade from the program's own definitions; do not edit. `./task bless` writes it anew. The schemas, of what \
                   tools take and of what they answer, are in `schemas/mcp-tools.json`.\n"
        .to_owned();
    for tool in bailiwick::mcp::tools() {
        let annotations = tool.annotations.unwrap();
        let does = match (annotations.read_only_hint, annotations.destructive_hint) {
            (Some(true), _) => "reads only",
            (_, Some(true)) => "takes something of your own back",
            _ => "adds a plan that waits",
        };
        let description = tool.description.unwrap();
        let _ = write!(out, "\n## `{}`\n\n{description} ({does})\n", tool.name);
        let properties = tool.input_schema["properties"].as_object().unwrap();
        if properties.is_empty() {
            continue;
        }
        let required = tool.input_schema.get("required").and_then(|r| r.as_array());
        out.push_str("\n| argument | type | meaning |\n|---|---|---|\n");
        for (name, property) in properties {
            let needed = required.is_some_and(|all| all.iter().any(|one| one == name));
            let kind = match property.get("enum").and_then(|words| words.as_array()) {
                Some(words) => {
                    let words: Vec<_> = words
                        .iter()
                        .map(|w| format!("`{}`", w.as_str().unwrap()))
                        .collect();
                    words.join(", ")
                }
                None => property["type"].as_str().unwrap().to_owned(),
            };
            let bound = |key: &str| property.get(key).and_then(serde_json::Value::as_u64);
            let bounds = match (bound("minimum"), bound("maximum"), bound("maxLength")) {
                (Some(least), Some(most), _) => format!(", {least} to {most}"),
                (_, _, Some(most)) => format!(", at most {most} characters"),
                _ => String::new(),
            };
            let star = if needed { " (needed)" } else { "" };
            let meaning = property["description"].as_str().unwrap();
            let _ = writeln!(
                out,
                "| `{name}`{star} | {kind}{bounds} | {} |",
                meaning.replace('|', "\\|")
            );
        }
    }
    out.push_str("\n## Errors\n\n| code | what is needed next |\n|---|---|\n");
    for code in bailiwick::mcp::Code::ALL {
        let _ = writeln!(out, "| `{}` | {} |", code.word(), code.next());
    }
    out
}

/// The commands with their options, as Markdown.
fn command_reference() -> String {
    let mut root = Arguments::command();
    root.build();
    let mut out = format!(
        "# Commands\n\nMade from the program's own definitions; do not edit. `./task bless` writes it anew.\n\n{}\n",
        root.get_long_about().unwrap()
    );
    out.push_str("\n## Options of every command\n\n");
    options(&root, true, &mut out);
    let _ = write!(out, "\n{EXIT_CODES}.\n");
    for command in root.get_subcommands() {
        section(command, "##", &mut out);
    }
    out
}

fn section(command: &Command, level: &str, out: &mut String) {
    if command.get_name() == "help" {
        return;
    }
    let name = command.get_bin_name().unwrap();
    let about = command.get_long_about().or(command.get_about());
    let _ = write!(
        out,
        "\n{level} `{name}`\n\n{}\n",
        sentence(&about.unwrap().to_string())
    );
    if command.has_subcommands() {
        command
            .get_subcommands()
            .for_each(|inner| section(inner, "###", out));
    } else {
        let usage = command.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ");
        let _ = write!(out, "\n```text\n{usage}\n```\n");
        if own(command, false).next().is_some() {
            out.push('\n');
            options(command, false, out);
        }
    }
}

/// The arguments to tell of: all but clap's own, and below the root all but those every command has.
fn own(command: &Command, root: bool) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(move |arg| {
        !["help", "version"].contains(&arg.get_id().as_str()) && (root || !arg.is_global_set())
    })
}

fn options(command: &Command, root: bool, out: &mut String) {
    out.push_str("| option | meaning |\n|---|---|\n");
    for arg in own(command, root) {
        let help = arg.get_long_help().or(arg.get_help());
        let mut help = sentence(&help.unwrap().to_string());
        let defaults: Vec<_> = arg
            .get_default_values()
            .iter()
            .map(|v| v.to_string_lossy())
            .collect();
        if !defaults.is_empty() && arg.get_num_args().is_some_and(|n| n.takes_values()) {
            let _ = write!(help, " Default: `{}`.", defaults.join(","));
        }
        let short = arg
            .get_short()
            .map(|c| format!("-{c}, "))
            .unwrap_or_default();
        let shown = match arg.get_long() {
            Some(long) if arg.get_num_args().is_some_and(|n| n.takes_values()) => {
                let value = arg
                    .get_value_names()
                    .map(|n| n.join(" "))
                    .unwrap_or_default();
                format!("{short}--{long} {value}")
            }
            Some(long) => format!("{short}--{long}"),
            None => arg
                .get_value_names()
                .map(|n| n.join(" "))
                .unwrap_or_default(),
        };
        let _ = writeln!(out, "| `{shown}` | {help} |");
    }
}

/// clap takes the full stop from a help of one paragraph.
fn sentence(text: &str) -> String {
    let text = text.replace('\n', " ").replace('|', "\\|");
    format!("{}.", text.trim_end_matches('.'))
}
