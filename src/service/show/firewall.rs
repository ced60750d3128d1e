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
    }
}

/// The aliases or the sets of every firewall that was read.
pub(super) fn list(what: &str, world: &World) -> List {
    let aliases = what.starts_with("alias");
    let headings: &[&str] = if aliases {
        &["ALIAS", "FIREWALL", "ADDRESS", "COMMENT"]
    } else {
        &["SET", "FIREWALL", "ENTRIES", "COMMENT"]
    };
    let mut list = List::new(headings);
    for (place, scope) in scopes(world) {
        for part in parts(scope) {
            let object = object_of(&place, &part);
            let Some((settings, members)) = facts(world, &object) else {
                continue;
            };
            let setting = |key: &str| settings.get(key).cloned().unwrap_or_default();
            let (name, second) = match &part {
                FirewallPart::Alias(name) if aliases => (name, setting("cidr")),
                FirewallPart::Set(name) if !aliases => (name, members.len().to_string()),
                FirewallPart::Alias(_) | FirewallPart::Set(_) => continue,
            };
            list.row([name.clone(), owner(&place), second, setting("comment")]);
        }
    }
    list
}

/// An alias or a set as JSON.
pub(super) fn object(kind: &str, name: &str, world: &World) -> Option<Value> {
    let (settings, members) = facts(world, &format!("{kind}/{name}"))?;
    Some(match kind {
        "alias" => json!({ "alias": name, "settings": settings }),
        _ => json!({ "ipset": name, "settings": settings, "entries": members }),
    })
}
