//! Approval: who may decide over a plan, how a decision is proved, and which decisions a plan needs.
//!
//! A decision is bound to one plan hash and proved by an SSH signature that neither an agent nor the controller can make. Which
//! decisions a plan needs is said by the operator's policy alone. Everything here is pure (time comes in as a value) but the
//! functions named `load_…` and the talk with an ssh-agent in [`agent`].

pub mod agent;
pub mod decision;
pub mod evaluate;
pub mod facts;
pub mod key;
pub mod policy;
pub mod principal;
pub mod signature;
pub mod signers;
pub mod window;

pub use decision::{Approval, ApprovalError, Decision, Method, SignedDecision};
pub use evaluate::{Satisfaction, Verdict, evaluate};
pub use facts::{PlanFacts, Verb};
pub use policy::{ApprovalPolicy, PolicyMistake, Requirement};
pub use principal::{Principal, PrincipalKind};
pub use signature::{NAMESPACE, SignatureError, VerifiedSignature, signed_message};
pub use signers::{AllowedSigners, SignerError};
