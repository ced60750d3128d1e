//! One executor per cluster, and one loop per state file: operating-system locks on files beside the state file. The kernel frees
//! them when the process ends, however it ends, so a killed process never blocks the next start. They hold on one machine; replicas on
//! several need leases in a shared store, which this is not.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::error::StoreError;
use super::open::{Store, beside};
use crate::ids::ClusterName;

/// A locked file. The lock is given back when it is dropped, also where a program that was just started still has a copy of the
/// descriptor: closing ours alone would free it only once that has gone on to its own program.
#[derive(Debug)]
struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        // If it fails, closing the file frees the lock all the same.
        let _ = self.0.unlock();
    }
}

/// The right to execute one cluster, until it is dropped or the process ends.
#[derive(Debug)]
pub struct RunLock {
    cluster: ClusterName,
    _file: Held,
}

impl RunLock {
    /// The cluster it is for.
    pub fn cluster(&self) -> &ClusterName {
        &self.cluster
    }
}

/// The right to be the one that keeps the loop over a state file, until it is dropped or the process ends.
#[derive(Debug)]
pub struct LoopLock {
    _file: Held,
}

impl Store {
    /// Takes the right to execute a cluster, or says who has it. Does not wait.
    pub fn lock_runs(&self, cluster: &ClusterName) -> Result<RunLock, StoreError> {
        match take(&beside(&self.path, &format!("run.{cluster}.lock")))? {
            Ok(file) => Ok(RunLock {
                cluster: cluster.clone(),
                _file: file,
            }),
            Err(holder) => Err(StoreError::Locked {
                cluster: cluster.clone(),
                holder,
            }),
        }
    }

    /// Takes the right to keep the loop, or says who has it. Two loops over one state would plan everything twice. Does not wait.
    pub fn lock_loop(&self) -> Result<LoopLock, StoreError> {
        match take(&beside(&self.path, "serve.lock"))? {
            Ok(file) => Ok(LoopLock { _file: file }),
            Err(holder) => Err(StoreError::Served {
                path: self.path.to_path_buf(),
                holder,
            }),
        }
    }
}

/// Locks a file, made when missing; or who has it locked.
fn take(path: &Path) -> Result<Result<Held, String>, StoreError> {
    let failed = |source| StoreError::File {
        path: path.to_owned(),
        source,
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Only for the message; the lock itself is the truth.
            let _ = file.read_to_string(&mut holder);
            let holder = holder.trim();
            return Ok(Err(
                if holder.is_empty() { "unknown" } else { holder }.to_owned()
            ));
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    file.set_len(0).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    writeln!(file, "pid {}", std::process::id()).map_err(failed)?;
    Ok(Ok(Held(file)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_descriptor_does_not_keep_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.lock");
        let held = take(&path).unwrap().unwrap();
        let copy = held.0.try_clone().unwrap();
        assert!(take(&path).unwrap().is_err());
        drop(held);
        assert!(take(&path).unwrap().is_ok());
        drop(copy);
    }
}
