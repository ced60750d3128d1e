//! `bailiwick demo`: the whole loop as a story on a simulated cluster. The simulator serves over TLS on loopback, `serve` runs beside
//! it as the command of that name does, and the agent is an MCP client that has nothing but its token; nothing is short-cut. What
//! the story says is checked as it goes: a demo that does not come out as told ends with an error.

mod agent;
mod by_hand;
mod commit;
mod folder;
mod proof;
mod repository;
mod stage;
mod story;
mod submitted;

use std::path::Path;

use super::Ended;
use super::exit::Failure;
use super::output::Output;

/// Runs the demo. With `yes` it gives the approvals itself; `keep` is the folder to keep for playing on. However it ends, everything
/// that it started is stopped.
pub async fn run(yes: bool, keep: Option<&Path>, output: &Output) -> Ended {
    let interrupted = || Failure::error("interrupted: the demo ends here");
    let stage = tokio::select! {
        set = stage::Stage::set(keep) => set?,
        _ = tokio::signal::ctrl_c() => return Err(interrupted()),
    };
    let ended = tokio::select! {
        ended = story::Story::new(&stage, yes, output).tell() => ended,
        _ = tokio::signal::ctrl_c() => Err(interrupted()),
    };
    stage.clear(output).await;
    ended
}
