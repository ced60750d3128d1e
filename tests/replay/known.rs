//! What is not compared, reviewed: endpoints that are not simulated, quirks of the recorded host, and what still differs.

use bailiwick::sim::Fault;
use bailiwick::sim::state::{Cluster, Run};
use serde_json::Value;

use super::recording::Recorded;

/// Methods and paths (whole segments; `*` is one, `**` any) that no kind of document uses, and what they are.
const UNSUPPORTED: &[(&str, &str, &str)] = &[
    ("*", "/access/tfa/**", "second factors"),
    ("*", "/access/openid/**", "logging in with OpenID"),
    ("PUT", "/nodes/*/time", "a node's time zone"),
    ("POST", "/nodes/*/status", "restarting a node"),
    ("POST", "/nodes/*/network/**", "a node's staged network"),
    ("PUT", "/nodes/*/network/**", "a node's staged network"),
    ("DELETE", "/nodes/*/network/**", "a node's staged network"),
    ("*", "/cluster/log", "the cluster's log"),
    ("*", "/cluster/metrics/**", "metric servers"),
    ("*", "/cluster/jobs", "an index"),
    ("*", "/cluster/notifications/**", "notification targets"),
    ("*", "/cluster/mapping/**", "resource mappings"),
    ("*", "/cluster/ceph/**", "Ceph"),
    ("*", "/cluster/acme/**", "certificates by ACME"),
    (
        "*",
        "/cluster/bulk-action/**",
        "bulk actions of the web interface",
    ),
    (
        "*",
        "/cluster/firewall/macros",
        "the list of macros with their descriptions; rules are checked against the names",
    ),
    ("*", "/cluster/sdn/**", "software-defined networks"),
    ("*", "/nodes/*/sdn/**", "software-defined networks"),
    ("*", "/nodes/*/dns", "a node's resolver"),
    ("*", "/nodes/*/hosts", "a node's hosts file"),
    ("*", "/nodes/*/services/**", "a node's services"),
    ("*", "/nodes/*/disks/**", "a node's disks"),
    ("*", "/nodes/*/certificates/**", "a node's certificates"),
    ("*", "/nodes/*/subscription", "subscriptions"),
    ("*", "/nodes/*/capabilities/**", "what a node's QEMU can"),
    ("*", "/nodes/*/hardware", "a node's devices"),
    ("*", "/nodes/*/config", "a node's own settings"),
    ("*", "/nodes/*/report", "a report for support"),
    ("*", "/nodes/*/rrddata", "graphs"),
    ("*", "/nodes/*/storage/*/rrddata", "graphs"),
    ("*", "/nodes/*/netstat", "counters of interfaces"),
    (
        "*",
        "/nodes/*/aplinfo",
        "the list of downloadable templates",
    ),
    ("*", "/nodes/*/journal", "a node's journal"),
    ("*", "/nodes/*/syslog", "a node's journal"),
    ("*", "/nodes/*/scan/**", "looking for storages"),
    ("*", "/nodes/*/apt/**", "packages"),
    ("*", "/nodes/*/qemu/*/agent/**", "the guest agent"),
    ("*", "/nodes/*/qemu/*/monitor", "QEMU's monitor"),
    ("*", "/nodes/*/qemu/*/sendkey", "a guest's keyboard"),
    ("*", "/nodes/*/qemu/*/vncproxy", "a guest's console"),
    (
        "*",
        "/nodes/*/qemu/*/cloudinit/dump",
        "what cloud-init is given, rendered",
    ),
];

/// Recordings by number that still differ, with the reason.
pub const APART: &[(u64, &str)] = &[];

/// Why a recording differs, if that is known.
pub fn apart(n: u64) -> Option<&'static str> {
    APART
        .iter()
        .find(|(known, _)| *known == n)
        .map(|(_, why)| *why)
}

/// Readings of what requests made that are not simulated.
const FOLLOWING: &[(u64, &str)] = &[
    (710, "shows a node's staged network"),
    (714, "shows a node's staged network"),
    (720, "shows a bridge of a node's staged network"),
    (723, "shows a bridge of a node's staged network"),
];

/// Whether a request is answered, but not compared: it shows what others made that are not simulated.
pub fn follows(line: &Recorded) -> bool {
    FOLLOWING.iter().any(|(n, _)| *n == line.n)
}

/// What a request is about, if it is not simulated.
pub fn unsupported(line: &Recorded) -> Option<&'static str> {
    if let Some((_, why)) = FOLLOWING.iter().find(|(n, _)| *n == line.n) {
        return Some(why);
    }
    // Which vnets there are is told; they are made and applied by nobody but `host`.
    if (line.method.as_str(), line.path.as_str()) == ("GET", "/cluster/sdn/vnets") {
        return None;
    }
    let segments: Vec<&str> = line
        .path
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    UNSUPPORTED
        .iter()
        .find(|(method, pattern, _)| {
            let pattern: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
            (*method == "*" || *method == line.method) && matches(&pattern, &segments)
        })
        .map(|(_, _, what)| *what)
}

fn matches(pattern: &[&str], segments: &[&str]) -> bool {
    match (pattern.split_first(), segments.split_first()) {
        (Some((&"**", _)), _) => true,
        (Some((first, pattern)), Some((segment, segments))) => {
            (*first == "*" || first == segment) && matches(pattern, segments)
        }
        (None, None) => true,
        _ => false,
    }
}

/// What the recorded host did of itself, done to the simulated one.
pub fn host(cluster: &mut Cluster, line: &Recorded) {
    // None of its virtual machines has an operating system.
    let machines: Vec<u32> = cluster
        .running
        .keys()
        .copied()
        .filter(|vmid| {
            cluster
                .guest(*vmid)
                .is_some_and(|guest| guest.kind.api() == "qemu")
        })
        .collect();
    for vmid in machines {
        if let Some(run) = cluster.running.get_mut(&vmid) {
            run.live.insert("guest".into(), "none".into());
        }
    }
    let mut vnets = |alias: &str, running: &str| {
        let configured =
            format!("vnet: vn1\n\tzone z1\n\talias {alias}\n\nvnet: vn3\n\tzone z2\n\ttag 10\n");
        let running = format!(r#"{{"vnets": {{"ids": {{{running}}}}}}}"#);
        cluster.files.set("sdn/vnets.cfg".to_owned(), configured);
        cluster.files.set("sdn/.running-config".to_owned(), running);
    };
    match line.n {
        796 => vnets("one", ""),
        807 => vnets(
            "two",
            r#""vn1": {"type": "vnet", "zone": "z1", "alias": "one"}, "vn3": {"type": "vnet", "zone": "z2", "tag": 10}"#,
        ),
        808 => {
            for file in ["sdn/vnets.cfg", "sdn/.running-config"] {
                cluster.files.set(file.to_owned(), String::new());
            }
        }
        // The list caught a start that failed a moment later.
        172 => drop(cluster.running.insert(103, Run::default())),
        173 => drop(cluster.running.remove(&103)),
        // Its QEMU cannot back up.
        378 => cluster.tell(Fault::parse("task=job errors;type=vzdump;id=100").unwrap()),
        _ => {}
    }
}

/// Their answer without what requests made that are not simulated.
pub fn without(line: &Recorded, mut theirs: Value) -> Value {
    if line.n == 869
        && let Some(list) = theirs["data"].as_array_mut()
    {
        let zone = |item: &Value| item["type"] == "network" && item["network"] != "localnetwork";
        list.retain(|item| !zone(item));
    }
    theirs
}

/// What a request that is not simulated left in the list of tasks: `(type, id, user)` of each, the answered one last.
pub fn tasks_left(line: &Recorded) -> Vec<(String, String, String)> {
    let upid = [&line.body["data"], &line.body["data"]["upid"]]
        .iter()
        .find_map(|value| {
            value
                .as_str()
                .filter(|text| text.starts_with("UPID:"))
                .map(str::to_owned)
        });
    let Some(upid) = upid else {
        return vec![];
    };
    let parts: Vec<&str> = upid.split(':').collect();
    let mut left = vec![];
    if parts[5] == "reloadnetworkall" {
        left.push(("srvreload".into(), "networking".into(), "root@pam".into()));
    }
    left.push((
        parts[5].to_owned(),
        parts[6].to_owned(),
        parts[7].to_owned(),
    ));
    left
}
