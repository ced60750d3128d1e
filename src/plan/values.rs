//! Values: whether what a document asks for one key differs from what is there, by meaning and not by spelling, and what would have
//! to be written. Nothing here knows guests or storages.

use std::collections::{BTreeMap, BTreeSet};

use super::error::Reason;
use crate::document::desired::{SecretRef, Value, Wish};
use crate::proxmox::property::{Domain, PropertyMap, equivalent, merged};
use crate::world::Param;

/// What to do about one key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Decision {
    /// It is as it shall be.
    Same,
    /// Write it.
    Set {
        /// What is sent.
        param: Param,
        /// What people see; for a secret its fingerprint.
        shown: String,
    },
    /// Delete it.
    Delete,
}

/// Where secrets and what was last sent are looked up.
#[derive(Clone, Copy)]
pub(super) struct Secrets<'a> {
    pub now: &'a BTreeMap<SecretRef, String>,
    /// The fingerprint last sent for this key.
    pub sent: Option<&'a str>,
}

/// Compares a wish with the value that is there.
pub(super) fn decide(
    domain: Domain,
    key: &str,
    live: Option<&str>,
    wish: &Wish<Value>,
    secrets: Secrets<'_>,
) -> Result<Decision, Reason> {
    let value = match wish {
        Wish::Remove => {
            return Ok(if live.is_some() {
                Decision::Delete
            } else {
                Decision::Same
            });
        }
        Wish::Set(value) => value,
    };
    match value {
        Value::Plain(text) => {
            let text = keep_mac(domain, key, live, text);
            Ok(
                if live.is_some_and(|live| equivalent(domain, key, live, &text)) {
                    Decision::Same
                } else {
                    plain(text)
                },
            )
        }
        Value::Properties { set, remove } => {
            let merged = merge(domain, key, live, set, remove)?;
            Ok(match merged {
                None => Decision::Same,
                Some(text) if text.is_empty() => Decision::Delete,
                Some(text) => plain(text),
            })
        }
        Value::Secret(from) => {
            let fingerprint = secrets.now.get(from).ok_or_else(|| Reason::NoSecret {
                from: secret_name(from),
            })?;
            if secrets.sent == Some(fingerprint) {
                return Ok(Decision::Same);
            }
            Ok(Decision::Set {
                param: Param::Secret {
                    from: from.clone(),
                    fingerprint: fingerprint.clone(),
                },
                shown: secret_shown(fingerprint),
            })
        }
    }
}

fn plain(text: String) -> Decision {
    Decision::Set {
        param: Param::Plain(text.clone()),
        shown: text,
    }
}

/// The place of a secret, for messages.
pub(super) fn secret_name(from: &SecretRef) -> String {
    match from {
        SecretRef::FromFile(path) => format!("file {path}"),
        SecretRef::FromEnv(name) => format!("environment variable {name}"),
    }
}

/// How a secret is shown: never, but a change of it can be told.
pub(super) fn secret_shown(fingerprint: &str) -> String {
    let head: String = fingerprint.chars().take(12).collect();
    format!("(secret {head})")
}

/// What people see of a parameter.
pub(super) fn shown(param: &Param) -> String {
    match param {
        Param::Plain(text) => text.clone(),
        Param::Secret { fingerprint, .. } => secret_shown(fingerprint),
    }
}

/// The live value with the document's options put in; `None` if that means the same as now.
pub(super) fn merge(
    domain: Domain,
    key: &str,
    live: Option<&str>,
    set: &BTreeMap<String, String>,
    remove: &BTreeSet<String>,
) -> Result<Option<String>, Reason> {
    merged(domain, key, live, set, remove).map_err(|error| Reason::Refused {
        why: error.to_string(),
    })
}

/// A NIC that names no MAC keeps the one it has: Proxmox VE would make up a new one.
fn keep_mac(domain: Domain, key: &str, live: Option<&str>, text: &str) -> String {
    let is_nic = key
        .strip_prefix("net")
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    if !is_nic {
        return text.to_owned();
    }
    let address = match domain {
        Domain::Qemu => "macaddr",
        Domain::Lxc => "hwaddr",
        Domain::Storage
        | Domain::BackupJob
        | Domain::ReplicationJob
        | Domain::Realm
        | Domain::Firewall
        | Domain::Cluster => return text.to_owned(),
    };
    let parse = |text| PropertyMap::parse(domain, key, text).ok();
    let (Some(live), Some(mut wanted)) = (live.and_then(parse), parse(text)) else {
        return text.to_owned();
    };
    if wanted.get(address).is_none()
        && let Some(mac) = live.get(address)
        && wanted.set(address, mac).is_ok()
    {
        return wanted.to_string();
    }
    text.to_owned()
}
