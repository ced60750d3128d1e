//! Plans: the pure function from documents, ownership and a world to an immutable, content-addressed set of ordered steps with
//! impacts and risk. No I/O, no clock, no randomness: the same inputs give the same bytes.

pub mod model;

pub use model::*;
