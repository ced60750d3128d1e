//! Whether a principal has one privilege on a path, and the entries that decide it.

use std::collections::BTreeSet;

use super::answer::{Access, Answer, Basis, Entries};
use super::input::{Entry, NO_ACCESS};

/// Whether a principal has a privilege on a path, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Whether it has it.
    pub held: bool,
    /// Whether it has it below the path too, by the same entries.
    pub below: bool,
    /// The entries that decide: those that give it; else those that stand where others would have given it (`NoAccess` among
    /// them); else none.
    pub entries: Vec<&'a Entry>,
    /// What decides, from the last word to the first, in words for people.
    pub because: Vec<String>,
}

impl<'a> Access<'a> {
    /// Decides whether a principal has a privilege on a path (in the form of [`super::normal`]), whether or not it can
    /// authenticate.
    #[must_use]
    pub fn decide(&self, principal: &str, path: &str, privilege: &str) -> Decision<'a> {
        self.judge(principal, &self.on(principal, path), privilege)
    }

    /// The entries that give a principal any of some privileges on a path (in the form of [`super::normal`]), which it has.
    #[must_use]
    pub fn giving(
        &self,
        principal: &str,
        path: &str,
        privileges: &BTreeSet<String>,
    ) -> BTreeSet<&'a Entry> {
        let mut found = BTreeSet::new();
        let answer = self.on(principal, path);
        let mut basis = &answer.basis;
        loop {
            if let Basis::Entries(entries) | Basis::Both(entries, ..) = basis {
                let gives =
                    |entry: &&Entry| privileges.iter().any(|name| self.has(&entry.role, name));
                found.extend(all(entries).map(|(_, entry)| entry).filter(gives));
            }
            match basis {
                Basis::Owner(_, owners) | Basis::Both(_, _, owners) => basis = &owners.basis,
                Basis::Root | Basis::NoSuchToken | Basis::Entries(_) => return found,
            }
        }
    }

    fn judge(&self, principal: &str, answer: &Answer<'a>, privilege: &str) -> Decision<'a> {
        let held = answer.privileges.get(privilege);
        let mut decision = Decision {
            held: held.is_some(),
            below: held.copied().unwrap_or(false),
            entries: Vec::new(),
            because: Vec::new(),
        };
        match &answer.basis {
            Basis::Root => decision
                .because
                .push("root@pam has every privilege, whatever the access control list says".into()),
            Basis::NoSuchToken => decision
                .because
                .push(format!("there is no token {principal}")),
            Basis::Entries(entries) => self.of_entries(entries, privilege, &mut decision),
            Basis::Owner(owner, owners) => {
                decision.because.push(format!(
                    "{principal} has no privilege separation: it has what {owner} has"
                ));
                let of_owner = self.judge(owner, owners, privilege);
                decision.entries.extend(of_owner.entries);
                decision.because.extend(of_owner.because);
            }
            Basis::Both(own, owner, owners) => {
                let mut of_token = Decision {
                    held: self.gives(own, privilege),
                    ..decision.clone()
                };
                self.of_entries(own, privilege, &mut of_token);
                let of_owner = self.judge(owner, owners, privilege);
                let word = |held: bool| if held { "has it" } else { "lacks it" };
                decision.because.push(format!(
                    "{principal} has privilege separation: it has what both itself and {owner} have; itself {}, {owner} {}",
                    word(of_token.held),
                    word(of_owner.held)
                ));
                // Of a refusal only the side that refuses tells.
                for side in [of_token, of_owner] {
                    if decision.held || !side.held {
                        decision.entries.extend(side.entries);
                        decision.because.extend(side.because);
                    }
                }
            }
        }
        decision
    }

    fn has(&self, role: &str, privilege: &str) -> bool {
        let privileges = self.configuration().roles.get(role);
        privileges.is_some_and(|privileges| privileges.contains(privilege))
    }

    /// Whether entries give a privilege, `NoAccess` among them considered.
    fn gives(&self, entries: &Entries<'a>, privilege: &str) -> bool {
        denial(entries).is_none() && all(entries).any(|(_, entry)| self.has(&entry.role, privilege))
    }

    fn of_entries(&self, entries: &Entries<'a>, privilege: &str, decision: &mut Decision<'a>) {
        let through = |pool: Option<&str>| {
            pool.map_or_else(String::new, |pool| format!(", through pool {pool}"))
        };
        if decision.held {
            for (pool, entry) in all(entries) {
                if self.has(&entry.role, privilege) {
                    decision.entries.push(entry);
                    decision.because.push(format!("{entry}{}", through(pool)));
                }
            }
            return;
        }
        if let Some((pool, entry)) = denial(entries) {
            decision.entries.push(entry);
            decision.because.push(format!(
                "{entry}{}: it wins over every other role",
                through(pool)
            ));
        } else if all(entries).next().is_none() {
            decision
                .because
                .push("no entry of the access control list applies".into());
        } else {
            for (pool, entry) in all(entries) {
                decision.entries.push(entry);
                decision.because.push(format!(
                    "{entry}{}: it does not hold {privilege}",
                    through(pool)
                ));
            }
        }
        for entry in &entries.replaced {
            if self.has(&entry.role, privilege) {
                decision.because.push(format!(
                    "{entry} holds it, and is replaced by what applies nearer"
                ));
            }
        }
    }
}

/// Every entry that applies, with the pool it comes through.
fn all<'e, 'a>(
    entries: &'e Entries<'a>,
) -> impl Iterator<Item = (Option<&'a str>, &'a Entry)> + use<'e, 'a> {
    let here = entries.here.iter().map(|entry| (None, *entry));
    here.chain(entries.pools.iter().flat_map(|through| {
        let pool = through.pool;
        through
            .entries
            .iter()
            .map(move |entry| (Some(pool), *entry))
    }))
}

/// The entry that takes everything away.
fn denial<'a>(entries: &Entries<'a>) -> Option<(Option<&'a str>, &'a Entry)> {
    all(entries).find(|(_, entry)| entry.role == NO_ACCESS)
}
