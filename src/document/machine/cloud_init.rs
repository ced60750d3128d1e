//! Cloud-init of a virtual machine: its drive and what it tells the guest.

use std::collections::BTreeMap;

use crate::document::desired::{DesiredDisk, Media, SecretRef, Value, Wish};
use crate::document::machine::disks::{DiskFormat, with_options};
use crate::document::options::{Field, List, ToValue, options, property_strings, words};
use crate::document::scalar::{
    Bare, CloudIpv4, CloudIpv6, IpAddress, Ipv4Address, Ipv6Address, SshKey,
};
use crate::document::shared::ssh_key_lines;
use crate::document::slots::{IpConfigSlots, SlotMap};
use crate::ids::{Slot, StorageId, VolumeId};

words! {
    /// The form of the drive.
    pub enum CloudInitType { ConfigDrive2 = "configdrive2", NoCloud = "nocloud", OpenNebula = "opennebula" }
}

/// The slot of a cloud-init drive.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct DriveSlot(pub Slot);

impl schemars::JsonSchema for DriveSlot {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DriveSlot".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "cdrom-slot"})
    }
}

/// The drive cloud-init reads. Proxmox VE makes its volume, and anew at will.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct CloudInitDrive {
    /// The slot, such as `ide2`.
    pub slot: DriveSlot,
    /// The storage the drive's volume lies on.
    pub storage: StorageId,
    /// The format of the image, where the storage knows several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<DiskFormat>,
}

/// SSH public keys; Proxmox VE keeps them percent-encoded.
#[derive(
    Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
#[schemars(inline)]
pub struct EncodedKeys(pub Vec<SshKey>);

impl ToValue for EncodedKeys {
    fn to_value(&self) -> Value {
        let lines = ssh_key_lines(&self.0);
        Value::Plain(percent_encoding::utf8_percent_encode(&lines, super::UNRESERVED).to_string())
    }
}

options! {
    /// Cloud-init. The guest sees a change only when its drive was made anew, which is a step of its own, and usually after a restart.
    pub struct CloudInit {
        /// The drive cloud-init reads.
        drive: Option<CloudInitDrive> = "" by hand,
        /// The user to configure instead of the image's default one.
        user: Field<Bare> = "ciuser",
        /// The user's password.
        password_from: Field<SecretRef> = "cipassword",
        /// SSH public keys of the user, one each.
        ssh_keys: Field<EncodedKeys> = "sshkeys",
        /// Addresses by `ipconfigN`, for the network device `netN`.
        ip_configs: SlotMap<IpConfigSlots, IpConfig> = "ipconfig[n]",
        /// Name servers.
        nameservers: Field<List<IpAddress, ' '>> = "nameserver",
        /// The domain to search.
        search_domain: Field<Bare> = "searchdomain",
        /// Whether packages are upgraded at the first start. Default `true`.
        upgrade: Field<bool> = "ciupgrade",
        /// The form of the drive. Default by the operating system.
        r#type: Field<CloudInitType> = "citype",
        /// Files of the storage that replace what Proxmox VE would write. They have to be there: the API cannot upload snippets.
        custom: Field<CustomFiles> = "cicustom",
    }
}

options! {
    /// The addresses of one network device.
    pub struct IpConfig {
        /// `dhcp` or an address with its prefix.
        ip: Field<CloudIpv4> = "ip",
        /// The gateway.
        gateway: Field<Ipv4Address> = "gw",
        /// `auto`, `dhcp` or an address with its prefix.
        ip6: Field<CloudIpv6> = "ip6",
        /// The IPv6 gateway.
        gateway6: Field<Ipv6Address> = "gw6",
    }
}

options! {
    /// Files that replace what Proxmox VE would write.
    pub struct CustomFiles {
        /// The user data.
        user: Field<VolumeId> = "user",
        /// The network configuration.
        network: Field<VolumeId> = "network",
        /// The meta data.
        meta: Field<VolumeId> = "meta",
        /// The vendor data.
        vendor: Field<VolumeId> = "vendor",
    }
}
property_strings!(IpConfig, CustomFiles);

impl CloudInit {
    /// Adds the drive to the slots.
    pub fn desired(&self, slots: &mut BTreeMap<Slot, Wish<DesiredDisk>>) {
        if let Some(drive) = &self.drive {
            let disk = DesiredDisk {
                storage: Some(drive.storage.clone()),
                format: drive.format.map(|format| format.as_str().to_owned()),
                ..with_options(Media::CloudInit, Vec::new())
            };
            slots.insert(drive.slot.0.clone(), Wish::Set(disk));
        }
    }
}
