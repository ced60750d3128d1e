//! Property strings: `virtio=BC:24:11:00:00:01,bridge=vmbr0` parsed, checked against a table, and printed anew.
//!
//! Knows PVE::JSONSchema's grammar and complaints; the tables are in [`super::formats`].

use std::collections::BTreeMap;

use super::super::params::{self, Kind};

/// What a field of a property string is beside its type.
#[derive(Debug, Clone, Copy)]
pub enum Role {
    /// May be left out.
    Optional,
    /// Must be there.
    Required,
    /// Must be there, and may be written without its name; printed first and bare.
    Default,
    /// As `Default`, but may be left out.
    OptionalDefault,
    /// Another name of a field.
    Alias(&'static str),
    /// A name that is a value of one field, with the value of another: `virtio=MAC` is `model=virtio,macaddr=MAC`.
    KeyAlias(&'static str, &'static str),
}

/// One field.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// What it is.
    pub role: Role,
}

/// A property string's fields, in parts that tables share.
pub type Schema = &'static [&'static [Field]];

/// A parsed property string: field name to value, booleans as `0` or `1`.
pub type Props = BTreeMap<String, String>;

/// Why a property string is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It does not parse at all.
    Syntax(String),
    /// Fields that are unknown, missing or wrong, with their complaints.
    Fields(BTreeMap<String, String>),
}

impl Fault {
    /// The complaint about the parameter of this name, as in the `errors` of an answer.
    #[must_use]
    pub fn complaint(&self, name: &str) -> String {
        match self {
            Self::Syntax(text) => format!("invalid format - {text}\n"),
            Self::Fields(fields) => {
                let lines: String = fields
                    .iter()
                    .map(|(field, text)| format!("{name}.{field}: {text}\n"))
                    .collect();
                format!("invalid format - format error\n{lines}")
            }
        }
    }
}

fn fields(schema: Schema) -> impl Iterator<Item = &'static Field> {
    schema.iter().flat_map(|part| part.iter())
}

fn find(schema: Schema, name: &str) -> Option<&'static Field> {
    fields(schema).find(|field| field.name == name)
}

fn default_key(schema: Schema) -> Option<&'static Field> {
    fields(schema).find(|field| matches!(field.role, Role::Default | Role::OptionalDefault))
}

/// Parses and checks a property string.
///
/// # Errors
/// What Proxmox VE complains of.
pub fn parse(schema: Schema, text: &str) -> Result<Props, Fault> {
    let mut props = Props::new();
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        let (key, value) = match part.split_once('=') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => (key, value),
            Some(_) => {
                return Err(Fault::Syntax(
                    "missing key in comma-separated list property".into(),
                ));
            }
            None => match default_key(schema) {
                Some(field) => (field.name, part),
                None => {
                    let text = "value without key, but schema does not define a default key";
                    return Err(Fault::Syntax(text.into()));
                }
            },
        };
        for (key, value) in resolve(schema, key, value) {
            if props.insert(key.clone(), value).is_some() {
                return Err(Fault::Syntax(format!(
                    "duplicate key in comma-separated list property: {key}"
                )));
            }
        }
    }
    check(schema, &props)?;
    Ok(props)
}

/// The field or fields that a written `key=value` stands for, booleans normalised.
fn resolve(schema: Schema, key: &str, value: &str) -> Vec<(String, String)> {
    match find(schema, key).map(|field| (field.role, field.kind)) {
        Some((Role::Alias(name), _)) => resolve(schema, name, value),
        Some((Role::KeyAlias(model, of), _)) => {
            vec![(model.into(), key.into()), (of.into(), value.into())]
        }
        Some((_, Kind::Boolean)) => {
            let value =
                params::loose_truth(value).map_or(value, |truth| if truth { "1" } else { "0" });
            vec![(key.into(), value.into())]
        }
        Some(_) | None => vec![(key.into(), value.into())],
    }
}

/// Checks a parsed property string.
///
/// # Errors
/// Complaints by field.
pub fn check(schema: Schema, props: &Props) -> Result<(), Fault> {
    let mut faults = BTreeMap::new();
    for (name, value) in props {
        let complaint = match find(schema, name) {
            None => {
                let text = "property is not defined in schema and the schema does not allow additional properties";
                Err(text.to_owned())
            }
            Some(field) => params::check(&field.kind, value),
        };
        if let Err(complaint) = complaint {
            faults.insert(name.clone(), complaint);
        }
    }
    for field in fields(schema).filter(|field| matches!(field.role, Role::Required | Role::Default))
    {
        if !props.contains_key(field.name) {
            faults.insert(
                field.name.to_owned(),
                "property is missing and it is not optional".to_owned(),
            );
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Fault::Fields(faults))
    }
}

/// Prints a property string in Proxmox VE's order: the default field bare, then required fields, then the others,
/// each group sorted; a key alias (`virtio=MAC`) in place of the fields it stands for.
#[must_use]
pub fn print(schema: Schema, props: &Props) -> String {
    let mut left = props.clone();
    let mut parts = Vec::new();
    for field in fields(schema) {
        if let Role::KeyAlias(model, of) = field.role
            && left.get(model).is_some_and(|value| value == field.name)
            && let Some(value) = left.get(of).cloned()
        {
            parts.push(format!("{}={value}", field.name));
            left.remove(model);
            left.remove(of);
        }
    }
    if let Some(field) = default_key(schema)
        && let Some(value) = left.remove(field.name)
    {
        parts.push(value);
    }
    for field in fields(schema).filter(|field| matches!(field.role, Role::Required)) {
        if let Some(value) = left.remove(field.name) {
            parts.push(format!("{}={value}", field.name));
        }
    }
    parts.extend(left.iter().map(|(key, value)| format!("{key}={value}")));
    parts.join(",")
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests {
    use super::super::formats::{CT_MOUNT, CT_NET, SCSI, VM_MEMORY, VM_NET};
    use super::*;
    use proptest::prelude::*;

    fn printed(schema: Schema, text: &str) -> String {
        print(schema, &parse(schema, text).unwrap())
    }

    #[test]
    fn printing_puts_the_default_field_first_and_bare_and_sorts_the_rest() {
        let net = "virtio=BC:24:11:00:00:01,tag=5,bridge=vmbr0,firewall=yes";
        assert_eq!(
            printed(VM_NET, net),
            "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=5"
        );
        assert_eq!(
            printed(VM_NET, "model=e1000,bridge=vmbr0"),
            "e1000,bridge=vmbr0"
        );
        assert_eq!(
            printed(VM_NET, "macaddr=BC:24:11:00:00:01,model=e1000"),
            "e1000=BC:24:11:00:00:01"
        );
        assert_eq!(
            printed(SCSI, "ssd=on,file=local:100/x.raw,discard=on"),
            "local:100/x.raw,discard=on,ssd=1"
        );
        assert_eq!(
            printed(CT_NET, "bridge=vmbr0,name=eth0,ip=dhcp"),
            "name=eth0,bridge=vmbr0,ip=dhcp"
        );
        assert_eq!(
            printed(CT_MOUNT, "mp=/data,backup=1,volume=a:x,size=1G"),
            "a:x,mp=/data,backup=1,size=1G"
        );
    }

    #[test]
    fn complaints_are_proxmox_words() {
        let complaint = |name: &str, schema, text| parse(schema, text).unwrap_err().complaint(name);
        assert_eq!(
            complaint("net0", VM_NET, "virtio,bridge=vmbr0,nosuch=1"),
            "invalid format - format error\nnet0.nosuch: property is not defined in schema and the schema does not \
             allow additional properties\n"
        );
        assert_eq!(
            complaint("net0", VM_NET, "virtio,bridge=vmbr0,tag=9999"),
            "invalid format - format error\nnet0.tag: value must have a maximum value of 4094\n"
        );
        assert_eq!(
            complaint("scsi0", SCSI, "junk"),
            "invalid format - format error\nscsi0.file: invalid format - unable to parse volume ID 'junk'\n\n"
        );
        assert_eq!(
            complaint("memory", VM_MEMORY, "lots"),
            "invalid format - format error\nmemory.current: type check ('integer') failed - got 'lots'\n"
        );
        assert_eq!(
            complaint("net0", CT_NET, "bridge=vmbr0"),
            "invalid format - format error\nnet0.name: property is missing and it is not optional\n"
        );
        assert_eq!(
            complaint("net0", VM_NET, "virtio,e1000"),
            "invalid format - duplicate key in comma-separated list property: model\n"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn what_is_printed_parses_to_the_same(
            mac in "BC(:[0-9A-F]{2}){5}", tag in 1u16..4094, firewall: bool, rate in proptest::option::of(0u8..100),
        ) {
            let mut text = format!("tag={tag},firewall={},macaddr={mac},bridge=vmbr0,model=virtio", u8::from(firewall));
            if let Some(rate) = rate {
                text.push_str(&format!(",rate={rate}"));
            }
            let props = parse(VM_NET, &text).unwrap();
            let once = print(VM_NET, &props);
            prop_assert_eq!(&parse(VM_NET, &once).unwrap(), &props);
            prop_assert_eq!(print(VM_NET, &parse(VM_NET, &once).unwrap()), once);
        }
    }
}
