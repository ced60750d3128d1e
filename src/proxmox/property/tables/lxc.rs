//! Options of a container's keys.

use super::super::{Field, Format, Kind};
use super::{STARTUP, field, format, number, off, on, preset, required, text, tristate};

static NET_LXC: Format = format(
    None,
    &[&[
        required("name", Kind::Text),
        text("bridge"),
        off("firewall"),
        text("gw"),
        field("gw6", Kind::Caseless),
        tristate("host-managed"),
        field("hwaddr", Kind::Caseless),
        text("ip"),
        field("ip6", Kind::Caseless),
        off("link_down"),
        number("mtu"),
        number("rate"),
        number("tag"),
        field("trunks", Kind::Set),
        preset("type", Kind::Text, "veth"),
    ]],
);

const MOUNT: &[Field] = &[
    required("volume", Kind::Text),
    tristate("acl"),
    text("idmap"),
    field("mountoptions", Kind::Set),
    off("quota"),
    on("replicate"),
    off("ro"),
    off("shared"),
    field("size", Kind::Size),
];

static ROOTFS: Format = Format {
    default_key: Some("volume"),
    fields: &[MOUNT],
    aliases: &[],
    combined: None,
    informational: &["size"],
};

static MOUNT_POINT: Format = Format {
    default_key: Some("volume"),
    fields: &[
        MOUNT,
        &[off("backup"), off("keepattrs"), required("mp", Kind::Text)],
    ],
    aliases: &[],
    combined: None,
    informational: &["size"],
};

static UNUSED_LXC: Format = format(Some("volume"), &[&[required("volume", Kind::Text)]]);

static FEATURES: Format = format(
    None,
    &[&[
        off("force_rw_sys"),
        off("fuse"),
        off("keyctl"),
        off("mknod"),
        field("mount", Kind::Set),
        off("nesting"),
    ]],
);

static DEVICE: Format = format(
    Some("path"),
    &[&[
        off("deny-write"),
        preset("gid", Kind::Number, "0"),
        text("mode"),
        text("path"),
        preset("uid", Kind::Number, "0"),
    ]],
);

/// The format of a key's value.
pub(super) fn format_of(key: &str, stem: &str, indexed: bool) -> Option<&'static Format> {
    Some(match key {
        "rootfs" => &ROOTFS,
        "startup" => &STARTUP,
        "features" => &FEATURES,
        _ if !indexed => return None,
        _ => match stem {
            "mp" => &MOUNT_POINT,
            "net" => &NET_LXC,
            "unused" => &UNUSED_LXC,
            "dev" => &DEVICE,
            _ => return None,
        },
    })
}
