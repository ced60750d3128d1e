//! Guests: their routes, and what the rest of the simulator asks of them.
//!
//! The rooms below `guest/` serve `/nodes/{node}/qemu` and `/nodes/{node}/lxc`; this file is the door. From pure to
//! effectful: texts (`conf`, `props`, `formats`, `keys`, `size`, `drive`, `hotplug`), checks (`access`, `permits`,
//! `startable`, `obstacles`, `feature`), then one file per kind of call.

pub mod access;
pub mod apply;
pub mod clone;
pub mod cloudinit;
pub mod conf;
pub mod create_ct;
pub mod create_vm;
pub mod destroy;
pub mod disks;
pub mod drive;
pub mod feature;
pub mod formats;
pub mod forms;
pub mod hotplug;
pub mod keys;
pub mod kind;
pub mod migrate;
pub mod normalize;
pub mod obstacles;
pub mod permits;
pub mod power;
pub mod props;
pub mod read;
pub mod reassign;
#[cfg(test)]
pub(crate) mod recorded;
pub mod relocate;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod replay;
pub mod resize;
pub mod restore;
#[cfg(test)]
mod schema;
pub mod size;
pub mod snapshot;
pub mod startable;
pub mod table;
mod table_ct;
mod table_vm;
pub mod template;
pub mod update_ct;
pub mod update_vm;
pub mod vzdump;

use super::router::Route;
use super::state::{Cluster, Guest};
use super::tasks::TaskLog;

/// All routes of guests.
#[must_use]
pub fn routes() -> Vec<Route> {
    table::routes()
}

/// A guest's name: what its configuration says, or `VM 100` and `CT100`.
#[must_use]
pub fn name(cluster: &Cluster, guest: &Guest) -> String {
    access::reload(cluster, guest).map_or_else(
        |_| format!("{} {}", guest.kind.noun(), guest.vmid),
        |loaded| read::name(&loaded.config, guest),
    )
}

/// Starts a guest at once, as the HA manager does.
///
/// # Errors
/// What the start task would fail with.
pub fn power_on(cluster: &mut Cluster, guest: &Guest) -> Result<(), String> {
    power::start_now(cluster, guest, &mut TaskLog::default())
}

/// Stops a guest at once, as the HA manager does.
///
/// # Errors
/// What the stop task would fail with: a lock, or no configuration.
pub fn power_off(cluster: &mut Cluster, guest: &Guest) -> Result<(), String> {
    access::check_lock(&access::reload(cluster, guest)?.config)?;
    cluster.running.remove(&guest.vmid);
    Ok(())
}

/// Moves a guest to another node, running or not, as the HA manager does.
///
/// # Errors
/// What the migration task would fail with.
pub fn relocate(cluster: &mut Cluster, guest: &Guest, target: &str) -> Result<(), String> {
    migrate::carry_off(cluster, guest, target)
}
