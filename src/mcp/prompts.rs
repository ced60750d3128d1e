//! Prompts: two ways of working, to begin a conversation with.

use rmcp::ErrorData;
use rmcp::model::{
    GetPromptRequestParams, GetPromptResponse, GetPromptResult, ListPromptsResult, Prompt,
    PromptArgument, PromptMessage, Role,
};

use super::untrusted::bounded;

/// The longest argument, in characters.
const LONGEST: usize = 2000;

/// The prompts there are.
pub fn list() -> ListPromptsResult {
    let argument = |name: &str, description: &str, required: bool| {
        PromptArgument::new(name)
            .with_description(description)
            .with_required(required)
    };
    ListPromptsResult::with_all_items(vec![
        Prompt::new(
            "propose_change",
            Some("Work a wish out into documents, look at what it would do, and submit it."),
            Some(vec![
                argument("wish", "What shall be different, in your words.", true),
                argument("cluster", "The cluster, if there are several.", false),
            ]),
        )
        .with_title("Propose a change"),
        Prompt::new(
            "find_out_what_is_wrong",
            Some("Diagnose a guest, node, storage or the whole cluster, and say what to do."),
            Some(vec![argument(
                "target",
                "vm/104, ct/301, node/pve1, storage/local; leave it out for the whole cluster.",
                false,
            )]),
        )
        .with_title("Find out what is wrong"),
    ])
}

/// A prompt with its arguments in place.
pub fn get(request: &GetPromptRequestParams) -> Result<GetPromptResponse, ErrorData> {
    let given = |name: &str| {
        request
            .arguments
            .as_ref()
            .and_then(|all| all.get(name))
            .and_then(|value| value.as_str())
            .map(|text| bounded(text, LONGEST))
            .filter(|text| !text.trim().is_empty())
    };
    let (description, text) = match request.name.as_str() {
        "propose_change" => {
            let wish = given("wish").ok_or_else(|| {
                ErrorData::invalid_params("the prompt needs `wish`: what shall be different", None)
            })?;
            let cluster = given("cluster")
                .map_or_else(String::new, |name| format!(" The cluster is {name}."));
            let text = format!(
                "I want this changed on my Proxmox VE cluster: {wish}.{cluster}\n\n\
                 Find the objects with list_resources and look at them with get_resource. Use explain_kind for what a document may \
                 hold. Write the smallest documents that say it, check them with validate, and make a dry run with plan. Tell me \
                 every impact it names and everything it could not see. Only if that is what I meant, submit, and tell me the plan's \
                 hash: I approve it myself, you cannot. Then wait_for_plan and tell me how it ended."
            );
            ("Work a wish out and submit it", text)
        }
        "find_out_what_is_wrong" => {
            let target = given("target").unwrap_or_else(|| "the whole cluster".to_owned());
            let text = format!(
                "Something is wrong with {target}. Call diagnose for it and read every page. Look at what it names with \
                 get_resource, list_drift and list_plans. Then tell me what is wrong, the likely cause, and what could not be seen \
                 and may matter. If a document could mend it, make a dry run with plan and show me what it would do, but do not \
                 submit it before I say so."
            );
            ("Diagnose and explain", text)
        }
        other => {
            return Err(ErrorData::invalid_params(
                format!("there is no prompt `{}`", bounded(other, 60)),
                None,
            ));
        }
    };
    Ok(
        GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)])
            .with_description(description)
            .into(),
    )
}
