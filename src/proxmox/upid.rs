//! UPIDs, the names Proxmox VE gives to tasks: where a task runs, what it does, to what, and for whom. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{InvalidId, NodeName};

/// A task's name: `UPID:node:pid:pstart:starttime:type:id:user:`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Upid {
    /// The node the task runs on; its state and log are there and nowhere else.
    pub node: NodeName,
    /// The process.
    pub pid: u32,
    /// When the process started, in clock ticks since the node's boot.
    pub process_start: u64,
    /// When the task started, seconds since 1970.
    pub start: i64,
    /// What it does: `qmstart`, `vzdump`, …
    pub task_type: String,
    /// What it does it to, a VMID mostly; may be empty.
    pub id: String,
    /// For whom, a token with its id: `root@pam!bailiwick`.
    pub user: String,
}

impl fmt::Display for Upid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "UPID:{}:{:08X}:{:08X}:{:08X}:{}:{}:{}:",
            self.node, self.pid, self.process_start, self.start, self.task_type, self.id, self.user
        )
    }
}

impl FromStr for Upid {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        parse(text).ok_or_else(|| InvalidId {
            what: "task id (UPID)",
            text: text.to_owned(),
            expected: "`UPID:node:pid:pstart:starttime:type:id:user:`",
        })
    }
}

fn hex(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<u64> {
    (digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit()))
        .then(|| u64::from_str_radix(text, 16).ok())
        .flatten()
}

fn parse(text: &str) -> Option<Upid> {
    let mut parts = text.split(':');
    let mut next = || parts.next();
    if next()? != "UPID" {
        return None;
    }
    let upid = Upid {
        node: NodeName::new(next()?).ok()?,
        pid: u32::try_from(hex(next()?, 8..=8)?).ok()?,
        process_start: hex(next()?, 8..=9)?,
        start: i64::try_from(hex(next()?, 8..=8)?).ok()?,
        task_type: next().filter(|t| !t.is_empty())?.to_owned(),
        id: next()?.to_owned(),
        user: next().filter(|t| !t.is_empty())?.to_owned(),
    };
    let no_space = |t: &str| {
        !t.chars()
            .any(|c| c.is_whitespace() || c.is_control() || c == '/')
    };
    (next() == Some("")
        && next().is_none()
        && no_space(&upid.task_type)
        && no_space(&upid.id)
        && no_space(&upid.user))
    .then_some(upid)
}

impl TryFrom<String> for Upid {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<Upid> for String {
    fn from(upid: Upid) -> String {
        upid.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_writes_a_real_one() {
        let text = "UPID:pve1:0000C530:001C9BEC:69151F5C:qmstart:100:root@pam!test:";
        let upid: Upid = text.parse().unwrap();
        assert_eq!(upid.node.as_str(), "pve1");
        assert_eq!(upid.id, "100");
        assert_eq!(upid.user, "root@pam!test");
        assert_eq!(upid.to_string(), text);
    }

    #[test]
    fn an_empty_id_is_fine_and_rubbish_is_not() {
        assert!(
            "UPID:n:00000001:00000001:00000001:srvreload::root@pam:"
                .parse::<Upid>()
                .is_ok()
        );
        for bad in [
            "",
            "UPID:n:1:00000001:00000001:t:1:u:",
            "UPID:n:00000001:00000001:00000001:t:1:u",
            "UPID:n:00000001:00000001:00000001:t:1:u::",
            "UPID:n:00000001:00000001:00000001::1:u:",
            "UPID:n:+0000001:00000001:00000001:t:1:u:",
            "UPID:n:00000001:00000001:00000001:t:../x:u:",
        ] {
            assert!(bad.parse::<Upid>().is_err(), "{bad}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn print_then_parse_is_identity(pid: u32, ps in 0u64..0xF_FFFF_FFFF, start in 0i64..0xFFFF_FFFF, id in "[a-z0-9@.-]{0,8}") {
            let upid = Upid { node: NodeName::new("pve-1").unwrap(), pid, process_start: ps, start, task_type: "vzdump".into(), id, user: "a@pve!b".into() };
            prop_assert_eq!(upid.to_string().parse::<Upid>().unwrap(), upid);
        }
    }
}
