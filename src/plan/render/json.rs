//! A plan as JSON for programs. The shape is held in `schemas/plan.schema.json`.

use serde_json::{Map, Value};

use crate::plan::model::Plan;

/// A plan as JSON: the plan's own fields, with what it needs to be approved (`approval`) and the number of its record in the ledger
/// (`ledger`, `null` if it is not recorded). The hash covers neither of these two.
pub fn json(plan: &Plan, approval: Value, ledger: Option<u64>) -> Value {
    // Every field of a plan has a JSON form; should one not, the answer says so instead of leaving fields out.
    let mut object = match serde_json::to_value(plan) {
        Ok(Value::Object(object)) => object,
        Ok(other) => return other,
        Err(error) => Map::from_iter([("error".to_owned(), Value::from(error.to_string()))]),
    };
    object.insert("approval".to_owned(), approval);
    object.insert("ledger".to_owned(), Value::from(ledger));
    Value::Object(object)
}
