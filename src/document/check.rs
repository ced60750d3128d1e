//! What two fields, or two documents, say together: contradictions that no schema finds. Works on documents whose fields are valid.

mod account;
mod firewall;

use std::collections::BTreeMap;

use super::backup_job::BackupJobSpec;
use super::clone::{CloneFrom, CloneMode};
use super::container::ContainerSpec;
use super::desired::FirewallScope;
use super::error::Problem;
use super::image::{ImageContent, ImageSpec};
use super::machine::VirtualMachineSpec;
use super::machine::disks::Disk;
use super::metadata::{CLUSTER, Metadata};
use super::migration::Migration;
use super::options::Field;
use super::replication_job::ReplicationJobSpec;
use super::restore::{RestoreFrom, backup_kind};
use super::scalar::TokenName;
use super::shared::PowerState;
use super::size::Mebibytes;
use super::storage::{COMMON_OPTIONS, PruneBackups, StorageSpec};
use super::tree::{Node, Span};
use super::{Document, Kind, Spec, schema};
use crate::ids::{
    AclRuleId, BackupJobId, Bytes, GroupId, GuestKind, SnapshotName, StorageId, Vmid, VolumeId,
};

/// Least memory of a guest (Proxmox VE 9: the options' minimum).
const LEAST_MEMORY: Bytes = Bytes(16 * Bytes::MIB);

/// Checks one document.
pub fn document(metadata: &Metadata, spec: &Spec, root: &Node, problems: &mut Vec<Problem>) {
    let mut check = Check { root, problems };
    match spec {
        Spec::VirtualMachine(spec) => check.machine(spec),
        Spec::Container(spec) => check.container(spec),
        Spec::Storage(spec) => check.storage(spec),
        Spec::Pool(_) | Spec::Snapshot(_) | Spec::ApiToken(_) => {}
        Spec::BackupJob(spec) => check.backup_job(spec),
        Spec::ReplicationJob(spec) => check.replication_job(metadata, spec),
        Spec::Image(spec) => check.image(metadata, spec),
        Spec::Group(spec) => {
            let named = spec
                .id
                .is_none()
                .then(|| GroupId::new(&metadata.name).err());
            check.account_name("group", named.flatten());
        }
        Spec::User(spec) => check.user(metadata, spec),
        Spec::Role(spec) => check.role(metadata, spec),
        Spec::Realm(spec) => check.realm(metadata, spec),
        Spec::AccessRule(spec) => check.access_rule(spec),
        Spec::FirewallAlias(spec) => check.named(metadata, spec.name(metadata).is_some(), "alias"),
        Spec::IpSet(spec) => {
            check.named(metadata, spec.name(metadata).is_some(), "set");
            check.ip_set(spec);
        }
        Spec::SecurityGroup(spec) => {
            check.named(metadata, spec.name(metadata).is_some(), "security group");
            check.rule_list(spec.rules.as_deref(), spec.block.as_ref(), true);
        }
        Spec::Firewall(spec) => check.firewall(spec),
    }
    check.identity(metadata, spec);
}

struct Check<'c> {
    root: &'c Node,
    problems: &'c mut Vec<Problem>,
}

impl Check<'_> {
    fn at(&self, path: &[&str]) -> Span {
        self.root.place(path)
    }

    fn push(&mut self, path: &[&str], message: impl Into<String>, help: &str) {
        let problem = Problem::new(self.at(path), message);
        self.problems.push(if help.is_empty() {
            problem
        } else {
            problem.help(help)
        });
    }

    /// The object's id comes from the document's name unless `spec.id` says otherwise; then the name has to be a valid id.
    fn identity(&mut self, metadata: &Metadata, spec: &Spec) {
        let invalid = match spec {
            Spec::Storage(spec) if spec.id.is_none() => StorageId::new(&metadata.name)
                .err()
                .map(|invalid| ("storage", invalid)),
            Spec::BackupJob(spec) if spec.id.is_none() => BackupJobId::new(&metadata.name)
                .err()
                .map(|invalid| ("backup job", invalid)),
            Spec::VirtualMachine(_)
            | Spec::Container(_)
            | Spec::Storage(_)
            | Spec::Pool(_)
            | Spec::BackupJob(_)
            | Spec::Snapshot(_)
            | Spec::ReplicationJob(_)
            | Spec::Image(_)
            | Spec::Group(_)
            | Spec::User(_)
            | Spec::Role(_)
            | Spec::AccessRule(_)
            | Spec::ApiToken(_)
            | Spec::Realm(_)
            | Spec::FirewallAlias(_)
            | Spec::IpSet(_)
            | Spec::SecurityGroup(_)
            | Spec::Firewall(_) => None,
        };
        if let Some((what, invalid)) = invalid {
            self.push(
                &["metadata", "name"],
                format!("the name is no {what} id: {}", invalid.expected),
                &format!("give the id of the {what} as `spec.id`"),
            );
        }
        if let Spec::Snapshot(spec) = spec
            && spec.name.is_none()
            && let Err(invalid) = SnapshotName::new(&metadata.name)
        {
            self.push(
                &["metadata", "name"],
                format!("the name is no snapshot's name: {}", invalid.expected),
                "give the name of the snapshot as `spec.name`",
            );
        }
        if let Spec::ApiToken(spec) = spec
            && spec.id.is_none()
            && let Err(expected) = TokenName::new(&metadata.name)
        {
            self.push(
                &["metadata", "name"],
                format!("the name is no token's name: {expected}"),
                "give the name of the token as `spec.id`",
            );
        }
        let annotated = metadata.annotations.0.get(CLUSTER);
        if let (Some(cluster), Some(annotated)) = (&metadata.cluster, annotated)
            && cluster.as_str() != annotated
        {
            self.push(
                &["metadata", "annotations", CLUSTER],
                format!(
                    "the annotation names another cluster than `metadata.cluster` (`{cluster}`)"
                ),
                "write only one of them",
            );
        }
    }

    fn memory(&mut self, memory: &Field<Mebibytes>, path: &[&str]) {
        if let Some(size) = memory.value().filter(|size| size.0 < LEAST_MEMORY) {
            let message = format!(
                "{} of memory are too little, expected at least 16Mi",
                size.0
            );
            self.push(path, message, "");
        }
    }

    /// Where it shall be: on one node or on any of several; how it gets there counts only with one of the two.
    fn place(&mut self, node: bool, nodes: bool, migration: Option<&Migration>) {
        if node && nodes {
            self.push(
                &["spec", "nodes"],
                "a guest is either on one `node` or on any of its `nodes`, not both",
                "remove one of the two lines",
            );
        }
        if migration.is_some() && !node && !nodes {
            self.push(
                &["spec", "migration"],
                "`migration` counts where the document has the guest migrated, and this one does not say where it shall be",
                "write `node` or `nodes` beside it, or remove it",
            );
        }
    }

    /// What is cloned, and that a template does not run.
    fn origin(
        &mut self,
        from: Option<&CloneFrom>,
        template: Option<bool>,
        power: Option<PowerState>,
    ) {
        if template == Some(true) && power == Some(PowerState::Running) {
            self.push(
                &["spec", "powerState"],
                "a template does not run",
                "remove the line, or write `stopped`",
            );
        }
        let Some(from) = from else { return };
        if from.vmid.is_some() == from.name.is_some() {
            self.push(
                &["spec", "cloneFrom"],
                "`cloneFrom` needs exactly one of `vmid` and `name`",
                "",
            );
        }
        if from.snapshot.is_some() && from.mode == Some(CloneMode::Linked) {
            self.push(
                &["spec", "cloneFrom", "snapshot"],
                "a linked clone stands on a template, which has no snapshots",
                "remove the line, or write `mode: full`",
            );
        }
        let written = [
            ("storage", from.storage.is_some()),
            ("format", from.format.is_some()),
        ];
        for (field, _) in written.iter().filter(|(_, written)| *written) {
            if from.mode == Some(CloneMode::Linked) {
                self.push(
                    &["spec", "cloneFrom", field],
                    format!("a linked clone has no `{field}`: it lies where its base does"),
                    "remove the line, or write `mode: full`",
                );
            }
        }
    }

    /// What is restored, and that it is of the right kind.
    fn restored(&mut self, kind: GuestKind, from: Option<&RestoreFrom>, cloned: bool) {
        let Some(from) = from else { return };
        let field = ["spec", "restoreFrom"];
        if cloned {
            let message = "a guest is either cloned or restored, not both";
            self.push(&field, message, "remove `cloneFrom` or `restoreFrom`");
        }
        if kind == GuestKind::Lxc && from.storage.is_none() {
            let message = "`restoreFrom` of a container needs `storage`: Proxmox VE would put everything on `local`";
            self.push(
                &field,
                message,
                "write the storage its volumes shall lie on",
            );
        }
        let Some(volume) = &from.volume else {
            let message = "`restoreFrom` needs `volume`, the backup";
            let help = "the backups are listed under the storage's Backups; their ids look like `vault:backup/vzdump-qemu-104-2026_11_01-03_00_00.vma.zst`";
            return self.push(&field, message, help);
        };
        let path = ["spec", "restoreFrom", "volume"];
        match (backup_kind(volume), kind) {
            (None, _) => self.push(
                &path,
                format!("`{volume}` is not the name of a backup of a guest"),
                "write `STORAGE:backup/NAME` as the storage lists it",
            ),
            (Some(GuestKind::Lxc), GuestKind::Qemu) => self.push(
                &path,
                "this is the backup of a container",
                "write the backup of a virtual machine, or a `Container`",
            ),
            (Some(GuestKind::Qemu), GuestKind::Lxc) => self.push(
                &path,
                "this is the backup of a virtual machine",
                "write the backup of a container, or a `VirtualMachine`",
            ),
            (Some(_), _) => {}
        }
    }

    fn machine(&mut self, spec: &VirtualMachineSpec) {
        let migration = spec.migration.as_ref();
        self.place(spec.node.is_some(), spec.nodes.is_some(), migration);
        self.origin(spec.clone_from.as_ref(), spec.is_template, spec.power_state);
        let cloned = spec.clone_from.is_some();
        self.restored(GuestKind::Qemu, spec.restore_from.as_ref(), cloned);
        self.processors(spec);
        if let Some(memory) = &spec.memory {
            self.memory(&memory.size, &["spec", "memory", "size"]);
            if let (Some(size), Some(balloon)) = (memory.size.value(), memory.balloon.value())
                && balloon > size
            {
                self.push(
                    &["spec", "memory", "balloon"],
                    "the balloon's least memory is greater than the memory",
                    "write at most the value of `size`",
                );
            }
        }
        if let Some(memory) = spec
            .display
            .value()
            .and_then(|display| display.memory.value())
            && !(4 * Bytes::MIB..=512 * Bytes::MIB).contains(&memory.0.0)
        {
            let path = ["spec", "display", "memory"];
            self.push(&path, "graphics memory has to be from 4Mi to 512Mi", "");
        }
        self.disks(spec);
        for (slot, device) in spec.usb.iter() {
            let Some(device) = device else { continue };
            let spice = device.spice == Some(true);
            if spice == device.mapping.value().is_some() {
                let path = ["spec", "usb", slot.as_str()];
                let message = format!("`{slot}` needs exactly one of `mapping` and `spice: true`");
                self.push(
                    &path,
                    message,
                    "a device of the host without a mapping is for root@pam only",
                );
            }
        }
        for (slot, device) in spec.pci.iter() {
            if device.is_some_and(|device| device.mapping.value().is_none()) {
                let path = ["spec", "pci", slot.as_str()];
                let message = format!("`{slot}` names no `mapping`");
                self.push(
                    &path,
                    message,
                    "a device of the host without a mapping is for root@pam only",
                );
            }
        }
    }

    fn processors(&mut self, spec: &VirtualMachineSpec) {
        let Some(cpu) = &spec.cpu else { return };
        if let (Some(cores), Some(vcpus)) = (cpu.cores.value(), cpu.vcpus.value()) {
            let most = u64::from(*cores) * u64::from(*cpu.sockets.value().unwrap_or(&1));
            let sockets_known = !matches!(cpu.sockets, Field::Unset);
            if u64::from(*vcpus) > most && sockets_known {
                let message =
                    format!("{vcpus} processors are more than cores times sockets ({most})");
                self.push(&["spec", "cpu", "vcpus"], message, "");
            }
        }
    }

    fn disks(&mut self, spec: &VirtualMachineSpec) {
        for (slot, disk) in spec.disks.iter() {
            if let Some(disk) = disk {
                self.bus(slot.as_str(), disk);
                let path = ["spec", "disks", slot.as_str()];
                self.volume(
                    &path,
                    &disk.storage,
                    &disk.volume,
                    disk.import_from.is_some(),
                );
            }
        }
        for (slot, cdrom) in spec.cdroms.iter() {
            let path = ["spec", "cdroms", slot.as_str()];
            if cdrom.is_some_and(|cdrom| cdrom.iso.is_some() == (cdrom.empty == Some(true))) {
                let message = format!("`{slot}` needs exactly one of `iso` and `empty: true`");
                self.push(&path, message, "");
            }
            if spec.disks.iter().any(|(other, _)| other == slot) {
                let message = format!("`{slot}` is written under `disks` and under `cdroms`");
                self.push(&path, message, "a slot holds one device");
            }
        }
        if let Some(efi) = spec.efi_disk.value() {
            let path = ["spec", "efiDisk"];
            self.volume(&path, &efi.storage, &efi.volume, efi.import_from.is_some());
        }
        if let Some(tpm) = spec.tpm_state.value() {
            let path = ["spec", "tpmState"];
            self.volume(&path, &tpm.storage, &tpm.volume, tpm.import_from.is_some());
        }
        let drive = spec
            .cloud_init
            .as_ref()
            .and_then(|init| init.drive.as_ref());
        if let Some(slot) = drive.map(|drive| &drive.slot.0) {
            let disks = spec.disks.iter().map(|(other, _)| other);
            let mut taken = disks.chain(spec.cdroms.iter().map(|(other, _)| other));
            if taken.any(|other| other == slot) {
                let path = ["spec", "cloudInit", "drive", "slot"];
                let message = format!("`{slot}` already holds a disk or CD drive");
                self.push(&path, message, "a slot holds one device");
            }
        }
    }

    /// Options that a bus does not have (Proxmox VE 9: qemu-server's drive formats).
    fn bus(&mut self, slot: &str, disk: &Disk) {
        let bus = slot.trim_end_matches(|c: char| c.is_ascii_digit());
        let scsi_or_virtio: &[&str] = &["scsi", "virtio"];
        let scsi: &[&str] = &["scsi"];
        let not_virtio: &[&str] = &["scsi", "sata", "ide"];
        let written: [(&str, bool, &[&str]); 9] = [
            ("iothread", disk.iothread.value().is_some(), scsi_or_virtio),
            ("readOnly", disk.read_only.value().is_some(), scsi_or_virtio),
            ("ssd", disk.ssd.value().is_some(), not_virtio),
            ("wwn", disk.wwn.value().is_some(), not_virtio),
            ("queues", disk.queues.value().is_some(), scsi),
            ("vendor", disk.vendor.value().is_some(), scsi),
            ("product", disk.product.value().is_some(), scsi),
            ("scsiBlock", disk.scsi_block.value().is_some(), scsi),
            ("model", disk.model.value().is_some(), &["ide"]),
        ];
        for (field, is_written, buses) in written {
            if is_written && !buses.contains(&bus) {
                let message = format!(
                    "a disk on `{bus}` has no `{field}`; only {} have it",
                    buses.join(", ")
                );
                self.push(
                    &["spec", "disks", slot, field],
                    message,
                    "remove the line, or use another slot",
                );
            }
        }
    }

    fn volume(
        &mut self,
        path: &[&str],
        storage: &Option<StorageId>,
        volume: &Option<VolumeId>,
        import: bool,
    ) {
        let Some(volume) = volume else { return };
        let field: Vec<&str> = path.iter().copied().chain(["volume"]).collect();
        if import {
            self.push(
                &field,
                "`volume` and `importFrom` exclude each other",
                "a volume that exists is not filled again",
            );
        }
        if storage
            .as_ref()
            .is_some_and(|storage| storage != volume.storage())
        {
            let message = format!(
                "`volume` lies on `{}`, but `storage` says otherwise",
                volume.storage()
            );
            self.push(
                &field,
                message,
                "attach the volume first and move it with a later change, or leave `storage` out",
            );
        }
    }

    fn container(&mut self, spec: &ContainerSpec) {
        let migration = spec.migration.as_ref();
        self.place(spec.node.is_some(), spec.nodes.is_some(), migration);
        self.memory(&spec.memory, &["spec", "memory"]);
        self.origin(spec.clone_from.as_ref(), spec.is_template, spec.power_state);
        let cloned = spec.clone_from.is_some();
        self.restored(GuestKind::Lxc, spec.restore_from.as_ref(), cloned);
        if cloned || spec.restore_from.is_some() {
            let how = if cloned { "cloned" } else { "restored" };
            let made = [
                ("template", spec.template.is_some()),
                ("unprivileged", spec.unprivileged.is_some()),
                ("passwordFrom", spec.password_from.is_some()),
                ("sshKeys", spec.ssh_keys.is_some()),
            ];
            for (field, _) in made.iter().filter(|(_, written)| *written) {
                self.push(
                    &["spec", field],
                    format!("`{field}` counts when a container is made anew, not when it is {how}"),
                    "remove the line",
                );
            }
            if spec
                .clone_from
                .as_ref()
                .is_some_and(|from| from.format.is_some())
            {
                self.push(
                    &["spec", "cloneFrom", "format"],
                    "the volumes of a container have no format to choose",
                    "remove the line",
                );
            }
        }
        if spec.os_type == Field::Remove {
            let path = ["spec", "osType"];
            self.push(
                &path,
                "`spec.osType` cannot be removed",
                "leave the line out if it shall not be managed",
            );
        }
        if spec.unprivileged == Some(false) && spec.features.value().is_some() {
            let path = ["spec", "features"];
            let message = "Proxmox VE lets only root@pam set features of a privileged container, never an API token";
            self.push(
                &path,
                message,
                "remove the line, or make the container unprivileged",
            );
        }
        if let Some(root) = &spec.root_fs {
            self.volume(&["spec", "rootFs"], &root.storage, &root.volume, false);
        }
        for (slot, mount) in spec.mount_points.iter() {
            let Some(mount) = mount else { continue };
            let path = ["spec", "mountPoints", slot.as_str()];
            self.volume(&path, &mount.storage, &mount.volume, false);
            if mount.path == Field::Remove {
                let message = format!("`{slot}` cannot be without a `path`");
                self.push(&[path.as_slice(), &["path"]].concat(), message, "");
            }
        }
        let mut paths = BTreeMap::new();
        for (slot, mount) in spec.mount_points.iter() {
            let Some(target) = mount.and_then(|mount| mount.path.value()) else {
                continue;
            };
            if let Some(first) = paths.insert(target.clone(), slot) {
                let message = format!("`{first}` and `{slot}` are mounted at the same path");
                self.push(&["spec", "mountPoints", slot.as_str(), "path"], message, "");
            }
        }
    }

    /// A retention that keeps all keeps no counts besides.
    fn prune(&mut self, prune: &Field<PruneBackups>) {
        if let Some(prune) = prune.value()
            && prune.keep_all.value() == Some(&true)
        {
            let counts = [
                &prune.keep_last,
                &prune.keep_hourly,
                &prune.keep_daily,
                &prune.keep_weekly,
                &prune.keep_monthly,
                &prune.keep_yearly,
            ];
            if counts.iter().any(|count| count.value().is_some()) {
                let path = ["spec", "pruneBackups", "keepAll"];
                self.push(
                    &path,
                    "`keepAll` excludes every other count",
                    "remove it or the counts",
                );
            }
        }
    }

    /// Which guests a job is for is said in one way; and what a job must have cannot be taken from it.
    fn backup_job(&mut self, spec: &BackupJobSpec) {
        let ways = [
            ("guests", spec.guests.value().is_some()),
            ("pool", spec.pool.value().is_some()),
            ("all", spec.all.value() == Some(&true)),
        ];
        let mut said = ways.iter().filter(|(_, said)| *said).map(|(way, _)| *way);
        let first = said.next();
        if let (Some(first), Some(second)) = (first, said.next()) {
            self.push(
                &["spec", second],
                format!("`{second}` and `{first}` exclude each other"),
                "a job is for some guests, for a pool, or for all; remove the others",
            );
        }
        if let (Some(way @ ("guests" | "pool")), Some(_)) = (first, spec.exclude.value()) {
            self.push(
                &["spec", "exclude"],
                format!("`exclude` counts only for a job of all guests, and `{way}` names some"),
                "remove one of the two",
            );
        }
        let removed = [
            ("schedule", spec.schedule == Field::Remove),
            ("storage", spec.storage == Field::Remove),
            ("guests", spec.guests == Field::Remove),
            ("pool", spec.pool == Field::Remove),
            ("all", spec.all == Field::Remove),
        ];
        for (field, _) in removed.iter().filter(|(_, removed)| *removed) {
            self.push(
                &["spec", field],
                format!("`spec.{field}` cannot be removed"),
                "leave the line out if it shall not be managed",
            );
        }
        self.prune(&spec.prune_backups);
    }

    /// A job's id, its guest and the document's name say the same; and it is for another guest as soon as they do not.
    fn replication_job(&mut self, metadata: &Metadata, spec: &ReplicationJobSpec) {
        let Some(id) = spec.id(metadata) else {
            return self.push(
                &["metadata", "name"],
                "the document does not say which replication job it is about".to_owned(),
                "give `spec.guest`, or the id of the job as `spec.id`, such as `104-0`",
            );
        };
        if let Some(guest) = spec.guest
            && id.guest() != Some(guest)
        {
            self.push(
                &["spec", "guest"],
                format!("replication job `{id}` is not for guest {guest}"),
                "the id of a job begins with its guest's VMID; change one of the two",
            );
        }
    }

    /// A file comes from an address with a checksum, or from a registry, and what is said of it fits that.
    fn image_source(&mut self, spec: &ImageSpec) {
        if spec.reference.is_none() {
            if spec.url.is_none() {
                let help = "add `url:` and `checksum:`, or `reference:` for an image of a container registry";
                self.push(&["spec"], "`spec` has no `url`".to_owned(), help);
            }
            if spec.checksum.is_none() {
                let help = "add `checksum:`; without one nobody could tell whether what a server sends is the file that was meant. The publisher writes it beside the file";
                self.push(&["spec"], "`spec` has no `checksum`".to_owned(), help);
            }
            return;
        }
        for (field, written) in [
            ("url", spec.url.is_some()),
            ("checksum", spec.checksum.is_some()),
            ("decompression", spec.decompression.is_some()),
            ("verifyCertificates", spec.verify_certificates.is_some()),
        ] {
            if written {
                let message = format!(
                    "`spec.{field}` says how a file is downloaded from an address, and `spec.reference` that an image is pulled from a registry"
                );
                self.push(&["spec", field], message, "remove one of the two");
            }
        }
        if spec
            .content
            .is_some_and(|content| content != ImageContent::Vztmpl)
        {
            self.push(
                &["spec", "content"],
                "what is pulled from a container registry is a container template".to_owned(),
                "write `content: vztmpl`",
            );
        }
    }

    /// A file is named as Proxmox VE takes it, its checksum is one, and only what Proxmox VE decompresses is decompressed.
    fn image(&mut self, metadata: &Metadata, spec: &ImageSpec) {
        self.image_source(spec);
        let Some(content) = spec.content else { return };
        let pulled = spec.reference.is_some();
        let endings: &[&str] = if pulled {
            &[ImageContent::PULLED]
        } else {
            content.endings()
        };
        let endings: Vec<_> = endings.iter().map(|e| format!("`{e}`")).collect();
        let endings = endings.join(", ");
        let file = spec.file(&metadata.name);
        let place: &[&str] = match &spec.filename {
            Some(_) => &["spec", "filename"],
            None => &["metadata", "name"],
        };
        if !file.as_ref().is_some_and(|file| match pulled {
            true => {
                let stem = file.as_str().strip_suffix(ImageContent::PULLED);
                stem.is_some_and(|stem| !stem.is_empty())
            }
            false => content.takes(file.as_str()),
        }) {
            let named = file.as_ref().map_or(metadata.name.as_str(), |f| f.as_str());
            let of = match pulled {
                true => "that is pulled from a registry".to_owned(),
                false => format!("of content `{}`", content.as_str()),
            };
            self.push(
                place,
                format!("`{named}` is no name of a file {of}: it ends in one of {endings}"),
                "give the name of the file as `spec.filename`",
            );
        }
        let checksum = spec.checksum.as_ref();
        if let Some((algorithm, value)) =
            checksum.and_then(|c| Some((c.algorithm?, c.value.as_ref()?)))
            && value.as_str().len() != algorithm.digits()
        {
            let message = format!(
                "a checksum of {} has {} hexadecimal digits, and this one has {}",
                algorithm.as_str(),
                algorithm.digits(),
                value.as_str().len()
            );
            self.push(&["spec", "checksum", "value"], message, "");
        }
        if spec.decompression.is_some() && content != ImageContent::Iso {
            self.push(
                &["spec", "decompression"],
                format!(
                    "Proxmox VE decompresses only what is downloaded as `iso`, not as `{}`",
                    content.as_str()
                ),
                "remove the line",
            );
        }
    }

    fn storage(&mut self, spec: &StorageSpec) {
        if let Some(storage_type) = spec.r#type {
            let typed = schema::typed_keys(Kind::Storage);
            for key in spec.written_keys() {
                let known = COMMON_OPTIONS.contains(&key.as_str())
                    || storage_type.options().contains(&key.as_str());
                if let (false, Some(path)) = (known, typed.get(&key)) {
                    let field = path.rsplit('.').next().unwrap_or(path);
                    let message = format!(
                        "a storage of type `{}` has no `{field}`",
                        storage_type.as_str()
                    );
                    self.push(&["spec", field], message, "remove the line");
                }
            }
        }
        self.prune(&spec.prune_backups);
        if let Some(step) = spec
            .safe_remove_step
            .value()
            .filter(|step| !step.is_power_of_two())
        {
            let message = format!("{step} is not one of 1, 2, 4, 8, 16, 32");
            self.push(&["spec", "safeRemoveStep"], message, "");
        }
    }
}

/// Where a document stands, for what two documents say together.
pub struct Placed<'d> {
    /// The document.
    pub document: &'d Document,
    /// Its tree.
    pub root: &'d Node,
    /// Which of the files it stands in.
    pub file: usize,
}

/// Two documents for one object: the same kind and name, the same VMID, the same storage or pool. The later one is the offender.
pub fn together(all: &[Placed<'_>], mut report: impl FnMut(usize, Problem)) {
    let mut first: BTreeMap<(String, String), &Document> = BTreeMap::new();
    for placed in all {
        let cluster = placed
            .document
            .cluster()
            .map(|c| c.to_string())
            .unwrap_or_default();
        for (identity, path) in identities(placed.document) {
            match first.get(&(cluster.clone(), identity.clone())) {
                Some(other) => {
                    let message = format!(
                        "{identity} is already described by {} in {}:{}",
                        other.key(),
                        other.origin.file,
                        other.origin.line
                    );
                    let span = placed.root.place(path);
                    let problem = Problem::new(span, message);
                    report(
                        placed.file,
                        problem.help("one object has one document: join the two, or remove one"),
                    );
                    break;
                }
                None => {
                    first.insert((cluster.clone(), identity), placed.document);
                }
            }
        }
    }
}

/// What a part of a firewall is called in a message.
fn of_firewall(what: &str, name: &str, guest: Option<Vmid>) -> String {
    match guest {
        Some(vmid) => format!("{what} `{name}` of guest {vmid}"),
        None => format!("{what} `{name}`"),
    }
}

fn identities(document: &Document) -> Vec<(String, &'static [&'static str])> {
    let name: &'static [&'static str] = &["metadata", "name"];
    let mut all = vec![(document.key().to_string(), name)];
    let vmid: &'static [&'static str] = &["spec", "vmid"];
    let id: &'static [&'static str] = &["spec", "id"];
    let called: &'static [&'static str] = &["spec", "name"];
    match &document.spec {
        Spec::VirtualMachine(spec) => all.extend(spec.vmid.map(|v| (format!("guest {v}"), vmid))),
        Spec::Container(spec) => all.extend(spec.vmid.map(|v| (format!("guest {v}"), vmid))),
        Spec::Storage(spec) => {
            let own = spec
                .id
                .as_ref()
                .map_or(document.metadata.name.as_str(), |id| id.as_str());
            all.push((format!("storage `{own}`"), id));
        }
        Spec::Pool(spec) => {
            let own = spec
                .id
                .as_ref()
                .map_or(document.metadata.name.as_str(), |id| id.as_str());
            all.push((format!("pool `{own}`"), id));
        }
        Spec::BackupJob(spec) => {
            let own = spec
                .id
                .as_ref()
                .map_or(document.metadata.name.as_str(), |id| id.as_str());
            all.push((format!("backup job `{own}`"), id));
        }
        Spec::Snapshot(spec) => {
            let own = spec
                .name
                .as_ref()
                .map_or(document.metadata.name.as_str(), |name| name.as_str());
            if let Some(vmid) = spec.vmid {
                let place: &'static [&'static str] = &["spec", "vmid"];
                all.push((format!("snapshot `{own}` of guest {vmid}"), place));
            }
        }
        Spec::ReplicationJob(spec) => {
            let own = spec.id(&document.metadata);
            all.extend(own.map(|own| (format!("replication job `{own}`"), id)));
        }
        Spec::Group(spec) => {
            let own = spec.id.as_ref().map(|id| id.as_str());
            let own = own.unwrap_or(&document.metadata.name);
            all.push((format!("group `{own}`"), id));
        }
        Spec::User(spec) => {
            let own = spec.id.as_ref().map(|id| id.as_str());
            let own = own.unwrap_or(&document.metadata.name);
            all.push((format!("user `{own}`"), id));
        }
        Spec::Role(spec) => {
            let own = spec.id.as_ref().map(|id| id.as_str());
            let own = own.unwrap_or(&document.metadata.name);
            all.push((format!("role `{own}`"), id));
        }
        Spec::Realm(spec) => {
            let own = spec.id.as_ref().map(|id| id.as_str());
            let own = own.unwrap_or(&document.metadata.name);
            all.push((format!("realm `{own}`"), id));
        }
        Spec::AccessRule(spec) => {
            let path: &'static [&'static str] = &["spec", "path"];
            let says = |rule: AclRuleId| format!("what {} has on {}", rule.subject, rule.path);
            all.extend(spec.id().map(|rule| (says(rule), path)));
        }
        Spec::Image(spec) => {
            let file: &'static [&'static str] = &["spec", "filename"];
            let node = spec
                .node
                .as_ref()
                .map_or_else(String::new, |node| format!(" on {node}"));
            let own = spec.volume(&document.metadata.name);
            all.extend(own.map(|own| (format!("image `{own}`{node}"), file)));
        }
        Spec::ApiToken(spec) => {
            let own = spec.id(&document.metadata);
            all.extend(own.map(|own| (format!("token `{own}`"), id)));
        }
        Spec::FirewallAlias(spec) => {
            let own = spec.name(&document.metadata);
            all.extend(own.map(|own| (of_firewall("alias", own.as_str(), spec.guest), called)));
        }
        Spec::IpSet(spec) => {
            let own = spec.name(&document.metadata);
            all.extend(own.map(|own| (of_firewall("set", own.as_str(), spec.guest), called)));
        }
        Spec::SecurityGroup(spec) => {
            let own = spec.name(&document.metadata);
            all.extend(own.map(|own| (format!("security group `{}`", own.as_str()), called)));
        }
        Spec::Firewall(spec) => {
            let whole: &'static [&'static str] = &["spec"];
            let own = match spec.scope() {
                None => None,
                Some(FirewallScope::Cluster) => Some("the firewall of the datacenter".to_owned()),
                Some(FirewallScope::Node(node)) => Some(format!("the firewall of node {node}")),
                Some(FirewallScope::Guest(vmid)) => Some(format!("the firewall of guest {vmid}")),
                Some(FirewallScope::Vnet(vnet)) => Some(format!("the firewall of vnet {vnet}")),
            };
            all.extend(own.map(|own| (own, whole)));
        }
    }
    all
}
