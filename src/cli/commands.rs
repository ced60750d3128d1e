//! Each command: what it asks, what it prints, how it ends.

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;
use serde_json::{Value, json};

use super::arguments::{Arguments, Command, Format, Ledger};
use super::exit::{Exit, Failure};
use super::output::Output;
use super::{Ended, agent, decide, environment, events, serve, steer, submit, watch};
use crate::apply::RunEnd;
use crate::apply::step::NotBegun;
use crate::configuration::{Configuration, load_configuration};
use crate::ledger::Tampering;
use crate::plan::words::clean;
use crate::service::ledger::make_keys;
use crate::service::{Planned, RunReport, RunResult, Service, Tuning};

/// Runs the command.
pub async fn run(arguments: Arguments, output: &Output) -> Ended {
    let config = arguments.config.as_path();
    match &arguments.command {
        Command::Demo(demo) => super::demo::run(demo.yes, demo.keep.as_deref(), output).await,
        Command::Init(given) => super::init::run(given, output).await,
        Command::Explain(explain) => {
            let text = match &explain.path {
                Some(path) => {
                    crate::document::explain::explain(path).map_err(|error| Failure::of(&error))?
                }
                None => kinds(),
            };
            output.value(&json!({ "text": text }));
            output.line(text.trim_end());
            Ok(Exit::Success)
        }
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "bailiwick", &mut text);
            output.raw(&String::from_utf8_lossy(&text));
            Ok(Exit::Success)
        }
        Command::Sim(sim) => simulate(sim.clone(), output).await,
        Command::Apply(given) => submit::apply(&open(config, output).await?, given, output).await,
        Command::Plan(given) => submit::plan(&open(config, output).await?, given, output).await,
        Command::Diff(given) => submit::diff(&open(config, output).await?, given, output).await,
        Command::Undo(given) => submit::undo(&open(config, output).await?, given, output).await,
        Command::CleanUp(given) => {
            submit::clean_up(&open(config, output).await?, given, output).await
        }
        Command::Get(get) if get.watch => {
            events::watch(&open(config, output).await?, get, output).await
        }
        Command::Serve(serve) => serve::run(config, serve, output).await,
        Command::Events(asked) => events::events(&open(config, output).await?, asked, output).await,
        Command::Suspend(asked) => {
            steer::suspend(&open(config, output).await?, asked, output).await
        }
        Command::Resume(asked) => steer::resume(&open(config, output).await?, asked, output).await,
        Command::Reconcile(asked) => {
            steer::reconcile(&open(config, output).await?, asked, output).await
        }
        Command::Source(asked) => steer::source(&open(config, output).await?, asked, output).await,
        Command::Get(get) => {
            let list = open(config, output)
                .await?
                .list(&get.what, get.cluster.as_deref())
                .await?;
            output.list(&list);
            Ok(Exit::Success)
        }
        Command::Describe(what) => {
            describe(
                &open(config, output).await?,
                &what.what,
                what.cluster.as_deref(),
                output,
            )
            .await
        }
        Command::Can(asked) => super::can::run(&open(config, output).await?, asked, output).await,
        Command::Reach(asked) => {
            super::reach::run(&open(config, output).await?, asked, output).await
        }
        Command::Import(given) => {
            super::import::run(&open(config, output).await?, given, output).await
        }
        Command::Doctor(given) => super::doctor::run(config, given, output).await,
        Command::Approve(given) => {
            decide::approve(&open(config, output).await?, given, output).await
        }
        Command::Reject(given) => decide::reject(&open(config, output).await?, given, output).await,
        Command::Run(given) => {
            let service = open(config, output).await?;
            let tell = watch::tell(*output);
            let report = service.run(&given.plan, &tell).await?;
            Ok(show_run(&report, output))
        }
        Command::Freeze(freeze) => {
            let service = open(config, output).await?;
            let scope = service.freeze_scope(freeze.cluster.as_deref(), freeze.kind.as_deref())?;
            let who = service.principal(freeze.principal.as_deref())?;
            let shown = scope.to_string();
            let record = service
                .freeze(scope, &freeze.reason, &who, freeze.until)
                .await?;
            output.value(&json!({ "frozen": shown, "ledger": record }));
            output.line(format!(
                "{shown} is frozen; recorded in the ledger: #{record}"
            ));
            Ok(Exit::Success)
        }
        Command::Thaw(thaw) => {
            let service = open(config, output).await?;
            let scope = service.freeze_scope(thaw.cluster.as_deref(), thaw.kind.as_deref())?;
            let who = service.principal(thaw.principal.as_deref())?;
            let (lifted, record) = service.thaw(&scope, &who).await?;
            output.value(
                &json!({ "thawed": scope.to_string(), "lifted": lifted.len(), "ledger": record }),
            );
            output.line(format!(
                "{scope} is thawed; recorded in the ledger: #{record}"
            ));
            Ok(Exit::Success)
        }
        Command::Ledger(command) => ledger(config, command, output).await,
        Command::Agent(command) => agent::run(&open(config, output).await?, command, output).await,
        Command::Mcp(mcp) => {
            let service = open(config, output).await?;
            let who = service.principal(mcp.principal.as_deref())?;
            crate::mcp::stdio::serve(service, who)
                .await
                .map_err(|error| Failure::of(&error))?;
            Ok(Exit::Success)
        }
    }
}

pub(super) fn configuration(file: &Path) -> Result<Configuration, Failure> {
    load_configuration(file).map_err(|error| {
        let mut failure = Failure::of(&error);
        if !file.exists() {
            failure
                .message
                .push_str("\nsay --config FILE, or write one after examples/bailiwick.yaml");
        }
        failure
    })
}

pub(super) async fn open(file: &Path, output: &Output) -> Result<Service, Failure> {
    let configuration = configuration(file)?;
    if output.format == Format::Text {
        for warning in configuration.warnings() {
            let _ = writeln!(std::io::stderr(), "warning: {warning}");
        }
    }
    Ok(Service::open(configuration, environment(), tuning()).await?)
}

/// How patient to be: the defaults, or what the environment says for simulated clusters.
fn tuning() -> Tuning {
    let mut tuning = Tuning::default();
    let millis = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse().ok())
            .map(std::time::Duration::from_millis)
    };
    if let Some(poll) = millis("BAILIWICK_POLL_MS") {
        tuning.poll = poll;
    }
    if let Some(settle) = millis("BAILIWICK_SETTLE_MS") {
        tuning.settle = settle;
    }
    if let Some(wait) = millis("BAILIWICK_TRIAL_WAIT_MS") {
        tuning.trial_wait = wait;
        tuning.trial_patience = wait;
    }
    tuning
}

fn kinds() -> String {
    let kinds = [
        ("VirtualMachine", "a QEMU guest"),
        ("Container", "an LXC guest"),
        ("Storage", "a storage definition"),
        ("Pool", "a pool of guests and storages"),
        ("BackupJob", "a job that backs guests up"),
        ("Snapshot", "a snapshot of a guest"),
        (
            "Image",
            "an ISO image, a container template, a disk to import",
        ),
        (
            "ReplicationJob",
            "a job that copies a guest to another node",
        ),
        ("ApiToken", "a token of a user, for a program"),
        ("Group", "a group of users"),
        ("User", "a user, who may log in"),
        ("Role", "privileges under a name"),
        (
            "Realm",
            "where users come from, and who checks their logins",
        ),
        (
            "AccessRule",
            "the roles that a user, group or token is given on a path",
        ),
        ("FirewallAlias", "a name for an address or a network"),
        ("IpSet", "a set of addresses for firewall rules"),
        ("SecurityGroup", "a named list of firewall rules"),
        ("Firewall", "the options and rules of one firewall"),
    ];
    let lines: Vec<String> = kinds
        .iter()
        .map(|(kind, what)| format!("{kind:16}{what}"))
        .collect();
    format!(
        "{}\n\nMore with: bailiwick explain KIND[.field]",
        lines.join("\n")
    )
}

async fn describe(service: &Service, what: &str, cluster: Option<&str>, output: &Output) -> Ended {
    let looks_like_hash = what.starts_with("sha256:")
        || (!what.contains('/') && what.bytes().all(|b| b.is_ascii_hexdigit()));
    if looks_like_hash {
        let (stored, plan, recipe) = service.plan(what).await?;
        let standing = service.standing(&plan, &recipe).await?;
        let ledger = service.record_of(&plan.hash).await?;
        output.plan(&Planned {
            plan,
            state: Some(stored.head.state),
            standing,
            ledger,
            accepted: Vec::new(),
        });
        output.line(format!("state: {}", stored.head.state.name()));
        if let Some(revision) = &recipe.revision {
            let source = clean(&recipe.source);
            let signed = if recipe.signed_by.is_empty() {
                String::new()
            } else {
                format!(", signed with {}", recipe.signed_by.join(", "))
            };
            output.line(format!("read from {source} at {}{signed}", clean(revision)));
        }
        return Ok(Exit::Success);
    }
    let value = service.describe(what, cluster).await?;
    output.value(&value);
    if output.format == Format::Text {
        Output {
            format: Format::Yaml,
            ..*output
        }
        .value(&readable(value));
    }
    Ok(Exit::Success)
}

/// A value whose texts show everything that is in them: what comes from a cluster may hold characters that a terminal obeys.
fn readable(value: Value) -> Value {
    match value {
        Value::String(text) => {
            let lines: Vec<String> = text.split('\n').map(clean).collect();
            Value::String(lines.join("\n"))
        }
        Value::Array(items) => items.into_iter().map(readable).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (clean(&name), readable(value)))
            .collect(),
        other => other,
    }
}

/// Prints how a run ended.
pub fn show_run(report: &RunReport, output: &Output) -> Exit {
    let (word, why, exit) = match &report.result {
        RunResult::Superseded(planned) => {
            output.value(
                &json!({ "plan": report.plan, "result": "superseded", "by": planned.plan.hash }),
            );
            output.line(format!(
                "superseded: the world has changed since {} was made; nothing was done",
                report.plan
            ));
            if planned.plan.leaves_nothing_to_decide() {
                output.line("there is nothing left to do");
                return Exit::Success;
            }
            output.line("the new plan:");
            if output.format == Format::Text {
                output.plan(planned);
            }
            return Exit::Waits;
        }
        RunResult::Ended(RunEnd::Done) => ("applied", String::new(), Exit::Success),
        RunResult::Ended(RunEnd::Failed { step, why }) => {
            ("failed", format!("step {step}: {why}"), Exit::Error)
        }
        RunResult::Ended(RunEnd::Stopped { step, why }) => match why {
            NotBegun::Frozen(why) => (
                "stopped",
                format!("before step {step}: {why}"),
                Exit::Refused,
            ),
            NotBegun::Stale(why) => (
                "failed",
                format!("before step {step}, the world has changed: {why}"),
                Exit::Error,
            ),
            NotBegun::Unreadable(why) => (
                "stopped",
                format!(
                    "before step {step}, the cluster cannot be worked with: {why}; run it again: it goes on where it stopped"
                ),
                Exit::Error,
            ),
        },
        RunResult::Ended(RunEnd::Undetermined { step, why }) => (
            "undetermined",
            format!("step {step}: {why}"),
            Exit::Undetermined,
        ),
    };
    output.value(&json!({
        "plan": report.plan, "result": word, "why": why, "notes": report.notes, "ledger": report.ledger,
    }));
    output.line(format!(
        "{word}{}",
        if why.is_empty() {
            String::new()
        } else {
            format!(": {}", clean(&why))
        }
    ));
    for note in &report.notes {
        output.line(format!("  {}", clean(note)));
    }
    if let Some(record) = report.ledger {
        output.line(format!("  recorded in the ledger: #{record}"));
    }
    match exit {
        Exit::Undetermined => output.line("  run it again to look: nothing is sent twice"),
        Exit::Refused => output.line("  once thawed, run it again: it goes on where it stopped"),
        Exit::Success | Exit::Error | Exit::Waits => {}
    }
    exit
}

async fn ledger(config: &Path, command: &Ledger, output: &Output) -> Ended {
    match command {
        Ledger::Keygen => {
            let made = make_keys(&configuration(config)?)?;
            output.value(&json!({ "made": made }));
            for file in &made {
                output.line(format!("made {}", file.display()));
            }
            if made.is_empty() {
                output.line("the keys are there already");
            }
            Ok(Exit::Success)
        }
        Ledger::Verify { file, checkpoint } => {
            let service = open(config, output).await?;
            match service
                .verify_ledger(file.as_deref(), checkpoint.as_deref())
                .await?
            {
                Ok(verified) => {
                    output.value(&json!({
                        "ok": true, "records": verified.records, "head": verified.head.seq, "vouched": verified.vouched,
                    }));
                    let vouched = verified.vouched.map_or_else(
                        || "no checkpoint vouches for its end".to_owned(),
                        |seq| format!("checkpoints vouch for it up to #{seq}"),
                    );
                    output.line(format!(
                        "ok: {} records, head #{}; {vouched}",
                        verified.records, verified.head.seq
                    ));
                    Ok(Exit::Success)
                }
                Err(tampering) => {
                    output.value(&json!({ "ok": false, "seq": tampering.seq(), "kind": tampering.kind(), "message": tampering.to_string() }));
                    let another = matches!(tampering, Tampering::WrongKey { needs: Some(_), .. });
                    let advice = if another {
                        "\nif the key was replaced, name the earlier ones in the configuration as `ledger.previousKeyFiles`"
                    } else {
                        ""
                    };
                    Err(Failure::error(format!(
                        "the ledger does not hold: {tampering}{advice}"
                    )))
                }
            }
        }
        Ledger::Export { to } => {
            let service = open(config, output).await?;
            match to {
                Some(file) => {
                    let made = std::fs::OpenOptions::new()
                        .write(true)
                        .create_new(true)
                        .open(file);
                    let mut made = made.map_err(|error| {
                        Failure::error(format!("cannot make {}: {error}", file.display()))
                    })?;
                    service.export_ledger(&mut made).await?;
                    output.value(&json!({ "exported": file }));
                    output.line(format!("exported to {}", file.display()));
                }
                None => service.export_ledger(&mut std::io::stdout().lock()).await?,
            }
            Ok(Exit::Success)
        }
        Ledger::Checkpoint => {
            let seq = open(config, output).await?.checkpoint().await?;
            output.value(&json!({ "checkpoint": seq }));
            output.line(format!("checkpoint of #{seq} written"));
            Ok(Exit::Success)
        }
        Ledger::RotateKey { to } => {
            let service = open(config, output).await?;
            let who = service.principal(None)?;
            let seq = service.rotate_ledger_key(to, &who.to_string()).await?;
            output.value(&json!({ "rotated": seq, "key": to }));
            output.line(format!(
                "the ledger is under the new key {} since #{seq}; configure it as `keyFile`, and the old one under `previousKeyFiles`",
                to.display()
            ));
            Ok(Exit::Success)
        }
    }
}

async fn simulate(arguments: crate::sim::Arguments, output: &Output) -> Ended {
    let world = arguments.world.clone();
    let text = std::fs::read_to_string(&world).map_err(|error| {
        Failure::error(format!(
            "cannot read the world file {}: {error}",
            world.display()
        ))
    })?;
    let running =
        crate::sim::start(arguments.options(text))
            .await
            .map_err(|error| match error {
                crate::sim::SimError::World(error) => {
                    Failure::error(format!("{}: {error}", world.display()))
                }
                error => Failure::of(&error),
            })?;
    let ready = json!({ "url": running.url(), "fingerprint": running.fingerprint(), "control": running.control(), "nodes": running.nodes() });
    output.raw(&format!("{ready}\n"));
    running.wait().await;
    Ok(Exit::Success)
}
