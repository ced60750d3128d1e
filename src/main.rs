//! The `bailiwick` program: reads its arguments, asks the library, prints the answer.
fn main() {}
