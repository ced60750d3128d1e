//! Reading parts of firewalls again around a step that changes one, with the digests that its call takes; and whole firewalls for a plan
//! that needs them although they can have no effect.

use std::collections::BTreeSet;

use super::super::Observation;
use super::super::json;
use super::answers::{aliases, data, names, rules, set_of};
use super::{At, Reads};
use crate::world::firewall::{FirewallPart, Group, IpSet, Place, Rule, Scope, Seen};
use crate::world::model::Section;

/// A part as it was read, with Proxmox VE's digest of it if it gives one.
type PartSeen = Seen<(Fresh, Option<String>)>;

enum Fresh {
    Aliases(std::collections::BTreeMap<String, crate::world::firewall::Alias>),
    Set(String, Option<IpSet>),
    Group(String, Option<Group>),
    Rules(Vec<Rule>),
    Options(Section),
}

impl Fresh {
    fn put(self, scope: &mut Scope) {
        match self {
            Self::Aliases(aliases) => scope.aliases = aliases,
            Self::Set(name, Some(set)) => drop(scope.ipsets.insert(name, set)),
            Self::Set(name, None) => drop(scope.ipsets.remove(&name)),
            Self::Group(name, group) => {
                scope
                    .groups
                    .retain(|known, _| !known.eq_ignore_ascii_case(&name));
                scope.groups.extend(group.map(|group| (name, group)));
            }
            Self::Rules(rules) => scope.rules = rules,
            Self::Options(options) => scope.options = options,
        }
    }
}

impl Observation<'_> {
    /// Reads parts again; whole the places that are not known yet.
    pub(in crate::world::observe) async fn firewalls_again(
        &mut self,
        parts: &BTreeSet<(Place, FirewallPart)>,
    ) -> Result<(), String> {
        let unknown: BTreeSet<Place> = parts
            .iter()
            .map(|(place, _)| place)
            .filter(|place| self.world.firewalls.scope(place).is_err())
            .cloned()
            .collect();
        self.whole_firewalls(unknown).await;
        for (place, part) in parts {
            if let Err(why) = self.world.firewalls.scope(place) {
                return Err(format!("{place}: {why}"));
            }
            let gone = || format!("{place}: there is no such guest");
            let at = self.at(place).map_err(|()| gone())?;
            let read = fresh(&self.reads, at.as_ref(), part).await;
            let (read, digest) = read.map_err(|why| format!("{part} of {place}: {why}"))?;
            if let Some(scope) = self.world.firewalls.scope_mut(place) {
                read.put(scope);
            }
            let of = (place.clone(), part.clone());
            if let Some(digest) = digest {
                self.world.firewalls.digests.insert(of, digest);
            }
        }
        Ok(())
    }

    /// Reads firewalls, whether or not they can have an effect.
    pub(in crate::world::observe) async fn whole_firewalls(&mut self, places: BTreeSet<Place>) {
        let firewalls = &self.world.firewalls;
        let unlisted = |place: &Place| match place {
            Place::Vnet(name) => !firewalls.vnets.as_ref().is_ok_and(|v| v.contains_key(name)),
            Place::Cluster | Place::Node(_) | Place::Guest(_) => false,
        };
        if places.iter().any(unlisted) {
            self.vnets().await;
        }
        if !places.is_empty() {
            self.some_firewalls(places.into_iter().collect()).await;
        }
    }
}

async fn fresh(reads: &Reads, at: Option<&At>, part: &FirewallPart) -> PartSeen {
    let path = At::path(at);
    match part {
        FirewallPart::Alias(_) => {
            let list = data(reads, &path, &["aliases"]).await?;
            Ok((Fresh::Aliases(aliases(&list)?), digest(&list)))
        }
        FirewallPart::Set(name) => {
            let list = names(&data(reads, &path, &["ipset"]).await?, "name")?;
            let Some(comment) = list.get(name) else {
                return Ok((Fresh::Set(name.clone(), None), None));
            };
            let entries = data(reads, &path, &["ipset", name]).await?;
            let set = IpSet {
                entries: set_of(&entries)?,
                comment: comment.clone(),
            };
            Ok((Fresh::Set(name.clone(), Some(set)), digest(&entries)))
        }
        FirewallPart::Group(name) => {
            let list = names(&data(reads, &path, &["groups"]).await?, "group")?;
            let mut known = list.into_iter();
            let known = known.find(|(known, _)| known.eq_ignore_ascii_case(name));
            let Some((known, comment)) = known else {
                return Ok((Fresh::Group(name.clone(), None), None));
            };
            let list = data(reads, &path, &["groups", &known]).await?;
            let group = Group {
                rules: rules(&list)?,
                comment,
            };
            Ok((Fresh::Group(known, Some(group)), digest(&list)))
        }
        FirewallPart::Rules => {
            let list = data(reads, &path, &["rules"]).await?;
            Ok((Fresh::Rules(rules(&list)?), digest(&list)))
        }
        FirewallPart::Options => {
            let options = data(reads, &path, &["options"]).await?;
            let of = json::text(&options, "digest").filter(|digest| !digest.is_empty());
            Ok((
                Fresh::Options(super::answers::options(&options, at.is_none())),
                of,
            ))
        }
    }
}

/// The digest of a list: every item carries it.
fn digest(list: &serde_json::Value) -> Option<String> {
    let first = list.as_array()?.first()?;
    json::text(first, "digest").filter(|digest| !digest.is_empty())
}
