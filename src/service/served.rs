//! The APIs of the clusters as their hosts serve them, for plans to be held against. A description has megabytes, so it is read once
//! a version and kept in the state file; a cluster that stays as it is costs no request for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::error::ServiceError;
use super::open::Service;
use crate::configuration::Cluster;
use crate::ids::ClusterName;
use crate::proxmox::{Client, ServedApi};
use crate::store;

/// For how long a description is good while the version stays the same: packages below `pve-manager`, whose version is the one told
/// (qemu-server, pve-container), bring parameters of their own.
const GOOD: SignedDuration = SignedDuration::from_hours(24);
/// For how long a host that does not serve one is not asked again.
const PAUSE: SignedDuration = SignedDuration::from_mins(10);

/// What was read of each cluster's API.
#[derive(Debug, Clone, Default)]
pub struct ServedApis {
    kept: Arc<Mutex<BTreeMap<ClusterName, Kept>>>,
}

#[derive(Debug, Clone)]
struct Kept {
    version: String,
    at: Timestamp,
    /// `None`: it could not be read.
    api: Option<Arc<ServedApi>>,
}

impl ServedApis {
    fn good(&self, cluster: &ClusterName, version: &str, now: Timestamp) -> Option<Kept> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(cluster)
            .filter(|kept| {
                let good = if kept.api.is_some() { GOOD } else { PAUSE };
                kept.version == version && now.duration_since(kept.at) < good
            })
            .cloned()
    }

    fn keep(&self, cluster: &ClusterName, kept: Kept) {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(cluster.clone(), kept);
    }
}

/// Reads what the connected host's API has; an error says why not, for people.
pub(super) async fn read(client: &Client) -> Result<ServedApi, String> {
    let script = client
        .api_viewer()
        .await
        .map_err(|error| error.to_string())?;
    ServedApi::read(&script).map_err(|error| error.to_string())
}

impl Service {
    /// The API of a cluster that runs this version; `None` if its hosts do not say, and never said for this version.
    pub(super) async fn served_api(
        &self,
        cluster: &Cluster,
        version: &str,
    ) -> Result<Option<Arc<ServedApi>>, ServiceError> {
        let now = self.now();
        if let Some(kept) = self.apis.good(&cluster.name, version, now) {
            return Ok(kept.api);
        }
        let stored: Option<(Timestamp, ServedApi)> = self
            .store
            .served_api(&cluster.name)
            .await?
            .filter(|stored| stored.version == version)
            // One that another version of Bailiwick wrote in another form is read anew.
            .and_then(|stored| Some((stored.read, serde_json::from_str(&stored.json).ok()?)));
        let kept = |at, api| Kept {
            version: version.to_owned(),
            at,
            api,
        };
        if let Some((at, api)) = &stored
            && now.duration_since(*at) < GOOD
        {
            let api: Option<Arc<ServedApi>> = Some(Arc::new(ServedApi::clone(api)));
            self.apis.keep(&cluster.name, kept(*at, api.clone()));
            return Ok(api);
        }
        let api = match read(&self.client(&cluster.name)?).await {
            Ok(api) => {
                let mut tx = self.store.begin().await?;
                tx.put_served_api(&store::ServedApi {
                    cluster: cluster.name.clone(),
                    version: version.to_owned(),
                    json: serde_json::to_string(&api)?,
                    read: now,
                })
                .await?;
                tx.commit().await?;
                Some(api)
            }
            // What the same version said before still holds. Why it cannot be read is for `doctor` to say, and the plan
            // that it was not.
            Err(_) => stored.map(|(_, api)| api),
        };
        let api = api.map(Arc::new);
        self.apis.keep(&cluster.name, kept(now, api.clone()));
        Ok(api)
    }
}
