//! placeholder until the story is written
use crate::cli::output::Output;
/// The story.
pub async fn run(
    _yes: bool,
    _keep: Option<&std::path::Path>,
    _output: &Output,
) -> crate::cli::Ended {
    Err(crate::cli::exit::Failure::error("not yet"))
}
