//! The text of an imported document, as a person would write it: fields in the order of the schema, short lists in one line, texts of
//! several lines as such, quotes only where they are needed.

use serde_json::{Map, Value};

use super::Imported;
use crate::document::schema::schema;
use crate::document::tree::{Resolved, resolve};
use crate::document::{Kind, error};
use crate::proxmox::schema::split_index;

/// Longest list that stands in one line, in characters.
const LINE: usize = 100;

/// The comments and the document.
pub(super) fn text(imported: &Imported) -> String {
    let mut out = String::new();
    comment(
        &mut out,
        &format!("{}, as it was imported.", imported.object),
    );
    for note in &imported.notes {
        comment(&mut out, note);
    }
    if !imported.left_out.is_empty() {
        comment(&mut out, "Not in this document, and so not managed:");
        for (setting, why) in &imported.left_out {
            comment(&mut out, &format!("  {setting}: {why}"));
        }
    }
    if let Value::Object(document) = imported.value() {
        map(&mut out, &document, 0);
    }
    out
}

/// A map by itself, in the order it has.
#[cfg(test)]
pub(super) fn plain(value: &Map<String, Value>) -> String {
    let mut out = String::new();
    map(&mut out, value, 0);
    out
}

/// One line of comment: what came from a cluster cannot end it.
fn comment(out: &mut String, line: &str) {
    let line: String = line
        .chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            c if error::is_deceptive(c) || is_line_end(c) => '\u{fffd}',
            c => c,
        })
        .collect();
    out.push_str("# ");
    out.push_str(line.trim_end());
    out.push('\n');
}

/// What some readers of YAML take for the end of a line.
fn is_line_end(c: char) -> bool {
    matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// The fields of a specification in the order of the schema, slots in the order of their numbers.
pub(super) fn ordered(kind: Kind, spec: &Map<String, Value>) -> Value {
    let schema = schema(kind).pointer("/properties/spec");
    order(schema.unwrap_or(&Value::Null), spec)
}

fn order(schema: &Value, from: &Map<String, Value>) -> Value {
    let mut out = Map::new();
    let mut add = |name: &String, value: &Value, schema: &Value| {
        let value = match value {
            Value::Object(inner) => order(schema, inner),
            value => value.clone(),
        };
        out.insert(name.clone(), value);
    };
    if let Some(fields) = schema.get("properties").and_then(Value::as_object) {
        for (name, field) in fields {
            if let Some(value) = from.get(name) {
                add(name, value, field);
            }
        }
    } else {
        let inner = schema.get("additionalProperties").unwrap_or(&Value::Null);
        let mut names: Vec<&String> = from.keys().collect();
        names.sort_by_key(|name| {
            let (stem, index) = split_index(name);
            (stem.to_owned(), index, (*name).clone())
        });
        for name in names {
            if let Some(value) = from.get(name) {
                add(name, value, inner);
            }
        }
    }
    Value::Object(out)
}

fn map(out: &mut String, map: &Map<String, Value>, indent: usize) {
    for (name, value) in map {
        out.extend(std::iter::repeat_n(' ', indent));
        out.push_str(&scalar(name, false));
        out.push(':');
        self::value(out, value, indent);
    }
}

/// What follows a key and its colon, or a list's dash.
fn value(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(inner) if inner.is_empty() => out.push_str(" {}\n"),
        Value::Object(inner) => {
            out.push('\n');
            map(out, inner, indent + 2);
        }
        Value::Array(items) => list(out, items, indent),
        Value::String(text) if is_block(text) => {
            out.push_str(" |-\n");
            for line in text.split('\n') {
                if !line.is_empty() {
                    out.extend(std::iter::repeat_n(' ', indent + 2));
                    out.push_str(line);
                }
                out.push('\n');
            }
        }
        value => {
            out.push(' ');
            out.push_str(&single(value, false));
            out.push('\n');
        }
    }
}

fn list(out: &mut String, items: &[Value], indent: usize) {
    let flow: Vec<String> = items.iter().map(|item| single(item, true)).collect();
    let line = flow.join(", ");
    if line.chars().count() <= LINE {
        out.push_str(&format!(" [{line}]\n"));
        return;
    }
    out.push('\n');
    for item in items {
        out.extend(std::iter::repeat_n(' ', indent + 2));
        out.push_str("- ");
        out.push_str(&single(item, false));
        out.push('\n');
    }
}

/// A value in one line. Lists hold single values only; JSON is YAML too for anything else.
fn single(value: &Value, in_flow: bool) -> String {
    match value {
        Value::String(text) => scalar(text, in_flow),
        value => value.to_string(),
    }
}

/// Whether a text is best written line by line.
fn is_block(text: &str) -> bool {
    let plain =
        |c: char| c == '\n' || !(c.is_control() || error::is_deceptive(c) || is_line_end(c));
    text.contains('\n')
        && text.chars().all(plain)
        && !text.starts_with([' ', '\n'])
        && !text.ends_with('\n')
        // A line of nothing but blanks would end a block that is cut at its end.
        && text.split('\n').all(|line| !line.ends_with(' '))
}

/// A text, quoted where it could be read as something else.
fn scalar(text: &str, in_flow: bool) -> String {
    let safe = |c: char| {
        c.is_alphanumeric() || " ./_-+@=%()~;".contains(c) || (!in_flow && ",[]{}".contains(c))
    };
    let colons = text.chars().zip(text.chars().skip(1).chain([' '])).all(
        // Inside a word only, as in a MAC address or a volume.
        |(c, next)| c != ':' || next.is_ascii_alphanumeric() || next == '/',
    );
    let plain = text
        .chars()
        .next()
        .is_some_and(|c| c.is_alphanumeric() || "/_".contains(c))
        && text.chars().all(|c| safe(c) || c == ':')
        && colons
        // YAML before 1.2 reads `22:30` as a number to the base of 60.
        && !(text.contains(':') && text.chars().all(|c| c.is_ascii_digit() || c == ':'))
        && !text.ends_with(' ')
        && resolve(text, true) == Resolved::Text;
    if plain {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() || error::is_deceptive(c) || is_line_end(c) => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
