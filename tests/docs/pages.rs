//! The pages and the blocks in them.

use std::path::{Path, PathBuf};

/// A page of the documentation.
pub struct Page {
    /// Its path below `docs/`: `reference/pool.md`.
    pub name: String,
    pub text: String,
}

/// A fenced block.
pub struct Block {
    /// `git.md:14`, of its first line.
    pub place: String,
    /// The language, such as `yaml`.
    pub language: String,
    /// The words after it, such as `exit=2`.
    pub words: Vec<String>,
    /// What stands in it, without the indentation of the fence, and with included files in their places.
    pub text: String,
}

impl Block {
    /// Whether a word stands after the language.
    pub fn says(&self, word: &str) -> bool {
        self.words.iter().any(|said| said == word)
    }

    /// The value of a word such as `exit=2`.
    pub fn value(&self, word: &str) -> Option<&str> {
        self.words
            .iter()
            .find_map(|said| said.strip_prefix(word)?.strip_prefix('='))
    }
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every page, in the order of their names.
pub fn all() -> Vec<Page> {
    let mut pages = Vec::new();
    read(&root().join("docs"), "", &mut pages);
    assert!(pages.len() > 10, "only {} pages found", pages.len());
    pages
}

fn read(folder: &Path, prefix: &str, pages: &mut Vec<Page>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            read(&entry.path(), &format!("{name}/"), pages);
        } else if name.ends_with(".md") {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            pages.push(Page { name, text });
        }
    }
}

/// The page of a name.
pub fn page(name: &str) -> Page {
    let found = all().into_iter().find(|page| page.name == name);
    found.unwrap_or_else(|| panic!("there is no docs/{name}"))
}

impl Page {
    /// Its fenced blocks.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut open: Option<(usize, String)> = None;
        for (index, line) in self.text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let fence: String = line
                .trim_start()
                .chars()
                .take_while(|c| *c == '`')
                .collect();
            match &open {
                None if fence.len() >= 3 => {
                    let info = line.trim().trim_start_matches('`');
                    let mut words = info.split_whitespace().map(str::to_owned);
                    blocks.push(Block {
                        place: format!("{}:{}", self.name, index + 1),
                        language: words.next().unwrap_or_default(),
                        words: words.collect(),
                        text: String::new(),
                    });
                    open = Some((indent, fence));
                }
                Some((_, opened)) if fence == *opened && line.trim() == fence => open = None,
                Some((indent, _)) => {
                    let inner = line.get(*indent..).unwrap_or(line.trim_start());
                    let block = blocks.last_mut().unwrap();
                    match inner
                        .strip_prefix("{{#include ")
                        .and_then(|rest| rest.strip_suffix("}}"))
                    {
                        Some(file) => {
                            let at = root().join("docs").join(&self.name);
                            let file = at.parent().unwrap().join(file);
                            let text = std::fs::read_to_string(&file).unwrap_or_else(|error| {
                                panic!("{}: {}: {error}", block.place, file.display())
                            });
                            block.text.push_str(&text);
                        }
                        None => {
                            block.text.push_str(inner);
                            block.text.push('\n');
                        }
                    }
                }
                None => {}
            }
        }
        assert!(open.is_none(), "{}: a block is not closed", self.name);
        blocks
    }

    /// The text without its blocks.
    pub fn prose(&self) -> String {
        let mut out = String::new();
        let mut fence: Option<String> = None;
        for line in self.text.lines() {
            let ticks: String = line
                .trim_start()
                .chars()
                .take_while(|c| *c == '`')
                .collect();
            match &fence {
                None if ticks.len() >= 3 => fence = Some(ticks),
                Some(opened) if line.trim() == *opened => fence = None,
                Some(_) => {}
                None => {
                    out.push_str(line);
                    out.push('\n');
                }
            }
        }
        out
    }

    /// The code spans of its prose.
    pub fn spans(&self) -> Vec<String> {
        let span = regex::Regex::new("`([^`]+)`").unwrap();
        span.captures_iter(&self.prose())
            .map(|found| found[1].split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    }

    /// The cells of the table with this first heading, without the headings.
    pub fn table(&self, heading: &str) -> Vec<Vec<String>> {
        let begin = format!("| {heading} |");
        let cells = |line: &str| -> Vec<String> {
            let line = line.trim().trim_matches('|').replace("\\|", "\u{1}");
            line.split('|')
                .map(|cell| cell.trim().replace('\u{1}', "|"))
                .collect()
        };
        let rows: Vec<Vec<String>> = self
            .text
            .lines()
            .skip_while(|line| !line.starts_with(&begin))
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .map(cells)
            .collect();
        assert!(
            !rows.is_empty(),
            "docs/{} has no table `{heading}`",
            self.name
        );
        rows
    }
}

/// The code spans of a cell.
pub fn spans(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}
