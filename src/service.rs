//! The service: the questions and requests every face offers. A face translates; what is allowed and what follows is decided here.
//! There is one gate: the only way to a mutation is [`Service::run`] of a plan whose approvals satisfy the policy now.

mod accept;
pub mod decide;
pub mod doctor;
pub mod error;
pub mod freeze;
pub mod import;
pub mod init;
pub mod ledger;
pub mod open;
pub mod planning;
pub mod recipe;
pub mod run;
pub mod show;
pub mod submit;

pub use error::ServiceError;
pub use open::{Environment, Service, Tuning};
pub use planning::Standing;
pub use recipe::{Recipe, Text};
pub use run::{RunReport, RunResult};
pub use submit::{Planned, Submission};
