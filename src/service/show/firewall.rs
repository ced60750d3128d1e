//! Aliases and sets of firewalls, for people.

use serde_json::{Value, json};

use super::List;
use crate::service::resources::firewall::{facts, parts, scopes};
use crate::world::World;
use crate::world::action::firewall::object_of;
use crate::world::firewall::{FirewallPart, Place};

/// Whose firewall it is.
fn owner(place: &Place) -> String {
    match place {
        Place::Cluster => "datacenter".to_owned(),
        Place::Node(node) => format!("node/{node}"),
        Place::Guest(vmid) => format!("guest/{vmid}"),
        Place::Vnet(vnet) => format!("vnet/{vnet}"),
    }
}

/// The aliases, sets or security groups of every firewall that was read, or the firewalls themselves.
pub(super) fn list(what: &str, world: &World) -> List {
    let what = what.trim_end_matches("es").trim_end_matches('s');
    let headings: &[&str] = match what {
        "alia" => &["ALIAS", "FIREWALL", "ADDRESS", "COMMENT"],
        "ipset" => &["SET", "FIREWALL", "ENTRIES", "COMMENT"],
        "security-group" => &["GROUP", "FIREWALL", "RULES", "COMMENT"],
        _ => &["FIREWALL", "ENABLED", "RULES", "OPTIONS"],
    };
    let mut list = List::new(headings);
    for (place, scope) in scopes(world) {
        for part in parts(scope) {
            let object = object_of(&place, &part);
            let Some((settings, members)) = facts(world, &object) else {
                continue;
            };
            let setting = |key: &str| settings.get(key).cloned().unwrap_or_default();
            let count = members.len().to_string();
            let cells = match (&part, what) {
                (FirewallPart::Alias(name), "alia") => [
                    name.clone(),
                    owner(&place),
                    setting("cidr"),
                    setting("comment"),
                ],
                (FirewallPart::Set(name), "ipset")
                | (FirewallPart::Group(name), "security-group") => {
                    [name.clone(), owner(&place), count, setting("comment")]
                }
                (FirewallPart::Rules, "firewall") => {
                    let options = settings.len().to_string();
                    [owner(&place), setting("enable"), count, options]
                }
                _ => continue,
            };
            list.row(cells);
        }
    }
    list
}

/// An alias or a set as JSON.
pub(super) fn object(kind: &str, name: &str, world: &World) -> Option<Value> {
    let (settings, members) = facts(world, &format!("{kind}/{name}"))?;
    Some(match kind {
        "alias" => json!({ "alias": name, "settings": settings }),
        "ipset" => json!({ "ipset": name, "settings": settings, "entries": members }),
        "security-group" => {
            json!({ "securityGroup": name, "settings": settings, "rules": members })
        }
        _ => json!({ "firewall": name, "options": settings, "rules": members }),
    })
}
