//! Section configuration files (`storage.cfg`, `jobs.cfg`, `ha/resources.cfg`, `replication.cfg` …): parse and print.
//!
//! A section is `type: id`, then indented `key value` lines, then an empty line. Order is kept.

/// One section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// The word before the colon.
    pub kind: String,
    /// The name after it.
    pub id: String,
    /// Its lines; a key without a value (a flag such as `disable`) has `1`.
    pub lines: Vec<(String, String)>,
}

impl Section {
    /// A key's value.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.lines
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// A boolean key; absent is false.
    #[must_use]
    pub fn flag(&self, key: &str) -> bool {
        self.get(key)
            .and_then(super::params::loose_truth)
            .unwrap_or(false)
    }

    /// A key's value as a list.
    #[must_use]
    pub fn list(&self, key: &str) -> Vec<String> {
        self.get(key)
            .map(super::call::split_list)
            .unwrap_or_default()
    }

    /// Sets a key, at its place or at the end.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        let value = value.into();
        match self.lines.iter_mut().find(|(name, _)| name == key) {
            Some(line) => line.1 = value,
            None => self.lines.push((key.to_owned(), value)),
        }
    }

    /// Removes a key; says whether it was there.
    pub fn unset(&mut self, key: &str) -> bool {
        let before = self.lines.len();
        self.lines.retain(|(name, _)| name != key);
        self.lines.len() != before
    }

    /// Whether the section's `nodes` allows this node; none named means all.
    #[must_use]
    pub fn on_node(&self, node: &str) -> bool {
        let nodes = self.list("nodes");
        nodes.is_empty() || nodes.iter().any(|name| name == node)
    }

    /// Whether `content` holds this type.
    #[must_use]
    pub fn holds(&self, content: &str) -> bool {
        self.list("content").iter().any(|word| word == content)
    }
}

/// Reads a file. Lines that are no part of a section are dropped, as Proxmox VE does with a warning.
#[must_use]
pub fn parse(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        if line.trim().is_empty() {
            open = false;
        } else if line.starts_with([' ', '\t']) {
            if let (true, Some(section)) = (open, sections.last_mut()) {
                let line = line.trim();
                let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, "1"));
                section
                    .lines
                    .push((key.to_owned(), value.trim().to_owned()));
            }
        } else if let Some((kind, id)) = line.split_once(':').filter(|_| !line.starts_with('#')) {
            sections.push(Section {
                kind: kind.trim().into(),
                id: id.trim().into(),
                lines: Vec::new(),
            });
            open = true;
        } else {
            open = false;
        }
    }
    sections
}

/// Writes a file.
#[must_use]
pub fn print(sections: &[Section]) -> String {
    let mut text = String::new();
    for section in sections {
        text.push_str(&format!("{}: {}\n", section.kind, section.id));
        for (key, value) in &section.lines {
            match (key.as_str(), value.as_str()) {
                ("disable", "1") => text.push_str(&format!("\t{key}\n")),
                _ => text.push_str(&format!("\t{key} {value}\n")),
            }
        }
        text.push('\n');
    }
    text
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
    fn sections_read_and_print_the_same() {
        let text = "dir: local\n\tdisable\n\tpath /var/lib/vz\n\tcontent iso,backup\n\nrbd: ceph\n\tmonhost 1.1.1.1 1.1.1.2\n\n";
        let sections = parse(text);
        assert_eq!(print(&sections), text);
        assert!(
            sections[0].flag("disable") && sections[0].holds("iso") && sections[0].on_node("any")
        );
        assert_eq!(sections[1].get("monhost"), Some("1.1.1.1 1.1.1.2"));
    }
}
