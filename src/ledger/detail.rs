//! The free part of a record, kept to a subset of JSON in which RFC 8785 and every plain "sorted keys, no spaces" writer agree:
//! no fractions, no integer beyond what a double holds exactly, ASCII names. So anybody's fifty lines of script can check a ledger.

use serde::Serialize;
use serde_json::{Map, Value};

/// The greatest depth of nesting of a detail.
const MAX_DEPTH: usize = 32;
/// The greatest integer that every JSON reader holds exactly: 2^53 - 1.
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Why a value cannot be the detail of a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DetailError {
    /// A number with a fraction or an exponent.
    #[error(
        "`{at}` is {number}: a ledger record holds whole numbers only; write it as text or in a smaller unit"
    )]
    Fraction {
        /// Where, as a path of names.
        at: String,
        /// The number.
        number: String,
    },
    /// An integer that a double cannot hold.
    #[error("`{at}` is {number}, beyond ±(2^53 - 1): write it as text")]
    TooLarge {
        /// Where.
        at: String,
        /// The number.
        number: String,
    },
    /// A name outside ASCII.
    #[error("the name `{name}` under `{at}` is not ASCII: names in a ledger record are")]
    Name {
        /// Where.
        at: String,
        /// The name.
        name: String,
    },
    /// Nested too deep.
    #[error("`{at}` is nested more than {MAX_DEPTH} deep")]
    Deep {
        /// Where.
        at: String,
    },
    /// Not an object.
    #[error("the detail of a ledger record is an object")]
    NotAnObject,
    /// Could not be written as JSON at all.
    #[error("the detail cannot be written as JSON: {0}")]
    Unwritable(String),
}

/// The detail of a record: a JSON object within the subset above.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Detail(Map<String, Value>);

impl Detail {
    /// No detail: `{}`.
    pub fn none() -> Self {
        Self::default()
    }

    /// A detail from anything that serialises to an object.
    ///
    /// Fails on fractions, integers beyond ±(2^53 - 1), names outside ASCII and nesting beyond 32.
    pub fn new(value: impl Serialize) -> Result<Self, DetailError> {
        let value = serde_json::to_value(value)
            .map_err(|error| DetailError::Unwritable(error.to_string()))?;
        let Value::Object(map) = value else {
            return Err(DetailError::NotAnObject);
        };
        check_object(&map, "", 0)?;
        Ok(Self(map))
    }

    /// The value under a name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The text under a name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// The whole object.
    pub fn as_object(&self) -> &Map<String, Value> {
        &self.0
    }
}

fn check_object(map: &Map<String, Value>, at: &str, depth: usize) -> Result<(), DetailError> {
    for (name, value) in map {
        if !name.is_ascii() {
            return Err(DetailError::Name {
                at: at.to_owned(),
                name: name.clone(),
            });
        }
        check(value, &format!("{at}/{name}"), depth + 1)?;
    }
    Ok(())
}

fn check(value: &Value, at: &str, depth: usize) -> Result<(), DetailError> {
    if depth > MAX_DEPTH {
        return Err(DetailError::Deep { at: at.to_owned() });
    }
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
        Value::Number(number) => {
            let magnitude = number
                .as_u64()
                .or_else(|| number.as_i64().map(i64::unsigned_abs));
            match magnitude {
                Some(magnitude) if magnitude <= MAX_INTEGER => Ok(()),
                Some(_) => Err(DetailError::TooLarge {
                    at: at.to_owned(),
                    number: number.to_string(),
                }),
                None => Err(DetailError::Fraction {
                    at: at.to_owned(),
                    number: number.to_string(),
                }),
            }
        }
        Value::Array(values) => values
            .iter()
            .enumerate()
            .try_for_each(|(index, value)| check(value, &format!("{at}/{index}"), depth + 1)),
        Value::Object(map) => check_object(map, at, depth),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn refuses_what_two_writers_might_write_differently() {
        assert!(Detail::new(json!({"a": [1, -5, null, true, "ü"]})).is_ok());
        assert!(matches!(
            Detail::new(json!({"a": {"b": 1.5}})),
            Err(DetailError::Fraction { at, .. }) if at == "/a/b"
        ));
        assert!(Detail::new(json!({"a": 9_007_199_254_740_991_u64})).is_ok());
        assert!(Detail::new(json!({"a": -9_007_199_254_740_991_i64})).is_ok());
        assert!(matches!(
            Detail::new(json!({"a": 9_007_199_254_740_992_u64})),
            Err(DetailError::TooLarge { .. })
        ));
        assert!(matches!(
            Detail::new(json!({"ä": 1})),
            Err(DetailError::Name { .. })
        ));
        assert_eq!(Detail::new(json!([1])), Err(DetailError::NotAnObject));
        let mut deep = json!({});
        for _ in 0..40 {
            deep = json!({ "a": deep });
        }
        assert!(matches!(Detail::new(deep), Err(DetailError::Deep { .. })));
    }
}
