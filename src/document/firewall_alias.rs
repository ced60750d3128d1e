//! The kind `FirewallAlias`: a name for an address or a network, which firewall rules and sets can use.

use super::desired::{DesiredFirewallAlias, Wish};
use super::metadata::Metadata;
use super::options::{Field, options};
use super::scalar::{FirewallComment, FirewallName, FirewallNetwork};
use crate::ids::Vmid;

options! {
    /// An alias that shall exist. Rules and sets that name one that is not there do nothing, and Proxmox VE does not look before it
    /// removes one: a plan says who uses it.
    pub struct FirewallAliasSpec {
        /// The guest whose firewall has the alias. Left out, it is the datacenter's, and every rule can use it.
        guest: Option<Vmid> = "" by hand,
        /// The alias's name, where it is not the document's name. Its case does not count.
        name: Option<FirewallName> = "name" by hand,
        /// The address or network. Always to be written.
        cidr: Option<FirewallNetwork> = "cidr" by hand,
        /// A comment.
        comment: Field<FirewallComment> = "comment" by hand,
    }
}

/// The wish for a comment; an empty one is none.
pub(super) fn comment(field: &Field<FirewallComment>) -> Option<Wish<String>> {
    field.wish().map(|wish| match wish {
        Wish::Set(text) if text.as_str().is_empty() => Wish::Remove,
        Wish::Set(text) => Wish::Set(text.as_str().to_owned()),
        Wish::Remove => Wish::Remove,
    })
}

impl FirewallAliasSpec {
    /// The name of the alias that a document is about, if it says one.
    pub fn name(&self, metadata: &Metadata) -> Option<FirewallName> {
        let named = || FirewallName::new(&metadata.name).ok();
        self.name.clone().or_else(named)
    }

    /// What this asks for in Proxmox VE's words; `None` where the address is not said.
    pub fn desired(&self, name: &FirewallName) -> Option<DesiredFirewallAlias> {
        Some(DesiredFirewallAlias {
            guest: self.guest,
            name: name.as_str().to_owned(),
            cidr: self.cidr.as_ref()?.as_str().to_owned(),
            comment: comment(&self.comment),
        })
    }
}
