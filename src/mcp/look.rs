//! The tools that only look: resources, kinds, documents' mistakes, plans, drift, diagnosis.

use std::fmt::Write as _;

use super::answers as out;
use super::arguments::{
    Diagnose, ExplainKind, GetPlan, GetResource, Kind, ListDrift, ListPlans, ListResources,
    Section, Validate,
};
use super::code::{Code, Refusal};
use super::cursor;
use super::plan_answer::{self, About, Window};
use super::resource_answer::{line, whole};
use super::server::{Answer, Call};
use super::untrusted::{fenced, text, texts};
use crate::document;
use crate::health::Severity;
use crate::service::resources::{ResourceFilter, ResourceKind};
use crate::store::{PlanFilter, PlanPlace};

/// How many mistakes are listed.
const MISTAKES: usize = 100;
/// How many things that could not be seen are listed.
const UNSEEN: usize = 50;
/// How many lines of causes a finding has at most.
const LINES: usize = 8;

/// `list_resources`.
pub async fn list_resources(call: &Call, given: ListResources) -> Result<Answer, Refusal> {
    let cluster = call.service().cluster(given.cluster.as_deref())?;
    let place = cursor::read("list_resources", given.cursor.as_deref())?;
    let filter = ResourceFilter {
        kind: given.kind.map(|kind| match kind {
            Kind::Vm => ResourceKind::Vm,
            Kind::Ct => ResourceKind::Ct,
            Kind::Storage => ResourceKind::Storage,
            Kind::Pool => ResourceKind::Pool,
            Kind::BackupJob => ResourceKind::BackupJob,
            Kind::ReplicationJob => ResourceKind::ReplicationJob,
            Kind::Node => ResourceKind::Node,
            Kind::Snapshot => ResourceKind::Snapshot,
            Kind::Image => ResourceKind::Image,
            Kind::Token => ResourceKind::Token,
            Kind::Group => ResourceKind::Group,
            Kind::User => ResourceKind::User,
            Kind::Role => ResourceKind::Role,
            Kind::Realm => ResourceKind::Realm,
            Kind::Acl => ResourceKind::Acl,
            Kind::Alias => ResourceKind::Alias,
            Kind::IpSet => ResourceKind::IpSet,
            Kind::SecurityGroup => ResourceKind::SecurityGroup,
            Kind::Firewall => ResourceKind::Firewall,
            Kind::Document => ResourceKind::Document,
        }),
        text: given.text,
        node: given.node,
        status: given.status.map(|status| status.word().to_owned()),
        managed: given.managed,
    };
    let world = call.world(cluster).await?;
    let limit = cursor::limit(given.limit);
    let page = call
        .service()
        .resources(cluster, &world, &filter, place.as_deref(), limit)
        .await?;
    let answer = out::Resources {
        cluster: cluster.name.to_string(),
        observed_at: world.observed_at.to_string(),
        total: page.total,
        items: page.resources.iter().map(line).collect(),
        next_cursor: page
            .next
            .map(|place| cursor::write("list_resources", &place)),
        unreadable_parts: world.unreadable_parts().count(),
    };
    let mut rows = String::new();
    for item in &answer.items {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let _ = writeln!(
            rows,
            "{}  {}  {}  on {}  managed by {}",
            item.id,
            or_dash(&item.untrusted.name),
            item.status,
            or_dash(&item.node),
            or_dash(&item.document)
        );
    }
    let more = more(answer.next_cursor.as_ref());
    let head = format!(
        "{} of {} resources of cluster {}{more}",
        answer.items.len(),
        answer.total,
        answer.cluster
    );
    Answer::with_data(&answer, &head, &rows)
}

/// `get_resource`.
pub async fn get_resource(call: &Call, given: GetResource) -> Result<Answer, Refusal> {
    let cluster = call.service().cluster(given.cluster.as_deref())?;
    let world = call.world(cluster).await?;
    let view = call.service().resource(cluster, &world, &given.id).await?;
    let answer = whole(cluster.name.as_str(), world.observed_at, view);
    let head = format!(
        "{} on cluster {}: {}, {}",
        answer.resource.id,
        answer.cluster,
        answer.resource.status,
        match &answer.resource.document {
            Some(document) => format!("managed by {document}"),
            None => "managed by no document".to_owned(),
        }
    );
    let data = serde_json::to_string_pretty(&serde_json::json!({
        "name": answer.resource.untrusted, "live": answer.live, "conditions": answer.conditions, "events": answer.events,
    }))
    .map_err(internal)?;
    Answer::with_data(&answer, &head, &data)
}

/// `explain_kind`.
pub fn explain_kind(given: ExplainKind) -> Result<Answer, Refusal> {
    let kinds: Vec<String> = document::Kind::ALL
        .iter()
        .map(ToString::to_string)
        .collect();
    let Some(path) = given.path else {
        let text = format!(
            "The kinds of documents: {}. Call again with `path` set to one of them, or to KIND.field.",
            kinds.join(", ")
        );
        let answer = out::Explained {
            path: None,
            text: text.clone(),
            kinds,
            schema: None,
        };
        return Answer::new(&answer, text);
    };
    let explained = document::explain::explain(&path)
        .map_err(|error| Refusal::new(Code::NotFound, error.to_string()))?;
    let kind = explained
        .split(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .and_then(|word| word.parse::<document::Kind>().ok());
    let schema = match (given.schema, kind) {
        (Some(true), Some(kind)) => document::schema::schema(kind).as_object().cloned(),
        _ => None,
    };
    let answer = out::Explained {
        path: Some(text(&path)),
        text: explained.clone(),
        kinds,
        schema,
    };
    Answer::new(&answer, explained)
}

/// `validate`.
pub fn validate(given: &Validate) -> Result<Answer, Refusal> {
    let from = cursor::read_offset("validate", given.cursor.as_deref())?;
    let answer = match document::load(&[("documents", given.documents.as_str())]) {
        Ok(documents) => out::Validated {
            valid: true,
            count: documents.len(),
            next_cursor: (documents.len() > from.saturating_add(cursor::MOST))
                .then(|| cursor::write("validate", &(from + cursor::MOST).to_string())),
            documents: documents
                .iter()
                .skip(from)
                .take(cursor::MOST)
                .map(|document| out::ValidDocument {
                    key: document.key().to_string(),
                    hash: document.hash.to_string(),
                    cluster: document.cluster().map(|cluster| cluster.to_string()),
                })
                .collect(),
            total: 0,
            mistakes: Vec::new(),
        },
        Err(errors) => out::Validated {
            valid: false,
            count: 0,
            next_cursor: None,
            documents: Vec::new(),
            total: errors.errors.len() + errors.omitted,
            mistakes: errors
                .errors
                .iter()
                .take(MISTAKES)
                .map(|error| out::Mistake {
                    line: error.line,
                    column: error.column,
                    message: text(&error.message),
                    help: error.help.as_deref().map(text),
                    excerpt: text(&error.excerpt),
                })
                .collect(),
        },
    };
    let mut said = if answer.valid {
        format!("{} documents are valid; nothing was stored", answer.count)
    } else {
        format!("{} mistakes; nothing was stored", answer.total)
    };
    for mistake in &answer.mistakes {
        let _ = write!(
            said,
            "\nline {}, column {}: {}",
            mistake.line, mistake.column, mistake.message
        );
        if let Some(help) = &mistake.help {
            let _ = write!(said, " ({help})");
        }
    }
    Answer::new(&answer, said)
}

/// `list_plans`.
pub async fn list_plans(call: &Call, given: ListPlans) -> Result<Answer, Refusal> {
    let service = call.service();
    let cluster = match given.cluster {
        Some(name) => Some(service.cluster(Some(&name))?.name.clone()),
        None => None,
    };
    let state = given
        .state
        .map(|state| state.parse().map_err(|why: String| Refusal::arguments(why)))
        .transpose()?;
    let filter = PlanFilter {
        cluster,
        state,
        submitter: (given.mine == Some(true)).then(|| call.who().to_string()),
    };
    let wrong = || Refusal::arguments("`cursor` is not one that this tool gave");
    let after = match cursor::read("list_plans", given.cursor.as_deref())? {
        None => None,
        Some(place) => {
            let (created, hash) = place.split_once(' ').ok_or_else(wrong)?;
            Some(PlanPlace {
                created: created.parse().map_err(|_| wrong())?,
                hash: hash.to_owned(),
            })
        }
    };
    let limit = u32::try_from(cursor::limit(given.limit)).unwrap_or(1);
    let page = service.plan_page(&filter, after.as_ref(), limit).await?;
    let answer = out::Plans {
        total: page.total,
        items: page
            .plans
            .into_iter()
            .map(|head| out::PlanLine {
                plan: head.hash,
                cluster: head.cluster.to_string(),
                state: head.state.name().to_owned(),
                risk: head.risk,
                submitter: head.submitter,
                created: head.created.to_string(),
                changed: head.changed.to_string(),
            })
            .collect(),
        next_cursor: page
            .next
            .map(|next| cursor::write("list_plans", &format!("{} {}", next.created, next.hash))),
    };
    let mut said = format!(
        "{} of {} plans{}",
        answer.items.len(),
        answer.total,
        more(answer.next_cursor.as_ref())
    );
    for plan in &answer.items {
        let _ = write!(
            said,
            "\n{}  {}  risk {}  cluster {}  by {}  {}",
            plan.plan, plan.state, plan.risk, plan.cluster, plan.submitter, plan.created
        );
    }
    Answer::new(&answer, said)
}

/// `get_plan`.
pub async fn get_plan(call: &Call, given: GetPlan) -> Result<Answer, Refusal> {
    let window = match given.section {
        None if given.cursor.is_some() => {
            return Err(Refusal::arguments("`cursor` needs the `section` it is of"));
        }
        None => Window {
            limit: given
                .limit
                .map_or(Window::default().limit, |limit| cursor::limit(Some(limit))),
            ..Window::default()
        },
        Some(section) => Window {
            section: Some(section),
            from: cursor::read_offset(section.word(), given.cursor.as_deref())?,
            limit: cursor::limit(given.limit),
        },
    };
    let view = call.service().view_plan(&given.plan).await?;
    let about = About::from(&view);
    let answer = plan_answer::answer(&view.plan, about, window);
    let head = plan_answer::line(&view.plan, about);
    let data = match given.section {
        None => plan_answer::page(&view.plan, about),
        Some(section) => section_text(&answer, section).map_err(internal)?,
    };
    Answer::with_data(&answer, &head, &data)
}

fn section_text(plan: &out::Plan, section: Section) -> Result<String, serde_json::Error> {
    match section {
        Section::Impacts => serde_json::to_string_pretty(&plan.impacts),
        Section::Steps => serde_json::to_string_pretty(&plan.steps),
        Section::Changes => serde_json::to_string_pretty(&plan.changes),
        Section::Unknowns => serde_json::to_string_pretty(&plan.unknowns),
        Section::Improvements => serde_json::to_string_pretty(&plan.improvements),
        Section::Notes => serde_json::to_string_pretty(&plan.notes),
        Section::Documents => serde_json::to_string_pretty(&plan.documents),
    }
}

/// `list_drift`.
pub async fn list_drift(call: &Call, given: ListDrift) -> Result<Answer, Refusal> {
    let service = call.service();
    let cluster = service.cluster(given.cluster.as_deref())?;
    let place = cursor::read("list_drift", given.cursor.as_deref())?;
    let plan = service
        .drift(Some(cluster.name.as_str()), call.who())
        .await?
        .plan;
    let mut all: Vec<(String, &crate::plan::Change)> = plan
        .changes
        .iter()
        .map(|change| (format!("{}\u{1}{}", change.object, change.field), change))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let objects: std::collections::BTreeSet<&String> =
        plan.changes.iter().map(|change| &change.object).collect();
    let limit = cursor::limit(given.limit);
    let mut rest = all
        .iter()
        .filter(|(at, _)| place.as_ref().is_none_or(|place| at > place));
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let next = page
        .last()
        .map(|(at, _)| at.clone())
        .filter(|_| rest.next().is_some());
    let answer = out::Drift {
        cluster: cluster.name.to_string(),
        total: all.len(),
        objects: objects.len(),
        items: page
            .iter()
            .map(|(_, change)| plan_answer::change(change))
            .collect(),
        next_cursor: next.map(|place| cursor::write("list_drift", &place)),
        risk: plan.risk.to_string(),
        unknowns: plan
            .unknowns
            .iter()
            .take(UNSEEN)
            .map(plan_answer::unknown)
            .collect(),
    };
    let mut rows = String::new();
    for item in &answer.items {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".to_owned());
        let _ = writeln!(
            rows,
            "{}  {}  is {}  document says {}",
            item.object,
            item.untrusted.field,
            or_none(&item.untrusted.before),
            or_none(&item.untrusted.after)
        );
    }
    let head = format!(
        "{} fields of {} objects of cluster {} no longer match their documents{}",
        answer.total,
        answer.objects,
        answer.cluster,
        more(answer.next_cursor.as_ref())
    );
    Answer::with_data(&answer, &head, &rows)
}

/// `diagnose`.
pub async fn diagnose(call: &Call, given: Diagnose) -> Result<Answer, Refusal> {
    let service = call.service();
    let cluster = service.cluster(given.cluster.as_deref())?;
    let from = cursor::read_offset("diagnose", given.cursor.as_deref())?;
    let world = call.world(cluster).await?;
    let found = service
        .diagnose(cluster, &world, given.target.as_deref(), call.who())
        .await?;
    let mut counts = out::Counts::default();
    for finding in &found.findings {
        match finding.severity {
            Severity::Critical => counts.critical += 1,
            Severity::Warning => counts.warning += 1,
            Severity::Notice => counts.notice += 1,
        }
    }
    let verdict = if counts.critical > 0 {
        "sick"
    } else if counts.warning > 0 {
        "at-risk"
    } else if !found.unseen.is_empty() {
        "unknown"
    } else {
        "healthy"
    };
    let limit = cursor::limit(given.limit);
    let page: Vec<out::Finding> = found
        .findings
        .iter()
        .skip(from)
        .take(limit)
        .map(|finding| out::Finding {
            severity: finding.severity.word().to_owned(),
            code: finding.code.to_owned(),
            object: text(&finding.object),
            untrusted: out::FindingWords {
                message: text(&finding.message),
                causes: texts(&finding.causes, LINES),
            },
        })
        .collect();
    let next = from + page.len();
    let answer = out::Diagnosed {
        cluster: cluster.name.to_string(),
        target: text(&found.target),
        observed_at: found.observed_at.to_string(),
        verdict: verdict.to_owned(),
        total: found.findings.len(),
        counts,
        next_cursor: (next < found.findings.len())
            .then(|| cursor::write("diagnose", &next.to_string())),
        findings: page,
        unseen_total: found.unseen.len(),
        unseen: found
            .unseen
            .iter()
            .take(UNSEEN)
            .map(|unseen| out::Unseen {
                matters: text(&unseen.matters),
                untrusted: out::Text {
                    text: text(&format!("{}: {}", unseen.what, unseen.why)),
                },
            })
            .collect(),
        checked: found.checked.iter().map(|&line| line.to_owned()).collect(),
    };
    let mut rows = String::new();
    for finding in &answer.findings {
        let _ = writeln!(
            rows,
            "{}  {}  {}: {}",
            finding.severity, finding.object, finding.code, finding.untrusted.message
        );
        for cause in &finding.untrusted.causes {
            let _ = writeln!(rows, "    {cause}");
        }
    }
    for unseen in &answer.unseen {
        let _ = writeln!(
            rows,
            "not seen: {} ({})",
            unseen.untrusted.text, unseen.matters
        );
    }
    let head = format!(
        "{} on cluster {}: {verdict}; {} critical, {} warnings, {} notices; {} things could not be seen{}",
        answer.target,
        answer.cluster,
        answer.counts.critical,
        answer.counts.warning,
        answer.counts.notice,
        answer.unseen_total,
        more(answer.next_cursor.as_ref())
    );
    Answer::with_data(&answer, &head, &rows)
}

fn more(cursor: Option<&String>) -> &'static str {
    if cursor.is_some() {
        " (there is more: nextCursor)"
    } else {
        ""
    }
}

fn internal(error: serde_json::Error) -> Refusal {
    Refusal::new(Code::Internal, error.to_string())
}

/// The head of an answer and its data, fenced.
pub fn with_fence(head: &str, data: &str) -> String {
    if data.trim().is_empty() {
        head.to_owned()
    } else {
        format!("{head}\n{}", fenced(data))
    }
}
