//! Fingerprints of what `GET /cluster/resources` says of a guest, a node or a storage: whatever of it changes only when somebody
//! changes something. They are compared without keeping the list, and without allocating for an entry that did not change.

use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hasher as _};

use serde_json::Value;

use crate::ids::Vmid;

/// What the list says of a guest that is live.
const LIVE: &[&str] = &["type", "node", "lock", "tags"];
/// What it says as the guest's node published it, up to twenty seconds before; a node that publishes nothing for a while (its
/// storage hangs, say) leaves all of it out and the status `unknown`.
const PUBLISHED: &[&str] = &["status", "template", "name", "maxcpu", "maxmem", "maxdisk"];
const NODE: &[&str] = &["status", "maxcpu", "maxmem"];
const STORAGE: &[&str] = &["status", "content", "shared", "plugintype"];

/// What the list says of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    live: u64,
    /// What was published last; `None` if nothing was yet.
    published: Option<u64>,
    /// Whether that is published now.
    is_published: bool,
    pool: u64,
    ha: u64,
    uptime: Option<u64>,
}

/// What of a guest's entry is another than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Difference {
    /// The guest itself: it has to be read again.
    pub(super) guest: bool,
    /// Its node publishes nothing of it any more. That says nothing of the guest; how it stands, its node's own list knows.
    pub(super) hushed: bool,
    /// The pool it is in.
    pub(super) pool: bool,
    /// What the HA manager says of it.
    pub(super) ha: bool,
}

impl Fingerprint {
    pub(super) fn of(item: &Value) -> Self {
        let status = item.get("status").and_then(Value::as_str);
        let is_published = status.is_some_and(|status| status != "unknown");
        Self {
            live: hash(item, LIVE),
            published: is_published.then(|| hash(item, PUBLISHED)),
            is_published,
            pool: hash(item, &["pool"]),
            ha: hash(item, &["hastate"]),
            uptime: uptime(item),
        }
    }

    /// A later entry's, which keeps what was published before if nothing is now.
    pub(super) fn then(&self, item: &Value) -> Self {
        let now = Self::of(item);
        if now.is_published {
            return now;
        }
        Self {
            published: self.published,
            uptime: self.uptime,
            ..now
        }
    }

    /// What differs in a later one.
    pub(super) fn difference(&self, now: &Self) -> Difference {
        Difference {
            guest: self.live != now.live
                || self.published != now.published
                || was_reset(self.uptime, now.uptime),
            hushed: self.is_published && !now.is_published,
            pool: self.pool != now.pool,
            ha: self.ha != now.ha,
        }
    }
}

/// What the list says of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeFingerprint {
    fields: u64,
    uptime: Option<u64>,
}

impl NodeFingerprint {
    pub(super) fn of(item: &Value) -> Self {
        Self {
            fields: hash(item, NODE),
            uptime: uptime(item),
        }
    }

    /// Whether its condition or size is another.
    pub(super) fn differs(&self, now: &Self) -> bool {
        self.fields != now.fields
    }

    /// Whether it was booted between the two.
    pub(super) fn rebooted(&self, now: &Self) -> bool {
        was_reset(self.uptime, now.uptime)
    }
}

/// What the list says of a storage on a node; not how full it is.
pub(super) fn of_storage(item: &Value) -> u64 {
    hash(item, STORAGE)
}

/// A task's name, short.
pub(super) fn of_text(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// A guest's VMID in the list; Proxmox VE writes it as a number or as text.
pub(super) fn vmid(item: &Value) -> Option<Vmid> {
    match item.get("vmid")? {
        Value::Number(number) => {
            let number = u32::try_from(number.as_u64()?).ok()?;
            Vmid::new(number).ok()
        }
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn uptime(item: &Value) -> Option<u64> {
    match item.get("uptime")? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn was_reset(before: Option<u64>, now: Option<u64>) -> bool {
    before.zip(now).is_some_and(|(before, now)| now < before)
}

/// The fields' values, hashed. Perl writes the same number as `2` or as `"2"`, as it pleases, and leaves out what is empty or 0
/// at times; so these count as the same.
fn hash(item: &Value, fields: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (index, field) in (0u8..).zip(fields) {
        let value = match item.get(*field) {
            None | Some(Value::Null | Value::Bool(false)) => continue,
            Some(Value::String(text)) if text.is_empty() || text == "0" => continue,
            Some(Value::Number(number)) if number.as_u64() == Some(0) => continue,
            Some(value) => value,
        };
        hasher.write_u8(index);
        match value {
            Value::Bool(_) => hasher.write(b"1"),
            Value::String(text) => hasher.write(text.as_bytes()),
            // Writing into a hasher cannot fail.
            other => write!(Text(&mut hasher), "{other}").unwrap_or_default(),
        }
        hasher.write_u8(0xff);
    }
    hasher.finish()
}

/// A hasher as something to write text to.
struct Text<'a>(&'a mut DefaultHasher);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use serde_json::json;

    fn guest() -> Value {
        json!({"type": "qemu", "id": "qemu/100", "vmid": 100, "node": "pve1", "name": "web", "status": "running",
            "maxcpu": 4, "maxmem": 8_589_934_592_u64, "maxdisk": 34_359_738_368_u64, "template": 0, "uptime": 86_400,
            "tags": "a;b", "pool": "p", "hastate": "started", "cpu": 0.02, "mem": 1, "disk": 0, "netin": 5, "diskread": 7})
    }

    fn with(field: &str, value: Value) -> Value {
        let mut item = guest();
        item[field] = value;
        item
    }

    fn compare(before: &Value, now: &Value) -> (bool, bool, bool) {
        let before = Fingerprint::of(before);
        let difference = before.difference(&before.then(now));
        assert!(!difference.hushed);
        (difference.guest, difference.pool, difference.ha)
    }

    #[test]
    fn a_node_that_publishes_nothing_says_nothing_of_its_guests() {
        let hushed = json!({"type": "qemu", "vmid": 100, "node": "pve1", "tags": "a;b", "status": "unknown"});
        let before = Fingerprint::of(&guest());
        let without = before.then(&hushed);
        let difference = before.difference(&without);
        assert!(difference.hushed && !difference.guest, "{difference:?}");
        assert!(!without.difference(&without.then(&hushed)).hushed);
        assert!(
            !without.difference(&without.then(&guest())).guest,
            "as it was"
        );
        let stopped = without.then(&with("status", json!("stopped")));
        assert!(without.difference(&stopped).guest);
        let restarted = without.then(&with("uptime", json!(5)));
        assert!(without.difference(&restarted).guest);
        // Nor does it hide what is live.
        let mut locked = hushed.clone();
        locked["lock"] = json!("migrate");
        assert!(without.difference(&without.then(&locked)).guest);
        // What is published of a new guest is news.
        let new = Fingerprint::of(&hushed);
        assert!(new.difference(&new.then(&guest())).guest);
    }

    #[test]
    fn what_somebody_changes_shows() {
        for (field, value) in [
            ("type", json!("lxc")),
            ("node", json!("pve2")),
            ("status", json!("stopped")),
            ("lock", json!("backup")),
            ("tags", json!("a")),
            ("template", json!(1)),
            ("name", json!("db")),
            ("maxcpu", json!(2)),
            ("maxcpu", json!(4.5)),
            ("maxmem", json!(1024)),
            ("maxdisk", json!(1)),
            ("uptime", json!(12)),
        ] {
            let now = with(field, value);
            assert_eq!(compare(&guest(), &now), (true, false, false), "{field}");
        }
        let moved = with("pool", Value::Null);
        assert_eq!(compare(&guest(), &moved), (false, true, false));
        let moving = with("hastate", json!("migrate"));
        assert_eq!(compare(&guest(), &moving), (false, false, true));
    }

    #[test]
    fn what_changes_by_itself_does_not() {
        for (field, value) in [
            ("cpu", json!(0.9)),
            ("mem", json!(99)),
            ("netin", json!(6)),
            ("diskread", json!(8)),
            ("uptime", json!(86_410)),
            ("uptime", Value::Null),
        ] {
            let now = with(field, value);
            assert_eq!(compare(&guest(), &now), (false, false, false), "{field}");
        }
    }

    #[test]
    fn numbers_and_their_texts_are_the_same() {
        for (field, value) in [
            ("maxcpu", json!("4")),
            ("maxmem", json!("8589934592")),
            ("template", json!("0")),
            ("template", Value::Null),
            ("template", json!(false)),
            ("lock", json!("")),
        ] {
            let now = with(field, value);
            assert_eq!(compare(&guest(), &now), (false, false, false), "{field}");
        }
        assert_eq!(vmid(&guest()), vmid(&json!({"vmid": "100"})));
        assert_eq!(vmid(&json!({"vmid": 7})), None);
    }

    #[test]
    fn a_value_does_not_count_for_its_neighbour() {
        let lock = json!({"lock": "x"});
        let tags = json!({"tags": "x"});
        assert_ne!(hash(&lock, LIVE), hash(&tags, LIVE));
        let split = |one, two| hash(&json!({"lock": one, "tags": two}), LIVE);
        assert_ne!(split("ab", "c"), split("a", "bc"));
    }

    #[test]
    fn nodes_and_storages_have_theirs() {
        let node = json!({"type": "node", "node": "a", "status": "online", "maxcpu": 8, "maxmem": 9, "mem": 1, "uptime": 50});
        let of = |field: &str, value: Value| {
            let mut item = node.clone();
            item[field] = value;
            NodeFingerprint::of(&item)
        };
        let known = NodeFingerprint::of(&node);
        assert!(known.differs(&of("status", json!("offline"))));
        assert!(!known.differs(&of("mem", json!(2))));
        assert!(known.rebooted(&of("uptime", json!(3))));
        assert!(!known.rebooted(&of("uptime", json!(60))));
        let storage = json!({"type": "storage", "status": "available", "content": "images", "disk": 1, "maxdisk": 9});
        let mut fuller = storage.clone();
        fuller["disk"] = json!(2);
        assert_eq!(of_storage(&storage), of_storage(&fuller));
        fuller["status"] = json!("unknown");
        assert_ne!(of_storage(&storage), of_storage(&fuller));
    }
}
