//! What of a firewall's configuration one call reads or writes, and what tells one state of it from another.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Alias, Group, IpSet, Rule, Scope};
use crate::proxmox::firewall::element;

/// A part of a firewall's configuration: what a step changes and what must still be as it was planned on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FirewallPart {
    /// The alias of this name.
    Alias(String),
    /// The set of this name, with what is in it.
    Set(String),
    /// The security group of this name, with its rules.
    Group(String),
    /// The rules.
    Rules,
    /// The options.
    Options,
}

impl fmt::Display for FirewallPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alias(name) => write!(f, "the alias {name}"),
            Self::Set(name) => write!(f, "the set {name}"),
            Self::Group(name) => write!(f, "the security group {name}"),
            Self::Rules => f.write_str("the list of rules"),
            Self::Options => f.write_str("the options"),
        }
    }
}

impl Scope {
    /// An alias. Its name's case does not count.
    pub fn alias(&self, name: &str) -> Option<&Alias> {
        let exact = self.aliases.get(name);
        exact.or_else(|| {
            let mut all = self.aliases.iter();
            all.find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, alias)| alias)
        })
    }

    /// A security group. Its name's case does not count.
    pub fn group(&self, name: &str) -> Option<&Group> {
        let exact = self.groups.get(name);
        exact.or_else(|| {
            let mut all = self.groups.iter();
            all.find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, group)| group)
        })
    }

    /// A part's state as a text that is another one for another state; `None` if it is not there.
    pub fn state(&self, part: &FirewallPart) -> Option<String> {
        match part {
            FirewallPart::Alias(name) => self.alias(name).map(alias_state),
            FirewallPart::Set(name) => self.ipsets.get(name).map(set_state),
            FirewallPart::Group(name) => self.group(name).map(group_state),
            FirewallPart::Rules => Some(digest(self.rules.iter().map(rule_state))),
            FirewallPart::Options => {
                let options = self.options.iter();
                Some(digest(
                    options.map(|(key, value)| format!("{key}: {value}")),
                ))
            }
        }
    }
}

fn alias_state(alias: &Alias) -> String {
    digest([
        spelling(&alias.cidr),
        alias.comment.clone().unwrap_or_default(),
    ])
}

/// In which order a set's entries are listed does not count.
fn set_state(set: &IpSet) -> String {
    let mut lines: Vec<String> = set
        .entries
        .iter()
        .map(|entry| {
            let comment = entry.comment.as_deref().unwrap_or_default();
            format!("{} {} {comment}", spelling(&entry.cidr), entry.nomatch)
        })
        .collect();
    lines.sort_unstable();
    let comment = set.comment.clone().unwrap_or_default();
    digest(std::iter::once(comment).chain(lines))
}

fn group_state(group: &Group) -> String {
    let comment = group.comment.clone().unwrap_or_default();
    digest(std::iter::once(comment).chain(group.rules.iter().map(rule_state)))
}

/// A rule's fields, each in one spelling. What Proxmox VE finds wrong with it, and that it is off, are told apart from what it says.
fn rule_state(rule: &Rule) -> String {
    let fields = rule.fields.iter().filter_map(|(key, value)| {
        let value = match key.as_str() {
            "enable" => return None,
            "log" if value == "nolog" => return None,
            "source" | "dest" => {
                let parts: Vec<String> = value.split(',').map(spelling).collect();
                parts.join(",")
            }
            "macro" => value.to_ascii_lowercase(),
            _ => value.clone(),
        };
        (!value.is_empty()).then(|| format!("{key}={value}"))
    });
    let on = if rule.enabled() { "on" } else { "off" };
    let fields: Vec<String> = fields.collect();
    format!("{on} {}", fields.join("\n"))
}

impl Rule {
    /// Whether it is switched on. One that does not say is off.
    pub fn enabled(&self) -> bool {
        let on = self.fields.get("enable");
        on.is_some_and(|value| !matches!(value.as_str(), "" | "0"))
    }
}

fn spelling(text: &str) -> String {
    element(text).unwrap_or_else(|| text.to_owned())
}

fn digest(lines: impl IntoIterator<Item = String>) -> String {
    let mut sha = Sha256::new();
    for line in lines {
        sha.update(line.len().to_le_bytes());
        sha.update(line.as_bytes());
    }
    format!("sha256:{}", hex::encode(sha.finalize()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::world::firewall::SetEntry;

    fn set(entries: &[(&str, bool)]) -> Scope {
        let entries = entries.iter().map(|(cidr, nomatch)| SetEntry {
            cidr: (*cidr).to_owned(),
            nomatch: *nomatch,
            ..SetEntry::default()
        });
        let set = IpSet {
            entries: entries.collect(),
            comment: None,
        };
        let mut scope = Scope::default();
        scope.ipsets.insert("web".to_owned(), set);
        scope
    }

    #[test]
    fn a_state_tells_what_counts_and_nothing_else() {
        let part = FirewallPart::Set("web".to_owned());
        let state = |entries: &[(&str, bool)]| set(entries).state(&part).unwrap();
        let one = state(&[("10.0.0.1", false), ("LAN", false)]);
        assert_eq!(one, state(&[("lan", false), ("10.0.0.1/32", false)]));
        assert_ne!(one, state(&[("lan", true), ("10.0.0.1", false)]));
        assert_ne!(one, state(&[("10.0.0.1", false)]));
        assert_eq!(Scope::default().state(&part), None);
    }

    #[test]
    fn an_alias_is_found_whatever_its_case() {
        let mut scope = Scope::default();
        let alias = Alias {
            cidr: "10.0.0.0/8".to_owned(),
            comment: None,
        };
        scope.aliases.insert("Lan".to_owned(), alias);
        let there = |name: &str| scope.state(&FirewallPart::Alias(name.to_owned()));
        assert_eq!(there("lan"), there("LAN"));
        assert!(there("lan").is_some() && there("wan").is_none());
    }
}
