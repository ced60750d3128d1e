//! Whether the decisions there are give what a plan needs. Pure, and the only place that says so. Assumes that each approval was
//! made by [`Approval::by_signature`] or verified again with [`Approval::reverify`].

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::decision::{Approval, CLOCK_SKEW, Decision, Method};
use super::policy::{PeopleNeeded, Requirement};
use super::principal::Principal;
use crate::plan::PlanHash;

/// What makes a plan approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Satisfaction {
    /// A rule of the policy.
    Policy {
        /// The rule's name.
        rule: String,
    },
    /// People: the places of their approvals in the list that was given.
    People {
        /// The places, in order; the store marks them used.
        approvals: Vec<usize>,
    },
}

/// How a plan stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may be applied.
    Satisfied {
        /// By what.
        by: Satisfaction,
    },
    /// It waits.
    Waiting {
        /// What is missing, a line each; never empty.
        missing: Vec<String>,
    },
    /// A person said no.
    Rejected {
        /// Who.
        by: Principal,
        /// Why.
        reason: String,
    },
    /// Nobody can approve it.
    Denied {
        /// Why.
        reason: String,
    },
}

/// How a plan stands, given what it needs and the decisions over it. A person's rejection of this plan ends it, whoever approved
/// before or after. Decisions over other plans, by anybody who is not a person, unsigned, expired or incomplete ones never count.
pub fn evaluate(requirement: &Requirement, approvals: &[Approval], now: Timestamp) -> Verdict {
    let plan = match requirement {
        Requirement::Denied { reason, .. } => {
            return Verdict::Denied {
                reason: reason.clone(),
            };
        }
        Requirement::Auto { plan, .. } => plan,
        Requirement::People(needed) => &needed.plan,
    };
    if let Some(no) = rejection(plan, approvals) {
        return Verdict::Rejected {
            by: no.principal.clone(),
            reason: no.reason.clone(),
        };
    }
    match requirement {
        Requirement::Denied { reason, .. } => Verdict::Denied {
            reason: reason.clone(),
        },
        Requirement::Auto { rule, .. } => Verdict::Satisfied {
            by: Satisfaction::Policy { rule: rule.clone() },
        },
        Requirement::People(needed) => count(needed, approvals, now),
    }
}

fn rejection<'a>(plan: &PlanHash, approvals: &'a [Approval]) -> Option<&'a Approval> {
    approvals
        .iter()
        .find(|a| a.decision == Decision::Reject && a.principal.is_person() && a.plan == *plan)
}

fn count(needed: &PeopleNeeded, approvals: &[Approval], now: Timestamp) -> Verdict {
    let mut counted = Vec::new();
    let mut people = BTreeSet::new();
    let mut keys = BTreeSet::new();
    let mut objections = Vec::new();
    for (place, approval) in approvals.iter().enumerate() {
        match needed.objection(approval, now) {
            Ok(fingerprint) => {
                counted.push(place);
                people.insert(&approval.principal);
                keys.insert(fingerprint);
            }
            Err(Some(objection)) => objections.push(objection),
            Err(None) => {}
        }
    }
    // One person with two keys is one person, and so is one key under two names.
    let have = people.len().min(keys.len());
    let want = usize::try_from(needed.approvals).unwrap_or(usize::MAX);
    if have >= want.max(1) {
        return Verdict::Satisfied {
            by: Satisfaction::People { approvals: counted },
        };
    }
    let mut missing = vec![needed.describe(want.max(1) - have, have > 0)];
    missing.extend(objections);
    Verdict::Waiting { missing }
}

impl PeopleNeeded {
    /// The key's fingerprint if the approval counts; else why it does not, or nothing if it is about something else.
    fn objection<'a>(
        &self,
        approval: &'a Approval,
        now: Timestamp,
    ) -> Result<&'a str, Option<String>> {
        let who = &approval.principal;
        if approval.plan != self.plan || approval.decision != Decision::Approve {
            return Err(None);
        }
        let no = |why: String| Err(Some(format!("the approval of {who} does not count: {why}")));
        if !who.is_person() {
            return no("only people can approve".to_owned());
        }
        let (Method::SshSignature { fingerprint }, Some(_)) =
            (&approval.method, &approval.signature)
        else {
            return no("it is not signed".to_owned());
        };
        if approval.at > now.saturating_add(CLOCK_SKEW).unwrap_or(now) {
            return no(format!("it says {}, which is still to come", approval.at));
        }
        let expires_at = approval
            .at
            .saturating_add(self.expires_after)
            .unwrap_or(approval.at)
            .min(approval.expires_at);
        if now >= expires_at {
            return no(format!(
                "it expired at {}",
                expires_at.strftime("%Y-%m-%d %H:%M:%SZ")
            ));
        }
        if self.excluded.as_ref() == Some(who) {
            return no("whoever submitted a plan cannot approve it here".to_owned());
        }
        if let Some((group, people)) = &self.group
            && !people.contains(who.name())
        {
            return no(format!("{} is not of the group {group}", who.name()));
        }
        for (wanted, given, what) in [
            (&self.impacts, &approval.acknowledged, "acknowledge"),
            (&self.unknowns, &approval.named_unknowns, "name"),
        ] {
            let left: Vec<&str> = wanted.difference(given).map(String::as_str).collect();
            if !left.is_empty() {
                return no(format!("it does not {what} {}", left.join(", ")));
            }
        }
        Ok(fingerprint)
    }

    /// What is still needed, in words.
    fn describe(&self, left: usize, more: bool) -> String {
        let people = match (left, more) {
            (1, false) => "one person must approve".to_owned(),
            (1, true) => "one more person must approve".to_owned(),
            (n, false) => format!("{n} different people must approve"),
            (n, true) => format!("{n} more people must approve"),
        };
        let mut words = people;
        if let Some((group, members)) = &self.group {
            let names: Vec<&str> = members.iter().map(String::as_str).collect();
            words.push_str(&format!(", of the group {group} ({})", names.join(", ")));
        }
        if let Some(submitter) = self.excluded.as_ref().filter(|who| who.is_person()) {
            words.push_str(&format!(", but not {} who submitted it", submitter.name()));
        }
        if !self.impacts.is_empty() {
            words.push_str(&format!(
                ", acknowledging every impact ({})",
                self.impacts.len()
            ));
        }
        if !self.unknowns.is_empty() {
            let unknowns: Vec<&str> = self.unknowns.iter().map(String::as_str).collect();
            words.push_str(&format!(
                ", naming what is unknown ({})",
                unknowns.join(", ")
            ));
        }
        if let Some(rule) = &self.rule {
            words.push_str(&format!(" (policy: {rule})"));
        }
        words
    }
}
