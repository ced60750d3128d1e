//! How much a plan can hurt, from what it does and what gets worse.
//!
//! | risk | when |
//! |---|---|
//! | `none` | the plan has no steps (it may adopt objects) |
//! | `low` | it has steps, and nothing gets worse |
//! | `medium` | something gets worse for a while only (a restart, a link that flaps, a guest that could not boot meanwhile), or for good but mildly: `tight`, `dangling`, `orphaned`, `unprotected`, `not-highly-available`, `gains-privilege` (but what follows); or a disk grows, which cannot be taken back but loses nothing |
//! | `high` | for good: `won't-boot`, `may-not-boot`, `degraded`, `stopped`, `restarted`, `stranded`, `unreachable`, `link-flap`, `exposed`, `won't-fit`, `loses-privilege`, and a gain of `Permissions.Modify` or `Sys.Modify` on `/`; and always, even for a while: `data-lost`, `last-copy`, `will-fail`, `irreversible` (but growing), `lockout`, `conditional-lockout`, `no-quorum`, `fenced` |
//! | `unknown` | anything that mattered could not be read |

use super::impacts::governs;
use super::model::{Duration, Impact, Risk, Unknown};
use crate::health::Category;

/// The rule under which a disk grows: irreversible, but nothing is lost.
const GROW: &str = "ST10";

/// The risk of a plan.
pub fn risk(steps: usize, impacts: &[Impact], unknowns: &[Unknown]) -> Risk {
    if !unknowns.is_empty() {
        return Risk::Unknown;
    }
    let least = if steps == 0 { Risk::None } else { Risk::Low };
    impacts.iter().map(of_impact).fold(least, Risk::max)
}

/// The risk one impact brings. What lets its holder change the whole cluster for itself is no mild gain.
pub fn of_impact(impact: &Impact) -> Risk {
    match impact.category {
        Category::Unknown => Risk::Unknown,
        Category::Irreversible if impact.rule == GROW => Risk::Medium,
        Category::GainsPrivilege if governs(&impact.after) => Risk::High,
        Category::DataLost
        | Category::LastCopy
        | Category::WillFail
        | Category::Irreversible
        | Category::Lockout
        | Category::ConditionalLockout
        | Category::NoQuorum
        | Category::Fenced => Risk::High,
        Category::Tight
        | Category::Dangling
        | Category::Orphaned
        | Category::Unprotected
        | Category::NotHighlyAvailable
        | Category::GainsPrivilege => Risk::Medium,
        Category::WontBoot
        | Category::MayNotBoot
        | Category::Degraded
        | Category::Stopped
        | Category::Restarted
        | Category::Stranded
        | Category::Unreachable
        | Category::LinkFlap
        | Category::Exposed
        | Category::WontFit
        | Category::LosesPrivilege => match impact.duration {
            Duration::Permanent => Risk::High,
            Duration::Transient => Risk::Medium,
        },
    }
}
