//! The store: everything Bailiwick must not forget, in one SQLite file (WAL, full sync), and the one way to change it.
//!
//! Changes go through a [`Transaction`]: the change of state and its ledger record commit together or not at all, and a transaction
//! that changed something without recording it cannot be committed. One connection writes, a few read; other processes may use the
//! same file. Documents, plans and the rest are kept as JSON text whose meaning belongs to the rooms above: this room imports only
//! identities and the ledger, reads no clock (the caller says what time it is) and decides nothing.

mod agents;
mod approvals;
mod conditions;
mod counts;
mod documents;
mod error;
mod events;
mod freezes;
mod inbox;
mod lock;
mod open;
mod ownership;
mod plan_pages;
mod plans;
mod records;
mod runs;
mod served_apis;
mod sources;
mod steps;
mod transaction;
mod triggers;
mod webhooks;
mod words;

pub use agents::{NewToken, Token, TokenHash};
pub use approvals::{Approval, ApprovalId, Decision, NewApproval};
pub use conditions::{Condition, ConditionStatus, ConditionType, NewCondition};
pub use counts::{KindCount, PlanCount, RunCount};
pub use documents::{Document, DocumentVersion, NewDocument, Put};
pub use error::{NotUsable, StoreError};
pub use events::{Event, EventFilter, EventType, NewEvent};
pub use freezes::{Freeze, FreezeId, FreezeScope, NewFreeze};
pub use inbox::{NewSubmission, StoredSubmission, SubmissionState};
pub use lock::{LoopLock, RunLock};
pub use open::Store;
pub use ownership::Owned;
pub use plan_pages::{PlanFilter, PlanPlace};
pub use plans::{
    ActiveDocument, NewPlan, Parent, Plan, PlanDocument, PlanHead, PlanInserted, PlanState,
};
pub use records::{LedgerPages, RecordFilter};
pub use runs::{Run, RunId, RunState};
pub use served_apis::ServedApi;
pub use sources::{SourceState, SuspendScope, Suspension};
pub use steps::{RunStep, StepOutcome, StepRef, StepState};
pub use transaction::Transaction;
pub use triggers::Trigger;
pub use webhooks::WebhookState;
