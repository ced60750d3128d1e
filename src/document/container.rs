//! The kind `Container`: every option of LXC guests that an API token may set, and what it becomes in Proxmox VE's words.

use std::collections::BTreeMap;

use super::clone::CloneFrom;
use super::desired::{DesiredDisk, DesiredGuest, Media, Power, SecretRef, Value, Wish};
use super::machine::disks::with_options;
use super::migration::Migration;
use super::options::{
    ExtraConfig, Field, Group, List, Set, ToValue, Wishes, collect, options, property_strings,
    words,
};
use super::restore::RestoreFrom;
use super::scalar::{
    Bare, BridgeName, Description, DeviceName, DnsName, IdMap, IpAddress, Ipv4Address, Ipv4Config,
    Ipv6Address, Ipv6Config, MacAddress, MountPath, SshKey, Tag, TimeZone, VlanRange,
};
use super::shared::{PowerState, Startup, ssh_key_lines};
use super::size::{Mebibytes, Size};
use super::slots::{MountPointSlots, NetSlots, SlotMap};
use crate::ids::{GuestKind, NodeName, PoolId, Slot, StorageId, Vmid, VolumeId};

words! {
    /// The architecture of a container's programs.
    pub enum ContainerArch { Amd64 = "amd64", I386 = "i386", Arm64 = "arm64", Armhf = "armhf", Riscv32 = "riscv32", Riscv64 = "riscv64" }
}
words! {
    /// The distribution inside a container.
    pub enum ContainerOs { Debian = "debian", Devuan = "devuan", Ubuntu = "ubuntu", Centos = "centos", Fedora = "fedora", Opensuse = "opensuse",
        Archlinux = "archlinux", Alpine = "alpine", Gentoo = "gentoo", Nixos = "nixos", Unmanaged = "unmanaged" }
}
words! {
    /// What the console shows.
    pub enum ConsoleMode { Shell = "shell", Console = "console", Tty = "tty" }
}
words! {
    /// An option of mounting.
    pub enum MountOption { Discard = "discard", Lazytime = "lazytime", Noatime = "noatime", Nodev = "nodev", Noexec = "noexec", Nosuid = "nosuid" }
}

options! {
    /// The root file system. Another `storage` than now means a move, a greater `size` means growing, a smaller one is refused.
    pub struct RootFs {
        /// The storage the volume shall lie on.
        storage: Option<StorageId> = "" by hand,
        /// The size, such as `8Gi`. It only grows.
        size: Option<Size> = "size" by hand,
        /// An existing volume to use instead of making a new one.
        volume: Option<VolumeId> = "volume" by hand,
        /// Whether ACLs work; the file system decides where this is not written.
        acl: Field<bool> = "acl",
        /// Options of mounting.
        mount_options: Field<Set<MountOption, ';'>> = "mountoptions",
        /// Whether user quotas work inside; not for ZFS.
        quota: Field<bool> = "quota",
        /// Whether replication jobs include the volume. Default `true`.
        replicate: Field<bool> = "replicate",
        /// Whether it can only be read. Default `false`.
        read_only: Field<bool> = "ro",
        /// Whether a local volume is declared available on all nodes (it is not made available by this).
        shared: Field<bool> = "shared",
        /// How user and group ids of the container map to those of the volume.
        id_map: Field<IdMap> = "idmap",
    }
}

options! {
    /// A volume mounted inside the container. Mounting a directory or a device of the host is for `root@pam` only.
    pub struct MountPoint {
        /// The storage the volume shall lie on.
        storage: Option<StorageId> = "" by hand,
        /// The size, such as `32Gi`. It only grows.
        size: Option<Size> = "size" by hand,
        /// An existing volume to mount instead of making a new one.
        volume: Option<VolumeId> = "volume" by hand,
        /// The path inside the container.
        path: Field<MountPath> = "mp",
        /// Whether backups include the volume. Default `false`.
        backup: Field<bool> = "backup",
        /// Whether ACLs work; the file system decides where this is not written.
        acl: Field<bool> = "acl",
        /// Options of mounting.
        mount_options: Field<Set<MountOption, ';'>> = "mountoptions",
        /// Whether user quotas work inside; not for ZFS.
        quota: Field<bool> = "quota",
        /// Whether replication jobs include the volume. Default `true`.
        replicate: Field<bool> = "replicate",
        /// Whether it can only be read. Default `false`.
        read_only: Field<bool> = "ro",
        /// Whether a local volume is declared available on all nodes (it is not made available by this).
        shared: Field<bool> = "shared",
        /// How user and group ids of the container map to those of the volume.
        id_map: Field<IdMap> = "idmap",
        /// Whether owner and permissions of the directory below are taken over. Default `false`.
        keep_attributes: Field<bool> = "keepattrs",
    }
}

options! {
    /// A network device of a container.
    pub struct ContainerNetwork {
        /// The device's name inside, such as `eth0`.
        name: Field<DeviceName> = "name",
        /// The MAC address. Where it is not written the present one is kept, and Proxmox VE makes one for a new device.
        mac: Field<MacAddress> = "hwaddr",
        /// The bridge or SDN vnet the device is plugged into.
        bridge: Field<BridgeName> = "bridge",
        /// `dhcp`, `manual`, or an IPv4 address with its prefix.
        ip: Field<Ipv4Config> = "ip",
        /// The IPv4 gateway.
        gateway: Field<Ipv4Address> = "gw",
        /// `auto`, `dhcp`, `manual`, or an IPv6 address with its prefix.
        ip6: Field<Ipv6Config> = "ip6",
        /// The IPv6 gateway.
        gateway6: Field<Ipv6Address> = "gw6",
        /// The VLAN of untagged traffic.
        #[schemars(range(min = 1, max = 4094))]
        vlan: Field<u32> = "tag",
        /// VLANs the container may use with tags of its own.
        trunks: Field<List<VlanRange, ';'>> = "trunks",
        /// Whether the firewall filters this device. Default `false`.
        firewall: Field<bool> = "firewall",
        /// Greatest throughput in megabytes a second.
        #[schemars(range(min = 0))]
        rate: Field<f64> = "rate",
        /// The greatest packet in bytes.
        #[schemars(range(min = 64, max = 65535))]
        mtu: Field<u32> = "mtu",
        /// Whether the cable is pulled. Default `false`.
        link_down: Field<bool> = "link_down",
        /// Whether the host sets the addresses, instead of the container's own network service.
        host_managed: Field<bool> = "host-managed",
    }
}

options! {
    /// Features. A token may set `nesting` on an unprivileged container; every other feature is for `root@pam` only.
    pub struct Features {
        /// Whether containers may run inside, and `/proc` and `/sys` of the host are visible. Default `false`.
        nesting: Field<bool> = "nesting",
    }
}
property_strings!(ContainerNetwork, Features);

/// Environment variables; Proxmox VE joins them with NUL.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Environment(pub BTreeMap<String, String>);

impl ToValue for Environment {
    fn to_value(&self) -> Value {
        let pairs: Vec<_> = self.0.iter().map(|(k, v)| format!("{k}={v}")).collect();
        Value::Plain(pairs.join("\0"))
    }
}

impl schemars::JsonSchema for Environment {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Environment".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "propertyNames": {"type": "string", "format": "environment-variable"},
            "additionalProperties": {"type": "string", "format": "environment-value"},
            "minProperties": 1,
        })
    }
}

options! {
    /// How a container shall be. What is not written is not managed; `null` asks for a setting's removal.
    pub struct ContainerSpec {
        /// The number of the guest, 100 to 999999999. Without it the guest is found by ownership, or a number is allocated.
        vmid: Option<Vmid> = "vmid" by hand,
        /// The host name. A new guest is named like the document where this is not written.
        hostname: Field<DnsName> = "hostname",
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
        /// The template a new container is made from, `STORAGE:vztmpl/NAME`. Counts only when the container is made.
        template: Option<VolumeId> = "ostemplate" by hand,
        /// Whether root inside is nobody outside. Cannot change once the container is made. Default `true` for new containers.
        unprivileged: Option<bool> = "unprivileged" by hand,
        /// The password of root inside. Counts only when the container is made.
        password_from: Option<SecretRef> = "password" by hand,
        /// SSH public keys of root inside. Count only when the container is made.
        ssh_keys: Option<Vec<SshKey>> = "ssh-public-keys" by hand,
        /// The distribution inside; found out by Proxmox VE for a new container. It cannot be removed.
        os_type: Field<ContainerOs> = "ostype",
        /// The architecture of the programs inside. Default `amd64`.
        arch: Field<ContainerArch> = "arch",
        /// Processors the container sees; all of the node where this is not set.
        #[schemars(range(min = 1, max = 8192))]
        cores: Field<u32> = "cores",
        /// Greatest use of processor time, in processors; 0 is no limit.
        #[schemars(range(min = 0, max = 8192))]
        cpu_limit: Field<f64> = "cpulimit",
        /// Weight against other guests. Proxmox VE clamps it to 1 to 10000. Default 100.
        #[schemars(range(min = 0, max = 500000))]
        cpu_units: Field<u32> = "cpuunits",
        /// The memory in whole MiB, such as `2Gi`; at least `16Mi`. Default `512Mi`.
        memory: Field<Mebibytes> = "memory",
        /// The swap space in whole MiB; `0Mi` for none. Default `512Mi`.
        swap: Field<Mebibytes> = "swap",
        /// The root file system.
        root_fs: Option<RootFs> = "rootfs" by hand,
        /// Volumes mounted inside, by `mpN`. `null` detaches a volume and never frees it.
        mount_points: SlotMap<MountPointSlots, MountPoint> = "mp[n]" by hand,
        /// Network devices by `netN`.
        networks: SlotMap<NetSlots, ContainerNetwork> = "net[n]",
        /// Name servers; those of the node where this is not set.
        nameservers: Field<List<IpAddress, ' '>> = "nameserver",
        /// The domain to search; that of the node where this is not set.
        search_domain: Field<Bare> = "searchdomain",
        /// Features.
        features: Field<Features> = "features",
        /// What the console shows. Default `tty`.
        console_mode: Field<ConsoleMode> = "cmode",
        /// Whether the container has a console. Default `true`.
        console: Field<bool> = "console",
        /// Number of terminals. Default 2.
        #[schemars(range(min = 0, max = 6))]
        tty: Field<u32> = "tty",
        /// When the guest starts and stops with its node.
        startup: Field<Startup> = "startup",
        /// Whether the guest starts with its node. Default `false`.
        on_boot: Field<bool> = "onboot",
        /// Whether Proxmox VE refuses to remove the guest or its volumes. Default `false`.
        protection: Field<bool> = "protection",
        /// Tags; their order does not count.
        tags: Field<Set<Tag, ';'>> = "tags",
        /// Notes, shown in the web interface. Trailing white space does not count.
        description: Field<Description> = "description",
        /// The time zone inside, or `host` for the node's.
        timezone: Field<TimeZone> = "timezone",
        /// The command run as the first process, with its arguments. Default `/sbin/init`.
        entrypoint: Field<String> = "entrypoint",
        /// Environment variables of the first process.
        env: Field<Environment> = "env",
        /// Whether starting is logged in detail. Default `false`.
        debug: Field<bool> = "debug",
        /// Options that have no field here yet, under Proxmox VE's own names.
        extra_config: ExtraConfig = "",
    }
}

fn volume(
    (storage, size, volume): (&Option<StorageId>, Option<Size>, &Option<VolumeId>),
    options: Wishes,
) -> DesiredDisk {
    DesiredDisk {
        storage: storage.clone(),
        size: size.map(|size| size.0),
        volume: volume.clone(),
        ..with_options(Media::Disk, options)
    }
}

fn written(group: &impl Group) -> Wishes {
    let mut out = Vec::new();
    group.write(&mut out);
    out
}

impl ContainerSpec {
    /// What this asks for in Proxmox VE's words. `name` is the document's, for a guest that has to be made.
    pub fn desired(&self, name: &str) -> DesiredGuest {
        DesiredGuest {
            kind: GuestKind::Lxc,
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
            options: collect(written(self)),
            disks: self.desired_disks(),
            clone_from: self.clone_from.as_ref().map(CloneFrom::desired),
            restore_from: self.restore_from.as_ref().and_then(RestoreFrom::desired),
            template: self.is_template,
            create_only: self.create_only(),
        }
    }

    fn desired_disks(&self) -> BTreeMap<Slot, Wish<DesiredDisk>> {
        let mut slots = BTreeMap::new();
        if let (Some(root), Ok(slot)) = (&self.root_fs, Slot::new("rootfs")) {
            let parts = (&root.storage, root.size, &root.volume);
            slots.insert(slot, Wish::Set(volume(parts, written(root))));
        }
        for (slot, mount) in self.mount_points.iter() {
            let wish = mount.map_or(Wish::Remove, |mount| {
                let parts = (&mount.storage, mount.size, &mount.volume);
                Wish::Set(volume(parts, written(mount)))
            });
            slots.insert(slot.clone(), wish);
        }
        slots
    }

    fn create_only(&self) -> BTreeMap<String, Value> {
        let mut parameters = BTreeMap::new();
        if let Some(template) = &self.template {
            parameters.insert("ostemplate".to_owned(), template.to_value());
        }
        if let Some(unprivileged) = &self.unprivileged {
            parameters.insert("unprivileged".to_owned(), unprivileged.to_value());
        }
        if let Some(password) = &self.password_from {
            parameters.insert("password".to_owned(), password.to_value());
        }
        if let Some(keys) = &self.ssh_keys {
            let lines = Value::Plain(ssh_key_lines(keys));
            parameters.insert("ssh-public-keys".to_owned(), lines);
        }
        parameters
    }
}
