//! Which values still are what the run left: only those are set back, all others stay and are named. It makes no step.

use std::collections::{BTreeMap, BTreeSet};

use super::super::values::{self, Decision, Secrets, decide};
use super::super::words::{difference, short};
use super::Back;
use crate::document::desired::{Value, Wish};
use crate::ids::VolumeId;
use crate::proxmox::property::Domain;
use crate::world::{Param, Params, Section, views};

impl Back<'_, '_, '_> {
    /// Which keys still have what the run left, with what they had before.
    pub(super) fn still_ours(
        &mut self,
        domain: Domain,
        object: &str,
        live: &Section,
        set: &Params,
        delete: &BTreeSet<String>,
        left: &Params,
    ) -> (Params, BTreeSet<String>, Vec<String>) {
        let (mut set_back, mut delete_back) = (Params::new(), BTreeSet::new());
        let mut told = Vec::new();
        let wanted = set
            .iter()
            .map(|(key, param)| (key, Some(param)))
            .chain(delete.iter().map(|key| (key, None)));
        for (key, old) in wanted {
            let now = live.get(key).map(String::as_str);
            let old_text = match old {
                Some(Param::Plain(text)) => Some(text.as_str()),
                Some(Param::Secret { .. }) | None => None,
            };
            if now == old_text || same(domain, key, now, old_text) {
                continue;
            }
            let ours = match left.get(key) {
                // What taking a disk out leaves of the boot order, written by Proxmox VE itself.
                None if key == "boot" => now.is_some_and(|now| shortened(now, old_text)),
                Some(Param::Plain(text)) => {
                    same(domain, key, now, Some(text)) || made_of(now, text)
                }
                Some(Param::Secret { .. }) => now.is_some(),
                None => now.is_none(),
            };
            if !ours {
                let shown = |text: Option<&str>| text.map_or_else(|| "not set".to_owned(), short);
                let we = left.get(key).map(values::shown);
                self.left(&format!(
                    "{object} {key} was changed by someone since ({}, we left {})",
                    shown(now),
                    shown(we.as_deref())
                ));
                continue;
            }
            self.planner
                .drafts
                .change(object, key, now, old_text, "set back");
            told.push(difference(key, now, old_text));
            match old {
                Some(param) => {
                    set_back.insert(key.clone(), param.clone());
                }
                None => {
                    delete_back.insert(key.clone());
                }
            }
        }
        (set_back, delete_back, told)
    }
}

/// Whether a live value is what was once written, by meaning.
pub(super) fn same(domain: Domain, key: &str, live: Option<&str>, written: Option<&str>) -> bool {
    let (Some(live), Some(written)) = (live, written) else {
        return live.is_none() && written.is_none();
    };
    let nothing = BTreeMap::new();
    let secrets = Secrets {
        now: &nothing,
        sent: None,
    };
    let wish = Wish::Set(Value::Plain(written.to_owned()));
    matches!(
        decide(domain, key, Some(live), &wish, secrets),
        Ok(Decision::Same)
    )
}

/// Whether one boot order is another one without some of its devices.
fn shortened(now: &str, before: Option<&str>) -> bool {
    let devices = |text: &str| -> Vec<String> {
        text.trim()
            .trim_start_matches("order=")
            .split(';')
            .filter(|device| !device.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let all = before.map(devices).unwrap_or_default();
    devices(now).iter().all(|device| all.contains(device))
}

/// Whether a live value is the cloud-init drive that was asked for by `STORAGE:cloudinit`.
fn made_of(now: Option<&str>, written: &str) -> bool {
    let volume = |text: &str| -> Option<VolumeId> { text.split(',').next()?.parse().ok() };
    match (now.and_then(volume), volume(written)) {
        (Some(now), Some(asked)) => {
            asked.name() == "cloudinit"
                && asked.storage() == now.storage()
                && views::is_cloudinit(&now)
        }
        _ => false,
    }
}
