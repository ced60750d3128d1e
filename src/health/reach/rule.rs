//! One rule, read from the texts that Proxmox VE's API and files have. Proxmox VE checks every rule when it reads it; a rule with an
//! error stays in its list and does nothing. Some errors show only when the rule is compiled ([`Lowered::Fails`]): then the rule is
//! left out as well, and in a security group more is lost (see [`super::compile`]).

mod reader;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::address::Family;
use super::names::{ICMP, ICMPV6};
use super::objects::Objects;
use super::ranges::Ranges;
use reader::Reader;

/// A rule as it is written: the API's fields, all texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleText {
    /// `type`: `in`, `out`, `forward` or `group`.
    pub kind: String,
    /// `action`: `ACCEPT`, `DROP`, `REJECT`, or the name of a security group.
    pub action: String,
    /// `macro`.
    pub macro_name: Option<String>,
    /// `iface`: `net0` in a guest's list, a name of the node's in other lists.
    pub iface: Option<String>,
    /// `source`.
    pub source: Option<String>,
    /// `dest`.
    pub dest: Option<String>,
    /// `proto`.
    pub proto: Option<String>,
    /// `sport`.
    pub sport: Option<String>,
    /// `dport`.
    pub dport: Option<String>,
    /// `icmp-type`.
    pub icmp_type: Option<String>,
    /// `enable`.
    pub enable: bool,
    /// `comment`.
    pub comment: Option<String>,
    /// `errors` by field, as Proxmox VE gives them: whether a node knows a macro, a service or a protocol is not known here. Those of
    /// `source` and `dest` are checked anew, because a plan may change what they refer to.
    pub errors: BTreeMap<String, String>,
}

/// What a rule does with the packets it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// They go on.
    Accept,
    /// They vanish.
    Drop,
    /// They are answered with an error.
    Reject,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "ACCEPT",
            Self::Drop => "DROP",
            Self::Reject => "REJECT",
        })
    }
}

/// The kind of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// For packets to the node or guest.
    In(Action),
    /// For packets from it.
    Out(Action),
    /// For packets the node forwards. The iptables backend does not use these.
    Forward(Action),
    /// All rules of a security group stand here.
    Group(String),
}

/// The list that a rule stands in, which decides what it may contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// The datacenter's rules.
    Cluster,
    /// A node's rules.
    Host,
    /// A guest's rules.
    Guest,
    /// A security group.
    Group,
    /// A vnet's rules.
    Vnet,
}

/// Where a reference must be looked up, if it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `dc/`: in the datacenter.
    Datacenter,
    /// `guest/`: in the guest whose rule it is.
    Guest,
}

/// Who sends, or who receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// `+name`: a set.
    Set(Option<Scope>, String),
    /// An alias, its name in lower case.
    Alias(Option<Scope>, String),
    /// Addresses, networks or one range, of one version.
    Addresses(Arc<Ranges>),
    /// Addresses that are not known here; why.
    Unknown(String),
}

/// What a rule says about protocol and ports, without macros.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The protocol; every one if there is none.
    pub protocol: Option<u8>,
    /// Destination ports, or kinds of ICMP (`type × 256 + code`).
    pub ports: Option<Arc<Ranges>>,
    /// Source ports.
    pub source_ports: Option<Arc<Ranges>>,
}

/// A rule's traffic for one version of IP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lowered {
    /// It matches these; several for a macro, none for a macro of the other version.
    Matches(Vec<Traffic>),
    /// Proxmox VE fails to compile it; why.
    Fails(String),
    /// What it matches is not known here, but for a protocol; why.
    Unknown(String, Option<u8>),
}

/// A rule that Proxmox VE takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What kind it is.
    pub kind: Kind,
    /// The interface it is bound to.
    pub iface: Option<String>,
    /// The only version of IP it is for, if its fields say one.
    pub family: Option<Family>,
    /// Who sends.
    pub source: Option<Peer>,
    /// Who receives.
    pub dest: Option<Peer>,
    v4: Lowered,
    v6: Lowered,
}

impl Rule {
    /// Its traffic in the rules of one version.
    #[must_use]
    pub fn traffic(&self, family: Family) -> &Lowered {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}

/// What came of reading a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// A rule.
    Rule(Rule),
    /// Proxmox VE finds an error in it and ignores it; which.
    Ignored(String),
}

/// A place in a list of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whether the rule is switched on.
    pub enabled: bool,
    /// What stands there, as the iptables backend reads it.
    pub read: Read,
    /// How it is written: the nftables backend reads it differently.
    pub text: RuleText,
}

impl Entry {
    /// The rule, if it is on and Proxmox VE takes it.
    #[must_use]
    pub fn active(&self) -> Option<&Rule> {
        match &self.read {
            Read::Rule(rule) if self.enabled => Some(rule),
            _ => None,
        }
    }

    /// Reads a rule. `shared` are the datacenter's aliases and sets, `own` the guest's; both as far as they are defined where the
    /// rule is read (in a file, what stands above it).
    #[must_use]
    pub fn read(
        text: &RuleText,
        environment: Environment,
        shared: &Objects,
        own: Option<&Objects>,
    ) -> Self {
        let reader = Reader {
            text,
            environment,
            shared,
            own,
        };
        Self {
            enabled: text.enable,
            read: reader.rule().map_or_else(Read::Ignored, Read::Rule),
            text: text.clone(),
        }
    }
}

/// Protocol number of ICMP in a version of IP.
#[must_use]
pub const fn icmp_of(family: Family) -> u8 {
    match family {
        Family::V4 => ICMP,
        Family::V6 => ICMPV6,
    }
}
