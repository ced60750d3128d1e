//! Reading every firewall's configuration. Nothing of it is hidden in silence: a token without the privilege is refused, which makes
//! that place unread.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{each, json};
use crate::ids::{NodeName, Vmid};
use crate::proxmox::{Call, Client};
use crate::world::firewall::{
    Alias, Corosync, Firewalls, Group, IpSet, NodeScope, Rule, Scope, Seen, SetEntry,
};
use crate::world::model::{Guest, Part, Section, World};

/// What a rule's fields are not: its place, which changes, and what Proxmox VE adds.
const ADDED: &[&str] = &["pos", "digest", "errors", "ipversion"];

/// Reads the firewalls of a cluster: of the datacenter, of every node, and of every guest in this world.
pub async fn observe_firewalls(client: &Client, world: &World) -> Firewalls {
    let (cluster, corosync, nodes, guests) = tokio::join!(
        scope(client, &["cluster", "firewall"], Has::Everything),
        corosync(client),
        nodes(client, world),
        guests(client, world),
    );
    Firewalls {
        cluster,
        nodes,
        guests,
        corosync,
    }
}

/// What there is at a place besides options and rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Has {
    /// A node.
    Nothing,
    /// A guest.
    Names,
    /// The datacenter.
    Everything,
}

async fn nodes(client: &Client, world: &World) -> BTreeMap<NodeName, NodeScope> {
    let names: Vec<NodeName> = world.nodes.keys().cloned().collect();
    let read = each(names, |name| {
        let client = client.clone();
        // Bridges are hidden in silence, and with them the addresses on them.
        let hidden = world.unreadable(&Part::NodeNetwork(name.clone()));
        let hidden = hidden.map(str::to_owned);
        async move {
            let path = ["nodes", name.as_str(), "firewall"];
            let (firewall, addresses) = tokio::join!(
                scope(&client, &path, Has::Nothing),
                addresses(&client, &name),
            );
            let addresses = hidden.map_or(addresses, Err);
            let node = NodeScope {
                firewall,
                addresses,
            };
            (name, node)
        }
    });
    read.await.into_iter().collect()
}

async fn guests(client: &Client, world: &World) -> BTreeMap<Vmid, Seen<Scope>> {
    let guests: Vec<Arc<Guest>> = world.guests.values().cloned().collect();
    let read = each(guests, |guest| {
        let client = client.clone();
        async move {
            let vmid = guest.vmid.to_string();
            let path = [
                "nodes",
                guest.node.as_str(),
                guest.kind.api(),
                &vmid,
                "firewall",
            ];
            (guest.vmid, scope(&client, &path, Has::Names).await)
        }
    });
    read.await.into_iter().collect()
}

async fn data(client: &Client, path: &[&str], rest: &[&str]) -> Seen<Value> {
    let call = Call::get(path.iter().chain(rest));
    let answer = client.read(call).await;
    answer.map(|a| a.data).map_err(|error| error.to_string())
}

async fn scope(client: &Client, path: &[&str], has: Has) -> Seen<Scope> {
    let options = data(client, path, &["options"]).await?;
    let mut scope = Scope {
        options: json::section(&options, &["digest"]),
        rules: rules(&data(client, path, &["rules"]).await?)?,
        ..Scope::default()
    };
    if has == Has::Nothing {
        return Ok(scope);
    }
    for item in list(&data(client, path, &["aliases"]).await?, "aliases")? {
        let alias = Alias {
            cidr: said(item, "cidr")?,
            comment: json::text(item, "comment"),
        };
        scope.aliases.insert(said(item, "name")?, alias);
    }
    for item in list(&data(client, path, &["ipset"]).await?, "sets")? {
        let name = said(item, "name")?;
        let entries = data(client, path, &["ipset", &name]).await?;
        let set = IpSet {
            entries: list(&entries, "entries of a set")?
                .map(entry)
                .collect::<Seen<_>>()?,
            comment: json::text(item, "comment"),
        };
        scope.ipsets.insert(name, set);
    }
    if has == Has::Everything {
        for item in list(&data(client, path, &["groups"]).await?, "groups")? {
            let name = said(item, "group")?;
            let group = Group {
                rules: rules(&data(client, path, &["groups", &name]).await?)?,
                comment: json::text(item, "comment"),
            };
            scope.groups.insert(name, group);
        }
    }
    Ok(scope)
}

/// The items of a list. What is no list is unread, not empty.
fn list<'a>(data: &'a Value, what: &str) -> Seen<impl Iterator<Item = &'a Value> + use<'a>> {
    match data {
        Value::Array(items) => Ok(items.iter()),
        _ => Err(format!("Proxmox VE gave no list of {what}")),
    }
}

fn said(item: &Value, field: &str) -> Seen<String> {
    let text = json::text(item, field).filter(|text| !text.is_empty());
    text.ok_or_else(|| format!("an entry has no `{field}`: {item}"))
}

/// The rules, in the order of their positions.
fn rules(data: &Value) -> Seen<Vec<Rule>> {
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
async fn addresses(client: &Client, node: &NodeName) -> Seen<Vec<String>> {
    let network = data(client, &["nodes", node.as_str(), "network"], &[]).await?;
    let mut addresses = Vec::new();
    for item in list(&network, "interfaces")? {
        for field in ["cidr", "cidr6"] {
            addresses.extend(json::text(item, field).filter(|text| !text.is_empty()));
        }
    }
    Ok(addresses)
}

async fn corosync(client: &Client) -> Seen<Corosync> {
    let (members, totem) = tokio::join!(
        data(client, &["cluster", "config", "nodes"], &[]),
        data(client, &["cluster", "config", "totem"], &[]),
    );
    let (members, totem) = (members?, totem?);
    let mut corosync = Corosync {
        transport: json::text(&totem, "transport"),
        members: BTreeMap::new(),
    };
    for item in list(&members, "members")? {
        let name: NodeName = said(item, "name")
            .or_else(|_| said(item, "node"))?
            .parse()
            .map_err(|_| format!("a member has no valid name: {item}"))?;
        let links = item
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| {
                let number = key.strip_prefix("ring")?.strip_suffix("_addr")?;
                Some((number.parse().ok()?, json::flat(value)?))
            });
        corosync.members.insert(name, links.collect());
    }
    Ok(corosync)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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
