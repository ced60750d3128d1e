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
    (
        "(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ 0-9]{2} [0-9:]{8} [0-9]{4}",
        "<time>",
        "times in the HA manager's words",
    ),
    (
        "\\b[A-Za-z0-9+/]{22}\\b",
        "<run>",
        "names of the HA manager's runs, by chance",
    ),
    (
        "INFO: starting new backup job: .*",
        "INFO: starting new backup job: <options>",
        "Perl gives the options no order",
    ),
    (
        "(Total bytes written|Total bytes read|archive file size): .*",
        "$1: <size>",
        "what tar counted",
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
        ".*/content/.*",
        "data\\.used",
        "how much of a sparse file is on the disk",
    ),
    (
        ".*/lxc/[0-9]+/status/current",
        "data\\.maxdisk",
        "the file system in a container is a little smaller than its volume",
    ),
    (
        "/nodes/[^/]+/status",
        "data\\.(loadavg|kversion|idle|wait|current-kernel\\..*|memory\\.(used|free|available)|rootfs\\.(used|free|avail)|cpuinfo\\.(flags|hvm|model))",
        "the recorded host's processor, kernel and load",
    ),
    ("/cluster/ha/status/.*", "data(\\..*)?\\.timestamp", "times"),
    (
        "/nodes",
        "data\\.ssl_fingerprint",
        "of each server's own certificate",
    ),
    (
        ".*/status/current",
        "data\\.(nics|blockstat|ballooninfo|balloon_min|freemem)(\\..*)?",
        "what a running guest uses at the moment",
    ),
];

/// Places in single answers, by number.
pub const LINES: &[(u64, &str, &str)] = &[
    (
        451,
        "data\\.size",
        "an archive is as large as what it holds compresses to",
    ),
    (
        656,
        "data\\.template",
        "what a node tells of its guests is up to 20 s old: one had just become a template",
    ),
];

/// Logs of tasks of which only the last line is compared, because the others are of the recorded host's own programs.
pub const LOGS: &[(u64, &str)] = &[
    (380, "the recorded QEMU cannot back up"),
    (410, "a monitor socket that was not there"),
    (420, "resize2fs was denied"),
    (423, "a monitor socket that was not there"),
    (426, "lxc-checkpoint's own lines"),
    (440, "rsync's statistics"),
    (444, "rsync's statistics"),
];
