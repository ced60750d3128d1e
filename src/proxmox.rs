//! What Proxmox VE speaks: its transport, its authentication, its tasks and errors, and the small languages inside its values.
//!
//! Two halves. Pure: [`size`], [`firewall`], [`property`], [`schema`], [`served`], [`upid`], [`errors`] — tables and functions without I/O, which every
//! room may use. Impure: [`client`] and what belongs to it ([`call`], [`token`], [`trust`], [`tasks`]), which talk to a cluster.
//! Nothing here knows documents, plans or approvals.

pub mod call;
pub mod certificate;
pub mod client;
pub mod errors;
pub mod firewall;
pub mod property;
pub mod schema;
pub mod served;
pub mod size;
pub mod tasks;
pub mod token;
pub mod trust;
pub mod upid;

pub use call::{ApiError, Call, CallRecord, Method, WriteAnswer, WriteError};
pub use client::{Client, ClusterEndpoints, Limits, Recorder};
pub use errors::ErrorClass;
pub use property::{Domain, PropertyMap, equivalent};
pub use served::ServedApi;
pub use tasks::{TaskOutcome, TaskRef};
pub use token::{ApiToken, TokenError};
pub use trust::{Fingerprint, Trust};
pub use upid::Upid;
