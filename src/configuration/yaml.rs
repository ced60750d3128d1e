//! The one place that turns the configuration file's YAML into values: strict, small budgets, and a place (line and column) for
//! every field, so that mistakes found after parsing can still point into the file. Never shows a line of the file, since
//! somebody may have written a secret where none belongs.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, Options, Spanned};

/// A place in the file, both from 1; 0 where it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

/// YAML that cannot be read as what was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YamlMistake {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub message: String,
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 50_000,
            max_aliases: 0,
            max_anchors: 0,
            max_depth: 32,
            max_documents: 1,
            max_nodes: 20_000,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    }
}

/// Reads one YAML document.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, YamlMistake> {
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let place = error
            .location()
            .map_or_else(Place::default, |location| Place {
                line: location.line(),
                column: location.column(),
            });
        let message = error.without_snippet().to_string();
        // The place is said once, in front.
        let message = message.split(" at line ").next().unwrap_or_default();
        YamlMistake {
            place,
            message: for_people(message),
        }
    })
}

/// The parser's words, where it speaks to programmers, put for people; and the nearest name where one is not known.
fn for_people(message: &str) -> String {
    if let Some(rest) = message.strip_prefix("duplicate mapping key: ") {
        let key = rest.split(',').next().unwrap_or(rest);
        return format!("`{key}` is written twice: keep one");
    }
    if message.starts_with("budget breached: Anchors")
        || message.starts_with("budget breached: Aliases")
    {
        return "anchors (`&name`) and aliases (`*name`) are not taken here: write the value out"
            .to_owned();
    }
    if message.starts_with("budget breached: Documents") {
        return "one file is one configuration: remove the second document after `---`".to_owned();
    }
    if let Some(what) = message.strip_prefix("budget breached: ") {
        return format!("the file is larger or deeper than a configuration can be ({what})");
    }
    match message {
        "unexpected end of input" | "expected mapping start" => {
            "expected a configuration, beginning with `apiVersion: bailiwick.dev/v1alpha1`, or a mapping in this place".to_owned()
        }
        "invalid boolean (strict mode expects true/false)" => "expected `true` or `false`".to_owned(),
        other => format!("{other}{}", nearest(other)),
    }
}

/// `; is X meant?` after "unknown field `Y`, expected one of A, B, X".
fn nearest(message: &str) -> String {
    let unknown = ["unknown field `", "unknown variant `"]
        .iter()
        .find_map(|prefix| message.strip_prefix(prefix));
    let Some((wrong, rest)) = unknown.and_then(|rest| rest.split_once('`')) else {
        return String::new();
    };
    rest.rsplit(" of ")
        .next()
        .unwrap_or_default()
        .split(',')
        .map(|name| name.trim().trim_matches('`'))
        .map(|name| {
            (
                strsim::damerau_levenshtein(&name.to_lowercase(), &wrong.to_lowercase()),
                name,
            )
        })
        .min()
        .filter(|(distance, _)| *distance <= 2)
        .map(|(_, name)| format!("; is `{name}` meant?"))
        .unwrap_or_default()
}

/// Where every field of a document stands.
#[derive(Debug)]
pub struct Places(Option<Spanned<Node>>);

impl Places {
    /// The places of a text that [`parse`] accepts.
    pub fn of(text: &str) -> Self {
        Self(serde_saphyr::from_str_with_options(text, options()).ok())
    }

    /// The place of a field such as `approval.policy[2].require`; of the nearest field above it when that one is not written.
    pub fn at(&self, path: &str) -> Place {
        let mut place = Place::default();
        let Some(mut node) = self.0.as_ref() else {
            return place;
        };
        for part in path
            .split(['.', '['])
            .map(|part| part.trim_end_matches(']'))
        {
            place = of_location(node);
            let below = match &node.value {
                Node::Map(map) => map.get(part),
                Node::List(list) => part.parse::<usize>().ok().and_then(|index| list.get(index)),
                Node::Leaf => None,
            };
            match below {
                Some(next) => node = next,
                None => return place,
            }
        }
        of_location(node)
    }
}

fn of_location(node: &Spanned<Node>) -> Place {
    Place {
        line: node.referenced.line(),
        column: node.referenced.column(),
    }
}

/// The shape of a document without its values.
#[derive(Debug)]
enum Node {
    Map(BTreeMap<String, Spanned<Node>>),
    List(Vec<Spanned<Node>>),
    Leaf,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;

        impl<'de> Visitor<'de> for Shape {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_str<E>(self, _: &str) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
                let mut nodes = Vec::new();
                while let Some(node) = list.next_element()? {
                    nodes.push(node);
                }
                Ok(Node::List(nodes))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut nodes = BTreeMap::new();
                while let Some((key, node)) = map.next_entry()? {
                    nodes.insert(key, node);
                }
                Ok(Node::Map(nodes))
            }
        }

        deserializer.deserialize_any(Shape)
    }
}
