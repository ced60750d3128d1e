//! The simulator: a Proxmox VE cluster that exists only in memory, served over TLS from a world file.
//!
//! It is written from what Proxmox VE does, on raw configuration text as Proxmox VE works, and imports nothing of the
//! rest of this crate: were it to share code with what it checks, agreement would prove nothing.

pub mod access;
pub mod accounts;
pub mod acl;
pub mod arguments;
pub mod auth;
pub mod backups;
pub mod calendar;
pub mod call;
pub mod clock;
pub mod cluster;
pub mod content;
pub mod door;
pub mod downloads;
pub mod faults;
pub mod files;
pub mod firewall;
pub mod formats;
pub mod groups;
pub mod guest;
pub mod ha;
pub mod ha_api;
pub mod ha_rules;
pub mod ha_status;
pub mod http;
pub mod jobs;
pub mod log;
pub mod nodes;
pub mod options;
pub mod params;
pub mod pools;
pub mod realms;
pub mod replication;
pub mod resources;
pub mod roles;
pub mod router;
pub mod section_config;
pub mod server;
pub mod state;
pub mod storage;
pub mod tasks;
pub mod tasks_api;
pub mod tls;
pub mod users;
pub mod viewer;
pub mod volumes;
pub mod worldfile;

pub use arguments::Arguments;
pub use faults::Fault;
pub use log::Entry;
pub use server::{Options, Running, SimError, start};

/// All routes of the simulated API.
#[must_use]
pub fn routes() -> Vec<router::Route> {
    [
        cluster::routes(),
        access::routes(),
        accounts::routes(),
        realms::routes(),
        groups::routes(),
        nodes::routes(),
        storage::routes(),
        content::routes(),
        downloads::routes(),
        pools::routes(),
        jobs::routes(),
        backups::routes(),
        replication::routes(),
        ha_api::routes(),
        ha_rules::routes(),
        ha_status::routes(),
        tasks_api::routes(),
        firewall::routes(),
        guest::routes(),
    ]
    .concat()
}
