//! Taking back what was done to storage definitions. No data is touched: only the definition goes, comes or changes.

use std::collections::BTreeSet;

use super::super::words::few;
use super::Back;
use super::ours::same;
use crate::ids::StorageId;
use crate::proxmox::property::Domain;
use crate::world::{Action, Param, Params, Storage};

impl Back<'_, '_, '_> {
    fn live_storage(&self, id: &StorageId) -> Option<Storage> {
        self.planner
            .input
            .world
            .storages
            .get(id)
            .map(|storage| storage.as_ref().clone())
    }

    pub(super) fn storage_again(&mut self, id: &StorageId, storage_type: &str, params: &Params) {
        let object = format!("storage/{id}");
        if self.live_storage(id).is_some() {
            return self.left(&format!("{object} was defined by someone since"));
        }
        self.planner.drafts.change(
            &object,
            "(object)",
            None,
            Some(storage_type),
            "defined again",
        );
        self.push(
            format!("define {object} ({storage_type}) again"),
            Action::CreateStorage {
                id: id.clone(),
                storage_type: storage_type.to_owned(),
                params: params.clone(),
            },
            None,
        );
        if let Some(made) = self.made.last() {
            self.planner.drafts.opened.insert(id.clone(), *made);
        }
    }

    pub(super) fn storage(&mut self, id: &StorageId, set: &Params, delete: &BTreeSet<String>) {
        let object = format!("storage/{id}");
        let Some(live) = self.live_storage(id) else {
            return self.left(&format!("{object} is gone"));
        };
        let Action::UpdateStorage { set: left, .. } = &self.step.action else {
            return;
        };
        let (set, delete, told) =
            self.still_ours(Domain::Storage, &object, &live.options, set, delete, left);
        if told.is_empty() {
            return;
        }
        self.push(
            format!("set back {object} {}", few(&told)),
            Action::UpdateStorage {
                id: id.clone(),
                set,
                delete,
            },
            None,
        );
    }

    pub(super) fn storage_away(&mut self, id: &StorageId) {
        let object = format!("storage/{id}");
        let Some(live) = self.live_storage(id) else {
            return;
        };
        let Action::CreateStorage {
            storage_type,
            params,
            ..
        } = &self.step.action
        else {
            return;
        };
        let changed = params.iter().find(|(key, param)| match param {
            Param::Plain(text) => {
                let now = live.options.get(*key).map(String::as_str);
                now.is_some() && !same(Domain::Storage, key, now, Some(text))
            }
            Param::Secret { .. } => false,
        });
        if live.storage_type != *storage_type || changed.is_some() {
            let what = changed.map_or("type", |(key, _)| key.as_str());
            return self.left(&format!("{object} {what} was changed by someone since"));
        }
        self.planner.drafts.change(
            &object,
            "(object)",
            Some(storage_type),
            None,
            "the definition is removed again",
        );
        self.push(
            format!("delete {object}"),
            Action::DeleteStorage { id: id.clone() },
            None,
        );
    }
}
