//! The second, independent compiler's other half: from the same small configuration to the input of `nft`, in tables of the shape that
//! Proxmox VE's nftables backend makes. What a rule matches is left to `nft` and the kernel. It shares nothing with `health::reach`.

use std::fmt::Write as _;

use super::kernel_rules::{ALIASES, Config, Guest, Rule, mac};

/// The node's network with its address in it.
const NODE_NETWORK: &str = "10.0.0.0/24";

/// What the kernel can do on bridges. Where it cannot, the rules remember for themselves what was let through, so that answers pass; and
/// what would be rejected is noted as such and dropped.
#[derive(Debug, Clone, Copy)]
pub struct Bridges {
    /// Whether it tracks connections there.
    pub tracks: bool,
    /// Whether it rejects there.
    pub rejects: bool,
    /// Whether it knows bridges by their names; there is only one anyway.
    pub names: bool,
}

impl Bridges {
    /// Rules that only a kernel takes that can do the first, the second, and the third.
    pub const TRACKING: &str = "table bridge try { chain c { ct state established accept; }; }\n";
    pub const REJECTING: &str =
        "table bridge try { chain c { type filter hook prerouting priority 0; reject; }; }\n";
    pub const NAMING: &str =
        "table bridge try { chain c { meta ibrname . meta obrname { vmbr0 . vmbr0 } accept; }; }\n";
}

/// A table in the making.
struct Table {
    head: &'static str,
    /// Of bridges.
    bridges: Option<Bridges>,
    sets: String,
    chains: Vec<(String, String)>,
}

fn is_six(address: &str) -> bool {
    address.contains(':')
}

/// `ip` or `ip6`.
fn ip(six: bool) -> &'static str {
    if six { "ip6" } else { "ip" }
}

impl Table {
    fn new(head: &'static str, bridges: Option<Bridges>) -> Self {
        let mut table = Self {
            head,
            bridges,
            sets: String::new(),
            chains: Vec::new(),
        };
        for (name, kind) in [("4", "ipv4_addr"), ("6", "ipv6_addr")] {
            // Where rejected packets leave their sender and port, so that each is known by name: a refusal may not find its way back.
            for protocol in ["tcp", "udp"] {
                let set = format!("set rejected-{protocol}-{name}");
                let body = format!("type {kind} . inet_service; flags dynamic; size 65535;");
                writeln!(table.sets, "  {set} {{ {body} }}").unwrap();
            }
        }
        table.reject();
        table
    }

    fn add(&mut self, chain: &str, rule: &str) {
        let at = self.chains.iter().position(|(name, _)| name == chain);
        let at = at.unwrap_or_else(|| {
            self.chains.push((chain.to_owned(), String::new()));
            self.chains.len() - 1
        });
        if !rule.is_empty() {
            writeln!(self.chains[at].1, "    {rule}").unwrap();
        }
    }

    fn set(&mut self, name: &str, elements: &[String]) {
        for (version, kind) in [("4", "ipv4_addr"), ("6", "ipv6_addr")] {
            for (except, suffix) in [(false, ""), (true, "-no")] {
                let these: Vec<&str> = elements
                    .iter()
                    .filter(|element| element.starts_with('!') == except)
                    .map(|element| element.trim_start_matches('!'))
                    .filter(|address| is_six(address) == (version == "6"))
                    .collect();
                let elements = match these.as_slice() {
                    [] => String::new(),
                    these => format!("elements = {{ {} }};", these.join(", ")),
                };
                writeln!(
                    self.sets,
                    "  set {name}-{version}{suffix} {{ type {kind}; flags interval; auto-merge; {elements} }}"
                )
                .unwrap();
            }
        }
    }

    fn reject(&mut self) {
        self.add("refuse", "meta pkttype broadcast drop");
        self.add("refuse", "ip saddr 224.0.0.0/4 drop");
        for protocol in ["tcp", "udp"] {
            for (version, ip) in [("4", "ip"), ("6", "ip6")] {
                let from = format!("{ip} saddr . {protocol} sport");
                self.add(
                    "refuse",
                    &format!("add @rejected-{protocol}-{version} {{ {from} }}"),
                );
            }
        }
        if self.bridges.is_none_or(|bridges| bridges.rejects) {
            self.add("refuse", "meta l4proto tcp reject with tcp reset");
            let icmp = "meta l4proto { icmp, ipv6-icmp } reject with icmpx type port-unreachable";
            self.add("refuse", icmp);
            self.add("refuse", "reject with icmp type host-prohibited");
            self.add("refuse", "reject with icmpv6 type admin-prohibited");
        }
        self.add("refuse", "drop");
        self.add(
            "vital",
            "icmp type { destination-unreachable, source-quench, time-exceeded } accept",
        );
        self.add(
            "vital",
            "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept",
        );
    }

    /// What is let through is remembered, so that its answers pass.
    fn remember(&mut self) {
        for (hook, chain) in [("prerouting", "sent"), ("postrouting", "delivered")] {
            let base = format!("type filter hook {hook} priority 10; policy accept;");
            self.add(chain, &base);
        }
        for (version, kind, ip) in [("4", "ipv4_addr", "ip"), ("6", "ipv6_addr", "ip6")] {
            let kind = format!("{kind} . {kind} . inet_proto . inet_service . inet_service");
            let set = format!("flows-{version}");
            let body = format!("type {kind}; flags dynamic; size 65535;");
            writeln!(self.sets, "  set {set} {{ {body} }}").unwrap();
            let with_ports = "meta l4proto { tcp, udp }";
            let flow = format!("{ip} saddr . {ip} daddr . meta l4proto . th sport . th dport");
            let back = format!("{ip} daddr . {ip} saddr . meta l4proto . th dport . th sport");
            for chain in ["sent", "delivered"] {
                self.add(chain, &format!("{with_ports} add @{set} {{ {flow} }}"));
            }
            self.add("answers", &format!("{with_ports} {back} @{set} accept"));
        }
    }

    fn text(&self) -> String {
        let mut text = format!("table {} {{\n{}", self.head, self.sets);
        for (name, rules) in &self.chains {
            writeln!(text, "  chain {name} {{\n{rules}  }}").unwrap();
        }
        text + "}\n"
    }
}

/// Where a rule stands.
#[derive(Clone, Copy)]
struct At<'a> {
    direction: &'static str,
    /// Whether it is in the bridges' table.
    bridge: bool,
    guest: Option<(u32, &'a Guest)>,
}

impl At<'_> {
    fn verdict(&self, action: &str) -> &'static str {
        match action {
            "ACCEPT" => "accept",
            "DROP" => "drop",
            _ if self.bridge && self.direction == "IN" => "drop",
            _ => "jump refuse",
        }
    }

    fn iface(&self, iface: &str) -> String {
        match (self.guest, self.direction) {
            (Some((vmid, guest)), direction) => {
                let start = if guest.container { "veth" } else { "tap" };
                let key = if direction == "IN" {
                    "oifname"
                } else {
                    "iifname"
                };
                format!(
                    "{key} \"{start}{vmid}i{}\" ",
                    iface.trim_start_matches("net")
                )
            }
            (None, "IN") => format!("iifname \"{iface}\" "),
            (None, _) => format!("oifname \"{iface}\" "),
        }
    }
}

/// One rule for both versions grows here: what it says so far, and the version it is for.
#[derive(Clone, Default)]
struct Growing {
    six: Option<bool>,
    text: String,
}

fn peer(growing: &Growing, peer: &str, side: &str) -> Vec<Growing> {
    let with = |six: bool, what: String| Growing {
        six: Some(six),
        text: format!("{}{what} ", growing.text),
    };
    let versions: Vec<bool> = match growing.six {
        Some(six) => vec![six],
        None => vec![false, true],
    };
    if let Some(name) = peer.strip_prefix('+') {
        let of = |six: bool| {
            let (ip, version) = (ip(six), if six { "6" } else { "4" });
            let set = format!("{ip} {side} @{name}-{version} {ip} {side} != @{name}-{version}-no");
            with(six, set)
        };
        return versions.into_iter().map(of).collect();
    }
    let alias = ALIASES.iter().find(|(name, _)| *name == peer);
    let addresses = alias.map_or(peer, |(_, cidr)| cidr);
    let six = is_six(addresses);
    if !versions.contains(&six) {
        return vec![growing.clone()];
    }
    vec![with(six, format!("{} {side} {{ {addresses} }}", ip(six)))]
}

fn ports(side: &str, ports: Option<&str>) -> String {
    let list = ports.map(|ports| ports.replace(':', "-"));
    list.map_or_else(String::new, |list| format!("th {side} {{ {list} }} "))
}

fn rule(table: &mut Table, chain: &str, rule: &Rule, at: At<'_>) {
    if rule.off {
        return;
    }
    let iface = rule.iface.map(|iface| at.iface(iface)).unwrap_or_default();
    if rule.kind == "GROUP" {
        let jump = format!("{iface}jump group-{}-{}", rule.action, at.direction);
        table.add(chain, &jump);
        return;
    }
    if rule.kind != at.direction {
        return;
    }
    let mut start = iface;
    if let Some(proto) = rule.proto {
        write!(start, "meta l4proto {proto} ").unwrap();
        start += &(ports("sport", rule.sport) + &ports("dport", rule.dport));
    }
    let parts: &[(&str, &str)] = match rule.macro_name {
        None => &[],
        Some("SSH") => &[("tcp", "22")],
        Some("Web") => &[("tcp", "80"), ("tcp", "443")],
        Some("DNS") => &[("udp", "53"), ("tcp", "53")],
        Some("PostgreSQL") => &[("tcp", "5432")],
        Some(other) => unreachable!("{other}"),
    };
    let starts: Vec<String> = if parts.is_empty() {
        vec![start]
    } else {
        let with =
            |(proto, port): &(&str, &str)| format!("{start}meta l4proto {proto} th dport {port} ");
        parts.iter().map(with).collect()
    };
    for start in starts {
        let mut all = vec![Growing {
            six: None,
            text: start,
        }];
        for (who, side) in [(rule.source, "saddr"), (rule.dest, "daddr")] {
            if let Some(who) = who {
                all = all.iter().flat_map(|one| peer(one, who, side)).collect();
            }
        }
        for one in all {
            table.add(chain, &format!("{}{}", one.text, at.verdict(rule.action)));
        }
    }
}

impl Config {
    /// Input of `nft -f`: both tables, the old ones gone.
    pub fn nft(&self, bridges: Bridges) -> String {
        let mut text = String::from("flush ruleset\n");
        if self.host_enabled {
            text += &self.node_table().text();
        }
        if self.vnet.is_some() || self.guests.iter().any(|(_, guest)| guest.enabled) {
            text += &self.guests_table(bridges).text();
        }
        text
    }

    fn shared(&self, table: &mut Table, bridge: bool) {
        let owned =
            |elements: &[&str]| elements.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>();
        let mut management = vec![self.local_network.unwrap_or(NODE_NETWORK).to_owned()];
        for (name, elements) in &self.sets {
            if *name == "management" {
                management.extend(owned(elements));
            } else {
                table.set(name, &owned(elements));
            }
        }
        table.set("management", &management);
        for (name, rules) in &self.groups {
            for direction in ["IN", "OUT", "FORWARD"] {
                let chain = format!("group-{name}-{direction}");
                table.add(&chain, "");
                let at = At {
                    direction,
                    bridge,
                    guest: None,
                };
                for one in rules {
                    rule(table, &chain, one, at);
                }
            }
        }
    }

    fn node_table(&self) -> Table {
        let mut table = Table::new("inet node", None);
        self.shared(&mut table, false);
        let invalid = "ct state vmap { invalid : drop, established : accept, related : accept }";
        if self.vnet.is_some() {
            table.add("vnet", invalid);
            self.vnet_rules(&mut table, false);
            for (chain, hook, key) in [
                ("by-vnet", "input priority -1", "iifname"),
                ("to-vnet", "output priority 1", "oifname"),
            ] {
                let base = format!("type filter hook {hook}; policy accept;");
                table.add(chain, &base);
                table.add(chain, &format!("{key} vmap {{ \"vmbr0\" : jump vnet }}"));
            }
        }
        for (version, ip) in [("4", "ip"), ("6", "ip6")] {
            let set = format!("management-{version}");
            let from = format!("{ip} saddr @{set} {ip} saddr != @{set}-no accept");
            table.add("managers", &from);
        }
        table.add("smurfs", "ip saddr 0.0.0.0/32 return");
        table.add("smurfs", "meta pkttype broadcast drop");
        table.add("smurfs", "ip saddr 224.0.0.0/4 drop");
        for rule in [
            "iifname \"lo\" accept",
            "jump vital",
            invalid,
            "meta l4proto igmp accept",
            "tcp dport { 8006, 5900-5999, 3128, 22 } jump managers",
            "udp dport 5405-5412 accept",
            "udp dport { 135, 137-139, 445 } goto refuse",
            "udp sport 137 udp dport 1024-65535 goto refuse",
            "tcp dport { 135, 139, 445 } goto refuse",
            "udp dport 1900 drop",
            "udp sport 53 drop",
        ] {
            table.add("first-IN", rule);
        }
        for rule in ["oifname \"lo\" accept", "jump vital", invalid] {
            table.add("first-OUT", rule);
        }
        for (direction, types) in [("IN", "133-137"), ("OUT", "{ 133, 135, 136 }")] {
            table.add(
                &format!("options-{direction}"),
                &format!("icmpv6 type {types} accept"),
            );
        }
        if self.nosmurfs {
            table.add("options-IN", "jump smurfs");
        }
        for (direction, policy) in [
            ("IN", self.policy_in.unwrap_or("DROP")),
            ("OUT", self.policy_out.unwrap_or("ACCEPT")),
        ] {
            let at = At {
                direction,
                bridge: false,
                guest: None,
            };
            for (list, rules) in [("host", &self.host), ("cluster", &self.cluster)] {
                let chain = format!("{list}-{direction}");
                table.add(&chain, "");
                for one in rules {
                    rule(&mut table, &chain, one, at);
                }
            }
            table.add(&format!("cluster-{direction}"), at.verdict(policy));
            let (chain, hook) = match direction {
                "IN" => ("to-node", "input"),
                _ => ("from-node", "output"),
            };
            let base = format!("type filter hook {hook} priority filter; policy accept;");
            table.add(chain, &base);
            for part in ["first", "options", "host", "cluster"] {
                table.add(chain, &format!("jump {part}-{direction}"));
            }
        }
        table
    }

    fn guests_table(&self, bridges: Bridges) -> Table {
        let mut table = Table::new("bridge guests", Some(bridges));
        if !bridges.tracks {
            table.remember();
        }
        self.shared(&mut table, true);
        if self.vnet.is_some() {
            table.add("vnet", "meta protocol arp accept");
            let answers = if bridges.tracks {
                "ct state vmap { established : accept, related : accept, invalid : drop }"
            } else {
                "jump answers"
            };
            table.add("vnet", answers);
            self.vnet_rules(&mut table, true);
            let base = "type filter hook forward priority 0; policy accept;";
            table.add("on-bridges", base);
            let by_name = "meta ibrname . meta obrname vmap { \"vmbr0\" . \"vmbr0\" : jump vnet }";
            let jump = if bridges.names { by_name } else { "jump vnet" };
            table.add("on-bridges", jump);
        }
        let mut maps = [String::new(), String::new()];
        for (vmid, guest) in self.guests.iter().filter(|(_, guest)| guest.enabled) {
            let start = if guest.container { "veth" } else { "tap" };
            let port = format!("{start}{vmid}i0");
            if guest.ipfilter {
                let elements = guest.filter.as_ref().map_or_else(
                    || {
                        let low = 0x100 * (vmid / 100) + vmid % 100;
                        let mut own = vec![format!("fe80::be24:11ff:fe00:{low:x}")];
                        own.extend(guest.container.then(|| format!("10.0.0.{vmid}")));
                        own
                    },
                    |all| all.iter().map(|e| (*e).to_owned()).collect(),
                );
                table.set(&format!("filter{vmid}"), &elements);
            }
            for (direction, map) in ["IN", "OUT"].into_iter().zip(&mut maps) {
                let chain = format!("guest{vmid}-{direction}");
                self.guest_chain(&mut table, &chain, *vmid, guest, direction, &port);
                write!(map, "\"{port}\" : goto {chain}, ").unwrap();
            }
        }
        let [inward, outward] = maps;
        for (chain, hook, key, map) in [
            ("from-guests", "prerouting", "iifname", outward),
            ("to-guests", "postrouting", "oifname", inward),
        ] {
            table.add(
                chain,
                &format!("type filter hook {hook} priority 0; policy accept;"),
            );
            table.add(chain, "jump vital");
            if !map.is_empty() {
                table.add(chain, &format!("{key} vmap {{ {map} }}"));
            }
        }
        table
    }

    fn vnet_rules(&self, table: &mut Table, bridge: bool) {
        let Some((policy, rules)) = &self.vnet else {
            return;
        };
        let at = At {
            direction: "FORWARD",
            bridge,
            guest: None,
        };
        for one in rules {
            rule(table, "vnet", one, at);
        }
        table.add("vnet", at.verdict(policy));
    }

    fn guest_chain(
        &self,
        table: &mut Table,
        chain: &str,
        vmid: u32,
        guest: &Guest,
        direction: &'static str,
        port: &str,
    ) {
        let invalid = if self.host_enabled {
            "drop"
        } else {
            "continue"
        };
        if table.bridges.is_some_and(|bridges| bridges.tracks) {
            let states = format!("established : accept, related : accept, invalid : {invalid}");
            table.add(
                chain,
                &format!("meta protocol != arp ct state vmap {{ {states} }}"),
            );
        } else {
            table.add(chain, "jump answers");
        }
        if direction == "IN" {
            table.add(chain, "meta protocol arp accept");
        } else {
            if guest.ipfilter {
                for (version, ip) in [("4", "ip"), ("6", "ip6")] {
                    let set = format!("filter{vmid}-{version}");
                    table.add(chain, &format!("iifname {port} {ip} saddr != @{set} drop"));
                    table.add(chain, &format!("iifname {port} {ip} saddr @{set}-no drop"));
                }
            }
            if guest.macfilter {
                let own = mac(vmid);
                table.add(
                    chain,
                    &format!("iifname . ether saddr != {{ \"{port}\" . {own} }} drop"),
                );
            }
        }
        let (dhcp, ndp) = match direction {
            "IN" => ("67 . 68, 547 . 546", "133-137"),
            _ => ("68 . 67, 546 . 547", "{ 133, 135, 136 }"),
        };
        table.add(chain, &format!("udp sport . udp dport {{ {dhcp} }} accept"));
        table.add(chain, &format!("icmpv6 type {ndp} accept"));
        if direction == "OUT" {
            table.add(chain, "icmpv6 type { 134, 137 } drop");
            table.add(chain, "meta protocol arp accept");
        }
        let at = At {
            direction,
            bridge: true,
            guest: Some((vmid, guest)),
        };
        for one in &guest.rules {
            rule(table, chain, one, at);
        }
        let policy = match direction {
            "IN" => guest.policy_in.unwrap_or("DROP"),
            _ => guest.policy_out.unwrap_or("ACCEPT"),
        };
        table.add(chain, at.verdict(policy));
    }
}
