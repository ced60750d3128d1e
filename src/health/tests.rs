//! Tests of health, rule by rule: each named after its rule, firing and silent; and the laws.

mod findings;
mod general;
mod guests;
mod laws;
mod shared;
mod storages;

use crate::health::{Category, Worse, evaluate, reevaluate, summary};
use crate::world::testing::{Builder, storage_id};
use crate::world::{Action, Param, World};

/// What an action makes worse, as `vm/104 won't-boot (boot disk scsi0 on local-zfs)`; incremental and whole evaluation agree.
fn after(world: &World, action: &Action) -> Vec<String> {
    let predicted = world.apply(action).unwrap();
    between(world, &predicted)
}

fn between(world: &World, predicted: &World) -> Vec<String> {
    let before = evaluate(world);
    let health = evaluate(predicted);
    assert_eq!(
        reevaluate(&before, world, predicted),
        health,
        "incremental evaluation differs"
    );
    summary(&before, &health).iter().map(line).collect()
}

fn line(worse: &Worse) -> String {
    let word = worse.after.category.map_or("?", Category::word);
    format!(
        "{} {word} ({})",
        worse.entity,
        worse.after.causes.join("; ")
    )
}

fn delete(id: &str) -> Action {
    Action::DeleteStorage { id: storage_id(id) }
}

fn set(id: &str, options: &[(&str, &str)]) -> Action {
    Action::UpdateStorage {
        id: storage_id(id),
        set: options
            .iter()
            .map(|(k, v)| ((*k).to_owned(), Param::Plain((*v).to_owned())))
            .collect(),
        delete: std::collections::BTreeSet::new(),
    }
}

fn lab() -> Builder {
    Builder::new(&["pve1", "pve2", "pve3"])
        .storage("local", "dir")
        .storage("local-zfs", "zfspool")
        .storage("ceph", "rbd")
        .storage("nas", "nfs")
}
