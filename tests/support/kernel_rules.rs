//! A second, independent compiler for firewall tests: from a small configuration of its own straight to the input of `iptables-restore`,
//! `ip6tables-restore` and `ipset restore`, in Proxmox VE's order. What a rule matches is left to those programs and the kernel. It shares
//! nothing with `health::reach`; the same configuration goes there as the text of Proxmox VE's files.

use std::fmt::Write as _;

/// A rule in the words of Proxmox VE's files.
#[derive(Clone, Default)]
pub struct Rule {
    /// `IN`, `OUT`, `FORWARD` or `GROUP`.
    pub kind: &'static str,
    /// An action, or a group's name.
    pub action: &'static str,
    pub macro_name: Option<&'static str>,
    pub iface: Option<&'static str>,
    pub proto: Option<&'static str>,
    pub dport: Option<&'static str>,
    pub sport: Option<&'static str>,
    pub source: Option<&'static str>,
    pub dest: Option<&'static str>,
    pub off: bool,
}

#[derive(Clone, Default)]
pub struct Guest {
    pub container: bool,
    pub enabled: bool,
    pub policy_in: Option<&'static str>,
    pub policy_out: Option<&'static str>,
    pub macfilter: bool,
    pub ipfilter: bool,
    /// Elements of `ipfilter-net0`, if that set is defined.
    pub filter: Option<Vec<&'static str>>,
    pub rules: Vec<Rule>,
}

#[derive(Clone, Default)]
pub struct Config {
    /// Whether the node's backend is that of nftables.
    pub nftables: bool,
    /// The alias `local_network`, if it is defined.
    pub local_network: Option<&'static str>,
    /// The policy and the rules of the bridge as a vnet, if its firewall is on.
    pub vnet: Option<(&'static str, Vec<Rule>)>,
    pub host_enabled: bool,
    pub nosmurfs: bool,
    pub policy_in: Option<&'static str>,
    pub policy_out: Option<&'static str>,
    /// Sets by name; an element with `!` is an exception.
    pub sets: Vec<(&'static str, Vec<&'static str>)>,
    pub host: Vec<Rule>,
    pub cluster: Vec<Rule>,
    pub groups: Vec<(&'static str, Vec<Rule>)>,
    /// By VMID.
    pub guests: Vec<(u32, Guest)>,
}

/// Aliases that every configuration has.
pub const ALIASES: &[(&str, &str)] = &[("friend", "192.0.2.1"), ("six", "2001:db8::50")];
/// The node's network.
const LOCAL_NETWORK: &str = "10.0.0.0/24";

impl Rule {
    /// The rule as a line of a file.
    pub fn line(&self) -> String {
        let mut line = String::new();
        if self.off {
            line.push('|');
        }
        line += self.kind;
        match self.macro_name {
            Some(name) => write!(line, " {name}({})", self.action).unwrap(),
            None => write!(line, " {}", self.action).unwrap(),
        }
        for (switch, value) in [
            ("-i", self.iface),
            ("-p", self.proto),
            ("-dport", self.dport),
            ("-sport", self.sport),
            ("-source", self.source),
            ("-dest", self.dest),
        ] {
            if let Some(value) = value {
                write!(line, " {switch} {value}").unwrap();
            }
        }
        line
    }

    /// Whether it is for the other version only.
    fn elsewhere(&self, six: bool) -> bool {
        let of_six = |text: &str| match text {
            "friend" => Some(false),
            "six" => Some(true),
            set if set.starts_with('+') => None,
            addresses => Some(addresses.contains(':')),
        };
        [self.source, self.dest]
            .into_iter()
            .flatten()
            .filter_map(of_six)
            .any(|version| version != six)
    }
}

fn section(text: &mut String, name: &str, lines: impl IntoIterator<Item = String>) {
    writeln!(text, "[{name}]").unwrap();
    for line in lines {
        writeln!(text, "{line}").unwrap();
    }
}

fn policies(inward: Option<&str>, outward: Option<&str>) -> Vec<String> {
    let inward = inward.map(|policy| format!("policy_in: {policy}"));
    let outward = outward.map(|policy| format!("policy_out: {policy}"));
    inward.into_iter().chain(outward).collect()
}

impl Config {
    /// `cluster.fw`.
    pub fn cluster_file(&self) -> String {
        let mut text = String::new();
        let mut options = vec!["enable: 1".to_owned()];
        options.extend(policies(self.policy_in, self.policy_out));
        section(&mut text, "OPTIONS", options);
        section(
            &mut text,
            "ALIASES",
            ALIASES
                .iter()
                .copied()
                .chain(self.local_network.map(|cidr| ("local_network", cidr)))
                .map(|(name, cidr)| format!("{name} {cidr}")),
        );
        for (name, elements) in &self.sets {
            let lines = elements.iter().map(|element| (*element).to_owned());
            section(&mut text, &format!("IPSET {name}"), lines);
        }
        section(&mut text, "RULES", self.cluster.iter().map(Rule::line));
        for (name, rules) in &self.groups {
            section(
                &mut text,
                &format!("group {name}"),
                rules.iter().map(Rule::line),
            );
        }
        text
    }

    /// `host.fw`.
    pub fn host_file(&self) -> String {
        let mut text = String::new();
        let options = [
            format!("enable: {}", u8::from(self.host_enabled)),
            format!("nosmurfs: {}", u8::from(self.nosmurfs)),
            format!("nftables: {}", u8::from(self.nftables)),
        ];
        section(&mut text, "OPTIONS", options);
        section(&mut text, "RULES", self.host.iter().map(Rule::line));
        text
    }

    /// The vnet's file.
    pub fn vnet_file(&self) -> Option<String> {
        let (policy, rules) = self.vnet.as_ref()?;
        let mut text = String::new();
        let options = ["enable: 1".to_owned(), format!("policy_forward: {policy}")];
        section(&mut text, "OPTIONS", options);
        section(&mut text, "RULES", rules.iter().map(Rule::line));
        Some(text)
    }

    /// A guest's file.
    pub fn guest_file(guest: &Guest) -> String {
        let mut text = String::new();
        let mut options = vec![
            format!("enable: {}", u8::from(guest.enabled)),
            format!("macfilter: {}", u8::from(guest.macfilter)),
            format!("ipfilter: {}", u8::from(guest.ipfilter)),
        ];
        options.extend(policies(guest.policy_in, guest.policy_out));
        section(&mut text, "OPTIONS", options);
        if let Some(elements) = &guest.filter {
            let lines = elements.iter().map(|element| (*element).to_owned());
            section(&mut text, "IPSET ipfilter-net0", lines);
        }
        section(&mut text, "RULES", guest.rules.iter().map(Rule::line));
        text
    }

    /// Input of `ipset restore` for every set, of both versions; the old sets go first.
    pub fn ipsets(&self) -> String {
        let mut text = String::from("flush\ndestroy\n");
        // Where rejected packets leave their sender and port, so that each is known by name: a refusal may not find its way back.
        text += "create rejected-4 hash:ip,port family inet\n";
        text += "create rejected-6 hash:ip,port family inet6\n";
        let mut add = |name: &str, elements: &[String]| {
            for (suffix, family) in [("4", "inet"), ("6", "inet6")] {
                writeln!(text, "create {name}-{suffix} hash:net family {family}").unwrap();
                for element in elements {
                    let (address, nomatch) = match element.strip_prefix('!') {
                        Some(address) => (address, " nomatch"),
                        None => (element.as_str(), ""),
                    };
                    if address.contains(':') == (suffix == "6") {
                        writeln!(text, "add {name}-{suffix} {address}{nomatch}").unwrap();
                    }
                }
            }
        };
        let owned =
            |elements: &[&str]| elements.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>();
        let mut management = vec![LOCAL_NETWORK.to_owned()];
        for (name, elements) in &self.sets {
            if *name == "management" {
                management.extend(owned(elements));
            } else {
                add(name, &owned(elements));
            }
        }
        add("management", &management);
        for (vmid, guest) in &self.guests {
            if guest.ipfilter || guest.filter.is_some() {
                let mut elements = owned(guest.filter.as_deref().unwrap_or_default());
                // The link-local address of BC:24:11:00:VV:VV, and none of the others.
                let low = 0x100 * (vmid / 100) + vmid % 100;
                elements.push(format!("fe80::be24:11ff:fe00:{low:x}"));
                elements.push("!fe80::/10".to_owned());
                if guest.container {
                    elements.push(format!("10.0.0.{vmid}"));
                }
                add(&format!("filter{vmid}"), &elements);
            }
        }
        text
    }

    fn set(&self, name: &str) -> bool {
        self.sets.iter().any(|(known, _)| *known == name)
    }

    /// Input of `iptables-restore` or `ip6tables-restore`: the whole filter table.
    pub fn tables(&self, six: bool) -> String {
        let mut tables = Tables {
            six,
            chains: vec![],
            rules: vec![],
        };
        for name in [
            "HIN", "HOUT", "FBIN", "FBOUT", "REJ", "DR", "RJ", "BC", "MARKED", "SMURF",
        ] {
            tables.chains.push(name.to_owned());
        }
        tables.standard();
        for (name, rules) in &self.groups {
            self.group(&mut tables, name, rules);
        }
        self.hooks(&mut tables);
        if self.host_enabled {
            self.host(&mut tables);
        }
        for (vmid, guest) in &self.guests {
            if guest.enabled {
                self.guest(&mut tables, *vmid, guest);
            }
        }
        tables.text()
    }

    fn hooks(&self, tables: &mut Tables) {
        tables.add("FORWARD", "-m conntrack --ctstate INVALID -j DROP");
        tables.add(
            "FORWARD",
            "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        );
        self.input_filters(tables, "FBIN");
        let bridged = "-m physdev --physdev-is-bridged";
        tables.add("FORWARD", &format!("{bridged} --physdev-in fwln+ -j FBIN"));
        tables.add(
            "FORWARD",
            &format!("{bridged} --physdev-out fwln+ -j FBOUT"),
        );
        tables.add("INPUT", "-j HIN");
        tables.add("OUTPUT", "-j HOUT");
    }

    fn input_filters(&self, tables: &mut Tables, chain: &str) {
        if self.set("blacklist") {
            let set = tables.set("blacklist");
            tables.add(chain, &format!("-m set --match-set {set} src -j DROP"));
        }
        if self.nosmurfs && !tables.six {
            tables.add(chain, "-m conntrack --ctstate INVALID,NEW -j SMURF");
        }
    }

    fn group(&self, tables: &mut Tables, name: &str, rules: &[Rule]) {
        for direction in ["IN", "OUT"] {
            let chain = format!("G-{name}-{direction}");
            tables.chains.push(chain.clone());
            tables.add(&chain, "-j MARK --set-mark 0x0/0x80000000");
            for rule in rules.iter().filter(|rule| rule.kind == direction) {
                tables.rule(&chain, rule, None, "-g MARKED");
            }
        }
    }

    fn host(&self, tables: &mut Tables) {
        for (chain, direction, way, policy) in [
            ("HIN", "IN", "-i", self.policy_in.unwrap_or("DROP")),
            ("HOUT", "OUT", "-o", self.policy_out.unwrap_or("ACCEPT")),
        ] {
            tables.add(chain, &format!("{way} lo -j ACCEPT"));
            tables.add(chain, "-m conntrack --ctstate INVALID -j DROP");
            tables.add(
                chain,
                "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            );
            if direction == "IN" {
                self.input_filters(tables, chain);
            }
            for rule in self.host.iter().chain(&self.cluster) {
                let iface = rule.iface.map(|iface| format!("{way} {iface} "));
                if rule.kind == "GROUP" {
                    if !rule.off {
                        let iface = iface.unwrap_or_default();
                        tables.add(chain, &format!("{iface}-j G-{}-{direction}", rule.action));
                        tables.add(chain, "-m mark --mark 0x80000000/0x80000000 -j RETURN");
                    }
                } else if rule.kind == direction {
                    tables.rule(chain, rule, iface.as_deref(), "-j RETURN");
                }
            }
            for ports in ["8006", "5900:5999", "3128", "22", "60000:60050"] {
                if direction == "IN" {
                    let set = tables.set("management");
                    let from = format!("-m set --match-set {set} src");
                    tables.add(chain, &format!("{from} -p tcp --dport {ports} -j RETURN"));
                } else if !tables.six && ports != "60000:60050" {
                    let to = format!("-d {LOCAL_NETWORK}");
                    tables.add(chain, &format!("{to} -p tcp --dport {ports} -j RETURN"));
                }
            }
            tables.policy(chain, policy, "-j RETURN");
        }
    }

    fn guest(&self, tables: &mut Tables, vmid: u32, guest: &Guest) {
        let port = if guest.container {
            format!("veth{vmid}i0")
        } else {
            format!("tap{vmid}i0")
        };
        for (direction, policy, accept, accept_group) in [
            (
                "IN",
                guest.policy_in.unwrap_or("DROP"),
                "-j ACCEPT",
                "-j ACCEPT",
            ),
            (
                "OUT",
                guest.policy_out.unwrap_or("ACCEPT"),
                "-g MARKED",
                "-j RETURN",
            ),
        ] {
            let chain = format!("{port}-{direction}");
            tables.chains.push(chain.clone());
            if direction == "OUT" {
                if guest.macfilter {
                    let mac = mac(vmid);
                    tables.add(&chain, &format!("-m mac ! --mac-source {mac} -j DROP"));
                }
                if guest.ipfilter || guest.filter.is_some() {
                    let set = tables.set(&format!("filter{vmid}"));
                    tables.add(&chain, &format!("-m set ! --match-set {set} src -j DROP"));
                }
                tables.add(&chain, "-j MARK --set-mark 0x0/0x80000000");
            }
            for rule in &guest.rules {
                if rule.off || rule.iface.is_some_and(|iface| iface != "net0") {
                    continue;
                }
                if rule.kind == "GROUP" {
                    tables.add(&chain, &format!("-j G-{}-{direction}", rule.action));
                    let marked = "-m mark --mark 0x80000000/0x80000000";
                    tables.add(&chain, &format!("{marked} {accept_group}"));
                } else if rule.kind == direction {
                    tables.rule(&chain, rule, None, accept);
                }
            }
            tables.policy(&chain, policy, accept);
            let (hook, side) = match direction {
                "IN" => ("FBIN", "out"),
                _ => ("FBOUT", "in"),
            };
            tables.add(
                hook,
                &format!("-m physdev --physdev-is-bridged --physdev-{side} {port} -j {chain}"),
            );
        }
    }
}

/// The MAC address of a guest's interface.
pub fn mac(vmid: u32) -> String {
    format!("BC:24:11:00:{:02}:{:02}", vmid / 100, vmid % 100)
}

struct Tables {
    six: bool,
    chains: Vec<String>,
    rules: Vec<String>,
}

impl Tables {
    fn add(&mut self, chain: &str, rule: &str) {
        self.rules.push(format!("-A {chain} {rule}"));
    }

    fn set(&self, name: &str) -> String {
        format!("{name}-{}", if self.six { 6 } else { 4 })
    }

    fn text(&self) -> String {
        let mut text = String::from("*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n");
        for chain in &self.chains {
            writeln!(text, ":{chain} -").unwrap();
        }
        for rule in &self.rules {
            writeln!(text, "{rule}").unwrap();
        }
        text + "COMMIT\n"
    }

    fn standard(&mut self) {
        self.add("MARKED", "-j MARK --set-mark 0x80000000/0x80000000");
        if self.six {
            self.add("BC", "-d ff00::/8 -j DROP");
            self.add("REJ", "-p icmpv6 -j DROP");
            self.add("REJ", "-p tcp -j SET --add-set rejected-6 src,src");
            self.add("REJ", "-p udp -j SET --add-set rejected-6 src,src");
            self.add("REJ", "-p tcp -j REJECT --reject-with tcp-reset");
            self.add(
                "REJ",
                "-p udp -j REJECT --reject-with icmp6-port-unreachable",
            );
            self.add("REJ", "-j REJECT --reject-with icmp6-adm-prohibited");
        } else {
            for kind in ["BROADCAST", "MULTICAST", "ANYCAST"] {
                self.add("BC", &format!("-m addrtype --dst-type {kind} -j DROP"));
            }
            self.add("BC", "-d 224.0.0.0/4 -j DROP");
            self.add("REJ", "-m addrtype --dst-type BROADCAST -j DROP");
            self.add("REJ", "-s 224.0.0.0/4 -j DROP");
            self.add("REJ", "-p icmp -j DROP");
            self.add("REJ", "-p tcp -j SET --add-set rejected-4 src,src");
            self.add("REJ", "-p udp -j SET --add-set rejected-4 src,src");
            self.add("REJ", "-p tcp -j REJECT --reject-with tcp-reset");
            self.add(
                "REJ",
                "-p udp -j REJECT --reject-with icmp-port-unreachable",
            );
            self.add("REJ", "-j REJECT --reject-with icmp-host-prohibited");
            self.add("SMURF", "-s 0.0.0.0/32 -j RETURN");
            self.add("SMURF", "-m addrtype --src-type BROADCAST -j DROP");
            self.add("SMURF", "-s 224.0.0.0/4 -j DROP");
        }
        for (chain, refuse) in [("DR", "DROP"), ("RJ", "REJ")] {
            if self.six {
                self.add(chain, "-p tcp --dport 43 -j REJ");
            }
            self.add(chain, "-j BC");
            self.add(chain, "-m conntrack --ctstate INVALID -j DROP");
            self.add(
                chain,
                &format!("-p udp -m multiport --dports 135,445 -j {refuse}"),
            );
            self.add(chain, &format!("-p udp --dport 137:139 -j {refuse}"));
            self.add(
                chain,
                &format!("-p udp --sport 137 --dport 1024:65535 -j {refuse}"),
            );
            self.add(
                chain,
                &format!("-p tcp -m multiport --dports 135,139,445 -j {refuse}"),
            );
            self.add(chain, "-p udp --dport 1900 -j DROP");
            self.add(chain, "-p udp --sport 53 -j DROP");
        }
    }

    fn policy(&mut self, chain: &str, policy: &str, accept: &str) {
        match policy {
            "ACCEPT" => self.add(chain, accept),
            "DROP" => {
                self.add(chain, "-j DR");
                self.add(chain, "-j DROP");
            }
            _ => {
                self.add(chain, "-j RJ");
                self.add(chain, "-g REJ");
            }
        }
    }

    fn rule(&mut self, chain: &str, rule: &Rule, iface: Option<&str>, accept: &str) {
        if rule.off || rule.elsewhere(self.six) {
            return;
        }
        let target = match rule.action {
            "ACCEPT" => accept,
            "DROP" => "-j DROP",
            _ => "-j REJ",
        };
        let traffic: Vec<(Option<&str>, Option<&str>)> = match rule.macro_name {
            None => vec![(rule.proto, rule.dport)],
            Some("SSH") => vec![(Some("tcp"), Some("22"))],
            Some("Web") => vec![(Some("tcp"), Some("80")), (Some("tcp"), Some("443"))],
            Some("DNS") => vec![(Some("udp"), Some("53")), (Some("tcp"), Some("53"))],
            Some("PostgreSQL") => vec![(Some("tcp"), Some("5432"))],
            Some(other) => unreachable!("{other}"),
        };
        for (proto, dport) in traffic {
            let mut text = iface.unwrap_or_default().to_owned();
            for (peer, short, side) in [(rule.source, "-s", "src"), (rule.dest, "-d", "dst")] {
                let Some(peer) = peer else { continue };
                let alias = ALIASES.iter().find(|(name, _)| *name == peer);
                if let Some(name) = peer.strip_prefix('+') {
                    let set = self.set(name);
                    write!(text, "-m set --match-set {set} {side} ").unwrap();
                } else if let Some((_, cidr)) = alias {
                    write!(text, "{short} {cidr} ").unwrap();
                } else if peer.contains('-') {
                    write!(text, "-m iprange --{side}-range {peer} ").unwrap();
                } else {
                    write!(text, "{short} {peer} ").unwrap();
                }
            }
            if let Some(proto) = proto {
                write!(text, "-p {proto} ").unwrap();
            }
            // The programs understand single ports only before lists, and a list of source ports only after one of destinations.
            for lists in [false, true] {
                for (ports, one, many) in [
                    (dport, "--dport", "--dports"),
                    (rule.sport, "--sport", "--sports"),
                ] {
                    match ports {
                        Some(ports) if ports.contains(',') != lists => {}
                        Some(ports) if lists => {
                            write!(text, "-m multiport {many} {ports} ").unwrap()
                        }
                        Some(ports) => write!(text, "{one} {ports} ").unwrap(),
                        None => {}
                    }
                }
            }
            self.add(chain, &format!("{text}{target}"));
        }
    }
}
