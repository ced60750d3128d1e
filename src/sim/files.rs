//! The configuration file system: texts under `/etc/pve`, which are the simulator's state as they are Proxmox VE's.
//!
//! Paths are relative (`storage.cfg`, `nodes/pve1/qemu-server/104.conf`). No meaning is read here.

use std::collections::BTreeMap;

use sha1::{Digest as _, Sha1};

/// Files by path, with a version that grows at each change.
#[derive(Debug, Clone, Default)]
pub struct Files {
    texts: BTreeMap<String, String>,
    version: u64,
}

impl Files {
    /// Files with these contents.
    #[must_use]
    pub fn new(texts: BTreeMap<String, String>) -> Self {
        Self { texts, version: 1 }
    }

    /// A file's text; `None` if it does not exist.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// A file's text; empty if it does not exist.
    #[must_use]
    pub fn read(&self, path: &str) -> &str {
        self.get(path).unwrap_or_default()
    }

    /// Writes a file.
    pub fn set(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.version += 1;
        self.texts.insert(path.into(), text.into());
    }

    /// Removes a file; says whether it existed.
    pub fn remove(&mut self, path: &str) -> bool {
        self.version += 1;
        self.texts.remove(path).is_some()
    }

    /// Moves a file; says whether it existed.
    pub fn rename(&mut self, from: &str, to: &str) -> bool {
        match self.texts.remove(from) {
            None => false,
            Some(text) => {
                self.set(to, text);
                true
            }
        }
    }

    /// Grows with every change of any file.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Paths that start with `prefix`, in order.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts
            .range(prefix.to_owned()..)
            .take_while(move |(path, _)| path.starts_with(prefix))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The SHA-1 of a file as hexadecimal, as Proxmox VE's `digest`; of nothing if it does not exist.
    #[must_use]
    pub fn digest(&self, path: &str) -> String {
        digest(self.read(path))
    }

    /// All files.
    #[must_use]
    pub fn all(&self) -> &BTreeMap<String, String> {
        &self.texts
    }
}

/// The SHA-1 of a text as hexadecimal.
#[must_use]
pub fn digest(text: &str) -> String {
    hex::encode(Sha1::digest(text.as_bytes()))
}

/// Fails as Proxmox VE's `assert_if_modified` does when a sent digest is not the file's; an empty digest passes.
///
/// # Errors
/// `detected modified configuration - file changed by other user? Try again.`
pub fn assert_unmodified(current: &str, sent: Option<&str>) -> Result<(), String> {
    match sent {
        Some(sent) if !sent.is_empty() && sent != current => {
            Err("detected modified configuration - file changed by other user? Try again.".into())
        }
        _ => Ok(()),
    }
}
