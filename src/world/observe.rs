//! Reading a cluster: everything the model names, once, with bounded concurrency. What cannot be read is marked so with the
//! reason; what the token may not see is marked too, since Proxmox VE shows an empty list where it hides (rule G2). This module
//! reads and never writes, and judges nothing.

mod cluster;
mod guests;
mod json;
mod nodes;
mod refresh;
mod sight;
mod storages;

use std::collections::BTreeMap;
use std::future::Future;

use jiff::Timestamp;
use serde_json::Value;
use tokio::task::JoinSet;

use super::model::{Completeness, Part, World};
use crate::ids::{ClusterName, NodeName};
use crate::proxmox::{ApiError, Call, Client, ErrorClass};
pub use refresh::{Refresh, refresh};
use sight::Sight;
pub use sight::{READING, permissions, shown_by};

/// What to read, and under which name.
#[derive(Debug, Clone)]
pub struct ObserveSettings {
    /// The cluster's name in Bailiwick's configuration.
    pub cluster: ClusterName,
    /// Whether to read what lies on the storages (one call per storage and node).
    pub contents: bool,
    /// Whether to read the snapshots (one call per guest, and one per snapshot).
    pub snapshots: bool,
}

impl ObserveSettings {
    /// Everything.
    pub fn all(cluster: ClusterName) -> Self {
        Self {
            cluster,
            contents: true,
            snapshots: true,
        }
    }
}

/// A cluster that could not be observed at all.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The token may do nothing.
    #[error(
        "the API token {token} has no privileges on cluster {cluster}: Proxmox VE shows it an empty cluster; give it a role such as \
         PVEAuditor on / (Datacenter, Permissions, Add, API Token Permission), and to its user as well if privilege separation is on"
    )]
    NoPrivileges {
        /// The token's id.
        token: String,
        /// The cluster's name.
        cluster: ClusterName,
    },
    /// The token is not accepted.
    #[error(
        "cluster {cluster} does not accept the API token {token}: it does not exist, has expired, or its secret is wrong; make a new \
         one under Datacenter, Permissions, API Tokens"
    )]
    Unauthenticated {
        /// The token's id.
        token: String,
        /// The cluster's name.
        cluster: ClusterName,
        /// What Proxmox VE said.
        #[source]
        source: ApiError,
    },
    /// Something without which there is nothing to observe could not be read.
    #[error("cluster {cluster} cannot be observed")]
    Api {
        /// The cluster's name.
        cluster: ClusterName,
        /// Why.
        #[source]
        source: ApiError,
    },
}

/// Why a part is unreadable, in words.
type Why = String;

/// The parts read so far, into a world.
struct Observation<'a> {
    client: &'a Client,
    settings: &'a ObserveSettings,
    sight: Sight,
    /// Nodes that are offline or do not answer, with the reason.
    lost: BTreeMap<NodeName, Why>,
    world: World,
}

/// Observes a cluster. Fails only when the token or the connection is no good, or the list of what there is cannot be read;
/// everything else that fails is a part marked unreadable.
pub async fn observe(client: &Client, settings: &ObserveSettings) -> Result<World, ObserveError> {
    let fail = |source: ApiError| match source.class() {
        ErrorClass::Unauthenticated => ObserveError::Unauthenticated {
            token: client.token_id().to_owned(),
            cluster: settings.cluster.clone(),
            source,
        },
        _ => ObserveError::Api {
            cluster: settings.cluster.clone(),
            source,
        },
    };
    let permissions = data(client, Call::get(["access", "permissions"]))
        .await
        .map_err(fail)?;
    let permissions = sight::permissions(&permissions);
    if permissions.values().all(BTreeMap::is_empty) {
        return Err(ObserveError::NoPrivileges {
            token: client.token_id().to_owned(),
            cluster: settings.cluster.clone(),
        });
    }
    let (version, resources, acl) = tokio::join!(
        data(client, Call::get(["version"])),
        data(client, Call::get(["cluster", "resources"])),
        data(client, Call::get(["access", "acl"])),
    );
    let mut seen = Observation {
        client,
        settings,
        sight: Sight::new(permissions),
        lost: BTreeMap::new(),
        world: World::unread(settings.cluster.clone(), Timestamp::now()),
    };
    seen.world.version = json::text(&version.map_err(fail)?, "version").unwrap_or_default();
    seen.mark(Part::Permissions, Ok(()));
    seen.acl(acl);
    let resources = resources.map_err(fail)?;
    seen.cluster_wide().await;
    seen.resources(&resources);
    seen.nodes().await;
    seen.guests().await;
    if settings.contents {
        seen.contents().await;
    }
    let mut world = seen.world;
    world.permissions = std::sync::Arc::new(seen.sight.into_permissions());
    world.observed_at = Timestamp::now();
    Ok(world)
}

impl Observation<'_> {
    /// Marks a part as read, or as unreadable with the reason.
    fn mark(&mut self, part: Part, read: Result<(), Why>) {
        let completeness = match read {
            Ok(()) => Completeness::Complete {
                at: Timestamp::now(),
            },
            Err(why) => Completeness::Unreadable { why },
        };
        self.world.completeness.insert(part, completeness);
    }
}

/// Reads a call's `data`.
async fn data(client: &Client, call: Call) -> Result<Value, ApiError> {
    client.get(call).await
}

/// Runs the same for each item at once (the client bounds how many calls are under way) and gives the results in the items'
/// order.
async fn each<T, R, F>(items: Vec<T>, work: impl Fn(T) -> F) -> Vec<R>
where
    R: Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    let mut set = JoinSet::new();
    for (index, item) in items.into_iter().enumerate() {
        let future = work(item);
        set.spawn(async move { (index, future.await) });
    }
    let mut results = set.join_all().await;
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
