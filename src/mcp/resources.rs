//! MCP's own resources: plans that wait, accepted documents and the kinds, to be attached to a conversation.

use rmcp::ErrorData;
use rmcp::model::{
    ListResourceTemplatesResult, ListResourcesResult, ReadResourceResponse, ReadResourceResult,
    Resource, ResourceContents, ResourceTemplate,
};

use super::cursor;
use super::plan_answer::{self, About};
use super::untrusted::{bounded, fenced, text};
use crate::document::{self, Kind};
use crate::plan::words::clean;
use crate::service::{Service, ServiceError};
use crate::store::{PlanFilter, PlanPlace, PlanState};

/// What every address begins with.
const SCHEME: &str = "bailiwick://";
/// How many plans a page has.
const PAGE: u32 = 100;

/// A page: first the kinds, then the plans that wait, the newest first.
pub async fn list(
    service: &Service,
    given: Option<&str>,
) -> Result<ListResourcesResult, ErrorData> {
    let wrong = |why: String| ErrorData::invalid_params(why, None);
    let place = cursor::read("resources", given).map_err(|refusal| wrong(refusal.message))?;
    let after = match &place {
        None => None,
        Some(place) => {
            let (created, hash) = place
                .split_once(' ')
                .ok_or_else(|| wrong("the cursor is none of ours".to_owned()))?;
            Some(PlanPlace {
                created: created
                    .parse()
                    .map_err(|_| wrong("the cursor is none of ours".to_owned()))?,
                hash: hash.to_owned(),
            })
        }
    };
    let mut resources = Vec::new();
    if after.is_none() {
        resources.extend(Kind::ALL.iter().map(|kind| {
            Resource::new(format!("{SCHEME}kind/{kind}"), kind.to_string())
                .with_title(format!("The kind {kind}"))
                .with_description("What a document of this kind may hold.")
                .with_mime_type("text/plain")
        }));
    }
    let filter = PlanFilter {
        state: Some(PlanState::Waiting),
        ..PlanFilter::default()
    };
    let page = service
        .plan_page(&filter, after.as_ref(), PAGE)
        .await
        .map_err(internal)?;
    resources.extend(page.plans.iter().map(|head| {
        Resource::new(format!("{SCHEME}plan/{}", head.hash), head.hash.clone())
            .with_title(format!(
                "Plan on cluster {}, risk {}",
                head.cluster, head.risk
            ))
            .with_description(format!(
                "Submitted by {}; waits for a person.",
                head.submitter
            ))
            .with_mime_type("text/plain")
    }));
    let mut result = ListResourcesResult::with_all_items(resources);
    result.next_cursor = page
        .next
        .map(|next| cursor::write("resources", &format!("{} {}", next.created, next.hash)));
    Ok(result)
}

/// The addresses that can be written by hand.
pub fn templates() -> ListResourceTemplatesResult {
    let template = |address: &str, name: &str, title: &str, description: &str| {
        ResourceTemplate::new(format!("{SCHEME}{address}"), name)
            .with_title(title)
            .with_description(description)
            .with_mime_type("text/plain")
    };
    ListResourceTemplatesResult::with_all_items(vec![
        template(
            "plan/{hash}",
            "plan",
            "A plan",
            "A plan as people read it: changes, steps, impacts, what it needs.",
        ),
        template(
            "document/{cluster}/{kind}/{name}",
            "document",
            "A document",
            "An accepted document as it was submitted.",
        ),
        template(
            "kind/{path}",
            "kind",
            "A kind or field",
            "What a kind of document, or one of its fields, may hold: VirtualMachine.disks",
        ),
    ])
}

/// What stands under an address.
pub async fn read(service: &Service, uri: &str) -> Result<ReadResourceResponse, ErrorData> {
    let unknown = || {
        let shown = bounded(uri, 200);
        ErrorData::resource_not_found(
            format!("there is nothing at `{shown}`"),
            Some(serde_json::json!({ "uri": shown })),
        )
    };
    let address = uri.strip_prefix(SCHEME).ok_or_else(unknown)?;
    let (what, rest) = address.split_once('/').ok_or_else(unknown)?;
    let shown = match what {
        "kind" => document::explain::explain(rest).map_err(|_| unknown())?,
        "plan" => {
            let view = match service.view_plan(rest).await {
                Ok(view) => view,
                Err(ServiceError::NotFound(_) | ServiceError::Request(_)) => return Err(unknown()),
                Err(error) => return Err(internal(error)),
            };
            let about = About::from(&view);
            format!(
                "{}\n{}",
                plan_answer::line(&view.plan, about),
                fenced(&plan_answer::page(&view.plan, about))
            )
        }
        "document" => {
            let mut parts = rest.splitn(3, '/');
            let (Some(cluster), Some(kind), Some(name)) =
                (parts.next(), parts.next(), parts.next())
            else {
                return Err(unknown());
            };
            let cluster = service.cluster(Some(cluster)).map_err(|_| unknown())?;
            let stored = service
                .store()
                .document(&cluster.name, kind, name)
                .await
                .map_err(|error| internal(error.into()))?
                .ok_or_else(unknown)?;
            let lines: Vec<String> = stored.document.text.lines().map(clean).collect();
            format!(
                "{kind}/{name} of {}, generation {}\n{}",
                text(&stored.document.source),
                stored.generation,
                fenced(&lines.join("\n"))
            )
        }
        _ => return Err(unknown()),
    };
    Ok(ReadResourceResult::new(vec![ResourceContents::text(shown, uri)]).into())
}

fn internal(error: ServiceError) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}
