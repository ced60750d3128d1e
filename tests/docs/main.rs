//! The documentation is true: every example in `docs/` is run, or parsed by what would read it, every link leads somewhere, and what
//! is told as a list is the list of the code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

mod facts;
mod links;
mod pages;
mod quickstart;
mod samples;
mod shell;
