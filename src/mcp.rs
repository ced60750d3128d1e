//! MCP: what an agent may ask and hand in, as fifteen tools over streamable HTTP or standard input and output. A face, nothing more:
//! it translates to the service, cleans and bounds what goes out, and says in stable words what went wrong and what is needed next.
//!
//! No tool approves, acts, or takes a word that would make it; the room has no way to do so. Who asks is given by the transport (a
//! token, or the command line), never by an argument.

mod answers;
pub mod arguments;
mod ask;
mod code;
mod cursor;
mod limits;
mod look;
mod plan_answer;
mod prompts;
mod resource_answer;
mod resources;
pub mod server;
pub mod stdio;
mod submit;
mod tools;
mod untrusted;
mod wait;

pub use code::{Code, Refusal};
pub use limits::Budget;
pub use server::{Mcp, Options};
pub use tools::{reference, tools};
