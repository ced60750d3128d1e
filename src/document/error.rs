//! What is wrong with documents, as values, and how it is shown to a person: file, line, column, the line with the offending text
//! underlined, what was expected, and what to do. Nothing here decides what is wrong.

use std::fmt;

use serde::Serialize;

use super::tree::Span;

/// Most errors that are kept; the rest is counted.
const MOST_ERRORS: usize = 200;
/// Most characters of a line that are shown.
const MOST_COLUMNS: usize = 120;

/// One thing that is wrong in one file, before it is known which file that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The offending text.
    pub span: Span,
    /// What is wrong, and what was expected.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Problem {
    /// A problem without advice.
    pub fn new(span: Span, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            help: None,
        }
    }

    /// The same with advice.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// One thing that is wrong in a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{file}:{line}:{column}: {message}")]
pub struct DocumentError {
    /// The file, as it was named to the reader.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// How many characters the offending text has, at least 1.
    pub length: usize,
    /// What is wrong, and what was expected.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The line of the file, or the part of a long one; control characters are replaced, and what may be a secret is stars.
    pub excerpt: String,
    /// Where the offending text begins in the excerpt, from 1.
    pub excerpt_column: usize,
}

/// Everything that is wrong with the documents that were read, in the order of files and lines.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DocumentErrors {
    /// The errors.
    pub errors: Vec<DocumentError>,
    /// How many more there are than are listed.
    pub omitted: usize,
}

impl DocumentErrors {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// Adds the problems of one file, in the order of its lines.
    pub fn add(&mut self, file: &str, text: &str, mut problems: Vec<Problem>) {
        problems.sort_by_key(|problem| (problem.span.line, problem.span.column));
        problems.dedup();
        let lines: Vec<&str> = text.lines().collect();
        // Many problems of one long line shall not cost its length each.
        let mut shown: (usize, Vec<char>) = (0, Vec::new());
        for problem in problems {
            if self.errors.len() >= MOST_ERRORS {
                self.omitted += 1;
                continue;
            }
            let number = problem.span.line;
            if shown.0 != number {
                let line = lines.get(number.saturating_sub(1)).copied();
                shown = (number, printable(line.unwrap_or_default()));
            }
            let (excerpt, excerpt_column) = excerpt(&shown.1, problem.span.column);
            self.errors.push(DocumentError {
                file: file.to_owned(),
                line: number,
                column: problem.span.column,
                length: underlined(&problem.span, shown.1.len()),
                message: problem.message,
                help: problem.help,
                excerpt,
                excerpt_column,
            });
        }
    }
}

/// How many characters to underline: never past the line's end, and never nothing.
fn underlined(span: &Span, line_length: usize) -> usize {
    let rest = line_length.saturating_sub(span.column.saturating_sub(1));
    span.length.min(rest).max(1)
}

/// The part of a line around a column, and the column in it.
fn excerpt(line: &[char], column: usize) -> (String, usize) {
    let start = if line.len() <= MOST_COLUMNS {
        0
    } else {
        column.saturating_sub(MOST_COLUMNS / 3)
    };
    let part = line.iter().skip(start).take(MOST_COLUMNS).collect();
    (part, column.saturating_sub(start))
}

/// Whether a character could change how the rest of a terminal line looks.
pub fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        || (c.is_control() && c != '\n' && c != '\t')
}

/// Words in the names of fields whose values may be secrets that someone wrote into a document by mistake.
const SECRET_WORDS: [&str; 5] = ["password", "secret", "keyring", "encryption", "token"];

/// The line with what may be a secret as stars: everything after `password:` and its like, unless a reference stands there.
fn without_secrets(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let found = SECRET_WORDS
        .iter()
        .filter_map(|word| lower.find(word))
        .min();
    let Some((before, after)) = found
        .and_then(|at| lower.get(at..)?.find(':').map(|colon| at + colon + 1))
        .and_then(|end| line.split_at_checked(end))
    else {
        return line.to_owned();
    };
    if after.trim_start().starts_with(['{', '#']) {
        return line.to_owned();
    }
    let stars = after
        .chars()
        .map(|c| if c.is_whitespace() { c } else { '*' });
    before.chars().chain(stars).collect()
}

/// The line with the user name and password of an address as stars.
fn without_userinfo(line: &str) -> String {
    let userinfo = line.split_once("://").and_then(|(scheme, rest)| {
        let host = rest.split(['/', '?', '#']).next()?;
        let (user, _) = host.rsplit_once('@')?;
        let after = rest.get(user.len()..)?;
        Some((scheme, user, after))
    });
    let Some((scheme, user, after)) = userinfo else {
        return line.to_owned();
    };
    format!("{scheme}://{}{after}", "*".repeat(user.chars().count()))
}

/// One line that cannot move a terminal's cursor; one character stays one character.
fn printable(line: &str) -> Vec<char> {
    without_userinfo(&without_secrets(line.trim_end()))
        .chars()
        .map(|c| match c {
            '\t' => ' ',
            c if is_deceptive(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

impl DocumentError {
    /// The error with its line, for a person. Without colours.
    pub fn render(&self) -> String {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let line = &self.excerpt;
        let room = MOST_COLUMNS.saturating_sub(self.excerpt_column.saturating_sub(1));
        let carets = "^".repeat(self.length.min(room).max(1));
        let blank = " ".repeat(self.excerpt_column.saturating_sub(1));
        let mut text = format!(
            "{}:{}:{}: {}\n{margin} |\n{number} | {line}\n{margin} | {blank}{carets}\n",
            self.file, self.line, self.column, self.message
        );
        if let Some(help) = &self.help {
            text.push_str(&format!("{margin} = {help}\n"));
        }
        text
    }
}

impl fmt::Display for DocumentErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.errors {
            writeln!(f, "{}", error.render())?;
        }
        let count = self.errors.len() + self.omitted;
        let files: std::collections::BTreeSet<&str> =
            self.errors.iter().map(|e| e.file.as_str()).collect();
        let errors = if count == 1 { "error" } else { "errors" };
        let places = if files.len() == 1 {
            "1 file".to_owned()
        } else {
            format!("{} files", files.len())
        };
        write!(f, "{count} {errors} in {places}")?;
        if self.omitted > 0 {
            write!(f, ", {} of them not shown", self.omitted)?;
        }
        write!(f, "; nothing was changed")
    }
}

impl std::error::Error for DocumentErrors {}
