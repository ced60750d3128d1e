//! Processor, memory, firmware and devices of a virtual machine.

use std::collections::BTreeSet;

use base64::Engine;

use crate::document::desired::Value;
use crate::document::options::{
    Field, Group, List, Set, ToValue, options, properties, property_strings, words,
};
use crate::document::scalar::{
    Bare, BridgeName, CpuFlag, CpuRange, CpuType, HexId, MacAddress, MachineType, MappingId,
    PhysBits, VendorId, VlanRange,
};
use crate::document::size::Mebibytes;

options! {
    /// The virtual processors.
    pub struct Cpu {
        /// Cores per socket. Default 1.
        #[schemars(range(min = 1))]
        cores: Field<u32> = "cores",
        /// Sockets. Default 1.
        #[schemars(range(min = 1))]
        sockets: Field<u32> = "sockets",
        /// Processors plugged in at start, at most cores times sockets; the rest can be plugged in while the guest runs.
        #[schemars(range(min = 1))]
        vcpus: Field<u32> = "vcpus",
        /// The emulated type, such as `host`, `x86-64-v2-AES` or `custom-NAME`. Default `kvm64` in the API.
        r#type: Field<CpuType> = "cpu,cputype",
        /// Flags with their sign, such as `+aes`, added to or taken from the type.
        flags: Field<List<CpuFlag, ';'>> = "cpu,flags",
        /// Whether the guest cannot see that KVM runs it. Default `false`.
        hidden: Field<bool> = "cpu,hidden",
        /// The vendor id of the Hyper-V interface.
        hv_vendor_id: Field<VendorId> = "cpu,hv-vendor-id",
        /// Bits of physical addresses the guest sees: `host`, or a number from 8 to 64 in quotes.
        phys_bits: Field<PhysBits> = "cpu,phys-bits",
        /// Bits of physical addresses the guest can use.
        #[schemars(range(min = 32, max = 64))]
        guest_phys_bits: Field<u32> = "cpu,guest-phys-bits",
        /// The vendor-specific level of the type that the guest sees.
        #[schemars(range(min = 0))]
        level: Field<u32> = "cpu,level",
        /// The model and vendor the guest sees, from QEMU's list.
        reported_model: Field<CpuType> = "cpu,reported-model",
        /// Greatest use of processor time, in processors; 0 is no limit.
        #[schemars(range(min = 0, max = 128))]
        limit: Field<f64> = "cpulimit",
        /// Weight against other guests. Proxmox VE clamps it to 1 to 10000. Default 100.
        #[schemars(range(min = 1, max = 262144))]
        units: Field<u32> = "cpuunits",
        /// Whether the guest sees NUMA nodes. Default `false`.
        numa: Field<bool> = "numa",
    }
}

options! {
    /// The memory.
    pub struct Memory {
        /// The size in whole MiB, such as `8Gi`; at least `16Mi`. Default `512Mi`.
        size: Field<Mebibytes> = "memory",
        /// The least the balloon may shrink the memory to, in whole MiB; `0Mi` turns ballooning off.
        balloon: Field<Mebibytes> = "balloon",
        /// Weight against other guests for automatic ballooning; 0 turns it off. Default 1000.
        #[schemars(range(min = 0, max = 50000))]
        shares: Field<u32> = "shares",
        /// Whether identical memory pages may be merged with those of other guests. Default `true`.
        allow_ksm: Field<bool> = "allow-ksm",
    }
}

words! {
    /// How a NUMA node's memory is allocated.
    pub enum NumaPolicy { Preferred = "preferred", Bind = "bind", Interleave = "interleave" }
}

options! {
    /// One NUMA node of the guest.
    pub struct NumaNode {
        /// The guest's processors on this node.
        cpus: Field<List<CpuRange, ';'>> = "cpus",
        /// The host's NUMA nodes to use.
        host_nodes: Field<List<CpuRange, ';'>> = "hostnodes",
        /// The node's memory in whole MiB.
        memory: Field<Mebibytes> = "memory",
        /// How the memory is allocated on the host.
        policy: Field<NumaPolicy> = "policy",
    }
}

words! {
    /// A virtual IOMMU.
    pub enum Viommu { Intel = "intel", Virtio = "virtio" }
}

options! {
    /// The machine QEMU emulates.
    pub struct Machine {
        /// The type: `pc` (i440fx), `q35`, `virt` (ARM), or a versioned one such as `pc-q35-9.2`.
        r#type: Field<MachineType> = "type",
        /// A virtual IOMMU; `intel` needs `q35`.
        viommu: Field<Viommu> = "viommu",
        /// Bits of the virtual IOMMU's addresses.
        #[schemars(range(min = 32, max = 64))]
        aw_bits: Field<u32> = "aw-bits",
        /// Whether the guest may suspend to memory.
        enable_s3: Field<bool> = "enable-s3",
        /// Whether the guest may suspend to disk.
        enable_s4: Field<bool> = "enable-s4",
    }
}

words! {
    /// The firmware.
    pub enum Bios { Seabios = "seabios", Ovmf = "ovmf" }
}
words! {
    /// The guest's operating system, for which Proxmox VE chooses defaults.
    pub enum OsType { Other = "other", Wxp = "wxp", W2k = "w2k", W2k3 = "w2k3", W2k8 = "w2k8", Wvista = "wvista", Win7 = "win7", Win8 = "win8",
        Win10 = "win10", Win11 = "win11", L24 = "l24", L26 = "l26", Solaris = "solaris" }
}
words! {
    /// The SCSI controller.
    pub enum ScsiController { Lsi = "lsi", Lsi53c810 = "lsi53c810", VirtioScsiPci = "virtio-scsi-pci", VirtioScsiSingle = "virtio-scsi-single",
        Megasas = "megasas", Pvscsi = "pvscsi" }
}
words! {
    /// How the guest agent is reached.
    pub enum AgentType { Virtio = "virtio", Isa = "isa" }
}

options! {
    /// The QEMU guest agent.
    pub struct Agent {
        /// Whether Proxmox VE talks to the agent; it has to run in the guest.
        enabled: Field<bool> = "enabled",
        /// Whether file systems are frozen for consistent backups and snapshots. Default `true`.
        freeze_filesystems: Field<bool> = "freeze-fs",
        /// Whether file systems are trimmed after a disk moved or the guest migrated. Default `false`.
        trim_cloned_disks: Field<bool> = "fstrim_cloned_disks",
        /// How the agent is reached. Default `virtio`.
        r#type: Field<AgentType> = "type",
    }
}

words! {
    /// The model of a network card.
    pub enum NetworkModel { Virtio = "virtio", E1000 = "e1000", E100082540em = "e1000-82540em", E100082544gc = "e1000-82544gc",
        E100082545em = "e1000-82545em", E1000e = "e1000e", I82551 = "i82551", I82557b = "i82557b", I82559er = "i82559er",
        Ne2kIsa = "ne2k_isa", Ne2kPci = "ne2k_pci", Pcnet = "pcnet", Rtl8139 = "rtl8139", Vmxnet3 = "vmxnet3" }
}

options! {
    /// A network device.
    pub struct Network {
        /// The model; `virtio` is the fastest.
        model: Field<NetworkModel> = "model",
        /// The MAC address. Where it is not written the present one is kept, and Proxmox VE makes one for a new device.
        mac: Field<MacAddress> = "macaddr",
        /// The bridge or SDN vnet the device is plugged into; without one Proxmox VE gives the guest address translation.
        bridge: Field<BridgeName> = "bridge",
        /// The VLAN of untagged traffic.
        #[schemars(range(min = 1, max = 4094))]
        vlan: Field<u32> = "tag",
        /// VLANs the guest may use with tags of its own, single or as ranges.
        trunks: Field<List<VlanRange, ';'>> = "trunks",
        /// Whether the firewall filters this device. Default `false`.
        firewall: Field<bool> = "firewall",
        /// Greatest throughput in megabytes a second.
        #[schemars(range(min = 0))]
        rate: Field<f64> = "rate",
        /// Packet queues; 0 lets Proxmox VE choose.
        #[schemars(range(min = 0, max = 64))]
        queues: Field<u32> = "queues",
        /// The greatest packet in bytes, `virtio` only; 1 takes the bridge's.
        #[schemars(range(min = 1, max = 65520))]
        mtu: Field<u32> = "mtu",
        /// Whether the cable is pulled. Default `false`.
        link_down: Field<bool> = "link_down",
    }
}

words! {
    /// A display.
    pub enum DisplayType { Std = "std", Cirrus = "cirrus", Qxl = "qxl", Qxl2 = "qxl2", Qxl3 = "qxl3", Qxl4 = "qxl4", None = "none",
        Serial0 = "serial0", Serial1 = "serial1", Serial2 = "serial2", Serial3 = "serial3", Virtio = "virtio", VirtioGl = "virtio-gl", Vmware = "vmware" }
}
words! {
    /// Which clipboard is shared.
    pub enum Clipboard { Vnc = "vnc" }
}

options! {
    /// The display.
    pub struct Display {
        /// The graphics card. Default `std`.
        r#type: Field<DisplayType> = "type",
        /// The graphics memory in whole MiB, `4Mi` to `512Mi`.
        memory: Field<Mebibytes> = "memory",
        /// The clipboard to share.
        clipboard: Field<Clipboard> = "clipboard",
    }
}

words! {
    /// Where a serial port leads. A device of the host is for `root@pam` only.
    pub enum SerialPort { Socket = "socket" }
}

options! {
    /// A USB device: a mapped one, or one that a SPICE client redirects. Naming a device of the host directly is for `root@pam` only.
    pub struct Usb {
        /// The cluster-wide mapping of the device.
        mapping: Field<MappingId> = "mapping",
        /// Whether a SPICE client may redirect a device of its own.
        spice: Option<bool> = "host" by hand,
        /// Whether the device or port is USB 3. Default `false`.
        usb3: Field<bool> = "usb3",
    }
}

impl ToValue for Usb {
    fn to_value(&self) -> Value {
        let mut out = Vec::new();
        self.write(&mut out);
        if self.spice == Some(true) {
            let spice = Value::Plain("spice".to_owned());
            out.push((
                "host".to_owned(),
                crate::document::desired::Wish::Set(spice),
            ));
        }
        properties(out)
    }
}

words! {
    /// Which driver of the host a passed-through device keeps.
    pub enum PciDriver { Vfio = "vfio", Keep = "keep" }
}

options! {
    /// A mapped PCI device. Naming a device of the host directly, and a ROM file, are for `root@pam` only.
    pub struct Pci {
        /// The cluster-wide mapping of the device.
        mapping: Field<MappingId> = "mapping",
        /// The type of a mediated device.
        mdev: Field<Bare> = "mdev",
        /// Whether the device is shown as PCI Express; needs `q35`.
        pcie: Field<bool> = "pcie",
        /// Whether the guest sees the device's ROM. Default `true`.
        rombar: Field<bool> = "rombar",
        /// Whether it is the guest's primary graphics card.
        primary_gpu: Field<bool> = "x-vga",
        /// Whether it is an integrated graphics card in its legacy mode.
        legacy_igd: Field<bool> = "legacy-igd",
        /// The driver on the host. Default `vfio`.
        driver: Field<PciDriver> = "driver",
        /// The device id the guest sees.
        device_id: Field<HexId> = "device-id",
        /// The vendor id the guest sees.
        vendor_id: Field<HexId> = "vendor-id",
        /// The subsystem's device id the guest sees.
        sub_device_id: Field<HexId> = "sub-device-id",
        /// The subsystem's vendor id the guest sees.
        sub_vendor_id: Field<HexId> = "sub-vendor-id",
    }
}

words! {
    /// A source of randomness on the host.
    pub enum RngSource { Urandom = "/dev/urandom", Random = "/dev/random", Hwrng = "/dev/hwrng" }
}

options! {
    /// A VirtIO random number generator.
    pub struct Rng {
        /// The host's source; `/dev/hwrng` needs a privilege on its mapping.
        source: Field<RngSource> = "source",
        /// Greatest number of bytes in each period; 0 is no limit. Default 1024.
        max_bytes: Field<u32> = "max_bytes",
        /// The period in milliseconds. Default 1000.
        period: Field<u32> = "period",
    }
}

words! {
    /// A sound card.
    pub enum AudioDevice { Ich9 = "ich9-intel-hda", Intel = "intel-hda", Ac97 = "AC97" }
}
words! {
    /// Where sound goes.
    pub enum AudioDriver { Spice = "spice", None = "none" }
}

options! {
    /// A sound card.
    pub struct Audio {
        /// The card.
        device: Field<AudioDevice> = "device",
        /// Where sound goes. Default `spice`.
        driver: Field<AudioDriver> = "driver",
    }
}

words! {
    /// A hardware watchdog.
    pub enum WatchdogModel { I6300esb = "i6300esb", Ib700 = "ib700" }
}
words! {
    /// What a watchdog does when it fires.
    pub enum WatchdogAction { Reset = "reset", Shutdown = "shutdown", Poweroff = "poweroff", Pause = "pause", Debug = "debug", None = "none" }
}

options! {
    /// A virtual hardware watchdog.
    pub struct Watchdog {
        /// The model. Default `i6300esb`.
        model: Field<WatchdogModel> = "model",
        /// What happens when the guest does not feed it. Default: nothing.
        action: Field<WatchdogAction> = "action",
    }
}

words! {
    /// How a shared directory is cached in the guest.
    pub enum VirtiofsCache { Auto = "auto", Always = "always", Metadata = "metadata", Never = "never" }
}

options! {
    /// A directory of the host shared with the guest by a cluster-wide mapping.
    pub struct Virtiofs {
        /// The mapping.
        mapping: Field<MappingId> = "dirid",
        /// How the guest caches. Default `auto`.
        cache: Field<VirtiofsCache> = "cache",
        /// Whether programs may bypass the cache. Default `false`.
        direct_io: Field<bool> = "direct-io",
        /// Whether POSIX ACLs work; implies extended attributes. Default `false`.
        expose_acl: Field<bool> = "expose-acl",
        /// Whether extended attributes work. Default `false`.
        expose_xattr: Field<bool> = "expose-xattr",
    }
}

/// A text that Proxmox VE keeps in base64.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Base64Text(pub String);

impl ToValue for Base64Text {
    fn to_value(&self) -> Value {
        Value::Plain(base64::engine::general_purpose::STANDARD.encode(&self.0))
    }
}

impl schemars::JsonSchema for Base64Text {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Base64Text".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "minLength": 1, "maxLength": 80})
    }
}

options! {
    /// What the guest reads in its SMBIOS tables. The UUID is not here: it is the machine's identity.
    pub struct Smbios {
        /// The manufacturer.
        manufacturer: Field<Base64Text> = "manufacturer",
        /// The product.
        product: Field<Base64Text> = "product",
        /// The version.
        version: Field<Base64Text> = "version",
        /// The serial number.
        serial: Field<Base64Text> = "serial",
        /// The stock-keeping unit.
        sku: Field<Base64Text> = "sku",
        /// The family.
        family: Field<Base64Text> = "family",
    }
}

impl ToValue for Smbios {
    fn to_value(&self) -> Value {
        let mut out = Vec::new();
        self.write(&mut out);
        if !out.is_empty() {
            let base64 = Value::Plain("1".to_owned());
            out.push((
                "base64".to_owned(),
                crate::document::desired::Wish::Set(base64),
            ));
        }
        properties(out)
    }
}

words! {
    /// What can be changed while the guest runs.
    pub enum HotplugFeature { Network = "network", Disk = "disk", Usb = "usb", Memory = "memory", Cpu = "cpu", Cloudinit = "cloudinit" }
}

/// What can be changed while the guest runs; an empty list turns everything off.
#[derive(
    Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Hotplug(pub BTreeSet<HotplugFeature>);

impl ToValue for Hotplug {
    fn to_value(&self) -> Value {
        if self.0.is_empty() {
            Value::Plain("0".to_owned())
        } else {
            Set::<_, ','>(self.0.clone()).to_value()
        }
    }
}

words! {
    /// A keyboard layout of the VNC server.
    pub enum Keyboard { De = "de", DeCh = "de-ch", Da = "da", EnGb = "en-gb", EnUs = "en-us", Es = "es", Fi = "fi", Fr = "fr", FrBe = "fr-be",
        FrCa = "fr-ca", FrCh = "fr-ch", Hu = "hu", Is = "is", It = "it", Ja = "ja", Lt = "lt", Mk = "mk", Nl = "nl", No = "no", Pl = "pl",
        Pt = "pt", PtBr = "pt-br", Sv = "sv", Sl = "sl", Tr = "tr" }
}

property_strings!(
    NumaNode, Machine, Agent, Network, Display, Pci, Rng, Audio, Watchdog, Virtiofs
);
