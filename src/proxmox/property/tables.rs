//! Which options each key has. Facts restated from the API schema of Proxmox VE 9.2 and, where that leaves a default unsaid,
//! from what qemu-server, pve-container and pve-storage do when the option is missing.

mod cluster;
mod lxc;
mod qemu;

use super::{Domain, Field, Format, Kind};
use crate::proxmox::schema::split_index;

pub use qemu::NIC_MODELS;

const fn field(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        default: None,
        required: false,
    }
}

/// A boolean that is off when left out.
const fn off(name: &'static str) -> Field {
    Field {
        name,
        kind: Kind::Boolean,
        default: Some("0"),
        required: false,
    }
}

/// A boolean that is on when left out.
const fn on(name: &'static str) -> Field {
    Field {
        name,
        kind: Kind::Boolean,
        default: Some("1"),
        required: false,
    }
}

/// A boolean whose absence is not the same as either value.
const fn tristate(name: &'static str) -> Field {
    field(name, Kind::Boolean)
}

const fn text(name: &'static str) -> Field {
    field(name, Kind::Text)
}

const fn number(name: &'static str) -> Field {
    field(name, Kind::Number)
}

const fn preset(name: &'static str, kind: Kind, default: &'static str) -> Field {
    Field {
        name,
        kind,
        default: Some(default),
        required: false,
    }
}

const fn required(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        default: None,
        required: true,
    }
}

const fn format(default_key: Option<&'static str>, fields: &'static [&'static [Field]]) -> Format {
    Format {
        default_key,
        fields,
        aliases: &[],
        combined: None,
        informational: &[],
    }
}

static STARTUP: Format = format(
    Some("order"),
    &[&[number("order"), number("up"), number("down")]],
);

/// The format of a key's value, or `None` if the value is plain.
pub fn format_of(domain: Domain, key: &str) -> Option<&'static Format> {
    let (stem, index) = split_index(key);
    match domain {
        Domain::Qemu => qemu::format_of(key, stem, index.is_some()),
        Domain::Lxc => lxc::format_of(key, stem, index.is_some()),
        Domain::Storage => match key {
            "prune-backups" => Some(&cluster::PRUNE),
            "bwlimit" => Some(&cluster::BWLIMIT),
            _ => None,
        },
        Domain::BackupJob => match key {
            "prune-backups" => Some(&cluster::PRUNE),
            "fleecing" => Some(&cluster::FLEECING),
            "performance" => Some(&cluster::PERFORMANCE),
            _ => None,
        },
        Domain::Realm => match key {
            "tfa" => Some(&cluster::TFA),
            "sync-defaults-options" => Some(&cluster::REALM_SYNC),
            _ => None,
        },
        Domain::ReplicationJob | Domain::Firewall => None,
        Domain::Cluster => match key {
            "migration" | "replication" => Some(&cluster::MIGRATION),
            "bwlimit" => Some(&cluster::BWLIMIT),
            "ha" => Some(&cluster::HA),
            "crs" => Some(&cluster::CRS),
            "next-id" => Some(&cluster::NEXT_ID),
            "log_ratelimit" => Some(&cluster::LOG_RATELIMIT),
            _ => None,
        },
    }
}
