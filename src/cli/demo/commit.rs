//! Chapter (f): a commit becomes a plan.

use serde_json::Value;

use super::repository::Repository;
use super::stage::GIT;
use super::story::{Story, Told, check, shortened};
use crate::service::show::List;
use crate::store::PlanState;

const BUILD: &str = include_str!("../../../examples/demo/build-01.yaml");
/// How many characters of a commit's name are shown.
const SHOWN: usize = 12;

impl Story<'_> {
    /// (f).
    pub(super) async fn commit(&self) -> Told {
        self.title('f', "Git: a commit becomes a plan");
        let repository = match &self.stage.repository {
            Ok(repository) => repository,
            Err(why) => {
                self.output.line(format!("  (skipped: {why})"));
                return Ok(());
            }
        };
        self.in_view().await?;
        let (commit, hash) = self.planned_from(repository).await?;
        let planned = self.plan(&hash).await?;
        let (_, _, recipe) = self.stage.service.plan(&hash).await?;
        check(
            recipe.source == GIT && recipe.revision.as_deref() == Some(commit.as_str()),
            "the plan is of the repository, and names the commit",
        )?;
        self.output.line(format!(
            "  its documents were read from {GIT} at commit {}",
            short(&commit)
        ));
        self.approve_and_run(&planned).await?;
        self.until("the loop looks at the repository", async || {
            let applied = self.stands("/applied").await?;
            Ok((applied.as_deref() == Some(commit.as_str())).then_some(()))
        })
        .await?;
        self.output.line("\n  bailiwick get sources");
        self.output.list(&self.sources().await?);
        Ok(())
    }

    /// Somebody commits a document; the loop plans it. Returns the commit and the plan's hash.
    async fn planned_from(&self, repository: &Repository) -> Told<(String, String)> {
        let message = "build-01: more memory";
        let commit = repository.commit("build-01.yaml", BUILD, message).await?;
        self.output.line(format!(
            "  somebody commits build-01.yaml to {}\n    {} {message}",
            repository.path().display(),
            short(&commit)
        ));
        let service = &self.stage.service;
        // The branch is looked at every five seconds; who does not want to wait for that says `bailiwick reconcile`.
        let operator = service.principal(None)?;
        service.wish(None, Some(GIT), &operator).await?;
        let hash = self
            .until("the loop reads the branch", async || {
                if self.stands("/seen").await?.as_deref() != Some(commit.as_str()) {
                    return Ok(None);
                }
                let Some(hash) = self.stands("/plan").await? else {
                    return Ok(None);
                };
                let head = service.store().plan_head(&hash).await?;
                let waits = head.is_some_and(|head| head.state == PlanState::Waiting);
                Ok(waits.then_some(hash))
            })
            .await?;
        Ok((commit, hash))
    }

    /// How the source stands: a column of its line, by its place.
    async fn stands(&self, column: &str) -> Told<Option<String>> {
        let list = self.stage.service.list("sources", None).await?;
        let line = list
            .json
            .iter()
            .find(|line| line.pointer("/source").and_then(Value::as_str) == Some(GIT));
        Ok(line
            .and_then(|line| line.pointer(column))
            .and_then(Value::as_str)
            .map(str::to_owned))
    }

    /// The list of sources, with names of commits and plans cut to fit on a line.
    async fn sources(&self) -> Told<List> {
        let mut list = self.stage.service.list("sources", None).await?;
        let cell = |cell: &String| {
            let commit = cell.len() >= 40 && cell.chars().all(|c| c.is_ascii_hexdigit());
            if commit { short(cell) } else { shortened(cell) }
        };
        for row in &mut list.rows {
            *row = row.iter().map(cell).collect();
        }
        Ok(list)
    }
}

fn short(commit: &str) -> String {
    commit.chars().take(SHOWN).collect()
}
