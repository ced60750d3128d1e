//! The last word on an imported document is the reader's own: it is read as every document is, and a field it refuses is taken out
//! and told.

use super::Imported;
use crate::document::error::Problem;
use crate::document::tree::{Node, NodeValue, Span};
use crate::document::yaml;
use crate::document::{check, typed, validate};

/// Takes fields out until the document reads without error.
pub(super) fn settle(out: &mut Imported) -> Result<(), String> {
    loop {
        let (root, problems) = faults(out)?;
        if problems.is_empty() {
            return Ok(());
        }
        let mut took = false;
        for problem in &problems {
            let path = root
                .as_ref()
                .and_then(|root| place(root, problem.span))
                .unwrap_or_default();
            if let Some(("spec", rest)) = path.split_first().map(|(f, r)| (f.as_str(), r))
                && !rest.is_empty()
            {
                took |= out.strip(rest, &problem.message);
            }
        }
        // Each round takes something out, so this ends.
        if !took {
            let told: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
            return Err(told.join("; "));
        }
    }
}

/// The document as it is read, and what is wrong with it.
fn faults(out: &Imported) -> Result<(Option<Node>, Vec<Problem>), String> {
    let stream = yaml::read(&out.text());
    let mut problems = stream.problems;
    let Some(tree) = stream.trees.into_iter().next() else {
        return Ok((None, problems));
    };
    let kind = out.key.kind;
    validate::document(kind, &tree.root, &mut problems);
    if problems.is_empty() {
        let (metadata, spec) = typed(kind, &tree.root).map_err(|error| error.to_string())?;
        check::document(&metadata, &spec, &tree.root, &mut problems);
    }
    Ok((Some(tree.root), problems))
}

/// The path of the field that a problem points at.
fn place(root: &Node, span: Span) -> Option<Vec<String>> {
    let NodeValue::Mapping(entries) = &root.value else {
        return None;
    };
    entries.iter().find_map(|entry| {
        let below = || place(&entry.value, span);
        let item = || match &entry.value.value {
            NodeValue::Sequence(items) => items.iter().any(|item| item.span == span),
            NodeValue::Scalar { .. } | NodeValue::Mapping(_) => false,
        };
        // A map's own span is that of its first key, so what is below comes first.
        let rest = match below() {
            Some(rest) => rest,
            None if entry.key_span == span || entry.value.span == span || item() => Vec::new(),
            None => return None,
        };
        Some(std::iter::once(entry.key.clone()).chain(rest).collect())
    })
}
