//! How typed values stand in columns: words for enums, text for times, and reading a row with an error that names the column.

use std::str::FromStr;

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::error::StoreError;

/// An enum that is a word in a column.
macro_rules! words {
    ($(#[$doc:meta])* $type:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $type {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant,)+
        }

        impl $type {
            /// Every value.
            pub const ALL: &'static [$type] = &[$($type::$variant,)+];

            /// The word for it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    other => Err(format!("`{other}` is not one of {:?}", [$($word,)+])),
                }
            }
        }
    };
}
pub(super) use words;

/// A method to read, on the store (from a reader connection) and within a transaction, for a function of the same name over a connection.
macro_rules! reads {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) -> $out:ty;)+) => {
        impl crate::store::Store {
            $($(#[$doc])*
            pub async fn $name(&self, $($arg: $type),*) -> Result<$out, crate::store::StoreError> {
                let mut connection = self.reader().await?;
                $name(&mut connection, $($arg),*).await
            })+
        }
        impl crate::store::Transaction {
            $($(#[$doc])*
            pub async fn $name(&mut self, $($arg: $type),*) -> Result<$out, crate::store::StoreError> {
                $name(self.connection(), $($arg),*).await
            })+
        }
    };
}
pub(super) use reads;

/// A time as it stands in a column: nine digits of a second, so that text order is time order.
pub(super) fn time(at: Timestamp) -> String {
    format!("{at:.9}")
}

/// The value of a column of a type SQLite knows.
pub(super) fn get<'r, T>(row: &'r SqliteRow, column: &'static str) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(column).map_err(|error| StoreError::Corrupt {
        what: column.to_owned(),
        why: error.to_string(),
    })
}

/// The value of a text column, parsed.
pub(super) fn parse<T>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    parse_text(get::<&str>(row, column)?, column)
}

/// The value of a text column that may be null, parsed.
pub(super) fn parse_optional<T>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Option<T>, StoreError>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    get::<Option<&str>>(row, column)?
        .map(|text| parse_text(text, column))
        .transpose()
}

fn parse_text<T>(text: &str, column: &'static str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| StoreError::Corrupt {
        what: column.to_owned(),
        why: error.to_string(),
    })
}

/// A number SQLite holds signed and that is never negative.
pub(super) fn unsigned<T: TryFrom<i64>>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<T, StoreError> {
    let number: i64 = get(row, column)?;
    T::try_from(number).map_err(|_| StoreError::Corrupt {
        what: column.to_owned(),
        why: format!("{number} is out of bounds"),
    })
}

/// The other way: a number that SQLite can hold.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
