//! A small cluster for firewall tests: one node `pve1` (10.0.0.11, 2001:db8::11, bridge vmbr0), guests with one interface each, all
//! configurations as Proxmox VE's files.

use std::collections::BTreeMap;

use bailiwick::health::reach::{
    Address, Compiled, End, Environment, Family, Guest, GuestKind, Interface, Known, Model,
    Network, Nic, Node, Outcome, Packet, Verdict, Way, protocol,
};

use super::fw_file::{self, File};

/// The cluster, still to be compiled.
pub struct Lab {
    cluster: String,
    pub model: Model,
}

pub fn address(text: &str) -> u128 {
    Address::parse(text).unwrap().value
}

pub fn outside() -> End {
    End::Outside
}

fn packet_from(source: &str, protocol: u8, port: u16) -> Packet {
    let source = Address::parse(source).unwrap();
    let dest = match source.family {
        Family::V4 => "10.0.0.11",
        Family::V6 => "2001:db8::11",
    };
    Packet {
        family: source.family,
        protocol,
        source: source.value,
        dest: address(dest),
        port,
        source_port: 40_000,
        mac: None,
    }
}

pub fn tcp(source: &str, port: u16) -> Packet {
    packet_from(source, 6, port)
}

pub fn tcp6(source: &str, port: u16) -> Packet {
    packet_from(source, 6, port)
}

pub fn udp(source: &str, port: u16) -> Packet {
    packet_from(source, 17, port)
}

/// A message of ICMP, of the version of the address.
pub fn icmp(source: &str, kind: u16) -> Packet {
    let number = if source.contains(':') { 58 } else { 1 };
    Packet {
        source_port: 0,
        ..packet_from(source, number, kind << 8)
    }
}

impl Lab {
    pub fn new(cluster: &str, host: &str) -> Self {
        let shared = File::read(cluster, Environment::Cluster, None);
        let host = File::read(host, Environment::Host, Some(&shared)).host();
        let node = Node {
            firewall: Known::Read(host),
            interfaces: vec![Interface {
                name: Some("vmbr0".into()),
                addresses: vec![
                    Network::parse("10.0.0.11/24").unwrap(),
                    Network::parse("2001:db8::11/64").unwrap(),
                ],
            }],
            local_network: Network::parse("10.0.0.0/24"),
        };
        Self {
            cluster: cluster.to_owned(),
            model: Model {
                cluster: Known::Read(shared.cluster()),
                nodes: [("pve1".to_owned(), node)].into(),
                guests: BTreeMap::new(),
                vnets: Known::Read(BTreeMap::new()),
                corosync: Known::Read(None),
            },
        }
    }

    pub fn corosync(mut self, text: &str) -> Self {
        self.model.corosync = Known::Read(fw_file::corosync(text));
        self
    }

    fn guest(mut self, vmid: u32, kind: GuestKind, firewall: &str, nic: Nic) -> Self {
        let shared = File::read(&self.cluster, Environment::Cluster, None);
        let own = File::read(firewall, Environment::Guest, Some(&shared)).guest();
        let guest = Guest {
            kind,
            node: "pve1".into(),
            nics: [("net0".to_owned(), nic)].into(),
            firewall: Known::Read(Some(own)),
        };
        self.model.guests.insert(vmid, guest);
        self
    }

    pub fn vm(self, vmid: u32, firewall: &str) -> Self {
        self.guest(vmid, GuestKind::Vm, firewall, nic(vmid, true))
    }

    /// A vnet with a firewall, and machines on it.
    pub fn vnet(mut self, name: &str, firewall: &str, vmids: &[u32]) -> Self {
        let shared = File::read(&self.cluster, Environment::Cluster, None);
        let own = File::read(firewall, Environment::Vnet, Some(&shared)).vnet();
        if let Known::Read(vnets) = &mut self.model.vnets {
            vnets.insert(name.to_owned(), Known::Read(own));
        }
        for vmid in vmids {
            let guest = self.model.guests.get_mut(vmid).unwrap();
            guest.nics.get_mut("net0").unwrap().bridge = name.to_owned();
        }
        self
    }

    pub fn vm_without_firewall(self, vmid: u32, firewall: &str) -> Self {
        self.guest(vmid, GuestKind::Vm, firewall, nic(vmid, false))
    }

    /// A container; `addresses` as in its `net0`.
    pub fn ct(self, vmid: u32, firewall: &str, addresses: &str) -> Self {
        let mut own = nic(vmid, true);
        own.addresses = addresses
            .split(',')
            .filter_map(|part| part.split_once('=')?.1.split('/').next())
            .filter_map(Address::parse)
            .collect();
        self.guest(vmid, GuestKind::Ct, firewall, own)
    }

    pub fn compiled(&self) -> Compiled {
        Compiled::new(&self.model)
    }

    pub fn node(&self) -> End {
        End::Node {
            name: "pve1".into(),
            iface: Some("vmbr0".into()),
        }
    }

    pub fn nic(&self, vmid: u32) -> End {
        End::Nic {
            vmid,
            key: "net0".into(),
        }
    }

    pub fn way(&self, from: &End, to: &End) -> Way {
        Way {
            from: from.clone(),
            to: to.clone(),
        }
    }

    pub fn verdict(&self, from: &End, to: &End, packet: &Packet) -> Verdict {
        self.compiled()
            .verdict(&self.way(from, to), packet)
            .unwrap()
    }

    pub fn to_node(&self, packet: Packet) -> Outcome {
        self.verdict(&outside(), &self.node(), &packet).outcome
    }

    pub fn out_of_node(&self, packet: Packet) -> Outcome {
        self.verdict(&self.node(), &outside(), &packet).outcome
    }

    pub fn to(&self, vmid: u32, packet: Packet) -> Outcome {
        self.verdict(&outside(), &self.nic(vmid), &packet).outcome
    }

    pub fn out_of(&self, vmid: u32, packet: Packet) -> Outcome {
        self.verdict(&self.nic(vmid), &outside(), &packet).outcome
    }
}

/// A guest's interface; the MAC address ends in the VMID's digits.
fn nic(vmid: u32, firewall: bool) -> Nic {
    Nic {
        firewall,
        mac: Some(fw_file::mac(&format!(
            "BC:24:11:00:{:02}:{:02}",
            vmid / 100 % 100,
            vmid % 100
        ))),
        bridge: "vmbr0".into(),
        addresses: Vec::new(),
        readable: true,
    }
}

/// Numbers by chance, the same each time.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

const PEERS: &[&str] = &[
    "10.0.0.0/24",
    "10.0.0.100",
    "10.0.0.101",
    "192.0.2.1",
    "192.0.2.0/28",
    "192.0.2.10-192.0.2.20",
    "192.0.2.1,198.51.100.0/24",
    "+some",
    "friend",
    "2001:db8::/48",
    "2001:db8::100",
    "six",
];
const PORTS: &[&str] = &["22", "80", "443", "8006", "53", "80:443", "22,80,8000:8100"];
const MACROS: &[&str] = &[
    "SSH", "HTTP", "Web", "Ping", "DNS", "SMB", "GRE", "Brandnew",
];

fn random_rule(chance: &mut Chance, group: bool) -> String {
    if !group && chance.one_in(6) {
        let name = *chance.of(&["web", "db", "Web"]);
        let iface = *chance.of(&["", "", " -i vmbr0", " -i eth0", " -i net0"]);
        return format!("GROUP {name}{iface}");
    }
    let direction = *chance.of(&["IN", "IN", "OUT"]);
    let action = *chance.of(&["ACCEPT", "ACCEPT", "DROP", "REJECT"]);
    let mut line = if chance.one_in(4) {
        let name = *chance.of(MACROS);
        format!("{direction} {name}({action})")
    } else {
        let proto = *chance.of(&[
            "",
            " -p tcp",
            " -p tcp",
            " -p udp",
            " -p icmp",
            " -p icmpv6",
        ]);
        let mut line = format!("{direction} {action}{proto}");
        if proto.contains("tcp") || proto.contains("udp") {
            if !chance.one_in(3) {
                line += &format!(" -dport {}", chance.of(PORTS));
            }
            if chance.one_in(6) {
                line += &format!(" -sport {}", chance.of(PORTS));
            }
        } else if proto.contains("icmp") && chance.one_in(2) {
            line += " -icmp-type echo-request";
        }
        line
    };
    if chance.one_in(2) {
        line += &format!(" -source {}", chance.of(PEERS));
    }
    if chance.one_in(4) {
        line += &format!(" -dest {}", chance.of(PEERS));
    }
    if chance.one_in(10) {
        line.insert(0, '|');
    }
    line
}

fn random_rules(chance: &mut Chance, most: usize, group: bool) -> String {
    let count = chance.below(most + 1);
    (0..count)
        .map(|_| random_rule(chance, group) + "\n")
        .collect()
}

/// A random configuration: a node and two guests.
pub fn random(chance: &mut Chance) -> Lab {
    let policy = |chance: &mut Chance| {
        let policies = ["", "ACCEPT", "DROP", "REJECT"];
        let (inward, outward) = (*chance.of(&policies), *chance.of(&policies));
        let line = |key: &str, value: &str| {
            if value.is_empty() {
                String::new()
            } else {
                format!("{key}: {value}\n")
            }
        };
        line("policy_in", inward) + &line("policy_out", outward)
    };
    let mut cluster = format!("[OPTIONS]\nenable: 1\n{}", policy(chance));
    cluster += "[ALIASES]\nfriend 192.0.2.1\nsix 2001:db8::100\n";
    cluster += "[IPSET some]\n192.0.2.0/24\n!192.0.2.64/26\n192.0.2.66\n2001:db8::/64\n";
    if chance.one_in(3) {
        cluster += "[IPSET blacklist]\n192.0.2.9\n2001:db8::9\n";
    }
    if chance.one_in(3) {
        cluster += "[IPSET management]\n192.0.2.16/28\n";
    }
    cluster += &format!("[RULES]\n{}", random_rules(chance, 6, false));
    for name in ["web", "db"] {
        cluster += &format!("[group {name}]\n{}", random_rules(chance, 5, true));
    }
    let host = format!(
        "[OPTIONS]\nnosmurfs: {}\n[RULES]\n{}",
        chance.below(2),
        random_rules(chance, 6, false)
    );
    let mut lab = Lab::new(&cluster, &host);
    for vmid in [100, 101] {
        let mut guest = format!("[OPTIONS]\nenable: 1\n{}", policy(chance));
        for key in ["dhcp", "ndp", "radv", "macfilter", "ipfilter"] {
            if chance.one_in(4) {
                guest += &format!("{key}: {}\n", chance.below(2));
            }
        }
        if chance.one_in(4) {
            guest += "[IPSET ipfilter-net0]\n10.0.0.100\n2001:db8::100\n";
        }
        guest += &format!("[RULES]\n{}", random_rules(chance, 8, false));
        lab = lab.vm(vmid, &guest);
    }
    lab
}

/// Every kind of way in a random configuration.
pub fn ways() -> Vec<Way> {
    let ends = [
        End::Outside,
        End::Node {
            name: "pve1".into(),
            iface: Some("vmbr0".into()),
        },
        End::Nic {
            vmid: 100,
            key: "net0".into(),
        },
        End::Nic {
            vmid: 101,
            key: "net0".into(),
        },
    ];
    let pairs = ends
        .iter()
        .flat_map(|from| ends.iter().map(move |to| (from, to)));
    pairs
        .filter(|(from, to)| from != to)
        .map(|(from, to)| Way {
            from: from.clone(),
            to: to.clone(),
        })
        .collect()
}

/// A random packet, near what random rules name.
pub fn packet(chance: &mut Chance, family: Family) -> Packet {
    let addresses: &[&str] = match family {
        Family::V4 => &[
            "10.0.0.11",
            "10.0.0.100",
            "10.0.0.101",
            "10.0.0.255",
            "192.0.2.1",
            "192.0.2.9",
            "192.0.2.15",
            "192.0.2.16",
            "192.0.2.20",
            "192.0.2.63",
            "192.0.2.64",
            "192.0.2.66",
            "198.51.100.1",
            "203.0.113.5",
            "224.0.0.5",
            "0.0.0.0",
        ],
        Family::V6 => &[
            "2001:db8::11",
            "2001:db8::9",
            "2001:db8::100",
            "2001:db8:0:1::1",
            "2001:db9::1",
            "fe80::1",
            "ff02::1",
        ],
    };
    let ports = [
        21_u16, 22, 23, 43, 53, 67, 68, 80, 81, 135, 137, 443, 444, 546, 547, 1900, 5404, 5900,
        8006, 8050, 40_000, 65_535,
    ];
    let name = *chance.of(&["tcp", "tcp", "udp", "icmp", "icmpv6", "gre", "igmp"]);
    let number = protocol(name).unwrap();
    let (port, source_port) = match name {
        "tcp" | "udp" => (*chance.of(&ports), *chance.of(&ports)),
        "icmp" | "icmpv6" => (*chance.of(&[0_u16, 3, 8, 11, 128, 129, 134, 135]) << 8, 0),
        _ => (0, 0),
    };
    Packet {
        family,
        protocol: number,
        source: address(chance.of::<&str>(addresses)),
        dest: address(chance.of::<&str>(addresses)),
        port,
        source_port,
        mac: None,
    }
}
