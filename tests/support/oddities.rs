//! Random configurations, sound and broken: keys with values Proxmox VE may show, and some it would not.

use std::collections::BTreeSet;

use bailiwick::plan::Ownership;
use bailiwick::service::import::{Import, ImportRequest, Live, import_world};
use bailiwick::world::World;
use bailiwick::world::testing::Builder;
use proptest::prelude::*;

/// Keys of virtual machines with values Proxmox VE may show, and some it would not.
pub const MACHINE: &[(&str, &[&str])] = &[
    ("name", &["web-7", "Web", "web_7", "a.example.org", "-"]),
    ("cores", &["4", "1", "0", "many"]),
    ("sockets", &["2"]),
    ("vcpus", &["2", "64"]),
    (
        "cpu",
        &[
            "host",
            "x86-64-v2-AES,flags=+aes;-pcid",
            "cputype=kvm64,hidden=1,phys-bits=host",
            "custom-a,hv-vendor-id=abc,level=30,new-option=7",
            "host,host",
        ],
    ),
    ("cpulimit", &["3.5", "0", "1.50"]),
    ("cpuunits", &["100", "0500", "300000"]),
    ("numa", &["1", "0"]),
    (
        "numa0",
        &[
            "cpus=0-3,hostnodes=0,memory=1024,policy=bind",
            "cpus=0;2,memory=512",
        ],
    ),
    ("memory", &["2048", "current=4096", "8", "lots"]),
    ("balloon", &["1024", "0", "999999"]),
    ("shares", &["1000", "0"]),
    ("allow-ksm", &["0", "1"]),
    (
        "machine",
        &[
            "q35",
            "pc-i440fx-9.2+pve1",
            "type=q35,viommu=virtio,enable-s3=0",
            "s390",
        ],
    ),
    ("bios", &["ovmf", "seabios", "coreboot"]),
    ("ostype", &["l26", "win11", "beos"]),
    (
        "boot",
        &["order=scsi0;net0", "cdn", "", "order=", "legacy=c"],
    ),
    ("bootdisk", &["scsi0"]),
    (
        "agent",
        &[
            "1",
            "enabled=1,fstrim_cloned_disks=1,type=isa",
            "0",
            "1,guest-fsfreeze=0",
            "maybe",
        ],
    ),
    ("scsihw", &["virtio-scsi-single", "lsi"]),
    (
        "scsi0",
        &[
            "local-zfs:vm-100-disk-0,iothread=1,size=32G",
            "local-zfs:vm-100-disk-0,discard=on,ssd=1,aio=native,cache=writeback,size=8G,serial=a%20b,wwn=0x50014EE2B5E6A7F8",
            "file=local:100/vm-100-disk-0.qcow2,format=qcow2,size=10G,iops_rd=100,mbps=1.5,bps_rd_length=3",
            "local-zfs:vm-100-disk-0,detect_zeroes=on,replicate=no,backup=0,ro=1,vendor=QEMU,product=a b,queues=4,scsiblock=0,rerror=stop,werror=report",
            "/dev/disk/by-id/x,size=1T",
            "local-zfs:vm-100-disk-0",
            "local-zfs:vm-100-disk-0,discard=sometimes,size=1G",
            "gone:vm-100-disk-0,size=4G",
        ],
    ),
    (
        "scsi30",
        &["ceph:vm-100-disk-30,size=33.5G", "none,media=cdrom"],
    ),
    (
        "virtio0",
        &[
            "ceph:vm-100-disk-1,iothread=1,snapshot=1,shared=1,size=528K",
            "ceph:vm-100-disk-1,size=5",
        ],
    ),
    (
        "sata5",
        &[
            "local:iso/a.iso,media=cdrom,size=600M",
            "ceph:vm-100-disk-2,ssd=1,size=1T",
        ],
    ),
    (
        "ide0",
        &[
            "cdrom,media=cdrom",
            "local-zfs:vm-100-cloudinit,media=cdrom,size=4M",
            "ceph:vm-100-disk-3,model=Old%20Disk,size=2G",
        ],
    ),
    (
        "ide2",
        &[
            "none,media=cdrom",
            "local:iso/b.iso,media=cdrom",
            "local-zfs:vm-100-cloudinit,media=cdrom",
            ",,",
        ],
    ),
    (
        "efidisk0",
        &[
            "ceph:vm-100-disk-4,efitype=4m,pre-enrolled-keys=1,size=528K",
            "ceph:vm-100-disk-4,efitype=4m,ms-cert=2023",
        ],
    ),
    ("tpmstate0", &["ceph:vm-100-disk-5,size=4M,version=v2.0"]),
    ("unused0", &["local-zfs:vm-100-disk-9"]),
    (
        "net0",
        &[
            "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=20",
            "e1000=bc:24:11:00:00:02,bridge=vmbr0,link_down=1,mtu=1400,queues=4,rate=12.5,trunks=20;100-120",
            "model=virtio,macaddr=01:00:5E:00:00:01,bridge=vmbr0",
            "virtio,bridge=vmbr0",
            "virtio=BC:24:11:00:00:01,tag=5000",
            "virtio=BC:24:11:00:00:01,mtu=70000,bridge=a-very-long-bridge-name",
            "tap0",
        ],
    ),
    ("net31", &["rtl8139=BC:24:11:00:00:1F"]),
    (
        "vga",
        &[
            "std",
            "virtio,memory=64",
            "qxl2,clipboard=vnc",
            "std,memory=1",
        ],
    ),
    ("serial0", &["socket", "/dev/ttyS0"]),
    (
        "usb0",
        &[
            "spice",
            "host=SPICE,usb3=1",
            "host=1-2",
            "mapping=stick,usb3=1",
            "usb3=1",
        ],
    ),
    (
        "hostpci0",
        &[
            "mapping=gpu1,pcie=1,x-vga=1",
            "0000:01:00.0",
            "mapping=gpu1,romfile=a.rom",
            "mapping=gpu1,device-id=0x1AF4,rombar=0,mdev=nvidia-63",
            "pcie=1",
        ],
    ),
    (
        "virtiofs0",
        &["data", "dirid=data,cache=always,direct-io=1,expose-acl=1"],
    ),
    (
        "rng0",
        &["/dev/urandom", "source=/dev/hwrng,max_bytes=512,period=900"],
    ),
    (
        "audio0",
        &["device=AC97,driver=none", "device=ich9-intel-hda"],
    ),
    ("watchdog", &["i6300esb,action=reset", "model=ib700"]),
    (
        "smbios1",
        &[
            "uuid=5acd774d-3cb0-4b33-a541-0073c97ecd1c",
            "uuid=5acd774d-3cb0-4b33-a541-0073c97ecd1c,base64=1,manufacturer=QWNtZQ==,serial=MQ==",
            "manufacturer=Acme",
            "base64=1,product=!!",
        ],
    ),
    (
        "hotplug",
        &["network,disk,usb", "0", "1", "disk;cpu memory"],
    ),
    (
        "startup",
        &["order=1,up=30", "2", "up=5,down=60", "order=soon"],
    ),
    ("onboot", &["1", "0", "yes"]),
    ("protection", &["1"]),
    ("tags", &["prod;web", "Prod;prod", "a,b c", ";", "-x"]),
    (
        "description",
        &[
            "one\n",
            "two\nlines: #here",
            "- x\n\n  y ",
            "\u{feff}bom",
            "a\r\nb",
            " lead",
            "t\ttab",
            "'\"\\",
            "null",
            "",
        ],
    ),
    ("tablet", &["0"]),
    ("kvm", &["0"]),
    ("acpi", &["0"]),
    ("localtime", &["1"]),
    ("startdate", &["now", "2026-11-22T16:58:00", "today"]),
    ("keyboard", &["de", "no", "xx"]),
    ("freeze", &["1"]),
    ("tdf", &["1"]),
    ("migrate_downtime", &["0.1", "10"]),
    ("migrate_speed", &["0", "100"]),
    ("vmstatestorage", &["ceph"]),
    ("ciuser", &["debian", "a,b"]),
    ("cipassword", &["**********"]),
    (
        "sshkeys",
        &[
            "ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIExample%20a%2Bb%40x%0A",
            "ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIExample%20one%0Assh-rsa%20AAAAB3NzaC1yc2EAAAADAQABAAABgQ%20two",
            "%ff",
            "nonsense",
        ],
    ),
    (
        "ipconfig0",
        &[
            "ip=dhcp",
            "ip=192.0.2.7/24,gw=192.0.2.1,ip6=2001:0DB8::7/64,gw6=FE80::1",
            "ip=192.0.2.7",
        ],
    ),
    ("ipconfig1", &["ip6=auto"]),
    (
        "nameserver",
        &["192.0.2.53 2001:db8::53", "dns.example.org"],
    ),
    ("searchdomain", &["example.org"]),
    ("ciupgrade", &["0"]),
    ("citype", &["nocloud"]),
    (
        "cicustom",
        &["user=local:snippets/u.yaml,network=local:snippets/n.yaml"],
    ),
    ("args", &["-cpu host"]),
    ("affinity", &["0,4"]),
    ("hookscript", &["local:snippets/hook.pl"]),
    ("hugepages", &["1024"]),
    ("meta", &["creation-qemu=10.1.2,ctime=1768640000"]),
    ("vmgenid", &["8dd8519a-ede4-4d09-ac75-9156314979eb"]),
    ("spice_enhancements", &["foldersharing=1"]),
    ("parallel0", &["/dev/parport0"]),
    ("template", &["1", "0"]),
    ("future", &["x"]),
    ("Odd.Key", &["x"]),
];

/// Keys of containers.
pub const CONTAINER: &[(&str, &[&str])] = &[
    ("hostname", &["files", "Files.Example.org"]),
    ("arch", &["amd64", "s390x"]),
    ("ostype", &["debian", "beos"]),
    ("cores", &["2"]),
    ("cpulimit", &["0.5"]),
    ("cpuunits", &["100"]),
    ("memory", &["1024", "4"]),
    ("swap", &["0", "512"]),
    (
        "rootfs",
        &[
            "local-zfs:subvol-100-disk-0,size=8G",
            "volume=local-zfs:subvol-100-disk-0,acl=1,mountoptions=noatime;discard,quota=0,replicate=0,ro=0,shared=1,size=8G",
            "/srv/root",
            "local:100/vm-100-disk-0.raw,size=4G,idmap=passthrough",
        ],
    ),
    (
        "mp0",
        &[
            "ceph:vm-100-disk-1,mp=/srv/data,size=16G,backup=1",
            "/srv/host,mp=/srv/bind",
            "/dev/sda1,mp=/srv/dev",
            "ceph:vm-100-disk-1,mp=relative,size=1G",
            "ceph:vm-100-disk-1,mp=/same,size=1G,keepattrs=1",
        ],
    ),
    (
        "mp255",
        &["local-zfs:subvol-100-disk-2,mp=/same,size=1G,mountoptions=lazytime;noatime"],
    ),
    ("unused0", &["local-zfs:subvol-100-disk-9"]),
    (
        "net0",
        &[
            "name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:00:00:03,ip=dhcp,type=veth",
            "name=eth0,bridge=vmbr0,hwaddr=bc:24:11:00:00:04,ip=192.0.2.7/24,gw=192.0.2.1,ip6=2001:db8::7/64,gw6=fe80::1,tag=7,trunks=8;9,rate=3,mtu=1500,link_down=1,host-managed=1",
            "bridge=vmbr0",
            "name=eth0,ip=192.168.1.1/024,type=phys",
        ],
    ),
    (
        "features",
        &[
            "nesting=1",
            "nesting=1,fuse=1,keyctl=1,mount=nfs;cifs",
            "fuse=1",
            "nesting=0",
        ],
    ),
    ("unprivileged", &["1", "0"]),
    ("nameserver", &["192.0.2.53"]),
    ("searchdomain", &["example.org", "a b"]),
    ("cmode", &["shell"]),
    ("console", &["0"]),
    ("tty", &["2", "9"]),
    ("startup", &["order=1"]),
    ("onboot", &["1"]),
    ("protection", &["0"]),
    ("tags", &["files"]),
    ("description", &["notes\n\n# here", "\u{202e}evil"]),
    ("timezone", &["Europe/Vienna", "host"]),
    ("entrypoint", &["/sbin/init --x"]),
    ("env", &["A=1\0B=x y", "B=1\0A=2", "A", "A=x\ty"]),
    ("debug", &["1"]),
    ("dev0", &["/dev/kvm,mode=0660"]),
    ("hookscript", &["local:snippets/hook.pl"]),
    ("template", &["1"]),
    ("lxc.cap.drop", &["sys_admin\nmknod"]),
    ("future-option", &["x", "two\nlines"]),
];

/// Options of storages.
pub const STORAGE: &[(&str, &[&str])] = &[
    (
        "content",
        &["images,rootdir", "iso", "none", "images,holograms", ""],
    ),
    ("nodes", &["pve1,pve2", "pve1"]),
    ("disable", &["1", "0"]),
    ("shared", &["1", "0"]),
    ("format", &["qcow2", "vhd"]),
    (
        "prune-backups",
        &[
            "keep-daily=7,keep-last=3",
            "keep-all=1",
            "keep-all=1,keep-last=2",
            "keep-last=x",
        ],
    ),
    ("max-protected-backups", &["-1", "5", "-7"]),
    ("bwlimit", &["default=1000,move=5", "migration=9"]),
    ("path", &["/srv/store", "relative", "/a,b"]),
    ("content-dirs", &["iso=isos,backup=/b", "iso=my isos"]),
    ("mkdir", &["0"]),
    ("is_mountpoint", &["yes", "/mnt"]),
    ("preallocation", &["off"]),
    ("server", &["nas.example.org", "2001:db8::9", "bad_host"]),
    ("port", &["8007", "0"]),
    ("export", &["/export"]),
    ("options", &["vers=4.2,soft", "a\nb"]),
    ("username", &["bailiwick@pbs"]),
    ("password", &["hunter2"]),
    ("keyring", &["/etc/pve/priv/ceph/x.keyring"]),
    ("encryption-key", &["1"]),
    ("fingerprint", &["aa:bb"]),
    ("datastore", &["main"]),
    ("pool", &["rpool/data"]),
    ("sparse", &["1", "on"]),
    ("blocksize", &["16K", "12k"]),
    (
        "monhost",
        &["192.0.2.1 192.0.2.2", "192.0.2.2,192.0.2.1:6789"],
    ),
    ("vgname", &["vg"]),
    ("thinpool", &["data"]),
    ("saferemove-stepsize", &["32", "7"]),
    ("maxfiles", &["3"]),
    ("future-option", &["x"]),
    ("Odd", &["x"]),
];

/// Options of backup jobs, but for whom they are for.
pub const BACKUP_JOB: &[(&str, &[&str])] = &[
    ("id", &["under_test"]),
    ("type", &["vzdump"]),
    (
        "schedule",
        &["02:00", "sat 03:00", "mon..fri 22:00/15", "*-*-1 04:00"],
    ),
    ("enabled", &["1", "0"]),
    ("storage", &["local", "nas", "a b"]),
    ("node", &["pve1", "gone"]),
    ("mode", &["snapshot", "stop", "hover"]),
    ("compress", &["zstd", "0", "1"]),
    (
        "prune-backups",
        &[
            "keep-daily=7,keep-last=3",
            "keep-all=1",
            "keep-all=1,keep-last=2",
            "keep-last=x",
        ],
    ),
    ("remove", &["0"]),
    ("protected", &["1"]),
    (
        "notes-template",
        &["{{guestname}}\\n{{vmid}}", "two\nlines", " x "],
    ),
    ("comment", &["every night", "\u{202e}evil"]),
    ("repeat-missed", &["1", "on"]),
    ("mailto", &["root,anna@example.org", "a;b"]),
    ("mailnotification", &["failure"]),
    ("notification-mode", &["legacy-sendmail"]),
    (
        "fleecing",
        &["enabled=1,storage=local", "1", "enabled=1,cache=2"],
    ),
    ("bwlimit", &["0", "100000", "-1"]),
    ("ionice", &["8", "9"]),
    ("lockwait", &["180"]),
    ("stopwait", &["10"]),
    (
        "performance",
        &["max-workers=4,pbs-entries-max=1000", "max-workers=999"],
    ),
    ("pigz", &["1"]),
    ("zstd", &["0", "-1"]),
    (
        "exclude-path",
        &["/var/cache/*", "/tmp/a;b\n/srv/c,d e", "\n"],
    ),
    ("stdexcludes", &["0"]),
    ("pbs-change-detection-mode", &["metadata"]),
    ("quiet", &["1"]),
    ("script", &["/root/hook.sh"]),
    ("tmpdir", &["/srv/tmp"]),
    ("future-option", &["x"]),
    ("Odd", &["x"]),
];

pub const SELECTIONS: &[&[(&str, &str)]] = &[
    &[("vmid", "100,101")],
    &[("vmid", "101;100 999")],
    &[("all", "1")],
    &[("all", "1"), ("exclude", "100,999")],
    &[("all", "0"), ("vmid", "100")],
    &[("pool", "prod")],
    &[("pool", "gone/away")],
];

pub const TYPES: &[&str] = &[
    "dir",
    "zfspool",
    "nfs",
    "pbs",
    "rbd",
    "lvmthin",
    "cifs",
    "glusterfs",
];

/// Lines of a configuration: every key with a chance, mostly with a value of the table.
pub fn section(
    table: &'static [(&'static str, &'static [&'static str])],
) -> impl Strategy<Value = Vec<(String, String)>> {
    let lines: Vec<_> = table
        .iter()
        .map(|(key, values)| {
            let value = prop_oneof![
                12 => prop::sample::select(values.to_vec()).prop_map(str::to_owned),
                1 => "\\PC{1,12}",
                1 => "[ -~\n\t\u{0}-\u{ff}]{1,12}",
            ];
            proptest::option::weighted(0.4, value)
                .prop_map(move |value| Some(((*key).to_owned(), value?)))
        })
        .collect();
    lines.prop_map(|lines| lines.into_iter().flatten().collect())
}

pub fn lines(section: &[(String, String)]) -> Vec<(&str, &str)> {
    section
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect()
}

pub fn cluster() -> Builder {
    Builder::new(&["pve1", "pve2"])
        .storage("local", "dir")
        .storage("local-zfs", "zfspool")
        .storage("ceph", "rbd")
}

/// What an import of everything in a world gives, with whether guests run.
pub fn imported(world: &World) -> Import {
    let live = Live {
        world,
        ownership: &Ownership::default(),
        stored: &BTreeSet::new(),
        name_cluster: false,
        request: &ImportRequest {
            power: true,
            ..ImportRequest::default()
        },
    };
    import_world(&live).unwrap()
}
