//! The calls that read a firewall's configuration, a piece each, and what is taken from their answers.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::json;
use super::super::reads::Reads;
use super::{At, Piece, PieceRead};
use crate::ids::NodeName;
use crate::proxmox::Call;
use crate::world::firewall::{Alias, Corosync, NodeAddress, ON_TRIAL, Rule, Seen, SetEntry};
use crate::world::model::Section;

/// What a rule's fields are not: its place, which changes, and what Proxmox VE adds.
const ADDED: &[&str] = &["pos", "digest", "errors", "ipversion"];

pub(super) async fn data(reads: &Reads, path: &[String], rest: &[&str]) -> Seen<Value> {
    let path = path.iter().map(String::as_str).chain(rest.iter().copied());
    let answer = reads.data(Call::get(path)).await;
    answer.map_err(|error| error.to_string())
}

/// Reads a piece; `name` is that of the set or group.
pub(super) async fn piece(
    reads: &Reads,
    at: Option<&At>,
    of: Piece,
    name: &str,
) -> Seen<PieceRead> {
    let path = At::path(at);
    Ok(match of {
        Piece::Options => {
            let answer = data(reads, &path, &["options"]).await?;
            PieceRead::Options(options(&answer, at.is_none()))
        }
        Piece::Rules => PieceRead::Rules(rules(&data(reads, &path, &["rules"]).await?)?),
        Piece::Aliases => PieceRead::Aliases(aliases(&data(reads, &path, &["aliases"]).await?)?),
        Piece::Sets => {
            let list = data(reads, &path, &["ipset"]).await?;
            PieceRead::Sets(names(&list, "name")?)
        }
        Piece::Groups => {
            let list = data(reads, &path, &["groups"]).await?;
            PieceRead::Groups(names(&list, "group")?)
        }
        Piece::Set(_) => PieceRead::Set(name.to_owned(), set(reads, at, name).await?),
        Piece::Group(_) => PieceRead::Group(name.to_owned(), group(reads, at, name).await?),
        Piece::Members => PieceRead::Members(members(reads).await?),
        Piece::Totem => PieceRead::Totem(transport(reads).await?),
        Piece::Addresses => match at.and_then(At::node) {
            Some(node) => PieceRead::Addresses(addresses(reads, node).await?),
            None => PieceRead::Addresses(Vec::new()),
        },
        Piece::Vnets => PieceRead::Vnets(super::vnets::vnets(reads).await?),
    })
}

/// The options of a firewall. That the datacenter's is on trial is said in one word, whenever the trial began.
pub(super) fn options(answer: &Value, of_datacenter: bool) -> Section {
    let mut options = json::section(answer, &["digest"]);
    if of_datacenter
        && let Some(enable) = options.get_mut("enable")
        && enable.parse::<i64>().is_ok_and(|since| since > 1)
    {
        ON_TRIAL.clone_into(enable);
    }
    options
}

/// The names in a list, with their comments.
pub(super) fn names(data: &Value, field: &str) -> Seen<BTreeMap<String, Option<String>>> {
    list(data, "names")?
        .map(|item| Ok((said(item, field)?, json::text(item, "comment"))))
        .collect()
}

pub(super) async fn set(reads: &Reads, at: Option<&At>, name: &str) -> Seen<Vec<SetEntry>> {
    let entries = data(reads, &At::path(at), &["ipset", name]).await?;
    set_of(&entries)
}

/// What is in a set.
pub(super) fn set_of(entries: &Value) -> Seen<Vec<SetEntry>> {
    list(entries, "entries of a set")?.map(entry).collect()
}

pub(super) async fn group(reads: &Reads, at: Option<&At>, name: &str) -> Seen<Vec<Rule>> {
    rules(&data(reads, &At::path(at), &["groups", name]).await?)
}

pub(super) fn aliases(data: &Value) -> Seen<BTreeMap<String, Alias>> {
    list(data, "aliases")?
        .map(|item| {
            let alias = Alias {
                cidr: said(item, "cidr")?,
                comment: json::text(item, "comment"),
            };
            Ok((said(item, "name")?, alias))
        })
        .collect()
}

/// The items of a list. What is no list is unread, not empty.
pub(super) fn list<'a>(
    data: &'a Value,
    what: &str,
) -> Seen<impl Iterator<Item = &'a Value> + use<'a>> {
    match data {
        Value::Array(items) => Ok(items.iter()),
        _ => Err(format!("Proxmox VE gave no list of {what}")),
    }
}

pub(super) fn said(item: &Value, field: &str) -> Seen<String> {
    let text = json::text(item, field).filter(|text| !text.is_empty());
    text.ok_or_else(|| format!("an entry has no `{field}`: {item}"))
}

/// The rules, in the order of their positions.
pub(super) fn rules(data: &Value) -> Seen<Vec<Rule>> {
    let mut rules = Vec::new();
    for item in list(data, "rules")? {
        let position = json::integer(item, "pos").ok_or("a rule has no position")?;
        let rule = Rule {
            fields: json::section(item, ADDED),
            errors: errors(item),
        };
        rules.push((position, rule));
    }
    rules.sort_by_key(|(position, _)| *position);
    for (index, (position, _)) in (0i64..).zip(&rules) {
        if index != *position {
            return Err(format!("rule {index} is missing"));
        }
    }
    Ok(rules.into_iter().map(|(_, rule)| rule).collect())
}

fn entry(item: &Value) -> Seen<SetEntry> {
    Ok(SetEntry {
        cidr: said(item, "cidr")?,
        nomatch: json::flag(item, "nomatch").unwrap_or(false),
        comment: json::text(item, "comment"),
        errors: errors(item),
    })
}

fn errors(item: &Value) -> Section {
    item.get("errors")
        .map(|errors| json::section(errors, &[]))
        .unwrap_or_default()
}

/// A node's own addresses, as its network is configured.
pub(super) async fn addresses(reads: &Reads, node: &NodeName) -> Seen<Vec<NodeAddress>> {
    let network = data(reads, &["nodes".to_owned(), node.to_string()], &["network"]).await?;
    let mut addresses = Vec::new();
    for item in list(&network, "interfaces")? {
        for field in ["cidr", "cidr6"] {
            let cidr = json::text(item, field).filter(|text| !text.is_empty());
            if let Some(cidr) = cidr {
                let interface = said(item, "iface")?;
                addresses.push(NodeAddress { interface, cidr });
            }
        }
    }
    Ok(addresses)
}

pub(super) async fn corosync(reads: &Reads) -> Seen<Corosync> {
    let (members, transport) = tokio::join!(members(reads), transport(reads));
    Ok(Corosync {
        transport: transport?,
        members: members?,
    })
}

fn config() -> [String; 2] {
    ["cluster".to_owned(), "config".to_owned()]
}

async fn transport(reads: &Reads) -> Seen<Option<String>> {
    let totem = data(reads, &config(), &["totem"]).await?;
    Ok(json::text(&totem, "transport"))
}

async fn members(reads: &Reads) -> Seen<BTreeMap<NodeName, BTreeMap<u32, String>>> {
    let list_of = data(reads, &config(), &["nodes"]).await?;
    let mut members = BTreeMap::new();
    for item in list(&list_of, "members")? {
        let name: NodeName = said(item, "name")
            .or_else(|_| said(item, "node"))?
            .parse()
            .map_err(|_| format!("a member has no valid name: {item}"))?;
        let links = item.as_object().into_iter().flatten();
        let links = links.filter_map(|(key, value)| {
            let number = key.strip_prefix("ring")?.strip_suffix("_addr")?;
            Some((number.parse().ok()?, json::flat(value)?))
        });
        members.insert(name, links.collect());
    }
    Ok(members)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_stand_in_the_order_of_their_positions() {
        let list = json!([
            {"pos": 1, "type": "out", "action": "DROP", "digest": "ab", "enable": 0},
            {"pos": 0, "type": "in", "action": "ACCEPT", "source": "+gone", "errors": {"source": "no such ipset"}, "ipversion": 4},
        ]);
        let read = rules(&list).unwrap();
        let actions: Vec<&str> = read
            .iter()
            .map(|rule| rule.fields["action"].as_str())
            .collect();
        assert_eq!(actions, ["ACCEPT", "DROP"]);
        assert_eq!(read[0].errors["source"], "no such ipset");
        assert!(!read[0].fields.contains_key("pos") && !read[0].fields.contains_key("ipversion"));
    }

    #[test]
    fn a_list_with_a_gap_or_no_list_is_unread() {
        assert!(
            rules(&json!([{"pos": 1, "action": "DROP"}]))
                .unwrap_err()
                .contains("missing")
        );
        assert!(rules(&json!([{"action": "DROP"}])).is_err());
        assert!(rules(&Value::Null).is_err());
        assert!(entry(&json!({"nomatch": 1})).is_err());
    }
}
