//! One executor per cluster: an operating-system lock on a file beside the state file. The kernel frees it when the process ends,
//! however it ends, so a killed process never blocks the next start. It holds on one machine; replicas on several need leases in a
//! shared store, which this is not.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;

use super::error::StoreError;
use super::open::{Store, beside};
use crate::ids::ClusterName;

/// The right to execute one cluster, until it is dropped or the process ends.
#[derive(Debug)]
pub struct RunLock {
    cluster: ClusterName,
    // Held, not read: closing it frees the lock.
    _file: File,
}

impl RunLock {
    /// The cluster it is for.
    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }
}

impl Store {
    /// Takes the right to execute a cluster, or says who has it. Does not wait.
    pub fn lock_runs(&self, cluster: &ClusterName) -> Result<RunLock, StoreError> {
        let path = beside(&self.path, &format!("run.{cluster}.lock"));
        let failed = |source| StoreError::File {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message; the lock itself is the truth.
                let _ = file.read_to_string(&mut holder);
                return Err(StoreError::Locked {
                    cluster: cluster.clone(),
                    holder: if holder.is_empty() {
                        "unknown".to_owned()
                    } else {
                        holder.trim().to_owned()
                    },
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        writeln!(file, "pid {}", std::process::id()).map_err(failed)?;
        Ok(RunLock {
            cluster: cluster.clone(),
            _file: file,
        })
    }
}
