//! A whole firewall: from a document to steps that set its options and make its list of rules.

use std::collections::{BTreeMap, BTreeSet};

use super::super::draft::{Phase, Planner};
use super::super::input::Item;
use super::super::rule_list::{self, Groups};
use super::super::values::{Decision, Secrets, decide};
use super::super::words::{difference, few};
use super::rules::{Rules, Target};
use super::{At, EFFECT};
use crate::document::desired::DesiredFirewall;
use crate::proxmox::property::Domain;
use crate::world::firewall::FirewallPart;
use crate::world::{FirewallAction, Param, RuleList, Section, Site};

impl Planner<'_, '_> {
    /// A firewall that shall be as a document says.
    pub(super) fn firewall_present(
        &mut self,
        item: &Item,
        desired: &DesiredFirewall,
        groups: &Groups,
    ) {
        let Some(at) = self.firewall_of(item, &desired.scope) else {
            return;
        };
        let object = at.object(&FirewallPart::Rules);
        // Every place has one, as soon as something is written into it.
        let there = match &desired.block {
            // What people have beside it is theirs.
            Some(block) => {
                let known = rule_list::blocks(&at.scope.rules).contains(&block.name);
                known || (!desired.options.is_empty() && !at.scope.options.is_empty())
            }
            None => !at.scope.rules.is_empty() || !at.scope.options.is_empty(),
        };
        if !self.claim(item, &object, there) {
            return;
        }
        let was = self.block_before(item, &object);
        let rules = Rules::of(
            desired.rules.as_ref(),
            desired.block.as_ref(),
            was.as_deref(),
        );
        if let Some(rules) = rules {
            let live = at.scope.rules.clone();
            let target = Target {
                at: &at,
                list: RuleList::Rules,
                object: &object,
                live: &live,
                phase: Phase::FirewallRules,
            };
            self.rule_steps(item, &target, rules, groups);
        }
        self.firewall_options(item, &at, desired, &object);
    }

    fn firewall_options(&mut self, item: &Item, at: &At, desired: &DesiredFirewall, object: &str) {
        let live = at.scope.options.clone();
        let (mut set, mut delete) = (Section::new(), BTreeSet::new());
        let mut told = Vec::new();
        let nothing = BTreeMap::new();
        for (key, wish) in &desired.options {
            let before = live.get(key).map(String::as_str);
            let secrets = Secrets {
                now: &nothing,
                sent: None,
            };
            match decide(Domain::Firewall, key, before, wish, secrets) {
                Ok(Decision::Same) => {}
                Ok(Decision::Set { param, shown }) => {
                    if let Param::Plain(value) = param {
                        self.drafts
                            .change(object, key, before, Some(&shown), EFFECT);
                        told.push(difference(key, before, Some(&shown)));
                        set.insert(key.clone(), value);
                    }
                }
                Ok(Decision::Delete) => {
                    self.drafts.change(object, key, before, None, EFFECT);
                    told.push(difference(key, before, None));
                    delete.insert(key.clone());
                }
                Err(reason) => self.drafts.problem(&item.key, key, reason),
            }
        }
        if told.is_empty() {
            return;
        }
        let phase = if opens(&at.site, &set, &delete) {
            Phase::FirewallOpen
        } else {
            Phase::FirewallShut
        };
        let title = format!("set {object} {}", few(&told));
        let action = FirewallAction::SetOptions {
            site: at.site.clone(),
            set,
            delete,
        };
        self.firewall_step(at, phase, title, action);
    }
}

/// Whether a change of options can only open something: then it comes before the rules, and otherwise after them.
fn opens(site: &Site, set: &Section, delete: &BTreeSet<String>) -> bool {
    let on_unless_set = matches!(site, Site::Node { .. });
    let mut all = set
        .iter()
        .map(|(key, value)| (key.as_str(), Some(value.as_str())))
        .chain(delete.iter().map(|key| (key.as_str(), None)));
    all.all(|(key, value)| match (key, value) {
        ("enable", Some(value)) => value == "0",
        ("enable", None) => !on_unless_set,
        ("policy_in" | "policy_out" | "policy_forward", Some(value)) => value == "ACCEPT",
        ("policy_out" | "policy_forward", None) => true,
        _ => false,
    })
}
