//! What a new guest is cloned from; the same for virtual machines and containers.

use super::desired::DesiredClone;
use super::machine::disks::DiskFormat;
use super::options::{options, words};
use super::scalar::DnsName;
use crate::ids::{SnapshotName, StorageId, Vmid};

words! {
    /// How the volumes of a clone are made.
    pub enum CloneMode { Full = "full", Linked = "linked" }
}

options! {
    /// The guest a new one is cloned from. Counts only when the guest is made, and is never a reason to replace it.
    pub struct CloneFrom {
        /// The number of the source. Exactly one of `vmid` and `name` is needed.
        vmid: Option<Vmid> = "" by hand,
        /// The name of the source in Proxmox VE; one guest of the same kind has to have it.
        name: Option<DnsName> = "" by hand,
        /// The snapshot of the source that is cloned, instead of the source as it is: the settings and the volumes as they were then.
        snapshot: Option<SnapshotName> = "" by hand,
        /// `full` copies the volumes; `linked` has them stand on those of the source, which has to be a template. Default `linked` for a
        /// template and `full` otherwise.
        mode: Option<CloneMode> = "" by hand,
        /// The storage that full copies go to; where it is not written each lies where its original does.
        storage: Option<StorageId> = "" by hand,
        /// The format of a virtual machine's full copies, on a storage of files.
        format: Option<DiskFormat> = "" by hand,
    }
}

impl CloneFrom {
    /// What this asks for.
    pub fn desired(&self) -> DesiredClone {
        DesiredClone {
            vmid: self.vmid,
            name: self.name.as_ref().map(|name| name.as_str().to_owned()),
            snapshot: self.snapshot.clone(),
            full: self.mode.map(|mode| mode == CloneMode::Full),
            storage: self.storage.clone(),
            format: self.format.map(|format| format.as_str().to_owned()),
        }
    }
}
