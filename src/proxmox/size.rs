//! Sizes as Proxmox VE writes them in disk properties (`32G`, `34304M`, `33.5G`), in bytes. Pure; it knows nothing of disks.

use crate::ids::Bytes;

/// A text that is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a size: expected a number, optionally followed by K, M, G or T (powers of 1024), such as `32G`; without a \
     unit it means bytes"
)]
pub struct InvalidSize {
    /// The offending text.
    pub text: String,
}

/// Reads a size. Without a unit it means bytes: `5` is five bytes. `K`, `M`, `G`, `T` are powers of 1024, also written `Ki`,
/// `KiB`; a fraction is allowed and rounded down to whole bytes (Proxmox VE: pve-common's `parse_size`).
pub fn parse(text: &str) -> Result<Bytes, InvalidSize> {
    parse_opt(text).ok_or_else(|| InvalidSize {
        text: text.to_owned(),
    })
}

fn parse_opt(text: &str) -> Option<Bytes> {
    let digits = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let unit: u128 = match unit {
        "" => 1,
        "K" | "Ki" | "KiB" => 1 << 10,
        "M" | "Mi" | "MiB" => 1 << 20,
        "G" | "Gi" | "GiB" => 1 << 30,
        "T" | "Ti" | "TiB" => 1 << 40,
        _ => return None,
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, fraction)) => (whole, fraction),
        None => (number, ""),
    };
    if whole.is_empty() || fraction.contains('.') {
        return None;
    }
    let mut bytes = whole.parse::<u128>().ok()?.checked_mul(unit)?;
    if !fraction.is_empty() {
        // Eighteen digits are below a byte even for the greatest unit.
        let fraction: String = fraction.chars().take(18).collect();
        let scale = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        bytes = bytes.checked_add(fraction.parse::<u128>().ok()?.checked_mul(unit)? / scale)?;
    }
    u64::try_from(bytes).ok().map(Bytes)
}

/// Writes a size the way Proxmox VE does: the greatest unit that divides it (`1536G` for 1.5 TiB), bare bytes if it is not a
/// multiple of 1024. Reading it back gives the same number of bytes.
pub fn print(size: Bytes) -> String {
    let mut number = size.0;
    let mut unit = "";
    for next in ["K", "M", "G", "T"] {
        if !number.is_multiple_of(1024) {
            break;
        }
        number /= 1024;
        unit = next;
    }
    format!("{number}{unit}")
}

/// Writes a size in whole gibibytes for `STORAGE:SIZE`, which takes gibibytes; `None` if it is not a whole number of them.
pub fn gibibytes(size: Bytes) -> Option<u64> {
    size.0
        .is_multiple_of(Bytes::GIB)
        .then_some(size.0 / Bytes::GIB)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_proxmox_reads() {
        assert_eq!(parse("5").unwrap(), Bytes(5));
        assert_eq!(parse("32G").unwrap(), Bytes(32 * Bytes::GIB));
        assert_eq!(parse("33.5G").unwrap(), Bytes(34304 * Bytes::MIB));
        assert_eq!(parse("528K").unwrap(), Bytes(528 * 1024));
        assert_eq!(parse("1.5TiB").unwrap(), Bytes(1536 * Bytes::GIB));
        for bad in [
            "",
            "G",
            "1.",
            ".5G",
            "1.2.3G",
            "-1G",
            "32GB",
            "1e3",
            "32 G",
            "99999999999999T",
            "３G",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn prints_the_greatest_unit_that_divides() {
        assert_eq!(print(Bytes(34304 * Bytes::MIB)), "34304M");
        assert_eq!(print(Bytes(1536 * Bytes::GIB)), "1536G");
        assert_eq!(print(Bytes(5)), "5");
        assert_eq!(print(Bytes(Bytes::TIB)), "1T");
        assert_eq!(gibibytes(Bytes(4 * Bytes::GIB)), Some(4));
        assert_eq!(gibibytes(Bytes(Bytes::GIB + 1)), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn print_then_parse_is_identity(bytes: u64, shift in 0u32..44) {
            let size = Bytes((bytes >> 20) >> shift << shift);
            prop_assert_eq!(parse(&print(size)).unwrap(), size);
        }

        #[test]
        fn never_panics(text in "\\PC{0,12}") {
            let _ = parse(&text);
        }
    }
}
