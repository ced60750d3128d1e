//! The forms of single fields in guests' property strings, with Proxmox VE's complaints.

/// Whether `STORAGE:NAME` parses as a volume id.
///
/// # Errors
/// The complaint.
pub fn volume_id(text: &str) -> Result<(), String> {
    let bad = || format!("unable to parse volume ID '{text}'");
    let (storage, name) = text.split_once(':').ok_or_else(bad)?;
    let good = storage.len() >= 2
        && storage.starts_with(|c: char| c.is_ascii_alphabetic())
        && storage.ends_with(|c: char| c.is_ascii_alphanumeric())
        && storage
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && !name.is_empty();
    if good { Ok(()) } else { Err(bad()) }
}

/// A volume id, an absolute path, `none` or `cdrom`.
///
/// # Errors
/// The complaint.
pub fn volume_or_path(text: &str) -> Result<(), String> {
    if matches!(text, "none" | "cdrom") || text.starts_with('/') {
        Ok(())
    } else {
        volume_id(text)
    }
}

/// A size such as `32G`.
///
/// # Errors
/// The complaint.
pub fn disk_size(text: &str) -> Result<(), String> {
    super::size::parse(text)
        .map(|_| ())
        .ok_or_else(|| format!("value '{text}' does not look like a valid size"))
}

/// A unicast MAC address.
///
/// # Errors
/// The complaint.
pub fn mac(text: &str) -> Result<(), String> {
    let bytes: Vec<Option<u8>> = text
        .split(':')
        .map(|part| {
            u8::from_str_radix(part, 16)
                .ok()
                .filter(|_| part.len() == 2)
        })
        .collect();
    match bytes.as_slice() {
        [Some(first), rest @ ..]
            if rest.len() == 5 && rest.iter().all(Option::is_some) && first & 1 == 0 =>
        {
            Ok(())
        }
        _ => Err("value does not look like a valid unicast MAC address".into()),
    }
}

/// A bridge or vnet name.
///
/// # Errors
/// The complaint.
pub fn bridge(text: &str) -> Result<(), String> {
    let good = !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if good {
        Ok(())
    } else {
        Err(format!("invalid bridge name '{text}'"))
    }
}

/// An IPv4 address.
///
/// # Errors
/// The complaint.
pub fn ipv4(text: &str) -> Result<(), String> {
    let good = text.parse::<std::net::Ipv4Addr>().is_ok();
    if good {
        Ok(())
    } else {
        Err("value does not look like a valid ipv4 address".into())
    }
}

/// An IPv6 address.
///
/// # Errors
/// The complaint.
pub fn ipv6(text: &str) -> Result<(), String> {
    let good = text.parse::<std::net::Ipv6Addr>().is_ok();
    if good {
        Ok(())
    } else {
        Err("value does not look like a valid ipv6 address".into())
    }
}

fn cidr(text: &str, most: u8, address: fn(&str) -> Result<(), String>) -> bool {
    text.split_once('/').is_some_and(|(ip, bits)| {
        address(ip).is_ok() && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
    })
}

/// `dhcp`, `manual` or an IPv4 address with a prefix length.
///
/// # Errors
/// The complaint.
pub fn ipv4_config(text: &str) -> Result<(), String> {
    if matches!(text, "dhcp" | "manual") || cidr(text, 32, ipv4) {
        return Ok(());
    }
    Err("value does not look like a valid ipv4 network configuration".into())
}

/// `auto`, `dhcp`, `manual` or an IPv6 address with a prefix length.
///
/// # Errors
/// The complaint.
pub fn ipv6_config(text: &str) -> Result<(), String> {
    if matches!(text, "auto" | "dhcp" | "manual") || cidr(text, 128, ipv6) {
        return Ok(());
    }
    Err("value does not look like a valid ipv6 network configuration".into())
}

/// Letters, digits, `-`, `_` and `.`.
#[must_use]
pub fn word(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Numbers and ranges of them, separated by `;`.
#[must_use]
pub fn ranges(text: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split(';').all(|part| match part.split_once('-') {
        Some((from, to)) => number(from) && number(to),
        None => number(part),
    })
}

/// A world wide name: `0x` and sixteen hexadecimal digits.
#[must_use]
pub fn wwn(text: &str) -> bool {
    text.strip_prefix("0x")
        .is_some_and(|hex| hex.len() == 16 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The old boot order: up to four of `acdn`.
#[must_use]
pub fn legacy_boot(text: &str) -> bool {
    (1..=4).contains(&text.len()) && text.chars().all(|c| matches!(c, 'a' | 'c' | 'd' | 'n'))
}

/// File permissions: `0` and three octal digits.
#[must_use]
pub fn octal(text: &str) -> bool {
    text.len() == 4 && text.starts_with('0') && text.chars().all(|c| ('0'..='7').contains(&c))
}
