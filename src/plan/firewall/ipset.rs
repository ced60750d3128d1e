//! Sets: from a document to steps that make one, put elements in and take them out, or remove it.

use super::super::draft::{Phase, Planner};
use super::super::error::Reason;
use super::super::input::Item;
use super::super::words::short;
use super::{At, EFFECT, comment};
use crate::document::desired::DesiredIpSet;
use crate::proxmox::firewall::{network, reference, same_element};
use crate::world::firewall::{FirewallPart, IpSet, Place, SetEntry};
use crate::world::{Element, FirewallAction, Site};

/// An element as people read it.
fn told(nomatch: bool, comment: Option<&str>) -> String {
    let about = comment.map_or_else(String::new, |text| format!(" ({})", short(text)));
    format!("{}{about}", if nomatch { "left out" } else { "in it" })
}

impl Planner<'_, '_> {
    /// A set that shall be as a document says.
    pub(super) fn ipset_present(&mut self, item: &Item, desired: &DesiredIpSet) {
        let Some(at) = self.firewall_at(item, desired.guest) else {
            return;
        };
        let object = at.object(&FirewallPart::Set(desired.name.clone()));
        let live = at.scope.ipsets.get(&desired.name).cloned();
        if !self.claim(item, &object, live.is_some()) {
            return;
        }
        self.aliases_known(item, &at, desired);
        match &live {
            None => {
                self.drafts
                    .change(&object, "(object)", None, Some("made"), EFFECT);
                let action = FirewallAction::CreateIpSet {
                    site: at.site.clone(),
                    name: desired.name.clone(),
                    comment: comment(desired.comment.as_ref(), None),
                };
                self.firewall_step(&at, Phase::FirewallSet, format!("make {object}"), action);
            }
            Some(live) => self.ipset_described(&at, desired, live, &object),
        }
        if desired.entries.is_some() {
            self.ipset_entries(&at, desired, &live.unwrap_or_default(), &object);
        }
    }

    fn ipset_described(&mut self, at: &At, desired: &DesiredIpSet, live: &IpSet, object: &str) {
        let now = live.comment.as_deref().filter(|text| !text.is_empty());
        let wanted = comment(desired.comment.as_ref(), now);
        if wanted.as_deref() == now {
            return;
        }
        self.drafts
            .change(object, "comment", now, wanted.as_deref(), "at once");
        let shown = wanted.as_deref().map_or_else(
            || "(removed)".to_owned(),
            |text| format!("→ `{}`", short(text)),
        );
        let action = FirewallAction::DescribeIpSet {
            site: at.site.clone(),
            name: desired.name.clone(),
            comment: wanted.unwrap_or_default(),
        };
        let title = format!("set {object} comment {shown}");
        self.firewall_step(at, Phase::FirewallSet, title, action);
    }

    /// Elements come in before others go, so that a set that lets somebody in is never smaller on the way than before and after. A set
    /// that keeps somebody out is the other way round.
    fn ipset_entries(&mut self, at: &At, desired: &DesiredIpSet, live: &IpSet, object: &str) {
        let wanted = desired.entries.as_deref().unwrap_or_default();
        let mut coming = Vec::new();
        let mut going = Vec::new();
        for element in wanted {
            let known = live
                .entries
                .iter()
                .find(|entry| same_element(&entry.cidr, &element.cidr));
            coming.extend(self.ipset_entry(at, desired, element, known, object));
        }
        for entry in &live.entries {
            let stays = wanted
                .iter()
                .any(|element| same_element(&entry.cidr, &element.cidr));
            if stays {
                continue;
            }
            let field = format!("entries.{}", entry.cidr);
            let was = told(entry.nomatch, entry.comment.as_deref());
            self.drafts.change(object, &field, Some(&was), None, EFFECT);
            let action = FirewallAction::RemoveIpSetEntry {
                site: at.site.clone(),
                name: desired.name.clone(),
                cidr: entry.cidr.clone(),
            };
            going.push((format!("take {} out of {object}", entry.cidr), action));
        }
        let steps: Vec<_> = if self.forbids(at, &desired.name) {
            going.into_iter().chain(coming).collect()
        } else {
            coming.into_iter().chain(going).collect()
        };
        for (title, action) in steps {
            self.firewall_step(at, Phase::FirewallSet, title, action);
        }
    }

    fn ipset_entry(
        &mut self,
        at: &At,
        desired: &DesiredIpSet,
        element: &Element,
        known: Option<&SetEntry>,
        object: &str,
    ) -> Option<(String, FirewallAction)> {
        let field = format!("entries.{}", element.cidr);
        let after = told(element.nomatch, element.comment.as_deref());
        let (site, name) = (at.site.clone(), desired.name.clone());
        let Some(known) = known else {
            self.drafts
                .change(object, &field, None, Some(&after), EFFECT);
            let action = FirewallAction::AddIpSetEntry {
                site,
                name,
                element: element.clone(),
            };
            return Some((format!("put {} into {object}", element.cidr), action));
        };
        let now = known.comment.as_deref().filter(|text| !text.is_empty());
        if known.nomatch == element.nomatch && now == element.comment.as_deref() {
            return None;
        }
        let before = told(known.nomatch, now);
        self.drafts
            .change(object, &field, Some(&before), Some(&after), EFFECT);
        // The spelling that is there is the one that the call finds.
        let element = Element {
            cidr: known.cidr.clone(),
            ..element.clone()
        };
        let title = format!("change {} in {object}: {after}", known.cidr);
        let action = FirewallAction::UpdateIpSetEntry {
            site,
            name,
            element,
        };
        Some((title, action))
    }

    /// Whether a set only keeps somebody out: the blacklist, or one that nothing but rules that drop or reject names.
    fn forbids(&self, at: &At, name: &str) -> bool {
        if name == "blacklist" && at.site == Site::Cluster {
            return true;
        }
        let firewalls = &self.input.world.firewalls;
        let nodes = firewalls.nodes.keys().cloned().map(Place::Node);
        let guests = firewalls.guests.keys().copied().map(Place::Guest);
        let vnets = firewalls.vnets.iter().flat_map(|vnets| vnets.keys());
        let mut uses = nodes
            .chain(guests)
            .chain(vnets.cloned().map(Place::Vnet))
            .chain([Place::Cluster])
            .filter_map(|place| firewalls.scope(&place).ok().cloned())
            .flat_map(|scope| {
                let groups = scope.groups.values().flat_map(|group| group.rules.clone());
                scope
                    .rules
                    .clone()
                    .into_iter()
                    .chain(groups)
                    .collect::<Vec<_>>()
            })
            .filter(|rule| {
                ["source", "dest"].iter().any(|field| {
                    let text = rule
                        .fields
                        .get(*field)
                        .and_then(|text| text.strip_prefix('+'));
                    text.and_then(reference)
                        .is_some_and(|(_, named)| named == name)
                })
            })
            .map(|rule| {
                rule.fields
                    .get("action")
                    .is_some_and(|action| action != "ACCEPT")
            })
            .peekable();
        uses.peek().is_some() && uses.all(|forbids| forbids)
    }

    /// Every alias that an element names has to be there, or come with this plan: Proxmox VE refuses others.
    fn aliases_known(&mut self, item: &Item, at: &At, desired: &DesiredIpSet) {
        for element in desired.entries.iter().flatten() {
            let Some((scope, name)) = reference(&element.cidr) else {
                continue;
            };
            if network(&element.cidr).is_some() {
                continue;
            }
            let mut sites = Vec::new();
            if scope != Some("dc") {
                sites.push(at.site.clone());
            }
            if scope != Some("guest") {
                sites.push(Site::Cluster);
            }
            if scope == Some("guest") && at.site == Site::Cluster {
                sites.clear();
            }
            if sites.iter().any(|site| {
                let part = FirewallPart::Alias(name.to_ascii_lowercase());
                self.firewall_has(site, &part)
            }) {
                continue;
            }
            let part = FirewallPart::Alias(name.to_ascii_lowercase());
            let meant = sites.into_iter().map(|site| (site, part.clone()));
            let meant: Vec<_> = meant.collect();
            let known = self.input.world.firewalls.scope(&Place::Cluster).ok();
            let names = known.iter().flat_map(|scope| scope.aliases.keys());
            let reason = Reason::NoSuch {
                what: "alias",
                name: element.cidr.clone(),
                nearest: self.going_or_nearest(&meant, name, names.map(String::as_str)),
            };
            self.drafts.problem(&item.key, "entries", reason);
        }
    }

    /// A set whose document is gone.
    pub(super) fn ipset_removed(&mut self, at: &At, name: &str) {
        let object = at.object(&FirewallPart::Set(name.to_owned()));
        self.drafts
            .change(&object, "(object)", Some("set"), None, EFFECT);
        let action = FirewallAction::DeleteIpSet {
            site: at.site.clone(),
            name: name.to_owned(),
        };
        let title = format!("delete {object}");
        self.firewall_step(at, Phase::FirewallLast, title, action);
    }
}
