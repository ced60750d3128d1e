//! What goes wrong: the columns of the matrix, and what each does to a step.

/// How a run comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Word {
    /// Everything was done.
    Ok,
    /// It stopped, or does not know, and said so; run again it goes on.
    Stopped,
    /// The same, after a write whose outcome nobody knew.
    Undetermined,
    /// A step failed; the same documents make a new plan, with an approval of its own.
    Failed,
    /// Another plan takes its place.
    Superseded,
    /// The process died.
    Killed,
}

impl Word {
    /// What the table calls it.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Stopped => "stop",
            Self::Undetermined => "open",
            Self::Failed => "fail",
            Self::Superseded => "superseded",
            Self::Killed => "died",
        }
    }
}

/// What a step's call is like, by the request itself: which faults can befall it follows from this.
#[derive(Debug, Clone)]
pub struct Target {
    /// The step's number in the plan.
    pub step: u32,
    /// `POST`.
    pub method: String,
    /// The path as the simulator sees it.
    pub path: String,
    /// Type and id of the task it starts.
    pub task: Option<(String, String)>,
    /// Whether it carries the digest of what it was planned on.
    pub digest: bool,
    /// Whether its effect can be seen by reading. That of a secret cannot.
    pub seen: bool,
    /// Whether it may be sent again where nobody knows whether it was.
    pub repeatable: bool,
    /// The file that what its answer shows once is written to.
    pub file: Option<std::path::PathBuf>,
    /// The last read before it: its path, and how many of the same came before.
    pub read: (String, usize),
}

/// Where a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// The step's write.
    Write,
    /// The last read before it.
    Read,
    /// The step's task.
    Task,
    /// The controller itself, at this point of the step.
    Controller,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// The column it stands in.
    pub column: usize,
    what: &'static str,
    rest: &'static str,
    at: At,
    ends: Word,
    /// Beside it, on the step's write.
    beside: Option<&'static str>,
}

/// The columns.
pub const COLUMNS: [&str; 15] = [
    "connection refused",
    "TLS failure",
    "401",
    "403",
    "500 lock",
    "500 digest",
    "595 before",
    "595 after",
    "connection lost after",
    "task fails",
    "task WARNINGS",
    "task's node disappears",
    "quorum lost",
    "simulator restarted",
    "controller killed",
];

const fn fault(column: usize, at: At, what: &'static str, rest: &'static str, ends: Word) -> Fault {
    Fault {
        column,
        what,
        rest,
        at,
        ends,
        beside: None,
    }
}

/// Every fault, by column.
pub const FAULTS: &[Fault] = &[
    fault(0, At::Read, "refuse=after", ";seconds=*", Word::Stopped),
    fault(
        1,
        At::Read,
        "certificate=after",
        ";seconds=*",
        Word::Stopped,
    ),
    fault(
        2,
        At::Write,
        "status=401 permission denied - invalid PVE ticket",
        "",
        Word::Failed,
    ),
    fault(
        3,
        At::Write,
        "status=403 Permission check failed (/, Sys.Modify)",
        "",
        Word::Failed,
    ),
    fault(
        4,
        At::Write,
        "status=500 can't lock file '/var/lock/qemu-server/lock-1.conf' - got timeout",
        ";count=2",
        Word::Ok,
    ),
    fault(
        4,
        At::Write,
        "status=500 cfs-lock 'file-storage_cfg' error: got lock request timeout",
        ";count=*",
        Word::Failed,
    ),
    fault(
        5,
        At::Write,
        "status=500 detected modified configuration - file changed by other user? Try again.",
        "",
        Word::Failed,
    ),
    fault(
        6,
        At::Write,
        "status=595 Connection timed out",
        "",
        Word::Undetermined,
    ),
    fault(7, At::Write, "after=595 Connection timed out", "", Word::Ok),
    fault(8, At::Write, "drop=after", "", Word::Ok),
    fault(9, At::Task, "task=it broke", "", Word::Failed),
    fault(10, At::Task, "warn=2", "", Word::Ok),
    // The node comes back, and its task has gone on meanwhile, or died with it before or after its effect.
    fault(11, At::Write, "offline=after", ";seconds=30", Word::Ok),
    Fault {
        beside: Some("offline=after;seconds=30"),
        ..fault(11, At::Task, "killed=before", "", Word::Failed)
    },
    Fault {
        beside: Some("offline=after;seconds=30"),
        ..fault(11, At::Task, "killed=after", "", Word::Ok)
    },
    fault(12, At::Write, "quorum=before", ";seconds=*", Word::Stopped),
    fault(12, At::Write, "quorum=after", ";seconds=*", Word::Failed),
    fault(
        13,
        At::Write,
        "restart=before",
        ";seconds=20",
        Word::Undetermined,
    ),
    fault(13, At::Write, "restart=after", ";seconds=20", Word::Ok),
    fault(14, At::Controller, "intent", "", Word::Killed),
    fault(14, At::Controller, "answered", "", Word::Killed),
    fault(14, At::Controller, "sent", "", Word::Killed),
    fault(14, At::Controller, "ending", "", Word::Killed),
    fault(14, At::Controller, "ended", "", Word::Killed),
];

impl Fault {
    /// How the run ends.
    pub fn ends(&self, target: &Target) -> Word {
        // Whether the task did its work before it was killed can only be seen.
        match (self.what, target.seen) {
            ("killed=after", false) => Word::Failed,
            // It was done, and nobody has what only the answer said.
            _ if self.loses_secret(target) => Word::Failed,
            // It is sent again.
            _ if target.repeatable && self.ends == Word::Undetermined => Word::Ok,
            _ => self.ends,
        }
    }

    /// Whether the answer is lost of a step whose answer alone shows a secret, although it was done.
    pub fn loses_secret(&self, target: &Target) -> bool {
        let lost = [
            "after=595 Connection timed out",
            "drop=after",
            "restart=after",
        ];
        target.file.is_some() && lost.contains(&self.what)
    }

    /// How often the step's work is done in the end. What cannot be seen is done by the new plan again.
    pub fn times(&self, target: &Target) -> u32 {
        match (self.what, target.seen) {
            ("killed=after", false) => 2,
            _ => 1,
        }
    }

    /// Whether it can befall this step.
    pub fn applies(&self, target: &Target) -> bool {
        let needs_task = match (self.at, self.column, self.what) {
            (At::Task, _, _) | (_, 11, _) | (_, _, "quorum=after" | "answered" | "sent") => true,
            (At::Write | At::Read | At::Controller, _, _) => false,
        };
        (!needs_task || target.task.is_some()) && (self.column != 5 || target.digest)
    }

    /// Whether it is this row's turn. Every row is killed where nobody knows whether anything was sent and right after the intent of
    /// its end; at the other points the rows take turns (`resume` kills steps at all of them).
    pub fn in_turn(&self, row: usize) -> bool {
        match self.what {
            "answered" => row.is_multiple_of(3),
            "sent" => row % 3 == 1,
            "ended" => row % 3 == 2,
            _ => true,
        }
    }

    /// What the simulator is told.
    pub fn told(&self, target: &Target) -> Vec<String> {
        let Fault { what, rest, .. } = self;
        let write = format!(";method={};path={}", target.method, target.path);
        let main = match (self.at, &target.task) {
            (At::Write, _) => format!("{what}{write}{rest}"),
            (At::Read, _) => {
                let (path, before) = &target.read;
                format!("{what};method=GET;path={path};skip={before}{rest}")
            }
            (At::Task, Some((kind, id))) if id.is_empty() => format!("{what};type={kind}"),
            (At::Task, Some((kind, id))) => format!("{what};type={kind};id={id}"),
            (At::Task, None) | (At::Controller, _) => return Vec::new(),
        };
        let beside = self.beside.map(|beside| format!("{beside}{write}"));
        std::iter::once(main).chain(beside).collect()
    }

    /// Where the controller is killed, if it is.
    pub fn killed_at(&self, target: &Target) -> Option<String> {
        (self.at == At::Controller).then(|| format!("{}:{}", self.what, target.step))
    }

    /// What it is, for messages.
    pub fn shown(&self) -> String {
        format!("{} ({})", COLUMNS[self.column], self.what)
    }
}
