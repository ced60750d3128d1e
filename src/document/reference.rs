//! The reference of a kind, as Markdown: every field with its path, type, bounds, default and meaning, read from the same schema as
//! [`explain`](super::explain). Text only; who writes it to a file is the caller's matter.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::explain::{below, bounds, fields, type_words};
use super::schema::{PROXMOX_KEY, schema};
use super::{Kind, refused, scalar};

/// What stands in a path for any name of a map that is not a map of slots.
const ANY: &str = "KEY";
/// What stands in a path for any slot.
const SLOT: &str = "SLOT";
/// What no format takes, so that its check says what was expected.
const NONSENSE: &str = "\u{1}\n,";
/// Paths are wide enough without these words, which the sentence at the top says once.
const OR_NULL: &str = ", or null to remove it";

/// The reference of a kind.
pub fn reference(kind: Kind) -> String {
    let root = schema(kind);
    let mut page = Page::default();
    let about = description(root);
    page.line(&format!(
        "# {kind}\n\nMade from the program's own definitions; do not edit. `./task bless` writes it anew.\n\n{about} `bailiwick explain \
         {kind}` says the same in a terminal; what holds for every kind is told in [Writing documents](../documents.md).\n\n\
         A field that is not written is not managed. Where the type says *or null*, `null` asks for the setting's removal. `{SLOT}` and \
         `{ANY}` in a path stand for a name that you choose. What the words for texts mean stands under [Forms of texts](#forms-of-texts)."
    ));
    for name in ["metadata", "spec"] {
        if let Some(node) = fields(root).and_then(|fields| fields.get(name)) {
            page.section(name, node, "##");
        }
    }
    page.forms();
    page.refused(kind);
    page.text
}

/// The anchor of a heading, as mdBook and GitHub make it: lower case, blanks as `-`, and nothing but letters, digits, `-` and `_`.
pub fn anchor(heading: &str) -> String {
    heading
        .trim()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || matches!(c, '-' | '_') => Some(c.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

#[derive(Default)]
struct Page {
    text: String,
    /// The formats met on the way.
    formats: BTreeSet<String>,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A group of fields and, below it, the groups within.
    fn section(&mut self, path: &str, node: &Value, level: &str) {
        let Some(listed) = fields(node) else { return };
        let _ = write!(self.text, "\n{level} `{path}`\n\n");
        let about = description(node);
        if !about.is_empty() {
            self.line(&format!("{about}\n"));
        }
        self.line("| field | type | default | in Proxmox VE | meaning |\n|---|---|---|---|---|");
        for (name, field) in listed {
            self.row(&format!("{path}.{name}"), field);
        }
        for (name, field) in listed {
            if let Some((inner, node)) = group(&format!("{path}.{name}"), field) {
                self.section(&inner, node, "###");
            }
        }
    }

    fn row(&mut self, path: &str, field: &Value) {
        let (default, meaning) = default(&description(field));
        let key = field.get(PROXMOX_KEY).and_then(Value::as_str);
        let key = key.map_or_else(String::new, |key| {
            format!("`{}`", key.replace(' ', "` `").replace(',', "` sub-key `"))
        });
        let kind = self.kind(path, field);
        let cells = [format!("`{path}`"), kind, default, key, meaning];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        self.line(&format!("| {} |", cells.join(" | ")));
    }

    /// The type of a field, with its bounds, and a link where its own fields stand.
    fn kind(&mut self, path: &str, field: &Value) -> String {
        self.note_formats(field);
        let words = type_words(field);
        let (words, null) = match words.strip_suffix(OR_NULL) {
            Some(words) => (words.to_owned(), true),
            None => (words, false),
        };
        let mut out = match group(path, field) {
            Some((inner, _)) => format!("[{words}](#{})", anchor(&inner)),
            None => words,
        };
        if let Some(format) = names(field) {
            let _ = write!(out, " by {}", format.replace('-', " "));
        }
        for node in std::iter::once(field).chain(below(field)) {
            if let Some(words) = node.get("enum").and_then(Value::as_array) {
                let words: Vec<String> = words
                    .iter()
                    .filter_map(Value::as_str)
                    .map(|word| format!("`{word}`"))
                    .collect();
                let _ = write!(out, ": {}", words.join(", "));
            }
            for bound in [bounds(node), lengths(node)].into_iter().flatten() {
                let _ = write!(out, ", {bound}");
            }
        }
        if null {
            out.push_str(", *or null*");
        }
        out
    }

    /// Numbers have formats too; those have no check and are left out in the end.
    fn note_formats(&mut self, field: &Value) {
        let format = |node: &Value| {
            let format = node.get("format").and_then(Value::as_str);
            format.map(str::to_owned)
        };
        self.formats.extend(format(field));
        self.formats.extend(below(field).and_then(format));
        self.formats.extend(names(field).map(str::to_owned));
    }

    /// What each form of text met on the way has to be.
    fn forms(&mut self) {
        let known: Vec<(String, String)> = std::mem::take(&mut self.formats)
            .into_iter()
            .filter_map(|format| {
                let expected = scalar::check(&format, NONSENSE)?.err()?;
                Some((format.replace('-', " "), expected))
            })
            .collect();
        self.line("\n## Forms of texts\n\n| word | what is expected |\n|---|---|");
        for (format, expected) in known {
            self.line(&format!("| {format} | {} |", expected.replace('|', "\\|")));
        }
    }

    fn refused(&mut self, kind: Kind) {
        let keys = refused::table(kind);
        self.line(
            "\n## What a document cannot say\n\nThese keys of Proxmox VE are refused, also under `spec.extraConfig`.\n\n| key | why |\n|---|---|",
        );
        for (key, why) in keys {
            self.line(&format!("| `{key}` | {why} |"));
        }
    }
}

/// The fields within a field, and the path they stand under: of a map's values under any name.
fn group<'s>(path: &str, field: &'s Value) -> Option<(String, &'s Value)> {
    if fields(field).is_some() {
        return Some((path.to_owned(), field));
    }
    let inner = below(field).filter(|inner| fields(inner).is_some())?;
    let name = match names(field) {
        Some(format) if format.ends_with("-slot") => format!(".{SLOT}"),
        Some(_) => format!(".{ANY}"),
        None => "[]".to_owned(),
    };
    Some((format!("{path}{name}"), inner))
}

/// The format of a map's names.
fn names(field: &Value) -> Option<&str> {
    field
        .pointer("/propertyNames/format")
        .and_then(Value::as_str)
        .filter(|_| {
            field
                .get("additionalProperties")
                .is_some_and(Value::is_object)
        })
}

fn description(node: &Value) -> String {
    let text = node.get("description").and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

/// How long a text or list may be.
fn lengths(node: &Value) -> Option<String> {
    let number = |key: &str| node.get(key).and_then(Value::as_u64);
    let text = match (number("minLength"), number("maxLength")) {
        (Some(least), Some(most)) => Some(format!("{least} to {most} characters")),
        (Some(least), None) => Some(format!("at least {least} characters")),
        (None, Some(most)) => Some(format!("at most {most} characters")),
        (None, None) => None,
    };
    text.or_else(|| (number("minItems") == Some(1)).then(|| "not empty".to_owned()))
}

/// A description without the sentence that tells the default, and that sentence.
fn default(about: &str) -> (String, String) {
    const WORD: &str = "Default";
    let begins = about.match_indices(WORD).map(|(at, _)| at).find(|at| {
        *at == 0
            || about
                .get(..*at)
                .is_some_and(|before| before.ends_with(". "))
    });
    let Some((before, rest)) = begins.and_then(|at| about.split_at_checked(at)) else {
        return (String::new(), about.to_owned());
    };
    let (told, after) = rest.split_once(". ").unwrap_or((rest, ""));
    let told = told.trim_start_matches(WORD).trim_start_matches(':');
    let meaning = format!("{before}{after}");
    (
        told.trim().trim_end_matches('.').to_owned(),
        meaning.trim().to_owned(),
    )
}

/// Whether every field of a kind stands in a text, by its path; those that do not.
#[cfg(test)]
fn missing(kind: Kind, text: &str) -> Vec<String> {
    fn walk(
        path: &str,
        listed: &serde_json::Map<String, Value>,
        text: &str,
        out: &mut Vec<String>,
    ) {
        for (name, field) in listed {
            let path = format!("{path}.{name}");
            if !text.contains(&format!("| `{path}` |")) {
                out.push(path.clone());
            }
            if let Some((path, node)) = group(&path, field)
                && let Some(inner) = fields(node)
            {
                walk(&path, inner, text, out);
            }
        }
    }
    let mut out = Vec::new();
    for part in ["metadata", "spec"] {
        let listed = fields(schema(kind)).and_then(|fields| fields.get(part));
        if let Some(listed) = listed.and_then(fields) {
            walk(part, listed, text, &mut out);
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_every_kind_has_a_row() {
        for kind in Kind::ALL {
            assert_eq!(missing(kind, &reference(kind)), Vec::<String>::new());
            assert!(!missing(kind, "").is_empty(), "{kind}");
        }
    }

    #[test]
    fn every_link_within_leads_to_a_heading() {
        for kind in Kind::ALL {
            let text = reference(kind);
            let headings: BTreeSet<String> = text
                .lines()
                .filter_map(|line| line.strip_prefix('#'))
                .map(|line| anchor(line.trim_start_matches('#')))
                .collect();
            for link in text.split("](#").skip(1) {
                let link = link.split(')').next().unwrap();
                assert!(headings.contains(link), "{kind}: #{link}");
            }
        }
    }

    #[test]
    fn the_default_is_taken_out_of_the_description() {
        for (about, told, meaning) in [
            (
                "The firmware. Default `seabios`.",
                "`seabios`",
                "The firmware.",
            ),
            ("Default 0.", "0", ""),
            (
                "What. Default `[a]`; an empty list turns it off. More.",
                "`[a]`; an empty list turns it off",
                "What. More.",
            ),
            ("The Default gateway.", "", "The Default gateway."),
        ] {
            let found = default(about);
            assert_eq!(
                (found.0.as_str(), found.1.as_str()),
                (told, meaning),
                "{about}"
            );
        }
    }

    #[test]
    fn bounds_values_and_forms_are_told() {
        let text = reference(Kind::VirtualMachine);
        for part in [
            "100 to 999999999",
            "`ovmf`",
            "| disk slot | a slot: scsi0 to scsi30,",
            "| `hookscript` | Proxmox VE lets only root@pam",
            "### `spec.disks.SLOT`",
        ] {
            assert!(text.contains(part), "{part}");
        }
    }
}
