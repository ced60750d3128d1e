//! Lists of firewall rules, security groups and options in prediction.

use std::collections::BTreeSet;

use super::firewall::scope;
use super::{Unpredictable, refused};
use crate::proxmox::firewall::{element, network, reference};
use crate::world::action::{RuleList, Site};
use crate::world::firewall::{FirewallPart, Group, Place, Rule, Scope};
use crate::world::model::{Section, World};

/// Makes a security group.
pub(super) fn create_group(
    world: &mut World,
    name: &str,
    comment: &Option<String>,
) -> Result<(), Unpredictable> {
    let scope = scope(world, &Site::Cluster)?;
    if scope.group(name).is_some() {
        return Err(refused(format!("there is a security group {name} already")));
    }
    let group = Group {
        rules: Vec::new(),
        comment: comment.clone().filter(|text| !text.is_empty()),
    };
    scope.groups.insert(name.to_owned(), group);
    Ok(())
}

fn group<'w>(world: &'w mut World, name: &str) -> Result<&'w mut Group, Unpredictable> {
    let groups = &mut scope(world, &Site::Cluster)?.groups;
    let known = groups
        .keys()
        .find(|known| known.eq_ignore_ascii_case(name))
        .cloned();
    let group = known.and_then(|known| groups.get_mut(&known));
    group.ok_or_else(|| Unpredictable::Missing(format!("security group {name}")))
}

/// Gives a security group another comment.
pub(super) fn describe_group(
    world: &mut World,
    name: &str,
    comment: &str,
) -> Result<(), Unpredictable> {
    let comment = Some(comment.to_owned()).filter(|text| !text.is_empty());
    group(world, name)?.comment = comment;
    Ok(())
}

/// Removes a security group, which has to be empty.
pub(super) fn delete_group(world: &mut World, name: &str) -> Result<(), Unpredictable> {
    if !group(world, name)?.rules.is_empty() {
        return Err(refused(format!("security group {name} is not empty")));
    }
    let groups = &mut scope(world, &Site::Cluster)?.groups;
    groups.retain(|known, _| !known.eq_ignore_ascii_case(name));
    Ok(())
}

fn rules<'w>(
    world: &'w mut World,
    site: &Site,
    list: &RuleList,
) -> Result<&'w mut Vec<Rule>, Unpredictable> {
    match list {
        RuleList::Rules => Ok(&mut scope(world, site)?.rules),
        RuleList::Group(name) => Ok(&mut group(world, name)?.rules),
    }
}

fn no_rule(position: usize) -> Unpredictable {
    Unpredictable::Missing(format!("rule {position}"))
}

/// Puts a rule at the top.
pub(super) fn insert(
    world: &mut World,
    site: &Site,
    list: &RuleList,
    fields: &Section,
) -> Result<(), Unpredictable> {
    let mut rule = Rule::default();
    fill(&mut rule.fields, fields, &BTreeSet::new());
    verified(world, site, &rule.fields)?;
    rules(world, site, list)?.insert(0, rule);
    Ok(())
}

/// Changes a rule where it stands.
pub(super) fn update(
    world: &mut World,
    site: &Site,
    list: &RuleList,
    position: usize,
    (set, delete): (&Section, &BTreeSet<String>),
) -> Result<(), Unpredictable> {
    let rule = rules(world, site, list)?.get(position).cloned();
    let mut rule = rule.ok_or_else(|| no_rule(position))?;
    fill(&mut rule.fields, set, delete);
    verified(world, site, &rule.fields)?;
    rule.errors.clear();
    if let Some(known) = rules(world, site, list)?.get_mut(position) {
        *known = rule;
    }
    Ok(())
}

/// Moves a rule. What it says is not looked at again.
pub(super) fn shift(
    world: &mut World,
    site: &Site,
    list: &RuleList,
    from: usize,
    to: usize,
) -> Result<(), Unpredictable> {
    let rules = rules(world, site, list)?;
    if from >= rules.len() {
        return Err(no_rule(from));
    }
    let rule = rules.remove(from);
    let to = if to > from { to - 1 } else { to };
    rules.insert(to.min(rules.len()), rule);
    Ok(())
}

/// Takes a rule away.
pub(super) fn delete(
    world: &mut World,
    site: &Site,
    list: &RuleList,
    position: usize,
) -> Result<(), Unpredictable> {
    let rules = rules(world, site, list)?;
    if position >= rules.len() {
        return Err(no_rule(position));
    }
    rules.remove(position);
    Ok(())
}

/// What Proxmox VE makes of a rule's fields: what is empty goes, addresses are networks without host bits, and a rule that does not say
/// is off.
fn fill(fields: &mut Section, set: &Section, delete: &BTreeSet<String>) {
    fields.retain(|key, _| !delete.contains(key));
    for (key, value) in set {
        if value.is_empty() {
            fields.remove(key);
            continue;
        }
        let value = match key.as_str() {
            "source" | "dest" => {
                let part = |part: &str| network(part).unwrap_or_else(|| part.to_owned());
                let parts: Vec<String> = value.split(',').map(part).collect();
                parts.join(",")
            }
            _ => value.clone(),
        };
        fields.insert(key.clone(), value);
    }
    let on = fields.get("enable").is_some_and(|value| value != "0");
    fields.insert("enable".to_owned(), u8::from(on).to_string());
}

/// Proxmox VE refuses a rule that names what is not there, or has a port without a protocol.
fn verified(world: &mut World, site: &Site, fields: &Section) -> Result<(), Unpredictable> {
    let has = |key: &str| fields.contains_key(key);
    for needs in ["sport", "dport", "icmp-type"] {
        if has(needs) && !has("proto") {
            return Err(refused(format!("`{needs}` needs `proto`")));
        }
    }
    for field in ["source", "dest"] {
        let Some(text) = fields.get(field) else {
            continue;
        };
        if !named(world, site, text)? {
            return Err(refused(format!(
                "`{field}` names {text}, which is not there"
            )));
        }
    }
    let called = fields.get("type").is_some_and(|kind| kind == "group");
    if let (true, Some(name)) = (called, fields.get("action"))
        && scope(world, &Site::Cluster)?.group(name).is_none()
    {
        return Err(refused(format!("there is no security group {name}")));
    }
    Ok(())
}

/// Whether a source or destination is no name, or that of an alias or a set that is there.
fn named(world: &mut World, site: &Site, text: &str) -> Result<bool, Unpredictable> {
    let (set, name) = match text.strip_prefix('+') {
        Some(name) => (true, name),
        None if element(text).is_some() && network(text).is_none() => (false, text),
        None => return Ok(true),
    };
    let Some((said, name)) = reference(name) else {
        return Ok(false);
    };
    let part = if set {
        FirewallPart::Set(name.to_ascii_lowercase())
    } else {
        FirewallPart::Alias(name.to_owned())
    };
    let has = |scope: &Scope| scope.state(&part).is_some();
    let own = matches!(site.place(), Place::Guest(_)) && said != Some("dc");
    let own = own && has(scope(world, site)?);
    let shared = said != Some("guest") && has(scope(world, &Site::Cluster)?);
    Ok(own || shared)
}

/// Sets options and takes others away.
pub(super) fn options(
    world: &mut World,
    site: &Site,
    set: &Section,
    delete: &BTreeSet<String>,
) -> Result<(), Unpredictable> {
    let options = &mut scope(world, site)?.options;
    options.retain(|key, _| !delete.contains(key));
    let set = set.iter().map(|(key, value)| (key.clone(), value.clone()));
    options.extend(set);
    Ok(())
}
