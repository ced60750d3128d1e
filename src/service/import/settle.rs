//! The imported documents are planned before anybody sees them: what would change something after all is taken out and told. The
//! comparison is the planner's own, so that there is no second one to disagree with it.

use std::collections::BTreeMap;

use super::{Candidate, Live, NotImported};
use crate::plan::{self, ApiView, Backups, Origin, PlanInput, Settings};
use crate::service::error::ServiceError;
use crate::service::recipe::{Text, Wants, item, read};
use crate::world::{Completeness, Part, World};

/// Most rounds of planning before an import is given up. Each round takes fields out, and one is the rule.
const ROUNDS: usize = 32;

/// Plans the documents, and takes out what would change something, until nothing would.
pub(super) fn settle(
    live: &Live<'_>,
    candidates: &mut Vec<Candidate>,
    missing: &mut Vec<NotImported>,
) -> Result<(), ServiceError> {
    // What was read of a list is so, even where there may be more of it.
    let mut world = live.world.clone();
    let at = world.observed_at;
    for part in [
        Part::Resources,
        Part::Storages,
        Part::Pools,
        Part::BackupJobs,
        Part::ReplicationJobs,
        Part::Groups,
        Part::Users,
        Part::Roles,
        Part::Realms,
        Part::RealmSettings,
        Part::Acl,
    ] {
        world
            .completeness
            .insert(part, Completeness::Complete { at });
    }
    for _ in 0..ROUNDS {
        let found = objections(live, &world, candidates)?;
        if found.is_empty() {
            return Ok(());
        }
        let mut whose = 0;
        for Objection { object, key, why } in found {
            let place = candidates
                .iter()
                .position(|candidate| candidate.imported.object == object);
            let Some(place) = place else { continue };
            whose += 1;
            let withdrawn = candidates
                .get_mut(place)
                .is_some_and(|candidate| candidate.imported.withdraw(&key, &why));
            if !withdrawn {
                candidates.remove(place);
                missing.push(NotImported { what: object, why });
            }
        }
        if whose == 0 {
            drop_each(live, &world, candidates, missing)?;
        }
    }
    Err(ServiceError::Defect(
        "the imported documents do not come to rest".to_owned(),
    ))
}

/// Something stands in the way that names no object: plans each document by itself, and gives those up that do not plan to nothing.
fn drop_each(
    live: &Live<'_>,
    world: &World,
    candidates: &mut Vec<Candidate>,
    missing: &mut Vec<NotImported>,
) -> Result<(), ServiceError> {
    let mut kept = Vec::new();
    for candidate in candidates.drain(..) {
        let found = objections(live, world, std::slice::from_ref(&candidate))?;
        match found.into_iter().next() {
            None => kept.push(candidate),
            Some(Objection { why, .. }) => missing.push(NotImported {
                what: candidate.imported.object,
                why,
            }),
        }
    }
    *candidates = kept;
    Ok(())
}

/// Something that stands in the way of an empty plan.
struct Objection {
    object: String,
    /// The key of the configuration.
    key: String,
    why: String,
}

fn objections(
    live: &Live<'_>,
    world: &World,
    candidates: &[Candidate],
) -> Result<Vec<Objection>, ServiceError> {
    let texts: Vec<Text> = candidates
        .iter()
        .map(|candidate| Text {
            file: candidate.imported.key.to_string(),
            text: candidate.imported.text(),
        })
        .collect();
    let documents = read(&texts)?;
    let items = documents
        .iter()
        .zip(candidates)
        .map(|(document, candidate)| item(document, &candidate.source, Wants::Present))
        .collect::<Result<Vec<_>, _>>()?;
    let origin = Origin::Submission {
        source: "operator:import".to_owned(),
        prune: false,
    };
    let input = PlanInput {
        cluster: world.cluster.clone(),
        parent: None,
        origin,
        policy: String::new(),
        items,
        ownership: live.ownership,
        world,
        api: ApiView::NotAsked,
        settings: &Settings::default(),
        now: world.observed_at,
        secrets: &BTreeMap::new(),
        closed_files: &BTreeMap::new(),
        backups: &Backups::new(),
    };
    let key = |field: &str| field.split('.').next().unwrap_or(field).to_owned();
    Ok(match plan::make_plan(&input) {
        Ok(plan) => plan
            .changes
            .iter()
            .map(|change| Objection {
                object: change.object.clone(),
                key: key(&change.field),
                why: format!(
                    "a document cannot say it as it is: {} would become {}",
                    change.before.as_deref().map_or("what is not set", |t| t),
                    change.after.as_deref().map_or("unset", |t| t)
                ),
            })
            .collect(),
        Err(error) => error
            .problems
            .iter()
            .map(|problem| {
                let object = candidates
                    .iter()
                    .find(|candidate| candidate.imported.key.to_string() == problem.document)
                    .map_or_else(
                        || problem.document.clone(),
                        |candidate| candidate.imported.object.clone(),
                    );
                Objection {
                    object,
                    key: key(&problem.field),
                    why: problem.reason.to_string(),
                }
            })
            .collect(),
    })
}
