//! The kind `Firewall`: the options and the rules of one firewall, the datacenter's, a node's, a guest's or a vnet's.

use super::desired::{DesiredFirewall, FirewallScope};
use super::firewall_rule::{FirewallRule, LogLevel, RuleBlock};
use super::options::{ExtraConfig, Field, Group, collect, options, words};
use super::scalar::{ConntrackHelper, RateLimit};
use crate::ids::{NodeName, Vmid, VnetName};

words! {
    /// What becomes of a packet that no rule matches.
    pub enum Policy { Accept = "ACCEPT", Reject = "REJECT", Drop = "DROP" }
}
words! {
    /// What becomes of a forwarded packet that no rule matches.
    pub enum ForwardPolicy { Accept = "ACCEPT", Drop = "DROP" }
}

options! {
    /// How one firewall shall be. Exactly one of `cluster`, `node`, `guest` and `vnet` is written. A firewall is never deleted: when its document
    /// is removed it stays as it is.
    pub struct FirewallSpec {
        /// `true`: the datacenter's.
        cluster: Option<bool> = "" by hand,
        /// The node whose firewall it is.
        node: Option<NodeName> = "" by hand,
        /// The guest whose firewall it is. It filters the interfaces that have `firewall: true`.
        guest: Option<Vmid> = "" by hand,
        /// The vnet of SDN whose firewall it is, once it is applied. Its rules have the direction `forward`, or call security groups. Only
        /// nodes that make their firewall with nftables filter at vnets: of others a plan says so.
        vnet: Option<VnetName> = "" by hand,
        /// The options.
        options: Option<FirewallOptions> = "",
        /// The rules, whole and in order: a rule that is not here goes. Left out, rules are not managed.
        rules: Option<Vec<FirewallRule>> = "" by hand,
        /// Instead of `rules`, a block of them in a list that is shared with people: only what is between its markers is managed.
        block: Option<RuleBlock> = "" by hand,
        /// Options that have no field here yet, under Proxmox VE's own names.
        extra_config: ExtraConfig = "",
    }
}

options! {
    /// The options of a firewall. Which of them there are depends on whose it is.
    pub struct FirewallOptions {
        /// Whether it is on. Not set, the datacenter's is off, a node's on, a guest's and a vnet's off; while the datacenter's is off, all are.
        /// Where switching it on, or a change of its rules, could lock somebody out of a node, it is on Proxmox VE's trial of a minute until
        /// every node was reached anew.
        enabled: Field<bool> = "enable",
        /// What becomes of packets that come in and no rule matches (datacenter, guest). Not set: `DROP`.
        policy_in: Field<Policy> = "policy_in",
        /// What becomes of packets that go out and no rule matches (datacenter, guest). Not set: `ACCEPT`.
        policy_out: Field<Policy> = "policy_out",
        /// What becomes of packets that are forwarded and no rule matches (datacenter, vnet). Not set: `ACCEPT`.
        policy_forward: Field<ForwardPolicy> = "policy_forward",
        /// Whether rules for Ethernet frames are made too (datacenter). Not set: yes.
        ebtables: Field<bool> = "ebtables",
        /// How much is logged at most (datacenter), such as `1,burst=5,rate=1/second`.
        log_rate_limit: Field<RateLimit> = "log_ratelimit",
        /// How much is logged of packets that come in (node, guest).
        log_level_in: Field<LogLevel> = "log_level_in",
        /// How much is logged of packets that go out (node, guest).
        log_level_out: Field<LogLevel> = "log_level_out",
        /// How much is logged of packets that are forwarded (node, vnet).
        log_level_forward: Field<LogLevel> = "log_level_forward",
        /// Whether neighbour discovery passes (node, guest). Not set: yes.
        ndp: Field<bool> = "ndp",
        /// Whether DHCP passes (guest). Not set: yes.
        dhcp: Field<bool> = "dhcp",
        /// Whether it may send router advertisements (guest). Not set: no.
        radv: Field<bool> = "radv",
        /// Whether packets with another MAC address than its own are dropped (guest). Not set: yes.
        mac_filter: Field<bool> = "macfilter",
        /// Whether packets with another source address than its own are dropped (guest). Not set: no.
        ip_filter: Field<bool> = "ipfilter",
        /// Whether the node's rules are made with nftables (node). Not set: no. The two backends decide differently: a plan says what changes.
        nftables: Field<bool> = "nftables",
        /// Whether packets with a broadcast address as sender are dropped (node). Not set: yes.
        nosmurfs: Field<bool> = "nosmurfs",
        /// Whether TCP packets with impossible flags are dropped (node). Not set: no.
        tcp_flags: Field<bool> = "tcpflags",
        /// How much is logged of packets with impossible flags (node).
        tcp_flags_log_level: Field<LogLevel> = "tcp_flags_log_level",
        /// How much is logged of packets with a broadcast address as sender (node).
        smurf_log_level: Field<LogLevel> = "smurf_log_level",
        /// Whether connections are logged (node). Not set: no.
        log_conntrack: Field<bool> = "log_nf_conntrack",
        /// Whether packets that belong to no connection and start none pass (node). Not set: no.
        conntrack_allow_invalid: Field<bool> = "nf_conntrack_allow_invalid",
        /// The helpers for protocols that open further connections (node).
        conntrack_helpers: Field<super::options::Set<ConntrackHelper, ','>> = "nf_conntrack_helpers",
        /// How many connections are followed at most (node).
        #[schemars(range(min = 32768))]
        conntrack_max: Field<u32> = "nf_conntrack_max",
        /// Seconds after which a connection without packets is forgotten (node).
        #[schemars(range(min = 7875))]
        conntrack_tcp_timeout_established: Field<u32> = "nf_conntrack_tcp_timeout_established",
        /// Seconds after which a connection that was only begun is forgotten (node).
        #[schemars(range(min = 30, max = 60))]
        conntrack_tcp_timeout_syn_recv: Field<u32> = "nf_conntrack_tcp_timeout_syn_recv",
        /// Whether floods of connections that are only begun are held back (node). Not set: no.
        protection_synflood: Field<bool> = "protection_synflood",
        /// How many such connections a second pass (node).
        protection_synflood_rate: Field<u32> = "protection_synflood_rate",
        /// How many such connections pass at once (node).
        protection_synflood_burst: Field<u32> = "protection_synflood_burst",
    }
}

/// The options that only a firewall of these scopes has: `c`luster, `n`ode, `g`uest, `v`net.
const SCOPES: &[(&str, &str)] = &[
    ("policy_in", "cg"),
    ("policy_out", "cg"),
    ("policy_forward", "cv"),
    ("ebtables", "c"),
    ("log_ratelimit", "c"),
    ("log_level_in", "ng"),
    ("log_level_out", "ng"),
    ("log_level_forward", "nv"),
    ("ndp", "ng"),
    ("dhcp", "g"),
    ("radv", "g"),
    ("macfilter", "g"),
    ("ipfilter", "g"),
    ("enable", "cngv"),
];

/// Whether a firewall of this scope has an option. What is not known is only a node's if a field stands for it.
pub fn has(scope: &FirewallScope, key: &str) -> bool {
    let letter = match scope {
        FirewallScope::Cluster => 'c',
        FirewallScope::Node(_) => 'n',
        FirewallScope::Guest(_) => 'g',
        FirewallScope::Vnet(_) => 'v',
    };
    let known = SCOPES.iter().find(|(known, _)| *known == key);
    known.map_or("n", |(_, scopes)| scopes).contains(letter)
}

impl FirewallSpec {
    /// Whose firewall it is, if exactly one is said.
    pub fn scope(&self) -> Option<FirewallScope> {
        match (self.cluster, &self.node, self.guest, &self.vnet) {
            (Some(true), None, None, None) => Some(FirewallScope::Cluster),
            (None, Some(node), None, None) => Some(FirewallScope::Node(node.clone())),
            (None, None, Some(vmid), None) => Some(FirewallScope::Guest(vmid)),
            (None, None, None, Some(vnet)) => Some(FirewallScope::Vnet(vnet.clone())),
            _ => None,
        }
    }

    /// The keys of the options that have fields and are written.
    pub fn typed_keys(&self) -> Vec<String> {
        let mut wishes = Vec::new();
        if let Some(options) = &self.options {
            options.write(&mut wishes);
        }
        wishes.into_iter().map(|(key, _)| key).collect()
    }

    /// What this asks for in Proxmox VE's words; `None` where it does not say whose firewall it is.
    pub fn desired(&self) -> Option<DesiredFirewall> {
        let mut wishes = Vec::new();
        self.write(&mut wishes);
        Some(DesiredFirewall {
            scope: self.scope()?,
            options: collect(wishes),
            rules: self
                .rules
                .as_ref()
                .map(|rules| rules.iter().map(FirewallRule::fields).collect()),
            block: self.block.as_ref().and_then(RuleBlock::desired),
        })
    }
}
