//! Option groups that virtual machines and containers share.

use super::options::{Field, options, property_strings, words};
use super::scalar::SshKey;

words! {
    /// Whether a guest shall run.
    pub enum PowerState { Running = "running", Stopped = "stopped" }
}

options! {
    /// When a guest starts and stops with its node.
    pub struct Startup {
        /// Position in the order of starting, 0 first; stopping goes the other way round.
        order: Field<u32> = "order",
        /// Seconds to wait after this guest started before the next one starts.
        up: Field<u32> = "up",
        /// Seconds to wait for this guest to stop before the next one is stopped.
        down: Field<u32> = "down",
    }
}
property_strings!(Startup);

/// SSH public keys as `LINE\nLINE` text.
pub fn ssh_key_lines(keys: &[SshKey]) -> String {
    keys.iter()
        .map(SshKey::as_str)
        .collect::<Vec<_>>()
        .join("\n")
}
