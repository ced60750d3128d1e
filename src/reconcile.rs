//! The loop: what keeps the documents true by itself, through the same gate as everybody. It observes, says what drifted, plans, waits
//! for people, and runs what they approved; what may be done and what follows is the service's to say.
//!
//! Each cluster has a queue of its own ([`queue`]) and workers ([`cluster`]); what asks for work is time, the ledger and the wishes of
//! people ([`feed`]); [`supervise`] starts and ends it all and takes a changed configuration.

pub mod cluster;
pub mod feed;
mod key;
pub mod queue;
mod source_status;
mod sources;
pub mod supervise;
mod work;

pub use key::Key;
pub use supervise::{Loop, Telling};
