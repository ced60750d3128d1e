//! What a step left, read once it can be seen.

use tokio::time::{Instant, sleep};

use super::effect;
use super::port::{Journal, Live};
use super::step::Shared;
use super::touched::Touched;
use crate::plan::Step;
use crate::world::{Action, World};

/// What reading back came to.
pub(super) enum ReadBack {
    /// What is there now: with the step's effect, or without it although there was time enough.
    Read(Box<World>),
    /// The cluster says itself that it will not come.
    GivenUp(String),
    /// It could not be read, or may still come.
    Unknown(String),
}

/// Reads what the step touched, and where the cluster follows late (HA, a list that lags), waits until the effect can be seen.
pub(super) async fn read_back<L: Live, J: Journal>(
    shared: &Shared<L, J>,
    step: &Step,
    touched: &Touched,
) -> ReadBack {
    let limits = &shared.limits;
    let patience = match step.action {
        Action::SetHaState { .. } => limits.ha_patience,
        _ => limits.settle,
    };
    let until = Instant::now() + patience;
    let mut unreadable_since = None;
    loop {
        let late = Instant::now() >= until;
        match shared.live.refresh(shared.world(), touched.clone()).await {
            Ok(now) if effect::visible(&step.action, &now) => return ReadBack::Read(Box::new(now)),
            Ok(now) => {
                unreadable_since = None;
                if let Some(end) = ha_says(shared, step, late).await {
                    return end;
                }
                if late {
                    return ReadBack::Read(Box::new(now));
                }
            }
            // A guest on its way may be looked for where it no longer is.
            Err(why) => {
                let since = *unreadable_since.get_or_insert_with(Instant::now);
                if late || since.elapsed() >= limits.settle {
                    return ReadBack::Unknown(format!(
                        "done, but what it left cannot be read: {why}"
                    ));
                }
            }
        }
        sleep(limits.poll).await;
    }
}

/// The request stands in HA's configuration; whether its manager has given up on it, or takes longer than is waited for.
async fn ha_says<L: Live, J: Journal>(
    shared: &Shared<L, J>,
    step: &Step,
    late: bool,
) -> Option<ReadBack> {
    let Action::SetHaState {
        kind, vmid, state, ..
    } = &step.action
    else {
        return None;
    };
    let guest = format!("{}/{vmid}", kind.word());
    let said = shared.live.ha_state(*kind, *vmid).await;
    // Only the request `disabled` takes a guest out of `error`, at the manager's next round.
    if matches!(&said, Ok(Some(word)) if word == "error") && state != "disabled" {
        return Some(ReadBack::GivenUp(format!(
            "HA has given up on {guest} (its state is `error`): the log of its last task says why; once that is mended, \
             request `disabled` of it, then `{state}` again"
        )));
    }
    late.then(|| {
        let said = match said {
            Ok(Some(word)) => format!("HA says `{word}`"),
            Ok(None) => "HA does not name it".to_owned(),
            Err(why) => format!("what HA says cannot be read: {why}"),
        };
        let waited = shared.limits.ha_patience.as_secs();
        ReadBack::Unknown(format!(
            "{state} was requested of HA, and {guest} is not so after {waited} s: {said}"
        ))
    })
}
