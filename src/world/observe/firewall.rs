//! Reading every firewall's configuration. Nothing of it is hidden in silence: a token without the privilege is refused, which makes
//! that place unread.

mod again;
mod answers;
mod vnets;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::reads::Reads;
use super::{Observation, each};
use answers::{addresses, corosync, group, piece, set};

use crate::ids::{GuestKind, NodeName, VnetName};
use crate::world::firewall::{
    Alias, Corosync, Group, IpSet, NodeAddress, NodeScope, Place, Rule, Scope, Seen, SetEntry,
};
use crate::world::model::{Completeness, Part, Section};

/// What is read of a firewall's configuration at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::world) enum Piece {
    Options,
    Rules,
    Aliases,
    /// Which sets there are.
    Sets,
    /// What is in the set of this number, by name.
    Set(usize),
    /// Which security groups there are.
    Groups,
    /// The rules of the group of this number, by name.
    Group(usize),
    /// Who is a member of the cluster network.
    Members,
    /// How the cluster network is run.
    Totem,
    /// A node's addresses.
    Addresses,
    /// Which vnets there are.
    Vnets,
}

impl Piece {
    /// What there is at a place whose configuration is known, or was not to be read.
    pub(in crate::world) fn of(
        place: &Place,
        known: Option<&Scope>,
    ) -> impl Iterator<Item = Self> + use<> {
        let pieces: &[Self] = match (known, place) {
            // One is enough to have it tried again.
            (None, _) => &[Self::Options],
            (_, Place::Cluster) => &[
                Self::Options,
                Self::Rules,
                Self::Aliases,
                Self::Sets,
                Self::Groups,
                Self::Members,
                Self::Totem,
            ],
            (_, Place::Node(_)) => &[Self::Options, Self::Rules, Self::Addresses],
            (_, Place::Guest(_)) => &[Self::Options, Self::Rules, Self::Aliases, Self::Sets],
            (_, Place::Vnet(_)) => &[Self::Options, Self::Rules],
        };
        let sets = known.map_or(0, |scope| scope.ipsets.len());
        let groups = known.map_or(0, |scope| scope.groups.len());
        let more = (0..sets).map(Self::Set).chain((0..groups).map(Self::Group));
        let on = known.is_some_and(|scope| *place == Place::Cluster && scope.may_be_on());
        let vnets = on.then_some(Self::Vnets);
        pieces.iter().copied().chain(more).chain(vnets)
    }
}

/// What was read of a piece.
enum PieceRead {
    Options(Section),
    Rules(Vec<Rule>),
    Aliases(BTreeMap<String, Alias>),
    Sets(BTreeMap<String, Option<String>>),
    Set(String, Vec<SetEntry>),
    Groups(BTreeMap<String, Option<String>>),
    Group(String, Vec<Rule>),
    Members(BTreeMap<NodeName, BTreeMap<u32, String>>),
    Totem(Option<String>),
    Addresses(Vec<NodeAddress>),
    Vnets(BTreeMap<VnetName, String>),
}

/// Whether a piece is as it was, is another, or cannot be told without what belongs to it.
enum Kept {
    Same,
    Other,
    More,
}

impl Scope {
    fn compare(&self, piece: &PieceRead) -> Kept {
        let same = match piece {
            PieceRead::Options(options) => self.options == *options,
            PieceRead::Rules(rules) => self.rules == *rules,
            PieceRead::Aliases(aliases) => self.aliases == *aliases,
            PieceRead::Set(name, entries) => {
                let known = self.ipsets.get(name);
                known.is_some_and(|set| set.entries == *entries)
            }
            PieceRead::Group(name, rules) => {
                let known = self.groups.get(name);
                known.is_some_and(|group| group.rules == *rules)
            }
            PieceRead::Sets(names) => {
                let known = self.ipsets.iter();
                return all_known(known.map(|(name, set)| (name, &set.comment)), names);
            }
            PieceRead::Groups(names) => {
                let known = self.groups.iter();
                return all_known(known.map(|(name, group)| (name, &group.comment)), names);
            }
            PieceRead::Members(_)
            | PieceRead::Totem(_)
            | PieceRead::Addresses(_)
            | PieceRead::Vnets(_) => true,
        };
        if same { Kept::Same } else { Kept::Other }
    }

    fn set(&mut self, piece: PieceRead) {
        match piece {
            PieceRead::Options(options) => self.options = options,
            PieceRead::Rules(rules) => self.rules = rules,
            PieceRead::Aliases(aliases) => self.aliases = aliases,
            PieceRead::Set(name, entries) => self.ipsets.entry(name).or_default().entries = entries,
            PieceRead::Group(name, rules) => self.groups.entry(name).or_default().rules = rules,
            PieceRead::Sets(_)
            | PieceRead::Groups(_)
            | PieceRead::Members(_)
            | PieceRead::Totem(_)
            | PieceRead::Addresses(_)
            | PieceRead::Vnets(_) => {}
        }
    }
}

/// Whether these are the names and comments that are known. Of others, what is in them is to be read too.
fn all_known<'a>(
    known: impl Iterator<Item = (&'a String, &'a Option<String>)>,
    now: &'a BTreeMap<String, Option<String>>,
) -> Kept {
    if known.eq(now) {
        Kept::Same
    } else {
        Kept::More
    }
}

/// What was read at a place.
enum PlaceRead {
    Cluster(Seen<Scope>, Seen<Corosync>),
    Node(NodeName, NodeScope),
    Guest(crate::ids::Vmid, Seen<Scope>),
    Vnet(VnetName, Seen<Scope>),
}

/// Where a place is that is not the datacenter.
enum At {
    Node(NodeName),
    Guest(NodeName, GuestKind, crate::ids::Vmid),
    Vnet(VnetName),
}

impl At {
    /// The path of the firewall.
    fn path(at: Option<&Self>) -> Vec<String> {
        let path = match at {
            None => vec!["cluster".to_owned()],
            Some(Self::Node(node)) => vec!["nodes".to_owned(), node.to_string()],
            Some(Self::Guest(node, kind, vmid)) => vec![
                "nodes".to_owned(),
                node.to_string(),
                kind.api().to_owned(),
                vmid.to_string(),
            ],
            Some(Self::Vnet(vnet)) => ["cluster", "sdn", "vnets", vnet.as_str()]
                .map(str::to_owned)
                .to_vec(),
        };
        path.into_iter().chain(["firewall".to_owned()]).collect()
    }

    /// The node that answers for it.
    fn node(&self) -> Option<&NodeName> {
        match self {
            Self::Node(node) | Self::Guest(node, ..) => Some(node),
            Self::Vnet(_) => None,
        }
    }
}

impl Observation<'_> {
    /// Reads the firewalls that can have an effect.
    pub(super) async fn firewalls(&mut self) {
        self.some_firewalls(vec![Place::Cluster]).await;
        if self.world.firewalls.may_be_on() {
            self.vnets().await;
        }
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
        let vnets = firewalls.vnets.iter().flat_map(|vnets| vnets.keys());
        nodes
            .chain(guests.map(|guest| Place::Guest(guest.vmid)))
            .chain(vnets.cloned().map(Place::Vnet))
            .collect()
    }

    /// Where a place is; `None` for the datacenter. An error for a guest or a vnet that is not there.
    fn at(&self, place: &Place) -> Result<Option<At>, ()> {
        match place {
            Place::Cluster => Ok(None),
            Place::Node(node) => Ok(Some(At::Node(node.clone()))),
            Place::Guest(vmid) => {
                let guest = self.world.guests.get(vmid).ok_or(())?;
                Ok(Some(At::Guest(guest.node.clone(), guest.kind, *vmid)))
            }
            Place::Vnet(name) => {
                let vnets = self.world.firewalls.vnets.as_ref().map_err(|_| ())?;
                let known = vnets.contains_key(name);
                known.then(|| Some(At::Vnet(name.clone()))).ok_or(())
            }
        }
    }

    /// Reads these places. What is the same as it was stays the same in memory.
    pub(in crate::world) async fn some_firewalls(&mut self, places: Vec<Place>) {
        let mut calls = Vec::new();
        for place in places {
            let Ok(at) = self.at(&place) else { continue };
            let lost = at.as_ref().and_then(At::node);
            let lost = lost.and_then(|node| self.lost.get(node));
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

    /// Reads pieces of configurations. Gives the places that are to be read whole: what could be read and now cannot, what could not and
    /// now can, and what has more than was known.
    pub(in crate::world) async fn some_pieces(
        &mut self,
        pieces: Vec<(Place, Piece)>,
    ) -> BTreeSet<Place> {
        let mut calls = Vec::new();
        for (place, of) in pieces {
            let Ok(at) = self.at(&place) else { continue };
            let scope = self.known(&place);
            let name = match of {
                Piece::Set(number) => scope.and_then(|s| s.ipsets.keys().nth(number)),
                Piece::Group(number) => scope.and_then(|s| s.groups.keys().nth(number)),
                _ => None,
            };
            let name = name.cloned().unwrap_or_default();
            calls.push((place, at, of, name));
        }
        let reads = self.reads.clone();
        let read = each(calls, |(place, at, of, name)| {
            let reads = reads.clone();
            async move {
                let read = piece(&reads, at.as_ref(), of, &name).await;
                (place, read)
            }
        });
        let mut again = BTreeSet::new();
        for (place, read) in read.await {
            let whole = match (self.known(&place), read) {
                (None, read) => read.is_ok(),
                (Some(_), Err(_)) => true,
                (Some(_), Ok(read)) => !self.piece_read(&place, read),
            };
            if whole {
                again.insert(place);
            }
        }
        again
    }

    /// A place's configuration, if it is known with all that belongs to it.
    fn known(&self, place: &Place) -> Option<&Arc<Scope>> {
        self.world.firewalls.known(place)
    }

    /// Puts a piece in its place; whether that is all that is to be done.
    fn piece_read(&mut self, place: &Place, read: PieceRead) -> bool {
        let firewalls = &mut self.world.firewalls;
        match (read, place) {
            (PieceRead::Members(members), _) => firewalls.corosync.as_mut().is_ok_and(|known| {
                if known.members != members {
                    Arc::make_mut(known).members = members;
                }
                true
            }),
            (PieceRead::Totem(transport), _) => firewalls.corosync.as_mut().is_ok_and(|known| {
                if known.transport != transport {
                    Arc::make_mut(known).transport = transport;
                }
                true
            }),
            (PieceRead::Vnets(listed), _) => {
                self.vnets_listed(Ok(listed));
                true
            }
            (PieceRead::Addresses(now), Place::Node(name)) => {
                let known = firewalls.nodes.get(name);
                known.is_some_and(|known| known.addresses.as_ref() == Ok(&now))
            }
            (read, place) => {
                let kept = firewalls.known(place).map(|scope| scope.compare(&read));
                match kept {
                    Some(Kept::Same) => true,
                    Some(Kept::Other) => firewalls.change(place, |scope| scope.set(read)),
                    Some(Kept::More) | None => false,
                }
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
            PlaceRead::Vnet(name, scope) => self.vnet_read(&name, scope),
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
                firewall: scope.map(Arc::new),
                addresses,
            };
            PlaceRead::Node(name, node)
        }
        Place::Guest(vmid) => {
            let on = at.as_ref().and_then(At::node);
            let on = on.map(NodeName::to_string).unwrap_or_default();
            let scope = match lost {
                Some(why) => Err(format!("node {on}: {why}")),
                None => scope,
            };
            PlaceRead::Guest(vmid, scope)
        }
        Place::Vnet(name) => PlaceRead::Vnet(name, scope),
    }
}

async fn scope(reads: &Reads, place: &Place, at: Option<&At>) -> Seen<Scope> {
    let mut scope = Scope::default();
    for of in Piece::of(place, Some(&scope)) {
        match piece(reads, at, of, "").await? {
            PieceRead::Sets(names) => {
                for (name, comment) in names {
                    let entries = set(reads, at, &name).await?;
                    scope.ipsets.insert(name, IpSet { entries, comment });
                }
            }
            PieceRead::Groups(names) => {
                for (name, comment) in names {
                    let rules = group(reads, at, &name).await?;
                    scope.groups.insert(name, Group { rules, comment });
                }
            }
            read => scope.set(read),
        }
    }
    Ok(scope)
}
