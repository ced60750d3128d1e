//! The live cluster over the real wire.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::port::{Live, Port, Sent, TaskEnd};
use super::requests::Request;
use super::secret_file::Secret;
use super::touched::Touched;
use crate::document::desired::SecretRef;
use crate::ids::{GuestKind, NodeName, Vmid};
use crate::proxmox::tasks::TaskQuery;
use crate::proxmox::{Call, Client, ErrorClass, TaskOutcome, WriteError};
use crate::world::World;
use crate::world::observe::{Refresh, refresh};

/// How secrets are read when they are sent.
pub type SecretReader =
    Arc<dyn Fn(&SecretRef, &str) -> Result<Zeroizing<String>, String> + Send + Sync>;

/// A cluster through its API.
pub struct ApiCluster {
    /// The client.
    pub client: Client,
    /// How secrets are read.
    pub secrets: SecretReader,
    /// How often to look when waiting for a task.
    pub poll: Duration,
    /// Where the API of single nodes is reached from here; of others it is at their own address, port 8006.
    pub nodes: BTreeMap<NodeName, Address>,
}

/// Where the API of a node is: host and port.
pub type Address = (String, u16);

/// The port of a node's API where nothing else is said.
const API: u16 = 8006;
/// The port of a node's SSH server.
const SSH: u16 = 22;

/// What became of a write that did not come back with an answer.
fn not_taken(error: WriteError) -> Sent {
    match error {
        WriteError::Refused(error) => match error.class() {
            ErrorClass::NodeUnreachable | ErrorClass::NoQuorum => Sent::NotNow(error.to_string()),
            class => Sent::Refused {
                message: error.to_string(),
                locked: class.is_retryable_lock(),
            },
        },
        WriteError::Undetermined(error) => Sent::Undetermined(error.to_string()),
    }
}

impl Live for ApiCluster {
    async fn refresh(&self, world: World, touched: Touched) -> Result<World, String> {
        let Touched {
            guests,
            storages,
            content,
            pools,
            ha,
            jobs,
            acl,
            accounts,
            firewalls,
        } = touched;
        refresh(
            &self.client,
            world,
            &Refresh {
                guests,
                storages,
                content,
                pools,
                ha,
                jobs,
                acl,
                accounts,
                firewalls,
            },
        )
        .await
    }

    async fn send(&self, request: &Request) -> Sent {
        match self.client.write(request.call.clone()).await {
            Ok(answer) => Sent::Taken(answer.upid.map(|upid| upid.to_string())),
            Err(error) => not_taken(error),
        }
    }

    async fn send_for_secret(&self, request: &Request) -> Result<Secret, Sent> {
        match self.client.write(request.call.clone()).await {
            Ok(answer) => answer.secret().map(Secret::new).ok_or(Sent::Taken(None)),
            Err(error) => Err(not_taken(error)),
        }
    }

    async fn wait(&self, upid: &str, at_most: Duration) -> TaskEnd {
        let Ok(parsed) = upid.parse() else {
            return TaskEnd::Unknown(format!("`{upid}` is no UPID"));
        };
        match self.client.wait_task(&parsed, at_most, self.poll).await {
            TaskOutcome::Ok => TaskEnd::Ok,
            TaskOutcome::Warnings(text) => TaskEnd::Warnings(text.to_string()),
            TaskOutcome::Failed(text) => TaskEnd::Failed(text),
            TaskOutcome::Unsaid(why) => TaskEnd::Unsaid(why),
            TaskOutcome::Unknown(why) => TaskEnd::Unknown(why),
        }
    }

    async fn tasks(
        &self,
        node: &NodeName,
        task_type: &str,
        id: &str,
    ) -> Result<BTreeSet<String>, String> {
        let query = TaskQuery {
            node: Some(node),
            task_type,
            id,
            user: self.client.token_id(),
            since: 0,
        };
        let found = self
            .client
            .find_task(query)
            .await
            .map_err(|error| match error.class() {
                ErrorClass::Forbidden { .. } => {
                    format!("{error} (the token needs to see its own tasks)")
                }
                _ => error.to_string(),
            })?;
        Ok(found
            .into_iter()
            .map(|task| task.upid.to_string())
            .collect())
    }

    async fn ha_state(&self, kind: GuestKind, vmid: Vmid) -> Result<Option<String>, String> {
        #[derive(Deserialize)]
        struct Entry {
            sid: Option<String>,
            state: Option<String>,
        }
        let call = Call::get(["cluster", "ha", "status", "current"]);
        let entries: Vec<Entry> = self
            .client
            .get(call)
            .await
            .map_err(|error| error.to_string())?;
        let sid = format!("{}:{vmid}", kind.word());
        let of_it = entries
            .into_iter()
            .find(|entry| entry.sid.as_ref() == Some(&sid));
        Ok(of_it.and_then(|entry| entry.state))
    }

    async fn open(&self, node: &NodeName, own: Option<&str>, port: Port) -> Result<(), String> {
        let known = self.nodes.get(node).cloned();
        let known = known.or_else(|| own.map(|own| (own.to_owned(), API)));
        let (host, api) =
            known.ok_or_else(|| format!("the address of node {node} is not known"))?;
        let tried = match port {
            Port::Api => self.client.opens_tls(node.as_str(), &host, api).await,
            Port::Ssh => self.client.opens_ssh(&host, SSH).await,
        };
        tried.map_err(|why| format!("the {} of node {node} at {why}", port.word()))
    }

    fn secret(&self, from: &SecretRef, planned: &str) -> Result<Zeroizing<String>, String> {
        (self.secrets)(from, planned)
    }
}
