//! Whether a volume can be used from a node: the one question that every storage rule comes down to. It looks at definitions and
//! listings only; what was not listed is taken from the configuration's word, what cannot be told is [`Trouble::Unread`].

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ids::{GuestKind, NodeName, VolumeId};
use crate::world::views::{self, Parent};
use crate::world::{Part, Storage, Volume, World, predict};

use super::{Category, Grade};

/// Why a volume cannot be used, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No such storage is defined.
    StorageGone,
    /// The storage is disabled.
    StorageDisabled,
    /// The storage's definition leaves out the node.
    NotOnNode,
    /// The storage may not hold this content type: Proxmox VE refuses to start, move or grow.
    WrongContent(&'static str),
    /// The storage was listed and the volume is not there.
    VolumeGone,
    /// The base volume of a linked clone is not there.
    ParentGone(VolumeId),
    /// The storage definitions could not be read.
    Unread,
    /// The storage's content could not be read; the reason.
    Unlisted(String),
}

impl Trouble {
    /// The rule that speaks.
    pub(super) fn rule(&self) -> &'static str {
        match self {
            Self::StorageGone | Self::StorageDisabled => "ST01",
            Self::NotOnNode => "ST03",
            Self::WrongContent(_) => "ST04",
            Self::VolumeGone => "ST08",
            Self::ParentGone(_) => "ST07",
            Self::Unlisted(why) if why.starts_with(predict::REDIRECTED) => "ST12",
            Self::Unread | Self::Unlisted(_) => "G1",
        }
    }

    /// The grade of what needs the volume.
    pub(super) fn grade(&self) -> Grade {
        match self {
            Self::Unread | Self::Unlisted(_) => Grade::Unknown,
            Self::WrongContent(_) => Grade::Impaired,
            Self::StorageGone
            | Self::StorageDisabled
            | Self::NotOnNode
            | Self::VolumeGone
            | Self::ParentGone(_) => Grade::Lost,
        }
    }

    /// The category of losing a volume with data to this.
    pub(super) fn category(&self) -> Category {
        match self {
            Self::StorageGone | Self::StorageDisabled | Self::WrongContent(_) => Category::Degraded,
            Self::NotOnNode => Category::Stranded,
            Self::VolumeGone | Self::ParentGone(_) => Category::DataLost,
            Self::Unread | Self::Unlisted(_) => Category::Unknown,
        }
    }

    /// Whether the data is out of reach (and not only out of reach from this node, or restricted).
    pub(super) fn data_out_of_reach(&self) -> bool {
        matches!(
            self,
            Self::StorageGone | Self::StorageDisabled | Self::VolumeGone | Self::ParentGone(_)
        )
    }

    /// What follows `boot disk scsi0`: ` on local-zfs`, ` on local-zfs, which is disabled`, …
    pub(super) fn tail(&self, volume: &VolumeId, node: &NodeName) -> String {
        let storage = volume.storage();
        match self {
            Self::StorageGone => format!(" on {storage}"),
            Self::StorageDisabled => format!(" on {storage}{DISABLED}"),
            Self::NotOnNode => format!(" on {storage}{NOT_ON_NODE}{node} may not use"),
            Self::WrongContent(content) => {
                format!(
                    " on {storage}, which may not hold {content}: it cannot start, migrate or grow"
                )
            }
            Self::VolumeGone => format!(": volume {volume} does not exist"),
            Self::ParentGone(base) => {
                format!(": {volume} is a linked clone of {base}, which is gone")
            }
            Self::Unread => format!(" on {storage}: the storage definitions could not be read"),
            Self::Unlisted(why) => format!(" on {storage}, whose content is not known: {why}"),
        }
    }
}

/// The content type a guest's volumes count as.
pub(super) fn content_of(kind: GuestKind) -> &'static str {
    match kind {
        GuestKind::Qemu => "images",
        GuestKind::Lxc => "rootdir",
    }
}

/// What a node sees on a storage, if that was read.
pub(super) fn listing<'w>(
    world: &'w World,
    storage: &'w Storage,
    node: &NodeName,
) -> Option<&'w Arc<BTreeMap<VolumeId, Volume>>> {
    let (from, volumes) = if storage.shared {
        storage.volumes.iter().next()?
    } else {
        storage.volumes.get_key_value(node)?
    };
    let part = Part::StorageContent(from.clone(), storage.id.clone());
    world.unreadable(&part).is_none().then_some(volumes)
}

/// What keeps a volume from being used by a guest on a node. `content` is what the storage must be allowed to hold.
pub(super) fn trouble(
    world: &World,
    node: &NodeName,
    volume: &VolumeId,
    content: &'static str,
) -> Option<Trouble> {
    let Some(storage) = world.storages.get(volume.storage()) else {
        return Some(match world.unreadable(&Part::Storages) {
            Some(_) => Trouble::Unread,
            None => Trouble::StorageGone,
        });
    };
    if storage.disabled {
        return Some(Trouble::StorageDisabled);
    }
    if !storage.on_node(node) {
        return Some(Trouble::NotOnNode);
    }
    // Proxmox VE lists only the content types a storage may hold, so a listing says nothing about the others.
    if !storage.content.contains(content) {
        return Some(Trouble::WrongContent(content));
    }
    let Some(listing) = listing(world, storage, node) else {
        return unlisted(world, storage, node).map(|why| Trouble::Unlisted(why.to_owned()));
    };
    if !listing.contains_key(volume) && !listed_otherwise(listing, volume) {
        return Some(Trouble::VolumeGone);
    }
    match views::parent(volume) {
        Parent::Of(base) if !listing.contains_key(&base) => Some(Trouble::ParentGone(base)),
        Parent::Of(_) | Parent::None => None,
    }
}

/// Whether a volume is listed with another parent in its id than the configuration writes (a clone that was cut from its base).
fn listed_otherwise(listing: &BTreeMap<VolumeId, Volume>, volume: &VolumeId) -> bool {
    let file = |id: &VolumeId| id.name().rsplit('/').next().map(str::to_owned);
    views::parent(volume) != Parent::None && {
        let wanted = file(volume);
        listing.keys().any(|id| file(id) == wanted)
    }
}

/// Whether a cause says that a definition alone is in the way (a storage that is disabled or kept from a node), not the data.
pub(super) fn by_definition_only(cause: &str) -> bool {
    cause.contains(DISABLED) || cause.contains(NOT_ON_NODE)
}

const DISABLED: &str = ", which is disabled";
const NOT_ON_NODE: &str = ", which node ";

/// Why a storage's content could not be read, if that was tried. What was never asked for is taken from the configuration's word.
fn unlisted<'w>(world: &'w World, storage: &Storage, node: &NodeName) -> Option<&'w str> {
    let why = |node: &NodeName| {
        let part = Part::StorageContent(node.clone(), storage.id.clone());
        world
            .completeness
            .contains_key(&part)
            .then(|| world.unreadable(&part))
            .flatten()
    };
    if !storage.shared {
        return why(node);
    }
    world.nodes.keys().find_map(why)
}
