//! Compares a tree with the schema of its kind and finds every fault at once, each with its place and what would have been right.
//! Knows types, bounds, formats and names; what depends on two fields together is `check`'s.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::error::{Problem, is_deceptive};
use super::similar::{nearest, nearest_or_all};
use super::tree::{Entry, Node, NodeValue, Resolved, Span, resolve};
use super::{Kind, refused, scalar, schema};

/// Validates a whole document. `false` if it has a value that was found wrong when the text was read, and is not reported again.
pub fn document(kind: Kind, root: &Node, problems: &mut Vec<Problem>) -> bool {
    let mut validator = Validator {
        kind,
        problems,
        readable: true,
    };
    validator.value(schema::schema(kind), root, root.span, "");
    validator.readable
}

/// Validates only the metadata, for a document whose kind is not known.
pub fn metadata(root: &Node, problems: &mut Vec<Problem>) {
    let kind = Kind::Pool;
    if let (Some(schema), Some(entry)) = (
        schema::schema(kind).pointer("/properties/metadata"),
        root.entry("metadata"),
    ) {
        let mut validator = Validator {
            kind,
            problems,
            readable: true,
        };
        validator.value(schema, &entry.value, entry.place(), "metadata");
    }
}

/// Problems after which nobody reads on, and looking for more only costs time.
const MOST_PROBLEMS: usize = 1000;

/// What to write instead of a secret.
const REFERENCE: &str = "a document never carries a secret, only where it is found: `{fromFile: PATH}` or `{fromEnv: NAME}`";

struct Validator<'p> {
    kind: Kind,
    problems: &'p mut Vec<Problem>,
    readable: bool,
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// `` `spec.cpu` `` in messages; the document itself at the top.
fn named(path: &str) -> String {
    if path.is_empty() {
        "the document".to_owned()
    } else {
        format!("`{path}`")
    }
}

fn types(schema: &Value) -> (&str, bool) {
    match schema.get("type") {
        Some(Value::String(one)) => (one, false),
        Some(Value::Array(several)) => {
            let names: Vec<&str> = several.iter().filter_map(Value::as_str).collect();
            let main = names.iter().find(|name| **name != "null");
            (main.copied().unwrap_or_default(), names.contains(&"null"))
        }
        _ => ("", false),
    }
}

fn type_name(name: &str) -> &'static str {
    match name {
        "object" => "a map of fields",
        "array" => "a list",
        "string" => "a text",
        "boolean" => "`true` or `false`",
        "integer" => "a whole number",
        "number" => "a number",
        _ => "something else",
    }
}

fn found(node: &Node) -> String {
    match &node.value {
        NodeValue::Mapping(_) => "a map".to_owned(),
        NodeValue::Sequence(_) => "a list".to_owned(),
        NodeValue::Scalar { text, plain } => match resolve(text, *plain) {
            Resolved::Null => "nothing".to_owned(),
            Resolved::Bool(_) => format!("`{text}`"),
            Resolved::OldBool(_) => format!("`{text}`, which YAML readers do not agree on"),
            Resolved::Integer(_) | Resolved::Float(_) | Resolved::OddNumber => {
                format!("the number {}", short(text))
            }
            Resolved::TooLarge => format!("the number {}, which is too large", short(text)),
            Resolved::Text => format!("the text `{}`", short(text)),
        },
    }
}

/// A text for a message: one line, not long.
pub fn short(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| {
            if c.is_control() || is_deceptive(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .take(40)
        .collect();
    if line.chars().count() < text.chars().count() {
        format!("{line}…")
    } else {
        line
    }
}

impl Validator<'_> {
    fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    fn value(&mut self, schema: &Value, node: &Node, span: Span, path: &str) {
        if self.problems.len() > MOST_PROBLEMS {
            return;
        }
        let (expected, nullable) = types(schema);
        if node.is_empty() {
            let message = format!(
                "{} has no value, expected {}",
                named(path),
                type_name(expected)
            );
            let help = if nullable {
                "write `null` to have the setting removed, or leave the line out to not manage it"
            } else {
                "leave the whole line out if it shall not be managed"
            };
            return self.push(Problem::new(span, message).help(help));
        }
        if node.is_null() {
            if !nullable {
                self.nothing(expected, span, path);
            }
            return;
        }
        match (&node.value, expected) {
            (NodeValue::Mapping(entries), "object") => self.object(schema, entries, span, path),
            (NodeValue::Sequence(items), "array") => self.array(schema, items, span, path),
            (NodeValue::Scalar { text, plain }, "string") => {
                self.string(schema, node, (text, *plain), path);
            }
            (NodeValue::Scalar { text, plain }, "integer" | "number" | "boolean") => {
                self.plain_value(schema, expected, node, (text, *plain), path);
            }
            _ => self.wrong_type(expected, node, span, path),
        }
    }

    fn nothing(&mut self, expected: &str, span: Span, path: &str) {
        let message = format!(
            "{} is `null`, expected {}",
            named(path),
            type_name(expected)
        );
        let help = "leave the whole line out if it shall not be managed; this field cannot be removed with `null`";
        self.push(Problem::new(span, message).help(help));
    }

    fn wrong_type(&mut self, expected: &str, node: &Node, span: Span, path: &str) {
        // Where a secret is to be named, what stands there may be the secret itself: it is not repeated.
        let shown = if is_secretive(path) {
            "not a reference".to_owned()
        } else {
            found(node)
        };
        let message = format!(
            "{} is {shown}, expected {}",
            named(path),
            type_name(expected)
        );
        let problem = Problem::new(span, message);
        self.push(match expected {
            "object" if is_secretive(path) => problem.help(REFERENCE),
            "array" => problem.help("write `[one, two]`, or one item a line, each after `- `"),
            _ => problem,
        });
    }

    fn object(&mut self, schema: &Value, entries: &[Entry], span: Span, path: &str) {
        let empty = Map::new();
        let properties = schema
            .get("properties")
            .and_then(Value::as_object)
            .unwrap_or(&empty);
        for entry in entries {
            self.entry(schema, properties, entry, path);
        }
        for required in schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let name = required.as_str().unwrap_or_default();
            if !entries.iter().any(|entry| entry.key == name) {
                let message = format!("{} has no `{name}`", named(path));
                self.push(Problem::new(span, message).help(format!("add `{name}:`")));
            }
        }
        let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
        if bound("minProperties").is_some_and(|least| count < least)
            || bound("maxProperties").is_some_and(|most| count > most)
        {
            let names: Vec<_> = properties.keys().map(|key| format!("`{key}`")).collect();
            let expected = if names.is_empty() {
                "at least one entry".to_owned()
            } else {
                format!("exactly one of {}", names.join(", "))
            };
            self.push(Problem::new(
                span,
                format!("{} needs {expected}", named(path)),
            ));
        }
    }

    fn entry(
        &mut self,
        schema: &Value,
        properties: &Map<String, Value>,
        entry: &Entry,
        path: &str,
    ) {
        let inner = join(path, &entry.key);
        if let Some(field) = properties.get(&entry.key) {
            return self.value(field, &entry.value, entry.place(), &inner);
        }
        match schema.get("additionalProperties") {
            Some(items @ Value::Object(_)) => {
                if self.key(schema, entry, path) {
                    self.value(items, &entry.value, entry.place(), &inner);
                }
            }
            _ => self.unknown(properties, entry, path),
        }
    }

    fn key(&mut self, schema: &Value, entry: &Entry, path: &str) -> bool {
        if path == "metadata.annotations" && entry.key.starts_with(super::metadata::PREFIX) {
            let known = schema.get("properties").and_then(Value::as_object);
            let names = known
                .into_iter()
                .flat_map(|map| map.keys().map(String::as_str));
            let names: Vec<&str> = names.collect();
            let message = format!("unknown annotation `{}`", short(&entry.key));
            self.push(
                Problem::new(entry.key_span, message).help(nearest_or_all(&entry.key, &names)),
            );
            return false;
        }
        if path == "spec.extraConfig" && self.extra(entry) {
            return false;
        }
        let format = schema
            .pointer("/propertyNames/format")
            .and_then(Value::as_str);
        match format.and_then(|format| scalar::check(format, &entry.key)) {
            Some(Err(expected)) => {
                let message = format!(
                    "`{}` is not allowed in {}, expected {expected}",
                    short(&entry.key),
                    named(path)
                );
                self.push(Problem::new(entry.key_span, message));
                false
            }
            Some(Ok(_)) | None => true,
        }
    }

    /// Whether a key of `extraConfig` has no place there.
    fn extra(&mut self, entry: &Entry) -> bool {
        let typed = schema::typed_keys(self.kind);
        let family = refused::family(&entry.key);
        if let Some(field) = typed.get(&entry.key).or_else(|| typed.get(&family)) {
            let message = format!("`{}` has a field of its own", short(&entry.key));
            self.push(Problem::new(entry.key_span, message).help(format!("use `{field}`")));
            return true;
        }
        if let Some(reason) = refused::key(self.kind, &entry.key) {
            let message = format!("`{}` cannot be set: {reason}", short(&entry.key));
            self.push(Problem::new(entry.key_span, message).help("remove the line"));
            return true;
        }
        false
    }

    fn unknown(&mut self, properties: &Map<String, Value>, entry: &Entry, path: &str) {
        if self.problems.len() > MOST_PROBLEMS {
            return;
        }
        let name = short(&entry.key);
        let message = format!("unknown field `{name}` in {}", named(path));
        let names: Vec<&str> = properties.keys().map(String::as_str).collect();
        let plain = refused::plain(&entry.key);
        let same = names.iter().find(|name| refused::plain(name) == plain);
        let aliased = properties
            .iter()
            .find(|(_, field)| is_key(field, &entry.key));
        let typed = schema::typed_keys(self.kind).get(&refused::family(&entry.key));
        let reference = format!("{}From", entry.key);
        let help = if names.contains(&reference.as_str()) {
            format!("{REFERENCE}; the field is `{reference}`")
        } else if let Some(same) = same {
            format!("write `{same}`")
        } else if let Some((name, _)) = aliased {
            format!("Proxmox VE's `{}` is `{name}` here", entry.key)
        } else if let Some(reason) = refused::field(self.kind, &entry.key)
            .filter(|_| path.starts_with("spec") && !is_secretive(path))
        {
            let message = format!("`{name}` cannot be set: {reason}");
            return self.push(Problem::new(entry.key_span, message).help("remove the line"));
        } else if let Some(near) = nearest(&entry.key, &names) {
            format!("did you mean `{near}`?")
        } else if let Some(typed) = typed.filter(|_| path.starts_with("spec")) {
            format!("Proxmox VE's `{}` is `{typed}` here", entry.key)
        } else {
            nearest_or_all(&entry.key, &names)
        };
        self.push(Problem::new(entry.key_span, message).help(help));
    }

    fn array(&mut self, schema: &Value, items: &[Node], span: Span, path: &str) {
        if items.is_empty() && schema.get("minItems").is_some() {
            let message = format!("{} is an empty list", named(path));
            let help = if types(schema).1 {
                "write `null` to have the setting removed, or leave the line out to not manage it"
            } else {
                "leave the line out to not manage it"
            };
            self.push(Problem::new(span, message).help(help));
        }
        let unique = schema.get("uniqueItems").and_then(Value::as_bool) == Some(true);
        let mut seen = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let inner = format!("{path}[{index}]");
            if let Some(of) = schema.get("items") {
                let place = match &item.value {
                    NodeValue::Scalar { text, plain } if text.is_empty() && *plain => span,
                    _ => item.span,
                };
                self.value(of, item, place, &inner);
            }
            if let (true, Some(text)) = (unique, item.text())
                && !seen.insert(text)
            {
                let message = format!("`{}` is listed twice in {}", short(text), named(path));
                self.push(Problem::new(item.span, message).help("remove one of them"));
            }
        }
    }

    fn string(&mut self, schema: &Value, node: &Node, (text, plain): (&str, bool), path: &str) {
        match resolve(text, plain) {
            Resolved::Text => {}
            // A word of an enum that needs its quotes is asked for its quotes like every other.
            Resolved::Bool(_)
            | Resolved::OldBool(_)
            | Resolved::Integer(_)
            | Resolved::TooLarge
            | Resolved::Float(_)
            | Resolved::OddNumber => {
                let message = format!("{} is {}, expected a text", named(path), found(node));
                let format = schema.get("format").and_then(Value::as_str);
                let help = match format {
                    Some("size" | "memory-size") => {
                        format!("write its unit too, such as `{}Gi`", short(text))
                    }
                    _ => format!("put it in quotes: \"{}\"", short(text)),
                };
                return self.push(Problem::new(node.span, message).help(help));
            }
            Resolved::Null => return,
        }
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            if !words.contains(&text) {
                let message = format!("{} cannot be `{}`", named(path), short(text));
                let help = nearest_or_all(text, &words);
                self.push(Problem::new(node.span, message).help(help));
            }
            return;
        }
        self.text_format(schema, node, text, path);
    }

    fn text_format(&mut self, schema: &Value, node: &Node, text: &str, path: &str) {
        if text.chars().any(is_deceptive) {
            self.readable = false;
            return;
        }
        let format = schema.get("format").and_then(Value::as_str);
        if let Some(Err(expected)) = format.and_then(|format| scalar::check(format, text)) {
            // An address may hold a password: it is not repeated.
            let shown = match format {
                Some("image-url") => "not one".to_owned(),
                Some(_) | None => format!("`{}`", short(text)),
            };
            let message = format!("{} is {shown}, expected {expected}", named(path));
            return self.push(Problem::new(node.span, message));
        }
        if format.is_none() && text.contains(['\n', '\r']) {
            let message = format!("{} has several lines, expected one", named(path));
            return self.push(Problem::new(node.span, message));
        }
        let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
        if bound("minLength").is_some_and(|least| length < least) {
            self.push(Problem::new(
                node.span,
                format!("{} is an empty text", named(path)),
            ));
        }
        if let Some(most) = bound("maxLength").filter(|most| length > *most) {
            let message = format!(
                "{} has {length} characters, at most {most} are allowed",
                named(path)
            );
            self.push(Problem::new(node.span, message));
        }
    }

    fn plain_value(
        &mut self,
        schema: &Value,
        expected: &str,
        node: &Node,
        (text, plain): (&str, bool),
        path: &str,
    ) {
        let resolved = resolve(text, plain);
        let problem = match (expected, resolved) {
            ("boolean", Resolved::Bool(_)) => return,
            ("integer" | "number", Resolved::Integer(n)) => {
                return self.bounds(schema, node, n as f64, Some(n), path);
            }
            ("number", Resolved::Float(n)) => return self.bounds(schema, node, n, None, path),
            (_, Resolved::TooLarge) => {
                let message = format!(
                    "{}: the number {} does not fit in 64 bits",
                    named(path),
                    short(text)
                );
                Problem::new(node.span, message)
            }
            _ => {
                let message = format!(
                    "{} is {}, expected {}",
                    named(path),
                    found(node),
                    type_name(expected)
                );
                let problem = Problem::new(node.span, message);
                match (expected, resolved) {
                    ("boolean", Resolved::OldBool(meant)) => {
                        problem.help(format!("write `{meant}`"))
                    }
                    (_, Resolved::OddNumber) => {
                        problem.help("write it in decimal, without leading zeroes")
                    }
                    (_, Resolved::Text)
                        if !plain && !matches!(resolve(text, true), Resolved::Text) =>
                    {
                        problem.help(format!("write it without quotes: {}", short(text)))
                    }
                    _ => problem,
                }
            }
        };
        self.push(problem);
    }

    fn bounds(
        &mut self,
        schema: &Value,
        node: &Node,
        number: f64,
        whole: Option<i128>,
        path: &str,
    ) {
        let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
        let (low, high) = match schema.get("format").and_then(Value::as_str) {
            Some("uint32") => (Some(0.0), Some(f64::from(u32::MAX))),
            Some("uint64") => (Some(0.0), None),
            Some("int32") => (Some(f64::from(i32::MIN)), Some(f64::from(i32::MAX))),
            _ => (None, None),
        };
        let least = bound("minimum").or(low);
        let most = bound("maximum").or(high);
        let outside =
            least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most);
        if outside {
            let range = match (least, most) {
                (Some(least), Some(most)) => format!("from {least} to {most}"),
                (Some(least), None) => format!("of at least {least}"),
                (None, Some(most)) => format!("of at most {most}"),
                (None, None) => String::new(),
            };
            let kind = if whole.is_some() {
                "a whole number"
            } else {
                "a number"
            };
            let written = whole.map_or_else(|| number.to_string(), |whole| whole.to_string());
            let message = format!("{} is {written}, expected {kind} {range}", named(path));
            self.push(Problem::new(node.span, message));
        }
    }
}

fn is_key(field: &Value, key: &str) -> bool {
    let written = field.get(schema::PROXMOX_KEY).and_then(Value::as_str);
    written.is_some_and(|written| {
        written
            .split_whitespace()
            .any(|one| one == key || one.split(',').next_back() == Some(key))
    })
}

/// Inside a reference to a secret no advice about options is due.
fn is_secretive(path: &str) -> bool {
    path.ends_with("From")
}
