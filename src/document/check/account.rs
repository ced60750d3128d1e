//! Groups, users, roles and access rules: their ids, and what cannot be asked for.

use super::Check;
use crate::document::Kind;
use crate::document::access_rule::AccessRuleSpec;
use crate::document::metadata::{Deletion, Metadata};
use crate::document::options::Field;
use crate::document::realm::{RealmSpec, RealmType};
use crate::document::role::RoleSpec;
use crate::document::schema::typed_keys;
use crate::document::user::UserSpec;
use crate::ids::{InvalidId, RealmId, RoleId, UserId};

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

    pub(super) fn realm(&mut self, metadata: &Metadata, spec: &RealmSpec) {
        let named = spec
            .id
            .is_none()
            .then(|| RealmId::new(&metadata.name).err());
        self.account_name("realm", named.flatten());
        let id = spec
            .id
            .as_ref()
            .map_or(metadata.name.as_str(), |id| id.as_str());
        let built_in = RealmType::built_in(id);
        match (built_in, spec.r#type) {
            (Some(of), Some(written)) if of != written => self.push(
                &["spec", "type"],
                format!(
                    "realm `{id}` is built in, and has the type `{}`",
                    of.as_str()
                ),
                "remove the line",
            ),
            (None, Some(of @ (RealmType::Pam | RealmType::Pve))) => {
                let of = of.as_str();
                self.push(
                    &["spec", "type"],
                    format!("the only realm of the type `{of}` is `{of}` itself"),
                    "a realm that can be made has the type `ldap`, `ad` or `openid`",
                );
            }
            _ => {}
        }
        if built_in.is_some() && metadata.annotations.deletion() == Deletion::Delete {
            self.push(
                &["metadata", "annotations"],
                format!("realm `{id}` is built in and cannot be deleted"),
                "remove the annotation `bailiwick.dev/deletion`",
            );
        }
        if let Some(of) = built_in.or(spec.r#type) {
            self.realm_settings(spec, of);
        }
        if spec.username_claim == Field::Remove {
            self.push(
                &["spec", "usernameClaim"],
                "the claim that becomes a user's name never changes",
                "leave the line out if it shall not be managed",
            );
        }
    }

    /// That a realm of a type has what is written of it, and keeps what it cannot be without.
    fn realm_settings(&mut self, spec: &RealmSpec, of: RealmType) {
        let typed = typed_keys(Kind::Realm);
        let place = |key: &str| match typed.get(key) {
            Some(path) => path.clone(),
            None => format!("spec.extraConfig.{key}"),
        };
        for (key, removed) in spec.written_keys() {
            let path = place(&key);
            let at: Vec<&str> = path.split('.').collect();
            if !of.takes(&key) {
                self.push(
                    &at,
                    format!("a realm of the type `{}` has no `{path}`", of.as_str()),
                    "remove the line",
                );
            } else if removed && of.needs().contains(&key.as_str()) {
                self.push(
                    &at,
                    format!(
                        "a realm of the type `{}` cannot be without `{path}`",
                        of.as_str()
                    ),
                    "leave the line out if it shall not be managed",
                );
            }
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
