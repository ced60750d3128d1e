//! Tasks: asking for their state, waiting for their end, and finding the task of a write whose answer was lost.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::call::{ApiError, Call};
use super::client::Client;
use super::errors::ErrorClass;
use super::upid::Upid;
use crate::ids::NodeName;

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskOutcome {
    /// Well.
    Ok,
    /// Well, with warnings (`WARNINGS: 2`); the work is done.
    Warnings(String),
    /// Not; Proxmox VE's words.
    Failed(String),
    /// It is over, but nobody can say how it ended: its process was killed, its log cut off or thrown away.
    Unsaid(String),
    /// Nobody can say: its node does not answer, or it ran longer than was waited for.
    Unknown(String),
}

impl TaskOutcome {
    /// What an exit status means.
    pub fn of_exit(exit: &str) -> Self {
        match exit.trim() {
            "OK" => Self::Ok,
            "" | "unexpected status" => {
                Self::Unsaid("the task ended, but its node does not say how".to_owned())
            }
            exit if exit.starts_with("WARNINGS:") => Self::Warnings(exit.to_owned()),
            exit => Self::Failed(exit.to_owned()),
        }
    }

    /// Whether the work is done.
    pub fn succeeded(&self) -> bool {
        match self {
            Self::Ok | Self::Warnings(_) => true,
            Self::Failed(_) | Self::Unsaid(_) | Self::Unknown(_) => false,
        }
    }

    /// What kind of failure it is, if it is one that says.
    pub fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Failed(text) => Some(super::errors::of_text(text)),
            Self::Ok | Self::Warnings(_) | Self::Unsaid(_) | Self::Unknown(_) => None,
        }
    }
}

/// A task found in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRef {
    /// Its name.
    pub upid: Upid,
    /// How it ended, if it ended.
    pub outcome: Option<TaskOutcome>,
}

#[derive(Deserialize)]
struct StatusAnswer {
    status: String,
    exitstatus: Option<String>,
}

#[derive(Deserialize)]
struct ListEntry {
    upid: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    endtime: Option<serde_json::Value>,
}

/// What to look for in the lists of tasks.
#[derive(Debug, Clone, Copy)]
pub struct TaskQuery<'a> {
    /// The node it would run on, if that is known.
    pub node: Option<&'a NodeName>,
    /// What it does: `qmstart`.
    pub task_type: &'a str,
    /// What it does it to: `104`.
    pub id: &'a str,
    /// For whom: the token's id.
    pub user: &'a str,
    /// Not started before, seconds since 1970 by the *node's* clock; the caller allows for a difference of clocks.
    pub since: i64,
}

impl Client {
    /// A task's outcome, or `None` while it runs.
    pub async fn task_status(&self, upid: &Upid) -> Result<Option<TaskOutcome>, ApiError> {
        let node = upid.node.as_str();
        let call = Call::get(["nodes", node, "tasks", &upid.to_string(), "status"]);
        let answer: StatusAnswer = self.get(call).await?;
        Ok((answer.status != "running")
            .then(|| TaskOutcome::of_exit(answer.exitstatus.as_deref().unwrap_or(""))))
    }

    /// Waits until a task has ended, asking every `poll` at first and less often later, for at most `patience`. That a node does
    /// not answer for a while is no end; that it never does makes the outcome unknown.
    pub async fn wait_task(&self, upid: &Upid, patience: Duration, poll: Duration) -> TaskOutcome {
        let deadline = Instant::now() + patience;
        let mut pause = poll;
        loop {
            let mut trouble = None;
            match self.task_status(upid).await {
                Ok(Some(outcome)) => return outcome,
                Ok(None) => {}
                Err(error) => match error.class() {
                    class if class.is_undetermined() || class == ErrorClass::NodeUnreachable => {
                        trouble = Some(error.to_string());
                    }
                    // The node answers, and has forgotten it.
                    ErrorClass::NotFound => return TaskOutcome::Unsaid(error.to_string()),
                    _ => return TaskOutcome::Unknown(error.to_string()),
                },
            }
            if Instant::now() + pause > deadline {
                return TaskOutcome::Unknown(trouble.unwrap_or_else(|| {
                    format!("the task still runs after {} seconds", patience.as_secs())
                }));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(poll * 8);
        }
    }

    /// The tasks a write may have started before its answer was lost, newest first: in the node's own list, and in the cluster's.
    /// An error means that neither list could be read; an empty list, that there is none *there* (the cluster's list lags by up
    /// to ten seconds and shows nothing to a token without Sys.Audit on `/`).
    pub async fn find_task(&self, query: TaskQuery<'_>) -> Result<Vec<TaskRef>, ApiError> {
        let mut failure = None;
        let mut found = Vec::new();
        if let Some(node) = query.node {
            let call = Call::get(["nodes", node.as_str(), "tasks"])
                .param("since", query.since.to_string())
                .param("source", "all")
                .param("typefilter", query.task_type)
                .param("limit", "500");
            match self.get::<Vec<ListEntry>>(call).await {
                Ok(entries) => found = matching(entries, &query),
                Err(error) => failure = Some(error),
            }
        }
        if found.is_empty() {
            match self
                .get::<Vec<ListEntry>>(Call::get(["cluster", "tasks"]))
                .await
            {
                Ok(entries) => {
                    found = matching(entries, &query);
                    // The cluster's list alone proves no absence when the node's own could not be read.
                    if !found.is_empty() {
                        failure = None;
                    }
                }
                Err(error) => failure = Some(failure.unwrap_or(error)),
            }
        }
        match failure {
            Some(error) if found.is_empty() => Err(error),
            Some(_) | None => Ok(found),
        }
    }
}

fn matching(entries: Vec<ListEntry>, query: &TaskQuery<'_>) -> Vec<TaskRef> {
    let mut found: Vec<TaskRef> = entries
        .into_iter()
        .filter_map(|entry| {
            let upid: Upid = entry.upid.parse().ok()?;
            let fits = upid.task_type == query.task_type
                && upid.id == query.id
                && upid.user == query.user
                && upid.start >= query.since
                && query.node.is_none_or(|node| *node == upid.node);
            let ended = entry.endtime.is_some_and(|end| !end.is_null());
            let outcome =
                ended.then(|| TaskOutcome::of_exit(entry.status.as_deref().unwrap_or("")));
            fits.then_some(TaskRef { upid, outcome })
        })
        .collect();
    found.sort_by(|a, b| (b.upid.start, &b.upid).cmp(&(a.upid.start, &a.upid)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_statuses_are_judged() {
        assert_eq!(TaskOutcome::of_exit("OK"), TaskOutcome::Ok);
        assert!(TaskOutcome::of_exit("WARNINGS: 1").succeeded());
        assert!(matches!(
            TaskOutcome::of_exit("unexpected status"),
            TaskOutcome::Unsaid(_)
        ));
        assert_eq!(
            TaskOutcome::of_exit("VM is locked (backup)").class(),
            Some(ErrorClass::Locked {
                lock: "backup".into()
            })
        );
    }
}
