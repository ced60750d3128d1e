//! Bailiwick: a reconciling controller for Proxmox VE that AI agents may write to and only people may approve.
//!
//! Rooms stand above what they import; nothing imports upwards. ARCHITECTURE.md is the map.

pub mod apply;
pub mod approval;
pub mod cli;
pub mod configuration;
pub mod document;
pub mod document_files;
pub mod health;
pub mod ids;
pub mod ledger;
pub mod metrics;
pub mod notify;
pub mod plan;
pub mod proxmox;
pub mod service;
pub mod sim;
pub mod store;
pub mod world;
