//! Signing with a person's private key file. The key stays in this process for one signature and is wiped after; it is never
//! printed, stored or sent.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use super::signature::NAMESPACE;

/// The greatest size of a private key file that is read, in bytes.
const MAXIMUM_LENGTH: u64 = 64 * 1024;

/// After how many characters OpenSSH breaks a line of a key file.
const LINE_LENGTH: usize = 70;

/// A private key that cannot sign.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("the key file {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is open to others.
    #[error(
        "the key file {} can be read or written by others (mode {mode:03o}), so it proves nothing: `chmod 600 {}`; \
         if others may have read it, make a new key",
        path.display(), path.display()
    )]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not a private key in OpenSSH's format.
    #[error(
        "{} is not a private key in OpenSSH's format (`-----BEGIN OPENSSH PRIVATE KEY-----`): give the private key, not the \
         `.pub` file; an older format is converted with `ssh-keygen -p -f {}`",
        path.display(), path.display()
    )]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// What the decoder met.
        #[source]
        source: ssh_key::Error,
    },
    /// The key is encrypted and no passphrase was given.
    #[error("the key {} is encrypted: give its passphrase, or add it to an ssh-agent and sign with that", path.display())]
    NeedsPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase is wrong.
    #[error("the passphrase does not open the key {}", path.display())]
    WrongPassphrase {
        /// The file.
        path: PathBuf,
        /// What the cipher said.
        #[source]
        source: ssh_key::Error,
    },
    /// An RSA key: ssh-key 0.6 builds RSA private keys from one prime twice, and the `rsa` crate's private operations leak time
    /// (RUSTSEC-2023-0071). RSA signatures made elsewhere are accepted.
    #[error(
        "{} is an RSA key, which cannot sign from its file here: sign with an ssh-agent (`ssh-add {}`) or with \
         `ssh-keygen -Y sign -n bailiwick -f {}`, or use an ssh-ed25519 key",
        path.display(), path.display(), path.display()
    )]
    Rsa {
        /// The file.
        path: PathBuf,
    },
    /// The key cannot sign here.
    #[error(
        "the key {fingerprint} ({algorithm}) cannot sign here: {source}; a security key signs through an ssh-agent or `ssh-keygen -Y sign`"
    )]
    CannotSign {
        /// The key's fingerprint.
        fingerprint: String,
        /// Its algorithm.
        algorithm: String,
        /// Why.
        #[source]
        source: ssh_key::Error,
    },
}

/// A private key, open for signing. Cannot be printed.
pub struct SigningKey(PrivateKey);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.fingerprint())
    }
}

impl SigningKey {
    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    /// The SHA-256 fingerprint as OpenSSH prints it.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    /// Signs a message ([`super::signed_message`]) in Bailiwick's namespace; the armoured text is what `ssh-keygen -Y sign` writes.
    pub fn sign(&self, message: &[u8]) -> Result<String, KeyError> {
        let refused = |source| KeyError::CannotSign {
            fingerprint: self.fingerprint(),
            algorithm: self.0.algorithm().to_string(),
            source,
        };
        self.0
            .sign(NAMESPACE, HashAlg::Sha512, message)
            .map_err(refused)?
            .to_pem(LineEnding::LF)
            .map_err(refused)
    }
}

/// Reads a private key file in OpenSSH's format. `passphrase` is asked only when the key is encrypted.
pub fn load_signing_key(
    path: &Path,
    passphrase: impl FnOnce() -> Option<Zeroizing<String>>,
) -> Result<SigningKey, KeyError> {
    let text = load_private_text(path)?;
    let key = PrivateKey::from_openssh(broken_anew(&text).as_bytes()).map_err(|source| {
        KeyError::NotAKey {
            path: path.to_owned(),
            source,
        }
    })?;
    if key.algorithm().is_rsa() {
        return Err(KeyError::Rsa {
            path: path.to_owned(),
        });
    }
    if !key.is_encrypted() {
        return Ok(SigningKey(key));
    }
    let passphrase = passphrase().ok_or_else(|| KeyError::NeedsPassphrase {
        path: path.to_owned(),
    })?;
    key.decrypt(passphrase.as_bytes())
        .map(SigningKey)
        .map_err(|source| KeyError::WrongPassphrase {
            path: path.to_owned(),
            source,
        })
}

/// The text with its lines broken as OpenSSH breaks them, which is all that ssh-key reads. Others break them elsewhere: Python's
/// `cryptography`, and so Ansible, after 76 characters.
fn broken_anew(text: &str) -> Zeroizing<String> {
    let mut anew = Zeroizing::new(String::with_capacity(text.len() * 2));
    let mut column = 0;
    for line in text.trim().lines().map(str::trim) {
        let marks = line.starts_with("-----");
        if marks && column > 0 {
            anew.push('\n');
        }
        for character in line.chars() {
            if !marks && column == LINE_LENGTH {
                anew.push('\n');
                column = 0;
            }
            anew.push(character);
            column += 1;
        }
        if marks {
            anew.push('\n');
            column = 0;
        }
    }
    anew
}

/// Opens the file once and asks the open file for its mode, so that what was checked is what is read.
fn load_private_text(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    let unreadable = |source| KeyError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(std::io::Error::other("it is not a file")));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::OpenToOthers {
                path: path.to_owned(),
                mode,
            });
        }
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAXIMUM_LENGTH)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    Ok(text)
}
