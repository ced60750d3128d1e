//! The normal forms of single values: what two spellings of one meaning have in common.

use super::Kind;
use crate::proxmox::size;

/// Reads a boolean in Proxmox VE's spellings.
pub fn boolean(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(&["1", "on", "yes", "true"]) {
        Some(true)
    } else if is(&["0", "off", "no", "false"]) {
        Some(false)
    } else {
        None
    }
}

/// Whether a text is a boolean that is on; anything that is no boolean is not.
pub fn is_true(text: &str) -> bool {
    boolean(text) == Some(true)
}

/// A decimal number without needless zeros (`0900` is `900`, `1.50` is `1.5`); anything else as it stands.
pub fn normal_number(text: &str) -> String {
    let trimmed = text.trim();
    let (sign, digits) = trimmed
        .strip_prefix('-')
        .map_or(("", trimmed), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let decimal = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !decimal(whole) || !decimal(fraction) {
        return text.to_owned();
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = fraction.trim_end_matches('0');
    let sign = if whole == "0" && fraction.is_empty() {
        ""
    } else {
        sign
    };
    if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}

/// The members of a list: commas, semicolons, white space and NUL all separate (Proxmox VE: `split_list`).
pub fn split_list(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| matches!(c, ',' | ';' | '\0') || c.is_whitespace())
        .filter(|part| !part.is_empty())
}

/// The normal form of a value of a kind.
pub(crate) fn normal(kind: Kind, text: &str) -> String {
    match kind {
        Kind::Boolean => match boolean(text) {
            Some(true) => "1".to_owned(),
            Some(false) => "0".to_owned(),
            None => text.to_owned(),
        },
        Kind::Number => normal_number(text),
        Kind::Size => size::parse(text).map_or_else(|_| text.to_owned(), |size| size.0.to_string()),
        Kind::Caseless => text.to_ascii_lowercase(),
        Kind::Text => text.to_owned(),
        Kind::List => split_list(text).collect::<Vec<_>>().join(";"),
        Kind::Set => set(split_list(text)),
    }
}

/// A set in its normal form.
pub(crate) fn set<'a>(members: impl Iterator<Item = &'a str>) -> String {
    members
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect::<Vec<_>>()
        .join(";")
}
