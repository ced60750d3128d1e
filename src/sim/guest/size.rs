//! Disk sizes as Proxmox VE writes them: bytes with a binary suffix.

/// Bytes of `32G`, `1.5T`, `528K`, `5` (five bytes).
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]
pub fn parse(text: &str) -> Option<u64> {
    let (number, unit) = match text.chars().last()? {
        'K' => (text.strip_suffix('K')?, 1u64 << 10),
        'M' => (text.strip_suffix('M')?, 1 << 20),
        'G' => (text.strip_suffix('G')?, 1 << 30),
        'T' => (text.strip_suffix('T')?, 1 << 40),
        _ => (text, 1),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match number.split_once('.') {
        None if digits(number) => number.parse::<u64>().ok()?.checked_mul(unit),
        Some((whole, fraction)) if digits(whole) && digits(fraction) => {
            Some((number.parse::<f64>().ok()? * unit as f64) as u64)
        }
        None | Some(_) => None,
    }
}

/// The largest unit that divides it: `34304M`, `1536G`, bare bytes if not a multiple of 1024.
#[must_use]
pub fn print(bytes: u64) -> String {
    let mut number = bytes;
    let mut suffix = "";
    for unit in ["K", "M", "G", "T"] {
        if number == 0 || !number.is_multiple_of(1024) {
            break;
        }
        number /= 1024;
        suffix = unit;
    }
    format!("{number}{suffix}")
}

/// `2.0 GiB`, `528.0 KiB`, as progress lines of tasks say.
#[must_use]
#[allow(clippy::cast_precision_loss)]
pub fn human(bytes: u64) -> String {
    let mut number = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if number < 1024.0 {
            return format!("{number:.1} {unit}");
        }
        number /= 1024.0;
    }
    format!("{number:.1} TiB")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_print_in_the_largest_unit_that_divides() {
        assert_eq!(print(parse("33.5G").unwrap()), "34304M");
        assert_eq!(print(parse("1.5T").unwrap()), "1536G");
        assert_eq!(print(540_672), "528K");
        assert_eq!(parse("5"), Some(5));
        assert_eq!(parse("big"), None);
        assert_eq!(human(540_672), "528.0 KiB");
    }

    proptest! {
        #[test]
        fn printing_loses_nothing(bytes in 0u64..1 << 50) {
            prop_assert_eq!(parse(&print(bytes)), Some(bytes));
        }
    }
}
