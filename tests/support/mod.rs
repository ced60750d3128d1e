//! What integration tests share: the contract with Proxmox VE's API schema, and plays against the simulator.

#![allow(dead_code)] // each test binary uses a part

pub mod agents;
pub mod contract;
pub mod desk;
pub mod play;
pub mod serving;
