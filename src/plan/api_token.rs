//! Tokens: from a document to steps that make, change or remove one.
//!
//! A token's secret is known once, when it is made; nothing here gives a token that is there another one. So what a document says of a
//! secret's file counts only where the token has to be made.

use std::collections::BTreeSet;

use super::draft::{Draft, Phase, Planner};
use super::error::Reason;
use super::input::Item;
use super::words::{difference, few};
use crate::document::desired::{DesiredApiToken, Wish};
use crate::document::scalar::Expiry;
use crate::ids::TokenId;
use crate::world::{AccountAction, Action, Param, Params, Part, Token, views};

/// When a changed token is another one.
const EFFECT: &str = "at once";

/// What a token's document comes to.
#[derive(Debug, Default)]
struct Change {
    set: Params,
    delete: BTreeSet<String>,
    told: Vec<String>,
}

/// Until when a token can be used, in words: the seconds since 1970 as a moment, and 0 as `never`.
pub fn until(seconds: i64) -> String {
    Expiry::of_seconds(seconds).map_or_else(
        || format!("{seconds} seconds after 1970"),
        |expiry| expiry.as_str().to_owned(),
    )
}

fn yes(on: bool) -> &'static str {
    if on { "1" } else { "0" }
}

impl Planner<'_, '_> {
    /// A token that shall be as a document says.
    pub(super) fn api_token_present(&mut self, item: &Item, desired: &DesiredApiToken) {
        if !self.needs_part(item, &Part::Users) {
            return;
        }
        let object = format!("token/{}", desired.id);
        let live = views::token(self.input.world, &desired.id).cloned();
        if !self.claim(item, &object, live.is_some()) {
            return;
        }
        let Some(live) = live else {
            return self.api_token_new(item, desired, &object);
        };
        let adopted = !self.input.ownership.objects.contains_key(&object);
        if let Some(file) = desired.secret_file.as_ref().filter(|_| adopted) {
            self.drafts.notes.insert(format!(
                "{object} is there already and keeps its secret, which nobody can read any more: nothing is written to {file}; \
                 if nobody has it, delete {object} and have it made anew"
            ));
        }
        let Change { set, delete, told } = self.api_token_changes(desired, &live, &object);
        if told.is_empty() {
            return;
        }
        // What takes something comes when everything is given.
        let held = desired.separated == Some(true) && !live.separated;
        let sooner = desired
            .expires
            .is_some_and(|to| to != 0 && (live.expires == 0 || to < live.expires));
        let phase = match held || sooner {
            true => Phase::Revoke,
            false => Phase::TokenFirst,
        };
        self.api_token_step(
            format!("set {object} {}", few(&told)),
            AccountAction::UpdateToken {
                id: desired.id.clone(),
                set,
                delete,
            },
            phase,
            Vec::new(),
        );
    }

    /// What differs from what is there.
    fn api_token_changes(
        &mut self,
        desired: &DesiredApiToken,
        live: &Token,
        object: &str,
    ) -> Change {
        let mut change = Change::default();
        let mut tell = |field: &str, before: Option<&str>, after: Option<&str>| {
            self.drafts.change(object, field, before, after, EFFECT);
            change.told.push(difference(field, before, after));
        };
        if let Some(separated) = desired.separated.filter(|to| *to != live.separated) {
            let (before, after) = (yes(live.separated), yes(separated));
            tell("privsep", Some(before), Some(after));
            change
                .set
                .insert("privsep".to_owned(), Param::Plain(after.to_owned()));
        }
        if let Some(expires) = desired.expires.filter(|to| *to != live.expires) {
            let (before, after) = (until(live.expires), until(expires));
            tell("expire", Some(&before), Some(&after));
            change
                .set
                .insert("expire".to_owned(), Param::Plain(expires.to_string()));
        }
        let before = live.comment.as_deref().filter(|text| !text.is_empty());
        match &desired.comment {
            Some(Wish::Set(comment)) if before != Some(comment.as_str()) => {
                tell("comment", before, Some(comment));
                change
                    .set
                    .insert("comment".to_owned(), Param::Plain(comment.clone()));
            }
            Some(Wish::Remove) if before.is_some() => {
                tell("comment", before, None);
                change.delete.insert("comment".to_owned());
            }
            Some(Wish::Set(_) | Wish::Remove) | None => {}
        }
        change
    }

    fn api_token_new(&mut self, item: &Item, desired: &DesiredApiToken, object: &str) {
        let Some(file) = &desired.secret_file else {
            let why = format!(
                "there is no {object} yet, and the document does not say to which `secretFile` its secret shall be written, which \
                 Proxmox VE shows once, when it is made"
            );
            return self
                .drafts
                .problem(&item.key, "secretFile", Reason::Ambiguous { why });
        };
        if let Some(why) = self.input.closed_files.get(file) {
            let why = format!("the secret of {object} could not be kept: {why}");
            self.drafts
                .problem(&item.key, "secretFile", Reason::Refused { why });
        }
        let user = format!("user/{}", desired.id.owner());
        let owned = self.account_known(item, "user", &user);
        let free = self.api_token_file(item, file);
        if !(owned && free) {
            return;
        }
        let mut params = Params::new();
        let mut put = |key: &str, value: String| {
            params.insert(key.to_owned(), Param::Plain(value));
        };
        let separated = desired.separated.unwrap_or(true);
        put("privsep", yes(separated).to_owned());
        if let Some(expires) = desired.expires {
            put("expire", expires.to_string());
        }
        if let Some(Wish::Set(comment)) = &desired.comment {
            put("comment", comment.clone());
        }
        let said = match separated {
            true => "made, with the privileges that are given to it",
            false => "made, with every privilege of its user",
        };
        self.drafts
            .change(object, "(object)", None, Some(said), EFFECT);
        let expires = desired.expires.filter(|at| *at != 0).map(until);
        if let Some(expires) = &expires {
            self.drafts
                .change(object, "expire", None, Some(expires), EFFECT);
        }
        if let Some(Wish::Set(comment)) = &desired.comment {
            self.drafts
                .change(object, "comment", None, Some(comment), EFFECT);
        }
        self.api_token_step(
            format!("make {object}, its secret to {file}"),
            AccountAction::CreateToken {
                id: desired.id.clone(),
                params,
                secret_file: file.clone(),
            },
            Phase::TokenFirst,
            vec![format!(
                "Proxmox VE shows its secret once: it is written to the new file {file}, which nobody but Bailiwick's user can read, and \
                 kept nowhere else"
            )],
        );
    }

    /// Whether no other token of the plan has its secret written to a file.
    fn api_token_file(&mut self, item: &Item, file: &str) -> bool {
        let other = self
            .drafts
            .steps
            .iter()
            .find_map(|draft| match &draft.action {
                Action::Account(AccountAction::CreateToken {
                    id, secret_file, ..
                }) => (secret_file == file).then(|| id.clone()),
                _ => None,
            });
        let Some(other) = other else { return true };
        let why = format!("the secret of token {other} is written to {file} by this plan");
        self.drafts
            .problem(&item.key, "secretFile", Reason::Ambiguous { why });
        false
    }

    /// A token whose document is gone and said that it shall be deleted.
    pub(super) fn api_token_removed(&mut self, item: &Item, id: &TokenId) {
        if !self.needs_part(item, &Part::Users) {
            return;
        }
        let object = format!("token/{id}");
        let note = if views::token(self.input.world, id).is_none() {
            format!("{object} is already gone")
        } else if self.drafts.going.contains(&format!("user/{}", id.owner())) {
            format!("{object} goes with its user")
        } else {
            self.drafts.change(
                &object,
                "(object)",
                Some("token"),
                None,
                "its secret no longer opens anything",
            );
            return self.api_token_step(
                format!("delete {object}"),
                AccountAction::DeleteToken { id: id.clone() },
                Phase::TokenLast,
                Vec::new(),
            );
        };
        self.drafts.notes.insert(note);
    }

    fn api_token_step(
        &mut self,
        title: String,
        action: AccountAction,
        phase: Phase,
        notes: Vec<String>,
    ) {
        self.drafts.push(Draft {
            title,
            action: Action::Account(action),
            node: None,
            phase,
            needs: BTreeSet::new(),
            notes,
        });
    }
}
