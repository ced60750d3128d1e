//! The service: the questions and requests every face offers. A face translates; what is allowed and what follows is decided here.
//! There is one gate: the only way to a mutation is [`Service::run`] of a plan whose approvals satisfy the policy now.

mod accept;
pub mod after;
pub mod agents;
pub mod can;
pub mod clean_up;
pub mod decide;
pub mod diagnose;
pub mod doctor;
pub mod drift;
pub mod error;
mod events;
pub mod freeze;
pub mod import;
pub mod inbox;
pub mod incoming;
pub mod init;
pub mod ledger;
pub mod measure;
mod notify;
pub mod open;
pub mod planning;
pub mod plans;
pub mod reach;
pub mod recipe;
pub mod resources;
pub mod run;
pub mod served;
pub mod settle;
pub mod show;
pub mod sources;
mod status;
pub mod submit;
pub mod suspend;
pub mod upkeep;
pub mod withdraw;
pub mod worlds;

pub use error::ServiceError;
pub use inbox::{Outcome, Receipt};
pub use open::{Environment, Service, Tuning};
pub use planning::Standing;
pub use recipe::{Recipe, Text};
pub use run::{RunReport, RunResult};
pub use submit::{Planned, Submission};
