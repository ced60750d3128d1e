//! The boot order after a CD drive was written: Proxmox VE appends such a drive to an order that does not name it (update_vm of
//! PVE::API2::Qemu), whatever the same request says of `boot`. What the document asks for is therefore written after it, as a step
//! of its own; where the document says nothing, the plan tells what Proxmox VE does.

use std::collections::{BTreeMap, BTreeSet};

use super::Work;
use crate::document::desired::{DesiredGuest, Wish};
use crate::ids::GuestKind;
use crate::plan::draft::{Draft, Phase};
use crate::world::views::{self, Source};
use crate::world::{Action, Param, Params};

/// The step that writes the boot order once more, or else a note on what becomes of the order.
pub(super) fn afterwards(
    work: &mut Work<'_>,
    desired: &DesiredGuest,
) -> (Option<Draft>, Option<String>) {
    let kind = work.guest.kind;
    let drives = media(kind, &work.set);
    if kind != GuestKind::Qemu || drives.is_empty() {
        return (None, None);
    }
    let named =
        |order: &str| -> BTreeSet<String> { views::boot_devices(order).into_iter().collect() };
    let order = named(work.next.get("boot").map_or("", String::as_str));
    let appended: Vec<&str> = drives.difference(&order).map(String::as_str).collect();
    let appends = !order.is_empty() && !appended.is_empty();
    let asked = matches!(desired.options.get("boot"), Some(Wish::Set(_)));
    if asked {
        let wanted = match work.set.get("boot") {
            Some(Param::Plain(text)) => text.clone(),
            Some(Param::Secret { .. }) | None => work.next.get("boot").cloned().unwrap_or_default(),
        };
        let again = appends || work.set.contains_key("boot");
        return (again.then(|| order_step(work, wanted)), None);
    }
    let note = appends.then(|| {
        format!(
            "Proxmox VE appends {} to the boot order, of which the document says nothing",
            appended.join(", ")
        )
    });
    (None, note)
}

/// The slots that a step writes a CD drive to.
fn media(kind: GuestKind, set: &Params) -> BTreeSet<String> {
    set.iter()
        .filter(|(key, param)| match param {
            Param::Plain(text) => views::disk(kind, key, text)
                .is_some_and(|disk| matches!(disk.source, Source::Cdrom(_) | Source::Empty)),
            Param::Secret { .. } => false,
        })
        .map(|(key, _)| key.clone())
        .collect()
}

/// Takes the boot order out of the configuration step, and makes it a step of its own.
fn order_step(work: &mut Work<'_>, wanted: String) -> Draft {
    work.set.remove("boot");
    let told = work.told.iter().position(|told| told.starts_with("boot "));
    let told = match told {
        Some(at) => work.told.remove(at),
        None => format!("boot to {wanted} again"),
    };
    Draft {
        title: format!("set {} {told}", work.object),
        action: Action::UpdateConfig {
            kind: work.guest.kind,
            vmid: work.guest.vmid,
            set: BTreeMap::from([("boot".to_owned(), Param::Plain(wanted))]),
            delete: BTreeSet::new(),
        },
        node: Some(work.guest.node.clone()),
        phase: Phase::Guest,
        needs: BTreeSet::new(),
        notes: vec!["Proxmox VE appends a CD drive that is written to the boot order".to_owned()],
    }
}
