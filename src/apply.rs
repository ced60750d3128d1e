//! Applying: the executor of approved plans. It makes no choices; whatever it needs to know is in the plan. Intent is durable
//! before the wire and the task's UPID right after, so that a run killed at any instruction resumes: no step twice, none lost.
//!
//! The executor sees the cluster through [`port::Live`] and the store through [`port::Journal`]; the service puts the real ones in.

pub mod cluster;
pub mod effect;
pub mod executor;
pub mod journal;
pub mod port;
pub mod preconditions;
mod read_back;
pub mod secret_file;
mod shown_once;
pub mod step;
pub mod touched;
mod trial;

pub use crate::world::requests;
pub use executor::{Executor, Limits, RunEnd};
pub use step::NOT_AS_PREDICTED;
