//! The kind `SecurityGroup`: a named list of rules of the datacenter, which rules anywhere can call.

use super::desired::DesiredSecurityGroup;
use super::firewall_alias::comment;
use super::firewall_rule::{FirewallRule, RuleBlock};
use super::metadata::Metadata;
use super::options::{Field, options};
use super::scalar::{FirewallComment, GroupName};

options! {
    /// A security group that shall exist. A rule with the direction `group` has its rules stand in its place. Proxmox VE does not look who
    /// calls a group before it removes it: a plan says so.
    pub struct SecurityGroupSpec {
        /// The group's name, where it is not the document's name. Its case does not count.
        name: Option<GroupName> = "group" by hand,
        /// A comment.
        comment: Field<FirewallComment> = "comment" by hand,
        /// Its rules, whole and in order: a rule that is not here goes.
        rules: Option<Vec<FirewallRule>> = "" by hand,
        /// Instead of `rules`, a block of them in a group that is shared with people: only what is between its markers is managed. When the
        /// document is removed with the annotation that deletes, the block goes, and the group with it only if it has no other rules.
        block: Option<RuleBlock> = "" by hand,
    }
}

impl SecurityGroupSpec {
    /// The name of the group that a document is about, if it says one.
    pub fn name(&self, metadata: &Metadata) -> Option<GroupName> {
        let named = || GroupName::new(&metadata.name).ok();
        self.name.clone().or_else(named)
    }

    /// What this asks for in Proxmox VE's words.
    pub fn desired(&self, name: &GroupName) -> DesiredSecurityGroup {
        DesiredSecurityGroup {
            name: name.as_str().to_owned(),
            comment: comment(&self.comment),
            rules: self
                .rules
                .as_ref()
                .map(|rules| rules.iter().map(FirewallRule::fields).collect()),
            block: self.block.as_ref().and_then(RuleBlock::desired),
        }
    }
}
