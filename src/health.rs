//! Health: what every entity can do and has, facet by facet, as a pure function of a world. The blast radius of a plan is health
//! before against health after (and in between); nothing here knows of plans or steps.

pub mod model;

pub use model::*;
