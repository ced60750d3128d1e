//! A firewall's file: `[OPTIONS]`, `[ALIASES]`, `[IPSET name]`, `[RULES]`, `[group name]`.

use std::collections::BTreeMap;

/// A name for an address or network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// Its name, in lower case.
    pub name: String,
    /// The address or network.
    pub cidr: String,
    /// Empty if there is none.
    pub comment: String,
}

/// An element of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// An address, a network, or an alias.
    pub cidr: String,
    /// Whether it is an exception.
    pub nomatch: bool,
    /// Empty if there is none.
    pub comment: String,
}

/// A named set of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// Empty if there is none.
    pub comment: String,
    /// Its elements, in order.
    pub entries: Vec<Entry>,
}

/// A rule: its fields by name, `type` and `action` among them; `enable` only if it is on.
pub type Rule = BTreeMap<String, String>;

/// A security group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Empty if there is none.
    pub comment: String,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// A whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File {
    /// Options as text.
    pub options: BTreeMap<String, String>,
    /// Aliases, in order.
    pub aliases: Vec<Alias>,
    /// Sets, in order.
    pub sets: Vec<Set>,
    /// Rules, in order.
    pub rules: Vec<Rule>,
    /// Security groups, in order; only the datacenter's file has some.
    pub groups: Vec<Group>,
}

/// Fields of a rule besides type, action, macro and comment, with the switch that the file writes.
const SWITCHES: &[(&str, &str)] = &[
    ("iface", "-i"),
    ("source", "-source"),
    ("dest", "-dest"),
    ("proto", "-p"),
    ("dport", "-dport"),
    ("sport", "-sport"),
    ("log", "-log"),
    ("icmp-type", "-icmp-type"),
];

/// A line without its comment, and the comment.
fn split(line: &str) -> (&str, String) {
    match line.split_once('#') {
        Some((line, comment)) => (line.trim(), comment.trim().to_owned()),
        None => (line.trim(), String::new()),
    }
}

fn with_comment(line: String, comment: &str) -> String {
    if comment.is_empty() {
        format!("{line}\n")
    } else {
        format!("{line} # {comment}\n")
    }
}

/// Reads a line of `[RULES]` or of a group.
#[must_use]
pub fn read_rule(line: &str) -> Option<Rule> {
    let (line, comment) = split(line);
    let mut rule = Rule::new();
    let enabled = line.strip_prefix('|');
    if enabled.is_none() {
        rule.insert("enable".into(), "1".into());
    }
    let mut words = enabled.unwrap_or(line).split_whitespace();
    rule.insert("type".into(), words.next()?.to_ascii_lowercase());
    let action = words.next()?;
    match action
        .strip_suffix(')')
        .and_then(|action| action.split_once('('))
    {
        Some((name, action)) => {
            rule.insert("macro".into(), name.into());
            rule.insert("action".into(), action.into());
        }
        None => drop(rule.insert("action".into(), action.into())),
    }
    while let Some(switch) = words.next() {
        let (field, _) = SWITCHES.iter().find(|(_, known)| *known == switch)?;
        rule.insert((*field).to_owned(), words.next()?.to_owned());
    }
    if !comment.is_empty() {
        rule.insert("comment".into(), comment);
    }
    Some(rule)
}

/// Prints a rule as the file has it.
#[must_use]
pub fn print_rule(rule: &Rule) -> String {
    let get = |field: &str| rule.get(field).map_or("", String::as_str);
    let mut line = String::new();
    if !rule.contains_key("enable") {
        line.push('|');
    }
    line.push_str(&get("type").to_ascii_uppercase());
    match rule.get("macro") {
        Some(name) => line.push_str(&format!(" {name}({})", get("action"))),
        None => line.push_str(&format!(" {}", get("action"))),
    }
    for (field, switch) in SWITCHES {
        if let Some(value) = rule.get(*field) {
            line.push_str(&format!(" {switch} {value}"));
        }
    }
    with_comment(line, get("comment"))
}

/// A list of rules as text; the digest of it is the list's digest.
#[must_use]
pub fn print_rules(rules: &[Rule]) -> String {
    rules.iter().map(print_rule).collect()
}

impl Entry {
    fn print(&self) -> String {
        let mark = if self.nomatch { "!" } else { "" };
        with_comment(format!("{mark}{}", self.cidr), &self.comment)
    }
}

impl Set {
    /// The elements as text.
    #[must_use]
    pub fn print(&self) -> String {
        self.entries.iter().map(Entry::print).collect()
    }
}

impl File {
    /// Reads a file; lines that make no sense are dropped, as Proxmox VE does with a warning.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut file = Self::default();
        let mut section = String::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (plain, comment) = split(line);
            if let Some(name) = plain
                .strip_prefix('[')
                .and_then(|name| name.strip_suffix(']'))
            {
                file.open(name, comment);
                section = name.to_ascii_lowercase();
                continue;
            }
            match section
                .split_once(' ')
                .map_or(section.as_str(), |(kind, _)| kind)
            {
                "options" => {
                    if let Some((key, value)) = line.split_once(':') {
                        file.options.insert(key.trim().into(), value.trim().into());
                    }
                }
                "aliases" => {
                    if let Some((name, cidr)) = plain.split_once(' ') {
                        let (name, cidr) = (name.to_ascii_lowercase(), cidr.trim().to_owned());
                        file.aliases.push(Alias {
                            name,
                            cidr,
                            comment,
                        });
                    }
                }
                "ipset" => {
                    if let Some(set) = file.sets.last_mut() {
                        let cidr = plain.trim_start_matches('!').trim().to_owned();
                        let nomatch = plain.starts_with('!');
                        set.entries.push(Entry {
                            cidr,
                            nomatch,
                            comment,
                        });
                    }
                }
                "rules" => file.rules.extend(read_rule(line)),
                "group" => {
                    if let Some(group) = file.groups.last_mut() {
                        group.rules.extend(read_rule(line));
                    }
                }
                _ => {}
            }
        }
        file
    }

    fn open(&mut self, name: &str, comment: String) {
        match name.split_once(' ') {
            Some((kind, name)) if kind.eq_ignore_ascii_case("ipset") => self.sets.push(Set {
                name: name.to_owned(),
                comment,
                entries: vec![],
            }),
            Some((kind, name)) if kind.eq_ignore_ascii_case("group") => self.groups.push(Group {
                name: name.to_owned(),
                comment,
                rules: vec![],
            }),
            _ => {}
        }
    }

    /// Prints the file.
    #[must_use]
    pub fn print(&self) -> String {
        let mut parts = vec![];
        if !self.options.is_empty() {
            let lines: String = self
                .options
                .iter()
                .map(|(key, value)| format!("{key}: {value}\n"))
                .collect();
            parts.push(format!("[OPTIONS]\n\n{lines}"));
        }
        if !self.aliases.is_empty() {
            parts.push(format!("[ALIASES]\n\n{}", self.print_aliases()));
        }
        for set in &self.sets {
            let head = with_comment(format!("[IPSET {}]", set.name), &set.comment);
            parts.push(format!("{head}\n{}", set.print()));
        }
        if !self.rules.is_empty() {
            parts.push(format!("[RULES]\n\n{}", print_rules(&self.rules)));
        }
        for group in &self.groups {
            let head = with_comment(format!("[group {}]", group.name), &group.comment);
            parts.push(format!("{head}\n{}", print_rules(&group.rules)));
        }
        parts.join("\n")
    }

    /// The aliases as text.
    #[must_use]
    pub fn print_aliases(&self) -> String {
        let line =
            |alias: &Alias| with_comment(format!("{} {}", alias.name, alias.cidr), &alias.comment);
        self.aliases.iter().map(line).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_reads_and_prints_the_same() {
        let text = "[OPTIONS]\n\nenable: 1\n\n[ALIASES]\n\nlan 10.0.0.0/8 # all\n\n[IPSET management] # ours\n\n10.1.2.3\n!10.1.2.4 # not\n\n[RULES]\n\nGROUP web\n|IN SSH(ACCEPT) -i net0 -source +management -log info # x y\n\n[group web]\n\nIN ACCEPT -p tcp -dport 80:443\n";
        let file = File::parse(text);
        assert_eq!(file.print(), text);
        assert_eq!(file.rules.get(1).unwrap().get("macro").unwrap(), "SSH");
        assert_eq!(file.rules.get(1).unwrap().get("enable"), None);
    }
}
