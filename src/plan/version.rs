//! Whether the connected version of Proxmox VE has what the steps of a plan send.

use zeroize::Zeroizing;

use super::draft::Draft;
use super::error::{Problem, Reason};
use super::input::{ApiView, PlanInput};
use crate::ids::NodeName;
use crate::proxmox::served::KNOWN_MAJOR;
use crate::world::World;
use crate::world::requests::request_for;

/// What a step needs and the connected version does not have. `world` is the world right before the step.
pub(super) fn problems(input: &PlanInput<'_>, draft: &Draft, world: &World) -> Vec<Problem> {
    let ApiView::Served(api) = input.api else {
        return Vec::new();
    };
    let of_guest = || {
        let (_, vmid) = draft.action.guest()?;
        world.guests.get(&vmid).map(|guest| guest.node.clone())
    };
    // Which node it is plays no part: paths are compared with a variable in its place.
    let node = draft.node.clone().or_else(of_guest);
    let Some(node) = node.or_else(|| NodeName::new("any").ok()) else {
        return Vec::new();
    };
    // A digest goes with the call wherever the call takes one; what a secret is plays no part.
    let request = request_for(&draft.action, &node, Some("0"), &|_, _| {
        Ok(Zeroizing::default())
    });
    let Ok(request) = request else {
        // An action that is not one call is a mistake that the executor refuses.
        return Vec::new();
    };
    api.lacks(&request.call)
        .into_iter()
        .map(|lack| Problem {
            document: String::new(),
            field: lack.parameter().to_owned(),
            reason: Reason::NotInVersion {
                version: input.world.version.clone(),
                lack: lack.to_string(),
                step: draft.title.clone(),
            },
        })
        .collect()
}

/// What a plan with steps says when the connected host does not say what its API has.
pub(super) enum Unchecked {
    /// Nothing: it was checked.
    No,
    /// Bailiwick's own tables are of the same major version: what is left is a note.
    Note(String),
    /// Nobody knows: what could not be read, and why it matters.
    Unknown(String, String),
}

/// Whether the plan has to say that its steps were not held against the API of the connected version.
pub(super) fn unchecked(input: &PlanInput<'_>) -> Unchecked {
    match input.api {
        ApiView::Served(_) | ApiView::NotAsked => return Unchecked::No,
        ApiView::Unread => {}
    }
    let version = input.world.version.as_str();
    let major = version.split('.').next().and_then(|text| text.parse().ok());
    // Why it could not be read is left out: a plan says nothing that changes from one try to the next.
    if major == Some(KNOWN_MAJOR) {
        return Unchecked::Note(format!(
            "not checked: whether Proxmox VE {version} takes every parameter of these steps; its nodes do not serve the description of \
             their API (/pve-docs/api-viewer/apidoc.js), so Bailiwick goes by its own tables of version {KNOWN_MAJOR}"
        ));
    }
    let version = if version.is_empty() {
        "of an unknown version"
    } else {
        version
    };
    Unchecked::Unknown(
        format!("whether Proxmox VE {version} takes what the steps send"),
        format!(
            "its nodes do not serve the description of their API (/pve-docs/api-viewer/apidoc.js), and Bailiwick's own tables are of \
             version {KNOWN_MAJOR}"
        ),
    )
}
