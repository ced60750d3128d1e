//! Taking back what was done to tokens. One that was deleted does not come back; what was set on one is set back where nobody set it
//! since.

use std::collections::BTreeSet;

use super::super::api_token::until;
use super::super::words::few;
use super::Back;
use crate::ids::{TokenId, UserId};
use crate::plan::input::ApiView;
use crate::world::requests::request_for;
use crate::world::{AccountAction, Action, Param, Params, Token, views};

/// A setting of a token as it is sent.
fn is(token: &Token, key: &str) -> Option<String> {
    match key {
        "privsep" => Some(if token.separated { "1" } else { "0" }.to_owned()),
        "expire" => Some(token.expires.to_string()),
        _ => token.comment.clone().filter(|text| !text.is_empty()),
    }
}

fn plain(params: &Params, key: &str) -> Option<String> {
    match params.get(key)? {
        Param::Plain(text) => Some(text.clone()),
        Param::Secret { .. } => None,
    }
}

/// A setting's value in words.
fn shown(key: &str, value: &str) -> String {
    match (key, value.parse()) {
        ("expire", Ok(seconds)) => until(seconds),
        _ => value.to_owned(),
    }
}

impl Back<'_, '_, '_> {
    /// A token that the run made goes again, unless somebody changed it.
    pub(super) fn api_token_away(&mut self, id: &TokenId) {
        let object = format!("token/{id}");
        let Some(live) = views::token(self.planner.input.world, id).cloned() else {
            return;
        };
        let Action::Account(AccountAction::CreateToken { params, .. }) = &self.step.action else {
            return;
        };
        let made = |key: &str| match key {
            "expire" => plain(params, key).or_else(|| Some("0".to_owned())),
            _ => plain(params, key),
        };
        let changed = ["privsep", "expire", "comment"]
            .into_iter()
            .find(|key| is(&live, key) != made(key));
        if let Some(key) = changed {
            return self.left(&format!("{object} {key} was changed by someone since"));
        }
        self.planner.drafts.change(
            &object,
            "(object)",
            Some("token"),
            None,
            "removed again; the file with its secret stays",
        );
        self.push(
            format!("delete {object}"),
            Action::Account(AccountAction::DeleteToken { id: id.clone() }),
            None,
        );
    }

    /// Whether the run made a token of a user.
    pub(super) fn api_token_of_run(&self, user: &UserId, name: &str) -> bool {
        self.plan.steps.iter().any(|step| {
            self.done.contains(&step.id)
                && matches!(&step.action, Action::Account(AccountAction::CreateToken { id, .. })
                    if id.owner() == user.as_str() && id.name() == name)
        })
    }

    /// What the run set on a token is set back, setting by setting.
    pub(super) fn api_token_again(
        &mut self,
        id: &TokenId,
        set: &Params,
        delete: &BTreeSet<String>,
    ) {
        let object = format!("token/{id}");
        let Some(live) = views::token(self.planner.input.world, id).cloned() else {
            return self.left(&format!("{object} is gone"));
        };
        let Action::Account(AccountAction::UpdateToken { set: ours, .. }) = &self.step.action
        else {
            return;
        };
        let mut back = Params::new();
        let mut none = BTreeSet::new();
        let mut told = Vec::new();
        for key in set.keys().chain(delete) {
            let (now, was, left) = (is(&live, key), plain(set, key), plain(ours, key));
            if now == was {
                continue;
            }
            if now != left {
                self.left(&format!("{object} {key} was changed by someone since"));
                continue;
            }
            if was.is_none() && !self.takes_comments_away(id) {
                self.left(&format!(
                    "{object} {key}: this version of Proxmox VE cannot take a token's comment away"
                ));
                continue;
            }
            let word = |value: &Option<String>| value.as_deref().map(|value| shown(key, value));
            let (before, after) = (word(&now), word(&was));
            self.planner.drafts.change(
                &object,
                key,
                before.as_deref(),
                after.as_deref(),
                "set back",
            );
            told.push(key.clone());
            match was {
                Some(value) => {
                    back.insert(key.clone(), Param::Plain(value));
                }
                None => {
                    none.insert(key.clone());
                }
            }
        }
        if told.is_empty() {
            return;
        }
        self.push(
            format!("set back {object} {}", few(&told)),
            Action::Account(AccountAction::UpdateToken {
                id: id.clone(),
                set: back,
                delete: none,
            }),
            None,
        );
    }

    /// Whether the connected version takes the removal of a comment: 9.2 brought it.
    fn takes_comments_away(&self, id: &TokenId) -> bool {
        let ApiView::Served(api) = self.planner.input.api else {
            return true;
        };
        let action = Action::Account(AccountAction::UpdateToken {
            id: id.clone(),
            set: Params::new(),
            delete: BTreeSet::from(["comment".to_owned()]),
        });
        let Some(node) = self.planner.input.world.nodes.keys().next() else {
            return true;
        };
        request_for(&action, node, None, &|_, _| Err(String::new()))
            .is_ok_and(|request| api.lacks(&request.call).is_empty())
    }
}
