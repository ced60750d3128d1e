//! No churn, for random documents over random live configurations: what a plan asked for and did is not asked for again, neither the
//! order of the documents nor a guest that has nothing to do with them changes a plan.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use bailiwick::document::desired::Desired;
use bailiwick::document::load;
use bailiwick::ids::GuestKind;
use bailiwick::plan::{
    ApiView, Item, Origin, Ownership, Plan, PlanError, PlanInput, Restart, Settings, Wanted, check,
    make_plan,
};
use bailiwick::world::World;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

#[allow(dead_code)]
#[path = "support/oddities.rs"]
mod oddities;
use oddities::*;

type Lines = Vec<(String, String)>;

/// A cluster with one guest that is configured so.
fn with_guest(kind: GuestKind, given: &[(String, String)], running: bool) -> World {
    let builder = cluster()
        .edit(|world| world.permissions = Arc::new([("/".to_owned(), everything())].into()))
        .guest(kind, 100, "pve1", &lines(given));
    match running && !given.iter().any(|(key, _)| key == "template") {
        true => builder.running(100).build(),
        false => builder.build(),
    }
}

/// What a token must hold for changes of guests.
fn everything() -> BTreeMap<String, bool> {
    let config = [
        "CDROM",
        "CPU",
        "Cloudinit",
        "Disk",
        "HWType",
        "Memory",
        "Network",
        "Options",
    ];
    let config = config.iter().map(|one| format!("VM.Config.{one}"));
    let others = [
        "VM.Allocate",
        "VM.Audit",
        "VM.Migrate",
        "VM.PowerMgmt",
        "Datastore.Allocate",
        "Datastore.AllocateSpace",
        "Datastore.Audit",
        "Mapping.Use",
        "SDN.Use",
        "Sys.Audit",
        "Sys.Modify",
    ];
    config
        .chain(others.iter().map(|one| (*one).to_owned()))
        .map(|privilege| (privilege, true))
        .collect()
}

/// A document that asks for what a guest has in this world.
fn document_of(world: &World, kind: GuestKind, restart: Restart) -> Item {
    let import = imported(world);
    let object = format!("{}/100", kind.word());
    let found = import.objects.iter().find(|o| o.object == object).unwrap();
    let documents = load(&[("guest.yaml", found.text.as_str())]).unwrap();
    Item {
        key: "VirtualMachine/under-test".to_owned(),
        source: "git:infra".to_owned(),
        hash: Some(documents[0].hash.to_string()),
        wanted: Wanted::Present(documents[0].desired()),
        restart,
        take_over: None,
        labels: BTreeMap::new(),
    }
}

fn plan(world: &World, ownership: &Ownership, items: Vec<Item>) -> Result<Plan, PlanError> {
    let input = PlanInput {
        cluster: world.cluster.clone(),
        parent: None,
        origin: Origin::Drift,
        policy: String::new(),
        items,
        ownership,
        world,
        api: ApiView::NotAsked,
        settings: &Settings::default(),
        now: world.observed_at,
        secrets: &BTreeMap::new(),
        closed_files: &BTreeMap::new(),
        backups: &BTreeMap::new(),
    };
    make_plan(&input)
}

/// A plan for a document without what cannot be planned of it, as a person would take it out, one field after the other.
fn first_plan(world: &World, mut item: Item) -> Option<(Plan, Item)> {
    loop {
        let error = match plan(world, &Ownership::default(), vec![item.clone()]) {
            Ok(plan) => return Some((plan, item)),
            Err(error) => error,
        };
        let Wanted::Present(Desired::Guest(guest)) = &mut item.wanted else {
            return None;
        };
        let was = guest.clone();
        for problem in &error.problems {
            let field = problem.field.split('.').next().unwrap_or_default();
            guest.options.remove(field);
            guest.disks.retain(|slot, _| slot.as_str() != field);
            match field {
                "powerState" => guest.power = None,
                "isTemplate" => guest.template = None,
                _ => {}
            }
        }
        if *guest == was {
            return None;
        }
    }
}

/// The world after a plan as it would be read, if every step is possible.
fn carried_out(world: &World, plan: &Plan) -> Option<World> {
    let mut world = plan
        .steps
        .iter()
        .try_fold(world.clone(), |world, step| world.apply(&step.action))
        .ok()?;
    for guest in world.guests.values_mut() {
        Arc::make_mut(guest).config.digest = "e".repeat(40);
    }
    Some(world)
}

/// What became of the plans that were tried: a law that only ever saw refusals would prove nothing.
#[derive(Default)]
struct Tally {
    refused: Cell<u32>,
    impossible: Cell<u32>,
    empty: Cell<u32>,
    done: Cell<u32>,
}

fn one_more(count: &Cell<u32>) {
    count.set(count.get() + 1);
}

/// One guest as it is, and what a document asks of it: everything that another guest has.
fn nothing_is_left(
    kind: GuestKind,
    live: &Lines,
    asked: &Lines,
    (running, shall_run, restart): (bool, bool, Restart),
    tally: &Tally,
) -> Result<(), TestCaseError> {
    let world = with_guest(kind, live, running);
    let document = document_of(&with_guest(kind, asked, shall_run), kind, restart);
    let owner = Ownership::default();
    let Some((first, document)) = first_plan(&world, document) else {
        one_more(&tally.refused);
        return Ok(());
    };
    let items = vec![document];
    prop_assert_eq!(check(&first), vec![]);
    let Some(after) = carried_out(&world, &first) else {
        one_more(&tally.impossible);
        return Ok(());
    };
    one_more(if first.steps.is_empty() {
        &tally.empty
    } else {
        &tally.done
    });
    let owner = owner.after(&first, &items, &BTreeMap::new(), &after);
    let again = plan(&after, &owner, items)
        .map_err(|error| TestCaseError::fail(format!("{:#?}\nthen {error}", first.changes)))?;
    let steps: Vec<&str> = again.steps.iter().map(|step| step.title.as_str()).collect();
    prop_assert!(
        again.steps.is_empty() && again.changes.is_empty(),
        "first {:#?}\nthen {steps:#?} {:#?}",
        first.changes,
        again.changes
    );
    Ok(())
}

fn restarts() -> impl Strategy<Value = Restart> {
    prop::sample::select(vec![Restart::Never, Restart::Ask, Restart::Window])
}

fn cases() -> u32 {
    if std::env::var_os("BAILIWICK_LONG").is_some() {
        5_000
    } else {
        192
    }
}

/// Plays the law for one kind of guest.
fn no_churn(kind: GuestKind, table: &'static [(&'static str, &'static [&'static str])]) {
    let tally = Tally::default();
    let mut runner = TestRunner::new(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    // A template takes hardly any change: most guests shall be none.
    let some = || {
        (section(table), prop::bool::weighted(0.1)).prop_map(|(lines, template)| {
            lines
                .into_iter()
                .filter(|(key, _)| template || key != "template")
                .collect::<Lines>()
        })
    };
    let strategy = (some(), some(), any::<bool>(), any::<bool>(), restarts());
    let outcome = runner.run(&strategy, |(live, asked, running, shall_run, restart)| {
        nothing_is_left(kind, &live, &asked, (running, shall_run, restart), &tally)
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let [refused, impossible, empty, done] =
        [&tally.refused, &tally.impossible, &tally.empty, &tally.done].map(Cell::get);
    assert!(
        done * 5 > cases(),
        "only {done} plans did anything; {refused} were refused, {impossible} impossible, {empty} empty"
    );
}

#[test]
fn a_machine_has_nothing_left_to_do_after_its_plan() {
    no_churn(GuestKind::Qemu, MACHINE);
}

#[test]
fn a_container_has_nothing_left_to_do_after_its_plan() {
    no_churn(GuestKind::Lxc, CONTAINER);
}

/// The document as one of a guest of another number and name.
fn renamed(mut item: Item, key: &str) -> Item {
    item.key = key.to_owned();
    item
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases() / 4, failure_persistence: None, ..ProptestConfig::default() })]

    /// The order of the documents changes nothing, and neither does a guest that no document is about and that nothing touches.
    #[test]
    fn order_and_strangers_change_nothing(
        machine in section(MACHINE), container in section(CONTAINER),
        asked in section(MACHINE), asked_too in section(CONTAINER),
        stranger in section(MACHINE), running: bool,
    ) {
        let both = |with: Option<&Lines>| {
            let mut world = with_guest(GuestKind::Qemu, &machine, running);
            let other = cluster().guest(GuestKind::Lxc, 200, "pve2", &lines(&container));
            let other = match with {
                // It has no disk and no network card, since both would concern the others: room, and addresses.
                Some(stranger) => {
                    let plain: Vec<(&str, &str)> = lines(stranger)
                        .into_iter()
                        .filter(|(key, _)| matches!(*key, "name" | "cores" | "tags" | "description" | "onboot" | "startup"))
                        .collect();
                    other.guest(GuestKind::Qemu, 777, "pve2", &plain)
                }
                None => other,
            }.build();
            world.guests.extend(other.guests.clone());
            world.completeness.extend(other.completeness.clone());
            for (id, storage) in &other.storages {
                let mine = Arc::make_mut(world.storages.get_mut(id).unwrap());
                for (node, volumes) in &storage.volumes {
                    let here = mine.volumes.entry(node.clone()).or_default();
                    Arc::make_mut(here).extend(volumes.iter().map(|(id, volume)| (id.clone(), volume.clone())));
                }
            }
            world
        };
        let world = both(None);
        let of_machine = document_of(&with_guest(GuestKind::Qemu, &asked, running), GuestKind::Qemu, Restart::Never);
        let mut of_container = document_of(&with_guest(GuestKind::Lxc, &asked_too, false), GuestKind::Lxc, Restart::Never);
        if let Wanted::Present(Desired::Guest(guest)) = &mut of_container.wanted {
            guest.vmid = Some(200.try_into().unwrap());
            guest.disks.clear();
        }
        let none = Ownership::default();
        let Some((_, of_machine)) = first_plan(&world, of_machine) else { return Ok(()) };
        let Some((_, of_container)) = first_plan(&world, of_container) else { return Ok(()) };
        let items = vec![of_machine, renamed(of_container, "Container/under-test")];
        let turned: Vec<Item> = items.iter().rev().cloned().collect();
        let first = plan(&world, &none, items.clone());
        prop_assert_eq!(&first, &plan(&world, &none, turned));
        let beside = plan(&both(Some(&stranger)), &none, items);
        if let (Ok(first), Ok(beside)) = (&first, &beside) {
            prop_assert_eq!(&first.hash, &beside.hash, "{:#?}\n{:#?}", first, beside);
        }
        prop_assert_eq!(first.is_ok(), beside.is_ok());
    }
}
