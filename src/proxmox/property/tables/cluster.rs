//! Options of keys that no guest has: storage definitions, backup jobs, the datacenter.

use super::super::{Field, Format, Kind};
use super::{format, number, off, on, preset, required, text};

pub(super) static PRUNE: Format = format(
    None,
    &[&[
        off("keep-all"),
        preset("keep-daily", Kind::Number, "0"),
        preset("keep-hourly", Kind::Number, "0"),
        preset("keep-last", Kind::Number, "0"),
        preset("keep-monthly", Kind::Number, "0"),
        preset("keep-weekly", Kind::Number, "0"),
        preset("keep-yearly", Kind::Number, "0"),
    ]],
);

pub(super) static BWLIMIT: Format = format(
    None,
    &[&[
        number("clone"),
        number("default"),
        number("migration"),
        number("move"),
        number("restore"),
    ]],
);

pub(super) static FLEECING: Format = format(Some("enabled"), &[&[off("enabled"), text("storage")]]);

pub(super) static PERFORMANCE: Format = format(
    None,
    &[&[
        preset("max-workers", Kind::Number, "16"),
        number("pbs-entries-max"),
    ]],
);

pub(super) static MIGRATION: Format = format(
    Some("type"),
    &[&[
        text("network"),
        Field {
            name: "type",
            kind: Kind::Text,
            default: Some("secure"),
            required: true,
        },
    ]],
);

pub(super) static HA: Format = format(
    None,
    &[&[preset("shutdown_policy", Kind::Text, "conditional")]],
);

pub(super) static NEXT_ID: Format = format(
    None,
    &[&[
        preset("lower", Kind::Number, "100"),
        preset("upper", Kind::Number, "1000000"),
    ]],
);

pub(super) static LOG_RATELIMIT: Format = format(
    Some("enable"),
    &[&[
        preset("burst", Kind::Number, "5"),
        on("enable"),
        preset("rate", Kind::Text, "1/second"),
    ]],
);

pub(super) static CRS: Format = format(
    None,
    &[&[
        preset("ha", Kind::Text, "basic"),
        off("ha-auto-rebalance"),
        off("ha-rebalance-on-start"),
    ]],
);

pub(super) static TFA: Format = format(
    None,
    &[&[
        required("type", Kind::Text),
        preset("digits", Kind::Number, "6"),
        text("id"),
        text("key"),
        preset("step", Kind::Number, "30"),
        text("url"),
    ]],
);

pub(super) static REALM_SYNC: Format = format(
    None,
    &[&[
        on("enable-new"),
        off("full"),
        off("purge"),
        preset("remove-vanished", Kind::Set, "none"),
        text("scope"),
    ]],
);
