//! The judge on trials of the firewall: each is confirmed, for the same nodes, and nothing but firewalls of nodes is changed on it.

use crate::plan::check::Finding;
use crate::plan::model::{Plan, Precondition, Step};
use crate::world::{Action, FirewallAction, Site};

/// Judges the trials of a plan.
pub(super) fn trials(plan: &Plan, findings: &mut Vec<Finding>) {
    let mut open: Option<&Step> = None;
    for step in &plan.steps {
        let mut say = |what: &str| {
            findings.push(Finding {
                step: Some(step.id),
                what: what.to_owned(),
            });
        };
        let waits = step.preconditions.contains(&Precondition::FirewallOnTrial);
        let Action::Firewall(action) = &step.action else {
            if waits {
                say("it waits for a trial of the firewall and has nothing to do with firewalls");
            }
            continue;
        };
        match (action, open) {
            (FirewallAction::BeginTrial { nodes }, None) => {
                if nodes.is_empty() {
                    say("it begins a trial that no node could confirm");
                }
                open = Some(step);
            }
            (FirewallAction::BeginTrial { .. }, Some(_)) => {
                say("it begins a trial before the last one is confirmed");
            }
            (FirewallAction::ConfirmTrial { nodes }, Some(begun)) => {
                let same = matches!(&begun.action, Action::Firewall(FirewallAction::BeginTrial { nodes: n }) if n == nodes);
                if !same || !waits || !step.needs.contains(&begun.id) {
                    say("it confirms another trial than the one that goes on");
                }
                open = None;
            }
            (FirewallAction::ConfirmTrial { .. }, None) => say("it confirms a trial that is none"),
            (_, Some(_)) => {
                if action.guest().is_some() || !waits || step.needs.is_empty() {
                    say("it is done during a trial of the firewall that it is no part of");
                }
                let switches = matches!(action, FirewallAction::SetOptions { set, .. } if set.contains_key("enable"));
                if switches && *action.site() == Site::Cluster {
                    say("it ends a trial without confirming it");
                }
            }
            (_, None) if waits => say("it waits for a trial of the firewall that is none"),
            (_, None) => {}
        }
    }
    if let Some(begun) = open {
        findings.push(Finding {
            step: Some(begun.id),
            what: "it begins a trial that nothing confirms".to_owned(),
        });
    }
}
