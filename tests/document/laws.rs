//! Laws that hold for every document: what is written and read again says the same, order and spelling do not count, and no text makes
//! the reader panic. Documents are made at random from the schemas, so that a new field is tested without anyone thinking of it.

use bailiwick::document::{Document, Kind, load, schema};
use proptest::prelude::*;
use proptest::test_runner::TestRng;
use serde_json::{Map, Value, json};

/// A valid text for each format.
fn sample(format: &str, pick: u32) -> &'static str {
    let samples: &[&str] = match format {
        "dns-name" => &["web-7", "web.example.org"],
        "mac-address" => &["bc:24:11:00:00:07", "BC:24:11:00:00:08"],
        "bridge" => &["vmbr0", "vnet.7"],
        "vlan-range" => &["7", "100-120"],
        "cpu-range" => &["0", "0-3"],
        "cpu-flag" => &["+aes", "-pcid"],
        "cpu-type" => &["host", "x86-64-v2-AES"],
        "phys-bits" => &["host", "40"],
        "vendor-id" => &["proxmox"],
        "machine-type" => &["q35", "pc-i440fx-9.2+pve1"],
        "mapping-id" => &["gpu1", "disk-a"],
        "pci-id" => &["0x1AF4", "0x1000"],
        "wwn" => &["0x50014ee2b5e6a7f8"],
        "scsi-vendor" | "scsi-product" => &["QEMU", "a b"],
        "start-date" => &["now", "2026-11-22"],
        "tag" => &["prod", "web-1", "no", "on"],
        "text" => &[
            "one line",
            "two\nlines: here",
            "# not a comment",
            "no",
            "  blank ahead",
            "ü😀 \"quoted\" 'too'",
            "- x",
            "8",
            "null",
            "~",
        ],
        "ip-address" => &["192.0.2.53", "2001:db8::53"],
        "ipv4-address" => &["192.0.2.1"],
        "ipv6-address" => &["2001:DB8::1", "fe80::1"],
        "ipv4-config" | "cloud-ipv4" => &["dhcp", "192.0.2.7/24"],
        "ipv6-config" | "cloud-ipv6" => &["auto", "2001:db8:0::7/64"],
        "path" | "mount-path" => &["/srv/data", "/mnt/a b"],
        "device-name" => &["eth0", "wan"],
        "id-map" => &["passthrough", "u:0:100000:65536"],
        "age" => &["90m", "14d"],
        "time-zone" => &["host", "Europe/Vienna"],
        "ssh-key" => &["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample me@here"],
        "fingerprint" => &[
            "aa:bb:cc:dd:ee:ff:00:11:aa:bb:cc:dd:ee:ff:00:11:aa:bb:cc:dd:ee:ff:00:11:aa:bb:cc:dd:ee:ff:00:11",
        ],
        "host" => &["nas.example.org", "192.0.2.9", "2001:db8::9"],
        "portal" => &["192.0.2.9:3260", "[2001:db8::9]:3260"],
        "block-size" => &["16k", "8192"],
        "bare" => &["rpool/data", "yes", "0123", "a: b", "true"],
        "size" => &["32Gi", "1.5T", "33792M", "0.5Ki"],
        "memory-size" => &["64Mi", "8G", "0.5Gi"],
        "node-name" => &["pve1", "pve2"],
        "storage-id" => &["local-zfs", "ceph"],
        "pool-id" => &["prod/web", "a"],
        "snapshot-name" => &["before-upgrade", "Golden_1"],
        "file-name" => &["debian-13.iso", "Debian_13.tar.zst"],
        "hex-digest" => &[
            "5F70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
            "0123456789abcdef0123456789abcdef",
        ],
        "image-url" => &[
            "https://images.example.org/a.iso?x=1",
            "http://192.0.2.9:8080/",
        ],
        "image-reference" => &[
            "docker.io/library/nginx:1.29",
            "registry.example.org:5000/a:latest",
        ],
        "token-name" => &["ci", "Mon-1.a"],
        "token-comment" => &["for the builds", "1"],
        "new-file" => &["/etc/bailiwick/secrets/ci", "/srv/a: b"],
        "firewall-name" => &["management", "Office_1"],
        "firewall-network" => &["10.20.0.7/16", "2001:DB8::1/128", "192.0.2.1"],
        "firewall-element" => &["10.20.0.7/16", "2001:db8::/32", "LAN", "dc/lan"],
        "group-name" => &["web", "Mail_1"],
        "rule-action" => &["accept", "DROP", "web"],
        "vnet-name" => &["web", "Vnet7"],
        "block-name" => &["app", "Team_1"],
        "firewall-macro" => &["SSH", "HTTPS"],
        "firewall-protocol" => &["TCP", "udp", "47"],
        "firewall-peer" => &["10.20.0.7/16,10.0.0.1-10.0.0.9", "+dc/Web", "LAN"],
        "firewall-ports" => &["22,https", "1024:65535"],
        "firewall-interface" => &["vmbr0", "net0"],
        "icmp-type" => &["echo-request", "8"],
        "conntrack-helper" => &["ftp", "netbios-ns"],
        "rate-limit" => &["1,burst=5,rate=1/second", "enable=0"],
        "firewall-comment" => &["the offices", "# no", "1"],
        "replication-job-id" => &["104-0", "301-12"],
        "group-id" => &["ops", "Night.Shift-2"],
        "user-id" => &["ann@pve", "b.c@ldap-1"],
        "role-id" => &["Ops", "look_only"],
        "token-id" => &["ann@pve!ci", "b@pam!backup-2"],
        "acl-path" => &["/", "/vms/104", "/pool/prod/web", "/sdn/zones/z/v"],
        "privilege-name" => &["VM.Audit", "VM.Config.Disk"],
        "expiry" => &["never", "2027-03-31", "2027-03-31T18:00:00Z"],
        "user-name" => &["Ann", "0123", "von der Au", "yes"],
        "email-address" => &["ann@example.org", "a+b@lab.example"],
        "realm-id" => &["corp", "ad-1", "X.y_z"],
        "realm-comment" => &["the company's own", "- x", "ü😀 \"quoted\""],
        "realm-text" => &["dc=lab,dc=example", "https://id.lab.example", "ü x"],
        "realm-word" => &["uid", "ad.lab.example", "select_account"],
        "ldap-filter" => &["(objectClass=person)", "(&(a=b)(!(c=d)))"],
        "ldap-attribute" => &["uid", "sAMAccountName", "7"],
        "sync-attributes" => &["email=mail", "email=mail, firstname=givenName"],
        "openid-claim" => &["groups", "a.b-c_d"],
        "openid-values" => &["urn:x:y", "a,b"],
        "user-comment" => &["on call", "- x", "null", "ü😀 \"quoted\""],
        "replication-comment" => &["to the other room", "1"],
        "backup-job-id" => &["nightly", "Weekly-2"],
        "calendar-event" => &["02:30", "mon..fri 22:00", "*-*-1 03:00"],
        "job-comment" => &["every night", "- x", "null", "ü😀 \"quoted\""],
        "notes-template" => &["{{guestname}}, {{vmid}}", "8"],
        "path-pattern" => &["/var/cache/*", "/a;b, c", "*.tmp"],
        "volume-id" => &["local:iso/debian.iso", "ceph:vm-1-disk-0"],
        "cluster-name" => &["lab"],
        "slot" => &["scsi0", "net0"],
        "config-key" => &["future-option", "x_y"],
        "object-name" => &["web-7", "a"],
        "label-key" => &["team", "example.org/team"],
        "label-value" => &["shop", "7", "true", ""],
        "environment-variable" => &["SECRET_7", "PATH"],
        "secret-path" => &["/etc/secrets/a", "relative: path"],
        "environment-value" => &["", "a=b", "off", " x\t"],
        "disk-slot" => &["scsi0", "virtio15", "sata5"],
        "cdrom-slot" => &["ide2", "ide3"],
        "net-slot" => &["net0", "net31"],
        "numa-slot" => &["numa0"],
        "serial-slot" => &["serial0"],
        "usb-slot" => &["usb0", "usb13"],
        "pci-slot" => &["hostpci0"],
        "virtiofs-slot" => &["virtiofs0"],
        "ipconfig-slot" => &["ipconfig0"],
        "mount-point-slot" => &["mp0", "mp255"],
        other => panic!("no sample for the format `{other}`"),
    };
    samples[pick as usize % samples.len()]
}

fn chance(rng: &mut TestRng, of: u32) -> bool {
    rng.next_u32().is_multiple_of(of)
}

/// A random value of a schema; fields are written with a chance of one in `sparse`.
fn value(schema: &Value, rng: &mut TestRng, sparse: u32) -> Value {
    let nullable = schema["type"].is_array();
    if nullable && chance(rng, 6) {
        return Value::Null;
    }
    let name = match &schema["type"] {
        Value::Array(several) => several[0].as_str().unwrap(),
        one => one.as_str().unwrap(),
    };
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<&Value> = words.iter().filter(|word| !word.is_null()).collect();
        return words[rng.next_u32() as usize % words.len()].clone();
    }
    match name {
        "object" => object(schema, rng, sparse),
        "array" => {
            let least = schema["minItems"].as_u64().unwrap_or(0) as u32;
            let count = least + rng.next_u32() % 3;
            let mut items: Vec<Value> = Vec::new();
            for _ in 0..count {
                let item = value(&schema["items"], rng, sparse);
                if !items.contains(&item) {
                    items.push(item);
                }
            }
            Value::Array(items)
        }
        "string" => {
            let pick = rng.next_u32();
            schema["format"].as_str().map_or_else(
                || json!(["word", "no", "7.0", "a #b"][pick as usize % 4]),
                |format| json!(sample(format, pick)),
            )
        }
        "boolean" => json!(chance(rng, 2)),
        "integer" => {
            let least = schema["minimum"].as_i64().unwrap_or(0);
            let most = schema["maximum"].as_i64().unwrap_or(i64::from(i32::MAX));
            let range = (most - least + 1) as u64;
            json!(least + (rng.next_u64() % range) as i64)
        }
        "number" => {
            let least = schema["minimum"].as_f64().unwrap_or(0.0);
            json!(least + f64::from(rng.next_u32() % 1000) / 8.0)
        }
        other => panic!("{other}"),
    }
}

fn object(schema: &Value, rng: &mut TestRng, sparse: u32) -> Value {
    let mut map = Map::new();
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let exactly_one = schema["maxProperties"] == 1;
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let wanted = if exactly_one {
            map.is_empty()
        } else {
            chance(rng, sparse)
        };
        if required.contains(&name.as_str()) || wanted {
            map.insert(name.clone(), value(field, rng, sparse));
        }
    }
    if let (true, Some(format)) = (
        schema["additionalProperties"].is_object(),
        schema["propertyNames"]["format"].as_str(),
    ) {
        for _ in 0..=rng.next_u32() % 2 {
            let key = sample(format, rng.next_u32());
            map.insert(
                key.to_owned(),
                value(&schema["additionalProperties"], rng, sparse),
            );
        }
    }
    Value::Object(map)
}

pub fn random(kind: Kind, rng: &mut TestRng, sparse: u32) -> Value {
    let mut raw = value(schema::schema(kind), rng, sparse);
    if kind == Kind::Image {
        agree(&mut raw["spec"]);
    }
    if matches!(kind, Kind::Firewall | Kind::SecurityGroup) {
        of_a_firewall(kind, &mut raw["spec"]);
    }
    // No element stands in a set twice.
    if kind == Kind::IpSet
        && let Some(entries) = raw.pointer_mut("/spec/entries")
        && let Some(entries) = entries.as_array_mut()
    {
        let mut seen = Vec::new();
        entries.retain(|entry| {
            let new = !seen.contains(&entry["cidr"]);
            seen.push(entry["cidr"].clone());
            new
        });
    }
    // An access rule is for one subject, and gives something.
    if kind == Kind::AccessRule {
        one_subject(&mut raw["spec"], rng);
    }
    // No name of a document is a user's id, and only one realm has passwords.
    if kind == Kind::User {
        raw["spec"]["id"] = json!("ann@pve");
    }
    // The id of a replication job begins with its guest's number.
    if kind == Kind::ReplicationJob {
        let id = raw["spec"]["id"].as_str();
        let number = id.and_then(|id| id.split('-').next()?.parse::<u32>().ok());
        raw["spec"]["guest"] = json!(number.unwrap_or(104));
    }
    raw
}

/// A firewall is somebody's, and has only the options that such a one has; a rule's fields fit each other.
fn of_a_firewall(kind: Kind, spec: &mut Value) {
    let spec = spec.as_object_mut().unwrap();
    if kind == Kind::Firewall {
        let scopes = ["cluster", "node", "guest", "vnet"];
        let kept = scopes.iter().find(|scope| spec.contains_key(**scope));
        let kept = *kept.unwrap_or(&"cluster");
        scopes
            .iter()
            .filter(|scope| **scope != kept)
            .for_each(|scope| {
                spec.remove(*scope);
            });
        if kept == "cluster" {
            spec.insert("cluster".to_owned(), json!(true));
        }
        let has = |field: &str| match field {
            "enabled" => true,
            "policyIn" | "policyOut" => ["cluster", "guest"].contains(&kept),
            "policyForward" => ["cluster", "vnet"].contains(&kept),
            "ebtables" | "logRateLimit" => kept == "cluster",
            "logLevelIn" | "logLevelOut" | "ndp" => ["node", "guest"].contains(&kept),
            "logLevelForward" => ["node", "vnet"].contains(&kept),
            "dhcp" | "radv" | "macFilter" | "ipFilter" => kept == "guest",
            _ => kept == "node",
        };
        if let Some(options) = spec.get_mut("options") {
            options
                .as_object_mut()
                .unwrap()
                .retain(|field, _| has(field));
        }
    }
    let vnet = spec.contains_key("vnet");
    // The list is whole, or a block of it is.
    if spec.contains_key("block") {
        spec.remove("rules");
    }
    if let Some(block) = spec.get_mut("block").and_then(Value::as_object_mut) {
        block.entry("name").or_insert(json!("app"));
        block.entry("rules").or_insert(json!([]));
        some_rules(kind, vnet, block);
    }
    some_rules(kind, vnet, spec);
}

fn some_rules(kind: Kind, vnet: bool, list: &mut serde_json::Map<String, Value>) {
    let rules = list.get_mut("rules").and_then(Value::as_array_mut);
    for rule in rules.into_iter().flatten() {
        let rule = rule.as_object_mut().unwrap();
        rule.entry("direction").or_insert(json!("in"));
        rule.entry("action").or_insert(json!("ACCEPT"));
        if vnet {
            rule.remove("iface");
            if rule["direction"] != "group" {
                rule.insert("direction".to_owned(), json!("forward"));
            }
        }
        if rule["direction"] == "group" && kind == Kind::SecurityGroup {
            rule.insert("direction".to_owned(), json!("in"));
        }
        if rule["direction"] == "group" {
            rule.insert("action".to_owned(), json!("web"));
            rule.retain(|field, _| {
                ["direction", "action", "enabled", "iface", "comment"].contains(&field.as_str())
            });
            continue;
        }
        if rule["action"] == "web" {
            rule.insert("action".to_owned(), json!("ACCEPT"));
        }
        rule.entry("proto").or_insert(json!("tcp"));
    }
}

fn one_subject(spec: &mut Value, rng: &mut TestRng) {
    let fields = spec.as_object_mut().unwrap();
    for subject in ["user", "group", "token"] {
        fields.remove(subject);
    }
    let subjects = [
        ("user", "ann@pve"),
        ("group", "ops"),
        ("token", "ann@pve!ci"),
    ];
    let (subject, id) = subjects[rng.next_u32() as usize % 3];
    fields.insert(subject.to_owned(), json!(id));
    if fields["roles"].as_array().is_none_or(Vec::is_empty) {
        fields.insert("roles".to_owned(), json!(["Ops"]));
    }
}

/// Of an image's content, name and checksum hardly any drawn at random fit each other.
fn agree(spec: &mut Value) {
    let fields = spec.as_object_mut().unwrap();
    if fields.contains_key("reference") {
        for other in ["url", "checksum", "decompression", "verifyCertificates"] {
            fields.remove(other);
        }
        fields.insert("content".to_owned(), json!("vztmpl"));
        fields.insert("filename".to_owned(), json!("nginx-1.29.tar"));
        return;
    }
    for (field, else_it_is) in [
        ("url", json!("https://images.example.org/a")),
        ("checksum", json!({"algorithm": "sha256", "value": ""})),
    ] {
        fields.entry(field).or_insert(else_it_is);
    }
    let (ending, digits) = (
        match spec["content"].as_str().unwrap() {
            "iso" => "iso",
            "vztmpl" => "tar.zst",
            _ => "qcow2",
        },
        match spec["checksum"]["algorithm"].as_str().unwrap() {
            "md5" => 32,
            "sha1" => 40,
            "sha224" => 56,
            "sha256" => 64,
            "sha384" => 96,
            _ => 128,
        },
    );
    spec["filename"] = json!(format!("Debian_13.{ending}"));
    spec["checksum"]["value"] = json!("0A".repeat(digits / 2));
    if ending != "iso" {
        spec.as_object_mut().unwrap().remove("decompression");
    }
}

/// The document, if what its fields say together is no contradiction.
pub fn read(text: &str) -> Option<Document> {
    match load(&[("a.yaml", text)]) {
        Ok(mut documents) => {
            assert_eq!(documents.len(), 1, "{text}");
            documents.pop()
        }
        Err(errors) => {
            for error in errors.errors {
                // Contradictions of random fields are to be expected, faults of single fields are not.
                let single = [
                    "unknown",
                    "expected a",
                    "cannot be `",
                    "cannot be read",
                    "not YAML",
                    "not allowed",
                    "needs exactly one of `fromFile`",
                ];
                let bad = single.iter().any(|word| error.message.contains(word))
                    && !error.message.contains("are too little");
                assert!(!bad, "{}\n{text}", error.render());
            }
            None
        }
    }
}

fn shuffled(value: &Value, rng: &mut TestRng) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            for i in (1..entries.len()).rev() {
                entries.swap(i, rng.next_u32() as usize % (i + 1));
            }
            Value::Object(
                entries
                    .into_iter()
                    .map(|(k, v)| (k.clone(), shuffled(v, rng)))
                    .collect(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| shuffled(item, rng)).collect()),
        single => single.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn written_and_read_again_a_document_says_the_same(seed in any::<[u8; 32]>(), kind in 0usize..Kind::ALL.len(), sparse in 3u32..40) {
        let mut rng = TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &seed);
        let kind = Kind::ALL[kind];
        let raw = random(kind, &mut rng, sparse);
        // Pretty JSON is YAML too: what was made, in the plainest spelling there is.
        if let Some(document) = read(&serde_json::to_string_pretty(&raw).unwrap()) {
            let yaml = bailiwick::document::yaml::write(&document).unwrap();
            let again = read(&yaml).expect("what was written is valid");
            prop_assert_eq!(&document.hash, &again.hash, "{}", yaml);
            prop_assert_eq!(&document.spec, &again.spec);
            prop_assert_eq!(document.desired(), again.desired());
            let other = serde_json::to_string(&shuffled(&raw, &mut rng)).unwrap();
            let other = read(&format!("# a comment\n{other} # another\n")).unwrap();
            prop_assert_eq!(&document.hash, &other.hash);
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[ -~\n\t\u{0}-\u{ff}]{0,200}") {
        let _ = load(&[("a.yaml", &text)]);
    }

    #[test]
    fn no_yaml_makes_the_reader_panic(text in "([a-c]: |- |\\? |\\{|\\}|\\[|\\]|, |\"|'|\\||>|&a |\\*a|!!x |%|<<: |\n|  |---\n|\\.\\.\\.\n|#|kind: Pool\n|spec:\n|metadata:\n|  name: a\n){0,40}") {
        match load(&[("a.yaml", &text)]) {
            Ok(_) => {}
            Err(errors) => prop_assert!(!errors.to_string().is_empty()),
        }
    }

    #[test]
    fn a_broken_example_is_an_error_and_never_a_panic(at in 0usize..2000, insert in "[\\PC\n]{0,3}", drop in 0usize..4) {
        let example = include_str!("../../examples/documents/virtual-machine.yaml");
        let chars: Vec<char> = example.chars().collect();
        let at = at.min(chars.len());
        let text: String = chars[..at].iter().copied().chain(insert.chars()).chain(chars[at..].iter().skip(drop).copied()).collect();
        if let Err(errors) = load(&[("a.yaml", &text)]) {
            for error in &errors.errors {
                prop_assert!(error.line >= 1 && error.line <= text.lines().count().max(1) + 1, "{}", error);
                prop_assert!(error.render().contains('^'));
            }
        }
    }
}

#[test]
fn the_hash_does_not_change_with_comments_order_and_spelling() {
    let hash = |spec: &str| {
        let text = format!(
            "apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata: {{name: a}}\nspec: {spec}\n"
        );
        load(&[("a.yaml", text)]).unwrap_or_else(|e| panic!("{e}"))[0]
            .hash
            .to_string()
    };
    let one = hash("{memory: {size: 8Gi}, tags: [b, a], cpu: {limit: 2}, description: \"x\\n\"}");
    assert_eq!(
        one,
        hash(
            "{description: x, cpu: {limit: 2.0}, tags: [a, \"b\"], memory: {size: 8192M}} # comment"
        )
    );
    assert_ne!(
        one,
        hash("{memory: {size: 8Gi}, tags: [b, a], cpu: {limit: 2}}")
    );
    assert_ne!(hash("{name: null}"), hash("{}"));
    assert!(one.starts_with("sha256:") && one.len() == 71);
}

#[test]
fn random_documents_are_mostly_valid() {
    let mut rng = TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &[7; 32]);
    for kind in Kind::ALL {
        let valid = (0..100u32).filter(|i| {
            let raw = random(kind, &mut rng, 3 + i % 37);
            read(&raw.to_string()).is_some()
        });
        let valid = valid.count();
        assert!(
            valid >= 25,
            "only {valid} of 100 random documents of {kind} are valid"
        );
    }
}

#[test]
fn ten_thousand_documents_are_read_in_seconds_even_unoptimised() {
    let text: String = (0..10_000)
        .map(|i| format!("apiVersion: bailiwick.dev/v1alpha1\nkind: VirtualMachine\nmetadata:\n  name: web-{i}\nspec:\n  vmid: {}\n  cpu: {{cores: 2}}\n---\n", 1000 + i))
        .collect();
    let begun = std::time::Instant::now();
    assert_eq!(load(&[("a.yaml", &text)]).unwrap().len(), 10_000);
    assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
}
