//! SSH signatures over a plan hash, in the format of `ssh-keygen -Y sign` (OpenSSH's SSHSIG), and what they are made over.
//! Proves that a key signed; which person a key stands for is said by [`super::signers`]. No I/O.

use jiff::Timestamp;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, LineEnding, PublicKey, Signature, SshSig};

use super::Decision;
use crate::plan::PlanHash;

/// The namespace of every signature Bailiwick accepts: one made for mail, files or Git commits is never an approval.
pub const NAMESPACE: &str = "bailiwick";

/// The namespace in which Git signs commits and tags (`git-config(1)`, `gpg.format=ssh`).
pub const GIT_NAMESPACE: &str = "git";

/// The least size of an RSA key that is accepted, in bits.
pub const MINIMUM_RSA_BITS: usize = 2048;

/// The greatest length of an armoured signature that is looked at, in bytes (an RSA-16384 one takes under 7 KiB).
const MAXIMUM_LENGTH: usize = 16 * 1024;

/// A signature that is no approval.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// The text is no armoured SSH signature.
    #[error(
        "this is not an SSH signature: expected the text from `-----BEGIN SSH SIGNATURE-----` to `-----END SSH SIGNATURE-----`, \
         made with `printf '%s' HASH | ssh-keygen -Y sign -n bailiwick -f KEY`"
    )]
    NotASignature {
        /// What the decoder met.
        #[source]
        source: ssh_key::Error,
    },
    /// The text is longer than any signature.
    #[error("this is not an SSH signature: {length} bytes are more than any signature has")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A version of the format that is not known.
    #[error("the signature has version {version} of OpenSSH's format, expected 1")]
    Version {
        /// The version found.
        version: u32,
    },
    /// The signature was made for another purpose.
    #[error(
        "the signature was made for namespace `{found}`, expected `{expected}`: sign again with `-n {expected}`"
    )]
    Namespace {
        /// The namespace found.
        found: String,
        /// The namespace it has to be made for.
        expected: String,
    },
    /// The message was hashed with something but SHA-512 or SHA-256.
    #[error(
        "the signature's hash algorithm is not known, expected `sha512` or `sha256`: sign again with `-O hashalg=sha512`"
    )]
    HashAlgorithm,
    /// The key's kind cannot be verified here.
    #[error(
        "signatures of `{algorithm}` are not accepted, expected ssh-ed25519, ecdsa-sha2-nistp256, ecdsa-sha2-nistp384, \
         rsa-sha2-256, rsa-sha2-512 or a security key (sk-ssh-ed25519, sk-ecdsa-sha2-nistp256): use such a key"
    )]
    Algorithm {
        /// The algorithm found.
        algorithm: String,
    },
    /// An RSA key that is too short.
    #[error(
        "the RSA key has {bits} bits, at least {MINIMUM_RSA_BITS} are needed: use a longer key, or ssh-ed25519"
    )]
    WeakKey {
        /// Its size.
        bits: usize,
    },
    /// A security key that was not touched.
    #[error(
        "the security key was not touched when it signed, so nobody was there: sign again without `no-touch-required`"
    )]
    NotTouched,
    /// The signature is not over this plan's hash.
    #[error(
        "the signature is not one of {fingerprint} over {message}: it was made over another plan, or changed on the way; \
         look at the plan again and sign the hash it has now"
    )]
    Mismatch {
        /// The key the signature names.
        fingerprint: String,
        /// What should have been signed.
        message: String,
    },
    /// The signature is not over this text.
    #[error(
        "the signature is not one of {fingerprint} over this text: it was made over another, or one of them changed on the way"
    )]
    OtherText {
        /// The key the signature names.
        fingerprint: String,
    },
}

/// The message an approval or rejection is signed over: for an approval the plan's hash itself, for a rejection the word
/// `reject`, a space and the hash, so that the one can never pass for the other.
///
/// A person can make an approval without Bailiwick: `printf '%s' HASH | ssh-keygen -Y sign -n bailiwick -f KEY`.
pub fn signed_message(plan_hash: &PlanHash, decision: Decision) -> Vec<u8> {
    match decision {
        Decision::Approve => plan_hash.0.clone().into_bytes(),
        Decision::Reject => format!("reject {plan_hash}").into_bytes(),
    }
}

/// The same message with a space and the second it was signed in, `HASH 2026-11-22T17:00:00Z`. The same plan over the same world
/// has the same hash, so a bare signature stays good for as long as the plan can come back; a dated one dies with its hour.
pub fn dated_message(plan_hash: &PlanHash, decision: Decision, signed_at: Timestamp) -> Vec<u8> {
    let mut message = signed_message(plan_hash, decision);
    message.extend_from_slice(format!(" {}", signed_at.strftime("%Y-%m-%dT%H:%M:%SZ")).as_bytes());
    message
}

/// A key that has been seen to sign one decision over one plan. Only [`verify`] makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSignature {
    key: KeyData,
    plan: PlanHash,
    decision: Decision,
    signed_at: Option<Timestamp>,
}

impl VerifiedSignature {
    /// The key.
    pub fn key(&self) -> &KeyData {
        &self.key
    }

    /// The key's SHA-256 fingerprint as OpenSSH prints it, `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint(HashAlg::Sha256).to_string()
    }

    /// The plan that was signed.
    pub fn plan(&self) -> &PlanHash {
        &self.plan
    }

    /// The decision that was signed.
    pub fn decision(&self) -> Decision {
        self.decision
    }

    /// When it was signed, if the signature says so.
    pub fn signed_at(&self) -> Option<Timestamp> {
        self.signed_at
    }
}

/// Verifies an armoured signature over a decision about a plan; `signed_at` is the time the signer put into the message, if any
/// (see [`dated_message`]). One newline after the message is accepted, since `echo HASH` writes one.
pub fn verify(
    armoured: &str,
    plan_hash: &PlanHash,
    decision: Decision,
    signed_at: Option<Timestamp>,
) -> Result<VerifiedSignature, SignatureError> {
    let signature = decode(armoured, NAMESPACE)?;
    accept_form(&signature, NAMESPACE)?;
    let message = match signed_at {
        Some(at) => dated_message(plan_hash, decision, at),
        None => signed_message(plan_hash, decision),
    };
    let mut with_newline = message.clone();
    with_newline.push(b'\n');
    let key = PublicKey::from(signature.public_key().clone());
    let signs = |text: &[u8]| key.verify(NAMESPACE, text, &signature).is_ok();
    if signs(&message) || signs(&with_newline) {
        Ok(VerifiedSignature {
            key: signature.public_key().clone(),
            plan: plan_hash.clone(),
            decision,
            signed_at,
        })
    } else {
        Err(SignatureError::Mismatch {
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
            message: String::from_utf8_lossy(&message).into_owned(),
        })
    }
}

/// The key that signed a text that is no decision, in another namespace than Bailiwick's own: Git's commits, in [`GIT_NAMESPACE`].
/// An approval never comes of it; those only [`verify`] makes.
pub fn verify_text(
    armoured: &str,
    namespace: &str,
    text: &[u8],
) -> Result<KeyData, SignatureError> {
    let signature = decode(armoured, namespace)?;
    accept_form(&signature, namespace)?;
    let key = PublicKey::from(signature.public_key().clone());
    match key.verify(namespace, text, &signature) {
        Ok(()) => Ok(signature.public_key().clone()),
        Err(_) => Err(SignatureError::OtherText {
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
        }),
    }
}

fn decode(armoured: &str, namespace: &str) -> Result<SshSig, SignatureError> {
    let text = armoured.trim();
    if text.len() > MAXIMUM_LENGTH {
        return Err(SignatureError::TooLong { length: text.len() });
    }
    let signature = SshSig::from_pem(text).map_err(|source| match source {
        ssh_key::Error::Version { number } => SignatureError::Version { version: number },
        ssh_key::Error::Namespace => SignatureError::Namespace {
            found: String::new(),
            expected: namespace.to_owned(),
        },
        // Unknown key algorithms decode as such; the only label left that can be unknown is the hash algorithm's.
        ssh_key::Error::Encoding(ssh_encoding_error) if is_label(&ssh_encoding_error) => {
            SignatureError::HashAlgorithm
        }
        source => SignatureError::NotASignature { source },
    })?;
    // The decoder forgives wrong lengths within; one signature shall have one text.
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    let again = signature
        .to_pem(LineEnding::LF)
        .map_err(|source| SignatureError::NotASignature { source })?;
    if bare(&again) == bare(text) {
        Ok(signature)
    } else {
        Err(SignatureError::NotASignature {
            source: ssh_key::Error::FormatEncoding,
        })
    }
}

fn is_label(error: &impl std::fmt::Debug) -> bool {
    format!("{error:?}").starts_with("Label(")
}

/// What can be said about a signature before any message is looked at.
fn accept_form(signature: &SshSig, namespace: &str) -> Result<(), SignatureError> {
    if signature.version() != SshSig::VERSION {
        return Err(SignatureError::Version {
            version: signature.version(),
        });
    }
    if signature.namespace() != namespace {
        return Err(SignatureError::Namespace {
            found: signature.namespace().chars().take(64).collect(),
            expected: namespace.to_owned(),
        });
    }
    let touched = || -> Result<(), SignatureError> {
        // The signature ends with a byte of flags and a counter of four bytes; the lowest bit of the flags is "somebody touched it".
        let flags = signature.signature_bytes().iter().rev().nth(4).copied();
        match flags {
            Some(flags) if flags & 1 == 1 => Ok(()),
            Some(_) | None => Err(SignatureError::NotTouched),
        }
    };
    match (signature.public_key(), signature.algorithm()) {
        (KeyData::Ed25519(_), Algorithm::Ed25519)
        | (
            KeyData::Ecdsa(_),
            Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP256 | EcdsaCurve::NistP384,
            },
        ) => Ok(()),
        (KeyData::SkEd25519(_), Algorithm::SkEd25519)
        | (KeyData::SkEcdsaSha2NistP256(_), Algorithm::SkEcdsaSha2NistP256) => touched(),
        (KeyData::Rsa(key), Algorithm::Rsa { hash: Some(_) }) => {
            let bits = key.n.as_positive_bytes().map_or(0, |n| n.len() * 8);
            if bits < MINIMUM_RSA_BITS {
                Err(SignatureError::WeakKey { bits })
            } else {
                Ok(())
            }
        }
        (_, algorithm) => Err(SignatureError::Algorithm {
            algorithm: algorithm.to_string(),
        }),
    }
}

/// Puts a raw signature (as an ssh-agent gives it) over [`to_be_signed`] into OpenSSH's armour.
pub(super) fn armour(key: &KeyData, signature: Signature) -> Result<String, ssh_key::Error> {
    SshSig::new(key.clone(), NAMESPACE, HashAlg::Sha512, signature)?.to_pem(LineEnding::LF)
}

/// The bytes a key signs for a message in Bailiwick's namespace.
pub(super) fn to_be_signed(message: &[u8]) -> Result<Vec<u8>, ssh_key::Error> {
    SshSig::signed_data(NAMESPACE, HashAlg::Sha512, message)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
mod tests {
    use ed25519_dalek::Signer as _;
    use sha2::{Digest, Sha256};
    use ssh_key::private::{Ed25519Keypair, KeypairData};
    use ssh_key::{PrivateKey, public};

    use super::*;

    fn hash() -> PlanHash {
        PlanHash("sha256:5a5a".to_owned())
    }

    fn key() -> PrivateKey {
        PrivateKey::new(
            KeypairData::Ed25519(Ed25519Keypair::from_seed(&[7; 32])),
            "test",
        )
        .unwrap()
    }

    fn signed(namespace: &str) -> SshSig {
        let message = signed_message(&hash(), Decision::Approve);
        key().sign(namespace, HashAlg::Sha512, &message).unwrap()
    }

    /// The armoured form of bytes that may be no signature.
    fn armoured(bytes: &[u8]) -> String {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(bytes);
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(70)
            .map(|l| std::str::from_utf8(l).unwrap())
            .collect();
        format!(
            "-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n",
            lines.join("\n")
        )
    }

    fn bytes_of(signature: &SshSig) -> Vec<u8> {
        use base64::Engine as _;
        let pem = signature.to_pem(LineEnding::LF).unwrap();
        let body: String = pem.lines().filter(|l| !l.starts_with('-')).collect();
        base64::engine::general_purpose::STANDARD
            .decode(body)
            .unwrap()
    }

    fn check(text: &str) -> Result<VerifiedSignature, SignatureError> {
        verify(text, &hash(), Decision::Approve, None)
    }

    #[test]
    fn an_approval_is_signed_over_the_hash_itself() {
        assert_eq!(signed_message(&hash(), Decision::Approve), b"sha256:5a5a");
        assert_eq!(
            signed_message(&hash(), Decision::Reject),
            b"reject sha256:5a5a"
        );
        let at = "2026-11-22T17:00:00.9Z".parse().unwrap();
        assert_eq!(
            dated_message(&hash(), Decision::Approve, at),
            b"sha256:5a5a 2026-11-22T17:00:00Z"
        );
    }

    #[test]
    fn a_good_signature_is_verified() {
        let verified = check(&armoured(&bytes_of(&signed(NAMESPACE)))).unwrap();
        assert_eq!(verified.plan(), &hash());
        assert!(verified.fingerprint().starts_with("SHA256:"));
    }

    #[test]
    fn every_flipped_byte_is_refused() {
        let good = bytes_of(&signed(NAMESPACE));
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 1;
            assert!(check(&armoured(&bad)).is_err(), "byte {place}");
        }
        for length in 0..good.len() {
            assert!(
                check(&armoured(&good[..length])).is_err(),
                "cut to {length}"
            );
        }
        let mut longer = good.clone();
        longer.push(0);
        assert!(check(&armoured(&longer)).is_err());
    }

    #[test]
    fn each_kind_of_wrong_has_its_own_error() {
        assert!(matches!(
            check(""),
            Err(SignatureError::NotASignature { .. })
        ));
        assert!(matches!(
            check("yes, please"),
            Err(SignatureError::NotASignature { .. })
        ));
        assert!(matches!(
            check(&"x".repeat(20_000)),
            Err(SignatureError::TooLong { .. })
        ));
        let armoured_key = key().to_openssh(LineEnding::LF).unwrap();
        assert!(matches!(
            check(&armoured_key),
            Err(SignatureError::NotASignature { .. })
        ));
        let of_git = armoured(&bytes_of(&signed("git")));
        assert!(
            matches!(check(&of_git), Err(SignatureError::Namespace { found, .. }) if found == "git")
        );
        let good = bytes_of(&signed(NAMESPACE));
        let mut newer = good.clone();
        newer[9] = 2;
        assert!(matches!(
            check(&armoured(&newer)),
            Err(SignatureError::Version { version: 2 })
        ));
        let mut older = good.clone();
        older[9] = 0;
        assert!(matches!(
            check(&armoured(&older)),
            Err(SignatureError::Version { version: 0 })
        ));
        let place = good.windows(6).position(|w| w == b"sha512").unwrap();
        let mut md5 = good.clone();
        md5[place..place + 6].copy_from_slice(b"sha384");
        assert!(matches!(
            check(&armoured(&md5)),
            Err(SignatureError::HashAlgorithm)
        ));
        let mismatch = verify(
            &armoured(&good),
            &PlanHash("sha256:other".into()),
            Decision::Approve,
            None,
        );
        assert!(
            mismatch
                .unwrap_err()
                .to_string()
                .contains("look at the plan again")
        );
    }

    #[test]
    fn a_text_of_another_namespace_is_verified_in_that_namespace_only() {
        let made = key()
            .sign(GIT_NAMESPACE, HashAlg::Sha512, b"tree 1")
            .unwrap();
        let text = armoured(&bytes_of(&made));
        let signer = verify_text(&text, GIT_NAMESPACE, b"tree 1").unwrap();
        assert_eq!(&signer, key().public_key().key_data());
        assert!(matches!(
            verify_text(&text, GIT_NAMESPACE, b"tree 2"),
            Err(SignatureError::OtherText { .. })
        ));
        assert!(matches!(
            verify_text(&text, NAMESPACE, b"tree 1"),
            Err(SignatureError::Namespace { .. })
        ));
        let of_plan = armoured(&bytes_of(&signed(NAMESPACE)));
        let refused = verify_text(&of_plan, GIT_NAMESPACE, b"sha256:5a5a").unwrap_err();
        assert!(refused.to_string().contains("expected `git`"), "{refused}");
    }

    /// What a security key makes, with the flags given.
    fn by_security_key(flags: u8) -> String {
        let secret = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
        let point = public::Ed25519PublicKey(secret.verifying_key().to_bytes());
        let key = KeyData::SkEd25519(public::SkEd25519::from(point));
        let data = to_be_signed(&signed_message(&hash(), Decision::Approve)).unwrap();
        let trailer = [flags, 0, 0, 0, 5];
        let mut message = Sha256::digest(b"ssh:").to_vec();
        message.extend(trailer);
        message.extend(Sha256::digest(&data));
        let mut raw = secret.sign(&message).to_bytes().to_vec();
        raw.extend(trailer);
        armour(&key, Signature::new(Algorithm::SkEd25519, raw).unwrap()).unwrap()
    }

    #[test]
    fn a_security_key_counts_only_when_it_was_touched() {
        assert!(check(&by_security_key(1)).is_ok());
        assert!(check(&by_security_key(5)).is_ok());
        assert!(matches!(
            check(&by_security_key(0)),
            Err(SignatureError::NotTouched)
        ));
    }
}
