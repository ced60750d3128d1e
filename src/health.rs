//! Health: what every entity can do and has, facet by facet, as a pure function of a world. The blast radius of a plan is health
//! before against health after (and in between); nothing here knows of plans or steps.

pub mod access;
mod backups;
mod cluster;
mod evaluate;
mod findings;
mod fit;
mod gaps;
mod guest;
pub mod model;
mod notes;
mod principals;
mod protection;
pub mod reach;
mod reach_of;
mod summary;
mod touched;
mod usable;

pub use backups::{Backups, Place, minute};
pub use cluster::{memory_in, memory_of};
pub use evaluate::{Key, advance, evaluate, reevaluate};
pub use findings::{Finding, Scope, Severity, Unseen, findings};
pub use fit::fit;
pub use gaps::{Gap, completeness_needed};
pub use model::*;
pub use notes::{contents, hidden_clones, notes, tenants};
pub use principals::{DECIDING, affected, deciding, undecided};
pub use protection::selects;
pub use reach_of::{Moment, reach_model, reach_model_of, reach_refusal};
pub use summary::{Worse, is_worse, summary};

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests;
