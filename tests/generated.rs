//! Generated files are what the code generates. `BAILIWICK_BLESS=1` writes them anew.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::path::Path;

fn held(path: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("BAILIWICK_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, made).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == made,
        "{} is stale; run `./task bless`",
        path.display()
    );
}

#[test]
fn generated_plan_schema() {
    let schema = bailiwick::plan::render::schema();
    let made = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    held("schemas/plan.schema.json", &made);
}
