//! Whether a sentence of an impact says of somebody in particular that he can open something: it is read as a person would.

use std::net::IpAddr;

use crate::packets::Attempt;

/// A list in a sentence, and whether it says that there is more of it than it names.
fn list(text: &str) -> (Vec<&str>, bool) {
    let (text, more) = match text.rsplit_once(" and ") {
        Some((start, end)) if end.ends_with("more") || end.ends_with("more ports") => (start, true),
        _ => (text, false),
    };
    let parts = text.split([',', ' ']).map(str::trim);
    let parts = parts.filter(|part| !part.is_empty() && *part != "and");
    (parts.collect(), more)
}

/// An address, network or range as numbers with their width.
fn span(text: &str) -> Option<(u128, u128, u32)> {
    let number = |text: &str| match text.parse::<IpAddr>().ok()? {
        IpAddr::V4(address) => Some((u128::from(address.to_bits()), 32)),
        IpAddr::V6(address) => Some((address.to_bits(), 128)),
    };
    if let Some((low, high)) = text.split_once('-') {
        let ((low, width), (high, _)) = (number(low)?, number(high)?);
        return Some((low, high, width));
    }
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let (low, width) = number(address)?;
    let rest = width - length.parse::<u32>().unwrap_or(width).min(width);
    let size = 1_u128.checked_shl(rest).map_or(u128::MAX, |size| size - 1);
    Some((low, low.saturating_add(size), width))
}

fn has(who: &str, address: IpAddr) -> bool {
    let (number, width) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let among = |text: &str| {
        let (parts, more) = list(text);
        let spans = parts.into_iter().filter_map(span);
        let mut same = spans.filter(|(.., of)| *of == width).peekable();
        let more = more && same.peek().is_some();
        more || same.any(|(low, high, _)| low <= number && number <= high)
    };
    let internet = format!("the internet (IPv{})", if width == 32 { 4 } else { 6 });
    match who.strip_prefix(&internet) {
        Some("") => true,
        Some(rest) => rest.strip_prefix(" but ").is_some_and(|but| !among(but)),
        None => among(who),
    }
}

fn opens(deed: &str, proto: &str, port: u16) -> bool {
    if deed.starts_with("open everything on") {
        return true;
    }
    if let Some(rest) = deed.strip_prefix("reach ") {
        let (_, with) = rest.split_once(" with ").unwrap();
        return match with.strip_prefix("every protocol but ") {
            Some(but) => !list(but).0.contains(&proto),
            None => list(with).0.contains(&proto),
        };
    }
    if let Some(rest) = deed.strip_prefix("open every ") {
        return rest.starts_with(&proto.to_ascii_uppercase());
    }
    let Some((_, rest)) = deed
        .strip_prefix("open ")
        .and_then(|rest| rest.split_once(':'))
    else {
        return false;
    };
    let (rest, of) = match rest.split_once(" with every protocol") {
        Some((rest, _)) => (rest, "tcp+udp"),
        None => rest.rsplit_once('/').unwrap_or((rest, "tcp")),
    };
    let (parts, more) = list(rest);
    let mut ranges = parts.into_iter().map(|part| {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        (low.parse::<u16>(), high.parse::<u16>())
    });
    let named = ranges.any(|range| match range {
        (Ok(low), Ok(high)) => low <= port && port <= high,
        _ => rest == "all ports",
    });
    of.split('+').any(|of| of == proto) && (named || more)
}

/// Whether a sentence says it of this attempt. What nobody can tell is said of everybody.
pub fn says(sentence: &str, verb: &str, (source, proto, port): Attempt) -> bool {
    let Some((who, deed)) = sentence.split_once(&format!(" {verb} ")) else {
        return false;
    };
    has(who, source.parse().unwrap()) && opens(deed, proto, port)
}

#[test]
fn sentences_are_read() {
    let verb = "can no longer";
    for (sentence, attempt, said) in [
        (
            "10.20.0.0/16 can no longer open vm/117:5432",
            ("10.20.3.1", "tcp", 5432),
            true,
        ),
        (
            "10.20.0.0/16 can no longer open vm/117:5432",
            ("10.21.3.1", "tcp", 5432),
            false,
        ),
        (
            "10.20.0.0/16 can no longer open vm/117:5432",
            ("10.20.3.1", "udp", 5432),
            false,
        ),
        (
            "10.20.0.0/16 can now open vm/117:5432",
            ("10.20.3.1", "tcp", 5432),
            false,
        ),
        (
            "10.0.0.1-10.0.0.9 and 10.1.0.0/16 can no longer open node pve1:22,80-90",
            ("10.0.0.4", "tcp", 85),
            true,
        ),
        (
            "10.0.0.1-10.0.0.9 and 10.1.0.0/16 can no longer open node pve1:22,80-90",
            ("10.0.0.4", "tcp", 91),
            false,
        ),
        (
            "the internet (IPv4) but 10.0.0.0/8 can no longer open vm/1:53/udp",
            ("10.1.1.1", "udp", 53),
            false,
        ),
        (
            "the internet (IPv4) but 10.0.0.0/8 can no longer open vm/1:53/udp",
            ("11.1.1.1", "udp", 53),
            true,
        ),
        (
            "the internet (IPv4) can no longer open vm/1:53/udp",
            ("2001:db8::1", "udp", 53),
            false,
        ),
        (
            "2001:db8::/32 can no longer open everything on vm/1",
            ("2001:db8::1", "tcp", 1),
            true,
        ),
        (
            "10.0.0.1 can no longer reach vm/1 with every protocol but tcp",
            ("10.0.0.1", "tcp", 1),
            false,
        ),
        (
            "10.0.0.1 can no longer open every TCP port of vm/1",
            ("10.0.0.1", "tcp", 1),
            true,
        ),
        (
            "10.0.0.1 can no longer open vm/1:all ports/tcp+udp",
            ("10.0.0.1", "udp", 1),
            true,
        ),
    ] {
        assert_eq!(says(sentence, verb, attempt), said, "{sentence}");
    }
}
