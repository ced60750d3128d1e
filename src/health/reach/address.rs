//! Addresses as numbers, and how they are written: IPv4 in four parts, IPv6 as RFC 5952 wants it. Pure arithmetic.

use std::fmt;

use super::ranges::Ranges;

/// Version 4 or 6 of the Internet Protocol. A firewall has one list of rules for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, in order.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// How many bits an address has.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The highest address as a number.
    #[must_use]
    pub const fn last(self) -> u128 {
        match self {
            Self::V4 => u32::MAX as u128,
            Self::V6 => u128::MAX,
        }
    }

    /// Every address.
    #[must_use]
    pub fn everything(self) -> Ranges {
        Ranges::of(0, self.last())
    }
}

/// One address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Its version.
    pub family: Family,
    /// Its bits as a number.
    pub value: u128,
}

impl Address {
    /// Reads an address; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains(':') {
            v6(text).map(|value| Self {
                family: Family::V6,
                value,
            })
        } else {
            v4(text).map(|value| Self {
                family: Family::V4,
                value: u128::from(value),
            })
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.family {
            Family::V4 => write_v4(f, self.value),
            Family::V6 => write_v6(f, self.value),
        }
    }
}

/// A network as it is written: an address, whose bits after the prefix may be set, and the prefix's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    /// The address before the slash.
    pub address: Address,
    /// The prefix's length in bits; all of them for a single address.
    pub prefix: u32,
}

impl Network {
    /// Reads `ADDRESS` or `ADDRESS/PREFIX`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address = Address::parse(address)?;
        let bits = address.family.bits();
        let prefix = match prefix {
            None => bits,
            Some(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().ok().filter(|prefix| *prefix <= bits)?
            }
            Some(_) => return None,
        };
        Some(Self { address, prefix })
    }

    /// The addresses of the network; bits after the prefix do not count, as in a kernel.
    #[must_use]
    pub fn addresses(&self) -> Ranges {
        let (low, high) = self.span();
        Ranges::of(low, high)
    }

    /// The lowest and the highest address as numbers.
    #[must_use]
    pub fn span(&self) -> (u128, u128) {
        let host = self.host_mask();
        let low = self.address.value & !host;
        (low, low | host)
    }

    /// Whether bits after the prefix are set.
    #[must_use]
    pub fn has_host_bits(&self) -> bool {
        self.address.value & self.host_mask() != 0
    }

    fn host_mask(&self) -> u128 {
        let free = self.address.family.bits().saturating_sub(self.prefix);
        if free >= 128 {
            u128::MAX
        } else {
            (1_u128 << free) - 1
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if self.prefix < self.address.family.bits() {
            write!(f, "/{}", self.prefix)?;
        }
        Ok(())
    }
}

fn v4(text: &str) -> Option<u32> {
    let mut value: u32 = 0;
    let mut count = 0;
    for part in text.split('.') {
        if part.is_empty() || part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        value = value.checked_shl(8)? | u32::from(part.parse::<u8>().ok()?);
        count += 1;
    }
    (count == 4).then_some(value)
}

/// The groups of one side of `::`, an address in four parts at the end included.
fn groups(text: &str) -> Option<Vec<u16>> {
    let mut groups = Vec::new();
    if text.is_empty() {
        return Some(groups);
    }
    let parts: Vec<&str> = text.split(':').collect();
    let last = parts.len() - 1;
    for (at, part) in parts.into_iter().enumerate() {
        if at == last && part.contains('.') {
            let value = v4(part)?;
            groups.push(u16::try_from(value >> 16).ok()?);
            groups.push(u16::try_from(value & 0xffff).ok()?);
        } else if part.is_empty() || part.len() > 4 || !part.bytes().all(|b| b.is_ascii_hexdigit())
        {
            return None;
        } else {
            groups.push(u16::from_str_radix(part, 16).ok()?);
        }
    }
    Some(groups)
}

fn v6(text: &str) -> Option<u128> {
    let groups = match text.split_once("::") {
        Some((before, after)) => {
            if after.contains("::") {
                return None;
            }
            let (before, after) = (groups(before)?, groups(after)?);
            let missing = 8_usize
                .checked_sub(before.len() + after.len())
                .filter(|missing| *missing > 0)?;
            let zeros = std::iter::repeat_n(0, missing);
            before.into_iter().chain(zeros).chain(after).collect()
        }
        None => groups(text)?,
    };
    if groups.len() != 8 {
        return None;
    }
    Some(
        groups
            .into_iter()
            .fold(0, |value, group| value << 16 | u128::from(group)),
    )
}

fn write_v4(f: &mut fmt::Formatter<'_>, value: u128) -> fmt::Result {
    let part = |shift: u32| (value >> shift) & 0xff;
    write!(f, "{}.{}.{}.{}", part(24), part(16), part(8), part(0))
}

/// RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups as `::` (the first of equal ones), and the last
/// 32 bits in four parts for addresses that carry an IPv4 address.
fn write_v6(f: &mut fmt::Formatter<'_>, value: u128) -> fmt::Result {
    if value >> 32 == 0xffff {
        f.write_str("::ffff:")?;
        return write_v4(f, value & 0xffff_ffff);
    }
    let group = |at: u32| (value >> (112 - 16 * at)) & 0xffff;
    let (mut start, mut length) = (8, 1);
    let mut at = 0;
    while at < 8 {
        let run = (at..8).take_while(|at| group(*at) == 0).count();
        let run = u32::try_from(run).unwrap_or(0);
        if run > length {
            (start, length) = (at, run);
        }
        at += run.max(1);
    }
    let mut at = 0;
    while at < 8 {
        if at == start {
            f.write_str("::")?;
            at += length;
            continue;
        }
        if at > 0 && at != start + length {
            f.write_str(":")?;
        }
        write!(f, "{:x}", group(at))?;
        at += 1;
    }
    Ok(())
}

/// A set of addresses in words: networks where ranges are networks, else `LOW-HIGH`.
#[must_use]
pub fn written(addresses: &Ranges, family: Family) -> Vec<String> {
    addresses
        .iter()
        .map(|(low, high)| {
            let at = |value| Address { family, value };
            let size = high - low;
            let free = if size == u128::MAX {
                128
            } else {
                (size + 1).trailing_zeros()
            };
            let whole = size == u128::MAX || (size + 1).is_power_of_two();
            let prefix = family.bits().saturating_sub(free);
            let network = Network {
                address: at(low),
                prefix,
            };
            if whole && network.span() == (low, high) {
                network.to_string()
            } else {
                format!("{}-{}", at(low), at(high))
            }
        })
        .collect()
}
