//! A plan as text.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style as Ansi};

use super::Style;
use crate::plan::model::{Duration, Impact, Inverse, Origin, Plan, Risk, StepId};
use crate::plan::words::{clean, differing};

/// A plan as text. Ends with a line break.
pub fn text(plan: &Plan, style: &Style<'_>) -> String {
    let mut page = Page {
        out: String::new(),
        color: style.color,
    };
    page.header(plan);
    page.changes(plan, style.width);
    page.steps(plan);
    page.impacts(plan, style.limit);
    page.list("improvements", &plan.improvements);
    page.unknowns(plan);
    page.list("notes", &plan.notes);
    page.end(plan, style);
    page.out
}

struct Page {
    out: String,
    color: bool,
}

const BOLD: Ansi = Ansi::new().bold();
const DIM: Ansi = Ansi::new().dimmed();

fn risk_style(risk: Risk) -> Ansi {
    match risk {
        Risk::None => Ansi::new(),
        Risk::Low => AnsiColor::Green.on_default(),
        Risk::Medium => AnsiColor::Yellow.on_default().bold(),
        Risk::High | Risk::Unknown => AnsiColor::Red.on_default().bold(),
    }
}

impl Page {
    fn paint(&self, style: Ansi, text: &str) -> String {
        if self.color && !text.is_empty() {
            format!("{}{text}{}", style.render(), style.render_reset())
        } else {
            text.to_owned()
        }
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    fn section(&mut self, title: &str) {
        let title = self.paint(BOLD, title);
        self.out.push('\n');
        self.line(&title);
    }

    fn header(&mut self, plan: &Plan) {
        let hash = self.paint(BOLD, &plan.hash.0);
        self.line(&format!("plan     {hash}"));
        self.line(&format!("cluster  {}", plan.cluster));
        let risk = self.paint(risk_style(plan.risk), &plan.risk.to_string());
        self.line(&format!("risk     {risk}"));
        let because = match &plan.origin {
            Origin::Submission { source, prune: _ } => format!("documents of {}", clean(source)),
            Origin::Drift => {
                "the cluster no longer matches documents that nobody changed".to_owned()
            }
            Origin::Undo { of } => format!("taking back the run of {of}"),
            Origin::CleanUp => "safety copies are as old as they are kept".to_owned(),
        };
        self.line(&format!("because  {because}"));
        if let Some(parent) = &plan.parent {
            self.line(&format!("after    {parent}"));
        }
        if plan.documents.is_empty() {
            return;
        }
        self.section(&count(plan.documents.len(), "document", "documents"));
        let rows: Vec<_> = plan
            .documents
            .iter()
            .map(|document| {
                if let Some(retired) = &document.instead_of {
                    let what = format!("instead of {}", clean(retired));
                    return [clean(&document.key), clean(&document.object), what];
                }
                let what = match (&document.hash, document.adopts, &document.former_owner) {
                    (None, _, _) => "removed".to_owned(),
                    (Some(_), true, _) => "adopts".to_owned(),
                    (Some(_), false, None) => String::new(),
                    (Some(_), false, Some(former)) if former.source == document.source => {
                        format!("takes over from {}", clean(&former.document))
                    }
                    (Some(_), false, Some(former)) => format!(
                        "{} takes over from {} of {}",
                        clean(&document.source),
                        clean(&former.document),
                        clean(&former.source)
                    ),
                };
                [clean(&document.key), clean(&document.object), what]
            })
            .collect();
        self.table(&rows, &[]);
    }

    fn changes(&mut self, plan: &Plan, width: usize) {
        if plan.changes.is_empty() {
            return;
        }
        self.section(&count(plan.changes.len(), "change", "changes"));
        let rows: Vec<_> = plan
            .changes
            .iter()
            .map(|change| {
                let (before, after) = match (&change.before, &change.after) {
                    (Some(before), Some(after)) => differing(before, after),
                    (before, after) => {
                        let text = |value: &Option<String>| value.clone().unwrap_or("-".to_owned());
                        (text(before), text(after))
                    }
                };
                [
                    clean(&change.object),
                    clean(&change.field),
                    format!("{} → {}", clean(&before), clean(&after)),
                    clean(&change.effect),
                ]
            })
            .collect();
        let widest = |column: usize| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        // Four columns, two spaces before each.
        let needed: usize = (0..4).map(widest).sum::<usize>() + 8;
        if width > 0 && needed > width {
            let effects: Vec<_> = rows
                .iter()
                .map(|[_, _, _, effect]| vec![effect.clone()])
                .collect();
            let rows: Vec<_> = rows
                .into_iter()
                .map(|[object, field, values, _]| [object, field, values])
                .collect();
            self.table(&rows, &effects);
        } else {
            self.table(&rows, &[]);
        }
    }

    fn steps(&mut self, plan: &Plan) {
        self.section(&match plan.steps.len() {
            0 if !plan.leaves_nothing_to_decide() => {
                "no steps: nothing changes but who owns what".to_owned()
            }
            0 => "no steps: everything is as the documents say".to_owned(),
            steps => count(steps, "step", "steps"),
        });
        let wide = plan.steps.len().to_string().len();
        for step in &plan.steps {
            let after = if step.needs.is_empty() {
                String::new()
            } else {
                let needs: Vec<String> = step.needs.iter().map(StepId::to_string).collect();
                self.paint(DIM, &format!("  after {}", needs.join(", ")))
            };
            let number = format!("{:>wide$}", step.id.to_string());
            self.line(&format!("  {number}  {}{after}", clean(&step.title)));
            let indent = " ".repeat(wide + 4);
            for note in &step.notes {
                self.line(&format!("{indent}  {}", clean(note)));
            }
            match &step.inverse {
                Inverse::Irreversible { why } => {
                    let line = format!("cannot be undone: {}", clean(why));
                    let line = self.paint(AnsiColor::Red.on_default(), &line);
                    self.line(&format!("{indent}  {line}"));
                }
                Inverse::Actions { remains, .. } => {
                    for left in remains {
                        self.line(&format!("{indent}  after an undo: {}", clean(left)));
                    }
                }
            }
        }
    }

    fn impacts(&mut self, plan: &Plan, limit: Option<usize>) {
        if plan.impacts.is_empty() {
            if !plan.steps.is_empty() {
                self.section("nothing gets worse");
            }
            return;
        }
        let total = plan.impacts.len();
        let shown = limit.unwrap_or(total).min(total);
        let entities: std::collections::BTreeSet<_> =
            plan.impacts.iter().map(|impact| &impact.entity).collect();
        self.section(&format!(
            "{}, {} affected",
            count(total, "impact", "impacts"),
            count(entities.len(), "entity", "entities"),
        ));
        let page = plan.impacts.get(..shown).unwrap_or_default();
        let rows: Vec<_> = page
            .iter()
            .map(|impact| {
                let (cause, _) = causes(impact);
                // Two blanks between category and cause, so that a line reads and greps the same in every plan.
                [
                    clean(&impact.entity),
                    format!("{}  ({cause}){}", impact.category.word(), when(impact)),
                ]
            })
            .collect();
        let notes: Vec<_> = page.iter().map(notes).collect();
        self.table(&rows, &notes);
        if shown < total {
            self.line(&format!(
                "  … {} more of {total}; the plan names every one of them",
                total - shown
            ));
        }
    }

    fn unknowns(&mut self, plan: &Plan) {
        if plan.unknowns.is_empty() {
            return;
        }
        self.section(&count(plan.unknowns.len(), "unknown", "unknowns"));
        let rows: Vec<_> = plan
            .unknowns
            .iter()
            .map(|unknown| {
                [
                    unknown.id.clone(),
                    clean(&unknown.what),
                    format!("({})", clean(&unknown.why)),
                ]
            })
            .collect();
        self.table(&rows, &[]);
    }

    fn list(&mut self, title: &str, lines: &[String]) {
        if lines.is_empty() {
            return;
        }
        self.section(title);
        for line in lines {
            self.line(&format!("  {}", clean(line)));
        }
    }

    fn end(&mut self, plan: &Plan, style: &Style<'_>) {
        self.out.push('\n');
        if plan.complete {
            self.line("nothing else is affected");
        }
        if let Some(number) = style.ledger {
            self.line(&format!("recorded in the ledger: #{number}"));
        }
        for line in style.approval {
            self.line(&clean(line));
        }
    }

    /// Rows with aligned columns, two spaces between them, and lines under each row.
    fn table<const N: usize>(&mut self, rows: &[[String; N]], under: &[Vec<String>]) {
        let mut widths = [0usize; N];
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for (index, row) in rows.iter().enumerate() {
            let mut line = String::from("  ");
            for (place, (width, cell)) in widths.iter().zip(row).enumerate() {
                let pad = width.saturating_sub(cell.chars().count());
                let painted = if place == 0 {
                    self.paint(BOLD, cell)
                } else {
                    cell.clone()
                };
                // Writing to a string does not fail.
                let _ = write!(line, "{painted}{}", " ".repeat(pad + 2));
            }
            self.line(&line);
            for note in under.get(index).into_iter().flatten() {
                self.line(&format!("      {note}"));
            }
        }
    }
}

/// For how long a transient impact lasts.
fn when(impact: &Impact) -> String {
    if impact.duration == Duration::Permanent {
        return String::new();
    }
    let mut steps = impact.steps.iter();
    match (steps.next(), steps.next_back()) {
        (Some(first), Some(last)) => format!("  from step {first} until step {last} has run"),
        (Some(only), None) => format!("  while step {only} runs"),
        (None, _) => "  for a while".to_owned(),
    }
}

/// How many characters of causes stand in an impact's own line, if there are several.
const CAUSES: usize = 240;

/// The causes in an impact's line, and those that stand under it, one a line, where all would be too long for one.
fn causes(impact: &Impact) -> (String, &[String]) {
    let all = clean(&impact.causes.join("; "));
    match impact.causes.as_slice() {
        [first, rest @ ..] if !rest.is_empty() && all.chars().count() > CAUSES => {
            let more = format!("{}; and {} more, below", clean(first), rest.len());
            (more, rest)
        }
        _ => (all, &[]),
    }
}

/// What stands under an impact.
fn notes(impact: &Impact) -> Vec<String> {
    let name = impact
        .name
        .as_deref()
        .map(|name| format!("called {}", clean(name)));
    let (_, further) = causes(impact);
    let lines = further.iter().chain(&impact.notes);
    let mut lines: Vec<String> = lines.map(|line| clean(line)).collect();
    let last = [
        Some(impact.id.clone()),
        Some(format!("rule {}", impact.rule)),
        name,
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join(", ");
    lines.push(last);
    lines
}

fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 {
        format!("1 {one}")
    } else {
        format!("{number} {many}")
    }
}
