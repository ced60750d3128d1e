//! Groups.

use super::super::draft::{Phase, Planner};
use super::super::input::Item;
use super::super::words::short;
use crate::document::desired::{DesiredGroup, Wish};
use crate::ids::GroupId;
use crate::world::{AccountAction, Part};

impl Planner<'_, '_> {
    /// A group that shall be as a document says.
    pub(super) fn group_present(&mut self, item: &Item, desired: &DesiredGroup) {
        if !self.needs_parts(item, &[Part::Groups]) {
            return;
        }
        let id = &desired.id;
        let object = format!("group/{id}");
        let live = self.input.world.groups.get(id.as_str());
        if !self.claim(item, &object, live.is_some()) {
            return;
        }
        let comment = match &desired.comment {
            Some(Wish::Set(comment)) => Some(comment.clone()),
            Some(Wish::Remove) => Some(String::new()),
            None => None,
        };
        let Some(live) = live else {
            self.drafts
                .change(&object, "(object)", None, Some("made"), "at once");
            let action = AccountAction::CreateGroup {
                id: id.clone(),
                comment: comment.filter(|comment| !comment.is_empty()),
            };
            let title = format!("make {object}");
            return self.account_step(title, action, Phase::AccountFirst);
        };
        let now = live.comment.clone().unwrap_or_default();
        let Some(comment) = comment.filter(|comment| comment.trim_end() != now.trim_end()) else {
            return;
        };
        let before = Some(now.as_str()).filter(|now| !now.is_empty());
        let after = Some(comment.as_str()).filter(|after| !after.is_empty());
        self.drafts
            .change(&object, "comment", before, after, "at once");
        let title = format!("set {object} comment → `{}`", short(&comment));
        let action = AccountAction::UpdateGroup {
            id: id.clone(),
            comment,
        };
        self.account_step(title, action, Phase::AccountFirst);
    }

    /// A group whose document is gone and said that it shall be deleted.
    pub(super) fn group_removed(&mut self, item: &Item, id: &GroupId) {
        if !self.needs_parts(item, &[Part::Groups, Part::Acl]) {
            return;
        }
        let object = format!("group/{id}");
        if !self.input.world.groups.contains_key(id.as_str()) {
            return self.account_gone(&object);
        }
        self.drafts.change(
            &object,
            "(object)",
            Some("group"),
            None,
            "the group is removed with its access rules; its members stay",
        );
        let action = AccountAction::DeleteGroup { id: id.clone() };
        self.account_step(format!("delete {object}"), action, Phase::AccountLast);
    }
}
