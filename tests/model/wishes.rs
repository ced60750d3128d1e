//! Random documents over what there is, and what somebody does by hand.

use std::sync::atomic::{AtomicUsize, Ordering};

use bailiwick::proxmox::Call;
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::judge::{Guest, Seen};

/// What is asked for of one object.
#[derive(Debug, Clone)]
pub enum Wish {
    /// `Kind {spec}`.
    Present(String),
    /// The document of this object is taken away, and asked for the object's deletion.
    Removed(String),
}

fn one<'a, T: ?Sized>(random: &mut StdRng, of: &[&'a T]) -> &'a T {
    of[random.random_range(0..of.len())]
}

fn storages(random: &mut StdRng) -> &'static str {
    one(random, &["fast", "shared", "tank", "vault", "nowhere"])
}

/// Gibibytes of a disk as its configuration has them, and some more.
fn grown(random: &mut StdRng, value: &str) -> Option<u64> {
    let size = value
        .split(',')
        .find_map(|part| part.strip_prefix("size="))?;
    let whole: u64 = size.strip_suffix('G')?.parse().ok()?;
    Some(whole + random.random_range(0..3) * 4)
}

fn disk(random: &mut StdRng, guest: &Guest, free: &str) -> String {
    let disks: Vec<&str> = guest.disks().into_keys().collect();
    let path = if guest.kind == "ct" {
        ", path: /data"
    } else {
        ""
    };
    if disks.is_empty() || random.random_ratio(1, 4) {
        return format!("{free}: {{storage: {}, size: 2Gi{path}}}", storages(random));
    }
    let slot = one(random, &disks);
    match random.random_range(0..3) {
        0 => format!("{slot}: {{storage: {}}}", storages(random)),
        1 => match grown(random, &guest.config[slot]) {
            Some(size) => format!("{slot}: {{size: {size}Gi}}"),
            None => format!("{slot}: {{storage: shared}}"),
        },
        _ => format!("{slot}: null"),
    }
}

/// The files that nodes have or can download, with the checksums of those that can be.
pub const FILES: [(&str, &str); 3] = [
    (
        "installer.iso",
        "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
    ),
    (
        "rescue.iso",
        "84f8e4c7f4a3c5d0a0d5d3c2a1b09f8e7d6c5b4a39281706f5e4d3c2b1a09f8e",
    ),
    (
        "alpine-3.22.tar.zst",
        "1b2c3d4e5f60718293a4b5c6d7e8f9010b1c2d3e4f5a6b7c8d9eafb0c1d2e3f4",
    ),
];

fn drive(random: &mut StdRng) -> String {
    match random.random_range(0..5) {
        0 => "null".to_owned(),
        1 => "{empty: true}".to_owned(),
        _ => format!(
            "{{iso: 'local:iso/{}'}}",
            FILES[random.random_range(0..2)].0
        ),
    }
}

fn of_image(random: &mut StdRng) -> Wish {
    let (name, sum) = FILES[random.random_range(0..FILES.len())];
    let content = if name.ends_with("iso") {
        "iso"
    } else {
        "vztmpl"
    };
    let node = one(random, &["pve1", "pve2"]);
    if random.random_ratio(1, 3) {
        return Wish::Removed(format!("image/{node}/local:{content}/{name}"));
    }
    let storage = one(random, &["local", "local", "local", "vault", "fast"]);
    if random.random_ratio(1, 4) {
        let tag = one(random, &["3.22", "3.23"]);
        return Wish::Present(format!(
            "Image {{filename: alpine.tar, storage: {storage}, node: {node}, content: vztmpl, reference: 'docker.io/library/alpine:{tag}'}}"
        ));
    }
    Wish::Present(format!(
        "Image {{filename: {name}, storage: {storage}, node: {node}, content: {content}, \
         url: 'https://images.example.org/{name}', checksum: {{algorithm: sha256, value: {sum}}}}}"
    ))
}

/// Where a guest shall be, and where its disks go if it is brought there.
fn place(random: &mut StdRng) -> String {
    let place = match random.random_range(0..3) {
        0 => "nodes: [pve1, pve2]".to_owned(),
        1 => format!("nodes: [{}]", one(random, &["pve1", "pve2", "pve3, pve2"])),
        _ => format!("node: {}", one(random, &["pve1", "pve2"])),
    };
    if random.random_bool(0.5) {
        return place;
    }
    let (from, to) = (storages(random), storages(random));
    format!("{place}, migration: {{targetStorage: {{{from}: {to}}}}}")
}

fn machine(random: &mut StdRng, guest: &Guest) -> String {
    match random.random_range(0..14) {
        12 => "isTemplate: true".to_owned(),
        13 => format!("cdroms: {{ide2: {}}}", drive(random)),
        0 => format!("cpu: {{cores: {}}}", random.random_range(1..5)),
        1 => format!("memory: {{size: {}Mi}}", random.random_range(2..9) * 256),
        2 => format!("tags: [t{}]", random.random_range(0..3)),
        3 => format!("onBoot: {}", random.random_bool(0.5)),
        4 => format!("protection: {}", random.random_bool(0.5)),
        5 | 6 => format!("powerState: {}", one(random, &["running", "stopped"])),
        7 => place(random),
        8 => {
            let card = one(random, &["net0", "net1"]);
            match random.random_range(0..4) {
                0 => format!("networks: {{{card}: null}}"),
                2 => {
                    let filters = random.random_bool(0.5);
                    format!(
                        "networks: {{{card}: {{model: virtio, bridge: vmbr0, firewall: {filters}}}}}"
                    )
                }
                1 => format!("networks: {{{card}: {{model: virtio, bridge: vmbr1}}}}"),
                _ => format!("networks: {{{card}: {{model: virtio, bridge: vmbr0}}}}"),
            }
        }
        9 => format!("description: 'seen {} times'", random.random_range(0..9)),
        _ => format!("disks: {{{}}}", disk(random, guest, "scsi5")),
    }
}

fn container(random: &mut StdRng, guest: &Guest) -> String {
    match random.random_range(0..11) {
        10 => "isTemplate: true".to_owned(),
        0 => format!("cores: {}", random.random_range(1..5)),
        1 => format!("memory: {}Mi", random.random_range(2..9) * 128),
        2 => format!("tags: [t{}]", random.random_range(0..3)),
        3 => format!("onBoot: {}", random.random_bool(0.5)),
        4 => format!("protection: {}", random.random_bool(0.5)),
        5 => format!("powerState: {}", one(random, &["running", "stopped"])),
        6 => place(random),
        7 => format!(
            "networks: {{net0: {{name: eth0, bridge: {}}}}}",
            one(random, &["vmbr0", "vmbr1"])
        ),
        _ => {
            let disk = disk(random, guest, "mp5");
            match disk.strip_prefix("rootfs: ") {
                Some("null") => "cores: 1".to_owned(),
                Some(root) => format!("rootFs: {root}"),
                None => format!("mountPoints: {{{disk}}}"),
            }
        }
    }
}

fn of_guest(random: &mut StdRng, vmid: u32, guest: &Guest) -> Wish {
    if random.random_ratio(1, 8) {
        return Wish::Removed(format!("{}/{vmid}", guest.kind));
    }
    let (kind, field): (_, fn(&mut StdRng, &Guest) -> String) = match guest.kind {
        "vm" => ("VirtualMachine", machine),
        _ => ("Container", container),
    };
    let mut fields = vec![field(random, guest)];
    let second = field(random, guest);
    // `node` and `nodes` are two words for one thing.
    let key = |text: &str| {
        let key = text.split(':').next().unwrap_or_default();
        key.trim_end_matches('s').to_owned()
    };
    // A document that says both is refused before it comes to a plan.
    let both = [fields[0].as_str(), second.as_str()];
    let never = both.contains(&"isTemplate: true") && both.contains(&"powerState: running");
    if random.random_bool(0.4) && key(&second) != key(&fields[0]) && !never {
        fields.push(second);
    }
    Wish::Present(format!("{kind} {{vmid: {vmid}, {}}}", fields.join(", ")))
}

/// A clone of what there is.
fn of_clone(random: &mut StdRng, vmid: u32, seen: &Seen) -> Wish {
    let known: Vec<u32> = seen.guests.keys().copied().collect();
    let source = known[random.random_range(0..known.len())];
    let (kind, name) = match seen.guests[&source].kind {
        "vm" => ("VirtualMachine", "name"),
        _ => ("Container", "hostname"),
    };
    let how = match random.random_range(0..5) {
        2 => ", snapshot: first".to_owned(),
        0 => ", mode: linked".to_owned(),
        1 => format!(", storage: {}", storages(random)),
        _ => String::new(),
    };
    let more = one(
        random,
        &[
            "",
            ", onBoot: true",
            ", powerState: running",
            ", node: pve2",
            ", isTemplate: true",
        ],
    );
    Wish::Present(format!(
        "{kind} {{vmid: {vmid}, {name}: copy-{vmid}, cloneFrom: {{vmid: {source}{how}}}{more}}}"
    ))
}

/// A guest from a backup.
fn of_backup(random: &mut StdRng, vmid: u32) -> Wish {
    let node = one(random, &["pve1", "pve2"]);
    let storage = storages(random);
    let unique = random.random_bool(0.5);
    let more = one(random, &["", ", onBoot: false", ", powerState: running"]);
    Wish::Present(if random.random_bool(0.5) {
        let storage = match random.random_bool(0.5) {
            true => format!(", storage: {storage}"),
            false => String::new(),
        };
        format!(
            "VirtualMachine {{vmid: {vmid}, node: {node}{more}, restoreFrom: {{volume: 'vault:backup/vzdump-qemu-101-2026_01_10-02_00_00.vma.zst', unique: {unique}{storage}}}}}"
        )
    } else {
        format!(
            "Container {{vmid: {vmid}, node: {node}{more}, restoreFrom: {{volume: 'vault:backup/vzdump-lxc-201-2026_01_10-02_10_00.tar.zst', unique: {unique}, storage: {storage}}}}}"
        )
    })
}

fn of_new(random: &mut StdRng, vmid: u32) -> Wish {
    let node = one(random, &["pve1", "pve2"]);
    let storage = storages(random);
    let power = one(random, &["running", "stopped"]);
    Wish::Present(if random.random_bool(0.5) {
        format!(
            "VirtualMachine {{vmid: {vmid}, node: {node}, powerState: {power}, memory: {{size: 512Mi}}, disks: {{scsi0: {{storage: {storage}, size: 2Gi}}}}}}"
        )
    } else {
        format!(
            "Container {{vmid: {vmid}, node: {node}, powerState: {power}, template: 'local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst', \
             unprivileged: true, memory: 256Mi, rootFs: {{storage: {storage}, size: 2Gi}}}}"
        )
    })
}

fn of_storage(random: &mut StdRng) -> Wish {
    let id = one(random, &["fast", "shared", "tank", "vault"]);
    if random.random_ratio(1, 6) {
        return Wish::Removed(format!("storage/{id}"));
    }
    let field = match random.random_range(0..4) {
        0 => format!("disable: {}", random.random_bool(0.5)),
        1 => format!("nodes: [{}]", one(random, &["pve1", "pve2", "pve1, pve2"])),
        _ => format!(
            "content: [{}]",
            one(
                random,
                &[
                    "images",
                    "rootdir",
                    "backup",
                    "images, rootdir",
                    "images, rootdir, backup"
                ]
            )
        ),
    };
    Wish::Present(format!("Storage {{id: {id}, {field}}}"))
}

fn of_pool(random: &mut StdRng, seen: &Seen) -> Wish {
    let known: Vec<&str> = seen.pools.keys().map(String::as_str).collect();
    if known.is_empty() || random.random_ratio(1, 4) {
        return Wish::Present("Pool {id: fresh, comment: made}".to_owned());
    }
    let id = one(random, &known);
    if random.random_ratio(1, 5) {
        return Wish::Removed(format!("pool/{id}"));
    }
    let some: Vec<String> = seen
        .guests
        .keys()
        .filter(|_| random.random_bool(0.3))
        .map(u32::to_string)
        .collect();
    Wish::Present(format!("Pool {{id: {id}, guests: [{}]}}", some.join(", ")))
}

fn of_snapshot(random: &mut StdRng, vmid: u32) -> Wish {
    let name = one(random, &["first", "second"]);
    match random.random_range(0..4) {
        0 => Wish::Removed(format!("snapshot/{vmid}/{name}")),
        1 => Wish::Present(format!(
            "Snapshot {{vmid: {vmid}, name: {name}, includeMemory: true}}"
        )),
        2 => Wish::Present(format!(
            "Snapshot {{vmid: {vmid}, name: {name}, description: seen}}"
        )),
        _ => Wish::Present(format!("Snapshot {{vmid: {vmid}, name: {name}}}")),
    }
}

fn of_copies(random: &mut StdRng, vmid: u32) -> Wish {
    let id = format!("{vmid}-{}", random.random_range(0..2));
    if random.random_ratio(1, 4) {
        return Wish::Removed(format!("replication-job/{id}"));
    }
    let target = one(random, &["pve1", "pve2"]);
    let more = match random.random_range(0..3) {
        0 => format!(", enabled: {}", random.random_bool(0.5)),
        1 => ", schedule: '*/30'".to_owned(),
        _ => String::new(),
    };
    Wish::Present(format!(
        "ReplicationJob {{id: {id}, guest: {vmid}, target: {target}{more}}}"
    ))
}

fn of_backups(random: &mut StdRng, vmids: &[u32]) -> Wish {
    let id = one(random, &["nightly", "weekly", "fresh"]);
    if random.random_ratio(1, 5) {
        return Wish::Removed(format!("backup-job/{id}"));
    }
    let some: Vec<String> = vmids
        .iter()
        .filter(|_| random.random_bool(0.3))
        .map(u32::to_string)
        .collect();
    let whom = match random.random_range(0..3) {
        0 => "pool: web".to_owned(),
        1 if !some.is_empty() => format!("guests: [{}]", some.join(", ")),
        _ => "all: true".to_owned(),
    };
    let storage = one(random, &["vault", "vault", "shared"]);
    let enabled = random.random_bool(0.8);
    Wish::Present(format!(
        "BackupJob {{id: {id}, schedule: '02:30', storage: {storage}, enabled: {enabled}, {whom}}}"
    ))
}

/// An alias, a set, a security group, or a whole firewall: of the datacenter, a node or a guest.
fn of_firewall(random: &mut StdRng, number: u32, vmids: &[u32]) -> Wish {
    let guest = vmids.first().filter(|_| random.random_bool(0.4));
    let (of, at) = match guest {
        Some(vmid) => (format!("guest: {vmid}, "), format!("{vmid}/")),
        None => (String::new(), String::new()),
    };
    let name = one(random, &["web", "lan"]);
    let gone = random.random_ratio(1, 4);
    let rules = |random: &mut StdRng| {
        let all = [
            "{direction: group, action: base}",
            "{direction: in, action: ACCEPT, macro: SSH}",
            "{direction: in, action: ACCEPT, proto: tcp, dport: '80', source: 10.0.0.0/8}",
            "{direction: in, action: DROP, source: +web}",
            "{direction: out, action: ACCEPT, dest: lan, enabled: false}",
            "{direction: in, action: DROP, proto: udp, comment: noise}",
        ];
        let count = random.random_range(0..4);
        let rules: Vec<&str> = (0..count).map(|_| one(random, &all)).collect();
        rules.join(", ")
    };
    match number {
        0 if gone => Wish::Removed(format!("alias/{at}{name}")),
        0 => {
            let cidr = one(random, &["10.1.0.0/16", "10.2.0.0/16", "2001:db8::/32"]);
            Wish::Present(format!(
                "FirewallAlias {{{of}name: {name}, cidr: '{cidr}'}}"
            ))
        }
        1 if gone => Wish::Removed(format!("ipset/{at}{name}")),
        1 => {
            let all = [
                "{cidr: 10.0.0.1}",
                "{cidr: 10.3.0.0/16, comment: rooms}",
                "{cidr: lan}",
            ];
            let some: Vec<&str> = all
                .into_iter()
                .filter(|_| random.random_bool(0.5))
                .collect();
            let entries = some.join(", ");
            Wish::Present(format!("IpSet {{{of}name: {name}, entries: [{entries}]}}"))
        }
        2 if gone => Wish::Removed(format!("security-group/{}", one(random, &["web", "base"]))),
        // A group that rules use, whose own name nothing that a guest may have under another meaning.
        2 if random.random_bool(0.7) => {
            let all = [
                "{direction: in, action: ACCEPT, macro: SSH, source: 10.0.0.0/8}",
                "{direction: in, action: ACCEPT, proto: tcp, dport: '443'}",
                "{direction: in, action: REJECT, proto: udp, dport: '53'}",
                "{direction: in, action: DROP, source: 10.1.0.0/16}",
            ];
            let count = random.random_range(0..3);
            let some: Vec<&str> = (0..count).map(|_| one(random, &all)).collect();
            Wish::Present(format!(
                "SecurityGroup {{name: base, rules: [{}]}}",
                some.join(", ")
            ))
        }
        2 => {
            let all = rules(random).replace(
                "direction: group, action: base",
                "direction: in, action: DROP",
            );
            let rules = listed(random, &all);
            Wish::Present(format!("SecurityGroup {{name: web, {rules}}}"))
        }
        _ => {
            let of = match (of.is_empty(), random.random_bool(0.5)) {
                (false, _) => of,
                (true, true) => "cluster: true, ".to_owned(),
                (true, false) => "node: pve1, ".to_owned(),
            };
            let all = rules(random);
            let rules = listed(random, &all);
            let on = random.random_bool(0.7);
            Wish::Present(format!(
                "Firewall {{{of}options: {{enabled: {on}}}, {rules}}}"
            ))
        }
    }
}

/// A whole list of rules, or a block of one that is shared.
fn listed(random: &mut StdRng, rules: &str) -> String {
    if random.random_bool(0.6) {
        return format!("rules: [{rules}]");
    }
    let name = one(random, &["app", "team"]);
    let place = one(random, &["top", "end"]);
    format!("block: {{name: {name}, place: {place}, rules: [{rules}]}}")
}

/// A group, a user, a role, a realm, or what somebody is given; with the object it is about.
fn of_account(random: &mut StdRng) -> (String, Wish) {
    let roles = ["PVEVMUser", "PVEAuditor", "PVEVMAdmin", "Spare", "NoAccess"];
    match random.random_range(0..10) {
        8.. => {
            let id = one(random, &["corp", "corp", "lab"]);
            let wish = match random.random_ratio(1, 4) {
                true => Wish::Removed(format!("realm/{id}")),
                false => {
                    let server = one(random, &["one", "two"]);
                    let more = one(random, &["", ", comment: seen", ", caseSensitive: false"]);
                    let needed = "baseDn: 'dc=example,dc=org', userAttribute: uid";
                    Wish::Present(format!(
                        "Realm {{id: {id}, type: ldap, server: {server}.example.org, {needed}{more}}}"
                    ))
                }
            };
            (format!("realm/{id}"), wish)
        }
        0 => {
            let id = one(random, &["ops", "night"]);
            let wish = match random.random_ratio(1, 3) {
                true => Wish::Removed(format!("group/{id}")),
                false => Wish::Present(format!("Group {{id: {id}, comment: seen}}")),
            };
            (format!("group/{id}"), wish)
        }
        1 | 2 => {
            let id = one(
                random,
                &[
                    "ann@pve",
                    "bob@pve",
                    "eve@pve",
                    "new@pve",
                    "carl@corp",
                    "new@lab",
                ],
            );
            if random.random_ratio(1, 4) {
                return (format!("user/{id}"), Wish::Removed(format!("user/{id}")));
            }
            let field = match random.random_range(0..4) {
                0 => format!("enabled: {}", random.random_bool(0.5)),
                1 => format!("expires: {}", one(random, &["never", "2020-01-01"])),
                _ => format!("groups: [{}]", one(random, &["", "ops", "ops, night"])),
            };
            let wish = Wish::Present(format!("User {{id: {id}, {field}}}"));
            (format!("user/{id}"), wish)
        }
        3 => {
            let wish = match random.random_ratio(1, 3) {
                true => Wish::Removed("role/Spare".to_owned()),
                false => Wish::Present(format!(
                    "Role {{id: Spare, privileges: [{}]}}",
                    one(
                        random,
                        &[
                            "",
                            "VM.Audit",
                            "VM.Console, VM.PowerMgmt",
                            "Datastore.Audit, VM.Audit"
                        ]
                    )
                )),
            };
            ("role/Spare".to_owned(), wish)
        }
        _ => {
            let path = one(
                random,
                &[
                    "/",
                    "/vms",
                    "/vms/101",
                    "/pool/web",
                    "/storage",
                    "/storage/vault",
                ],
            );
            let (kind, id) = *one(
                random,
                &[
                    &("user", "ann@pve"),
                    &("user", "bob@pve"),
                    &("user", "eve@pve"),
                    &("group", "ops"),
                    &("token", "ann@pve!ci"),
                ],
            );
            let object = format!("acl/{kind}:{id}{path}");
            if random.random_ratio(1, 4) {
                return (object.clone(), Wish::Removed(object));
            }
            let (first, second) = (one(random, &roles), one(random, &roles));
            let roles = match first == second {
                true => first.to_owned(),
                false => format!("{first}, {second}"),
            };
            let propagate = random.random_bool(0.7);
            let wish = Wish::Present(format!(
                "AccessRule {{path: {path}, {kind}: {id}, roles: [{roles}], propagate: {propagate}}}"
            ));
            (object, wish)
        }
    }
}

/// A path that no file is at, for the secret of a new token.
fn new_file() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("model-secrets");
    std::fs::create_dir_all(&folder).unwrap();
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}-{number}", std::process::id());
    folder
        .canonicalize()
        .unwrap()
        .join(name)
        .display()
        .to_string()
}

fn of_token(random: &mut StdRng) -> Wish {
    if random.random_ratio(1, 5) {
        return Wish::Removed("token/ann@pve!ci".to_owned());
    }
    let separated = random.random_bool(0.5);
    if random.random_ratio(1, 4) {
        let user = one(random, &["ann@pve", "bob@pve", "eve@pve"]);
        return Wish::Present(format!(
            "ApiToken {{id: new, user: {user}, separated: {separated}, secretFile: {}}}",
            new_file()
        ));
    }
    let whose = one(random, &["id: ci, user: ann@pve", "id: all, user: bob@pve"]);
    let more = match random.random_range(0..3) {
        0 => ", expires: 2033-05-18",
        1 => ", comment: seen",
        _ => "",
    };
    Wish::Present(format!(
        "ApiToken {{{whose}, separated: {separated}{more}}}"
    ))
}

/// One to three wishes about different objects.
pub fn some(random: &mut StdRng, seen: &Seen) -> Vec<Wish> {
    let vmids: Vec<u32> = seen.guests.keys().copied().collect();
    let mut taken = std::collections::BTreeSet::new();
    let mut wishes = Vec::new();
    for _ in 0..random.random_range(1..4) {
        let what = random.random_range(0..22);
        let (object, wish) = match what {
            0 => {
                let vmid = random.random_range(900..903);
                if vmids.contains(&vmid) {
                    continue;
                }
                let wish = match random.random_range(0..3) {
                    0 => of_backup(random, vmid),
                    1 if !vmids.is_empty() => of_clone(random, vmid, seen),
                    _ => of_new(random, vmid),
                };
                (format!("guest {vmid}"), wish)
            }
            1 | 2 => ("storage".to_owned(), of_storage(random)),
            3 => ("pool".to_owned(), of_pool(random, seen)),
            16 => ("image".to_owned(), of_image(random)),
            17 => ("token".to_owned(), of_token(random)),
            18..20 => of_account(random),
            20.. => {
                let number = random.random_range(0..4);
                (
                    format!("firewall {number}"),
                    of_firewall(random, number, &vmids),
                )
            }
            _ if vmids.is_empty() => continue,
            12 | 13 => {
                let vmid = vmids[random.random_range(0..vmids.len())];
                (format!("snapshot {vmid}"), of_snapshot(random, vmid))
            }
            14 => {
                // The only guests whose disks can be copied, and whoever else.
                let other = vmids[random.random_range(0..vmids.len())];
                let vmid = *one(random, &[&104, &203, &other]);
                (format!("copies {vmid}"), of_copies(random, vmid))
            }
            15 => ("backups".to_owned(), of_backups(random, &vmids)),
            _ => {
                let vmid = vmids[random.random_range(0..vmids.len())];
                (
                    format!("guest {vmid}"),
                    of_guest(random, vmid, &seen.guests[&vmid]),
                )
            }
        };
        if taken.insert(object) {
            wishes.push(wish);
        }
    }
    wishes
}

/// Something that somebody does by hand.
pub fn by_hand(random: &mut StdRng, seen: &Seen) -> Call {
    let vmids: Vec<u32> = seen.guests.keys().copied().collect();
    if vmids.is_empty() || random.random_ratio(1, 6) {
        let disable = one(random, &["0", "1"]);
        return Call::put(["storage", "shared"]).param("disable", disable);
    }
    let vmid = vmids[random.random_range(0..vmids.len())];
    let guest = &seen.guests[&vmid];
    let kind = if guest.kind == "vm" { "qemu" } else { "lxc" };
    let number = vmid.to_string();
    let path = |rest: &[&'static str]| -> Vec<String> {
        let start = ["nodes", &guest.node, kind, &number].map(str::to_owned);
        start
            .into_iter()
            .chain(rest.iter().map(|part| (*part).to_owned()))
            .collect()
    };
    match random.random_range(0..4) {
        0 => Call::put(path(&["config"])).param("tags", "by-hand"),
        1 => Call::put(path(&["config"])).param("memory", "768"),
        _ if guest.pid.is_some() => Call::post(path(&["status", "stop"])),
        _ => Call::post(path(&["status", "start"])),
    }
}

/// Something that goes wrong on the wire or in a task, in the simulator's words.
pub fn fault(random: &mut StdRng) -> String {
    let write = one(random, &["PUT", "POST", "DELETE"]);
    match random.random_range(0..6) {
        0 => format!("drop=after;method={write}"),
        1 => format!("drop=before;method={write}"),
        2 => format!("after=595 Connection timed out;method={write}"),
        3 => format!("status=500 can't lock file '/var/lock/x' - got timeout;method={write}"),
        4 => "task=it broke".to_owned(),
        _ => "warn=1".to_owned(),
    }
}
