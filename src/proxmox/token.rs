//! API tokens: read from a file that only its owner can read, or from a value the caller took from somewhere, and kept where
//! they cannot be printed. This file never reads the environment.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// A token that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("the API token file {} cannot be read; check that it exists and belongs to the user Bailiwick runs as", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others than the owner can read or write the file.
    #[error(
        "the API token file {} can be read or written by others (mode {mode:04o}); nobody but its owner may: run `chmod 600 {}`",
        path.display(), path.display()
    )]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is a directory, a pipe or something else.
    #[error("{} is not a file; the API token is read from a plain file", path.display())]
    NotAFile {
        /// Which path.
        path: PathBuf,
    },
    /// The text is not a token. It is not repeated, since it may be half a secret.
    #[error(
        "the API token {origin} is not of the form `user@realm!tokenid=secret`, such as `bailiwick@pve!controller=` followed by the \
         UUID that Proxmox VE showed once when the token was made"
    )]
    Malformed {
        /// Where the text came from, in words: `in /etc/bailiwick/token`.
        origin: String,
    },
}

/// An API token of Proxmox VE. Its secret cannot be printed and is wiped when dropped.
#[derive(Clone)]
pub struct ApiToken {
    id: String,
    secret: Zeroizing<String>,
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiToken({}=…)", self.id)
    }
}

impl ApiToken {
    /// A token from `user@realm!tokenid=secret`; `origin` says where the text came from (`in the variable PVE_TOKEN`), for errors.
    pub fn new(text: &str, origin: &str) -> Result<Self, TokenError> {
        let malformed = || TokenError::Malformed {
            origin: origin.to_owned(),
        };
        let text = text.trim();
        let text = text.strip_prefix("PVEAPIToken=").unwrap_or(text);
        let (id, secret) = text.split_once('=').ok_or_else(malformed)?;
        let (user, name) = id.split_once('!').ok_or_else(malformed)?;
        let (name_part, realm) = user.rsplit_once('@').ok_or_else(malformed)?;
        let plain = |t: &str| {
            !t.is_empty()
                && t.chars()
                    .all(|c| c.is_ascii_graphic() && !matches!(c, ':' | '/' | '!'))
        };
        let secret_ok = !secret.is_empty() && secret.chars().all(|c| c.is_ascii_graphic());
        if !(plain(name_part) && plain(realm) && plain(name) && secret_ok) {
            return Err(malformed());
        }
        Ok(Self {
            id: id.to_owned(),
            secret: Zeroizing::new(secret.to_owned()),
        })
    }

    /// A token from a file, which is refused if anyone but its owner can read or write it.
    pub fn from_file(path: &Path) -> Result<Self, TokenError> {
        let unreadable = |source| TokenError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let mut file = std::fs::File::open(path).map_err(unreadable)?;
        // Of the open file, not of the path, so that nothing can be swapped in between.
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(TokenError::NotAFile {
                path: path.to_owned(),
            });
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = metadata.permissions().mode() & 0o7777;
            if mode & 0o077 != 0 {
                return Err(TokenError::Exposed {
                    path: path.to_owned(),
                    mode,
                });
            }
        }
        let mut text = Zeroizing::new(String::new());
        file.by_ref()
            .take(4096)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        Self::new(&text, &format!("in the file {}", path.display()))
    }

    /// The token's id, which is no secret: `user@realm!tokenid`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The value of the `Authorization` header.
    pub(crate) fn header(&self) -> Option<http::HeaderValue> {
        let text = Zeroizing::new(format!("PVEAPIToken={}={}", self.id, self.secret.as_str()));
        let mut value = http::HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let token =
            ApiToken::new("bot@pve!ro=5d9b1c36-aaaa-bbbb-cccc-000000000000\n", "here").unwrap();
        assert_eq!(token.id(), "bot@pve!ro");
        assert_eq!(format!("{token:?}"), "ApiToken(bot@pve!ro=…)");
        assert!(!format!("{:?}", token.header().unwrap()).contains("5d9b"));
    }

    #[test]
    fn what_is_no_token_is_refused_without_repeating_it() {
        for bad in [
            "",
            "sesame",
            "root@pam=sesame",
            "root!x=secret",
            "root@pam!=s",
            "root@pam!x=",
            "root@pam!x=a b",
            "@pam!x=s",
        ] {
            let error = ApiToken::new(bad, "in the variable TOKEN")
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("in the variable TOKEN") && (bad.is_empty() || !error.contains(bad)),
                "{error}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "a@pve!b=c\n").unwrap();
        for mode in [0o644, 0o640, 0o602, 0o604] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = ApiToken::from_file(&path).unwrap_err();
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        for mode in [0o600, 0o400] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(ApiToken::from_file(&path).unwrap().id(), "a@pve!b");
        }
        assert!(matches!(
            ApiToken::from_file(dir.path()),
            Err(TokenError::NotAFile { .. } | TokenError::Unreadable { .. })
        ));
        assert!(
            ApiToken::from_file(&dir.path().join("none"))
                .unwrap_err()
                .to_string()
                .contains("cannot be read")
        );
    }
}
