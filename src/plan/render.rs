//! Plans for people and programs: as text with aligned columns, complete without colour, and as JSON with a committed schema.
//! Whatever comes from a cluster is cleaned of control characters first. Nothing is cut unless the caller asks for a page, and then
//! the full number is said.

mod json;
mod schema;
mod text;

pub use json::json;
pub use schema::schema;
pub use text::text;

/// How text is to look.
#[derive(Debug, Clone, Default)]
pub struct Style<'a> {
    /// With colour (ANSI escape codes).
    pub color: bool,
    /// Columns available; where changes do not fit, their effects stand on lines of their own. 0: as wide as needed.
    pub width: usize,
    /// The sequence number of the plan's record in the ledger, if it is recorded.
    pub ledger: Option<u64>,
    /// The lines on approval that end the text.
    pub approval: &'a [String],
    /// Show at most so many impacts; the full number is always said. `None` shows all.
    pub limit: Option<usize>,
}
