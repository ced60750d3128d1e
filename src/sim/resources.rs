//! `/cluster/resources`: what nodes have published, which is older than what is.

use std::collections::BTreeMap;

/// What nodes published last about their guests.
#[derive(Debug, Default)]
pub struct Published {
    /// When, in simulated seconds since the start.
    pub at: Option<f64>,
    /// By guest.
    pub guests: BTreeMap<u32, ()>,
}
