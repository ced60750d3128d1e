//! Why there is no plan. Every problem of every document is reported at once; each names the document, what stands in the way, and
//! what to do about it.

use std::fmt;

/// Nothing was planned, for these reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanError {
    /// Every problem found, in the order of the documents. Never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [problem] => write!(f, "nothing was planned: {problem}"),
            problems => {
                write!(f, "nothing was planned, for {} reasons:", problems.len())?;
                for problem in problems {
                    write!(f, "\n  {problem}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for PlanError {}

/// One problem of one document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The document: `VirtualMachine/web-7`; empty if it is about the plan as a whole.
    pub document: String,
    /// The field in Proxmox VE's words (`memory`, `scsi0.size`), or empty if it is about the whole document.
    pub field: String,
    /// What is wrong.
    pub reason: Reason,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.document.as_str(), self.field.as_str()) {
            ("", "") => {}
            (document, "") => write!(f, "{document}: ")?,
            ("", field) => write!(f, "{field}: ")?,
            (document, field) => write!(f, "{document}: {field}: ")?,
        }
        self.reason.fmt(f)
    }
}

/// What stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[allow(missing_docs)] // each field is what the message says
pub enum Reason {
    #[error("there is no {what} `{name}`, and no document of this plan makes one{nearest}")]
    NoSuch {
        what: &'static str,
        name: String,
        nearest: String,
    },
    #[error(
        "storage `{storage}` is not available on node `{node}`; choose another storage or widen its `nodes`"
    )]
    NotOnNode { storage: String, node: String },
    #[error(
        "storage `{storage}` does not hold `{content}`; add it to the storage's `content` or choose another storage"
    )]
    NoContent { storage: String, content: String },
    #[error(
        "the disk has {now} and the document asks for {wanted}; disks never shrink, so write {now} or more"
    )]
    Shrink { now: String, wanted: String },
    #[error(
        "{object} is a {is}, and the document is about a {wanted}; VMIDs are unique in a cluster, so name another"
    )]
    OtherKind {
        object: String,
        is: &'static str,
        wanted: &'static str,
    },
    #[error(
        "{object} is owned by {owner} of {owner_source}; {document} of {source_here} cannot own it too: remove one of the two documents, or have this one take it over with the annotation `bailiwick.dev/take-over: {owner_source}`"
    )]
    OwnedByAnother {
        object: String,
        owner: String,
        owner_source: String,
        document: String,
        source_here: String,
    },
    #[error(
        "{object} was taken over by {owner} of {owner_source}, so this document owns nothing and makes nothing in its place: remove it, or take {object} back with the annotation `bailiwick.dev/take-over: {owner_source}`"
    )]
    TakenOver {
        object: String,
        owner: String,
        owner_source: String,
    },
    #[error(
        "`bailiwick.dev/take-over` names `{named}`, and {object} is owned by {owner}: name its owner, or leave the annotation out"
    )]
    NotTheOwner {
        object: String,
        named: String,
        owner: String,
    },
    #[error("{object} is asked for by {other} too; an object has one document")]
    Twice { object: String, other: String },
    #[error(
        "{object} is not the guest this document owns: that was {owned}, this is {live}; somebody made it anew, so withdraw the document or adopt it by naming its VMID in a new one"
    )]
    NotTheSame {
        object: String,
        owned: String,
        live: String,
    },
    #[error(
        "Proxmox VE lets only root@pam itself set `{key}`, no token; set it by hand and leave it out of the document"
    )]
    RootOnly { key: String },
    #[error(
        "`{key}` of a storage is fixed once it exists (now `{now}`, asked for `{wanted}`); delete the storage and define it anew"
    )]
    FixedKey {
        key: String,
        now: String,
        wanted: String,
    },
    #[error("{object} is a template, and a template does not run; leave `powerState` out")]
    TemplatePower { object: String },
    #[error("{why}")]
    Ambiguous { why: String },
    #[error(
        "snapshot `{snapshot}` refers to {volume}, and a move with deletion of the source would break it; remove the snapshot first"
    )]
    SnapshotHolds { snapshot: String, volume: String },
    #[error("{why}")]
    Refused { why: String },
    #[error("{what} could not be read ({why}), so nothing can be planned on it")]
    Unreadable { what: String, why: String },
    #[error("the secret `{from}` could not be read, so it is unknown whether it changed")]
    NoSecret { from: String },
    #[error(
        "every VMID from {first} to {last} is taken or still named by jobs, access rules or volumes; widen the range in the configuration or name a `vmid`"
    )]
    NoVmidLeft { first: u32, last: u32 },
    #[error(
        "the controller's token lacks `{privilege}` on `{path}`; grant it, or this cannot be done: {step}"
    )]
    NoPrivilege {
        privilege: String,
        path: String,
        step: String,
    },
    #[error(
        "this takes something from the controller itself, and could leave it unable to go on or to take it back:\n    {what}\n    {causes}\n  It is refused unless the operator's configuration says `allowControllerLoss: true` for this cluster."
    )]
    ControllerLoses { what: String, causes: String },
    #[error(
        "this cluster runs Proxmox VE {version}, which has {lack}; leave it out or upgrade the cluster, or this cannot be done: {step}"
    )]
    NotInVersion {
        version: String,
        lack: String,
        step: String,
    },
    #[error(
        "these steps wait for each other, which is a mistake of Bailiwick's; please report it: {steps}"
    )]
    Circle { steps: String },
}
