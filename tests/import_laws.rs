//! Laws of import over random configurations, sound and broken ones: the documents read without error, planning them changes nothing,
//! and nothing that was there is dropped in silence.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::collections::{BTreeMap, BTreeSet};

use bailiwick::document::desired::{Desired, Value, Wish};
use bailiwick::document::{Document, load};
use bailiwick::ids::GuestKind;
use bailiwick::plan::{
    ApiView, Item, Origin, Ownership, PlanInput, Restart, Settings, Wanted, make_plan,
};
use bailiwick::proxmox::property::{Domain, PropertyMap};
use bailiwick::service::import::{Import, ImportedObject};
use bailiwick::world::firewall::{Group, Rule};
use bailiwick::world::testing::storage_id;
use bailiwick::world::{BackupJob, World};
use proptest::prelude::*;

#[path = "support/oddities.rs"]
mod oddities;
use oddities::*;

fn documents(import: &Import) -> Vec<Document> {
    let texts: Vec<(String, &str)> = import
        .objects
        .iter()
        .map(|o| (o.key.to_string(), o.text.as_str()))
        .collect();
    load(&texts).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Planning the documents of an import changes nothing.
fn plans_to_nothing(world: &World, documents: &[Document]) {
    let items = documents
        .iter()
        .map(|document| Item {
            key: document.key().to_string(),
            source: "operator:anna".to_owned(),
            hash: Some(document.hash.to_string()),
            wanted: Wanted::Present(document.desired()),
            restart: Restart::Ask,
            take_over: None,
            labels: BTreeMap::new(),
        })
        .collect();
    let input = PlanInput {
        cluster: world.cluster.clone(),
        parent: None,
        origin: Origin::Drift,
        policy: String::new(),
        items,
        ownership: &Ownership::default(),
        world,
        api: ApiView::NotAsked,
        settings: &Settings::default(),
        now: world.observed_at,
        secrets: &BTreeMap::new(),
        closed_files: &BTreeMap::new(),
        backups: &BTreeMap::new(),
    };
    let plan = make_plan(&input).unwrap_or_else(|error| panic!("{error}"));
    assert!(
        plan.steps.is_empty() && plan.changes.is_empty(),
        "{:?}",
        plan.changes
    );
    assert_eq!(plan.impacts, []);
}

/// The document was right before it was planned: nothing had to be taken out because a plan would have changed it.
fn right_at_once(import: &Import) {
    assert_eq!(import.missing, []);
    for left in import.objects.iter().flat_map(|object| &object.left_out) {
        assert!(
            !left.why.contains("would become") && !left.why.contains("nothing can be planned"),
            "{left:?}"
        );
    }
}

fn is_template(desired: &Desired) -> bool {
    matches!(desired, Desired::Guest(guest) if guest.template == Some(true))
}

/// Everything that is there is managed, or told.
fn nothing_is_dropped(
    domain: Domain,
    section: &BTreeMap<String, String>,
    desired: &Desired,
    object: &ImportedObject,
) {
    let told: BTreeSet<&str> = object
        .left_out
        .iter()
        .map(|left| left.setting.as_str())
        .collect();
    for (key, raw) in section {
        let asked = match desired {
            Desired::Guest(guest) => guest.options.get(key).cloned().or_else(|| {
                let (_, wish) = guest.disks.iter().find(|(slot, _)| slot.as_str() == key)?;
                match wish {
                    Wish::Set(disk) => Some(Wish::Set(Value::Properties {
                        set: disk.options.clone(),
                        remove: BTreeSet::new(),
                    })),
                    Wish::Remove => None,
                }
            }),
            Desired::Storage(storage) => storage.options.get(key).cloned(),
            Desired::BackupJob(job) => job.options.get(key).cloned(),
            Desired::Pool(_)
            | Desired::Snapshot(_)
            | Desired::Image(_)
            | Desired::Account(_)
            | Desired::ApiToken(_)
            | Desired::FirewallAlias(_)
            | Desired::IpSet(_)
            | Desired::SecurityGroup(_) => None,
            Desired::Firewall(firewall) => firewall.options.get(key).cloned(),
            Desired::ReplicationJob(job) => job.options.get(key).cloned(),
        };
        let implied = key == "unprivileged"
            || (key == "shared" && domain == Domain::Storage)
            || (matches!(key.as_str(), "id" | "type") && domain == Domain::BackupJob)
            || (key == "template" && is_template(desired) == (raw == "1"));
        let parts = told.iter().any(|setting| {
            setting
                .strip_prefix(key.as_str())
                .is_some_and(|rest| rest.starts_with('.'))
        });
        let Some(asked) = asked else {
            let nothing =
                PropertyMap::parse(domain, key, raw).is_ok_and(|map| map.normal().is_empty());
            assert!(
                told.contains(key.as_str()) || implied || parts || nothing,
                "{key}: {raw:?} is dropped\n{}",
                object.text
            );
            continue;
        };
        let Wish::Set(Value::Properties { set, .. }) = asked else {
            continue;
        };
        let map = PropertyMap::parse(domain, key, raw).unwrap();
        for name in map.normal().into_keys() {
            let of_the_slot =
                ["file", "volume", "media", "size", "base64"].contains(&name.as_str());
            let told = told.contains(format!("{key}.{name}").as_str());
            assert!(
                of_the_slot || told || set.contains_key(&name),
                "{key}.{name} of {raw:?} is dropped\n{}",
                object.text
            );
        }
    }
}

fn guest_comes_back(kind: GuestKind, given: &[(String, String)], running: bool) {
    let mut builder = cluster().guest(kind, 100, "pve1", &lines(given));
    if running && !given.iter().any(|(key, _)| key == "template") {
        builder = builder.running(100);
    }
    let world = builder.build();
    let import = imported(&world);
    right_at_once(&import);
    let documents = documents(&import);
    plans_to_nothing(&world, &documents);
    let word = kind.word();
    let object = import
        .objects
        .iter()
        .find(|object| object.object == format!("{word}/100"))
        .unwrap();
    let document = documents
        .iter()
        .find(|document| document.key() == object.key)
        .unwrap();
    let section = &world.guests.values().next().unwrap().config.current;
    nothing_is_dropped(Domain::from(kind), section, &document.desired(), object);
    // Whatever stands in a configuration, a secret of it never comes out.
    assert!(!object.text.contains("**********"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_virtual_machine_comes_back(given in section(MACHINE), running: bool) {
        guest_comes_back(GuestKind::Qemu, &given, running);
    }

    #[test]
    fn a_container_comes_back(given in section(CONTAINER), running: bool) {
        guest_comes_back(GuestKind::Lxc, &given, running);
    }

    #[test]
    fn a_storage_comes_back(given in section(STORAGE), kind in prop::sample::select(TYPES)) {
        let world = cluster().storage("under_test", kind).edit(|world| {
            let storage = world.storages.get_mut(&storage_id("under_test")).unwrap();
            let storage = std::sync::Arc::make_mut(storage);
            storage.options = given.iter().cloned().collect();
        }).build();
        let import = imported(&world);
        right_at_once(&import);
        let documents = documents(&import);
        plans_to_nothing(&world, &documents);
        let object = import.objects.iter().find(|object| object.object == "storage/under_test").unwrap();
        let document = documents.iter().find(|document| document.key() == object.key).unwrap();
        let section = given.into_iter().collect();
        nothing_is_dropped(Domain::Storage, &section, &document.desired(), object);
        prop_assert!(!object.text.contains("hunter2"));
    }

    #[test]
    fn a_backup_job_comes_back(given in section(BACKUP_JOB), whom in prop::sample::select(SELECTIONS)) {
        let mut options: BTreeMap<String, String> = given.into_iter().collect();
        options.extend(whom.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let world = cluster().edit(|world| {
            let job = BackupJob::of(options.clone());
            world.backup_jobs.insert("under_test".to_owned(), std::sync::Arc::new(job));
        }).build();
        let import = imported(&world);
        right_at_once(&import);
        let documents = documents(&import);
        plans_to_nothing(&world, &documents);
        let object = import.objects.iter().find(|object| object.object == "backup-job/under_test").unwrap();
        let document = documents.iter().find(|document| document.key() == object.key).unwrap();
        nothing_is_dropped(Domain::BackupJob, &options, &document.desired(), object);
    }

    /// Guests may share a name, have none, or have one that is no name of a document: each gets a document of its own all the same.
    #[test]
    fn every_guest_has_a_name_of_its_own(given in prop::collection::btree_map(100u32..130, prop::sample::select(vec!["web", "web", "Web", "vm-101", "vm-102", "ct-103", "a_b", ""]), 1..12)) {
        let mut builder = cluster();
        for (number, name) in &given {
            let line = [("name", *name)];
            builder = builder.vm(*number, "pve1", if name.is_empty() { &[] } else { &line });
        }
        let world = builder.build();
        let import = imported(&world);
        right_at_once(&import);
        let names: BTreeSet<_> = import.objects.iter().map(|object| object.key.clone()).collect();
        prop_assert_eq!(names.len(), import.objects.len());
        for object in import.objects.iter().filter(|object| object.object.starts_with("vm/")) {
            // A made name is the one of this guest and no other.
            if let Some(number) = object.key.name.strip_prefix("vm-") {
                prop_assert_eq!(object.object.strip_prefix("vm/"), Some(number));
            }
        }
        plans_to_nothing(&world, &documents(&import));
    }
}

fn cases() -> u32 {
    if std::env::var_os("BAILIWICK_LONG").is_some() {
        2_000
    } else {
        96
    }
}

/// Sound configurations come back with nothing left out but what a token may not set.
#[test]
fn what_is_sound_is_imported_whole() {
    let first = |table: &'static [(&'static str, &'static [&'static str])],
                 without: &[&str]|
     -> Vec<(String, String)> {
        table
            .iter()
            .filter(|(key, _)| !without.contains(key))
            .map(|(key, values)| ((*key).to_owned(), values[0].to_owned()))
            .collect()
    };
    let left = |kind, given: &[(String, String)]| -> Vec<String> {
        let world = cluster().guest(kind, 100, "pve1", &lines(given)).build();
        let import = imported(&world);
        let object = import
            .objects
            .iter()
            .find(|object| object.object.ends_with("/100"))
            .unwrap();
        object
            .left_out
            .iter()
            .map(|left| left.setting.clone())
            .collect()
    };
    let told = left(GuestKind::Qemu, &first(MACHINE, &["template", "balloon"]));
    insta::assert_snapshot!(told.join(" "), @"Odd.Key affinity args bootdisk cipassword future hookscript hugepages ide0 meta parallel0 smbios1.uuid spice_enhancements unused0 vmgenid");
    let told = left(GuestKind::Lxc, &first(CONTAINER, &["template"]));
    insta::assert_snapshot!(told.join(" "), @"dev0 hookscript lxc.cap.drop unused0");
}

/// A list with a block is shared: the document is about the block. With several, or with markers that are no pair, no document is about its
/// rules.
#[test]
fn a_list_with_a_block_is_imported_as_one() {
    let rule = |fields: &[(&str, &str)]| {
        let fields = fields.iter();
        Rule {
            fields: fields
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            ..Rule::default()
        }
    };
    let marker = |word: &str, name: &str| {
        let comment = format!("bailiwick:{word} {name}");
        rule(&[
            ("type", "in"),
            ("action", "DROP"),
            ("enable", "0"),
            ("comment", &comment),
        ])
    };
    let theirs = || {
        rule(&[
            ("type", "out"),
            ("action", "DROP"),
            ("enable", "1"),
            ("comment", "theirs"),
        ])
    };
    let ours = || {
        rule(&[
            ("type", "in"),
            ("action", "ACCEPT"),
            ("macro", "SSH"),
            ("enable", "1"),
        ])
    };
    let with = |rules: Vec<Rule>| {
        let world = cluster()
            .edit(|world| {
                let scope = std::sync::Arc::make_mut(world.firewalls.cluster.as_mut().unwrap());
                scope.rules.clone_from(&rules);
                let group = Group {
                    rules,
                    comment: None,
                };
                scope.groups.insert("web".to_owned(), group);
            })
            .build();
        let import = imported(&world);
        let documents = documents(&import);
        plans_to_nothing(&world, &documents);
        let of = |object: &str| {
            let found = import.objects.iter().find(|it| it.object == object);
            let found = found.unwrap();
            let left: Vec<String> = found.left_out.iter().map(|left| left.why.clone()).collect();
            (found.text.clone(), left)
        };
        assert_eq!(of("firewall/cluster").1, of("security-group/web").1);
        of("firewall/cluster")
    };
    let (text, left) = with(vec![
        theirs(),
        marker("begin", "app"),
        ours(),
        marker("end", "app"),
    ]);
    assert_eq!(left, Vec::<String>::new());
    assert!(
        text.contains("block:") && text.contains("name: app") && text.contains("SSH"),
        "{text}"
    );
    assert!(
        !text.contains("theirs") && !text.contains("bailiwick:begin"),
        "{text}"
    );
    let (text, left) = with(vec![marker("begin", "app"), ours()]);
    assert!(
        left[0].contains("the block app of the list is broken"),
        "{left:?}"
    );
    assert!(!text.contains("SSH"), "{text}");
    let (_, left) = with(vec![
        marker("begin", "a1"),
        marker("end", "a1"),
        marker("begin", "b1"),
        marker("end", "b1"),
    ]);
    assert!(left[0].contains("it has the blocks a1 and b1"), "{left:?}");
    let (text, _) = with(vec![theirs()]);
    assert!(text.contains("theirs"), "{text}");
}
