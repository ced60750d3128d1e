//! Documents: what a user submits. Reading YAML with positions, validating it, and turning each kind into what Proxmox VE would
//! have to say for the document to be true ([`desired`]). Pure: no I/O, no clock; files are read by the caller.

pub mod container;
pub mod desired;
pub mod machine;
pub mod metadata;
pub mod options;
pub mod pool;
pub mod scalar;
pub mod shared;
pub mod storage;
