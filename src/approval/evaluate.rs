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

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;
    use crate::approval::principal::PrincipalKind;

    const PLAN: &str = "sha256:5a";

    fn now() -> Timestamp {
        "2026-11-22T17:00:00Z".parse().unwrap()
    }

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn approval(who: &str, key: &str) -> Approval {
        Approval {
            plan: PlanHash(PLAN.into()),
            principal: who.parse().unwrap(),
            decision: Decision::Approve,
            method: Method::SshSignature {
                fingerprint: key.into(),
            },
            reason: String::new(),
            at: now(),
            expires_at: now() + SignedDuration::from_mins(30),
            acknowledged: set(&["I1", "I2"]),
            named_unknowns: set(&["U1"]),
            signature: Some("…".into()),
            signed_at: None,
        }
    }

    fn needed(approvals: u32) -> PeopleNeeded {
        PeopleNeeded {
            plan: PlanHash(PLAN.into()),
            rule: Some("severe".into()),
            approvals,
            group: Some(("ops".into(), set(&["alice", "bob", "carol"]))),
            excluded: Some("person:carol".parse().unwrap()),
            impacts: set(&["I1", "I2"]),
            unknowns: set(&["U1"]),
            expires_after: SignedDuration::from_mins(30),
        }
    }

    fn verdict(needed: PeopleNeeded, approvals: &[Approval]) -> Verdict {
        evaluate(&Requirement::People(needed), approvals, now())
    }

    fn missing(needed: PeopleNeeded, approvals: &[Approval]) -> String {
        match verdict(needed, approvals) {
            Verdict::Waiting { missing } => missing.join("\n"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn two_different_people_satisfy() {
        let both = [approval("person:alice", "A"), approval("person:bob", "B")];
        assert_eq!(
            verdict(needed(2), &both),
            Verdict::Satisfied {
                by: Satisfaction::People {
                    approvals: vec![0, 1]
                }
            }
        );
        assert!(matches!(
            verdict(needed(2), &both[..1]),
            Verdict::Waiting { .. }
        ));
    }

    #[test]
    fn one_person_is_one_person() {
        let twice = [
            approval("person:alice", "A"),
            approval("person:alice", "A2"),
        ];
        assert!(missing(needed(2), &twice).contains("one more person"));
        let one_key = [approval("person:alice", "A"), approval("person:bob", "A")];
        assert!(missing(needed(2), &one_key).contains("one more person"));
    }

    #[test]
    fn what_is_missing_is_said() {
        let mut expired = approval("person:alice", "A");
        expired.at = now() - SignedDuration::from_mins(31);
        expired.expires_at = expired.at + SignedDuration::from_mins(30);
        let mut blind = approval("person:bob", "B");
        blind.acknowledged = set(&["I1"]);
        let mut silent = approval("person:bob", "B");
        silent.named_unknowns.clear();
        let mut early = approval("person:bob", "B");
        early.at = now() + SignedDuration::from_mins(5);
        let mut unsigned = approval("person:bob", "B");
        unsigned.method = Method::Unsigned;
        let all = [
            expired,
            blind,
            silent,
            early,
            unsigned,
            approval("person:carol", "C"),
            approval("person:dave", "D"),
            approval("agent:claude", "E"),
        ];
        insta::assert_snapshot!(missing(needed(2), &all), @r"
        2 different people must approve, of the group ops (alice, bob, carol), but not carol who submitted it, acknowledging every impact (2), naming what is unknown (U1) (policy: severe)
        the approval of person:alice does not count: it expired at 2026-11-22 16:59:00Z
        the approval of person:bob does not count: it does not acknowledge I2
        the approval of person:bob does not count: it does not name U1
        the approval of person:bob does not count: it says 2026-11-22T17:05:00Z, which is still to come
        the approval of person:bob does not count: it is not signed
        the approval of person:carol does not count: whoever submitted a plan cannot approve it here
        the approval of person:dave does not count: dave is not of the group ops
        the approval of agent:claude does not count: only people can approve
        ");
    }

    #[test]
    fn an_approval_ends_at_its_second() {
        let given = approval("person:alice", "A");
        let at = |minutes, seconds| {
            let time =
                now() + SignedDuration::from_mins(minutes) + SignedDuration::from_secs(seconds);
            evaluate(
                &Requirement::People(needed(1)),
                std::slice::from_ref(&given),
                time,
            )
        };
        assert!(matches!(at(29, 59), Verdict::Satisfied { .. }));
        assert!(matches!(at(30, 0), Verdict::Waiting { .. }));
        // A policy made stricter since counts for approvals that were given before.
        let stricter = PeopleNeeded {
            expires_after: SignedDuration::from_mins(5),
            ..needed(1)
        };
        let later = now() + SignedDuration::from_mins(6);
        let verdict = evaluate(&Requirement::People(stricter), &[given], later);
        assert!(matches!(verdict, Verdict::Waiting { .. }));
    }

    #[test]
    fn a_rejection_ends_it() {
        let no = Approval::rejection(
            &PlanHash(PLAN.into()),
            "person:bob".parse().unwrap(),
            "not today",
            now(),
        )
        .unwrap();
        let given = [approval("person:alice", "A"), no.clone()];
        assert!(
            matches!(verdict(needed(1), &given), Verdict::Rejected { reason, .. } if reason == "not today")
        );
        let auto = Requirement::Auto {
            plan: PlanHash(PLAN.into()),
            rule: "dev".into(),
        };
        assert!(matches!(
            evaluate(&auto, std::slice::from_ref(&no), now()),
            Verdict::Rejected { .. }
        ));
        assert!(matches!(
            evaluate(&auto, &[], now()),
            Verdict::Satisfied {
                by: Satisfaction::Policy { .. }
            }
        ));
        let mut of_another = no;
        of_another.plan = PlanHash("sha256:other".into());
        assert!(matches!(
            evaluate(&auto, &[of_another], now()),
            Verdict::Satisfied { .. }
        ));
        let agent = "agent:claude".parse().unwrap();
        assert!(Approval::rejection(&PlanHash(PLAN.into()), agent, "no", now()).is_err());
    }

    #[test]
    fn denied_stays_denied() {
        let denied = Requirement::Denied {
            rule: None,
            reason: "the fuse tripped".into(),
        };
        let verdict = evaluate(&denied, &[approval("person:alice", "A")], now());
        assert!(matches!(verdict, Verdict::Denied { reason } if reason == "the fuse tripped"));
    }

    prop_compose! {
        /// Any approval or rejection, of anybody, over this plan or another, fresh or old, whole or not.
        fn any_decision()(
            kind in prop::sample::select(vec![PrincipalKind::Agent, PrincipalKind::Person, PrincipalKind::System]),
            name in prop::sample::select(vec!["alice", "bob", "carol", "dave"]),
            key in prop::sample::select(vec!["A", "B", "C"]),
            plan in prop::sample::select(vec![PLAN, PLAN, "sha256:other"]),
            approve in prop::bool::weighted(0.9),
            method in 0..5u8,
            age in -10i64..50,
            acknowledged in prop::sample::select(vec![&["I1", "I2"][..], &["I1", "I2", "I3"], &["I2"], &[]]),
            unknowns in prop::sample::select(vec![&["U1"][..], &["U1", "U2"], &[]]),
        ) -> Approval {
            let at = now() - SignedDuration::from_mins(age);
            Approval {
                plan: PlanHash(plan.into()),
                principal: Principal::new(kind, name).unwrap(),
                decision: if approve { Decision::Approve } else { Decision::Reject },
                method: match method {
                    0 => Method::Unsigned,
                    1 => Method::Policy,
                    _ => Method::SshSignature { fingerprint: key.into() },
                },
                at,
                expires_at: at + SignedDuration::from_mins(30),
                acknowledged: set(acknowledged),
                named_unknowns: set(unknowns),
                ..approval("person:alice", key)
            }
        }
    }

    /// Said a second time and otherwise: why this one alone could never help.
    fn worthless(a: &Approval) -> bool {
        let age = now().duration_since(a.at).as_mins();
        !a.principal.is_person()
            || a.principal.name() == "carol"
            || a.principal.name() == "dave"
            || a.plan.0 != PLAN
            || a.decision == Decision::Reject
            || !matches!(a.method, Method::SshSignature { .. })
            || !(-2..30).contains(&age)
            || !a.acknowledged.contains("I1")
            || !a.named_unknowns.contains("U1")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn worthless_decisions_never_satisfy(decisions in prop::collection::vec(any_decision().prop_filter("worthless", worthless), 0..12), wanted in 0u32..3) {
            let satisfied = matches!(verdict(needed(wanted), &decisions), Verdict::Satisfied { .. });
            prop_assert!(!satisfied);
        }

        #[test]
        fn satisfied_means_enough_different_people(decisions in prop::collection::vec(any_decision(), 0..12), wanted in 1u32..3) {
            let good: BTreeSet<&Principal> = decisions.iter().filter(|a| !worthless(a)).map(|a| &a.principal).collect();
            if let Verdict::Satisfied { by: Satisfaction::People { approvals } } = verdict(needed(wanted), &decisions) {
                prop_assert!(good.len() >= wanted as usize);
                prop_assert!(approvals.iter().all(|&place| !worthless(&decisions[place])));
            }
        }

        #[test]
        fn another_approval_never_takes_one_away(
            decisions in prop::collection::vec(any_decision(), 0..8),
            more in any_decision(),
            place in 0usize..9,
            wanted in 1u32..3,
        ) {
            let before = verdict(needed(wanted), &decisions);
            let mut with = decisions;
            with.insert(place.min(with.len()), more.clone());
            let after = verdict(needed(wanted), &with);
            if matches!(before, Verdict::Satisfied { .. }) && more.decision == Decision::Approve {
                let satisfied = matches!(after, Verdict::Satisfied { .. });
                prop_assert!(satisfied);
            }
            if matches!(before, Verdict::Rejected { .. }) {
                let rejected = matches!(after, Verdict::Rejected { .. });
                prop_assert!(rejected);
            }
        }
    }
}
