//! A guest's configuration file: text to sections and back, as `qemu-server` and `pve-container` read and write it.
//!
//! Knows sections, comments and lines, nothing of what a key means; which keys exist comes from [`super::keys`].
//! The digest is of the text itself, so the text in the cluster file system is the truth and this a view of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha1::{Digest as _, Sha1};

use super::keys;
use super::kind::Kind;

/// One section: settings, and for containers raw `lxc.*` lines in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// Key to value; `description` decoded, without trailing newlines.
    pub values: BTreeMap<String, String>,
    /// `lxc.*` lines.
    pub raw: Vec<(String, String)>,
}

impl Section {
    /// A setting's text.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// A setting that is a boolean and true.
    #[must_use]
    pub fn is_set(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| value == "1")
    }

    /// A setting that is a whole number.
    #[must_use]
    pub fn int(&self, key: &str) -> Option<i64> {
        self.get(key).and_then(|value| value.parse().ok())
    }

    /// Sets a key.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.values.insert(key.into(), value.into());
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.values.remove(key)
    }
}

/// A guest's whole configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Virtual machine or container.
    pub kind: Kind,
    /// The settings in force.
    pub main: Section,
    /// Settings that wait for a stop or start.
    pub pending: Section,
    /// Settings whose removal waits; `true` where the volume is to be freed as well.
    pub pending_delete: BTreeMap<String, bool>,
    /// `[special:NAME]` sections.
    pub special: BTreeMap<String, Section>,
    /// Snapshots by name.
    pub snapshots: BTreeMap<String, Section>,
}

/// The digest of a configuration text: the SHA-1 of all of it, in hexadecimal.
#[must_use]
pub fn digest(text: &str) -> String {
    hex::encode(Sha1::digest(text.as_bytes()))
}

enum At {
    Main,
    Pending,
    Special(String),
    Snapshot(String),
    Ignored,
}

impl Config {
    /// An empty configuration.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            main: Section::default(),
            pending: Section::default(),
            pending_delete: BTreeMap::new(),
            special: BTreeMap::new(),
            snapshots: BTreeMap::new(),
        }
    }

    /// Reads a configuration text. Lines that do not parse and keys that do not exist are dropped in silence, as
    /// Proxmox VE does (it only warns in its log).
    #[must_use]
    pub fn parse(kind: Kind, text: &str) -> Self {
        let mut config = Self::new(kind);
        let mut at = At::Main;
        for line in text.split('\n') {
            if line.trim().is_empty() {
                continue;
            }
            match header(kind, line) {
                Some(next) => {
                    config.open(&next);
                    at = next;
                }
                None => config.line(&at, line),
            }
        }
        for section in config.sections() {
            if let Some(text) = section.values.get_mut("description") {
                text.truncate(text.trim_end_matches('\n').len());
            }
        }
        config
    }

    fn sections(&mut self) -> impl Iterator<Item = &mut Section> {
        [&mut self.main, &mut self.pending]
            .into_iter()
            .chain(self.special.values_mut())
            .chain(self.snapshots.values_mut())
    }

    fn open(&mut self, at: &At) {
        match at {
            At::Main | At::Pending | At::Ignored => {}
            At::Special(name) => {
                self.special.entry(name.clone()).or_default();
            }
            At::Snapshot(name) => {
                self.snapshots.entry(name.clone()).or_default();
            }
        }
    }

    fn line(&mut self, at: &At, line: &str) {
        if let (At::Pending, Some(list)) = (at, line.strip_prefix("delete:")) {
            for name in super::super::call::split_list(list) {
                let force = name.starts_with('!');
                self.pending_delete
                    .insert(name.trim_start_matches('!').to_owned(), force);
            }
            return;
        }
        let kind = self.kind;
        let section = match at {
            At::Main => &mut self.main,
            At::Pending => &mut self.pending,
            At::Special(name) => self.special.entry(name.clone()).or_default(),
            At::Snapshot(name) => self.snapshots.entry(name.clone()).or_default(),
            At::Ignored => return,
        };
        if let Some(comment) = line.strip_prefix('#') {
            let text = section.values.entry("description".into()).or_default();
            text.push_str(&decode(comment));
            text.push('\n');
        } else if let Some((key, value)) = setting(kind, line) {
            match kind {
                Kind::Lxc if key.starts_with("lxc.") => section.raw.push((key.into(), value)),
                Kind::Qemu | Kind::Lxc if keys::is_stored(kind, key) => {
                    let key = if kind == Kind::Qemu && key == "cdrom" {
                        "ide2"
                    } else {
                        key
                    };
                    section.values.insert(key.into(), value);
                }
                Kind::Qemu | Kind::Lxc => {}
            }
        }
    }

    /// The text of this configuration, as Proxmox VE writes it: keys sorted, the description as comments on top,
    /// pending settings, special sections, then snapshots by name. `unusedN` entries of volumes that are in use
    /// again are left out.
    #[must_use]
    pub fn print(&self) -> String {
        let mut text = String::new();
        let mut main = self.main.clone();
        self.drop_used_unused(&mut main);
        print_section(&mut text, &main);
        if !self.pending.values.is_empty() || !self.pending_delete.is_empty() {
            text.push_str(match self.kind {
                Kind::Qemu => "\n[PENDING]\n",
                Kind::Lxc => "\n[pve:pending]\n",
            });
            let mut pending = self.pending.clone();
            if !self.pending_delete.is_empty() {
                pending.set("delete", self.delete_list());
            }
            print_section(&mut text, &pending);
        }
        for (name, section) in &self.special {
            let _ = writeln!(text, "\n[special:{name}]");
            print_section(&mut text, section);
        }
        for (name, section) in &self.snapshots {
            let _ = writeln!(text, "\n[{name}]");
            print_section(&mut text, section);
        }
        text
    }

    fn delete_list(&self) -> String {
        let names = self
            .pending_delete
            .iter()
            .map(|(name, force)| format!("{}{name}", if *force { "!" } else { "" }));
        names.collect::<Vec<_>>().join(",")
    }

    fn drop_used_unused(&self, main: &mut Section) {
        let used: Vec<String> = [&self.main, &self.pending]
            .into_iter()
            .flat_map(|section| &section.values)
            .filter(|(key, _)| keys::is_volume_slot(self.kind, key))
            .filter_map(|(_, value)| value.split(',').next())
            .map(|first| {
                first
                    .trim_start_matches("file=")
                    .trim_start_matches("volume=")
                    .to_owned()
            })
            .collect();
        main.values
            .retain(|key, value| !keys::is_unused(key) || !used.contains(value));
    }
}

fn header(kind: Kind, line: &str) -> Option<At> {
    let name = line.trim_end().strip_prefix('[')?.strip_suffix(']')?;
    let lower = name.to_ascii_lowercase();
    match kind {
        Kind::Qemu if lower == "pending" => return Some(At::Pending),
        Kind::Lxc if lower == "pve:pending" => return Some(At::Pending),
        Kind::Qemu | Kind::Lxc => {}
    }
    if let Some(special) = name.strip_prefix("special:") {
        return Some(At::Special(special.into()));
    }
    let mut letters = name.chars();
    let good = letters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && letters.clone().next().is_some()
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    Some(if good {
        At::Snapshot(name.into())
    } else {
        At::Ignored
    })
}

/// Splits a line into key and value. A value of nothing but white space is its last character for virtual machines
/// (`tags: ` reads back as one space), and empty for containers.
fn setting(kind: Kind, line: &str) -> Option<(&str, String)> {
    let (key, rest) = match (kind, line.find([':', '='])) {
        (Kind::Lxc, Some(at)) if line.starts_with("lxc.") => (line.get(..at)?, line.get(at + 1..)?),
        (Kind::Qemu | Kind::Lxc, _) => line.split_once(':')?,
    };
    let good = key.starts_with(|c: char| c.is_ascii_lowercase())
        && key
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.'));
    if !good {
        return None;
    }
    let value = rest.trim();
    match kind {
        Kind::Qemu if value.is_empty() => rest.chars().last().map(|space| (key, space.to_string())),
        Kind::Qemu | Kind::Lxc => Some((key, value.to_owned())),
    }
}

fn print_section(text: &mut String, section: &Section) {
    if let Some(description) = section.get("description") {
        for line in description
            .trim_end_matches('\n')
            .split('\n')
            .filter(|_| !description.is_empty())
        {
            let _ = writeln!(text, "#{}", encode(line));
        }
    }
    for (key, value) in section
        .values
        .iter()
        .filter(|(key, _)| key.as_str() != "description")
    {
        let _ = writeln!(text, "{key}: {value}");
    }
    for (key, value) in &section.raw {
        let _ = writeln!(text, "{key}: {value}");
    }
}

/// URI-escapes what Proxmox VE escapes in comments: control and high characters, `%` and `:`.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'%' | b':' | 0..=0x1f | 0x7f.. => {
                let _ = write!(out, "%{byte:02X}");
            }
            _ => out.push(char::from(byte)),
        }
    }
    out
}

/// Reverts [`encode`]; bytes that are not UTF-8 become replacement characters.
#[must_use]
pub fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
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
    use proptest::prelude::*;

    const VM: &str = "#first%3A line\n#second\nagent: 1\nboot: order=scsi0;net0\nmemory: 512\nname: web1\n\
        scsi0: local:100/vm-100-disk-0.raw,size=1G\nunused0: local:100/vm-100-disk-9.raw\n\n[PENDING]\ncores: 2\n\
        delete: agent,!scsi1\n\n[special:cloudinit]\nname: old\n\n[clean]\n#fresh\nmemory: 64\nsnaptime: 5\n";

    #[test]
    fn a_written_file_is_read_and_written_the_same() {
        let config = Config::parse(Kind::Qemu, VM);
        assert_eq!(config.main.get("description"), Some("first: line\nsecond"));
        assert_eq!(
            config.pending_delete,
            BTreeMap::from([("agent".into(), false), ("scsi1".into(), true)])
        );
        assert_eq!(config.snapshots["clean"].get("description"), Some("fresh"));
        assert_eq!(config.special["cloudinit"].get("name"), Some("old"));
        assert_eq!(config.print(), VM);
    }

    #[test]
    fn broken_lines_and_unknown_keys_are_dropped_in_silence() {
        let config = Config::parse(Kind::Qemu, "broken line\nmemory: 64\nfoo: bar\nname: x\n");
        assert_eq!(config.print(), "memory: 64\nname: x\n");
    }

    #[test]
    fn a_container_keeps_its_raw_lines_behind_its_settings() {
        let text = "arch: amd64\nrootfs: tank:subvol-1-disk-0,size=8G\nlxc.idmap: u 0 1 1\nlxc.cap.drop: \n\
            \n[pve:pending]\nfeatures: nesting=0\n";
        assert_eq!(Config::parse(Kind::Lxc, text).print(), text);
        assert_eq!(
            Config::parse(Kind::Lxc, "lxc.cap.drop = x").main.raw.len(),
            0,
            "a blank is no part of a key"
        );
    }

    #[test]
    fn empty_tags_read_back_as_one_space() {
        assert_eq!(
            Config::parse(Kind::Qemu, "tags: \n").main.get("tags"),
            Some(" ")
        );
    }

    #[test]
    fn a_volume_that_is_used_again_is_not_unused() {
        let text =
            "scsi0: local:100/vm-100-disk-0.raw,size=1G\nunused0: local:100/vm-100-disk-0.raw\n";
        assert_eq!(
            Config::parse(Kind::Qemu, text).print(),
            "scsi0: local:100/vm-100-disk-0.raw,size=1G\n"
        );
    }

    #[test]
    fn real_files_are_read_and_written_the_same() {
        let Some(files) = crate::sim::guest::recorded::files() else {
            return;
        };
        let mut count = 0;
        for (path, text) in files {
            let kind = if path.contains("/lxc/") {
                Kind::Lxc
            } else {
                Kind::Qemu
            };
            // These were written by hand, not by Proxmox VE.
            if path.contains("/pve1/")
                && !path.ends_with("/150.conf")
                && !path.ends_with("/151.conf")
            {
                // An empty value reads back as one space, so the next write has two.
                let text = text.replace(": \n", ":  \n");
                assert_eq!(Config::parse(kind, &text).print(), text, "{path}");
                count += 1;
            }
        }
        assert!(count > 25, "{count}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn descriptions_survive(text in "[ -~\u{e4}\r\t\u{1f680}]{0,40}(\n[ -~]{1,20}){0,3}") {
            let mut config = Config::new(Kind::Qemu);
            if !text.is_empty() {
                config.main.set("description", text.trim_end_matches('\n'));
            }
            config.main.set("name", "x");
            let again = Config::parse(Kind::Qemu, &config.print());
            prop_assert_eq!(again.print(), config.print());
            prop_assert_eq!(again.main.get("description").unwrap_or(""), text.trim_end_matches('\n'));
        }

        #[test]
        fn parsing_is_idempotent(text in "(#?[a-z]{0,6}[0-9]?(: | )?[ -~]{0,12}\n|\\[[a-zA-Z:]{1,8}\\]\n){0,12}") {
            let once = Config::parse(Kind::Qemu, &text).print();
            prop_assert_eq!(Config::parse(Kind::Qemu, &once).print(), once);
        }
    }
}
