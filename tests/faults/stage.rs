//! A play whose controller is the library in this process: submitting, approving, running and verifying without a program started.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bailiwick::apply::RunEnd;
use bailiwick::apply::step::NotBegun;
use bailiwick::approval::key::load_signing_key;
use bailiwick::approval::signature::dated_message;
use bailiwick::approval::{Decision, Principal};
use bailiwick::configuration::load_configuration;
use bailiwick::plan::{Plan, PlanHash};
use bailiwick::service::decide::HandedIn;
use bailiwick::service::{Environment, RunResult, Service, Submission, Text, Tuning};
use jiff::Timestamp;

use crate::columns::Word;
use crate::support::contract;
use crate::support::play::Play;

/// For how long a lock held by somebody else is waited for.
const LOCK_PATIENCE: Duration = Duration::from_millis(1500);

/// A service over a play's folder.
pub async fn service(play: &Play) -> Service {
    let configuration = load_configuration(&play.path("bailiwick.yaml")).unwrap();
    let environment = Environment {
        variable: Arc::new(|_| None),
        clock: Arc::new(Timestamp::now),
    };
    let tuning = Tuning {
        poll: Duration::from_millis(10),
        settle: Duration::from_millis(1000),
        lock_patience: LOCK_PATIENCE,
        trial_wait: Duration::from_millis(20),
        trial_patience: Duration::from_millis(200),
    };
    Service::open(configuration, environment, tuning)
        .await
        .unwrap()
}

/// Submits documents, pruning.
pub async fn submit(service: &Service, documents: &[String]) -> Result<Plan, String> {
    let named = documents.iter().enumerate();
    let documents = named
        .map(|(number, text)| Text {
            file: format!("{number}.yaml"),
            text: text.clone(),
        })
        .collect();
    let submission = Submission {
        documents,
        source: None,
        prune: true,
        allow_deletions: None,
        submitter: "agent:demo".parse::<Principal>().unwrap(),
        cluster: None,
    };
    let planned = service.submit(submission).await;
    planned
        .map(|planned| planned.plan)
        .map_err(|error| error.to_string())
}

/// Approves a plan as anna, every impact seen and every unknown named.
pub async fn approve(play: &Play, service: &Service, plan: &Plan) -> Result<(), String> {
    let key = load_signing_key(&play.path("anna"), || None).unwrap();
    let at = Timestamp::from_second(service.now().as_second()).unwrap();
    let message = dated_message(&plan.hash, Decision::Approve, at);
    let given = HandedIn {
        armoured: key.sign(&message).unwrap(),
        signed_at: Some(at),
        reason: String::new(),
        impacts: ["all".to_owned()].into(),
        unknowns: plan.unknowns.iter().map(|u| u.id.clone()).collect(),
        expected: None,
    };
    let decided = service.approve(&plan.hash.0, given).await;
    decided.map(|_| ()).map_err(|error| error.to_string())
}

/// Runs a plan: how it ended, and why.
pub async fn run(service: &Service, plan: &PlanHash) -> Result<(Word, String), String> {
    let report = service.run(&plan.0, &|_| {}).await;
    let report = report.map_err(|error| bailiwick::service::error::with_causes(&error))?;
    Ok(match report.result {
        RunResult::Superseded(planned) => (Word::Superseded, planned.plan.hash.to_string()),
        RunResult::Ended(RunEnd::Done) => (Word::Ok, String::new()),
        RunResult::Ended(RunEnd::Failed { why, .. }) => (Word::Failed, why),
        RunResult::Ended(RunEnd::Undetermined { why, .. }) => (Word::Undetermined, why),
        RunResult::Ended(RunEnd::Stopped { why, .. }) => match why {
            NotBegun::Stale(why) => (Word::Failed, why),
            NotBegun::Frozen(why) | NotBegun::Unreadable(why) => (Word::Stopped, why),
        },
    })
}

/// What is wrong with the ledger, with the steps in it, or with what was sent; nothing, if all is well.
pub async fn complaints(play: &Play, service: &Service) -> Vec<String> {
    let mut complaints = Vec::new();
    match service.verify_ledger(None, None).await {
        Ok(Ok(_)) => {}
        Ok(Err(tampering)) => complaints.push(format!("the ledger: {tampering}")),
        Err(error) => complaints.push(format!("the ledger: {error}")),
    }
    let mut exported = Vec::new();
    service.export_ledger(&mut exported).await.unwrap();
    let mut open: BTreeMap<String, String> = BTreeMap::new();
    for line in String::from_utf8(exported).unwrap().lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let step = || {
            let detail = &record["detail"];
            format!("run {} step {}", detail["run"], detail["step"])
        };
        match record["action"].as_str().unwrap() {
            "step-intent" => {
                if let Some(before) = open.insert(step(), "intended".to_owned()) {
                    complaints.push(format!("{} was {before} and intended again", step()));
                }
            }
            "step-outcome" => match record["detail"]["outcome"].as_str().unwrap() {
                "undetermined" => {
                    open.insert(step(), "undetermined".to_owned());
                }
                _ => {
                    if open.remove(&step()).is_none() {
                        complaints.push(format!("{} ended without being intended", step()));
                    }
                }
            },
            _ => {}
        }
    }
    complaints.extend(
        open.iter()
            .map(|(step, word)| format!("{step} is left {word}")),
    );
    for entry in play.writes() {
        complaints.extend(contract::complaints(
            &entry.method,
            &entry.path,
            &entry.params,
        ));
    }
    complaints
}
