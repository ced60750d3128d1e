//! Sources against the real `git`: local bare repositories, and one over https on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

mod bench;
mod documentation;
mod hostile;
mod https;
mod laws;
mod program;
mod reading;
mod signed;
mod status;
