//! What the macros of Proxmox VE stand for. Its API lists their names only (`GET /cluster/firewall/macros`); these are the services'
//! protocols and ports. A macro that Proxmox VE has and this table lacks makes its rule unknown.

use super::address::Family;

/// One kind of traffic of a macro. Texts, because Proxmox VE compares a rule's own fields with them as texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The protocol, as a name or number.
    pub protocol: &'static str,
    /// Destination ports, or the type for ICMP.
    pub ports: Option<&'static str>,
    /// Source ports.
    pub source_ports: Option<&'static str>,
}

const fn only(protocol: &'static str) -> Entry {
    Entry {
        protocol,
        ports: None,
        source_ports: None,
    }
}

const fn to(protocol: &'static str, ports: &'static str) -> Entry {
    Entry {
        protocol,
        ports: Some(ports),
        source_ports: None,
    }
}

const fn from(protocol: &'static str, source: &'static str, ports: &'static str) -> Entry {
    Entry {
        protocol,
        ports: Some(ports),
        source_ports: Some(source),
    }
}

/// A macro's name and its traffic.
type Table = &'static [(&'static str, &'static [Entry])];

#[rustfmt::skip]
const MACROS: Table = &[
    ("Amanda", &[to("udp", "10080"), to("tcp", "10080")]),
    ("Auth", &[to("tcp", "113")]),
    ("BGP", &[to("tcp", "179")]),
    ("BitTorrent", &[to("tcp", "6881:6889"), to("udp", "6881")]),
    ("BitTorrent32", &[to("tcp", "6881:6999"), to("udp", "6881")]),
    ("Ceph", &[to("tcp", "6789"), to("tcp", "3300"), to("tcp", "6800:7300")]),
    ("CVS", &[to("tcp", "2401")]),
    ("Citrix", &[to("tcp", "1494"), to("udp", "1604"), to("tcp", "2598")]),
    ("DAAP", &[to("tcp", "3689"), to("udp", "3689")]),
    ("DCC", &[to("tcp", "6277")]),
    ("DHCPfwd", &[from("udp", "67:68", "67:68")]),
    ("DNS", &[to("udp", "53"), to("tcp", "53")]),
    ("Distcc", &[to("tcp", "3632")]),
    ("FTP", &[to("tcp", "21")]),
    ("Finger", &[to("tcp", "79")]),
    ("GNUnet", &[to("tcp", "2086"), to("udp", "2086"), to("tcp", "1080"), to("udp", "1080")]),
    ("GRE", &[only("47")]),
    ("Git", &[to("tcp", "9418")]),
    ("HKP", &[to("tcp", "11371")]),
    ("HTTP", &[to("tcp", "80")]),
    ("HTTPS", &[to("tcp", "443")]),
    ("ICPV2", &[to("udp", "3130")]),
    ("ICQ", &[to("tcp", "5190")]),
    ("IMAP", &[to("tcp", "143")]),
    ("IMAPS", &[to("tcp", "993")]),
    ("IPIP", &[only("94")]),
    ("IPsec", &[from("udp", "500", "500"), only("50")]),
    ("IPsecah", &[from("udp", "500", "500"), only("51")]),
    ("IPsecnat", &[to("udp", "500"), to("udp", "4500"), only("50")]),
    ("IRC", &[to("tcp", "6667")]),
    ("Jetdirect", &[to("tcp", "9100")]),
    ("L2TP", &[to("udp", "1701")]),
    ("LDAP", &[to("tcp", "389")]),
    ("LDAPS", &[to("tcp", "636")]),
    ("MSNP", &[to("tcp", "1863")]),
    ("MSSQL", &[to("tcp", "1433")]),
    ("Mail", &[to("tcp", "25"), to("tcp", "465"), to("tcp", "587")]),
    ("MDNS", &[to("udp", "5353")]),
    ("Munin", &[to("tcp", "4949")]),
    ("MySQL", &[to("tcp", "3306")]),
    ("NNTP", &[to("tcp", "119")]),
    ("NNTPS", &[to("tcp", "563")]),
    ("NTP", &[to("udp", "123")]),
    ("OSPF", &[only("89")]),
    ("OpenVPN", &[to("udp", "1194")]),
    ("PCA", &[to("udp", "5632"), to("tcp", "5631")]),
    ("PMG", &[to("tcp", "8006")]),
    ("POP3", &[to("tcp", "110")]),
    ("POP3S", &[to("tcp", "995")]),
    ("PPtP", &[only("47"), to("tcp", "1723")]),
    ("Ping", &[to("icmp", "echo-request")]),
    ("PostgreSQL", &[to("tcp", "5432")]),
    ("Printer", &[to("tcp", "515")]),
    ("RDP", &[to("tcp", "3389")]),
    ("RIP", &[to("udp", "520")]),
    ("RNDC", &[to("tcp", "953")]),
    ("Razor", &[to("tcp", "2703")]),
    ("Rdate", &[to("tcp", "37")]),
    ("Rsync", &[to("tcp", "873")]),
    ("SANE", &[to("tcp", "6566")]),
    ("SMB", &[to("udp", "135,445"), to("udp", "137:139"), from("udp", "137", "1024:65535"), to("tcp", "135,139,445")]),
    ("SMBswat", &[to("tcp", "901")]),
    ("SMTP", &[to("tcp", "25")]),
    ("SMTPS", &[to("tcp", "465")]),
    ("SNMP", &[to("udp", "161:162"), to("tcp", "161")]),
    ("SPAMD", &[to("tcp", "783")]),
    ("SSH", &[to("tcp", "22")]),
    ("SVN", &[to("tcp", "3690")]),
    ("SixXS", &[to("tcp", "3874"), to("udp", "3740"), only("41"), to("udp", "5072,8374")]),
    ("SPICEproxy", &[to("tcp", "3128")]),
    ("Squid", &[to("tcp", "3128")]),
    ("Submission", &[to("tcp", "587")]),
    ("Syslog", &[to("udp", "514"), to("tcp", "514")]),
    ("TFTP", &[to("udp", "69")]),
    ("Telnet", &[to("tcp", "23")]),
    ("Telnets", &[to("tcp", "992")]),
    ("Time", &[to("tcp", "37")]),
    ("Trcrt", &[to("udp", "33434:33524"), to("icmp", "echo-request")]),
    ("VNC", &[to("tcp", "5900:5999")]),
    ("VNCL", &[to("tcp", "5500")]),
    ("Web", &[to("tcp", "80"), to("tcp", "443")]),
    ("Webcache", &[to("tcp", "8080")]),
    ("Webmin", &[to("tcp", "10000")]),
    ("Whois", &[to("tcp", "43")]),
];

/// Macros that mean something else in rules for IPv6, or exist only there.
#[rustfmt::skip]
const MACROS_V6: Table = &[
    ("DHCPv6", &[from("udp", "546:547", "546:547")]),
    ("NeighborDiscovery", &[
        to("icmpv6", "router-solicitation"), to("icmpv6", "router-advertisement"),
        to("icmpv6", "neighbor-solicitation"), to("icmpv6", "neighbor-advertisement"),
    ]),
    ("Ping", &[to("icmpv6", "echo-request")]),
    ("Trcrt", &[to("udp", "33434:33524"), to("icmpv6", "echo-request")]),
];

fn find(table: Table, name: &str) -> Option<&'static [Entry]> {
    table
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, entries)| *entries)
}

/// The names of the macros that are known here.
pub fn names() -> impl Iterator<Item = &'static str> {
    MACROS.iter().chain(MACROS_V6).map(|(name, _)| *name)
}

/// Whether a macro is known here. Case does not count, as in Proxmox VE.
#[must_use]
pub fn is_known(name: &str) -> bool {
    find(MACROS, name).is_some() || find(MACROS_V6, name).is_some()
}

/// The traffic of a known macro in rules of one version: none for a macro of the other version.
#[must_use]
pub fn traffic(name: &str, family: Family) -> &'static [Entry] {
    let special = find(MACROS_V6, name).filter(|_| family == Family::V6);
    special.or_else(|| find(MACROS, name)).unwrap_or_default()
}

/// The traffic by which Proxmox VE judges a rule that says no version: IPv4's, else IPv6's.
#[must_use]
pub fn judged_by(name: &str) -> &'static [Entry] {
    find(MACROS, name)
        .or_else(|| find(MACROS_V6, name))
        .unwrap_or_default()
}

/// Everything that a known macro stands for, of both versions at once: the nftables backend has one list of rules for both. `None` for a
/// macro that is not known here, or under a name in other case, which that backend does not know.
#[must_use]
pub fn everything(name: &str) -> Option<Vec<&'static Entry>> {
    let exact = |table: Table| {
        let found = table.iter().find(|(known, _)| *known == name);
        found.map(|(_, entries)| *entries)
    };
    let (general, v6) = (exact(MACROS), exact(MACROS_V6));
    if general.is_none() && v6.is_none() {
        return None;
    }
    let mut all: Vec<&Entry> = general.unwrap_or_default().iter().collect();
    for entry in v6.unwrap_or_default() {
        if !all.contains(&entry) {
            all.push(entry);
        }
    }
    Some(all)
}
