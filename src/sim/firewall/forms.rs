//! Forms of values in firewall files, with Proxmox VE's complaints.

use std::net::IpAddr;

use super::super::call::split_list;

/// Macros, by name.
pub const MACROS: &[&str] = &[
    "Amanda",
    "Auth",
    "BGP",
    "BitTorrent",
    "BitTorrent32",
    "CVS",
    "Ceph",
    "Citrix",
    "DAAP",
    "DCC",
    "DHCPfwd",
    "DHCPv6",
    "DNS",
    "Distcc",
    "FTP",
    "Finger",
    "GNUnet",
    "GRE",
    "Git",
    "HKP",
    "HTTP",
    "HTTPS",
    "ICPV2",
    "ICQ",
    "IMAP",
    "IMAPS",
    "IPIP",
    "IPsec",
    "IPsecah",
    "IPsecnat",
    "IRC",
    "Jetdirect",
    "L2TP",
    "LDAP",
    "LDAPS",
    "MDNS",
    "MSNP",
    "MSSQL",
    "Mail",
    "Munin",
    "MySQL",
    "NNTP",
    "NNTPS",
    "NTP",
    "NeighborDiscovery",
    "OSPF",
    "OpenVPN",
    "PCA",
    "PMG",
    "POP3",
    "POP3S",
    "PPtP",
    "Ping",
    "PostgreSQL",
    "Printer",
    "RDP",
    "RIP",
    "RNDC",
    "Razor",
    "Rdate",
    "Rsync",
    "SANE",
    "SMB",
    "SMBswat",
    "SMTP",
    "SMTPS",
    "SNMP",
    "SPAMD",
    "SPICEproxy",
    "SSH",
    "SVN",
    "SixXS",
    "Squid",
    "Submission",
    "Syslog",
    "TFTP",
    "Telnet",
    "Telnets",
    "Time",
    "Trcrt",
    "VNC",
    "VNCL",
    "Web",
    "Webcache",
    "Webmin",
    "Whois",
];
const PROTOCOLS: &[&str] = &[
    "icmp",
    "igmp",
    "ggp",
    "ipencap",
    "st",
    "tcp",
    "egp",
    "igp",
    "pup",
    "udp",
    "hmp",
    "xns-idp",
    "rdp",
    "iso-tp4",
    "dccp",
    "xtp",
    "ddp",
    "idpr-cmtp",
    "ipv6",
    "ipv6-route",
    "ipv6-frag",
    "idrp",
    "rsvp",
    "gre",
    "esp",
    "ah",
    "skip",
    "ipv6-icmp",
    "icmpv6",
    "ipv6-nonxt",
    "ipv6-opts",
    "rspf",
    "vmtp",
    "eigrp",
    "ospf",
    "ax.25",
    "ipip",
    "etherip",
    "encap",
    "pim",
    "ipcomp",
    "vrrp",
    "l2tp",
    "isis",
    "sctp",
    "fc",
    "mobility-header",
    "udplite",
    "mpls-in-ip",
    "manet",
    "hip",
    "shim6",
    "wesp",
    "rohc",
];
/// Names of ports that are often written out; Proxmox VE knows all of the host's `/etc/services`.
const SERVICES: &[&str] = &[
    "ftp",
    "ssh",
    "telnet",
    "smtp",
    "domain",
    "tftp",
    "http",
    "pop3",
    "ntp",
    "imap2",
    "snmp",
    "ldap",
    "https",
    "submission",
    "ldaps",
    "imaps",
    "pop3s",
    "mysql",
    "postgresql",
    "nfs",
    "sunrpc",
    "syslog",
    "rsync",
];

/// A name: a letter, then letters, digits, `-` and `_`; two characters or more.
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.len() >= 2
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// A protocol's name or number.
///
/// # Errors
/// The complaint.
pub fn protocol(text: &str) -> Result<(), String> {
    let known = PROTOCOLS.contains(&text) || text.parse::<u8>().is_ok();
    if known {
        Ok(())
    } else {
        Err(format!("unknown protocol '{text}'"))
    }
}

/// Ports: numbers and names between commas, or one range `1:1024`.
///
/// # Errors
/// The complaint.
pub fn ports(text: &str) -> Result<(), String> {
    let invalid = |port: &str| Err(format!("invalid port '{port}'"));
    let good =
        |port: &str| port.parse::<u16>().is_ok() && port.bytes().all(|byte| byte.is_ascii_digit());
    let items: Vec<&str> = text.split(',').collect();
    if items.len() > 15 {
        return Err("too many entries in port list (> 15 numbers)".into());
    }
    for item in &items {
        match item.split_once(':') {
            Some((first, last)) if items.len() == 1 && good(first) && good(last) => {}
            None if good(item) || SERVICES.contains(item) => {}
            _ => return invalid(item),
        }
    }
    Ok(())
}

/// An address or network: version, and the text as it is kept (`/32` and `/128` dropped, host bits cleared).
#[must_use]
pub fn cidr(text: &str) -> Option<(u8, String)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
        None => (text, None),
    };
    match (address.parse::<IpAddr>().ok()?, bits) {
        (IpAddr::V4(_), None | Some(32)) => Some((4, address.to_owned())),
        (IpAddr::V6(_), None | Some(128)) => Some((6, address.to_owned())),
        (IpAddr::V4(address), Some(bits)) if bits < 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            let network = std::net::Ipv4Addr::from(u32::from(address) & mask);
            Some((4, format!("{network}/{bits}")))
        }
        (IpAddr::V6(address), Some(bits)) if bits < 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            let network = std::net::Ipv6Addr::from(u128::from(address) & mask);
            Some((6, format!("{network}/{bits}")))
        }
        _ => None,
    }
}

/// Whether a text names an alias: `lan`, `dc/lan`, `guest/lan`.
#[must_use]
pub fn is_alias(text: &str) -> bool {
    is_name(scoped(text).1)
}

/// The scope (`dc`, `guest` or empty) and the name of a reference.
#[must_use]
pub fn scoped(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((scope @ ("dc" | "guest"), name)) => (scope, name),
        _ => ("", text),
    }
}

/// Source or destination: one set (`+name`) or alias, or addresses, networks and ranges between commas.
///
/// # Errors
/// The complaint.
pub fn address(text: &str) -> Result<(), String> {
    match text.strip_prefix('+') {
        Some(set) if is_name(scoped(set).1) => return Ok(()),
        Some(set) => return Err(format!("invalid ipset name '{set}'")),
        None if is_alias(text) => return Ok(()),
        None => {}
    }
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if cidr(first).is_none() || cidr(last).is_none() {
            let strange = |c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '/' | '-'));
            return Err(if part.contains(strange) {
                format!("invalid IP address: Invalid chars in IP {part}")
            } else {
                format!("invalid IP address: Cannot determine IP version for {part}")
            });
        }
    }
    Ok(())
}

/// The IP version of a source or destination, as far as the text itself shows it.
#[must_use]
pub fn version(text: &str) -> Option<u8> {
    let first = text.split([',', '-']).next()?;
    cidr(first).map(|(version, _)| version)
}

/// An address or network, for aliases.
///
/// # Errors
/// The complaint.
pub fn ip_or_cidr(text: &str) -> Result<(), String> {
    match cidr(text) {
        Some(_) => Ok(()),
        None => Err("value does not look like a valid IP address or CIDR network".into()),
    }
}

/// An address, a network or an alias, for sets.
///
/// # Errors
/// The complaint.
pub fn ip_or_alias(text: &str) -> Result<(), String> {
    if is_alias(text) {
        Ok(())
    } else {
        ip_or_cidr(text)
    }
}

/// An interface's name.
///
/// # Errors
/// The complaint.
pub fn interface(text: &str) -> Result<(), String> {
    let good = (2..=20).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-'));
    if good {
        Ok(())
    } else {
        Err(format!("invalid network interface name '{text}'"))
    }
}

/// An ICMP type: a number or a name in small letters.
///
/// # Errors
/// The complaint.
pub fn icmp_type(text: &str) -> Result<(), String> {
    let named = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c == '-' || c.is_ascii_digit());
    if named || text.parse::<u8>().is_ok() {
        Ok(())
    } else {
        Err(format!("unknown icmp-type '{text}'"))
    }
}

/// Connection tracking helpers.
///
/// # Errors
/// The complaint.
pub fn helpers(text: &str) -> Result<(), String> {
    let known = [
        "amanda",
        "ftp",
        "irc",
        "netbios-ns",
        "pptp",
        "sane",
        "sip",
        "snmp",
        "tftp",
    ];
    match split_list(text)
        .iter()
        .find(|word| !known.contains(&word.as_str()))
    {
        None => Ok(()),
        Some(word) => Err(format!("unknown conntrack helper '{word}'")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_kept_clean() {
        assert_eq!(cidr("10.1.2.3/8").unwrap(), (4, "10.0.0.0/8".into()));
        assert_eq!(cidr("10.1.2.3/32").unwrap(), (4, "10.1.2.3".into()));
        assert_eq!(cidr("fd00::1/64").unwrap(), (6, "fd00::/64".into()));
        assert_eq!(cidr("10.1.2/8"), None);
    }

    #[test]
    fn addresses_and_ports_are_told_from_nonsense() {
        for good in [
            "+management",
            "+dc/x1",
            "lan",
            "guest/lan",
            "10.0.0.1,10.0.0.2-10.0.0.9",
            "fd00::/8",
        ] {
            assert_eq!(address(good), Ok(()), "{good}");
        }
        assert!(address("not an ip").is_err() && address("10.0.0").is_err());
        assert!(ports("53,5353").is_ok() && ports("1:1024").is_ok() && ports("ssh").is_ok());
        assert!(ports("99999").is_err() && ports("1:2,5").is_err() && ports("1-2").is_err());
    }
}
