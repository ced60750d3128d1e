//! What each field becomes in Proxmox VE's words, one line a field.

use std::collections::BTreeMap;

use bailiwick::document::desired::{Desired, DesiredGuest, Media, Power, SecretRef, Value, Wish};
use bailiwick::document::{Kind, load, schema};

fn desired(kind: &str, spec: &str) -> Desired {
    let text = format!(
        "apiVersion: bailiwick.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: thing}}\nspec: {spec}\n"
    );
    let documents = load(&[("a.yaml", &text)]).unwrap_or_else(|errors| panic!("{errors}"));
    documents[0].desired()
}

fn guest(kind: &str, spec: &str) -> DesiredGuest {
    match desired(kind, spec) {
        Desired::Guest(guest) => *guest,
        other => panic!("{other:?}"),
    }
}

fn shown(wish: &Wish<Value>) -> String {
    match wish {
        Wish::Remove => "-".to_owned(),
        Wish::Set(Value::Plain(text)) => text.clone(),
        Wish::Set(Value::Secret(SecretRef::FromFile(path))) => format!("secret file {path}"),
        Wish::Set(Value::Secret(SecretRef::FromEnv(name))) => format!("secret env {name}"),
        Wish::Set(Value::Properties { set, remove }) => {
            let set = set.iter().map(|(k, v)| format!("{k}={v}"));
            set.chain(remove.iter().map(|k| format!("-{k}")))
                .collect::<Vec<_>>()
                .join(",")
        }
    }
}

fn options(options: &BTreeMap<String, Wish<Value>>) -> String {
    let lines = options
        .iter()
        .map(|(key, wish)| format!("{key}: {}", shown(wish)));
    lines.collect::<Vec<_>>().join("; ")
}

#[test]
fn options_of_a_virtual_machine() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample a+b@x";
    let cloud = format!("{{cloudInit: {{sshKeys: [\"{key}\"]}}}}");
    let table = [
        ("{name: web-7}", "name: web-7"),
        ("{name: null}", "name: -"),
        (
            "{cpu: {cores: 4, sockets: 2, vcpus: 6, limit: 1.5, units: 200, numa: true}}",
            "cores: 4; cpulimit: 1.5; cpuunits: 200; numa: 1; sockets: 2; vcpus: 6",
        ),
        (
            "{cpu: {type: host, flags: [+aes, -pcid], hidden: true, physBits: \"40\", guestPhysBits: 39, hvVendorId: abc, level: 30, reportedModel: kvm64}}",
            "cpu: cputype=host,flags=+aes;-pcid,guest-phys-bits=39,hidden=1,hv-vendor-id=abc,level=30,phys-bits=40,reported-model=kvm64",
        ),
        ("{cpu: {type: null, flags: null}}", "cpu: -cputype,-flags"),
        (
            "{memory: {size: 8Gi, balloon: 0Mi, shares: 500, allowKsm: false}}",
            "allow-ksm: 0; balloon: 0; memory: 8192; shares: 500",
        ),
        (
            "{numaNodes: {numa0: {cpus: [0-3, \"6\"], hostNodes: [\"0\"], memory: 2Gi, policy: bind}}}",
            "numa0: cpus=0-3;6,hostnodes=0,memory=2048,policy=bind",
        ),
        (
            "{machine: {type: q35, viommu: intel, awBits: 48, enableS3: false, enableS4: false}}",
            "machine: aw-bits=48,enable-s3=0,enable-s4=0,type=q35,viommu=intel",
        ),
        ("{machine: null}", "machine: -"),
        (
            "{bios: ovmf, osType: win11, scsiController: virtio-scsi-single}",
            "bios: ovmf; ostype: win11; scsihw: virtio-scsi-single",
        ),
        ("{bootOrder: [scsi0, net0]}", "boot: order=scsi0;net0"),
        (
            "{agent: {enabled: true, freezeFilesystems: false, trimClonedDisks: true, type: isa}}",
            "agent: enabled=1,freeze-fs=0,fstrim_cloned_disks=1,type=isa",
        ),
        (
            "{networks: {net0: {model: virtio, mac: \"bc:24:11:00:00:07\", bridge: vmbr0, vlan: 20, trunks: [\"7\", 100-120], firewall: true, rate: 12.5, queues: 4, mtu: 1, linkDown: true}, net1: null}}",
            "net0: bridge=vmbr0,firewall=1,link_down=1,macaddr=BC:24:11:00:00:07,model=virtio,mtu=1,queues=4,rate=12.5,tag=20,trunks=7;100-120; net1: -",
        ),
        ("{networks: {net0: {vlan: null}}}", "net0: -tag"),
        (
            "{display: {type: qxl, memory: 32Mi, clipboard: vnc}}",
            "vga: clipboard=vnc,memory=32,type=qxl",
        ),
        ("{serialPorts: {serial0: socket}}", "serial0: socket"),
        (
            "{usb: {usb0: {mapping: stick, usb3: true}, usb1: {spice: true}}}",
            "usb0: mapping=stick,usb3=1; usb1: host=spice",
        ),
        (
            "{pci: {hostpci0: {mapping: gpu1, mdev: nvidia-1, pcie: true, rombar: false, primaryGpu: true, legacyIgd: false, driver: vfio, deviceId: \"0x1AF4\", vendorId: \"0x10de\", subDeviceId: \"0x0001\", subVendorId: \"0x0002\"}}}",
            "hostpci0: device-id=0x1af4,driver=vfio,legacy-igd=0,mapping=gpu1,mdev=nvidia-1,pcie=1,rombar=0,sub-device-id=0x0001,sub-vendor-id=0x0002,vendor-id=0x10de,x-vga=1",
        ),
        (
            "{virtiofs: {virtiofs0: {mapping: share, cache: never, directIo: true, exposeAcl: true, exposeXattr: true}}}",
            "virtiofs0: cache=never,direct-io=1,dirid=share,expose-acl=1,expose-xattr=1",
        ),
        (
            "{rng: {source: /dev/urandom, maxBytes: 0, period: 500}}",
            "rng0: max_bytes=0,period=500,source=/dev/urandom",
        ),
        (
            "{audio: {device: AC97, driver: none}, watchdog: {model: ib700, action: reset}}",
            "audio0: device=AC97,driver=none; watchdog: action=reset,model=ib700",
        ),
        (
            "{smbios: {serial: A1, family: null}}",
            "smbios1: base64=1,serial=QTE=,-family",
        ),
        ("{hotplug: [usb, disk]}", "hotplug: disk,usb"),
        ("{hotplug: []}", "hotplug: 0"),
        (
            "{startup: {order: 3, up: 30, down: 60}}",
            "startup: down=60,order=3,up=30",
        ),
        (
            "{onBoot: true, protection: false, tablet: false, kvm: true, acpi: true, localTime: true, freeze: false, timeDriftFix: true}",
            "acpi: 1; freeze: 0; kvm: 1; localtime: 1; onboot: 1; protection: 0; tablet: 0; tdf: 1",
        ),
        (
            "{tags: [web, prod], description: \"a\\nb\\n\"}",
            "description: a\nb; tags: prod;web",
        ),
        (
            "{startDate: now, keyboard: \"no\", migrateDowntime: 0.5, migrateSpeed: 100, vmStateStorage: ceph}",
            "keyboard: no; migrate_downtime: 0.5; migrate_speed: 100; startdate: now; vmstatestorage: ceph",
        ),
        (
            "{extraConfig: {future: \"1\", other: null}}",
            "future: 1; other: -",
        ),
        (
            "{cloudInit: {user: admin, passwordFrom: {fromFile: /s}, nameservers: [192.0.2.1, 192.0.2.2], searchDomain: x.org, upgrade: false, type: nocloud, ipConfigs: {ipconfig0: {ip: dhcp, ip6: auto}, ipconfig1: {ip: 192.0.2.7/24, gateway: 192.0.2.1, ip6: \"2001:db8::7/64\", gateway6: \"2001:db8::1\"}}, custom: {user: \"local:snippets/u\", network: \"local:snippets/n\", meta: \"local:snippets/m\", vendor: \"local:snippets/v\"}}}",
            "cicustom: meta=local:snippets/m,network=local:snippets/n,user=local:snippets/u,vendor=local:snippets/v; cipassword: secret file /s; citype: nocloud; ciupgrade: 0; ciuser: admin; ipconfig0: ip=dhcp,ip6=auto; ipconfig1: gw=192.0.2.1,gw6=2001:db8::1,ip=192.0.2.7/24,ip6=2001:db8::7/64; nameserver: 192.0.2.1 192.0.2.2; searchdomain: x.org",
        ),
        (
            cloud.as_str(),
            "sshkeys: ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIExample%20a%2Bb%40x",
        ),
        (
            "{description: \"\", extraConfig: {x: \"\"}}",
            "description: -; x: -",
        ),
        ("{agent: {}, smbios: {}, networks: {net0: {}}}", ""),
        ("{}", ""),
    ];
    for (spec, expected) in table {
        assert_eq!(
            options(&guest("VirtualMachine", spec).options),
            expected,
            "{spec}"
        );
    }
}

#[test]
fn a_guest_that_is_asked_for_little_is_asked_for_nothing_else() {
    let guest = guest(
        "VirtualMachine",
        "{vmid: 120, node: pve1, pool: null, powerState: stopped}",
    );
    assert_eq!(guest.name_on_create, "thing");
    assert_eq!(guest.vmid.unwrap().get(), 120);
    assert_eq!(guest.node.unwrap().as_str(), "pve1");
    assert_eq!(guest.pool, Some(Wish::Remove));
    assert_eq!(guest.power, Some(Power::Stopped));
    assert!(guest.options.is_empty() && guest.disks.is_empty() && guest.create_only.is_empty());
}

#[test]
fn disks_of_a_virtual_machine() {
    let guest = guest(
        "VirtualMachine",
        "{disks: {scsi0: {storage: ceph, size: 32Gi, format: raw, importFrom: \"local:import/d.qcow2\", cache: none, discard: true, iothread: true, ssd: true, backup: false, replicate: false, readOnly: false, aio: native, detectZeroes: true, snapshot: false, shared: false, serial: a b, vendor: QEMU, product: disk, wwn: \"0x50014EE2B5E6A7F8\", readError: stop, writeError: enospc, queues: 4, scsiBlock: false, limits: {megabytes: 12.5, iopsBurst: 100, bytes: 7, burstSeconds: 2}}, \
          sata0: {volume: \"ceph:vm-1-disk-0\", cache: null, discard: false}, virtio1: null, ide0: {model: m}}, \
          cdroms: {ide2: {iso: \"local:iso/a.iso\"}, ide3: {empty: true}}, efiDisk: {storage: ceph, type: 4m, preEnrolledKeys: true}, tpmState: {storage: ceph, version: v2.0}, cloudInit: {drive: {slot: sata5, storage: ceph, format: raw}}}",
    );
    let slots: Vec<&str> = guest.disks.keys().map(|slot| slot.as_str()).collect();
    assert_eq!(
        slots,
        [
            "efidisk0",
            "ide0",
            "ide2",
            "ide3",
            "sata0",
            "sata5",
            "scsi0",
            "tpmstate0",
            "virtio1"
        ]
    );
    let disk = |slot: &str| match &guest.disks[&slot.parse().unwrap()] {
        Wish::Set(disk) => disk.clone(),
        Wish::Remove => panic!("{slot} is removed"),
    };
    let scsi0 = disk("scsi0");
    assert_eq!(scsi0.size.unwrap().0, 32 << 30);
    assert_eq!(
        (scsi0.storage.unwrap().as_str(), scsi0.format.as_deref()),
        ("ceph", Some("raw"))
    );
    assert_eq!(
        scsi0.import_from.unwrap().to_string(),
        "local:import/d.qcow2"
    );
    let line: Vec<_> = scsi0
        .options
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    assert_eq!(
        line.join(","),
        "aio=native,backup=0,bps=7,bps_max_length=2,cache=none,detect_zeroes=1,discard=on,iops_max=100,iothread=1,mbps=12.5,product=disk,queues=4,replicate=0,rerror=stop,ro=0,scsiblock=0,serial=a%20b,shared=0,snapshot=0,ssd=1,vendor=QEMU,werror=enospc,wwn=0x50014ee2b5e6a7f8"
    );
    let sata0 = disk("sata0");
    assert_eq!(sata0.volume.unwrap().to_string(), "ceph:vm-1-disk-0");
    assert_eq!(sata0.options["discard"], "ignore");
    assert!(sata0.remove_options.contains("cache") && sata0.size.is_none());
    assert_eq!(guest.disks[&"virtio1".parse().unwrap()], Wish::Remove);
    assert_eq!(
        (disk("ide2").media, disk("ide2").empty),
        (Media::Cdrom, false)
    );
    assert_eq!(
        (disk("ide3").media, disk("ide3").empty),
        (Media::Cdrom, true)
    );
    assert_eq!(disk("efidisk0").options["efitype"], "4m");
    assert_eq!(disk("efidisk0").options["pre-enrolled-keys"], "1");
    assert_eq!(disk("tpmstate0").options["version"], "v2.0");
    assert_eq!(disk("sata5").media, Media::CloudInit);
    // Every option a cloud-init drive has is in the slot, and none is in the options of the machine.
    assert!(guest.options.is_empty(), "{:?}", guest.options);
}

#[test]
fn options_of_a_container() {
    let table = [
        (
            "{hostname: a.example.org, osType: debian, arch: amd64, cores: 2, cpuLimit: 0.5, cpuUnits: 50, memory: 2Gi, swap: 0Mi}",
            "arch: amd64; cores: 2; cpulimit: 0.5; cpuunits: 50; hostname: a.example.org; memory: 2048; ostype: debian; swap: 0",
        ),
        (
            "{networks: {net0: {name: eth0, mac: \"bc:24:11:00:00:07\", bridge: vmbr0, ip: dhcp, gateway: null, ip6: auto, gateway6: \"fe80::1\", vlan: 3, trunks: [\"4\", \"5\"], firewall: true, rate: 1, mtu: 1400, linkDown: false, hostManaged: true}}}",
            "net0: bridge=vmbr0,firewall=1,gw6=fe80::1,host-managed=1,hwaddr=BC:24:11:00:00:07,ip=dhcp,ip6=auto,link_down=0,mtu=1400,name=eth0,rate=1,tag=3,trunks=4;5,-gw",
        ),
        (
            "{nameservers: [192.0.2.1], searchDomain: x.org, features: {nesting: true}, consoleMode: shell, console: true, tty: 1, debug: false}",
            "cmode: shell; console: 1; debug: 0; features: nesting=1; nameserver: 192.0.2.1; searchdomain: x.org; tty: 1",
        ),
        (
            "{startup: null, onBoot: null, protection: true, tags: null, description: null, timezone: host, entrypoint: /init x, env: {B: \"2\", A: \"1\"}}",
            "description: -; entrypoint: /init x; env: A=1\0B=2; onboot: -; protection: 1; startup: -; tags: -; timezone: host",
        ),
    ];
    for (spec, expected) in table {
        assert_eq!(
            options(&guest("Container", spec).options),
            expected,
            "{spec}"
        );
    }
}

#[test]
fn volumes_and_creation_of_a_container() {
    let guest = guest(
        "Container",
        "{template: \"local:vztmpl/a\", unprivileged: true, passwordFrom: {fromEnv: P}, sshKeys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample], rootFs: {storage: ceph, size: 8Gi, acl: true, quota: false, mountOptions: [noatime, discard]}, \
          mountPoints: {mp0: {storage: ceph, size: 1Gi, path: /srv, backup: true, readOnly: true, replicate: false, shared: false, idMap: passthrough, keepAttributes: true}, mp1: null}}",
    );
    let created: Vec<_> = guest
        .create_only
        .iter()
        .map(|(k, v)| format!("{k}: {}", shown(&Wish::Set(v.clone()))))
        .collect();
    assert_eq!(
        created,
        [
            "ostemplate: local:vztmpl/a",
            "password: secret env P",
            "ssh-public-keys: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample",
            "unprivileged: 1"
        ]
    );
    assert!(guest.options.is_empty());
    let slots: Vec<_> = guest
        .disks
        .iter()
        .map(|(slot, wish)| match wish {
            Wish::Remove => format!("{slot}: -"),
            Wish::Set(disk) => {
                let options: Vec<_> = disk
                    .options
                    .iter()
                    .map(|(k, v)| format!("{k}={v}"))
                    .collect();
                format!(
                    "{slot}: {} {} {}",
                    disk.storage.as_ref().unwrap(),
                    disk.size.unwrap().human(),
                    options.join(",")
                )
            }
        })
        .collect();
    assert_eq!(
        slots,
        [
            "mp0: ceph 1 GiB backup=1,idmap=passthrough,keepattrs=1,mp=/srv,replicate=0,ro=1,shared=0",
            "mp1: -",
            "rootfs: ceph 8 GiB acl=1,mountoptions=discard;noatime,quota=0",
        ]
    );
}

#[test]
fn storages_and_pools() {
    let Desired::Storage(storage) = desired(
        "Storage",
        "{id: backup_main, type: pbs, server: pbs.example.org, datastore: main, port: 8007, username: a@pbs, passwordFrom: {fromFile: /p}, encryptionKeyFrom: {fromFile: /k}, masterPublicKeyFrom: {fromFile: /m}, fingerprint: null, namespace: x, content: [rootdir, images, backup], nodes: [pve2, pve1], disable: false, maxProtectedBackups: -1, pruneBackups: {keepDaily: 7, keepLast: null}, bandwidthLimit: {default: 1000, move: 0}}",
    ) else {
        panic!()
    };
    assert_eq!(
        (storage.id.as_str(), storage.storage_type.as_deref()),
        ("backup_main", Some("pbs"))
    );
    assert_eq!(
        options(&storage.options),
        "bwlimit: default=1000,move=0; content: backup,images,rootdir; datastore: main; disable: 0; encryption-key: secret file /k; fingerprint: -; master-pubkey: secret file /m; max-protected-backups: -1; namespace: x; nodes: pve1,pve2; password: secret file /p; port: 8007; prune-backups: keep-daily=7,-keep-last; server: pbs.example.org; username: a@pbs"
    );
    let Desired::Pool(pool) = desired("Pool", "{comment: null, guests: [121, 120], storages: []}")
    else {
        panic!()
    };
    assert_eq!(pool.id.as_str(), "thing");
    assert_eq!(pool.comment, Some(Wish::Remove));
    assert_eq!(pool.guests.unwrap().len(), 2);
    assert!(pool.storages.unwrap().is_empty());
}

/// Each field of `Storage` is named once with its key: the table is the schema's own, against the macro's translation.
#[test]
fn every_field_of_a_storage_arrives_under_its_key() {
    for (name, field) in schema::schema(Kind::Storage)["properties"]["spec"]["properties"]
        .as_object()
        .unwrap()
    {
        let Some(key) = field["x-proxmox-key"].as_str() else {
            continue;
        };
        if ["storage", "type"].contains(&key) {
            continue;
        }
        let Desired::Storage(storage) = desired("Storage", &format!("{{{name}: null}}")) else {
            panic!()
        };
        assert_eq!(storage.options.get(key), Some(&Wish::Remove), "{name}");
        assert_eq!(storage.options.len(), 1);
    }
}

#[test]
fn backup_jobs() {
    let spec = "{schedule: 'sat 03:00', guests: [301, 104], pruneBackups: {keepLast: 3, keepDaily: null}, fleecing: {enabled: true, storage: fast}, \
        excludePaths: [/var/cache/*, '/a;b'], comment: null, mailTo: [root, anna@example.org], bandwidthLimit: 1000, extraConfig: {future: x}}";
    let Desired::BackupJob(job) = desired("BackupJob", spec) else {
        panic!()
    };
    let plain = |key: &str| match &job.options[key] {
        Wish::Set(Value::Plain(text)) => text.clone(),
        other => panic!("{key}: {other:?}"),
    };
    assert_eq!(plain("vmid"), "104,301");
    assert_eq!(plain("exclude-path"), "/var/cache/*\n/a;b");
    assert_eq!(plain("mailto"), "anna@example.org,root");
    assert_eq!(
        (plain("bwlimit"), plain("future")),
        ("1000".to_owned(), "x".to_owned())
    );
    assert_eq!(job.options["comment"], Wish::Remove);
    let Wish::Set(Value::Properties { set, remove }) = &job.options["prune-backups"] else {
        panic!()
    };
    assert_eq!(set["keep-last"], "3");
    let gone: Vec<&str> = remove.iter().map(String::as_str).collect();
    assert_eq!(gone, ["keep-all", "keep-daily"]);
    assert_eq!(job.options.len(), 9);
}
