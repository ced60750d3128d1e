//! The disk slots of a guest: disks, CD drives, EFI and TPM volumes, the cloud-init drive, the root file system and mount points.

use serde_json::{Map, Value, json};

use super::fields::Reading;
use super::{Held, LiveDisk, LiveGuest, path};
use crate::document::size::print_size;
use crate::ids::{GuestKind, Slot, VolumeId};

/// Options that say what the slot holds, or only report.
const OF_THE_SLOT: &[&str] = &["file", "volume", "media", "size", "format", "import-from"];

/// Reads every slot. Those of keys that are dealt with already (because no document may set them) are passed over.
pub(super) fn read(live: &LiveGuest<'_>, reading: &mut Reading<'_>) {
    for (slot, disk) in &live.disks {
        let Some(raw) = reading.raw(slot.as_str()) else {
            continue;
        };
        let Some(map) = reading.parsed(slot.as_str(), raw) else {
            continue;
        };
        for option in OF_THE_SLOT {
            reading.take(slot.as_str(), option);
        }
        let at = match (live.kind, &disk.held, slot.as_str()) {
            (_, Held::OfTheNode, _) => {
                reading.give_up(
                    slot.as_str(),
                    "it is a device of the node itself, which no token may set",
                );
                continue;
            }
            (GuestKind::Qemu, Held::Medium(volume), _) => {
                medium(slot, Some(volume), reading);
                continue;
            }
            (GuestKind::Qemu, Held::NoMedium, _) => {
                medium(slot, None, reading);
                continue;
            }
            (GuestKind::Qemu, Held::CloudInit(volume), _) => {
                drive(slot, volume, reading);
                continue;
            }
            (GuestKind::Qemu, Held::Volume(volume), "efidisk0") => {
                whole(slot, volume, None, &["efiDisk"], reading)
            }
            (GuestKind::Qemu, Held::Volume(volume), "tpmstate0") => {
                whole(slot, volume, None, &["tpmState"], reading)
            }
            (GuestKind::Qemu, Held::Volume(volume), name) => {
                whole(slot, volume, Some(disk), &["disks", name], reading)
            }
            (GuestKind::Lxc, Held::Volume(volume), "rootfs") => {
                whole(slot, volume, Some(disk), &["rootFs"], reading)
            }
            (GuestKind::Lxc, Held::Volume(volume), name) => {
                whole(slot, volume, Some(disk), &["mountPoints", name], reading)
            }
            (GuestKind::Lxc, Held::Medium(_) | Held::NoMedium | Held::CloudInit(_), _) => {
                reading.give_up(
                    slot.as_str(),
                    "what it holds cannot be mounted in a container",
                );
                continue;
            }
        };
        if let Some(fields) = fields(reading, &at) {
            reading.options(&map, fields, slot.as_str(), &at);
        }
        if map.get("format").is_some() {
            reading.out.leave_out(
                format!("{slot}.format"),
                "the volume has its format; a document names one only for a new or moved volume",
            );
        }
    }
}

/// The fields of a device at a path.
fn fields(reading: &Reading<'_>, at: &[String]) -> Option<&'static Map<String, Value>> {
    let first = at.first()?;
    let schema = reading.schema(&[first]);
    let device = match at.len() {
        1 => schema,
        _ => schema.get("additionalProperties")?,
    };
    device.get("properties")?.as_object()
}

/// A volume with data: where it lies, and for disks how big it is.
fn whole(
    slot: &Slot,
    volume: &VolumeId,
    disk: Option<&LiveDisk>,
    at: &[&str],
    reading: &mut Reading<'_>,
) -> Vec<String> {
    let key = slot.as_str();
    let field = |name: &str| [path(at), path(&[name])].concat();
    let storage = json!(volume.storage().as_str());
    let out = &mut *reading.out;
    out.place(field("storage"), storage, key, format!("{key}.storage"));
    if let Some(disk) = disk {
        match disk.size.filter(|size| size.0 > 0) {
            Some(size) => {
                let value = json!(print_size(size));
                out.place(field("size"), value, key, format!("{key}.size"));
            }
            None => out.leave_out(
                format!("{key}.size"),
                "neither the storage nor the configuration tells how big it is",
            ),
        }
    }
    path(at)
}

/// A CD drive.
fn medium(slot: &Slot, volume: Option<&VolumeId>, reading: &mut Reading<'_>) {
    let key = slot.as_str();
    let (field, value) = match volume {
        Some(volume) => ("iso", json!(volume.to_string())),
        None => ("empty", json!(true)),
    };
    let at = path(&["cdroms", key, field]);
    reading.out.place(at, value, key, key.to_owned());
}

/// The drive cloud-init reads; a document knows one.
fn drive(slot: &Slot, volume: &VolumeId, reading: &mut Reading<'_>) {
    let key = slot.as_str();
    let taken = reading
        .out
        .spec
        .get("cloudInit")
        .and_then(|group| group.get("drive"))
        .is_some();
    if taken {
        return reading.give_up(key, "a document can have one cloud-init drive");
    }
    let value = json!({ "slot": key, "storage": volume.storage().as_str() });
    let at = path(&["cloudInit", "drive"]);
    reading.out.place(at, value, key, key.to_owned());
}
