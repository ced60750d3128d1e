//! MCP as agents meet it: over real HTTP and over standard input and output, against the simulated cluster.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod door;
mod guide;
mod handing_in;
mod load;
mod nothing_acts;
mod stdio;
mod strangers_text;
mod tools;

/// A document that gives vm/102 more memory: a plan with one step.
pub const MAIL: &str = "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {name: mail}\nspec: {vmid: 102, memory: {size: 6Gi}}\n";
