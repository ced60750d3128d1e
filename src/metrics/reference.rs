//! The reference of all metrics, for people: `docs/metrics.md` is made from it.

use std::fmt::Write as _;

use super::definitions::{ALL, Definition, Kind, Label, Values};

/// Every metric as Markdown, a table for each thing they are about.
pub fn reference() -> String {
    let mut out = String::new();
    let mut section = "";
    for definition in ALL {
        if definition.section != section {
            section = definition.section;
            let _ = write!(
                out,
                "\n## {section}\n\n| name | type | labels | meaning |\n|---|---|---|---|\n"
            );
        }
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {}. |",
            definition.name,
            definition.kind.word(),
            names(definition),
            definition.help
        );
    }
    labels(&mut out);
    out.push_str("\n## Buckets\n\n| histogram | at most |\n|---|---|\n");
    for definition in ALL {
        if let Kind::Histogram(bounds) = definition.kind {
            let bounds: Vec<String> = bounds.iter().map(f64::to_string).collect();
            let _ = writeln!(out, "| `{}` | {} |", definition.name, bounds.join(", "));
        }
    }
    out
}

/// The labels of a metric by name.
fn names(definition: &Definition) -> String {
    let names = definition
        .labels
        .iter()
        .map(|label| format!("`{}`", label.name));
    match names.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "none".to_owned(),
        names => names,
    }
}

/// Each label with its values; one that has other values elsewhere, with the metrics it has these in.
fn labels(out: &mut String) {
    let all = || ALL.iter().flat_map(|definition| definition.labels);
    let mut told: Vec<&Label> = Vec::new();
    out.push_str("\n## Labels\n\n| label | values |\n|---|---|\n");
    for label in all() {
        if told.contains(&label) {
            continue;
        }
        told.push(label);
        let otherwise = all().any(|other| other.name == label.name && other != label);
        let of = if otherwise {
            let metrics = ALL.iter().filter(|metric| metric.labels.contains(label));
            let metrics: Vec<String> = metrics.map(|m| format!("`{}`", m.name)).collect();
            format!(" of {}", metrics.join(", "))
        } else {
            String::new()
        };
        let _ = writeln!(out, "| `{}`{of} | {} |", label.name, values(label));
    }
}

fn values(label: &Label) -> String {
    match label.values {
        Values::Words(words) => words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(" "),
        Values::Names { of, most } => format!("{of}; at most {most}"),
        Values::Current(what) => format!("{what}; one at a time"),
    }
}
