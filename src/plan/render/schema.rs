//! The JSON Schema of a plan as [`super::json`] gives it. Written by hand, because the types it describes lie in rooms that know
//! nothing of schemas; tests hold real plans against it, and the committed file against this.

use serde_json::{Value, json};

/// The JSON Schema (draft 2020-12) of a plan as JSON.
pub fn schema() -> Value {
    let text = || json!({"type": "string"});
    let maybe = || json!({"type": ["string", "null"]});
    let texts = || json!({"type": "array", "items": {"type": "string"}});
    let rules = || json!({"type": ["array", "null"], "items": {"type": "object", "additionalProperties": {"type": "string"}}});
    let step_ids = || json!({"type": "array", "items": {"type": "integer", "minimum": 1}, "uniqueItems": true});
    let action = json!({
        "type": "object", "required": ["do"], "properties": {"do": {"enum": [
            "createGuest", "cloneGuest", "restoreGuest", "convertToTemplate", "updateConfig", "resizeDisk", "moveDisk", "detachDisk", "freeDisk", "setPower", "setHaState",
            "removeHaResource", "migrate", "destroyGuest", "createStorage", "updateStorage", "deleteStorage",
            "deleteVolume", "downloadImage", "deleteImage", "createPool", "updatePool", "deletePool", "createBackupJob", "updateBackupJob",
            "deleteBackupJob", "takeSnapshot", "describeSnapshot", "deleteSnapshot",
            "createReplicationJob", "updateReplicationJob", "deleteReplicationJob", "account", "firewall"
        ]}}
    });
    let precondition = json!({
        "type": "object", "required": ["check"], "properties": {"check": {"enum": [
            "identity", "onNode", "configDigest", "status", "slotHolds", "guestAbsent", "storageIs", "storageAbsent",
            "poolIs", "poolAbsent", "backupJobIs", "backupJobAbsent", "snapshotIs", "snapshotAbsent",
            "replicationJobIs", "replicationJobAbsent", "firewallIs", "firewallOnTrial", "haState", "volumeExists", "volumeAbsent", "volumeIs", "account"
        ]}}
    });
    let inverse = json!({"oneOf": [
        {"type": "object", "required": ["kind", "actions", "remains"], "additionalProperties": false, "properties": {
            "kind": {"const": "actions"}, "actions": {"type": "array", "items": {"$ref": "#/$defs/action"}}, "remains": texts()}},
        {"type": "object", "required": ["kind", "why"], "additionalProperties": false, "properties": {
            "kind": {"const": "irreversible"}, "why": text()}}
    ]});
    let step = json!({
        "type": "object", "additionalProperties": false,
        "required": ["id", "title", "action", "node", "needs", "preconditions", "inverse", "privileges", "notes"],
        "properties": {
            "id": {"type": "integer", "minimum": 1},
            "title": text(),
            "action": {"$ref": "#/$defs/action"},
            "node": maybe(),
            "needs": step_ids(),
            "preconditions": {"type": "array", "items": precondition},
            "inverse": inverse,
            "privileges": {"type": "array", "items": {
                "type": "object", "required": ["path", "privilege"], "additionalProperties": false,
                "properties": {"path": text(), "privilege": text()}}},
            "notes": texts()
        }
    });
    let impact = json!({
        "type": "object", "additionalProperties": false,
        "required": ["id", "entity", "name", "category", "before", "after", "causes", "notes", "duration", "steps", "rule"],
        "properties": {
            "id": {"type": "string", "pattern": "^I[0-9]+$"},
            "entity": text(), "name": maybe(),
            "category": {"enum": [
                "won't-boot", "may-not-boot", "data-lost", "degraded", "stopped", "restarted", "stranded", "unreachable",
                "lockout", "conditional-lockout", "link-flap", "exposed", "unprotected", "last-copy", "won't-fit", "tight",
                "no-quorum", "fenced", "not-highly-available", "loses-privilege", "gains-privilege", "orphaned", "dangling",
                "will-fail", "irreversible", "unknown"]},
            "before": text(), "after": text(), "causes": texts(), "notes": texts(),
            "duration": {"enum": ["transient", "permanent"]},
            "steps": step_ids(), "rule": text()
        }
    });
    let change = json!({
        "type": "object", "additionalProperties": false, "required": ["object", "field", "before", "after", "effect"],
        "properties": {"object": text(), "field": text(), "before": maybe(), "after": maybe(), "effect": text()}
    });
    let document = json!({
        "type": "object", "additionalProperties": false, "required": ["key", "source", "hash", "object", "adopts"],
        "properties": {"key": text(), "source": text(), "hash": maybe(), "object": text(), "adopts": {"type": "boolean"},
            "insteadOf": {"description": "The guest that the document was about until this plan was carried out; left out where that stays.", "type": "string"},
            "formerOwner": {
                "description": "The document that owns the object until this plan was carried out; left out where nothing is taken over.",
                "type": "object", "additionalProperties": false, "required": ["document", "source", "hash"],
                "properties": {"document": text(), "source": text(), "hash": maybe()}}}
    });
    let unknown = json!({
        "type": "object", "additionalProperties": false, "required": ["id", "what", "why"],
        "properties": {"id": {"type": "string", "pattern": "^U[0-9]+$"}, "what": text(), "why": text()}
    });
    let origin = json!({
        "type": "object", "required": ["because"],
        "properties": {"because": {"enum": ["submission", "drift", "undo", "cleanUp"]}}
    });
    let list = |name: &str| json!({"type": "array", "items": {"$ref": format!("#/$defs/{name}")}});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://bailiwick.dev/schemas/plan.schema.json",
        "title": "Plan",
        "description": "A plan of Bailiwick as `-o json` prints it. `hash` is the SHA-256 of the canonical JSON (RFC 8785) of everything else but `approval` and `ledger`.",
        "type": "object",
        "additionalProperties": false,
        "required": ["hash", "parent", "cluster", "origin", "policy", "documents", "changes", "steps", "impacts",
            "improvements", "unknowns", "complete", "risk", "notes", "approval", "ledger"],
        "properties": {
            "hash": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
            "parent": maybe(),
            "cluster": text(),
            "origin": origin,
            "policy": text(),
            "documents": list("document"),
            "changes": list("change"),
            "steps": list("step"),
            "impacts": list("impact"),
            "improvements": texts(),
            "unknowns": list("unknown"),
            "complete": {"type": "boolean"},
            "risk": {"enum": ["none", "low", "medium", "high", "unknown"]},
            "notes": texts(),
            "blocks": {
                "description": "What becomes of blocks of lists of rules that people share; left out where there are none. The rules are `null` where the markers are not there.",
                "type": "array", "items": {
                    "type": "object", "additionalProperties": false, "required": ["site", "list", "name", "before", "after"],
                    "properties": {"site": {"type": "object"}, "list": {}, "name": text(), "before": rules(), "after": rules()}}},
            "approval": {"description": "What the plan needs to be approved; its shape is the approval policy's."},
            "ledger": {"type": ["integer", "null"], "minimum": 0}
        },
        "$defs": {"action": action, "step": step, "impact": impact, "change": change, "document": document, "unknown": unknown}
    })
}
