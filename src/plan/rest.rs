//! The rest of a plan whose run was interrupted, judged again: the world may have moved on since the plan was approved.

use std::collections::{BTreeMap, BTreeSet};

use super::impacts::Watch;
use super::input::Settings;
use super::model::{Inverse, Plan, StepId};
use super::words::clean;
use crate::health::Category;
use crate::world::World;

/// What would get worse, or cannot be told, if these steps of the plan were done in this world, and does not stand in the plan: what
/// nobody approved. Empty if the rest of the plan hurts nobody whom the plan does not name.
pub fn unapproved(
    plan: &Plan,
    rest: &BTreeSet<StepId>,
    world: &World,
    settings: &Settings,
) -> Vec<String> {
    let mut watch = Watch::new(world, settings.keepers());
    for step in plan.steps.iter().filter(|step| rest.contains(&step.id)) {
        watch.step(step.id, &step.action);
        if let Inverse::Irreversible { why } = &step.inverse {
            watch.irreversible(step.id, &step.action, why);
        }
    }
    let mut unknowns = BTreeMap::new();
    let seen = watch.end(&mut unknowns);
    let named: BTreeSet<(&str, Category)> = plan
        .impacts
        .iter()
        .map(|impact| (impact.entity.as_str(), impact.category))
        .collect();
    let accepted: BTreeSet<&str> = plan.unknowns.iter().map(|u| u.what.as_str()).collect();
    let worse = seen
        .impacts
        .iter()
        .filter(|impact| !named.contains(&(impact.entity.as_str(), impact.category)))
        .map(|impact| {
            let causes = clean(&impact.causes.join("; "));
            format!("{} {} ({causes})", clean(&impact.entity), impact.category)
        });
    let unknown = unknowns
        .iter()
        .filter(|(what, _)| !accepted.contains(what.as_str()))
        .map(|(what, why)| format!("unknown: {} ({})", clean(what), clean(why)));
    worse.chain(unknown).collect()
}
