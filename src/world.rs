//! The world: everything observed of one cluster at one time, typed, with a completeness mark per part; what can be done to it
//! ([`action`]); and what that makes of it ([`predict`]). Reading it is [`observe()`], keeping it up to date [`watch`]; the model
//! itself knows none of them.

pub mod action;
pub mod firewall;
pub mod model;
pub mod observe;
pub mod predict;
pub mod requests;
pub mod safety_copy;
pub mod shared;
#[doc(hidden)]
pub mod testing;
pub mod views;
pub mod watch;

pub use action::{
    AccountAction, Action, Element, FirewallAction, Param, Params, PowerAction, RuleList, Site,
};
pub use model::*;
pub use observe::{ObserveError, ObserveSettings, observe};
pub use predict::{
    Unpredictable, displaced, held_by_replication, replication_refusals, snapshot_refused,
    snapshot_stays, surprises,
};
pub use safety_copy::SafetyNote;
pub use shared::Shared;
pub use watch::{Changed, Cycle, Watch, WatchSettings};
