//! The simulator: a Proxmox VE cluster that exists only in memory, served over TLS from a world file.
//!
//! It is written from what Proxmox VE does, on raw configuration text as Proxmox VE works, and imports nothing of the
//! rest of this crate: were it to share code with what it checks, agreement would prove nothing.

pub mod acl;
pub mod call;
pub mod clock;
pub mod faults;
pub mod files;
pub mod formats;
pub mod guest;
pub mod ha;
pub mod options;
pub mod params;
pub mod resources;
pub mod roles;
pub mod router;
pub mod section_config;
pub mod state;
pub mod tasks;
pub mod users;
pub mod volumes;
pub mod worldfile;
