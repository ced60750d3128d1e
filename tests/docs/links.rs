//! Links lead somewhere, the summary lists every page once, and files named in passing are there.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use bailiwick::document::reference::anchor;
use regex::Regex;

use super::pages::{Page, all, page, root};

/// The targets of a page's links that are not on the web.
fn links(page: &Page) -> Vec<String> {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let prose = page.prose();
    let found = link.captures_iter(&prose).map(|found| found[1].to_owned());
    found
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .collect()
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                assert!(out.pop(), "{} leads out of the project", path.display());
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

/// The anchors of a page's headings; the second of a name has `-1` behind it.
fn anchors(page: &Page) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in page.prose().lines().filter(|line| line.starts_with('#')) {
        let anchor = anchor(line.trim_start_matches('#'));
        let mut unique = anchor.clone();
        let mut count = 0;
        while !found.insert(unique.clone()) {
            count += 1;
            unique = format!("{anchor}-{count}");
        }
    }
    found
}

#[test]
fn every_link_leads_somewhere() {
    let pages = all();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for page in &pages {
        for link in links(page) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() {
                page.name.clone()
            } else {
                let from = Path::new("docs").join(&page.name);
                let path = plain(&from.parent().unwrap().join(file));
                if !root().join(&path).exists() {
                    wrong.push(format!(
                        "docs/{} links to {link}, which is not there",
                        page.name
                    ));
                    continue;
                }
                match path.strip_prefix("docs") {
                    Ok(inside) => inside.to_str().unwrap().to_owned(),
                    // The book has only what lies below `docs/`.
                    Err(_) => {
                        wrong.push(format!("docs/{} links out of the book: {link}", page.name));
                        continue;
                    }
                }
            };
            if let (Some(target), false) = (
                pages.iter().find(|page| page.name == target),
                anchor.is_empty(),
            ) && !anchors(target).contains(anchor)
            {
                wrong.push(format!(
                    "docs/{} links to {link}, which has no such heading",
                    page.name
                ));
            }
            checked += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 30, "only {checked} links found");
}

#[test]
fn the_summary_lists_every_page_once() {
    let listed = links(&page("SUMMARY.md"));
    let unique: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
    assert_eq!(unique.len(), listed.len(), "a page is listed twice");
    let there: BTreeSet<String> = all()
        .into_iter()
        .map(|page| page.name)
        .filter(|name| name != "SUMMARY.md")
        .collect();
    let missing: Vec<&String> = there
        .iter()
        .filter(|name| !unique.contains(name.as_str()))
        .collect();
    assert!(missing.is_empty(), "not in docs/SUMMARY.md: {missing:?}");
    let extra: Vec<&&str> = unique
        .iter()
        .filter(|name| !there.contains(**name))
        .collect();
    assert!(
        extra.is_empty(),
        "in docs/SUMMARY.md and not there: {extra:?}"
    );
}

#[test]
fn files_named_in_passing_are_there() {
    let path = Regex::new(r"^(examples|src|docs|tests|scripts|crds|schemas|migrations|charts|benches)/[A-Za-z0-9_./-]*$").unwrap();
    let mut checked = 0;
    for page in all() {
        for span in page.spans().iter().filter(|span| path.is_match(span)) {
            assert!(
                root().join(span).exists(),
                "docs/{} names `{span}`, which is not there",
                page.name
            );
            checked += 1;
        }
    }
    assert!(checked > 5, "only {checked} files named");
}
