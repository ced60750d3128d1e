//! Who can open what: one sender, one target, one port, with the rule that decides; now, or after a plan.

use serde::Serialize;

use super::error::ServiceError;
use super::open::Service;
use crate::health::reach::{Compiled, Outcome, Part, Who, target};
use crate::health::{Moment, reach_model};
use crate::plan::words::clean;
use crate::world::World;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// Who starts: an address, a network, `vm/104`, `ct/301`, `node/pve1`, or `any`.
    pub source: String,
    /// Who and what is meant: `vm/104:22`, `node/pve1:8006`, `ct/301:53/udp`, `vm/104:ping`.
    pub target: String,
    /// The cluster, where the configuration has several; a plan has its own.
    pub cluster: Option<String>,
    /// A plan's hash or the beginning of it: then it is asked how it will be when all its steps are done.
    pub after: Option<String>,
}

/// Whether it can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// By everybody that was asked about.
    Yes,
    /// By some of them.
    Partly,
    /// By nobody.
    No,
    /// What decides could not be read, or is not known.
    Unknown,
}

/// A part of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// `accept`, `drop`, `reject` or `unknown`.
    pub outcome: &'static str,
    /// For whom, in a sentence.
    pub sentence: String,
    /// The rule that decides, for an attempt of these.
    pub because: String,
}

/// Whether something can be opened, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// Whether.
    pub verdict: Verdict,
    /// For whom it is so, each with what decides.
    pub parts: Vec<Told>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reach {
    /// The cluster.
    pub cluster: String,
    /// Who starts.
    pub source: String,
    /// What is meant.
    pub target: String,
    /// How it is now.
    pub now: Judged,
    /// The plan that was asked about, and how it will be after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<After>,
}

/// How it will be after a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct After {
    /// The plan's hash.
    pub plan: String,
    /// How it will be.
    #[serde(flatten)]
    pub judged: Judged,
}

impl Reach {
    /// The verdict that was asked for: after the plan, where there is one.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let after = self.after.as_ref().map(|after| &after.judged);
        after.unwrap_or(&self.now).verdict
    }
}

impl Service {
    /// Says whether firewalls let a sender open a port of a target, and which rule decides, by what is in force. Changes nothing.
    ///
    /// # Errors
    /// The sender, the target or the plan does not exist, or the cluster could not be observed. That what decides was not read is no
    /// error but [`Verdict::Unknown`].
    pub async fn reach(&self, question: &Question) -> Result<Reach, ServiceError> {
        let plan = match &question.after {
            Some(prefix) => Some(self.plan(prefix).await?),
            None => None,
        };
        let cluster = match &plan {
            Some((stored, ..)) => self.cluster(Some(stored.head.cluster.as_str()))?,
            None => self.cluster(question.cluster.as_deref())?,
        };
        let world = self.look(cluster).await?;
        let mut reach = Reach {
            cluster: cluster.name.to_string(),
            source: question.source.clone(),
            target: question.target.clone(),
            now: judge(&world, question)?,
            after: None,
        };
        if let Some((_, plan, _)) = plan {
            let mut judged = None;
            let mut end = World::clone(&world);
            for step in &plan.steps {
                match end.apply(&step.action) {
                    Ok(after) => end = after,
                    Err(error) => {
                        let why = format!("what step {} does cannot be told: {error}", step.id);
                        judged = Some(Judged::unknown(&why));
                        break;
                    }
                }
            }
            reach.after = Some(After {
                plan: plan.hash.to_string(),
                judged: match judged {
                    Some(judged) => judged,
                    None => judge(&end, question)?,
                },
            });
        }
        Ok(reach)
    }
}

fn judge(world: &World, question: &Question) -> Result<Judged, ServiceError> {
    let request = |why: String| ServiceError::Request(clean(&why));
    let from = Who::parse(&question.source).map_err(request)?;
    let (to, service) = target(&question.target).map_err(request)?;
    let compiled = match reach_model(world, Moment::Now) {
        Ok(model) => Compiled::new(&model),
        Err(why) => return Ok(Judged::unknown(&why)),
    };
    let parts = compiled.ask(&from, &to, service);
    let parts = parts.map_err(|why| ServiceError::NotFound(clean(&why)))?;
    Ok(Judged::of(&compiled, &parts))
}

impl Judged {
    fn unknown(why: &str) -> Self {
        Self {
            verdict: Verdict::Unknown,
            parts: vec![Told {
                outcome: word(Outcome::Unknown),
                sentence: "nobody can tell".to_owned(),
                because: clean(why),
            }],
        }
    }

    fn of(compiled: &Compiled, parts: &[Part]) -> Self {
        let any = |outcome: Outcome| parts.iter().any(|part| part.outcome == outcome);
        let open = any(Outcome::Accept);
        let shut = any(Outcome::Drop) || any(Outcome::Reject);
        let verdict = match (any(Outcome::Unknown), open, shut) {
            (true, ..) => Verdict::Unknown,
            (false, true, true) => Verdict::Partly,
            (false, true, false) => Verdict::Yes,
            (false, false, true) => Verdict::No,
            // Nothing was asked about: a sender and a target of different versions of IP.
            (false, false, false) => Verdict::No,
        };
        let told = parts.iter().map(|part| Told {
            outcome: word(part.outcome),
            sentence: clean(&part.sentence(compiled)),
            because: clean(&part.reason()),
        });
        Self {
            verdict,
            parts: told.collect(),
        }
    }
}

const fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Accept => "accept",
        Outcome::Drop => "drop",
        Outcome::Reject => "reject",
        Outcome::Unknown => "unknown",
    }
}
