//! The one place that knows the YAML library. Text in, trees with positions out, and every problem of the text itself: syntax,
//! duplicate keys, anchors, aliases, merge keys, tags, control characters, and more than the budget allows. No meaning of fields here.
//!
//! The parser is `granit-parser`, the one under `serde-saphyr`: that crate stops at the first error and loses positions, and here all
//! errors are wanted, each with its place. After a syntax error reading goes on at the next `---`.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle, Span as SourceSpan, options};

use super::error::{Problem, is_deceptive};
use super::tree::{Entry, Node, NodeValue, Span};

/// Most bytes of one file.
pub const MOST_BYTES: usize = 8 << 20;
/// Most nodes of one file.
const MOST_NODES: usize = 1_000_000;
/// Most levels of nesting.
const MOST_LEVELS: usize = 48;
/// Most problems of one file before reading stops.
const MOST_PROBLEMS: usize = 1000;

/// One document of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// Its value.
    pub root: Node,
    /// Its lines, without the marker above them.
    pub text: String,
}

/// What stands in a file.
#[derive(Debug, Default)]
pub struct Stream {
    /// The documents that could be read; empty ones are left out.
    pub trees: Vec<Tree>,
    /// What is wrong with the text.
    pub problems: Vec<Problem>,
}

/// A value that cannot be written as YAML.
#[derive(Debug, thiserror::Error)]
#[error("the value cannot be written as YAML")]
pub struct WriteError(#[source] serde_saphyr::SerializeError);

/// A value as YAML, one document without a marker. Texts that could be read as something else are quoted, so that [`read`] gives the same.
///
/// # Errors
/// [`WriteError`] if the value's own serialization fails.
pub fn write<T: serde::Serialize>(value: &T) -> Result<String, WriteError> {
    serde_saphyr::to_string(value).map_err(WriteError)
}

/// Reads every document of a text.
pub fn read(text: &str) -> Stream {
    if text.len() > MOST_BYTES {
        let message = format!(
            "the file has {} bytes, more than the {MOST_BYTES} that one file may have",
            text.len()
        );
        return Stream {
            trees: Vec::new(),
            problems: vec![Problem::new(start(), message).help("split it into several files")],
        };
    }
    Reader::new(text).run()
}

fn start() -> Span {
    Span {
        line: 1,
        column: 1,
        length: 1,
    }
}

enum Frame {
    Sequence {
        span: Span,
        items: Vec<Node>,
    },
    Mapping {
        span: Span,
        entries: Vec<Entry>,
        key: Option<(String, Span, bool)>,
        seen: BTreeMap<String, usize>,
    },
}

struct Reader<'t> {
    text: &'t str,
    lines: Vec<&'t str>,
    frames: Vec<Frame>,
    first_line: usize,
    roots: Vec<(usize, Node)>,
    /// First lines of all documents, ascending.
    starts: Vec<usize>,
    nodes: usize,
    problems: Vec<Problem>,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            text,
            lines: text.lines().collect(),
            frames: Vec::new(),
            first_line: 1,
            roots: Vec::new(),
            starts: Vec::new(),
            nodes: 0,
            problems: Vec::new(),
        }
    }

    fn run(mut self) -> Stream {
        let options = options! {
            emit_comments: false,
            emit_unresolved_aliases: true,
            flow_nesting_limit: MOST_LEVELS,
            block_nesting_limit: MOST_LEVELS,
        };
        let mut parser = Parser::new_from_str_with_options(self.text, options);
        loop {
            match parser.next() {
                None => break,
                Some(Ok((event, span))) => self.event(event, span),
                Some(Err(error)) => {
                    self.syntax(&error);
                    // An error while looking for the next document was reported already, or is the same one again.
                    if !matches!(parser.proceed_next_document(), Ok(true)) {
                        break;
                    }
                }
            }
            if self.nodes > MOST_NODES || self.problems.len() > MOST_PROBLEMS {
                let last = self.problems.last().map_or(start(), |problem| problem.span);
                let message = if self.nodes > MOST_NODES {
                    format!("the file has more than {MOST_NODES} values")
                } else {
                    "too many problems; the rest of the file was not read".to_owned()
                };
                self.problems.push(Problem::new(last, message));
                break;
            }
        }
        self.finish()
    }

    fn finish(self) -> Stream {
        let mut trees = Vec::new();
        for (first, root) in self.roots {
            let after = self.starts.partition_point(|line| *line <= first);
            let next = self.starts.get(after);
            let last = next.map_or(self.lines.len(), |line| line.saturating_sub(2));
            let count = last.saturating_sub(first.saturating_sub(1));
            let lines = self.lines.iter().skip(first.saturating_sub(1)).take(count);
            let mut text = lines.copied().collect::<Vec<_>>().join("\n");
            text.push('\n');
            trees.push(Tree { root, text });
        }
        Stream {
            trees,
            problems: self.problems,
        }
    }

    fn syntax(&mut self, error: &granit_parser::ScanError) {
        let marker = error.marker();
        let span = Span {
            line: marker.line().clamp(1, self.lines.len().max(1)),
            column: marker.col() + 1,
            length: 1,
        };
        self.frames.clear();
        let found = self.lines.get(span.line.saturating_sub(1));
        let tab = found.is_some_and(|line| line.trim_start_matches(' ').starts_with('\t'));
        let problem = Problem::new(span, format!("this is not YAML: {}", error.info()));
        self.problems.push(if tab {
            problem.help("indent with blanks; YAML does not allow tabs")
        } else {
            problem.help("the rest of this document was not read")
        });
    }

    fn event(&mut self, event: Event<'_>, source: SourceSpan) {
        let span = self.place(&source);
        match event {
            Event::DocumentStart(explicit, _) => {
                self.frames.clear();
                self.first_line = if explicit { span.line + 1 } else { 1 };
                self.starts.push(self.first_line);
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.properties(span, anchor, tag.is_some());
                self.characters(span, &text);
                // The parser gives `~` where nothing was written; here that is not the same as a written `~`.
                let nothing = style == ScalarStyle::Plain && source.is_empty();
                let value = NodeValue::Scalar {
                    text: if nothing {
                        String::new()
                    } else {
                        text.into_owned()
                    },
                    plain: style == ScalarStyle::Plain,
                };
                self.complete(Node { span, value });
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.properties(span, anchor, tag.is_some());
                self.frames.push(Frame::Sequence {
                    span,
                    items: Vec::new(),
                });
            }
            Event::MappingStart(_, anchor, tag) => {
                self.properties(span, anchor, tag.is_some());
                self.frames.push(Frame::Mapping {
                    span,
                    entries: Vec::new(),
                    key: None,
                    seen: BTreeMap::new(),
                });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let problem = Problem::new(span, "aliases (`*name`) are not allowed in documents");
                self.problems.push(problem.help("write the value out"));
                self.complete(null(span));
            }
            _ => {}
        }
    }

    fn place(&self, source: &SourceSpan) -> Span {
        let (line, column) = (source.start.line(), source.start.col() + 1);
        let length = if source.end.line() == line {
            source.end.col().saturating_sub(source.start.col())
        } else {
            let line = self.lines.get(line.saturating_sub(1));
            line.map_or(1, |line| line.chars().count().saturating_sub(column - 1))
        };
        Span {
            line,
            column,
            length: length.max(1),
        }
    }

    fn properties(&mut self, span: Span, anchor: usize, tagged: bool) {
        self.nodes += 1;
        if anchor > 0 {
            let problem = Problem::new(span, "anchors (`&name`) are not allowed in documents");
            self.problems
                .push(problem.help("write the value out where it is needed"));
        }
        if tagged {
            let problem = Problem::new(span, "tags (`!name`) are not allowed in documents");
            self.problems.push(problem.help("remove the tag"));
        }
    }

    fn characters(&mut self, span: Span, text: &str) {
        if let Some(c) = text.chars().find(|c| is_deceptive(*c)) {
            let code = u32::from(c);
            let problem = Problem::new(
                span,
                format!("the control character U+{code:04X} is not allowed"),
            );
            self.problems
                .push(problem.help("remove it; only line ends and tabs are allowed in texts"));
        }
    }

    fn close(&mut self) {
        match self.frames.pop() {
            Some(Frame::Sequence { span, items }) => self.complete(Node {
                span,
                value: NodeValue::Sequence(items),
            }),
            Some(Frame::Mapping { span, entries, .. }) => self.complete(Node {
                span,
                value: NodeValue::Mapping(entries),
            }),
            None => {}
        }
    }

    fn complete(&mut self, node: Node) {
        match self.frames.last_mut() {
            None => {
                if !node.is_null() {
                    self.roots.push((self.first_line, node));
                }
            }
            Some(Frame::Sequence { items, .. }) => items.push(node),
            Some(Frame::Mapping {
                entries, key, seen, ..
            }) => match key.take() {
                Some((name, key_span, true)) => entries.push(Entry {
                    key: name,
                    key_span,
                    value: node,
                }),
                Some((_, _, false)) => {}
                None => {
                    let (new, problem) = new_key(node, seen);
                    *key = Some(new);
                    self.problems.extend(problem);
                }
            },
        }
    }
}

type Key = (String, Span, bool);

/// A key, whether its value is kept, and what is wrong with it.
fn new_key(node: Node, seen: &mut BTreeMap<String, usize>) -> (Key, Option<Problem>) {
    let span = node.span;
    let NodeValue::Scalar { text, plain } = node.value else {
        let problem = Problem::new(span, "a key has to be a single word");
        return ((String::new(), span, false), Some(problem));
    };
    if plain && text == "<<" {
        let problem = Problem::new(span, "merge keys (`<<`) are not allowed in documents");
        let problem = problem.help("write the fields out");
        return ((text, span, false), Some(problem));
    }
    if let Some(line) = seen.get(&text) {
        let message = format!("the key `{text}` is written twice; the first is in line {line}");
        let problem = Problem::new(span, message).help("remove one of them");
        return ((text, span, false), Some(problem));
    }
    seen.insert(text.clone(), span.line);
    ((text, span, true), None)
}

fn null(span: Span) -> Node {
    let text = String::new();
    Node {
        span,
        value: NodeValue::Scalar { text, plain: true },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_document_does_not_hide_the_next() {
        let stream = read("a: [1\n---\nb: 2\n---\nc: {\n");
        assert_eq!(stream.trees.len(), 1);
        assert_eq!(stream.trees[0].text, "b: 2\n");
        assert_eq!(stream.problems.len(), 2, "{:?}", stream.problems);
    }

    #[test]
    fn documents_keep_their_own_text() {
        let stream = read("# one\na: 1\n---\n\n# two\nb: 2\n...\n---\n---\nc: 3\n");
        let texts: Vec<_> = stream.trees.iter().map(|tree| tree.text.as_str()).collect();
        assert_eq!(texts, ["# one\na: 1\n", "\n# two\nb: 2\n...\n", "c: 3\n"]);
        assert!(stream.problems.is_empty());
    }

    #[test]
    fn deep_nesting_is_a_problem_and_not_a_crash() {
        let text = "[".repeat(100_000);
        assert!(!read(&text).problems.is_empty());
        let text = "a: ".repeat(10_000);
        assert!(!read(&text).problems.is_empty());
    }
}
