//! One attempt at one call, and how often a call is attempted.

use std::error::Error as _;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::header;
use zeroize::Zeroize;

use super::{Answer, Client, Endpoint, ReadPool, http_client};
use crate::proxmox::call::{ApiError, Call, CallRecord};
use crate::proxmox::errors::{ErrorClass, classify};
use crate::proxmox::served::LARGEST_SCRIPT;
use crate::proxmox::trust::FingerprintMismatch;

/// Where the API viewer's script is, beside the API.
const VIEWER: [&str; 3] = ["pve-docs", "api-viewer", "apidoc.js"];
/// How long the script may take in all; planning waits for it, and goes on without.
const VIEWER_TIMEOUT: Duration = Duration::from_secs(15);

/// What came back over the wire.
pub(super) struct Raw {
    status: u16,
    reason: String,
    pub(super) body: Vec<u8>,
}

/// What an answer is taken for.
pub(super) type Judge<T> = fn(Raw, &Endpoint, &Call) -> Result<T, ApiError>;

/// Why nothing (whole) came back.
enum Failure {
    /// No connection: nothing was sent.
    NotSent(String),
    /// The server is not trusted: nothing was sent.
    Untrusted(String, Option<FingerprintMismatch>),
    /// A connection that broke, or an answer that did not end.
    Lost(String),
    /// No answer in time.
    TimedOut(String),
    /// A call that cannot be sent.
    Bad(String),
}

impl Client {
    /// A read: at every endpoint until one answers. Where there is but one, once more if the connection broke; not if there was
    /// no answer in time, since whoever is slow is not helped by being asked twice.
    pub(super) async fn send_read<T>(&self, call: &Call, judge: Judge<T>) -> Result<T, ApiError> {
        let mut attempts: Vec<(usize, &Endpoint)> = self.ordered().collect();
        if let [only] = attempts.as_slice() {
            attempts = vec![*only, *only];
        }
        let alone = self.inner.endpoints.len() == 1;
        let timeout = self.inner.limits.read_timeout;
        let mut error = None;
        for (attempt, (index, endpoint)) in (1u32..).zip(attempts) {
            if attempt > 1 {
                tokio::time::sleep(Duration::from_millis(rand::random_range(20..150))).await;
            }
            let client = self.read_client(endpoint, call)?;
            match self
                .attempt(&client, endpoint, call, timeout, attempt, judge)
                .await
            {
                Ok(answer) => {
                    self.inner.preferred.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(ApiError::Unreachable { why, .. }) => {
                    error = error.or_else(|| Some(unreachable_everywhere(self, call, &why)));
                }
                Err(lost @ ApiError::Lost { timed_out, .. }) if !(alone && timed_out) => {
                    error = Some(lost);
                }
                Err(refused) => return Err(refused),
            }
        }
        Err(error.unwrap_or_else(|| unreachable_everywhere(self, call, "no endpoint")))
    }

    /// The script of the API viewer: at every endpoint until one answers.
    pub(super) async fn read_script(&self) -> Result<String, ApiError> {
        // Shown and counted as a call; it is none of the API's.
        let call = Call::get(VIEWER);
        let timeout = self.inner.limits.read_timeout.min(VIEWER_TIMEOUT);
        let mut why = "no endpoint".to_owned();
        for (attempt, (_, endpoint)) in (1u32..).zip(self.ordered()) {
            let started = Instant::now();
            let exchanged = tokio::time::timeout(timeout, self.exchange_script(endpoint, &call))
                .await
                .unwrap_or_else(|_| {
                    let waited = timeout.as_secs();
                    Err(Failure::TimedOut(format!(
                        "no answer within {waited} seconds"
                    )))
                });
            let status = exchanged.as_ref().ok().map(|raw| raw.status);
            let result = exchanged
                .map_err(|failure| failed(failure, endpoint, &call))
                .and_then(|raw| script(raw, endpoint, &call));
            if let Some(recorder) = &self.inner.recorder {
                recorder(&CallRecord {
                    call: call.clone(),
                    endpoint: endpoint.shown.clone(),
                    status,
                    outcome: result.as_ref().err().map_or("ok", ApiError::label),
                    elapsed: started.elapsed(),
                    attempt,
                });
            }
            match result {
                Err(ApiError::Unreachable { why: reason, .. }) => why = reason,
                answered => return answered,
            }
        }
        Err(unreachable_everywhere(self, &call, &why))
    }

    async fn exchange_script(&self, endpoint: &Endpoint, call: &Call) -> Result<Raw, Failure> {
        let mut url = endpoint.url.clone();
        let base = endpoint.url.path().trim_end_matches('/');
        url.set_path(&format!("{base}{}", call.path));
        let client = self
            .read_client(endpoint, call)
            .map_err(|error| Failure::Bad(error.to_string()))?;
        let request = client
            .get(url)
            .build()
            .map_err(|error| Failure::Bad(chain(&error.without_url())))?;
        receive(&client, request, LARGEST_SCRIPT).await
    }

    /// A write: at the next endpoint only when there was no connection at all.
    pub(super) async fn send_write(&self, call: &Call) -> Result<Answer, ApiError> {
        let mut why = "no endpoint".to_owned();
        for (attempt, (index, endpoint)) in (1u32..).zip(self.ordered()) {
            let client = &self.inner.writes;
            let timeout = self.inner.limits.write_timeout;
            match self
                .attempt(client, endpoint, call, timeout, attempt, judge)
                .await
            {
                Err(ApiError::Unreachable { why: reason, .. }) => why = reason,
                answered => {
                    if answered.is_ok() {
                        self.inner.preferred.store(index, Ordering::Relaxed);
                    }
                    return answered;
                }
            }
        }
        Err(unreachable_everywhere(self, call, &why))
    }

    /// The pool for reads, made anew before a connection of it can have served too many requests.
    fn read_client(&self, endpoint: &Endpoint, call: &Call) -> Result<reqwest::Client, ApiError> {
        let mut pool = endpoint
            .reads
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if pool.used >= self.inner.limits.requests_per_connection {
            let idle = self.inner.limits.reads_per_node.max(1);
            let client =
                http_client(&self.inner.tls, &self.inner.limits, idle).map_err(|error| {
                    ApiError::BadCall {
                        call: call.to_string(),
                        why: error.to_string(),
                    }
                })?;
            *pool = ReadPool { client, used: 0 };
        }
        pool.used += 1;
        Ok(pool.client.clone())
    }

    async fn attempt<T>(
        &self,
        client: &reqwest::Client,
        endpoint: &Endpoint,
        call: &Call,
        timeout: Duration,
        attempt: u32,
        judge: Judge<T>,
    ) -> Result<T, ApiError> {
        let started = Instant::now();
        let exchanged = tokio::time::timeout(timeout, self.exchange(client, endpoint, call))
            .await
            .unwrap_or_else(|_| {
                Err(Failure::TimedOut(format!(
                    "no answer within {} seconds",
                    timeout.as_secs()
                )))
            });
        let elapsed = started.elapsed();
        let status = exchanged.as_ref().ok().map(|raw| raw.status);
        let result = exchanged
            .map_err(|failure| failed(failure, endpoint, call))
            .and_then(|raw| judge(raw, endpoint, call));
        if let Some(recorder) = &self.inner.recorder {
            recorder(&CallRecord {
                call: call.clone(),
                endpoint: endpoint.shown.clone(),
                status,
                outcome: result.as_ref().err().map_or("ok", ApiError::label),
                elapsed,
                attempt,
            });
        }
        result
    }

    async fn exchange(
        &self,
        client: &reqwest::Client,
        endpoint: &Endpoint,
        call: &Call,
    ) -> Result<Raw, Failure> {
        let request = self.request(client, endpoint, call)?;
        receive(client, request, self.inner.limits.answer_bytes).await
    }

    fn request(
        &self,
        client: &reqwest::Client,
        endpoint: &Endpoint,
        call: &Call,
    ) -> Result<reqwest::Request, Failure> {
        let base = endpoint.url.path().trim_end_matches('/');
        let path = format!("{base}/api2/json{}", call.path);
        let mut url = endpoint.url.clone();
        url.set_path(&path);
        // `..` in a component would have been resolved: such a call would go somewhere else than it says.
        if url.path() != path {
            return Err(Failure::Bad(
                "a component of its path is empty, `.` or `..`, or has characters it must not have"
                    .into(),
            ));
        }
        let form = call.form();
        let method = match call.method {
            super::Method::Get => http::Method::GET,
            super::Method::Post => http::Method::POST,
            super::Method::Put => http::Method::PUT,
            super::Method::Delete => http::Method::DELETE,
        };
        if !call.method.has_body() && !form.is_empty() {
            url.set_query(Some(&form));
        }
        let mut builder = client
            .request(method, url)
            .header(header::AUTHORIZATION, self.inner.authorization.clone())
            .header(header::ACCEPT, "application/json");
        if call.method.has_body() {
            builder = builder
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                // Said even where it is 0: hyper leaves it out then.
                .header(header::CONTENT_LENGTH, form.len())
                .body(form.as_bytes().to_vec());
        }
        builder
            .build()
            .map_err(|error| Failure::Bad(chain(&error.without_url())))
    }
}

/// Sends, and takes in an answer of at most so many bytes.
async fn receive(
    client: &reqwest::Client,
    request: reqwest::Request,
    most: usize,
) -> Result<Raw, Failure> {
    let mut response = client.execute(request).await.map_err(classify_failure)?;
    let status = response.status();
    let reason = response
        .extensions()
        .get::<hyper::ext::ReasonPhrase>()
        .map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned())
        .or_else(|| status.canonical_reason().map(str::to_owned))
        .unwrap_or_default();
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| Failure::Lost(chain(&error.without_url())))?
    {
        if body.len() + chunk.len() > most {
            return Err(Failure::Lost(format!(
                "the answer is longer than {most} bytes"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Raw {
        status: status.as_u16(),
        reason,
        body,
    })
}

/// The text of a script that was answered with.
fn script(raw: Raw, endpoint: &Endpoint, call: &Call) -> Result<String, ApiError> {
    if raw.status == 200
        && let Ok(text) = std::str::from_utf8(&raw.body)
    {
        return Ok(text.to_owned());
    }
    Err(ApiError::NotProxmox {
        call: call.to_string(),
        endpoint: endpoint.shown.clone(),
        what: describe(&raw),
    })
}

fn unreachable_everywhere(client: &Client, call: &Call, why: &str) -> ApiError {
    ApiError::Unreachable {
        call: call.to_string(),
        endpoints: client
            .inner
            .endpoints
            .iter()
            .map(|e| e.shown.clone())
            .collect(),
        why: why.to_owned(),
    }
}

/// The innermost of an error's causes, which says most; reqwest's own words name only the stage.
fn chain(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn classify_failure(error: reqwest::Error) -> Failure {
    // The query of a DELETE can hold what must not be shown.
    let error = error.without_url();
    if let Some(tls) = tls_error(&error) {
        return match tls {
            rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) => {
                match other.0.downcast_ref::<FingerprintMismatch>() {
                    Some(mismatch) => {
                        Failure::Untrusted(mismatch.to_string(), Some(mismatch.clone()))
                    }
                    None => Failure::Untrusted(tls.to_string(), None),
                }
            }
            rustls::Error::InvalidCertificate(reason) => Failure::Untrusted(
                format!(
                    "its certificate does not hold ({reason:?}); pin its fingerprint, or name the authority that signed it as CA file"
                ),
                None,
            ),
            tls if error.is_connect() => Failure::NotSent(format!("TLS failed: {tls}")),
            tls => Failure::Lost(format!("TLS failed: {tls}")),
        };
    }
    if error.is_builder() {
        Failure::Bad(chain(&error))
    } else if error.is_connect() {
        Failure::NotSent(chain(&error))
    } else if error.is_timeout() {
        Failure::TimedOut(chain(&error))
    } else {
        Failure::Lost(chain(&error))
    }
}

/// The TLS error among an error's causes; it hides inside an `io::Error`.
fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut cause = error.source();
    while let Some(current) = cause {
        if let Some(tls) = current.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        if let Some(inner) = current
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
        {
            if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
                return Some(tls);
            }
            // An io::Error's own `source` skips what it wraps.
            cause = Some(inner);
            continue;
        }
        cause = current.source();
    }
    None
}

fn failed(failure: Failure, endpoint: &Endpoint, call: &Call) -> ApiError {
    let (shown, endpoint) = (call.to_string(), endpoint.shown.clone());
    match failure {
        Failure::NotSent(why) => ApiError::Unreachable {
            call: shown,
            endpoints: vec![endpoint],
            why,
        },
        Failure::Untrusted(why, mismatch) => ApiError::Untrusted {
            endpoint,
            why,
            mismatch,
        },
        Failure::Lost(why) => ApiError::Lost {
            call: shown,
            endpoint,
            why,
            timed_out: false,
        },
        Failure::TimedOut(why) => ApiError::Lost {
            call: shown,
            endpoint,
            why,
            timed_out: true,
        },
        Failure::Bad(why) => ApiError::BadCall { call: shown, why },
    }
}

/// The body of an answer that is none but good, unread.
pub(super) fn unread(raw: Raw, endpoint: &Endpoint, call: &Call) -> Result<Vec<u8>, ApiError> {
    accepted(raw, endpoint, call).map(|raw| raw.body)
}

/// What an answer says.
pub(super) fn judge(raw: Raw, endpoint: &Endpoint, call: &Call) -> Result<Answer, ApiError> {
    let mut raw = accepted(raw, endpoint, call)?;
    let not_proxmox = |what| not_proxmox(what, endpoint, call);
    let mut object = match serde_json::from_slice(&raw.body) {
        Ok(serde_json::Value::Object(object)) => object,
        Ok(_) | Err(_) => return Err(not_proxmox(describe(&raw))),
    };
    // The answer to a write can hold a secret.
    if call.method.has_body() {
        raw.body.zeroize();
    }
    match object.remove("data") {
        Some(data) => Ok(Answer {
            data,
            extra: object,
        }),
        None => Err(not_proxmox("JSON without `data`".to_owned())),
    }
}

fn not_proxmox(what: String, endpoint: &Endpoint, call: &Call) -> ApiError {
    ApiError::NotProxmox {
        call: call.to_string(),
        endpoint: endpoint.shown.clone(),
        what,
    }
}

/// An answer that says that the call was well.
fn accepted(raw: Raw, endpoint: &Endpoint, call: &Call) -> Result<Raw, ApiError> {
    let not_proxmox = |what| not_proxmox(what, endpoint, call);
    if raw.status >= 400 {
        let refusal = classify(raw.status, &raw.reason, &raw.body);
        if refusal.class == ErrorClass::NotProxmox {
            return Err(not_proxmox(describe(&raw)));
        }
        return Err(ApiError::Refused {
            call: call.to_string(),
            status: raw.status,
            class: refusal.class,
            message: if refusal.message.is_empty() {
                format!("HTTP status {}", raw.status)
            } else {
                refusal.message
            },
        });
    }
    if raw.status != 200 {
        return Err(not_proxmox(describe(&raw)));
    }
    Ok(raw)
}

fn describe(raw: &Raw) -> String {
    let start =
        String::from_utf8_lossy(raw.body.get(..256.min(raw.body.len())).unwrap_or_default())
            .to_ascii_lowercase();
    let what = if start.contains("<html") || start.contains("<!doctype") {
        "a web page"
    } else if raw.body.is_empty() {
        "an empty body"
    } else {
        "something that is not JSON"
    };
    format!("status {} {} and {what}", raw.status, raw.reason)
}
