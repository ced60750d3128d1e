//! Sizes as documents write them, always with a unit: reading, the one canonical spelling, and the types of fields. How Proxmox VE
//! itself writes sizes is `proxmox::size`'s.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::desired::Value;
use super::options::ToValue;
use crate::ids::Bytes;

const SIZE_EXPECTED: &str =
    "a size with its unit: `512Mi`, `8Gi`, `1.5Ti`, or `8G` for the same as `8Gi`";

/// Bytes from a size as people write it. `K M G T`, with or without `i` or `iB`, are powers of 1024, as in Proxmox VE; a bare number
/// and the decimal `8GB` are refused, because readers disagree about them.
pub fn parse_size(text: &str) -> Result<Bytes, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or_else(|| format!("{SIZE_EXPECTED}; a number alone says no unit"))?;
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "K" | "Ki" | "KiB" => Bytes::KIB,
        "M" | "Mi" | "MiB" => Bytes::MIB,
        "G" | "Gi" | "GiB" => Bytes::GIB,
        "T" | "Ti" | "TiB" => Bytes::TIB,
        "kB" | "KB" | "MB" | "GB" | "TB" => {
            return Err(format!(
                "{SIZE_EXPECTED}; `{unit}` can mean powers of 1000 or of 1024"
            ));
        }
        _ => return Err(SIZE_EXPECTED.to_owned()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |t: &str| !t.is_empty() && t.len() <= 15 && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(SIZE_EXPECTED.to_owned());
    }
    let scale = 10u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
    let parsed = whole
        .parse::<u128>()
        .ok()
        .zip(fraction.parse::<u128>().ok());
    let bytes = parsed
        .and_then(|(whole, fraction)| {
            let units = whole.checked_mul(scale)?.checked_add(fraction)?;
            let scaled = units.checked_mul(u128::from(factor))?;
            (scaled % scale == 0).then_some(scaled / scale)
        })
        .and_then(|bytes| u64::try_from(bytes).ok())
        .filter(|bytes| *bytes <= u64::MAX / 2);
    bytes
        .map(Bytes)
        .ok_or_else(|| format!("{SIZE_EXPECTED}; it must be a whole number of bytes"))
}

/// Like [`parse_size`], and a whole number of MiB.
pub fn parse_memory(text: &str) -> Result<Bytes, String> {
    let bytes = parse_size(text)?;
    if bytes.0 % Bytes::MIB == 0 {
        Ok(bytes)
    } else {
        Err("a whole number of MiB, such as `2048Mi` or `2Gi`".to_owned())
    }
}

/// The canonical form: the greatest unit that divides.
pub fn print_size(bytes: Bytes) -> String {
    let units = [
        (Bytes::TIB, "Ti"),
        (Bytes::GIB, "Gi"),
        (Bytes::MIB, "Mi"),
        (Bytes::KIB, "Ki"),
    ];
    match units
        .iter()
        .find(|(unit, _)| bytes.0 > 0 && bytes.0.is_multiple_of(*unit))
    {
        Some((unit, name)) => format!("{}{name}", bytes.0 / unit),
        None if bytes.0 == 0 => "0Mi".to_owned(),
        // Bytes that no unit divides: as a fraction of a KiB, which is always finite in binary tenths.
        None => fraction_of_kib(bytes.0),
    }
}

fn fraction_of_kib(bytes: u64) -> String {
    let fraction = u128::from(bytes % Bytes::KIB) * 10u128.pow(10) / u128::from(Bytes::KIB);
    let text = format!("{}.{fraction:010}", bytes / Bytes::KIB);
    format!("{}Ki", text.trim_end_matches('0'))
}

macro_rules! sizes {
    ($($(#[$doc:meta])* $name:ident, $format:literal, $parse:ident;)*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub Bytes);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&print_size(self.0))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                $parse(&text).map(Self).map_err(|expected| {
                    serde::de::Error::custom(format!("`{text}` is not {expected}"))
                })
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool { true }
            fn schema_name() -> Cow<'static, str> { stringify!($name).into() }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "format": $format})
            }
        }
    )* };
}

sizes! {
    /// A size in bytes, written with its unit.
    Size, "size", parse_size;
    /// A size that Proxmox VE counts in whole MiB.
    Mebibytes, "memory-size", parse_memory;
}

impl ToValue for Mebibytes {
    fn to_value(&self) -> Value {
        Value::Plain((self.0.0 / Bytes::MIB).to_string())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary_and_unambiguous() {
        for (text, bytes) in [
            ("8Gi", 8 * Bytes::GIB),
            ("8G", 8 * Bytes::GIB),
            ("8GiB", 8 * Bytes::GIB),
            ("512Mi", 512 * Bytes::MIB),
            ("1.5T", 1536 * Bytes::GIB),
            ("0Mi", 0),
            ("0.5Ki", 512),
        ] {
            assert_eq!(parse_size(text).unwrap(), Bytes(bytes), "{text}");
        }
        for text in [
            "8", "8GB", "8gi", "-1G", "G", "1.G", ".5G", "1e3M", "8 Gi", "0.3Ki", "", "9999999T",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert!(parse_memory("1536Ki").is_err());
    }

    #[test]
    fn sizes_print_so_that_they_read_the_same() {
        for bytes in [
            0,
            1,
            1023,
            1024,
            1025,
            34304 * Bytes::MIB,
            u64::from(u32::MAX),
        ] {
            assert_eq!(parse_size(&print_size(Bytes(bytes))).unwrap(), Bytes(bytes));
        }
        assert_eq!(print_size(Bytes(1536 * Bytes::GIB)), "1536Gi");
    }
}
