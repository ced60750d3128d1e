//! Parameter tables and their verification, in Proxmox VE's words (PVE::JSONSchema).
//!
//! A table is data beside a route; the check answers all complaints at once, as Proxmox VE does.

use std::collections::BTreeMap;

use super::call::ApiError;

/// A check of a value's form; the complaint comes without the `invalid format - ` prefix and final newline.
pub type Format = fn(&str) -> Result<(), String>;

/// What a parameter may hold.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Any text.
    Text,
    /// Text of at most so many characters.
    TextMax(usize),
    /// `0` or `1` (JSON booleans arrive as these); other words are refused at the top level.
    Boolean,
    /// An integer with bounds; `i64::MIN` and `i64::MAX` mean none.
    Integer(i64, i64),
    /// A number of at least this.
    Number(f64),
    /// One of these words, in Proxmox VE's order.
    Enum(&'static [&'static str]),
    /// Text that a function accepts.
    Form(Format),
    /// A list each of whose elements a function accepts.
    FormList(Format),
    /// Text of at least so many characters.
    TextMin(usize),
    /// A number with bounds.
    NumberIn(f64, f64),
    /// Text that matches a pattern, here a function.
    Pattern(fn(&str) -> bool),
    /// One of these words, for lists that are too long to write down.
    Among(fn() -> Vec<String>),
    /// All of these, checked in order.
    All(&'static [Kind]),
    /// A property string with these fields.
    Property(super::guest::props::Schema),
}

/// One row of a route's parameter table.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// The name; for an indexed one the name before the number.
    pub name: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// Whether it may be left out.
    pub optional: bool,
    /// For `net[n]`, `scsi[n]` …: how many there are, counted from 0.
    pub indexed: Option<u32>,
}

impl Param {
    /// An optional parameter.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            optional: true,
            indexed: None,
        }
    }

    /// A parameter that must be there.
    #[must_use]
    pub const fn required(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            optional: false,
            indexed: None,
        }
    }

    /// `name0` … `name{count-1}`, all optional.
    #[must_use]
    pub const fn indexed(name: &'static str, count: u32, kind: Kind) -> Self {
        Self {
            name,
            kind,
            optional: true,
            indexed: Some(count),
        }
    }

    /// Whether this row is about a parameter of this name.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        match self.indexed {
            None => self.name == name,
            Some(count) => name.strip_prefix(self.name).is_some_and(|number| {
                !number.is_empty()
                    && number.bytes().all(|byte| byte.is_ascii_digit())
                    && (number == "0" || !number.starts_with('0'))
                    && number.parse::<u32>().is_ok_and(|number| number < count)
            }),
        }
    }
}

/// Proxmox VE's booleans at the top level of a request: `0` and `1`.
#[must_use]
pub fn truth(value: &str) -> Option<bool> {
    match value {
        "1" => Some(true),
        "0" => Some(false),
        _ => None,
    }
}

/// A boolean inside a property string or configuration file, where words are accepted too.
#[must_use]
pub fn loose_truth(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

/// Checks parameters against tables (several, so that routes can share parts).
///
/// # Errors
/// Status 400 with every complaint.
pub fn verify(tables: &[&[Param]], params: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let mut errors = BTreeMap::new();
    let rows = || tables.iter().flat_map(|table| table.iter());
    for (name, value) in params {
        match rows().find(|row| row.covers(name)) {
            None => {
                let complaint = "property is not defined in schema and the schema does not allow additional properties";
                errors.insert(name.clone(), complaint.to_owned());
            }
            Some(row) => {
                if let Err(complaint) = check_named(&row.kind, name, value) {
                    errors.insert(name.clone(), complaint);
                }
            }
        }
    }
    for row in rows().filter(|row| !row.optional && !params.contains_key(row.name)) {
        errors.insert(
            row.name.to_owned(),
            "property is missing and it is not optional".to_owned(),
        );
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(ApiError::parameters(errors))
    }
}

/// Checks the value of a parameter of this name: complaints about parts of a property string name it.
///
/// # Errors
/// The complaint, as Proxmox VE words it.
pub fn check_named(kind: &Kind, name: &str, value: &str) -> Result<(), String> {
    match kind {
        Kind::Property(schema) => super::guest::props::parse(schema, value)
            .map(|_| ())
            .map_err(|fault| fault.complaint(name)),
        kind => check(kind, value),
    }
}

/// Checks one value.
///
/// # Errors
/// The complaint, as Proxmox VE words it.
pub fn check(kind: &Kind, value: &str) -> Result<(), String> {
    let wrong_type = |name: &str| Err(format!("type check ('{name}') failed - got '{value}'"));
    match kind {
        Kind::Text => Ok(()),
        Kind::TextMax(most) if value.chars().count() > *most => {
            Err(format!("value may only be {most} characters long"))
        }
        Kind::TextMax(_) => Ok(()),
        Kind::Boolean => truth(value).map_or_else(|| wrong_type("boolean"), |_| Ok(())),
        Kind::Integer(least, most) => match value.parse::<i64>() {
            Err(_) => wrong_type("integer"),
            Ok(_) if value.starts_with('+') => wrong_type("integer"),
            Ok(number) if number < *least => {
                Err(format!("value must have a minimum value of {least}"))
            }
            Ok(number) if number > *most => {
                Err(format!("value must have a maximum value of {most}"))
            }
            Ok(_) => Ok(()),
        },
        Kind::Number(least) => match value.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= *least => Ok(()),
            Ok(number) if number.is_finite() => {
                Err(format!("value must have a minimum value of {least}"))
            }
            _ => wrong_type("number"),
        },
        Kind::Enum(words) if words.contains(&value) => Ok(()),
        Kind::Enum(words) => Err(format!(
            "value '{value}' does not have a value in the enumeration '{}'",
            words.join(", ")
        )),
        Kind::TextMin(least) if value.chars().count() < *least => {
            Err(format!("value must be at least {least} characters long"))
        }
        Kind::TextMin(_) => Ok(()),
        Kind::NumberIn(least, most) => {
            check(&Kind::Number(*least), value)?;
            match value.parse::<f64>() {
                Ok(number) if number > *most => {
                    Err(format!("value must have a maximum value of {most}"))
                }
                _ => Ok(()),
            }
        }
        Kind::Pattern(accepts) if accepts(value) => Ok(()),
        Kind::Pattern(_) => Err("value does not match the regex pattern".into()),
        Kind::Among(words) => {
            let words = words();
            if words.iter().any(|word| word == value) {
                return Ok(());
            }
            let words = words.join(", ");
            Err(format!(
                "value '{value}' does not have a value in the enumeration '{words}'"
            ))
        }
        Kind::All(kinds) => kinds.iter().try_for_each(|kind| check(kind, value)),
        Kind::Property(_) => check_named(kind, "value", value),
        Kind::Form(accepts) => {
            accepts(value).map_err(|complaint| format!("invalid format - {complaint}\n"))
        }
        Kind::FormList(accepts) => {
            for part in super::call::split_list(value) {
                accepts(&part).map_err(|complaint| format!("invalid format - {complaint}\n"))?;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests {
    use super::*;

    #[test]
    fn every_complaint_is_answered_at_once() {
        const TABLE: &[Param] = &[
            Param::required("name", Kind::TextMax(3)),
            Param::new("on", Kind::Boolean),
            Param::new("cores", Kind::Integer(1, 8)),
            Param::indexed("net", 2, Kind::Text),
        ];
        let sent = [
            ("on", "yes"),
            ("cores", "0"),
            ("net0", ""),
            ("net2", ""),
            ("net00", ""),
        ];
        let sent = sent
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let errors = verify(&[TABLE], &sent).unwrap_err().errors;
        assert_eq!(errors["name"], "property is missing and it is not optional");
        assert_eq!(errors["on"], "type check ('boolean') failed - got 'yes'");
        assert_eq!(errors["cores"], "value must have a minimum value of 1");
        assert_eq!(
            errors.keys().collect::<Vec<_>>(),
            ["cores", "name", "net00", "net2", "on"]
        );
    }
}
