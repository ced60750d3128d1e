//! Devices by slot: which slots there are of each family, and the map of a document from slots to devices. It knows no device.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::desired::Wish;
use super::options::{Field, ToValue, Unset, Wishes, Write, wish};
use crate::ids::Slot;

/// A family of slots: which names there are, and how many.
pub trait SlotFamily: fmt::Debug + Clone + PartialEq {
    /// The name of the format in the JSON Schema.
    const FORMAT: &'static str;
    /// The prefixes with the greatest number each may have.
    const PREFIXES: &'static [(&'static str, u32)];
}

/// Whether a text is a slot of these prefixes: a known prefix and a number within bounds, without leading zeros.
pub fn is_slot(prefixes: &[(&str, u32)], text: &str) -> bool {
    prefixes.iter().any(|(prefix, greatest)| {
        text.strip_prefix(prefix).is_some_and(|digits| {
            digits
                .parse::<u32>()
                .is_ok_and(|n| n <= *greatest && n.to_string() == digits)
        })
    })
}

/// `scsi0 to scsi30, ide0 to ide3` for messages.
pub fn slot_names(prefixes: &[(&str, u32)]) -> String {
    prefixes
        .iter()
        .map(|(prefix, greatest)| format!("{prefix}0 to {prefix}{greatest}"))
        .collect::<Vec<_>>()
        .join(", ")
}

macro_rules! slots {
    ($($(#[$doc:meta])* $name:ident, $format:literal, $prefixes:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub struct $name;
            impl SlotFamily for $name {
                const FORMAT: &'static str = $format;
                const PREFIXES: &'static [(&'static str, u32)] = $prefixes;
            }
        )*
        /// Every family of slots: the format's name and its prefixes.
        pub const SLOT_FAMILIES: &[(&str, &[(&str, u32)])] = &[$(($format, $prefixes)),*];
    };
}

slots! {
    /// Disks of a virtual machine. Bounds: Proxmox VE, qemu-server's drive tables.
    DiskSlots, "disk-slot", &[("scsi", 30), ("virtio", 15), ("sata", 5), ("ide", 3)];
    /// CD drives and cloud-init drives; a VirtIO block device cannot be one.
    CdromSlots, "cdrom-slot", &[("ide", 3), ("sata", 5), ("scsi", 30)];
    /// Network devices.
    NetSlots, "net-slot", &[("net", 31)];
    /// NUMA nodes.
    NumaSlots, "numa-slot", &[("numa", 7)];
    /// Serial ports.
    SerialSlots, "serial-slot", &[("serial", 3)];
    /// USB devices.
    UsbSlots, "usb-slot", &[("usb", 13)];
    /// PCI devices.
    PciSlots, "pci-slot", &[("hostpci", 15)];
    /// Shared directories.
    VirtiofsSlots, "virtiofs-slot", &[("virtiofs", 9)];
    /// Cloud-init's addresses, one for each network device.
    IpConfigSlots, "ipconfig-slot", &[("ipconfig", 31)];
    /// Mount points of a container.
    MountPointSlots, "mount-point-slot", &[("mp", 255)];
}

/// Devices by slot; `null` asks for the slot to be emptied. Slots that are not written are not managed.
#[derive(Debug, Clone, PartialEq)]
pub struct SlotMap<F, T>(BTreeMap<Slot, Option<T>>, PhantomData<F>);

impl<F, T> Default for SlotMap<F, T> {
    fn default() -> Self {
        Self(BTreeMap::new(), PhantomData)
    }
}

impl<F, T> Unset for SlotMap<F, T> {
    fn unset(&self) -> bool {
        self.0.is_empty()
    }
}

impl<F, T> SlotMap<F, T> {
    /// Every written slot in order, with its device or `None` for `null`.
    pub fn iter(&self) -> impl Iterator<Item = (&Slot, Option<&T>)> {
        self.0.iter().map(|(slot, device)| (slot, device.as_ref()))
    }
}

impl<F: SlotFamily, T: ToValue> Write for SlotMap<F, T> {
    fn write(&self, _key: &str, out: &mut Wishes) {
        for (slot, device) in self.iter() {
            match device {
                Some(device) => out.extend(wish(slot.as_str(), device.to_value())),
                None => out.push((slot.to_string(), Wish::Remove)),
            }
        }
    }
}

impl<F, T: Serialize> Serialize for SlotMap<F, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, F: SlotFamily, T: Deserialize<'de>> Deserialize<'de> for SlotMap<F, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<Slot, Option<T>>::deserialize(deserializer)?;
        match map.keys().find(|slot| !is_slot(F::PREFIXES, slot.as_str())) {
            Some(slot) => Err(serde::de::Error::custom(format!(
                "`{slot}` is not one of {}",
                slot_names(F::PREFIXES)
            ))),
            None => Ok(Self(map, PhantomData)),
        }
    }
}

impl<F: SlotFamily, T: JsonSchema> JsonSchema for SlotMap<F, T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("{}_{}", F::FORMAT, T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": {"type": "string", "format": F::FORMAT},
            "additionalProperties": generator.subschema_for::<Field<T>>(),
        })
    }
}
