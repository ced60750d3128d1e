//! The kind `ApiToken`: a token of a user, with which a program talks to Proxmox VE in that user's name.

use super::desired::{DesiredApiToken, Wish};
use super::metadata::Metadata;
use super::options::{Field, options};
use super::scalar::{Expiry, NewFile, TokenComment, TokenName};
use crate::ids::{TokenId, UserId};

options! {
    /// How a token shall be. What is not written is not managed; `null` asks for the comment's removal.
    ///
    /// Proxmox VE shows a token's secret once, when the token is made: it is then written to `secretFile`, and is nowhere else. A token
    /// whose secret nobody has any more is deleted and made anew; no document gives a token that is there another secret.
    pub struct ApiTokenSpec {
        /// The user it belongs to, `NAME@REALM`. Always to be written; it never changes.
        user: Option<UserId> = "userid" by hand,
        /// The token's name, the part of its id behind the `!`, where it is not the document's name. It never changes.
        id: Option<TokenName> = "tokenid" by hand,
        /// Whether it has only the privileges that access rules give to itself, and of those only what its user has too. With `false` it
        /// may do everything that its user may. A token that is made without this being written is separated.
        separated: Option<bool> = "privsep" by hand,
        /// Until when it can be used: `never`, a day such as `2026-12-31` (its first moment, UTC) or a moment such as
        /// `2026-12-31T18:00:00Z`. It never lasts longer than its user.
        expires: Option<Expiry> = "expire" by hand,
        /// A comment.
        comment: Field<TokenComment> = "comment" by hand,
        /// The file of the controller that the secret is written to when the token is made: an absolute path, in a folder that is there.
        /// The file must not be there yet; nobody but the user that Bailiwick runs as will be able to read it. Needed where the token
        /// has to be made, and without meaning otherwise.
        secret_file: Option<NewFile> = "" by hand,
    }
}

impl ApiTokenSpec {
    /// The id of the token that a document is about, if it says one.
    pub fn id(&self, metadata: &Metadata) -> Option<TokenId> {
        let name = self
            .id
            .as_ref()
            .map_or(metadata.name.as_str(), TokenName::as_str);
        TokenId::of(self.user.as_ref()?, name).ok()
    }

    /// What this asks for in Proxmox VE's words, for the token of that id.
    pub fn desired(&self, id: TokenId) -> DesiredApiToken {
        DesiredApiToken {
            id,
            separated: self.separated,
            expires: self.expires.as_ref().map(Expiry::seconds),
            comment: self.comment.wish().map(|wish| match wish {
                Wish::Set(text) if text.as_str().is_empty() => Wish::Remove,
                Wish::Set(text) => Wish::Set(text.as_str().to_owned()),
                Wish::Remove => Wish::Remove,
            }),
            secret_file: self
                .secret_file
                .as_ref()
                .map(|path| path.as_str().to_owned()),
        }
    }
}
