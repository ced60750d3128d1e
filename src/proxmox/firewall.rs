//! The small words of Proxmox VE's firewall: names of aliases and sets, addresses, networks, and how it writes them down.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a text can be the name of an alias or a set: a letter, then letters, digits, `-` and `_`, 2 to 64 characters.
pub fn is_name(text: &str) -> bool {
    (2..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// The protocols that a node has names for (`/etc/protocols` of Debian 13), and `icmpv6`, which is Proxmox VE's own.
const PROTOCOLS: &[&str] = &[
    "ah",
    "ax.25",
    "dccp",
    "ddp",
    "egp",
    "eigrp",
    "encap",
    "esp",
    "etherip",
    "ethernet",
    "fc",
    "ggp",
    "gre",
    "hip",
    "hmp",
    "hopopt",
    "icmp",
    "icmpv6",
    "idpr-cmtp",
    "idrp",
    "igmp",
    "igp",
    "ip",
    "ipcomp",
    "ipencap",
    "ipip",
    "ipv6",
    "ipv6-frag",
    "ipv6-icmp",
    "ipv6-nonxt",
    "ipv6-opts",
    "ipv6-route",
    "isis",
    "iso-tp4",
    "l2tp",
    "manet",
    "mobility-header",
    "mpls-in-ip",
    "mptcp",
    "ospf",
    "pim",
    "pup",
    "rdp",
    "rohc",
    "rspf",
    "rsvp",
    "sctp",
    "shim6",
    "skip",
    "st",
    "tcp",
    "udp",
    "udplite",
    "vmtp",
    "vrrp",
    "wesp",
    "xns-idp",
    "xtp",
];

/// Whether a text is a protocol of a rule: a name that nodes know, or a number up to 255.
pub fn is_protocol(text: &str) -> bool {
    PROTOCOLS.contains(&text)
        || text
            .parse::<u8>()
            .is_ok_and(|number| number.to_string() == text)
}

/// An address or a network in one spelling: the host's bits cleared, a prefix that is the whole address left out (as Proxmox VE keeps
/// it), IPv6 in its short form. `None` if it is neither.
pub fn network(text: &str) -> Option<String> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(prefix(bits)?)),
        None => (text, None),
    };
    match (address.parse::<IpAddr>().ok()?, bits) {
        (address, None) => Some(address.to_string()),
        (IpAddr::V4(address), Some(32)) => Some(address.to_string()),
        (IpAddr::V6(address), Some(128)) => Some(address.to_string()),
        (IpAddr::V4(address), Some(bits)) if bits < 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            let network = Ipv4Addr::from(u32::from(address) & mask);
            Some(format!("{network}/{bits}"))
        }
        (IpAddr::V6(address), Some(bits)) if bits < 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            let network = Ipv6Addr::from(u128::from(address) & mask);
            Some(format!("{network}/{bits}"))
        }
        (IpAddr::V4(_) | IpAddr::V6(_), Some(_)) => None,
    }
}

fn prefix(text: &str) -> Option<u32> {
    text.parse::<u32>()
        .ok()
        .filter(|bits| bits.to_string() == text)
}

/// A reference to an alias or set: the scope it names (`dc`, `guest`), and the name.
pub fn reference(text: &str) -> Option<(Option<&str>, &str)> {
    let (scope, name) = match text.split_once('/') {
        Some((scope @ ("dc" | "guest"), name)) => (Some(scope), name),
        Some(_) => return None,
        None => (None, text),
    };
    is_name(name).then_some((scope, name))
}

/// What can stand in a set, in one spelling: an address, a network, or the name of an alias (whose case does not count). `None` if it is
/// none of them.
pub fn element(text: &str) -> Option<String> {
    network(text).or_else(|| reference(text).map(|_| text.to_ascii_lowercase()))
}

/// Whether two texts are the same element of a set, or the same address. What is neither is compared as it is.
pub fn same_element(a: &str, b: &str) -> bool {
    match (element(a), element(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// A rule's source or destination in one spelling: one set (`+NAME`), one alias, or addresses, networks and ranges between commas, at most
/// 512 characters. `None` if it is none of them.
pub fn peer(text: &str) -> Option<String> {
    if let Some(set) = text.strip_prefix('+') {
        return reference(set).map(|_| text.to_ascii_lowercase());
    }
    if reference(text).is_some() {
        return Some(text.to_ascii_lowercase());
    }
    let part = |part: &str| {
        let part = part.trim();
        match part.split_once('-') {
            Some((low, high)) => {
                let (low, high) = (low.parse::<IpAddr>().ok()?, high.parse::<IpAddr>().ok()?);
                (low.is_ipv4() == high.is_ipv4() && low <= high).then(|| format!("{low}-{high}"))
            }
            None => network(part),
        }
    };
    let parts: Option<Vec<String>> = text.split(',').map(part).collect();
    parts
        .map(|parts| parts.join(","))
        .filter(|text| text.len() <= 512)
}

/// Whether a text says ports as a rule does: at most 15 numbers and names of services between commas, or one range `1024:65535`.
pub fn is_ports(text: &str) -> bool {
    let number = |text: &str| {
        text.parse::<u16>()
            .is_ok_and(|port| port.to_string() == text)
    };
    let service = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().any(|c| c.is_ascii_alphabetic())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_+.".contains(&b))
    };
    if let Some((low, high)) = text.split_once(':') {
        let (low, high) = (low.parse::<u16>(), high.parse::<u16>());
        return matches!((low, high), (Ok(low), Ok(high)) if low <= high && format!("{low}:{high}") == text);
    }
    let parts: Vec<&str> = text.split(',').collect();
    parts.len() <= 15 && parts.iter().all(|part| number(part) || service(part))
}

/// Whether a text can be an interface of a rule.
pub fn is_interface(text: &str) -> bool {
    (2..=20).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_names_and_numbers() {
        assert!(PROTOCOLS.is_sorted());
        for known in ["tcp", "icmpv6", "ipv6-icmp", "0", "255"] {
            assert!(is_protocol(known), "{known}");
        }
        for unknown in ["tpc", "256", "06", "+6", "", "TCP"] {
            assert!(!is_protocol(unknown), "{unknown}");
        }
    }

    #[test]
    fn networks_have_one_spelling() {
        for (text, kept) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3/32", "10.1.2.3"),
            ("10.1.2.3", "10.1.2.3"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8:0::1/64", "2001:db8::/64"),
            ("2001:db8::1/128", "2001:db8::1"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(network(text).unwrap(), kept);
        }
        for bad in ["10.1.2", "10.0.0.0/33", "10.0.0.0/08", "::/129", "lan", ""] {
            assert_eq!(network(bad), None, "{bad}");
        }
    }

    #[test]
    fn elements_are_addresses_or_aliases() {
        assert_eq!(element("dc/LAN").unwrap(), "dc/lan");
        assert_eq!(element("guest/lan").unwrap(), "guest/lan");
        assert_eq!(element("host/lan"), None);
        assert_eq!(element("+lan"), None);
        assert!(same_element("Lan", "lan") && same_element("10.0.0.1/32", "10.0.0.1"));
        assert!(!same_element("lan", "dc/lan"));
        for good in ["+dc/web", "lan", "10.0.0.1,10.0.0.2-10.0.0.9", "fd00::/8"] {
            assert_eq!(peer(good).unwrap(), good);
        }
        assert_eq!(peer("10.1.2.3/8, +LAN"), None);
        assert_eq!(peer("10.0.0.9-10.0.0.1"), None);
        for good in ["22", "http,https,8080", "1024:65535"] {
            assert!(is_ports(good), "{good}");
        }
        for bad in ["", "70000", "022", "9:1", "1:2,3", "1-2", "a b"] {
            assert!(!is_ports(bad), "{bad}");
        }
        assert!(is_name("a1") && !is_name("a") && !is_name("1a") && !is_name(&"a".repeat(65)));
    }
}
