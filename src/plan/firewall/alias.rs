//! Aliases: from a document to a step that makes, changes or removes one.

use super::super::draft::{Phase, Planner};
use super::super::input::Item;
use super::super::words::{difference, few};
use super::{At, EFFECT, comment};
use crate::document::desired::DesiredFirewallAlias;
use crate::proxmox::firewall::same_element;
use crate::world::FirewallAction;
use crate::world::firewall::{Alias, FirewallPart};

impl Planner<'_, '_> {
    /// An alias that shall be as a document says.
    pub(super) fn alias_present(&mut self, item: &Item, desired: &DesiredFirewallAlias) {
        let Some(at) = self.firewall_at(item, desired.guest) else {
            return;
        };
        let object = at.object(&FirewallPart::Alias(desired.name.clone()));
        let live = at.scope.alias(&desired.name).cloned();
        if !self.claim(item, &object, live.is_some()) {
            return;
        }
        match live {
            None => self.alias_new(&at, desired, &object),
            Some(live) => self.alias_changed(&at, desired, &live, &object),
        }
    }

    fn alias_new(&mut self, at: &At, desired: &DesiredFirewallAlias, object: &str) {
        let said = format!("made, {}", desired.cidr);
        self.drafts
            .change(object, "(object)", None, Some(&said), EFFECT);
        let action = FirewallAction::CreateAlias {
            site: at.site.clone(),
            name: desired.name.clone(),
            cidr: desired.cidr.clone(),
            comment: comment(desired.comment.as_ref(), None),
        };
        let title = format!("make {object} for {}", desired.cidr);
        self.firewall_step(at, Phase::FirewallAlias, title, action);
    }

    fn alias_changed(
        &mut self,
        at: &At,
        desired: &DesiredFirewallAlias,
        live: &Alias,
        object: &str,
    ) {
        let now = live.comment.as_deref().filter(|text| !text.is_empty());
        let wanted = comment(desired.comment.as_ref(), now);
        let mut told = Vec::new();
        if !same_element(&live.cidr, &desired.cidr) {
            let (before, after) = (Some(live.cidr.as_str()), Some(desired.cidr.as_str()));
            self.drafts.change(object, "cidr", before, after, EFFECT);
            told.push(difference("cidr", before, after));
        }
        if wanted.as_deref() != now {
            self.drafts
                .change(object, "comment", now, wanted.as_deref(), "at once");
            told.push(difference("comment", now, wanted.as_deref()));
        }
        if told.is_empty() {
            return;
        }
        let action = FirewallAction::UpdateAlias {
            site: at.site.clone(),
            name: desired.name.clone(),
            cidr: desired.cidr.clone(),
            comment: wanted,
        };
        let title = format!("set {object} {}", few(&told));
        self.firewall_step(at, Phase::FirewallAlias, title, action);
    }

    /// An alias whose document is gone.
    pub(super) fn alias_removed(&mut self, at: &At, name: &str) {
        let object = at.object(&FirewallPart::Alias(name.to_owned()));
        self.drafts
            .change(&object, "(object)", Some("alias"), None, EFFECT);
        let action = FirewallAction::DeleteAlias {
            site: at.site.clone(),
            name: name.to_owned(),
        };
        let title = format!("delete {object}");
        self.firewall_step(at, Phase::FirewallLast, title, action);
    }
}
