//! Who may do what, by Proxmox VE's own algorithm.
//!
//! A path is walked from `/` down. Where entries of the access control list apply to a principal, they *replace* what came from
//! above; a principal's own entries come before those of its groups, and an entry that does not propagate counts at exactly its
//! path. `NoAccess` wins over every other role. The roles held on a pool are added on its members. A token with privilege
//! separation has what both it and its owner have, one without has what its owner has; `root@pam` has everything.
//!
//! [`Access::on`] answers one question with the entries that decide it; [`Matrix`] works out every principal on every path, and
//! [`difference`] says who gains and loses what between two of them. The two ways of working share the input and nothing else.

mod answer;
mod bits;
mod decision;
mod difference;
mod input;
mod intern;
mod login;
mod matrix;
mod path;

pub use answer::{Access, Answer, Basis, Entries, Roles, Through};
pub use decision::Decision;
pub use difference::{Change, difference};
pub use input::{Configuration, Entry, NO_ACCESS, Pool, ROOT, Subject, Token, User, owner};
pub use login::Refusal;
pub use matrix::Matrix;
pub use path::{ancestors, normal, parent};

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests;
