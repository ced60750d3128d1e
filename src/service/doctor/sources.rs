//! The sources that the loop reads: whether each can be reached now, and where it stands by the last look of the loop.

use super::{Diagnosis, Ward};
use crate::ids::ClusterName;
use crate::plan::words::clean;
use crate::service::error::with_causes;
use crate::service::sources::Remembered;
use crate::sources::{Source, SourceError};
use crate::store::{ConditionStatus, ConditionType};

/// Looks at every source that is read. Those that submit (`agent:…`, `operator:…`) have nothing to look at.
pub(super) async fn check(ward: &Ward<'_>, found: &mut Diagnosis) {
    for (name, configured) in &ward.configuration.sources {
        let check = format!("source {}", clean(name));
        let source = match Source::open(name, configured, &ward.patient.surroundings) {
            Ok(Some(source)) => source,
            Ok(None) => continue,
            Err(error) => {
                found.failed(&check, error.to_string());
                continue;
            }
        };
        let looked = source.look().await;
        if let Some(error) = one_for_all(&looked.values().collect::<Vec<_>>()) {
            found.failed(&check, error);
            continue;
        }
        for (cluster, looked) in &looked {
            match looked {
                Ok(tip) => stands(ward, &check, name, cluster, tip, found).await,
                Err(error) => {
                    found.failed(&check, format!("cluster {cluster}: {error}"));
                }
            }
        }
    }
}

/// What keeps every cluster's part from being read, if it is the same thing.
fn one_for_all(looked: &[&Result<String, SourceError>]) -> Option<String> {
    let (first, rest) = looked.split_first()?;
    let error = first.as_ref().err()?;
    rest.iter()
        .all(|other| other.as_ref().err() == Some(error))
        .then(|| error.to_string())
}

/// How a source that can be reached stands by the last look of the loop.
async fn stands(
    ward: &Ward<'_>,
    check: &str,
    name: &str,
    cluster: &ClusterName,
    tip: &str,
    found: &mut Diagnosis,
) {
    let here = format!("cluster {cluster}: it can be read, at {}", short(tip));
    let Some(store) = &ward.store else {
        return found.ok(check, format!("{here}; the loop has not looked yet"));
    };
    let known = async {
        let state = store.source_state(name, cluster).await?;
        let object = format!("source/{name}");
        let conditions = store.conditions_of(cluster, &object).await?;
        Ok::<_, crate::store::StoreError>((state, conditions))
    };
    let (state, conditions) = match known.await {
        Ok(known) => known,
        Err(error) => {
            found.failed(check, with_causes(&error));
            return;
        }
    };
    let remembered = Remembered::of(state.as_ref());
    if let Some(tripped) = &remembered.tripped {
        found
            .failed(
                check,
                format!(
                    "{here}; its fuse tripped at {}: {}",
                    short(tripped),
                    remembered.message
                ),
            )
            .advise(format!(
                "if that is meant: bailiwick source reset {} --reason WHY --as person:NAME",
                clean(name)
            ));
        return;
    }
    let stalled = conditions.iter().find(|known| {
        known.condition.kind == ConditionType::Stalled
            && known.condition.status == ConditionStatus::True
    });
    if let Some(stalled) = stalled {
        let why = &stalled.condition.message;
        found.failed(check, format!("{here}; the loop cannot use it: {why}"));
        return;
    }
    let rest = match state {
        None => "the loop has not looked yet".to_owned(),
        Some(state) if state.applied.as_deref() == Some(tip) => "it is applied".to_owned(),
        Some(state) if state.seen.as_deref() == Some(tip) => match &remembered.plan {
            Some(plan) => format!("its plan {plan} is {}", remembered.state),
            None => format!("it is {}", remembered.state),
        },
        Some(_) => "the loop has not seen that yet".to_owned(),
    };
    found.ok(check, format!("{here}; {rest}"));
}

/// A revision as people say it.
fn short(revision: &str) -> String {
    let end = if revision.starts_with("sha256:") {
        19
    } else {
        12
    };
    clean(revision.get(..end).unwrap_or(revision))
}
