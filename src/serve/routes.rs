//! What is answered where, and what every request must pass before.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Given};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::time::timeout;

use super::gate::{Denied, Gate};
use super::hosts::{Hosts, Stranger};
use super::listen::Ends;
use super::{Ready, Render};
use crate::mcp::Mcp;
use crate::plan::words::clean;
use crate::service::agents::NoLogin;
use crate::service::{Service, ServiceError};
use crate::store::StoreError;

/// What the routes need.
#[derive(Clone)]
pub struct State {
    /// Who may pass.
    pub gate: Gate,
    /// Which hosts this is.
    pub hosts: Hosts,
    /// The service.
    pub service: Service,
    /// What `/metrics` answers.
    pub metrics: Option<Render>,
    /// Whether the rest of the program is ready.
    pub ready: Option<Ready>,
    /// Whether `/metrics` is answered without a token.
    pub open_metrics: bool,
    /// The greatest size of a body, in bytes.
    pub body_limit: usize,
    /// How long a body may take to arrive.
    pub patience: Duration,
}

/// Every route.
pub fn router(state: State, mcp: Mcp) -> Router {
    let config = StreamableHttpServerConfig::default()
        // Each request stands for itself: a restart loses no session, and a token is looked at anew each time.
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(state.body_limit)
        // Host and Origin were checked before, for every route and against the address of the connection.
        .disable_allowed_hosts()
        .disable_allowed_origins();
    let mcp = StreamableHttpService::new(
        move || Ok(mcp.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    let for_agents = Router::new()
        .route_service("/mcp", mcp)
        .layer(from_fn(in_one_form))
        .layer(from_fn_with_state(state.clone(), whole_body))
        .layer(from_fn_with_state(state.clone(), token));
    let metrics = Router::new().route("/metrics", get(metrics));
    let metrics = if state.open_metrics {
        metrics
    } else {
        metrics.layer(from_fn_with_state(state.clone(), token))
    };
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .merge(metrics)
        .merge(for_agents)
        .fallback(|| async {
            refusal(
                StatusCode::NOT_FOUND,
                "not_found",
                "there is nothing here",
                "MCP is at /mcp.",
            )
        })
        .layer(from_fn_with_state(state.clone(), meant_for_us))
        .with_state(state)
}

/// Most of a refusal's own text that is read, in bytes.
const MOST_TEXT: usize = 4096;

/// A refusal in the form the tools use too.
fn refusal(status: StatusCode, code: &str, message: &str, next: &str) -> Response {
    let body = json!({ "error": { "code": code, "message": message, "next": next } });
    let mut response = (status, body.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Puts a refusal of the transport, which is plain text, into the form that all refusals have.
async fn in_one_form(request: Request, next: Next) -> Response {
    let is_json = |kind: Option<&HeaderValue>| {
        kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
    };
    let said_json = is_json(request.headers().get(CONTENT_TYPE));
    let response = next.run(request).await;
    let mut status = response.status();
    let json = is_json(response.headers().get(CONTENT_TYPE));
    // The transport calls a body that it cannot read one of another type.
    let unreadable = status == StatusCode::UNSUPPORTED_MEDIA_TYPE && said_json;
    if unreadable {
        status = StatusCode::BAD_REQUEST;
    }
    if !(status.is_client_error() || status.is_server_error()) || json {
        return response;
    }
    let (code, next) = match status {
        StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "MCP is POST to /mcp."),
        StatusCode::NOT_ACCEPTABLE => (
            "not_acceptable",
            "Send `Accept: application/json, text/event-stream`.",
        ),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => (
            "unsupported_media_type",
            "Send one JSON-RPC message, with `Content-Type: application/json`.",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => ("body_too_large", "Submit fewer documents at once."),
        _ if status.is_server_error() => ("internal", "Report this to an operator."),
        StatusCode::BAD_REQUEST if unreadable => (
            "invalid_request",
            "Send one JSON-RPC 2.0 message, an object and no batch, nested at most 127 deep, with numbers of at most 64 bits.",
        ),
        _ => (
            "bad_request",
            "See the specification of MCP's streamable HTTP.",
        ),
    };
    let (head, body) = response.into_parts();
    let text = match axum::body::to_bytes(body, MOST_TEXT).await {
        Ok(bytes) if !bytes.is_empty() => clean(&String::from_utf8_lossy(&bytes)),
        _ => status.canonical_reason().unwrap_or("refused").to_owned(),
    };
    let mut refused = refusal(status, code, &text, next);
    if let Some(allow) = head.headers.get(ALLOW) {
        refused.headers_mut().insert(ALLOW, allow.clone());
    }
    refused
}

/// Refuses what names another host or was sent by a page of another origin.
async fn meant_for_us(Given(state): Given<State>, request: Request, next: Next) -> Response {
    let Some(ends) = request.extensions().get::<Ends>().copied() else {
        return refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "a request without a connection",
            "Report this to an operator.",
        );
    };
    match state.hosts.check(request.headers(), ends.local) {
        Ok(()) => next.run(request).await,
        Err(Stranger::NoHost) => refusal(
            StatusCode::BAD_REQUEST,
            "host_missing",
            "the request names no host, or several",
            "Send one Host header.",
        ),
        Err(Stranger::Host) => refusal(
            StatusCode::FORBIDDEN,
            "host_refused",
            "this server is not the host that the request names",
            "Use its address, or have the operator add the name to `serve.hosts`.",
        ),
        Err(Stranger::Origin) => refusal(
            StatusCode::FORBIDDEN,
            "origin_refused",
            "the request was sent by a page of another origin",
            "Have the operator add the page's host to `serve.hosts` if it may ask.",
        ),
    }
}

/// Lets agents pass, and says who it is.
async fn token(Given(state): Given<State>, mut request: Request, next: Next) -> Response {
    let Some(ends) = request.extensions().get::<Ends>().copied() else {
        return denied(Denied::NoToken);
    };
    match state.gate.pass(request.headers(), ends.peer.ip()).await {
        Ok(agent) => {
            request.extensions_mut().insert(agent);
            next.run(request).await
        }
        Err(why) => denied(why),
    }
}

fn denied(why: Denied) -> Response {
    let (status, code, message, next) = match why {
        Denied::NoToken => (
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "a token is needed".to_owned(),
            "Send `Authorization: Bearer TOKEN`; a person makes one with `bailiwick agent add NAME`.",
        ),
        Denied::NoLogin(why) => {
            let code = match why {
                NoLogin::Malformed | NoLogin::Unknown { .. } => "token_unknown",
                NoLogin::Expired { .. } => "token_expired",
                NoLogin::Revoked { .. } => "token_revoked",
            };
            (
                StatusCode::UNAUTHORIZED,
                code,
                why.to_string(),
                "A person makes a new token with `bailiwick agent add NAME`.",
            )
        }
        Denied::TooMany { seconds } => {
            let mut response = refusal(
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                "too many tokens that were no good came from your address",
                "Wait, and show a good one.",
            );
            if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
                response.headers_mut().insert(RETRY_AFTER, value);
            }
            return response;
        }
        // What exactly is no matter for somebody whom nobody knows.
        Denied::Failed(ServiceError::Store(StoreError::Busy { .. })) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "the state file is busy".to_owned(),
            "Try again in some seconds.",
        ),
        Denied::Failed(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the token could not be looked at, or its failure not be written down".to_owned(),
            "Report this to an operator.",
        ),
    };
    let mut response = refusal(status, code, &message, next);
    if status == StatusCode::UNAUTHORIZED {
        let value = HeaderValue::from_static("Bearer realm=\"bailiwick\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, value);
    }
    response
}

/// The answer of JSON-RPC to what is no JSON.
fn not_json(error: &serde_json::Error) -> Response {
    let body = json!({
        "jsonrpc": "2.0", "id": null,
        "error": { "code": -32700, "message": format!("Parse error: the body is no JSON: {error}") },
    });
    let kind = HeaderValue::from_static("application/json");
    (
        StatusCode::BAD_REQUEST,
        [(CONTENT_TYPE, kind)],
        body.to_string(),
    )
        .into_response()
}

/// Takes in a whole body, within size and time, before anything is done with it.
async fn whole_body(Given(state): Given<State>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match timeout(state.patience, axum::body::to_bytes(body, state.body_limit)).await {
        Ok(Ok(bytes)) => {
            if head.method == Method::POST
                && let Err(error) = serde_json::from_slice::<IgnoredAny>(&bytes)
            {
                return not_json(&error);
            }
            next.run(Request::from_parts(head, Body::from(bytes))).await
        }
        Ok(Err(_)) => refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            &format!(
                "the body is larger than {} bytes, or broke off",
                state.body_limit
            ),
            "Submit fewer documents at once, or have the operator raise `serve.bodyLimit`.",
        ),
        Err(_) => refusal(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "the body took too long to arrive",
            "Send it again.",
        ),
    }
}

async fn metrics(Given(state): Given<State>) -> Response {
    match state.metrics {
        None => refusal(
            StatusCode::NOT_FOUND,
            "not_found",
            "there are no metrics here",
            "MCP is at /mcp.",
        ),
        Some(render) => {
            let text = render().await;
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            ([(CONTENT_TYPE, kind)], text).into_response()
        }
    }
}

/// Ready: the state file can be read, and whatever else the program waits for.
async fn ready(Given(state): Given<State>) -> Response {
    let not = |why: &str| {
        let mut response = (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response();
        response
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    };
    if state.service.store().ledger_head().await.is_err() {
        return not("the state file cannot be read");
    }
    match state.ready.as_ref().map(|ready| ready()) {
        None | Some(Ok(())) => "ready\n".into_response(),
        Some(Err(why)) => not(&why),
    }
}
