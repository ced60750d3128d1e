//! Property strings, the comma-separated values of Proxmox VE (`virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=7`): read, written in
//! canonical form, and compared by meaning. Pure. Which options there are stands in [`tables`]; whether a value is *allowed* is
//! for Proxmox VE to say.

pub mod tables;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::ids::GuestKind;

pub use value::{boolean, is_true, normal_number, split_list};

/// Whose configuration a key belongs to: the same key may have another format elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Domain {
    /// A virtual machine's configuration.
    Qemu,
    /// A container's configuration.
    Lxc,
    /// A storage definition.
    Storage,
    /// A backup job.
    BackupJob,
    /// A replication job.
    ReplicationJob,
    /// The settings of a realm.
    Realm,
    /// The options of a firewall.
    Firewall,
    /// The datacenter options.
    Cluster,
}

impl From<GuestKind> for Domain {
    fn from(kind: GuestKind) -> Self {
        match kind {
            GuestKind::Qemu => Self::Qemu,
            GuestKind::Lxc => Self::Lxc,
        }
    }
}

/// What values mean, so that they can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `1|on|yes|true` or `0|off|no|false`, in any case.
    Boolean,
    /// A number, whole or not, compared as a number.
    Number,
    /// A size with units, compared in bytes.
    Size,
    /// Text in which case does not matter: MAC addresses, UUIDs, hexadecimal.
    Caseless,
    /// Text as it stands.
    Text,
    /// A list whose order matters; separators do not.
    List,
    /// A list whose order does not matter.
    Set,
}

/// One option of a format.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What its values mean.
    pub kind: Kind,
    /// What it means to leave it out, where that is the same as writing it.
    pub default: Option<&'static str>,
    /// Whether Proxmox VE refuses the string without it.
    pub required: bool,
}

/// A format: its options and how they are written.
#[derive(Debug)]
pub struct Format {
    /// The option whose value may stand without its name.
    pub default_key: Option<&'static str>,
    /// Every option but aliases.
    pub fields: &'static [&'static [Field]],
    /// Other names for options.
    pub aliases: &'static [(&'static str, &'static str)],
    /// Names that say two things at once: `virtio=MAC` is model `virtio` and that MAC address. The two options, and the names.
    pub combined: Option<(&'static str, &'static str, &'static [&'static str])>,
    /// Options that only report (a VM disk's `size`): compared where both sides have them.
    pub informational: &'static [&'static str],
}

impl Format {
    /// An option by its name (not by an alias).
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields
            .iter()
            .flat_map(|group| group.iter())
            .find(|field| field.name == name)
    }
}

/// A property string that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PropertyError {
    /// The key's value is no property string.
    #[error("`{key}` is not a key whose value has options")]
    NoFormat {
        /// The key.
        key: String,
    },
    /// A part without a name where no option may stand without one, or a second such part.
    #[error("`{key}`: `{part}` stands there without a name; expected `option=value`")]
    Nameless {
        /// The key.
        key: String,
        /// The offending part.
        part: String,
    },
    /// An option without a value.
    #[error("`{key}`: option `{option}` has no value")]
    NoValue {
        /// The key.
        key: String,
        /// The option.
        option: String,
    },
    /// The same option twice (perhaps by an alias).
    #[error("`{key}`: option `{option}` is given twice")]
    Duplicate {
        /// The key.
        key: String,
        /// The option.
        option: String,
    },
    /// A boolean that is none.
    #[error(
        "`{key}`: option `{option}` is `{value}`; expected 1 or 0 (or on, yes, true, off, no, false)"
    )]
    NotBoolean {
        /// The key.
        key: String,
        /// The option.
        option: String,
        /// What stands there.
        value: String,
    },
    /// A value that would read back as something else.
    #[error(
        "`{key}`: the value of option `{option}` must not be empty or contain a comma or a line break"
    )]
    BadValue {
        /// The key.
        key: String,
        /// The option.
        option: String,
    },
}

/// A property string taken apart. Aliases are resolved and booleans are `1` or `0`; other values stand as they were written.
/// Options that are in no table are kept, so that a newer Proxmox VE loses nothing.
#[derive(Clone)]
pub struct PropertyMap {
    key: String,
    format: &'static Format,
    values: BTreeMap<String, String>,
}

impl PartialEq for PropertyMap {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.format, other.format) && self.values == other.values
    }
}

impl Eq for PropertyMap {}

impl fmt::Debug for PropertyMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.key, self.values)
    }
}

impl PropertyMap {
    /// A map without options, for a key whose value has options.
    pub fn empty(domain: Domain, key: &str) -> Result<Self, PropertyError> {
        let format = tables::format_of(domain, key).ok_or_else(|| PropertyError::NoFormat {
            key: key.to_owned(),
        })?;
        Ok(Self {
            key: key.to_owned(),
            format,
            values: BTreeMap::new(),
        })
    }

    /// Reads the value of a key, as Proxmox VE's `parse_property_string` does.
    pub fn parse(domain: Domain, key: &str, text: &str) -> Result<Self, PropertyError> {
        let mut map = Self::empty(domain, key)?;
        let mut nameless_seen = false;
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            match part.split_once('=') {
                Some((name, value)) => map.insert_new(name.trim(), value)?,
                None => {
                    let name = map
                        .format
                        .default_key
                        .filter(|_| !nameless_seen)
                        .ok_or_else(|| PropertyError::Nameless {
                            key: key.to_owned(),
                            part: part.to_owned(),
                        })?;
                    nameless_seen = true;
                    map.insert_new(name, part.trim())?;
                }
            }
        }
        Ok(map)
    }

    fn insert_new(&mut self, name: &str, value: &str) -> Result<(), PropertyError> {
        if let Some((model, address, _)) = self
            .format
            .combined
            .filter(|(_, _, names)| names.contains(&name))
        {
            self.insert_new(model, name)?;
            return self.insert_new(address, value);
        }
        let name = self.canonical(name).to_owned();
        if self.values.contains_key(&name) {
            return Err(PropertyError::Duplicate {
                key: self.key.clone(),
                option: name,
            });
        }
        self.put(name, value)
    }

    fn put(&mut self, name: String, value: &str) -> Result<(), PropertyError> {
        if value.is_empty() {
            return Err(PropertyError::NoValue {
                key: self.key.clone(),
                option: name,
            });
        }
        let value = match self.format.field(&name).map(|field| field.kind) {
            Some(Kind::Boolean) => match boolean(value) {
                Some(true) => "1".to_owned(),
                Some(false) => "0".to_owned(),
                None => {
                    return Err(PropertyError::NotBoolean {
                        key: self.key.clone(),
                        option: name,
                        value: value.to_owned(),
                    });
                }
            },
            Some(_) | None => value.to_owned(),
        };
        self.values.insert(name, value);
        Ok(())
    }

    /// The canonical name of an option: aliases resolved.
    pub fn canonical<'a>(&self, name: &'a str) -> &'a str {
        self.format
            .aliases
            .iter()
            .find(|(alias, _)| *alias == name)
            .map_or(name, |(_, target)| target)
    }

    /// The value of an option, by its canonical name or an alias.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(self.canonical(name)).map(String::as_str)
    }

    /// The value of an option as a boolean; its default, or `false`, where it is left out.
    pub fn flag(&self, name: &str) -> bool {
        let name = self.canonical(name);
        self.values
            .get(name)
            .map(String::as_str)
            .or_else(|| self.format.field(name).and_then(|field| field.default))
            .and_then(boolean)
            .unwrap_or(false)
    }

    /// Sets an option. Values must not be empty and not contain a comma or line break.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), PropertyError> {
        if value.is_empty() || value.contains([',', '\n', '\r']) {
            return Err(PropertyError::BadValue {
                key: self.key.clone(),
                option: name.to_owned(),
            });
        }
        let name = self.canonical(name).to_owned();
        self.put(name, value)
    }

    /// Takes an option out; whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        self.values.remove(self.canonical(name)).is_some()
    }

    /// Every option with its value, by canonical name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there is no option at all.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Options that are in no table: of a newer Proxmox VE, or misspelt.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        self.values
            .keys()
            .map(String::as_str)
            .filter(|name| self.format.field(name).is_none())
    }

    /// The options by meaning: those that equal their default left out, values in normal form. Two strings whose normal forms
    /// are equal mean the same.
    pub fn normal(&self) -> BTreeMap<String, String> {
        self.values
            .iter()
            .filter_map(|(name, value)| {
                let field = self.format.field(name);
                let kind = field.map_or(Kind::Text, |field| field.kind);
                let normal = value::normal(kind, value);
                let default = field
                    .and_then(|field| field.default)
                    .map(|default| value::normal(kind, default));
                (default.as_ref() != Some(&normal)).then(|| (name.clone(), normal))
            })
            .collect()
    }

    /// Whether two maps of one key mean the same.
    pub fn means_the_same_as(&self, other: &Self) -> bool {
        if !std::ptr::eq(self.format, other.format) {
            return false;
        }
        let (mut a, mut b) = (self.normal(), other.normal());
        for name in self.format.informational {
            if !(a.contains_key(*name) && b.contains_key(*name)) {
                a.remove(*name);
                b.remove(*name);
            }
        }
        a == b
    }
}

/// Canonical form, as Proxmox VE's `print_property_string`: the default option first and bare, then the required ones in order
/// of name, then the rest.
impl fmt::Display for PropertyMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<&str> = self.values.keys().map(String::as_str).collect();
        let required = |name: &str| self.format.field(name).is_some_and(|field| field.required);
        names.sort_by_key(|name| {
            (
                self.format.default_key != Some(name),
                !required(name),
                *name,
            )
        });
        let combined = self.format.combined.filter(|(model, address, names)| {
            self.values
                .get(*model)
                .is_some_and(|model| names.contains(&model.as_str()))
                && self.values.contains_key(*address)
        });
        let mut comma = "";
        for name in names {
            let Some(value) = self.values.get(name) else {
                continue;
            };
            match combined {
                Some((_, address, _)) if name == address => continue,
                Some((model, address, _)) if name == model => {
                    let address = self.values.get(address).map_or("", String::as_str);
                    write!(f, "{comma}{value}={address}")?;
                }
                // A bare value with `=` in it would read back as an option.
                _ if self.format.default_key == Some(name) && !value.contains('=') => {
                    write!(f, "{comma}{value}")?;
                }
                _ => write!(f, "{comma}{name}={value}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

/// The value of a key with options taken out and put in; `None` if that means the same as now, and the empty text if no option is
/// left. `live` is the value that is there.
///
/// # Errors
/// [`PropertyError`] if the key's value has no options, the live value cannot be read, or an option cannot be written.
pub fn merged(
    domain: Domain,
    key: &str,
    live: Option<&str>,
    set: &BTreeMap<String, String>,
    remove: &BTreeSet<String>,
) -> Result<Option<String>, PropertyError> {
    let before = live
        .map(|live| PropertyMap::parse(domain, key, live))
        .transpose()?;
    let mut map = match &before {
        Some(map) => map.clone(),
        None => PropertyMap::empty(domain, key)?,
    };
    for name in remove {
        map.remove(name);
    }
    for (name, value) in set {
        map.set(name, value)?;
    }
    if before.is_none() && map.is_empty() {
        return Ok(None);
    }
    if before.is_some_and(|before| before.normal() == map.normal()) {
        return Ok(None);
    }
    Ok(Some(map.to_string()))
}

/// Whether two values of a key mean the same to Proxmox VE. Property strings are compared option by option, plain values by
/// the key's type: numbers as numbers, booleans in any spelling, lists without regard to separators, tags as a set,
/// descriptions without trailing white space. What cannot be read is compared as text.
pub fn equivalent(domain: Domain, key: &str, a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    if tables::format_of(domain, key).is_some() {
        let read = |text| PropertyMap::parse(domain, key, text);
        return match (read(a), read(b)) {
            (Ok(a), Ok(b)) => a.means_the_same_as(&b),
            (Ok(_) | Err(_), Err(_)) | (Err(_), Ok(_)) => false,
        };
    }
    super::schema::normal_plain(domain, key, a) == super::schema::normal_plain(domain, key, b)
}

#[cfg(test)]
#[path = "property/tests.rs"]
mod tests;
