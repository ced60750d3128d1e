//! Who can open what through the firewalls of a simulated cluster: some packets, tried rule by rule on the text of its files. It knows
//! only what the wishes can write, stops at anything else, and shares nothing with `health::reach`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bailiwick::sim::state::Cluster;

/// Who tries: somebody of each network that rules name, of none of them, and of the nodes' own.
const SOURCES: &[&str] = &[
    "10.0.0.1",
    "10.0.0.2",
    "10.1.2.3",
    "10.2.2.3",
    "10.3.2.3",
    "10.30.0.12",
    "10.30.0.50",
    "198.51.100.7",
    "2001:db8::7",
    "2001:dead::7",
];
/// What they try.
const SERVICES: &[(&str, u16)] = &[
    ("tcp", 22),
    ("tcp", 80),
    ("tcp", 443),
    ("tcp", 8006),
    ("udp", 53),
];
/// What nodes let their own network open after all rules.
const MANAGEMENT: &[u16] = &[22, 3128, 8006];
const LOCAL_NETWORK: &str = "10.30.0.0/24";

/// One try: where from, and what.
pub type Attempt = (&'static str, &'static str, u16);

fn attempts() -> impl Iterator<Item = Attempt> {
    let sources = SOURCES.iter();
    sources.flat_map(|source| {
        let services = SERVICES.iter();
        services.map(move |(proto, port)| (*source, *proto, *port))
    })
}

/// Each attempt that gets through, by who is reached: `node/pve1`, `vm/100`.
pub type Open = BTreeMap<String, Vec<Attempt>>;

/// A file `*.fw`, section by section.
#[derive(Default)]
struct File<'a> {
    sections: BTreeMap<String, Vec<&'a str>>,
}

impl<'a> File<'a> {
    fn read(text: &'a str) -> Self {
        let mut file = Self::default();
        let mut section = String::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap().trim();
            if let Some(header) = line.strip_prefix('[') {
                section = header.trim_end_matches(']').to_ascii_lowercase();
                file.sections.entry(section.clone()).or_default();
            } else if !line.is_empty() {
                file.sections.get_mut(&section).unwrap().push(line);
            }
        }
        file
    }

    fn lines(&self, section: &str) -> &[&'a str] {
        self.sections.get(section).map_or(&[], Vec::as_slice)
    }

    fn option(&self, key: &str) -> Option<&'a str> {
        let mut lines = self.lines("options").iter();
        lines
            .find_map(|line| line.split_once(": ").filter(|(name, _)| *name == key))
            .map(|(_, value)| value)
    }

    fn alias(&self, name: &str) -> Option<&'a str> {
        let mut lines = self.lines("aliases").iter();
        lines.find_map(|line| {
            let (alias, cidr) = line.split_once(' ').unwrap();
            alias.eq_ignore_ascii_case(name).then_some(cidr.trim())
        })
    }

    fn set(&self, name: &str) -> Option<&[&'a str]> {
        let lines = self.sections.get(&format!("ipset {name}"))?;
        Some(lines)
    }
}

/// Whether a network has an address.
fn within(cidr: &str, address: IpAddr) -> bool {
    let (network, length) = cidr.split_once('/').unwrap_or((cidr, "128"));
    let length: u32 = length.parse().unwrap();
    let (network, address, width) = match (network.parse().unwrap(), address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
        _ => return false,
    };
    let rest = width - length.min(width);
    rest == 128 || network >> rest == address >> rest
}

/// Rules with the places whose names they use, the nearest first.
struct Lists<'a> {
    cluster: &'a File<'a>,
    own: Option<&'a File<'a>>,
}

impl<'a> Lists<'a> {
    fn places(&self) -> impl Iterator<Item = &'a File<'a>> {
        self.own.into_iter().chain([self.cluster])
    }

    fn alias(&self, name: &str) -> Option<&'a str> {
        self.places().find_map(|file| file.alias(name))
    }

    /// Whether a source matches; `None` if it names what is not there, and the rule is left out.
    fn source(&self, text: &str, address: IpAddr) -> Option<bool> {
        if let Some(name) = text.strip_prefix("+dc/") {
            let elements = self.cluster.set(name)?;
            return Some(self.any(elements, address));
        }
        if let Some(name) = text.strip_prefix('+') {
            let name = name.trim_start_matches("guest/");
            let elements = self.places().find_map(|file| file.set(name))?;
            return Some(self.any(elements, address));
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) || text.contains(':') {
            return Some(within(text, address));
        }
        self.alias(text).map(|cidr| within(cidr, address))
    }

    fn any(&self, elements: &[&str], address: IpAddr) -> bool {
        elements.iter().any(|element| {
            assert!(!element.starts_with('!'), "{element}");
            self.source(element, address) == Some(true)
        })
    }

    /// What the first rule that matches says.
    fn verdict(&self, rules: &[&str], attempt: Attempt) -> Option<bool> {
        rules.iter().find_map(|rule| self.rule(rule, attempt))
    }

    fn rule(&self, rule: &str, (source, proto, port): Attempt) -> Option<bool> {
        if rule.starts_with('|') {
            return None;
        }
        let mut words = rule.split_whitespace();
        let (kind, action) = (words.next().unwrap(), words.next().unwrap());
        match kind {
            "IN" => {}
            "OUT" => return None,
            "GROUP" => {
                assert_eq!(words.next(), None, "{rule}");
                let group = format!("group {action}");
                return self.verdict(self.cluster.lines(&group), (source, proto, port));
            }
            _ => panic!("{rule}"),
        }
        let address: IpAddr = source.parse().unwrap();
        let (action, mut matches) = match action.strip_prefix("SSH(") {
            Some(action) => (action.trim_end_matches(')'), (proto, port) == ("tcp", 22)),
            None => (action, true),
        };
        while let Some(switch) = words.next() {
            let value = words.next().unwrap();
            matches &= match switch {
                "-source" => self.source(value, address)?,
                "-p" => value == proto,
                "-dport" => value.parse::<u16>().unwrap() == port,
                "-log" => true,
                _ => panic!("{rule}"),
            };
        }
        matches.then(|| match action {
            "ACCEPT" => true,
            "DROP" | "REJECT" => false,
            _ => panic!("{rule}"),
        })
    }
}

fn is_on(value: Option<&str>, unset: bool) -> bool {
    value.map_or(unset, |value| value != "0")
}

/// Whether the datacenter's firewall is on and a guest's interfaces are filtered.
fn filtered(config: &BTreeMap<String, String>) -> bool {
    let mut cards = config.iter().filter(|(key, _)| key.starts_with("net"));
    cards.any(|(_, value)| value.split(',').any(|part| part == "firewall=1"))
}

/// Whether all of a guest's interfaces are filtered. Where one is not, everybody may come by it.
fn all_filtered(config: &BTreeMap<String, String>) -> bool {
    let mut cards = config.iter().filter(|(key, _)| key.starts_with("net"));
    filtered(config) && cards.all(|(_, value)| value.split(',').any(|part| part == "firewall=1"))
}

/// What gets through to each node, and to each guest whose interfaces are all filtered; to the others everything does.
pub fn open(
    cluster: &Cluster,
    nodes: &[String],
    guests: &BTreeMap<u32, (&'static str, &BTreeMap<String, String>)>,
) -> Open {
    let datacenter = File::read(cluster.files.read("firewall/cluster.fw"));
    let on = is_on(datacenter.option("enable"), false);
    let mut all = Open::new();
    for node in nodes {
        let path = format!("nodes/{node}/host.fw");
        let host = File::read(cluster.files.read(&path));
        let through = |attempt: &Attempt| {
            !(on && is_on(host.option("enable"), true)) || to_node(&datacenter, &host, *attempt)
        };
        let tried = attempts().filter(through).collect();
        all.insert(format!("node/{node}"), tried);
    }
    for (vmid, (kind, config)) in guests {
        let path = format!("firewall/{vmid}.fw");
        let own = File::read(cluster.files.read(&path));
        let filters = on && all_filtered(config) && is_on(own.option("enable"), false);
        let lists = Lists {
            cluster: &datacenter,
            own: Some(&own),
        };
        let through = |attempt: &Attempt| {
            let policy = own.option("policy_in").unwrap_or("DROP") == "ACCEPT";
            let said = lists.verdict(own.lines("rules"), *attempt);
            !filters || said.unwrap_or(policy)
        };
        let tried = attempts().filter(through).collect();
        all.insert(format!("{kind}/{vmid}"), tried);
    }
    all
}

fn to_node(datacenter: &File<'_>, host: &File<'_>, attempt: Attempt) -> bool {
    let lists = Lists {
        cluster: datacenter,
        own: None,
    };
    let rules = lists.verdict(host.lines("rules"), attempt);
    let rules = rules.or_else(|| lists.verdict(datacenter.lines("rules"), attempt));
    rules.unwrap_or_else(|| {
        let (source, proto, port) = attempt;
        let near = within(LOCAL_NETWORK, source.parse().unwrap());
        let manages = proto == "tcp" && MANAGEMENT.contains(&port) && near;
        manages || datacenter.option("policy_in").unwrap_or("DROP") == "ACCEPT"
    })
}
