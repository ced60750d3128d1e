//! Reading every firewall's configuration. Nothing of it is hidden in silence: a token without the privilege is refused, which makes
//! that place unread.

use std::collections::{BTreeMap, BTreeSet};
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

/// What is read of a firewall's configuration at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::world) enum Piece {
    Options,
    Rules,
    Aliases,
    Sets,
    Groups,
    /// What of the network the firewall depends on: the cluster network, or a node's addresses.
    Network,
}

impl Piece {
    /// What there is at a place.
    pub(in crate::world) fn of(place: &Place) -> &'static [Self] {
        match place {
            Place::Cluster => &[
                Self::Options,
                Self::Rules,
                Self::Aliases,
                Self::Sets,
                Self::Groups,
                Self::Network,
            ],
            Place::Node(_) => &[Self::Options, Self::Rules, Self::Network],
            Place::Guest(_) => &[Self::Options, Self::Rules, Self::Aliases, Self::Sets],
        }
    }
}

/// What was read of a piece.
enum PieceRead {
    Options(Section),
    Rules(Vec<Rule>),
    Aliases(BTreeMap<String, Alias>),
    Sets(BTreeMap<String, IpSet>),
    Groups(BTreeMap<String, Group>),
    Addresses(Vec<String>),
    Corosync(Corosync),
}

impl Scope {
    fn has(&self, piece: &PieceRead) -> bool {
        match piece {
            PieceRead::Options(options) => self.options == *options,
            PieceRead::Rules(rules) => self.rules == *rules,
            PieceRead::Aliases(aliases) => self.aliases == *aliases,
            PieceRead::Sets(sets) => self.ipsets == *sets,
            PieceRead::Groups(groups) => self.groups == *groups,
            PieceRead::Addresses(_) | PieceRead::Corosync(_) => true,
        }
    }

    fn set(&mut self, piece: PieceRead) {
        match piece {
            PieceRead::Options(options) => self.options = options,
            PieceRead::Rules(rules) => self.rules = rules,
            PieceRead::Aliases(aliases) => self.aliases = aliases,
            PieceRead::Sets(sets) => self.ipsets = sets,
            PieceRead::Groups(groups) => self.groups = groups,
            PieceRead::Addresses(_) | PieceRead::Corosync(_) => {}
        }
    }
}

/// What was read at a place.
enum PlaceRead {
    Cluster(Seen<Scope>, Seen<Corosync>),
    Node(NodeName, NodeScope),
    Guest(crate::ids::Vmid, Seen<Scope>),
}

/// Where a place is: the node, and a guest's kind and number.
struct At {
    node: NodeName,
    guest: Option<(GuestKind, crate::ids::Vmid)>,
}

impl At {
    /// The path of the firewall.
    fn path(at: Option<&Self>) -> Vec<String> {
        let path = match at {
            None => vec!["cluster".to_owned()],
            Some(Self { node, guest: None }) => vec!["nodes".to_owned(), node.to_string()],
            Some(Self {
                node,
                guest: Some((kind, vmid)),
            }) => vec![
                "nodes".to_owned(),
                node.to_string(),
                kind.api().to_owned(),
                vmid.to_string(),
            ],
        };
        path.into_iter().chain(["firewall".to_owned()]).collect()
    }
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

    /// Where a place is; `None` for the datacenter. An error for a guest that is not there.
    fn at(&self, place: &Place) -> Result<Option<At>, ()> {
        match place {
            Place::Cluster => Ok(None),
            Place::Node(node) => Ok(Some(At {
                node: node.clone(),
                guest: None,
            })),
            Place::Guest(vmid) => {
                let guest = self.world.guests.get(vmid).ok_or(())?;
                Ok(Some(At {
                    node: guest.node.clone(),
                    guest: Some((guest.kind, *vmid)),
                }))
            }
        }
    }

    /// Reads these places. What is the same as it was stays the same in memory.
    pub(in crate::world) async fn some_firewalls(&mut self, places: Vec<Place>) {
        let mut calls = Vec::new();
        for place in places {
            let Ok(at) = self.at(&place) else { continue };
            let lost = at.as_ref().and_then(|at| self.lost.get(&at.node));
            let lost = lost.cloned();
            calls.push((place, at, lost));
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

    /// Reads pieces of configurations that were read before. Gives the places of which a piece could not be read.
    pub(in crate::world) async fn some_pieces(
        &mut self,
        pieces: Vec<(Place, Piece)>,
    ) -> BTreeSet<Place> {
        let mut calls = Vec::new();
        for (place, of) in pieces {
            let Ok(at) = self.at(&place) else { continue };
            calls.push((place, at, of));
        }
        let reads = self.reads.clone();
        let read = each(calls, |(place, at, of)| {
            let reads = reads.clone();
            async move {
                let read = piece(&reads, at.as_ref(), of).await;
                (place, read)
            }
        });
        let mut failed = BTreeSet::new();
        for (place, read) in read.await {
            if !read.is_ok_and(|read| self.piece_read(&place, read)) {
                failed.insert(place);
            }
        }
        failed
    }

    /// Puts a piece in its place; whether that is known.
    fn piece_read(&mut self, place: &Place, read: PieceRead) -> bool {
        let firewalls = &mut self.world.firewalls;
        if let PieceRead::Corosync(read) = read {
            keep(&mut firewalls.corosync, Ok(read));
            return true;
        }
        let put = |scope: &mut Arc<Scope>, read: PieceRead| {
            if !scope.has(&read) {
                Arc::make_mut(scope).set(read);
            }
        };
        match place {
            Place::Cluster => firewalls
                .cluster
                .as_mut()
                .map(|scope| put(scope, read))
                .is_ok(),
            Place::Guest(vmid) => {
                let Some(Ok(known)) = firewalls.guests.get(vmid) else {
                    return false;
                };
                if !known.has(&read)
                    && let Some(Ok(known)) = firewalls.guests.get_mut(vmid)
                {
                    put(known, read);
                }
                true
            }
            Place::Node(name) => {
                let Some(known) = firewalls.nodes.get(name) else {
                    return false;
                };
                let same = match (&read, &known.firewall, &known.addresses) {
                    (PieceRead::Addresses(now), _, Ok(known)) => known == now,
                    // Why they are not known is settled where they are read whole.
                    (PieceRead::Addresses(_), _, Err(_)) | (_, Err(_), _) => return false,
                    (read, Ok(known), _) => known.has(read),
                };
                if !same && let Some(known) = firewalls.nodes.get_mut(name) {
                    let known = Arc::make_mut(known);
                    match (read, &mut known.firewall) {
                        (PieceRead::Addresses(now), _) => known.addresses = Ok(now),
                        (read, Ok(scope)) => scope.set(read),
                        (_, Err(_)) => {}
                    }
                }
                true
            }
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

async fn read(reads: &Reads, place: Place, at: Option<At>, lost: Option<String>) -> PlaceRead {
    let scope = match &lost {
        None => scope(reads, &place, at.as_ref()).await,
        Some(why) => Err(why.clone()),
    };
    match place {
        Place::Cluster => PlaceRead::Cluster(scope, corosync(reads).await),
        Place::Node(name) => {
            let addresses = match lost {
                Some(why) => Err(why),
                None => addresses(reads, &name).await,
            };
            let node = NodeScope {
                firewall: scope,
                addresses,
            };
            PlaceRead::Node(name, node)
        }
        Place::Guest(vmid) => {
            let on = at.map(|at| at.node.to_string()).unwrap_or_default();
            let scope = match lost {
                Some(why) => Err(format!("node {on}: {why}")),
                None => scope,
            };
            PlaceRead::Guest(vmid, scope)
        }
    }
}

async fn scope(reads: &Reads, place: &Place, at: Option<&At>) -> Seen<Scope> {
    let mut scope = Scope::default();
    let pieces = Piece::of(place).iter();
    for of in pieces.filter(|of| **of != Piece::Network) {
        scope.set(piece(reads, at, *of).await?);
    }
    Ok(scope)
}

async fn data(reads: &Reads, path: &[String], rest: &[&str]) -> Seen<Value> {
    let path = path.iter().map(String::as_str).chain(rest.iter().copied());
    let answer = reads.data(Call::get(path)).await;
    answer.map_err(|error| error.to_string())
}

async fn piece(reads: &Reads, at: Option<&At>, of: Piece) -> Seen<PieceRead> {
    let path = At::path(at);
    Ok(match of {
        Piece::Options => {
            let options = data(reads, &path, &["options"]).await?;
            PieceRead::Options(json::section(&options, &["digest"]))
        }
        Piece::Rules => PieceRead::Rules(rules(&data(reads, &path, &["rules"]).await?)?),
        Piece::Aliases => PieceRead::Aliases(aliases(&data(reads, &path, &["aliases"]).await?)?),
        Piece::Sets => PieceRead::Sets(sets(reads, &path).await?),
        Piece::Groups => PieceRead::Groups(groups(reads, &path).await?),
        Piece::Network => match at {
            None => PieceRead::Corosync(corosync(reads).await?),
            Some(at) => PieceRead::Addresses(addresses(reads, &at.node).await?),
        },
    })
}

fn aliases(data: &Value) -> Seen<BTreeMap<String, Alias>> {
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

async fn sets(reads: &Reads, path: &[String]) -> Seen<BTreeMap<String, IpSet>> {
    let mut sets = BTreeMap::new();
    for item in list(&data(reads, path, &["ipset"]).await?, "sets")? {
        let name = said(item, "name")?;
        let entries = data(reads, path, &["ipset", &name]).await?;
        let set = IpSet {
            entries: list(&entries, "entries of a set")?
                .map(entry)
                .collect::<Seen<_>>()?,
            comment: json::text(item, "comment"),
        };
        sets.insert(name, set);
    }
    Ok(sets)
}

async fn groups(reads: &Reads, path: &[String]) -> Seen<BTreeMap<String, Group>> {
    let mut groups = BTreeMap::new();
    for item in list(&data(reads, path, &["groups"]).await?, "groups")? {
        let name = said(item, "group")?;
        let group = Group {
            rules: rules(&data(reads, path, &["groups", &name]).await?)?,
            comment: json::text(item, "comment"),
        };
        groups.insert(name, group);
    }
    Ok(groups)
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
    let network = data(reads, &["nodes".to_owned(), node.to_string()], &["network"]).await?;
    let mut addresses = Vec::new();
    for item in list(&network, "interfaces")? {
        for field in ["cidr", "cidr6"] {
            addresses.extend(json::text(item, field).filter(|text| !text.is_empty()));
        }
    }
    Ok(addresses)
}

async fn corosync(reads: &Reads) -> Seen<Corosync> {
    let config = ["cluster".to_owned(), "config".to_owned()];
    let (members, totem) = tokio::join!(
        data(reads, &config, &["nodes"]),
        data(reads, &config, &["totem"]),
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
