//! Every principal on every path at once. Paths between which nothing differs share one row, and what two principals have in common
//! is worked out once: role sets and privilege sets have numbers, and a row is a list of such numbers.

use std::collections::{BTreeMap, BTreeSet};

use super::bits::Held;
use super::input::{ADMINISTRATOR, Configuration, NO_ACCESS, ROOT, Subject, owner};
use super::intern::{Pairs, Table};
use super::parent;

/// Roles with their flags, by place in the table of roles, in order.
type RoleSet = Vec<(u32, bool)>;

/// What every principal holds on every path that was asked about.
#[derive(Debug)]
pub struct Matrix<'a> {
    names: Vec<&'a str>,
    pub(super) principals: Vec<&'a str>,
    columns: BTreeMap<&'a str, usize>,
    pub(super) paths: BTreeMap<String, usize>,
    pub(super) rows: Vec<Vec<u32>>,
    sets: Vec<Held>,
}

impl<'a> Matrix<'a> {
    /// Works out what everybody holds on these paths (in the form of [`super::normal`]), whether or not they can authenticate.
    #[must_use]
    pub fn new(configuration: &'a Configuration, paths: &BTreeSet<String>) -> Self {
        let mut work = Work::new(configuration);
        work.tree();
        let mut shared: BTreeMap<(Option<&str>, bool, Vec<&str>), usize> = BTreeMap::new();
        let mut rows = Vec::new();
        let mut of_paths = BTreeMap::new();
        let pools = PoolsOver::new(configuration);
        for path in paths {
            let node = work.nearest(path);
            let exact = node == Some(path.as_str());
            let over = pools.over(path);
            let row = *shared.entry((node, exact, over)).or_insert_with_key(|key| {
                rows.push(work.row(path, &key.2));
                rows.len() - 1
            });
            of_paths.insert(path.clone(), row);
        }
        let principals = configuration.principals();
        let columns = principals.iter().enumerate();
        Self {
            columns: columns.map(|(column, id)| (*id, column)).collect(),
            principals,
            paths: of_paths,
            rows,
            names: work.names,
            sets: work.privileges.things(),
        }
    }

    /// What a principal holds on a path; `None` if it was not asked about.
    #[must_use]
    pub fn privileges(&self, principal: &str, path: &str) -> Option<BTreeMap<&'a str, bool>> {
        let column = self.columns.get(principal)?;
        let row = self.rows.get(*self.paths.get(path)?)?;
        self.set(*row.get(*column)?)
    }

    /// The column of a principal.
    pub(super) fn column(&self, principal: &str) -> Option<usize> {
        self.columns.get(principal).copied()
    }

    /// For each set of privileges the number that the same set has in another matrix, if it is there.
    pub(super) fn numbers_in(&self, other: &Self) -> Vec<Option<u32>> {
        let of_other = other.sets.iter().map(|set| set.named(&other.names));
        let numbers: BTreeMap<BTreeMap<&str, bool>, u32> = of_other.zip(0..).collect();
        let own = self.sets.iter().map(|set| set.named(&self.names));
        own.map(|set| numbers.get(&set).copied()).collect()
    }

    /// The privileges of a set's number.
    pub(super) fn set(&self, number: u32) -> Option<BTreeMap<&'a str, bool>> {
        let set = self.sets.get(number as usize)?;
        Some(set.named(&self.names))
    }
}

/// The pools over each member.
struct PoolsOver<'a> {
    guests: BTreeMap<String, &'a str>,
    storages: BTreeMap<String, Vec<&'a str>>,
}

impl<'a> PoolsOver<'a> {
    fn new(configuration: &'a Configuration) -> Self {
        let (mut guests, mut storages) = (BTreeMap::new(), BTreeMap::<_, Vec<_>>::new());
        for (id, pool) in &configuration.pools {
            for vmid in &pool.guests {
                guests.entry(format!("/vms/{vmid}")).or_insert(id.as_str());
            }
            for storage in &pool.storages {
                let over = storages.entry(format!("/storage/{storage}"));
                over.or_default().push(id.as_str());
            }
        }
        Self { guests, storages }
    }

    fn over(&self, path: &str) -> Vec<&'a str> {
        match self.guests.get(path) {
            Some(pool) => vec![pool],
            None => self.storages.get(path).cloned().unwrap_or_default(),
        }
    }
}

/// Whose entries a principal's privileges come from.
#[derive(Clone, Copy)]
enum Source {
    Everything,
    /// A subject's column.
    Own(usize),
    /// A separated token's, and its owner's principal.
    Both(usize, usize),
    /// The owner's principal.
    Owner(usize),
    Nothing,
}

struct Work<'a> {
    configuration: &'a Configuration,
    names: Vec<&'a str>,
    roles: Vec<&'a str>,
    role_places: BTreeMap<&'a str, u32>,
    no_access: u32,
    sources: Vec<Source>,
    /// Users and separated tokens, each with its column.
    subjects: BTreeMap<&'a str, usize>,
    members: BTreeMap<&'a str, Vec<usize>>,
    entries: BTreeMap<&'a str, BTreeMap<&'a Subject, BTreeMap<u32, bool>>>,
    /// Per path with entries: what holds on it, and what is inherited from it.
    nodes: BTreeMap<&'a str, (Vec<u32>, Vec<u32>)>,
    sets: Table<RoleSet>,
    privileges: Table<Held>,
    /// The privileges of each role set, once they are known.
    held: Vec<Option<u32>>,
    everything: u32,
    united: Pairs,
    pooled: Pairs,
    limited: Pairs,
}

/// The number of the empty role set.
const EMPTY: u32 = 0;

impl<'a> Work<'a> {
    fn new(configuration: &'a Configuration) -> Self {
        let listed = configuration
            .entries
            .iter()
            .map(|entry| entry.role.as_str());
        let known = configuration.roles.keys().map(String::as_str);
        let roles: BTreeSet<&str> = known.chain(listed).chain([NO_ACCESS]).collect();
        let roles: Vec<&str> = roles.into_iter().collect();
        let role_places: BTreeMap<&str, u32> = roles.iter().copied().zip(0..).collect();
        let names: BTreeSet<&str> = configuration
            .roles
            .values()
            .flatten()
            .map(String::as_str)
            .collect();
        let mut work = Self {
            configuration,
            names: names.into_iter().collect(),
            no_access: role_places.get(NO_ACCESS).copied().unwrap_or_default(),
            role_places,
            roles,
            sources: Vec::new(),
            subjects: BTreeMap::new(),
            members: BTreeMap::new(),
            entries: BTreeMap::new(),
            nodes: BTreeMap::new(),
            sets: Table::default(),
            privileges: Table::default(),
            held: Vec::new(),
            everything: 0,
            united: Pairs::default(),
            pooled: Pairs::default(),
            limited: Pairs::default(),
        };
        work.sets.number(Vec::new());
        let mut everything = Held::default();
        let administrator = configuration.roles.get(ADMINISTRATOR);
        for (place, name) in work.names.iter().enumerate() {
            if administrator.is_some_and(|role| role.contains(*name)) {
                everything.insert(place, true);
            }
        }
        work.everything = work.privileges.number(everything);
        work.people();
        work.list();
        work
    }

    /// Who there is, and where what they have comes from.
    fn people(&mut self) {
        let configuration = self.configuration;
        let users = configuration.users.keys().zip(0_usize..);
        let users: BTreeMap<&str, usize> = users.map(|(id, at)| (id.as_str(), at)).collect();
        for id in configuration.users.keys() {
            let column = self.subjects.len();
            self.subjects.insert(id, column);
            self.sources.push(if id == ROOT {
                Source::Everything
            } else {
                Source::Own(column)
            });
        }
        for (id, token) in &configuration.tokens {
            let owner = owner(id).unwrap_or_default();
            let source = match (users.get(owner), token.separated) {
                (None, _) => Source::Nothing,
                (Some(owner), false) => Source::Owner(*owner),
                (Some(at), true) => {
                    let column = self.subjects.len();
                    self.subjects.insert(id, column);
                    if owner == ROOT {
                        Source::Own(column)
                    } else {
                        Source::Both(column, *at)
                    }
                }
            };
            self.sources.push(source);
        }
        for (group, members) in &configuration.groups {
            let columns = members.iter().filter_map(|id| users.get(id.as_str()));
            self.members.insert(group, columns.copied().collect());
        }
    }

    fn list(&mut self) {
        for entry in &self.configuration.entries {
            if let Some(role) = self.role_places.get(entry.role.as_str()) {
                let subjects = self.entries.entry(&entry.path).or_default();
                let roles = subjects.entry(&entry.subject).or_default();
                roles.insert(*role, entry.propagate);
            }
        }
    }

    /// The nearest path at or above one that has entries.
    fn nearest(&self, path: &str) -> Option<&'a str> {
        std::iter::successors(Some(path), |path| parent(path))
            .find_map(|path| self.entries.get_key_value(path))
            .map(|(path, _)| *path)
    }

    /// Goes down the list: what is above a path comes before it in the order of text.
    fn tree(&mut self) {
        let entries = std::mem::take(&mut self.entries);
        self.entries.clone_from(&entries);
        for (path, subjects) in &entries {
            let above = parent(path).and_then(|above| self.nearest(above));
            let above = above.and_then(|above| self.nodes.get(above));
            let inherited = above.map_or_else(
                || vec![EMPTY; self.subjects.len()],
                |(_, below)| below.clone(),
            );
            let node = self.node(subjects, inherited);
            self.nodes.insert(path, node);
        }
    }

    /// What holds on a path and what is inherited from it, given what is inherited from above.
    fn node(
        &mut self,
        entries: &BTreeMap<&'a Subject, BTreeMap<u32, bool>>,
        inherited: Vec<u32>,
    ) -> (Vec<u32>, Vec<u32>) {
        let mut at = Groups::new(inherited.len());
        let mut below = Groups::new(inherited.len());
        for (subject, roles) in entries {
            let all: RoleSet = roles.iter().map(|(role, below)| (*role, *below)).collect();
            let propagating = all.iter().copied().filter(|(_, below)| *below).collect();
            let (all, propagating) = (self.sets.number(all), self.sets.number(propagating));
            match subject {
                Subject::User(id) | Subject::Token(id) => {
                    let is_token = matches!(subject, Subject::Token(_));
                    let column = self.subjects.get(id.as_str());
                    if let Some(column) = column.filter(|_| owner(id).is_some() == is_token) {
                        at.own(*column, all);
                        below.own(*column, propagating);
                    }
                }
                Subject::Group(id) => {
                    let members = self.members.get(id.as_str()).cloned().unwrap_or_default();
                    for column in members {
                        self.unite(&mut at, column, all);
                        self.unite(&mut below, column, propagating);
                    }
                }
            }
        }
        (at.over(&inherited, self), below.over(&inherited, self))
    }

    fn unite(&mut self, groups: &mut Groups, column: usize, set: u32) {
        let Some(known) = groups.through.get_mut(column) else {
            return;
        };
        let one = *known;
        *known = match (one, set) {
            (EMPTY, set) | (set, EMPTY) => set,
            (one, other) if one == other => one,
            (one, other) => {
                let Self { united, sets, .. } = self;
                united.of(one, other, || {
                    let parts = [one, other].into_iter().filter_map(|set| sets.thing(set));
                    let mut together: BTreeMap<u32, bool> = BTreeMap::new();
                    for (role, below) in parts.flatten() {
                        *together.entry(*role).or_default() |= below;
                    }
                    let together = together.into_iter().collect();
                    sets.number(together)
                })
            }
        };
    }

    /// `NoAccess` leaves nothing beside it.
    fn without_denied(&mut self, set: u32) -> u32 {
        let denied = self.sets.thing(set).and_then(|roles| {
            let denied = roles.iter().find(|(role, _)| *role == self.no_access);
            denied.filter(|_| roles.len() > 1).copied()
        });
        denied.map_or(set, |denied| self.sets.number(vec![denied]))
    }

    /// What the list gives everybody on a path.
    fn listed(&self, path: &str) -> Vec<u32> {
        let node = self.nearest(path);
        match node.and_then(|node| Some((node, self.nodes.get(node)?))) {
            None => vec![EMPTY; self.subjects.len()],
            Some((node, (at, below))) => if node == path { at } else { below }.clone(),
        }
    }

    /// The privileges of every principal on a path that these pools are over.
    fn row(&mut self, path: &str, pools: &[&str]) -> Vec<u32> {
        let mut roles = self.listed(path);
        for pool in pools {
            let pool = self.listed(&format!("/pool/{pool}"));
            for (own, through) in roles.iter_mut().zip(pool) {
                *own = self.with_pool(*own, through);
            }
        }
        let held: Vec<u32> = roles.into_iter().map(|set| self.held(set)).collect();
        let nothing = self.held(EMPTY);
        let own = |column: usize| held.get(column).copied().unwrap_or(nothing);
        let sources = std::mem::take(&mut self.sources);
        let mut row: Vec<u32> = Vec::with_capacity(sources.len());
        for source in &sources {
            let cell = |principal: usize| row.get(principal).copied().unwrap_or(nothing);
            let set = match *source {
                Source::Everything => self.everything,
                Source::Own(column) => own(column),
                Source::Owner(owner) => cell(owner),
                Source::Both(column, owner) => {
                    let (one, other) = (own(column), cell(owner));
                    if one == nothing || other == nothing {
                        nothing
                    } else {
                        self.limited(one, other)
                    }
                }
                Source::Nothing => nothing,
            };
            row.push(set);
        }
        self.sources = sources;
        row
    }

    fn with_pool(&mut self, own: u32, pool: u32) -> u32 {
        if pool == EMPTY {
            return own;
        }
        let Self {
            pooled,
            sets,
            no_access,
            ..
        } = self;
        pooled.of(own, pool, || {
            let denied = |set: u32| {
                let roles = sets.thing(set).into_iter().flatten();
                roles.into_iter().any(|(role, _)| role == no_access)
            };
            if denied(own) {
                return own;
            }
            if denied(pool) {
                return sets.number(vec![(*no_access, false)]);
            }
            let through = sets.thing(pool).into_iter().flatten();
            let mut together: BTreeMap<u32, bool> =
                through.map(|(role, _)| (*role, false)).collect();
            together.extend(sets.thing(own).into_iter().flatten().copied());
            let together = together.into_iter().collect();
            sets.number(together)
        })
    }

    /// The privileges of a role set.
    fn held(&mut self, set: u32) -> u32 {
        let place = set as usize;
        if let Some(held) = self.held.get(place).copied().flatten() {
            return held;
        }
        let mut held = Held::default();
        for (role, below) in self.sets.thing(set).into_iter().flatten() {
            let role = self.roles.get(*role as usize);
            let of_role = role.and_then(|role| self.configuration.roles.get(*role));
            for name in of_role.into_iter().flatten() {
                if let Ok(place) = self.names.binary_search(&name.as_str()) {
                    held.insert(place, *below);
                }
            }
        }
        let number = self.privileges.number(held);
        if self.held.len() <= place {
            self.held.resize(place + 1, None);
        }
        if let Some(held) = self.held.get_mut(place) {
            *held = Some(number);
        }
        number
    }

    fn limited(&mut self, own: u32, owners: u32) -> u32 {
        if own == owners {
            return own;
        }
        let Self {
            limited,
            privileges,
            ..
        } = self;
        limited.of(own, owners, || {
            let both = match (privileges.thing(own), privileges.thing(owners)) {
                (Some(own), Some(owners)) => own.and(owners),
                _ => Held::default(),
            };
            privileges.number(both)
        })
    }
}

/// The role sets that apply at one path, by subject: its own, and those of its groups.
struct Groups {
    own: Vec<u32>,
    through: Vec<u32>,
}

impl Groups {
    fn new(subjects: usize) -> Self {
        Self {
            own: vec![EMPTY; subjects],
            through: vec![EMPTY; subjects],
        }
    }

    fn own(&mut self, column: usize, set: u32) {
        if let Some(own) = self.own.get_mut(column) {
            *own = set;
        }
    }

    /// The own before the groups', and those before what is inherited.
    fn over(self, inherited: &[u32], work: &mut Work<'_>) -> Vec<u32> {
        let applying = self.own.into_iter().zip(self.through).zip(inherited);
        applying
            .map(|((own, through), inherited)| match (own, through) {
                (EMPTY, EMPTY) => *inherited,
                (EMPTY, set) | (set, _) => work.without_denied(set),
            })
            .collect()
    }
}
