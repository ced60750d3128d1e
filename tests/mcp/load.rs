//! Fifty agents that submit at once: nothing is lost, nothing is doubled. A few seconds, or 30 with BAILIWICK_LONG.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bailiwick::ids::ClusterName;
use bailiwick::store::PlanFilter;
use serde_json::{Value, json};

use crate::support::agents::{Agent, Desk};

const AGENTS: usize = 50;

fn document(agent: usize, n: usize) -> String {
    format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: Pool\nmetadata: {{name: pool-{agent}-{n}}}\nspec: {{comment: \"of agent {agent}\"}}\n"
    )
}

/// Submits as a patient agent does: on a slow machine the state file is busy at times, and then it is to try again.
async fn planned(agent: &Agent, arguments: &Value) -> Value {
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        let answer = agent.call("submit", arguments.clone()).await;
        let busy = match &answer {
            Ok(answer) => answer["why"]
                .as_str()
                .is_some_and(|why| why.contains("busy")),
            Err(error) => error["code"] == "busy",
        };
        if !busy || Instant::now() > until {
            return answer.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn fifty_agents_lose_and_double_nothing() {
    let desk = Desk::new();
    let agents: Vec<_> = (0..AGENTS)
        .map(|n| desk.agent(&format!("agent-{n}")))
        .collect();
    let length = if std::env::var_os("BAILIWICK_LONG").is_some() {
        Duration::from_secs(30)
    } else {
        Duration::from_secs(3)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    // As when the loop runs: the world is kept, and nobody observes for a submission.
    desk.keep();
    let until = Instant::now() + length;
    let handed_in: BTreeMap<(usize, usize), String> = runtime.block_on(async {
        let mut tasks = Vec::new();
        for (index, agent) in agents.iter().cloned().enumerate() {
            tasks.push(tokio::spawn(async move {
                let mut done = Vec::new();
                let mut n = 0;
                while Instant::now() < until || n == 0 {
                    // Each document twice, as after an answer that was lost.
                    for _ in 0..2 {
                        let arguments = json!({ "documents": document(index, n) });
                        let answer = planned(&agent, &arguments).await;
                        assert_eq!(answer["outcome"], "planned", "{answer}");
                        let plan = answer["plan"]["plan"].as_str().unwrap().to_owned();
                        done.push(((index, n), plan));
                    }
                    n += 1;
                }
                done
            }));
        }
        let mut all = BTreeMap::new();
        for task in tasks {
            for (key, plan) in task.await.unwrap() {
                let known = all.insert(key, plan.clone());
                assert!(
                    known.is_none_or(|known| known == plan),
                    "{key:?} has two plans"
                );
            }
        }
        all
    });
    let plans: BTreeSet<&String> = handed_in.values().collect();
    assert_eq!(plans.len(), handed_in.len(), "two documents share a plan");
    let store = desk.service.store();
    desk.play.block_on(async {
        let filter = PlanFilter {
            cluster: Some(ClusterName::new("lab").unwrap()),
            ..PlanFilter::default()
        };
        assert_eq!(
            store.count_plans(&filter).await.unwrap(),
            handed_in.len() as u64
        );
        assert!(store.pending_submissions(10).await.unwrap().is_empty());
    });
    let ledger = desk.play.ledger();
    let of = |action: &str| {
        let found: Vec<String> = ledger
            .iter()
            .filter(|record| record["action"] == action)
            .map(|record| record["plan"].as_str().unwrap().to_owned())
            .collect();
        let once: BTreeSet<&String> = found.iter().collect();
        assert_eq!(once.len(), found.len(), "{action} twice for one plan");
        found.len()
    };
    assert_eq!(of("plan-created"), handed_in.len());
    assert_eq!(of("document-submitted"), handed_in.len());
    eprintln!(
        "{} submissions of {AGENTS} agents in {length:?}, each handed in twice",
        handed_in.len()
    );
    assert!(desk.play.writes().is_empty());
}
