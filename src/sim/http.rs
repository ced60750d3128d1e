//! Between HTTP and the router: what pveproxy checks before and after the API proper.
//!
//! Bodies may be forms or JSON, never chunked, and only on POST and PUT; the reason phrase carries the message; a status
//! of 400 or more closes the connection.

use std::collections::BTreeMap;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderMap, TRANSFER_ENCODING,
};
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::ext::ReasonPhrase;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::auth::Credentials;
use super::call::{ApiError, Method};

/// The largest body that pveproxy reads.
pub const LARGEST_BODY: u64 = 512 * 1024;

/// How an answer is wrapped: `json`, or `extjs`, whose status is always 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Formatter {
    /// `/api2/json`.
    Json,
    /// `/api2/extjs`.
    Extjs,
}

/// Splits `/api2/json/nodes/pve1` into the formatter and decoded segments. A volume's id may hold an encoded `/`.
#[must_use]
pub fn split_path(path: &str) -> Option<(Formatter, Vec<String>)> {
    let (formatter, rest) = match (
        path.strip_prefix("/api2/json"),
        path.strip_prefix("/api2/extjs"),
    ) {
        (Some(rest), _) => (Formatter::Json, rest),
        (None, Some(rest)) => (Formatter::Extjs, rest),
        (None, None) => return None,
    };
    if !rest.is_empty() && !rest.starts_with('/') {
        return None;
    }
    let segments = rest
        .split('/')
        .filter(|part| !part.is_empty())
        .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect();
    Some((formatter, segments))
}

/// What pveproxy refuses from the head alone.
///
/// # Errors
/// Status 501 without a body.
pub fn check_transfer(headers: &HeaderMap) -> Result<(), ApiError> {
    let refuse = |text: String| {
        Err(ApiError {
            bare: true,
            ..ApiError::new(501, text)
        })
    };
    match headers
        .get(TRANSFER_ENCODING)
        .map(|value| value.to_str().unwrap_or("").to_ascii_lowercase())
    {
        None => Ok(()),
        Some(encoding) if encoding == "chunked" => {
            refuse("chunked transfer encoding not supported".into())
        }
        Some(encoding) => refuse(format!("Unknown transfer encoding '{encoding}'")),
    }
}

/// What pveproxy refuses about a body, once it knows who calls.
///
/// # Errors
/// Status 501 without a body.
pub fn check_content(method: Method, headers: &HeaderMap) -> Result<(), ApiError> {
    let refuse = |text: String| {
        Err(ApiError {
            bare: true,
            ..ApiError::new(501, text)
        })
    };
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse().ok());
    match (length.unwrap_or(0u64), method) {
        (0, _) => Ok(()),
        (_, Method::Get | Method::Delete) => {
            refuse(format!("Unexpected content for method '{}'", method.name()))
        }
        (length, _) if length > LARGEST_BODY => refuse("for data too large".into()),
        (_, Method::Post | Method::Put) => Ok(()),
    }
}

/// The credentials in the headers.
#[must_use]
pub fn credentials(headers: &HeaderMap) -> Credentials {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let cookie = text(COOKIE.as_str()).and_then(|cookies| {
        let mut pairs = cookies
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='));
        pairs
            .find(|(name, _)| *name == "PVEAuthCookie" || *name == "__Host-PVEAuthCookie")
            .map(|(_, value)| percent_decode_str(value).decode_utf8_lossy().into_owned())
    });
    Credentials {
        authorization: text(AUTHORIZATION.as_str()),
        cookie,
        csrf: text("csrfpreventiontoken"),
    }
}

/// Parameters of the query and the body.
///
/// # Errors
/// A body of an unknown type, or one that does not read.
pub fn parameters(
    query: Option<&str>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<BTreeMap<String, String>, ApiError> {
    let mut params = BTreeMap::new();
    form(query.unwrap_or(""), &mut params);
    if body.is_empty() {
        return Ok(params);
    }
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    match kind.split(';').next().unwrap_or("").trim() {
        "application/json" => json_object(body, &mut params)?,
        "" | "application/x-www-form-urlencoded" => {
            form(&String::from_utf8_lossy(body), &mut params)
        }
        other => {
            return Err(ApiError {
                bare: true,
                ..ApiError::new(
                    501,
                    format!("upload 'Content-Type '{other}' not implemented"),
                )
            });
        }
    }
    Ok(params)
}

/// Repeated keys become one list, with NUL between its elements.
fn form(text: &str, params: &mut BTreeMap<String, String>) {
    for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
        add(params, name.into_owned(), value.into_owned());
    }
}

fn add(params: &mut BTreeMap<String, String>, name: String, value: String) {
    match params.get_mut(&name) {
        Some(known) => {
            known.push('\0');
            known.push_str(&value);
        }
        None => {
            params.insert(name, value);
        }
    }
}

fn json_object(body: &Bytes, params: &mut BTreeMap<String, String>) -> Result<(), ApiError> {
    let bad = |text: String| ApiError {
        bare: true,
        ..ApiError::new(400, text)
    };
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| bad(format!("malformed JSON string: {error}")))?;
    let Value::Object(object) = value else {
        return Err(bad("JSON body is not an object".into()));
    };
    for (name, value) in object {
        match value {
            Value::Array(items) => {
                for item in items {
                    add(params, name.clone(), scalar(&item).unwrap_or_default());
                }
            }
            value => {
                if let Some(text) = scalar(&value) {
                    add(params, name, text);
                }
            }
        }
    }
    Ok(())
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bool(truth) => Some(u8::from(*truth).to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(value.to_string()),
    }
}

/// Among what stands beside `data`: a text that is the whole answer instead, as a file to download.
pub const PLAIN: &str = "\0text";

/// The response for an answer; `extra` stands beside `data`.
#[must_use]
pub fn respond(
    formatter: Formatter,
    answer: Result<Value, ApiError>,
    extra: BTreeMap<String, Value>,
) -> Response<Full<Bytes>> {
    if let (Ok(_), Some(Value::String(text))) = (&answer, extra.get(PLAIN)) {
        let mut response = finish(200, "OK", None);
        *response.body_mut() = Full::new(Bytes::from(text.clone()));
        let plain = http::HeaderValue::from_static("text/plain");
        response.headers_mut().insert("content-type", plain);
        return response;
    }
    match answer {
        Ok(data) => {
            let mut body = serde_json::Map::from_iter(extra);
            body.insert("data".into(), data);
            if formatter == Formatter::Extjs {
                body.insert("success".into(), json!(1));
            }
            finish(200, "OK", Some(Value::Object(body)))
        }
        Err(error) => refuse(formatter, &error),
    }
}

fn refuse(formatter: Formatter, error: &ApiError) -> Response<Full<Bytes>> {
    let first = error.message.lines().next().unwrap_or_default();
    if error.bare {
        return finish(error.status, first, None);
    }
    let message = if error.status == 501 {
        error.message.clone()
    } else {
        format!("{}\n", error.message.trim_end_matches('\n'))
    };
    let mut body = json!({ "data": null, "message": message });
    if let (false, Value::Object(body)) = (error.errors.is_empty(), &mut body) {
        body.insert("errors".into(), json!(error.errors));
    }
    if let (Formatter::Extjs, Value::Object(body)) = (formatter, &mut body) {
        body.insert("success".into(), json!(0));
        body.insert("status".into(), json!(error.status));
        return finish(200, "OK", Some(Value::Object(body.clone())));
    }
    finish(error.status, first, Some(body))
}

/// Puts a response together.
#[must_use]
pub fn finish(status: u16, reason: &str, body: Option<Value>) -> Response<Full<Bytes>> {
    let bytes = body
        .as_ref()
        .map(|body| Bytes::from(body.to_string()))
        .unwrap_or_default();
    let mut response = Response::new(Full::new(bytes));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(reason) = ReasonPhrase::try_from(reason.as_bytes()) {
        response.extensions_mut().insert(reason);
    }
    let headers = response.headers_mut();
    headers.insert(
        "server",
        http::HeaderValue::from_static("pve-api-daemon/3.0"),
    );
    headers.insert("cache-control", http::HeaderValue::from_static("max-age=0"));
    headers.insert("pragma", http::HeaderValue::from_static("no-cache"));
    if body.is_some() {
        headers.insert(
            CONTENT_TYPE,
            http::HeaderValue::from_static("application/json;charset=UTF-8"),
        );
    }
    if status >= 400 {
        headers.insert(CONNECTION, http::HeaderValue::from_static("close"));
    }
    response
}
