//! Bailiwick: a reconciling controller for Proxmox VE that AI agents may write to and only people may approve.
//!
//! Rooms stand above what they import; nothing imports upwards. ARCHITECTURE.md is the map.

pub mod document;
pub mod health;
pub mod ids;
pub mod plan;
pub mod proxmox;
pub mod world;
