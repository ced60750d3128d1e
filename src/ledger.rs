//! The ledger: the HMAC-SHA256 hash chain of everything that was asked, decided and done.
//!
//! This room is the chain alone: what a record is, how one is appended to a head, how a stream of them is verified and which kind of
//! tampering a broken one shows, keys and their hand-over, signed checkpoints. It knows no database (`store` keeps the records and
//! the head) and no clock; its only I/O is reading and creating key files. `docs/ledger-format.md` is the format for the outside.

mod action;
mod checkpoint;
mod detail;
mod key;
mod record;
mod tampering;
mod verify;

pub use action::{Action, UnknownAction};
pub use checkpoint::{
    Checkpoint, CheckpointError, CheckpointKey, CheckpointPublicKey, Checkpoints,
};
pub use detail::{Detail, DetailError};
pub use key::{Key, KeyError, KeyId, Keys};
pub use record::{
    AppendError, Draft, FORMAT, Head, LedgerId, Mac, Record, RecordError, append, genesis, rotate,
};
pub use tampering::Tampering;
pub use verify::{Verified, Verifier, VerifyError, verify, verify_reader};
