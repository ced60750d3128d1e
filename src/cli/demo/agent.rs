//! The agent of the demo: an MCP client over HTTP, as any agent's is. It knows an address and has a token, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{CallToolRequestParams, ClientCapabilities, ClientConfig, Implementation};
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{RoleClient, ServiceExt};
use serde_json::{Value, json};

use crate::cli::exit::Failure;
use crate::service::agents::AgentToken;

/// How long the end of the connection is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connected agent.
pub struct Agent {
    session: RunningService<RoleClient, ClientConfig>,
}

/// A client for plain HTTP to this machine. It trusts no certificate and no proxy.
pub fn http() -> Result<reqwest::Client, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::of(&error))?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| Failure::of(&error))
}

impl Agent {
    /// Connects: `initialize`, with the token.
    pub async fn connect(url: &str, token: &AgentToken) -> Result<Self, Failure> {
        let config = StreamableHttpClientTransportConfig::with_uri(format!("{url}/mcp"))
            .auth_header(token.show());
        let transport = StreamableHttpClientTransport::with_client(http()?, config);
        let itself = Implementation::new("bailiwick-demo", env!("CARGO_PKG_VERSION"));
        let session = ClientConfig::new(ClientCapabilities::default(), itself)
            .serve(transport)
            .await
            .map_err(|error| Failure::of(&error))?;
        Ok(Self { session })
    }

    /// The server, as it told its name and version.
    pub fn server(&self) -> String {
        let told = self
            .session
            .peer_info()
            .and_then(|info| info.server_info.clone());
        told.map_or_else(
            || "a server without a name".to_owned(),
            |itself| format!("{} {}", itself.name, itself.version),
        )
    }

    /// The names of the tools: `tools/list`.
    pub async fn tools(&self) -> Result<Vec<String>, Failure> {
        let tools = self.session.list_all_tools().await;
        let tools = tools.map_err(|error| Failure::of(&error))?;
        Ok(tools
            .into_iter()
            .map(|tool| tool.name.into_owned())
            .collect())
    }

    /// Calls a tool, and gives the structured answer. `arguments` is an object.
    pub async fn call(&self, tool: &'static str, arguments: Value) -> Result<Value, Failure> {
        let failed = |why: &str| Failure::error(format!("the agent's call of {tool}: {why}"));
        let arguments = match arguments {
            Value::Object(arguments) => arguments,
            _ => return Err(failed("its arguments are no object")),
        };
        let call = CallToolRequestParams::new(tool).with_arguments(arguments);
        let answer = self.session.call_tool(call).await;
        let answer = answer.map_err(|error| failed(&error.to_string()))?;
        let structured = answer.structured_content.unwrap_or_default();
        if answer.is_error == Some(true) {
            return Err(failed(&structured.to_string()));
        }
        Ok(structured)
    }

    /// Waits until a plan's run ended, or it will never run: `wait_for_plan`, again and again.
    pub async fn wait(&self, plan: &str) -> Result<Value, Failure> {
        loop {
            let asked = json!({ "id": plan, "until": "ended", "timeoutSeconds": 30 });
            let waited = self.call("wait_for_plan", asked).await?;
            if waited.pointer("/reached") == Some(&Value::Bool(true))
                || waited.pointer("/open") == Some(&Value::Bool(false))
            {
                return Ok(waited);
            }
        }
    }

    /// Ends the connection.
    pub async fn leave(mut self) {
        // A server that is gone already need not be told.
        let _ = self.session.close_with_timeout(PATIENCE).await;
    }
}

/// A word of an answer, by its place (`/plan/state`); empty where there is none.
pub fn word<'a>(answer: &'a Value, place: &str) -> &'a str {
    answer
        .pointer(place)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A number of an answer, by its place (`/plan/steps/total`).
pub fn number(answer: &Value, place: &str) -> Option<u64> {
    answer.pointer(place).and_then(Value::as_u64)
}
