//! The world: everything observed of one cluster at one time, typed, with a completeness mark per part. Reading it is
//! `world::observe`, predicting what a step makes of it is `world::predict`; the model itself knows neither.

pub mod model;

pub use model::*;
