//! A reader of Proxmox VE's firewall files (`cluster.fw`, `host.fw`, `VMID.fw`) and of what else the truth set says, into the typed
//! configuration that `health::reach` evaluates. A file is read from top to bottom: what a rule refers to must stand above it.

use std::collections::BTreeMap;

use bailiwick::health::reach::{
    Action, Address, Cluster, Corosync, Entry, Environment, Guest, GuestFirewall, GuestKind, Host,
    Interface, Known, Link, Model, Network, Nic, Node, Objects, RuleText, VnetFirewall,
};
use serde_json::Value;

/// Names that the nodes of the truth set do not know.
const NO_SERVICE: &str = "nosuchservice";
const NO_MACRO: &str = "NoSuchMacro";

/// One firewall file.
#[derive(Default)]
pub struct File {
    pub options: BTreeMap<String, String>,
    pub objects: Objects,
    pub rules: Vec<Entry>,
    pub groups: BTreeMap<String, Vec<Entry>>,
}

enum Section {
    None,
    Options,
    Aliases,
    Rules,
    Group(String),
    Set(String),
}

/// `[word NAME] # comment`: the word and the name, in lower case.
fn header(line: &str) -> Option<(String, Option<String>)> {
    let rest = line.strip_prefix('[')?;
    let (inside, after) = rest.split_once(']')?;
    let after = after.trim();
    let mut words = inside.split_whitespace();
    let word = words.next()?.to_lowercase();
    let name = words.next().map(str::to_lowercase);
    let plain = words.next().is_none() && (after.is_empty() || after.starts_with('#'));
    (plain && (name.is_some() || after.is_empty())).then_some((word, name))
}

impl File {
    /// Reads a file. `shared` is the cluster's file unless this is that one.
    pub fn read(text: &str, environment: Environment, shared: Option<&File>) -> Self {
        let mut file = Self::default();
        let mut section = Section::None;
        let mut elements: Vec<(String, bool)> = Vec::new();
        let nothing = Objects::default();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some((word, name)) = header(line) {
                let cluster = environment == Environment::Cluster;
                let host = environment == Environment::Host;
                let next = match (word.as_str(), name) {
                    ("options", None) => Some(Section::Options),
                    ("aliases", None) if !host => Some(Section::Aliases),
                    ("rules", None) => Some(Section::Rules),
                    ("group", Some(name)) if cluster => {
                        file.groups.insert(name.clone(), Vec::new());
                        Some(Section::Group(name))
                    }
                    ("ipset", Some(name)) if !host => {
                        elements.clear();
                        file.objects.sets.insert(name.clone(), Vec::new());
                        Some(Section::Set(name))
                    }
                    _ => None,
                };
                if let Some(next) = next {
                    section = next;
                    continue;
                }
            }
            match &section {
                Section::None => {}
                Section::Options => {
                    if let Some((key, value)) = line.split_once(':') {
                        let key = key.trim().to_lowercase();
                        file.options.insert(key, value.trim().to_owned());
                    }
                }
                Section::Aliases => {
                    let line = line.split('#').next().unwrap().trim();
                    if let Some((name, cidr)) = line.split_once(' ') {
                        file.objects.add_alias(name, cidr.trim());
                    }
                }
                Section::Set(name) => {
                    let line = line.split('#').next().unwrap().trim();
                    let (text, nomatch) = match line.strip_prefix('!') {
                        Some(text) => (text.trim(), true),
                        None => (line, false),
                    };
                    elements.push((text.to_owned(), nomatch));
                    let shared = shared.map(|file| &file.objects);
                    file.objects.define_set(name, &elements, shared);
                }
                Section::Rules => {
                    if let Some(text) = rule(line) {
                        let objects = file.objects.clone();
                        let entry = match shared {
                            None => Entry::read(&text, environment, &objects, Some(&objects)),
                            Some(shared) => {
                                Entry::read(&text, environment, &shared.objects, Some(&objects))
                            }
                        };
                        file.rules.push(entry);
                    }
                }
                Section::Group(name) => {
                    if let Some(text) = rule(line) {
                        let entry = Entry::read(
                            &text,
                            Environment::Group,
                            shared.map_or(&file.objects, |_| &nothing),
                            None,
                        );
                        file.groups.get_mut(name).unwrap().push(entry);
                    }
                }
            }
        }
        file
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.options.get(key).map(|value| value != "0")
    }

    fn policy(&self, key: &str) -> Option<Action> {
        match self.options.get(key)?.to_uppercase().as_str() {
            "ACCEPT" => Some(Action::Accept),
            "DROP" => Some(Action::Drop),
            "REJECT" => Some(Action::Reject),
            _ => None,
        }
    }

    /// The datacenter's firewall.
    pub fn cluster(self) -> Cluster {
        Cluster {
            enable: self.flag("enable") == Some(true),
            confirming: self
                .options
                .get("enable")
                .is_some_and(|enable| enable.len() > 1),
            policy_in: self.policy("policy_in"),
            policy_out: self.policy("policy_out"),
            policy_forward: self.policy("policy_forward"),
            objects: self.objects,
            groups: self.groups,
            rules: self.rules,
        }
    }

    /// A node's firewall.
    pub fn host(self) -> Host {
        Host {
            enable: self.flag("enable"),
            ndp: self.flag("ndp"),
            nosmurfs: self.flag("nosmurfs"),
            tcpflags: self.flag("tcpflags") == Some(true),
            allow_invalid: self.flag("nf_conntrack_allow_invalid") == Some(true),
            nftables: self.flag("nftables") == Some(true),
            synflood: self.flag("protection_synflood") == Some(true),
            helpers: self.options.get("nf_conntrack_helpers").cloned(),
            rules: self.rules,
        }
    }

    /// A vnet's firewall.
    pub fn vnet(self) -> VnetFirewall {
        VnetFirewall {
            enable: self.flag("enable") == Some(true),
            policy_forward: self.policy("policy_forward"),
            rules: self.rules,
        }
    }

    /// A guest's firewall.
    pub fn guest(self) -> GuestFirewall {
        GuestFirewall {
            enable: self.flag("enable") == Some(true),
            dhcp: self.flag("dhcp"),
            ndp: self.flag("ndp"),
            radv: self.flag("radv") == Some(true),
            macfilter: self.flag("macfilter"),
            ipfilter: self.flag("ipfilter") == Some(true),
            ips: self.flag("ips") == Some(true),
            policy_in: self.policy("policy_in"),
            policy_out: self.policy("policy_out"),
            objects: self.objects,
            rules: self.rules,
        }
    }
}

/// A line of rules as the API would show it; `None` if the file's reader drops the line.
pub fn rule(line: &str) -> Option<RuleText> {
    let comment = line
        .split_once('#')
        .map(|(_, comment)| comment.trim().to_owned());
    let line = line.split('#').next()?.trim_end();
    let (enable, line) = match line.strip_prefix('|') {
        Some(line) => (false, line),
        None => (true, line),
    };
    let mut words = line.split_whitespace();
    let kind = words.next()?.to_lowercase();
    let mut action = words.next()?.to_owned();
    let mut text = RuleText {
        enable,
        comment,
        ..RuleText::default()
    };
    if kind != "group"
        && let Some((name, inner)) = action.clone().split_once('(')
        && let Some(inner) = inner.strip_suffix(')')
        && ["ACCEPT", "DROP", "REJECT"].contains(&inner)
    {
        text.macro_name = Some(name.to_owned());
        action = inner.to_owned();
    }
    while let Some(word) = words.next() {
        let name = word.trim_start_matches('-');
        let field = match (word, name) {
            ("-i", _) => &mut text.iface,
            _ if kind == "group" => return None,
            ("-p", _) | (_, "proto") => &mut text.proto,
            (_, "dport") => &mut text.dport,
            (_, "sport") => &mut text.sport,
            (_, "source") => &mut text.source,
            (_, "dest") => &mut text.dest,
            (_, "icmp-type") => &mut text.icmp_type,
            (_, "log") => {
                words.next()?;
                continue;
            }
            _ => return None,
        };
        *field = Some(words.next()?.to_owned());
    }
    if text.macro_name.as_deref() == Some(NO_MACRO) {
        text.errors.insert("macro".into(), "unknown macro".into());
    }
    for (field, ports) in [("dport", &text.dport), ("sport", &text.sport)] {
        if ports
            .as_ref()
            .is_some_and(|ports| ports.contains(NO_SERVICE))
        {
            text.errors.insert(field.into(), "invalid port".into());
        }
    }
    text.kind = kind;
    text.action = action;
    Some(text)
}

/// The cluster network as `corosync.conf` says it; `None` for an empty text.
pub fn corosync(text: &str) -> Option<Corosync> {
    if text.trim().is_empty() {
        return None;
    }
    let mut corosync = Corosync::default();
    let mut node: Option<(String, Vec<(u32, Address)>)> = None;
    for line in text.lines().map(str::trim) {
        match line.split_once(':') {
            None if line.starts_with("node ") => node = Some((String::new(), Vec::new())),
            None if line == "}" => {
                if let Some((name, addresses)) = node.take() {
                    corosync
                        .links
                        .extend(addresses.into_iter().map(|(number, address)| Link {
                            node: name.clone(),
                            number,
                            address,
                        }));
                }
            }
            Some(("transport", value)) => corosync.multicast = value.trim() == "udp",
            Some((key, value)) => {
                let Some((name, addresses)) = &mut node else {
                    continue;
                };
                if key == "name" {
                    *name = value.trim().to_owned();
                }
                let number = key
                    .strip_prefix("ring")
                    .and_then(|key| key.strip_suffix("_addr"));
                if let Some(number) = number {
                    let address = Address::parse(value.trim()).unwrap();
                    addresses.push((number.parse().unwrap(), address));
                }
            }
            None => {}
        }
    }
    Some(corosync)
}

/// A MAC address as a number.
pub fn mac(text: &str) -> u64 {
    u64::from_str_radix(&text.replace(':', ""), 16).unwrap()
}

fn nic(text: &str) -> Nic {
    let mut nic = Nic {
        readable: true,
        ..Nic::default()
    };
    for part in text.split(',') {
        let (key, value) = part.split_once('=').unwrap();
        match key {
            "firewall" => nic.firewall = value == "1",
            "bridge" => nic.bridge = value.to_owned(),
            "ip" | "ip6" => {
                let address = value.split('/').next().unwrap();
                nic.addresses.extend(Address::parse(address));
            }
            "name" | "type" | "tag" => {}
            _ => nic.mac = Some(mac(value)),
        }
    }
    nic
}

/// The configuration of one line of the truth set.
pub fn model(line: &Value) -> Model {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let cluster = File::read(&text(&line["cluster_fw"]), Environment::Cluster, None);
    let host = File::read(&text(&line["host_fw"]), Environment::Host, Some(&cluster));
    let node_name = text(&line["node"]["name"]);
    let network = Network::parse(&text(&line["node"]["local_network"])).unwrap();
    let own = |key: &str, prefix| Network {
        address: Address::parse(&text(&line["node"][key])).unwrap(),
        prefix,
    };
    let node = Node {
        firewall: Known::Read(host.host()),
        interfaces: vec![Interface {
            name: Some(text(&line["node"]["bridge"])),
            addresses: vec![own("ip", 24), own("ip6", 64)],
        }],
        local_network: Some(network),
    };
    let mut guests = BTreeMap::new();
    for (key, kind) in [("qemu", GuestKind::Vm), ("lxc", GuestKind::Ct)] {
        for (vmid, nics) in line["guests"][key].as_object().into_iter().flatten() {
            let firewall = line["guest_fw"][vmid]
                .as_str()
                .map(|text| File::read(text, Environment::Guest, Some(&cluster)).guest());
            let guest = Guest {
                kind,
                node: node_name.clone(),
                nics: nics
                    .as_object()
                    .unwrap()
                    .iter()
                    .map(|(key, value)| (key.clone(), nic(value.as_str().unwrap())))
                    .collect(),
                firewall: Known::Read(firewall),
            };
            guests.insert(vmid.parse().unwrap(), guest);
        }
    }
    Model {
        cluster: Known::Read(cluster.cluster()),
        nodes: [(node_name, node)].into(),
        guests,
        vnets: Known::Read(BTreeMap::new()),
        corosync: Known::Read(corosync(&text(&line["corosync_conf"]))),
    }
}
