//! AC04: what becomes of whoever uses a token that goes, or is good for another time than before. Proxmox VE does not tell who uses a
//! token, so nobody can be named. Which privileges a token gains and loses is told from the worlds before and after all steps.

use super::super::api_token::until;
use super::super::model::Duration;
use super::super::words::clean;
use super::Raw;
use super::actions::{At, raw};
use crate::health::{Category, Entity};
use crate::ids::TokenId;
use crate::world::{AccountAction, Token, views};

/// The rule of tokens.
pub(super) const RULE: &str = "AC04";
/// What no plan can say.
const NOBODY_KNOWS: &str =
    "who uses it cannot be known: Proxmox VE does not tell when or from where a token was used";

impl At<'_> {
    /// What a step does to whoever uses a token.
    pub(super) fn token(&self, action: &AccountAction) -> Vec<Raw> {
        match action {
            AccountAction::DeleteToken { id } => self.token_gone(id),
            AccountAction::UpdateToken { id, .. } => {
                match (views::token(self.before, id), views::token(self.after, id)) {
                    (Some(was), Some(is)) if was.expires != is.expires => {
                        vec![self.token_time(id, was, is)]
                    }
                    _ => Vec::new(),
                }
            }
            _ => Vec::new(),
        }
    }

    fn of_token(&self, id: &TokenId, category: Category, states: (&str, &str)) -> Raw {
        let entity = Entity::Principal(clean(id.as_str()));
        let none = String::new();
        Raw {
            causes: Vec::new(),
            notes: vec![NOBODY_KNOWS.to_owned()],
            ..raw(
                self.step,
                entity,
                category,
                states,
                none,
                Duration::Permanent,
                RULE,
            )
        }
    }

    /// Whether this is the token that Bailiwick itself uses.
    fn is_own(&self, id: &TokenId) -> bool {
        self.before.controller.as_deref() == Some(id.as_str())
    }

    /// That the controller shuts itself out. (That it can no longer log in right afterwards is told with who may do what.)
    fn own(&self, told: Raw) -> Raw {
        Raw {
            entity: Entity::Controller,
            category: Category::Lockout,
            rule: "AC06".to_owned(),
            notes: Vec::new(),
            ..told
        }
    }

    fn token_gone(&self, id: &TokenId) -> Vec<Raw> {
        let comment = views::token(self.before, id).and_then(|token| token.comment.clone());
        let comment = comment.map_or_else(String::new, |text| format!(" ({text})"));
        let mut causes = vec![format!(
            "whoever uses {id}{comment} is refused, and its secret does not come back: one that is made again has another"
        )];
        let object = format!("token/{id}");
        let entries = views::entries_naming(self.before, &object).map(views::entry_says);
        causes.extend(entries.map(|entry| format!("its access rule goes with it: {entry}")));
        let states = ("its secret is accepted", "gone for good");
        let told = Raw {
            causes: causes.iter().map(|cause| clean(cause)).collect(),
            ..self.of_token(id, Category::Irreversible, states)
        };
        vec![told]
    }

    /// A token that can be used for longer or less long than before.
    fn token_time(&self, id: &TokenId, was: &Token, is: &Token) -> Raw {
        let words = |expires: i64| match expires {
            0 => "its secret is accepted for ever".to_owned(),
            at => format!("its secret is accepted until {}", until(at)),
        };
        let sooner = is.expires != 0 && (was.expires == 0 || is.expires < was.expires);
        let category = match sooner {
            true => Category::LosesPrivilege,
            false => Category::GainsPrivilege,
        };
        let (before, after) = (words(was.expires), words(is.expires));
        let cause = match sooner {
            true => format!("whoever uses {id} is refused after {}", until(is.expires)),
            false => format!("whoever has the secret of {id} can use it for longer"),
        };
        let told = Raw {
            causes: vec![clean(&cause)],
            ..self.of_token(id, category, (&before, &after))
        };
        match sooner && self.is_own(id) {
            true => self.own(told),
            false => told,
        }
    }
}
