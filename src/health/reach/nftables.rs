//! The nftables backend (`proxmox-firewall`, the node's option `nftables`). It is another program with other chains, and of what it does
//! only some is known: so what it decides is unknown here, and the reason says so.

use super::address::Family;
use super::compile::{NodeRules, everywhere};
use super::model::{Cluster, Host, Model, Node};

/// The rules of a node with this backend.
pub(super) fn compile(
    model: &Model,
    name: &str,
    _node: &Node,
    _cluster: &Cluster,
    _host: &Host,
    _family: Family,
) -> NodeRules {
    everywhere(
        model,
        name,
        &format!("node {name} uses the nftables backend"),
    )
}
