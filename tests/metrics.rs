//! Metrics over a whole play: what happens is counted where it happens, what is kept is counted from the state file, and Prometheus's own
//! tool finds nothing to say about the text.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bailiwick::approval::key::load_signing_key;
use bailiwick::approval::signature::dated_message;
use bailiwick::approval::{Decision, Principal};
use bailiwick::configuration::load_configuration;
use bailiwick::metrics;
use bailiwick::plan::PlanHash;
use bailiwick::service::decide::HandedIn;
use bailiwick::service::{Environment, RunResult, Service, Submission, Text, Tuning};
use support::play::{Play, hash_of};

const MAIL: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: mail}\nspec: {vmid: 102, memory: {size: 6Gi}}\n";

/// The service on a play's folder, in this process, `late` seconds after now.
fn service(play: &Play, late: i64) -> Service {
    let configuration = load_configuration(&play.path("bailiwick.yaml")).unwrap();
    let late = jiff::SignedDuration::from_secs(late);
    let environment = Environment {
        variable: Arc::new(|_| None),
        clock: Arc::new(move || jiff::Timestamp::now() + late),
    };
    let tuning = Tuning {
        poll: Duration::from_millis(10),
        settle: Duration::from_millis(400),
        lock_patience: Duration::from_secs(5),
        ..Tuning::default()
    };
    play.block_on(Service::open(configuration, environment, tuning))
        .unwrap()
}

fn approve(play: &Play, service: &Service, hash: &str) {
    let at = jiff::Timestamp::from_second(service.now().as_second()).unwrap();
    let message = dated_message(&PlanHash(hash.to_owned()), Decision::Approve, at);
    let key = load_signing_key(&play.path("anna"), || None).unwrap();
    let given = HandedIn {
        armoured: key.sign(&message).unwrap(),
        signed_at: Some(at),
        reason: String::new(),
        impacts: ["all".to_owned()].into(),
        unknowns: [].into(),
        expected: None,
    };
    play.block_on(service.approve(hash, given)).unwrap();
}

/// Every sample by its name with its labels.
fn samples(play: &Play, service: &Service) -> BTreeMap<String, f64> {
    play.block_on(service.refresh_metrics()).unwrap();
    let text = service.metrics().render();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[track_caller]
fn sums(samples: &BTreeMap<String, f64>, name: &str) -> f64 {
    let of = |sample: &&String| sample.split('{').next() == Some(name);
    let found: Vec<f64> = samples
        .iter()
        .filter(|(sample, _)| of(sample))
        .map(|(_, value)| *value)
        .collect();
    assert!(!found.is_empty(), "no {name}");
    found.iter().sum()
}

#[test]
fn a_plan_from_waiting_to_applied() {
    let play = Play::new();
    play.document("mail", MAIL);
    let hash = hash_of(&play.apply());
    let service = service(&play, 600);
    let plan = |state: &str, risk: &str| {
        format!("bailiwick_plans{{cluster=\"lab\",state=\"{state}\",risk=\"{risk}\"}}")
    };
    let before = samples(&play, &service);
    let risk = metrics::RISKS
        .iter()
        .find(|risk| before[&plan("waiting", risk)] == 1.0)
        .unwrap();
    let since = format!(
        "bailiwick_plan_waiting_since_timestamp_seconds{{cluster=\"lab\",risk=\"{risk}\"}}"
    );
    assert!((jiff::Timestamp::now().as_second() as f64 - before[&since]).abs() < 60.0);
    assert_eq!(
        before["bailiwick_decisions_total{cluster=\"lab\",decision=\"approved\"}"],
        0.0
    );

    approve(&play, &service, &hash);
    let text = "can't lock file '/var/lock/qemu-server/lock-102.conf' - got timeout";
    play.fault(&format!(
        "status=500 {text};path=/nodes/*/qemu/102/config;method=POST;count=2"
    ));
    let report = play.block_on(service.run(&hash, &|_| {})).unwrap();
    assert!(matches!(report.result, RunResult::Ended(_)));

    let after = samples(&play, &service);
    assert_eq!(after[&plan("waiting", risk)], 0.0);
    assert_eq!(after[&plan("applied", risk)], 1.0);
    assert!(!after.contains_key(&since));
    for (name, value) in [
        (
            "bailiwick_decisions_total{cluster=\"lab\",decision=\"approved\"}",
            1.0,
        ),
        ("bailiwick_plan_wait_seconds_count{cluster=\"lab\"}", 1.0),
        (
            "bailiwick_plan_wait_seconds_bucket{cluster=\"lab\",le=\"300\"}",
            0.0,
        ),
        (
            "bailiwick_plan_wait_seconds_bucket{cluster=\"lab\",le=\"900\"}",
            1.0,
        ),
        ("bailiwick_runs_total{cluster=\"lab\",outcome=\"ok\"}", 1.0),
        (
            "bailiwick_runs_total{cluster=\"lab\",outcome=\"failed\"}",
            0.0,
        ),
        (
            "bailiwick_open_runs{cluster=\"lab\",state=\"running\"}",
            0.0,
        ),
        ("bailiwick_steps_total{cluster=\"lab\",outcome=\"ok\"}", 1.0),
        (
            "bailiwick_task_duration_seconds_count{cluster=\"lab\",type=\"qmconfig\"}",
            1.0,
        ),
        ("bailiwick_lock_wait_seconds_count{cluster=\"lab\"}", 1.0),
        (
            "bailiwick_api_requests_total{cluster=\"lab\",method=\"POST\",class=\"ok\"}",
            1.0,
        ),
        (
            "bailiwick_api_requests_total{cluster=\"lab\",method=\"POST\",class=\"lock_timeout\"}",
            2.0,
        ),
        (
            "bailiwick_api_request_duration_seconds_count{cluster=\"lab\",method=\"POST\"}",
            3.0,
        ),
    ] {
        assert_eq!(after.get(name), Some(&value), "{name}");
    }
    // As many requests as the cluster saw from this process; those of the program before it are not this process's.
    let seen = play
        .sim
        .log()
        .iter()
        .filter(|entry| entry.method == "POST")
        .count();
    assert_eq!(seen, 3);
    let head = play
        .block_on(service.store().ledger_head())
        .unwrap()
        .unwrap();
    assert_eq!(after["bailiwick_ledger_sequence"], head.seq as f64);
    let info = format!(
        "bailiwick_ledger_head_info{{sequence=\"{}\",head=\"{}\"}}",
        head.seq, head.mac
    );
    assert_eq!(after[&info], 1.0);
    assert_eq!(sums(&after, "bailiwick_ledger_head_info"), 1.0);
    // Nothing had a word that its label does not know.
    let other: Vec<&String> = after
        .keys()
        .filter(|name| name.contains("\"other\""))
        .collect();
    assert!(other.is_empty(), "{other:?}");
    promtool_finds_nothing(&service.metrics().render());
}

#[test]
fn what_other_processes_left_is_counted_from_the_state_file() {
    let play = Play::new();
    let service = service(&play, 0);
    play.document("mail", MAIL);
    let hash = hash_of(&play.apply());
    play.json(&["freeze", "--reason", "wait"]).ends(0);
    play.json(&["freeze", "--reason", "wait", "--cluster", "lab"])
        .ends(0);
    let seen = samples(&play, &service);
    assert_eq!(seen["bailiwick_freezes{scope=\"global\"}"], 1.0);
    assert_eq!(seen["bailiwick_freezes{scope=\"cluster\"}"], 1.0);
    assert_eq!(seen["bailiwick_freezes{scope=\"kind\"}"], 0.0);
    assert!(seen.contains_key("bailiwick_frozen_since_timestamp_seconds{scope=\"global\"}"));
    assert!(!seen.contains_key("bailiwick_frozen_since_timestamp_seconds{scope=\"kind\"}"));
    play.bailiwick(&["thaw", "--as", "person:anna"]).ends(0);
    let seen = samples(&play, &service);
    assert_eq!(seen["bailiwick_freezes{scope=\"global\"}"], 0.0);
    assert!(!seen.contains_key("bailiwick_frozen_since_timestamp_seconds{scope=\"global\"}"));

    let anna: Principal = "person:anna".parse().unwrap();
    play.block_on(service.reject(&hash, anna, "not now"))
        .unwrap();
    let seen = samples(&play, &service);
    assert_eq!(
        seen["bailiwick_decisions_total{cluster=\"lab\",decision=\"rejected\"}"],
        1.0
    );
    assert_eq!(
        seen["bailiwick_plan_wait_seconds_count{cluster=\"lab\"}"],
        1.0
    );
    assert_eq!(sums(&seen, "bailiwick_plans"), 1.0);
}

#[test]
fn what_the_policy_decides_and_what_is_overtaken() {
    let play = Play::with(support::play::Setup {
        approval: "  policy:\n  - {name: small, match: {risk: [none, low, medium], kinds: {only: [VirtualMachine]}}, autoApprove: true}\n".to_owned(),
        ..Default::default()
    });
    let service = service(&play, 0);
    let submission = Submission {
        documents: vec![Text {
            file: "mail.yaml".to_owned(),
            text: MAIL.to_owned(),
        }],
        source: None,
        prune: false,
        allow_deletions: None,
        submitter: "agent:demo".parse().unwrap(),
        cluster: None,
    };
    let planned = play.block_on(service.submit(submission)).unwrap();
    play.edit(102, "cores: 4", "cores: 2");
    play.block_on(service.run(&planned.plan.hash.0, &|_| {}))
        .unwrap();
    let seen = samples(&play, &service);
    let decided = |decision: &str| {
        seen[&format!("bailiwick_decisions_total{{cluster=\"lab\",decision=\"{decision}\"}}")]
    };
    // The plan made anew for the changed machine is approved by the policy too.
    assert_eq!(decided("approved_by_policy"), 2.0);
    assert_eq!(decided("superseded"), 1.0);
    assert_eq!(decided("approved"), 0.0);
}

#[test]
fn a_run_that_fails_and_one_that_nobody_knows_the_end_of() {
    let play = Play::new();
    play.document("mail", MAIL);
    let plan = hash_of(&play.apply());
    play.approve(&plan).ends(0);
    let again = play.again(500.0);
    let service_of = |play: &Play, fault: &str| {
        let service = service(play, 0);
        play.fault(fault);
        play.block_on(service.run(&plan, &|_| {})).unwrap();
        samples(play, &service)
    };
    let seen = service_of(
        &play,
        "status=500 no such thing;path=/nodes/*/qemu/102/config;method=POST",
    );
    assert_eq!(
        seen["bailiwick_runs_total{cluster=\"lab\",outcome=\"failed\"}"],
        1.0
    );
    assert_eq!(
        seen["bailiwick_steps_total{cluster=\"lab\",outcome=\"failed\"}"],
        1.0
    );
    assert_eq!(sums(&seen, "bailiwick_open_runs"), 0.0);
    let seen = service_of(
        &again,
        "drop=before;path=/nodes/*/qemu/102/config;method=POST;count=*",
    );
    assert_eq!(
        seen["bailiwick_runs_total{cluster=\"lab\",outcome=\"undetermined\"}"],
        1.0
    );
    assert_eq!(
        seen["bailiwick_open_runs{cluster=\"lab\",state=\"undetermined\"}"],
        1.0
    );
    assert_eq!(
        seen["bailiwick_api_requests_total{cluster=\"lab\",method=\"POST\",class=\"lost\"}"],
        1.0
    );
}

#[test]
fn a_verification_is_counted_and_so_is_that_it_failed() {
    let play = Play::new();
    play.leave_unchecked();
    let service = service(&play, 0);
    let seen = samples(&play, &service);
    assert!(!seen.contains_key("bailiwick_ledger_verification_success"));
    play.block_on(service.verify_ledger(None, None))
        .unwrap()
        .unwrap();
    assert_eq!(
        samples(&play, &service)["bailiwick_ledger_verification_success"],
        1.0
    );
    play.block_on(async {
        use sqlx::Connection;
        let options =
            sqlx::sqlite::SqliteConnectOptions::new().filename(play.path("state/bailiwick.db"));
        let mut connection = sqlx::SqliteConnection::connect_with(&options)
            .await
            .unwrap();
        for statement in [
            "DROP TRIGGER ledger_is_not_changed",
            "UPDATE ledger_records SET line = replace(line, 'system', 'sistem') WHERE seq = 1",
        ] {
            sqlx::query(statement)
                .execute(&mut connection)
                .await
                .unwrap();
        }
        connection.close().await.unwrap();
    });
    play.block_on(service.verify_ledger(None, None))
        .unwrap()
        .unwrap_err();
    let seen = samples(&play, &service);
    assert_eq!(seen["bailiwick_ledger_verification_success"], 0.0);
    assert!(seen["bailiwick_ledger_verified_timestamp_seconds"] > 1.7e9);
}

/// The words of classes and task types stand in two places that cannot import each other: nothing is counted as `other` for that.
#[test]
fn the_words_of_calls_and_tasks_are_known() {
    let source = |file: &str| {
        std::fs::read_to_string(format!("{}/src/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    let label = regex::Regex::new(r#"(?m)^\s*Self::\w+(?: \{ \.\. \})? => "([a-z_]+)",$"#).unwrap();
    for file in ["proxmox/errors.rs", "proxmox/call.rs"] {
        let text = source(file);
        let text = &text[text.find("fn label(&self)").unwrap()..];
        let mut seen = 0;
        for found in label.captures_iter(text) {
            seen += 1;
            assert!(
                metrics::CLASSES.contains(&&found[1]),
                "{file}: {}",
                &found[1]
            );
        }
        assert!(seen >= 6, "{file}");
    }
    let task = regex::Regex::new(r#""((?:qm|vz|ha)[a-z]+|imgdel|resize|move_volume)""#).unwrap();
    for found in task.captures_iter(&source("world/requests.rs")) {
        assert!(metrics::TASK_TYPES.contains(&&found[1]), "{}", &found[1]);
    }
}

/// Asks Prometheus's own tool whether the text is good and follows the conventions.
fn promtool_finds_nothing(text: &str) {
    let spawned = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        eprintln!("skipped: there is no promtool here");
        return;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let said = child.wait_with_output().unwrap();
    let all = [said.stdout, said.stderr].concat();
    assert!(
        said.status.success() && all.is_empty(),
        "{}",
        String::from_utf8_lossy(&all)
    );
}
