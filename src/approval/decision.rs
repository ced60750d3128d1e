//! A person's decision over one plan hash, how it is proved, and how long it is good for. Pure: time comes in as a value.
//! That a decision is used once is the store's business.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::principal::Principal;
use super::signature::{SignatureError, verify};
use super::signers::{AllowedSigners, SignerError};
use crate::plan::PlanHash;

/// How far another machine's clock may run ahead of this one's.
pub const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(2);

/// The greatest length of a reason, in characters.
pub const MAXIMUM_REASON: usize = 1000;

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The plan may be applied.
    Approve,
    /// The plan must not be applied, now or later.
    Reject,
}

/// How a decision is proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Method {
    /// By an SSH signature over the plan's hash.
    SshSignature {
        /// The key's fingerprint, `SHA256:…`.
        fingerprint: String,
    },
    /// Not at all: enough for a rejection, never for an approval.
    Unsigned,
    /// By a rule of the operator's policy. Recorded; it never counts as a person's approval.
    Policy,
}

/// A decision over one plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approval {
    /// The plan, by its hash: no other plan is meant, however much alike.
    pub plan: PlanHash,
    /// Who decided.
    pub principal: Principal,
    /// What.
    pub decision: Decision,
    /// How that is proved.
    pub method: Method,
    /// Why; may be empty for an approval.
    pub reason: String,
    /// When: the time in the signature if it has one, else when it arrived.
    pub at: Timestamp,
    /// From when on it no longer counts.
    pub expires_at: Timestamp,
    /// The ids of the impacts the person acknowledged. The signature covers them through the plan's hash, not this list.
    pub acknowledged: BTreeSet<String>,
    /// The ids of the unknowns the person named.
    pub named_unknowns: BTreeSet<String>,
    /// The armoured signature.
    pub signature: Option<String>,
    /// The time that stands in the signed message, if one does.
    pub signed_at: Option<Timestamp>,
}

/// A decision that is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// The signature proves nothing about this plan.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The key stands for nobody who may approve.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// Only people decide.
    #[error("{principal} cannot decide over a plan: only people can, as `person:NAME`")]
    NotAPerson {
        /// Who tried.
        principal: Principal,
    },
    /// The reason is missing, too long, or has control characters.
    #[error("the reason {why}")]
    Reason {
        /// What is wrong.
        why: String,
    },
    /// The time in the signature lies in the future.
    #[error(
        "the signature says {signed_at}, which is still to come here ({now}): set the clocks right and sign again"
    )]
    FromTheFuture {
        /// The time in the signature.
        signed_at: Timestamp,
        /// The time here.
        now: Timestamp,
    },
    /// The signature is too old.
    #[error(
        "the signature was made at {signed_at} and was good until {expired_at}: look at the plan and sign again"
    )]
    Expired {
        /// The time in the signature.
        signed_at: Timestamp,
        /// When it stopped being good.
        expired_at: Timestamp,
    },
    /// A stored approval no longer agrees with the allowed signers or with itself.
    #[error("the recorded approval of {principal} no longer holds: {why}")]
    NotHolding {
        /// Whose approval.
        principal: Principal,
        /// Why.
        why: String,
    },
    /// The expiry lies outside the range of times.
    #[error("the time {at} plus {length:#} is no time: set the clock right")]
    Time {
        /// The beginning.
        at: Timestamp,
        /// What was added.
        length: SignedDuration,
    },
}

/// What a person hands in to approve a plan.
#[derive(Debug, Clone)]
pub struct SignedDecision<'a> {
    /// The plan's hash.
    pub plan: &'a PlanHash,
    /// The armoured signature over [`super::signed_message`] or [`super::signature::dated_message`].
    pub armoured: &'a str,
    /// The time in the message, if it has one.
    pub signed_at: Option<Timestamp>,
    /// Why; may be empty.
    pub reason: &'a str,
    /// The ids of the impacts that are acknowledged.
    pub acknowledged: BTreeSet<String>,
    /// The ids of the unknowns that are named.
    pub named_unknowns: BTreeSet<String>,
}

impl Approval {
    /// An approval, if the signature is of an allowed signer over this plan and not too old. Whoever hands it in does not matter
    /// (an agent may carry it): the key says whose it is.
    pub fn by_signature(
        given: SignedDecision<'_>,
        signers: &AllowedSigners,
        expires_after: SignedDuration,
        now: Timestamp,
    ) -> Result<Self, ApprovalError> {
        check_reason(given.reason)?;
        // Only whole seconds are signed: other fractions would make several approvals of one signature.
        let signed_at = match given.signed_at {
            Some(at) => Timestamp::from_second(at.as_second()).ok(),
            None => None,
        };
        let verified = verify(given.armoured, given.plan, Decision::Approve, signed_at)?;
        let principal = signers.person_of(verified.key(), now)?;
        let at = signed_at.unwrap_or(now);
        if at > after(now, CLOCK_SKEW)? {
            return Err(ApprovalError::FromTheFuture { signed_at: at, now });
        }
        let expires_at = after(at, expires_after)?;
        if now >= expires_at {
            return Err(ApprovalError::Expired {
                signed_at: at,
                expired_at: expires_at,
            });
        }
        Ok(Self {
            plan: given.plan.clone(),
            principal,
            decision: Decision::Approve,
            method: Method::SshSignature {
                fingerprint: verified.fingerprint(),
            },
            reason: given.reason.trim().to_owned(),
            at,
            expires_at,
            acknowledged: given.acknowledged,
            named_unknowns: given.named_unknowns,
            signature: Some(given.armoured.trim().to_owned()),
            signed_at,
        })
    }

    /// A person's rejection. It needs a reason and no signature (saying no harms nothing), and does not expire.
    pub fn rejection(
        plan: &PlanHash,
        principal: Principal,
        reason: &str,
        now: Timestamp,
    ) -> Result<Self, ApprovalError> {
        if !principal.is_person() {
            return Err(ApprovalError::NotAPerson { principal });
        }
        check_reason(reason)?;
        if reason.trim().is_empty() {
            return Err(ApprovalError::Reason {
                why: "of a rejection must be given: whoever submitted the plan will act on it"
                    .to_owned(),
            });
        }
        Ok(Self {
            plan: plan.clone(),
            principal,
            decision: Decision::Reject,
            method: Method::Unsigned,
            reason: reason.trim().to_owned(),
            at: now,
            expires_at: Timestamp::MAX,
            acknowledged: BTreeSet::new(),
            named_unknowns: BTreeSet::new(),
            signature: None,
            signed_at: None,
        })
    }

    /// What is spent when the approval is recorded: the plan, the key, and the time that was signed. The store records each only
    /// once and refuses it ever after, also when the first expired unused; without that, whoever saw a bare signature could hand
    /// it in again whenever the same plan comes back. A person signs anew with a date ([`super::signature::dated_message`]).
    /// `None` for what has no signature.
    pub fn spends(&self) -> Option<String> {
        match &self.method {
            Method::SshSignature { fingerprint } => Some(match self.signed_at {
                Some(at) => format!("{} {fingerprint} {at}", self.plan),
                None => format!("{} {fingerprint}", self.plan),
            }),
            Method::Unsigned | Method::Policy => None,
        }
    }

    /// Verifies a recorded approval again, from its own signature and today's allowed signers. Done right before a run, so that
    /// neither a changed database nor a key that was taken away since can carry a plan. Rejections always hold.
    pub fn reverify(&self, signers: &AllowedSigners, now: Timestamp) -> Result<(), ApprovalError> {
        if self.decision == Decision::Reject {
            return Ok(());
        }
        let fails = |why: &str| ApprovalError::NotHolding {
            principal: self.principal.clone(),
            why: why.to_owned(),
        };
        let (Method::SshSignature { fingerprint }, Some(signature)) =
            (&self.method, &self.signature)
        else {
            return Err(fails("it has no signature"));
        };
        let verified = verify(signature, &self.plan, self.decision, self.signed_at)?;
        if verified.fingerprint() != *fingerprint {
            return Err(fails("its signature is of another key than was recorded"));
        }
        if self.signed_at.is_some_and(|signed_at| signed_at != self.at) {
            return Err(fails("it was recorded with another time than was signed"));
        }
        if signers.person_of(verified.key(), now)? != self.principal {
            return Err(fails("its key is another person's now"));
        }
        Ok(())
    }
}

fn after(at: Timestamp, length: SignedDuration) -> Result<Timestamp, ApprovalError> {
    at.checked_add(length)
        .map_err(|_| ApprovalError::Time { at, length })
}

fn check_reason(reason: &str) -> Result<(), ApprovalError> {
    let refuse = |why: String| Err(ApprovalError::Reason { why });
    if reason.chars().count() > MAXIMUM_REASON {
        return refuse(format!(
            "is longer than {MAXIMUM_REASON} characters: shorten it"
        ));
    }
    if reason.trim().chars().any(|c| c.is_control() && c != '\n') {
        return refuse("has control characters: write plain text".to_owned());
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use ssh_key::private::{Ed25519Keypair, KeypairData};
    use ssh_key::{HashAlg, LineEnding, PrivateKey};

    use super::*;
    use crate::approval::signature::{NAMESPACE, dated_message, signed_message};

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::new(
            KeypairData::Ed25519(Ed25519Keypair::from_seed(&[seed; 32])),
            "",
        )
        .unwrap()
    }

    fn signers(text: &[(&str, u8)]) -> AllowedSigners {
        let lines: Vec<String> = text
            .iter()
            .map(|(names, seed)| {
                format!("{names} {}", key(*seed).public_key().to_openssh().unwrap())
            })
            .collect();
        AllowedSigners::parse(&lines.join("\n")).unwrap()
    }

    fn plan() -> PlanHash {
        PlanHash("sha256:5a".into())
    }

    fn now() -> Timestamp {
        "2026-11-22T17:00:00Z".parse().unwrap()
    }

    fn sign(seed: u8, message: &[u8]) -> String {
        let signature = key(seed).sign(NAMESPACE, HashAlg::Sha512, message).unwrap();
        signature.to_pem(LineEnding::LF).unwrap()
    }

    fn give(armoured: &str, signed_at: Option<Timestamp>) -> Result<Approval, ApprovalError> {
        let plan = plan();
        let given = SignedDecision {
            plan: &plan,
            armoured,
            signed_at,
            reason: " looks right ",
            acknowledged: BTreeSet::new(),
            named_unknowns: BTreeSet::new(),
        };
        Approval::by_signature(
            given,
            &signers(&[("alice", 1)]),
            SignedDuration::from_mins(30),
            now(),
        )
    }

    #[test]
    fn a_signature_becomes_an_approval() {
        let given = give(&sign(1, &signed_message(&plan(), Decision::Approve)), None).unwrap();
        assert_eq!(given.principal.to_string(), "person:alice");
        assert_eq!(given.reason, "looks right");
        assert_eq!(
            given.spends(),
            Some(format!("sha256:5a {}", key(1).fingerprint(HashAlg::Sha256)))
        );
        assert_eq!(given.expires_at, "2026-11-22T17:30:00Z".parse().unwrap());
        let json = serde_json::to_string(&given).unwrap();
        assert_eq!(serde_json::from_str::<Approval>(&json).unwrap(), given);
        given.reverify(&signers(&[("alice", 1)]), now()).unwrap();
    }

    #[test]
    fn strangers_and_other_times_are_refused() {
        let bare = signed_message(&plan(), Decision::Approve);
        assert!(matches!(
            give(&sign(2, &bare), None),
            Err(ApprovalError::Signer(SignerError::UnknownKey { .. }))
        ));
        let dated = |minutes: i64| {
            let at = now() - SignedDuration::from_mins(minutes);
            give(
                &sign(1, &dated_message(&plan(), Decision::Approve, at)),
                Some(at),
            )
        };
        assert_eq!(
            dated(10).unwrap().expires_at,
            "2026-11-22T17:20:00Z".parse().unwrap()
        );
        assert_ne!(dated(10).unwrap().spends(), dated(11).unwrap().spends());
        let fraction = SignedDuration::from_millis(700);
        let at = now() - SignedDuration::from_mins(10);
        let again = give(
            &sign(1, &dated_message(&plan(), Decision::Approve, at)),
            Some(at + fraction),
        )
        .unwrap();
        assert_eq!(again, dated(10).unwrap());
        assert!(matches!(dated(30), Err(ApprovalError::Expired { .. })));
        assert!(matches!(
            dated(-3),
            Err(ApprovalError::FromTheFuture { .. })
        ));
        // An old signature with a new time written beside it.
        let old = sign(
            1,
            &dated_message(
                &plan(),
                Decision::Approve,
                now() - SignedDuration::from_hours(1),
            ),
        );
        assert!(matches!(
            give(&old, Some(now())),
            Err(ApprovalError::Signature(_))
        ));
    }

    #[test]
    fn a_changed_record_or_a_removed_key_no_longer_holds() {
        let at = now();
        let good = give(
            &sign(1, &dated_message(&plan(), Decision::Approve, at)),
            Some(at),
        )
        .unwrap();
        let today = signers(&[("alice", 1)]);
        let fails = |change: fn(&mut Approval)| {
            let mut changed = good.clone();
            change(&mut changed);
            assert!(changed.reverify(&today, now()).is_err(), "{changed:?}");
        };
        fails(|a| a.plan = PlanHash("sha256:other".into()));
        fails(|a| a.principal = "person:bob".parse().unwrap());
        fails(|a| a.at += SignedDuration::from_mins(5));
        fails(|a| a.signed_at = None);
        fails(|a| a.signature = None);
        fails(|a| a.method = Method::Policy);
        fails(|a| {
            a.method = Method::SshSignature {
                fingerprint: "SHA256:x".into(),
            }
        });
        assert!(good.reverify(&signers(&[("bob", 2)]), now()).is_err());
        assert!(good.reverify(&signers(&[("bob", 1)]), now()).is_err());
    }

    #[test]
    fn rejections_need_a_person_and_a_reason() {
        let reject = |who: &str, reason: &str| {
            Approval::rejection(&plan(), who.parse().unwrap(), reason, now())
        };
        assert!(reject("person:alice", "not during the fair").is_ok());
        assert!(matches!(
            reject("agent:claude", "no"),
            Err(ApprovalError::NotAPerson { .. })
        ));
        for reason in [" ", "a\u{1b}[2J", &"x".repeat(1001)] {
            assert!(matches!(
                reject("person:alice", reason),
                Err(ApprovalError::Reason { .. })
            ));
        }
    }
}
