//! The words in which Proxmox VE speaks of each kind of guest.

pub use super::super::state::GuestKind as Kind;

impl Kind {
    /// `VM` or `CT`, as most messages say.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Qemu => "VM",
            Self::Lxc => "CT",
        }
    }

    /// The beginning of its task types: `qmstart`, `vzstart`.
    #[must_use]
    pub fn task(self) -> &'static str {
        match self {
            Self::Qemu => "qm",
            Self::Lxc => "vz",
        }
    }

    /// What another's change since the digest was read is answered with.
    #[must_use]
    pub fn stale_digest(self) -> &'static str {
        match self {
            Self::Qemu => "checksum mismatch (file change by other user?)",
            Self::Lxc => "detected modified configuration - file changed by other user? Try again.",
        }
    }
}
