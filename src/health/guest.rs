//! The facets of one guest: does it boot, is each volume there, its media, its snapshots, its NICs. Current, pending and every
//! snapshot section of its configuration are looked at. What other rooms of the world say of a guest (backups, jobs, HA) is in
//! `protection`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::ids::{GuestKind, NodeName, Slot, VolumeId};
use crate::world::views::{self, Boot, Disk, Source, Target};
use crate::world::{Guest, Part, Section, Status, World};

use super::usable::{Trouble, content_of, trouble};
use super::{Category, Facet, Grade, State};

/// A slot whose volume is in trouble.
struct Hurt {
    slot: Slot,
    volume: VolumeId,
    trouble: Trouble,
}

/// Writes the facets that follow from a guest's configuration into `put`.
pub(super) fn facets(world: &World, guest: &Guest, put: &mut dyn FnMut(Facet, State)) {
    put(Facet::Runs, runs(guest));
    if let Some(why) = unread(world, guest) {
        put(
            Facet::Boots,
            unknown(format!("the configuration of guest {}: {why}", guest.vmid)),
        );
        return;
    }
    let next = next_start(guest);
    let mut hurt: BTreeMap<Slot, Hurt> = BTreeMap::new();
    let mut slots = 0_usize;
    let sections = [
        Some(next.as_ref()),
        (!guest.config.pending.is_empty()).then_some(&guest.config.current),
    ];
    for section in sections.into_iter().flatten() {
        for disk in views::disks(guest.kind, section) {
            let Some(volume) = disk.source.data() else {
                continue;
            };
            slots += 1;
            match trouble(world, &guest.node, volume, content_of(guest.kind)) {
                Some(trouble) => {
                    hurt.entry(disk.slot.clone()).or_insert_with(|| Hurt {
                        slot: disk.slot.clone(),
                        volume: volume.clone(),
                        trouble,
                    });
                }
                None if !hurt.contains_key(&disk.slot) => put(Facet::Data(disk.slot), State::GOOD),
                None => {}
            }
        }
    }
    for hurt in hurt.values() {
        put(Facet::Data(hurt.slot.clone()), data_state(guest, hurt));
    }
    let media = media(world, guest, &next);
    for (slot, state) in &media {
        put(Facet::Medium(slot.clone()), state.clone());
    }
    let nics = nics(world, guest, &next);
    for (slot, state) in &nics {
        put(Facet::Nic(slot.clone()), state.clone());
    }
    put(
        Facet::Boots,
        boots(world, guest, &next, slots > 0, &media, &nics),
    );
    for pending in &guest.config.pending {
        put(Facet::Pending(pending.key.clone()), State::GOOD);
    }
    snapshots(world, guest, put);
}

/// Why a guest's configuration is unknown (an empty one counts as unread).
pub(super) fn unread(world: &World, guest: &Guest) -> Option<String> {
    if let Some(why) = world.unreadable(&Part::GuestConfig(guest.vmid)) {
        return Some(why.to_owned());
    }
    guest
        .config
        .current
        .is_empty()
        .then(|| "Proxmox VE gave an empty configuration".to_owned())
}

/// The configuration at the next start, without copying it when nothing is pending.
pub(super) fn next_start(guest: &Guest) -> Cow<'_, Section> {
    if guest.config.pending.is_empty() {
        Cow::Borrowed(&guest.config.current)
    } else {
        Cow::Owned(guest.config.next_start())
    }
}

fn unknown(cause: String) -> State {
    State {
        grade: Grade::Unknown,
        category: Some(Category::Unknown),
        rule: "G1",
        causes: vec![cause],
    }
}

fn runs(guest: &Guest) -> State {
    match guest.status {
        Status::Running => State::GOOD,
        Status::Stopped => State {
            grade: Grade::Lost,
            category: Some(Category::Stopped),
            rule: "GU06",
            causes: vec!["it does not run".to_owned()],
        },
        Status::Unknown => unknown(format!("whether it runs: node {} did not say", guest.node)),
    }
}

/// What a slot holds, in a word.
fn role(kind: GuestKind, slot: &Slot, boot: Option<&Slot>) -> &'static str {
    match (kind, slot.as_str()) {
        (GuestKind::Lxc, "rootfs") => "root file system",
        (_, "efidisk0") => "EFI variables",
        (_, "tpmstate0") => "TPM state",
        (_, "vmstate") => "saved memory",
        (_, name) if name.starts_with("unused") => "unused volume",
        _ if boot == Some(slot) => "boot disk",
        _ => "data volume",
    }
}

fn data_state(guest: &Guest, hurt: &Hurt) -> State {
    State {
        grade: hurt.trouble.grade(),
        category: Some(hurt.trouble.category()),
        rule: hurt.trouble.rule(),
        causes: vec![describe(guest, hurt, None)],
    }
}

fn describe(guest: &Guest, hurt: &Hurt, boot: Option<&Slot>) -> String {
    let role = role(guest.kind, &hurt.slot, boot);
    format!(
        "{role} {}{}",
        hurt.slot,
        hurt.trouble.tail(&hurt.volume, &guest.node)
    )
}

/// Whether the next start succeeds and finds its system, with every cause if not.
fn boots(
    world: &World,
    guest: &Guest,
    next: &Section,
    any_data: bool,
    media: &[(Slot, State)],
    nics: &[(Slot, State)],
) -> State {
    let disks = views::disks(guest.kind, next);
    let boot = views::boot(guest.kind, next);
    let boot_slot = boot_disk(&boot, &disks);
    let hurt: Vec<Hurt> = disks
        .iter()
        .filter_map(|disk| {
            let volume = disk.source.data()?;
            let trouble = trouble(world, &guest.node, volume, content_of(guest.kind))?;
            Some(Hurt {
                slot: disk.slot.clone(),
                volume: volume.clone(),
                trouble,
            })
        })
        .collect();
    let blocking = hurt.iter().filter(|h| blocks_start(h, boot_slot.as_ref()));
    let worst = blocking.max_by_key(|h| (h.trouble.grade(), boot_slot.as_ref() == Some(&h.slot)));
    if any_data && only_copy(&disks, &hurt) {
        return State {
            grade: Grade::Lost,
            category: Some(Category::WontBoot),
            rule: hurt.first().map_or("ST01", |h| h.trouble.rule()),
            causes: only_copy_causes(guest, &hurt),
        };
    }
    let mut causes = Vec::new();
    let mut state = match worst {
        Some(worst) => State {
            // Proxmox VE refuses the start when the content type is not allowed, so it is as lost as without the volume.
            grade: worst.trouble.grade().max(Grade::Lost),
            category: Some(match worst.trouble {
                Trouble::NotOnNode => Category::Stranded,
                Trouble::Unread | Trouble::Unlisted(_) => Category::Unknown,
                Trouble::StorageGone
                | Trouble::StorageDisabled
                | Trouble::WrongContent(_)
                | Trouble::VolumeGone
                | Trouble::ParentGone(_) => Category::WontBoot,
            }),
            rule: worst.trouble.rule(),
            causes: Vec::new(),
        },
        None => match hurt
            .iter()
            .find(|h| boot == Boot::Unclear && views::is_system_slot(&h.slot))
        {
            Some(lost) => {
                causes.push("nothing says which disk it boots from".to_owned());
                State {
                    grade: Grade::Impaired,
                    category: Some(Category::MayNotBoot),
                    rule: lost.trouble.rule(),
                    causes: Vec::new(),
                }
            }
            None => State::GOOD,
        },
    };
    if state.grade == Grade::Good
        && let Some(none) = no_system(guest, &boot, boot_slot.as_ref(), next)
    {
        causes.extend(none.causes.iter().cloned());
        state = none;
    }
    if state.grade < Grade::Lost
        && let Some(many) = processors(world, guest, next)
    {
        causes.extend(many.causes.iter().cloned());
        state = many;
    }
    let outside = media
        .iter()
        .chain(nics)
        .filter(|(_, state)| state.grade == Grade::Lost);
    for (_, other) in outside {
        if state.grade < Grade::Lost {
            state = State {
                grade: Grade::Lost,
                category: Some(Category::WontBoot),
                rule: other.rule,
                causes: Vec::new(),
            };
        }
        causes.extend(other.causes.iter().cloned());
    }
    if state.grade == Grade::Good {
        return State::GOOD;
    }
    let mut all = slot_causes(guest, &hurt, boot_slot.as_ref());
    all.append(&mut causes);
    state.causes = all;
    state
}

/// The disk a guest starts from: the first in its boot order that may hold a system.
fn boot_disk(boot: &Boot, disks: &[Disk]) -> Option<Slot> {
    let Boot::Order(slots) = boot else {
        return None;
    };
    slots
        .iter()
        .find(|slot| {
            disks
                .iter()
                .any(|d| d.slot == **slot && views::is_system_candidate(d))
        })
        .cloned()
}

/// Whether a VM asks for more processors than its node has: Proxmox VE refuses the start.
fn processors(world: &World, guest: &Guest, next: &Section) -> Option<State> {
    if guest.kind == GuestKind::Lxc || guest.template {
        return None;
    }
    let number = |key: &str| match next.get(key) {
        Some(text) => text.trim().parse::<u32>().ok(),
        None => Some(1),
    };
    let wanted = number("cores")?.checked_mul(number("sockets")?)?;
    let there = world.nodes.get(&guest.node)?.cpus?;
    (wanted > there).then(|| State {
        grade: Grade::Lost,
        category: Some(Category::WontBoot),
        rule: "GU06",
        causes: vec![format!(
            "it asks for {wanted} processors, and node {} has {there}",
            guest.node
        )],
    })
}

/// What a VM starts from when its boot order names no disk that it has.
fn no_system(guest: &Guest, boot: &Boot, disk: Option<&Slot>, next: &Section) -> Option<State> {
    let Boot::Order(order) = boot else {
        return None;
    };
    if disk.is_some() || guest.kind == GuestKind::Lxc || guest.template {
        return None;
    }
    let first = order.iter().find(|slot| next.contains_key(slot.as_str()));
    let (grade, category, cause) = match first {
        Some(other) => (
            Grade::Impaired,
            Category::MayNotBoot,
            format!("it starts from {other}: its boot order names no disk"),
        ),
        None => (
            Grade::Lost,
            Category::WontBoot,
            "nothing to start from: its boot order names no device that it has".to_owned(),
        ),
    };
    Some(State {
        grade,
        category: Some(category),
        rule: "GU04",
        causes: vec![cause],
    })
}

/// Whether trouble in this slot keeps the guest from starting into its system.
fn blocks_start(hurt: &Hurt, boot: Option<&Slot>) -> bool {
    if boot == Some(&hurt.slot) || matches!(hurt.slot.as_str(), "efidisk0" | "tpmstate0") {
        return true;
    }
    // A content type that is not allowed is refused for every attached volume, not only for the boot disk.
    matches!(hurt.trouble, Trouble::WrongContent(_) | Trouble::Unread)
        && !hurt.slot.as_str().starts_with("unused")
}

/// Whether everything with data of this guest is out of reach. EFI variables and TPM state alone count as nothing kept.
fn only_copy(disks: &[Disk], hurt: &[Hurt]) -> bool {
    let matters = |slot: &Slot| !matches!(slot.as_str(), "efidisk0" | "tpmstate0" | "vmstate");
    let lost = |slot: &Slot| {
        hurt.iter()
            .any(|h| h.slot == *slot && h.trouble.data_out_of_reach())
    };
    let mut data = disks
        .iter()
        .filter(|d| matches!(d.source, Source::Volume(_) | Source::Path(_)) && matters(&d.slot))
        .peekable();
    data.peek().is_some() && data.all(|d| lost(&d.slot))
}

fn only_copy_causes(guest: &Guest, hurt: &[Hurt]) -> Vec<String> {
    grouped(guest, hurt)
        .into_iter()
        .map(|(tail, slots)| format!("only copy: {}{tail}", slots.join(", ")))
        .collect()
}

/// One cause per role and place: `boot disk scsi0 on local-zfs`, `data volumes mp0, mp1 on local-zfs`. The boot disk comes first.
fn slot_causes(guest: &Guest, hurt: &[Hurt], boot: Option<&Slot>) -> Vec<String> {
    let mut lines: Vec<(&'static str, String, Vec<String>)> = Vec::new();
    let mut ordered: Vec<&Hurt> = hurt.iter().collect();
    ordered.sort_by_key(|h| boot != Some(&h.slot));
    for hurt in ordered {
        let role = role(guest.kind, &hurt.slot, boot);
        let tail = hurt.trouble.tail(&hurt.volume, &guest.node);
        match lines.iter_mut().find(|(r, t, _)| *r == role && *t == tail) {
            Some((_, _, slots)) => slots.push(hurt.slot.to_string()),
            None => lines.push((role, tail, vec![hurt.slot.to_string()])),
        }
    }
    lines
        .into_iter()
        .map(|(role, tail, slots)| {
            let plural = if slots.len() > 1 && role.ends_with("volume") {
                "s"
            } else {
                ""
            };
            format!("{role}{plural} {}{tail}", slots.join(", "))
        })
        .collect()
}

fn grouped(guest: &Guest, hurt: &[Hurt]) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for hurt in hurt {
        let tail = hurt.trouble.tail(&hurt.volume, &guest.node);
        match groups.iter_mut().find(|(t, _)| *t == tail) {
            Some((_, slots)) => slots.push(hurt.slot.to_string()),
            None => groups.push((tail, vec![hurt.slot.to_string()])),
        }
    }
    groups
}

/// Media and files that are out of reach, and whether a start fails for them (`Lost`) or something else suffers (`Impaired`).
fn media(world: &World, guest: &Guest, next: &Section) -> Vec<(Slot, State)> {
    let mut found = Vec::new();
    for disk in views::disks(guest.kind, next) {
        let (volume, content, what, grade) = match &disk.source {
            Source::Cdrom(volume) => {
                let content = views::file_content(volume).unwrap_or("images");
                (volume, content, "ISO image", Grade::Lost)
            }
            Source::CloudInit(volume) => (volume, "images", "cloud-init drive", Grade::Impaired),
            Source::Volume(_) | Source::Empty | Source::Path(_) => continue,
        };
        // The drive is made anew at every start: that it was not listed means nothing.
        let trouble = trouble(world, &guest.node, volume, content)
            .filter(|t| grade == Grade::Lost || *t != Trouble::VolumeGone);
        if let Some(trouble) = trouble {
            let tail = trouble.tail(volume, &guest.node);
            let remedy = match grade {
                Grade::Impaired => {
                    "; until it is made anew on another storage the VM does not start"
                }
                Grade::Good | Grade::Lost | Grade::Unknown => "",
            };
            let state = medium_state(
                grade,
                &trouble,
                format!("{what} {}{tail}{remedy}", disk.slot),
            );
            found.push((disk.slot, state));
        }
    }
    for reference in views::references(next) {
        let slot = reference.slot;
        match &reference.target {
            Target::Volume(volume) => {
                if let Some(trouble) = trouble(world, &guest.node, volume, "snippets") {
                    let tail = trouble.tail(volume, &guest.node);
                    let state = medium_state(Grade::Lost, &trouble, format!("{slot}{tail}"));
                    found.push((slot, state));
                }
            }
            Target::Storage(storage) => {
                let usable = world.storages.get(storage).map(|s| s.on_node(&guest.node));
                if usable != Some(true) && world.unreadable(&Part::Storages).is_none() {
                    let cause = format!("{slot} on {storage}: it cannot save its memory there");
                    found.push((
                        slot,
                        medium_state(Grade::Impaired, &Trouble::StorageGone, cause),
                    ));
                }
            }
        }
    }
    found
}

fn medium_state(grade: Grade, trouble: &Trouble, cause: String) -> State {
    let (grade, category) = match (trouble, grade) {
        (Trouble::Unread | Trouble::Unlisted(_), _) => (Grade::Unknown, Category::Unknown),
        (_, Grade::Lost) => (Grade::Lost, Category::WontBoot),
        (_, Grade::Good | Grade::Impaired | Grade::Unknown) => {
            (Grade::Impaired, Category::Degraded)
        }
    };
    let rule = match trouble {
        Trouble::Unread | Trouble::Unlisted(_) | Trouble::VolumeGone => trouble.rule(),
        Trouble::StorageGone
        | Trouble::StorageDisabled
        | Trouble::NotOnNode
        | Trouble::WrongContent(_)
        | Trouble::ParentGone(_) => "ST05",
    };
    State {
        grade,
        category: Some(category),
        rule,
        causes: vec![cause],
    }
}

/// NICs whose bridge the guest's node does not have: Proxmox VE refuses the start. Good ones are left out.
fn nics(world: &World, guest: &Guest, next: &Section) -> Vec<(Slot, State)> {
    let mut found = Vec::new();
    for nic in views::nics(next) {
        let Some(bridge) = nic.bridge else { continue };
        let slot = nic.slot;
        if let Some(state) = bridge_state(world, &guest.node, &slot, &bridge) {
            found.push((slot, state));
        }
    }
    found
}

fn bridge_state(world: &World, node: &NodeName, slot: &Slot, bridge: &str) -> Option<State> {
    if let Some(why) = world.unreadable(&Part::NodeNetwork(node.clone())) {
        return Some(unknown(format!(
            "{slot} on bridge {bridge}: the network of node {node}: {why}"
        )));
    }
    let there = world
        .nodes
        .get(node)
        .is_some_and(|n| n.bridges.contains(bridge));
    (!there).then(|| State {
        grade: Grade::Lost,
        category: Some(Category::Unreachable),
        rule: "GU06",
        causes: vec![format!(
            "{slot} on bridge {bridge}, which node {node} does not have"
        )],
    })
}

/// Whether each snapshot's volumes and memory are there.
fn snapshots(world: &World, guest: &Guest, put: &mut dyn FnMut(Facet, State)) {
    for (name, snapshot) in &guest.config.snapshots {
        let hurt: Vec<Hurt> = views::disks(guest.kind, &snapshot.section)
            .into_iter()
            .filter_map(|disk| {
                let volume = disk.source.data()?.clone();
                let trouble = trouble(world, &guest.node, &volume, content_of(guest.kind))?;
                // A snapshot can be rolled back to or not; what a storage may newly hold does not matter to it.
                let matters = trouble.grade() >= Grade::Lost;
                matters.then_some(Hurt {
                    slot: disk.slot,
                    volume,
                    trouble,
                })
            })
            .collect();
        let Some(worst) = hurt.iter().max_by_key(|h| h.trouble.grade()) else {
            put(Facet::Snapshot(name.clone()), State::GOOD);
            continue;
        };
        let causes = grouped(guest, &hurt)
            .into_iter()
            .map(|(tail, slots)| format!("snapshot {name}: {}{tail}", slots.join(", ")))
            .collect();
        let category = match worst.trouble.category() {
            Category::Degraded => Category::DataLost,
            other => other,
        };
        put(
            Facet::Snapshot(name.clone()),
            State {
                grade: worst.trouble.grade(),
                category: Some(category),
                rule: worst.trouble.rule(),
                causes,
            },
        );
    }
}
