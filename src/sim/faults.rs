//! What is told to go wrong, so that clients can be tested against it.
//!
//! A fault is `WHAT[;CONDITION…]`:
//!
//! | what | effect |
//! |---|---|
//! | `latency=MILLIS` | the answer comes so many real milliseconds later |
//! | `status=CODE TEXT` | the call is not made; this status and reason are answered (`status=595 Connection timed out`) |
//! | `after=CODE TEXT` | the call is made, then this is answered instead of its answer |
//! | `drop=before` | the connection is closed before the call is made |
//! | `drop=after` | the call is made, then the connection is closed without an answer |
//! | `task=TEXT` | a task fails with this text instead of having its effect |
//! | `warn=N` | a task ends with N more warnings |
//! | `killed=before`, `killed=after` | a task's process is killed before or after its effect: it ends without saying how (`unexpected status`). What it had begun is undone as when it is stopped |
//! | `lock=NAME` | at once: the guest `vmid=` gets `lock: NAME` in its configuration for `seconds=` |
//! | `refuse=after` | the call is answered; then nobody listens for `seconds=`: connections are refused |
//! | `certificate=after` | the call is answered; then for `seconds=` connections meet another certificate than the server's |
//! | `restart=before`, `restart=after` | the server restarts before or after the call is made: no answer, every connection is cut, and nobody listens for `seconds=`. As with `pveproxy`, cluster and tasks go on meanwhile |
//! | `quorum=before`, `quorum=after` | before or after the call is made the cluster loses its quorum for `seconds=`: no write is taken, and a task that ends meanwhile fails |
//! | `offline=before`, `offline=after` | before or after the call is made its node goes out of reach for `seconds=`; what runs there goes on |
//! | `shut=NODE` | the call is made; then the node takes no new connection at its own address for `seconds=`, as long as the datacenter's firewall is on |
//!
//! `seconds=` is simulated seconds, 10 if it is absent; `seconds=*` lasts until all faults are forgotten, which ends what lasts.
//!
//! Conditions: `method=POST`, `path=/nodes/*/qemu/*/config` (`*` is any text within a segment, `**` any text), `user=ID`,
//! and for tasks `type=qmcreate`, `id=104`. `skip=N` lets the first N matches pass; `count=N` ends the fault after N
//! times (default 1; `count=*` never). Conditions that are absent match everything.

use super::call::Method;

/// Faults in the order they were told; the first that matches acts.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    list: Vec<Fault>,
}

/// One fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// What happens.
    pub what: What,
    method: Option<Method>,
    path: Option<String>,
    user: Option<String>,
    kind: Option<String>,
    id: Option<String>,
    skip: u64,
    left: Option<u64>,
}

/// Before a call or a task's effect, or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before it.
    Before,
    /// After it.
    After,
}

/// Simulated seconds; `None` is until all faults are forgotten.
pub type Span = Option<f64>;

/// What a fault does.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Answer so many milliseconds later.
    Latency(u64),
    /// Answer this instead of making the call.
    Status(u16, String),
    /// Make the call, answer this.
    After(u16, String),
    /// Close the connection instead of making the call.
    DropBefore,
    /// Make the call, close the connection.
    DropAfter,
    /// Fail a task.
    Task(String),
    /// Add warnings to a task.
    Warn(u32),
    /// Kill a task's process.
    Killed(Moment),
    /// Hold a lock on a guest.
    Lock {
        /// The lock's name.
        name: String,
        /// The guest.
        vmid: u32,
        /// For how long.
        seconds: Span,
    },
    /// Answer, then do not listen.
    Refuse(Span),
    /// Answer, then show another certificate.
    Certificate(Span),
    /// Restart the server.
    Restart(Moment, Span),
    /// Lose the quorum.
    Quorum(Moment, Span),
    /// Lose the node of the call.
    Offline(Moment, Span),
    /// Let nobody into a node any more by its firewall.
    Shut(String, Span),
}

/// For how long a fault lasts that does not say.
const SECONDS: Span = Some(10.0);

impl What {
    /// Whether it befalls requests; the others befall tasks, or are done at once.
    fn about_requests(&self) -> bool {
        match self {
            Self::Latency(_)
            | Self::Status(..)
            | Self::After(..)
            | Self::DropBefore
            | Self::DropAfter
            | Self::Refuse(_)
            | Self::Certificate(_)
            | Self::Restart(..)
            | Self::Quorum(..)
            | Self::Offline(..)
            | Self::Shut(..) => true,
            Self::Task(_) | Self::Warn(_) | Self::Killed(_) | Self::Lock { .. } => false,
        }
    }

    /// For how long it lasts, if it is one that lasts.
    fn span(&mut self) -> Option<&mut Span> {
        match self {
            Self::Lock { seconds: span, .. }
            | Self::Refuse(span)
            | Self::Certificate(span)
            | Self::Restart(_, span)
            | Self::Quorum(_, span)
            | Self::Offline(_, span)
            | Self::Shut(_, span) => Some(span),
            Self::Latency(_)
            | Self::Status(..)
            | Self::After(..)
            | Self::DropBefore
            | Self::DropAfter
            | Self::Task(_)
            | Self::Warn(_)
            | Self::Killed(_) => None,
        }
    }
}

impl Fault {
    /// Reads a fault as the module's text describes.
    ///
    /// # Errors
    /// Which part is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split(';').map(str::trim);
        let first = parts.next().unwrap_or_default();
        let (name, value) = first
            .split_once('=')
            .ok_or_else(|| format!("fault '{first}': expected WHAT=VALUE"))?;
        let what = match (name, value) {
            ("latency", millis) => What::Latency(number(millis)?),
            ("status", text) => status(text).map(|(code, text)| What::Status(code, text))?,
            ("after", text) => status(text).map(|(code, text)| What::After(code, text))?,
            ("drop", "before") => What::DropBefore,
            ("drop", "after") => What::DropAfter,
            ("task", text) => What::Task(text.to_owned()),
            ("warn", count) => What::Warn(number(count)? as u32),
            ("lock", name) => What::Lock {
                name: name.to_owned(),
                vmid: 0,
                seconds: SECONDS,
            },
            ("refuse", "after") => What::Refuse(SECONDS),
            ("certificate", "after") => What::Certificate(SECONDS),
            ("killed", moment) => What::Killed(self::moment(moment)?),
            ("restart", moment) => What::Restart(self::moment(moment)?, SECONDS),
            ("quorum", moment) => What::Quorum(self::moment(moment)?, SECONDS),
            ("offline", moment) => What::Offline(self::moment(moment)?, SECONDS),
            ("shut", node) => What::Shut(node.to_owned(), SECONDS),
            _ => {
                return Err(format!(
                    "fault '{first}': unknown; known are latency, status, after, drop=before, drop=after, task, warn, killed, lock, refuse=after, certificate=after, restart, quorum, offline, shut"
                ));
            }
        };
        let mut fault = Self {
            what,
            method: None,
            path: None,
            user: None,
            kind: None,
            id: None,
            skip: 0,
            left: Some(1),
        };
        for part in parts.filter(|part| !part.is_empty()) {
            fault.condition(part)?;
        }
        match &fault.what {
            What::Lock { vmid: 0, .. } => Err(format!("fault '{text}': lock needs ;vmid=NUMBER")),
            _ => Ok(fault),
        }
    }

    fn condition(&mut self, part: &str) -> Result<(), String> {
        let (name, value) = part
            .split_once('=')
            .ok_or_else(|| format!("fault condition '{part}': expected NAME=VALUE"))?;
        match (name, &mut self.what) {
            ("method", _) => {
                self.method = Some(
                    Method::parse(value)
                        .ok_or_else(|| format!("fault condition '{part}': unknown method"))?,
                );
            }
            ("path", _) => self.path = Some(value.to_owned()),
            ("user", _) => self.user = Some(value.to_owned()),
            ("type", _) => self.kind = Some(value.to_owned()),
            ("id", _) => self.id = Some(value.to_owned()),
            ("skip", _) => self.skip = number(value)?,
            ("count", _) if value == "*" => self.left = None,
            ("count", _) => self.left = Some(number(value)?),
            ("vmid", What::Lock { vmid, .. }) => *vmid = number(value)? as u32,
            ("seconds", what) => match what.span() {
                Some(span) if value == "*" => *span = None,
                Some(span) => *span = Some(number(value)? as f64),
                None => {
                    return Err(format!(
                        "fault condition '{part}': this fault does not last"
                    ));
                }
            },
            _ => return Err(format!("fault condition '{part}': unknown name")),
        }
        Ok(())
    }

    /// Counts a match; whether the fault acts on it.
    fn acts(&mut self) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        match &mut self.left {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| format!("fault: '{text}' is not a whole number"))
}

fn moment(text: &str) -> Result<Moment, String> {
    match text {
        "before" => Ok(Moment::Before),
        "after" => Ok(Moment::After),
        _ => Err(format!("fault: '{text}' is neither before nor after")),
    }
}

fn status(text: &str) -> Result<(u16, String), String> {
    let (code, reason) = text.split_once(' ').unwrap_or((text, "simulated failure"));
    match code.parse() {
        Ok(code) if (400..=999).contains(&code) => Ok((code, reason.to_owned())),
        _ => Err(format!("fault: '{code}' is not a status of 400 or more")),
    }
}

impl Faults {
    /// Adds a fault.
    pub fn add(&mut self, fault: Fault) {
        self.list.push(fault);
    }

    /// Forgets all faults.
    pub fn clear(&mut self) {
        self.list.clear();
    }

    /// How many faults may still act.
    #[must_use]
    pub fn left(&self) -> usize {
        self.list
            .iter()
            .filter(|fault| fault.left != Some(0))
            .count()
    }

    /// What befalls this request: latency, and at most one other thing.
    pub fn request(&mut self, method: Method, path: &str, user: &str) -> (u64, Option<What>) {
        let mut latency = 0;
        for fault in &mut self.list {
            let matches = fault.method.is_none_or(|wanted| wanted == method)
                && fault
                    .path
                    .as_deref()
                    .is_none_or(|pattern| glob(pattern, path))
                && fault.user.as_deref().is_none_or(|wanted| wanted == user);
            if fault.what.about_requests() && matches && fault.acts() {
                match &fault.what {
                    What::Latency(millis) => latency += millis,
                    other => return (latency, Some(other.clone())),
                }
            }
        }
        (latency, None)
    }

    /// The text a task is told to fail with.
    pub fn task_failure(&mut self, kind: &str, id: &str) -> Option<String> {
        self.task(kind, id, |what| match what {
            What::Task(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// How many warnings a task is told to end with.
    pub fn task_warnings(&mut self, kind: &str, id: &str) -> u32 {
        let warnings = self.task(kind, id, |what| match what {
            What::Warn(count) => Some(*count),
            _ => None,
        });
        warnings.unwrap_or(0)
    }

    /// When a task's process is killed, if it is.
    pub fn task_killed(&mut self, kind: &str, id: &str) -> Option<Moment> {
        self.task(kind, id, |what| match what {
            What::Killed(moment) => Some(*moment),
            _ => None,
        })
    }

    fn task<T>(&mut self, kind: &str, id: &str, pick: impl Fn(&What) -> Option<T>) -> Option<T> {
        for fault in &mut self.list {
            let Some(found) = pick(&fault.what) else {
                continue;
            };
            let matches = fault.kind.as_deref().is_none_or(|wanted| wanted == kind)
                && fault.id.as_deref().is_none_or(|wanted| wanted == id);
            if matches && fault.acts() {
                return Some(found);
            }
        }
        None
    }
}

/// Whether a path matches a pattern: `*` within a segment, `**` across segments.
#[must_use]
pub fn glob(pattern: &str, path: &str) -> bool {
    match (pattern.strip_prefix("**"), pattern.chars().next()) {
        (Some(rest), _) => (0..=path.len())
            .filter_map(|at| path.get(at..))
            .any(|tail| glob(rest, tail)),
        (None, Some('*')) => {
            let rest = pattern.get(1..).unwrap_or_default();
            let segment = path.find('/').unwrap_or(path.len());
            (0..=segment)
                .filter_map(|at| path.get(at..))
                .any(|tail| glob(rest, tail))
        }
        (None, Some(wanted)) => path
            .strip_prefix(wanted)
            .is_some_and(|tail| glob(pattern.get(wanted.len_utf8()..).unwrap_or_default(), tail)),
        (None, None) => path.is_empty(),
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_within_and_across_segments() {
        assert!(glob(
            "/nodes/*/qemu/*/config",
            "/nodes/pve1/qemu/100/config"
        ));
        assert!(!glob("/nodes/*/config", "/nodes/pve1/qemu/100/config"));
        assert!(glob("/nodes/**/config", "/nodes/pve1/qemu/100/config"));
        assert!(glob("**", "/anything/at/all") && glob("/ü*", "/üß") && !glob("/a", "/ab"));
    }

    #[test]
    fn what_lasts_says_for_how_long() {
        for (text, what) in [
            ("refuse=after", What::Refuse(Some(10.0))),
            (
                "restart=after;seconds=3",
                What::Restart(Moment::After, Some(3.0)),
            ),
            (
                "shut=pve2;path=/cluster/firewall/rules;seconds=*",
                What::Shut("pve2".into(), None),
            ),
            (
                "quorum=before;seconds=*",
                What::Quorum(Moment::Before, None),
            ),
        ] {
            assert_eq!(Fault::parse(text).unwrap().what, what);
        }
    }

    #[test]
    fn faults_skip_and_count() {
        let mut faults = Faults::default();
        faults.add(Fault::parse("status=500 full;method=POST;path=/pools;skip=1;count=2").unwrap());
        let mut post = || faults.request(Method::Post, "/pools", "u").1.is_some();
        assert_eq!([post(), post(), post(), post()], [false, true, true, false]);
        assert_eq!(faults.request(Method::Get, "/pools", "u"), (0, None));
        for wrong in [
            "status",
            "status=200 fine",
            "lock=backup",
            "warn=x",
            "drop=after;when=now",
            "drop=after;method=LIST",
            "drop=after;seconds=3",
            "restart=never",
            "refuse=before",
        ] {
            assert!(Fault::parse(wrong).is_err(), "{wrong}");
        }
    }
}
