//! The hash of a plan: SHA-256 over its canonical JSON (RFC 8785) without the field `hash`. People approve this and nothing else.

use sha2::{Digest, Sha256};

use super::model::{Plan, PlanHash};

/// The hash of a plan, printed `sha256:…`. What [`Plan::hash`] says now does not matter.
///
/// # Errors
/// A plan always has a JSON form; should that ever not be so, the reason is given and there is no hash.
pub fn hash(plan: &Plan) -> Result<PlanHash, serde_json::Error> {
    let mut value = serde_json::to_value(plan)?;
    if let Some(object) = value.as_object_mut() {
        object.remove("hash");
    }
    let bytes = serde_json_canonicalizer::to_vec(&value)?;
    Ok(PlanHash(format!(
        "sha256:{}",
        hex::encode(Sha256::digest(bytes))
    )))
}
