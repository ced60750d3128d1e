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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
        assert!(is_name("a1") && !is_name("a") && !is_name("1a") && !is_name(&"a".repeat(65)));
    }
}
