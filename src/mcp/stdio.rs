//! MCP over standard input and output, for one agent on this machine. Whoever may start the program may read the state file anyway, so
//! the agent is named by the one who starts it; it can never be a person.

use rmcp::ServiceExt;

use super::server::{Mcp, Options};
use crate::approval::Principal;
use crate::service::Service;

/// Why the server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    /// Only agents speak MCP.
    #[error(
        "{0} is no agent: say --as agent:NAME; what a person may do, such as approving, is not done over MCP"
    )]
    NoAgent(Principal),
    /// The client did not speak the protocol.
    #[error("the client on standard input did not speak MCP: {0}")]
    Protocol(String),
}

/// Serves until standard input ends.
pub async fn serve(service: Service, who: Principal) -> Result<(), StdioError> {
    let server = Mcp::of_agent(service, who, Options::default()).map_err(StdioError::NoAgent)?;
    let running = server
        .serve(rmcp::transport::stdio())
        .await
        .map_err(|error| StdioError::Protocol(error.to_string()))?;
    running
        .waiting()
        .await
        .map_err(|error| StdioError::Protocol(error.to_string()))?;
    Ok(())
}
