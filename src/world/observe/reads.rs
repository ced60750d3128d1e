//! The client as observing uses it: reads only, each of them counted, and the first that came to nothing because the cluster could
//! not be reached is kept, so that whoever reads many things can tell that apart from a part that cannot be read.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use crate::proxmox::client::Answer;
use crate::proxmox::{ApiError, Call, Client, ErrorClass};

/// A client that counts. Clones count together.
#[derive(Clone)]
pub(in crate::world) struct Reads {
    client: Client,
    tally: Arc<Tally>,
}

#[derive(Default)]
struct Tally {
    count: AtomicU32,
    broken: OnceLock<ApiError>,
}

impl Reads {
    pub(in crate::world) fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            tally: Arc::default(),
        }
    }

    /// A call's `data`.
    pub(in crate::world) async fn data(&self, call: Call) -> Result<Value, ApiError> {
        self.answer(call).await.map(|answer| answer.data)
    }

    /// A call's whole answer.
    pub(in crate::world) async fn answer(&self, call: Call) -> Result<Answer, ApiError> {
        let of_a_node = call.node().is_some();
        self.counted(of_a_node, self.client.read(call)).await
    }

    /// A call's answer as it came, taken for something by `read`.
    pub(in crate::world) async fn body<T>(
        &self,
        call: Call,
        read: impl FnOnce(Vec<u8>) -> Result<T, serde_json::Error>,
    ) -> Result<T, ApiError> {
        let (of_a_node, shown) = (call.node().is_some(), call.to_string());
        let answer = async {
            let body = self.client.read_body(call).await?;
            read(body).map_err(|error| ApiError::BadAnswer {
                call: shown,
                why: error.to_string(),
            })
        };
        self.counted(of_a_node, answer).await
    }

    async fn counted<T>(
        &self,
        of_a_node: bool,
        call: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        self.tally.count.fetch_add(1, Ordering::Relaxed);
        let answer = call.await;
        if let Err(error) = &answer
            && is_broken(error, of_a_node)
        {
            // The first is the one that says most; that there was one before is no error.
            let _ = self.tally.broken.set(error.clone());
        }
        answer
    }

    /// How many calls there were so far. One that the client repeated because its connection broke counts once.
    pub(in crate::world) fn count(&self) -> u32 {
        self.tally.count.load(Ordering::Relaxed)
    }

    /// Why the cluster could not be reached, if one call so far failed for that.
    pub(in crate::world) fn broken(&self) -> Option<&ApiError> {
        self.tally.broken.get()
    }

    pub(in crate::world) fn token_id(&self) -> &str {
        self.client.token_id()
    }
}

/// Whether an error says something about the connection or the token rather than about what was asked for. An answer about one
/// node that got lost on the way may be that node's fault.
fn is_broken(error: &ApiError, of_a_node: bool) -> bool {
    match error {
        ApiError::Unreachable { .. } | ApiError::Untrusted { .. } => true,
        ApiError::Lost { .. } | ApiError::NotProxmox { .. } | ApiError::BadAnswer { .. } => {
            !of_a_node
        }
        ApiError::Refused { class, .. } => *class == ErrorClass::Unauthenticated,
        ApiError::BadCall { .. } => false,
    }
}
