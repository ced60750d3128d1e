//! Disks, CD drives, EFI and TPM volumes of a virtual machine, and what they become in Proxmox VE's slots.

use std::collections::BTreeMap;

use crate::document::desired::{DesiredDisk, Media, Value, Wish};
use crate::document::options::{Field, Group, ToValue, Wishes, options, plain_properties, words};
use crate::document::scalar::{ScsiProduct, ScsiVendor, Wwn};
use crate::document::size::Size;
use crate::document::slots::SlotMap;
use crate::document::slots::{CdromSlots, DiskSlots};
use crate::ids::{Slot, StorageId, VolumeId};

words! {
    /// The format of a disk image.
    pub enum DiskFormat { Raw = "raw", Qcow2 = "qcow2", Vmdk = "vmdk", Qcow = "qcow", Qed = "qed", Cloop = "cloop" }
}
words! {
    /// How the host caches a disk.
    pub enum CacheMode { None = "none", Writethrough = "writethrough", Writeback = "writeback", Unsafe = "unsafe", Directsync = "directsync" }
}
words! {
    /// How QEMU does asynchronous I/O.
    pub enum AioMode { Native = "native", Threads = "threads", IoUring = "io_uring" }
}
words! {
    /// What happens on a read error.
    pub enum ReadErrorAction { Ignore = "ignore", Report = "report", Stop = "stop" }
}
words! {
    /// What happens on a write error.
    pub enum WriteErrorAction { Enospc = "enospc", Ignore = "ignore", Report = "report", Stop = "stop" }
}
words! {
    /// The size of the EFI variables.
    pub enum EfiType { Small = "2m", Large = "4m" }
}
words! {
    /// The format of a TPM's state.
    pub enum TpmFormat { Raw = "raw", Qcow2 = "qcow2", Vmdk = "vmdk" }
}
words! {
    /// The version of an emulated TPM.
    pub enum TpmVersion { V12 = "v1.2", V20 = "v2.0" }
}

/// Whether discarded blocks are given back; Proxmox VE writes `on` or `ignore`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Discard(pub bool);

impl ToValue for Discard {
    fn to_value(&self) -> Value {
        Value::Plain(if self.0 { "on" } else { "ignore" }.to_owned())
    }
}

/// A text of at most 60 characters that Proxmox VE keeps percent-encoded.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Encoded(pub String);

impl ToValue for Encoded {
    fn to_value(&self) -> Value {
        Value::Plain(percent_encoding::utf8_percent_encode(&self.0, super::UNRESERVED).to_string())
    }
}

macro_rules! schema_as {
    ($($name:ident as $json:tt),*) => { $(
        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool { true }
            fn schema_name() -> std::borrow::Cow<'static, str> { stringify!($name).into() }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($json)
            }
        }
    )* };
}
schema_as!(Discard as {"type": "boolean"}, Encoded as {"type": "string", "minLength": 1, "maxLength": 60});

options! {
    /// A disk. A slot that has a volume keeps it: another `storage` means a move, a greater `size` means growing, a smaller one is refused.
    pub struct Disk {
        /// The storage the volume shall lie on.
        storage: Option<StorageId> = "" by hand,
        /// The size, such as `32Gi`. Disks only grow.
        size: Option<Size> = "size" by hand,
        /// The format of the image, where the storage knows several. Counts when the volume is made or moved.
        format: Option<DiskFormat> = "format" by hand,
        /// An existing volume to attach, `STORAGE:NAME`, instead of making a new one.
        volume: Option<VolumeId> = "file" by hand,
        /// A volume whose data a new disk starts with; counts only when the disk is made.
        import_from: Option<VolumeId> = "import-from" by hand,
        /// How the host caches the disk. Default `none`.
        cache: Field<CacheMode> = "cache",
        /// Whether blocks the guest discards are given back to the storage. Default `false`.
        discard: Field<Discard> = "discard",
        /// Whether the disk has an I/O thread of its own; `scsi` (with `virtio-scsi-single`) and `virtio` only.
        iothread: Field<bool> = "iothread",
        /// Whether the guest sees a solid-state disk; not for `virtio`.
        ssd: Field<bool> = "ssd",
        /// Whether backups include the disk. Default `true`.
        backup: Field<bool> = "backup",
        /// Whether replication jobs include the disk. Default `true`.
        replicate: Field<bool> = "replicate",
        /// Whether the guest can only read the disk; `scsi` and `virtio` only.
        read_only: Field<bool> = "ro",
        /// How QEMU does asynchronous I/O. Default `io_uring` where the storage can.
        aio: Field<AioMode> = "aio",
        /// Whether writes of zeroes are optimised. Default `true`.
        detect_zeroes: Field<bool> = "detect_zeroes",
        /// Whether writes are thrown away when the guest stops.
        snapshot: Field<bool> = "snapshot",
        /// Whether a local volume is declared available on all nodes (it is not made available by this).
        shared: Field<bool> = "shared",
        /// The serial number the guest sees, at most 20 bytes.
        serial: Field<Encoded> = "serial",
        /// The model the guest sees, at most 40 bytes; `ide` only.
        model: Field<Encoded> = "model",
        /// The vendor the guest sees; `scsi` only.
        vendor: Field<ScsiVendor> = "vendor",
        /// The product the guest sees; `scsi` only.
        product: Field<ScsiProduct> = "product",
        /// The worldwide name the guest sees; not for `virtio`.
        wwn: Field<Wwn> = "wwn",
        /// What happens on a read error.
        read_error: Field<ReadErrorAction> = "rerror",
        /// What happens on a write error.
        write_error: Field<WriteErrorAction> = "werror",
        /// Number of queues; `scsi` only.
        #[schemars(range(min = 2))]
        queues: Field<u32> = "queues",
        /// Whether the host's block device is passed through whole; `scsi` only.
        scsi_block: Field<bool> = "scsiblock",
        /// Limits of throughput and of operations.
        limits: Option<DiskLimits> = "",
    }
}

options! {
    /// Limits of a disk's throughput (megabytes or bytes a second) and operations (a second).
    pub struct DiskLimits {
        /// Megabytes a second, reading and writing together.
        #[schemars(range(min = 0))]
        megabytes: Field<f64> = "mbps",
        /// Megabytes a second in bursts, reading and writing together.
        #[schemars(range(min = 0))]
        megabytes_burst: Field<f64> = "mbps_max",
        /// Megabytes a second, reading.
        #[schemars(range(min = 0))]
        read_megabytes: Field<f64> = "mbps_rd",
        /// Megabytes a second in bursts, reading.
        #[schemars(range(min = 0))]
        read_megabytes_burst: Field<f64> = "mbps_rd_max",
        /// Megabytes a second, writing.
        #[schemars(range(min = 0))]
        write_megabytes: Field<f64> = "mbps_wr",
        /// Megabytes a second in bursts, writing.
        #[schemars(range(min = 0))]
        write_megabytes_burst: Field<f64> = "mbps_wr_max",
        /// Bytes a second, reading and writing together.
        bytes: Field<u64> = "bps",
        /// Bytes a second, reading.
        read_bytes: Field<u64> = "bps_rd",
        /// Bytes a second, writing.
        write_bytes: Field<u64> = "bps_wr",
        /// Greatest length of a burst of throughput in seconds.
        #[schemars(range(min = 1))]
        burst_seconds: Field<u32> = "bps_max_length",
        /// Greatest length of a burst of reading in seconds.
        #[schemars(range(min = 1))]
        read_burst_seconds: Field<u32> = "bps_rd_max_length",
        /// Greatest length of a burst of writing in seconds.
        #[schemars(range(min = 1))]
        write_burst_seconds: Field<u32> = "bps_wr_max_length",
        /// Operations a second, reading and writing together.
        iops: Field<u64> = "iops",
        /// Operations a second in bursts, reading and writing together.
        iops_burst: Field<u64> = "iops_max",
        /// Operations a second, reading.
        read_iops: Field<u64> = "iops_rd",
        /// Operations a second in bursts, reading.
        read_iops_burst: Field<u64> = "iops_rd_max",
        /// Operations a second, writing.
        write_iops: Field<u64> = "iops_wr",
        /// Operations a second in bursts, writing.
        write_iops_burst: Field<u64> = "iops_wr_max",
        /// Greatest length of a burst of operations in seconds.
        #[schemars(range(min = 1))]
        iops_burst_seconds: Field<u32> = "iops_max_length",
        /// Greatest length of a burst of read operations in seconds.
        #[schemars(range(min = 1))]
        read_iops_burst_seconds: Field<u32> = "iops_rd_max_length",
        /// Greatest length of a burst of write operations in seconds.
        #[schemars(range(min = 1))]
        write_iops_burst_seconds: Field<u32> = "iops_wr_max_length",
    }
}

options! {
    /// A CD drive. Write either `iso` or `empty: true`.
    pub struct Cdrom {
        /// The medium, `STORAGE:iso/NAME.iso`.
        iso: Option<VolumeId> = "file" by hand,
        /// `true` for a drive without a medium.
        empty: Option<bool> = "" by hand,
    }
}

options! {
    /// The volume of EFI variables, needed for `bios: ovmf` to remember its settings.
    pub struct EfiDisk {
        /// The storage the volume shall lie on.
        storage: Option<StorageId> = "" by hand,
        /// The format of the image, where the storage knows several.
        format: Option<DiskFormat> = "format" by hand,
        /// An existing volume to attach instead of making a new one.
        volume: Option<VolumeId> = "file" by hand,
        /// A volume whose data a new disk starts with; counts only when the disk is made.
        import_from: Option<VolumeId> = "import-from" by hand,
        /// The size of the variables; `4m` is needed for Secure Boot. Default `2m`.
        r#type: Field<EfiType> = "efitype",
        /// Whether the keys of Microsoft and of distributions are enrolled, so that Secure Boot is on. Default `false`.
        pre_enrolled_keys: Field<bool> = "pre-enrolled-keys",
    }
}

options! {
    /// The state of an emulated TPM.
    pub struct TpmState {
        /// The storage the volume shall lie on.
        storage: Option<StorageId> = "" by hand,
        /// The format of the image, where the storage knows several.
        format: Option<TpmFormat> = "format" by hand,
        /// An existing volume to attach instead of making a new one.
        volume: Option<VolumeId> = "file" by hand,
        /// A volume whose data a new disk starts with; counts only when the disk is made.
        import_from: Option<VolumeId> = "import-from" by hand,
        /// The TPM's version; it cannot change for an existing volume. Default `v1.2`.
        version: Field<TpmVersion> = "version",
    }
}

/// A desired disk with nothing but its options.
pub fn with_options(media: Media, wishes: Wishes) -> DesiredDisk {
    let (options, remove_options) = plain_properties(wishes);
    DesiredDisk {
        media,
        storage: None,
        size: None,
        format: None,
        volume: None,
        import_from: None,
        empty: false,
        options,
        remove_options,
    }
}

fn written(group: &impl Group) -> Wishes {
    let mut out = Vec::new();
    group.write(&mut out);
    out
}

fn format_name(format: Option<DiskFormat>) -> Option<String> {
    format.map(|format| format.as_str().to_owned())
}

impl Disk {
    fn desired(&self) -> DesiredDisk {
        DesiredDisk {
            storage: self.storage.clone(),
            size: self.size.map(|size| size.0),
            format: format_name(self.format),
            volume: self.volume.clone(),
            import_from: self.import_from.clone(),
            ..with_options(Media::Disk, written(self))
        }
    }
}

impl Cdrom {
    fn desired(&self) -> DesiredDisk {
        DesiredDisk {
            volume: self.iso.clone(),
            empty: self.empty == Some(true),
            ..with_options(Media::Cdrom, Vec::new())
        }
    }
}

impl EfiDisk {
    fn desired(&self) -> DesiredDisk {
        DesiredDisk {
            storage: self.storage.clone(),
            format: format_name(self.format),
            volume: self.volume.clone(),
            import_from: self.import_from.clone(),
            ..with_options(Media::Disk, written(self))
        }
    }
}

impl TpmState {
    fn desired(&self) -> DesiredDisk {
        DesiredDisk {
            storage: self.storage.clone(),
            format: self.format.map(|format| format.as_str().to_owned()),
            volume: self.volume.clone(),
            import_from: self.import_from.clone(),
            ..with_options(Media::Disk, written(self))
        }
    }
}

/// Everything that stands in the disk slots of a machine, but the cloud-init drive.
pub fn desired(
    disks: &SlotMap<DiskSlots, Disk>,
    cdroms: &SlotMap<CdromSlots, Cdrom>,
    efi: &Field<EfiDisk>,
    tpm: &Field<TpmState>,
) -> BTreeMap<Slot, Wish<DesiredDisk>> {
    let mut slots = BTreeMap::new();
    for (slot, disk) in disks.iter() {
        let wish = disk.map_or(Wish::Remove, |disk| Wish::Set(disk.desired()));
        slots.insert(slot.clone(), wish);
    }
    for (slot, cdrom) in cdroms.iter() {
        let wish = cdrom.map_or(Wish::Remove, |cdrom| Wish::Set(cdrom.desired()));
        slots.insert(slot.clone(), wish);
    }
    let single = [
        (
            "efidisk0",
            efi.wish().map(|wish| map(wish, |disk| disk.desired())),
        ),
        (
            "tpmstate0",
            tpm.wish().map(|wish| map(wish, |disk| disk.desired())),
        ),
    ];
    for (name, wish) in single {
        if let (Ok(slot), Some(wish)) = (Slot::new(name), wish) {
            slots.insert(slot, wish);
        }
    }
    slots
}

fn map<T, U>(wish: Wish<T>, to: impl FnOnce(T) -> U) -> Wish<U> {
    match wish {
        Wish::Set(value) => Wish::Set(to(value)),
        Wish::Remove => Wish::Remove,
    }
}
