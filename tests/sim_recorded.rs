//! The simulator against recordings of a real Proxmox VE, where a folder with them is at hand (`../shared`, or what
//! `BAILIWICK_SHARED` names): every request is sent again over TLS, in order, and answered the same.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    missing_docs
)]

#[path = "sim/client.rs"]
#[allow(dead_code)]
mod client;
#[path = "replay/compare.rs"]
mod compare;
#[path = "replay/known.rs"]
mod known;
#[path = "replay/permissions.rs"]
mod permissions;
#[path = "replay/recording.rs"]
mod recording;
#[path = "replay/session.rs"]
mod session;
#[path = "support/user_cfg.rs"]
mod user_cfg;
#[path = "replay/volatile.rs"]
mod volatile;

use std::time::Instant;

use bailiwick::sim::Options;
use client::Sim;
use known::{apart, unsupported};
use recording::{Line, Recorded};
use session::{SECRETS, Session};

/// The state the recordings begin with.
const WORLD: &str = include_str!("../examples/worlds/recorded-start.yaml");

/// What was done by command line on the node: `qm set ID --lock NAME` and `qm unlock ID`.
fn out_of_band(cluster: &mut bailiwick::sim::state::Cluster, command: &str) {
    let words: Vec<&str> = command.split_whitespace().collect();
    let (vmid, lock) = match words.as_slice() {
        ["qm", "set", vmid, "--lock", lock] => (*vmid, Some(*lock)),
        ["qm", "unlock", vmid] => (*vmid, None),
        _ => panic!("unknown command: {command}"),
    };
    let file = cluster.guest(vmid.parse().unwrap()).unwrap().file();
    let text = bailiwick::sim::state::with_lock(cluster.files.read(&file), lock);
    cluster.files.set(file, text);
}

/// Puts the tasks that a request which is not simulated would have left into the list, as if somebody else had run them.
fn stand_in(session: &mut Session, line: &Recorded) {
    use bailiwick::sim::call::Auth;
    use bailiwick::sim::tasks::TaskSpec;
    let theirs = line.body["data"]["upid"]
        .as_str()
        .or(line.body["data"].as_str());
    let mut last = None;
    for (kind, id, user) in known::tasks_left(line) {
        let end = match kind.as_str() {
            "vncproxy" => Err("connection timed out".to_owned()),
            _ => Ok(()),
        };
        let upid = session.sim.running.with(|cluster| {
            let mut spec = TaskSpec::new("pve1", &kind, id, &Auth::new(user)).lasting(0.0);
            if kind == "reloadnetworkall" {
                spec = spec.saying("pve1: reloading network config");
            }
            cluster.spawn(spec, move |_, _| end)
        });
        last = upid.as_str().map(str::to_owned);
    }
    if let (Some(theirs), Some(ours)) = (theirs, last) {
        session.same_task(theirs, &ours);
    }
}

/// What became of one recording.
enum Outcome {
    Same,
    Differs(Vec<String>),
    Unsupported(&'static str),
}

async fn replay(session: &mut Session, compare: &compare::Volatile, line: &Recorded) -> Outcome {
    session
        .sim
        .running
        .with(|cluster| known::host(cluster, line));
    session.sim.running.advance(10.0);
    let got = session.send(line).await;
    if let Some(why) = unsupported(line) {
        let text = format!("Method '{} {}' not implemented", line.method, line.path);
        stand_in(session, line);
        return match got.status {
            200 | 400 if known::follows(line) => Outcome::Unsupported(why),
            501 if got.reason.starts_with("Method '") && got.body["data"].is_null() => {
                Outcome::Unsupported(why)
            }
            _ => Outcome::Differs(vec![format!(
                "is answered {} {}, not '{text}'",
                got.status, got.reason
            )]),
        };
    }
    let theirs = known::without(line, session.translated(&line.body));
    match compare.differences(line, &theirs, &got) {
        found if found.is_empty() => Outcome::Same,
        found => Outcome::Differs(found),
    }
}

#[tokio::test]
async fn answers_as_recorded() {
    let Some(lines) = recording::read() else {
        return;
    };
    let began = Instant::now();
    let mut options = Options::new(WORLD);
    options.scale = 1000.0;
    let secrets = SECRETS
        .iter()
        .map(|(id, secret)| ((*id).to_owned(), (*secret).to_owned()));
    options.secrets.extend(secrets);
    let mut session = Session::new(Sim::over(bailiwick::sim::start(options).await.unwrap()));
    let compare = compare::Volatile::new();
    let (mut same, mut differing, mut missing) = (0, vec![], vec![]);
    let mut worked_out = Vec::new();
    for line in &lines {
        let line = match line {
            Line::OutOfBand(command) => {
                session
                    .sim
                    .running
                    .with(|cluster| out_of_band(cluster, command));
                continue;
            }
            Line::Request(line) => line,
        };
        let users = &session.sim.running;
        let users = users.with(|cluster| cluster.files.read("user.cfg").to_owned());
        worked_out.extend(permissions::compared(line, &users));
        match replay(&mut session, &compare, line).await {
            Outcome::Same => {
                println!("same           {}", line.title());
                same += 1;
            }
            Outcome::Differs(found) => {
                for difference in &found {
                    println!("differs        {}: {difference}", line.title());
                }
                differing.push((line.n, line.title(), found));
            }
            Outcome::Unsupported(why) => {
                println!("not supported  {}: {why}", line.title());
                missing.push(line.n);
            }
        }
    }
    assert!(
        worked_out.len() == 4 && worked_out.iter().sum::<usize>() > 20,
        "recorded permissions that health::access was held to: {worked_out:?}"
    );
    let unknown: Vec<_> = differing
        .iter()
        .filter(|(n, ..)| apart(*n).is_none())
        .collect();
    println!(
        "{} recordings: {same} same, {} differ ({} of them for a listed reason), {} not supported; {:.1} s",
        same + differing.len() + missing.len(),
        differing.len(),
        differing.len() - unknown.len(),
        missing.len(),
        began.elapsed().as_secs_f64(),
    );
    let healed: Vec<u64> = known::APART
        .iter()
        .map(|(n, _)| *n)
        .filter(|n| !differing.iter().any(|(differing, ..)| differing == n))
        .collect();
    assert!(
        healed.is_empty(),
        "no longer different, take out of APART: {healed:?}"
    );
    assert!(
        unknown.is_empty(),
        "{} differ:\n{}",
        unknown.len(),
        unknown
            .iter()
            .map(|(_, title, found)| format!("{title}\n  {}", found.join("\n  ")))
            .collect::<Vec<_>>()
            .join("\n")
    );
}
