//! Printing: text for people, JSON and YAML for programs, errors to standard error.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use super::arguments::Format;
use super::exit::Failure;
use crate::approval::{Requirement, Verdict};
use crate::plan::render;
use crate::plan::words::clean;
use crate::service::show::List;
use crate::service::{Planned, Standing};

/// Where answers go.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// For people or for programs.
    pub format: Format,
    /// With colour.
    pub color: bool,
    /// Errors with colour: they go elsewhere.
    pub color_errors: bool,
}

impl Output {
    /// An output.
    pub fn new(format: Format, color: bool, color_errors: bool) -> Self {
        Self {
            format,
            color,
            color_errors,
        }
    }

    /// Prints a line of text; nothing for programs.
    pub fn line(&self, text: impl AsRef<str>) {
        if self.format == Format::Text {
            self.raw(&format!("{}\n", text.as_ref()));
        }
    }

    /// Prints exactly this. A reader that went away is no error.
    pub fn raw(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Prints a value for programs; nothing for people.
    pub fn value(&self, value: &Value) {
        match self.format {
            Format::Text => {}
            Format::Json => self.raw(&format!("{value:#}\n")),
            Format::Yaml => match serde_saphyr::to_string(value) {
                Ok(text) => self.raw(&text),
                // JSON is YAML too.
                Err(_) => self.raw(&format!("{value:#}\n")),
            },
        }
    }

    /// Prints a failure to standard error, as JSON too where that was asked for.
    pub fn failure(&self, failure: &Failure) {
        let text = match self.format {
            Format::Text => format!(
                "{} {}\n",
                Self {
                    color: self.color_errors,
                    ..*self
                }
                .paint("error:", AnsiColor::Red),
                failure.message
            ),
            Format::Json | Format::Yaml => format!(
                "{:#}\n",
                json!({ "error": failure.message, "exit": failure.exit as u8 })
            ),
        };
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }

    /// Text in a colour, bold, where colour is on.
    pub fn paint(&self, text: &str, colour: AnsiColor) -> String {
        if !self.color {
            return text.to_owned();
        }
        let style = Style::new().bold().fg_color(Some(colour.into()));
        format!("{style}{text}{style:#}")
    }

    /// Prints a list, its columns aligned.
    pub fn list(&self, list: &List) {
        self.value(&Value::Array(list.json.clone()));
        if self.format != Format::Text {
            return;
        }
        if list.rows.is_empty() {
            self.line("none");
            return;
        }
        let width = |column: usize| {
            let cells = list
                .rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count());
            let heading = list.headings.get(column).map_or(0, |heading| heading.len());
            cells.max().unwrap_or(0).max(heading)
        };
        let widths: Vec<usize> = (0..list.headings.len()).map(width).collect();
        let print = |cells: Vec<&str>| {
            let line: Vec<String> = cells
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            self.line(line.join("  ").trim_end());
        };
        print(list.headings.clone());
        for row in &list.rows {
            print(row.iter().map(String::as_str).collect());
        }
    }

    /// Prints a plan with how it stands.
    pub fn plan(&self, planned: &Planned) {
        match self.format {
            Format::Text => self.raw(&self.plan_text(planned)),
            Format::Json | Format::Yaml => {
                let approval = approval_json(planned);
                self.value(&render::json(&planned.plan, approval, planned.ledger));
            }
        }
    }

    /// A plan as text.
    pub fn plan_text(&self, planned: &Planned) -> String {
        let lines = approval_lines(planned);
        let style = render::Style {
            color: self.color,
            width: 0,
            ledger: planned.ledger,
            approval: &lines,
            limit: None,
        };
        let mut text = render::text(&planned.plan, &style);
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text
    }
}

/// How a plan stands, in lines for people.
pub fn approval_lines(planned: &Planned) -> Vec<String> {
    let hash = &planned.plan.hash;
    if planned.plan.leaves_nothing_to_decide() {
        return planned
            .accepted
            .iter()
            .map(|key| format!("{}: accepted, nothing has to change", clean(key)))
            .collect();
    }
    let mut lines = match &planned.standing.verdict {
        Verdict::Satisfied { .. } => vec![format!(
            "approved; a running `serve` runs it, else: bailiwick run {hash}"
        )],
        Verdict::Rejected { by, reason } => vec![format!("rejected by {by}: {}", clean(reason))],
        Verdict::Denied { reason } => {
            vec![format!("nobody can approve this plan: {}", clean(reason))]
        }
        Verdict::Waiting { missing } => {
            let mut lines = vec![format!(
                "nothing changes without an approval of this plan's hash: {hash}"
            )];
            lines.extend(
                missing
                    .iter()
                    .map(|missing| format!("needed: {}", clean(missing))),
            );
            lines
        }
    };
    if planned.state.is_none() {
        lines.push(
            "only looked at: the plan was not stored; `bailiwick apply --file …` submits documents"
                .to_owned(),
        );
    }
    lines
}

fn approval_json(planned: &Planned) -> Value {
    let Standing {
        requirement,
        verdict,
    } = &planned.standing;
    let needs = match requirement {
        Requirement::Auto { rule, .. } => json!({ "autoApprovedBy": rule }),
        Requirement::People(needed) => json!({
            "approvals": needed.approvals, "group": needed.group.as_ref().map(|(name, _)| name), "rule": needed.rule,
            "excluded": needed.excluded.as_ref().map(ToString::to_string),
            "impacts": needed.impacts, "unknowns": needed.unknowns,
        }),
        Requirement::Denied { reason, .. } => json!({ "denied": reason }),
    };
    let (state, missing) = match verdict {
        Verdict::Satisfied { .. } => ("satisfied", Vec::new()),
        Verdict::Waiting { missing } => ("waiting", missing.clone()),
        Verdict::Rejected { .. } => ("rejected", Vec::new()),
        Verdict::Denied { .. } => ("denied", Vec::new()),
    };
    json!({ "state": state, "missing": missing, "needs": needs, "plan": planned.state.map(|state| state.name()) })
}
