//! Firewalls among what is imported: the aliases, sets and security groups, and the options and rules of the datacenter, of nodes, of
//! guests and of vnets.

use super::super::error::ServiceError;
use super::super::open::Service;
use super::only::Only;
use super::{NotImported, shown};
use crate::configuration::Cluster;
use crate::document::Kind;
use crate::document::desired::FirewallScope;
use crate::document::import::Imported;
use crate::document::import::firewall::{
    LiveAlias, LiveIpSet, LiveRules, alias, firewall, ip_set, security_group,
};
use crate::document::import::names::Unnamed;
use crate::plan::rule_list::{blocks, markers};
use crate::service::resources::firewall::{parts, scopes};
use crate::world::action::firewall::{object_of, of_object};
use crate::world::firewall::{FirewallPart, Place, Rule};
use crate::world::observe::{with_firewalls, with_vnets};
use crate::world::{Section, World};

/// The kinds that are found in firewalls.
pub(super) const KINDS: &[Kind] = &[
    Kind::FirewallAlias,
    Kind::IpSet,
    Kind::SecurityGroup,
    Kind::Firewall,
];

impl Service {
    /// The world with every guest's firewall read, whether or not it can have an effect.
    pub(super) async fn with_all_firewalls(
        &self,
        cluster: &Cluster,
        world: World,
    ) -> Result<World, ServiceError> {
        let client = self.client(&cluster.name)?;
        let world = with_vnets(&client, world).await;
        let guests = world.guests.keys().copied().map(Place::Guest);
        let nodes = world.nodes.keys().cloned().map(Place::Node);
        let vnets = world.firewalls.vnets.iter().flat_map(|vnets| vnets.keys());
        let unread = guests
            .chain(nodes)
            .chain(vnets.cloned().map(Place::Vnet))
            .filter(|place| world.firewalls.scope(place).is_err());
        let unread = unread.collect();
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
    let nodes = world.firewalls.nodes.iter();
    let nodes = nodes.filter_map(|(name, node)| {
        Some((Place::Node(name.clone()), node.firewall.as_ref().err()?))
    });
    let vnets = world.firewalls.vnets.iter().flatten();
    let vnets = vnets.filter_map(|(name, vnet)| {
        Some((Place::Vnet(name.clone()), vnet.firewall.as_ref().err()?))
    });
    let unlisted = world.firewalls.vnets.as_ref().err();
    let unlisted = unlisted.map(|why| NotImported {
        what: "the firewalls of vnets".to_owned(),
        why: why.clone(),
    });
    cluster
        .into_iter()
        .chain(nodes)
        .chain(guests)
        .chain(vnets)
        .map(|(place, why)| NotImported {
            what: place.to_string(),
            why: why.clone(),
        })
        .chain(unlisted)
        .collect()
}

/// Every alias, set, security group and firewall, by kind and id.
pub(super) fn objects(world: &World) -> impl Iterator<Item = (Kind, String)> {
    scopes(world)
        .filter(|(place, _)| match place {
            Place::Cluster => true,
            Place::Node(node) => world.nodes.contains_key(node),
            Place::Guest(vmid) => world.guests.contains_key(vmid),
            Place::Vnet(_) => true,
        })
        .flat_map(|(place, scope)| {
            parts(scope).filter_map(move |part| {
                let object = object_of(&place, &part);
                let (_, id) = object.split_once('/')?;
                let kind = match part {
                    FirewallPart::Alias(_) => Kind::FirewallAlias,
                    FirewallPart::Set(_) => Kind::IpSet,
                    FirewallPart::Group(_) => Kind::SecurityGroup,
                    FirewallPart::Rules | FirewallPart::Options => Kind::Firewall,
                };
                Some((kind, id.to_owned()))
            })
        })
}

fn fields(rules: &[Rule]) -> Vec<&Section> {
    rules.iter().map(|rule| &rule.fields).collect()
}

/// A list as a document says it: what has a block is shared with people, so only the block is.
fn live_rules<'a>(rules: &'a [Rule], blocks: &'a [String]) -> LiveRules<'a> {
    match blocks {
        [] => LiveRules::Whole(fields(rules)),
        [name] => match markers(rules, name) {
            Ok(Some(at)) => LiveRules::Block(name, fields(at.inside(rules))),
            Ok(None) => LiveRules::Whole(fields(rules)),
            Err(error) => LiveRules::Unsaid(error.to_string()),
        },
        several => LiveRules::Unsaid(format!(
            "it has the blocks {}, and a document is about one of them",
            several.join(" and ")
        )),
    }
}

/// The document of a part of a firewall, not planned yet.
pub(super) fn document(world: &World, object: &Unnamed, name: String) -> Result<Imported, String> {
    let called = shown(object);
    let (place, part) = of_object(&called).ok_or("it is gone")?;
    let guest = match &place {
        Place::Guest(vmid) => Some(*vmid),
        Place::Cluster | Place::Node(_) | Place::Vnet(_) => None,
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
        FirewallPart::Group(own) => {
            let live = scope.group(&own).ok_or("it is gone")?;
            let comment = live.comment.as_deref();
            let blocks = blocks(&live.rules);
            let rules = live_rules(&live.rules, &blocks);
            security_group(name, &called, &own, comment, &rules)
        }
        FirewallPart::Rules | FirewallPart::Options => {
            let of = match place {
                Place::Cluster => FirewallScope::Cluster,
                Place::Node(node) => FirewallScope::Node(node),
                Place::Guest(vmid) => FirewallScope::Guest(vmid),
                Place::Vnet(vnet) => FirewallScope::Vnet(vnet),
            };
            let blocks = blocks(&scope.rules);
            let rules = live_rules(&scope.rules, &blocks);
            firewall(name, &called, &of, &scope.options, &rules)
        }
    }
}
