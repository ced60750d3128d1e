//! What is wrong with a policy, all of it at once. A policy with mistakes is never used.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::{
    Among, ApprovalPolicy, Condition, Groups, Labels, PolicyMistake, Require, Rule, SOURCE_KINDS,
};
use crate::approval::principal::Principal;
use crate::ids::ClusterName;
use crate::plan::Risk;

/// The least and the greatest time an approval may be good for.
const EXPIRY: (SignedDuration, SignedDuration) =
    (SignedDuration::from_mins(1), SignedDuration::from_hours(24));

/// Collects mistakes below a path.
struct Mistakes(Vec<PolicyMistake>);

impl Mistakes {
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(PolicyMistake {
            path: path.into(),
            message: message.into(),
        });
    }
}

impl ApprovalPolicy {
    /// Every mistake, with its path below the configuration's `approval`. `clusters` are the clusters there are.
    pub fn mistakes(&self, clusters: &BTreeSet<ClusterName>) -> Vec<PolicyMistake> {
        let mut found = Mistakes(vec![]);
        if self.expires_after < EXPIRY.0 || self.expires_after > EXPIRY.1 {
            found.add(
                "expiresAfter",
                "an approval is good for at least a minute and at most a day: write such as `30m`",
            );
        }
        check_groups(&self.groups, &mut found);
        let mut names = BTreeSet::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let path = format!("policy[{index}]");
            if rule.name.trim().is_empty() || rule.name.chars().any(char::is_control) {
                found.add(
                    format!("{path}.name"),
                    "a rule needs a name of one line: plans and the ledger say which rule decided",
                );
            } else if !names.insert(&rule.name) {
                found.add(
                    format!("{path}.name"),
                    format!(
                        "another rule is called `{}` already: give each its own name",
                        rule.name
                    ),
                );
            }
            check_outcome(rule, &path, &mut found);
            if let Some(require) = &rule.require {
                check_require(
                    require,
                    &self.groups,
                    &format!("{path}.require"),
                    &mut found,
                );
            }
            check_condition(
                &rule.condition,
                clusters,
                &format!("{path}.match"),
                &mut found,
            );
        }
        found.0
    }
}

fn check_groups(groups: &Groups, found: &mut Mistakes) {
    for (name, people) in groups {
        if people.is_empty() {
            found.add(
                format!("groups.{name}"),
                "the group has nobody: name its people, or remove it",
            );
        }
        for person in people {
            if let Err(error) = Principal::person(person) {
                let hint = if person.contains(':') {
                    "; only people can be of a group, and they are written without `person:`"
                } else {
                    ""
                };
                found.add(format!("groups.{name}"), format!("{error}{hint}"));
            }
        }
    }
}

fn check_outcome(rule: &Rule, path: &str, found: &mut Mistakes) {
    let Rule {
        name: _,
        condition,
        auto_approve,
        require,
        deny,
    } = rule;
    let outcomes =
        usize::from(*auto_approve) + usize::from(require.is_some()) + usize::from(deny.is_some());
    if outcomes != 1 {
        found.add(
            path,
            format!("a rule says exactly one of `autoApprove: true`, `require` and `deny`; this one says {outcomes}"),
        );
    }
    if deny.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
        found.add(
            format!("{path}.deny"),
            "say why: the reason is all that whoever submits such a plan will read",
        );
    }
    if *auto_approve {
        check_auto_approve(condition, path, found);
    }
}

/// An `autoApprove` rule speaks of the whole plan: `any` would let one harmless part carry the rest.
fn check_auto_approve(condition: &Condition, path: &str, found: &mut Mistakes) {
    let Condition {
        risk,
        risk_at_least,
        categories,
        kinds,
        verbs,
        labels,
        sources,
        clusters: _,
        window: _,
        outside_window: _,
    } = condition;
    let uses_any = [
        (
            "categories",
            categories.as_ref().is_some_and(|c| !c.any.is_empty()),
        ),
        ("kinds", kinds.as_ref().is_some_and(|k| !k.any.is_empty())),
        ("verbs", verbs.as_ref().is_some_and(|v| !v.any.is_empty())),
        ("labels", labels.as_ref().is_some_and(|l| !l.any.is_empty())),
        (
            "sources",
            sources.as_ref().is_some_and(|s| !s.any.is_empty()),
        ),
    ];
    for (field, used) in uses_any {
        if used {
            found.add(
                format!("{path}.match.{field}.any"),
                "with `autoApprove` one part of a plan that matches would let every other part pass: write `only` or `none`",
            );
        }
    }
    let severe = |risk: &Risk| *risk >= Risk::High;
    if risk.iter().any(severe) || risk_at_least.as_ref().is_some_and(severe) {
        found.add(
            format!("{path}.match"),
            "plans of risk `high` and `unknown` are never approved without a person: match `risk: [none, low]` or the like",
        );
    }
}

fn check_require(require: &Require, groups: &Groups, path: &str, found: &mut Mistakes) {
    let Require {
        approvals,
        group,
        see_impacts: _,
        separation: _,
    } = require;
    if !(1..=16).contains(approvals) {
        found.add(
            format!("{path}.approvals"),
            "expected a number of people from 1 to 16",
        );
    }
    let Some(group) = group else { return };
    match groups.get(group) {
        None => {
            let near = groups
                .keys()
                .filter(|name| strsim::damerau_levenshtein(name, group) <= 2)
                .map(|name| format!("; is `{name}` meant?"))
                .next()
                .unwrap_or_default();
            found.add(
                format!("{path}.group"),
                format!("there is no group `{group}` under `groups`{near}"),
            );
        }
        Some(people) if people.len() < usize::try_from(*approvals).unwrap_or(usize::MAX) => found
            .add(
                format!("{path}.approvals"),
                format!(
                    "the group `{group}` has {} people, so {approvals} can never approve",
                    people.len()
                ),
            ),
        Some(_) => {}
    }
}

fn check_condition(
    condition: &Condition,
    clusters: &BTreeSet<ClusterName>,
    path: &str,
    found: &mut Mistakes,
) {
    if !condition.risk.is_empty() && condition.risk_at_least.is_some() {
        found.add(path, "write either `risk` or `riskAtLeast`, not both");
    }
    for name in condition.clusters.difference(clusters) {
        found.add(
            format!("{path}.clusters"),
            format!("there is no cluster `{name}` under `clusters`"),
        );
    }
    for (field, window) in [
        ("window", &condition.window),
        ("outsideWindow", &condition.outside_window),
    ] {
        for (part, message) in window.iter().flat_map(|window| window.mistakes()) {
            found.add(format!("{path}.{field}.{part}"), message);
        }
    }
    let Some(sources) = &condition.sources else {
        return check_not_empty(condition, path, found);
    };
    for source in sources.any.iter().chain(&sources.only).chain(&sources.none) {
        if !SOURCE_KINDS.iter().any(|kind| source.starts_with(kind)) {
            found.add(
                format!("{path}.sources"),
                format!("`{source}` is not a source, expected `git:NAME`, `kubernetes:NAME`, `agent:NAME`, `operator:NAME` or `directory:NAME`; a `*` at the end stands for anything"),
            );
        }
    }
    check_not_empty(condition, path, found);
}

/// `kinds: {}` says nothing and looks as if it did.
fn check_not_empty(condition: &Condition, path: &str, found: &mut Mistakes) {
    fn empty<T: Ord>(among: Option<&Among<T>>) -> bool {
        among.is_some_and(|a| a.any.is_empty() && a.only.is_empty() && a.none.is_empty())
    }
    let labels = |l: &Labels| l.any.is_empty() && l.only.is_empty() && l.none.is_empty();
    let conditions = [
        ("categories", empty(condition.categories.as_ref())),
        ("kinds", empty(condition.kinds.as_ref())),
        ("verbs", empty(condition.verbs.as_ref())),
        ("sources", empty(condition.sources.as_ref())),
        ("labels", condition.labels.as_ref().is_some_and(labels)),
    ];
    for (field, is_empty) in conditions {
        if is_empty {
            found.add(
                format!("{path}.{field}"),
                "nothing stands here: write `any`, `only` or `none` with a list, or leave it out",
            );
        }
    }
}
