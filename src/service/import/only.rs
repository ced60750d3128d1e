//! What of a cluster is to be imported: `vm/104`, `storage/local`, or every object of a kind.

use std::collections::BTreeSet;

use super::{NO_IMAGES, WORDS, part_of, word};
use crate::document::Kind;
use crate::document::import::names::Unnamed;
use crate::plan::words::clean;
use crate::service::error::ServiceError;
use crate::world::World;

/// Which objects are asked for.
pub(super) struct Only {
    kinds: BTreeSet<Kind>,
    objects: BTreeSet<(Kind, String)>,
}

impl Only {
    pub(super) fn read(only: &[String]) -> Result<Self, ServiceError> {
        let mut read = Self {
            kinds: BTreeSet::new(),
            objects: BTreeSet::new(),
        };
        if only.is_empty() {
            // A document for a snapshot would have it taken anew when somebody deletes it: that has to be asked for. For an image
            // none can be written.
            let standing = Kind::ALL
                .into_iter()
                .filter(|kind| !matches!(kind, Kind::Snapshot | Kind::Image));
            read.kinds.extend(standing);
        }
        for text in only {
            let (name, id) = match text.split_once('/') {
                Some((name, id)) => (name, Some(id)),
                None => (text.as_str(), None),
            };
            if name == "image" {
                return Err(ServiceError::Request(format!("--only: {NO_IMAGES}")));
            }
            let kind = WORDS.iter().find(|(word, _)| *word == name);
            match (kind, id) {
                (Some((_, kind)), None) => {
                    read.kinds.insert(*kind);
                }
                (Some((_, kind)), Some(id)) if !id.is_empty() => {
                    read.objects.insert((*kind, id.to_owned()));
                }
                _ => {
                    return Err(ServiceError::Request(format!(
                        "--only: `{}` names nothing: say `vm/104`, `ct/301`, `storage/NAME`, `pool/NAME`, `backup-job/NAME`, `snapshot/104/NAME`, `replication-job/ID`, `group/NAME`, `user/ID`, `role/NAME`, `realm/NAME`, `acl/group:NAME/PATH`, `token/USER!NAME`, `alias/NAME`, `ipset/NAME` (of a guest `alias/104/NAME`), `security-group/NAME`, `firewall/cluster` (of a node `firewall/node/NAME`, of a guest `firewall/guest/104`, of a vnet `firewall/vnet/NAME`), or a whole kind as `vm`, `ct`, `storage`, `pool`, `backup-job`, `snapshot`, `replication-job`, `group`, `user`, `role`, `realm`, `acl`, `token`, `alias`, `ipset`, `security-group` or `firewall`",
                        clean(text)
                    )));
                }
            }
        }
        Ok(read)
    }

    pub(super) fn wants(&self, object: &Unnamed) -> bool {
        self.kinds.contains(&object.kind)
            || self.objects.contains(&(object.kind, object.id.clone()))
    }

    pub(super) fn wants_any(&self, kinds: &[Kind]) -> bool {
        kinds
            .iter()
            .any(|kind| self.kinds.contains(kind) || self.objects.iter().any(|(of, _)| of == kind))
    }

    /// Refuses names of nothing, all at once.
    pub(super) fn all_there(&self, world: &World, objects: &[Unnamed]) -> Result<(), ServiceError> {
        let absent: Vec<String> = self
            .objects
            .iter()
            .filter(|(kind, id)| {
                !objects
                    .iter()
                    .any(|object| object.kind == *kind && object.id == *id)
            })
            .map(|(kind, id)| {
                let hidden = part_of(*kind)
                    .and_then(|part| world.unreadable(&part))
                    .map(|why| format!(" (or it is hidden: {why})"))
                    .unwrap_or_default();
                format!("{}/{}{hidden}", word(*kind), clean(id))
            })
            .collect();
        if absent.is_empty() {
            return Ok(());
        }
        Err(ServiceError::Request(format!(
            "--only: cluster {} has no {}",
            world.cluster,
            absent.join(", no ")
        )))
    }
}
