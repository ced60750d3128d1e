//! Security groups: from a document to steps that make one, change its rules, or remove it.

use super::super::draft::{Phase, Planner};
use super::super::input::Item;
use super::super::rule_list::{self, Groups};
use super::super::words::short;
use super::rules::{Rules, Target};
use super::{At, EFFECT, comment};
use crate::document::desired::DesiredSecurityGroup;
use crate::world::firewall::{FirewallPart, Group};
use crate::world::{FirewallAction, RuleList};

impl Planner<'_, '_> {
    /// A security group that shall be as a document says.
    pub(super) fn security_group_present(
        &mut self,
        item: &Item,
        desired: &DesiredSecurityGroup,
        groups: &Groups,
    ) {
        let Some(at) = self.firewall_at(item, None) else {
            return;
        };
        let object = at.object(&FirewallPart::Group(desired.name.clone()));
        let live = at.scope.group(&desired.name).cloned();
        if !self.claim(item, &object, live.is_some()) {
            return;
        }
        match &live {
            None => {
                self.drafts
                    .change(&object, "(object)", None, Some("made"), EFFECT);
                let action = FirewallAction::CreateGroup {
                    name: desired.name.clone(),
                    comment: comment(desired.comment.as_ref(), None),
                };
                self.firewall_step(&at, Phase::FirewallGroup, format!("make {object}"), action);
            }
            Some(live) => self.group_described(&at, desired, live, &object),
        }
        let was = self.block_before(item, &object);
        let rules = Rules::of(
            desired.rules.as_ref(),
            desired.block.as_ref(),
            was.as_deref(),
        );
        if let Some(rules) = rules {
            let live = live.unwrap_or_default();
            let target = Target {
                at: &at,
                list: RuleList::Group(desired.name.clone()),
                object: &object,
                live: &live.rules,
                phase: Phase::FirewallGroup,
            };
            self.rule_steps(item, &target, rules, groups);
        }
    }

    fn group_described(
        &mut self,
        at: &At,
        desired: &DesiredSecurityGroup,
        live: &Group,
        object: &str,
    ) {
        let now = live.comment.as_deref().filter(|text| !text.is_empty());
        let wanted = comment(desired.comment.as_ref(), now);
        if wanted.as_deref() == now {
            return;
        }
        self.drafts
            .change(object, "comment", now, wanted.as_deref(), "at once");
        let shown = wanted.as_deref().map_or_else(
            || "(removed)".to_owned(),
            |text| format!("→ `{}`", short(text)),
        );
        let action = FirewallAction::DescribeGroup {
            name: desired.name.clone(),
            comment: wanted.unwrap_or_default(),
        };
        let title = format!("set {object} comment {shown}");
        self.firewall_step(at, Phase::FirewallGroup, title, action);
    }

    /// The name of the block that a document managed when it was last applied.
    pub(super) fn block_before(&self, item: &Item, object: &str) -> Option<String> {
        let owned = self
            .input
            .ownership
            .of_document(&item.key, &item.source)
            .filter(|(known, _)| *known == object);
        owned.and_then(|(_, owned)| owned.block().map(str::to_owned))
    }

    /// A security group whose document is gone: its rules go first, since only an empty one can be removed. Of one that is shared with people
    /// only the block goes.
    pub(super) fn security_group_removed(&mut self, item: &Item, at: &At, name: &str) {
        let object = at.object(&FirewallPart::Group(name.to_owned()));
        let live = at.scope.group(name).cloned().unwrap_or_default();
        let target = Target {
            at,
            list: RuleList::Group(name.to_owned()),
            object: &object,
            live: &live.rules,
            phase: Phase::FirewallLast,
        };
        if let Some(block) = self.block_before(item, &object) {
            let others = match rule_list::markers(&live.rules, &block) {
                Ok(found) => live.rules.len() - found.map_or(0, |at| at.end - at.begin + 1),
                // What is broken is refused below.
                Err(_) => 1,
            };
            if others > 0 {
                let note = format!(
                    "{object} stays: it has rules outside the block {block}, which are other people's"
                );
                self.drafts.notes.insert(note);
                return self.rule_steps(item, &target, Rules::Without(&block), &Groups::new());
            }
        }
        self.drafts
            .change(&object, "(object)", Some("security group"), None, EFFECT);
        self.rule_steps(item, &target, Rules::Whole(&[]), &Groups::new());
        let action = FirewallAction::DeleteGroup {
            name: name.to_owned(),
        };
        let title = format!("delete {object}");
        self.firewall_step(at, Phase::FirewallLast, title, action);
    }
}
