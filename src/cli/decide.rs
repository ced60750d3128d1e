//! `approve` and `reject`.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use zeroize::Zeroizing;

use super::Ended;
use super::arguments::{Approve, Reject};
use super::exit::{Exit, Failure};
use super::output::Output;
use crate::approval::agent::{KeyChoice, sign_with_agent};
use crate::approval::key::load_signing_key;
use crate::approval::signature::dated_message;
use crate::approval::{Decision, Verdict};
use crate::plan::PlanHash;
use crate::service::decide::{Decided, HandedIn};
use crate::service::{Service, ServiceError};
use crate::store::StoreError;

/// The signature, and the time in the signed message if it has one.
fn sign(
    service: &Service,
    approve: &Approve,
    hash: &PlanHash,
) -> Result<(String, Option<jiff::Timestamp>), Failure> {
    if let Some(file) = &approve.signature {
        let text = std::fs::read_to_string(file).map_err(|error| {
            Failure::error(format!(
                "cannot read the signature {}: {error}",
                file.display()
            ))
        })?;
        return Ok((text, None));
    }
    // A dated signature dies with its hour; a bare one stays good for as long as the same plan can come back.
    let now = service.now();
    let at = jiff::Timestamp::from_second(now.as_second()).map_err(|error| Failure::of(&error))?;
    let message = dated_message(hash, Decision::Approve, at);
    if let Some(file) = &approve.key {
        let ask = || {
            std::env::var("BAILIWICK_KEY_PASSPHRASE")
                .ok()
                .map(Zeroizing::new)
        };
        let key = load_signing_key(file, ask).map_err(|error| Failure::of(&error))?;
        return Ok((
            key.sign(&message).map_err(|error| Failure::of(&error))?,
            Some(at),
        ));
    }
    if approve.agent {
        let socket = std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from);
        let socket = socket
            .ok_or_else(|| Failure::error("no ssh-agent is running: SSH_AUTH_SOCK is not set"))?;
        let signers = service.signers()?;
        let choice = KeyChoice::AllowedSigner(&signers, now);
        let signature =
            sign_with_agent(&socket, &choice, &message).map_err(|error| Failure::of(&error))?;
        return Ok((signature, Some(at)));
    }
    Err(Failure::error(format!(
        "an approval is a signature: say --key FILE or --agent, or sign elsewhere with\n  \
         printf %s {hash} | ssh-keygen -Y sign -n bailiwick -f KEY > plan.sig\nand say --signature plan.sig"
    )))
}

/// Signs and hands in.
async fn hand_in(
    service: &Service,
    approve: &Approve,
    hash: &PlanHash,
) -> Result<Result<Decided, ServiceError>, Failure> {
    let (armoured, signed_at) = sign(service, approve, hash)?;
    let given = HandedIn {
        armoured,
        signed_at,
        reason: approve.reason.clone().unwrap_or_default(),
        impacts: approve.impacts.iter().cloned().collect(),
        unknowns: approve.unknowns.iter().cloned().collect(),
        // Said as other commands take it, `person:NAME`, it means the same.
        expected: approve.principal.as_ref().map(|name| {
            let plain = name.strip_prefix("person:");
            plain.unwrap_or(name).to_owned()
        }),
    };
    Ok(service.approve(&hash.0, given).await)
}

/// `approve`.
pub async fn approve(service: &Service, approve: &Approve, output: &Output) -> Ended {
    let (_, plan, _) = service.plan(&approve.plan).await?;
    let mut decided = hand_in(service, approve, &plan.hash).await?;
    let ours = approve.signature.is_none();
    if ours && matches!(&decided, Err(ServiceError::Store(StoreError::Spent { .. }))) {
        // Signed twice within a second, the signature is the same one; the next second's is another.
        let into = service.now().subsec_nanosecond().unsigned_abs();
        tokio::time::sleep(Duration::from_secs(1) - Duration::from_nanos(into.into())).await;
        decided = hand_in(service, approve, &plan.hash).await?;
    }
    Ok(show(&decided?, output))
}

/// `reject`.
pub async fn reject(service: &Service, reject: &Reject, output: &Output) -> Ended {
    let principal = service.principal(reject.principal.as_deref())?;
    let decided = service
        .reject(&reject.plan, principal, &reject.reason)
        .await?;
    show(&decided, output);
    Ok(Exit::Success)
}

fn show(decided: &Decided, output: &Output) -> Exit {
    let (state, rest, exit) = match &decided.standing.verdict {
        Verdict::Satisfied { .. } => (
            "approved",
            vec![format!(
                "a running `serve` runs it, else: bailiwick run {}",
                decided.plan
            )],
            Exit::Success,
        ),
        Verdict::Waiting { missing } => (
            "waiting",
            missing
                .iter()
                .map(|missing| format!("still needed: {missing}"))
                .collect(),
            Exit::Waits,
        ),
        Verdict::Rejected { reason, .. } => {
            ("rejected", vec![format!("reason: {reason}")], Exit::Refused)
        }
        Verdict::Denied { reason } => ("denied", vec![reason.clone()], Exit::Refused),
    };
    output.value(&json!({
        "plan": decided.plan, "by": decided.by.to_string(), "state": state, "notes": rest, "ledger": decided.ledger,
    }));
    output.line(format!(
        "{} decided by {}: {state}",
        decided.plan, decided.by
    ));
    for line in rest {
        output.line(format!("  {line}"));
    }
    output.line(format!("  recorded in the ledger: #{}", decided.ledger));
    exit
}
