//! Reading every firewall's configuration. Nothing of it is hidden in silence: a token without the privilege is refused, which makes
//! that place unread.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::reads::Reads;
use super::{Observation, each, json};
use crate::ids::{GuestKind, NodeName};
use crate::proxmox::Call;
use crate::world::firewall::{
    Alias, Corosync, Group, IpSet, NodeScope, Place, Rule, Scope, Seen, SetEntry,
};
use crate::world::model::{Completeness, Part, Section};

/// What a rule's fields are not: its place, which changes, and what Proxmox VE adds.
const ADDED: &[&str] = &["pos", "digest", "errors", "ipversion"];

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

/// What was read at a place.
enum PlaceRead {
    Cluster(Seen<Scope>, Seen<Corosync>),
    Node(NodeName, NodeScope),
    Guest(crate::ids::Vmid, Seen<Scope>),
}

impl Observation<'_> {
    /// Reads the firewalls that can have an effect.
    pub(super) async fn firewalls(&mut self) {
        self.some_firewalls(vec![Place::Cluster]).await;
        let places = self.firewall_places();
        self.some_firewalls(places).await;
    }

    /// The places besides the datacenter's that are read, as far as this world says.
    pub(in crate::world) fn firewall_places(&self) -> Vec<Place> {
        let firewalls = &self.world.firewalls;
        if !firewalls.may_be_on() {
            return Vec::new();
        }
        let nodes = self.world.nodes.keys().cloned().map(Place::Node);
        let guests = self.world.guests.values();
        let guests = guests.filter(|guest| firewalls.concerns(guest));
        nodes
            .chain(guests.map(|guest| Place::Guest(guest.vmid)))
            .collect()
    }

    /// Reads these places. What is the same as it was stays the same in memory.
    pub(in crate::world) async fn some_firewalls(&mut self, places: Vec<Place>) {
        let mut calls = Vec::new();
        for place in places {
            let at = match &place {
                Place::Cluster => None,
                Place::Node(node) => Some((node.clone(), None)),
                Place::Guest(vmid) => match self.world.guests.get(vmid) {
                    Some(guest) => Some((guest.node.clone(), Some(guest.kind))),
                    None => continue,
                },
            };
            let lost = at.as_ref().and_then(|(node, _)| self.lost.get(node));
            calls.push((place, at, lost.cloned()));
        }
        let reads = self.reads.clone();
        let read = each(calls, |(place, at, lost)| {
            let reads = reads.clone();
            async move { read(&reads, place, at, lost).await }
        });
        for read in read.await {
            self.firewall_read(read);
        }
    }

    fn firewall_read(&mut self, read: PlaceRead) {
        let firewalls = &mut self.world.firewalls;
        match read {
            PlaceRead::Cluster(scope, corosync) => {
                keep(&mut firewalls.cluster, scope);
                keep(&mut firewalls.corosync, corosync);
            }
            PlaceRead::Node(name, mut scope) => {
                // Bridges are hidden in silence, and with them the addresses on them.
                let network = Part::NodeNetwork(name.clone());
                if let (Ok(_), Some(Completeness::Unreadable { why })) =
                    (&scope.addresses, self.world.completeness.get(&network))
                {
                    scope.addresses = Err(why.clone());
                }
                let known = firewalls.nodes.get(&name);
                if known.is_none_or(|known| **known != scope) {
                    firewalls.nodes.insert(name, Arc::new(scope));
                }
            }
            PlaceRead::Guest(vmid, scope) => {
                let same = match (firewalls.guests.get(&vmid), &scope) {
                    (Some(Ok(known)), Ok(now)) => **known == *now,
                    (Some(Err(known)), Err(now)) => known == now,
                    _ => false,
                };
                if !same {
                    firewalls.guests.insert(vmid, scope.map(Arc::new));
                }
            }
        }
    }
}

fn keep<T: PartialEq>(known: &mut Seen<Arc<T>>, now: Seen<T>) {
    match (&*known, now) {
        (Ok(known), Ok(now)) if **known == now => {}
        (_, now) => *known = now.map(Arc::new),
    }
}

async fn read(
    reads: &Reads,
    place: Place,
    at: Option<(NodeName, Option<GuestKind>)>,
    lost: Option<String>,
) -> PlaceRead {
    let node = at
        .as_ref()
        .map(|(node, _)| node.as_str())
        .unwrap_or_default();
    match place {
        Place::Cluster => {
            let (scope, corosync) = tokio::join!(
                scope(reads, &["cluster", "firewall"], Has::Everything),
                corosync(reads)
            );
            PlaceRead::Cluster(scope, corosync)
        }
        Place::Node(name) => {
            let (firewall, addresses) = match lost {
                Some(why) => (Err(why.clone()), Err(why)),
                None => {
                    let path = ["nodes", node, "firewall"];
                    tokio::join!(scope(reads, &path, Has::Nothing), addresses(reads, &name))
                }
            };
            let scope = NodeScope {
                firewall,
                addresses,
            };
            PlaceRead::Node(name, scope)
        }
        Place::Guest(vmid) => {
            let kind = at.as_ref().and_then(|(_, kind)| *kind);
            let read = match (lost, kind) {
                (Some(why), _) => Err(format!("node {node}: {why}")),
                (None, None) => Err("its kind is not known".to_owned()),
                (None, Some(kind)) => {
                    let vmid = vmid.to_string();
                    let path = ["nodes", node, kind.api(), &vmid, "firewall"];
                    scope(reads, &path, Has::Names).await
                }
            };
            PlaceRead::Guest(vmid, read)
        }
    }
}

async fn data(reads: &Reads, path: &[&str], rest: &[&str]) -> Seen<Value> {
    let call = Call::get(path.iter().chain(rest));
    reads.data(call).await.map_err(|error| error.to_string())
}

async fn scope(reads: &Reads, path: &[&str], has: Has) -> Seen<Scope> {
    let options = data(reads, path, &["options"]).await?;
    let mut scope = Scope {
        options: json::section(&options, &["digest"]),
        rules: rules(&data(reads, path, &["rules"]).await?)?,
        ..Scope::default()
    };
    if has == Has::Nothing {
        return Ok(scope);
    }
    for item in list(&data(reads, path, &["aliases"]).await?, "aliases")? {
        let alias = Alias {
            cidr: said(item, "cidr")?,
            comment: json::text(item, "comment"),
        };
        scope.aliases.insert(said(item, "name")?, alias);
    }
    for item in list(&data(reads, path, &["ipset"]).await?, "sets")? {
        let name = said(item, "name")?;
        let entries = data(reads, path, &["ipset", &name]).await?;
        let set = IpSet {
            entries: list(&entries, "entries of a set")?
                .map(entry)
                .collect::<Seen<_>>()?,
            comment: json::text(item, "comment"),
        };
        scope.ipsets.insert(name, set);
    }
    if has == Has::Everything {
        for item in list(&data(reads, path, &["groups"]).await?, "groups")? {
            let name = said(item, "group")?;
            let group = Group {
                rules: rules(&data(reads, path, &["groups", &name]).await?)?,
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
async fn addresses(reads: &Reads, node: &NodeName) -> Seen<Vec<String>> {
    let network = data(reads, &["nodes", node.as_str(), "network"], &[]).await?;
    let mut addresses = Vec::new();
    for item in list(&network, "interfaces")? {
        for field in ["cidr", "cidr6"] {
            addresses.extend(json::text(item, field).filter(|text| !text.is_empty()));
        }
    }
    Ok(addresses)
}

async fn corosync(reads: &Reads) -> Seen<Corosync> {
    let (members, totem) = tokio::join!(
        data(reads, &["cluster", "config", "nodes"], &[]),
        data(reads, &["cluster", "config", "totem"], &[]),
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
