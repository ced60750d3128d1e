//! What Bailiwick can do to a firewall's configuration. Proxmox VE makes new rules of it about ten seconds later.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

pub use crate::document::desired::SetElement as Element;
use crate::ids::{GuestKind, NodeName, Vmid, VnetName};
use crate::world::firewall::{FirewallPart, Place};

/// Whose firewall it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "scope")]
pub enum Site {
    /// The datacenter's.
    Cluster,
    /// A node's.
    Node {
        /// The node.
        node: NodeName,
    },
    /// A guest's.
    Guest {
        /// Its kind, which is in the path.
        kind: GuestKind,
        /// Its VMID.
        vmid: Vmid,
    },
    /// A vnet's.
    Vnet {
        /// The vnet.
        vnet: VnetName,
    },
}

impl Site {
    /// The place it is in a world.
    pub fn place(&self) -> Place {
        match self {
            Self::Cluster => Place::Cluster,
            Self::Node { node } => Place::Node(node.clone()),
            Self::Guest { vmid, .. } => Place::Guest(*vmid),
            Self::Vnet { vnet } => Place::Vnet(vnet.clone()),
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place().fmt(f)
    }
}

/// One thing to do to a firewall's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "firewall")]
#[allow(missing_docs)] // the fields are Proxmox VE's own parameters; what is not plain is said at the variant
pub enum FirewallAction {
    /// Make an alias.
    #[serde(rename_all = "camelCase")]
    CreateAlias {
        site: Site,
        name: String,
        cidr: String,
        comment: Option<String>,
    },
    /// Change an alias; without a comment it has none.
    #[serde(rename_all = "camelCase")]
    UpdateAlias {
        site: Site,
        name: String,
        cidr: String,
        comment: Option<String>,
    },
    /// Remove an alias, whether it is used or not: Proxmox VE does not look.
    #[serde(rename_all = "camelCase")]
    DeleteAlias { site: Site, name: String },
    /// Make an empty set.
    #[serde(rename_all = "camelCase")]
    CreateIpSet {
        site: Site,
        name: String,
        comment: Option<String>,
    },
    /// Give a set another comment; an empty one is none.
    #[serde(rename_all = "camelCase")]
    DescribeIpSet {
        site: Site,
        name: String,
        comment: String,
    },
    /// Put an element into a set.
    #[serde(rename_all = "camelCase")]
    AddIpSetEntry {
        site: Site,
        name: String,
        element: Element,
    },
    /// Change an element of a set; without a comment it has none.
    #[serde(rename_all = "camelCase")]
    UpdateIpSetEntry {
        site: Site,
        name: String,
        element: Element,
    },
    /// Take an element out of a set.
    #[serde(rename_all = "camelCase")]
    RemoveIpSetEntry {
        site: Site,
        name: String,
        cidr: String,
    },
    /// Remove a set with what is in it, whether it is used or not: Proxmox VE does not look.
    #[serde(rename_all = "camelCase")]
    DeleteIpSet { site: Site, name: String },
    /// Make an empty security group of the datacenter.
    #[serde(rename_all = "camelCase")]
    CreateGroup {
        name: String,
        comment: Option<String>,
    },
    /// Give a security group another comment; an empty one is none.
    #[serde(rename_all = "camelCase")]
    DescribeGroup { name: String, comment: String },
    /// Remove an empty security group, whether it is called or not: Proxmox VE does not look.
    #[serde(rename_all = "camelCase")]
    DeleteGroup { name: String },
    /// Put a new rule at the top of a list, which has `length` rules before: Proxmox VE puts it nowhere else.
    #[serde(rename_all = "camelCase")]
    InsertRule {
        site: Site,
        list: RuleList,
        fields: BTreeMap<String, String>,
        length: usize,
    },
    /// Change fields of a rule, and take others away.
    #[serde(rename_all = "camelCase")]
    UpdateRule {
        site: Site,
        list: RuleList,
        position: usize,
        set: BTreeMap<String, String>,
        delete: BTreeSet<String>,
    },
    /// Move a rule before the one that is at `to` before the move; past the last one it goes to the end.
    #[serde(rename_all = "camelCase")]
    MoveRule {
        site: Site,
        list: RuleList,
        from: usize,
        to: usize,
        rule: BTreeMap<String, String>,
    },
    /// Take a rule away from a list, which has `length` rules before.
    #[serde(rename_all = "camelCase")]
    DeleteRule {
        site: Site,
        list: RuleList,
        position: usize,
        rule: BTreeMap<String, String>,
        length: usize,
    },
    /// Set options, and take others away. Switched on so (`enable=1`), the datacenter's firewall is on for good: nothing switches it off
    /// again if somebody is locked out.
    #[serde(rename_all = "camelCase")]
    SetOptions {
        site: Site,
        set: BTreeMap<String, String>,
        delete: BTreeSet<String>,
    },
    /// Have the datacenter's firewall on for a minute only (`enable=2`), whether it was on or off before: unless it is confirmed, it is
    /// off after that. What is done to firewalls until then is on trial. It begins only if these nodes can be reached now, since
    /// otherwise nothing could be proven.
    #[serde(rename_all = "camelCase")]
    BeginTrial { nodes: BTreeSet<NodeName> },
    /// Keep the datacenter's firewall on (`enable=1`), once its rules are in force and new connections to these nodes came about.
    #[serde(rename_all = "camelCase")]
    ConfirmTrial { nodes: BTreeSet<NodeName> },
}

/// A list of rules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RuleList {
    /// A firewall's own.
    Rules,
    /// That of a security group of the datacenter.
    Group(String),
}

impl RuleList {
    /// The part of the firewall that it is.
    pub fn part(&self) -> FirewallPart {
        match self {
            Self::Rules => FirewallPart::Rules,
            Self::Group(name) => FirewallPart::Group(name.clone()),
        }
    }
}

/// Security groups are the datacenter's, and so is the trial.
static DATACENTER: Site = Site::Cluster;

impl FirewallAction {
    /// Whose firewall it changes.
    pub fn site(&self) -> &Site {
        match self {
            Self::CreateAlias { site, .. }
            | Self::UpdateAlias { site, .. }
            | Self::DeleteAlias { site, .. }
            | Self::CreateIpSet { site, .. }
            | Self::DescribeIpSet { site, .. }
            | Self::AddIpSetEntry { site, .. }
            | Self::UpdateIpSetEntry { site, .. }
            | Self::RemoveIpSetEntry { site, .. }
            | Self::DeleteIpSet { site, .. }
            | Self::InsertRule { site, .. }
            | Self::UpdateRule { site, .. }
            | Self::MoveRule { site, .. }
            | Self::DeleteRule { site, .. }
            | Self::SetOptions { site, .. } => site,
            Self::CreateGroup { .. }
            | Self::DescribeGroup { .. }
            | Self::DeleteGroup { .. }
            | Self::BeginTrial { .. }
            | Self::ConfirmTrial { .. } => &DATACENTER,
        }
    }

    /// The part of it that it changes.
    pub fn part(&self) -> FirewallPart {
        match self {
            Self::CreateAlias { name, .. }
            | Self::UpdateAlias { name, .. }
            | Self::DeleteAlias { name, .. } => FirewallPart::Alias(name.clone()),
            Self::CreateIpSet { name, .. }
            | Self::DescribeIpSet { name, .. }
            | Self::AddIpSetEntry { name, .. }
            | Self::UpdateIpSetEntry { name, .. }
            | Self::RemoveIpSetEntry { name, .. }
            | Self::DeleteIpSet { name, .. } => FirewallPart::Set(name.clone()),
            Self::CreateGroup { name, .. }
            | Self::DescribeGroup { name, .. }
            | Self::DeleteGroup { name } => FirewallPart::Group(name.clone()),
            Self::InsertRule { list, .. }
            | Self::UpdateRule { list, .. }
            | Self::MoveRule { list, .. }
            | Self::DeleteRule { list, .. } => list.part(),
            Self::SetOptions { .. } | Self::BeginTrial { .. } | Self::ConfirmTrial { .. } => {
                FirewallPart::Options
            }
        }
    }

    /// The list of rules that it changes, if it changes one.
    pub fn list(&self) -> Option<&RuleList> {
        match self {
            Self::InsertRule { list, .. }
            | Self::UpdateRule { list, .. }
            | Self::MoveRule { list, .. }
            | Self::DeleteRule { list, .. } => Some(list),
            Self::CreateAlias { .. }
            | Self::UpdateAlias { .. }
            | Self::DeleteAlias { .. }
            | Self::CreateIpSet { .. }
            | Self::DescribeIpSet { .. }
            | Self::AddIpSetEntry { .. }
            | Self::UpdateIpSetEntry { .. }
            | Self::RemoveIpSetEntry { .. }
            | Self::DeleteIpSet { .. }
            | Self::CreateGroup { .. }
            | Self::DescribeGroup { .. }
            | Self::DeleteGroup { .. }
            | Self::SetOptions { .. }
            | Self::BeginTrial { .. }
            | Self::ConfirmTrial { .. } => None,
        }
    }

    /// The live object it is about: `alias/lan`, `ipset/104/web`.
    pub fn object(&self) -> String {
        object_of(&self.site().place(), &self.part())
    }

    /// The guest whose firewall it is, if it is a guest's.
    pub fn guest(&self) -> Option<(GuestKind, Vmid)> {
        match self.site() {
            Site::Guest { kind, vmid } => Some((*kind, *vmid)),
            Site::Cluster | Site::Node { .. } | Site::Vnet { .. } => None,
        }
    }

    /// Whether it takes an object away.
    pub fn destructive(&self) -> bool {
        self.verb() == "delete"
    }

    /// The word for what it does, for policy.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::CreateAlias { .. } | Self::CreateIpSet { .. } | Self::CreateGroup { .. } => {
                "create"
            }
            Self::UpdateAlias { .. }
            | Self::DescribeIpSet { .. }
            | Self::AddIpSetEntry { .. }
            | Self::UpdateIpSetEntry { .. }
            | Self::RemoveIpSetEntry { .. }
            | Self::DescribeGroup { .. }
            | Self::InsertRule { .. }
            | Self::UpdateRule { .. }
            | Self::MoveRule { .. }
            | Self::DeleteRule { .. }
            | Self::SetOptions { .. }
            | Self::BeginTrial { .. }
            | Self::ConfirmTrial { .. } => "update",
            Self::DeleteAlias { .. } | Self::DeleteIpSet { .. } | Self::DeleteGroup { .. } => {
                "delete"
            }
        }
    }

    /// What it does, in two or three words.
    pub fn word(&self) -> &'static str {
        match self {
            Self::CreateAlias { .. } => "create alias",
            Self::UpdateAlias { .. } => "update alias",
            Self::DeleteAlias { .. } => "delete alias",
            Self::CreateIpSet { .. } => "create set",
            Self::DescribeIpSet { .. } => "describe set",
            Self::AddIpSetEntry { .. } => "add set entry",
            Self::UpdateIpSetEntry { .. } => "update set entry",
            Self::RemoveIpSetEntry { .. } => "remove set entry",
            Self::DeleteIpSet { .. } => "delete set",
            Self::CreateGroup { .. } => "create security group",
            Self::DescribeGroup { .. } => "describe security group",
            Self::DeleteGroup { .. } => "delete security group",
            Self::InsertRule { .. } => "insert rule",
            Self::UpdateRule { .. } => "update rule",
            Self::MoveRule { .. } => "move rule",
            Self::DeleteRule { .. } => "delete rule",
            Self::SetOptions { .. } => "set firewall options",
            Self::BeginTrial { .. } => "begin firewall trial",
            Self::ConfirmTrial { .. } => "confirm firewall trial",
        }
    }

    /// The object it makes, if it makes one.
    pub fn makes(&self) -> Option<String> {
        (self.verb() == "create").then(|| self.object())
    }

    /// The object it removes, if it removes one.
    pub fn removes(&self) -> Option<String> {
        (self.verb() == "delete").then(|| self.object())
    }
}

/// How a part of a firewall is called among live objects: `alias/lan`, of a guest `alias/104/lan`.
pub fn object_of(place: &Place, part: &FirewallPart) -> String {
    let at = match place {
        Place::Cluster | Place::Node(_) | Place::Vnet(_) => String::new(),
        Place::Guest(vmid) => format!("{vmid}/"),
    };
    match part {
        FirewallPart::Alias(name) => format!("alias/{at}{}", name.to_ascii_lowercase()),
        FirewallPart::Set(name) => format!("ipset/{at}{name}"),
        FirewallPart::Group(name) => format!("security-group/{}", name.to_ascii_lowercase()),
        FirewallPart::Rules | FirewallPart::Options => match place {
            Place::Cluster => "firewall/cluster".to_owned(),
            Place::Node(node) => format!("firewall/node/{node}"),
            Place::Guest(vmid) => format!("firewall/guest/{vmid}"),
            Place::Vnet(vnet) => format!("firewall/vnet/{vnet}"),
        },
    }
}

/// The part of a firewall that an object's name is about, and where; of a whole firewall its rules.
pub fn of_object(object: &str) -> Option<(Place, FirewallPart)> {
    let (kind, rest) = object.split_once('/')?;
    if kind == "firewall" {
        let place = match rest.split_once('/') {
            None if rest == "cluster" => Place::Cluster,
            Some(("node", node)) => Place::Node(node.parse().ok()?),
            Some(("guest", vmid)) => Place::Guest(vmid.parse().ok()?),
            Some(("vnet", vnet)) => Place::Vnet(vnet.parse().ok()?),
            _ => return None,
        };
        return Some((place, FirewallPart::Rules));
    }
    let (place, name) = match rest.split_once('/') {
        Some((vmid, name)) => (Place::Guest(vmid.parse().ok()?), name),
        None => (Place::Cluster, rest),
    };
    let name = name.to_owned();
    match kind {
        "alias" => Some((place, FirewallPart::Alias(name))),
        "ipset" => Some((place, FirewallPart::Set(name))),
        "security-group" if place == Place::Cluster => Some((place, FirewallPart::Group(name))),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_read_as_they_are_written() {
        let vmid = Place::Guest(Vmid::new(104).unwrap());
        for (place, part, object) in [
            (
                Place::Cluster,
                FirewallPart::Alias("lan".into()),
                "alias/lan",
            ),
            (
                vmid.clone(),
                FirewallPart::Alias("lan".into()),
                "alias/104/lan",
            ),
            (Place::Cluster, FirewallPart::Set("web".into()), "ipset/web"),
            (
                vmid.clone(),
                FirewallPart::Set("web".into()),
                "ipset/104/web",
            ),
            (
                Place::Cluster,
                FirewallPart::Group("web".into()),
                "security-group/web",
            ),
            (Place::Cluster, FirewallPart::Rules, "firewall/cluster"),
            (vmid, FirewallPart::Rules, "firewall/guest/104"),
            (
                Place::Vnet("web".parse().unwrap()),
                FirewallPart::Rules,
                "firewall/vnet/web",
            ),
            (
                Place::Node("pve1".parse().unwrap()),
                FirewallPart::Rules,
                "firewall/node/pve1",
            ),
        ] {
            assert_eq!(object_of(&place, &part), object);
            assert_eq!(of_object(object), Some((place, part)));
        }
        assert_eq!(of_object("alias/x/lan"), None);
        assert_eq!(of_object("pool/lan"), None);
    }
}
