//! The kind `IpSet`: a named set of addresses, which firewall rules can use.

use super::desired::{DesiredIpSet, SetElement};
use super::firewall_alias::comment;
use super::metadata::Metadata;
use super::options::{Field, options};
use super::scalar::{FirewallComment, FirewallElement, FirewallName};
use crate::ids::Vmid;

options! {
    /// A set of addresses that shall exist. Some names mean something to Proxmox VE: `management` (who may manage the nodes), `blacklist`
    /// (who is dropped first), `ipfilter-netN` of a guest (which addresses its interface may send from). Rules that name a set that is not
    /// there do nothing, and Proxmox VE does not look before it removes one: a plan says who uses it.
    pub struct IpSetSpec {
        /// The guest whose firewall has the set. Left out, it is the datacenter's, and every rule can use it.
        guest: Option<Vmid> = "" by hand,
        /// The set's name, where it is not the document's name. Proxmox VE writes it in lower case.
        name: Option<FirewallName> = "name" by hand,
        /// A comment.
        comment: Field<FirewallComment> = "comment" by hand,
        /// Exactly what shall be in it. Elements come in before others go; where only rules that drop or reject name the set, the other way
        /// round.
        entries: Option<Vec<IpSetEntry>> = "" by hand,
    }
}

options! {
    /// An element of a set.
    pub struct IpSetEntry {
        /// The address, the network, or an alias: its name, or `dc/NAME` and `guest/NAME` for the datacenter's and the guest's own. Always to
        /// be written.
        cidr: Option<FirewallElement> = "cidr" by hand,
        /// Whether it is left out of the set, although a network in it has it. Default `false`.
        nomatch: Option<bool> = "nomatch" by hand,
        /// A comment.
        comment: Option<FirewallComment> = "comment" by hand,
    }
}

impl IpSetSpec {
    /// The name of the set that a document is about, if it says one.
    pub fn name(&self, metadata: &Metadata) -> Option<FirewallName> {
        let named = || FirewallName::new(&metadata.name).ok();
        self.name.clone().or_else(named)
    }

    /// What this asks for in Proxmox VE's words.
    pub fn desired(&self, name: &FirewallName) -> DesiredIpSet {
        let element = |entry: &IpSetEntry| {
            let comment = entry.comment.as_ref().map(FirewallComment::as_str);
            Some(SetElement {
                cidr: entry.cidr.as_ref()?.as_str().to_owned(),
                nomatch: entry.nomatch == Some(true),
                comment: comment.filter(|text| !text.is_empty()).map(str::to_owned),
            })
        };
        DesiredIpSet {
            guest: self.guest,
            name: name.as_str().to_owned(),
            comment: comment(&self.comment),
            entries: self
                .entries
                .as_ref()
                .map(|entries| entries.iter().filter_map(element).collect()),
        }
    }
}
