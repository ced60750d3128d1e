//! How a typed field becomes a key of Proxmox VE: the three-state [`Field`], lists and sets, and the [`options!`](crate::document)
//! macro that declares a field once, with its documentation, its bounds and Proxmox VE's own key. It knows no kind.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::desired::{SecretRef, Value, Wish};
use crate::ids::Slot;

/// A field with three states: not written (not managed), written as `null` (to be removed), or a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Field<T> {
    /// Not written: whatever the cluster has stays as it is.
    #[default]
    Unset,
    /// Written as `null`: the setting shall be gone, so that Proxmox VE's default holds.
    Remove,
    /// A value.
    Set(T),
}

impl<T> Field<T> {
    /// The value, if there is one.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Unset | Self::Remove => None,
        }
    }

    /// What is wished, if the field is managed.
    pub fn wish(&self) -> Option<Wish<T>>
    where
        T: Clone,
    {
        match self {
            Self::Unset => None,
            Self::Remove => Some(Wish::Remove),
            Self::Set(value) => Some(Wish::Set(value.clone())),
        }
    }
}

impl<T: Serialize> Serialize for Field<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Option::<T>::deserialize(deserializer)? {
            Some(value) => Self::Set(value),
            None => Self::Remove,
        })
    }
}

impl<T: JsonSchema> JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Field_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Option::<T>::json_schema(generator);
        schema.insert(REMOVABLE.to_owned(), true.into());
        schema
    }
}

/// Marks a schema whose `null` asks for removal; a plain `Option` does not take `null`. Gone when the schema is finished.
pub const REMOVABLE: &str = "x-removable";

/// Something that may be not written at all.
pub trait Unset {
    /// Whether it was not written.
    fn unset(&self) -> bool;
}

impl<T> Unset for Field<T> {
    fn unset(&self) -> bool {
        matches!(self, Self::Unset)
    }
}

impl<T> Unset for Option<T> {
    fn unset(&self) -> bool {
        self.is_none()
    }
}

/// For serde: leaves out what was not written.
pub fn is_unset<T: Unset>(field: &T) -> bool {
    field.unset()
}

/// A value that has a form in Proxmox VE's configuration.
pub trait ToValue {
    /// That form.
    fn to_value(&self) -> Value;
}

/// What a document asks for, key by key, in the order of writing. A key `cpu,cputype` is one sub-key of a property string.
pub type Wishes = Vec<(String, Wish<Value>)>;

/// Several options that belong together in a document.
pub trait Group {
    /// Adds the wish of every written option.
    fn write(&self, out: &mut Wishes);
}

/// A field that adds its wish under a key.
pub trait Write {
    /// Adds the wish, if the field was written.
    fn write(&self, key: &str, out: &mut Wishes);
}

/// The wish for a value. Proxmox VE keeps no empty values: an empty text or list is the wish for removal, and no sub-key is no wish.
pub(super) fn wish(key: &str, value: Value) -> Option<(String, Wish<Value>)> {
    let wish = match value {
        Value::Plain(text) if text.is_empty() => Wish::Remove,
        Value::Properties { set, remove } if set.is_empty() && remove.is_empty() => return None,
        value @ (Value::Plain(_) | Value::Properties { .. } | Value::Secret(_)) => Wish::Set(value),
    };
    Some((key.to_owned(), wish))
}

impl<T: ToValue> Write for Field<T> {
    fn write(&self, key: &str, out: &mut Wishes) {
        match self {
            Self::Unset => {}
            Self::Remove => out.push((key.to_owned(), Wish::Remove)),
            Self::Set(value) => out.extend(wish(key, value.to_value())),
        }
    }
}

impl<G: Group> Write for Option<G> {
    fn write(&self, _key: &str, out: &mut Wishes) {
        if let Some(group) = self {
            group.write(out);
        }
    }
}

/// The wishes by key; sub-keys (`cpu,cputype`) are joined into one property string.
pub fn collect(wishes: Wishes) -> BTreeMap<String, Wish<Value>> {
    let mut whole = BTreeMap::new();
    let mut parts: BTreeMap<String, Wishes> = BTreeMap::new();
    for (key, wish) in wishes {
        match key.split_once(',') {
            Some((main, sub)) => parts
                .entry(main.to_owned())
                .or_default()
                .push((sub.to_owned(), wish)),
            None => {
                whole.insert(key, wish);
            }
        }
    }
    for (main, wishes) in parts {
        whole.insert(main, Wish::Set(properties(wishes)));
    }
    whole
}

/// The wishes as sub-keys of one property string.
pub fn properties(wishes: Wishes) -> Value {
    let (set, remove) = plain_properties(wishes);
    Value::Properties { set, remove }
}

/// The sub-keys to set and those to remove. A secret has no place in a property string and is left out (no such field exists).
pub fn plain_properties(wishes: Wishes) -> (BTreeMap<String, String>, BTreeSet<String>) {
    let mut set = BTreeMap::new();
    let mut remove = BTreeSet::new();
    for (key, wish) in wishes {
        match wish {
            Wish::Remove => {
                remove.insert(key);
            }
            Wish::Set(Value::Plain(text)) => {
                set.insert(key, text);
            }
            Wish::Set(Value::Properties { .. } | Value::Secret(_)) => {}
        }
    }
    (set, remove)
}

impl ToValue for bool {
    fn to_value(&self) -> Value {
        Value::Plain(if *self { "1" } else { "0" }.to_owned())
    }
}

macro_rules! printed {
    ($($type:ty),*) => { $(impl ToValue for $type {
        fn to_value(&self) -> Value { Value::Plain(self.to_string()) }
    })* };
}
printed!(
    u32,
    i32,
    u64,
    f64,
    String,
    Slot,
    crate::ids::StorageId,
    crate::ids::NodeName,
    crate::ids::VnetName,
    crate::ids::VolumeId,
    crate::ids::PoolId,
    crate::ids::Vmid
);

impl ToValue for SecretRef {
    fn to_value(&self) -> Value {
        Value::Secret(self.clone())
    }
}

fn texts<'a, T: ToValue + 'a>(items: impl Iterator<Item = &'a T>) -> Vec<String> {
    items
        .filter_map(|item| match item.to_value() {
            Value::Plain(text) => Some(text),
            Value::Properties { .. } | Value::Secret(_) => None,
        })
        .collect()
}

/// A list whose order counts; Proxmox VE joins it with `SEPARATOR`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct List<T, const SEPARATOR: char>(pub Vec<T>);

impl<T: ToValue, const SEPARATOR: char> ToValue for List<T, SEPARATOR> {
    fn to_value(&self) -> Value {
        Value::Plain(texts(self.0.iter()).join(SEPARATOR.encode_utf8(&mut [0; 4])))
    }
}

impl<T: JsonSchema, const SEPARATOR: char> JsonSchema for List<T, SEPARATOR> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("List_of_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "array", "items": generator.subschema_for::<T>(), "minItems": 1})
    }
}

/// A set, whose order does not count; Proxmox VE joins it with `SEPARATOR`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent, bound(deserialize = "T: Ord + Deserialize<'de>"))]
pub struct Set<T, const SEPARATOR: char>(pub BTreeSet<T>);

impl<T: ToValue, const SEPARATOR: char> ToValue for Set<T, SEPARATOR> {
    fn to_value(&self) -> Value {
        let mut texts = texts(self.0.iter());
        texts.sort_unstable();
        Value::Plain(texts.join(SEPARATOR.encode_utf8(&mut [0; 4])))
    }
}

impl<T: JsonSchema, const SEPARATOR: char> JsonSchema for Set<T, SEPARATOR> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Set_of_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "array", "items": generator.subschema_for::<T>(), "minItems": 1, "uniqueItems": true})
    }
}

/// Options that the typed fields do not know yet, under Proxmox VE's own names; `null` asks for removal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExtraConfig(pub BTreeMap<String, Option<String>>);

impl Unset for ExtraConfig {
    fn unset(&self) -> bool {
        self.0.is_empty()
    }
}

impl Write for ExtraConfig {
    fn write(&self, _key: &str, out: &mut Wishes) {
        for (key, value) in &self.0 {
            match value {
                Some(text) => out.extend(wish(key, Value::Plain(text.clone()))),
                None => out.push((key.clone(), Wish::Remove)),
            }
        }
    }
}

impl JsonSchema for ExtraConfig {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "ExtraConfig".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": {"type": "string", "format": "config-key"},
            "additionalProperties": {"type": ["string", "null"], REMOVABLE: true},
        })
    }
}

/// Declares a struct of options. Each field is written once: documentation, type, and Proxmox VE's key (`"cpu,flags"` for a sub-key of a
/// property string, `""` for a group). `by hand` leaves the translation to the kind.
macro_rules! options {
    ($(#[$meta:meta])* pub struct $name:ident {
        $( $(#[$field_meta:meta])* $field:ident : $type:ty = $key:literal $(by $hand:ident)? ),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name {
            $(
                $(#[$field_meta])*
                #[serde(default, skip_serializing_if = "crate::document::options::is_unset")]
                #[schemars(extend("x-proxmox-key" = $key))]
                pub $field: $type,
            )*
        }

        impl $crate::document::options::Group for $name {
            fn write(&self, out: &mut $crate::document::options::Wishes) {
                let _ = &out;
                $( options!(@write &self.$field, $key, out $(, $hand)?); )*
            }
        }
    };
    (@write $field:expr, $key:literal, $out:ident) => {
        $crate::document::options::Write::write($field, $key, $out)
    };
    (@write $field:expr, $key:literal, $out:ident, hand) => {
        let _ = $field;
    };
}
pub(crate) use options;

/// Makes structs of options the sub-keys of one property string.
macro_rules! property_strings {
    ($($name:ident),* $(,)?) => { $(
        impl $crate::document::options::ToValue for $name {
            fn to_value(&self) -> $crate::document::desired::Value {
                let mut out = Vec::new();
                $crate::document::options::Group::write(self, &mut out);
                $crate::document::options::properties(out)
            }
        }
    )* };
}
pub(crate) use property_strings;

/// Declares an enum of words, with the one spelling that documents and Proxmox VE share.
macro_rules! words {
    ($(#[$meta:meta])* pub enum $name:ident { $($variant:ident = $text:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $( #[doc = concat!("`", $text, "`")] #[serde(rename = $text)] $variant ),*
        }

        impl $name {
            /// The word, as documents and Proxmox VE write it.
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $text ),* }
            }
        }

        impl $crate::document::options::ToValue for $name {
            fn to_value(&self) -> $crate::document::desired::Value {
                $crate::document::desired::Value::Plain(self.as_str().to_owned())
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool { true }
            fn schema_name() -> std::borrow::Cow<'static, str> { stringify!($name).into() }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "enum": [$($text),*]})
            }
        }
    };
}
pub(crate) use words;
