//! The calls that change firewalls. A digest goes with every call that checks it; the calls that make something do not.

use std::collections::BTreeMap;

use super::{Request, guest, request};
use crate::ids::NodeName;
use crate::proxmox::call::Method;
use crate::world::action::{FirewallAction, RuleList, Site};
use crate::world::firewall::ON_TRIAL;

/// The path of a firewall, with what follows it.
fn path(site: &Site, node: &NodeName, rest: &[&str]) -> Vec<String> {
    let owned = |start: &[&str]| -> Vec<String> {
        let all = start.iter().chain(&["firewall"]).chain(rest);
        all.map(|part| (*part).to_owned()).collect()
    };
    match site {
        Site::Cluster => owned(&["cluster"]),
        Site::Node { node } => owned(&["nodes", node.as_str()]),
        Site::Vnet { vnet } => owned(&["cluster", "sdn", "vnets", vnet.as_str()]),
        Site::Guest { kind, vmid } => {
            let rest: Vec<&str> = std::iter::once("firewall")
                .chain(rest.iter().copied())
                .collect();
            guest(node, *kind, *vmid, &rest)
        }
    }
}

/// The path of a list of rules, or of one in it.
fn list_path<'p>(list: &'p RuleList, position: Option<&'p str>) -> Vec<&'p str> {
    let start = match list {
        RuleList::Rules => vec!["rules"],
        RuleList::Group(name) => vec!["groups", name],
    };
    start.into_iter().chain(position).collect()
}

fn with_fields(request: Request, fields: &BTreeMap<String, String>) -> Request {
    let fields = fields.iter();
    fields.fold(request, |request, (key, value)| request.with(key, value))
}

/// The call for an action. `node` is the one that a guest is on.
pub(super) fn request_for(
    action: &FirewallAction,
    node: &NodeName,
    digest: Option<&str>,
) -> Request {
    let call = |method: Method, rest: &[&str]| {
        let path = path(action.site(), node, rest);
        request(method, path, None)
    };
    match action {
        FirewallAction::CreateAlias {
            name,
            cidr,
            comment,
            ..
        } => call(Method::Post, &["aliases"])
            .with("name", name)
            .with("cidr", cidr)
            .with_some("comment", comment.as_deref()),
        FirewallAction::UpdateAlias {
            name,
            cidr,
            comment,
            ..
        } => call(Method::Put, &["aliases", name])
            .with("cidr", cidr)
            .with_some("comment", comment.as_deref())
            .with_some("digest", digest),
        FirewallAction::DeleteAlias { name, .. } => {
            call(Method::Delete, &["aliases", name]).with_some("digest", digest)
        }
        FirewallAction::CreateIpSet { name, comment, .. } => call(Method::Post, &["ipset"])
            .with("name", name)
            .with_some("comment", comment.as_deref()),
        // The call that renames, to the same name, is the one that changes a comment. Its digest would be that of the list of sets.
        FirewallAction::DescribeIpSet { name, comment, .. } => call(Method::Post, &["ipset"])
            .with("name", name)
            .with("rename", name)
            .with("comment", comment),
        FirewallAction::AddIpSetEntry { name, element, .. } => call(Method::Post, &["ipset", name])
            .with("cidr", &element.cidr)
            .with_some("nomatch", element.nomatch.then_some("1"))
            .with_some("comment", element.comment.as_deref()),
        FirewallAction::UpdateIpSetEntry { name, element, .. } => {
            call(Method::Put, &["ipset", name, &element.cidr])
                .with("nomatch", if element.nomatch { "1" } else { "0" })
                .with_some("comment", element.comment.as_deref())
                .with_some("digest", digest)
        }
        FirewallAction::RemoveIpSetEntry { name, cidr, .. } => {
            call(Method::Delete, &["ipset", name, cidr]).with_some("digest", digest)
        }
        FirewallAction::DeleteIpSet { name, .. } => {
            call(Method::Delete, &["ipset", name]).with("force", "1")
        }
        FirewallAction::CreateGroup { name, comment } => call(Method::Post, &["groups"])
            .with("group", name)
            .with_some("comment", comment.as_deref()),
        FirewallAction::DescribeGroup { name, comment } => call(Method::Post, &["groups"])
            .with("group", name)
            .with("rename", name)
            .with("comment", comment),
        FirewallAction::DeleteGroup { name } => call(Method::Delete, &["groups", name]),
        FirewallAction::InsertRule { list, fields, .. } => {
            let new = call(Method::Post, &list_path(list, None));
            with_fields(new, fields)
        }
        FirewallAction::UpdateRule {
            list,
            position,
            set,
            delete,
            ..
        } => {
            let delete = (!delete.is_empty()).then(|| super::join(delete));
            let change = call(Method::Put, &list_path(list, Some(&position.to_string())));
            with_fields(change, set)
                .with_some("delete", delete)
                .with_some("digest", digest)
        }
        FirewallAction::MoveRule { list, from, to, .. } => {
            call(Method::Put, &list_path(list, Some(&from.to_string())))
                .with("moveto", to.to_string())
                .with_some("digest", digest)
        }
        FirewallAction::DeleteRule { list, position, .. } => call(
            Method::Delete,
            &list_path(list, Some(&position.to_string())),
        )
        .with_some("digest", digest),
        FirewallAction::SetOptions { set, delete, .. } => {
            let delete = (!delete.is_empty()).then(|| super::join(delete));
            with_fields(call(Method::Put, &["options"]), set)
                .with_some("delete", delete)
                .with_some("digest", digest)
        }
        FirewallAction::BeginTrial { .. } => call(Method::Put, &["options"])
            .with("enable", ON_TRIAL)
            .with_some("digest", digest),
        FirewallAction::ConfirmTrial { .. } => call(Method::Put, &["options"])
            .with("enable", "1")
            .with_some("digest", digest),
    }
}
