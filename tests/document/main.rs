//! Documents from the outside: what people read when something is wrong, what generated files may say, and laws that hold for every document.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod coverage;
mod desired;
mod errors;
mod import;
mod laws;
mod schemas;
