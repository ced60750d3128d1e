//! Who uses an alias, a set or a security group: Proxmox VE lets all of them be deleted while they are used, and what used them then does
//! nothing (FW05).

use super::model::{Cluster, Known, Model};
use super::objects::{Objects, What};
use super::rule::{Entry, Kind, Peer, Read, Scope};

/// Something that rules and sets can refer to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// An alias, its name in lower case.
    Alias(String),
    /// A set.
    Set(String),
    /// A security group.
    Group(String),
}

/// A place that refers to something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// A rule of the datacenter, by position.
    ClusterRule(usize),
    /// A rule of a node.
    HostRule(String, usize),
    /// A rule of a guest.
    GuestRule(u32, usize),
    /// A rule of a security group.
    GroupRule(String, usize),
    /// A set of the datacenter that has the alias in it.
    ClusterSet(String),
    /// A set of a guest that has the alias in it.
    GuestSet(u32, String),
}

impl Model {
    /// Everything that uses an alias, set or group of the datacenter, switched off or not. A guest with an alias or set of the same name
    /// means its own, unless it says `dc/`. An error names what could not be read and may use it, too.
    ///
    /// # Errors
    /// The places whose configuration is not known.
    pub fn uses(&self, named: &Named) -> Result<Vec<Use>, (Vec<Use>, Vec<String>)> {
        let mut found = Vec::new();
        let mut unread = Vec::new();
        match &self.cluster {
            Known::Read(cluster) => cluster_uses(cluster, named, &mut found),
            Known::Unread(why) => unread.push(format!("the datacenter: {why}")),
        }
        for (name, node) in &self.nodes {
            match &node.firewall {
                Known::Read(host) => {
                    let rules = positions(&host.rules, named, None);
                    found.extend(rules.map(|at| Use::HostRule(name.clone(), at)));
                }
                Known::Unread(why) => unread.push(format!("node {name}: {why}")),
            }
        }
        for (vmid, guest) in &self.guests {
            match &guest.firewall {
                Known::Read(Some(firewall)) => {
                    let own = Some(&firewall.objects);
                    let rules = positions(&firewall.rules, named, own);
                    found.extend(rules.map(|at| Use::GuestRule(*vmid, at)));
                    let sets = sets_with(&firewall.objects, named, own);
                    found.extend(sets.map(|name| Use::GuestSet(*vmid, name)));
                }
                Known::Read(None) => {}
                Known::Unread(why) => unread.push(format!("guest {vmid}: {why}")),
            }
        }
        if unread.is_empty() {
            Ok(found)
        } else {
            Err((found, unread))
        }
    }
}

fn cluster_uses(cluster: &Cluster, named: &Named, found: &mut Vec<Use>) {
    found.extend(positions(&cluster.rules, named, None).map(Use::ClusterRule));
    for (group, rules) in &cluster.groups {
        let rules = positions(rules, named, None);
        found.extend(rules.map(|at| Use::GroupRule(group.clone(), at)));
    }
    found.extend(sets_with(&cluster.objects, named, None).map(Use::ClusterSet));
}

/// Whether a reference means the datacenter's, where `own` are the objects of the guest it stands in.
fn means_datacenter(scope: Option<Scope>, own_has: bool) -> bool {
    match scope {
        Some(Scope::Datacenter) => true,
        Some(Scope::Guest) => false,
        None => !own_has,
    }
}

fn positions<'a>(
    rules: &'a [Entry],
    named: &'a Named,
    own: Option<&'a Objects>,
) -> impl Iterator<Item = usize> + 'a {
    let refers = move |peer: &Option<Peer>| match (peer, named) {
        (Some(Peer::Alias(scope, name)), Named::Alias(wanted)) => {
            let own_has = own.is_some_and(|own| own.aliases.contains_key(name));
            name == wanted && means_datacenter(*scope, own_has)
        }
        (Some(Peer::Set(scope, name)), Named::Set(wanted)) => {
            let own_has = own.is_some_and(|own| own.sets.contains_key(name));
            name == wanted && means_datacenter(*scope, own_has)
        }
        _ => false,
    };
    let uses = move |entry: &Entry| match &entry.read {
        Read::Ignored(_) => false,
        Read::Rule(rule) => match (&rule.kind, named) {
            (Kind::Group(name), Named::Group(wanted)) => name == wanted,
            _ => refers(&rule.source) || refers(&rule.dest),
        },
    };
    let rules = rules.iter().enumerate();
    rules
        .filter(move |(_, entry)| uses(entry))
        .map(|(at, _)| at)
}

fn sets_with<'a>(
    objects: &'a Objects,
    named: &'a Named,
    own: Option<&'a Objects>,
) -> impl Iterator<Item = String> + 'a {
    let has = move |what: &What| match (what, named) {
        (What::Alias(scope, name), Named::Alias(wanted)) => {
            let own_has = own.is_some_and(|own| own.aliases.contains_key(name));
            name == wanted && means_datacenter(*scope, own_has)
        }
        _ => false,
    };
    let sets = objects.sets.iter();
    sets.filter(move |(_, elements)| elements.iter().any(|element| has(&element.what)))
        .map(|(name, _)| name.clone())
}
