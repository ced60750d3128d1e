//! Faults, as a matrix: every kind of step against everything that can go wrong while it is done. Each play runs an approved plan
//! against a simulator of its own with one fault, and then runs on until nothing is left to do. The simulator's own count of what
//! was done, not the controller's, says that nothing was done twice and nothing was left out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

#[path = "../support/mod.rs"]
mod support;

mod columns;
mod kinds;
mod lab;
mod matrix;
mod simulator;
mod stage;
