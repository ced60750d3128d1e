//! The doctor: looks at everything an installation needs and says of each whether it is well, and what to do where it is not. It
//! changes nothing: files are only read, clusters are only asked.
//!
//! Every file below adds its checks to the list; a new one needs a line in [`examine`].

mod cluster;
mod grants;
mod needs;
mod secrets;
mod setup;
mod sources;

use std::path::Path;

use serde::Serialize;

use super::open::Environment;
use super::recipe::{Text, read};
use crate::configuration::{Configuration, load_configuration};
use crate::document::Document;
use crate::sources::Surroundings;
use crate::store::Store;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is well.
    Ok,
    /// It was not looked at, since something before it is not well or not there.
    Skipped,
    /// It works, and should be otherwise.
    Warning,
    /// It does not work.
    Failed,
}

impl Status {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What was looked at: `state`, `cluster lab: token`.
    pub name: String,
    /// How it came out.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What to do, a line each; commands stand as they are typed.
    pub advice: Vec<String>,
}

/// Everything that was looked at, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// The checks.
    pub checks: Vec<Check>,
}

impl Diagnosis {
    /// Whether nothing failed.
    pub fn well(&self) -> bool {
        self.count(Status::Failed) == 0
    }

    /// How many checks came out so.
    pub fn count(&self, status: Status) -> usize {
        self.checks
            .iter()
            .filter(|check| check.status == status)
            .count()
    }

    fn add(&mut self, name: &str, status: Status, found: impl Into<String>) -> Last<'_> {
        self.checks.push(Check {
            name: name.to_owned(),
            status,
            found: found.into(),
            advice: Vec::new(),
        });
        Last(self)
    }

    fn ok(&mut self, name: &str, found: impl Into<String>) {
        self.add(name, Status::Ok, found);
    }

    fn skipped(&mut self, name: &str, why: impl Into<String>) {
        self.add(name, Status::Skipped, why);
    }

    fn warning(&mut self, name: &str, found: impl Into<String>) -> Last<'_> {
        self.add(name, Status::Warning, found)
    }

    fn failed(&mut self, name: &str, found: impl Into<String>) -> Last<'_> {
        self.add(name, Status::Failed, found)
    }
}

/// The check that was just added, for advice.
struct Last<'d>(&'d mut Diagnosis);

impl Last<'_> {
    /// Adds a line of advice.
    fn advise(&mut self, line: impl Into<String>) -> &mut Self {
        if let Some(check) = self.0.checks.last_mut() {
            check.advice.push(line.into());
        }
        self
    }
}

/// What is examined.
pub struct Patient<'a> {
    /// The configuration file.
    pub file: &'a Path,
    /// The environment.
    pub environment: Environment,
    /// Where programs are, and a folder for what sources need while they are looked at; nothing in it is kept.
    pub surroundings: Surroundings,
    /// Documents to look at; the stored ones when none are given.
    pub documents: Vec<Text>,
    /// Only this cluster.
    pub cluster: Option<String>,
}

/// What the checks of one installation share.
struct Ward<'a> {
    patient: &'a Patient<'a>,
    configuration: Configuration,
    /// The state, opened to read; `None` where it is not there or cannot be read.
    store: Option<Store>,
    /// The documents given, if any were.
    given: Option<Vec<Document>>,
}

/// Looks at everything.
pub async fn examine(patient: &Patient<'_>) -> Diagnosis {
    let mut found = Diagnosis::default();
    let configuration = match load_configuration(patient.file) {
        Ok(configuration) => configuration,
        Err(error) => {
            let mut check = found.failed("configuration", error.to_string());
            if !patient.file.exists() {
                check.advise("say --config FILE, or make one with: bailiwick init");
            }
            found.skipped("everything else", "it needs the configuration");
            return found;
        }
    };
    setup::configuration(patient.file, &configuration, &mut found);
    let given = documents(patient, &mut found);
    let store = setup::state(&configuration, &mut found).await;
    let ward = Ward {
        patient,
        configuration,
        store,
        given,
    };
    setup::ledger(&ward, &mut found).await;
    setup::signers(&ward, &mut found);
    sources::check(&ward, &mut found).await;
    secrets::check(&ward, &mut found).await;
    cluster::check(&ward, &mut found).await;
    found
}

/// The documents given, if they can be read.
fn documents(patient: &Patient<'_>, found: &mut Diagnosis) -> Option<Vec<Document>> {
    if patient.documents.is_empty() {
        return None;
    }
    match read(&patient.documents) {
        Ok(documents) => {
            found.ok("documents", format!("{} are valid", documents.len()));
            Some(documents)
        }
        Err(error) => {
            found.failed("documents", error.to_string());
            Some(Vec::new())
        }
    }
}

impl Ward<'_> {
    /// The documents of a cluster that are looked at, each with the source it belongs to: those given, else those stored.
    async fn documents(
        &self,
        cluster: &crate::configuration::Cluster,
    ) -> Result<Vec<(Document, String)>, String> {
        let only = self.configuration.clusters.len() == 1;
        let stored = match &self.store {
            Some(store) => store
                .documents(&cluster.name)
                .await
                .map_err(|error| error.to_string())?,
            None => Vec::new(),
        };
        if let Some(given) = &self.given {
            let source = |document: &Document| {
                let key = document.key();
                stored
                    .iter()
                    .map(|row| &row.document)
                    .find(|row| row.kind == key.kind.as_str() && row.name == key.name)
                    .map_or_else(|| "operator:doctor".to_owned(), |row| row.source.clone())
            };
            return Ok(given
                .iter()
                .filter(|document| document.cluster().map_or(only, |name| name == cluster.name))
                .map(|document| (document.clone(), source(document)))
                .collect());
        }
        let mut documents = Vec::new();
        for row in stored {
            let text = Text {
                file: format!("{}/{}", row.document.kind, row.document.name),
                text: row.document.text,
            };
            let read = read(std::slice::from_ref(&text)).map_err(|error| error.to_string())?;
            documents.extend(
                read.into_iter()
                    .map(|document| (document, row.document.source.clone())),
            );
        }
        Ok(documents)
    }
}
