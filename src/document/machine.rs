//! The kind `VirtualMachine`: every option of QEMU guests that an API token may set, and what it becomes in Proxmox VE's words.

pub mod cloud_init;
pub mod disks;
pub mod hardware;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

use self::cloud_init::CloudInit;
use self::disks::{Cdrom, Disk, EfiDisk, TpmState};
use self::hardware::{
    Agent, Audio, Bios, Cpu, Display, Hotplug, Keyboard, Machine, Memory, Network, NumaNode,
    OsType, Pci, Rng, ScsiController, SerialPort, Smbios, Usb, Virtiofs, Watchdog,
};
use super::clone::CloneFrom;
use super::desired::{DesiredGuest, Power};
use super::migration::Migration;
use super::options::{ExtraConfig, Field, Group, List, Set, collect, options};
use super::restore::RestoreFrom;
use super::scalar::{Description, DnsName, StartDate, Tag};
use super::shared::{PowerState, Startup};
use super::slots::{
    CdromSlots, DiskSlots, NetSlots, NumaSlots, PciSlots, SerialSlots, SlotMap, UsbSlots,
    VirtiofsSlots,
};
use crate::ids::{GuestKind, NodeName, PoolId, Slot, StorageId, Vmid};

/// What stays as it is in a percent-encoded value: RFC 3986's unreserved characters.
pub const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

options! {
    /// How a virtual machine shall be. What is not written is not managed; `null` asks for a setting's removal.
    pub struct VirtualMachineSpec {
        /// The number of the guest, 100 to 999999999. Without it the guest is found by ownership, or a number is allocated.
        vmid: Option<Vmid> = "vmid" by hand,
        /// The name in Proxmox VE. A new guest is named like the document where this is not written.
        name: Field<DnsName> = "name",
        /// The node the guest shall be on. Another one than now means a migration.
        node: Option<NodeName> = "node" by hand,
        /// The nodes the guest may be on, instead of `node`: on any of them it stays where it is. A guest that is on none of them is made
        /// on, or migrated to, the one that has the most memory left of those that have everything it needs.
        nodes: Option<Set<NodeName, ','>> = "" by hand,
        /// How the guest is migrated where that is asked for.
        migration: Option<Migration> = "" by hand,
        /// The pool the guest shall be a member of.
        pool: Field<PoolId> = "pool" by hand,
        /// The guest this one is cloned from when it is made. Counts only then.
        clone_from: Option<CloneFrom> = "" by hand,
        /// The backup this guest is restored from when it is made. Counts only then.
        restore_from: Option<RestoreFrom> = "" by hand,
        /// Whether the guest is a template, which never runs and which others are cloned from. There is no way back.
        is_template: Option<bool> = "" by hand,
        /// Whether the guest shall run.
        power_state: Option<PowerState> = "start" by hand,
        /// The virtual processors.
        cpu: Option<Cpu> = "",
        /// The memory.
        memory: Option<Memory> = "",
        /// NUMA nodes by `numaN`; need `cpu.numa`.
        numa_nodes: SlotMap<NumaSlots, NumaNode> = "numa[n]",
        /// The machine QEMU emulates.
        machine: Field<Machine> = "machine",
        /// The firmware. Default `seabios`.
        bios: Field<Bios> = "bios",
        /// The guest's operating system. Default `other`.
        os_type: Field<OsType> = "ostype",
        /// Slots to boot from, in order, such as `[scsi0, net0]`.
        boot_order: Field<List<Slot, ';'>> = "boot,order",
        /// The QEMU guest agent.
        agent: Field<Agent> = "agent",
        /// The SCSI controller. Default `lsi`.
        scsi_controller: Field<ScsiController> = "scsihw",
        /// Disks by slot: `scsiN`, `virtioN`, `sataN`, `ideN`. `null` detaches a disk and never frees its volume.
        disks: SlotMap<DiskSlots, Disk> = "scsi[n] virtio[n] sata[n] ide[n]" by hand,
        /// CD drives by slot: `ideN`, `sataN`, `scsiN`.
        cdroms: SlotMap<CdromSlots, Cdrom> = "" by hand,
        /// The volume of EFI variables.
        efi_disk: Field<EfiDisk> = "efidisk0" by hand,
        /// The state of an emulated TPM.
        tpm_state: Field<TpmState> = "tpmstate0" by hand,
        /// Cloud-init.
        cloud_init: Option<CloudInit> = "",
        /// Network devices by `netN`.
        networks: SlotMap<NetSlots, Network> = "net[n]",
        /// The display.
        display: Field<Display> = "vga",
        /// Serial ports by `serialN`; `socket` is the only one a token may set.
        serial_ports: SlotMap<SerialSlots, SerialPort> = "serial[n]",
        /// USB devices by `usbN`.
        usb: SlotMap<UsbSlots, Usb> = "usb[n]",
        /// PCI devices by `hostpciN`.
        pci: SlotMap<PciSlots, Pci> = "hostpci[n]",
        /// Shared directories by `virtiofsN`.
        virtiofs: SlotMap<VirtiofsSlots, Virtiofs> = "virtiofs[n]",
        /// A random number generator.
        rng: Field<Rng> = "rng0",
        /// A sound card.
        audio: Field<Audio> = "audio0",
        /// A hardware watchdog.
        watchdog: Field<Watchdog> = "watchdog",
        /// What the guest reads in its SMBIOS tables.
        smbios: Field<Smbios> = "smbios1",
        /// What can be changed while the guest runs. Default `[network, disk, usb]`; an empty list turns everything off.
        hotplug: Field<Hotplug> = "hotplug",
        /// When the guest starts and stops with its node.
        startup: Field<Startup> = "startup",
        /// Whether the guest starts with its node. Default `false`.
        on_boot: Field<bool> = "onboot",
        /// Whether Proxmox VE refuses to remove the guest or its disks. Default `false`.
        protection: Field<bool> = "protection",
        /// Tags; their order does not count.
        tags: Field<Set<Tag, ';'>> = "tags",
        /// Notes, shown in the web interface. Trailing white space does not count.
        description: Field<Description> = "description",
        /// Whether there is a USB tablet, for exact mouse positions. Default `true`.
        tablet: Field<bool> = "tablet",
        /// Whether hardware virtualisation is used. Default `true`.
        kvm: Field<bool> = "kvm",
        /// Whether the guest has ACPI. Default `true`.
        acpi: Field<bool> = "acpi",
        /// Whether the guest's clock runs in local time. Default for Windows.
        local_time: Field<bool> = "localtime",
        /// The date the guest's clock starts at. Default `now`.
        start_date: Field<StartDate> = "startdate",
        /// The keyboard layout of the VNC server (`"no"`, Norwegian, needs its quotes).
        keyboard: Field<Keyboard> = "keyboard",
        /// Whether the processor is frozen at start. Default `false`.
        freeze: Field<bool> = "freeze",
        /// Whether drift of the clock is corrected. Default `false`.
        time_drift_fix: Field<bool> = "tdf",
        /// The longest stop in seconds that a live migration may make. Default 0.1.
        #[schemars(range(min = 0))]
        migrate_downtime: Field<f64> = "migrate_downtime",
        /// Greatest speed of a migration in megabytes a second; 0 is no limit.
        migrate_speed: Field<u32> = "migrate_speed",
        /// The storage for the memory of snapshots and of suspended guests.
        vm_state_storage: Field<StorageId> = "vmstatestorage",
        /// Options that have no field here yet, under Proxmox VE's own names.
        extra_config: ExtraConfig = "",
    }
}

impl VirtualMachineSpec {
    /// What this asks for in Proxmox VE's words. `name` is the document's, for a guest that has to be made.
    pub fn desired(&self, name: &str) -> DesiredGuest {
        let mut wishes = Vec::new();
        self.write(&mut wishes);
        let mut slots = disks::desired(&self.disks, &self.cdroms, &self.efi_disk, &self.tpm_state);
        if let Some(cloud_init) = &self.cloud_init {
            cloud_init.desired(&mut slots);
        }
        DesiredGuest {
            kind: GuestKind::Qemu,
            vmid: self.vmid,
            name_on_create: name.to_owned(),
            node: self.node.clone(),
            nodes: self
                .nodes
                .as_ref()
                .map(|nodes| nodes.0.clone())
                .unwrap_or_default(),
            target_storage: self
                .migration
                .as_ref()
                .map(Migration::desired)
                .unwrap_or_default(),
            pool: self.pool.wish(),
            power: self.power_state.map(Power::from),
            options: collect(wishes),
            disks: slots,
            clone_from: self.clone_from.as_ref().map(CloneFrom::desired),
            restore_from: self.restore_from.as_ref().and_then(RestoreFrom::desired),
            template: self.is_template,
            create_only: Default::default(),
        }
    }
}

impl From<PowerState> for Power {
    fn from(state: PowerState) -> Self {
        match state {
            PowerState::Running => Self::Running,
            PowerState::Stopped => Self::Stopped,
        }
    }
}
