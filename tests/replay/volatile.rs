//! What no two runs share, reviewed: each entry with its reason. Of a volatile value the type still counts.

/// In every text: pattern, what stands for it, and why it varies.
pub const TEXTS: &[(&str, &str, &str)] = &[
    (
        "UPID:[^\" ]*",
        "<UPID>",
        "holds process number, start ticks and time; that the same task is meant is checked by translating ids",
    ),
    (
        "(?i)\\b([0-9a-f]{2}:){5}[0-9a-f]{2}\\b",
        "<MAC>",
        "given by chance",
    ),
    (
        "(?i)\\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\\b",
        "<UUID>",
        "given by chance",
    ),
    ("ctime=[0-9]+", "ctime=<time>", "the time of creation"),
    (
        "[0-9]{4}[_-][0-9]{2}[_-][0-9]{2}[- ][0-9]{2}[:_][0-9]{2}[:_][0-9]{2}",
        "<time>",
        "times in logs and in archives' names",
    ),
];

/// Path below `/api2/json` and place in the answer (both whole patterns; lists have no step of their own), and why.
pub const VALUES: &[(&str, &str, &str)] = &[
    (
        ".*",
        "(.*\\.)?(starttime|endtime|pid|pstart|uptime|ctime|snaptime|localtime)|data\\.time",
        "times and processes",
    ),
    (
        ".*",
        "(.*\\.)?(cpu|mem|memhost|netin|netout|disk|diskread|diskwrite|pressure[a-z]*)",
        "what guests and nodes use at the moment",
    ),
    (
        ".*/storage/[^/]*(/status)?|.*/storage",
        "data\\.(total|used|avail|used_fraction)",
        "the host's disk",
    ),
    (
        "/access/ticket",
        "data\\.(ticket|CSRFPreventionToken)",
        "secrets of the moment; the recording has none",
    ),
    (
        "/cluster/resources",
        "data\\.cgroup-mode",
        "the recorded host has control groups of version 1, as no host with Proxmox VE 9 has",
    ),
    (
        ".*/status/current",
        "data\\.(nics|blockstat|ballooninfo|balloon_min|freemem)(\\..*)?",
        "what a running guest uses at the moment",
    ),
];
