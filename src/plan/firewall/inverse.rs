//! How a step of a firewall is taken back, from the configuration before it.

use super::super::model::Inverse;
use crate::proxmox::firewall::same_element;
use crate::world::firewall::SetEntry;
use crate::world::{Action, Element, FirewallAction, World};

fn element(entry: &SetEntry) -> Element {
    Element {
        cidr: entry.cidr.clone(),
        nomatch: entry.nomatch,
        comment: entry.comment.clone().filter(|text| !text.is_empty()),
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
        };
    Inverse::Actions {
        actions: actions.into_iter().map(Action::Firewall).collect(),
        remains: Vec::new(),
    }
}
