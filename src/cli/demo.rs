//! `bailiwick demo`: the whole loop as a story on a simulated cluster. The simulator serves over TLS on loopback and the service
//! speaks to it as to any Proxmox VE; nothing is short-cut. What the story says is checked as it goes: a demo that does not come
//! out as told ends with an error.

mod stage;
mod story;

use std::path::Path;

use super::Ended;
use super::output::Output;

/// Runs the demo. With `yes` it gives the approvals itself; `keep` is the folder to keep for playing on.
pub async fn run(yes: bool, keep: Option<&Path>, output: &Output) -> Ended {
    let stage = stage::Stage::set(keep).await?;
    let ended = story::Story::new(&stage, yes, output).tell().await;
    stage.clear(keep.is_some(), output).await;
    ended
}
