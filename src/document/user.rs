//! The kind `User`: somebody who may log in, or own tokens.

use std::collections::{BTreeMap, BTreeSet};

use super::desired::{DesiredUser, SecretRef, Value, Wish};
use super::options::{Field, options};
use super::scalar::{EmailAddress, Expiry, UserComment, UserName};
use crate::ids::{GroupId, UserId};

options! {
    /// How a user shall be. `root@pam` is not managed. Tokens and second factors are not managed here; when the document is removed with
    /// `bailiwick.dev/deletion: delete`, the user's tokens and the access rules of both go with it.
    pub struct UserSpec {
        /// The user's id with its realm, such as `ann@pve`. It never changes.
        id: Option<UserId> = "userid" by hand,
        /// Whether logging in is allowed, for the user and its tokens. Default `true` for new users.
        enabled: Option<bool> = "enable" by hand,
        /// When it ends that the user and its tokens may log in: a time in UTC such as `2027-03-31T18:00:00Z`, a day (its beginning), or
        /// `never`.
        expires: Option<Expiry> = "expire" by hand,
        /// The first name.
        first_name: Field<UserName> = "firstname" by hand,
        /// The last name.
        last_name: Field<UserName> = "lastname" by hand,
        /// The mail address.
        email: Field<EmailAddress> = "email" by hand,
        /// The comment.
        comment: Field<UserComment> = "comment" by hand,
        /// The exact set of groups the user is in.
        groups: Option<BTreeSet<GroupId>> = "groups" by hand,
        /// The first password, 8 to 64 characters, for users of the realm `pve`. Counts only when the user is made: Proxmox VE lets no
        /// token change a password. One that is shorter or longer is refused when it is planned.
        password_from: Option<SecretRef> = "password" by hand,
    }
}

impl UserSpec {
    /// What this asks for in Proxmox VE's words, for the user of that id.
    pub fn desired(&self, id: UserId) -> DesiredUser {
        let mut fields = BTreeMap::new();
        let mut put = |key: &str, wish: Option<Wish<String>>| {
            if let Some(wish) = wish {
                fields.insert(key.to_owned(), wish);
            }
        };
        let name = |field: &Field<UserName>| text(field.wish(), |name| name.as_str().to_owned());
        put("firstname", name(&self.first_name));
        put("lastname", name(&self.last_name));
        let email = text(self.email.wish(), |email| email.as_str().to_owned());
        put("email", email);
        let comment = text(self.comment.wish(), |comment| comment.as_str().to_owned());
        put("comment", comment);
        DesiredUser {
            id,
            enabled: self.enabled,
            expires: self.expires.as_ref().map(Expiry::seconds),
            fields,
            groups: self.groups.clone(),
            password: self.password_from.clone().map(Value::Secret),
        }
    }
}

/// A wish in plain text; an empty text is none.
fn text<T>(wish: Option<Wish<T>>, plain: impl Fn(&T) -> String) -> Option<Wish<String>> {
    wish.map(|wish| match wish {
        Wish::Set(value) => match plain(&value) {
            text if text.is_empty() => Wish::Remove,
            text => Wish::Set(text),
        },
        Wish::Remove => Wish::Remove,
    })
}
