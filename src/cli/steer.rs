//! `suspend`, `resume`, `reconcile`, `source`: telling the loop what to leave alone, and when to look.

use std::time::Duration;

use serde_json::json;

use super::Ended;
use super::arguments::{Reconcile, Resume, Source, Suspend};
use super::exit::{Exit, Failure};
use super::output::Output;
use crate::service::Service;

/// `suspend`.
pub async fn suspend(service: &Service, asked: &Suspend, output: &Output) -> Ended {
    let who = service.principal(asked.principal.as_deref())?;
    let target = service.suspend_target(&asked.what, asked.cluster.as_deref())?;
    service.is_there(&target).await?;
    let record = service.suspend(&target, &asked.reason, &who).await?;
    output.value(&json!({ "suspended": asked.what, "ledger": record }));
    output.line(format!(
        "{} is suspended: the loop leaves it alone until `bailiwick resume`; recorded in the ledger: #{record}",
        asked.what
    ));
    Ok(Exit::Success)
}

/// `resume`.
pub async fn resume(service: &Service, asked: &Resume, output: &Output) -> Ended {
    let who = service.principal(asked.principal.as_deref())?;
    let target = service.suspend_target(&asked.what, asked.cluster.as_deref())?;
    let record = service.resume_target(&target, &who).await?;
    output.value(&json!({ "resumed": asked.what, "ledger": record }));
    output.line(format!(
        "{} is resumed; recorded in the ledger: #{record}",
        asked.what
    ));
    Ok(Exit::Success)
}

/// `reconcile`.
pub async fn reconcile(service: &Service, asked: &Reconcile, output: &Output) -> Ended {
    let who = service.principal(asked.principal.as_deref())?;
    let wish = service
        .wish(asked.cluster.as_deref(), asked.source.as_deref(), &who)
        .await?;
    let until = tokio::time::Instant::now() + Duration::from_secs(asked.wait);
    loop {
        if service
            .trigger(wish)
            .await?
            .is_some_and(|trigger| trigger.done.is_some())
        {
            output.value(&json!({ "wish": wish, "taken": true }));
            output.line(
                "taken: the loop looks at everything now (`bailiwick events --watch` shows what comes of it)",
            );
            for left in service
                .left_alone(asked.cluster.as_deref(), asked.source.as_deref())
                .await?
            {
                output.line(format!(
                    "but {left} is suspended: `bailiwick resume {left}` first"
                ));
            }
            return Ok(Exit::Success);
        }
        if tokio::time::Instant::now() >= until {
            return Err(Failure::error(format!(
                "nobody took it within {} s: is `bailiwick serve` running on this state? It will be taken when it starts",
                asked.wait
            )));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// `source`.
pub async fn source(service: &Service, asked: &Source, output: &Output) -> Ended {
    match asked {
        Source::Reset {
            name,
            reason,
            principal,
        } => {
            let who = service.principal(principal.as_deref())?;
            let passed = service.reset_fuse(name, reason, &who).await?;
            output.value(&json!({ "source": name, "mayPass": passed }));
            for revision in &passed {
                output.line(format!(
                    "{name} at {revision} may pass its fuse; what follows still needs its approval"
                ));
            }
            Ok(Exit::Success)
        }
    }
}
