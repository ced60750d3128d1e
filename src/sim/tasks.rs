//! Tasks: work that a call starts and that is done later.
//!
//! A task is described by a [`TaskSpec`] and an effect. The handler does at once what Proxmox VE does before it forks
//! the worker (checks, setting `lock: clone`); the effect happens when the task's simulated duration is over. Nothing runs
//! in the background: [`Cluster::tick`] performs what has become due, in order, before each request.

use serde_json::{Value, json};

use super::call::Auth;
use super::faults::Moment;
use super::router::NO_QUORUM;
use super::state::Cluster;

/// The exit status of a task whose log ends without one.
const CUT_OFF: &str = "unexpected status";

/// What a task's log gathers.
#[derive(Debug, Clone, Default)]
pub struct TaskLog {
    /// Lines so far.
    pub lines: Vec<String>,
    /// Warnings so far: a task that ends well with some ends `WARNINGS: n`.
    pub warnings: u32,
}

impl TaskLog {
    /// Adds a line.
    pub fn say(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    /// Adds a warning.
    pub fn warn(&mut self, line: impl std::fmt::Display) {
        self.lines.push(format!("WARN: {line}"));
        self.warnings += 1;
    }
}

/// What happens when a task ends: changes the cluster and writes the log; an error is the task's `exitstatus`.
pub type Effect = Box<dyn FnOnce(&mut Cluster, &mut TaskLog) -> Result<(), String> + Send>;
/// What undoes the beginning of a task that is stopped or told to fail.
pub type Abort = Box<dyn FnOnce(&mut Cluster, &mut TaskLog) + Send>;

/// A task about to be started.
pub struct TaskSpec {
    node: String,
    kind: String,
    id: String,
    auth: Auth,
    seconds: f64,
    log: TaskLog,
    abort: Option<Abort>,
}

impl TaskSpec {
    /// A task of `kind` (`qmcreate`) about `id` (usually the VMID) on `node`, lasting one simulated second.
    pub fn new(node: &str, kind: &str, id: impl std::fmt::Display, auth: &Auth) -> Self {
        Self {
            node: node.into(),
            kind: kind.into(),
            id: id.to_string(),
            auth: auth.clone(),
            seconds: 1.0,
            log: TaskLog::default(),
            abort: None,
        }
    }

    /// How long it lasts, in simulated seconds.
    #[must_use]
    pub fn lasting(mut self, seconds: f64) -> Self {
        self.seconds = seconds;
        self
    }

    /// A line the log has from the beginning.
    #[must_use]
    pub fn saying(mut self, line: impl Into<String>) -> Self {
        self.log.say(line);
        self
    }

    /// What to undo if the task is stopped or told to fail before its effect.
    #[must_use]
    pub fn on_abort(
        mut self,
        abort: impl FnOnce(&mut Cluster, &mut TaskLog) + Send + 'static,
    ) -> Self {
        self.abort = Some(Box::new(abort));
        self
    }
}

/// A task, running or ended.
pub struct Task {
    /// `UPID:node:pid:pstart:starttime:type:id:user:`.
    pub upid: String,
    /// Its node.
    pub node: String,
    /// Its type.
    pub kind: String,
    /// What it is about; may be empty.
    pub id: String,
    /// Who started it.
    pub auth: Auth,
    /// Process number in the UPID.
    pub pid: u32,
    /// Process start ticks in the UPID.
    pub pstart: u32,
    /// UNIX time of its start.
    pub start: i64,
    /// UNIX time of its end.
    pub end: Option<i64>,
    /// `OK`, `WARNINGS: n` or an error text, once it ended.
    pub exit: Option<String>,
    /// Its log.
    pub log: TaskLog,
    pending: Option<(Effect, Option<Abort>)>,
}

/// All tasks, oldest first.
#[derive(Default)]
pub struct Tasks {
    list: Vec<Task>,
    due: std::collections::BTreeMap<(u64, u64), Due>,
    count: u64,
}

enum Due {
    Task(String),
    Timer(Box<dyn FnOnce(&mut Cluster) + Send>),
}

impl Tasks {
    /// Every task, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Task> {
        self.list.iter()
    }

    /// The task with this UPID.
    #[must_use]
    pub fn find(&self, upid: &str) -> Option<&Task> {
        self.list.iter().rev().find(|task| task.upid == upid)
    }

    fn find_mut(&mut self, upid: &str) -> Option<&mut Task> {
        self.list.iter_mut().rev().find(|task| task.upid == upid)
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn millis(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64
}

impl Cluster {
    /// Starts a task; the answer is its UPID, as a handler returns it.
    pub fn spawn(
        &mut self,
        spec: TaskSpec,
        effect: impl FnOnce(&mut Cluster, &mut TaskLog) -> Result<(), String> + Send + 'static,
    ) -> Value {
        let TaskSpec {
            node,
            kind,
            id,
            auth,
            seconds,
            log,
            abort,
        } = spec;
        self.tasks.count += 1;
        let pid = 1000 + (self.tasks.count as u32 % 3_000_000);
        let pstart = (self.clock.elapsed() * 100.0) as u32 % 0x7fff_ffff + 0x1000;
        let start = self.clock.unix();
        let upid = format!(
            "UPID:{node}:{pid:08X}:{pstart:08X}:{start:08X}:{kind}:{id}:{}:",
            auth.id
        );
        self.tasks.list.push(Task {
            upid: upid.clone(),
            node,
            kind,
            id,
            auth,
            pid,
            pstart,
            start,
            end: None,
            exit: None,
            log,
            pending: Some((Box::new(effect), abort)),
        });
        let due = (
            millis(self.clock.elapsed() + seconds.max(0.0)),
            self.tasks.count,
        );
        self.tasks.due.insert(due, Due::Task(upid.clone()));
        if seconds <= 0.0 {
            self.tick();
        }
        json!(upid)
    }

    /// Starts a task that fails at once with this text: Proxmox VE answers 200 and the worker's first check fails.
    pub fn spawn_failed(&mut self, spec: TaskSpec, text: impl Into<String>) -> Value {
        let text = text.into();
        self.spawn(spec.lasting(0.0), move |_, _| Err(text))
    }

    /// Does something after so many simulated seconds, outside any task (the HA manager's rounds, for one).
    pub fn after(&mut self, seconds: f64, work: impl FnOnce(&mut Cluster) + Send + 'static) {
        self.tasks.count += 1;
        let due = (
            millis(self.clock.elapsed() + seconds.max(0.0)),
            self.tasks.count,
        );
        self.tasks.due.insert(due, Due::Timer(Box::new(work)));
    }

    /// Performs everything that has become due.
    pub fn tick(&mut self) {
        loop {
            let now = self.clock.elapsed();
            let due = self.tasks.due.first_key_value().map(|((due, _), _)| *due);
            match due.filter(|due| *due <= millis(now)) {
                #[allow(clippy::cast_precision_loss)]
                Some(due) => self.publish_before(due as f64 / 1000.0),
                None => return self.publish_before(now),
            }
            match self.tasks.due.pop_first() {
                Some((_, Due::Timer(work))) => work(self),
                Some((_, Due::Task(upid))) => self.finish(&upid),
                None => return,
            }
        }
    }

    /// Whether a task runs or a timer waits.
    #[must_use]
    pub fn busy(&self) -> bool {
        !self.tasks.due.is_empty()
    }

    fn finish(&mut self, upid: &str) {
        let Some(task) = self.tasks.find_mut(upid) else {
            return;
        };
        let Some((effect, abort)) = task.pending.take() else {
            return;
        };
        let mut log = std::mem::take(&mut task.log);
        let (kind, id) = (task.kind.clone(), task.id.clone());
        let killed = self.faults.task_killed(&kind, &id);
        let told = match killed {
            Some(Moment::Before) => Some(CUT_OFF.to_owned()),
            Some(Moment::After) | None => self.faults.task_failure(&kind, &id),
        };
        let told = told.or_else(|| (!self.quorate()).then(|| NO_QUORUM.to_owned()));
        let result = match told {
            Some(text) => {
                if let Some(abort) = abort {
                    abort(self, &mut log);
                }
                Err(text)
            }
            None => effect(self, &mut log),
        };
        if let (Ok(()), Some(task)) = (&result, self.tasks.find(upid)) {
            let (who, what) = (
                task.auth.id.clone(),
                format!("{kind} {id} on {}", task.node),
            );
            self.count_effect(&who, what);
        }
        let result = match killed {
            Some(_) => Err(CUT_OFF.to_owned()),
            None => result,
        };
        log.warnings += self.faults.task_warnings(&kind, &id);
        self.close(upid, log, result);
    }

    /// Stops a running task: its beginning is undone and its effect never happens.
    pub fn stop_task(&mut self, upid: &str) {
        let Some(task) = self.tasks.find_mut(upid) else {
            return;
        };
        let Some((_, abort)) = task.pending.take() else {
            return;
        };
        let mut log = std::mem::take(&mut task.log);
        if let Some(abort) = abort {
            abort(self, &mut log);
        }
        self.close(upid, log, Err("interrupted by signal".into()));
    }

    fn close(&mut self, upid: &str, mut log: TaskLog, result: Result<(), String>) {
        let end = self.clock.unix();
        let exit = match result {
            Ok(()) if log.warnings > 0 => format!("WARNINGS: {}", log.warnings),
            Ok(()) => "OK".into(),
            Err(text) => text.replace('\n', " "),
        };
        // The process that would have said how it ended is no more.
        if exit != CUT_OFF {
            log.say(last_line(&exit));
        }
        if let Some(task) = self.tasks.find_mut(upid) {
            task.log = log;
            task.end = Some(end);
            task.exit = Some(exit);
        }
    }
}

fn last_line(exit: &str) -> String {
    match exit {
        "OK" => "TASK OK".into(),
        warnings if warnings.starts_with("WARNINGS: ") => format!("TASK {warnings}"),
        text => format!("TASK ERROR: {text}"),
    }
}
