//! The ledger's keys: 32 secret bytes in a file only its owner can read. A key cannot be printed, written to a log or compared; it is
//! named by its fingerprint. Nothing here decides where a key file lies; by default it is not beside the ledger.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac as _};
use rand::TryRng;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::record::Mac;

/// What is signed to make a key's fingerprint. No record begins with it, so it is no record's MAC.
const FINGERPRINT_TEXT: &[u8] = b"bailiwick-ledger/1 key-id";

/// Why a key file could not be used or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the key file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Group or others have permissions on the file.
    #[error(
        "the key file {path} can be used by others than its owner (mode {mode:04o}): run `chmod 600 {path}`, and rotate the key if somebody may have read it"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode bits.
        mode: u32,
    },
    /// Not 64 hexadecimal digits and a newline.
    #[error(
        "the key file {path} does not hold a key: expected 64 hexadecimal digits (32 bytes) on one line"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// The file is there already, or cannot be created.
    #[error("cannot create the key file {path}: {source}")]
    Create {
        /// The file.
        path: PathBuf,
        /// Why; an existing file is never overwritten.
        #[source]
        source: io::Error,
    },
    /// The system gives no random bytes.
    #[error("the system's random number generator failed: {0}")]
    Random(String),
}

/// A key's fingerprint: the first 16 bytes of the HMAC under it of a fixed text, as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId([u8; 16]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        lower_hex(text).map(Self).ok_or_else(|| {
            format!("`{text}` is not a key id: 32 lower-case hexadecimal digits are")
        })
    }
}

impl TryFrom<String> for KeyId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> String {
        id.to_string()
    }
}

/// Exactly `2 * N` lower-case hexadecimal digits.
pub(super) fn lower_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

/// A ledger key. It prints as its fingerprint only.
#[derive(Clone)]
pub struct Key {
    hmac: Hmac<Sha256>,
    id: KeyId,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

impl Key {
    /// A key from its bytes.
    pub fn from_bytes(secret: &[u8; 32]) -> Self {
        let hmac = <Hmac<Sha256> as KeyInit>::new(&block(secret));
        let full: [u8; 32] = hmac
            .clone()
            .chain_update(FINGERPRINT_TEXT)
            .finalize()
            .into_bytes()
            .into();
        let mut id = [0; 16];
        id.iter_mut().zip(full).for_each(|(to, from)| *to = from);
        Self {
            hmac,
            id: KeyId(id),
        }
    }

    /// Reads a key file: 64 hexadecimal digits and a newline. Refused when group or others have any permission on it.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        Ok(Self::from_bytes(&*read_secret(path)?))
    }

    /// Makes a new random key and writes it to a new file of mode 0600. An existing file is never overwritten.
    pub fn generate(path: &Path) -> Result<Self, KeyError> {
        Ok(Self::from_bytes(&*generate_secret(path)?))
    }

    /// The key's fingerprint.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// A keyed fingerprint of something secret, hexadecimal: tells whether it changed, and nothing to who has not the key. It is
    /// the MAC of a text no record can be, so that it cannot be taken for a record's.
    pub fn fingerprint(&self, secret: &[u8]) -> String {
        hex::encode(self.mac([b"bailiwick-secret/1 ".as_slice(), secret]).0)
    }

    /// The MAC of the parts, one after the other.
    pub(super) fn mac<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> Mac {
        Mac(self.feed(parts).finalize().into_bytes().into())
    }

    /// Whether `mac` is the MAC of the parts, compared in constant time.
    pub(super) fn bears<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>, mac: &Mac) -> bool {
        self.feed(parts).verify_slice(&mac.0).is_ok()
    }

    fn feed<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> Hmac<Sha256> {
        let mut hmac = self.hmac.clone();
        for part in parts {
            hmac.update(part);
        }
        hmac
    }
}

/// HMAC pads a short key with zeros to the block; doing it here gives the constructor that cannot fail.
fn block(secret: &[u8; 32]) -> hmac::digest::Key<Hmac<Sha256>> {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    block
        .iter_mut()
        .zip(secret)
        .for_each(|(to, from)| *to = *from);
    block
}

/// Several keys by fingerprint: what a verification may need when keys were rotated.
#[derive(Debug, Clone, Default)]
pub struct Keys(BTreeMap<KeyId, Key>);

impl Keys {
    /// The key with a fingerprint.
    pub fn get(&self, id: &KeyId) -> Option<&Key> {
        self.0.get(id)
    }

    /// Every key, by fingerprint.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.values()
    }
}

impl FromIterator<Key> for Keys {
    fn from_iter<T: IntoIterator<Item = Key>>(keys: T) -> Self {
        Self(keys.into_iter().map(|key| (key.id(), key)).collect())
    }
}

impl From<Key> for Keys {
    fn from(key: Key) -> Self {
        Self::from_iter([key])
    }
}

/// Random bytes from the system.
pub(super) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, KeyError> {
    let mut bytes = Zeroizing::new([0; N]);
    SysRng
        .try_fill_bytes(&mut *bytes)
        .map_err(|error| KeyError::Random(error.to_string()))?;
    Ok(bytes)
}

/// Reads 32 bytes, hexadecimal, from a file that only its owner can use.
pub(super) fn read_secret(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let cannot = |source| KeyError::Read {
        path: path.to_owned(),
        source,
    };
    // The mode of the opened file, not of the path, so that it cannot be swapped in between.
    let file = fs::File::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let malformed = || KeyError::Malformed {
        path: path.to_owned(),
    };
    if metadata.len() > 128 {
        return Err(malformed());
    }
    let text = Zeroizing::new(io::read_to_string(file).map_err(|source| {
        if source.kind() == io::ErrorKind::InvalidData {
            malformed()
        } else {
            cannot(source)
        }
    })?);
    let mut secret = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim_end(), &mut *secret).map_err(|_| malformed())?;
    Ok(secret)
}

/// Writes 32 random bytes, hexadecimal, to a new file of mode 0600.
pub(super) fn generate_secret(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let cannot = |source| KeyError::Create {
        path: path.to_owned(),
        source,
    };
    let secret = random::<32>()?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(cannot)?;
    let text = Zeroizing::new(format!("{}\n", *Zeroizing::new(hex::encode(*secret))));
    file.write_all(text.as_bytes()).map_err(cannot)?;
    file.sync_all().map_err(cannot)?;
    Ok(secret)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_file_is_made_private_never_overwritten_and_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.key");
        let made = Key::generate(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(Key::read(&path).unwrap().id(), made.id());
        assert!(matches!(Key::generate(&path), Err(KeyError::Create { .. })));
        assert_eq!(Key::read(&path).unwrap().id(), made.id());
    }

    #[test]
    fn a_key_file_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.key");
        Key::generate(&path).unwrap();
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = Key::read(&path).expect_err("exposed");
            assert!(matches!(error, KeyError::Exposed { .. }), "{mode:o}");
            assert!(error.to_string().contains("chmod 600"));
        }
    }

    #[test]
    fn a_key_that_is_no_key_is_refused_and_none_prints() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.key");
        for text in [
            "",
            "abc",
            &"g".repeat(64),
            &"a".repeat(66),
            &"ff".repeat(200),
        ] {
            let _ = fs::remove_file(&path);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(Key::read(&path), Err(KeyError::Malformed { .. })));
        }
        let key = Key::from_bytes(&[0xab; 32]);
        assert!(!format!("{key:?}").contains("abab"));
    }

    #[test]
    fn the_mac_is_plain_hmac_sha256() {
        // RFC 4231's construction, checked against Python's hmac for this key and text.
        let key = Key::from_bytes(&[7; 32]);
        let whole = key.mac([b"hello ".as_slice(), b"world".as_slice()]);
        assert_eq!(whole, key.mac([b"hello world".as_slice()]));
        assert_eq!(
            whole.to_string(),
            "4d707f950615bc47aa1c827d2231705c64676615deeefb0e2d0ab4824463818d"
        );
    }
}
