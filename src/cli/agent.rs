//! `agent`: tokens for agents.

use serde_json::json;

use super::Ended;
use super::arguments::Agent;
use super::exit::Exit;
use super::output::Output;
use crate::service::Service;
use crate::service::show::List;
use crate::store::Token;

/// Runs an `agent` command.
pub async fn run(service: &Service, command: &Agent, output: &Output) -> Ended {
    match command {
        Agent::Add {
            name,
            expires,
            principal,
        } => {
            let who = service.principal(principal.as_deref())?;
            let added = service.add_agent(name, *expires, &who).await?;
            output.value(&json!({
                "agent": added.agent.to_string(), "id": added.id, "token": added.token.show(),
                "expires": added.expires.map(|at| at.to_string()), "ledger": added.ledger,
            }));
            output.line(format!("{} has a token, shown this once:", added.agent));
            output.line(format!("\n  {}\n", added.token.show()));
            match added.expires {
                Some(at) => output.line(format!(
                    "It counts until {}. Whoever has it is {}, and nobody else.",
                    at.strftime("%Y-%m-%d %H:%MZ"),
                    added.agent
                )),
                None => output.line(format!(
                    "It counts until it is revoked. Whoever has it is {}, and nobody else.",
                    added.agent
                )),
            }
            output.line(format!("recorded in the ledger: #{}", added.ledger));
            Ok(Exit::Success)
        }
        Agent::List => {
            let now = service.now();
            output.list(&list(&service.agents().await?, now));
            Ok(Exit::Success)
        }
        Agent::Revoke { name, principal } => {
            let who = service.principal(principal.as_deref())?;
            let (ids, ledger) = service.revoke_agent(name, &who).await?;
            output.value(&json!({ "revoked": ids, "ledger": ledger }));
            output.line(format!(
                "{} of its tokens no longer count; recorded in the ledger: #{ledger}",
                ids.len()
            ));
            Ok(Exit::Success)
        }
    }
}

fn list(tokens: &[Token], now: jiff::Timestamp) -> List {
    let mut list = List::new(&[
        "AGENT", "TOKEN", "STATE", "CREATED", "BY", "EXPIRES", "USED",
    ]);
    let short = |at: jiff::Timestamp| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
    for kept in tokens {
        let state = match &kept.revoked {
            Some((_, who)) => format!("revoked by {who}"),
            None if kept.good(now) => "good".to_owned(),
            None => "expired".to_owned(),
        };
        let token = &kept.token;
        list.row([
            format!("agent:{}", token.agent),
            token.id.clone(),
            state,
            short(token.created),
            token.created_by.clone(),
            token.expires.map_or_else(|| "never".to_owned(), short),
            kept.used.map_or_else(|| "-".to_owned(), short),
        ]);
    }
    list
}
