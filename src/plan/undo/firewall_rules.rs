//! Taking back what was done to lists of firewall rules and to options. A list goes back whole: what its steps did is followed back to the
//! list they began with, and a new script leads there; if somebody changed it since, it stays.

use super::super::firewall::{rule_action, rule_words};
use super::super::model::{BlockChange, Inverse, Precondition, Step};
use super::super::rule_list::{self, Block, Edit, Groups, same};
use super::super::words::{difference, few};
use super::Back;
use crate::ids::NodeName;
use crate::proxmox::property::Domain;
use crate::world::firewall::{FirewallPart, Group, Place, Rule, Scope};
use crate::world::{Action, FirewallAction, Param, Params, RuleList, Section, Site};

/// Whether a step changes this list.
fn changes(step: &Step, at: &Site, of: &RuleList) -> bool {
    match &step.action {
        Action::Firewall(action) => action.site() == at && action.list() == Some(of),
        _ => false,
    }
}

/// An action on a list, as an edit of it.
pub(super) fn edit(action: &FirewallAction) -> Option<Edit> {
    Some(match action {
        FirewallAction::InsertRule { fields, .. } => Edit::Insert {
            fields: fields.clone(),
        },
        FirewallAction::UpdateRule {
            position,
            set,
            delete,
            ..
        } => Edit::Update {
            position: *position,
            set: set.clone(),
            delete: delete.iter().cloned().collect(),
        },
        FirewallAction::MoveRule { from, to, .. } => Edit::Move {
            from: *from,
            to: *to,
        },
        FirewallAction::DeleteRule { position, .. } => Edit::Delete {
            position: *position,
        },
        _ => return None,
    })
}

/// A list's state, as a step's precondition has it.
fn state(list: &RuleList, rules: &[Rule], comment: Option<&String>) -> Option<String> {
    let mut scope = Scope::default();
    match list {
        RuleList::Rules => scope.rules = rules.to_vec(),
        RuleList::Group(name) => {
            let group = Group {
                rules: rules.to_vec(),
                comment: comment.cloned(),
            };
            scope.groups.insert(name.clone(), group);
        }
    }
    scope.state(&list.part())
}

/// The state that a step's list had before it.
fn state_before(step: &Step) -> Option<&String> {
    step.preconditions.iter().find_map(|known| match known {
        Precondition::FirewallIs { state, .. } => state.as_ref(),
        _ => None,
    })
}

impl Back<'_, '_, '_> {
    /// Takes back everything that the run did to the list that this step changes, at the last of those steps. `false` if it changes none.
    pub(super) fn rules_back(&mut self) -> bool {
        let Action::Firewall(action) = &self.step.action else {
            return false;
        };
        let Some(list) = action.list().cloned() else {
            return false;
        };
        let (site, object) = (action.site().clone(), action.object());
        let plan = self.plan;
        let steps = plan.steps.iter();
        let steps: Vec<&Step> = steps
            .filter(|step| self.done.contains(&step.id) && changes(step, &site, &list))
            .collect();
        if steps.last().is_none_or(|last| last.id != self.step.id) {
            return true;
        }
        let mut node = None;
        if let Site::Guest { vmid, .. } = &site {
            match self.guest(*vmid) {
                Some(guest) => node = Some(guest.node),
                None => return true,
            }
        }
        if let Site::Node { node: of } = &site {
            node = Some(of.clone());
        }
        match self.list_now(&site, &list) {
            Err(why) => self.left(&format!("the rules of {object}: {why}")),
            Ok((live, _)) if self.block_back((&site, &list, &object), &live, node.as_ref()) => {}
            Ok((live, comment)) => match followed_back(&steps, &list, &live, comment.as_ref()) {
                None => self.left(&format!(
                    "the rules of {object} were changed by someone since"
                )),
                Some(old) => self.set_list_back((&site, &list, &object), &live, &old, node),
            },
        }
        true
    }

    /// A list's rules now, and its group's comment; of a group that this plan makes again, none.
    fn list_now(
        &self,
        site: &Site,
        list: &RuleList,
    ) -> Result<(Vec<Rule>, Option<String>), String> {
        let place = site.place();
        let scope = self.planner.input.world.firewalls.scope(&place);
        let scope = scope.map_err(|why| format!("{place} was not read: {why}"))?;
        let name = match list {
            RuleList::Rules => return Ok((scope.rules.clone(), None)),
            RuleList::Group(name) => name,
        };
        if let Some(group) = scope.group(name) {
            return Ok((group.rules.clone(), group.comment.clone()));
        }
        let mut again = self.planner.drafts.steps.iter();
        again
            .find_map(|draft| match &draft.action {
                Action::Firewall(FirewallAction::CreateGroup {
                    name: made,
                    comment,
                }) if made == name => Some((Vec::new(), comment.clone())),
                _ => None,
            })
            .ok_or_else(|| "the security group is gone".to_owned())
    }

    /// Sets a block back to what was between its markers, whatever people did to their own rules since. `false` if the plan is not about a
    /// block, or has another way back: it was not run to its end, or took the block away.
    fn block_back(
        &mut self,
        (site, list, object): (&Site, &RuleList, &str),
        live: &[Rule],
        node: Option<&NodeName>,
    ) -> bool {
        let plan = self.plan;
        let mut of_list = plan.blocks.iter();
        let mut of_list = of_list
            .by_ref()
            .filter(|it| it.site == *site && it.list == *list);
        let (Some(block), None) = (of_list.next(), of_list.next()) else {
            return false;
        };
        let all = plan.steps.iter().filter(|step| changes(step, site, list));
        let Some(left) = &block.after else {
            return false;
        };
        if !all.into_iter().all(|step| self.done.contains(&step.id)) {
            return false;
        }
        let name = &block.name;
        let now = match rule_list::markers(live, name) {
            Ok(Some(at)) => at.inside(live),
            Ok(None) => {
                self.left(&format!("the block {name} of {object} is gone"));
                return true;
            }
            Err(error) => {
                self.left(&format!("the rules of {object}: {error}"));
                return true;
            }
        };
        let left = rules_of(left);
        if left.len() != now.len() || !left.iter().zip(now).all(|(one, other)| same(one, other)) {
            self.left(&format!(
                "the block {name} of {object} was changed by someone since"
            ));
            return true;
        }
        let back = BlockChange {
            before: Some(now.iter().map(|rule| rule.fields.clone()).collect()),
            after: block.before.clone(),
            ..block.clone()
        };
        let groups = self.groups_untouched();
        let edits = match &block.before {
            Some(old) => {
                let of = Block {
                    name,
                    new_at: None,
                    forward: matches!(site, Site::Vnet { .. }),
                };
                rule_list::script_of_block(live, &of, &rules_of(old), &groups)
            }
            None => rule_list::script_without_block(live, name, &groups),
        };
        match edits {
            Ok(edits) => {
                let count = |rules: &Option<Vec<Section>>| match rules {
                    Some(rules) => format!("{} rules", rules.len()),
                    None => "not there".to_owned(),
                };
                let told = (
                    format!("block.{name}"),
                    count(&back.before),
                    count(&back.after),
                );
                self.planner.drafts.blocks.push(back);
                self.edits_back((site, list, object), live, &edits, told, node);
            }
            Err(error) => self.left(&format!("the rules of {object}: {error}")),
        }
        true
    }

    fn set_list_back(
        &mut self,
        (site, list, object): (&Site, &RuleList, &str),
        live: &[Rule],
        old: &[Rule],
        node: Option<NodeName>,
    ) {
        let groups = self.groups_untouched();
        let edits = match rule_list::script(live, old, &groups) {
            Ok(edits) => edits,
            Err(error) => return self.left(&format!("the rules of {object}: {error}")),
        };
        let count = |rules: &[Rule]| format!("{} rules", rules.len());
        let told = ("rules".to_owned(), count(live), count(old));
        self.edits_back((site, list, object), live, &edits, told, node.as_ref());
    }

    /// The steps that set a list back; `told` is what changes, before and after.
    fn edits_back(
        &mut self,
        (site, list, object): (&Site, &RuleList, &str),
        live: &[Rule],
        edits: &[Edit],
        (field, before, after): (String, String, String),
        node: Option<&NodeName>,
    ) {
        if edits.is_empty() {
            return;
        }
        self.planner
            .drafts
            .change(object, &field, Some(&before), Some(&after), "set back");
        let states = rule_list::states(live, edits);
        for (edit, list_before) in edits.iter().zip(&states) {
            if let Some(action) = rule_action(site, list, edit, list_before) {
                let what = match &action {
                    FirewallAction::InsertRule { fields, .. } => {
                        format!("`{}` at the top", rule_words(fields))
                    }
                    FirewallAction::UpdateRule { position, .. } => format!("rule {position}"),
                    FirewallAction::MoveRule { from, to, .. } => {
                        format!("rule {from} moves to {to}")
                    }
                    _ => "a rule goes".to_owned(),
                };
                let title = format!("set back the rules of {object}: {what}");
                self.push(title, Action::Firewall(action), node.cloned());
            }
        }
    }

    /// The security groups that neither the plan nor its undo changes.
    fn groups_untouched(&self) -> Groups {
        let cluster = self.planner.input.world.firewalls.scope(&Place::Cluster);
        let Ok(scope) = cluster else {
            return Groups::new();
        };
        let touched = |name: &String| {
            let part = FirewallPart::Group(name.clone());
            self.plan.steps.iter().any(|step| match &step.action {
                Action::Firewall(action) => action.part() == part,
                _ => false,
            })
        };
        let groups = scope.groups.iter().filter(|(name, _)| !touched(name));
        groups
            .map(|(name, group)| (name.clone(), group.rules.clone()))
            .collect()
    }

    /// Takes back that the datacenter's firewall was put on trial: it is as it was before. Whether the trial was confirmed, still goes on or
    /// ran out, which leaves the firewall off, all of it is the run's doing.
    pub(super) fn switch_back(&mut self, action: &FirewallAction, scope: &Scope) {
        let FirewallAction::SetOptions { set, .. } = action else {
            return;
        };
        let object = action.object();
        let (was, now) = (set.get("enable"), scope.options.get("enable"));
        let on = |value: Option<&String>| value.is_some_and(|value| value != "0");
        let confirmed = self.plan.steps.iter().any(|step| {
            let confirms = matches!(
                step.action,
                Action::Firewall(FirewallAction::ConfirmTrial { .. })
            );
            confirms && self.done.contains(&step.id)
        });
        if confirmed && !on(now) {
            let by_hand = format!("{object}: its firewall was switched off by someone since");
            return self.left(&by_hand);
        }
        // That it was on trial before is no state to go back to.
        let was = was.map(|was| if on(Some(was)) { "1" } else { "0" });
        if was == now.map(String::as_str) {
            return;
        }
        let told = difference("enable", now.map(String::as_str), was);
        let change = was.unwrap_or_default();
        self.planner.drafts.change(
            &object,
            "enable",
            now.map(String::as_str),
            Some(change).filter(|text| !text.is_empty()),
            "set back",
        );
        let enable = || "enable".to_owned();
        let action = FirewallAction::SetOptions {
            site: Site::Cluster,
            set: was
                .map(|was| (enable(), was.to_owned()))
                .into_iter()
                .collect(),
            delete: was.is_none().then(enable).into_iter().collect(),
        };
        let title = format!("set back {object} {told}");
        self.push(title, Action::Firewall(action), None);
    }

    /// Takes back options.
    pub(super) fn options_back(
        &mut self,
        action: &FirewallAction,
        scope: &Scope,
        node: Option<NodeName>,
    ) {
        let FirewallAction::SetOptions { site, set, delete } = action else {
            return;
        };
        let params = |section: &Section| -> Params {
            let all = section.iter();
            all.map(|(key, value)| (key.clone(), Param::Plain(value.clone())))
                .collect()
        };
        let left = match &self.step.action {
            Action::Firewall(FirewallAction::SetOptions { set, .. }) => params(set),
            _ => Params::new(),
        };
        let object = action.object();
        let (set, delete, told) = self.still_ours(
            Domain::Firewall,
            &object,
            &scope.options,
            &params(set),
            delete,
            &left,
        );
        if told.is_empty() {
            return;
        }
        let plain = set.into_iter().filter_map(|(key, param)| match param {
            Param::Plain(value) => Some((key, value)),
            Param::Secret { .. } => None,
        });
        let action = FirewallAction::SetOptions {
            site: site.clone(),
            set: plain.collect(),
            delete,
        };
        let title = format!("set back {object} {}", few(&told));
        self.push(title, Action::Firewall(action), node);
    }
}

fn rules_of(fields: &[Section]) -> Vec<Rule> {
    let rule = |fields: &Section| Rule {
        fields: fields.clone(),
        ..Rule::default()
    };
    fields.iter().map(rule).collect()
}

/// The list that the first of these steps began with, if the list now is what the last one left; step by step, each checked against what
/// it was planned on.
fn followed_back(
    steps: &[&Step],
    list: &RuleList,
    live: &[Rule],
    comment: Option<&String>,
) -> Option<Vec<Rule>> {
    let mut now = live.to_vec();
    for step in steps.iter().rev() {
        let Inverse::Actions { actions, .. } = &step.inverse else {
            return None;
        };
        for action in actions {
            let Action::Firewall(action) = action else {
                return None;
            };
            now = rule_list::apply(&now, &edit(action)?);
        }
        if state(list, &now, comment).as_ref() != state_before(step) {
            return None;
        }
    }
    Some(now)
}
