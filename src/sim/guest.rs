//! Guests: their routes, and what the rest of the simulator asks of them.
//!
//! The rooms below `guest/` serve `/nodes/{node}/qemu` and `/nodes/{node}/lxc`; this file is the door.

pub mod access;
pub mod conf;
pub mod drive;
pub mod formats;
pub mod hotplug;
pub mod keys;
pub mod kind;
pub mod permits;
pub mod props;
pub mod read;
#[cfg(test)]
pub(crate) mod recorded;
pub mod size;

use super::router::Route;
use super::state::{Cluster, Guest, Run};

/// All routes of guests.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![]
}

/// Starts a guest at once, as the HA manager does.
///
/// # Errors
/// What the start task would fail with.
pub fn power_on(cluster: &mut Cluster, guest: &Guest) -> Result<(), String> {
    let since = cluster.clock.unix();
    let pid = 2000 + cluster.random() as u32 % 30_000;
    cluster.running.entry(guest.vmid).or_insert(Run {
        since,
        pid,
        ..Run::default()
    });
    Ok(())
}

/// Stops a guest at once, as the HA manager does.
///
/// # Errors
/// What the stop task would fail with.
pub fn power_off(cluster: &mut Cluster, guest: &Guest) -> Result<(), String> {
    cluster.running.remove(&guest.vmid);
    Ok(())
}

/// Moves a guest to another node, running or not, as the HA manager does.
///
/// # Errors
/// What the migration task would fail with.
pub fn relocate(cluster: &mut Cluster, guest: &Guest, target: &str) -> Result<(), String> {
    let moved = Guest {
        node: target.to_owned(),
        ..guest.clone()
    };
    cluster.files.rename(&guest.file(), &moved.file());
    Ok(())
}
