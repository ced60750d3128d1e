//! Plans as answers: bounded, with full counts, and as text.

use super::answers as out;
use super::arguments::Section;
use super::code::next_for;
use super::cursor;
use super::untrusted::{text, texts};
use crate::plan::render::{self, Style};
use crate::plan::{self, Inverse, Origin, Plan};
use crate::service::plans::{Hold, PlanView, Progress};
use crate::store::PlanHead;

/// How many items of each part are shown when none is asked for.
const SHOWN: usize = 20;
/// How many lines of causes and notes an item has at most.
const LINES: usize = 8;

/// Which items of which part are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// The one part; every part when none is.
    pub section: Option<Section>,
    /// From which item on.
    pub from: usize,
    /// How many.
    pub limit: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            section: None,
            from: 0,
            limit: SHOWN,
        }
    }
}

impl Window {
    fn part<A, B>(
        &self,
        section: Section,
        stored: bool,
        all: &[A],
        show: impl Fn(&A) -> B,
    ) -> out::Part<B> {
        let wanted = self.section.is_none_or(|wanted| wanted == section);
        let (from, limit) = if wanted {
            (self.from, self.limit)
        } else {
            (0, 0)
        };
        let items: Vec<B> = all.iter().skip(from).take(limit).map(show).collect();
        let next = from + items.len();
        let more = stored && wanted && next < all.len();
        out::Part {
            total: all.len(),
            items,
            next_cursor: more.then(|| cursor::write(section.word(), &next.to_string())),
        }
    }
}

/// What is told of a plan beside itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct About<'a> {
    /// Its line in the store, if it is stored.
    pub head: Option<&'a PlanHead>,
    /// What holds it up.
    pub holds: &'a [Hold],
    /// Its runs.
    pub runs: &'a [Progress],
    /// Its ledger record.
    pub ledger: Option<u64>,
}

impl<'a> From<&'a PlanView> for About<'a> {
    fn from(view: &'a PlanView) -> Self {
        Self {
            head: Some(&view.head),
            holds: &view.holds,
            runs: &view.runs,
            ledger: view.ledger,
        }
    }
}

/// A plan as an answer.
pub fn answer(plan: &Plan, about: About<'_>, window: Window) -> out::Plan {
    let stored = about.head.is_some();
    let words = |one: &String| out::Text { text: text(one) };
    out::Plan {
        plan: plan.hash.0.clone(),
        cluster: plan.cluster.to_string(),
        state: about.head.map(|head| head.state.name().to_owned()),
        empty: plan.leaves_nothing_to_decide(),
        risk: plan.risk.to_string(),
        complete: plan.complete,
        because: match &plan.origin {
            Origin::Submission { .. } => "submission",
            Origin::Drift => "drift",
            Origin::Undo { .. } => "undo",
            Origin::CleanUp => "clean-up",
        }
        .to_owned(),
        submitter: about.head.map(|head| head.submitter.clone()),
        created: about.head.map(|head| head.created.to_string()),
        ledger: about.ledger,
        needs: needs(about.holds),
        runs: about
            .runs
            .iter()
            .map(|progress| run(progress, plan))
            .collect(),
        impacts: window.part(Section::Impacts, stored, &plan.impacts, impact),
        unknowns: window.part(Section::Unknowns, stored, &plan.unknowns, unknown),
        steps: window.part(Section::Steps, stored, &plan.steps, step),
        changes: window.part(Section::Changes, stored, &plan.changes, change),
        documents: window.part(Section::Documents, stored, &plan.documents, |document| {
            out::PlanDocument {
                key: text(&document.key),
                source: text(&document.source),
                object: text(&document.object),
                removed: document.hash.is_none(),
                adopts: document.adopts,
                former_owner: document
                    .former_owner
                    .as_ref()
                    .map(|former| out::FormerOwner {
                        document: text(&former.document),
                        source: text(&former.source),
                    }),
                instead_of: document.instead_of.as_deref().map(text),
            }
        }),
        improvements: window.part(Section::Improvements, stored, &plan.improvements, words),
        notes: window.part(Section::Notes, stored, &plan.notes, words),
    }
}

/// What holds a plan up, as answers.
pub fn needs(holds: &[Hold]) -> Vec<out::Need> {
    holds
        .iter()
        .map(|hold| out::Need {
            code: hold.kind.word().to_owned(),
            message: text(&hold.message),
            next: next_for(hold.kind).to_owned(),
        })
        .collect()
}

/// A run as an answer.
pub fn run(progress: &Progress, plan: &Plan) -> out::Run {
    out::Run {
        run: progress.run.id.0,
        state: progress.run.state.name().to_owned(),
        started: progress.run.started.to_string(),
        ended: progress.run.ended.map(|at| at.to_string()),
        steps_done: progress.done(),
        steps_total: plan.steps.len(),
    }
}

/// A field that differs, as an answer.
pub fn change(change: &plan::Change) -> out::Change {
    out::Change {
        object: text(&change.object),
        untrusted: out::ChangeWords {
            field: text(&change.field),
            before: change.before.as_deref().map(text),
            after: change.after.as_deref().map(text),
            effect: text(&change.effect),
        },
    }
}

/// Something that could not be read, as an answer.
pub fn unknown(unknown: &plan::Unknown) -> out::Unknown {
    out::Unknown {
        id: unknown.id.clone(),
        untrusted: out::Text {
            text: text(&format!("{}: {}", unknown.what, unknown.why)),
        },
    }
}

fn impact(impact: &plan::Impact) -> out::Impact {
    out::Impact {
        id: impact.id.clone(),
        entity: text(&impact.entity),
        category: impact.category.word().to_owned(),
        duration: match impact.duration {
            plan::Duration::Transient => "transient",
            plan::Duration::Permanent => "permanent",
        }
        .to_owned(),
        steps: impact.steps.iter().map(|step| step.0).collect(),
        untrusted: out::ImpactWords {
            name: impact.name.as_deref().map(text),
            before: text(&impact.before),
            after: text(&impact.after),
            causes: texts(&impact.causes, LINES),
            notes: texts(&impact.notes, LINES),
        },
    }
}

fn step(step: &plan::Step) -> out::Step {
    out::Step {
        id: step.id.0,
        needs: step.needs.iter().map(|need| need.0).collect(),
        irreversible: matches!(step.inverse, Inverse::Irreversible { .. }),
        untrusted: out::StepWords {
            title: text(&step.title),
            notes: texts(&step.notes, LINES),
        },
    }
}

/// A plan as people read it, for the text of an answer; not fenced yet.
pub fn page(plan: &Plan, about: About<'_>) -> String {
    let approval: Vec<String> = about.holds.iter().map(|hold| text(&hold.message)).collect();
    let style = Style {
        ledger: about.ledger,
        approval: &approval,
        limit: Some(SHOWN),
        ..Style::default()
    };
    render::text(plan, &style)
}

/// One line about a plan in Bailiwick's own words.
pub fn line(plan: &Plan, about: About<'_>) -> String {
    let state = about.head.map_or("not stored", |head| head.state.name());
    format!(
        "plan {} on cluster {}: {state}, risk {}, {} steps, {} impacts, {} unknowns",
        plan.hash,
        plan.cluster,
        plan.risk,
        plan.steps.len(),
        plan.impacts.len(),
        plan.unknowns.len()
    )
}
