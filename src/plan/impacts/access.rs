//! AC01, AC03, AC04, AC05, AC06, AC07: who gains and who loses which privilege on what is there before and after. It is worked out for the first
//! and the last world of a plan, on the paths that its steps may have touched; and what is so on the way only.

mod between;

use std::collections::BTreeSet;

use super::super::model::{Duration, StepId};
use super::super::words::clean;
use super::Raw;
use crate::health::access::{Access, Change, Configuration, Matrix, ROOT, difference, owner};
use crate::health::{self, Category, Entity};
use crate::world::World;

/// Privileges with which their holder can take more, or reach the node itself.
const STRONG: [&str; 4] = [
    "Permissions.Modify",
    "Sys.Console",
    "Sys.Modify",
    "VM.Allocate",
];

/// Who has this on `/` can give everything to everybody.
const ADMINISTERS: &str = "Permissions.Modify";

/// The paths on which each step may have changed what somebody holds, and the world after it.
pub(super) type Touched = Vec<(StepId, BTreeSet<String>, World)>;

/// Who gains and loses what. Nothing where what decides it was not read: then that part is a gap of the plan.
pub(super) fn impacts(start: &World, end: &World, touched: &Touched) -> Vec<Raw> {
    let paths: BTreeSet<String> = touched
        .iter()
        .flat_map(|(_, paths, _)| paths)
        .cloned()
        .collect();
    if paths.is_empty() || !health::undecided(start).is_empty() {
        return Vec::new();
    }
    let (before, after) = (health::deciding(start), health::deciding(end));
    let changes = {
        let (before, after) = (Matrix::new(&before, &paths), Matrix::new(&after, &paths));
        difference(&before, &after)
    };
    let judge = Judge {
        before: Access::new(&before),
        after: Access::new(&after),
        controller: start.controller.as_deref(),
        touched,
    };
    let mut all: Vec<Raw> = changes
        .iter()
        .flat_map(|change| judge.raws(change))
        .collect();
    let now = start.observed_at.as_second();
    all.extend(judge.administrators(now));
    all.extend(judge.locked_out(now));
    all.extend(between::impacts(
        &before,
        &changes,
        start.controller.as_deref(),
        touched,
        &paths,
    ));
    all
}

struct Judge<'a> {
    before: Access<'a>,
    after: Access<'a>,
    controller: Option<&'a str>,
    touched: &'a Touched,
}

impl Judge<'_> {
    /// AC03: who administers the cluster now, if nobody but the superuser does afterwards.
    fn administrators(&self, now: i64) -> Vec<Raw> {
        let can = |access: &Access<'_>, id: &str| {
            let on = access.on(id, "/");
            on.privileges.contains_key(ADMINISTERS) && access.authenticates(id, now).is_ok()
        };
        let of = |access: &Access<'_>| -> Vec<String> {
            let all = access.configuration().principals().into_iter();
            let own = all.filter(|id| owner(id).unwrap_or(id) != ROOT);
            own.filter(|id| can(access, id))
                .map(str::to_owned)
                .collect()
        };
        let was = of(&self.before);
        if was.is_empty() || !of(&self.after).is_empty() {
            return Vec::new();
        }
        let left = match self.after.authenticates(ROOT, now) {
            Ok(()) => format!("nobody but {ROOT} has {ADMINISTERS} on / any more"),
            Err(_) => format!("nobody who can log in has {ADMINISTERS} on / any more"),
        };
        let steps: BTreeSet<StepId> = self.touched.iter().map(|(step, ..)| *step).collect();
        let told = was.into_iter().map(|id| Raw {
            entity: Entity::Principal(clean(&id)),
            category: Category::Lockout,
            before: format!("has {ADMINISTERS} on / and can log in"),
            after: "administers no longer".to_owned(),
            causes: vec![left.clone()],
            notes: Vec::new(),
            duration: Duration::Permanent,
            steps: steps.clone(),
            rule: "AC03".to_owned(),
        });
        told.collect()
    }

    /// AC06: the controller itself can no longer log in.
    fn locked_out(&self, now: i64) -> Option<Raw> {
        let id = self.controller?;
        self.before.authenticates(id, now).ok()?;
        let refusal = self.after.authenticates(id, now).err()?;
        let steps = self.touched.iter().map(|(step, ..)| *step);
        Some(Raw {
            entity: Entity::Controller,
            category: Category::Lockout,
            before: clean(&format!("logs in as {id}")),
            after: "cannot log in".to_owned(),
            causes: vec![clean(&refusal.to_string())],
            notes: Vec::new(),
            duration: Duration::Permanent,
            steps: steps.collect(),
            rule: "AC06".to_owned(),
        })
    }

    /// What one principal loses and gains on some paths.
    fn raws(&self, change: &Change) -> Vec<Raw> {
        let mut all = Vec::new();
        let on = change.paths.join(", ");
        let lost = words(&change.lost, &change.lost_below);
        if !lost.is_empty() {
            let own = self.controller == Some(change.principal.as_str()) && matters(change);
            let names = &change.lost | &change.lost_below;
            let mut told = self.told(change, &self.before, &names);
            told.causes
                .insert(0, clean(&format!("loses {lost} on {on}")));
            all.push(Raw {
                before: clean(&format!("has {lost} on {on}")),
                after: "has not".to_owned(),
                ..match own {
                    true => Raw {
                        entity: Entity::Controller,
                        category: Category::Lockout,
                        rule: "AC06".to_owned(),
                        ..told
                    },
                    false => told,
                }
            });
        }
        let gained = words(&change.gained, &change.gained_below);
        if !gained.is_empty() {
            let names = &change.gained | &change.gained_below;
            let mut told = self.told(change, &self.after, &names);
            told.causes
                .insert(0, clean(&format!("gains {gained} on {on}")));
            let strong = names.iter().any(|name| STRONG.contains(&name.as_str()))
                || change.paths.iter().any(|path| path == "/");
            all.push(Raw {
                category: Category::GainsPrivilege,
                before: "has not".to_owned(),
                after: clean(&format!("has {gained} on {on}")),
                rule: if strong {
                    "AC05".to_owned()
                } else {
                    told.rule.clone()
                },
                ..told
            });
        }
        all
    }

    /// Through pools, by what a token itself is, or by the access control list.
    fn rule(&self, change: &Change) -> &'static str {
        let (before, after) = (self.before.configuration(), self.after.configuration());
        let moved = |path: &String| before.pools_over(path) != after.pools_over(path);
        let token = |of: &Configuration| of.tokens.get(&change.principal).cloned();
        if change.paths.iter().any(moved) {
            "AC07"
        } else if token(before) != token(after) {
            super::tokens::RULE
        } else {
            "AC01"
        }
    }

    /// A loss, with what gives the privileges in one of the two configurations.
    fn told(&self, change: &Change, gives: &Access<'_>, privileges: &BTreeSet<String>) -> Raw {
        let mut causes = self.moves(change);
        let given = change
            .paths
            .iter()
            .flat_map(|path| gives.giving(&change.principal, path, privileges));
        let given: BTreeSet<String> = given.map(ToString::to_string).collect();
        causes.extend(given);
        Raw {
            // A name is free text but for spaces, colons and slashes.
            entity: Entity::Principal(clean(&change.principal)),
            category: Category::LosesPrivilege,
            before: String::new(),
            after: String::new(),
            causes: causes.iter().map(|cause| clean(cause)).collect(),
            notes: disabled(self.after.configuration(), &change.principal),
            duration: Duration::Permanent,
            steps: self.steps(change),
            rule: self.rule(change).to_owned(),
        }
    }

    /// Which of the paths come into a pool, and which leave one.
    fn moves(&self, change: &Change) -> Vec<String> {
        let (before, after) = (self.before.configuration(), self.after.configuration());
        let mut all = Vec::new();
        for path in &change.paths {
            let (was, is) = (before.pools_over(path), after.pools_over(path));
            let words = [("leaves", &was, &is), ("comes into", &is, &was)];
            for (word, here, there) in words {
                let pools = here.iter().filter(|pool| !there.contains(pool));
                all.extend(pools.map(|pool| format!("{path} {word} pool {pool}")));
            }
        }
        all
    }

    fn steps(&self, change: &Change) -> BTreeSet<StepId> {
        let touches = |(_, paths, _): &&(StepId, BTreeSet<String>, World)| {
            change.paths.iter().any(|path| paths.contains(path))
        };
        let steps = self.touched.iter().filter(touches);
        steps.map(|(step, ..)| *step).collect()
    }
}

/// Whether any of what is lost is asked for on any of the paths: what a pool gives on its members is mostly of no use there.
fn matters(change: &Change) -> bool {
    let lost = || change.lost.iter().chain(&change.lost_below);
    change.paths.iter().any(|path| {
        lost().any(|name| {
            let of = match path.split('/').nth(1) {
                Some("vms") => Some("VM."),
                Some("storage") => Some("Datastore."),
                _ => None,
            };
            name == ADMINISTERS || of.is_none_or(|of| name.starts_with(of))
        })
    })
}

/// Privileges in words, with those that change below the paths alone.
fn words(names: &BTreeSet<String>, below: &BTreeSet<String>) -> String {
    let below = below.iter().map(|name| format!("{name} below"));
    let all: Vec<String> = names.iter().cloned().chain(below).collect();
    all.join(", ")
}

/// Whether a gain, in the words above, lets its holder change everything, or give itself everything.
pub(in crate::plan) fn governs(after: &str) -> bool {
    let gained = after
        .strip_prefix("has ")
        .and_then(|text| text.rsplit_once(" on "));
    gained.is_some_and(|(names, paths)| {
        let strong = |name: &str| {
            let name = name.strip_suffix(" below").unwrap_or(name);
            matches!(name, ADMINISTERS | "Sys.Modify")
        };
        paths.split(", ").any(|path| path == "/") && names.split(", ").any(strong)
    })
}

/// That a principal cannot authenticate as things stand.
fn disabled(configuration: &Configuration, principal: &str) -> Vec<String> {
    let id = owner(principal).unwrap_or(principal);
    let user = configuration.users.get(id);
    user.filter(|user| !user.enabled)
        .map(|_| clean(&format!("user {id} is disabled")))
        .into_iter()
        .collect()
}
