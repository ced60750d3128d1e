//! High availability: resources, rules, and a manager that makes guests follow what is requested, some seconds later.

/// What the manager knows.
#[derive(Debug, Default)]
pub struct Manager {}
