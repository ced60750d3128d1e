//! Firewalls among what is imported: the aliases and sets of the datacenter and of every guest.

use super::super::error::ServiceError;
use super::super::open::Service;
use super::only::Only;
use super::{NotImported, shown};
use crate::configuration::Cluster;
use crate::document::Kind;
use crate::document::import::Imported;
use crate::document::import::firewall::{LiveAlias, LiveIpSet, alias, ip_set};
use crate::document::import::names::Unnamed;
use crate::ids::Vmid;
use crate::world::World;
use crate::world::action::firewall::of_object;
use crate::world::firewall::{FirewallPart, Place, Scope};
use crate::world::observe::with_firewalls;

/// The kinds that are found in firewalls.
pub(super) const KINDS: &[Kind] = &[Kind::FirewallAlias, Kind::IpSet];

impl Service {
    /// The world with every guest's firewall read, whether or not it can have an effect.
    pub(super) async fn with_all_firewalls(
        &self,
        cluster: &Cluster,
        world: World,
    ) -> Result<World, ServiceError> {
        let guests = world.guests.keys().copied().map(Place::Guest);
        let unread = guests.filter(|place| world.firewalls.scope(place).is_err());
        let unread = unread.collect();
        let client = self.client(&cluster.name)?;
        Ok(with_firewalls(&client, world, unread).await)
    }
}

/// What was asked for and could not be read.
pub(super) fn unread(world: &World, only: &Only) -> Vec<NotImported> {
    if !only.wants_any(KINDS) {
        return Vec::new();
    }
    let cluster = world.firewalls.cluster.as_ref().err();
    let cluster = cluster.map(|why| (Place::Cluster, why));
    let guests = world.firewalls.guests.iter();
    let guests =
        guests.filter_map(|(vmid, read)| Some((Place::Guest(*vmid), read.as_ref().err()?)));
    cluster
        .into_iter()
        .chain(guests)
        .map(|(place, why)| NotImported {
            what: place.to_string(),
            why: why.clone(),
        })
        .collect()
}

fn scopes(world: &World) -> impl Iterator<Item = (Option<Vmid>, &Scope)> {
    let cluster = world.firewalls.cluster.as_ref().ok();
    let cluster = cluster.map(|scope| (None, &**scope));
    let guests = world.firewalls.guests.iter();
    let guests = guests.filter(|(vmid, _)| world.guests.contains_key(vmid));
    let guests = guests.filter_map(|(vmid, read)| Some((Some(*vmid), &**read.as_ref().ok()?)));
    cluster.into_iter().chain(guests)
}

/// Every alias and set, by kind and id.
pub(super) fn objects(world: &World) -> impl Iterator<Item = (Kind, String)> {
    scopes(world).flat_map(|(guest, scope)| {
        let at = guest.map_or_else(String::new, |vmid| format!("{vmid}/"));
        let of = at.clone();
        let aliases = scope.aliases.keys();
        let aliases = aliases.map(move |name| {
            let id = format!("{at}{}", name.to_ascii_lowercase());
            (Kind::FirewallAlias, id)
        });
        let sets = scope.ipsets.keys();
        aliases.chain(sets.map(move |name| (Kind::IpSet, format!("{of}{name}"))))
    })
}

/// The document of an alias or a set, not planned yet.
pub(super) fn document(world: &World, object: &Unnamed, name: String) -> Result<Imported, String> {
    let called = shown(object);
    let (place, part) = of_object(&called).ok_or("it is gone")?;
    let guest = match &place {
        Place::Guest(vmid) => Some(*vmid),
        Place::Cluster | Place::Node(_) => None,
    };
    let scope = world.firewalls.scope(&place)?;
    match part {
        FirewallPart::Alias(own) => {
            let live = scope.alias(&own).ok_or("it is gone")?;
            let of = LiveAlias {
                guest,
                name: &own,
                cidr: &live.cidr,
                comment: live.comment.as_deref(),
            };
            alias(name, &called, &of)
        }
        FirewallPart::Set(own) => {
            let live = scope.ipsets.get(&own).ok_or("it is gone")?;
            if own != own.to_ascii_lowercase() {
                return Err("its name has capital letters, which only a hand in Proxmox VE's own file can write: no document can be about it".to_owned());
            }
            let entries = live.entries.iter();
            let of = LiveIpSet {
                guest,
                name: &own,
                comment: live.comment.as_deref(),
                entries: entries
                    .map(|entry| (entry.cidr.as_str(), entry.nomatch, entry.comment.as_deref()))
                    .collect(),
            };
            ip_set(name, &called, &of)
        }
    }
}
