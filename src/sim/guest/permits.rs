//! Which privileges each setting, storage and bridge asks for, and which settings are root@pam's alone.

use super::super::call::{ApiError, Auth};
use super::super::state::Cluster;
use super::drive::{self, Drive};
use super::formats as of;
use super::keys;
use super::kind::Kind;
use super::props;

const CPU: &[&str] = &[
    "cores", "cpu", "cpulimit", "cpuunits", "numa", "smp", "sockets", "vcpus",
];
const MEMORY: &[&str] = &["memory", "balloon", "shares", "allow-ksm"];
const HARDWARE: &[&str] = &[
    "acpi", "hotplug", "kvm", "machine", "scsihw", "smbios1", "tablet", "vga", "watchdog",
    "audio0", "rng0",
];
const OPTIONS: &[&str] = &[
    "agent",
    "autostart",
    "bios",
    "description",
    "keyboard",
    "localtime",
    "migrate_downtime",
    "migrate_speed",
    "name",
    "onboot",
    "ostype",
    "protection",
    "reboot",
    "startdate",
    "startup",
    "tdf",
    "template",
];
const DISK: &[&str] = &["boot", "bootdisk", "vmstatestorage", "vmstate"];
const CLOUDINIT: &[&str] = &[
    "cicustom",
    "cipassword",
    "citype",
    "ciupgrade",
    "ciuser",
    "nameserver",
    "searchdomain",
    "sshkeys",
];

/// The guest whose settings are to change.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Who asks.
    pub auth: &'a Auth,
    /// The guest.
    pub vmid: u32,
    /// The pool it is created in.
    pub pool: Option<&'a str>,
}

impl Subject<'_> {
    fn check(&self, cluster: &Cluster, privilege: &str) -> Result<(), ApiError> {
        cluster.check_guest(self.auth, self.vmid, self.pool, &[privilege])
    }
}

/// That the caller may change these settings of a virtual machine.
///
/// # Errors
/// Status 403 with the missing privilege; status 500 for what only root@pam may set.
pub fn vm_keys<'a>(
    cluster: &Cluster,
    subject: Subject<'_>,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<(), ApiError> {
    for name in names {
        let stem = keys::slot(name).map_or(name, |(stem, _)| stem);
        match stem {
            "ide" | "sata" | "scsi" | "virtio" | "efidisk" | "tpmstate" | "cdrom" => {}
            "unused"
            | "serial"
            | "usb"
            | "hostpci"
            | "tags"
            | "force"
            | "import-working-storage" => {}
            "net" => subject.check(cluster, "VM.Config.Network")?,
            "ipconfig" => cloudinit(cluster, subject)?,
            "virtiofs" => subject.check(cluster, "VM.Config.Disk")?,
            _ if CPU.contains(&name) || stem == "numa" => {
                subject.check(cluster, "VM.Config.CPU")?
            }
            _ if MEMORY.contains(&name) => subject.check(cluster, "VM.Config.Memory")?,
            _ if HARDWARE.contains(&name) => subject.check(cluster, "VM.Config.HWType")?,
            _ if OPTIONS.contains(&name) => {
                subject.check(cluster, "VM.Config.Options")?;
                if name == "startup" {
                    cluster.check_all(subject.auth, "/", &["Sys.Modify"])?;
                }
            }
            _ if DISK.contains(&name) => subject.check(cluster, "VM.Config.Disk")?,
            _ if CLOUDINIT.contains(&name) => cloudinit(cluster, subject)?,
            "freeze" => subject.check(cluster, "VM.PowerMgmt")?,
            _ if subject.auth.is_root() => {}
            _ => {
                return Err(ApiError::internal(format!(
                    "only root can set '{name}' config"
                )));
            }
        }
    }
    Ok(())
}

fn cloudinit(cluster: &Cluster, subject: Subject<'_>) -> Result<(), ApiError> {
    let either = subject.check(cluster, "VM.Config.Cloudinit");
    if either.is_ok() || subject.check(cluster, "VM.Config.Network").is_ok() {
        Ok(())
    } else {
        either
    }
}

/// That the caller may set these values of a virtual machine's devices (real host devices are root@pam's) and use
/// the storages and bridges they name.
///
/// # Errors
/// Status 403 or Proxmox VE's text.
pub fn vm_value(
    cluster: &Cluster,
    subject: Subject<'_>,
    old: Option<&str>,
    name: &str,
    value: &str,
) -> Result<(), ApiError> {
    match keys::slot(name).map_or(name, |(stem, _)| stem) {
        "serial" if value == "socket" => subject.check(cluster, "VM.Config.HWType"),
        "serial" | "parallel" => root(
            subject,
            format!("only root can set '{name}' config for real devices"),
        ),
        "usb" => {
            let props = props::parse(of::USB, value).unwrap_or_default();
            if props
                .get("host")
                .is_some_and(|host| !host.eq_ignore_ascii_case("spice"))
            {
                return root(
                    subject,
                    format!("only root can set '{name}' config for real devices"),
                );
            }
            mapping(cluster, subject, "usb", &props)
        }
        "hostpci" => {
            let props = props::parse(of::HOSTPCI, value).unwrap_or_default();
            if props.contains_key("host") || props.contains_key("romfile") {
                return root(
                    subject,
                    format!("only root can set '{name}' config for non-mapped devices"),
                );
            }
            mapping(cluster, subject, "pci", &props)
        }
        "virtiofs" => {
            let props = props::parse(of::VIRTIOFS, value).unwrap_or_default();
            match props.get("dirid") {
                None => Ok(()),
                Some(id) => {
                    let path = format!("/mapping/dir/{id}");
                    cluster.check_all(subject.auth, &path, &["Mapping.Use"])
                }
            }
        }
        "net" => {
            for text in [old, Some(value)].into_iter().flatten() {
                let props = props::parse(of::VM_NET, text).unwrap_or_default();
                bridge(cluster, subject.auth, &props)?;
            }
            Ok(())
        }
        "tags" => tags(cluster, subject),
        _ => Ok(()),
    }
}

fn root(subject: Subject<'_>, text: String) -> Result<(), ApiError> {
    if subject.auth.is_root() {
        Ok(())
    } else {
        Err(ApiError::internal(text))
    }
}

fn mapping(
    cluster: &Cluster,
    subject: Subject<'_>,
    kind: &str,
    props: &props::Props,
) -> Result<(), ApiError> {
    subject.check(cluster, "VM.Config.HWType")?;
    match props.get("mapping") {
        None => Ok(()),
        Some(id) => cluster.check_all(
            subject.auth,
            &format!("/mapping/{kind}/{id}"),
            &["Mapping.Use"],
        ),
    }
}

/// That the caller may set tags at all.
///
/// # Errors
/// Status 403.
pub fn tags(cluster: &Cluster, subject: Subject<'_>) -> Result<(), ApiError> {
    subject.check(cluster, "VM.Config.Options")
}

/// That the caller may connect a network card to its bridge or vnet.
///
/// # Errors
/// Status 403.
pub fn bridge(cluster: &Cluster, auth: &Auth, net: &props::Props) -> Result<(), ApiError> {
    let Some(bridge) = net.get("bridge") else {
        return Ok(());
    };
    let zone = vnet_zone(cluster, bridge).unwrap_or_else(|| "localnetwork".into());
    let path = match net.get("tag") {
        Some(tag) => format!("/sdn/zones/{zone}/{bridge}/{tag}"),
        None => format!("/sdn/zones/{zone}/{bridge}"),
    };
    cluster.check_all(auth, &path, &["SDN.Use"])
}

/// The SDN zone of a vnet.
#[must_use]
pub fn vnet_zone(cluster: &Cluster, vnet: &str) -> Option<String> {
    super::super::section_config::parse(cluster.files.read("sdn/vnets.cfg"))
        .into_iter()
        .find(|section| section.kind == "vnet" && section.id == vnet)
        .and_then(|section| section.get("zone").map(str::to_owned))
}

/// That the caller may use the storages that a drive or mount point names: a new volume takes space, an existing one
/// must be the guest's own, a medium, or the caller's to allot.
///
/// # Errors
/// Status 403, or `storage 'X' does not exist`.
pub fn volume(cluster: &Cluster, subject: Subject<'_>, drive: &Drive) -> Result<(), ApiError> {
    if drive.kind == Kind::Qemu && drive.is_cdrom() && matches!(drive.file(), "none" | "cdrom") {
        return match drive.file() {
            "cdrom" => cluster.check_all(subject.auth, "/", &["Sys.Console"]),
            _ => Ok(()),
        };
    }
    let Some((storage, name)) = drive.volume() else {
        return match drive.kind {
            Kind::Qemu => root(
                subject,
                format!(
                    "only root can set '{}' config for arbitrary paths",
                    drive.key
                ),
            ),
            Kind::Lxc => Ok(()),
        };
    };
    let path = format!("/storage/{storage}");
    if drive::new_volume(drive.file()).is_some() || name == "cloudinit" {
        cluster.check_all(subject.auth, &path, &["Datastore.AllocateSpace"])?;
        let section = cluster.require_storage(storage)?;
        if drive.kind == Kind::Qemu && !section.holds("images") {
            return Err(ApiError::parameter(
                "storage",
                format!("storage '{storage}' does not support vm images"),
            ));
        }
        return Ok(());
    }
    cluster.require_storage(storage)?;
    match drive.owner() {
        Some(owner) if owner == subject.vmid => Ok(()),
        None if name.starts_with("iso/")
            || name.starts_with("vztmpl/")
            || name.starts_with("import/") =>
        {
            cluster.check_any(
                subject.auth,
                &path,
                &["Datastore.AllocateSpace", "Datastore.Audit"],
            )
        }
        Some(_) | None => cluster.check_all(subject.auth, &path, &["Datastore.Allocate"]),
    }
}

/// That the caller may change this setting of a container; `value` is `None` where it is removed.
///
/// # Errors
/// Status 403.
pub fn ct_key(
    cluster: &Cluster,
    subject: Subject<'_>,
    name: &str,
    value: Option<&str>,
    old: Option<&str>,
    unprivileged: bool,
) -> Result<(), ApiError> {
    match keys::slot(name).map_or(name, |(stem, _)| stem) {
        "mp" | "rootfs" => {
            subject.check(cluster, "VM.Config.Disk")?;
            let mount = value.and_then(|value| Drive::parse(Kind::Lxc, name, value));
            let Some(mount) = mount else { return Ok(()) };
            if !subject.auth.is_root() && mount.file().starts_with('/') {
                let kind = if mount.file().starts_with("/dev/") {
                    "device"
                } else {
                    "bind"
                };
                return Err(ApiError::denied(&format!(
                    "mount point type {kind} is only allowed for root@pam"
                )));
            }
            volume(cluster, subject, &mount)
        }
        "unused" => subject.check(cluster, "VM.Config.Disk"),
        "dev" => root_only(
            subject,
            "configuring device passthrough is only allowed for root@pam",
        ),
        "memory" | "swap" => subject.check(cluster, "VM.Config.Memory"),
        "cores" | "cpuunits" | "cpulimit" => subject.check(cluster, "VM.Config.CPU"),
        "net" => {
            subject.check(cluster, "VM.Config.Network")?;
            for text in [old, value].into_iter().flatten() {
                bridge(
                    cluster,
                    subject.auth,
                    &props::parse(of::CT_NET, text).unwrap_or_default(),
                )?;
            }
            Ok(())
        }
        "nameserver" | "searchdomain" | "hostname" => subject.check(cluster, "VM.Config.Network"),
        "features" => features(cluster, subject, value, old, unprivileged),
        "hookscript" => root_only(
            subject,
            "changing the hookscript is only allowed for root@pam",
        ),
        "startup" => {
            subject.check(cluster, "VM.Config.Options")?;
            cluster.check_all(subject.auth, "/", &["Sys.Modify"])
        }
        _ => subject.check(cluster, "VM.Config.Options"),
    }
}

fn root_only(subject: Subject<'_>, text: &str) -> Result<(), ApiError> {
    if subject.auth.is_root() {
        Ok(())
    } else {
        Err(ApiError::denied(text))
    }
}

fn features(
    cluster: &Cluster,
    subject: Subject<'_>,
    value: Option<&str>,
    old: Option<&str>,
    unprivileged: bool,
) -> Result<(), ApiError> {
    if subject.auth.is_root() {
        return Ok(());
    }
    if !unprivileged {
        let text = "changing feature flags for privileged container is only allowed for root@pam";
        return Err(ApiError::denied(text));
    }
    let without_nesting = |text: Option<&str>| {
        let mut props = text
            .and_then(|text| props::parse(of::CT_FEATURES, text).ok())
            .unwrap_or_default();
        props.remove("nesting");
        props
    };
    if without_nesting(value) != without_nesting(old) {
        return Err(ApiError::denied(
            "changing feature flags (except nesting) is only allowed for root@pam",
        ));
    }
    subject.check(cluster, "VM.Allocate")
}

/// That the caller may create a guest with this number, by itself or through a pool.
///
/// # Errors
/// Status 403: `Permission check failed`.
pub fn create(cluster: &Cluster, subject: Subject<'_>) -> Result<(), ApiError> {
    if let Some(pool) = subject.pool
        && !cluster.read_users().pools.contains_key(pool)
    {
        return Err(ApiError::denied(&format!("pool '{pool}' does not exist")));
    }
    let own = cluster.allowed(
        subject.auth,
        &format!("/vms/{}", subject.vmid),
        "VM.Allocate",
    );
    let pooled = subject
        .pool
        .is_some_and(|pool| cluster.allowed(subject.auth, &format!("/pool/{pool}"), "VM.Allocate"));
    if own || pooled {
        Ok(())
    } else {
        Err(ApiError::new(403, "Permission check failed"))
    }
}
