//! The chains that Proxmox VE has in every node's rules: what happens before a policy, how it rejects, what it takes for a smurf.

use std::sync::Arc;

use super::address::Family;
use super::chain::{Builtin, Chain, Origin, Then, When};
use super::model::Node;
use super::names::{self, ICMP, ICMPV6, TCP, UDP};
use super::ranges::Ranges;
use super::rule::icmp_of;

/// The chains of one node for one version of IP.
#[derive(Debug)]
pub(super) struct Standard {
    pub(super) family: Family,
    /// How it rejects: ICMP and what went to or came from everybody vanishes instead.
    pub(super) reject: Arc<Chain>,
    /// Before the policy `DROP`.
    pub(super) before_drop: Arc<Chain>,
    /// Before the policy `REJECT`.
    pub(super) before_reject: Arc<Chain>,
    /// Senders that cannot be.
    pub(super) smurfs: Arc<Chain>,
    invalid: Arc<Ranges>,
    /// Multicast addresses.
    pub(super) multicast: Arc<Ranges>,
}

const BEFORE: Origin = Origin::Builtin(Builtin::BeforePolicy);

fn parts(protocol: u8, ports: Option<Ranges>, source_ports: Option<Ranges>) -> When {
    When {
        protocol: Some(protocol),
        ports: ports.map(Arc::new),
        source_ports: source_ports.map(Arc::new),
        ..When::default()
    }
}

/// The broadcast addresses of a node's networks.
pub(super) fn broadcasts(node: &Node) -> Ranges {
    node.addresses()
        .filter(|network| network.address.family == Family::V4 && network.prefix < 31)
        .map(|network| network.span().1)
        .chain([Family::V4.last()])
        .map(|address| (address, address))
        .collect()
}

/// The kinds of ICMP that connection tracking takes for the start of something, or does not track: requests, and in IPv6 neighbour and
/// listener discovery. All others belong to a connection or are invalid.
pub(super) fn openers(family: Family) -> Ranges {
    let kinds: &[u8] = match family {
        Family::V4 => &[8, 13, 15, 17],
        Family::V6 => &[128, 130, 131, 132, 133, 134, 135, 136, 139, 143],
    };
    kinds
        .iter()
        .flat_map(|kind| names::kinds(*kind, None).iter().collect::<Vec<_>>())
        .collect()
}

impl Standard {
    pub(super) fn new(family: Family, everybody: &Ranges) -> Self {
        let everybody = Arc::new(everybody.clone());
        let multicast = Arc::new(match family {
            Family::V4 => Ranges::of(0xe000_0000, 0xefff_ffff),
            Family::V6 => Ranges::of(0xff << 120, u128::MAX),
        });
        let reject = Arc::new(rejecting(family, &everybody, &multicast));
        let invalid = Arc::new(openers(family).complement(0xffff));
        let before = |rejects| {
            Arc::new(before_policy(
                family, rejects, &reject, &everybody, &multicast, &invalid,
            ))
        };
        Self {
            family,
            before_drop: before(false),
            before_reject: before(true),
            smurfs: Arc::new(smurfs(&everybody, &multicast)),
            reject,
            invalid,
            multicast,
        }
    }

    /// Drops what connection tracking calls invalid. First packets of TCP, UDP and other protocols never are.
    pub(super) fn drop_invalid(&self, chain: &mut Chain) {
        let when = When {
            protocol: Some(icmp_of(self.family)),
            ports: Some(self.invalid.clone()),
            ..When::default()
        };
        chain.push(when, Then::Drop, Origin::Builtin(Builtin::Invalid));
    }
}

fn from(addresses: &Arc<Ranges>) -> When {
    When {
        source: Some(addresses.clone()),
        ..When::default()
    }
}

fn to(addresses: &Arc<Ranges>) -> When {
    When {
        dest: Some(addresses.clone()),
        ..When::default()
    }
}

fn rejecting(family: Family, everybody: &Arc<Ranges>, multicast: &Arc<Ranges>) -> Chain {
    let mut chain = Chain::default();
    if family == Family::V4 {
        chain.push(to(everybody), Then::Drop, BEFORE);
        chain.push(from(multicast), Then::Drop, BEFORE);
    }
    chain.push(parts(icmp_of(family), None, None), Then::Drop, BEFORE);
    chain.push(When::default(), Then::Reject, BEFORE);
    chain
}

fn smurfs(everybody: &Arc<Ranges>, multicast: &Arc<Ranges>) -> Chain {
    let origin = Origin::Builtin(Builtin::Smurfs);
    let mut chain = Chain::default();
    // A sender without an address yet is no smurf.
    let nobody = Arc::new(Ranges::one(0));
    chain.push(from(&nobody), Then::Return, origin.clone());
    chain.push(from(everybody), Then::Drop, origin.clone());
    chain.push(from(multicast), Then::Drop, origin);
    chain
}

fn before_policy(
    family: Family,
    rejects: bool,
    reject: &Arc<Chain>,
    everybody: &Arc<Ranges>,
    multicast: &Arc<Ranges>,
    invalid: &Arc<Ranges>,
) -> Chain {
    let mut chain = Chain::default();
    let refuse = || {
        if rejects {
            Then::Goto(reject.clone())
        } else {
            Then::Drop
        }
    };
    let port = |low, high| Some(Ranges::of(low, high));
    if family == Family::V6 {
        let when = parts(TCP, port(43, 43), None);
        chain.push(when, Then::Goto(reject.clone()), BEFORE);
    } else {
        chain.push(to(everybody), Then::Drop, BEFORE);
    }
    chain.push(to(multicast), Then::Drop, BEFORE);
    let passing = match family {
        Family::V4 => vec![(ICMP, 3, Some(4)), (ICMP, 11, None)],
        Family::V6 => vec![(ICMPV6, 1, None), (ICMPV6, 3, None), (ICMPV6, 2, None)],
    };
    for (protocol, kind, code) in passing {
        let when = parts(protocol, Some(names::kinds(kind, code)), None);
        chain.push(when, Then::Accept, BEFORE);
    }
    let when = When {
        protocol: Some(icmp_of(family)),
        ports: Some(invalid.clone()),
        ..When::default()
    };
    chain.push(when, Then::Drop, BEFORE);
    let smb = |ports: &[u128]| Some(ports.iter().map(|port| (*port, *port)).collect());
    chain.push(parts(UDP, smb(&[135, 445]), None), refuse(), BEFORE);
    chain.push(parts(UDP, port(137, 139), None), refuse(), BEFORE);
    let answers = parts(UDP, port(1024, 65_535), port(137, 137));
    chain.push(answers, refuse(), BEFORE);
    chain.push(parts(TCP, smb(&[135, 139, 445]), None), refuse(), BEFORE);
    chain.push(parts(UDP, port(1900, 1900), None), Then::Drop, BEFORE);
    chain.push(parts(UDP, None, port(53, 53)), Then::Drop, BEFORE);
    chain
}
