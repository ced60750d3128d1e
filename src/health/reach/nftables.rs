//! The nftables backend (`proxmox-firewall`, the node's option `nftables`). It is another program with other chains: it decides about
//! management before the rules, has forward rules and a forward policy, and keeps its old rules where it cannot read the new ones. No
//! answers of it are at hand to hold an evaluation to, so everything it decides is unknown here, and the reason says so. While the
//! datacenter's firewall is off, nothing is filtered with either backend.

use super::compile::{NodeRules, everywhere};
use super::model::Model;

/// The rules of a node with this backend.
pub(super) fn compile(model: &Model, name: &str) -> NodeRules {
    everywhere(
        model,
        name,
        &format!("node {name} uses the nftables backend, whose decisions are not known"),
    )
}
