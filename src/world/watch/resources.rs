//! `GET /cluster/resources` as it came: tens of entries for each that changed, so an entry is looked at where it stands in the answer
//! and becomes a value of its own only where something of it is another.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::ids::{GuestKind, Vmid};
use crate::proxmox::Call;
use crate::world::observe::cluster::Listed;
use crate::world::observe::json;

/// The fields that are looked at in every entry.
const FIELDS: [&str; 17] = [
    "type",
    "vmid",
    "node",
    "lock",
    "tags",
    "status",
    "template",
    "name",
    "maxcpu",
    "maxmem",
    "maxdisk",
    "pool",
    "hastate",
    "uptime",
    "content",
    "shared",
    "plugintype",
];

/// An answer to `GET /cluster/resources`.
#[derive(Debug, Default)]
pub(super) struct Resources(Vec<u8>);

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Vec<Entry<'a>>,
}

impl Resources {
    /// The call that answers with it.
    pub(super) fn call() -> Call {
        Call::get(["cluster", "resources"])
    }

    /// The body of an answer.
    ///
    /// # Errors
    /// Why it is no list of objects.
    pub(super) fn new(body: Vec<u8>) -> Result<Self, serde_json::Error> {
        serde_json::from_slice::<Envelope<'_>>(&body)?;
        Ok(Self(body))
    }

    /// The entries. A list of this type was read before; a default one is empty.
    pub(super) fn entries(&self) -> Vec<Entry<'_>> {
        let read = serde_json::from_slice::<Envelope<'_>>(&self.0);
        read.map(|envelope| envelope.data).unwrap_or_default()
    }
}

/// One entry, where it stands.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    raw: &'a RawValue,
    fields: [Option<&'a RawValue>; FIELDS.len()],
}

impl<'de: 'a, 'a> Deserialize<'de> for Entry<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Self::of(raw).map_err(de::Error::custom)
    }
}

impl<'a> Entry<'a> {
    /// The entry that a text is.
    pub(super) fn of(raw: &'a RawValue) -> Result<Self, serde_json::Error> {
        let Fields(fields) = serde_json::from_str(raw.get())?;
        Ok(Self { raw, fields })
    }

    /// A field's text as it stands, without its quotes: `2` and `"2"` are the same, as are `true` and `1`; `null` and `false` are
    /// nothing.
    pub(super) fn field(&self, name: &str) -> Option<&'a str> {
        let at = FIELDS.iter().position(|field| *field == name)?;
        let text = self.fields.get(at).copied().flatten()?.get();
        let bare = text
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'));
        match (bare, text) {
            (Some(bare), _) => Some(bare),
            (None, "null" | "false") => None,
            (None, "true") => Some("1"),
            (None, number) => Some(number),
        }
    }

    /// What it is of.
    pub(super) fn listed(&self) -> Listed {
        match self.field("type") {
            Some("qemu") => Listed::Guest(GuestKind::Qemu),
            Some("lxc") => Listed::Guest(GuestKind::Lxc),
            Some("node") => Listed::Node(json::name(&self.value(), "node")),
            Some("storage") => Listed::Storage,
            Some(_) | None => Listed::Other,
        }
    }

    /// A guest's VMID.
    pub(super) fn vmid(&self) -> Option<Vmid> {
        self.field("vmid")?.parse().ok()
    }

    /// All of it.
    pub(super) fn value(&self) -> Value {
        // It was read once; what cannot be read again has no fields, which every reader of it takes for unreadable.
        serde_json::from_str(self.raw.get()).unwrap_or_default()
    }
}

struct Fields<'a>([Option<&'a RawValue>; FIELDS.len()]);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = [None; FIELDS.len()];
        while let Some(Place(place)) = map.next_key()? {
            match place.and_then(|place| fields.get_mut(place)) {
                Some(field) => *field = Some(map.next_value::<&RawValue>()?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Fields(fields))
    }
}

/// Where a field stands among [`FIELDS`].
struct Place(Option<usize>);

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Place;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Place, E> {
                Ok(Place(FIELDS.iter().position(|field| *field == name)))
            }
        }
        deserializer.deserialize_str(Name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"total": 3, "data": [
        {"type": "qemu", "vmid": 100, "node": "pve1", "name": "w\"eb", "maxcpu": "2", "lock": null, "other": [1, {"vmid": 7}]},
        {"type": "node", "node": "pve1", "maxcpu": 2},
        {"type": "storage", "vmid": "9"}]}"#;

    #[test]
    fn entries_are_read_where_they_stand() {
        let list = Resources::new(LIST.as_bytes().to_vec()).unwrap();
        let entries = list.entries();
        let [guest, node, storage] = entries.as_slice() else {
            unreachable!("{entries:?}")
        };
        assert!(matches!(guest.listed(), Listed::Guest(GuestKind::Qemu)));
        assert_eq!(guest.vmid().map(Vmid::get), Some(100));
        assert_eq!(guest.field("maxcpu"), node.field("maxcpu"));
        assert_eq!(guest.field("lock"), None);
        assert_eq!(guest.field("tags"), None);
        assert_eq!(guest.field("name"), Some(r#"w\"eb"#));
        let name = guest
            .value()
            .get("name")
            .and_then(Value::as_str)
            .map(str::to_owned);
        assert_eq!(name.as_deref(), Some("w\"eb"));
        assert!(matches!(node.listed(), Listed::Node(Some(name)) if name.as_str() == "pve1"));
        assert!(matches!(storage.listed(), Listed::Storage));
        assert!(Resources::default().entries().is_empty());
    }

    #[test]
    fn what_is_no_list_of_objects_is_refused() {
        for text in [
            "{}",
            r#"{"data": 1}"#,
            r#"{"data": [1]}"#,
            r#"{"data": null}"#,
            "[]",
            "{\"data\": [",
        ] {
            assert!(Resources::new(text.as_bytes().to_vec()).is_err(), "{text}");
        }
    }
}
