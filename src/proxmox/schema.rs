//! Which plain keys guests and storages have: their types and bounds, the privilege each takes, what only `root@pam` may set, and
//! ([`effect`]) what a change does to a running guest. Tables and pure functions; facts restated from the API schema of Proxmox
//! VE 9.2 and the checks of qemu-server and pve-container.

pub mod effect;
pub mod keys;
pub mod privilege;

pub use effect::{ChangeEffect, change_effect, hotplugs, is_cloud_init};
pub use keys::{KeySpec, ValueKind, key_spec, keys};
pub use privilege::{KeyPrivilege, privilege, root_only};

use super::property::{Domain, boolean, normal_number, split_list};

/// Splits `net0` into `net` and `0`. A name without digits at its end, or whose number has leading zeros, has no index.
pub fn split_index(key: &str) -> (&str, Option<u32>) {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = key.get(stem.len()..).unwrap_or("");
    if stem.is_empty() || digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return (key, None);
    }
    match digits.parse() {
        Ok(index) => (stem, Some(index)),
        Err(_) => (key, None),
    }
}

/// The normal form of a plain value: what spellings that mean the same have in common. Keys in no table are compared as text.
pub fn normal_plain(domain: Domain, key: &str, text: &str) -> String {
    let set = |parts: &mut dyn Iterator<Item = String>| {
        parts
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
            .join(";")
    };
    match key_spec(domain, key).map(|spec| spec.value) {
        Some(ValueKind::Boolean) => match boolean(text) {
            Some(true) => "1".to_owned(),
            Some(false) => "0".to_owned(),
            None => text.to_owned(),
        },
        Some(ValueKind::Integer { .. } | ValueKind::Number { .. }) => normal_number(text),
        Some(ValueKind::List) => split_list(text).collect::<Vec<_>>().join(";"),
        // Proxmox VE lower-cases tags when they are changed.
        Some(ValueKind::Set) if key == "tags" => {
            set(&mut split_list(text).map(str::to_ascii_lowercase))
        }
        Some(ValueKind::Set) => set(&mut split_list(text).map(str::to_owned)),
        Some(ValueKind::Description) => text.trim_end().to_owned(),
        Some(ValueKind::Caseless) => text.to_ascii_lowercase(),
        // Percent-encoded lines; the web interface ends the last one too.
        Some(ValueKind::Text) if key == "sshkeys" => {
            let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
            let lines = decoded.lines().map(str::trim);
            lines
                .filter(|line| !line.is_empty())
                .collect::<Vec<_>>()
                .join("\n")
        }
        Some(ValueKind::Enum(_) | ValueKind::Text | ValueKind::Properties) | None => {
            text.to_owned()
        }
    }
}
