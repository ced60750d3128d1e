//! A document as a tree of values, each with its place in the file, and what a single value means. No YAML library is known here, and
//! no field.

use serde_json::{Number, Value};

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The length in characters; a text of several lines ends with its first.
    pub length: usize,
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands.
    pub span: Span,
    /// The value.
    pub value: NodeValue,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeValue {
    /// A single value, and whether it was written without quotes.
    Scalar {
        /// The text after escapes.
        text: String,
        /// Without quotes, so that it may mean a number, a truth value or nothing.
        plain: bool,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// A map.
    Mapping(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The value under a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry of a key, if this is a map that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            NodeValue::Mapping(entries) => entries.iter().find(|entry| entry.key == key),
            NodeValue::Scalar { .. } | NodeValue::Sequence(_) => None,
        }
    }

    /// The text of a single value that is not nothing.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            NodeValue::Scalar { text, plain } if resolve(text, *plain) != Resolved::Null => {
                Some(text)
            }
            NodeValue::Scalar { .. } | NodeValue::Sequence(_) | NodeValue::Mapping(_) => None,
        }
    }

    /// Whether nothing at all was written where a value belongs. That is a slip, and never a wish for removal.
    pub fn is_empty(&self) -> bool {
        matches!(&self.value, NodeValue::Scalar { text, plain: true } if text.is_empty())
    }

    /// Whether this is nothing (`null`, `~` or empty).
    pub fn is_null(&self) -> bool {
        matches!(&self.value, NodeValue::Scalar { text, plain } if resolve(text, *plain) == Resolved::Null)
    }

    /// The place to point at for a path of keys: the value where it is single, else its key; the last one found where the path ends early.
    pub fn place(&self, path: &[&str]) -> Span {
        let mut node = self;
        let mut span = self.span;
        for key in path {
            match node.entry(key) {
                Some(entry) => {
                    span = entry.place();
                    node = &entry.value;
                }
                None => break,
            }
        }
        span
    }
}

impl Entry {
    /// The value where it is a single one that was written, else the key.
    pub fn place(&self) -> Span {
        match &self.value.value {
            NodeValue::Scalar { text, plain } if !(text.is_empty() && *plain) => self.value.span,
            NodeValue::Scalar { .. } | NodeValue::Sequence(_) | NodeValue::Mapping(_) => {
                self.key_span
            }
        }
    }
}

/// What a single value means by YAML 1.2's core rules, narrowed: only `true` and `false` are truth values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Resolved {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number of 64 bits.
    Integer(i128),
    /// A whole number that does not fit in 64 bits.
    TooLarge,
    /// Another finite number.
    Float(f64),
    /// A number in a form that readers disagree about: hexadecimal, octal, leading zeroes, infinity.
    OddNumber,
    /// A word that YAML 1.1 reads as a truth value.
    OldBool(bool),
    /// A text.
    Text,
}

/// What a single value means.
pub fn resolve(text: &str, plain: bool) -> Resolved {
    if !plain {
        return Resolved::Text;
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Resolved::Null,
        "true" => return Resolved::Bool(true),
        "false" => return Resolved::Bool(false),
        _ => {}
    }
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" | "true" => return Resolved::OldBool(true),
        "no" | "off" | "n" | "false" => return Resolved::OldBool(false),
        ".inf" | "+.inf" | "-.inf" | ".nan" => return Resolved::OddNumber,
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Resolved::Text;
    }
    if unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return integer(text, unsigned);
    }
    let prefixed = |p: &str, radix: u32| {
        unsigned
            .strip_prefix(p)
            .is_some_and(|d| !d.is_empty() && d.chars().all(|c| c.is_digit(radix)))
    };
    if prefixed("0x", 16) || prefixed("0o", 8) || prefixed("0b", 2) {
        return Resolved::OddNumber;
    }
    let numeric = |b: u8| b.is_ascii_digit() || b"._eE+-".contains(&b);
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Resolved::Float(number),
        Ok(_) if unsigned.bytes().all(numeric) => Resolved::TooLarge,
        Ok(_) | Err(_) => Resolved::Text,
    }
}

fn integer(text: &str, digits: &str) -> Resolved {
    if digits.len() > 1 && digits.starts_with('0') {
        return Resolved::OddNumber;
    }
    match text.parse::<i128>() {
        Ok(n) if n >= i128::from(i64::MIN) && n <= i128::from(u64::MAX) => Resolved::Integer(n),
        Ok(_) | Err(_) => Resolved::TooLarge,
    }
}

/// The tree as JSON, for a tree that was found valid.
pub fn to_json(node: &Node) -> Value {
    match &node.value {
        NodeValue::Mapping(entries) => Value::Object(
            entries
                .iter()
                .map(|entry| (entry.key.clone(), to_json(&entry.value)))
                .collect(),
        ),
        NodeValue::Sequence(items) => Value::Array(items.iter().map(to_json).collect()),
        NodeValue::Scalar { text, plain } => match resolve(text, *plain) {
            Resolved::Null => Value::Null,
            Resolved::Bool(value) => Value::Bool(value),
            Resolved::Integer(n) => Number::from_i128(n).map_or(Value::Null, Value::Number),
            Resolved::Float(n) => Number::from_f64(n).map_or(Value::Null, Value::Number),
            Resolved::TooLarge | Resolved::OddNumber | Resolved::OldBool(_) | Resolved::Text => {
                Value::String(text.clone())
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_mean_one_thing() {
        for (text, meaning) in [
            ("true", Resolved::Bool(true)),
            ("yes", Resolved::OldBool(true)),
            ("No", Resolved::OldBool(false)),
            ("8", Resolved::Integer(8)),
            ("18446744073709551615", Resolved::Integer(u64::MAX.into())),
            ("18446744073709551616", Resolved::TooLarge),
            ("-9223372036854775809", Resolved::TooLarge),
            ("007", Resolved::OddNumber),
            ("0x1F", Resolved::OddNumber),
            (".inf", Resolved::OddNumber),
            ("1e999", Resolved::TooLarge),
            ("1.5", Resolved::Float(1.5)),
            ("8Gi", Resolved::Text),
            ("1_000", Resolved::Text),
            ("10.0.0.1", Resolved::Text),
            ("~", Resolved::Null),
        ] {
            assert_eq!(resolve(text, true), meaning, "{text}");
        }
        assert_eq!(resolve("yes", false), Resolved::Text);
    }
}
