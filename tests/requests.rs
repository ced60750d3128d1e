//! The call of every action, as it goes over the wire, and against the API schema.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bailiwick::apply::requests::{Request, Unsendable, request_for};
use bailiwick::document::desired::{Download, ImageSource, Pull, SecretRef, SetElement};
use bailiwick::ids::{AclSubject, Bytes, GuestKind, NodeName, Slot};
use bailiwick::proxmox::ServedApi;
use bailiwick::world::testing::{node, storage_id, vmid, volume};
use bailiwick::world::{
    AccountAction, Action, FirewallAction, Param, Params, PowerAction, RuleList, Site,
};
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use GuestKind::{Lxc, Qemu};

fn params(list: &[(&str, &str)]) -> Params {
    list.iter()
        .map(|(key, value)| ((*key).to_owned(), Param::Plain((*value).to_owned())))
        .collect()
}

fn words(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

fn slot(name: &str) -> Slot {
    Slot::new(name).unwrap()
}

fn request(action: &Action) -> Result<Request, Unsendable> {
    let pve1: NodeName = node("pve1");
    request_for(action, &pve1, Some("d1ge57"), &|from, _| match from {
        SecretRef::FromFile(_) => Ok(Zeroizing::new("s3cret".to_owned())),
        SecretRef::FromEnv(_) => Err("it is not set".to_owned()),
    })
}

/// `POST /nodes/pve1/qemu vmid=9000 …  (qmcreate 9000)`.
fn line(request: &Request) -> String {
    let call = &request.call;
    let mut line = format!("{} {}", call.method.as_str(), call.path);
    for (key, value) in &call.params {
        line.push_str(&format!(" {key}={}", value.shown()));
    }
    if let Some((kind, id)) = &request.task {
        line.push_str(&format!(" ({kind} {id})"));
    }
    line
}

/// Every variant, for both kinds of guests where they differ, and what is sent for it.
#[allow(clippy::too_many_lines)] // a table
fn source(decompression: Option<&str>, verify_certificates: bool) -> ImageSource {
    ImageSource::Url(Download {
        url: "https://images.example.org/rescue-13.iso".to_owned(),
        algorithm: "md5".to_owned(),
        checksum: "0123456789abcdef".repeat(2),
        decompression: decompression.map(str::to_owned),
        verify_certificates,
    })
}

fn table() -> Vec<(Action, &'static str)> {
    let power = |kind, power| Action::SetPower {
        kind,
        vmid: vmid(104),
        power,
    };
    let moved = |kind, name: &str, format: Option<&str>| Action::MoveDisk {
        kind,
        vmid: vmid(104),
        slot: slot(name),
        volume: volume("fast:vm-104-disk-0"),
        to: storage_id("slow"),
        format: format.map(str::to_owned),
    };
    let migrate = |kind, running, disks, map: &[(&str, &str)]| Action::Migrate {
        kind,
        vmid: vmid(104),
        from: node("pve1"),
        to: node("pve2"),
        running,
        with_local_disks: disks,
        target_storage: map
            .iter()
            .map(|(from, to)| (storage_id(from), storage_id(to)))
            .collect(),
    };
    let pool =
        |comment: Option<&str>, add: &[u32], remove: &[u32], more: &[&str], less: &[&str]| {
            Action::UpdatePool {
                id: "prod/web".parse().unwrap(),
                comment: comment.map(str::to_owned),
                guests_add: add.iter().map(|n| vmid(*n)).collect(),
                guests_remove: remove.iter().map(|n| vmid(*n)).collect(),
                storages_add: more.iter().map(|s| storage_id(s)).collect(),
                storages_remove: less.iter().map(|s| storage_id(s)).collect(),
            }
        };
    vec![
        (
            Action::CreateGuest {
                kind: Qemu,
                vmid: vmid(9000),
                node: node("pve2"),
                pool: Some("prod/web".parse().unwrap()),
                params: params(&[("memory", "2048"), ("scsi0", "ceph-vm:32,iothread=1")]),
            },
            "POST /nodes/pve2/qemu vmid=9000 pool=prod/web memory=2048 scsi0=ceph-vm:32,iothread=1 (qmcreate 9000)",
        ),
        (
            Action::CreateGuest {
                kind: Lxc,
                vmid: vmid(9001),
                node: node("pve1"),
                pool: None,
                params: params(&[
                    ("ostemplate", "local:vztmpl/debian-13.tar.zst"),
                    ("hostname", "x"),
                ]),
            },
            "POST /nodes/pve1/lxc vmid=9001 hostname=x ostemplate=local:vztmpl/debian-13.tar.zst (vzcreate 9001)",
        ),
        (
            Action::CloneGuest {
                kind: Qemu,
                vmid: vmid(9002),
                source: vmid(9000),
                snapshot: None,
                node: node("pve2"),
                pool: Some("prod/web".parse().unwrap()),
                name: "copy".to_owned(),
                full: true,
                storage: Some(storage_id("slow")),
                format: Some("qcow2".to_owned()),
            },
            "POST /nodes/pve2/qemu/9000/clone newid=9002 name=copy full=1 pool=prod/web storage=slow format=qcow2 (qmclone 9000)",
        ),
        (
            Action::CloneGuest {
                kind: Lxc,
                vmid: vmid(9003),
                source: vmid(9001),
                snapshot: None,
                node: node("pve1"),
                pool: None,
                name: "copy".to_owned(),
                full: false,
                storage: None,
                format: None,
            },
            "POST /nodes/pve1/lxc/9001/clone newid=9003 hostname=copy full=0 (vzclone 9001)",
        ),
        (
            Action::CloneGuest {
                kind: Lxc,
                vmid: vmid(9003),
                source: vmid(9001),
                snapshot: Some("clean".parse().unwrap()),
                node: node("pve1"),
                pool: None,
                name: "copy".to_owned(),
                full: true,
                storage: None,
                format: None,
            },
            "POST /nodes/pve1/lxc/9001/clone newid=9003 hostname=copy full=1 snapname=clean (vzclone 9001)",
        ),
        (
            Action::RestoreGuest {
                kind: Qemu,
                vmid: vmid(9004),
                node: node("pve2"),
                pool: Some("prod/web".parse().unwrap()),
                archive: volume("vault:backup/vzdump-qemu-104-2026_11_01-03_00_00.vma.zst"),
                storage: Some(storage_id("slow")),
                unique: true,
                config: BTreeMap::from([("memory".to_owned(), "2048".to_owned())]),
            },
            "POST /nodes/pve2/qemu vmid=9004 archive=vault:backup/vzdump-qemu-104-2026_11_01-03_00_00.vma.zst pool=prod/web storage=slow unique=1 (qmrestore 9004)",
        ),
        (
            Action::RestoreGuest {
                kind: Lxc,
                vmid: vmid(9005),
                node: node("pve1"),
                pool: None,
                archive: volume("vault:backup/vzdump-lxc-301-2026_11_01-03_00_00.tar.zst"),
                storage: Some(storage_id("slow")),
                unique: false,
                config: BTreeMap::new(),
            },
            "POST /nodes/pve1/lxc vmid=9005 ostemplate=vault:backup/vzdump-lxc-301-2026_11_01-03_00_00.tar.zst restore=1 storage=slow (vzrestore 9005)",
        ),
        (
            Action::ConvertToTemplate {
                kind: Qemu,
                vmid: vmid(104),
            },
            "POST /nodes/pve1/qemu/104/template (qmtemplate 104)",
        ),
        (
            Action::ConvertToTemplate {
                kind: Lxc,
                vmid: vmid(104),
            },
            "POST /nodes/pve1/lxc/104/template",
        ),
        (
            Action::RegenerateCloudInit { vmid: vmid(104) },
            "PUT /nodes/pve1/qemu/104/cloudinit",
        ),
        (
            Action::UpdateConfig {
                kind: Qemu,
                vmid: vmid(104),
                set: [
                    ("memory".to_owned(), Param::Plain("2048".to_owned())),
                    (
                        "cipassword".to_owned(),
                        Param::Secret {
                            from: SecretRef::FromFile("secret".to_owned()),
                            fingerprint: "f".to_owned(),
                        },
                    ),
                ]
                .into(),
                delete: words(&["balloon", "description"]),
            },
            "POST /nodes/pve1/qemu/104/config cipassword=******** memory=2048 delete=balloon,description digest=d1ge57 (qmconfig 104)",
        ),
        (
            Action::UpdateConfig {
                kind: Lxc,
                vmid: vmid(301),
                set: params(&[("memory", "2048")]),
                delete: BTreeSet::new(),
            },
            "PUT /nodes/pve1/lxc/301/config memory=2048 digest=d1ge57",
        ),
        (
            Action::ResizeDisk {
                kind: Qemu,
                vmid: vmid(104),
                slot: slot("scsi0"),
                from: Bytes(1),
                to: Bytes(33 * Bytes::GIB),
            },
            "PUT /nodes/pve1/qemu/104/resize disk=scsi0 size=33G digest=d1ge57 (resize 104)",
        ),
        (
            Action::ResizeDisk {
                kind: Lxc,
                vmid: vmid(301),
                slot: slot("mp0"),
                from: Bytes(1),
                to: Bytes(1536 * Bytes::MIB),
            },
            "PUT /nodes/pve1/lxc/301/resize disk=mp0 size=1536M digest=d1ge57 (resize 301)",
        ),
        (
            moved(Qemu, "scsi0", Some("qcow2")),
            "POST /nodes/pve1/qemu/104/move_disk disk=scsi0 storage=slow delete=1 format=qcow2 digest=d1ge57 (qmmove 104)",
        ),
        (
            moved(Lxc, "mp0", Some("raw")),
            "POST /nodes/pve1/lxc/104/move_volume volume=mp0 storage=slow delete=1 digest=d1ge57 (move_volume 104)",
        ),
        (
            Action::DetachDisk {
                kind: Qemu,
                vmid: vmid(104),
                slot: slot("scsi1"),
                volume: volume("fast:vm-104-disk-1"),
            },
            "POST /nodes/pve1/qemu/104/config delete=scsi1 digest=d1ge57 (qmconfig 104)",
        ),
        (
            Action::FreeDisk {
                kind: Lxc,
                vmid: vmid(301),
                slot: slot("unused0"),
                volume: volume("fast:vm-301-disk-1"),
            },
            "PUT /nodes/pve1/lxc/301/config delete=unused0 digest=d1ge57",
        ),
        (
            power(Qemu, PowerAction::Start),
            "POST /nodes/pve1/qemu/104/status/start (qmstart 104)",
        ),
        (
            power(Lxc, PowerAction::Stop),
            "POST /nodes/pve1/lxc/104/status/stop (vzstop 104)",
        ),
        (
            power(Qemu, PowerAction::Shutdown { timeout: 60 }),
            "POST /nodes/pve1/qemu/104/status/shutdown timeout=60 (qmshutdown 104)",
        ),
        (
            power(Lxc, PowerAction::Reboot { timeout: 90 }),
            "POST /nodes/pve1/lxc/104/status/reboot timeout=90 (vzreboot 104)",
        ),
        (
            Action::SetHaState {
                kind: Qemu,
                vmid: vmid(112),
                state: "stopped".to_owned(),
                before: "started".to_owned(),
            },
            "PUT /cluster/ha/resources/vm:112 state=stopped",
        ),
        (
            Action::RemoveHaResource {
                kind: Lxc,
                vmid: vmid(305),
            },
            "DELETE /cluster/ha/resources/ct:305",
        ),
        (
            migrate(Qemu, true, true, &[("fast", "slow"), ("more", "less")]),
            "POST /nodes/pve1/qemu/104/migrate target=pve2 online=1 with-local-disks=1 targetstorage=fast:slow,more:less (qmigrate 104)",
        ),
        (
            migrate(Qemu, false, false, &[]),
            "POST /nodes/pve1/qemu/104/migrate target=pve2 (qmigrate 104)",
        ),
        (
            migrate(Lxc, true, false, &[("fast", "slow")]),
            "POST /nodes/pve1/lxc/104/migrate target=pve2 restart=1 target-storage=fast:slow (vzmigrate 104)",
        ),
        (
            Action::DestroyGuest {
                kind: Qemu,
                vmid: vmid(104),
                purge: true,
            },
            "DELETE /nodes/pve1/qemu/104 purge=1 (qmdestroy 104)",
        ),
        (
            Action::DestroyGuest {
                kind: Lxc,
                vmid: vmid(301),
                purge: false,
            },
            "DELETE /nodes/pve1/lxc/301 (vzdestroy 301)",
        ),
        (
            Action::CreateStorage {
                id: storage_id("fast"),
                storage_type: "zfspool".to_owned(),
                params: params(&[("pool", "rpool/fast"), ("content", "images,rootdir")]),
            },
            "POST /storage content=images,rootdir pool=rpool/fast storage=fast type=zfspool",
        ),
        (
            Action::UpdateStorage {
                id: storage_id("fast"),
                set: params(&[("content", "images")]),
                delete: words(&["nodes", "sparse"]),
            },
            "PUT /storage/fast content=images delete=nodes,sparse digest=d1ge57",
        ),
        (
            Action::DeleteStorage {
                id: storage_id("fast"),
            },
            "DELETE /storage/fast",
        ),
        (
            Action::DeleteVolume {
                node: node("pve2"),
                volume: volume("nfs:104/vm-104-disk-0.qcow2"),
            },
            "DELETE /nodes/pve2/storage/nfs/content/nfs:104%2Fvm-104-disk-0.qcow2 (imgdel 104@nfs)",
        ),
        (
            Action::DownloadImage {
                node: node("pve1"),
                volume: volume("local:iso/rescue-13.iso"),
                source: source(Some("gz"), false),
            },
            "POST /nodes/pve1/storage/local/download-url content=iso filename=rescue-13.iso url=https://images.example.org/rescue-13.iso checksum-algorithm=md5 checksum=0123456789abcdef0123456789abcdef compression=gz verify-certificates=0 (download rescue-13.iso)",
        ),
        (
            Action::DownloadImage {
                node: node("pve1"),
                volume: volume("local:vztmpl/nginx_1.29.tar"),
                source: ImageSource::Registry(Pull {
                    reference: "docker.io/library/nginx:1.29".to_owned(),
                }),
            },
            "POST /nodes/pve1/storage/local/oci-registry-pull reference=docker.io/library/nginx:1.29 filename=nginx_1.29",
        ),
        (
            Action::DeleteImage {
                node: node("pve1"),
                volume: volume("local:iso/rescue-13.iso"),
                source: Some(source(None, true)),
            },
            "DELETE /nodes/pve1/storage/local/content/local:iso%2Frescue-13.iso (imgdel local)",
        ),
        (
            Action::CreatePool {
                id: "prod/web".parse().unwrap(),
                comment: Some("web tier".to_owned()),
            },
            "POST /pools poolid=prod/web comment=web tier",
        ),
        (
            pool(Some("c"), &[101, 102], &[], &["fast"], &[]),
            "PUT /pools poolid=prod/web comment=c vms=101,102 storage=fast allow-move=1",
        ),
        (
            pool(None, &[], &[101], &[], &["fast", "slow"]),
            "PUT /pools poolid=prod/web vms=101 storage=fast,slow delete=1",
        ),
        (
            Action::DeletePool {
                id: "prod/web".parse().unwrap(),
            },
            "DELETE /pools poolid=prod/web",
        ),
        (
            Action::CreateBackupJob {
                id: "nightly".parse().unwrap(),
                params: params(&[
                    ("schedule", "02:00"),
                    ("storage", "nas"),
                    ("vmid", "104,301"),
                    ("prune-backups", "keep-last=3"),
                    ("exclude-path", "/var/cache/*\n/tmp/a;b"),
                    ("fleecing", "enabled=1,storage=fast"),
                    ("notes-template", "{{guestname}}"),
                    ("compress", "zstd"),
                ]),
            },
            "POST /cluster/backup id=nightly exclude-path=/var/cache/* exclude-path=/tmp/a;b compress=zstd fleecing=enabled=1,storage=fast notes-template={{guestname}} prune-backups=keep-last=3 schedule=02:00 storage=nas vmid=104,301",
        ),
        (
            Action::UpdateBackupJob {
                id: "nightly".parse().unwrap(),
                set: params(&[("pool", "prod"), ("enabled", "0")]),
                delete: words(&["all", "exclude"]),
            },
            "PUT /cluster/backup/nightly enabled=0 pool=prod delete=all,exclude",
        ),
        (
            Action::DeleteBackupJob {
                id: "nightly".parse().unwrap(),
            },
            "DELETE /cluster/backup/nightly",
        ),
        (
            Action::TakeSnapshot {
                kind: Qemu,
                vmid: vmid(104),
                name: "before".parse().unwrap(),
                description: Some("a\nb".to_owned()),
                memory: true,
            },
            "POST /nodes/pve1/qemu/104/snapshot snapname=before description=a\nb vmstate=1 (qmsnapshot 104)",
        ),
        (
            Action::DescribeSnapshot {
                kind: Lxc,
                vmid: vmid(301),
                name: "before".parse().unwrap(),
                description: String::new(),
            },
            "PUT /nodes/pve1/lxc/301/snapshot/before/config description=",
        ),
        (
            Action::DeleteSnapshot {
                kind: Lxc,
                vmid: vmid(301),
                name: "before".parse().unwrap(),
            },
            "DELETE /nodes/pve1/lxc/301/snapshot/before (vzdelsnapshot 301)",
        ),
        (
            Action::CreateReplicationJob {
                id: "104-0".parse().unwrap(),
                target: "pve2".parse().unwrap(),
                params: params(&[("schedule", "*/30"), ("rate", "12.5"), ("disable", "1")]),
            },
            "POST /cluster/replication id=104-0 type=local target=pve2 disable=1 rate=12.5 schedule=*/30",
        ),
        (
            Action::UpdateReplicationJob {
                id: "104-0".parse().unwrap(),
                set: params(&[("schedule", "22:00")]),
                delete: words(&["comment", "rate"]),
            },
            "PUT /cluster/replication/104-0 schedule=22:00 delete=comment,rate",
        ),
        (
            Action::DeleteReplicationJob {
                id: "104-0".parse().unwrap(),
            },
            "DELETE /cluster/replication/104-0",
        ),
        (
            Action::BackUpGuest {
                kind: Qemu,
                vmid: vmid(104),
                node: node("pve1"),
                storage: storage_id("nas"),
                notes: "bailiwick: safety copy of vm/104, kept for 14d".to_owned(),
            },
            "POST /nodes/pve1/vzdump vmid=104 storage=nas mode=snapshot compress=zstd notes-template=bailiwick: safety copy of vm/104, kept for 14d protected=1 remove=0 (vzdump 104)",
        ),
        (
            Action::BackUpGuest {
                kind: Lxc,
                vmid: vmid(301),
                node: node("pve1"),
                storage: storage_id("nas"),
                notes: "bailiwick: safety copy of ct/301, kept for 36h".to_owned(),
            },
            "POST /nodes/pve1/vzdump vmid=301 storage=nas mode=snapshot compress=zstd notes-template=bailiwick: safety copy of ct/301, kept for 36h protected=1 remove=0 (vzdump 301)",
        ),
        (
            Action::ProtectBackup {
                node: node("pve1"),
                volume: volume("nas:backup/vzdump-qemu-104-2026_11_19-01_00_03.vma.zst"),
                protected: false,
            },
            "PUT /nodes/pve1/storage/nas/content/nas:backup%2Fvzdump-qemu-104-2026_11_19-01_00_03.vma.zst protected=0",
        ),
        (
            Action::DeleteBackup {
                node: node("pve1"),
                volume: volume("nas:backup/vzdump-qemu-104-2026_11_19-01_00_03.vma.zst"),
            },
            "DELETE /nodes/pve1/storage/nas/content/nas:backup%2Fvzdump-qemu-104-2026_11_19-01_00_03.vma.zst (imgdel 104@nas)",
        ),
    ]
}

/// Firewalls, whose calls are alike.
fn firewalls() -> Vec<(Action, &'static str)> {
    let of = |action: FirewallAction| Action::Firewall(action);
    let vnet = || Site::Vnet {
        vnet: "web".parse().unwrap(),
    };
    let machine = || Site::Guest {
        kind: Qemu,
        vmid: vmid(104),
    };
    let container = || Site::Guest {
        kind: Lxc,
        vmid: vmid(301),
    };
    let name = || "web".to_owned();
    let fields = |list: &[(&str, &str)]| -> BTreeMap<String, String> {
        let pairs = list.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let element = |cidr: &str, nomatch, comment: Option<&str>| SetElement {
        cidr: cidr.to_owned(),
        nomatch,
        comment: comment.map(str::to_owned),
    };
    vec![
        (
            of(FirewallAction::CreateAlias {
                site: Site::Cluster,
                name: name(),
                cidr: "10.20.0.0/16".to_owned(),
                comment: Some("offices".to_owned()),
            }),
            "POST /cluster/firewall/aliases name=web cidr=10.20.0.0/16 comment=offices",
        ),
        (
            of(FirewallAction::UpdateAlias {
                site: machine(),
                name: name(),
                cidr: "10.20.0.0/16".to_owned(),
                comment: None,
            }),
            "PUT /nodes/pve1/qemu/104/firewall/aliases/web cidr=10.20.0.0/16 digest=d1ge57",
        ),
        (
            of(FirewallAction::DeleteAlias {
                site: container(),
                name: name(),
            }),
            "DELETE /nodes/pve1/lxc/301/firewall/aliases/web digest=d1ge57",
        ),
        (
            of(FirewallAction::CreateIpSet {
                site: Site::Cluster,
                name: name(),
                comment: None,
            }),
            "POST /cluster/firewall/ipset name=web",
        ),
        (
            of(FirewallAction::DescribeIpSet {
                site: Site::Cluster,
                name: name(),
                comment: String::new(),
            }),
            "POST /cluster/firewall/ipset name=web rename=web comment=",
        ),
        (
            of(FirewallAction::AddIpSetEntry {
                site: machine(),
                name: name(),
                element: element("10.0.0.0/24", true, Some("room")),
            }),
            "POST /nodes/pve1/qemu/104/firewall/ipset/web cidr=10.0.0.0/24 nomatch=1 comment=room",
        ),
        (
            of(FirewallAction::UpdateIpSetEntry {
                site: Site::Cluster,
                name: name(),
                element: element("10.0.0.0/24", false, None),
            }),
            "PUT /cluster/firewall/ipset/web/10.0.0.0%2F24 nomatch=0 digest=d1ge57",
        ),
        (
            of(FirewallAction::RemoveIpSetEntry {
                site: Site::Cluster,
                name: name(),
                cidr: "dc/lan".to_owned(),
            }),
            "DELETE /cluster/firewall/ipset/web/dc%2Flan digest=d1ge57",
        ),
        (
            of(FirewallAction::DeleteIpSet {
                site: Site::Cluster,
                name: name(),
            }),
            "DELETE /cluster/firewall/ipset/web force=1",
        ),
        (
            of(FirewallAction::CreateGroup {
                name: name(),
                comment: Some("servers".to_owned()),
            }),
            "POST /cluster/firewall/groups group=web comment=servers",
        ),
        (
            of(FirewallAction::DescribeGroup {
                name: name(),
                comment: "other".to_owned(),
            }),
            "POST /cluster/firewall/groups group=web rename=web comment=other",
        ),
        (
            of(FirewallAction::DeleteGroup { name: name() }),
            "DELETE /cluster/firewall/groups/web",
        ),
        (
            of(FirewallAction::InsertRule {
                site: container(),
                list: RuleList::Rules,
                fields: fields(&[("type", "in"), ("action", "DROP"), ("enable", "1")]),
                length: 3,
            }),
            "POST /nodes/pve1/lxc/301/firewall/rules action=DROP enable=1 type=in",
        ),
        (
            of(FirewallAction::InsertRule {
                site: Site::Cluster,
                list: RuleList::Group(name()),
                fields: fields(&[("type", "in"), ("action", "DROP"), ("enable", "0")]),
                length: 0,
            }),
            "POST /cluster/firewall/groups/web action=DROP enable=0 type=in",
        ),
        (
            of(FirewallAction::UpdateRule {
                site: Site::Node { node: node("pve2") },
                list: RuleList::Rules,
                position: 2,
                set: fields(&[("dport", "443"), ("proto", "tcp")]),
                delete: words(&["comment", "macro"]),
            }),
            "PUT /nodes/pve2/firewall/rules/2 dport=443 proto=tcp delete=comment,macro digest=d1ge57",
        ),
        (
            of(FirewallAction::MoveRule {
                site: Site::Cluster,
                list: RuleList::Group(name()),
                from: 0,
                to: 4,
                rule: BTreeMap::new(),
            }),
            "PUT /cluster/firewall/groups/web/0 moveto=4 digest=d1ge57",
        ),
        (
            of(FirewallAction::DeleteRule {
                site: machine(),
                list: RuleList::Rules,
                position: 1,
                rule: BTreeMap::new(),
                length: 2,
            }),
            "DELETE /nodes/pve1/qemu/104/firewall/rules/1 digest=d1ge57",
        ),
        (
            of(FirewallAction::SetOptions {
                site: Site::Cluster,
                set: fields(&[("enable", "1"), ("policy_in", "DROP")]),
                delete: words(&["policy_out"]),
            }),
            "PUT /cluster/firewall/options enable=1 policy_in=DROP delete=policy_out digest=d1ge57",
        ),
        (
            of(FirewallAction::SetOptions {
                site: vnet(),
                set: fields(&[("policy_forward", "DROP")]),
                delete: words(&["enable"]),
            }),
            "PUT /cluster/sdn/vnets/web/firewall/options policy_forward=DROP delete=enable digest=d1ge57",
        ),
        (
            of(FirewallAction::MoveRule {
                site: vnet(),
                list: RuleList::Rules,
                from: 2,
                to: 0,
                rule: BTreeMap::new(),
            }),
            "PUT /cluster/sdn/vnets/web/firewall/rules/2 moveto=0 digest=d1ge57",
        ),
        (
            of(FirewallAction::BeginTrial {
                nodes: BTreeSet::new(),
            }),
            "PUT /cluster/firewall/options enable=2 digest=d1ge57",
        ),
        (
            of(FirewallAction::ConfirmTrial {
                nodes: BTreeSet::new(),
            }),
            "PUT /cluster/firewall/options enable=1 digest=d1ge57",
        ),
    ]
}

/// One word per variant; a new variant does not compile until it is here and, by the test below, in the table.
fn variant(action: &Action) -> &'static str {
    match action {
        Action::CreateGuest { .. } => "create guest",
        Action::CloneGuest { .. } => "clone guest",
        Action::RestoreGuest { .. } => "restore guest",
        Action::ConvertToTemplate { .. } => "convert to template",
        Action::UpdateConfig { .. } => "update config",
        Action::RegenerateCloudInit { .. } => "regenerate cloud-init",
        Action::ResizeDisk { .. } => "resize disk",
        Action::MoveDisk { .. } => "move disk",
        Action::DetachDisk { .. } => "detach disk",
        Action::FreeDisk { .. } => "free disk",
        Action::SetPower { .. } => "set power",
        Action::SetHaState { .. } => "set HA state",
        Action::RemoveHaResource { .. } => "remove HA resource",
        Action::Migrate { .. } => "migrate",
        Action::DestroyGuest { .. } => "destroy guest",
        Action::CreateStorage { .. } => "create storage",
        Action::UpdateStorage { .. } => "update storage",
        Action::DeleteStorage { .. } => "delete storage",
        Action::DeleteVolume { .. } => "delete volume",
        Action::DownloadImage { .. } => "download image",
        Action::DeleteImage { .. } => "delete image",
        Action::CreatePool { .. } => "create pool",
        Action::UpdatePool { .. } => "update pool",
        Action::DeletePool { .. } => "delete pool",
        Action::CreateBackupJob { .. } => "create backup job",
        Action::UpdateBackupJob { .. } => "update backup job",
        Action::DeleteBackupJob { .. } => "delete backup job",
        Action::TakeSnapshot { .. } => "take snapshot",
        Action::DescribeSnapshot { .. } => "describe snapshot",
        Action::DeleteSnapshot { .. } => "delete snapshot",
        Action::CreateReplicationJob { .. } => "create replication job",
        Action::UpdateReplicationJob { .. } => "update replication job",
        Action::DeleteReplicationJob { .. } => "delete replication job",
        Action::BackUpGuest { .. } => "back up guest",
        Action::ProtectBackup { .. } => "protect backup",
        Action::DeleteBackup { .. } => "delete backup",
        Action::Account(action) => action.word(),
        Action::Firewall(action) => action.word(),
    }
}

/// Of accounts.
fn accounts() -> Vec<(Action, &'static str)> {
    use AccountAction as Do;
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let roles = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
    let all = [
        (
            Do::CreateGroup {
                id: "ops".parse().unwrap(),
                comment: Some("on call".to_owned()),
            },
            "POST /access/groups groupid=ops comment=on call",
        ),
        (
            Do::UpdateGroup {
                id: "ops".parse().unwrap(),
                comment: String::new(),
            },
            "PUT /access/groups/ops comment=",
        ),
        (
            Do::DeleteGroup {
                id: "ops".parse().unwrap(),
            },
            "DELETE /access/groups/ops",
        ),
        (
            Do::CreateUser {
                id: "ann@pve".parse().unwrap(),
                params: params(&[("email", "ann@example.org"), ("groups", "dev,ops")]),
            },
            "POST /access/users userid=ann@pve email=ann@example.org groups=dev,ops",
        ),
        (
            Do::UpdateUser {
                id: "ann@pve".parse().unwrap(),
                set: params(&[("enable", "0"), ("comment", ""), ("expire", "0")]),
            },
            "PUT /access/users/ann@pve comment= enable=0 expire=0",
        ),
        (
            Do::DeleteUser {
                id: "ann@pve".parse().unwrap(),
            },
            "DELETE /access/users/ann@pve",
        ),
        (
            Do::CreateToken {
                id: "ann@pve!mon".parse().unwrap(),
                params: params(&[("comment", "Prometheus"), ("expire", "0"), ("privsep", "1")]),
                secret_file: "/etc/secrets/mon".to_owned(),
            },
            "POST /access/users/ann@pve/token/mon comment=Prometheus expire=0 privsep=1",
        ),
        (
            Do::UpdateToken {
                id: "ann@pve!mon".parse().unwrap(),
                set: params(&[("privsep", "0")]),
                delete: ["comment".to_owned()].into(),
            },
            "PUT /access/users/ann@pve/token/mon privsep=0 delete=comment",
        ),
        (
            Do::DeleteToken {
                id: "ann@pve!mon".parse().unwrap(),
            },
            "DELETE /access/users/ann@pve/token/mon",
        ),
        (
            Do::CreateRole {
                id: "Ops".parse().unwrap(),
                privileges: names(&["VM.PowerMgmt", "VM.Audit"]),
            },
            "POST /access/roles roleid=Ops privs=VM.Audit,VM.PowerMgmt",
        ),
        (
            Do::UpdateRole {
                id: "Ops".parse().unwrap(),
                privileges: names(&[]),
            },
            "PUT /access/roles/Ops privs=",
        ),
        (
            Do::DeleteRole {
                id: "Ops".parse().unwrap(),
            },
            "DELETE /access/roles/Ops",
        ),
        (
            Do::CreateRealm {
                id: "corp".parse().unwrap(),
                realm_type: "ldap".to_owned(),
                params: params(&[
                    ("base_dn", "dc=lab,dc=example"),
                    ("server1", "ldap.lab.example"),
                    ("user_attr", "uid"),
                ]),
            },
            "POST /access/domains realm=corp type=ldap base_dn=dc=lab,dc=example server1=ldap.lab.example user_attr=uid",
        ),
        (
            Do::UpdateRealm {
                id: "corp".parse().unwrap(),
                set: params(&[("mode", "ldaps"), ("verify", "1")]),
                delete: names(&["server2"]),
            },
            "PUT /access/domains/corp mode=ldaps verify=1 delete=server2 digest=d1ge57",
        ),
        (
            Do::DeleteRealm {
                id: "corp".parse().unwrap(),
            },
            "DELETE /access/domains/corp",
        ),
        (
            Do::Grant {
                path: "/vms/104".parse().unwrap(),
                subject: AclSubject::of("group", "ops").unwrap(),
                roles: roles(&["Ops", "PVEAuditor"]),
                propagate: false,
            },
            "PUT /access/acl path=/vms/104 groups=ops roles=Ops,PVEAuditor propagate=0",
        ),
        (
            Do::Grant {
                path: "/".parse().unwrap(),
                subject: AclSubject::of("user", "ann@pve").unwrap(),
                roles: roles(&["PVEAuditor"]),
                propagate: true,
            },
            "PUT /access/acl path=/ users=ann@pve roles=PVEAuditor propagate=1",
        ),
        (
            Do::Revoke {
                path: "/pool/prod".parse().unwrap(),
                subject: AclSubject::of("token", "ann@pve!mon").unwrap(),
                roles: roles(&["Ops"]),
            },
            "PUT /access/acl path=/pool/prod tokens=ann@pve!mon roles=Ops delete=1",
        ),
    ];
    let all = all.into_iter();
    all.map(|(action, expected)| (Action::Account(action), expected))
        .collect()
}

#[test]
fn every_action_is_one_call() {
    let mut variants = BTreeSet::new();
    let all = table().into_iter().chain(accounts()).chain(firewalls());
    for (action, expected) in all {
        assert_eq!(line(&request(&action).unwrap()), expected);
        variants.insert(variant(&action));
    }
    assert_eq!(variants.len(), 72, "{variants:?}");
}

#[test]
fn every_call_fits_the_schema() {
    for (action, _) in table().into_iter().chain(accounts()).chain(firewalls()) {
        let call = request(&action).unwrap().call;
        let path = percent_decode_str(&call.path)
            .decode_utf8()
            .unwrap()
            .into_owned();
        // A slash inside a component stays inside: the schema's paths are matched by component.
        let path = match action {
            Action::DeleteVolume { .. }
            | Action::DeleteImage { .. }
            | Action::ProtectBackup { .. }
            | Action::DeleteBackup { .. }
            | Action::Firewall(_) => call.path.clone(),
            _ => path,
        };
        let params: BTreeMap<String, String> = call
            .params
            .iter()
            .map(|(key, value)| (key.clone(), value.shown().to_owned()))
            .filter(|(key, _)| key != "digest")
            .collect();
        let complaints = support::contract::complaints(call.method.as_str(), &path, &params);
        assert_eq!(complaints, Vec::<String>::new());
    }
}

/// The same, through what a run holds plans against: the schema as a host serves it, reduced.
#[test]
fn a_host_that_serves_the_schema_lacks_nothing() {
    let Some(script) = support::contract::script() else {
        return;
    };
    let api = ServedApi::read(&script).unwrap();
    for (action, _) in table().into_iter().chain(accounts()).chain(firewalls()) {
        assert_eq!(api.lacks(&request(&action).unwrap().call), []);
    }
    assert!(api.writes() > 300, "{}", api.writes());
}

/// Calls that are made of something else than the words in the source, and where they are checked instead.
const NOT_SPELT_OUT: &[(&str, &str)] = &[
    // Plays and stands check every request they see.
    ("world/observe/cluster.rs", "path"),
    ("world/observe/firewall/answers.rs", "path"),
    ("world/observe/guests.rs", "components"),
    // By a function `read`, whose calls are looked at like the others.
    ("service/diagnose.rs", "path"),
    // Not a call of the API.
    ("proxmox/client/send.rs", "VIEWER"),
    // Above: every action.
    ("world/requests.rs", "method, path"),
];

/// Whatever the tests happen to send: every call that stands in the source, with its parameters, is one of the schema's.
#[test]
fn every_call_in_the_source_is_one_of_the_schemas() {
    let spelt =
        regex::Regex::new(r"\b(get|post|put|delete|read)(?:::<\w+>)?\(\s*&?\[([^\]]*)\]\s*,?\s*\)")
            .unwrap();
    let not_spelt =
        regex::Regex::new(r"\bCall::(?:get|post|put|delete|new)\(\s*([^\[\s)][^)]*)\)").unwrap();
    let param = regex::Regex::new(r#"^\s*\.param\(\s*"([^"]+)",[^;]*?\)"#).unwrap();
    let mut not_spelt_out = BTreeSet::new();
    let mut seen = 0;
    for (file, text) in sources() {
        for found in not_spelt.captures_iter(&text) {
            not_spelt_out.insert((file.clone(), found[1].trim().to_owned()));
        }
        for found in spelt.captures_iter(&text) {
            let components: Vec<Option<String>> = found[2]
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|part| {
                    let literal = part
                        .strip_prefix('"')
                        .and_then(|part| part.strip_suffix('"'));
                    literal.map(str::to_owned)
                })
                .collect();
            let mut rest = &text[found.get(0).unwrap().end()..];
            let mut params = Vec::new();
            while let Some(next) = param.captures(rest) {
                params.push(next[1].to_owned());
                rest = &rest[next.get(0).unwrap().end()..];
            }
            let verb = match &found[1] {
                "read" => "GET".to_owned(),
                verb => verb.to_ascii_uppercase(),
            };
            let complaint = support::contract::source_complaint(&verb, &components, &params);
            assert_eq!(complaint, None, "{file}: {}", &found[0]);
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} calls were found in the source");
    let expected = NOT_SPELT_OUT
        .iter()
        .map(|(file, text)| ((*file).to_owned(), (*text).to_owned()))
        .collect();
    assert_eq!(not_spelt_out, expected);
}

/// The program's source without its tests and without the simulator, by file.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if !matches!(name, "tests" | "sim") {
                    walk(&path, found);
                }
            } else if name.ends_with(".rs") && name != "tests.rs" {
                found.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&src, &mut files);
    files
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let code: Vec<&str> = text
                .split("#[cfg(test)]")
                .next()
                .unwrap()
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect();
            let name = path.strip_prefix(&src).unwrap().to_str().unwrap();
            (name.to_owned(), code.join("\n"))
        })
        .collect()
}

#[test]
fn secrets_are_resolved_when_sent_and_never_shown() {
    let secret = |from| Action::UpdateConfig {
        kind: Qemu,
        vmid: vmid(104),
        set: [(
            "cipassword".to_owned(),
            Param::Secret {
                from,
                fingerprint: "f".to_owned(),
            },
        )]
        .into(),
        delete: BTreeSet::new(),
    };
    let sent = request(&secret(SecretRef::FromFile("x".to_owned()))).unwrap();
    assert!(!format!("{sent:?}").contains("s3cret"));
    let missing = request(&secret(SecretRef::FromEnv("PASSWORD".to_owned()))).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "the secret in the environment variable PASSWORD for `cipassword` cannot be read: it is not set"
    );
}

#[test]
fn what_would_need_two_calls_is_refused() {
    let both = Action::UpdatePool {
        id: "prod".parse().unwrap(),
        comment: None,
        guests_add: [vmid(101)].into(),
        guests_remove: [vmid(102)].into(),
        storages_add: BTreeSet::new(),
        storages_remove: BTreeSet::new(),
    };
    assert!(matches!(request(&both), Err(Unsendable::TwoCalls(_))));
    let password = Action::CreateGuest {
        kind: Qemu,
        vmid: vmid(9000),
        node: node("pve1"),
        pool: None,
        params: params(&[("cipassword", "x")]),
    };
    assert!(matches!(request(&password), Err(Unsendable::TwoCalls(_))));
}
