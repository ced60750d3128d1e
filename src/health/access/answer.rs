//! One principal on one path, with the entries that decide.

use std::collections::{BTreeMap, BTreeSet};

use super::ancestors;
use super::input::{ADMINISTRATOR, Configuration, Entry, NO_ACCESS, ROOT, Subject, owner};

/// Roles or privileges, each with whether it holds below the path too.
pub type Roles<'a> = BTreeMap<&'a str, bool>;

/// A configuration with its entries at hand by path and subject.
#[derive(Debug)]
pub struct Access<'a> {
    configuration: &'a Configuration,
    entries: BTreeMap<&'a str, BTreeMap<&'a Subject, BTreeMap<&'a str, &'a Entry>>>,
}

/// What a principal holds on a path, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The roles that the access control list gives it; of a separated token its own, whatever its owner has. `root@pam` has
    /// `Administrator`.
    pub roles: Roles<'a>,
    /// The same with those it has through pools.
    pub with_pools: Roles<'a>,
    /// The privileges it holds, each with whether it propagates.
    pub privileges: Roles<'a>,
    /// What decides.
    pub basis: Basis<'a>,
}

/// What decides which privileges a principal has on a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Basis<'a> {
    /// `root@pam` has every privilege, whatever the list says.
    Root,
    /// There is no such token: it has nothing.
    NoSuchToken,
    /// These entries; none means no privilege.
    Entries(Entries<'a>),
    /// A token without privilege separation has what its owner has.
    Owner(&'a str, Box<Answer<'a>>),
    /// A token with privilege separation has what both these entries give it and its owner has.
    Both(Entries<'a>, &'a str, Box<Answer<'a>>),
}

/// The entries that apply to a subject on a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries<'a> {
    /// Those of the deepest path that has any which apply: all of one user or token, or those of a user's groups.
    pub here: Vec<&'a Entry>,
    /// Those further up, or of groups at the same path, that they replace.
    pub replaced: Vec<&'a Entry>,
    /// Those on the pools that the guest or storage is in.
    pub pools: Vec<Through<'a>>,
}

/// Entries that apply on a pool, and so add their roles on its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Through<'a> {
    /// The pool.
    pub pool: &'a str,
    /// The entries that apply on its path.
    pub entries: Vec<&'a Entry>,
}

impl<'a> Access<'a> {
    /// Puts a configuration in order.
    #[must_use]
    pub fn new(configuration: &'a Configuration) -> Self {
        let mut entries: BTreeMap<_, BTreeMap<_, BTreeMap<_, _>>> = BTreeMap::new();
        for entry in &configuration.entries {
            let roles = entries
                .entry(entry.path.as_str())
                .or_default()
                .entry(&entry.subject)
                .or_default();
            roles.insert(entry.role.as_str(), entry);
        }
        Self {
            configuration,
            entries,
        }
    }

    /// The configuration.
    #[must_use]
    pub fn configuration(&self) -> &'a Configuration {
        self.configuration
    }

    /// What a user or token holds on a path (in the form of [`super::normal`]), whether or not it can authenticate.
    #[must_use]
    pub fn on(&self, principal: &str, path: &str) -> Answer<'a> {
        if principal == ROOT {
            let roles = Roles::from([(ADMINISTRATOR, true)]);
            return Answer {
                privileges: self.privileges(&roles),
                with_pools: roles.clone(),
                roles,
                basis: Basis::Root,
            };
        }
        if owner(principal).is_none() {
            let entries = self.entries_on(&Subject::User(principal.to_owned()), path);
            return self.answer(entries);
        }
        // The key and not the argument, because the answer outlives the question.
        let Some((id, token)) = self.configuration.tokens.get_key_value(principal) else {
            return Answer {
                roles: Roles::new(),
                with_pools: Roles::new(),
                privileges: Roles::new(),
                basis: Basis::NoSuchToken,
            };
        };
        let owner = owner(id).unwrap_or(id);
        if !token.separated {
            let owners = self.on(owner, path);
            return Answer {
                basis: Basis::Owner(owner, Box::new(owners.clone())),
                ..owners
            };
        }
        let entries = self.entries_on(&Subject::Token(id.clone()), path);
        let own = self.answer(entries.clone());
        if owner == ROOT {
            return own;
        }
        let owners = self.on(owner, path);
        let privileges = own.privileges.iter().filter_map(|(name, propagates)| {
            let limit = owners.privileges.get(name)?;
            Some((*name, *propagates && *limit))
        });
        Answer {
            privileges: privileges.collect(),
            basis: Basis::Both(entries, owner, Box::new(owners)),
            ..own
        }
    }

    fn answer(&self, entries: Entries<'a>) -> Answer<'a> {
        let roles = roles(&entries.here);
        let mut with_pools = roles.clone();
        for through in &entries.pools {
            with_pools = with_pool(with_pools, &through.entries);
        }
        Answer {
            privileges: self.privileges(&with_pools),
            with_pools,
            roles,
            basis: Basis::Entries(entries),
        }
    }

    fn privileges(&self, roles: &Roles<'a>) -> Roles<'a> {
        let mut privileges = Roles::new();
        for (role, propagates) in roles {
            let of_role = self.configuration.roles.get(*role);
            for name in of_role.into_iter().flatten() {
                *privileges.entry(name.as_str()).or_default() |= propagates;
            }
        }
        privileges
    }

    /// The entries that apply to a subject on a path, those of pools included.
    fn entries_on(&self, subject: &Subject, path: &str) -> Entries<'a> {
        let mut entries = self.walk(subject, path);
        for pool in self.configuration.pools_over(path) {
            let through = self.walk(subject, &format!("/pool/{pool}")).here;
            if !through.is_empty() {
                entries.pools.push(Through {
                    pool,
                    entries: through,
                });
            }
        }
        entries
    }

    fn walk(&self, subject: &Subject, path: &str) -> Entries<'a> {
        let groups = self.groups_of(subject);
        let mut found = Entries::default();
        for at in ancestors(path) {
            let Some(listed) = self.entries.get(at) else {
                continue;
            };
            let applies = |entry: &&&Entry| at == path || entry.propagate;
            let of = |subject: &Subject| -> Vec<&'a Entry> {
                let roles = listed
                    .get(subject)
                    .into_iter()
                    .flat_map(BTreeMap::values)
                    .filter(applies);
                roles.copied().collect()
            };
            let own = of(subject);
            let through_groups: Vec<&Entry> = groups.iter().flat_map(of).collect();
            let (here, hidden) = if own.is_empty() {
                (through_groups, Vec::new())
            } else {
                (own, through_groups)
            };
            if !here.is_empty() {
                found.replaced.append(&mut found.here);
                found.replaced.extend(hidden);
                found.here = here;
            }
        }
        found
    }

    fn groups_of(&self, subject: &Subject) -> BTreeSet<Subject> {
        let Subject::User(id) = subject else {
            return BTreeSet::new();
        };
        let groups = self.configuration.groups.iter();
        groups
            .filter(|(_, members)| members.contains(id))
            .map(|(name, _)| Subject::Group(name.clone()))
            .collect()
    }
}

/// The roles that entries of one path give together; `NoAccess` leaves nothing beside it. Where two groups give one role, one of
/// them propagating, it propagates.
fn roles<'a>(entries: &[&'a Entry]) -> Roles<'a> {
    let mut roles = Roles::new();
    for entry in entries {
        *roles.entry(entry.role.as_str()).or_default() |= entry.propagate;
    }
    match roles.get(NO_ACCESS) {
        Some(propagates) => Roles::from([(NO_ACCESS, *propagates)]),
        None => roles,
    }
}

/// Roles on a pool's member: the pool's come on top of its own, never for what is below; `NoAccess` from either side is all there
/// is.
fn with_pool<'a>(mut own: Roles<'a>, pool: &[&'a Entry]) -> Roles<'a> {
    if own.contains_key(NO_ACCESS) {
        return own;
    }
    let pool = roles(pool);
    if pool.contains_key(NO_ACCESS) {
        return Roles::from([(NO_ACCESS, false)]);
    }
    for role in pool.into_keys() {
        own.entry(role).or_insert(false);
    }
    own
}
