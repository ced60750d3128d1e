//! Groups, users, roles and access rules: their ids, and what cannot be asked for.

use super::Check;
use crate::document::access_rule::AccessRuleSpec;
use crate::document::metadata::Metadata;
use crate::document::role::RoleSpec;
use crate::document::user::UserSpec;
use crate::ids::{InvalidId, RoleId, UserId};

/// The superuser.
const ROOT: &str = "root@pam";

/// Whether a role is one of those that Proxmox VE brings along, or may bring along one day (PVE::AccessControl, PVE::API2::Role).
fn is_special(id: &str) -> bool {
    matches!(id, "Administrator" | "NoAccess") || id.to_ascii_uppercase().starts_with("PVE")
}

impl Check<'_> {
    /// An id that the document's name would have to be, and is not.
    pub(super) fn account_name(&mut self, what: &str, named: Option<InvalidId>) {
        if let Some(invalid) = named {
            self.push(
                &["metadata", "name"],
                format!("the name is no {what} id: {}", invalid.expected),
                &format!("give the id of the {what} as `spec.id`"),
            );
        }
    }

    pub(super) fn user(&mut self, metadata: &Metadata, spec: &UserSpec) {
        let named = spec.id.is_none().then(|| UserId::new(&metadata.name).err());
        self.account_name("user", named.flatten());
        let Some(id) = &spec.id else { return };
        if id.as_str() == ROOT {
            self.push(
                &["spec", "id"],
                format!("`{ROOT}` is the superuser, which no document manages"),
                "remove this document",
            );
        }
        if spec.password_from.is_some() && id.realm() != "pve" {
            self.push(
                &["spec", "passwordFrom"],
                format!(
                    "Proxmox VE keeps no passwords for users of the realm `{}`",
                    id.realm()
                ),
                "remove the line: they have their password where the realm has it",
            );
        }
    }

    pub(super) fn role(&mut self, metadata: &Metadata, spec: &RoleSpec) {
        let named = spec.id.is_none().then(|| RoleId::new(&metadata.name).err());
        self.account_name("role", named.flatten());
        let (place, id): (&[&str], &str) = match &spec.id {
            Some(id) => (&["spec", "id"], id.as_str()),
            None => (&["metadata", "name"], &metadata.name),
        };
        if is_special(id) {
            self.push(
                place,
                format!("`{id}` is a role of Proxmox VE's own, or reserved for one"),
                "give the role another id, one that does not begin with `PVE`",
            );
        }
    }

    pub(super) fn access_rule(&mut self, spec: &AccessRuleSpec) {
        if spec.subject().is_none() {
            self.push(
                &["spec"],
                "an access rule is for exactly one of `user`, `group` and `token`",
                "write one of the three; of several each needs a document of its own",
            );
        }
        if spec.user.as_ref().is_some_and(|id| id.as_str() == ROOT) {
            self.push(
                &["spec", "user"],
                format!("`{ROOT}` has every privilege, and Proxmox VE keeps no access rules of it"),
                "remove this document",
            );
        }
        if spec
            .roles
            .as_ref()
            .is_some_and(std::collections::BTreeSet::is_empty)
        {
            self.push(
                &["spec", "roles"],
                "an access rule gives at least one role",
                "to take all away, remove the document with `bailiwick.dev/deletion: delete`",
            );
        }
    }
}
