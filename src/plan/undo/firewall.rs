//! Taking back what was done to aliases and sets of firewalls: only what still is as the run left it.

use super::super::rule_list;
use super::Back;
use super::firewall_rules::edit;
use crate::ids::NodeName;
use crate::proxmox::firewall::same_element;
use crate::world::action::firewall::object_of;
use crate::world::firewall::{FirewallPart, Scope, SetEntry};
use crate::world::{Action, Element, FirewallAction, RuleList, Site};

impl Back<'_, '_, '_> {
    /// Takes back a change of a firewall.
    pub(super) fn firewall(&mut self, action: &FirewallAction) {
        let mut node = None;
        if let Site::Guest { vmid, .. } = action.site() {
            match self.guest(*vmid) {
                Some(guest) => node = Some(guest.node),
                None => return,
            }
        }
        if let Site::Node { node: of } = action.site() {
            node = Some(of.clone());
        }
        let (place, object) = (action.site().place(), action.object());
        let scope = match self.planner.input.world.firewalls.scope(&place) {
            Ok(scope) => scope.as_ref().clone(),
            Err(why) => {
                let why = format!("{object}: {place} was not read: {why}");
                return self.left(&why);
            }
        };
        match action {
            FirewallAction::CreateAlias { .. }
            | FirewallAction::CreateIpSet { .. }
            | FirewallAction::CreateGroup { .. } => {
                self.firewall_again(action, &scope, node);
            }
            FirewallAction::DeleteAlias { .. }
            | FirewallAction::DeleteIpSet { .. }
            | FirewallAction::DeleteGroup { .. } => {
                self.firewall_away(action, &scope, node);
            }
            FirewallAction::UpdateAlias { name, .. } => {
                let Some(live) = scope.alias(name) else {
                    return self.left(&format!("{object} is gone"));
                };
                let (cidr, comment) = (live.cidr.clone(), live.comment.clone());
                if self.wrote_alias(&cidr, comment.as_deref()) {
                    self.firewall_back(action, "cidr", Some(&cidr), None, node);
                } else {
                    self.left(&format!("{object} was changed by someone since"));
                }
            }
            FirewallAction::DescribeIpSet { name, comment, .. } => {
                let now = scope.ipsets.get(name).and_then(|set| set.comment.clone());
                let now = now.unwrap_or_default();
                match self.done() {
                    Some(FirewallAction::DescribeIpSet { comment: ours, .. }) if now == ours => {
                        self.firewall_back(action, "comment", Some(&now), Some(comment), node);
                    }
                    _ => self.left(&format!("{object} comment was changed by someone since")),
                }
            }
            FirewallAction::DescribeGroup { name, comment } => {
                let now = scope.group(name).and_then(|group| group.comment.clone());
                let now = now.unwrap_or_default();
                match self.done() {
                    Some(FirewallAction::DescribeGroup { comment: ours, .. }) if now == ours => {
                        self.firewall_back(action, "comment", Some(&now), Some(comment), node);
                    }
                    _ => self.left(&format!("{object} comment was changed by someone since")),
                }
            }
            FirewallAction::SetOptions { .. } => match self.done() {
                Some(FirewallAction::BeginTrial { .. }) => self.switch_back(action, &scope),
                _ => self.options_back(action, &scope, node),
            },
            // The step that began the trial takes it back.
            FirewallAction::BeginTrial { .. } | FirewallAction::ConfirmTrial { .. } => {}
            // A list goes back whole.
            FirewallAction::InsertRule { .. }
            | FirewallAction::UpdateRule { .. }
            | FirewallAction::MoveRule { .. }
            | FirewallAction::DeleteRule { .. } => {}
            FirewallAction::AddIpSetEntry { name, element, .. } => {
                self.element_again(action, &scope, name, element, node);
            }
            FirewallAction::UpdateIpSetEntry { name, element, .. } => {
                let wrote = match self.done() {
                    Some(FirewallAction::UpdateIpSetEntry { element, .. }) => Some(element),
                    _ => None,
                };
                let live = entry(&scope, name, &element.cidr);
                let ours = live.zip(wrote).is_some_and(|(live, ours)| is(live, &ours));
                if ours {
                    let field = format!("entries.{}", element.cidr);
                    self.firewall_back(action, &field, Some("in it"), Some("as it was"), node);
                } else {
                    let cidr = &element.cidr;
                    self.left(&format!("{cidr} of {object} was changed by someone since"));
                }
            }
            FirewallAction::RemoveIpSetEntry { name, cidr, .. } => {
                let wrote = match self.done() {
                    Some(FirewallAction::AddIpSetEntry { element, .. }) => Some(element),
                    _ => None,
                };
                // What is gone already needs no step.
                let Some(live) = entry(&scope, name, cidr) else {
                    return;
                };
                if wrote.is_some_and(|ours| is(live, &ours)) {
                    let field = format!("entries.{cidr}");
                    self.firewall_back(action, &field, Some("in it"), None, node);
                } else {
                    self.left(&format!("{cidr} of {object} was changed by someone since"));
                }
            }
        }
    }

    /// What the step that is taken back did.
    fn done(&self) -> Option<FirewallAction> {
        match &self.step.action {
            Action::Firewall(action) => Some(action.clone()),
            _ => None,
        }
    }

    /// Whether an alias is as the step left it.
    fn wrote_alias(&self, now: &str, about: Option<&str>) -> bool {
        match self.done() {
            Some(
                FirewallAction::CreateAlias { cidr, comment, .. }
                | FirewallAction::UpdateAlias { cidr, comment, .. },
            ) => {
                same_element(&cidr, now) && comment.unwrap_or_default() == about.unwrap_or_default()
            }
            _ => false,
        }
    }

    fn firewall_again(&mut self, action: &FirewallAction, scope: &Scope, node: Option<NodeName>) {
        let object = action.object();
        if scope.state(&action.part()).is_some() {
            return self.left(&format!("{object} was made by someone since"));
        }
        self.planner
            .drafts
            .change(&object, "(object)", None, Some("made again"), "set back");
        let title = format!("make {object} again");
        self.push(title, Action::Firewall(action.clone()), node);
    }

    fn firewall_away(&mut self, action: &FirewallAction, scope: &Scope, node: Option<NodeName>) {
        let object = action.object();
        let ours = match action.part() {
            FirewallPart::Alias(name) => match scope.alias(&name) {
                None => return,
                Some(live) => self.wrote_alias(&live.cidr, live.comment.as_deref()),
            },
            FirewallPart::Set(name) => match scope.ipsets.get(&name) {
                None => return,
                Some(live) => live
                    .entries
                    .iter()
                    .all(|entry| self.put_in(action.site(), &name, entry)),
            },
            FirewallPart::Group(name) => match scope.group(&name) {
                None => return,
                // Its rules go back to none first, if they are ours.
                Some(live) => {
                    let list = RuleList::Group(name);
                    let steps = self.planner.drafts.steps.iter();
                    let edits = steps.filter_map(|draft| match &draft.action {
                        Action::Firewall(made) if made.list() == Some(&list) => edit(made),
                        _ => None,
                    });
                    let left = edits.fold(live.rules.clone(), |rules, edit| {
                        rule_list::apply(&rules, &edit)
                    });
                    left.is_empty()
                }
            },
            FirewallPart::Rules | FirewallPart::Options => false,
        };
        if !ours {
            return self.left(&format!("{object} was changed by someone since"));
        }
        self.planner
            .drafts
            .change(&object, "(object)", Some("there"), None, "removed again");
        let title = format!("delete {object}");
        self.push(title, Action::Firewall(action.clone()), node);
    }

    /// Whether the run put this element into a set.
    fn put_in(&self, at: &Site, set: &str, entry: &SetEntry) -> bool {
        let steps = self.plan.steps.iter();
        let mut done = steps.filter(|step| self.done.contains(&step.id));
        done.any(|step| match &step.action {
            Action::Firewall(FirewallAction::AddIpSetEntry {
                site,
                name,
                element,
            }) => site == at && name == set && is(entry, element),
            _ => false,
        })
    }

    fn element_again(
        &mut self,
        action: &FirewallAction,
        scope: &Scope,
        name: &str,
        element: &Element,
        node: Option<NodeName>,
    ) {
        let object = action.object();
        let again = self.planner.drafts.steps.iter().any(|draft| {
            matches!(&draft.action, Action::Firewall(made @ FirewallAction::CreateIpSet { .. })
                if made.object() == object)
        });
        if !again && !scope.ipsets.contains_key(name) {
            return self.left(&format!("{object} is gone"));
        }
        if let Some(live) = entry(scope, name, &element.cidr) {
            if !is(live, element) {
                let cidr = &element.cidr;
                self.left(&format!("{cidr} was put into {object} by someone since"));
            }
            return;
        }
        let field = format!("entries.{}", element.cidr);
        self.firewall_back(action, &field, None, Some("in it"), node);
    }

    fn firewall_back(
        &mut self,
        action: &FirewallAction,
        field: &str,
        before: Option<&str>,
        after: Option<&str>,
        node: Option<NodeName>,
    ) {
        let object = object_of(&action.site().place(), &action.part());
        let after = match action {
            FirewallAction::UpdateAlias { cidr, .. } => Some(cidr.as_str()),
            _ => after.filter(|text| !text.is_empty()),
        };
        self.planner
            .drafts
            .change(&object, field, before, after, "set back");
        let title = format!("set back {object} {field}");
        self.push(title, Action::Firewall(action.clone()), node);
    }
}

fn entry<'s>(scope: &'s Scope, set: &str, cidr: &str) -> Option<&'s SetEntry> {
    let set = scope.ipsets.get(set)?;
    set.entries
        .iter()
        .find(|entry| same_element(&entry.cidr, cidr))
}

/// Whether a live element is this one.
fn is(live: &SetEntry, element: &Element) -> bool {
    same_element(&live.cidr, &element.cidr)
        && live.nomatch == element.nomatch
        && live.comment.as_deref().unwrap_or_default()
            == element.comment.as_deref().unwrap_or_default()
}
