//! `…/firewall/options`: of the cluster, a node, a guest, or a vnet.

use serde_json::{Map, Value, json};

use super::super::call::{Answer, ApiError, Call};
use super::super::files::digest;
use super::super::params::{Kind, Param};
use super::super::state::Cluster;
use super::{DIGEST, Place, forms};

const LEVELS: Kind = Kind::Enum(&[
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", "nolog",
]);
const POLICY: Kind = Kind::Enum(&["ACCEPT", "REJECT", "DROP"]);
/// Seconds for which a firewall that was switched on by way of trial stays on.
const TRIAL: i64 = 60;

/// Which to drop, and the expected digest.
pub const DELETE: &[Param] = &[
    Param::new("delete", Kind::FormList(super::super::formats::config_id)),
    DIGEST,
];
/// Options of the cluster.
pub const CLUSTER: &[Param] = &[
    Param::new("ebtables", Kind::Boolean),
    Param::new("enable", super::super::formats::COUNT),
    Param::new("log_ratelimit", Kind::Text),
    Param::new("policy_forward", Kind::Enum(&["ACCEPT", "DROP"])),
    Param::new("policy_in", POLICY),
    Param::new("policy_out", POLICY),
];
/// Options of a node.
pub const NODE: &[Param] = &[
    Param::new("enable", Kind::Boolean),
    Param::new("log_level_forward", LEVELS),
    Param::new("log_level_in", LEVELS),
    Param::new("log_level_out", LEVELS),
    Param::new("log_nf_conntrack", Kind::Boolean),
    Param::new("ndp", Kind::Boolean),
    Param::new("nf_conntrack_allow_invalid", Kind::Boolean),
    Param::new("nf_conntrack_helpers", Kind::Form(forms::helpers)),
    Param::new("nf_conntrack_max", Kind::Integer(32_768, i64::MAX)),
    Param::new(
        "nf_conntrack_tcp_timeout_established",
        Kind::Integer(7_875, i64::MAX),
    ),
    Param::new("nf_conntrack_tcp_timeout_syn_recv", Kind::Integer(30, 60)),
    Param::new("nftables", Kind::Boolean),
    Param::new("nosmurfs", Kind::Boolean),
    Param::new("protection_synflood", Kind::Boolean),
    Param::new(
        "protection_synflood_burst",
        Kind::Integer(i64::MIN, i64::MAX),
    ),
    Param::new(
        "protection_synflood_rate",
        Kind::Integer(i64::MIN, i64::MAX),
    ),
    Param::new("smurf_log_level", LEVELS),
    Param::new("tcp_flags_log_level", LEVELS),
    Param::new("tcpflags", Kind::Boolean),
];
/// Options of a guest.
pub const GUEST: &[Param] = &[
    Param::new("dhcp", Kind::Boolean),
    Param::new("enable", Kind::Boolean),
    Param::new("ipfilter", Kind::Boolean),
    Param::new("log_level_in", LEVELS),
    Param::new("log_level_out", LEVELS),
    Param::new("macfilter", Kind::Boolean),
    Param::new("ndp", Kind::Boolean),
    Param::new("policy_in", POLICY),
    Param::new("policy_out", POLICY),
    Param::new("radv", Kind::Boolean),
];

/// Options of a vnet.
pub const VNET: &[Param] = &[
    Param::new("enable", Kind::Boolean),
    Param::new("log_level_forward", LEVELS),
    Param::new("policy_forward", Kind::Enum(&["ACCEPT", "DROP"])),
];

/// Whether a trial that began then is over.
pub(super) fn over(cluster: &Cluster, enable: &str) -> bool {
    let now = cluster.clock.unix();
    enable
        .parse::<i64>()
        .is_ok_and(|since| since > 1 && now - since > TRIAL)
}

/// Whether this value of the datacenter's `enable` means that its firewall is on now.
pub(super) fn on(cluster: &Cluster, enable: &str) -> bool {
    !matches!(enable, "" | "0") && !over(cluster, enable)
}

/// The options as they count now: a cluster's firewall on trial is off again after a minute.
fn current(cluster: &Cluster, call: &Call) -> Vec<(String, String)> {
    let mut options: Vec<(String, String)> =
        super::read(cluster, call).options.into_iter().collect();
    for (key, value) in &mut options {
        let expired = over(cluster, value);
        if Place::of(call) == Place::Cluster && key == "enable" && expired {
            "0".clone_into(value);
        }
    }
    options
}

fn text(options: &[(String, String)]) -> String {
    options
        .iter()
        .map(|(key, value)| format!("{key}: {value}\n"))
        .collect()
}

/// The options that are set, and their digest.
pub fn get(cluster: &mut Cluster, call: &Call) -> Answer {
    let options = current(cluster, call);
    let mut map = Map::new();
    map.insert("digest".into(), json!(digest(&text(&options))));
    for (key, value) in options {
        let value = value
            .parse::<i64>()
            .map_or_else(|_| json!(value), |number| json!(number));
        map.insert(key, value);
    }
    Ok(Value::Object(map))
}

/// Sets and drops options.
pub fn set(cluster: &mut Cluster, call: &Call) -> Answer {
    super::unmodified(call, &digest(&text(&current(cluster, call))))?;
    let known = match Place::of(call) {
        Place::Cluster => CLUSTER,
        Place::Node => NODE,
        Place::Guest => GUEST,
        Place::Vnet => VNET,
    };
    let mut file = super::read(cluster, call);
    for key in call.list("delete") {
        if !known.iter().any(|row| row.name == key) {
            return Err(ApiError::parameter(
                "delete",
                format!("no such option '{key}'"),
            ));
        }
        file.options.remove(&key);
    }
    for row in known {
        if let Some(value) = call.get(row.name) {
            let trial = row.name == "enable" && call.int("enable").is_some_and(|value| value > 1);
            let value = if trial {
                cluster.clock.unix().to_string()
            } else {
                value.to_owned()
            };
            file.options.insert(row.name.to_owned(), value);
        }
    }
    super::write(cluster, call, &file);
    Ok(Value::Null)
}
