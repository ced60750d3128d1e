//! Drafts: steps before they have numbers, preconditions and inverses. The parts of the planner that compare documents with the
//! world write them; [`super::order`] brings them into an order.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{Problem, Reason};
use super::input::PlanInput;
use super::model::{BlockChange, Change, DocumentRef, Unknown};
use crate::ids::{NodeName, StorageId, Vmid};
use crate::world::Action;

/// Where in a plan a step stands unless its needs say otherwise. The order is the order of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Storages that others will use.
    StorageFirst,
    /// Images that guests will use.
    ImageFirst,
    /// Pools that others will join.
    PoolFirst,
    /// Groups, users and roles made, and changed so that nobody loses anything.
    AccountFirst,
    /// Options of firewalls that open something, before rules that do so go.
    FirewallOpen,
    /// Aliases of firewalls made and changed, before what names them.
    FirewallAlias,
    /// Sets of firewalls made and changed, before the rules that name them.
    FirewallSet,
    /// Security groups made and changed, before the rules that call them.
    FirewallGroup,
    /// Rules of firewalls.
    FirewallRules,
    /// Options of firewalls that shut something, once the rules are there that keep open what shall be.
    FirewallShut,
    /// Guests made, changed, moved.
    Guest,
    /// Members of pools.
    Members,
    /// Guests started or restarted, once they are what they shall be.
    Power,
    /// Snapshots taken, once the guest is what it shall be.
    Snapshot,
    /// Backup jobs made, and changed so that no guest loses one.
    JobFirst,
    /// Backup jobs narrowed and taken away, once others have what they leave.
    JobLast,
    /// Tokens made and changed, once their users are there.
    TokenFirst,
    /// Roles given.
    Grant,
    /// Roles given that take something: they hold no longer below a path, or are `NoAccess`.
    Narrow,
    /// Roles and memberships taken, users disabled.
    Revoke,
    /// Tokens taken away, before their users go.
    TokenLast,
    /// Roles narrowed; groups, users and roles taken away.
    AccountLast,
    /// Snapshots deleted, once everything else is done for the guest.
    SnapshotLast,
    /// Guests taken away.
    GuestLast,
    /// Images taken away, once no guest of the plan uses them, and backups.
    ImageLast,
    /// Pools taken away.
    PoolLast,
    /// Storages narrowed and taken away.
    StorageLast,
    /// Aliases, sets and security groups of firewalls taken away, once nothing that the plan changes names them.
    FirewallLast,
}

/// The place of a draft in the list of drafts.
pub(super) type DraftId = usize;

/// A step without number, preconditions and inverse.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub action: Action,
    pub title: String,
    pub node: Option<NodeName>,
    pub phase: Phase,
    pub needs: BTreeSet<DraftId>,
    pub notes: Vec<String>,
}

/// Everything found out so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Drafts {
    pub steps: Vec<Draft>,
    pub documents: Vec<DocumentRef>,
    pub changes: Vec<Change>,
    pub notes: BTreeSet<String>,
    pub unknowns: BTreeMap<String, String>,
    pub problems: BTreeSet<Problem>,
    /// Storages this plan makes (or opens for more), by the draft that does.
    pub opened: BTreeMap<StorageId, DraftId>,
    /// Objects that this plan deletes: `storage/fast`, `vm/104`.
    pub going: BTreeSet<String>,
    /// Objects whose document only got another name, by the key of the document that has them now.
    pub renamed: BTreeMap<String, String>,
    /// Blocks of lists of rules that people share.
    pub blocks: Vec<BlockChange>,
    /// VMIDs given away in this plan.
    pub taken: BTreeSet<Vmid>,
}

impl Drafts {
    /// Adds a step and says where it is.
    pub(super) fn push(&mut self, draft: Draft) -> DraftId {
        self.steps.push(draft);
        self.steps.len() - 1
    }

    /// Adds a problem.
    pub(super) fn problem(&mut self, document: &str, field: &str, reason: Reason) {
        self.problems.insert(Problem {
            document: document.to_owned(),
            field: field.to_owned(),
            reason,
        });
    }

    /// Adds a change.
    pub(super) fn change(
        &mut self,
        object: &str,
        field: &str,
        before: Option<&str>,
        after: Option<&str>,
        effect: &str,
    ) {
        self.changes.push(Change {
            object: object.to_owned(),
            field: field.to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
            effect: effect.to_owned(),
        });
    }

    /// Numbers the unknowns.
    pub(super) fn unknowns(&self) -> Vec<Unknown> {
        self.unknowns
            .iter()
            .enumerate()
            .map(|(index, (what, why))| Unknown {
                id: format!("U{}", index + 1),
                what: what.clone(),
                why: why.clone(),
            })
            .collect()
    }
}

/// What every part of the planner is handed.
pub(super) struct Planner<'a, 'b> {
    pub input: &'b PlanInput<'a>,
    pub drafts: Drafts,
}
