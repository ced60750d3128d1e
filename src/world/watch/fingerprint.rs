//! Fingerprints of what `GET /cluster/resources` says of a guest, a node or a storage: whatever of it changes only when somebody
//! changes something. They are compared without keeping the list, and without allocating for an entry that did not change.

use std::hash::{DefaultHasher, Hasher as _};

use super::resources::Entry;

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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
    pub(super) fn of(item: &Entry<'_>) -> Self {
        let is_published = item
            .field("status")
            .is_some_and(|status| status != "unknown");
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
    pub(super) fn then(&self, item: &Entry<'_>) -> Self {
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
    pub(super) fn of(item: &Entry<'_>) -> Self {
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
pub(super) fn of_storage(item: &Entry<'_>) -> u64 {
    hash(item, STORAGE)
}

/// A task's name, short.
pub(super) fn of_text(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

fn uptime(item: &Entry<'_>) -> Option<u64> {
    item.field("uptime")?.parse().ok()
}

fn was_reset(before: Option<u64>, now: Option<u64>) -> bool {
    before.zip(now).is_some_and(|(before, now)| now < before)
}

/// The fields' values, hashed. Perl writes the same number as `2` or as `"2"`, as it pleases, and leaves out what is empty or 0
/// at times; so these count as the same.
fn hash(item: &Entry<'_>, fields: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (index, field) in (0u8..).zip(fields) {
        let Some(value) = item.field(field).filter(|text| !matches!(*text, "" | "0")) else {
            continue;
        };
        hasher.write_u8(index);
        hasher.write(value.as_bytes());
        hasher.write_u8(0xff);
    }
    hasher.finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// With an entry made of a value.
    fn entry<T>(item: &Value, with: impl FnOnce(&Entry<'_>) -> T) -> T {
        let raw = serde_json::value::to_raw_value(item).unwrap();
        with(&Entry::of(&raw).unwrap())
    }

    fn print(item: &Value) -> Fingerprint {
        entry(item, Fingerprint::of)
    }

    fn then(before: &Fingerprint, item: &Value) -> Fingerprint {
        entry(item, |entry| before.then(entry))
    }

    fn node_print(item: &Value) -> NodeFingerprint {
        entry(item, NodeFingerprint::of)
    }

    fn storage_print(item: &Value) -> u64 {
        entry(item, of_storage)
    }

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
        let before = print(before);
        let difference = before.difference(&then(&before, now));
        assert!(!difference.hushed);
        (difference.guest, difference.pool, difference.ha)
    }

    #[test]
    fn a_node_that_publishes_nothing_says_nothing_of_its_guests() {
        let hushed = json!({"type": "qemu", "vmid": 100, "node": "pve1", "tags": "a;b", "status": "unknown"});
        let before = print(&guest());
        let without = then(&before, &hushed);
        let difference = before.difference(&without);
        assert!(difference.hushed && !difference.guest, "{difference:?}");
        assert!(!without.difference(&then(&without, &hushed)).hushed);
        assert!(
            !without.difference(&then(&without, &guest())).guest,
            "as it was"
        );
        let stopped = then(&without, &with("status", json!("stopped")));
        assert!(without.difference(&stopped).guest);
        let restarted = then(&without, &with("uptime", json!(5)));
        assert!(without.difference(&restarted).guest);
        // Nor does it hide what is live.
        let mut locked = hushed.clone();
        locked["lock"] = json!("migrate");
        assert!(without.difference(&then(&without, &locked)).guest);
        // What is published of a new guest is news.
        let new = print(&hushed);
        assert!(new.difference(&then(&new, &guest())).guest);
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
        let vmid = |item: Value| entry(&item, |entry| entry.vmid());
        assert_eq!(vmid(guest()), vmid(json!({"vmid": "100"})));
        assert_eq!(vmid(json!({"vmid": 7})), None);
    }

    #[test]
    fn a_value_does_not_count_for_its_neighbour() {
        let fields = |item: &Value| entry(item, |entry| hash(entry, LIVE));
        let lock = json!({"lock": "x"});
        let tags = json!({"tags": "x"});
        assert_ne!(fields(&lock), fields(&tags));
        let split = |one, two| fields(&json!({"lock": one, "tags": two}));
        assert_ne!(split("ab", "c"), split("a", "bc"));
    }

    #[test]
    fn nodes_and_storages_have_theirs() {
        let node = json!({"type": "node", "node": "a", "status": "online", "maxcpu": 8, "maxmem": 9, "mem": 1, "uptime": 50});
        let of = |field: &str, value: Value| {
            let mut item = node.clone();
            item[field] = value;
            node_print(&item)
        };
        let known = node_print(&node);
        assert!(known.differs(&of("status", json!("offline"))));
        assert!(!known.differs(&of("mem", json!(2))));
        assert!(known.rebooted(&of("uptime", json!(3))));
        assert!(!known.rebooted(&of("uptime", json!(60))));
        let storage = json!({"type": "storage", "status": "available", "content": "images", "disk": 1, "maxdisk": 9});
        let mut fuller = storage.clone();
        fuller["disk"] = json!(2);
        assert_eq!(storage_print(&storage), storage_print(&fuller));
        fuller["status"] = json!("unknown");
        assert_ne!(storage_print(&storage), storage_print(&fuller));
    }
}
