//! The operator's approval policy: which plans need whose approval. Pure; a policy is operator configuration and never a document
//! that a source could submit.
//!
//! Rules are read from the top and **the first that matches decides alone**; rules are not merged, so stricter rules stand above
//! laxer ones. What no rule can lower:
//!
//! * An `autoApprove` rule does not match a plan of risk `high` or `unknown`; such a plan goes on to the next rule.
//! * Nor one that takes an object over from another source.
//! * A plan's unknowns must each be named by every approver.
//! * Only people approve, and where two or more are asked for the submitter is not one of them unless the rule says so.
//!
//! When no rule matches, one person approves; at risk `high` or `unknown` one who acknowledges every impact.

mod check;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::facts::{ObjectKind, PlanFacts, Verb};
use super::principal::Principal;
use super::window::Window;
use crate::health::Category;
use crate::ids::ClusterName;
use crate::plan::{PlanHash, Risk};

/// How long an approval is good for when nothing else is said.
pub const DEFAULT_EXPIRY: SignedDuration = SignedDuration::from_mins(30);

/// What the names of sources begin with.
pub const SOURCE_KINDS: [&str; 5] = ["git:", "kubernetes:", "agent:", "operator:", "directory:"];

/// The names of a group's people; `person:` is not written.
pub type Groups = BTreeMap<String, BTreeSet<String>>;

/// A whole policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalPolicy {
    /// The rules, the most particular first.
    pub rules: Vec<Rule>,
    /// The groups that rules speak of.
    pub groups: Groups,
    /// How long an approval is good for.
    pub expires_after: SignedDuration,
}

impl Default for ApprovalPolicy {
    fn default() -> Self {
        Self {
            rules: vec![],
            groups: Groups::new(),
            expires_after: DEFAULT_EXPIRY,
        }
    }
}

/// One rule: which plans it is for, and what they need. Exactly one of `autoApprove`, `require` and `deny` is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// What the rule is called in plans, messages and the ledger.
    pub name: String,
    /// Which plans it is for; every condition that is written must hold. Nothing written: every plan.
    #[serde(rename = "match", default)]
    pub condition: Condition,
    /// The plan needs nobody. Never matches a plan of risk `high` or `unknown`, and takes only conditions that speak of the whole plan.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto_approve: bool,
    /// People must approve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require: Option<Require>,
    /// Nobody can approve; the reason is told to whoever submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deny: Option<String>,
}

/// Which plans a rule is for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    /// The plan's risk is one of these.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(with = "Vec<RiskWord>")]
    pub risk: BTreeSet<Risk>,
    /// The plan's risk is this one or worse (`none < low < medium < high < unknown`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<RiskWord>")]
    pub risk_at_least: Option<Risk>,
    /// The categories of its impacts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Among<String>>")]
    pub categories: Option<Among<Category>>,
    /// The kinds of objects it touches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Among<ObjectKind>>,
    /// What it does to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verbs: Option<Among<Verb>>,
    /// The labels of its documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// The sources of its documents, such as `git:infra`; a `*` at the end stands for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Among<String>>,
    /// The plan's cluster is one of these.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub clusters: BTreeSet<ClusterName>,
    /// It is asked within these hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// It is asked outside these hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside_window: Option<Window>,
}

/// How much a plan can hurt.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[allow(dead_code)] // only its schema is used: `plan` knows nothing of configuration schemas
enum RiskWord {
    None,
    Low,
    Medium,
    High,
    Unknown,
}

/// How the plan's words must stand to a rule's. Each list that is written must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    bound(deserialize = "T: Ord + Deserialize<'de>")
)]
pub struct Among<T: Ord> {
    /// The plan has at least one of these.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub any: BTreeSet<T>,
    /// The plan has none but these.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub only: BTreeSet<T>,
    /// The plan has none of these.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub none: BTreeSet<T>,
}

/// How the labels of the plan's documents must stand to a rule's. A document has a rule's labels if it has every one of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Labels {
    /// At least one document has these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub any: BTreeMap<String, String>,
    /// Every document has these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub only: BTreeMap<String, String>,
    /// No document has these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub none: BTreeMap<String, String>,
}

/// Whose approval is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Require {
    /// How many different people. 1 to 16, 1 when not written.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 16))]
    pub approvals: u32,
    /// The group they must be of; anybody among the allowed signers when not written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Each must acknowledge every impact. When not written: yes at risk `high` and `unknown`, no otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub see_impacts: Option<bool>,
    /// The submitter may not be one of them. When not written: yes if two or more are needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separation: Option<bool>,
}

fn one() -> u32 {
    1
}

/// A mistake in a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyMistake {
    /// Where, below the policy: `policy[2].require.group`, `groups.ops`.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// What a plan needs before it may be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// Nobody: a rule approves it.
    Auto {
        /// The plan.
        plan: PlanHash,
        /// The rule's name.
        rule: String,
    },
    /// People.
    People(PeopleNeeded),
    /// Nobody can approve it.
    Denied {
        /// The rule's name; `None` if the plan is blocked whatever the policy says.
        rule: Option<String>,
        /// Why.
        reason: String,
    },
}

/// Which people must say what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeopleNeeded {
    /// The plan they must approve.
    pub plan: PlanHash,
    /// The rule that asks for it; `None` if no rule matched.
    pub rule: Option<String>,
    /// How many different people.
    pub approvals: u32,
    /// The group's name and the names of its people, if they must be of one.
    pub group: Option<(String, BTreeSet<String>)>,
    /// Who may not be one of them.
    pub excluded: Option<Principal>,
    /// The impacts each of them must acknowledge.
    pub impacts: BTreeSet<String>,
    /// The unknowns each of them must name.
    pub unknowns: BTreeSet<String>,
    /// How long after it was given an approval is good.
    pub expires_after: SignedDuration,
}

impl ApprovalPolicy {
    /// The policy's version: `sha256:` and the SHA-256 of its canonical JSON (RFC 8785), groups and expiry included. Plans record it.
    pub fn version(&self) -> Result<String, serde_json::Error> {
        let value = serde_json::json!({
            "rules": self.rules,
            "groups": self.groups,
            "expiresAfterSeconds": self.expires_after.as_secs(),
        });
        let canonical = serde_json_canonicalizer::to_vec(&value)?;
        Ok(format!("sha256:{}", hex::encode(Sha256::digest(canonical))))
    }

    /// What a plan needs at this time.
    pub fn requirement(&self, facts: &PlanFacts, now: Timestamp) -> Requirement {
        if let Some(reason) = &facts.blocked {
            return Requirement::Denied {
                rule: None,
                reason: reason.clone(),
            };
        }
        let rule = self.rules.iter().find(|rule| rule.matches(facts, now));
        let Some(rule) = rule else {
            return self.people(None, &Require::default(), facts);
        };
        if let Some(reason) = &rule.deny {
            Requirement::Denied {
                rule: Some(rule.name.clone()),
                reason: reason.clone(),
            }
        } else if let Some(require) = &rule.require {
            self.people(Some(rule.name.clone()), require, facts)
        } else if rule.auto_approve && facts.may_auto_approve() {
            Requirement::Auto {
                plan: facts.hash.clone(),
                rule: rule.name.clone(),
            }
        } else {
            // A rule that says nothing is a mistake that `mistakes` names; until it is mended a person decides.
            self.people(Some(rule.name.clone()), &Require::default(), facts)
        }
    }

    fn people(&self, rule: Option<String>, require: &Require, facts: &PlanFacts) -> Requirement {
        let severe = facts.risk >= Risk::High;
        let group = require.group.as_ref().map(|name| {
            // A group that does not exist has nobody: nothing is approved by mistake.
            (
                name.clone(),
                self.groups.get(name).cloned().unwrap_or_default(),
            )
        });
        Requirement::People(PeopleNeeded {
            plan: facts.hash.clone(),
            rule,
            approvals: require.approvals.max(1),
            group,
            excluded: require
                .separation
                .unwrap_or(require.approvals >= 2)
                .then(|| facts.submitter.clone()),
            impacts: if require.see_impacts.unwrap_or(severe) {
                facts.impacts.clone()
            } else {
                BTreeSet::new()
            },
            unknowns: facts.unknowns.clone(),
            expires_after: self.expires_after,
        })
    }
}

impl Default for Require {
    fn default() -> Self {
        Self {
            approvals: 1,
            group: None,
            see_impacts: None,
            separation: None,
        }
    }
}

impl PlanFacts {
    /// Whether any policy could let the plan pass without a person.
    fn may_auto_approve(&self) -> bool {
        !self.by_person
            && !self.verbs.contains(&Verb::TakeOver)
            && self.risk < Risk::High
            && self.unknowns.is_empty()
            && !self.categories.contains(&Category::Unknown)
    }
}

impl Rule {
    /// Whether the rule is for this plan at this time.
    pub fn matches(&self, facts: &PlanFacts, now: Timestamp) -> bool {
        (!self.auto_approve || facts.may_auto_approve())
            && self.condition.holds(facts, now, self.deny.is_some())
    }
}

impl Condition {
    /// Whether every condition holds. A window that cannot be read (which [`ApprovalPolicy::mistakes`] names) counts as the
    /// stricter answer: it holds for a rule that denies and for no other.
    fn holds(&self, facts: &PlanFacts, now: Timestamp, denies: bool) -> bool {
        let Self {
            risk,
            risk_at_least,
            categories,
            kinds,
            verbs,
            labels,
            sources,
            clusters,
            window,
            outside_window,
        } = self;
        let inside = |window: &Window| window.contains(now);
        (risk.is_empty() || risk.contains(&facts.risk))
            && risk_at_least.is_none_or(|least| facts.risk >= least)
            && categories
                .as_ref()
                .is_none_or(|among| among.holds(&facts.categories))
            && kinds.as_ref().is_none_or(|among| among.holds(&facts.kinds))
            && verbs.as_ref().is_none_or(|among| among.holds(&facts.verbs))
            && labels
                .as_ref()
                .is_none_or(|labels| labels.hold(&facts.labels))
            && sources.as_ref().is_none_or(|among| {
                // A plan without a source (nobody's document) is not "only from" anywhere.
                (among.only.is_empty() || !facts.sources.is_empty())
                    && among.holds_by(&facts.sources, source_matches)
            })
            && (clusters.is_empty() || clusters.contains(&facts.cluster))
            && window
                .as_ref()
                .is_none_or(|window| inside(window).unwrap_or(denies))
            && outside_window
                .as_ref()
                .is_none_or(|window| inside(window).map_or(denies, |inside| !inside))
    }
}

fn source_matches(pattern: &String, source: &String) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => source.starts_with(prefix),
        None => pattern == source,
    }
}

impl<T: Ord> Among<T> {
    fn holds(&self, present: &BTreeSet<T>) -> bool {
        self.holds_by(present, |wanted, word| wanted == word)
    }

    fn holds_by(&self, present: &BTreeSet<T>, matches: impl Fn(&T, &T) -> bool) -> bool {
        let among = |list: &BTreeSet<T>, word: &T| list.iter().any(|wanted| matches(wanted, word));
        (self.any.is_empty() || present.iter().any(|word| among(&self.any, word)))
            && (self.only.is_empty() || present.iter().all(|word| among(&self.only, word)))
            && !present.iter().any(|word| among(&self.none, word))
    }
}

impl Labels {
    fn hold(&self, documents: &[BTreeMap<String, String>]) -> bool {
        let has = |document: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>| {
            wanted
                .iter()
                .all(|(key, value)| document.get(key) == Some(value))
        };
        (self.any.is_empty() || documents.iter().any(|document| has(document, &self.any)))
            && (self.only.is_empty()
                || (!documents.is_empty()
                    && documents.iter().all(|document| has(document, &self.only))))
            && (self.none.is_empty() || !documents.iter().any(|document| has(document, &self.none)))
    }
}

#[cfg(test)]
mod tests;
