//! SSH signatures over a plan hash, in the format of `ssh-keygen -Y sign` (OpenSSH's SSHSIG), and what they are made over.
//! Proves that a key signed; which person a key stands for is said by [`super::signers`]. No I/O.

use jiff::Timestamp;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, LineEnding, PublicKey, Signature, SshSig};

use super::Decision;
use crate::plan::PlanHash;

/// The namespace of every signature Bailiwick accepts: one made for mail, files or Git commits is never an approval.
pub const NAMESPACE: &str = "bailiwick";

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
    #[error("the signature was made for namespace `{found}`, expected `bailiwick`: sign again with `-n bailiwick`")]
    Namespace {
        /// The namespace found.
        found: String,
    },
    /// The message was hashed with something but SHA-512 or SHA-256.
    #[error("the signature's hash algorithm is not known, expected `sha512` or `sha256`: sign again with `-O hashalg=sha512`")]
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
    #[error("the RSA key has {bits} bits, at least {MINIMUM_RSA_BITS} are needed: use a longer key, or ssh-ed25519")]
    WeakKey {
        /// Its size.
        bits: usize,
    },
    /// A security key that was not touched.
    #[error("the security key was not touched when it signed, so nobody was there: sign again without `no-touch-required`")]
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
    let signature = decode(armoured)?;
    accept_form(&signature)?;
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

fn decode(armoured: &str) -> Result<SshSig, SignatureError> {
    let text = armoured.trim();
    if text.len() > MAXIMUM_LENGTH {
        return Err(SignatureError::TooLong { length: text.len() });
    }
    SshSig::from_pem(text).map_err(|source| match source {
        ssh_key::Error::Version { number } => SignatureError::Version { version: number },
        ssh_key::Error::Namespace => SignatureError::Namespace {
            found: String::new(),
        },
        // Unknown key algorithms decode as such; the only label left that can be unknown is the hash algorithm's.
        ssh_key::Error::Encoding(ssh_encoding_error) if is_label(&ssh_encoding_error) => {
            SignatureError::HashAlgorithm
        }
        source => SignatureError::NotASignature { source },
    })
}

fn is_label(error: &impl std::fmt::Debug) -> bool {
    format!("{error:?}").starts_with("Label(")
}

/// What can be said about a signature before any message is looked at.
fn accept_form(signature: &SshSig) -> Result<(), SignatureError> {
    if signature.version() != SshSig::VERSION {
        return Err(SignatureError::Version {
            version: signature.version(),
        });
    }
    if signature.namespace() != NAMESPACE {
        return Err(SignatureError::Namespace {
            found: signature.namespace().chars().take(64).collect(),
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
