//! The recipe of a plan: everything it was made from but the world, kept so that it can be made again right before it is run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::ServiceError;
use crate::apply::secret_file;
use crate::document::desired::{Desired, DesiredAccount, DesiredGuest, SecretRef, Value, Wish};
use crate::document::{Deletion, Document, load};
use crate::plan::{Item, Origin, PlanHash, Restart, Wanted};

/// One file of documents, as submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Text {
    /// What it is called in messages.
    pub file: String,
    /// Its content.
    pub text: String,
}

/// What a plan is made from, besides the world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recipe {
    /// What the plan answers.
    pub origin: Origin,
    /// The documents wanted, as text. Empty for an undo and a clean-up.
    pub documents: Vec<Text>,
    /// The documents that count as removed: as they last were.
    pub removed: Vec<Text>,
    /// The source that owns all of them.
    pub source: String,
    /// Who asked.
    pub submitter: String,
    /// Why nobody may approve it, if so.
    pub blocked: Option<String>,
    /// A person decides over the plan, whatever the policy would approve by itself.
    #[serde(default)]
    pub by_person: bool,
    /// The objects of removed documents are left alone, whatever the documents say: their source may not delete.
    #[serde(default)]
    pub orphan: bool,
    /// For documents from a source that has revisions: the one they were read at (a commit).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The keys that the revision was signed with, where that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signed_by: Vec<String>,
    /// For an undo: the run.
    pub run: Option<i64>,
}

/// The documents of a recipe, read.
pub(super) struct Read {
    pub(super) wanted: Vec<Document>,
    pub(super) removed: Vec<Document>,
}

impl Recipe {
    /// The plan that is to be undone, for an undo.
    pub fn undoes(&self) -> Option<&PlanHash> {
        match &self.origin {
            Origin::Undo { of } => Some(of),
            Origin::Submission { .. } | Origin::Drift | Origin::CleanUp => None,
        }
    }

    pub(super) fn read(&self) -> Result<Read, ServiceError> {
        // A document that lost its object still stands beside the one that took it, until it is removed: the planner tells of it.
        // What is submitted together is held against each other when it is read.
        let wanted = match self.origin {
            Origin::Drift => {
                let each = self.documents.iter();
                let each = each.map(|one| read(std::slice::from_ref(one)));
                let each = each.collect::<Result<Vec<_>, _>>()?;
                each.into_iter().flatten().collect()
            }
            Origin::Submission { .. } | Origin::Undo { .. } | Origin::CleanUp => {
                read(&self.documents)?
            }
        };
        Ok(Read {
            wanted,
            removed: read(&self.removed)?,
        })
    }
}

pub(super) fn read(texts: &[Text]) -> Result<Vec<Document>, ServiceError> {
    let files: Vec<(&str, &str)> = texts
        .iter()
        .map(|text| (text.file.as_str(), text.text.as_str()))
        .collect();
    load(&files).map_err(ServiceError::Documents)
}

/// What is wanted with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    /// That it be true.
    Present,
    /// It is gone from its source: what it said of its deletion counts.
    Removed,
    /// It is gone from its source, and its object is left alone.
    Orphaned,
}

/// What a document asks for, as the planner takes it. `source` by document, since a plan about drift covers several. It takes over
/// nothing: that is for whoever submits it.
pub(super) fn item(document: &Document, source: &str, wants: Wants) -> Result<Item, ServiceError> {
    let removed = wants != Wants::Present;
    let wanted = if removed {
        Wanted::Removed {
            delete: wants == Wants::Removed && document.deletion() == Deletion::Delete,
        }
    } else {
        Wanted::Present(document.desired())
    };
    Ok(Item {
        key: document.key().to_string(),
        source: source.to_owned(),
        hash: (!removed).then(|| document.hash.to_string()),
        wanted,
        restart: match document.restart() {
            crate::document::Restart::Never => Restart::Never,
            crate::document::Restart::Ask => Restart::Ask,
            crate::document::Restart::Window => Restart::Window,
        },
        take_over: None,
        labels: document
            .metadata
            .labels
            .clone()
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
    })
}

/// The files that secrets of tokens would be written to, were the tokens to be made, of those that cannot be made now: each with the
/// reason. Nothing is made.
pub(super) fn closed_files(items: &[Item]) -> BTreeMap<String, String> {
    let files = items.iter().filter_map(|item| match &item.wanted {
        Wanted::Present(Desired::ApiToken(token)) => token.secret_file.as_ref(),
        Wanted::Present(_) | Wanted::Removed { .. } => None,
    });
    files
        .filter_map(|file| {
            let error = secret_file::creatable(Path::new(file)).err()?;
            Some((file.clone(), error.told()))
        })
        .collect()
}

/// Every secret that is a password of a user.
pub(super) fn passwords(items: &[Item]) -> BTreeSet<SecretRef> {
    let of = items.iter().filter_map(|item| match &item.wanted {
        Wanted::Present(Desired::Account(account)) => match account.as_ref() {
            DesiredAccount::User(user) => user.password.as_ref(),
            _ => None,
        },
        Wanted::Present(_) | Wanted::Removed { .. } => None,
    });
    of.filter_map(|value| match value {
        Value::Secret(from) => Some(from.clone()),
        _ => None,
    })
    .collect()
}

/// Every secret that items name.
pub(super) fn secrets(items: &[Item]) -> Vec<SecretRef> {
    let mut found = Vec::new();
    let mut value = |value: &Value| {
        if let Value::Secret(from) = value {
            found.push(from.clone());
        }
    };
    for item in items {
        let Wanted::Present(desired) = &item.wanted else {
            continue;
        };
        let options = match desired {
            Desired::Guest(guest) => {
                let DesiredGuest { create_only, .. } = guest.as_ref();
                create_only.values().for_each(&mut value);
                &guest.options
            }
            Desired::Storage(storage) => &storage.options,
            Desired::BackupJob(job) => &job.options,
            Desired::Account(account) => match account.as_ref() {
                DesiredAccount::Realm(realm) => &realm.options,
                DesiredAccount::User(user) => {
                    user.password.iter().for_each(&mut value);
                    continue;
                }
                DesiredAccount::Group(_) | DesiredAccount::Role(_) | DesiredAccount::Rule(_) => {
                    continue;
                }
            },
            Desired::Pool(_)
            | Desired::Snapshot(_)
            | Desired::Image(_)
            | Desired::ApiToken(_)
            | Desired::FirewallAlias(_)
            | Desired::IpSet(_)
            | Desired::SecurityGroup(_) => continue,
            Desired::Firewall(firewall) => &firewall.options,
            Desired::ReplicationJob(job) => &job.options,
        };
        options
            .values()
            .filter_map(|wish| match wish {
                Wish::Set(value) => Some(value),
                Wish::Remove => None,
            })
            .for_each(&mut value);
    }
    found
}
