//! How a step of a firewall is taken back, from the configuration before it.

use std::collections::BTreeSet;

use super::super::model::Inverse;
use crate::proxmox::firewall::same_element;
use crate::world::firewall::SetEntry;
use crate::world::firewall::{Rule, Scope};
use crate::world::{Action, Element, FirewallAction, RuleList, Section, World};

fn element(entry: &SetEntry) -> Element {
    Element {
        cidr: entry.cidr.clone(),
        nomatch: entry.nomatch,
        comment: entry.comment.clone().filter(|text| !text.is_empty()),
    }
}

/// The edits that take an edit of a list back, one after the other. The undo makes a script of its own of all of them.
fn rule(action: &FirewallAction, scope: &Scope) -> Vec<FirewallAction> {
    let rules = |list: &RuleList| -> Vec<Rule> {
        match list {
            RuleList::Rules => scope.rules.clone(),
            RuleList::Group(name) => scope.group(name).cloned().unwrap_or_default().rules,
        }
    };
    match action {
        FirewallAction::InsertRule {
            site,
            list,
            fields,
            length,
        } => vec![FirewallAction::DeleteRule {
            site: site.clone(),
            list: list.clone(),
            position: 0,
            rule: fields.clone(),
            length: length + 1,
        }],
        FirewallAction::UpdateRule {
            site,
            list,
            position,
            set,
            delete,
        } => {
            let was = rules(list).get(*position).cloned().unwrap_or_default();
            let keys = || set.keys().chain(delete);
            let old = |key: &String| was.fields.get(key).map(|old| (key.clone(), old.clone()));
            vec![FirewallAction::UpdateRule {
                site: site.clone(),
                list: list.clone(),
                position: *position,
                set: keys().filter_map(old).collect(),
                delete: keys()
                    .filter(|key| !was.fields.contains_key(*key) && *key != "enable")
                    .cloned()
                    .collect(),
            }]
        }
        FirewallAction::MoveRule {
            site,
            list,
            from,
            to,
            rule,
        } => {
            let is = if to > from { to - 1 } else { *to };
            let back = if is < *from { from + 1 } else { *from };
            vec![FirewallAction::MoveRule {
                site: site.clone(),
                list: list.clone(),
                from: is,
                to: back,
                rule: rule.clone(),
            }]
        }
        FirewallAction::DeleteRule {
            site,
            list,
            position,
            rule,
            length,
        } => {
            let mut all = vec![FirewallAction::InsertRule {
                site: site.clone(),
                list: list.clone(),
                fields: rule.clone(),
                length: length - 1,
            }];
            if *position > 0 {
                all.push(FirewallAction::MoveRule {
                    site: site.clone(),
                    list: list.clone(),
                    from: 0,
                    to: position + 1,
                    rule: rule.clone(),
                });
            }
            all
        }
        _ => Vec::new(),
    }
}

/// How an action is taken back.
pub(in crate::plan) fn inverse(action: &FirewallAction, before: &World) -> Inverse {
    let Ok(scope) = before.firewalls.scope(&action.site().place()) else {
        return Inverse::Irreversible {
            why: format!("{} was not read", action.site()),
        };
    };
    let site = action.site().clone();
    let alias = |name: &String| scope.alias(name).cloned().unwrap_or_default();
    let comment = |comment: Option<String>| comment.filter(|text| !text.is_empty());
    let actions =
        match action {
            FirewallAction::CreateAlias { name, .. } => vec![FirewallAction::DeleteAlias {
                site,
                name: name.clone(),
            }],
            FirewallAction::UpdateAlias { name, .. } => vec![FirewallAction::UpdateAlias {
                site,
                name: name.clone(),
                cidr: alias(name).cidr,
                comment: comment(alias(name).comment),
            }],
            FirewallAction::DeleteAlias { name, .. } => vec![FirewallAction::CreateAlias {
                site,
                name: name.clone(),
                cidr: alias(name).cidr,
                comment: comment(alias(name).comment),
            }],
            FirewallAction::CreateIpSet { name, .. } => vec![FirewallAction::DeleteIpSet {
                site,
                name: name.clone(),
            }],
            FirewallAction::DescribeIpSet { name, .. } => {
                let set = scope.ipsets.get(name);
                vec![FirewallAction::DescribeIpSet {
                    site,
                    name: name.clone(),
                    comment: set.and_then(|set| set.comment.clone()).unwrap_or_default(),
                }]
            }
            FirewallAction::AddIpSetEntry { name, element, .. } => {
                vec![FirewallAction::RemoveIpSetEntry {
                    site,
                    name: name.clone(),
                    cidr: element.cidr.clone(),
                }]
            }
            FirewallAction::UpdateIpSetEntry {
                name,
                element: Element { cidr, .. },
                ..
            }
            | FirewallAction::RemoveIpSetEntry { name, cidr, .. } => {
                let set = scope.ipsets.get(name);
                let mut entries = set.into_iter().flat_map(|set| &set.entries);
                let was = entries.find(|entry| same_element(&entry.cidr, cidr));
                let (name, was) = (name.clone(), was.map(element));
                was.map_or_else(Vec::new, |element| {
                    vec![match action {
                        FirewallAction::RemoveIpSetEntry { .. } => FirewallAction::AddIpSetEntry {
                            site,
                            name,
                            element,
                        },
                        _ => FirewallAction::UpdateIpSetEntry {
                            site,
                            name,
                            element,
                        },
                    }]
                })
            }
            FirewallAction::DeleteIpSet { name, .. } => {
                let set = scope.ipsets.get(name).cloned().unwrap_or_default();
                let mut actions = vec![FirewallAction::CreateIpSet {
                    site: site.clone(),
                    name: name.clone(),
                    comment: comment(set.comment),
                }];
                // Each goes to the top.
                actions.extend(set.entries.iter().rev().map(|entry| {
                    FirewallAction::AddIpSetEntry {
                        site: site.clone(),
                        name: name.clone(),
                        element: element(entry),
                    }
                }));
                actions
            }
            FirewallAction::CreateGroup { name, .. } => {
                vec![FirewallAction::DeleteGroup { name: name.clone() }]
            }
            FirewallAction::DescribeGroup { name, .. } => {
                let group = scope.group(name);
                let comment = group.and_then(|group| group.comment.clone());
                vec![FirewallAction::DescribeGroup {
                    name: name.clone(),
                    comment: comment.unwrap_or_default(),
                }]
            }
            FirewallAction::DeleteGroup { name } => {
                let group = scope.group(name).cloned().unwrap_or_default();
                vec![FirewallAction::CreateGroup {
                    name: name.clone(),
                    comment: comment(group.comment),
                }]
            }
            FirewallAction::InsertRule { .. }
            | FirewallAction::UpdateRule { .. }
            | FirewallAction::MoveRule { .. }
            | FirewallAction::DeleteRule { .. } => rule(action, scope),
            FirewallAction::SetOptions { set, delete, .. } => {
                let (mut set_back, mut delete_back) = (Section::new(), BTreeSet::new());
                for key in set.keys().chain(delete) {
                    match scope.options.get(key) {
                        Some(old) => drop(set_back.insert(key.clone(), old.clone())),
                        None => drop(delete_back.insert(key.clone())),
                    }
                }
                vec![FirewallAction::SetOptions {
                    site,
                    set: set_back,
                    delete: delete_back,
                }]
            }
            FirewallAction::BeginTrial { .. } => {
                let enable = || "enable".to_owned();
                let was = scope.options.get("enable");
                vec![FirewallAction::SetOptions {
                    site,
                    set: was.map(|was| (enable(), was.clone())).into_iter().collect(),
                    delete: was.is_none().then(enable).into_iter().collect(),
                }]
            }
            FirewallAction::ConfirmTrial { nodes } => vec![FirewallAction::BeginTrial {
                nodes: nodes.clone(),
            }],
        };
    Inverse::Actions {
        actions: actions.into_iter().map(Action::Firewall).collect(),
        remains: Vec::new(),
    }
}
